#include "observe/brakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"
#include "observe/acting.h"

#define S BELAY__NS_PER_S

static struct belay__brakes *brakes;
static uint64_t wait_ns;

static int begin(void **state)
{
	(void)state;
	wait_ns = 77;
	return belay__brakes_new(&brakes);
}

static int end(void **state)
{
	(void)state;
	brakes = belay__brakes_free(brakes);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

static struct belay__braking worker(uint32_t pid)
{
	return (struct belay__braking){ .pid = pid,
		.uid = 1000,
		.start_ticks = 5000,
		.name = "worker",
		.rule = 1,
		.threshold_ns = 5 * S,
		.debounce_ns = 10 * S };
}

static void the_same_process_is_held_back_until_its_time_is_over(void **state)
{
	struct belay__braking wanted = worker(7);
	(void)state;

	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 100 * S, &wait_ns), 0);
	assert_int_equal(wait_ns, 77);
	belay__brakes_acted(brakes, &wanted, 100 * S);
	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 100 * S, &wait_ns),
		BELAY__ACTED_DEBOUNCED);
	assert_int_equal(wait_ns, 10 * S);
	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 110 * S - 1, &wait_ns),
		BELAY__ACTED_DEBOUNCED);
	assert_int_equal(wait_ns, 1);
	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 110 * S, &wait_ns), 0);
	/* A clock that ran backwards lets nobody through. */
	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 50 * S, &wait_ns),
		BELAY__ACTED_DEBOUNCED);
}

static void another_process_of_the_pid_is_not_held_back(void **state)
{
	struct belay__braking wanted = worker(7);
	(void)state;

	belay__brakes_acted(brakes, &wanted, 100 * S);
	wanted.start_ticks = 0; /* unknown: may be the same */
	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 101 * S, &wait_ns),
		BELAY__ACTED_DEBOUNCED);
	wanted.start_ticks = 5001;
	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 101 * S, &wait_ns), 0);
	assert_int_equal(belay__brakes_counters(brakes)->recycle_resets, 1);
	wanted = worker(8);
	assert_int_equal(belay__brakes_debounce(brakes, &wanted, 101 * S, &wait_ns), 0);
}

static void a_full_ledger_gives_up_only_what_is_old_enough(void **state)
{
	struct belay__braking wanted;
	char name[16];
	(void)state;

	for (uint32_t pid = 1; pid <= BELAY__BRAKES_LEDGER; pid++) {
		wanted = worker(pid);
		(void)snprintf(name, sizeof(name), "w%u", pid % 100);
		wanted.name = name;
		belay__brakes_acted(brakes, &wanted, 100 * S + pid);
	}
	wanted = worker(100000);
	assert_int_equal(belay__brakes_room(brakes, &wanted, 110 * S), BELAY__ACTED_DEBOUNCE_FULL);
	assert_int_equal(belay__brakes_room(brakes, &wanted, 110 * S + 1), 0);
	assert_int_equal(belay__brakes_counters(brakes)->evictions, 0);
	belay__brakes_acted(brakes, &wanted, 110 * S + 1);
	assert_int_equal(belay__brakes_counters(brakes)->evictions, 1);
	/* One that is known needs no room. */
	wanted = worker(9);
	assert_int_equal(belay__brakes_room(brakes, &wanted, 100 * S + 5000), 0);
	/* What is older than ten times says nothing any more. */
	wanted = worker(200000);
	assert_int_equal(belay__brakes_room(brakes, &wanted, 1000 * S), 0);
}

static void the_time_between_actions_doubles(void **state)
{
	static const unsigned steps[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300 };
	struct belay__braking wanted = worker(7);
	uint64_t now_ns = 100 * S;
	(void)state;

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		wanted.pid++; /* a new process of the same name */
		assert_int_equal(belay__brakes_back_off(brakes, &wanted, now_ns, &wait_ns), 0);
		belay__brakes_acted(brakes, &wanted, now_ns);
		now_ns += steps[i] * S;
		assert_int_equal(belay__brakes_back_off(brakes, &wanted, now_ns - 1, &wait_ns),
			BELAY__ACTED_BACK_OFF);
		assert_int_equal(wait_ns, 1);
	}
}

