#include <belay/crash.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/crash_testing.h"

static const struct belay_crash_options chaining = { .flags = BELAY_CRASH_CHAIN };
static struct test_observer observer;

static volatile sig_atomic_t runs;
static sigjmp_buf recovery;
static volatile char *volatile page;

static void fault(void)
{
	page[0] = 1;
}

static void recover(int number)
{
	(void)number;
	runs++;
	siglongjmp(recovery, 1);
}

static void mend(int number, siginfo_t *info, void *context)
{
	(void)context;
	runs++;
	if (number != SIGSEGV || info->si_addr != (const void *)(uintptr_t)page)
		_exit(2);
	(void)mprotect((void *)(uintptr_t)page, 4096, PROT_READ | PROT_WRITE);
}

static void count_it(int number)
{
	(void)number;
	runs++;
}

static void give_up(int number)
{
	runs++;
	(void)signal(number, SIG_DFL);
}

static void give_up_and_raise(int number)
{
	runs++;
	(void)signal(number, SIG_DFL);
	(void)raise(number);
}

/* As the one-shot handlers of System V: set anew by themselves. */
static void set_itself_again(int number)
{
	runs++;
	(void)signal(number, set_itself_again);
}

static void crash_itself(int number)
{
	volatile char *volatile nowhere = NULL;
	(void)number;

	(void)nowhere[8];
}

static void abort_in_it(int number)
{
	(void)number;
	abort();
}

static void handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_flags = flags };

	action.sa_handler = handler;
	(void)sigaddset(&action.sa_mask, SIGUSR1);
	if (sigaction(number, &action, NULL) < 0)
		_exit(96);
}

/* Installs the hook, which must take SIGSEGV. */
static void chain(void)
{
	if ((crash_install(&chaining).installed & UINT64_C(1) << SIGSEGV) == 0)
		_exit(95);
}

static void recovers_by_siglongjmp(void *hook)
{
	handle(SIGSEGV, recover, 0);
	if (hook != NULL)
		chain();
	for (volatile int i = 0; i < 3; i++) {
		if (sigsetjmp(recovery, 1) == 0) {
			fault();
			_exit(3);
		}
	}
	_exit(runs == 3 ? 10 : 4);
}

/* Does not save the mask and so counts on SA_NODEFER. */
static void recovers_without_the_mask(void *hook)
{
	handle(SIGSEGV, recover, SA_NODEFER);
	if (hook != NULL)
		chain();
	for (volatile int i = 0; i < 3; i++) {
		if (sigsetjmp(recovery, 0) == 0) {
			fault();
			_exit(3);
		}
	}
	_exit(runs == 3 ? 10 : 4);
}

static void mends_the_fault(void *hook)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };

	action.sa_sigaction = mend;
	if (sigaction(SIGSEGV, &action, NULL) < 0)
		_exit(96);
	if (hook != NULL)
		chain();
	fault();
	_exit(runs == 1 && page[0] == 1 ? 10 : 4);
}

static void goes_on_after_a_signal(void *hook)
{
	handle(SIGSEGV, count_it, SA_RESTART);
	if (hook != NULL)
		chain();
	errno = 4711;
	(void)raise(SIGSEGV);
	(void)raise(SIGSEGV);
	_exit(runs == 2 && errno == 4711 ? 10 : 4);
}

static void gives_up(void *hook)
{
	handle(SIGSEGV, give_up, 0);
	if (hook != NULL)
		chain();
	fault();
}

static void gives_up_and_raises(void *hook)
{
	handle(SIGSEGV, give_up_and_raise, SA_ONSTACK);
	if (hook != NULL)
		chain();
	fault();
}

/* The handler took the first of two; that the second ends the process is another matter. */
static void gives_up_after_one(void *hook)
{
	handle(SIGSEGV, give_up, 0);
	if (hook != NULL)
		chain();
	(void)raise(SIGSEGV);
	(void)raise(SIGSEGV);
	_exit(5);
}

