/* Many that go silent at once: what is a mass stall and what is not. Most processes here are entries
 * of the table only; what they do is said to the crowds directly. */

#include "observe/crowds.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/core.h"
#include "observe/testing.h"

#define CAPACITY 512

static struct house house;
static int fds_before;
static struct belay_observer *observer;
static const struct belay__rule rules[] = { { .name = "web", .comm = "nobody-has-this", .uid = -1 },
	{ .name = "db", .comm = "nor-this", .uid = -1 } };
static uint32_t next_pid;

static int begin(void **state)
{
	const struct belay_observer_options options = { .threshold_ms = 1000,
		.capacity = CAPACITY,
		.clock = test_clock };
	(void)state;

	fds_before = belay__fd_count();
	house_open(&house);
	observer = observer_start(&house, &options);
	belay__observer_set_rules(observer, rules, 2);
	next_pid = 1000000;
	event_none(observer);
	return 0;
}

static int end(void **state)
{
	(void)state;
	observer = belay_observer_free(observer);
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

/* A process of RULE and UID that was just heard. Returns its record's number. */
static uint32_t add(uint16_t rule, uint32_t uid)
{
	uint32_t at = belay__table_insert(&observer->table, next_pid++);
	struct belay__slot *slot = &observer->table.slots[at];
	struct belay__record *record = &observer->table.records[slot->record];

	assert_int_not_equal(at, BELAY__NO_SLOT);
	record->uid = uid;
	record->rule = rule;
	slot->list = observer->default_list;
	slot->last_ns = test_now_ns;
	belay__deadlines_heard(&observer->table.deadlines, at, slot->list, test_now_ns);
	belay__crowd_join(observer, slot->record, /* stalled= */ false);
	return slot->record;
}

static void add_many(uint32_t *numbers, uint32_t count, uint16_t rule, uint32_t uid)
{
	for (uint32_t i = 0; i < count; i++)
		numbers[i] = add(rule, uid);
}

static uint32_t slot_of(uint32_t number)
{
	return belay__table_find(&observer->table, observer->table.records[number].pid);
}

/* What stalls.c does when it tells the stall of NUMBER. */
static enum belay__outlook fall_silent(uint32_t number)
{
	uint32_t at = slot_of(number);
	uint64_t until_ns;

	observer->now_ns = test_now_ns;
	belay__deadlines_remove(&observer->table.deadlines, at);
	belay__crowd_silent(observer, number, observer->table.slots[at].list, TEST_S);
	belay__table_set_stalled(&observer->table, at, true);
	return belay__crowd_outlook(observer, at, &until_ns);
}

static void beat(uint32_t number)
{
	uint32_t at = slot_of(number);

	belay__table_set_stalled(&observer->table, at, false);
	observer->table.slots[at].last_ns = test_now_ns;
	belay__deadlines_heard(&observer->table.deadlines, at, observer->default_list, test_now_ns);
	belay__crowd_heard(observer, number);
}

static void go(uint32_t number)
{
	uint32_t at = slot_of(number);

	belay__crowd_leave(observer, number);
	belay__table_remove(&observer->table, at);
}

static void expect_nothing(void)
{
	assert_false(belay__crowds_next(observer));
}

/* The one event that the crowds have to tell. */
static void expect(enum belay_event_kind kind, const char *name, uint32_t uid, uint32_t silent,
	uint32_t members)
{
	assert_true(belay__crowds_next(observer));
	assert_int_equal(observer->event.kind, kind);
	assert_string_equal(observer->event.name, name);
	assert_int_equal(observer->event.uid, uid);
	assert_int_equal(observer->event.beating, silent);
	assert_int_equal(observer->event.expected, members);
	expect_nothing();
}

static void more_than_a_fifth_and_at_least_five_make_a_mass_stall(void **state)
{
	static const struct {
		uint32_t members, mass;
	} cases[] = { { 5, 5 }, { 10, 5 }, { 24, 5 }, { 25, 6 }, { 29, 6 }, { 30, 7 }, { 100, 21 } };
	uint32_t numbers[100];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t mass = cases[i].mass;

		add_many(numbers, cases[i].members, 1, 7);
		/* Of those that beat it is known: they were heard just now. */
		test_now_ns += TEST_S;
		for (uint32_t k = mass; k < cases[i].members; k++)
			beat(numbers[k]);
		for (uint32_t k = 0; k + 1 < mass; k++) {
			(void)fall_silent(numbers[k]);
			expect_nothing();
		}
		assert_int_equal(fall_silent(numbers[mass - 1]), BELAY__MANY);
		expect(BELAY_EVENT_MASS_STALL, "web", 7, mass, cases[i].members);
		for (uint32_t k = 0; k < cases[i].members; k++)
			go(numbers[k]);
		while (belay__crowds_next(observer))
			;
	}
}

