/* The roles: started from our own program, given what they need, replaced when they die. */

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/log.h"
#include "ipc/channel.h"
#include "observe/crew_internal.h"
#include "process/spawn.h"

#define MESSAGES_PER_TURN 16
/* A role that dies sooner than this after its start is given more and more time before the next. */
#define QUICK_DEATH_NS   BELAY__NS_PER_S
#define RESTART_FIRST_NS (50 * BELAY__NS_PER_MS)
#define RESTART_MOST_NS  BELAY__NS_PER_S
#define END_PATIENCE_MS  500
/* How long a role may take to read a configuration that is more than its channel holds. */
#define CONFIGURE_PATIENCE_MS 2000

static const char *const role_names[BELAY__ROLE_COUNT] = {
	[BELAY__ROLE_GATE] = "gate",
	[BELAY__ROLE_PROBER] = "prober",
	[BELAY__ROLE_RUNNER] = "runner",
	[BELAY__ROLE_EXPORTER] = "exporter",
};
static const char *const role_arguments[BELAY__ROLE_COUNT] = {
	[BELAY__ROLE_GATE] = "--role=gate",
	[BELAY__ROLE_PROBER] = "--role=prober",
	[BELAY__ROLE_RUNNER] = "--role=runner",
	[BELAY__ROLE_EXPORTER] = "--role=exporter",
};
/* How the gate and each of the others are told of their channel to each other. */
static const struct {
	uint32_t to_gate, to_role;
} joints[BELAY__ROLE_COUNT] = {
	[BELAY__ROLE_PROBER] = { BELAY__MSG_PROBER, BELAY__MSG_PROBER },
	[BELAY__ROLE_RUNNER] = { BELAY__MSG_RUNNER, BELAY__MSG_GATE },
	[BELAY__ROLE_EXPORTER] = { BELAY__MSG_EXPORTER, BELAY__MSG_GATE },
};

int belay__crew_send_now(const struct belay__crew_member *member, uint32_t type, const void *record,
	uint32_t size, int fd)
{
	return member->channel >= 0 ? belay__channel_send(member->channel, type, record, size, fd)
				    : -ENOTCONN;
}

/* A socket that listens, to a role that may not change its flags any more. */
static int send_listener(const struct belay__crew_member *member, uint32_t type, int fd)
{
	struct belay__msg_nothing nothing = { 0 };
	int r = fd >= 0 ? belay__fd_nonblock(fd) : 0;

	return r == 0 && fd >= 0 ? belay__crew_send_now(member, type, &nothing, sizeof(nothing), fd)
				 : r;
}

int belay__crew_send_fd(const struct belay__crew_member *member, uint32_t type, int fd)
{
	struct belay__msg_nothing nothing = { 0 };

	return fd >= 0 ? belay__crew_send_now(member, type, &nothing, sizeof(nothing), fd) : 0;
}

void belay__crew_note(struct belay__parent *parent, const char *what, const char *text)
{
	struct belay__msg_note note = { .what = "" };

	(void)snprintf(note.what, sizeof(note.what), "%s", what);
	(void)snprintf(note.text, sizeof(note.text), "%s", text);
	if (belay__crew_send_now(&parent->crew[BELAY__ROLE_GATE], BELAY__MSG_NOTE, &note,
		    sizeof(note), -EBADF) < 0)
		belay__log(BELAY__LOG_NOTICE, "%s", text);
}

/* Whether a command may have to be run for anybody. */
static bool runs_anything(const struct belay__observe_config *config)
{
	const struct belay__observe_options *options = &config->options;
	struct belay__doing doing;

	belay__doing_of(options, NULL, &doing);
	if (doing.on_stall[0] != '\0' || doing.on_exit[0] != '\0' || options->alert[0] != '\0' ||
		options->deadman[0] != '\0')
		return true;
	for (uint32_t i = 0; i < config->rule_count; i++) {
		belay__doing_of(options, &config->rules[i], &doing);
		if (doing.on_stall[0] != '\0' || doing.on_exit[0] != '\0')
			return true;
	}
	return false;
}

