#include "observe/deadlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SLOTS = 32 };

static struct belay__slot slots[SLOTS];
static struct belay__deadlines deadlines;

static int begin(void **state)
{
	(void)state;
	memset(slots, 0, sizeof(slots));
	belay__deadlines_init(&deadlines, slots);
	return 0;
}

static void nobody_is_due_before_the_threshold(void **state)
{
	uint8_t list = belay__deadlines_list(&deadlines, 100);
	(void)state;

	belay__deadlines_heard(&deadlines, 5, list, 1000);

	assert_int_equal(belay__deadlines_next_ns(&deadlines), 1100);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 1099), BELAY__NO_SLOT);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 1100), 5);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 1100), BELAY__NO_SLOT);
	assert_int_equal(belay__deadlines_next_ns(&deadlines), UINT64_MAX);
	assert_int_equal(slots[5].flags & BELAY__SLOT_LINKED, 0);
}

static void a_beat_postpones_only_its_own_deadline(void **state)
{
	uint8_t list = belay__deadlines_list(&deadlines, 100);
	(void)state;

	belay__deadlines_heard(&deadlines, 1, list, 0);
	belay__deadlines_heard(&deadlines, 2, list, 10);
	belay__deadlines_heard(&deadlines, 1, list, 20);

	assert_int_equal(belay__deadlines_next_ns(&deadlines), 110);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 500), 2);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 500), 1);
}

static void a_deadline_past_the_end_of_time_never_comes(void **state)
{
	uint8_t list = belay__deadlines_list(&deadlines, UINT64_MAX - 1);
	(void)state;

	belay__deadlines_heard(&deadlines, 1, list, 2);
	belay__deadlines_set(&deadlines, 2, UINT64_MAX);

	assert_int_equal(belay__deadlines_take_due(&deadlines, list, UINT64_MAX), BELAY__NO_SLOT);
	assert_int_equal(belay__deadlines_take_due(&deadlines, BELAY__LIST_WITHIN, UINT64_MAX),
		BELAY__NO_SLOT);
	assert_int_equal(belay__deadlines_next_ns(&deadlines), UINT64_MAX);
}

static void one_list_for_each_length_until_all_are_given(void **state)
{
	(void)state;

	for (uint64_t length_ns = 1; length_ns <= BELAY__LIST_WITHIN; length_ns++)
		assert_int_equal(belay__deadlines_list(&deadlines, length_ns), length_ns - 1);
	assert_int_equal(belay__deadlines_list(&deadlines, 7), 6);
	assert_int_equal(belay__deadlines_list(&deadlines, BELAY__LIST_WITHIN),
		BELAY__LIST_WITHIN - 1);
	assert_int_equal(belay__deadlines_list(&deadlines, 1000), BELAY__LIST_WITHIN);
	assert_int_equal(deadlines.lists, BELAY__LIST_WITHIN);
}

static void announced_silences_are_sorted_and_equal_ones_keep_their_order(void **state)
{
	static const uint64_t due_ns[] = { 50, 20, 90, 20, 10, 70, 20 };
	static const uint32_t order[] = { 4, 1, 3, 6, 0, 5, 2 };
	(void)state;

	for (uint32_t i = 0; i < 7; i++)
		belay__deadlines_set(&deadlines, i, due_ns[i]);
	for (uint32_t i = 0; i < 7; i++) {
		assert_int_equal(belay__deadlines_next_ns(&deadlines), due_ns[order[i]]);
		assert_int_equal(belay__deadlines_take_due(&deadlines, BELAY__LIST_WITHIN,
					 due_ns[order[i]] - 1),
			BELAY__NO_SLOT);
		assert_int_equal(
			belay__deadlines_take_due(&deadlines, BELAY__LIST_WITHIN, due_ns[order[i]]),
			order[i]);
	}
}

static void the_earliest_of_all_lists_is_the_next(void **state)
{
	uint8_t slow = belay__deadlines_list(&deadlines, 1000),
		fast = belay__deadlines_list(&deadlines, 10);
	(void)state;

	deadlines.length_ns[BELAY__LIST_QUESTION] = 5;
	belay__deadlines_heard(&deadlines, 1, slow, 0);
	assert_int_equal(belay__deadlines_next_ns(&deadlines), 1000);
	belay__deadlines_set(&deadlines, 2, 500);
	assert_int_equal(belay__deadlines_next_ns(&deadlines), 500);
	belay__deadlines_heard(&deadlines, 3, fast, 0);
	assert_int_equal(belay__deadlines_next_ns(&deadlines), 10);
	belay__deadlines_heard(&deadlines, 4, BELAY__LIST_QUESTION, 0);
	assert_int_equal(belay__deadlines_next_ns(&deadlines), 5);
}

static void a_question_keeps_the_list_of_the_threshold(void **state)
{
	uint8_t list = belay__deadlines_list(&deadlines, 100);
	(void)state;

	(void)belay__deadlines_list(&deadlines, 200);
	belay__deadlines_heard(&deadlines, 1, 1, 0);
	assert_int_equal(slots[1].list, 1);
	belay__deadlines_heard(&deadlines, 1, BELAY__LIST_QUESTION, 0);
	belay__deadlines_set(&deadlines, 1, 3);
	assert_int_equal(slots[1].list, 1);
	belay__deadlines_heard(&deadlines, 1, list, 3);
	assert_int_equal(slots[1].list, list);
}

