#include "beat/test_syscalls.h"

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

/* The two getppid() are the marks between which the parent counts. */
__attribute__((noreturn)) static void beat_between_marks(struct belay *belay, unsigned beats)
{
	(void)belay_beat(belay, BELAY_OK, 0); /* so that the fork itself is behind us */
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	(void)raise(SIGSTOP);

	(void)syscall(SYS_getppid);
	for (uint32_t i = 0; i < beats; i++)
		(void)belay_beat(belay, BELAY_OK, i);
	(void)syscall(SYS_getppid);
	_exit(0);
}

/* Runs the stopped child PID to its end and counts the system calls it makes between the marks.
 * Reading the clock is one only where the kernel offers no better way, and then for everybody. */
static struct test_counts count(pid_t pid, void (*drain)(void))
{
	struct test_counts counts = { 0 };
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
		drain();
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

bool test_count_syscalls(struct belay *belay, unsigned beats, void (*drain)(void),
	struct test_counts *ret_counts)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	int status;

	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		beat_between_marks(belay, beats);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		return false;
	*ret_counts = count(pid, drain);
	ret_counts->seconds = (unsigned)((belay__clock_ns(CLOCK_MONOTONIC) - start_ns) /
				      BELAY__NS_PER_S) +
		1;
	return true;
}
