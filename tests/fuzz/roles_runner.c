/* The runner as a part of roles_fuzz.c: what it hears of the parent and of a gate that anybody may
 * have taken over. What it starts and whom it signals is caught in roles_world.c. */

#include "observe/cage.h"
#include "roles.h"

#include <fcntl.h>
#include <sys/mman.h>

/* It is no process of its own here. NOLINTBEGIN(bugprone-suspicious-include) */
#define belay__role_begin(name)                  ((void)(name), 0)
#define belay__cage(kind, files, report, reterr) ((void)(files), (void)(reterr), 0)
#include "observe/runner.c"
/* NOLINTEND(bugprone-suspicious-include) */

enum { STAGE_GONE = 1, STAGE_WITHOUT_STATE = 2, STAGE_WITHOUT_JOURNAL = 4, TURNS_MAX = 16 };

static struct belay__runner runner;
static int gate_end = -EBADF;

static void work(void)
{
	for (unsigned turn = 0; turn < TURNS_MAX; turn++)
		if (belay__loop_turn(runner.loop, 0) <= 0)
			break;
	belay__books_touch(&runner);
	if (gate_end >= 0)
		world_drain(gate_end);
}

static int open_again(int fd)
{
	char path[40];

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert(fd >= 0);
	return fd;
}

/* As an observer of this boot makes it, in an open file of its own each time: that is what it is
 * locked by. */
static int fresh_journal(void)
{
	static uint8_t fresh[BELAY__JOURNAL_BYTES];
	static int file = -EBADF;
	struct belay__journal *journal;
	int made;

	if (file < 0) {
		file = memfd_create("journal", MFD_CLOEXEC);
		made = open_again(file);
		assert(belay__journal_new(made, &journal, NULL) == 0);
		assert(pread(file, fresh, sizeof(fresh), 0) == (ssize_t)sizeof(fresh));
		belay__journal_free(journal);
		belay__close(made);
	}
	assert(pwrite(file, fresh, sizeof(fresh), 0) == (ssize_t)sizeof(fresh));
	return open_again(file);
}

static void open_runner(uint8_t stage)
{
	int ends[2];

	memset(&runner, 0, sizeof(runner));
	runner.gate = runner.state_fd = runner.journal_fd = -EBADF;
	runner.gate_io.fd = runner.parent_io.fd = -EBADF;
	assert(begin(&runner) == 0);
	if (!(stage & STAGE_GONE))
		return;
	runner.incoming = *world_configuration();
	if (!(stage & STAGE_WITHOUT_STATE))
		runner.state_fd = fcntl(world_state(), F_DUPFD_CLOEXEC, 0);
	if (!(stage & STAGE_WITHOUT_JOURNAL))
		runner.journal_fd = fresh_journal();
	world_channel(ends);
	gate_end = ends[0];
	assert(on_new_gate(&runner, NULL, ends[1]) == 0);
	assert(on_go(&runner, &(struct belay__msg_go){ .first_seq = 1 }, -EBADF) == 0);
}

static void open_gone_runner(uint8_t stage)
{
	open_runner(stage | STAGE_GONE);
}

static void close_runner(void)
{
	belay__timer_clear(&runner.journal_retry);
	done(&runner);
	gate_end = belay__close(gate_end);
}

/* The journal and the brakes come before the word to go. */
static bool expects(uint32_t type)
{
	return !runner.gone || (type != BELAY__MSG_JOURNAL && type != BELAY__MSG_BRAKES);
}

static void fill_orders(uint32_t type, void *record)
{
	world_fill_orders(type, record);
	if (type == BELAY__MSG_PAUSE)
		*(struct belay__msg_pause *)record = (struct belay__msg_pause){ .pattern = "neigh*",
			.until_realtime_ns = UINT64_MAX / 4 };
}

static void fill_of_gate(uint32_t type, void *record)
{
	struct belay__msg_alert *alert = record;

	if (type == BELAY__MSG_ACT) {
		world_act(record);
	} else if (type == BELAY__MSG_PLAN) {
		world_act(&((struct belay__msg_plan *)record)->act);
	} else if (type == BELAY__MSG_ALERT) {
		(void)snprintf(alert->name, sizeof(alert->name), "neighbour");
		(void)snprintf(alert->line, sizeof(alert->line),
			"{\"event\":\"stall\",\"name\":\"neighbour\"}");
		alert->len = (uint32_t)strlen(alert->line);
	}
}

static void *self(void)
{
	return &runner;
}

#define RULES(table) (table), sizeof(table) / sizeof((table)[0])

const struct ear ear_runner_of_parent = { RULES(parent_rules), .believes = true,
	.open = open_runner, .expects = expects, .fill = fill_orders, .work = work,
	.close = close_runner, .self = self };
const struct ear ear_runner_of_gate = { RULES(gate_rules), .open = open_gone_runner,
	.fill = fill_of_gate, .work = work, .close = close_runner, .self = self };