bool belay__crew_wants(const struct belay__parent *parent, enum belay__role role)
{
	switch (role) {
	case BELAY__ROLE_RUNNER:
		return runs_anything(&parent->config);
	case BELAY__ROLE_EXPORTER:
		return parent->exporter_fd >= 0 &&
			(parent->metrics.fd >= 0 || parent->metrics_tcp_fd >= 0 ||
				parent->config.options.metrics_textfile[0] != '\0');
	case BELAY__ROLE_GATE:
	case BELAY__ROLE_PROBER:
	case BELAY__ROLE_COUNT:
		break;
	}
	return true;
}

int belay__crew_send(const struct belay__crew_member *member, uint64_t deadline_ns, uint32_t type,
	const void *record, uint32_t size)
{
	struct pollfd channel = { .fd = member->channel, .events = POLLOUT };
	int r;

	while ((r = belay__crew_send_now(member, type, record, size, -EBADF)) == -EAGAIN) {
		uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);

		if (now_ns >= deadline_ns)
			break;
		(void)poll(&channel, 1, (int)((deadline_ns - now_ns) / BELAY__NS_PER_MS) + 1);
	}
	return r;
}

/* Tells the gate how all roles are; what it does not read until DEADLINE_NS it is told the next time. */
static void send_roles(struct belay__parent *parent, uint64_t deadline_ns)
{
	for (unsigned i = 0; i < BELAY__ROLE_COUNT; i++) {
		struct belay__msg_role role = { .pid = parent->crew[i].pid,
			.restarts = parent->crew[i].restarts };

		if (!belay__crew_wants(parent, (enum belay__role)i))
			continue;
		(void)snprintf(role.name, sizeof(role.name), "%s", role_names[i]);
		(void)belay__crew_send(&parent->crew[BELAY__ROLE_GATE], deadline_ns,
			BELAY__MSG_ROLE, &role, sizeof(role));
	}
}

/* Sends options, rules and the word to go to MEMBER. */
static int configure(const struct belay__crew_member *member, bool reload)
{
	struct belay__parent *parent = member->parent;
	const struct belay__observe_config *config = &parent->config;
	struct belay__msg_nothing nothing = { 0 };
	struct belay__msg_go go = {
		.progress_every_ns = parent->manager.watchdog_ns / 2,
		.first_seq = reload ? 1 : belay__next_seq(parent),
		.observer_started_ns = parent->started_ns,
		.restarted = member->restarts > 0,
		.reload = reload,
	};
	uint64_t deadline_ns = belay__clock_ns(CLOCK_MONOTONIC) +
		CONFIGURE_PATIENCE_MS * BELAY__NS_PER_MS;
	int r = belay__crew_send(member, deadline_ns, BELAY__MSG_OPTIONS, &config->options,
		sizeof(config->options));

	_Static_assert(sizeof(config->options) <= BELAY__MESSAGE_MAX, "one message holds them all");
	if (r == 0)
		r = belay__crew_send(member, deadline_ns, BELAY__MSG_FORGET_RULES, &nothing,
			sizeof(nothing));
	for (uint32_t i = 0; i < config->rule_count && r == 0; i++)
		r = belay__crew_send(member, deadline_ns, BELAY__MSG_RULE, &config->rules[i],
			sizeof(config->rules[i]));
	if (r == 0 && member->role == BELAY__ROLE_GATE)
		r = belay__crew_send_keys(member, reload, deadline_ns);
	if (r == 0 && member->role == BELAY__ROLE_GATE)
		send_roles(parent, deadline_ns);
	return r == 0 ? belay__crew_send(member, deadline_ns, BELAY__MSG_GO, &go, sizeof(go)) : r;
}

