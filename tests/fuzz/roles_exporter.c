/* The exporter as a part of roles_fuzz.c: what it hears of the parent, and the numbers of a gate that
 * anybody may have taken over, told in both forms. */

#include "observe/cage.h"
#include "roles.h"

#include <assert.h>
#include <fcntl.h>

/* It is no process of its own here. NOLINTBEGIN(bugprone-suspicious-include) */
#define belay__role_begin(name)                  ((void)(name), 0)
#define belay__cage(kind, files, report, reterr) ((void)(files), (void)(reterr), 0)
#include "observe/exporter.c"
/* NOLINTEND(bugprone-suspicious-include) */

enum { STAGE_GONE = 1, STAGE_WITHOUT_STATE = 2, STAGE_VARTA = 4, TURNS_MAX = 8 };

static struct exporter role;

static void turn(void)
{
	for (unsigned i = 0; i < TURNS_MAX; i++)
		if (belay__loop_turn(role.loop, 0) <= 0)
			break;
}

static void tell_numbers(void)
{
	assert(write_numbers(&role, BELAY__METRICS_TEXT, &role.texts[0][0]) == 0);
	assert(write_numbers(&role, BELAY__METRICS_OPENMETRICS, &role.texts[1][0]) == 0);
}

static void open_exporter(uint8_t stage)
{
	memset(&role, 0, sizeof(role));
	role.state_fd = role.unix_fd = role.tcp_fd = role.gate = -EBADF;
	role.gate_io.fd = -EBADF;
	role.parent_io.fd = -EBADF;
	assert(belay__loop_new(&role.loop) == 0);
	make_pages(&role);
	if (!(stage & STAGE_GONE))
		return;
	role.options = world_configuration()->options;
	role.options.metric_prefix = stage & STAGE_VARTA ? BELAY__PREFIX_VARTA : BELAY__PREFIX_BELAY;
	role.rules[0] = world_configuration()->rules[0];
	role.rule_count = 1;
	if (!(stage & STAGE_WITHOUT_STATE))
		role.state_fd = fcntl(world_state(), F_DUPFD_CLOEXEC, 0);
	assert(on_totals(&role, NULL, fcntl(world_thing(1), F_DUPFD_CLOEXEC, 0)) == 0);
	assert(on_go(&role, NULL, -EBADF) == 0);
}

static void open_gone_exporter(uint8_t stage)
{
	open_exporter(stage | STAGE_GONE);
}

static void close_exporter(void)
{
	end(&role);
	role.state_fd = belay__close(role.state_fd);
	role.unix_fd = belay__close(role.unix_fd);
	role.tcp_fd = belay__close(role.tcp_fd);
}

static void *self(void)
{
	return &role;
}

#define RULES(table) (table), sizeof(table) / sizeof((table)[0])

const struct ear ear_exporter_of_parent = { RULES(parent_rules), .believes = true,
	.open = open_exporter, .fill = world_fill_orders, .work = turn, .close = close_exporter,
	.self = self };
const struct ear ear_exporter_of_gate = { RULES(gate_rules), .open = open_gone_exporter,
	.work = tell_numbers, .close = close_exporter, .self = self };
