#include "observe/names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { CAPACITY = 8 };

static struct belay__ordinals *ordinals;

static int begin(void **state)
{
	(void)state;
	return belay__ordinals_new(CAPACITY, &ordinals);
}

static int end(void **state)
{
	(void)state;
	ordinals = belay__ordinals_free(ordinals);
	return ordinals == NULL ? 0 : -1;
}

/* --- ordinals --- */

static void ordinals_count_up_from_one(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= CAPACITY; i++)
		assert_int_equal(belay__ordinal_take(ordinals, 7, "worker"), i);
}

static void users_and_commands_have_counts_of_their_own(void **state)
{
	(void)state;
	assert_int_equal(belay__ordinal_take(ordinals, 7, "worker"), 1);
	assert_int_equal(belay__ordinal_take(ordinals, 8, "worker"), 1);
	assert_int_equal(belay__ordinal_take(ordinals, 7, "worke"), 1);
	assert_int_equal(belay__ordinal_take(ordinals, 7, "workers"), 1);
	assert_int_equal(belay__ordinal_take(ordinals, 7, "worker"), 2);
}

static void the_lowest_free_ordinal_is_used_again(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= 6; i++)
		assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), i);
	belay__ordinal_give_back(ordinals, 0, "a", 5);
	belay__ordinal_give_back(ordinals, 0, "a", 2);
	belay__ordinal_give_back(ordinals, 0, "a", 4);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 2);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 4);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 5);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 7);
}

static void when_all_are_taken_a_name_has_none_until_one_comes_back(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= CAPACITY; i++)
		assert_int_equal(belay__ordinal_take(ordinals, i, "a"), 1);
	assert_int_equal(belay__ordinal_take(ordinals, 1, "a"), 0);
	assert_int_equal(belay__ordinal_take(ordinals, 99, "b"), 0);
	assert_false(belay__ordinal_take_this(ordinals, 99, "b", 1));
	belay__ordinal_give_back(ordinals, 3, "a", 1);
	assert_int_equal(belay__ordinal_take(ordinals, 99, "b"), 1);
	assert_int_equal(belay__ordinal_take(ordinals, 3, "a"), 0);
}

static void a_given_ordinal_is_taken_once_and_jumped_over(void **state)
{
	(void)state;
	assert_true(belay__ordinal_take_this(ordinals, 0, "a", 2));
	assert_false(belay__ordinal_take_this(ordinals, 0, "a", 2));
	assert_true(belay__ordinal_take_this(ordinals, 0, "b", 2));
	assert_true(belay__ordinal_take_this(ordinals, 0, "a", UINT32_MAX));
	assert_false(belay__ordinal_take_this(ordinals, 0, "a", 0));
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 1);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 3);
}

static void what_was_not_taken_cannot_be_given_back(void **state)
{
	(void)state;
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 1);
	belay__ordinal_give_back(ordinals, 0, "a", 0);
	belay__ordinal_give_back(ordinals, 0, "a", 2);
	belay__ordinal_give_back(ordinals, 1, "a", 1);
	belay__ordinal_give_back(ordinals, 0, "b", 1);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "a"), 2);
	belay__ordinal_give_back(ordinals, 0, "a", 1);
	belay__ordinal_give_back(ordinals, 0, "a", 1);
	for (uint32_t i = 0; i < CAPACITY - 1; i++)
		assert_int_not_equal(belay__ordinal_take(ordinals, 0, "c"), 0);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "c"), 0);
}

/* --- against a model --- */

enum { MODEL_CAPACITY = 61, BASES = 7, ORDINALS = 80 };

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t limit)
{
	random_state = random_state * 1664525 + 1013904223;
	return (random_state >> 8) % limit;
}

static unsigned model_used(bool taken[BASES][ORDINALS + 1])
{
	unsigned used = 0;

	for (unsigned base = 0; base < BASES; base++)
		for (unsigned i = 1; i <= ORDINALS; i++)
			used += taken[base][i];
	return used;
}

static uint32_t model_take(bool taken[BASES][ORDINALS + 1], unsigned base)
{
	uint32_t ordinal = 1;

	if (model_used(taken) == MODEL_CAPACITY)
		return 0;
	while (taken[base][ordinal])
		ordinal++;
	taken[base][ordinal] = true;
	return ordinal;
}

