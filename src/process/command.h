/* command.h - one running recovery command, from its start to how it ended
 *
 * It starts with an environment of its own and nothing else that is ours: in / with umask 022, stdin
 * from /dev/null or a descriptor given for it, default signals, no descriptor besides 0, 1, 2 and 3
 * (the pidfd of the process it is about), as the leader of its own process group. When its time is over the whole group gets
 * SIGKILL; whoever left the group is not followed, and a command that ends in time keeps what it
 * started in the background: restarting a daemon is what commands are for.
 *
 * A group is signalled only while its leader is unreaped. No signal handler, no thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

#include "loop/loop.h"
#include "process/environment.h"
#include "process/spawn.h"

/* The number that the command finds the pidfd under. */
#define BELAY__COMMAND_PIDFD 3

/* Values are written to the journal: they never change. */
enum belay__command_end {
	BELAY__COMMAND_EXITED = 1,
	BELAY__COMMAND_SIGNALLED = 2,
	BELAY__COMMAND_TIMED_OUT = 3,
	BELAY__COMMAND_CANCELLED = 4,
	BELAY__COMMAND_SPAWN_FAILED = 5, /* start returned an error: for the caller's use */
	BELAY__COMMAND_UNKNOWN = 6,      /* adopted, and nobody tells how it ended */
};

struct belay__command_result {
	enum belay__command_end end;
	int exit_code; /* of EXITED */
	int signal;    /* that ended it, of the others; 0: none, or not known */
	uint64_t duration_ns;
	uint64_t stdout_len, stderr_len; /* 0 without capture */
	bool truncated;                  /* it wrote more than was counted */
	int kill_error; /* negative errno when it could not be killed in time; 0: it could */
};

/* Members that are zero ask for nothing. Borrowed, and needed during the start only. */
struct belay__command_options {
	const char *const *argv; /* its program is looked up in the environment's PATH */
	struct belay__environment *environment; /* gets BELAY_PIDFD, too */
	int target_pidfd;                       /* the process that it is about; 0 or less: none */
	int stdin_fd;                           /* its stdin; 0 or less: /dev/null */
	uint64_t timeout_ns;                    /* 0: it may run for ever */
	bool capture;
	uint64_t capture_max; /* bytes counted; 0: BELAY__CAPTURE_MAX */
	bool run_as_root;     /* else becoming or staying uid 0 is refused */
	const struct belay__credentials *credentials; /* NULL, or the uid we have: our own */
	const struct belay__limit *limits;
	size_t limit_count;
	const struct belay__spawn_record *record;
};

struct belay__command;

/* Called once, from the loop, when COMMAND has ended and is reaped; it is freed afterwards. */
typedef void belay__command_done(struct belay__command *command,
	const struct belay__command_result *result, void *data);

/* Starts a command. 0 and *ret_command, owned by itself until DONE was called; or a negative errno
 * with a sentence: then it did not run, and DONE is not called. -EPERM: it would run as root. */
int belay__command_start(struct belay__loop *loop, const struct belay__command_options *options,
	belay__command_done *done, void *data, struct belay__command **ret_command,
	struct belay_error *reterr);

/* Goes on with a command that another process started, when {PID, START_TICKS} still is one that
 * runs; its time counts from its start. How it ends can only be told where the kernel does, and
 * before Linux 6.9 only itself can be killed, not its group. 0, -ESRCH (it has ended, or cannot be
 * told from others), or another negative errno. */
int belay__command_adopt(struct belay__loop *loop, pid_t pid, uint64_t start_ticks,
	uint64_t timeout_ns, belay__command_done *done, void *data,
	struct belay__command **ret_command);

/* Kills it; DONE is called later all the same. 0 or a negative errno. */
int belay__command_cancel(struct belay__command *command);

/* Who it is; start_ticks is 0 when that could not be read. */
pid_t belay__command_pid(const struct belay__command *command);
uint64_t belay__command_start_ticks(const struct belay__command *command);

/* Lets go of it, NULL allowed: it runs on, DONE is not called. Not from DONE. Returns NULL. */
struct belay__command *belay__command_free(struct belay__command *command);