static void fewer_than_five_are_never_waited_for(void **state)
{
	uint32_t numbers[4];
	(void)state;

	add_many(numbers, 4, 1, 7);
	test_now_ns += TEST_S;
	for (uint32_t i = 0; i < 4; i++)
		assert_int_equal(fall_silent(numbers[i]), BELAY__ALONE);
	expect_nothing();
}

static void rules_and_users_are_crowds_of_their_own(void **state)
{
	uint32_t ours[4], theirs[4], others[4], none[5];
	(void)state;

	add_many(ours, 4, 1, 7);
	add_many(theirs, 4, 1, 8);
	add_many(others, 4, 2, 7);
	add_many(none, 5, 0, 7);
	test_now_ns += TEST_S;
	for (uint32_t i = 0; i < 4; i++) {
		assert_int_equal(fall_silent(ours[i]), BELAY__ALONE);
		assert_int_equal(fall_silent(theirs[i]), BELAY__ALONE);
		assert_int_equal(fall_silent(others[i]), BELAY__ALONE);
		assert_int_equal(fall_silent(none[i]), BELAY__MAYBE_MANY);
	}
	expect_nothing();
	assert_int_equal(fall_silent(none[4]), BELAY__MANY);
	expect(BELAY_EVENT_MASS_STALL, "(no rule)", 7, 5, 5);
}

static void they_must_fall_silent_within_one_threshold(void **state)
{
	uint32_t numbers[10];
	(void)state;

	add_many(numbers, 10, 1, 7);
	for (uint32_t i = 0; i < 4; i++)
		(void)fall_silent(numbers[i]);
	test_now_ns += TEST_S + 1;
	for (uint32_t i = 5; i < 10; i++)
		beat(numbers[i]);
	/* The first four are silent still, but they have been for longer. */
	assert_int_equal(fall_silent(numbers[4]), BELAY__ALONE);
	expect_nothing();
	for (uint32_t i = 5; i < 8; i++) {
		(void)fall_silent(numbers[i]);
		expect_nothing();
	}
	test_now_ns += TEST_S;
	beat(numbers[9]);
	assert_int_equal(fall_silent(numbers[8]), BELAY__MANY);
	expect(BELAY_EVENT_MASS_STALL, "web", 7, 9, 10);
}

static void it_is_told_once_and_again_only_after_it_was_over(void **state)
{
	uint32_t numbers[20];
	(void)state;

	add_many(numbers, 20, 1, 7);
	test_now_ns += TEST_S;
	for (uint32_t i = 10; i < 20; i++)
		beat(numbers[i]);
	for (uint32_t i = 0; i < 5; i++)
		(void)fall_silent(numbers[i]);
	/* Five more are about to be. */
	expect(BELAY_EVENT_MASS_STALL, "web", 7, 10, 20);
	for (uint32_t i = 5; i < 10; i++)
		assert_int_equal(fall_silent(numbers[i]), BELAY__MANY);
	/* Long after, too: it goes on. */
	test_now_ns += 100 * TEST_S;
	assert_int_equal(fall_silent(numbers[10]), BELAY__MANY);
	expect_nothing();

	for (uint32_t i = 0; i < 4; i++) {
		beat(numbers[i]);
		go(numbers[19 - i]);
	}
	for (uint32_t i = 4; i < 6; i++)
		go(numbers[i]);
	/* Five of fourteen. */
	expect_nothing();
	beat(numbers[6]);
	expect(BELAY_EVENT_MASS_STALL_OVER, "web", 7, 4, 14);
	assert_int_equal(observer->crowds.mass_stalls, 1);

	/* Four are silent still; one more is alone, five more are not. */
	test_now_ns += 2 * TEST_S;
	for (uint32_t i = 0; i < 16; i++)
		if (i < 4 || i == 6 || i > 10)
			beat(numbers[i]);
	assert_int_equal(fall_silent(numbers[0]), BELAY__ALONE);
	expect_nothing();
	for (uint32_t i = 1; i < 4; i++)
		(void)fall_silent(numbers[i]);
	expect_nothing();
	expect_nothing();
	assert_int_equal(fall_silent(numbers[6]), BELAY__MANY);
	expect(BELAY_EVENT_MASS_STALL, "web", 7, 9, 14);
	assert_int_equal(observer->crowds.mass_stalls, 2);
}

