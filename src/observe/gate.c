/* The gate: receives, decodes, tracks, tells. It is a thin main over the embeddable observer; what
 * it needs of the outside, the parent opened and sent. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hot.h"
#include "base/log.h"
#include "export/event_file.h"
#include "ipc/channel.h"
#include "observe/core.h"
#include "observe/reload.h"
#include "observe/restore.h"
#include "observe/roles.h"
#include "observe/teller.h"

#define MESSAGES_PER_TURN 64
#define ROLES_MAX         4
#define EXIT_OSERR        71

struct gate {
	/* what the parent sent */
	struct belay__observe_options options;
	struct belay__rule rules[BELAY__RULES_MAX];
	uint32_t rule_count;
	struct belay__bound beats;
	uint32_t queue_frames;
	int hello_fd, state_fd, events_fd, prober_fd;
	struct belay__msg_go go;
	struct belay__msg_role roles[ROLES_MAX];
	unsigned role_count;

	struct belay_observer *observer;
	struct belay__state_file state;
	struct belay__kept *kept;
	struct belay__teller teller;
	struct belay__io parent_io, prober_io, signal_io;
	int signal_fd;
	struct belay__timer progress;
	bool ready, over;
};

/* --- messages from the parent --- */

static int replace_fd(int *fd, int fd_consume)
{
	belay__close(*fd);
	*fd = fd_consume;
	return 0;
}

static int on_options(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)fd_consume;
	gate->options = *(const struct belay__observe_options *)record;
	return 0;
}

static int on_forget_rules(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)record;
	(void)fd_consume;
	gate->rule_count = 0;
	return 0;
}

static int on_rule(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)fd_consume;
	if (gate->rule_count == BELAY__RULES_MAX)
		return -EPROTO;
	gate->rules[gate->rule_count++] = *(const struct belay__rule *)record;
	return 0;
}

static int on_beats(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_beats *beats = record;
	struct gate *gate = data;

	gate->queue_frames = beats->queue_frames;
	gate->beats = (struct belay__bound){
		.fd = fd_consume,
		.lock_fd = -EBADF,
		.rcvbuf_bytes = beats->rcvbuf_bytes,
		.rights_refused = beats->rights_refused,
		.directory_sync_failed = beats->directory_sync_failed,
	};
	/* Path, dev and ino stay the parent's: the gate has nothing to unlink. */
	return 0;
}

static int on_hello(void *data, const void *record, int fd_consume)
{
	(void)record;
	return replace_fd(&((struct gate *)data)->hello_fd, fd_consume);
}

static int on_state(void *data, const void *record, int fd_consume)
{
	(void)record;
	return replace_fd(&((struct gate *)data)->state_fd, fd_consume);
}

static int on_events(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)record;
	if (gate->ready)
		belay__teller_file_take(&gate->teller, fd_consume);
	else
		replace_fd(&gate->events_fd, fd_consume);
	return 0;
}

static void watch_prober(struct gate *gate);

static int on_prober(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)record;
	belay__io_remove(&gate->prober_io);
	replace_fd(&gate->prober_fd, fd_consume);
	if (gate->ready)
		watch_prober(gate);
	return 0;
}

static int on_role(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_role *role = record;
	struct gate *gate = data;
	unsigned i = 0;

	(void)fd_consume;
	while (i < gate->role_count &&
		strncmp(gate->roles[i].name, role->name, sizeof(role->name)) != 0)
		i++;
	if (i == ROLES_MAX)
		return -EPROTO;
	gate->roles[i] = *role;
	gate->roles[i].name[sizeof(role->name) - 1] = '\0';
	if (i == gate->role_count)
		gate->role_count++;
	return 0;
}

static int on_note(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_note *note = record;
	struct gate *gate = data;

	(void)fd_consume;
	belay__teller_note(&gate->teller, note->what, note->text);
	return 0;
}

static int on_go(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)fd_consume;
	gate->go = *(const struct belay__msg_go *)record;
	if (gate->go.reload && gate->observer != NULL)
		belay__reload(gate->observer, &gate->options, gate->rules, gate->rule_count);
	return 0;
}

