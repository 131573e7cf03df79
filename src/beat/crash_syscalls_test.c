#include <belay/crash.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/test_observer.h"

enum { MAX = 16 };

static struct test_observer observer;
static char note_path[80];

/* System calls from the signal's arrival to the end. */
struct calls {
	long numbers[MAX];
	unsigned count;
	bool traced;
};

static void crash(const struct belay_crash_options *options, bool fault)
{
	volatile char *volatile nowhere = NULL;

	(void)signal(SIGSEGV, SIG_DFL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	(void)raise(SIGSTOP);
	if (belay_crash_install_uds(observer.path, options, NULL, NULL) < 0)
		_exit(99);
	if (fault)
		(void)nowhere[8];
	(void)kill(getpid(), SIGSEGV);
	_exit(1);
}

/* Reading the clock is a system call only where the kernel offers no better way. */
static void note_call(pid_t pid, struct calls *calls)
{
	struct __ptrace_syscall_info info;

	assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr == SYS_clock_gettime)
		return;
	assert_in_range(calls->count, 0, MAX - 1);
	calls->numbers[calls->count++] = (long)info.entry.nr;
}

static struct calls trace(const struct belay_crash_options *options, bool fault)
{
	struct calls calls = { .traced = true };
	bool crashing = false;
	pid_t pid = fork();
	int status, deliver = 0;

	assert_true(pid >= 0);
	if (pid == 0)
		crash(options, fault);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		return (struct calls){ 0 };
	(void)ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		assert_int_equal(
			ptrace(crashing ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, deliver), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		deliver = 0;
		if (WIFSIGNALED(status))
			break;
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			note_call(pid, &calls);
		} else {
			deliver = WSTOPSIG(status);
			crashing = true;
		}
	}
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	assert_int_equal(test_observer_drain(&observer), 1);
	return calls;
}

static void assert_calls(const struct calls *calls, const long *expected, unsigned count)
{
	if (!calls->traced)
		skip();
	for (unsigned i = 0; i < calls->count && i < count; i++)
		assert_int_equal(calls->numbers[i], expected[i]);
	assert_int_equal(calls->count, count);
}

#define ASSERT_CALLS(calls, ...)                                                                   \
	do {                                                                                       \
		const long expected_[] = { __VA_ARGS__ };                                          \
		assert_calls(&(calls), expected_, sizeof(expected_) / sizeof(expected_[0]));       \
	} while (0)

static void after_a_fault_the_pid_a_look_one_send_and_the_default(void **state)
{
	struct calls calls;
	(void)state;

	calls = trace(NULL, true);
	ASSERT_CALLS(calls, SYS_getpid, SYS_getsockopt, SYS_sendto, SYS_getpid, SYS_rt_sigaction,
		SYS_rt_sigreturn);
}

static void what_was_sent_is_queued_again(void **state)
{
	struct calls calls;
	(void)state;

	calls = trace(NULL, false);
	ASSERT_CALLS(calls, SYS_getpid, SYS_getsockopt, SYS_sendto, SYS_getpid, SYS_rt_sigaction,
		SYS_gettid, SYS_rt_tgsigqueueinfo, SYS_rt_sigreturn);
}

static void a_note_is_one_write_more_behind_the_frame(void **state)
{
	const struct belay_crash_options options = { .note = note_path };
	struct calls calls;
	(void)state;

	calls = trace(&options, true);
	(void)unlink(note_path);
	if (!calls.traced)
		skip();
	assert_true(calls.numbers[3] == SYS_fstat || calls.numbers[3] == SYS_newfstatat);
	ASSERT_CALLS(calls, SYS_getpid, SYS_getsockopt, SYS_sendto, calls.numbers[3], SYS_gettid,
		SYS_write, SYS_getpid, SYS_rt_sigaction, SYS_rt_sigreturn);
}

static int begin(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	(void)snprintf(note_path, sizeof(note_path), "%s/note", observer.directory);
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_observer_done(&observer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(after_a_fault_the_pid_a_look_one_send_and_the_default),
		cmocka_unit_test(what_was_sent_is_queued_again),
		cmocka_unit_test(a_note_is_one_write_more_behind_the_frame),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
