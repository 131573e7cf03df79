#include <belay/handoff.h>

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>

/* Chance, made to order: the next bytes are all of this value; -1: the kernel's. */
static int chance = -1;
static int chance_errno;

ssize_t __real_getrandom(void *bytes, size_t len, unsigned flags);
ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags);

ssize_t __wrap_getrandom(void *bytes, size_t len, unsigned flags)
{
	if (chance_errno != 0) {
		errno = chance_errno;
		return -1;
	}
	if (chance < 0)
		return __real_getrandom(bytes, len, flags);
	memset(bytes, chance, len);
	return (ssize_t)len;
}

struct store {
	struct belay_handoff_tokens *tokens;
};

static int set_up(void **state)
{
	static struct store store;

	chance = -1;
	chance_errno = 0;
	*state = &store;
	return belay_handoff_tokens_new(4, 100, &store.tokens);
}

static int tear_down(void **state)
{
	struct store *store = *state;

	return belay_handoff_tokens_free(store->tokens) == NULL ? 0 : -1;
}

/* Upstream's handoff_capability: distinct, and once. */
static void tokens_are_distinct_and_good_once(void **state)
{
	const struct store *store = *state;
	struct belay_handoff_token tokens[4];

	for (int i = 0; i < 4; i++)
		assert_int_equal(belay_handoff_tokens_issue(store->tokens, 0, &tokens[i]), 0);
	for (int i = 0; i < 4; i++) {
		for (int k = 0; k < i; k++)
			assert_false(belay_handoff_token_equal(&tokens[i], &tokens[k]));
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(
			belay_handoff_tokens_consume(store->tokens, &tokens[i], &tokens[i], 0), 0);
		assert_int_equal(
			belay_handoff_tokens_consume(store->tokens, &tokens[i], &tokens[i], 0),
			-ENOENT);
	}
}

static void more_than_can_be_counted_in_bytes_are_refused(void **state)
{
	struct belay_handoff_tokens *tokens = NULL;

	(void)state;
	assert_int_equal(belay_handoff_tokens_new(1048577, 100, &tokens), -EINVAL);
	assert_int_equal(belay_handoff_tokens_new(UINT_MAX, 100, &tokens), -EINVAL);
	assert_null(tokens);
	assert_int_equal(belay_handoff_tokens_new(1048576, 100, &tokens), 0);
	assert_null(belay_handoff_tokens_free(tokens));
}

/* Upstream's handoff_token_mismatch. */
static void a_mismatch_uses_nothing_up(void **state)
{
	const struct store *store = *state;
	struct belay_handoff_token token, presented;

	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 0, &token), 0);
	presented = token;
	presented.secret[15] ^= 1;
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &token, &presented, 99),
		-EPERM);
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &presented, &token, 99),
		-ENOENT);
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &token, &token, 99), 0);
}

static void a_token_expires_at_its_time_and_not_before(void **state)
{
	const struct store *store = *state;
	struct belay_handoff_token token, other;

	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 1000, &token), 0);
	assert_int_equal(belay_handoff_tokens_prune(store->tokens, 1099), 0);
	/* The one that is asked for says that it expired; the others are gone unasked. */
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 1000, &other), 0);
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &token, &token, 1100), -ETIME);
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &token, &token, 1100), -ENOENT);
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &other, &other, 1000), -ENOENT);

	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 2000, &token), 0);
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 2050, &other), 0);
	assert_int_equal(belay_handoff_tokens_prune(store->tokens, 2100), 1);
	assert_int_equal(belay_handoff_tokens_prune(store->tokens, 2100), 0);
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &other, &other, 2149), 0);
}

static void a_token_at_the_end_of_time_does_not_expire_early(void **state)
{
	const struct store *store = *state;
	struct belay_handoff_token token;

	assert_int_equal(belay_handoff_tokens_issue(store->tokens, UINT64_MAX - 1, &token), 0);
	assert_int_equal(
		belay_handoff_tokens_consume(store->tokens, &token, &token, UINT64_MAX - 1), 0);
}

static void a_full_store_issues_nothing_until_one_expires(void **state)
{
	const struct store *store = *state;
	struct belay_handoff_token token, untouched = { { 0xa5 } };

	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(belay_handoff_tokens_issue(store->tokens, i, &token), 0);
	token = untouched;
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 99, &token), -EBUSY);
	assert_memory_equal(&token, &untouched, sizeof(token));
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 100, &token), 0);
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 100, &token), -EBUSY);
}

static void chance_that_repeats_itself_is_not_waited_for(void **state)
{
	const struct store *store = *state;
	struct belay_handoff_token token, untouched = { { 0xa5 } };

	chance = 3;
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 0, &token), 0);
	token = untouched;
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 0, &token), -EEXIST);
	chance_errno = ENOSYS;
	assert_int_equal(belay_handoff_tokens_issue(store->tokens, 0, &token), -ENOSYS);
	assert_memory_equal(&token, &untouched, sizeof(token));
}

static void what_somebody_else_issued_is_good_once_too(void **state)
{
	const struct store *store = *state;
	const struct belay_handoff_token token = { { 1, 2, 3 } };

	assert_int_equal(belay_handoff_tokens_add(store->tokens, &token, 0), 0);
	assert_int_equal(belay_handoff_tokens_add(store->tokens, &token, 0), -EEXIST);
	assert_true(belay_handoff_tokens_revoke(store->tokens, &token));
	assert_false(belay_handoff_tokens_revoke(store->tokens, &token));
	assert_int_equal(belay_handoff_tokens_consume(store->tokens, &token, &token, 0), -ENOENT);
}

static void nothing_at_all_means_one_for_a_millisecond(void **state)
{
	struct belay_handoff_tokens *tokens;
	struct belay_handoff_token token;
	(void)state;

	assert_int_equal(belay_handoff_tokens_new(0, 0, &tokens), 0);
	assert_int_equal(belay_handoff_tokens_issue(tokens, 5, &token), 0);
	assert_int_equal(belay_handoff_tokens_issue(tokens, 5, &token), -EBUSY);
	assert_int_equal(belay_handoff_tokens_issue(tokens, 6, &token), 0);
	assert_null(belay_handoff_tokens_free(tokens));
	assert_null(belay_handoff_tokens_free(NULL));
}

#define STORE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE(tokens_are_distinct_and_good_once),
		STORE(more_than_can_be_counted_in_bytes_are_refused),
		STORE(a_mismatch_uses_nothing_up),
		STORE(a_token_expires_at_its_time_and_not_before),
		STORE(a_token_at_the_end_of_time_does_not_expire_early),
		STORE(a_full_store_issues_nothing_until_one_expires),
		STORE(chance_that_repeats_itself_is_not_waited_for),
		STORE(what_somebody_else_issued_is_good_once_too),
		STORE(nothing_at_all_means_one_for_a_millisecond),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
