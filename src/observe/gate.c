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
#include "observe/actor.h"
#include "observe/core.h"
#include "observe/original.h"
#include "observe/pausing.h"
#include "observe/reload.h"
#include "observe/restore.h"
#include "observe/roles.h"
#include "observe/teller.h"

#define MESSAGES_PER_TURN 64
#define ROLES_MAX         4
#define COUNTS_PER_TURN   4
#define EXIT_OSERR        71

struct gate {
	/* what the parent sent */
	struct belay__observe_options options;
	struct belay__rule rules[BELAY__RULES_MAX];
	uint32_t rule_count;
	struct belay__bound beats;
	uint32_t queue_frames;
	int hello_fd, state_fd, events_fd, prober_fd, exporter_fd;
	int runner_fd; /* until the actor takes it */
	int export_fd; /* until it is written to */
	struct belay__totals *totals;
	struct belay__msg_go go;
	struct belay__msg_role roles[ROLES_MAX];
	unsigned role_count;

	struct belay_observer *observer;
	struct belay__state_file state;
	struct belay__kept *kept;
	struct belay__teller teller;
	struct belay__original original;
	struct belay__actor *actor;
	struct belay__pausing pausing;
	struct belay__io parent_io, prober_io, exporter_io, signal_io;
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

static int on_export_file(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)record;
	if (!gate->ready)
		return replace_fd(&gate->export_fd, fd_consume);
	belay__original_switch_take(&gate->original, fd_consume);
	return 0;
}

/* Without them what processes had counted goes with them. */
static int on_totals(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)record;
	if (gate->totals == NULL && !gate->ready)
		(void)belay__totals_open(fd_consume, &gate->totals);
	belay__close(fd_consume);
	return 0;
}

static int on_runner(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)record;
	if (!gate->ready)
		return replace_fd(&gate->runner_fd, fd_consume);
	belay__actor_runner_take(gate->actor, fd_consume);
	return 0;
}

static int on_pause(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)fd_consume;
	return belay__pausing_goes_on(&gate->pausing, record);
}

static void watch_exporter(struct gate *gate);