static int on_stop(void *data, const void *record, int fd_consume)
{
	(void)record;
	(void)fd_consume;
	((struct gate *)data)->over = true;
	return 0;
}

#define NOTHING sizeof(struct belay__msg_nothing)

static const struct belay__message_rule parent_rules[] = {
	{ BELAY__MSG_OPTIONS, sizeof(struct belay__observe_options), BELAY__WITHOUT_FD, on_options },
	{ BELAY__MSG_FORGET_RULES, NOTHING, BELAY__WITHOUT_FD, on_forget_rules },
	{ BELAY__MSG_RULE, sizeof(struct belay__rule), BELAY__WITHOUT_FD, on_rule },
	{ BELAY__MSG_BEATS, sizeof(struct belay__msg_beats), BELAY__WITH_FD, on_beats },
	{ BELAY__MSG_HELLO, NOTHING, BELAY__WITH_FD, on_hello },
	{ BELAY__MSG_STATE, NOTHING, BELAY__WITH_FD, on_state },
	{ BELAY__MSG_EVENTS, NOTHING, BELAY__WITH_FD, on_events },
	{ BELAY__MSG_PROBER, NOTHING, BELAY__WITH_FD, on_prober },
	{ BELAY__MSG_GO, sizeof(struct belay__msg_go), BELAY__WITHOUT_FD, on_go },
	{ BELAY__MSG_ROLE, sizeof(struct belay__msg_role), BELAY__WITHOUT_FD, on_role },
	{ BELAY__MSG_NOTE, sizeof(struct belay__msg_note), BELAY__WITHOUT_FD, on_note },
	{ BELAY__MSG_STOP, NOTHING, BELAY__WITHOUT_FD, on_stop },
};
#define PARENT_RULES (sizeof(parent_rules) / sizeof(parent_rules[0]))

static int tell_parent(uint32_t type, const void *record, uint32_t size)
{
	return belay__channel_send(BELAY__ROLE_CHANNEL, type, record, size, -EBADF);
}

static void on_parent(struct belay__io *io, uint32_t events)
{
	struct gate *gate = io->data;

	(void)events;
	if (belay__channel_receive(BELAY__ROLE_CHANNEL, parent_rules, PARENT_RULES, gate,
		    MESSAGES_PER_TURN) < 0)
		gate->over = true;
}

/* --- the prober --- */

static int ask_prober(void *data, uint32_t pid, uint64_t start_ticks)
{
	struct gate *gate = data;
	struct belay__msg_ask ask = { .pid = pid, .start_ticks = start_ticks };

	if (gate->prober_fd < 0)
		return -ENOTCONN;
	return belay__channel_send(gate->prober_fd, BELAY__MSG_ASK, &ask, sizeof(ask), -EBADF);
}

static int on_answer(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_answer *answer = record;
	struct gate *gate = data;
	struct belay__evidence evidence = answer->evidence;

	(void)fd_consume;
	/* The prober is trusted with looking, not with our memory. */
	evidence.wchan[sizeof(evidence.wchan) - 1] = '\0';
	belay__observer_answer(gate->observer, answer->pid, answer->start_ticks, answer->code,
		&evidence);
	return 0;
}

static const struct belay__message_rule prober_rules[] = {
	{ BELAY__MSG_ANSWER, sizeof(struct belay__msg_answer), BELAY__WITHOUT_FD, on_answer },
};

static void on_prober_ready(struct belay__io *io, uint32_t events)
{
	struct gate *gate = io->data;

	(void)events;
	if (belay__channel_receive(gate->prober_fd, prober_rules, 1, gate, MESSAGES_PER_TURN) >= 0)
		return;
	/* The parent sends the next one's channel; until then stalls are told without evidence. */
	belay__io_remove(io);
	gate->prober_fd = belay__close(gate->prober_fd);
}

static void watch_prober(struct gate *gate)
{
	if (gate->prober_fd >= 0)
		(void)belay__io_add(belay__observer_loop(gate->observer), &gate->prober_io,
			gate->prober_fd, EPOLLIN, on_prober_ready, gate);
}