static void one_that_beats_again_before_the_others_fall_does_not_count(void **state)
{
	uint32_t numbers[6];
	(void)state;

	add_many(numbers, 6, 1, 7);
	for (uint32_t i = 0; i < 4; i++)
		(void)fall_silent(numbers[i]);
	beat(numbers[2]);
	(void)fall_silent(numbers[4]);
	expect_nothing();
	assert_int_equal(fall_silent(numbers[5]), BELAY__MANY);
	expect(BELAY_EVENT_MASS_STALL, "web", 7, 5, 6);
}

static void only_those_not_heard_for_half_a_threshold_are_suspected(void **state)
{
	uint32_t numbers[10];
	uint16_t crowd;
	(void)state;

	add_many(numbers, 10, 1, 7);
	test_now_ns += TEST_S / 2;
	for (uint32_t i = 5; i < 10; i++)
		beat(numbers[i]);
	test_now_ns += TEST_S / 2 - 1;
	/* One falls, four are suspected. */
	assert_int_equal(fall_silent(numbers[0]), BELAY__MAYBE_MANY);
	crowd = observer->watches[numbers[0]].member.crowd;
	/* Later it is still those four that matter, not who was heard meanwhile. */
	test_now_ns += TEST_S / 4;
	observer->now_ns = test_now_ns;
	assert_int_equal(belay__crowd_look(observer, crowd, observer->default_list),
		BELAY__MAYBE_MANY);
	beat(numbers[1]);
	assert_int_equal(belay__crowd_look(observer, crowd, observer->default_list), BELAY__ALONE);
	assert_int_equal(belay__crowd_look(observer, 0, observer->default_list), BELAY__ALONE);
}

static void what_finds_no_crowd_of_its_own_shares_one(void **state)
{
	uint32_t numbers[5];
	(void)state;

	for (uint32_t uid = 0; uid < BELAY__CROWDS_MAX; uid++)
		(void)add(1, 1000 + uid);
	for (uint32_t i = 0; i < 5; i++)
		numbers[i] = add(1, 5000 + i);
	test_now_ns += TEST_S;
	for (uint32_t i = 0; i < 5; i++)
		(void)fall_silent(numbers[i]);
	expect(BELAY_EVENT_MASS_STALL, "(others)", 5000, 5, 5);
}

/* As a reload does, or (without KEPT) another observer: everybody leaves and joins anew. */
static void come_again(const uint32_t *numbers, uint32_t count, struct belay__mass_stalls *kept)
{
	uint8_t marks[64];
	bool stalled[64];

	if (kept != NULL)
		belay__crowds_keep(observer, kept);
	for (uint32_t i = 0; i < count; i++) {
		marks[i] = observer->table.records[numbers[i]].marks;
		stalled[i] = observer->table.slots[slot_of(numbers[i])].flags & BELAY__SLOT_STALLED;
		belay__crowd_leave(observer, numbers[i]);
		observer->table.records[numbers[i]].marks = marks[i];
	}
	belay__crowds_reset(observer);
	for (uint32_t i = 0; i < count; i++)
		belay__crowd_join(observer, numbers[i], stalled[i]);
	belay__crowds_resume(observer, kept);
}

