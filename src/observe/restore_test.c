#include "observe/restore.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/names.h"
#include "observe/testing.h"

static struct house house;
static int fds_before;
static struct belay__kept kept[8];

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	house_open(&house);
	return 0;
}

static int end(void **state)
{
	(void)state;
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

/* COUNT puppets whose first beats have been taken. */
static void start_puppets(struct belay_observer *observer, struct puppet *puppets, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		puppets[i] = puppet_start(&house);
		puppet_beat(&puppets[i], BELAY_OK);
		(void)event_take(observer, BELAY_EVENT_BEAT);
	}
	event_none(observer);
}

static void end_puppets(struct puppet *puppets, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		puppet_done(&puppets[i]);
}

/* Copies what OBSERVER knows, as a state file would hold it, and frees it. */
static uint32_t keep_and_free(struct belay_observer *observer)
{
	uint32_t count = 0;

	for (uint32_t at = 0; at < observer->table.slot_count; at++)
		if (observer->table.slots[at].pid != 0)
			kept[count++] = (struct belay__kept){ .slot = observer->table.slots[at],
				.record = observer->table.records[observer->table.slots[at].record] };
	belay_observer_free(observer);
	return count;
}

static struct belay_observer *restart(uint32_t count, uint32_t going_on)
{
	struct belay_observer *observer = observer_start(&house, NULL);

	test_now_ns += 1000 * TEST_S; /* another clock, long after */
	(void)belay_observer_now_ns(observer);
	assert_int_equal(belay__restore(observer, kept, count), going_on);
	belay__table_check(&observer->table);
	return observer;
}

static void who_still_lives_goes_on_with_one_threshold_of_credit(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppets[2];
	const struct belay_event *event;
	uint64_t start_ticks;
	char name[80];
	(void)state;

	start_puppets(observer, puppets, 2);
	puppet_beat(&puppets[0], BELAY_DEGRADED);
	event = event_take(observer, BELAY_EVENT_BEAT);
	start_ticks = event->start_ticks;
	(void)snprintf(name, sizeof(name), "%s", event->name);
	event_none(observer);
	observer = restart(keep_and_free(observer), 2);
	event_none(observer);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 2);
	/* Nobody is new, nothing has changed, and a replay is still a replay. */
	puppets[0].nonce = 1;
	puppet_beat(&puppets[0], BELAY_DEGRADED);
	event_none(observer);
	assert_int_equal(counter_of(observer, "out_of_order_total", ""), 1);
	puppet_beat(&puppets[0], BELAY_DEGRADED);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_false(event->first);
	assert_false(event->status_changed);
	assert_false(event->recovered);
	assert_string_equal(event->name, name);
	assert_int_equal(event->start_ticks, start_ticks);
	event_none(observer);
	test_now_ns += TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->silent_ns, TEST_S);
	event_none(observer);
	/* Their ends are noticed, too. */
	puppet_exit(&puppets[1], 4);
	assert_int_equal(event_take(observer, BELAY_EVENT_END)->code, 4);
	end_puppets(puppets, 2);
	belay_observer_free(observer);
}

static void who_vanished_is_told_once_as_ended_while_nobody_watched(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppets[3];
	const struct belay_event *event;
	uint32_t pid, count;
	(void)state;

	start_puppets(observer, puppets, 3);
	pid = (uint32_t)puppets[1].pid;
	count = keep_and_free(observer);
	puppet_exit(&puppets[1], 0);
	puppet_reap(&puppets[1]);
	observer = restart(count, 2);
	event = event_take(observer, BELAY_EVENT_END);
	assert_int_equal(event->pid, pid);
	assert_int_equal(event->uid, geteuid());
	assert_int_not_equal(event->start_ticks, 0);
	assert_true(event->name[0] != '\0');
	assert_int_equal(event->end, BELAY_END_UNKNOWN);
	assert_true(event->while_down);
	event_none(observer);
	assert_int_equal(counter_of(observer, "ends_total", "end=\"unknown\""), 1);
	end_puppets(puppets, 3);
	belay_observer_free(observer);
}

static void one_that_died_and_was_not_reaped_ends_too(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet;
	uint32_t count;
	(void)state;

	start_puppets(observer, &puppet, 1);
	count = keep_and_free(observer);
	puppet_exit(&puppet, 6);
	observer = observer_start(&house, NULL);
	(void)belay__restore(observer, kept, count);
	assert_int_equal(event_take(observer, BELAY_EVENT_END)->pid, puppet.pid);
	event_none(observer);
	puppet_reap(&puppet);
	belay_observer_free(observer);
}

