/* The prober as a part of roles_fuzz.c: it is asked about any pid, and its gate is replaced at any
 * time. */

#include "observe/cage.h"
#include "roles.h"

#include <assert.h>
#include <string.h>

/* It is no process of its own here. NOLINTBEGIN(bugprone-suspicious-include) */
#define belay__role_begin(name)                  ((void)(name), 0)
#define belay__cage(kind, files, report, reterr) ((void)(files), (void)(reterr), 0)
#include "observe/prober.c"
/* NOLINTEND(bugprone-suspicious-include) */

static struct prober role;
static int gate_end = -EBADF;

static void turn(void)
{
	(void)belay__loop_turn(role.loop, 0);
	world_drain(gate_end);
}

static void open_prober(uint8_t stage)
{
	int ends[2];

	(void)stage;
	memset(&role, 0, sizeof(role));
	role.gate_io.fd = -EBADF;
	role.gate = -EBADF;
	assert(belay__loop_new(&role.loop) == 0);
	world_channel(ends);
	gate_end = ends[0];
	assert(on_new_gate(&role, NULL, ends[1]) == 0);
}

static void close_prober(void)
{
	belay__timer_clear(&role.timer);
	drop_gate(&role);
	role.loop = belay__loop_free(role.loop);
	gate_end = belay__close(gate_end);
}

static void fill_ask(uint32_t type, void *record)
{
	struct belay__msg_ask *ask = record;

	(void)type;
	ask->pid = world_neighbour()->pid;
	ask->start_ticks = world_neighbour()->start_ticks;
}

static void *self(void)
{
	return &role;
}

#define RULES(table) (table), sizeof(table) / sizeof((table)[0])

const struct ear ear_prober_of_parent = { RULES(parent_rules), .believes = true,
	.open = open_prober, .work = turn, .close = close_prober, .self = self };
const struct ear ear_prober_of_gate = { RULES(gate_rules), .open = open_prober, .fill = fill_ask,
	.work = turn, .close = close_prober, .self = self };