void belay__crew_reload(struct belay__parent *parent)
{
	struct belay_error error;

	for (unsigned i = 0; i < BELAY__ROLE_COUNT; i++) {
		struct belay__crew_member *member = &parent->crew[i];

		if (i == BELAY__ROLE_PROBER)
			continue;
		if (member->channel >= 0) {
			if (configure(member, /* reload= */ true) < 0)
				belay__log(BELAY__LOG_ERROR,
					"the %s does not take the new configuration; send SIGHUP "
					"again, or restart the observer",
					role_names[i]);
		} else if (member->restart.next == NULL && belay__crew_wants(parent, member->role) &&
			belay__crew_start(parent, member->role, &error) < 0)
			belay__log(BELAY__LOG_ERROR, "%s", error.text);
	}
}

/* A fresh channel between the gate and ROLE; either may be missing just now and gets its end when it
 * is back. */
static void join_gate(struct belay__parent *parent, enum belay__role role)
{
	int ends[2];

	if (parent->crew[BELAY__ROLE_GATE].channel < 0 || parent->crew[role].channel < 0 ||
		belay__channel_pair(ends) < 0)
		return;
	(void)belay__crew_send_fd(&parent->crew[BELAY__ROLE_GATE], joints[role].to_gate, ends[0]);
	(void)belay__crew_send_fd(&parent->crew[role], joints[role].to_role, ends[1]);
	belay__close(ends[0]);
	belay__close(ends[1]);
}

void belay__crew_reopen_events(struct belay__parent *parent)
{
	_cleanup_close_ int events = belay__open_events(parent);
	_cleanup_close_ int export = belay__open_export(parent);

	(void)belay__crew_send_fd(&parent->crew[BELAY__ROLE_GATE], BELAY__MSG_EVENTS, events);
	(void)belay__crew_send_fd(&parent->crew[BELAY__ROLE_GATE], BELAY__MSG_EXPORT_FILE, export);
}

static int send_pauses(const struct belay__crew_member *member)
{
	const struct belay__parent *parent = member->parent;
	int r = 0;

	for (uint32_t i = 0; i < parent->pause_count && r == 0; i++)
		r = belay__crew_send_now(member, BELAY__MSG_PAUSE, &parent->pauses[i],
			sizeof(parent->pauses[i]), -EBADF);
	return r;
}

static int provision_gate(struct belay__parent *parent)
{
	const struct belay__crew_member *gate = &parent->crew[BELAY__ROLE_GATE];
	struct belay__msg_beats beats = {
		.queue_frames = (uint32_t)parent->queue_frames,
		.rcvbuf_bytes = parent->beats.rcvbuf_bytes,
		.rights_refused = parent->beats.rights_refused,
		.directory_sync_failed = parent->beats.directory_sync_failed,
	};
	_cleanup_close_ int events = belay__open_events(parent);
	_cleanup_close_ int export = belay__open_export(parent);
	int r;

	memcpy(beats.path, parent->config.options.socket, sizeof(beats.path));
	r = belay__fd_nonblock(parent->beats.fd);
	if (r == 0)
		r = belay__crew_send_now(gate, BELAY__MSG_BEATS, &beats, sizeof(beats),
			parent->beats.fd);
	if (r == 0)
		r = send_listener(gate, BELAY__MSG_HELLO, parent->hello.fd);
	if (r == 0)
		r = belay__crew_send_fd(gate, BELAY__MSG_STATE, parent->state_fd);
	if (r == 0)
		r = belay__crew_send_fd(gate, BELAY__MSG_EVENTS, events);
	if (r == 0)
		r = belay__crew_send_fd(gate, BELAY__MSG_EXPORT_FILE, export);
	if (r == 0)
		r = belay__crew_send_fd(gate, BELAY__MSG_TOTALS, parent->totals_fd);
	if (r == 0)
		r = send_listener(gate, BELAY__MSG_UDP, parent->udp_fd);
	if (r == 0)
		r = belay__crew_send_fd(gate, BELAY__MSG_CRASHES, parent->crashes_fd);
	if (r == 0)
		r = send_pauses(gate);
	if (r < 0)
		return r;
	for (unsigned role = BELAY__ROLE_PROBER; role < BELAY__ROLE_COUNT; role++)
		join_gate(parent, (enum belay__role)role);
	return configure(gate, /* reload= */ false);
}