static void expect_left(const uint32_t *numbers, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(belay__crowds_left_next(observer), numbers[i]);
	assert_int_equal(belay__crowds_left_next(observer), BELAY__NO_RECORD);
}

/* Six of RULE, of which COUNT make a mass stall that was told. */
static void make_mass(uint32_t *numbers, uint32_t count)
{
	add_many(numbers, 6, 1, 7);
	for (uint32_t i = 0; i < count; i++)
		(void)fall_silent(numbers[i]);
	assert_true(belay__crowds_next(observer));
	belay__crowds_told(observer);
	expect_nothing();
}

static void those_silent_still_when_it_is_over_are_left(void **state)
{
	uint32_t numbers[6];
	(void)state;

	make_mass(numbers, 6);
	expect_left(NULL, 0);
	beat(numbers[0]);
	expect_left(NULL, 0);
	beat(numbers[3]);
	expect(BELAY_EVENT_MASS_STALL_OVER, "web", 7, 4, 6);
	/* One of them beats before it is asked for, one ends. */
	beat(numbers[2]);
	go(numbers[5]);
	expect_left((uint32_t[]){ numbers[1], numbers[4] }, 2);
	assert_int_equal(observer->table.records[numbers[1]].marks, 0);
	expect_nothing();
}

static void one_that_fell_silent_long_before_is_none_of_it(void **state)
{
	uint32_t numbers[9];
	(void)state;

	add_many(numbers, 9, 1, 7);
	for (uint32_t i = 0; i < 3; i++)
		(void)fall_silent(numbers[i]);
	test_now_ns += 2 * TEST_S;
	for (uint32_t i = 3; i < 8; i++)
		(void)fall_silent(numbers[i]);
	expect(BELAY_EVENT_MASS_STALL, "web", 7, 9, 9);
	beat(numbers[4]);
	expect(BELAY_EVENT_MASS_STALL_OVER, "web", 7, 7, 9);
	expect_left((uint32_t[]){ numbers[3], numbers[5], numbers[6], numbers[7] }, 4);
}

static void who_joins_can_make_a_mass_stall_none(void **state)
{
	uint32_t numbers[6], more[24];
	(void)state;

	make_mass(numbers, 5);
	add_many(more, 18, 1, 7);
	expect_nothing();
	add_many(more, 1, 1, 7);
	expect(BELAY_EVENT_MASS_STALL_OVER, "web", 7, 5, 25);
	expect_left(numbers, 5);
}

static void after_a_restart_what_goes_on_is_not_told_again(void **state)
{
	uint32_t numbers[6];
	(void)state;

	make_mass(numbers, 5);
	come_again(numbers, 6, NULL);
	expect_nothing();
	assert_int_equal(fall_silent(numbers[5]), BELAY__MANY);
	expect_nothing();
	beat(numbers[0]);
	expect_nothing();
	beat(numbers[1]);
	expect(BELAY_EVENT_MASS_STALL_OVER, "web", 7, 4, 6);
	expect_left(&numbers[2], 4);
}

static void what_was_not_told_before_a_restart_is_no_mass_stall(void **state)
{
	uint32_t numbers[6];
	(void)state;

	add_many(numbers, 6, 1, 7);
	for (uint32_t i = 0; i < 5; i++) {
		(void)fall_silent(numbers[i]);
		test_now_ns += 2 * TEST_S;
	}
	come_again(numbers, 6, NULL);
	assert_int_equal(fall_silent(numbers[5]), BELAY__ALONE);
	expect_nothing();
}

static void what_was_held_before_a_restart_is_held_until_the_others_are_heard(void **state)
{
	uint32_t numbers[6];
	uint64_t until_ns;
	uint32_t at;
	(void)state;

	add_many(numbers, 6, 1, 7);
	(void)fall_silent(numbers[0]);
	observer->table.records[numbers[0]].marks = BELAY__MARK_HELD;
	test_now_ns += TEST_S / 4;
	observer->now_ns = test_now_ns;
	come_again(numbers, 6, NULL);
	at = slot_of(numbers[0]);
	assert_int_equal(belay__crowd_outlook(observer, at, &until_ns), BELAY__MAYBE_MANY);
	assert_true(until_ns > test_now_ns + TEST_S);
	test_now_ns++;
	for (uint32_t i = 1; i < 3; i++)
		beat(numbers[i]);
	observer->now_ns = test_now_ns;
	assert_int_equal(belay__crowd_outlook(observer, at, &until_ns), BELAY__ALONE);
}