/* --- what `status` and `doctor` hear of us --- */

static void tell_self(void *data, struct belay__json_writer *json)
{
	struct gate *gate = data;

	belay__json_u64(json, "pid", (uint64_t)getppid());
	belay__json_string(json, "socket", gate->options.socket);
	if (gate->state.mapping != NULL && strcmp(gate->options.state, "none") != 0)
		belay__json_string(json, "state_file", gate->options.state);
	else
		belay__json_null(json, "state_file");
	if (gate->teller.file.fd >= 0)
		belay__json_string(json, "events_file", gate->options.events);
	else
		belay__json_null(json, "events_file");
	belay__json_u64(json, "events_lost", gate->teller.file.lost);
	belay__json_u64(json, "log_dropped", belay__log_dropped());
	belay__json_array(json, "roles");
	for (unsigned i = 0; i < gate->role_count; i++) {
		belay__json_object(json, NULL);
		belay__json_string(json, "name", gate->roles[i].name);
		belay__json_i64(json, "pid", gate->roles[i].pid);
		belay__json_u64(json, "restarts", gate->roles[i].restarts);
		belay__json_end_object(json);
	}
	belay__json_end_array(json);
}

/* --- start --- */

/* Reads messages until the parent says go. */
static int receive_orders(struct gate *gate)
{
	struct pollfd channel = { .fd = BELAY__ROLE_CHANNEL, .events = POLLIN };

	while (gate->go.first_seq == 0 && !gate->over) {
		int r;

		if (poll(&channel, 1, -1) < 0 && errno != EINTR)
			return -errno;
		r = belay__channel_receive(BELAY__ROLE_CHANNEL, parent_rules, PARENT_RULES, gate, 1);
		if (r < 0 && r != -EAGAIN)
			return r;
	}
	return 0;
}

static int make_observer(struct gate *gate)
{
	const struct belay__observe_options *from = &gate->options;
	struct belay_observer_options options = {
		.threshold_ms = from->threshold_ns / BELAY__NS_PER_MS,
		.capacity = (uint32_t)from->capacity,
		.eviction_scan_window = (uint32_t)from->eviction_window,
		.eviction_policy = (enum belay_eviction_policy)from->eviction_policy,
		.max_beat_rate = (uint32_t)from->max_beat_rate,
		.global_beat_rate = (uint32_t)from->global_beat_rate,
		.global_beat_burst = (uint32_t)from->global_beat_burst,
		.within_max_ms = from->within_max_ns / BELAY__NS_PER_MS,
		.allow_cross_namespace = from->allow_cross_namespace,
		.boottime = from->clock_source == BELAY__CLOCK_BOOTTIME,
		.quiet_beats = true,
	};

	return belay_observer_new(&options, &gate->observer, NULL);
}

/* Builds the table in the state file, beside the one that an earlier gate left, and takes its
 * processes over. */
static uint32_t take_over(struct gate *gate)
{
	const char *reason = "";
	uint32_t count = 0, going_on;
	struct belay_error error;

	if (gate->state_fd < 0)
		return 0;
	if (belay__state_read(gate->state_fd, &gate->kept, &count, &reason) < 0)
		count = 0;
	if (reason[0] != '\0')
		belay__teller_note(&gate->teller, "state-refused", reason);
	if (belay__state_map_take(gate->state_fd, (uint32_t)gate->options.capacity, &gate->state,
		    &error) < 0) {
		belay__teller_note(&gate->teller, "no-state", error.text);
		gate->state_fd = belay__close(gate->state_fd);
		return 0;
	}
	gate->state_fd = -EBADF;
	belay__observer_set_table(gate->observer, belay__state_slots(&gate->state),
		belay__state_records(&gate->state));
	going_on = belay__restore(gate->observer, gate->kept, count);
	return going_on;
}

static void on_signal(struct belay__io *io, uint32_t events)
{
	struct gate *gate = io->data;
	struct signalfd_siginfo info;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGCONT)
			belay__observer_was_stopped(gate->observer);
}