static void another_process_with_the_pid_is_not_taken_for_it(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet;
	const struct belay_event *event;
	uint64_t start_ticks;
	(void)state;

	start_puppets(observer, &puppet, 1);
	assert_int_equal(keep_and_free(observer), 1);
	start_ticks = kept[0].slot.start_ticks;
	kept[0].slot.start_ticks--; /* as if it were an earlier one's */
	observer = restart(1, 0);
	event = event_take(observer, BELAY_EVENT_END);
	assert_int_equal(event->pid, puppet.pid);
	assert_int_equal(event->start_ticks, start_ticks - 1);
	assert_true(event->while_down);
	puppet_beat(&puppet, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->first);
	assert_int_equal(event->start_ticks, start_ticks);
	event_none(observer);
	end_puppets(&puppet, 1);
	belay_observer_free(observer);
}

static void a_stall_that_was_told_is_not_told_again(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet;
	(void)state;

	start_puppets(observer, &puppet, 1);
	test_now_ns += 2 * TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	event_none(observer);
	observer = restart(keep_and_free(observer), 1);
	test_now_ns += 10 * TEST_S;
	event_none(observer);
	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	event_none(observer);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	end_puppets(&puppet, 1);
	belay_observer_free(observer);
}

static void an_announced_silence_lasts_over_a_restart(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet;
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_WITHIN,
		.nonce = 1,
		.value = 30000 };
	uint32_t count;
	(void)state;

	start_puppets(observer, &puppet, 1);
	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event_none(observer);
	count = keep_and_free(observer);
	/* The same clock goes on. */
	observer = observer_start(&house, NULL);
	test_now_ns += 10 * TEST_S;
	(void)belay_observer_now_ns(observer);
	assert_int_equal(belay__restore(observer, kept, count), 1);
	belay__table_check(&observer->table);
	test_now_ns += 20 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	(void)event_take(observer, BELAY_EVENT_STALL);
	end_puppets(&puppet, 1);
	belay_observer_free(observer);
}

static void names_stay_and_their_ordinals_are_taken(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppets[3];
	char first[80], second[80];
	const char *mark;
	(void)state;

	start_puppets(observer, puppets, 2);
	(void)keep_and_free(observer);
	(void)snprintf(first, sizeof(first), "%s", kept[0].record.name);
	(void)snprintf(second, sizeof(second), "%s", kept[1].record.name);
	if (kept[0].record.name_source != BELAY__NAME_COMM) {
		end_puppets(puppets, 2); /* it runs inside a unit, whose name it has */
		skip();
	}
	mark = strrchr(first, '#');
	assert_non_null(mark);
	assert_string_not_equal(first, second);
	observer = restart(2, 2);
	puppets[2] = puppet_start(&house);
	puppet_beat(&puppets[2], BELAY_OK);
	mark = event_take(observer, BELAY_EVENT_BEAT)->name;
	assert_string_equal(strrchr(mark, '#'), "#3");
	end_puppets(puppets, 3);
	belay_observer_free(observer);
}

static void a_new_rule_names_the_old_process(void **state)
{
	static struct belay__rule rule = { .name = "ruled",
		.uid = -1,
		.exe = "*",
		.threshold_ns = 3 * TEST_S };
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet;
	const struct belay_event *event;
	uint32_t count;
	(void)state;

	start_puppets(observer, &puppet, 1);
	count = keep_and_free(observer);
	observer = observer_start(&house, NULL);
	belay__observer_set_rules(observer, &rule, 1);
	assert_int_equal(belay__restore(observer, kept, count), 1);
	event_none(observer);
	test_now_ns += 3 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_string_equal(event->name, "ruled");
	assert_int_equal(event->threshold_ns, 3 * TEST_S);
	end_puppets(&puppet, 1);
	belay_observer_free(observer);
}

static void who_finds_no_room_is_not_said_to_be_gone(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppets[3];
	uint32_t count;
	(void)state;

	start_puppets(observer, puppets, 3);
	count = keep_and_free(observer);
	observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 1000,
			.capacity = 2,
			.clock = test_clock });
	assert_int_equal(belay__restore(observer, kept, count), 2);
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_capacity_exceeded_total", ""), 1);
	assert_int_equal(counter_of(observer, "ends_total", "end=\"unknown\""), 0);
	end_puppets(puppets, 3);
	belay_observer_free(observer);
}

static void one_process_kept_twice_goes_on_once(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet;
	(void)state;

	start_puppets(observer, &puppet, 1);
	(void)keep_and_free(observer);
	kept[1] = kept[0];
	observer = restart(2, 1);
	event_none(observer);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 1);
	end_puppets(&puppet, 1);
	belay_observer_free(observer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_still_lives_goes_on_with_one_threshold_of_credit),
		TEST(who_vanished_is_told_once_as_ended_while_nobody_watched),
		TEST(one_that_died_and_was_not_reaped_ends_too),
		TEST(another_process_with_the_pid_is_not_taken_for_it),
		TEST(a_stall_that_was_told_is_not_told_again),
		TEST(an_announced_silence_lasts_over_a_restart),
		TEST(names_stay_and_their_ordinals_are_taken),
		TEST(a_new_rule_names_the_old_process),
		TEST(who_finds_no_room_is_not_said_to_be_gone),
		TEST(one_process_kept_twice_goes_on_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