static int provision_runner(struct belay__parent *parent)
{
	const struct belay__crew_member *runner = &parent->crew[BELAY__ROLE_RUNNER];
	_cleanup_close_ int state = belay__open_state_view(parent);
	_cleanup_close_ int journal = belay__open_journal(parent);
	int r = belay__crew_send_fd(runner, BELAY__MSG_STATE, state);

	if (r == 0)
		r = belay__crew_send_fd(runner, BELAY__MSG_JOURNAL, journal);
	if (r == 0)
		r = belay__crew_send_fd(runner, BELAY__MSG_BRAKES, parent->brakes_fd);
	if (r == 0)
		r = send_pauses(runner);
	if (r < 0)
		return r;
	join_gate(parent, BELAY__ROLE_RUNNER);
	return configure(runner, /* reload= */ false);
}

static int provision_exporter(struct belay__parent *parent)
{
	const struct belay__crew_member *exporter = &parent->crew[BELAY__ROLE_EXPORTER];
	_cleanup_close_ int state = belay__open_state_view(parent);
	_cleanup_close_ int totals = belay__open_totals_view(parent);
	int r = belay__crew_send_fd(exporter, BELAY__MSG_STATE, state);

	if (r == 0)
		r = belay__crew_send_fd(exporter, BELAY__MSG_TOTALS, totals);
	if (r == 0)
		r = send_listener(exporter, BELAY__MSG_METRICS_UNIX, parent->metrics.fd);
	if (r == 0)
		r = send_listener(exporter, BELAY__MSG_METRICS_TCP, parent->metrics_tcp_fd);
	if (r == 0 && parent->has_token)
		r = belay__crew_send_now(exporter, BELAY__MSG_TOKEN, &parent->token,
			sizeof(parent->token), -EBADF);
	if (r < 0)
		return r;
	join_gate(parent, BELAY__ROLE_EXPORTER);
	return configure(exporter, /* reload= */ false);
}

static int provision(struct belay__parent *parent, enum belay__role role)
{
	switch (role) {
	case BELAY__ROLE_GATE:
		return provision_gate(parent);
	case BELAY__ROLE_RUNNER:
		return provision_runner(parent);
	case BELAY__ROLE_EXPORTER:
		return provision_exporter(parent);
	case BELAY__ROLE_PROBER:
		join_gate(parent, role);
		break;
	case BELAY__ROLE_COUNT:
		break;
	}
	return 0;
}

/* --- what the gate says --- */

static const struct belay__message_rule gate_rules[] = {
	{ BELAY__MSG_READY, sizeof(struct belay__msg_ready), BELAY__WITHOUT_FD,
		belay__crew_on_ready },
	{ BELAY__MSG_PROGRESS, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD,
		belay__crew_on_progress },
	{ BELAY__MSG_ROTATE, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD,
		belay__crew_on_rotate },
	{ BELAY__MSG_ROTATE_EXPORT, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD,
		belay__crew_on_rotate_export },
	{ BELAY__MSG_PAUSE, sizeof(struct belay__msg_pause), BELAY__WITHOUT_FD,
		belay__crew_on_pause },
	{ BELAY__MSG_STUCK, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD,
		belay__crew_on_stuck },
};

static void on_channel(struct belay__io *io, uint32_t events)
{
	struct belay__crew_member *member = io->data;
	size_t rules = member->role == BELAY__ROLE_GATE ? sizeof(gate_rules) / sizeof(gate_rules[0])
							: 0;
	int r = belay__channel_receive(member->channel, gate_rules, rules, member->parent,
		MESSAGES_PER_TURN);

	(void)events;
	if (r >= 0 || r == -EAGAIN)
		return;
	/* Gone, or broken: its pidfd tells the first, and the second is ended here. */
	belay__io_remove(io);
	if (r != -EPIPE && member->pidfd >= 0)
		(void)belay__signal(member->pidfd, SIGKILL);
}

