/* The gate as a part of roles_fuzz.c: what it hears of the parent, before and after the word to go,
 * and of prober, exporter and runner. */

#include "roles.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* The tables by which it hears. NOLINTBEGIN(bugprone-suspicious-include) */
#include "observe/actor_runner.c"
#include "observe/gate_orders.c"
#include "observe/gate_peers.c"
/* NOLINTEND(bugprone-suspicious-include) */

enum { STAGE_READY = 1, STAGE_STALLED = 2, TURNS_MAX = 64 };

#define LATER_NS (10 * BELAY__NS_PER_S)

static struct belay__gate gate;
static uint64_t clock_ns;
static bool had_beats;
static int exporter_end;

static uint64_t read_clock(void *data)
{
	(void)data;
	return clock_ns + world_passed_ns;
}

/* The prober is the input. */
static int ask_nobody(void *data, uint32_t pid, uint64_t start_ticks)
{
	(void)data;
	(void)pid;
	(void)start_ticks;
	return 0;
}

static void work(void)
{
	const struct belay_event *event;

	if (!gate.ready)
		return;
	for (unsigned turn = 0; turn < TURNS_MAX; turn++) {
		event = belay_observer_next(gate.observer);
		if (event == NULL)
			break;
		belay__teller_tell(&gate.teller, event);
		belay__actor_heard(gate.actor, event);
	}
	belay__table_check(&gate.observer->table);
}

/* The neighbour is known; STAGE_STALLED: it has been silent for long. */
static void know_neighbour(uint8_t stage)
{
	const struct neighbour *neighbour = world_neighbour();
	struct belay__table *table = &gate.observer->table;
	uint32_t at = belay__table_insert(table, neighbour->pid);
	struct belay__record *record;

	assert(at != BELAY__NO_SLOT);
	record = &table->records[table->slots[at].record];
	(void)snprintf(record->name, sizeof(record->name), "neighbour");
	record->uid = neighbour->uid;
	record->rule = 1;
	table->slots[at].last_ns = clock_ns;
	belay__deadlines_heard(&table->deadlines, at, gate.observer->default_list, clock_ns);
	if (stage & STAGE_STALLED)
		clock_ns += LATER_NS;
	work();
}

/* What gate.c does between the parent's word and its own that it is ready. */
static void make_ready(uint8_t stage)
{
	const struct belay_observer_options options = { .capacity = WORLD_CAPACITY,
		.clock = read_clock,
		.quiet_beats = true };
	const struct belay__prober prober = { .data = &gate, .ask = ask_nobody };
	struct belay__actor_needs needs = {
		.teller = &gate.teller,
		.options = &gate.options,
		.rules = gate.rules,
		.rule_count = &gate.rule_count,
	};

	gate.options = gate.incoming.options;
	gate.rule_count = gate.incoming.rule_count;
	gate.rules[0] = gate.incoming.rules[0];
	assert(belay_observer_new(&options, &gate.observer, NULL) == 0);
	gate.observer->crashes_fd = gate.crashes_fd;
	belay__teller_init(&gate.teller, gate.observer, fcntl(world_thing(5), F_DUPFD_CLOEXEC, 0),
		1);
	belay__blame_by(gate.observer, &gate.options, gate.rules, gate.rule_count);
	belay__observer_set_rules(gate.observer, gate.rules, gate.rule_count);
	belay__observer_set_prober(gate.observer, &prober);
	belay__pausing_begin(&gate.pausing, gate.observer, &gate.teller);
	needs.observer = gate.observer;
	assert(belay__actor_new(&needs, &gate.actor) == 0);
	gate.ready = true;
	know_neighbour(stage);
}

