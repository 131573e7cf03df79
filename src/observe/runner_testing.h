/* runner_testing.h - for the runner's tests: a real runner, with this process as what its parent
 * says and its gate
 *
 * Its parent is a child of ours, so that the workers are not what is never acted on: its siblings.
 *
 * The state file, the journal and all commands are real and lie in one directory on a memory file
 * system. Failures end the test that runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "observe/acting.h"
#include "observe/config.h"
#include "observe/roles.h"
#include "observe/slot.h"

#define TEST_NAME      "w;touch x $(id)"
#define TEST_OTHER_UID 65533

/* Scripts: notes arguments and variables in "out"; waits until "go" lets it; and fails. */
#define SCRIPT_NOTE                                                                                \
	"cd ${0%/*} && { for word; do echo \"<$word>\"; done; env; "                               \
	"readlink /proc/self/fd/3 || :; } > out.new 2>&1 && mv out.new out\n"
#define SCRIPT_HOLD "echo run >> ${0%/*}/runs; read line < ${0%/*}/go\n"

struct bench {
	char dir[64];
	char exe[256]; /* of this program, which workers run */
	struct belay__observe_config config;
	bool without_state, without_journal;
	pid_t parent, runner, sibling; /* sibling: another child of the runner's parent */
	int channel, gate;
	int brakes;                             /* what the runners' brakes know */
	const char *pause;                      /* what is paused before GO; NULL: nothing */
	struct belay__msg_runner_counts counts; /* the newest */
	unsigned counts_seen;
};

extern struct bench bench;

/* cmocka's setup and teardown: a directory, a configuration with rule 1 about this program's
 * processes (as root, when we are it), and no runner yet. */
int bench_open(void **state);
int bench_close(void **state);

/* A script in the directory, which is its $0 without the last part; commands run it by sh. */
void bench_script(const char *name, const char *text);
/* "sh DIR/NAME ARGUMENTS" as on-stall's (or on-exit's) command of rule 1. */
void bench_on_stall(const char *ladder);
void bench_command(const char *script, const char *arguments);

/* Starts a runner and gives it everything. */
void bench_start(void);
/* Gives it the configuration as it is now, and waits until it is in force. */
void bench_reload(void);
/* Has it end as a role does (EOF), or at once. */
void bench_stop(void);
void bench_kill(void);
/* Begins a table for so many processes, of which there is none yet, in a file of the same name. */
void bench_capacity(uint32_t capacity);
/* Says that what PATTERN selects is paused for so long from now; 0: not any more. */
void bench_pause(const char *pattern, uint64_t for_ns);
/* Another gate comes; the one before hangs up. */
void bench_new_gate(void);

struct worker {
	pid_t pid;
	int pidfd;
	uint64_t start_ticks;
	struct belay__record *record; /* in the state file */
	uint32_t slot;
};

enum worker_kind { WORKER_PLAIN, WORKER_IGNORES_TERM, WORKER_IS_ANOTHERS };

/* A process that the table knows, with 7 beats. */
struct worker worker_start(enum worker_kind kind);
/* The same with pid SET_TID. False: not permitted here. */
bool worker_start_as(pid_t set_tid, struct worker *ret_worker);
/* A process KEY of another host that the table knows as NAME, with 7 beats. */
struct worker worker_afar(uint32_t key, const char *name, uint8_t origin, uint16_t rule);
/* Waits until it has ended and reaps it: the wait status. */
int worker_reap(struct worker *worker);
/* Kills it and takes it off the table. */
void worker_end(struct worker *worker);

/* The word on WORKER as an honest gate has it. */
struct belay__msg_act act_on(const struct worker *worker);
void send_act(const struct belay__msg_act *act);
/* WORKER beats once more: ACT is about the silence after that. */
void beat_once(struct worker *worker, struct belay__msg_act *act);
/* Makes the table one that nobody is to believe yet, or again. */
void bench_table(bool there);
void send_gate(uint32_t type, const void *record, uint32_t size);

/* The next ACTED, which must be OUTCOME. */
struct belay__msg_acted expect(enum belay__acted outcome);
/* One of both. */
struct belay__msg_acted expect_one_of(enum belay__acted one, enum belay__acted other);
struct belay__msg_planned expect_planned(void);
/* The next ALERTED or OPEN. */
struct belay__msg_alerted expect_alerted(void);
struct belay__msg_open expect_open(void);
/* Nothing was told that was not expected. */
void expect_nothing(void);
/* Waits for the next counts; the value of METRIC. */
uint64_t next_count(uint32_t metric);

/* PART is somewhere in TEXT. */
void assert_says(const char *text, const char *part);
/* What the file NAME in the directory holds, "" when there is none. */
const char *contents(const char *name);
/* Makes a pipe with a name, and lets the command that reads it go on. */
void bench_fifo(const char *name);
void bench_let_go(const char *name);