/* Whoever changes a threshold writes the slot's list first and is heard then. */
static void a_member_leaves_its_list_after_its_threshold_changed(void **state)
{
	uint8_t old = belay__deadlines_list(&deadlines, 100),
		fresh = belay__deadlines_list(&deadlines, 10);
	(void)state;

	belay__deadlines_heard(&deadlines, 1, old, 0);
	slots[1].list = fresh;
	belay__deadlines_heard(&deadlines, 1, fresh, 0);

	assert_int_equal(deadlines.head[old], BELAY__NO_SLOT);
	assert_int_equal(deadlines.tail[old], BELAY__NO_SLOT);
	assert_int_equal(deadlines.head[fresh], 1);
	slots[1].list = old;
	belay__deadlines_remove(&deadlines, 1);
	assert_int_equal(deadlines.head[fresh], BELAY__NO_SLOT);
	belay__deadlines_remove(&deadlines, 1); /* on none: nothing */
}

static void a_moved_slot_keeps_its_place(void **state)
{
	(void)state;

	for (uint32_t moved = 1; moved <= 3; moved++) {
		uint8_t list;

		begin(NULL);
		list = belay__deadlines_list(&deadlines, 100);
		for (uint32_t i = 1; i <= 3; i++)
			belay__deadlines_heard(&deadlines, i, list, i);
		slots[20] = slots[moved];
		belay__deadlines_moved(&deadlines, moved, 20);
		memset(&slots[moved], 0, sizeof(slots[moved]));
		for (uint32_t i = 1; i <= 3; i++)
			assert_int_equal(belay__deadlines_take_due(&deadlines, list, 1000),
				i == moved ? 20 : i);
		assert_int_equal(deadlines.tail[list], BELAY__NO_SLOT);
	}
	slots[4].pid = 7; /* on no list: nothing to mend */
	belay__deadlines_moved(&deadlines, 5, 4);
	assert_int_equal(belay__deadlines_next_ns(&deadlines), UINT64_MAX);
}

static void time_that_ran_backwards_leaves_the_order_right(void **state)
{
	uint8_t list = belay__deadlines_list(&deadlines, 100);
	(void)state;

	belay__deadlines_heard(&deadlines, 1, list, 50);
	belay__deadlines_heard(&deadlines, 2, list, 40);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 140), 2);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 140), BELAY__NO_SLOT);
	assert_int_equal(belay__deadlines_take_due(&deadlines, list, 150), 1);
}

/* Random operations against a model that searches all members. */
static void agrees_with_a_model_under_random_use(void **state)
{
	enum { STEPS = 1 << 17, THRESHOLDS = 3 };
	static const uint64_t length_ns[THRESHOLDS] = { 20, 50, 70 };
	struct {
		uint8_t list;
		uint64_t due_ns;
	} model[SLOTS];
	uint64_t now_ns = 0;
	unsigned seed = 20261121;
	(void)state;

	for (size_t i = 0; i < THRESHOLDS; i++)
		assert_int_equal(belay__deadlines_list(&deadlines, length_ns[i]), i);
	deadlines.length_ns[BELAY__LIST_QUESTION] = 5;
	for (size_t i = 0; i < SLOTS; i++)
		model[i].due_ns = UINT64_MAX;

	for (int step = 0; step < STEPS; step++) {
		uint32_t i = (uint32_t)rand_r(&seed) % SLOTS;
		static const uint8_t lists[] = { 0, 1, 2, BELAY__LIST_QUESTION, BELAY__LIST_WITHIN };
		uint8_t list = lists[(size_t)rand_r(&seed) % 5];

		switch (rand_r(&seed) % 4) {
		case 0:
			model[i].list = list;
			if (list == BELAY__LIST_WITHIN) {
				model[i].due_ns = now_ns + (uint64_t)rand_r(&seed) % 100;
				belay__deadlines_set(&deadlines, i, model[i].due_ns);
			} else {
				model[i].due_ns = now_ns + deadlines.length_ns[list];
				belay__deadlines_heard(&deadlines, i, list, now_ns);
			}
			break;
		case 1:
			belay__deadlines_remove(&deadlines, i);
			model[i].due_ns = UINT64_MAX;
			break;
		case 2:
			now_ns += (uint64_t)rand_r(&seed) % 20;
			break;
		default: {
			uint64_t of_all_ns = UINT64_MAX, of_list_ns = UINT64_MAX;

			for (size_t k = 0; k < SLOTS; k++) {
				if (model[k].due_ns < of_all_ns)
					of_all_ns = model[k].due_ns;
				if (model[k].list == list && model[k].due_ns < of_list_ns)
					of_list_ns = model[k].due_ns;
			}
			assert_int_equal(belay__deadlines_next_ns(&deadlines), of_all_ns);
			uint32_t due = belay__deadlines_take_due(&deadlines, list, now_ns);
			assert_int_equal(due != BELAY__NO_SLOT, of_list_ns <= now_ns);
			if (due != BELAY__NO_SLOT) {
				assert_int_equal(model[due].due_ns, of_list_ns);
				model[due].due_ns = UINT64_MAX;
			}
		}
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_is_due_before_the_threshold, begin),
		cmocka_unit_test_setup(a_beat_postpones_only_its_own_deadline, begin),
		cmocka_unit_test_setup(a_deadline_past_the_end_of_time_never_comes, begin),
		cmocka_unit_test_setup(one_list_for_each_length_until_all_are_given, begin),
		cmocka_unit_test_setup(
			announced_silences_are_sorted_and_equal_ones_keep_their_order, begin),
		cmocka_unit_test_setup(the_earliest_of_all_lists_is_the_next, begin),
		cmocka_unit_test_setup(a_question_keeps_the_list_of_the_threshold, begin),
		cmocka_unit_test_setup(a_member_leaves_its_list_after_its_threshold_changed, begin),
		cmocka_unit_test_setup(a_moved_slot_keeps_its_place, begin),
		cmocka_unit_test_setup(time_that_ran_backwards_leaves_the_order_right, begin),
		cmocka_unit_test_setup(agrees_with_a_model_under_random_use, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
