#include <belay/crash.h>

#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/test_allocations.h"
#include "beat/test_observer.h"

static void crash(const struct test_observer *observer, const char *note)
{
	const struct belay_crash_options options = { .note = note };
	volatile char *volatile nowhere = NULL;

	(void)signal(SIGSEGV, SIG_DFL);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
		_exit(77);
	(void)raise(SIGSTOP);
	if (belay_crash_install_uds(observer->path, &options, NULL, NULL) < 0 ||
		test_allocations == 0)
		_exit(99);
	test_allocations = 0;
	(void)nowhere[8];
	_exit(1);
}

/* Lets the stopped child run into its death and reads its count when nothing is left of it but its
 * memory. */
static unsigned count_of(pid_t pid)
{
	unsigned count = UINT_MAX;
	int status, deliver = 0;

	(void)ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, deliver), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (!WIFSTOPPED(status))
			break;
		deliver = WSTOPSIG(status);
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8)) {
			count = (unsigned)ptrace(PTRACE_PEEKDATA, pid, &test_allocations, NULL);
			deliver = 0;
		}
	}
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSEGV);
	return count;
}

static void a_last_word_allocates_nothing(void **state)
{
	struct test_observer observer;
	char note[80];
	int status;
	pid_t pid;
	(void)state;

	test_observer_init(&observer);
	test_observer_listen(&observer);
	(void)snprintf(note, sizeof(note), "%s/note", observer.directory);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		crash(&observer, note);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSTOPPED(status))
		skip(); /* tracing is not allowed here */
	assert_int_equal(count_of(pid), 0);
	assert_int_equal(test_observer_drain(&observer), 1);
	assert_int_equal(unlink(note), 0);
	test_observer_done(&observer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_last_word_allocates_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
