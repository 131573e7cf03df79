#include "observe/watch_clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "observe/testing.h"

static struct belay__watch_clock clock_under_test;

/* A clock that has just read START_NS. */
static struct belay__watch_clock *start_at(uint64_t start_ns)
{
	test_now_ns = start_ns;
	belay__watch_clock_init(&clock_under_test, CLOCK_MONOTONIC, test_clock, NULL);
	return &clock_under_test;
}

static void the_kernels_clock_is_read_where_the_host_has_none(void **state)
{
	struct belay__watch_clock clock;
	uint64_t first;
	(void)state;

	belay__watch_clock_init(&clock, CLOCK_BOOTTIME, NULL, NULL);
	assert_true(clock.start_ns > 0);
	assert_true(clock.start_ns == clock.now_ns);
	first = belay__watch_clock_now(&clock);
	assert_true(first >= clock.start_ns);
	assert_true(belay__watch_clock_now(&clock) >= first);
	assert_int_equal(clock.regressions, 0);
}

static void readings_are_taken_as_they_come(void **state)
{
	struct belay__watch_clock *clock = start_at(7);
	(void)state;

	test_now_ns = 8;
	assert_int_equal(belay__watch_clock_now(clock), 8);
	assert_int_equal(belay__watch_clock_now(clock), 8);
	test_now_ns = 9;
	assert_int_equal(belay__watch_clock_now(clock), 9);
	assert_int_equal(clock->start_ns, 7);
	assert_int_equal(clock->regressions, 0);
	assert_int_equal(clock->jumps_forward, 0);
}

static void a_step_back_is_held_and_counted_each_time(void **state)
{
	struct belay__watch_clock *clock = start_at(0);
	(void)state;

	assert_true(belay__watch_clock_feed(clock, UINT64_MAX / 2) == UINT64_MAX / 2);
	assert_true(belay__watch_clock_feed(clock, 1000) == UINT64_MAX / 2);
	assert_int_equal(clock->regressions, 1);
	assert_true(belay__watch_clock_feed(clock, UINT64_MAX / 2 - 1) == UINT64_MAX / 2);
	assert_int_equal(clock->regressions, 2);
	assert_true(belay__watch_clock_feed(clock, UINT64_MAX / 2) == UINT64_MAX / 2);
	assert_int_equal(clock->regressions, 2);
}

static void a_leap_is_counted_above_five_seconds_only(void **state)
{
	static const struct {
		uint64_t advance_ns, jumps;
	} rows[] = {
		{ 10 * TEST_S, 1 },
		{ 2 * TEST_S, 0 },
		{ 5 * TEST_S, 0 },
		{ 5 * TEST_S + 1, 1 },
		{ 0, 0 },
	};
	(void)state;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay__watch_clock *clock = start_at(TEST_MS);

		assert_int_equal(belay__watch_clock_feed(clock, TEST_MS + rows[i].advance_ns),
			TEST_MS + rows[i].advance_ns);
		assert_int_equal(clock->jumps_forward, rows[i].jumps);
		assert_int_equal(clock->regressions, 0);
	}
}

static void a_first_reading_far_from_zero_is_no_leap(void **state)
{
	struct belay__watch_clock *clock = start_at(0);
	(void)state;

	assert_int_equal(belay__watch_clock_feed(clock, 10 * TEST_S), 10 * TEST_S);
	assert_int_equal(clock->jumps_forward, 0);
	assert_int_equal(belay__watch_clock_feed(clock, 20 * TEST_S), 20 * TEST_S);
	assert_int_equal(clock->jumps_forward, 1);
}

static void a_pause_belongs_to_the_silences_it_lies_in(void **state)
{
	struct belay__watch_clock *clock = start_at(100);
	(void)state;

	assert_int_equal(belay__watch_clock_late_since(clock, 0), 0);
	(void)belay__watch_clock_feed(clock, 200);
	belay__watch_clock_was_late(clock, 30);
	assert_int_equal(belay__watch_clock_late_since(clock, 0), 30);
	assert_int_equal(belay__watch_clock_late_since(clock, 199), 30);
	assert_int_equal(belay__watch_clock_late_since(clock, 200), 30);
	assert_int_equal(belay__watch_clock_late_since(clock, 201), 0);
	assert_int_equal(clock->credit_ns, 30);
	(void)belay__watch_clock_feed(clock, 300);
	belay__watch_clock_was_late(clock, 50);
	assert_int_equal(clock->credit_ns, 80);
	assert_int_equal(belay__watch_clock_late_since(clock, 250), 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_kernels_clock_is_read_where_the_host_has_none),
		cmocka_unit_test(readings_are_taken_as_they_come),
		cmocka_unit_test(a_step_back_is_held_and_counted_each_time),
		cmocka_unit_test(a_leap_is_counted_above_five_seconds_only),
		cmocka_unit_test(a_first_reading_far_from_zero_is_no_leap),
		cmocka_unit_test(a_pause_belongs_to_the_silences_it_lies_in),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
