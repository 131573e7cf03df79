#include "ipc/closer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "ipc/testing.h"

/* Numbers that no descriptor has: closing one of the first kind returns at once, of the second
 * when the gate opens. */
#define QUICK 1000000
#define SLOW  2000000

#define QUEUE_SIZE 16384

int __real_close(int fd);
int __wrap_close(int fd);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
	void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
	void *data);

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_opens = PTHREAD_COND_INITIALIZER;
static bool gate_is_open;
static atomic_int held_up, let_through, signals_open;
static bool no_threads;
static void (*when_locked)(void); /* called once, the closer's mutex being held */

int __wrap_close(int fd)
{
	sigset_t blocked;

	if (fd < QUICK)
		return __real_close(fd);

	(void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	if (!sigismember(&blocked, SIGTERM) || !sigismember(&blocked, SIGCHLD))
		atomic_fetch_add(&signals_open, 1);
	if (fd < SLOW)
		return 0;

	(void)pthread_mutex_lock(&gate);
	atomic_fetch_add(&held_up, 1);
	while (!gate_is_open)
		(void)pthread_cond_wait(&gate_opens, &gate);
	atomic_fetch_sub(&held_up, 1);
	atomic_fetch_add(&let_through, 1);
	(void)pthread_mutex_unlock(&gate);
	return 0;
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
	void *data)
{
	void (*call)(void) = when_locked;

	when_locked = NULL;
	if (call != NULL)
		call();
	return no_threads ? EAGAIN : __real_pthread_create(thread, attributes, run, data);
}

static void set_gate(bool open)
{
	(void)pthread_mutex_lock(&gate);
	gate_is_open = open;
	(void)pthread_cond_broadcast(&gate_opens);
	(void)pthread_mutex_unlock(&gate);
}

static void wait_for(atomic_int *value, int count)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + 10 * BELAY__NS_PER_S;

	while (atomic_load(value) != count) {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < give_up_ns);
		(void)sched_yield();
	}
}

static void assert_counts(const struct belay__closer *closer, uint64_t taken, uint64_t closed,
	uint64_t leaked)
{
	uint64_t got_taken, got_closed, got_leaked;

	belay__closer_counts(closer, &got_taken, &got_closed, &got_leaked);
	assert_int_equal(got_taken, taken);
	assert_int_equal(got_closed, closed);
	assert_int_equal(got_leaked, leaked);
}

static int set_up(void **state)
{
	struct belay__closer *closer = NULL;

	set_gate(false);
	no_threads = false;
	when_locked = NULL;
	assert_int_equal(belay__closer_new(&closer), 0);
	*state = closer;
	return 0;
}

static int tear_down(void **state)
{
	set_gate(true);
	assert_null(belay__closer_free(*state));
	wait_for(&held_up, 0);
	assert_int_equal(atomic_load(&signals_open), 0);
	return 0;
}

static void freeing_nothing_is_allowed(void **state)
{
	(void)state;
	assert_null(belay__closer_free(NULL));
}

