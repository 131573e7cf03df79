#include <belay/crash.h>

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay/sealed.h>
#include <cmocka.h>

#include "beat/test_allocations.h"
#include "beat/test_far.h"

enum { MAX = 16 };

static const struct belay_key key = { .bytes = { 1 } };
static struct test_far far;

/* What a crashing child does from the signal's arrival to its end. */
struct doing {
	long calls[MAX];
	unsigned call_count, allocations;
	bool traced;
};

static void crash(bool refused_before)
{
	volatile char *volatile nowhere = NULL;

	(void)signal(SIGSEGV, SIG_DFL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	(void)raise(SIGSTOP);
	if (belay_crash_install_sealed(far.address, &key, NULL, NULL, NULL) < 0 ||
		test_allocations == 0)
		_exit(99);
	if (refused_before) {
		test_far_leave(&far);
		if (fork() == 0)
			(void)nowhere[8];
		(void)wait(NULL);
	}
	test_allocations = 0;
	(void)nowhere[8];
	_exit(1);
}

/* Reading the clock is a system call only where the kernel offers no better way. */
static void note_call(pid_t pid, struct doing *doing)
{
	struct __ptrace_syscall_info info;

	assert_true(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) > 0);
	if (info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr == SYS_clock_gettime)
		return;
	assert_in_range(doing->call_count, 0, MAX - 1);
	doing->calls[doing->call_count++] = (long)info.entry.nr;
}

/* What its memory says is read when nothing else is left of the child. */
static struct doing watch(pid_t pid)
{
	struct doing doing = { .traced = true, .allocations = UINT_MAX };
	bool crashing = false;
	int status, deliver = 0;

	(void)ptrace(PTRACE_SETOPTIONS, pid, NULL,
		PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
	for (;;) {
		assert_int_equal(
			ptrace(crashing ? PTRACE_SYSCALL : PTRACE_CONT, pid, NULL, deliver), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		deliver = 0;
		if (!WIFSTOPPED(status))
			break;
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			doing.allocations = (unsigned)ptrace(PTRACE_PEEKDATA, pid,
				&test_allocations, NULL);
		else if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			note_call(pid, &doing);
		else
			deliver = WSTOPSIG(status);
		crashing |= deliver == SIGSEGV;
	}
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	return doing;
}

static struct doing doing_of_crash(bool refused_before)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (pid == 0)
		crash(refused_before);
	if (refused_before)
		test_far_leave(&far);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSTOPPED(status) ? watch(pid) : (struct doing){ 0 };
}

/* What comes after the word is the same for every way. */
static void assert_calls(const struct doing *doing, const long *expected, unsigned count)
{
	assert_true(doing->call_count > count);
	for (unsigned i = 0; i < count; i++)
		assert_int_equal(doing->calls[i], expected[i]);
	for (unsigned i = count; i < doing->call_count; i++)
		assert_int_not_equal(doing->calls[i], SYS_sendto);
}

static void a_sealed_word_asks_for_the_pid_and_the_socket_and_allocates_nothing(void **state)
{
	const struct doing doing = doing_of_crash(false);
	const long stat = doing.calls[1];
	const long expected[] = { SYS_getpid, stat, SYS_sendto };
	(void)state;

	if (!doing.traced)
		skip(); /* tracing is not allowed here */
	assert_true(stat == SYS_fstat || stat == SYS_newfstatat);
	assert_calls(&doing, expected, sizeof(expected) / sizeof(expected[0]));
	assert_int_equal(doing.allocations, 0);
	assert_int_equal(test_far_drain(&far), 1);
}

static void after_a_refusal_it_sends_once_more_and_never_a_third_time(void **state)
{
	const struct doing doing = doing_of_crash(true);
	const long expected[] = { SYS_getpid, doing.calls[1], SYS_sendto, SYS_sendto };
	(void)state;

	if (!doing.traced)
		skip();
	assert_calls(&doing, expected, sizeof(expected) / sizeof(expected[0]));
	assert_int_equal(doing.allocations, 0);
}

static int begin(void **state)
{
	(void)state;
	assert_true(test_far_init(&far, AF_INET));
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_far_done(&far);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_sealed_word_asks_for_the_pid_and_the_socket_and_allocates_nothing),
		cmocka_unit_test(after_a_refusal_it_sends_once_more_and_never_a_third_time),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