static int on_exporter(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;

	(void)record;
	belay__io_remove(&gate->exporter_io);
	replace_fd(&gate->exporter_fd, fd_consume);
	if (gate->ready)
		watch_exporter(gate);
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
	if (gate->go.reload && gate->actor != NULL) {
		belay__reload(gate->observer, &gate->options, gate->rules, gate->rule_count);
		belay__actor_configured(gate->actor);
	}
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
	{ BELAY__MSG_EXPORT_FILE, NOTHING, BELAY__WITH_FD, on_export_file },
	{ BELAY__MSG_PROBER, NOTHING, BELAY__WITH_FD, on_prober },
	{ BELAY__MSG_EXPORTER, NOTHING, BELAY__WITH_FD, on_exporter },
	{ BELAY__MSG_TOTALS, NOTHING, BELAY__WITH_FD, on_totals },
	{ BELAY__MSG_RUNNER, NOTHING, BELAY__WITH_FD, on_runner },
	{ BELAY__MSG_PAUSE, sizeof(struct belay__msg_pause), BELAY__WITHOUT_FD, on_pause },
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

/* --- the exporter --- */

/* What is known about actions. */
static void fill_acting(const struct gate *gate, struct belay__msg_counts *counts)
{
	const uint64_t *outcomes = belay__actor_outcomes(gate->actor);

	_Static_assert(BELAY__ACTED_COUNT <= sizeof(counts->outcomes) / sizeof(counts->outcomes[0]),
		"one message holds them all");
	memcpy(counts->outcomes, outcomes, BELAY__ACTED_COUNT * sizeof(outcomes[0]));
	counts->runner = *belay__actor_runner_counts(gate->actor);
	counts->mass_stalls = gate->observer->crowds.mass_stalls;
	counts->paused = belay__paused_count(gate->observer);
}

static void fill_counters(struct gate *gate, struct belay__msg_counts *counts)
{
	struct belay_counter counters[BELAY__COUNTER_COUNT];

	_Static_assert(BELAY__COUNTER_COUNT <= BELAY__COUNTS_MAX, "one message holds them all");
	counts->count = (uint32_t)belay_observer_counters(gate->observer, counters,
		BELAY__COUNTER_COUNT);
	for (uint32_t i = 0; i < counts->count; i++)
		counts->counters[i] = counters[i].value;
}

static int on_count(void *data, const void *record, int fd_consume)
{
	struct gate *gate = data;
	struct belay__msg_counts counts = { .default_threshold_ns = 0 };

	(void)record;
	(void)fd_consume;
	counts.observer_ns = belay__watch_clock_now(&gate->observer->clock);
	counts.realtime_ns = belay__clock_ns(CLOCK_REALTIME);
	counts.default_threshold_ns =
		gate->observer->table.deadlines.length_ns[gate->observer->default_list];
	counts.events_written = gate->teller.file.written;
	counts.events_lost = gate->teller.file.lost;
	fill_counters(gate, &counts);
	fill_acting(gate, &counts);
	/* An exporter that does not read asks again. */
	(void)belay__channel_send(gate->exporter_fd, BELAY__MSG_COUNTS, &counts, sizeof(counts),
		-EBADF);
	return 0;
}

static const struct belay__message_rule exporter_rules[] = {
	{ BELAY__MSG_COUNT, NOTHING, BELAY__WITHOUT_FD, on_count },
};

static void on_exporter_ready(struct belay__io *io, uint32_t events)
{
	struct gate *gate = io->data;

	(void)events;
	if (belay__channel_receive(gate->exporter_fd, exporter_rules, 1, gate, COUNTS_PER_TURN) >= 0)
		return;
	/* The parent sends the next one's channel. */
	belay__io_remove(io);
	gate->exporter_fd = belay__close(gate->exporter_fd);
}

static void watch_exporter(struct gate *gate)
{
	if (gate->exporter_fd >= 0)
		(void)belay__io_add(belay__observer_loop(gate->observer), &gate->exporter_io,
			gate->exporter_fd, EPOLLIN, on_exporter_ready, gate);
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

/* --- what people want at the door --- */

static void on_paused(void *data, const char *pattern, uint64_t until_realtime_ns, uint32_t uid)
{
	belay__pausing_asked(&((struct gate *)data)->pausing, pattern, until_realtime_ns, uid);
}

static int plan(void *data, uint32_t at, bool really, uint64_t request)
{
	return belay__actor_plan(((struct gate *)data)->actor, at, really, request);
}

static int test_alert(void *data, uint64_t request)
{
	return belay__actor_alert_test(((struct gate *)data)->actor, request);
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
		.quiet_beats = gate->export_fd < 0,
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
	watch_exporter(gate);
	gate->progress.data = gate;
	if (gate->go.progress_every_ns > 0)
		on_progress(&gate->progress, belay__clock_ns(CLOCK_MONOTONIC));
	return 0;
}

static int make_actor(struct gate *gate)
{
	struct belay__actor_needs needs = {
		.observer = gate->observer,
		.teller = &gate->teller,
		.options = &gate->options,
		.rules = gate->rules,
		.rule_count = &gate->rule_count,
	};
	int r = belay__actor_new(&needs, &gate->actor);

	if (r == 0 && gate->runner_fd >= 0)
		belay__actor_runner_take(gate->actor, TAKE_FD(gate->runner_fd));
	return r;
}

static void open_original(struct gate *gate)
{
	const struct belay__tsv_options options = { .bytes_max = gate->options.export_bytes_max,
		.sync_every = (uint32_t)gate->options.export_sync_every };
	struct belay_error error;

	if (belay__original_init_take(&gate->original, belay__observer_loop(gate->observer),
		    gate->export_fd, &options, &error) < 0)
		belay__teller_note(&gate->teller, "no-export-file", error.text);
}

static int start(struct gate *gate)
{
	struct belay__msg_ready ready = { 0 };
	struct belay__door_host host = { .data = gate,
		.self = tell_self,
		.publishes = true,
		.paused = on_paused,
		.plan = plan,
		.test_alert = test_alert };
	struct belay__prober prober = { .data = gate, .ask = ask_prober };
	int r = make_observer(gate);

	if (r < 0)
		return r;
	belay__teller_init(&gate->teller, gate->observer, gate->events_fd, gate->go.first_seq);
	gate->events_fd = -EBADF;
	open_original(gate);
	gate->observer->totals = gate->totals;
	belay__observer_set_rules(gate->observer, gate->rules, gate->rule_count);
	belay__observer_set_prober(gate->observer, &prober);
	belay__door_set_host(gate->observer->door, &host);
	ready.going_on = take_over(gate);
	belay__pausing_begin(&gate->pausing, gate->observer, &gate->teller);
	r = make_actor(gate);
	if (r < 0)
		return r;
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

static void tell(struct gate *gate, const struct belay_event *event)
{
	belay__original_tell(&gate->original, event);
	belay__teller_tell(&gate->teller, event);
}

/* Those who vanished are told before anything new is heard; then nobody needs the table of before
 * any more, and what is heard is kept in the new one. */
static void tell_vanished(struct gate *gate)
{
	while (belay__vanished_next(gate->observer)) {
		tell(gate, &gate->observer->event);
		belay__actor_heard(gate->actor, &gate->observer->event);
	}
	if (gate->state.mapping != NULL)
		belay__state_commit(&gate->state);
	/* Held since they were opened: until now the same process could be in both. */
	belay__totals_release(gate->totals);
}

BELAY__HOT static void serve(struct gate *gate)
{
	const struct belay_event *event;

	belay__observer_wait(gate->observer);
	while ((event = belay_observer_next(gate->observer)) != NULL) {
		tell(gate, event);
		belay__actor_heard(gate->actor, event);
		if (event->kind == BELAY_EVENT_NAMESPACE_CONFLICT &&
			gate->options.strict_namespace && !gate->options.allow_cross_namespace) {
			belay__original_done(&gate->original);
			_exit(BELAY__EXIT_STRICT_NAMESPACE);
		}
	}
	if (belay__original_wants_rotation(&gate->original))
		(void)tell_parent(BELAY__MSG_ROTATE_EXPORT, &(struct belay__msg_nothing){ 0 },
			NOTHING);
	if (belay__teller_wants_rotation(&gate->teller))
		(void)tell_parent(BELAY__MSG_ROTATE, &(struct belay__msg_nothing){ 0 }, NOTHING);
}

int belay__gate_main(void)
{
	static struct gate gate = {
		.hello_fd = -EBADF,
		.export_fd = -EBADF,
		.state_fd = -EBADF,
		.events_fd = -EBADF,
		.prober_fd = -EBADF,
		.exporter_fd = -EBADF,
		.runner_fd = -EBADF,
		.signal_fd = -EBADF,
		.beats = { .fd = -EBADF, .lock_fd = -EBADF },
		.prober_io = { .fd = -EBADF },
		.exporter_io = { .fd = -EBADF },
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
	belay__original_done(&gate.original);
	return 0;
}