static void a_reload_makes_no_mass_stall_of_what_was_none(void **state)
{
	static struct belay__mass_stalls kept;
	uint32_t numbers[6];
	(void)state;

	add_many(numbers, 6, 1, 7);
	for (uint32_t i = 0; i < 5; i++) {
		(void)fall_silent(numbers[i]);
		test_now_ns += 2 * TEST_S;
	}
	come_again(numbers, 6, &kept);
	assert_int_equal(fall_silent(numbers[5]), BELAY__ALONE);
	expect_nothing();
}

static void over_a_reload_a_mass_stall_belongs_to_its_rules_name(void **state)
{
	static const struct belay__rule turned[] = {
		{ .name = "db", .comm = "nor-this", .uid = -1 },
		{ .name = "web", .comm = "nobody-has-this", .uid = -1 },
	};
	static struct belay__mass_stalls kept;
	uint32_t numbers[6];
	(void)state;

	make_mass(numbers, 5);
	/* Rule 2 is called web now. */
	observer->rule_count = 2;
	memcpy(observer->rules, turned, sizeof(turned));
	for (uint32_t i = 0; i < 6; i++)
		observer->table.records[numbers[i]].rule = 2;
	come_again(numbers, 6, &kept);
	expect_nothing();
	assert_int_equal(fall_silent(numbers[5]), BELAY__MANY);
	/* And now nobody is. */
	for (uint32_t i = 0; i < 6; i++)
		observer->table.records[numbers[i]].rule = 1;
	come_again(numbers, 6, &kept);
	expect(BELAY_EVENT_MASS_STALL_OVER, "web", 7, 0, 0);
	expect_left(numbers, 6);
}

static void a_mass_stall_that_others_know_of_is_over_when_there_is_none(void **state)
{
	uint32_t numbers[6];
	(void)state;

	make_mass(numbers, 5);
	belay__crowds_known(observer, "web", 7);
	expect_nothing();
	belay__crowds_known(observer, "gone", 7);
	expect(BELAY_EVENT_MASS_STALL_OVER, "gone", 7, 0, 0);
}

/* --- with processes --- */

#define PUPPETS 6

static void begin_puppets(struct puppet *puppets)
{
	for (uint32_t i = 0; i < PUPPETS; i++) {
		puppets[i] = puppet_start(&house);
		puppet_beat(&puppets[i], BELAY_OK);
		assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	}
	event_none(observer);
}

static void stopped_ones_are_no_mass_stall(void **state)
{
	struct puppet puppets[PUPPETS];
	(void)state;

	begin_puppets(puppets);
	for (uint32_t i = 0; i < PUPPETS; i++) {
		puppet_signal(&puppets[i], SIGSTOP);
		puppet_wait_state(&puppets[i], 'T');
	}
	test_now_ns += TEST_S;
	for (uint32_t i = 0; i < PUPPETS; i++)
		assert_string_equal(event_take(observer, BELAY_EVENT_STALL)->verdict, "stopped");
	event_none(observer);
	for (uint32_t i = 0; i < PUPPETS; i++)
		puppet_done(&puppets[i]);
}

static void stopped_ones_are_a_mass_stall_where_that_is_acted_on(void **state)
{
	struct puppet puppets[PUPPETS];
	(void)state;

	observer->crowds.also[0] = 1u << BELAY__VERDICT_STOPPED;
	begin_puppets(puppets);
	for (uint32_t i = 0; i < PUPPETS; i++) {
		puppet_signal(&puppets[i], SIGSTOP);
		puppet_wait_state(&puppets[i], 'T');
	}
	test_now_ns += TEST_S;
	for (uint32_t i = 0; i < BELAY__CROWD_MASS_MIN; i++)
		assert_string_equal(event_take(observer, BELAY_EVENT_STALL)->verdict, "stopped");
	(void)event_take(observer, BELAY_EVENT_MASS_STALL);
	(void)event_take(observer, BELAY_EVENT_STALL);
	event_none(observer);
	for (uint32_t i = 0; i < PUPPETS; i++)
		puppet_done(&puppets[i]);
}

