/* Rules that expect processes: who never came, and who went and did not come back. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/core.h"
#include "observe/testing.h"

static struct house house;
static int fds_before;
static struct belay_observer *observer;

/* The puppets are copies of this program; every one satisfies the first rule. */
static const struct belay__rule rules[] = {
	{ .name = "web",
		.uid = -1,
		.exe = "*",
		.expect = 2,
		.first_beat_ns = 30 * TEST_S,
		.threshold_ns = 60 * TEST_S },
	{ .name = "absent",
		.uid = -1,
		.comm = "no-such-program",
		.expect = 1,
		.first_beat_ns = 50 * TEST_S },
	{ .name = "whoever", .uid = -1, .comm = "no-such-program" },
};

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	house_open(&house);
	observer = observer_start(&house, NULL);
	belay__observer_set_rules(observer, rules, 3);
	event_none(observer);
	return 0;
}

static int end(void **state)
{
	(void)state;
	observer = belay_observer_free(observer);
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

static void assert_missing(const char *name, uint64_t beating, uint64_t expected)
{
	const struct belay_event *event = event_take(observer, BELAY_EVENT_MISSING);

	assert_string_equal(event->name, name);
	assert_int_equal(event->beating, beating);
	assert_int_equal(event->expected, expected);
	assert_int_equal(event->pid, 0);
}

static struct puppet beating(void)
{
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;

	puppet_beat(&puppet, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->first);
	assert_string_equal(event->name, "web");
	event_none(observer);
	return puppet;
}

static void who_never_came_is_missing_after_its_time_and_told_once(void **state)
{
	(void)state;
	test_now_ns += 30 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	assert_missing("web", 0, 2);
	event_none(observer);
	test_now_ns += 20 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	assert_missing("absent", 0, 1);
	test_now_ns += 1000 * TEST_S;
	event_none(observer);
}

static void enough_of_them_in_time_are_not_missing(void **state)
{
	struct puppet puppets[2];
	(void)state;

	puppets[0] = beating();
	test_now_ns += 30 * TEST_S - 1;
	puppets[1] = beating();
	test_now_ns += 1;
	event_none(observer);
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void too_few_are_told_with_how_many_there_are(void **state)
{
	struct puppet puppet;
	(void)state;

	puppet = beating();
	test_now_ns += 30 * TEST_S;
	assert_missing("web", 1, 2);
	event_none(observer);
	puppet_done(&puppet);
}

static void one_that_goes_has_as_long_to_come_back(void **state)
{
	struct puppet puppets[3];
	const struct belay_event *event;
	(void)state;

	puppets[0] = beating();
	puppets[1] = beating();
	test_now_ns += 40 * TEST_S;
	event_none(observer);
	puppet_exit(&puppets[0], 0);
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	test_now_ns += 10 * TEST_S; /* the other rule's time, too */
	puppet_beat(&puppets[1], BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	assert_missing("absent", 0, 1);
	event_none(observer);
	test_now_ns += 20 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	assert_missing("web", 1, 2);
	event_none(observer);
	/* It comes back, which is told, and goes again: that is told again. */
	puppets[2] = puppet_start(&house);
	puppet_beat(&puppets[2], BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event = event_take(observer, BELAY_EVENT_COMPLETE);
	assert_string_equal(event->name, "web");
	assert_int_equal(event->beating, 2);
	assert_int_equal(event->expected, 2);
	event_none(observer);
	puppet_exit(&puppets[2], 0);
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	test_now_ns += 30 * TEST_S;
	assert_missing("web", 1, 2);
	event_none(observer);
	puppet_reap(&puppets[0]);
	puppet_done(&puppets[1]);
	puppet_reap(&puppets[2]);
}

static void a_rule_has_its_own_threshold(void **state)
{
	struct puppet puppets[2];
	const struct belay_event *event;
	(void)state;

	puppets[0] = beating();
	puppets[1] = beating();
	test_now_ns += 40 * TEST_S;
	event_none(observer);
	test_now_ns += 20 * TEST_S;
	for (unsigned i = 0; i < 2; i++) {
		event = event_take(observer, BELAY_EVENT_STALL);
		assert_string_equal(event->name, "web");
		assert_int_equal(event->threshold_ns, 60 * TEST_S);
	}
	/* Stalled processes are there. */
	assert_missing("absent", 0, 1);
	event_none(observer);
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void with_a_clock_of_the_hosts_no_expectation_wakes_it(void **state)
{
	(void)state;
	assert_false(observer_readable(observer, 20));
	test_now_ns += 100 * TEST_S;
	assert_false(observer_readable(observer, 20));
	assert_missing("web", 0, 2);
}

static void on_real_time_the_descriptor_wakes_for_an_expectation(void **state)
{
	static const struct belay__rule soon = { .name = "soon",
		.uid = -1,
		.comm = "no-such-program",
		.expect = 1,
		.first_beat_ns = 50 * TEST_MS };
	struct house other = house;
	struct belay_observer *real;
	(void)state;

	(void)strcat(other.path, "2");
	real = observer_start(&other, &(struct belay_observer_options){ .capacity = 16 });
	belay__observer_set_rules(real, &soon, 1);
	event_none(real);
	assert_true(observer_readable(real, 10000));
	assert_string_equal(event_take(real, BELAY_EVENT_MISSING)->name, "soon");
	event_none(real);
	belay_observer_free(real);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_never_came_is_missing_after_its_time_and_told_once),
		TEST(enough_of_them_in_time_are_not_missing),
		TEST(too_few_are_told_with_how_many_there_are),
		TEST(one_that_goes_has_as_long_to_come_back),
		TEST(a_rule_has_its_own_threshold),
		TEST(with_a_clock_of_the_hosts_no_expectation_wakes_it),
		TEST(on_real_time_the_descriptor_wakes_for_an_expectation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
