/* crash_testing.h - for tests: children that crash, watched by a tracer and heard by an observer
 *
 * Failures end the test (cmocka's assertions).
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <sys/types.h>

#include <belay/crash.h>

#include "beat/test_observer.h"

/* How a child ended. */
struct death {
	int status;     /* as waitpid(2) has it */
	siginfo_t last; /* what came with the last signal that it was told of */
	unsigned told;  /* how many of the six it was told of */
	unsigned heard; /* frames */
	struct belay_frame frame;
	pid_t pid;
};

/* What a child does until it dies. FROM_OUTSIDE (or NULL) is done to it by its parent when it says
 * crash_ready(). */
struct crash_child {
	void (*run)(void *argument);
	void *argument;
	void (*from_outside)(pid_t pid, void *argument);
	bool untraced; /* `last` and `told` stay empty; for children with threads */
};

/* Runs it in a child with default signals and as much of a core file as may be, in the directory of the
 * observer, which listens; what it heard is read. Skips the test where tracing is not allowed. */
struct death crash_watch(struct test_observer *observer, const struct crash_child *child);

/* In the child: stops until the parent has done what it does from outside. */
void crash_ready(void);
/* In the child: installs the hook, or ends with 99. */
struct belay_crash_report crash_install(const struct belay_crash_options *options);

/* The same end: status with the core's flag, and siginfo. */
void assert_same_death(const struct death *a, const struct death *b);
/* One frame, that of a last word of the child. */
void assert_last_word(const struct death *death);
