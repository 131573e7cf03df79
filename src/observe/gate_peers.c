/* The gate's channels to prober and exporter. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/channel.h"
#include "observe/gate.h"

#define COUNTS_PER_TURN 4
#define FACTS_WITHIN_NS (100 * BELAY__NS_PER_MS)
/* A prober that owes an answer and says nothing is asked for a sign, and then replaced. */
#define KNOCK_AFTER_S 2
#define STUCK_AFTER_S 5

/* --- the prober --- */

static void hear_prober(struct belay__gate *gate);

/* Asks it for nothing, by which it shows that it lives. What was sent to us while we did not read is lost,
 * and no sign of the contrary. */
static void knock(struct belay__gate *gate)
{
	const struct belay__msg_who who = { .number = gate->asked + 1 };

	if (gate->told == gate->asked && gate->prober_fd >= 0 &&
		belay__channel_send(gate->prober_fd, BELAY__MSG_WHO, &who, sizeof(who), -EBADF) == 0)
		gate->asked = who.number;
}

/* Seconds are counted, not measured: while we are stopped ourselves, nobody is late. */
static void on_owed(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__gate *gate = timer->data;

	if (gate->prober_fd >= 0)
		hear_prober(gate);
	if (gate->owes == 0 || gate->prober_fd < 0)
		return;
	gate->quiet_s++;
	if (gate->quiet_s == KNOCK_AFTER_S)
		knock(gate);
	if (gate->quiet_s >= STUCK_AFTER_S) {
		(void)belay__gate_tell_parent(BELAY__MSG_STUCK, NULL, 0);
		gate->quiet_s = 0;
	}
	belay__timer_set(belay__observer_loop(gate->observer), timer, now_ns + BELAY__NS_PER_S,
		on_owed, gate);
}

/* One answer more is owed to us. */
static void wait_for_answer(struct belay__gate *gate)
{
	if (gate->owes++ > 0 || gate->owed.next != NULL)
		return;
	gate->quiet_s = 0;
	gate->owed.data = gate;
	belay__timer_set(belay__observer_loop(gate->observer), &gate->owed,
		belay__clock_ns(CLOCK_MONOTONIC) + BELAY__NS_PER_S, on_owed, gate);
}

int belay__gate_ask_prober(void *data, uint32_t pid, uint64_t start_ticks)
{
	struct belay__gate *gate = data;
	struct belay__msg_ask ask = { .pid = pid, .start_ticks = start_ticks };
	int r;

	if (gate->prober_fd < 0)
		return -ENOTCONN;
	r = belay__channel_send(gate->prober_fd, BELAY__MSG_ASK, &ask, sizeof(ask), -EBADF);
	if (r == 0 || r == -EAGAIN)
		wait_for_answer(gate);
	return r;
}

static int on_answer(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_answer *answer = record;
	struct belay__gate *gate = data;
	struct belay__evidence evidence = answer->evidence;

	(void)fd_consume;
	gate->owes -= gate->owes > 0;
	gate->quiet_s = 0;
	/* The prober is trusted with looking, not with our memory. */
	evidence.wchan[sizeof(evidence.wchan) - 1] = '\0';
	belay__observer_answer(gate->observer, answer->pid, answer->start_ticks, answer->code,
		&evidence);
	return 0;
}

static int on_facts(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_facts *facts = record;
	struct belay__gate *gate = data;

	(void)fd_consume;
	/* It answers us first: what else it owes has been lost, or takes no longer than it has to. */
	gate->owes = 0;
	gate->quiet_s = 0;
	gate->told = facts->number;
	gate->facts = facts->facts;
	return 0;
}

static const struct belay__message_rule prober_rules[] = {
	{ BELAY__MSG_FACTS, sizeof(struct belay__msg_facts), BELAY__WITHOUT_FD, on_facts },
	{ BELAY__MSG_ANSWER, sizeof(struct belay__msg_answer), BELAY__WITHOUT_FD, on_answer },
};

