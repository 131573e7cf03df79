#include <belay/handoff.h>

#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct books {
	struct belay_handoff_tokens *tokens;
	struct belay_handoff_acks *acks;
	struct belay_handoff_token first, second;
};

static int set_up(void **state)
{
	static struct books books;

	if (belay_handoff_tokens_new(8, 1000000, &books.tokens) < 0 ||
		belay_handoff_acks_new(2, books.tokens, &books.acks) < 0 ||
		belay_handoff_tokens_issue(books.tokens, 0, &books.first) < 0 ||
		belay_handoff_tokens_issue(books.tokens, 0, &books.second) < 0)
		return -1;
	*state = &books;
	return 0;
}

static int tear_down(void **state)
{
	struct books *books = *state;

	(void)belay_handoff_acks_free(books->acks);
	(void)belay_handoff_tokens_free(books->tokens);
	return belay_handoff_acks_free(NULL) == NULL ? 0 : -1;
}

/* Upstream's handoff_ack_deadline. */
static void an_ack_counts_once_and_revokes_its_token(void **state)
{
	struct books *b = *state;
	uint64_t waited_ms = 77;

	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->first, "be", 100, 0), 0);
	assert_int_equal(belay_handoff_acks_arrived(b->acks, &b->second, 120, &waited_ms), -ENOENT);
	assert_int_equal(waited_ms, 77);
	/* Which is out still, for something else. */
	assert_int_equal(belay_handoff_tokens_consume(b->tokens, &b->second, &b->second, 120), 0);
	assert_int_equal(belay_handoff_acks_arrived(b->acks, &b->first, 120, &waited_ms), 0);
	assert_int_equal(waited_ms, 20);
	assert_int_equal(belay_handoff_acks_arrived(b->acks, &b->first, 120, NULL), -ENOENT);
	assert_false(belay_handoff_tokens_revoke(b->tokens, &b->first));
}

static void an_ack_is_late_at_its_deadline(void **state)
{
	struct books *b = *state;
	uint64_t waited_ms = 77;

	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->first, "be", 100, 0), 0);
	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->second, "be", 100, 50), 0);
	assert_int_equal(belay_handoff_acks_arrived(b->acks, &b->second, 150, &waited_ms), -ETIME);
	assert_int_equal(waited_ms, 77);
	assert_false(belay_handoff_tokens_revoke(b->tokens, &b->second));
	assert_int_equal(belay_handoff_acks_arrived(b->acks, &b->first,
				 99 + BELAY_HANDOFF_ACK_TIMEOUT_MS, &waited_ms),
		0);
	assert_int_equal(waited_ms, BELAY_HANDOFF_ACK_TIMEOUT_MS - 1);
}

static void what_is_overdue_comes_out_in_its_order_with_its_backend(void **state)
{
	struct books *b = *state;
	struct belay_handoff_token token;
	char key[BELAY_HANDOFF_KEY_SIZE] = "untouched", longest[400];

	memset(longest, 'k', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(belay_handoff_acks_overdue(b->acks, 0, &token, key), 0);
	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->first, longest, 0, 60), 0);
	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->second, "second", 0, 50), 0);
	assert_int_equal(belay_handoff_acks_overdue(b->acks, 49, &token, key), 0);
	assert_string_equal(key, "untouched");

	assert_int_equal(belay_handoff_acks_overdue(b->acks, 60, &token, key), 1);
	assert_string_equal(key, "second");
	assert_true(belay_handoff_token_equal(&token, &b->second));
	assert_int_equal(belay_handoff_acks_overdue(b->acks, 60, &token, key), 1);
	assert_int_equal(strlen(key), BELAY_HANDOFF_KEY_SIZE - 1);
	assert_int_equal(belay_handoff_acks_overdue(b->acks, 60, &token, key), 0);
	assert_false(belay_handoff_tokens_revoke(b->tokens, &b->first));
	assert_false(belay_handoff_tokens_revoke(b->tokens, &b->second));
}

static void what_is_abandoned_is_revoked_even_if_nobody_waited(void **state)
{
	struct books *b = *state;

	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->first, "be", 0, 60), 0);
	assert_true(belay_handoff_acks_abandon(b->acks, &b->first));
	assert_false(belay_handoff_acks_abandon(b->acks, &b->first));
	assert_false(belay_handoff_tokens_revoke(b->tokens, &b->first));
	assert_false(belay_handoff_acks_abandon(b->acks, &b->second));
	assert_false(belay_handoff_tokens_revoke(b->tokens, &b->second));
}

static void books_have_a_last_page(void **state)
{
	struct books *b = *state;
	const struct belay_handoff_token third = { { 3 } };
	struct belay_handoff_acks *one;

	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->first, "be", 0, 60), 0);
	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->first, "be", 0, 60), -EEXIST);
	assert_int_equal(belay_handoff_acks_expect(b->acks, &b->second, "be", 0, 60), 0);
	assert_int_equal(belay_handoff_acks_expect(b->acks, &third, "be", 0, 60), -EBUSY);

	/* Without tokens, and with room for one. */
	assert_int_equal(belay_handoff_acks_new(0, NULL, &one), 0);
	assert_int_equal(belay_handoff_acks_expect(one, &third, "be", UINT64_MAX, 60), 0);
	assert_int_equal(belay_handoff_acks_expect(one, &b->first, "be", 0, 60), -EBUSY);
	assert_true(belay_handoff_acks_abandon(one, &third));
	(void)belay_handoff_acks_free(one);

	one = NULL;
	assert_int_equal(belay_handoff_acks_new(BELAY_HANDOFF_BOOK_MAX + 1, NULL, &one), -EINVAL);
	assert_int_equal(belay_handoff_acks_new(UINT_MAX, NULL, &one), -EINVAL);
	assert_null(one);
	assert_int_equal(belay_handoff_acks_new(BELAY_HANDOFF_BOOK_MAX, NULL, &one), 0);
	(void)belay_handoff_acks_free(one);
}

#define BOOKS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOOKS(an_ack_counts_once_and_revokes_its_token),
		BOOKS(an_ack_is_late_at_its_deadline),
		BOOKS(what_is_overdue_comes_out_in_its_order_with_its_backend),
		BOOKS(what_is_abandoned_is_revoked_even_if_nobody_waited),
		BOOKS(books_have_a_last_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
