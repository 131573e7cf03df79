#include <belay/crash.h>

#include <errno.h>
#include <pthread.h>
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

#include "beat/crash_internal.h"
#include "beat/crash_testing.h"

static struct test_observer observer;

static void fault(void)
{
	volatile char *volatile nowhere = NULL;

	(void)nowhere[8];
}

static void timestamps_go_up_whatever_the_clock_says(void **state)
{
	uint64_t first, second, third;
	(void)state;

	assert_true(belay__crash_next_timestamp(&first));
	assert_true(first > 0);
	assert_true(belay__crash_next_timestamp(&second));
	assert_true(second > first);

	belay__crash_set_last_timestamp(UINT64_MAX / 2); /* the clock is behind that */
	assert_true(belay__crash_next_timestamp(&third));
	assert_true(third == UINT64_MAX / 2 + 1);
}

static void after_the_last_timestamp_nothing_is_said(void **state)
{
	uint64_t timestamp_ns = 0;
	(void)state;

	belay__crash_set_last_timestamp(UINT64_MAX - 2);
	assert_true(belay__crash_next_timestamp(&timestamp_ns));
	assert_true(timestamp_ns == UINT64_MAX - 1);
	assert_false(belay__crash_next_timestamp(&timestamp_ns));
	assert_true(timestamp_ns == UINT64_MAX - 1);
	assert_false(belay__crash_next_timestamp(&timestamp_ns));
	belay__crash_set_last_timestamp(0);
}

static void crash_after_many_installations(void *argument)
{
	uint64_t before = 0;
	(void)argument;

	for (int i = 0; i < 3; i++)
		(void)crash_install(NULL);
	belay_crash_uninstall();
	belay__crash_set_last_timestamp(UINT64_C(1) << 60);
	(void)crash_install(NULL);
	(void)belay__crash_next_timestamp(&before);
	if (before != (UINT64_C(1) << 60) + 1)
		_exit(2);
	fault();
}

static void installing_again_does_not_begin_time_again(void **state)
{
	const struct crash_child child = { .run = crash_after_many_installations };
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_last_word(&death);
	assert_true(death.frame.timestamp_ns == (UINT64_C(1) << 60) + 2);
	assert_int_equal(WTERMSIG(death.status), SIGSEGV);
}

static pthread_barrier_t together;

static void *crash_together(void *argument)
{
	(void)argument;
	(void)belay_crash_thread();
	(void)pthread_barrier_wait(&together);
	fault();
	return NULL;
}

static void crash_in_threads(void)
{
	pthread_t threads[4];

	(void)pthread_barrier_init(&together, NULL, 4);
	for (int i = 0; i < 4; i++)
		(void)pthread_create(&threads[i], NULL, crash_together, NULL);
	for (;;)
		(void)pause();
}

/* How many frames get out depends on who is quicker, they or the death of the process. */
static void threads_that_crash_at_once_say_one_word_each_at_most(void **state)
{
	pid_t pid;
	(void)state;

	for (int round = 0; round < 20; round++) {
		struct belay_frame frame;
		uint64_t seen[4] = { 0 };
		unsigned heard = 0;
		int status;

		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			(void)signal(SIGSEGV, SIG_DFL);
			if (belay_crash_install_uds(observer.path, NULL, NULL, NULL) < 0)
				_exit(99);
			crash_in_threads();
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGSEGV);
		while (test_observer_take(&observer, &frame)) {
			assert_in_range(heard, 0, 3);
			for (unsigned i = 0; i < heard; i++)
				assert_true(seen[i] != frame.timestamp_ns);
			seen[heard++] = frame.timestamp_ns;
			assert_int_equal(frame.pid, pid);
		}
		assert_in_range(heard, 1, 4);
	}
}

static void crash_while_sending(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	(void)data;
	(void)frame;
	(void)pid;
	(void)timestamp_ns;
	fault();
}

static void crash_twice(void *argument)
{
	const struct belay_crash_transport transport = { .send = crash_while_sending };
	(void)argument;

	if (belay_crash_install_with(&transport, NULL, NULL, NULL) < 0)
		_exit(99);
	abort();
}

static void a_crash_in_the_handler_is_the_end(void **state)
{
	const struct crash_child child = { .run = crash_twice };
	struct death death;
	(void)state;

	death = crash_watch(&observer, &child);
	assert_int_equal(death.heard, 0);
	assert_true(WIFSIGNALED(death.status));
	assert_int_equal(WTERMSIG(death.status), SIGSEGV);
}

static void crash_in_child_then_in_parent(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		fault();
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
		_exit(2);
	fault();
}

static void a_forked_child_speaks_for_itself(void **state)
{
	struct belay_frame of_child = { 0 }, of_parent = { 0 };
	pid_t pid = fork();
	int status;
	(void)state;

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		if (belay_crash_install_uds(observer.path, NULL, NULL, NULL) < 0)
			_exit(99);
		crash_in_child_then_in_parent();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_true(test_observer_take(&observer, &of_child));
	assert_true(test_observer_take(&observer, &of_parent));
	assert_int_equal(of_parent.pid, pid);
	assert_int_not_equal(of_child.pid, pid);
	assert_int_equal(test_observer_drain(&observer), 0);
}

