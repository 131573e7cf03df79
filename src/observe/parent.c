/* `belay observe`: configuration, signals, service manager, and the crew's lead. */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "observe/banner.h"
#include "observe/crash_directory.h"
#include "observe/daemon.h"
#include "observe/parent.h"
#include "observe/state_file.h"

#define STOP_PATIENCE_NS (5 * BELAY__NS_PER_S)
#define CRASH_SWEEP_NS   (60 * BELAY__NS_PER_S)
#define EXIT_USAGE       2

static void stop(struct belay__parent *parent);

static void on_patience_over(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	belay__parent_ended(timer->data);
}

static void on_shutdown_after(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	stop(timer->data);
}

static void on_crash_sweep(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__parent *parent = timer->data;

	belay__crash_directory_sweep(parent->crashes_fd);
	belay__timer_set(parent->loop, timer, now_ns + CRASH_SWEEP_NS, on_crash_sweep, parent);
}

/* Asks once, nicely; a second request, or five seconds, end it the hard way. */
static void stop(struct belay__parent *parent)
{
	if (parent->stopping) {
		belay__parent_ended(parent);
		return;
	}
	parent->stopping = true;
	(void)belay__service_manager_tell(&parent->manager, "STOPPING=1");
	belay__crew_note(parent, "stopping", "the observer stops");
	belay__timer_set(parent->loop, &parent->deadline,
		belay__loop_now_ns(parent->loop) + STOP_PATIENCE_NS, on_patience_over, parent);
	belay__crew_stop(parent);
}

void belay__parent_ended(struct belay__parent *parent)
{
	parent->stopping = true;
	parent->over = true;
}

/* What was opened at start stays where it is: OLD goes into FRESH, and TEXT is told when that is not
 * what FRESH says. A place that was left out is found as before. */
static void keep_place(const char *name, const char *old, char *fresh, size_t size,
	struct belay__text *text)
{
	if (fresh[0] != '\0' && strcmp(old, fresh) != 0)
		belay__text_addf(text, "%s: needs a restart\n", name);
	memcpy(fresh, old, size);
}

static void keep_flag(const char *name, bool old, bool *fresh, struct belay__text *text)
{
	if (*fresh != old)
		belay__text_addf(text, "%s: needs a restart\n", name);
	*fresh = old;
}

static void keep_number(const char *name, uint64_t old, uint64_t *fresh, struct belay__text *text)
{
	if (*fresh != old)
		belay__text_addf(text, "%s: needs a restart\n", name);
	*fresh = old;
}

/* Other keys, and files of them, come into force; but who was told that beats are sealed is not to get
 * plain ones. */
static void keep_network(const struct belay__observe_options *old,
	struct belay__observe_options *fresh, struct belay__text *text)
{
	keep_number("udp-port", old->udp_port, &fresh->udp_port, text);
	keep_place("udp-bind-addr", old->udp_bind_addr, fresh->udp_bind_addr,
		sizeof(fresh->udp_bind_addr), text);
	keep_number("sealed-senders", old->sealed_senders, &fresh->sealed_senders, text);
	keep_flag("secure-udp-i-accept-recovery-on-unauthenticated-transport", old->secure_recovery,
		&fresh->secure_recovery, text);
	keep_flag("plaintext-udp-i-accept-recovery-on-unauthenticated-transport",
		old->plaintext_recovery, &fresh->plaintext_recovery, text);
	if (old->udp_port == 0 || belay__udp_is_sealed(old) == belay__udp_is_sealed(fresh))
		return;
	belay__text_add(text, "key-file: a change between sealed and plain beats needs a restart\n");
	memcpy(fresh->key_file, old->key_file, sizeof(fresh->key_file));
	memcpy(fresh->accepted_key_file, old->accepted_key_file, sizeof(fresh->accepted_key_file));
	memcpy(fresh->master_key_file, old->master_key_file, sizeof(fresh->master_key_file));
}