static void any_order_of_taking_and_giving_back_finds_the_lowest_free_one(void **state)
{
	static const char *const comms[BASES] = { "a", "b", "worker", "worker", "x", "kworker_0",
		"a" };
	static const uint32_t uids[BASES] = { 0, 0, 0, 1000, 65534, UINT32_MAX, 1 };
	bool taken[BASES][ORDINALS + 1] = { { false } };
	struct belay__ordinals *many;
	(void)state;

	assert_int_equal(belay__ordinals_new(MODEL_CAPACITY, &many), 0);
	for (unsigned step = 0; step < 50000; step++) {
		/* Long phases of growing and of shrinking. */
		bool grow = random_below(10) < (step / 500 % 2 ? 7 : 3);
		unsigned base = random_below(BASES);
		uint32_t ordinal = 1 + random_below(ORDINALS);

		if (!grow) {
			belay__ordinal_give_back(many, uids[base], comms[base], ordinal);
			taken[base][ordinal] = false;
		} else if (random_below(4) == 0) {
			bool free_one = !taken[base][ordinal] && model_used(taken) < MODEL_CAPACITY;

			assert_int_equal(
				belay__ordinal_take_this(many, uids[base], comms[base], ordinal),
				free_one);
			taken[base][ordinal] |= free_one;
		} else {
			assert_int_equal(belay__ordinal_take(many, uids[base], comms[base]),
				model_take(taken, base));
		}
	}
	belay__ordinals_free(many);
}

/* --- rules --- */