/* --- life and death --- */

static void clear(struct belay__crew_member *member)
{
	belay__io_remove(&member->exit_io);
	belay__io_remove(&member->channel_io);
	member->pidfd = belay__close(member->pidfd);
	member->channel = belay__close(member->channel);
	member->pid = 0;
}

static void on_restart(struct belay__timer *timer, uint64_t now_ns);

static void restart_later(struct belay__crew_member *member, uint64_t now_ns)
{
	uint64_t wait_ns = RESTART_FIRST_NS;

	member->quick_deaths = now_ns - member->started_ns < QUICK_DEATH_NS
		? member->quick_deaths + 1
		: 0;
	for (uint32_t i = 1; i < member->quick_deaths && wait_ns < RESTART_MOST_NS; i++)
		wait_ns *= 2;
	if (member->quick_deaths == 0)
		wait_ns = 0;
	belay__timer_set(member->parent->loop, &member->restart, now_ns + wait_ns, on_restart,
		member);
}

static void describe_death(const struct belay__crew_member *member, int status, char *text,
	size_t size)
{
	if (WIFSIGNALED(status))
		(void)snprintf(text, size,
			"the %s was killed by signal %d (%s)%s; it is being replaced",
			role_names[member->role], WTERMSIG(status), strsignal(WTERMSIG(status)),
			WTERMSIG(status) == SIGSYS
				? ": it did what its cage forbids, through a mistake of ours or "
				  "because "
				  "somebody took it over (with --no-sandbox there is no cage)"
				: "");
	else
		(void)snprintf(text, size, "the %s ended with status %d; it is being replaced",
			role_names[member->role], WEXITSTATUS(status));
}

static void on_exit_of(struct belay__io *io, uint32_t events)
{
	struct belay__crew_member *member = io->data;
	struct belay__parent *parent = member->parent;
	char text[sizeof(parent->gate_death)];
	int status;

	(void)events;
	if (belay__reap(member->pidfd, &status) <= 0)
		return;
	clear(member);
	if (parent->stopping) {
		if (member->role == BELAY__ROLE_GATE)
			belay__parent_ended(parent);
		return;
	}
	if (WIFEXITED(status) && WEXITSTATUS(status) == BELAY__EXIT_STRICT_NAMESPACE) {
		belay__log(BELAY__LOG_ERROR,
			"a process of another pid namespace beats here; ending because of "
			"--strict-namespace-check");
		parent->exit_status = 1;
		belay__parent_ended(parent);
		return;
	}
	describe_death(member, status, text, sizeof(text));
	/* Nobody is there to tell of the gate's end but its successor. */
	if (member->role == BELAY__ROLE_GATE) {
		memcpy(parent->gate_death, text, sizeof(parent->gate_death));
		if (!parent->announced)
			belay__log(BELAY__LOG_ERROR, "%s", text);
	} else
		belay__crew_note(parent, "role-ended", text);
	restart_later(member, belay__loop_now_ns(parent->loop));
}

static void on_restart(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__crew_member *member = timer->data;
	struct belay_error error;

	/* It was killed because it could not be provided for, and has not ended yet: its end starts
	 * it again. */
	if (member->pid != 0)
		return;
	member->restarts++;
	if (belay__crew_start(member->parent, member->role, &error) == 0)
		return;
	belay__log(BELAY__LOG_ERROR, "%s", error.text);
	restart_later(member, now_ns);
}