static void keep_places(const struct belay__observe_options *old,
	struct belay__observe_options *fresh, struct belay__text *text)
{
#define KEEP(name, member) keep_place(name, old->member, fresh->member, sizeof(fresh->member), text)
	KEEP("socket", socket);
	KEEP("state", state);
	KEEP("events", events);
	KEEP("recovery-audit-file", audit_file);
	KEEP("export-file", export_file);
	KEEP("metrics-socket", metrics_socket);
	KEEP("metrics-addr", metrics_addr);
	KEEP("metrics-textfile", metrics_textfile);
	KEEP("metrics-token-file", metrics_token_file);
#undef KEEP
	keep_number("capacity", old->capacity, &fresh->capacity, text);
	keep_flag("no-sandbox", old->no_sandbox, &fresh->no_sandbox, text);
	if (strcmp(old->user, fresh->user) != 0)
		belay__text_add(text, "user: needs a restart\n");
	memcpy(fresh->user, old->user, sizeof(fresh->user));
	keep_network(old, fresh, text);
}

/* Changes stand one a line; an event has one line. */
static void join_lines(struct belay__text *text)
{
	char *at = text->chars, *end;

	while ((end = strchr(at, '\n')) != NULL && end[1] != '\0') {
		*end = ';';
		at = end + 1;
		if (text->len + 1 < text->size) {
			memmove(at + 1, at, strlen(at) + 1);
			*at = ' ';
			text->len++;
		}
	}
	if (end != NULL)
		*end = '\0';
}

/* Re-reads the configuration, says what changed, reopens the files written to. A configuration with
 * errors changes nothing. */
static void reload(struct belay__parent *parent)
{
	static struct belay__observe_config fresh;
	static struct belay__config_sources sources;
	char changes[sizeof(((struct belay__msg_note *)NULL)->text)], ready[96];
	struct belay__text text;
	struct belay_error error;

	(void)snprintf(ready, sizeof(ready), "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)(belay__clock_ns(CLOCK_MONOTONIC) / BELAY__NS_PER_US));
	(void)belay__service_manager_tell(&parent->manager, ready);
	belay__text_init(&text, changes, sizeof(changes));
	if (belay__config_load(parent->argc, parent->argv, &fresh, &sources, &error) < 0) {
		belay__log(BELAY__LOG_ERROR, "nothing was changed: %s", error.text);
	} else {
		keep_places(&parent->config.options, &fresh.options, &text);
		(void)belay__config_diff(&parent->config, &fresh, &text);
		parent->config = fresh;
		parent->sources = sources;
		belay__crew_reload(parent);
		if (parent->udp_fd >= 0 && parent->key_count > 0 && parent->keys_fault[0] == '\0')
			belay__text_addf(&text, "keys: %u read again\n", parent->key_count);
		if (text.len == 0)
			belay__text_add(&text, "nothing changed");
		join_lines(&text);
		belay__crew_note(parent, "reloaded", changes);
	}
	belay__crew_reopen_events(parent);
	(void)belay__service_manager_tell(&parent->manager, "READY=1");
}

static void on_signal(struct belay__io *io, uint32_t events)
{
	struct belay__parent *parent = io->data;
	struct signalfd_siginfo info;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGHUP)
			reload(parent);
		else
			stop(parent);
}

void belay__parent_gate_ready(struct belay__parent *parent, uint32_t going_on)
{
	char text[256];

	/* A role in a cage cuts no file. */
	if (parent->state_fd >= 0)
		belay__state_trim(parent->state_fd);
	if (parent->announced) {
		belay__crew_note(parent, "role-ended", parent->gate_death);
		(void)snprintf(text, sizeof(text), "the gate was replaced; %u processes go on",
			going_on);
		belay__crew_note(parent, "role-restarted", text);
		if (parent->keys_fault[0] != '\0')
			belay__crew_note(parent, "keys-missing", parent->keys_fault);
		return;
	}
	parent->announced = true;
	(void)snprintf(text, sizeof(text), "READY=1\nSTATUS=listening on %s, threshold %llu ms",
		parent->config.options.socket,
		(unsigned long long)(parent->config.options.threshold_ns / BELAY__NS_PER_MS));
	(void)belay__service_manager_tell(&parent->manager, text);
	belay__banner(parent, going_on);
	(void)snprintf(text, sizeof(text), "listening on %s; %u processes go on",
		parent->config.options.socket, going_on);
	belay__crew_note(parent, "started", text);
}

void belay__parent_gate_progress(struct belay__parent *parent)
{
	(void)belay__service_manager_tell(&parent->manager, "WATCHDOG=1");
}