static void on_progress(struct belay__timer *timer, uint64_t now_ns)
{
	struct gate *gate = timer->data;

	(void)tell_parent(BELAY__MSG_PROGRESS, &(struct belay__msg_nothing){ 0 }, NOTHING);
	belay__timer_set(belay__observer_loop(gate->observer), timer,
		now_ns + gate->go.progress_every_ns, on_progress, gate);
}

static int join_loop(struct gate *gate)
{
	struct belay__loop *loop = belay__observer_loop(gate->observer);
	static const int signals[] = { SIGCONT, 0 };
	int r = belay__io_add(loop, &gate->parent_io, BELAY__ROLE_CHANNEL, EPOLLIN, on_parent, gate);

	if (r < 0)
		return r;
	gate->signal_fd = belay__signals_add(loop, &gate->signal_io, signals, on_signal, gate);
	if (gate->signal_fd < 0)
		return gate->signal_fd;
	watch_prober(gate);
	gate->progress.data = gate;
	if (gate->go.progress_every_ns > 0)
		on_progress(&gate->progress, belay__clock_ns(CLOCK_MONOTONIC));
	return 0;
}

static int start(struct gate *gate)
{
	struct belay__msg_ready ready = { 0 };
	struct belay__door_host host = { .data = gate, .self = tell_self, .publishes = true };
	struct belay__prober prober = { .data = gate, .ask = ask_prober };
	int r = make_observer(gate);

	if (r < 0)
		return r;
	belay__teller_init(&gate->teller, gate->observer, gate->events_fd, gate->go.first_seq);
	gate->events_fd = -EBADF;
	belay__observer_set_rules(gate->observer, gate->rules, gate->rule_count);
	belay__observer_set_prober(gate->observer, &prober);
	belay__door_set_host(gate->observer->door, &host);
	ready.going_on = take_over(gate);
	r = belay__observer_adopt(gate->observer, &gate->beats, gate->hello_fd, gate->queue_frames,
		NULL);
	if (r == 0)
		r = join_loop(gate);
	if (r < 0)
		return r;
	gate->ready = true;
	return tell_parent(BELAY__MSG_READY, &ready, sizeof(ready));
}

/* --- running --- */

/* Those who vanished are told before anything new is heard; then nobody needs the table of before
 * any more, and what is heard is kept in the new one. */
static void tell_vanished(struct gate *gate)
{
	while (belay__vanished_next(gate->observer))
		belay__teller_tell(&gate->teller, &gate->observer->event);
	if (gate->state.mapping != NULL)
		belay__state_commit(&gate->state);
}

BELAY__HOT static void serve(struct gate *gate)
{
	const struct belay_event *event;

	belay__observer_wait(gate->observer);
	while ((event = belay_observer_next(gate->observer)) != NULL) {
		belay__teller_tell(&gate->teller, event);
		if (event->kind == BELAY_EVENT_NAMESPACE_CONFLICT &&
			gate->options.strict_namespace && !gate->options.allow_cross_namespace)
			_exit(BELAY__EXIT_STRICT_NAMESPACE);
	}
	if (belay__teller_wants_rotation(&gate->teller))
		(void)tell_parent(BELAY__MSG_ROTATE, &(struct belay__msg_nothing){ 0 }, NOTHING);
}

int belay__gate_main(void)
{
	static struct gate gate = {
		.hello_fd = -EBADF,
		.state_fd = -EBADF,
		.events_fd = -EBADF,
		.prober_fd = -EBADF,
		.signal_fd = -EBADF,
		.beats = { .fd = -EBADF, .lock_fd = -EBADF },
		.prober_io = { .fd = -EBADF },
	};

	if (belay__role_begin("belay-gate") < 0 || receive_orders(&gate) < 0)
		return EXIT_OSERR;
	belay__log_init("belay", (enum belay__log_format)gate.options.log_format);
	if (gate.over)
		return 0;
	if (start(&gate) < 0)
		return EXIT_OSERR;
	tell_vanished(&gate);
	while (!gate.over)
		serve(&gate);
	return 0;
}
