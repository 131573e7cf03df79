#include <belay/beat.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "beat/test_observer.h"

enum { BEATS = 1000 };

static struct test_observer observer;

/* The two getppid() are the marks between which the parent counts. */
static void beat_between_marks(struct belay *belay)
{
	(void)belay_beat(belay, BELAY_OK, 0); /* so that the fork itself is behind us */
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	(void)raise(SIGSTOP);

	(void)syscall(SYS_getppid);
	for (uint32_t i = 0; i < BEATS; i++)
		(void)belay_beat(belay, BELAY_OK, i);
	(void)syscall(SYS_getppid);
	_exit(0);
}

struct counts {
	unsigned sends, others;
};

/* Runs the stopped child PID to its end and returns which system calls it made between the marks.
 * Reading the clock is one only where the kernel offers no better way, and then for everybody. */
static struct counts count_syscalls(pid_t pid)
{
	struct counts counts = { 0 };
	struct __ptrace_syscall_info info;
	unsigned marks = 0;
	int status;

	assert_int_equal(ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD), 0);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status))
			return counts;
		assert_true(WIFSTOPPED(status));
		(void)test_observer_drain(&observer);
		if (WSTOPSIG(status) != (SIGTRAP | 0x80))
			continue;
		assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
		if (info.op != PTRACE_SYSCALL_INFO_ENTRY)
			continue;
		if (info.entry.nr == SYS_getppid)
			marks++;
		else if (marks == 1 && info.entry.nr == SYS_sendto)
			counts.sends++;
		else if (marks == 1 && info.entry.nr != SYS_clock_gettime)
			counts.others++;
	}
}

static void a_beat_is_one_system_call_and_a_second_one_more(void **state)
{
	struct counts counts = { 0 };
	struct belay *belay;
	uint64_t start_ns, seconds;
	int status;
	(void)state;

	test_observer_init(&observer);
	test_observer_listen(&observer);
	belay = belay_open(observer.path);

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		beat_between_marks(belay);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	bool traced = WIFSTOPPED(status);

	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	if (traced)
		counts = count_syscalls(pid);
	seconds = (belay__clock_ns(CLOCK_MONOTONIC) - start_ns) / BELAY__NS_PER_S + 1;

	belay_close(belay);
	test_observer_done(&observer);
	if (!traced)
		skip(); /* tracing is not allowed here */
	assert_int_equal(counts.sends, BEATS);
	assert_in_range(counts.others, 0, seconds); /* the look at the descriptor */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_beat_is_one_system_call_and_a_second_one_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