static int begin(struct belay__parent *parent, struct belay_error *reterr)
{
	static const int signals[] = { SIGTERM, SIGINT, SIGHUP, 0 };
	int r = belay__loop_new(&parent->loop);

	parent->started_ns = belay__clock_ns(CLOCK_MONOTONIC);

	if (r < 0)
		return belay__fail(reterr, r, "cannot start: %s", strerror(-r));
	parent->signal_fd = belay__signals_add(parent->loop, &parent->signal_io, signals, on_signal,
		parent);
	if (parent->signal_fd < 0)
		return belay__fail(reterr, parent->signal_fd, "cannot start: %s",
			strerror(-parent->signal_fd));
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGXFSZ, SIG_IGN);
	(void)belay__fd_raise_limit();
	belay__service_manager_init(&parent->manager);
	r = belay__cage_argument(parent->config.options.no_sandbox, parent->config.options.user,
		parent->cage, reterr);
	if (r < 0)
		return r;
	r = belay__provide(parent, reterr);
	if (r < 0)
		return r;
	r = belay__crew_start(parent, BELAY__ROLE_PROBER, reterr);
	for (unsigned role = BELAY__ROLE_RUNNER; role < BELAY__ROLE_COUNT && r == 0; role++)
		if (belay__crew_wants(parent, (enum belay__role)role))
			r = belay__crew_start(parent, (enum belay__role)role, reterr);
	if (r == 0)
		r = belay__crew_start(parent, BELAY__ROLE_GATE, reterr);
	if (r == 0 && parent->crashes_fd >= 0)
		belay__timer_set(parent->loop, &parent->crash_sweep,
			belay__clock_ns(CLOCK_MONOTONIC) + CRASH_SWEEP_NS, on_crash_sweep, parent);
	if (r == 0 && parent->config.options.shutdown_after_s > 0)
		belay__timer_set(parent->loop, &parent->deadline,
			belay__clock_ns(CLOCK_MONOTONIC) +
				parent->config.options.shutdown_after_s * BELAY__NS_PER_S,
			on_shutdown_after, parent);
	return r;
}

static void end(struct belay__parent *parent)
{
	belay__crew_done(parent);
	belay__provisions_done(parent);
	belay__service_manager_done(&parent->manager);
	if (parent->loop == NULL)
		return;
	belay__timer_clear(&parent->deadline);
	belay__timer_clear(&parent->crash_sweep);
	belay__io_remove(&parent->signal_io);
	belay__close(parent->signal_fd);
	belay__loop_free(parent->loop);
}

static int exit_status_of(int r)
{
	return r == -EACCES || r == -EPERM           ? 77
		: r == -EINVAL || r == -ENAMETOOLONG ? EXIT_USAGE
						     : 1;
}

int belay__parent_main(int argc, char **argv)
{
	static struct belay__parent parent = {
		.beats = { .fd = -EBADF, .lock_fd = -EBADF },
		.hello = { .fd = -EBADF, .lock_fd = -EBADF },
		.metrics = { .fd = -EBADF, .lock_fd = -EBADF },
		.state_fd = -EBADF,
		.totals_fd = -EBADF,
		.brakes_fd = -EBADF,
		.metrics_tcp_fd = -EBADF,
		.udp_fd = -EBADF,
		.crashes_fd = -EBADF,
		.self_fd = -EBADF,
		.exporter_fd = -EBADF,
		.signal_fd = -EBADF,
		.signal_io = { .fd = -EBADF },
		.manager = { .fd = -EBADF },
	};
	struct belay_error error;
	int r;

	for (unsigned i = 0; i < BELAY__ROLE_COUNT; i++)
		parent.crew[i] = (struct belay__crew_member){
			.parent = &parent,
			.role = (enum belay__role)i,
			.pidfd = -EBADF,
			.channel = -EBADF,
			.exit_io = { .fd = -EBADF },
			.channel_io = { .fd = -EBADF },
		};
	parent.argc = argc;
	parent.argv = argv;
	r = belay__config_load(argc, argv, &parent.config, &parent.sources, &error);
	belay__log_init("belay", (enum belay__log_format)parent.config.options.log_format);
	if (r == 0)
		r = begin(&parent, &error);
	if (r < 0) {
		end(&parent);
		(void)fprintf(stderr, "belay observe: %s\n", error.text);
		return exit_status_of(r);
	}
	while (!parent.over)
		if (belay__loop_turn(parent.loop, UINT64_MAX) < 0)
			parent.over = true;
	end(&parent);
	return parent.exit_status;
}