static void what_is_taken_is_closed(void **state)
{
	struct belay__closer *closer = *state;
	int ends[2];
	struct pollfd end;

	assert_counts(closer, 0, 0, 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	belay__closer_take(closer, ends[1]);
	end = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	assert_int_equal(poll(&end, 1, 10000), 1);
	assert_true((end.revents & POLLHUP) != 0);
	(void)close(ends[0]);
	test_wait_closed(closer, 1);
	assert_counts(closer, 1, 1, 0);
}

static void many_are_closed(void **state)
{
	struct belay__closer *closer = *state;

	for (int burst = 1; burst <= 20; burst++) {
		for (int i = 0; i < 253; i++)
			belay__closer_take(closer, QUICK + i);
		test_wait_closed(closer, (uint64_t)burst * 253);
	}
}

static void another_takes_over_from_who_is_held_up(void **state)
{
	struct belay__closer *closer = *state;
	uint64_t closed = 0;

	/* The queue goes on moving until the last thread is held up, then it waits. */
	for (int slow = 1; slow < BELAY__CLOSER_THREADS; slow++) {
		belay__closer_take(closer, SLOW);
		for (int i = 0; i < 10; i++)
			belay__closer_take(closer, QUICK);
		closed += 10;
		test_wait_closed(closer, closed);
		wait_for(&held_up, slow);
	}
	set_gate(true);
	test_wait_closed(closer, closed + BELAY__CLOSER_THREADS - 1);
}

static void when_all_are_held_up_the_rest_waits_and_the_excess_is_counted(void **state)
{
	struct belay__closer *closer = *state;

	for (int i = 0; i < BELAY__CLOSER_THREADS; i++)
		belay__closer_take(closer, SLOW);
	wait_for(&held_up, BELAY__CLOSER_THREADS);

	for (int i = 0; i < QUEUE_SIZE; i++)
		belay__closer_take(closer, QUICK);
	assert_counts(closer, BELAY__CLOSER_THREADS + QUEUE_SIZE, 0, 0);
	for (int i = 0; i < 5; i++)
		belay__closer_take(closer, QUICK);
	assert_counts(closer, BELAY__CLOSER_THREADS + QUEUE_SIZE + 5, 0, 5);

	set_gate(true);
	test_wait_closed(closer, BELAY__CLOSER_THREADS + QUEUE_SIZE);
	belay__closer_take(closer, QUICK);
	test_wait_closed(closer, BELAY__CLOSER_THREADS + QUEUE_SIZE + 1);
}

static void a_closer_can_be_freed_while_all_are_held_up(void **state)
{
	struct belay__closer *closer = NULL;

	(void)state;
	atomic_store(&let_through, 0);
	assert_int_equal(belay__closer_new(&closer), 0);
	for (int i = 0; i < BELAY__CLOSER_THREADS + 3; i++)
		belay__closer_take(closer, SLOW);
	wait_for(&held_up, BELAY__CLOSER_THREADS);
	closer = belay__closer_free(closer);
	assert_null(closer);
	set_gate(true);
	wait_for(&let_through, BELAY__CLOSER_THREADS + 3); /* what was taken is still closed */
}

static void without_threads_strays_wait_for_one(void **state)
{
	struct belay__closer *closer = *state;

	no_threads = true;
	for (int i = 0; i < QUEUE_SIZE; i++)
		belay__closer_take(closer, QUICK);
	assert_counts(closer, QUEUE_SIZE, 0, 0);
	belay__closer_take(closer, QUICK);
	assert_counts(closer, QUEUE_SIZE + 1, 0, 1);
	no_threads = false;
	belay__closer_take(closer, QUICK); /* for which there may be no room yet */
	test_wait_closed(closer, QUEUE_SIZE);
	belay__closer_take(closer, QUICK);
	test_wait_closed(closer, QUEUE_SIZE + 1);
}

static void what_found_no_thread_gets_one_at_the_end(void **state)
{
	struct belay__closer *closer = NULL;
	int ends[2];
	struct pollfd end;

	(void)state;
	assert_int_equal(belay__closer_new(&closer), 0);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	no_threads = true;
	belay__closer_take(closer, ends[1]);
	no_threads = false;
	closer = belay__closer_free(closer);
	end = (struct pollfd){ .fd = ends[0], .events = POLLIN };
	assert_int_equal(poll(&end, 1, 10000), 1);
	(void)close(ends[0]);
}

static void without_threads_an_empty_unix_stream_is_closed_here(void **state)
{
	static const struct {
		int type;
		bool waits, as_stream, closed;
	} cases[] = {
		{ SOCK_STREAM, false, true, true },
		{ SOCK_STREAM, true, true, false },
		{ SOCK_STREAM, false, false, false },
		{ SOCK_SEQPACKET, false, true, false },
		{ SOCK_DGRAM, false, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__closer *closer = NULL;
		int ends[2];

		assert_int_equal(belay__closer_new(&closer), 0);
		assert_int_equal(socketpair(AF_UNIX, cases[i].type | SOCK_CLOEXEC, 0, ends), 0);
		if (cases[i].waits)
			assert_int_equal(write(ends[0], "x", 1), 1);
		no_threads = true;
		if (cases[i].as_stream)
			belay__closer_take_stream(closer, ends[1]);
		else
			belay__closer_take(closer, ends[1]);
		assert_counts(closer, 1, cases[i].closed, 0);
		assert_int_equal(fcntl(ends[1], F_GETFD) < 0, cases[i].closed);
		/* The next one finds a thread, for both. */
		no_threads = false;
		belay__closer_take(closer, QUICK);
		test_wait_closed(closer, 2);
		assert_int_equal(fcntl(ends[1], F_GETFD), -1);
		(void)close(ends[0]);
		belay__closer_free(closer);
	}
}

static void hanging_up_is_left_to_the_thread_only_if_something_waits(void **state)
{
	struct belay__closer *closer = *state;

	for (uint64_t waits = 0; waits < 2; waits++) {
		int ends[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
		if (waits)
			assert_int_equal(test_send(ends[0], "x", 1, 0, 1), 0);
		belay__closer_hang_up(closer, ends[1]);
		test_wait_closed(closer, waits);
		assert_counts(closer, waits, waits, 0);
		assert_int_equal(fcntl(ends[1], F_GETFD), -1);
		(void)close(ends[0]);
	}
}

/* In a child: a pipe is closed although no thread of the parent is here. */
static void go_on(struct belay__closer *closer)
{
	struct pollfd end = { .events = POLLIN };
	uint64_t taken, closed, leaked;
	int ends[2];

	(void)alarm(20); /* instead of waiting for a mutex for good */
	if (pipe2(ends, O_CLOEXEC) < 0)
		_exit(1);
	end.fd = ends[0];
	belay__closer_take(closer, ends[1]);
	if (poll(&end, 1, 10000) != 1)
		_exit(2);
	do
		belay__closer_counts(closer, &taken, &closed, &leaked);
	while (closed + leaked < taken);
	belay__closer_free(closer);
	_exit((int)leaked + 10);
}

static void a_forked_child_goes_on_without_its_parents_threads(void **state)
{
	struct belay__closer *closer = *state;
	pid_t child;

	/* One is held up, and three wait, which are the parent's to close: leaked here. */
	for (int i = 0; i < BELAY__CLOSER_THREADS; i++)
		belay__closer_take(closer, SLOW);
	wait_for(&held_up, BELAY__CLOSER_THREADS);
	for (int i = 0; i < 3; i++)
		belay__closer_take(closer, QUICK);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		go_on(closer);
	assert_int_equal(test_wait_child(child), 10 + BELAY__CLOSER_THREADS + 3);

	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		belay__closer_free(closer);
		_exit(7);
	}
	assert_int_equal(test_wait_child(child), 7);
	set_gate(true);
	test_wait_closed(closer, BELAY__CLOSER_THREADS + 3);
}

static struct belay__closer *locked;
static int status_of_child;

static void *fork_beside(void *data)
{
	pid_t child = fork();

	if (child == 0)
		go_on(locked);
	status_of_child = child < 0 ? -1 : test_wait_child(child);
	return data;
}

static void fork_while_locked(void)
{
	pthread_t thread;

	if (__real_pthread_create(&thread, NULL, fork_beside, NULL) == 0)
		(void)pthread_join(thread, NULL);
}

static void a_forked_child_goes_on_whatever_was_locked(void **state)
{
	locked = *state;
	status_of_child = -1;
	when_locked = fork_while_locked;
	belay__closer_take(locked, QUICK);
	test_wait_closed(locked, 1);
	assert_int_equal(status_of_child, 10 + 1);
}

static void the_shared_closer_is_one_a_process(void **state)
{
	struct belay__closer *closer = belay__closer_shared();
	pid_t child;

	(void)state;
	assert_non_null(closer);
	assert_ptr_equal(belay__closer_shared(), closer);
	belay__closer_take(closer, QUICK);
	test_wait_closed(closer, 1);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct belay__closer *own = belay__closer_shared();

		if (own == NULL || own == closer || belay__closer_shared() != own)
			_exit(1);
		belay__closer_take(own, QUICK);
		test_wait_closed(own, 1);
		_exit(7);
	}
	assert_int_equal(test_wait_child(child), 7);
	assert_ptr_equal(belay__closer_shared(), closer);
	assert_counts(closer, 1, 1, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(freeing_nothing_is_allowed),
		TEST(what_is_taken_is_closed),
		TEST(many_are_closed),
		TEST(another_takes_over_from_who_is_held_up),
		TEST(when_all_are_held_up_the_rest_waits_and_the_excess_is_counted),
		TEST(a_closer_can_be_freed_while_all_are_held_up),
		TEST(without_threads_strays_wait_for_one),
		TEST(what_found_no_thread_gets_one_at_the_end),
		TEST(without_threads_an_empty_unix_stream_is_closed_here),
		TEST(hanging_up_is_left_to_the_thread_only_if_something_waits),
		TEST(a_forked_child_goes_on_without_its_parents_threads),
		TEST(a_forked_child_goes_on_whatever_was_locked),
		TEST(the_shared_closer_is_one_a_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