static void hear_prober(struct belay__gate *gate)
{
	int r = belay__channel_receive(gate->prober_fd, prober_rules,
		sizeof(prober_rules) / sizeof(prober_rules[0]), gate, BELAY__GATE_MESSAGES_PER_TURN);

	if (r >= 0 || r == -EAGAIN)
		return;
	/* The parent sends the next one's channel; until then stalls are told without evidence. */
	belay__io_remove(&gate->prober_io);
	gate->prober_fd = belay__close(gate->prober_fd);
}

static void on_prober_ready(struct belay__io *io, uint32_t events)
{
	(void)events;
	hear_prober(io->data);
}

int belay__gate_ask_aide(void *data, pid_t pid, uint64_t start_ticks, uint32_t want,
	struct belay__aide_facts *ret_facts)
{
	struct belay__gate *gate = data;
	const struct belay__msg_who who = { .number = gate->asked + 1,
		.pid = (uint32_t)pid,
		.want = want,
		.start_ticks = start_ticks };
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC), until_ns = now_ns + FACTS_WITHIN_NS;

	/* A process that is stuck in the kernel can hold up who looks at its environment. */
	if (gate->prober_fd >= 0 && gate->told != gate->asked)
		hear_prober(gate);
	if (gate->prober_fd < 0 || gate->told != gate->asked)
		return -EAGAIN;
	if (belay__channel_send(gate->prober_fd, BELAY__MSG_WHO, &who, sizeof(who), -EBADF) < 0)
		return -ENOTCONN;
	gate->asked = who.number;
	wait_for_answer(gate);
	while (gate->prober_fd >= 0 && gate->told != who.number && now_ns < until_ns) {
		struct pollfd answer = { .fd = gate->prober_fd, .events = POLLIN };
		int left_ms = (int)((until_ns - now_ns) / BELAY__NS_PER_MS) + 1;

		if (poll(&answer, 1, left_ms) > 0)
			hear_prober(gate);
		now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	}
	if (gate->told != who.number)
		return -ETIMEDOUT;
	*ret_facts = gate->facts;
	return 0;
}

void belay__gate_watch_prober(struct belay__gate *gate)
{
	if (gate->prober_fd >= 0)
		(void)belay__io_add(belay__observer_loop(gate->observer), &gate->prober_io,
			gate->prober_fd, EPOLLIN, on_prober_ready, gate);
}

/* --- the exporter --- */

/* What is known about actions. */
static void fill_acting(const struct belay__gate *gate, struct belay__msg_counts *counts)
{
	const uint64_t *outcomes = belay__actor_outcomes(gate->actor);

	_Static_assert(BELAY__ACTED_COUNT <= sizeof(counts->outcomes) / sizeof(counts->outcomes[0]),
		"one message holds them all");
	memcpy(counts->outcomes, outcomes, BELAY__ACTED_COUNT * sizeof(outcomes[0]));
	counts->runner = *belay__actor_runner_counts(gate->actor);
	counts->mass_stalls = gate->observer->crowds.mass_stalls;
	counts->paused = belay__paused_count(gate->observer);
}

static void fill_counters(struct belay__gate *gate, struct belay__msg_counts *counts)
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
	struct belay__gate *gate = data;
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
	{ BELAY__MSG_COUNT, sizeof(struct belay__msg_nothing), BELAY__WITHOUT_FD, on_count },
};

static void on_exporter_ready(struct belay__io *io, uint32_t events)
{
	struct belay__gate *gate = io->data;

	(void)events;
	if (belay__channel_receive(gate->exporter_fd, exporter_rules, 1, gate, COUNTS_PER_TURN) >= 0)
		return;
	/* The parent sends the next one's channel. */
	belay__io_remove(io);
	gate->exporter_fd = belay__close(gate->exporter_fd);
}

void belay__gate_watch_exporter(struct belay__gate *gate)
{
	if (gate->exporter_fd >= 0)
		(void)belay__io_add(belay__observer_loop(gate->observer), &gate->exporter_io,
			gate->exporter_fd, EPOLLIN, on_exporter_ready, gate);
}