static void a_rule_matches_when_all_its_conditions_do(void **state)
{
	static const struct belay__names names = { .env = "web",
		.unit = "app.service",
		.comm = "worker",
		.exe = "/usr/bin/w" };
	static const struct {
		struct belay__rule rule;
		bool matches;
	} rows[] = {
		{ { .name = "r", .uid = 7 }, true },
		{ { .name = "r", .uid = 8 }, false },
		{ { .name = "r", .uid = 0 }, false },
		{ { .name = "r", .uid = -1, .comm = "worker" }, true },
		{ { .name = "r", .uid = -1, .comm = "work*" }, true },
		{ { .name = "r", .uid = -1, .comm = "work?" }, false },
		{ { .name = "r", .uid = -1, .comm = "work[a-f]r" }, true },
		{ { .name = "r", .uid = -1, .exe = "/usr/bin/w" }, true },
		{ { .name = "r", .uid = -1, .exe = "/usr/*" }, true },
		{ { .name = "r", .uid = -1, .exe = "/bin/*" }, false },
		{ { .name = "r", .uid = -1, .unit = "app.*" }, true },
		{ { .name = "r", .uid = -1, .unit = "*.socket" }, false },
		{ { .name = "r", .uid = 7, .comm = "worker", .exe = "/usr/bin/?", .unit = "*" },
			true },
		{ { .name = "r", .uid = 7, .comm = "worker", .exe = "/usr/bin/?", .unit = "b*" },
			false },
		{ { .name = "r", .uid = 8, .comm = "worker", .exe = "/usr/bin/?", .unit = "*" },
			false },
		/* without conditions: by the name it gave itself, exactly */
		{ { .name = "web", .uid = -1 }, true },
		{ { .name = "we*", .uid = -1 }, false },
		{ { .name = "worker", .uid = -1 }, false },
		/* with conditions, a self-given name does not matter */
		{ { .name = "web", .uid = -1, .comm = "other" }, false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(belay__rule_match(&rows[i].rule, 1, &names, 7),
			rows[i].matches ? 0 : -1);
}

static void what_is_not_known_about_a_process_satisfies_no_condition(void **state)
{
	static const struct belay__names unknown = { .env = "" };
	static const struct belay__rule rules[] = {
		{ .name = "r", .uid = -1, .comm = "*" },
		{ .name = "r", .uid = -1, .exe = "*" },
		{ .name = "r", .uid = -1, .unit = "*" },
		{ .name = "r", .uid = -1 },
	};
	(void)state;

	assert_int_equal(belay__rule_match(rules, 4, &unknown, 0), -1);
}

static void the_first_rule_that_matches_counts(void **state)
{
	static const struct belay__names names = { .env = "web", .comm = "worker" };
	static const struct belay__rule rules[] = {
		{ .name = "none", .uid = 1 },
		{ .name = "web", .uid = -1 },
		{ .name = "by-comm", .uid = -1, .comm = "worker" },
	};
	(void)state;

	assert_int_equal(belay__rule_match(rules, 3, &names, 0), 1);
	assert_int_equal(belay__rule_match(rules, 1, &names, 0), -1);
	assert_int_equal(belay__rule_match(rules, 0, &names, 0), -1);
	assert_int_equal(belay__rule_match(rules, 3, &names, 1), 0);
}

/* --- the name of a record --- */

static void a_name_comes_from_the_first_place_that_has_one(void **state)
{
	static const struct belay__rule rule = { .name = "ruled", .uid = -1, .comm = "ruled*" };
	static const struct {
		struct belay__names names;
		const char *name;
		enum belay__name_source source;
		uint16_t rule;
		uint32_t ordinal;
	} rows[] = {
		{ { .env = "e", .unit = "u.service", .comm = "ruled-one" }, "ruled",
			BELAY__NAME_RULE, 1, 0 },
		{ { .env = "e", .unit = "u.service", .comm = "c" }, "e", BELAY__NAME_OWN, 0, 0 },
		{ { .unit = "u.service", .comm = "c" }, "u.service", BELAY__NAME_UNIT, 0, 0 },
		{ { .comm = "c" }, "c#1", BELAY__NAME_COMM, 0, 1 },
		{ { .comm = "c" }, "c#2", BELAY__NAME_COMM, 0, 2 },
		{ { .comm = "123456789012345" }, "123456789012345#1", BELAY__NAME_COMM, 0, 1 },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay__record record = { .pid = 2,
			.uid = 5,
			.name = "what was there before",
			.ordinal = 77 };

		belay__name_record(&record, &rule, 1, &rows[i].names, ordinals);
		assert_string_equal(record.name, rows[i].name);
		assert_int_equal(record.name_source, rows[i].source);
		assert_int_equal(record.rule, rows[i].rule);
		assert_int_equal(record.ordinal, rows[i].ordinal);
		assert_true(belay__name_valid(record.name, strlen(record.name)));
	}
}

static void a_process_that_nothing_is_known_of_still_has_a_name(void **state)
{
	struct belay__record record = { .pid = 2 };
	(void)state;

	belay__name_record(&record, NULL, 0, &(struct belay__names){ .env = "" }, ordinals);
	assert_true(belay__name_valid(record.name, strlen(record.name)));
}

static void names_of_full_length_fit(void **state)
{
	struct belay__names names = { .env = "" };
	struct belay__record record = { .pid = 2 };
	(void)state;

	memset(names.env, 'n', BELAY__NAME_MAX);
	belay__name_record(&record, NULL, 0, &names, ordinals);
	assert_int_equal(strlen(record.name), BELAY__NAME_MAX);
	assert_string_equal(record.name, names.env);
}

static void without_a_free_ordinal_the_name_stands_alone(void **state)
{
	struct belay__record record = { .pid = 2 };
	(void)state;

	for (uint32_t i = 0; i < CAPACITY; i++)
		(void)belay__ordinal_take(ordinals, 0, "x");
	belay__name_record(&record, NULL, 0, &(struct belay__names){ .comm = "c" }, ordinals);
	assert_string_equal(record.name, "c");
	assert_int_equal(record.ordinal, 0);
	belay__name_release(&record, ordinals);
	assert_int_equal(belay__ordinal_take(ordinals, 0, "c"), 0);
}

static void releasing_a_name_frees_its_ordinal_and_no_other(void **state)
{
	static const struct belay__names names = { .comm = "c" };
	static const struct belay__names named = { .env = "c#1" };
	struct belay__record first = { .pid = 2 }, second = { .pid = 3 }, impostor = { .pid = 4 },
			     third = { .pid = 5 };
	(void)state;

	belay__name_record(&first, NULL, 0, &names, ordinals);
	belay__name_record(&second, NULL, 0, &names, ordinals);
	/* One that calls itself as a counted name looks holds no ordinal. */
	belay__name_record(&impostor, NULL, 0, &named, ordinals);
	assert_string_equal(impostor.name, "c#1");
	belay__name_release(&impostor, ordinals);
	belay__name_record(&third, NULL, 0, &names, ordinals);
	assert_string_equal(third.name, "c#3");
	belay__name_release(&first, ordinals);
	belay__name_record(&impostor, NULL, 0, &names, ordinals);
	assert_string_equal(impostor.name, "c#1");
}

static void names_that_processes_give_themselves_are_known_as_such(void **state)
{
	(void)state;
	assert_true(belay__name_self_given(BELAY__NAME_OWN));
	assert_true(belay__name_self_given(BELAY__NAME_COMM));
	assert_false(belay__name_self_given(BELAY__NAME_RULE));
	assert_false(belay__name_self_given(BELAY__NAME_UNIT));
	assert_false(belay__name_self_given(BELAY__NAME_NONE));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ordinals_count_up_from_one),
		TEST(users_and_commands_have_counts_of_their_own),
		TEST(the_lowest_free_ordinal_is_used_again),
		TEST(when_all_are_taken_a_name_has_none_until_one_comes_back),
		TEST(a_given_ordinal_is_taken_once_and_jumped_over),
		TEST(what_was_not_taken_cannot_be_given_back),
		TEST(any_order_of_taking_and_giving_back_finds_the_lowest_free_one),
		TEST(a_rule_matches_when_all_its_conditions_do),
		TEST(what_is_not_known_about_a_process_satisfies_no_condition),
		TEST(the_first_rule_that_matches_counts),
		TEST(a_name_comes_from_the_first_place_that_has_one),
		TEST(a_process_that_nothing_is_known_of_still_has_a_name),
		TEST(names_of_full_length_fit),
		TEST(without_a_free_ordinal_the_name_stands_alone),
		TEST(releasing_a_name_frees_its_ordinal_and_no_other),
		TEST(names_that_processes_give_themselves_are_known_as_such),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
