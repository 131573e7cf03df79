#include <belay/beat.h>

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_observer.h"

static struct test_observer observer;
static struct belay *belay;

static int beating_parent(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	belay = belay_open(observer.path);
	for (int i = 0; i < 3; i++)
		assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(test_observer_drain(&observer), 3);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	belay_close(belay);
	test_observer_done(&observer);
	return 0;
}

static struct belay_outcome beat(void)
{
	return belay_beat(belay, BELAY_OK, 0);
}

static bool beat_twice(void *argument)
{
	(void)argument;
	return beat().sent == BELAY_SENT && beat().sent == BELAY_SENT &&
		belay_fork_recoveries(belay) == 1;
}

static void assert_two_beats_of_a_child(void)
{
	struct belay_frame frame;

	for (uint64_t nonce = 1; nonce <= 2; nonce++) {
		assert_true(test_observer_take(&observer, &frame));
		assert_int_not_equal(frame.pid, getpid());
		assert_int_equal(frame.nonce, nonce);
		assert_true(frame.timestamp_ns < UINT64_C(1000000000));
	}
}

static void assert_parent_goes_on(void)
{
	struct belay_frame frame;

	assert_sent(beat());
	frame = test_observer_take_only(&observer);
	assert_int_equal(frame.pid, getpid());
	assert_int_equal(frame.nonce, 4);
	assert_int_equal(belay_fork_recoveries(belay), 0);
}

static void a_child_beats_for_itself_from_one(void **state)
{
	(void)state;
	belay->timestamp_ns = UINT64_MAX / 2; /* the child starts its own time */

	assert_in_child(beat_twice, NULL);
	assert_two_beats_of_a_child();
	assert_parent_goes_on();
}

static void a_child_of_a_raw_clone_does_too(void **state)
{
	int status;
	(void)state;

	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(beat_twice(NULL) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_two_beats_of_a_child();
	assert_parent_goes_on();
}

static void a_vfork_changes_nothing(void **state)
{
	int status;
	(void)state;

	pid_t pid = vfork();
	if (pid == 0)
		_exit(0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_parent_goes_on();
}

static bool beat_and_fork_again(void *argument)
{
	pid_t pid;
	int status;
	(void)argument;

	if (beat().sent != BELAY_SENT)
		return false;
	pid = fork();
	if (pid == 0)
		_exit(beat().sent == BELAY_SENT && belay_fork_recoveries(belay) == 2 ? 0 : 1);
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static void a_grandchild_recovers_once_more(void **state)
{
	struct belay_frame frame;
	(void)state;

	assert_in_child(beat_and_fork_again, NULL);
	assert_true(test_observer_take(&observer, &frame));
	uint32_t child = frame.pid;
	assert_true(test_observer_take(&observer, &frame));
	assert_int_not_equal(frame.pid, child);
	assert_int_equal(frame.nonce, 1);
	assert_parent_goes_on();
}

static bool drop_first(void *argument)
{
	(void)argument;
	return beat().reason == BELAY_DROP_NO_OBSERVER && belay->nonce == 0 &&
		belay->connection.fd < 0;
}

static void a_child_never_uses_the_parents_connection(void **state)
{
	(void)state;

	/* Connected sockets still reach the observer; only its name is gone. */
	assert_int_equal(unlink(observer.path), 0);
	belay_set_reconnect_after(belay, 0);
	assert_in_child(drop_first, NULL);
	assert_parent_goes_on();
}

static bool reconnect_by_hand(void *argument)
{
	(void)argument;
	return belay_reconnect(belay) == 0 && beat().sent == BELAY_SENT &&
		belay_fork_recoveries(belay) == 0;
}

static void a_child_that_reconnects_by_hand_goes_on_counting(void **state)
{
	struct belay_frame frame;
	(void)state;

	assert_in_child(reconnect_by_hand, NULL);
	frame = test_observer_take_only(&observer);
	assert_int_not_equal(frame.pid, getpid());
	assert_int_equal(frame.nonce, 4);
	assert_parent_goes_on();
}

static bool count_saturates(void *argument)
{
	(void)argument;
	belay->fork_recoveries = UINT64_MAX;
	return beat().sent == BELAY_SENT && belay_fork_recoveries(belay) == UINT64_MAX;
}

static void the_count_of_recoveries_saturates(void **state)
{
	(void)state;
	assert_in_child(count_saturates, NULL);
}

int main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(beating_parent, a_child_beats_for_itself_from_one),
		WITH(beating_parent, a_child_of_a_raw_clone_does_too),
		WITH(beating_parent, a_vfork_changes_nothing),
		WITH(beating_parent, a_grandchild_recovers_once_more),
		WITH(beating_parent, a_child_never_uses_the_parents_connection),
		WITH(beating_parent, a_child_that_reconnects_by_hand_goes_on_counting),
		WITH(beating_parent, the_count_of_recoveries_saturates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
