#include <belay/handoff.h>

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct belay_handoff_policy willing = { .client_capable = true,
	.service_allows = true };

static int set_up(void **state)
{
	static struct belay_handoff_limiter *limiter;

	*state = &limiter;
	return belay_handoff_limiter_new(2, &limiter);
}

static int tear_down(void **state)
{
	struct belay_handoff_limiter **limiter = *state;

	*limiter = belay_handoff_limiter_free(*limiter);
	return 0;
}

static void fail_times(struct belay_handoff_limiter *limiter, const char *key, unsigned times,
	uint64_t now_ms)
{
	for (unsigned i = 0; i < times; i++)
		belay_handoff_tried(limiter, key, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, now_ms);
}

/* Upstream's handoff_fallback_perm_denied and handoff_adopted_backend. */
static void the_first_reason_of_the_table_is_the_one(void **state)
{
	static const struct {
		struct belay_handoff_policy policy;
		enum belay_handoff_reason reason;
	} rows[] = {
		{ { false, false, true, true }, BELAY_FALLBACK_CLIENT_UNSUPPORTED },
		{ { true, false, true, true }, BELAY_FALLBACK_SERVICE_POLICY_DISABLED },
		{ { true, true, true, true }, BELAY_FALLBACK_FD_PRESSURE_DISABLED },
		{ { true, true, false, true }, BELAY_FALLBACK_ADOPTED_BACKEND },
		{ { true, true, false, false }, BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED },
	};
	struct belay_handoff_limiter *limiter = *(struct belay_handoff_limiter **)*state;

	fail_times(limiter, "be", 8, 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t retry_ms = 77;

		assert_int_equal(belay_handoff_decide(limiter, &rows[i].policy, "be", 10, &retry_ms),
			rows[i].reason);
		assert_int_equal(retry_ms, i == COUNT(rows) - 1 ? 29990 : 0);
		assert_int_equal(belay_handoff_decide(limiter, &rows[i].policy, "be", 10, NULL),
			rows[i].reason);
	}
	/* Another backend has nothing to do with it. */
	assert_int_equal(belay_handoff_decide(limiter, &willing, "other", 10, NULL),
		BELAY_FALLBACK_NONE);
}

static void eight_failures_in_30_seconds_are_enough(void **state)
{
	struct belay_handoff_limiter *limiter = *(struct belay_handoff_limiter **)*state;
	uint64_t retry_ms = 77;

	fail_times(limiter, "be", 7, 1000);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 1000, &retry_ms),
		BELAY_FALLBACK_NONE);
	fail_times(limiter, "be", 1, 30999);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 30999, &retry_ms),
		BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED);
	assert_int_equal(retry_ms, 1);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 31000, &retry_ms),
		BELAY_FALLBACK_NONE);
	assert_int_equal(retry_ms, 0);
}

static void a_window_that_is_over_starts_again(void **state)
{
	struct belay_handoff_limiter *limiter = *(struct belay_handoff_limiter **)*state;

	fail_times(limiter, "be", 7, 1000);
	fail_times(limiter, "be", 7, 31000);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 31000, NULL),
		BELAY_FALLBACK_NONE);
	fail_times(limiter, "be", 1, 31000);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 60999, NULL),
		BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED);
}

static void a_success_clears_and_what_was_no_attempt_does_not_count(void **state)
{
	struct belay_handoff_limiter *limiter = *(struct belay_handoff_limiter **)*state;

	fail_times(limiter, "be", 7, 0);
	for (int i = 0; i < 20; i++)
		belay_handoff_tried(limiter, "be", BELAY_HANDOFF_UNSUPPORTED_PLATFORM, 0);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 0, NULL),
		BELAY_FALLBACK_NONE);
	belay_handoff_tried(limiter, "be", BELAY_HANDED_OVER, 0);
	fail_times(limiter, "be", 7, 0);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 0, NULL),
		BELAY_FALLBACK_NONE);
	fail_times(limiter, "be", 1, 0);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "be", 0, NULL),
		BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED);
}

static void who_failed_longest_ago_is_forgotten_first(void **state)
{
	struct belay_handoff_limiter *limiter = *(struct belay_handoff_limiter **)*state;

	fail_times(limiter, "a", 8, 10);
	fail_times(limiter, "b", 8, 20);
	fail_times(limiter, "a", 1, 30);
	fail_times(limiter, "c", 8, 40);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "a", 40, NULL),
		BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "c", 40, NULL),
		BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED);
	assert_int_equal(belay_handoff_decide(limiter, &willing, "b", 40, NULL),
		BELAY_FALLBACK_NONE);
}

static void it_remembers_no_more_than_it_may(void **state)
{
	struct belay_handoff_limiter *limiter = NULL;
	(void)state;

	assert_int_equal(belay_handoff_limiter_new(BELAY_HANDOFF_BOOK_MAX + 1, &limiter), -EINVAL);
	assert_int_equal(belay_handoff_limiter_new(UINT_MAX, &limiter), -EINVAL);
	assert_null(limiter);
	assert_int_equal(belay_handoff_limiter_new(BELAY_HANDOFF_BOOK_MAX, &limiter), 0);
	assert_null(belay_handoff_limiter_free(limiter));
}

#define LIMITED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LIMITED(the_first_reason_of_the_table_is_the_one),
		LIMITED(eight_failures_in_30_seconds_are_enough),
		LIMITED(a_window_that_is_over_starts_again),
		LIMITED(a_success_clears_and_what_was_no_attempt_does_not_count),
		LIMITED(who_failed_longest_ago_is_forgotten_first),
		cmocka_unit_test(it_remembers_no_more_than_it_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
