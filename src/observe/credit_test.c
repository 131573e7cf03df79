/* Time in which the observer did not look is nobody's silence. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/core.h"
#include "observe/testing.h"

static struct house house;
static int fds_before;
static struct belay_observer *observer;

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	house_open(&house);
	observer = observer_start(&house, NULL);
	return 0;
}

static int end(void **state)
{
	(void)state;
	observer = belay_observer_free(observer);
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

static struct puppet beating(void)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	return puppet;
}

static void who_was_not_heard_since_gets_the_time_back_and_nobody_else(void **state)
{
	struct puppet before, after;
	const struct belay_event *event;
	uint64_t pause_end_ns;
	(void)state;

	before = beating();
	test_now_ns += 600 * TEST_MS; /* of which 500 were a pause */
	pause_end_ns = test_now_ns;
	after = beating();
	belay__credit(observer, pause_end_ns, 500 * TEST_MS);
	belay__table_check(&observer->table);
	assert_int_equal(counter_of(observer, "observer_late_total", ""), 1);
	test_now_ns += 900 * TEST_MS - 1;
	event_none(observer);
	test_now_ns += 1;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(event->pid, before.pid);
	assert_int_equal(event->silent_ns, TEST_S);
	event_none(observer);
	test_now_ns += 100 * TEST_MS;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, after.pid);
	puppet_done(&before);
	puppet_done(&after);
}

static void nobody_is_heard_in_the_future(void **state)
{
	struct puppet puppet = beating();
	(void)state;

	test_now_ns += 100 * TEST_MS;
	event_none(observer);
	belay__credit(observer, test_now_ns, 500 * TEST_MS);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	test_now_ns += TEST_S;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->silent_ns, TEST_S);
	puppet_done(&puppet);
}

static void announced_silences_are_prolonged_too(void **state)
{
	struct puppet puppet = beating();
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_WITHIN,
		.nonce = 1,
		.value = 3000 };
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event_none(observer);
	test_now_ns += TEST_S;
	event_none(observer);
	belay__credit(observer, test_now_ns, TEST_S);
	test_now_ns += 3 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
}

static void expectations_are_prolonged_too(void **state)
{
	static const struct belay__rule rule = { .name = "web",
		.uid = -1,
		.comm = "no-such-program",
		.expect = 1,
		.first_beat_ns = 10 * TEST_S };
	(void)state;

	belay__observer_set_rules(observer, &rule, 1);
	event_none(observer);
	test_now_ns += 5 * TEST_S;
	event_none(observer);
	belay__credit(observer, test_now_ns, 2 * TEST_S);
	test_now_ns += 7 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	(void)event_take(observer, BELAY_EVENT_MISSING);
}

static void nobody_gets_more_than_a_fresh_threshold(void **state)
{
	struct puppet puppet = beating();
	(void)state;

	test_now_ns += 1;
	event_none(observer);
	belay__credit(observer, test_now_ns, UINT64_MAX);
	belay__table_check(&observer->table);
	test_now_ns += TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->silent_ns, TEST_S);
	puppet_done(&puppet);
}

static void who_was_heard_since_stays_behind_those_who_were_not(void **state)
{
	struct puppet puppets[3];
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		puppets[i] = beating();
		test_now_ns += 100 * TEST_MS;
	}
	belay__credit(observer, test_now_ns - 150 * TEST_MS,
		10 * TEST_S); /* the third beat after the pause */
	belay__table_check(&observer->table);
	test_now_ns += 2 * TEST_S;
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, puppets[i].pid);
	for (unsigned i = 0; i < 3; i++)
		puppet_done(&puppets[i]);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_was_not_heard_since_gets_the_time_back_and_nobody_else),
		TEST(nobody_is_heard_in_the_future),
		TEST(announced_silences_are_prolonged_too),
		TEST(expectations_are_prolonged_too),
		TEST(nobody_gets_more_than_a_fresh_threshold),
		TEST(who_was_heard_since_stays_behind_those_who_were_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
