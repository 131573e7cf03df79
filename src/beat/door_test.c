#include "beat/door.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_observer.h"

static struct test_observer observer;

static int without_a_door(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	return 0;
}

static int with_a_door(void **state)
{
	(void)without_a_door(state);
	test_observer_open_door(&observer);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	test_observer_done(&observer);
	return 0;
}

static void a_long_silence_is_announced_with_the_last_nonce(void **state)
{
	struct belay *belay = belay_open(observer.path);
	struct belay__hello hello;
	(void)state;

	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(belay_beat_within(belay, 90000), 0);

	assert_true(test_observer_hear(&observer, &hello));
	assert_int_equal(hello.type, BELAY__HELLO_WITHIN);
	assert_int_equal(hello.nonce, 2);
	assert_int_equal(hello.value, 90000);
	assert_false(test_observer_hear(&observer, &hello));
	belay_close(belay);
}

static void an_observer_without_a_door_is_told_nothing(void **state)
{
	struct belay *belay = belay_open(observer.path);
	(void)state;

	assert_int_equal(belay_beat_within(belay, 1), -ENOTSUP);
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	belay_close(belay);
}

static void a_door_nobody_opens_is_none(void **state)
{
	(void)state;

	close(observer.door);
	observer.door = -EBADF;
	assert_int_equal(belay__door_within(observer.path, 1, 1), -ENOTSUP);
}

static void a_path_with_no_room_for_a_door_has_none(void **state)
{
	char path[BELAY__SOCKET_PATH_SIZE];
	(void)state;

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(belay__door_within(path, 1, 1), -ENOTSUP);
}

static void a_crowd_before_the_door_is_not_waited_for(void **state)
{
	int r = 0;
	(void)state;

	for (int i = 0; i < 100 && r == 0; i++)
		r = belay__door_within(observer.path, 1, 1);
	assert_int_equal(r, -EAGAIN);
}

static void without_an_observer_there_is_nobody_to_tell(void **state)
{
	struct belay *belay;
	(void)state;

	test_observer_leave(&observer);
	belay = belay_open(observer.path);
	assert_int_equal(belay_beat_within(belay, 1), -ENOENT);

	test_observer_listen(&observer);
	assert_int_equal(belay_beat_within(belay, 1), 0);
	belay_close(belay);
}

static void whoever_beat_says_goodbye(void **state)
{
	struct belay *belay = belay_open(observer.path);
	struct belay__hello hello;
	(void)state;

	assert_sent(belay_beat(belay, BELAY_OK, 0));
	errno = ERANGE;
	belay_close(belay);
	assert_int_equal(errno, ERANGE);

	assert_true(test_observer_hear(&observer, &hello));
	assert_int_equal(hello.type, BELAY__HELLO_GOODBYE);
	assert_int_equal(hello.nonce, 1);
	assert_false(test_observer_hear(&observer, &hello));
}

static void whoever_never_beat_has_nothing_to_say(void **state)
{
	struct belay *belay = belay_open(observer.path);
	struct belay__hello hello;
	(void)state;

	belay_close(belay);
	assert_false(test_observer_hear(&observer, &hello));
}

static bool close_only(void *belay)
{
	belay_close(belay);
	return true;
}

static bool beat_and_close(void *belay)
{
	bool sent = belay_beat(belay, BELAY_OK, 0).sent == BELAY_SENT;

	belay_close(belay);
	return sent;
}

static void a_child_speaks_for_itself_only(void **state)
{
	struct belay *belay = belay_open(observer.path);
	struct belay__hello hello;
	(void)state;

	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_in_child(close_only, belay);
	assert_false(test_observer_hear(&observer, &hello));

	assert_in_child(beat_and_close, belay);
	assert_true(test_observer_hear(&observer, &hello));
	assert_int_equal(hello.type, BELAY__HELLO_GOODBYE);

	assert_sent(belay_beat(belay, BELAY_OK, 0)); /* the parent's connection lives on */
	belay_close(belay);
}

static bool announce(void *belay)
{
	return belay_beat_within(belay, 5) == 0 && belay_fork_recoveries(belay) == 1;
}

static void a_child_that_announces_a_silence_starts_its_own_count(void **state)
{
	struct belay *belay = belay_open(observer.path);
	struct belay__hello hello;
	(void)state;

	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_in_child(announce, belay);
	assert_true(test_observer_hear(&observer, &hello));
	assert_int_equal(hello.nonce, 0);
	belay_close(belay);
}

int main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(with_a_door, a_long_silence_is_announced_with_the_last_nonce),
		WITH(without_a_door, an_observer_without_a_door_is_told_nothing),
		WITH(with_a_door, a_door_nobody_opens_is_none),
		WITH(without_a_door, a_path_with_no_room_for_a_door_has_none),
		WITH(with_a_door, a_crowd_before_the_door_is_not_waited_for),
		WITH(with_a_door, without_an_observer_there_is_nobody_to_tell),
		WITH(with_a_door, whoever_beat_says_goodbye),
		WITH(with_a_door, whoever_never_beat_has_nothing_to_say),
		WITH(with_a_door, a_child_speaks_for_itself_only),
		WITH(with_a_door, a_child_that_announces_a_silence_starts_its_own_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
