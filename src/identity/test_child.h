/* test_child.h - children to look at, for this room's tests
 *
 * Every child dies with its parent, is signalled through its pidfd, and is waited for by what it
 * shows in /proc, within a deadline.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/missing.h"
#include "identity/process_info.h"

#define TEST_WITHIN_NS (20 * BELAY__NS_PER_S)
#define TEST_NOBODY    65534

struct child {
	pid_t pid;
	int pidfd;
	uint64_t start_ticks;
};

static inline void child_signal(const struct child *child, int signal_nr)
{
	assert_return_code(syscall(SYS_pidfd_send_signal, child->pidfd, signal_nr, NULL, 0), errno);
}

/* For a child: it ends with PARENT, whose number was asked for before the fork; also when that has ended
 * meanwhile. A child that is left over would hold the test's output open for ever. */
static inline void die_with(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(99);
}

/* Forks with FLAGS of clone(2); BODY's return is the exit code. */
static inline struct child child_start_with(unsigned long flags, int (*body)(void *), void *argument)
{
	struct child child = { .pidfd = -EBADF };
	struct belay__stat stat;
	pid_t parent = getpid();

	child.pid = (pid_t)syscall(SYS_clone, flags | SIGCHLD, NULL, NULL, NULL, NULL);
	assert_return_code(child.pid, errno);
	if (child.pid == 0) {
		die_with((flags & CLONE_NEWPID) == 0 ? parent : 0); /* 0: outside of its namespace */
		_exit(body(argument));
	}
	child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	assert_return_code(child.pidfd, errno);
	assert_return_code(belay__read_stat(child.pid, &stat), 0);
	child.start_ticks = stat.start_ticks;
	return child;
}

static inline struct child child_start(int (*body)(void *), void *argument)
{
	return child_start_with(0, body, argument);
}

/* Reaps it; its wait status. */
static inline int child_reap(struct child *child)
{
	int status = 0;

	assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
	child->pidfd = belay__close(child->pidfd);
	return status;
}

static inline void child_end(struct child *child)
{
	child_signal(child, SIGKILL);
	(void)child_reap(child);
}

static inline void turn(void)
{
	(void)poll(NULL, 0, 1);
}

static inline void child_wait_state(const struct child *child, char state)
{
	uint64_t until_ns = belay__clock_ns(CLOCK_MONOTONIC) + TEST_WITHIN_NS;
	struct belay__stat stat = { 0 };

	for (;;) {
		assert_return_code(belay__read_stat(child->pid, &stat), 0);
		if (stat.state == state)
			return;
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < until_ns);
		turn();
	}
}

static inline void child_wait_end(const struct child *child)
{
	struct pollfd wait = { .fd = child->pidfd, .events = POLLIN };

	assert_int_equal(poll(&wait, 1, (int)(TEST_WITHIN_NS / BELAY__NS_PER_MS)), 1);
}

static inline int body_sleeps(void *argument)
{
	(void)argument;
	for (;;)
		(void)pause();
	return 0;
}

static inline int body_spins(void *argument)
{
	volatile bool for_ever = true;
	(void)argument;

	while (for_ever)
		;
	return 0;
}

static inline int body_ends(void *argument)
{
	return *(const int *)argument;
}

/* A process that does BODY with the number PID here, and the same further up in LEVELS - 1 namespaces around
 * this one, or -1 with errno. */
static inline struct child child_start_as(pid_t pid, size_t levels, int (*body)(void *),
	void *argument)
{
	pid_t numbers[2] = { pid, pid };
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)numbers,
		.set_tid_size = levels,
	};
	struct child child = { .pidfd = -EBADF };
	pid_t parent = getpid();

	child.pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (child.pid == 0) {
		die_with(parent);
		_exit(body(argument));
	}
	if (child.pid > 0)
		child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0);
	return child;
}

/* Each test gives back the descriptors it took. */
static inline int fds_before(void **state)
{
	static int count;

	count = belay__fd_count();
	*state = &count;
	return 0;
}

static inline int fds_after(void **state)
{
	int before = *(const int *)*state;

	return belay__fd_count() == before ? 0 : -1;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fds_before, fds_after)