static void is_reset_after_one(void *hook)
{
	handle(SIGSEGV, count_it, (int)(SA_RESETHAND | SA_NODEFER));
	if (hook != NULL)
		chain();
	(void)raise(SIGSEGV);
	if (runs != 1)
		_exit(4);
	(void)raise(SIGSEGV);
	_exit(5);
}

static void is_reset_and_recovers(void *hook)
{
	handle(SIGSEGV, recover, (int)SA_RESETHAND);
	if (hook != NULL)
		chain();
	if (sigsetjmp(recovery, 1) == 0)
		fault();
	fault();
	_exit(5);
}

static void sets_itself_again(void *hook)
{
	handle(SIGSEGV, set_itself_again, (int)SA_RESETHAND);
	if (hook != NULL)
		chain();
	for (int i = 0; i < 3; i++)
		(void)raise(SIGSEGV);
	_exit(runs == 3 ? 10 : 4);
}

static void crashes_itself(void *hook)
{
	handle(SIGSEGV, crash_itself, 0);
	if (hook != NULL)
		chain();
	(void)raise(SIGSEGV);
	_exit(5);
}

/* What managed runtimes do with a fault that is not theirs. */
static void aborts(void *hook)
{
	handle(SIGSEGV, abort_in_it, 0);
	if (hook != NULL)
		chain();
	fault();
}

struct chained {
	void (*run)(void *hook);
	int ends_with; /* a signal, or 0: exit status 10 */
	unsigned words;
};

static const struct chained cases[] = {
	{ recovers_by_siglongjmp, 0, 0 },
	{ recovers_without_the_mask, 0, 0 },
	{ mends_the_fault, 0, 0 },
	{ goes_on_after_a_signal, 0, 0 },
	{ gives_up, SIGSEGV, 1 },
	{ gives_up_and_raises, SIGSEGV, 1 },
	{ gives_up_after_one, SIGSEGV, 1 },
	{ is_reset_after_one, SIGSEGV, 1 },
	{ is_reset_and_recovers, SIGSEGV, 1 },
	{ sets_itself_again, 0, 0 },
	{ crashes_itself, SIGSEGV, 0 }, /* the kernel ends it: the signal is blocked */
	{ aborts, SIGABRT, 1 },
};

static void a_chained_handler_decides_and_only_a_default_end_is_told(void **state)
{
	static int hook;
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct crash_child child = { .run = cases[i].run };
		struct death without = crash_watch(&observer, &child), with;

		print_message("case %zu\n", i);
		assert_int_equal(without.heard, 0);
		child.argument = &hook;
		with = crash_watch(&observer, &child);
		if (cases[i].ends_with == 0) {
			assert_true(WIFEXITED(with.status));
			assert_int_equal(WEXITSTATUS(with.status), 10);
		} else {
			assert_true(WIFSIGNALED(with.status));
			assert_int_equal(WTERMSIG(with.status), cases[i].ends_with);
		}
		assert_same_death(&with, &without);
		assert_int_equal(with.heard, cases[i].words);
		if (cases[i].words > 0)
			assert_last_word(&with);
	}
}

static bool is_handler(int number, void (*handler)(int))
{
	struct sigaction now;

	return sigaction(number, NULL, &now) == 0 && now.sa_handler == handler;
}