static void open_gate(uint8_t stage)
{
	memset(&gate, 0, sizeof(gate));
	gate.hello_fd = gate.state_fd = gate.events_fd = gate.prober_fd = gate.exporter_fd = -EBADF;
	gate.runner_fd = gate.export_fd = gate.signal_fd = gate.beats.fd = -EBADF;
	gate.udp_fd = gate.crashes_fd = -EBADF;
	gate.prober_io.fd = gate.exporter_io.fd = gate.parent_io.fd = -EBADF;
	gate.incoming = *world_configuration();
	clock_ns = BELAY__NS_PER_S;
	had_beats = false;
	if (stage & STAGE_READY)
		make_ready(stage);
}

static void open_ready_gate(uint8_t stage)
{
	int ends[2];

	open_gate(stage | STAGE_READY);
	world_channel(ends);
	gate.exporter_fd = ends[1];
	exporter_end = ends[0];
}

static void close_gate(void)
{
	int *const fds[] = { &gate.hello_fd, &gate.state_fd, &gate.events_fd, &gate.prober_fd,
		&gate.exporter_fd, &gate.runner_fd, &gate.export_fd, &gate.udp_fd, &gate.crashes_fd,
		&gate.beats.fd };

	belay__io_remove(&gate.prober_io);
	belay__io_remove(&gate.exporter_io);
	belay__timer_clear(&gate.pausing.timer);
	belay__original_done(&gate.original);
	gate.actor = belay__actor_free(gate.actor);
	if (gate.ready)
		belay__event_file_done(&gate.teller.file);
	gate.observer = belay_observer_free(gate.observer);
	belay__totals_close(gate.totals);
	belay__gate_forget_keys(&gate);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		*fds[i] = belay__close(*fds[i]);
	if (exporter_end > 0)
		exporter_end = belay__close(exporter_end);
}

/* Sockets and the state file come once, before the word to go, and notes behind it. */
static bool expects(uint32_t type)
{
	bool first = !had_beats;

	if (type == BELAY__MSG_BEATS) {
		had_beats = true;
		return !gate.ready && first;
	}
	if (type == BELAY__MSG_HELLO || type == BELAY__MSG_STATE)
		return !gate.ready;
	return type != BELAY__MSG_NOTE || gate.ready;
}

static void fill_orders(uint32_t type, void *record)
{
	world_fill_orders(type, record);
	if (type == BELAY__MSG_GO)
		((struct belay__msg_go *)record)->reload = gate.ready;
	else if (type == BELAY__MSG_PAUSE)
		*(struct belay__msg_pause *)record = (struct belay__msg_pause){ .pattern = "neigh*",
			.until_realtime_ns = UINT64_MAX / 4 };
}

static void fill_answer(uint32_t type, void *record)
{
	(void)type;
	((struct belay__msg_answer *)record)->pid = world_neighbour()->pid;
}

static void fill_of_runner(uint32_t type, void *record)
{
	struct belay__msg_acted *acted = record;

	if (type != BELAY__MSG_ACTED)
		return;
	acted->pid = world_neighbour()->pid;
	acted->rule = 1;
	(void)snprintf(acted->name, sizeof(acted->name), "neighbour");
	(void)snprintf(acted->verdict, sizeof(acted->verdict), "silent");
}

static void *self(void)
{
	return &gate;
}

static void *self_actor(void)
{
	return gate.actor;
}

#define RULES(table) (table), sizeof(table) / sizeof((table)[0])

const struct ear ear_gate_of_parent = { RULES(parent_rules), .believes = true, .open = open_gate,
	.expects = expects, .fill = fill_orders, .work = work, .close = close_gate, .self = self };
const struct ear ear_gate_of_prober = { RULES(prober_rules), .open = open_ready_gate,
	.fill = fill_answer, .work = work, .close = close_gate, .self = self };
const struct ear ear_gate_of_exporter = { RULES(exporter_rules), .open = open_ready_gate,
	.work = work, .close = close_gate, .self = self };
const struct ear ear_gate_of_runner = { RULES(runner_rules), .open = open_ready_gate,
	.fill = fill_of_runner, .work = work, .close = close_gate, .self = self_actor };
