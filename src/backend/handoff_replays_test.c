#include "backend/handoff_replays.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct belay_handoff_token numbered(unsigned n)
{
	struct belay_handoff_token token = { { 0 } };

	memcpy(token.secret, &n, sizeof(n));
	return token;
}

/* As a receiver does: false when it came before. */
static bool remember(struct belay__handoff_replays *replays, const struct belay_handoff_token *token)
{
	if (belay__handoff_replays_know(replays, token))
		return false;
	belay__handoff_replays_add(replays, token);
	assert_true(belay__handoff_replays_know(replays, token));
	return true;
}

static bool add(struct belay__handoff_replays *replays, unsigned n)
{
	struct belay_handoff_token token = numbered(n);

	return remember(replays, &token);
}

static void freeing_nothing_is_allowed(void **state)
{
	(void)state;
	assert_null(belay__handoff_replays_free(NULL));
}

static void what_is_remembered_is_a_replay_and_the_oldest_is_forgotten(void **state)
{
	static const unsigned sizes[] = { 1, 2, 3, 7, 8, 9, 1024 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct belay__handoff_replays *replays = NULL;
		unsigned size = sizes[i];

		assert_int_equal(belay__handoff_replays_new(size, &replays), 0);
		for (unsigned n = 0; n < 3 * size; n++) {
			assert_true(add(replays, n));
			assert_false(add(replays, n));
			/* The oldest that is still known; asking does not make it younger. */
			assert_false(add(replays, n < size ? 0 : n - size + 1));
		}
		assert_true(add(replays, 2 * size - 1)); /* is forgotten */
		assert_null(belay__handoff_replays_free(replays));
	}
}

static void each_byte_of_a_token_counts(void **state)
{
	struct belay__handoff_replays *replays = NULL;
	struct belay_handoff_token token = { { 0 } };

	(void)state;
	assert_int_equal(belay__handoff_replays_new(64, &replays), 0);
	assert_true(remember(replays, &token));
	for (size_t i = 0; i < sizeof(token.secret); i++) {
		token.secret[i] = 0x80;
		assert_true(remember(replays, &token));
		assert_false(remember(replays, &token));
		token.secret[i] = 0;
	}
	assert_false(remember(replays, &token));
	assert_null(belay__handoff_replays_free(replays));
}

/* Random tokens out of few, against a list. */
static void it_agrees_with_a_list(void **state)
{
	enum { SIZE = 16, STEPS = 20000, KINDS = 40 };
	struct belay__handoff_replays *replays = NULL;
	unsigned list[SIZE], used = 0, random = 1;

	(void)state;
	assert_int_equal(belay__handoff_replays_new(SIZE, &replays), 0);
	for (unsigned step = 0; step < STEPS; step++) {
		bool known = false;
		unsigned n;

		random = random * 1103515245u + 12345u;
		n = (random >> 16) % KINDS;
		for (unsigned i = 0; i < used; i++)
			known = known || list[i] == n;
		assert_int_equal(add(replays, n), !known);
		if (known)
			continue;
		if (used == SIZE)
			memmove(list, list + 1, --used * sizeof(list[0]));
		list[used++] = n;
	}
	assert_null(belay__handoff_replays_free(replays));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(freeing_nothing_is_allowed),
		cmocka_unit_test(what_is_remembered_is_a_replay_and_the_oldest_is_forgotten),
		cmocka_unit_test(each_byte_of_a_token_counts),
		cmocka_unit_test(it_agrees_with_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