/* A frame of 4 KiB that the compiler can neither reuse nor leave out. */
__attribute__((noinline)) static int go_deeper(volatile int depth)
{
	volatile char room[4096];

	room[depth % 4096] = (char)depth;
	return depth < 0 ? 0 : go_deeper(depth + 1) + room[(depth + 1) % 4096];
}

static void exhaust_stack(void *argument)
{
	(void)argument;
	(void)crash_install(NULL);
	_exit(go_deeper(1) != 0);
}

static void *exhaust_threads_stack(void *argument)
{
	if (belay_crash_thread() != 0 || belay_crash_thread() != 0)
		_exit(2);
	(void)argument;
	_exit(go_deeper(1) != 0);
}

static void exhaust_stack_of_thread(void *argument)
{
	pthread_t thread;
	(void)argument;

	(void)crash_install(NULL);
	(void)pthread_create(&thread, NULL, exhaust_threads_stack, NULL);
	(void)pthread_join(thread, NULL);
	_exit(3);
}

static void an_exhausted_stack_is_told(void **state)
{
	void (*const runs[])(void *) = { exhaust_stack, exhaust_stack_of_thread };
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		const struct crash_child child = { .run = runs[i], .untraced = true };
		struct death death = crash_watch(&observer, &child);

		assert_last_word(&death);
		assert_true(WIFSIGNALED(death.status));
		assert_int_equal(WTERMSIG(death.status), SIGSEGV);
	}
}

static void *crash_with_all_blocked(void *prepare)
{
	sigset_t all;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, NULL);
	if (prepare != NULL && belay_crash_thread() != 0)
		_exit(2);
	fault();
	return NULL;
}

static void crash_in_a_blocking_thread(void *prepare)
{
	pthread_t thread;

	(void)crash_install(NULL);
	(void)pthread_create(&thread, NULL, crash_with_all_blocked, prepare);
	(void)pthread_join(thread, NULL);
}

/* A fault that is blocked is the kernel's at once; who asks for the hook gets it. */
static void a_thread_that_blocks_everything_is_told_once_it_asks(void **state)
{
	static int prepare;
	(void)state;

	for (unsigned asked = 0; asked < 2; asked++) {
		const struct crash_child child = {
			.run = crash_in_a_blocking_thread,
			.argument = asked ? &prepare : NULL,
			.untraced = true,
		};
		struct death death = crash_watch(&observer, &child);

		assert_true(WIFSIGNALED(death.status));
		assert_int_equal(WTERMSIG(death.status), SIGSEGV);
		assert_int_equal(death.heard, asked);
	}
}

static void *where_is_its_stack(void *ret_stack)
{
	stack_t now;

	assert_int_equal(belay_crash_thread(), 0);
	assert_int_equal(sigaltstack(NULL, &now), 0);
	assert_int_equal(now.ss_flags, 0);
	*(void **)ret_stack = now.ss_sp;
	return NULL;
}

static void a_threads_stack_goes_with_it(void **state)
{
	unsigned char resident;
	void *stack = NULL;
	pthread_t thread;
	(void)state;

#if !defined(__SANITIZE_ADDRESS__) /* which gives each thread a stack of its own */
	assert_int_equal(pthread_create(&thread, NULL, where_is_its_stack, &stack), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_non_null(stack);
	assert_int_equal(mincore(stack, 4096, &resident), -1);
	assert_int_equal(errno, ENOMEM);
#else
	(void)resident;
	(void)stack;
	(void)thread;
	(void)where_is_its_stack;
#endif
}

static void nobody_listens_any_more_and_the_death_is_the_same(void **state)
{
	struct death death = { 0 };
	(void)state;

	death.pid = fork();
	assert_true(death.pid >= 0);
	if (death.pid == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		if (belay_crash_install_uds(observer.path, NULL, NULL, NULL) < 0)
			_exit(99);
		(void)raise(SIGSTOP);
		fault();
		_exit(1);
	}
	assert_int_equal(waitpid(death.pid, &death.status, WUNTRACED), death.pid);
	assert_true(WIFSTOPPED(death.status));
	test_observer_leave(&observer);
	assert_int_equal(kill(death.pid, SIGCONT), 0);
	assert_int_equal(waitpid(death.pid, &death.status, 0), death.pid);
	assert_true(WIFSIGNALED(death.status));
	assert_int_equal(WTERMSIG(death.status), SIGSEGV);
	test_observer_listen(&observer);
}

static int begin(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
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
		cmocka_unit_test(timestamps_go_up_whatever_the_clock_says),
		cmocka_unit_test(after_the_last_timestamp_nothing_is_said),
		cmocka_unit_test(installing_again_does_not_begin_time_again),
		cmocka_unit_test(threads_that_crash_at_once_say_one_word_each_at_most),
		cmocka_unit_test(a_crash_in_the_handler_is_the_end),
		cmocka_unit_test(a_forked_child_speaks_for_itself),
		cmocka_unit_test(an_exhausted_stack_is_told),
		cmocka_unit_test(a_thread_that_blocks_everything_is_told_once_it_asks),
		cmocka_unit_test(a_threads_stack_goes_with_it),
		cmocka_unit_test(nobody_listens_any_more_and_the_death_is_the_same),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