int belay__crew_start(struct belay__parent *parent, enum belay__role role,
	struct belay_error *reterr)
{
	struct belay__crew_member *member = &parent->crew[role];
	bool exports = role == BELAY__ROLE_EXPORTER;
	const char *const argv[] = { exports ? "belay-exporter" : "belay-observe",
		role_arguments[role], parent->cage[0] != '\0' ? parent->cage : NULL, NULL };
	_cleanup_close_ int ours = -EBADF, theirs = -EBADF;
	struct belay__spawn spawn = { .exec_fd = exports ? parent->exporter_fd : parent->self_fd,
		.argv = argv,
		.fd_count = 1 };
	struct belay__spawn_fd fds[1];
	struct belay__child child;
	int ends[2], r;

	assert((unsigned)role < BELAY__ROLE_COUNT);
	r = belay__channel_pair(ends);
	if (r < 0)
		return belay__fail(reterr, r, "cannot start the %s: %s", role_names[role],
			strerror(-r));
	ours = ends[0];
	theirs = ends[1];
	fds[0] = (struct belay__spawn_fd){ .from = theirs, .to = BELAY__ROLE_CHANNEL };
	spawn.fds = fds;
	r = belay__spawn(&spawn, &child, reterr);
	if (r < 0)
		return belay__wrap(reterr, r, "cannot start the %s", role_names[role]);
	member->pid = child.pid;
	member->pidfd = child.pidfd;
	member->channel = TAKE_FD(ours);
	member->started_ns = belay__clock_ns(CLOCK_MONOTONIC);
	r = belay__io_add(parent->loop, &member->exit_io, member->pidfd, EPOLLIN, on_exit_of,
		member);
	if (r == 0)
		r = belay__io_add(parent->loop, &member->channel_io, member->channel, EPOLLIN,
			on_channel, member);
	if (r == 0)
		r = provision(parent, role);
	if (r < 0) {
		/* Its pidfd is watched: it is reaped and tried again like one that died. */
		(void)belay__signal(member->pidfd, SIGKILL);
		return belay__fail(reterr, r, "cannot start the %s: %s", role_names[role],
			strerror(-r));
	}
	if (role != BELAY__ROLE_GATE) {
		char text[64];

		(void)snprintf(text, sizeof(text), "the %s was replaced", role_names[role]);
		if (member->restarts > 0)
			belay__crew_note(parent, "role-restarted", text);
		send_roles(parent, /* deadline_ns= */ 0);
	}
	return 0;
}

void belay__crew_stop(struct belay__parent *parent)
{
	struct belay__msg_nothing nothing = { 0 };

	if (belay__crew_send_now(&parent->crew[BELAY__ROLE_GATE], BELAY__MSG_STOP, &nothing,
		    sizeof(nothing), -EBADF) < 0)
		belay__parent_ended(parent);
}

/* A role ends when its channel does, even one that no signal reaches; nobody is left behind. Those
 * that write files get a moment for it. */
static void close_channels(struct belay__parent *parent)
{
	for (unsigned i = 0; i < BELAY__ROLE_COUNT; i++) {
		struct belay__crew_member *member = &parent->crew[i];

		belay__timer_clear(&member->restart);
		belay__io_remove(&member->channel_io);
		member->channel = belay__close(member->channel);
	}
	for (unsigned i = BELAY__ROLE_RUNNER; i < BELAY__ROLE_COUNT; i++) {
		struct pollfd exit = { .fd = parent->crew[i].pidfd, .events = POLLIN };

		if (exit.fd >= 0)
			(void)poll(&exit, 1, END_PATIENCE_MS);
	}
}

void belay__crew_done(struct belay__parent *parent)
{
	close_channels(parent);
	for (unsigned i = 0; i < BELAY__ROLE_COUNT; i++) {
		struct belay__crew_member *member = &parent->crew[i];
		siginfo_t info;
		int status;

		if (member->pidfd >= 0 && belay__reap(member->pidfd, &status) == 0) {
			(void)belay__signal(member->pidfd, SIGKILL);
			(void)waitid(P_PIDFD, (id_t)member->pidfd, &info, WEXITED);
		}
		clear(member);
	}
}
