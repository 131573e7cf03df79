#include "observe/brakes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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
	return belay__brakes_new(-EBADF, 0, &brakes);
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
		.rule = "rule",
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
	assert_int_equal(belay__brakes_counters(brakes)->recycle_resets, 0);
	belay__brakes_acted(brakes, &wanted, 101 * S);
	assert_int_equal(belay__brakes_counters(brakes)->recycle_resets, 1);
	assert_int_equal(belay__brakes_counters(brakes)->evictions, 0);
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

/* Five actions on its name at 100 s: the next one is to wait for 16 s. */
static struct belay__braking acted_on_five_times(void)
{
	struct belay__braking wanted = worker(7);

	for (unsigned i = 0; i < 5; i++)
		belay__brakes_acted(brakes, &wanted, 100 * S);
	wanted.threshold_ns = S;
	wanted.healthy_ns = 10 * S;
	return wanted;
}

static void ten_healthy_thresholds_after_the_last_action_end_a_back_off(void **state)
{
	struct belay__braking wanted = acted_on_five_times();
	(void)state;

	wanted.healthy_ns = 10 * S - 1;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 110 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	wanted.healthy_ns = 10 * S;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 110 * S, &wait_ns), 0);
	/* Asking forgets nothing. */
	wanted.healthy_ns = 0;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 110 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	assert_int_equal(wait_ns, 6 * S);
	wanted.healthy_ns = 10 * S;
	belay__brakes_acted(brakes, &wanted, 110 * S);
	wanted.healthy_ns = 0;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 110 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	assert_int_equal(wait_ns, S);
}

static void a_healthy_one_of_the_same_name_ends_no_back_off(void **state)
{
	struct belay__braking wanted = acted_on_five_times();
	(void)state;

	/* All of its well-being lies before the last action, or some of it. */
	wanted.pid++;
	wanted.healthy_ns = 3600 * S;
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 100 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 110 * S - 1, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 110 * S, &wait_ns), 0);
	/* Acted on before that all the same, it makes the next one wait twice as long. */
	belay__brakes_acted(brakes, &wanted, 109 * S);
	assert_int_equal(belay__brakes_back_off(brakes, &wanted, 109 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	assert_int_equal(wait_ns, 32 * S);
}

static void one_silence_is_done_once(void **state)
{
	struct belay__braking wanted = worker(7), other;
	(void)state;

	wanted.beats = 12;
	assert_false(belay__brakes_done(brakes, &wanted));
	belay__brakes_acted(brakes, &wanted, 100 * S);
	assert_true(belay__brakes_done(brakes, &wanted));
	other = wanted;
	other.beats++;
	assert_false(belay__brakes_done(brakes, &other));
	other = wanted;
	other.start_ticks++;
	assert_false(belay__brakes_done(brakes, &other));
	other = wanted;
	other.on = 1; /* its end is something else */
	assert_false(belay__brakes_done(brakes, &other));
	other = wanted;
	other.pid++;
	assert_false(belay__brakes_done(brakes, &other));
}

/* --- memory that outlives a runner --- */

static void the_next_runner_knows_what_was_done(void **state)
{
	struct belay__braking wanted = worker(7);
	struct belay__brakes *first, *second;
	int fd = belay__brakes_create();
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(belay__brakes_new(fd, 100 * S, &first), 0);
	wanted.limit_count = 2;
	wanted.limit_window_ns = 60 * S;
	belay__brakes_acted(first, &wanted, 100 * S);
	belay__brakes_acted(first, &wanted, 100 * S);
	(void)belay__brakes_free(first);
	assert_int_equal(belay__brakes_new(fd, 101 * S, &second), 0);
	(void)close(fd);
	assert_true(belay__brakes_done(second, &wanted));
	assert_int_equal(belay__brakes_debounce(second, &wanted, 101 * S, &wait_ns),
		BELAY__ACTED_DEBOUNCED);
	assert_int_equal(wait_ns, 9 * S);
	assert_int_equal(belay__brakes_back_off(second, &wanted, 101 * S, &wait_ns),
		BELAY__ACTED_BACK_OFF);
	assert_int_equal(wait_ns, S);
	assert_int_equal(belay__brakes_limit(second, &wanted, 101 * S, &wait_ns),
		BELAY__ACTED_LIMIT);
	assert_int_equal(wait_ns, 59 * S);
	(void)belay__brakes_free(second);
}

static void memory_that_is_none_is_refused(void **state)
{
	int fd = memfd_create("test", MFD_CLOEXEC), whole = belay__brakes_create();
	struct belay__brakes *none = NULL;
	(void)state;

	assert_true(fd >= 0 && whole >= 0);
	assert_int_equal(belay__brakes_new(fd, 0, &none), -EPROTO);
	assert_int_equal(ftruncate(fd, lseek(whole, 0, SEEK_END)), 0);
	assert_int_equal(belay__brakes_new(fd, 0, &none), -EPROTO);
	assert_int_equal(pwrite(whole, "x", 1, 0), 1);
	assert_int_equal(belay__brakes_new(whole, 0, &none), -EPROTO);
	assert_null(none);
	(void)close(fd);
	(void)close(whole);
}

static void what_a_runner_out_of_its_mind_wrote_is_harmless(void **state)
{
	struct belay__braking wanted = worker(7);
	struct belay__brakes *mended;
	int fd = belay__brakes_create();
	static char junk[1 << 16];
	off_t size;
	(void)state;

	assert_true(fd >= 0);
	size = lseek(fd, 0, SEEK_END);
	memset(junk, 0xff, sizeof(junk));
	/* All but magic, version and size. */
	for (off_t at = 16; at < size;) {
		ssize_t n = pwrite(fd, junk,
			size - at < (off_t)sizeof(junk) ? (size_t)(size - at) : sizeof(junk), at);

		assert_true(n > 0);
		at += n;
	}
	assert_int_equal(belay__brakes_new(fd, 100 * S, &mended), 0);
	(void)close(fd);
	wanted.limit_count = 2;
	wanted.limit_window_ns = 60 * S;
	assert_int_equal(belay__brakes_limit(mended, &wanted, 100 * S, &wait_ns), 0);
	/* It holds back, but not for ever. */
	assert_int_equal(belay__brakes_room(mended, &wanted, 100 * S), BELAY__ACTED_DEBOUNCE_FULL);
	assert_int_equal(belay__brakes_room(mended, &wanted, 400 * S), 0);
	for (unsigned i = 0; i < BELAY__BRAKES_HISTORY + 2; i++)
		belay__brakes_acted(mended, &wanted, 400 * S);
	assert_int_equal(belay__brakes_limit(mended, &wanted, 400 * S, &wait_ns),
		BELAY__ACTED_LIMIT);
	(void)belay__brakes_free(mended);
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
		other.rule = "another";
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
	wanted.rule = "";
	assert_int_equal(belay__brakes_limit(brakes, &wanted, 110 * S, &wait_ns), 0);
	wanted.rule = "rule";
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
		TEST(ten_healthy_thresholds_after_the_last_action_end_a_back_off),
		TEST(a_healthy_one_of_the_same_name_ends_no_back_off),
		TEST(one_silence_is_done_once),
		TEST(the_next_runner_knows_what_was_done),
		TEST(memory_that_is_none_is_refused),
		TEST(what_a_runner_out_of_its_mind_wrote_is_harmless),
		TEST(names_and_users_have_back_offs_of_their_own),
		TEST(when_all_names_are_held_back_there_is_no_room),
		TEST(a_rule_has_so_many_actions_in_its_window),
		TEST(a_limit_beyond_what_is_remembered_is_that),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