static void ten_healthy_thresholds_end_a_back_off(void **state)
{
	struct belay__braking wanted = worker(7);
	(void)state;

	for (unsigned i = 0; i < 5; i++)
		belay__brakes_acted(brakes, &wanted, 100 * S);
	wanted.healthy_ns = 50 * S - 1;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 101 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	wanted.healthy_ns = 50 * S;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 101 * S, &wait_ns), 0);
	belay__brakes_acted(brakes, &wanted, 101 * S);
	wanted.healthy_ns = 0;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 101 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	assert_int_equal(wait_ns, S);
}

static void names_and_users_have_back_offs_of_their_own(void **state)
{
	struct belay__braking wanted = worker(7), other = worker(8);
	(void)state;

	belay__brakes_acted(brakes, &wanted, 100 * S);
	other.name = "other";
	assert_int_equal(belay__brakes_back_off(brakes, &other, 100 * S, &wait_ns), 0);
	other = worker(8);
	other.uid = 1001;
	assert_int_equal(belay__brakes_back_off(brakes, &other, 100 * S, &wait_ns), 0);
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 100 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
}

static void when_all_names_are_held_back_there_is_no_room(void **state)
{
	struct belay__braking wanted = worker(7);
	char name[16];
	(void)state;

	for (unsigned i = 0; i < BELAY__BRAKES_NAMES; i++) {
		(void)snprintf(name, sizeof(name), "w%u", i);
		wanted.name = name;
		belay__brakes_acted(brakes, &wanted, 100 * S);
	}
	wanted.name = "another";
	assert_int_equal(belay__brakes_room(brakes, &wanted, 101 * S - 1),
		BELAY__ACTED_DEBOUNCE_FULL);
	assert_int_equal(belay__brakes_room(brakes, &wanted, 101 * S), 0);
}

static void a_rule_has_so_many_actions_in_its_window(void **state)
{
	struct belay__braking wanted = worker(7), other = worker(8);
	(void)state;

	wanted.limit_count = 3;
	wanted.limit_window_ns = 60 * S;
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(belay__brakes_limit(brakes, &wanted, (100 + i) * S, &wait_ns), 0);
		belay__brakes_acted(brakes, &wanted, (100 + i) * S);
		other.rule = 2;
		belay__brakes_acted(brakes, &other, (100 + i) * S);
	}
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 110 * S, &wait_ns),
		BELAY__ACTED_LIMIT);
	assert_int_equal(wait_ns, 50 * S);
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 160 * S - 1, &wait_ns),
		BELAY__ACTED_LIMIT);
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 160 * S, &wait_ns), 0);
	wanted.uid++;
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 110 * S, &wait_ns), 0);
	wanted.uid--;
	wanted.rule = 0;
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 110 * S, &wait_ns), 0);
	wanted.rule = 1;
	wanted.limit_count = 0; /* none */
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 110 * S, &wait_ns), 0);
}

static void a_limit_beyond_what_is_remembered_is_that(void **state)
{
	struct belay__braking wanted = worker(7);
	(void)state;

	wanted.limit_count = 100000;
	wanted.limit_window_ns = 60 * S;
	for (unsigned i = 0; i < BELAY__BRAKES_HISTORY - 1; i++)
		belay__brakes_acted(brakes, &wanted, 100 * S);
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 100 * S, &wait_ns), 0);
	belay__brakes_acted(brakes, &wanted, 100 * S);
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 100 * S, &wait_ns),
		BELAY__ACTED_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_process_is_held_back_until_its_time_is_over),
		TEST(another_process_of_the_pid_is_not_held_back),
		TEST(a_full_ledger_gives_up_only_what_is_old_enough),
		TEST(the_time_between_actions_doubles),
		TEST(ten_healthy_thresholds_end_a_back_off),
		TEST(names_and_users_have_back_offs_of_their_own),
		TEST(when_all_names_are_held_back_there_is_no_room),
		TEST(a_rule_has_so_many_actions_in_its_window),
		TEST(a_limit_beyond_what_is_remembered_is_that),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