static void be_left_alone(void *argument)
{
	const uint64_t left = UINT64_C(1) << SIGSEGV | UINT64_C(1) << SIGABRT;
	struct belay_crash_report report;
	(void)argument;

	handle(SIGSEGV, give_up, 0);
	(void)signal(SIGABRT, SIG_IGN);
	report = crash_install(NULL);
	if (report.left_alone != left || (report.installed & left) != 0 ||
		(report.installed & UINT64_C(1) << SIGBUS) == 0)
		_exit(2);
	if (!is_handler(SIGSEGV, give_up) || !is_handler(SIGABRT, SIG_IGN))
		_exit(3);
	/* Ignored is ignored, chained or not. */
	report = crash_install(&chaining);
	if (report.left_alone != UINT64_C(1) << SIGABRT || is_handler(SIGSEGV, give_up))
		_exit(4);
	/* Without the flag it goes back to who had it. */
	report = crash_install(NULL);
	if (report.left_alone != left || !is_handler(SIGSEGV, give_up))
		_exit(5);
	belay_crash_uninstall();
	if (!is_handler(SIGSEGV, give_up) || !is_handler(SIGBUS, SIG_DFL))
		_exit(6);
	_exit(10);
}

static void a_handled_signal_is_left_alone_and_listed(void **state)
{
	const struct crash_child child = { .run = be_left_alone, .untraced = true };
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_int_equal(WEXITSTATUS(death.status), 10);
}

static void (*former)(int, siginfo_t *, void *);

static void hand_on(int number, siginfo_t *info, void *context)
{
	former(number, info, context);
}

/* Somebody sets a handler above ours that ends by calling ours; taking it again would be a circle. */
static void be_handed_on(void *argument)
{
	struct sigaction old, action = { .sa_flags = SA_SIGINFO };
	(void)argument;

	chain();
	action.sa_sigaction = hand_on;
	(void)sigaction(SIGSEGV, &action, &old);
	former = old.sa_sigaction;
	if (crash_install(&chaining).left_alone != UINT64_C(1) << SIGSEGV)
		_exit(2);
	fault();
}

static void a_handler_set_above_the_hook_may_call_it(void **state)
{
	const struct crash_child child = { .run = be_handed_on };
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_last_word(&death);
	assert_int_equal(WTERMSIG(death.status), SIGSEGV);
	assert_int_equal(death.last.si_code, SEGV_ACCERR);
}

static pid_t recovers_only;

/* What is not the one process it knows is given up. */
static void recover_one_process(int number)
{
	if (getpid() != recovers_only)
		give_up(number);
	else
		recover(number);
}

/* A child that shares the memory crashes; the process that it shares it with goes on as before. */
static void crash_in_a_child_that_shares_memory(void *argument)
{
	int status = 0;
	pid_t pid;
	(void)argument;

	recovers_only = getpid();
	handle(SIGSEGV, recover_one_process, 0);
	chain();
	for (int i = 0; i < 2; i++) {
		pid = vfork(); /* NOLINT(clang-analyzer-security.insecureAPI.vfork): what it is about */
		if (pid == 0) {
			fault();
			_exit(1); /* NOLINT(clang-analyzer-unix.Vfork) */
		}
		if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) ||
			WTERMSIG(status) != SIGSEGV)
			_exit(2);
	}
	runs = 0; /* the children counted in the same memory */
	if (sigsetjmp(recovery, 1) == 0)
		fault();
	/* And its own end is told: the handler takes the first of two. */
	recovers_only = 0;
	(void)raise(SIGSEGV);
	if (runs != 2)
		_exit(3);
	(void)raise(SIGSEGV);
}

static void a_child_that_shares_memory_leaves_its_parent_what_it_had(void **state)
{
	const struct crash_child child = { .run = crash_in_a_child_that_shares_memory };
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_true(WIFSIGNALED(death.status));
	assert_int_equal(WTERMSIG(death.status), SIGSEGV);
	assert_int_equal(death.last.si_code, SI_TKILL);
	assert_int_equal(death.heard, 3);
	assert_int_equal(death.frame.pid, death.pid);
}

static int begin(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page == MAP_FAILED;
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
		cmocka_unit_test(a_chained_handler_decides_and_only_a_default_end_is_told),
		cmocka_unit_test(a_handled_signal_is_left_alone_and_listed),
		cmocka_unit_test(a_handler_set_above_the_hook_may_call_it),
		cmocka_unit_test(a_child_that_shares_memory_leaves_its_parent_what_it_had),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
