/* Problems: what was told of somebody, and is not over. */

#include "observe/alerts_testing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "observe/problems.h"

static void a_problem_that_goes_on_is_told_again_after_four_hours(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	assert_told(TOLD("a", "\"stall\"") "=1\n");
	add(BELAY__ALERT_STALL, "a");
	pass(HOUR);
	add_line(BELAY__ALERT_STALL, "a", "{\"n\":\"newest\"}", 0);
	hand_over();
	assert_told("");
	pass(3 * HOUR);
	hand_over();
	assert_told("{\"n\":\"newest\",\"uid\":1000,\"alert\":\"stall\",\"repeats\":2,\"reminder\":"
		    "1}\n=1\n");
	pass(4 * HOUR);
	hand_over();
	assert_told("{\"n\":\"newest\",\"uid\":1000,\"alert\":\"stall\",\"reminder\":2}\n=1\n");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_STALL), 3);
}

static void problems_differ_by_kind_uid_and_name(void **state)
{
	struct belay__msg_alert other = { .kind = BELAY__ALERT_STALL,
		.uid = 1001,
		.name = "a",
		.len = 7,
		.line = "{\"u\":1}" };
	(void)state;

	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_STALL, "b");
	belay__alerts_add(house.alerts, &other);
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	assert_told(TOLD("a", "\"stall\"") TOLD("a", "\"crash\"")
			TOLD("b", "\"stall\"") "{\"u\":1,\"uid\":1001,\"alert\":\"stall\"}\n=4\n");
}

static void a_recovery_is_always_told_and_closes_its_problems(void **state)
{
	(void)state;
	add(BELAY__ALERT_RECOVERED, "unknown");
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_RECOVERED, "a");
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	assert_told(TOLD("unknown", "\"recovered\",\"recovers\":[]") TOLD("a", "\"stall\"")
			TOLD("a", "\"crash\"") TOLD("a",
				"\"recovered\",\"repeats\":1,\"recovers\":[\"stall\","
				"\"crash\"]") TOLD("a", "\"stall\"") "=5\n");
	add(BELAY__ALERT_RECOVERED, "a");
	hand_over();
	assert_told(TOLD("a", "\"recovered\",\"recovers\":[\"stall\"]") "=1\n");
	/* Nothing is left to remind of. */
	pass(5 * HOUR);
	hand_over();
	assert_told("");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_RECOVERED), 3);
}

static void actions_are_told_with_the_problem_that_led_to_them(void **state)
{
	(void)state;
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_ACTION, "a");
	add(BELAY__ALERT_ACTION, "a");
	add(BELAY__ALERT_ACTION, "nobody");
	hand_over();
	assert_told(TOLD("a", "\"crash\"") TOLD("a", "\"action\"") TOLD("a", "\"action\"")
			TOLD("nobody", "\"action\"") "=4\n");
	/* A crash that was only counted, and so are its actions. */
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_ACTION, "a");
	hand_over();
	assert_told("");
	pass(4 * HOUR);
	add(BELAY__ALERT_ACTION, "a");
	hand_over();
	assert_told(
		TOLD("a", "\"crash\",\"repeats\":1,\"reminder\":1") TOLD("a", "\"action\"") "=2\n");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_ACTION), 4);
}

static void of_processes_that_share_a_name_the_first_action_is_told(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_ACTION, "a");
	add(BELAY__ALERT_ACTION, "a");
	hand_over();
	assert_told(TOLD("a", "\"stall\"") TOLD("a", "\"action\"") "=2\n");
}

static void nobody_is_reminded_for_more_than_a_week(void **state)
{
	struct belay__telling telling;
	struct belay__problems *problems;
	const struct belay__msg_alert alert = { .kind = BELAY__ALERT_CRASH, .len = 2, .line = "{}" };
	uint64_t now_ns = S;
	size_t len;
	(void)state;

	assert_int_equal(belay__problems_new(&problems), 0);
	assert_true(belay__problems_due_ns(problems) == UINT64_MAX);
	assert_true(belay__problems_note(problems, &alert, now_ns, &telling));
	for (uint32_t i = 1; i <= BELAY__PROBLEM_REMINDERS_MAX; i++) {
		now_ns += 4 * HOUR;
		assert_true(belay__problems_due_ns(problems) == now_ns);
		assert_null(belay__problems_remind(problems, now_ns - 1, &telling, &len));
		assert_non_null(belay__problems_remind(problems, now_ns, &telling, &len));
		assert_int_equal(telling.reminders, i);
		assert_null(belay__problems_remind(problems, now_ns, &telling, &len));
	}
	assert_null(belay__problems_remind(problems, now_ns + 4 * HOUR, &telling, &len));
	assert_int_equal(belay__problems_count(problems), 0);
	assert_true(belay__problems_note(problems, &alert, now_ns, &telling));
	assert_null(belay__problems_free(problems));
	assert_null(belay__problems_free(NULL));
}

static void the_problem_told_longest_ago_makes_room(void **state)
{
	struct belay__msg_alert alert = { .kind = BELAY__ALERT_STALL, .len = 2, .line = "{}" };
	struct belay__telling telling;
	struct belay__problems *problems;
	(void)state;

	assert_int_equal(belay__problems_new(&problems), 0);
	for (uint32_t i = 0; i <= BELAY__PROBLEMS_MAX; i++) {
		assert_int_equal(belay__problems_forgotten(problems), 0);
		alert.uid = i;
		assert_true(belay__problems_note(problems, &alert, i, &telling));
	}
	assert_int_equal(belay__problems_count(problems), BELAY__PROBLEMS_MAX);
	assert_int_equal(belay__problems_forgotten(problems), 1);
	alert.uid = 1;
	assert_false(belay__problems_note(problems, &alert, 1, &telling));
	alert.uid = 0;
	assert_true(belay__problems_note(problems, &alert, 1, &telling));
	assert_null(belay__problems_free(problems));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_house, close_house)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_problem_that_goes_on_is_told_again_after_four_hours),
		TEST(problems_differ_by_kind_uid_and_name),
		TEST(a_recovery_is_always_told_and_closes_its_problems),
		TEST(actions_are_told_with_the_problem_that_led_to_them),
		TEST(of_processes_that_share_a_name_the_first_action_is_told),
		TEST(nobody_is_reminded_for_more_than_a_week),
		TEST(the_problem_told_longest_ago_makes_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
