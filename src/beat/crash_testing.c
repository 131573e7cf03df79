#include "beat/crash_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const char *observer_path;

static bool is_crash(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
		number == SIGABRT || number == SIGSYS;
}

static void be_ordinary(const struct test_observer *observer)
{
	struct rlimit core = { 0 };

	for (int number = 1; number < 32; number++)
		if (is_crash(number))
			(void)signal(number, SIG_DFL);
			/* The memory of a sanitizer makes cores of terabytes. */
#if !defined(__SANITIZE_ADDRESS__)
	(void)getrlimit(RLIMIT_CORE, &core);
	core.rlim_cur = core.rlim_max;
#endif
	(void)setrlimit(RLIMIT_CORE, &core);
	if (chdir(observer->directory) < 0)
		_exit(98);
	observer_path = observer->path;
}

static void be_child(const struct test_observer *observer, const struct crash_child *child)
{
	be_ordinary(observer);
	if (!child->untraced) {
		if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
			_exit(77);
		(void)raise(SIGSTOP);
	}
	child->run(child->argument);
	_exit(0);
}

/* Lets the child run, hands it its signals, and keeps the last of them. */
static void trace(const struct crash_child *child, struct death *death)
{
	siginfo_t info;
	int deliver = 0;

	(void)ptrace(PTRACE_SETOPTIONS, death->pid, NULL, PTRACE_O_EXITKILL);
	for (;;) {
		assert_int_equal(ptrace(PTRACE_CONT, death->pid, NULL, deliver), 0);
		assert_int_equal(waitpid(death->pid, &death->status, 0), death->pid);
		if (!WIFSTOPPED(death->status))
			return;
		deliver = WSTOPSIG(death->status);
		if (deliver == SIGSTOP) {
			if (child->from_outside != NULL)
				child->from_outside(death->pid, child->argument);
			deliver = 0;
		} else if (is_crash(deliver)) {
			assert_int_equal(ptrace(PTRACE_GETSIGINFO, death->pid, NULL, &info), 0);
			death->last = info;
			death->told++;
		}
	}
}

static void listen_to(struct test_observer *observer, struct death *death)
{
	char core[128];
	struct belay_frame frame;

	while (test_observer_take(observer, &frame)) {
		death->frame = frame;
		death->heard++;
	}
	(void)snprintf(core, sizeof(core), "%s/core", observer->directory);
	(void)unlink(core);
	(void)snprintf(core, sizeof(core), "%s/core.%d", observer->directory, (int)death->pid);
	(void)unlink(core);
}

struct death crash_watch(struct test_observer *observer, const struct crash_child *child)
{
	struct death death = { .pid = fork() };

	assert_true(death.pid >= 0);
	if (death.pid == 0)
		be_child(observer, child);
	assert_int_equal(waitpid(death.pid, &death.status, child->untraced ? 0 : WUNTRACED),
		death.pid);
	if (!child->untraced) {
		if (!WIFSTOPPED(death.status))
			skip();
		trace(child, &death);
	}
	listen_to(observer, &death);
	return death;
}

void crash_ready(void)
{
	(void)raise(SIGSTOP);
}

struct belay_crash_report crash_install(const struct belay_crash_options *options)
{
	struct belay_crash_report report;
	struct belay_error error;

	if (belay_crash_install_uds(observer_path, options, &report, &error) < 0) {
		(void)fprintf(stderr, "%s\n", error.text);
		_exit(99);
	}
	return report;
}

/* Whose it is differs between two runs; all else must not. */
static void assert_same_siginfo(const siginfo_t *a, pid_t a_pid, const siginfo_t *b, pid_t b_pid)
{
	siginfo_t left = *a, right = *b;

	if (left.si_code <= 0 && left.si_pid == a_pid && right.si_pid == b_pid)
		left.si_pid = right.si_pid = 0;
	assert_memory_equal(&left, &right, sizeof(left));
}

void assert_same_death(const struct death *a, const struct death *b)
{
	assert_int_equal(a->status, b->status);
	assert_same_siginfo(&a->last, a->pid, &b->last, b->pid);
}

void assert_last_word(const struct death *death)
{
	assert_int_equal(death->heard, 1);
	assert_int_equal(death->frame.status, BELAY_CRITICAL);
	assert_int_equal(death->frame.nonce, BELAY_NONCE_TERMINAL);
	assert_int_equal(death->frame.pid, death->pid);
	assert_int_equal(death->frame.payload, 0);
	assert_true(death->frame.timestamp_ns > 0);
}
