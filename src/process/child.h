/* child.h - the short life of a child between its creation and the program that it becomes
 *
 * Only what is safe beside other threads is done in it: system calls, no locks, no heap.
 */
#pragma once

#include <sys/types.h>

#include "process/spawn.h"

#define BELAY__SIGNALS 64

/* A set of signals as the kernel knows it: the C library's functions leave out the two that it uses
 * itself. */
typedef unsigned char belay__signal_set[BELAY__SIGNALS / 8];

enum belay__start_step {
	BELAY__STEP_NONE,
	BELAY__STEP_GROUP,
	BELAY__STEP_FDS,
	BELAY__STEP_CREDENTIALS,
	BELAY__STEP_DIRECTORY,
	BELAY__STEP_PRIVILEGES,
	BELAY__STEP_DEATH_SIGNAL,
	BELAY__STEP_RECORD,
	BELAY__STEP_LIMITS,
	BELAY__STEP_EXEC,
};

struct belay__start_failure {
	int error; /* errno, 0: none */
	enum belay__start_step step;
};

/* Everything the child needs. It lives in the parent's memory, which a vfork-class child writes to
 * as well. */
struct belay__start {
	const struct belay__spawn *spawn;
	char *const *envp;
	pid_t parent;
	int *moved;    /* the number that each row's descriptor was moved to, fd_count of them */
	int exec_fd;   /* moved out of the way, or -EBADF */
	int record_fd; /* the same */
	/* When memory is not shared both talk over a socket pair, else both are -EBADF. */
	int child_end, parent_end;
	struct belay__start_failure failure;
};

/* Sets this thread's signal mask, all 64 of it. 0, or -1 with errno. */
int belay__set_signal_mask(const belay__signal_set mask, belay__signal_set old);

/* Becomes the program of the struct belay__start at ARGUMENT, for clone(2). Never returns: when
 * that fails it leaves or sends the failure and exits. */
__attribute__((noreturn)) int belay__child_main(void *argument);
