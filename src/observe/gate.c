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
#include "observe/crash_note.h"
#include "observe/gate.h"
#include "observe/reload.h"

#define EXIT_OSERR 71

/* --- what `status` and `doctor` hear of us --- */

static void tell_self(void *data, struct belay__json_writer *json)
{
	struct belay__gate *gate = data;

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
	belay__gate_network_self(gate, json);
	belay__json_object(json, "sandbox");
	belay__json_bool(json, "no_new_privs", gate->cage.no_new_privs);
	belay__json_bool(json, "seccomp", gate->cage.seccomp);
	belay__json_u64(json, "system_calls", gate->cage.calls);
	belay__json_u64(json, "landlock_abi", (uint64_t)gate->cage.landlock_abi);
	belay__json_u64(json, "uid", gate->cage.uid);
	belay__json_end_object(json);
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
	belay__pausing_asked(&((struct belay__gate *)data)->pausing, pattern, until_realtime_ns,
		uid);
}

static int plan(void *data, uint32_t at, bool really, uint64_t request)
{
	return belay__actor_plan(((struct belay__gate *)data)->actor, at, really, request);
}

static int test_alert(void *data, uint64_t request)
{
	return belay__actor_alert_test(((struct belay__gate *)data)->actor, request);
}

/* --- start --- */

static int make_observer(struct belay__gate *gate)
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
static uint32_t take_over(struct belay__gate *gate)
{
	const char *reason = "";
	uint32_t count = 0, going_on;
	struct belay_error error;

	if (gate->state_fd < 0)
		return 0;
	if (belay__state_read(gate->state_fd, &gate->kept, &count, &reason) < 0)
		count = 0;
	count = belay__gate_network_renumber(gate, count);
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
	struct belay__gate *gate = io->data;
	struct signalfd_siginfo info;

	(void)events;
	while (read(io->fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		if (info.ssi_signo == SIGCONT)
			belay__observer_was_stopped(gate->observer);
}

static void on_progress(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__gate *gate = timer->data;

	(void)belay__gate_tell_parent(BELAY__MSG_PROGRESS, NULL, 0);
	belay__timer_set(belay__observer_loop(gate->observer), timer,
		now_ns + gate->go.progress_every_ns, on_progress, gate);
}

static int join_loop(struct belay__gate *gate)
{
	struct belay__loop *loop = belay__observer_loop(gate->observer);
	static const int signals[] = { SIGCONT, 0 };
	int r = belay__gate_follow_orders(gate);

	if (r < 0)
		return r;
	gate->signal_fd = belay__signals_add(loop, &gate->signal_io, signals, on_signal, gate);
	if (gate->signal_fd < 0)
		return gate->signal_fd;
	belay__gate_watch_prober(gate);
	belay__gate_watch_exporter(gate);
	gate->progress.data = gate;
	if (gate->go.progress_every_ns > 0)
		on_progress(&gate->progress, belay__clock_ns(CLOCK_MONOTONIC));
	return 0;
}

static int make_actor(struct belay__gate *gate)
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

static void open_original(struct belay__gate *gate)
{
	const struct belay__tsv_options options = { .bytes_max = gate->options.export_bytes_max,
		.sync_every = (uint32_t)gate->options.export_sync_every };
	struct belay_error error;

	if (belay__original_init_take(&gate->original, belay__observer_loop(gate->observer),
		    gate->export_fd, &options, &error) < 0)
		belay__teller_note(&gate->teller, "no-export-file", error.text);
}

/* Before anything is read that others wrote: what an earlier gate left in the state file, too. */
static int enter_cage(struct belay__gate *gate)
{
	const struct belay__aide prober = { .data = gate, .ask = belay__gate_ask_aide };
	const struct belay__cage_files files = { .removable_dirfd = gate->crashes_fd };
	struct belay_error error;
	int r = belay__cage(BELAY__CAGE_GATE, &files, &gate->cage, &error);

	if (r < 0)
		belay__log(BELAY__LOG_ERROR, "%s", error.text);
	belay__aide_set(&prober);
	return r;
}

static int start(struct belay__gate *gate)
{
	struct belay__msg_ready ready = { 0 };
	struct belay__door_host host = { .data = gate,
		.self = tell_self,
		.publishes = true,
		.paused = on_paused,
		.plan = plan,
		.test_alert = test_alert };
	struct belay__prober prober = { .data = gate, .ask = belay__gate_ask_prober };
	int r = make_observer(gate);

	if (r < 0)
		return r;
	belay__teller_init(&gate->teller, gate->observer, gate->events_fd, gate->go.first_seq);
	gate->events_fd = -EBADF;
	open_original(gate);
	gate->observer->totals = gate->totals;
	gate->observer->crashes_fd = gate->crashes_fd;
	gate->observer->read_crash = belay__crash_note_read;
	belay__blame_by(gate->observer, &gate->options, gate->rules, gate->rule_count);
	belay__observer_set_rules(gate->observer, gate->rules, gate->rule_count);
	belay__observer_set_prober(gate->observer, &prober);
	belay__door_set_host(gate->observer->door, &host);
	r = belay__gate_network_open(gate);
	if (r == 0)
		r = enter_cage(gate);
	if (r < 0)
		return r;
	ready.going_on = take_over(gate);
	belay__pausing_begin(&gate->pausing, gate->observer, &gate->teller);
	r = make_actor(gate);
	if (r < 0)
		return r;
	r = belay__observer_adopt(gate->observer, &gate->beats, gate->hello_fd, gate->queue_frames,
		NULL);
	if (r == 0)
		r = belay__gate_network_listen(gate);
	if (r == 0)
		r = join_loop(gate);
	if (r < 0)
		return r;
	gate->ready = true;
	return belay__gate_tell_parent(BELAY__MSG_READY, &ready, sizeof(ready));
}

/* --- running --- */

static void tell(struct belay__gate *gate, const struct belay_event *event)
{
	belay__original_tell(&gate->original, event);
	belay__teller_tell(&gate->teller, event);
}

/* Those who vanished are told before anything new is heard; then nobody needs the table of before
 * any more, and what is heard is kept in the new one. */
static void tell_vanished(struct belay__gate *gate)
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

BELAY__HOT static void serve(struct belay__gate *gate)
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
		(void)belay__gate_tell_parent(BELAY__MSG_ROTATE_EXPORT, NULL, 0);
	if (belay__teller_wants_rotation(&gate->teller))
		(void)belay__gate_tell_parent(BELAY__MSG_ROTATE, NULL, 0);
}

int belay__gate_main(void)
{
	static struct belay__gate gate = {
		.hello_fd = -EBADF,
		.export_fd = -EBADF,
		.state_fd = -EBADF,
		.events_fd = -EBADF,
		.prober_fd = -EBADF,
		.exporter_fd = -EBADF,
		.runner_fd = -EBADF,
		.udp_fd = -EBADF,
		.crashes_fd = -EBADF,
		.signal_fd = -EBADF,
		.beats = { .fd = -EBADF, .lock_fd = -EBADF },
		.prober_io = { .fd = -EBADF },
		.exporter_io = { .fd = -EBADF },
	};

	if (belay__role_begin("belay-gate") < 0 || belay__gate_receive_orders(&gate) < 0)
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