static void a_mass_stall_comes_behind_the_stall_that_makes_it_one(void **state)
{
	struct puppet puppets[PUPPETS];
	const struct belay_event *event;
	unsigned stalls = 0;
	(void)state;

	begin_puppets(puppets);
	for (uint32_t i = 0; i < PUPPETS; i++)
		puppet_wait_state(&puppets[i], 'S');
	test_now_ns += TEST_S;
	for (; stalls < BELAY__CROWD_MASS_MIN; stalls++)
		(void)event_take(observer, BELAY_EVENT_STALL);
	event = event_take(observer, BELAY_EVENT_MASS_STALL);
	assert_string_equal(event->name, "(no rule)");
	assert_int_equal(event->uid, geteuid());
	assert_int_equal(event->beating, PUPPETS);
	assert_int_equal(event->expected, PUPPETS);
	assert_int_equal(event->pid, 0);
	(void)event_take(observer, BELAY_EVENT_STALL);
	event_none(observer);
	/* It is over when so many beat again, or are gone. */
	puppet_beat(&puppets[0], BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	event_none(observer);
	puppet_exit(&puppets[1], 0);
	(void)event_take(observer, BELAY_EVENT_END);
	event = event_take(observer, BELAY_EVENT_MASS_STALL_OVER);
	assert_int_equal(event->beating, 4);
	event_none(observer);
	for (uint32_t i = 0; i < PUPPETS; i++)
		puppet_done(&puppets[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			more_than_a_fifth_and_at_least_five_make_a_mass_stall, begin, end),
		cmocka_unit_test_setup_teardown(fewer_than_five_are_never_waited_for, begin, end),
		cmocka_unit_test_setup_teardown(rules_and_users_are_crowds_of_their_own, begin, end),
		cmocka_unit_test_setup_teardown(they_must_fall_silent_within_one_threshold, begin,
			end),
		cmocka_unit_test_setup_teardown(it_is_told_once_and_again_only_after_it_was_over,
			begin, end),
		cmocka_unit_test_setup_teardown(
			one_that_beats_again_before_the_others_fall_does_not_count, begin, end),
		cmocka_unit_test_setup_teardown(
			only_those_not_heard_for_half_a_threshold_are_suspected, begin, end),
		cmocka_unit_test_setup_teardown(what_finds_no_crowd_of_its_own_shares_one, begin,
			end),
		cmocka_unit_test_setup_teardown(after_a_restart_what_goes_on_is_not_told_again,
			begin, end),
		cmocka_unit_test_setup_teardown(those_silent_still_when_it_is_over_are_left, begin,
			end),
		cmocka_unit_test_setup_teardown(one_that_fell_silent_long_before_is_none_of_it,
			begin, end),
		cmocka_unit_test_setup_teardown(who_joins_can_make_a_mass_stall_none, begin, end),
		cmocka_unit_test_setup_teardown(what_was_not_told_before_a_restart_is_no_mass_stall,
			begin, end),
		cmocka_unit_test_setup_teardown(
			what_was_held_before_a_restart_is_held_until_the_others_are_heard, begin,
			end),
		cmocka_unit_test_setup_teardown(a_reload_makes_no_mass_stall_of_what_was_none,
			begin, end),
		cmocka_unit_test_setup_teardown(
			over_a_reload_a_mass_stall_belongs_to_its_rules_name, begin, end),
		cmocka_unit_test_setup_teardown(
			a_mass_stall_that_others_know_of_is_over_when_there_is_none, begin, end),
		cmocka_unit_test_setup_teardown(stopped_ones_are_no_mass_stall, begin, end),
		cmocka_unit_test_setup_teardown(
			stopped_ones_are_a_mass_stall_where_that_is_acted_on, begin, end),
		cmocka_unit_test_setup_teardown(
			a_mass_stall_comes_behind_the_stall_that_makes_it_one, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
