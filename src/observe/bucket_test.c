#include "observe/bucket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)

static void a_bucket_starts_full_and_is_emptied_by_its_burst(void **state)
{
	struct belay__bucket bucket;
	(void)state;

	belay__bucket_init(&bucket, 10, 3, 500);
	for (int i = 0; i < 3; i++)
		assert_true(belay__bucket_take(&bucket, 500));
	assert_false(belay__bucket_take(&bucket, 500));
}

static void either_number_of_0_turns_it_off(void **state)
{
	static const struct {
		uint64_t per_second, burst;
	} off[] = { { 0, 5 }, { 5, 0 }, { 0, 0 } };
	(void)state;

	for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
		struct belay__bucket bucket;

		belay__bucket_init(&bucket, off[i].per_second, off[i].burst, 0);
		for (int k = 0; k < 1000; k++)
			assert_true(belay__bucket_take(&bucket, 0));
	}
}

static void a_token_comes_back_exactly_when_it_is_due(void **state)
{
	struct belay__bucket bucket;
	(void)state;

	/* Three a second: a third of a second is no whole number of nanoseconds. */
	belay__bucket_init(&bucket, 3, 1, 0);
	assert_true(belay__bucket_take(&bucket, 0));
	assert_false(belay__bucket_take(&bucket, 333333333));
	assert_true(belay__bucket_take(&bucket, 333333334));
}

/* However often it is asked, no part of a token is lost or won. */
static void many_small_refills_equal_one_large(void **state)
{
	static const uint64_t rates[] = { 1, 3, 7, 999, 1000, 4999, 5000, 1000003 };
	(void)state;

	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		struct belay__bucket often, once;
		uint64_t now_ns = 0, taken = 0;

		belay__bucket_init(&often, rates[i], 1000000000, 0);
		often.level_milli = 0;
		once = often;
		for (unsigned k = 1; k <= 20000; k++) {
			now_ns += 1 + k * 37 % 1999;
			taken += belay__bucket_take(&often, now_ns);
		}
		/* Asked once, after all that time, for what was taken: the same rest must be left. */
		bool last = belay__bucket_take(&once, now_ns);
		assert_int_equal(once.level_milli + (last ? 1000 : 0),
			often.level_milli + taken * 1000);
		assert_int_equal(once.remainder, often.remainder);
		assert_int_equal(once.level_milli * 1000000 + (last ? UINT64_C(1000000000) : 0) +
				once.remainder,
			now_ns * rates[i]);
	}
}

static void a_full_bucket_gains_nothing(void **state)
{
	struct belay__bucket bucket;
	(void)state;

	belay__bucket_init(&bucket, 1000, 2, 0);
	assert_true(belay__bucket_take(&bucket, 3600 * SECOND_NS + 1));
	assert_true(belay__bucket_take(&bucket, 3600 * SECOND_NS + 1));
	assert_false(belay__bucket_take(&bucket, 3600 * SECOND_NS + 1));
	/* Nothing of that hour is left over: the next token needs its full millisecond. */
	assert_false(belay__bucket_take(&bucket, 3600 * SECOND_NS + 1000000));
	assert_true(belay__bucket_take(&bucket, 3600 * SECOND_NS + 1000001));
}

static void time_that_runs_backwards_gains_nothing(void **state)
{
	struct belay__bucket bucket;
	(void)state;

	belay__bucket_init(&bucket, 1, 1, 10 * SECOND_NS);
	assert_true(belay__bucket_take(&bucket, 10 * SECOND_NS));
	assert_false(belay__bucket_take(&bucket, 5 * SECOND_NS));
	assert_false(belay__bucket_take(&bucket, 11 * SECOND_NS - 1));
	assert_true(belay__bucket_take(&bucket, 11 * SECOND_NS));
}

static void a_gain_past_all_counting_fills(void **state)
{
	struct belay__bucket bucket;
	(void)state;

	belay__bucket_init(&bucket, UINT64_MAX, UINT64_MAX, 0);
	bucket.level_milli = 0;
	assert_true(belay__bucket_take(&bucket, UINT64_MAX));
	assert_int_equal(bucket.level_milli, UINT64_MAX - 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_starts_full_and_is_emptied_by_its_burst),
		cmocka_unit_test(either_number_of_0_turns_it_off),
		cmocka_unit_test(a_token_comes_back_exactly_when_it_is_due),
		cmocka_unit_test(many_small_refills_equal_one_large),
		cmocka_unit_test(a_full_bucket_gains_nothing),
		cmocka_unit_test(time_that_runs_backwards_gains_nothing),
		cmocka_unit_test(a_gain_past_all_counting_fills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
