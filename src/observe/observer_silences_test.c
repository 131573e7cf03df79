/* Silence: stalls and what is said of them, announced silences, an observer that did not run. */

#include <belay/observer.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "observe/core.h"
#include "observe/testing.h"

static struct house house;
static int fds_before;

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

/* Starts a puppet and takes its first beat. */
static struct puppet beating(struct belay_observer *observer)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	return puppet;
}

static void a_silence_of_the_whole_threshold_is_a_stall_and_no_shorter_one(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet;
	const struct belay_event *event;
	(void)state;

	test_now_ns += 7 * TEST_MS;
	puppet = beating(observer);
	puppet_wait_state(&puppet, 'S');
	test_now_ns += TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(event->pid, puppet.pid);
	assert_int_equal(event->uid, geteuid());
	assert_int_not_equal(event->start_ticks, 0);
	assert_int_equal(event->observer_ns, TEST_S + 7 * TEST_MS);
	assert_int_equal(event->last_ns, 7 * TEST_MS);
	assert_int_equal(event->silent_ns, TEST_S);
	assert_int_equal(event->threshold_ns, TEST_S);
	assert_int_equal(event->late_ns, 0);
	assert_int_equal(event->nonce, 1);
	assert_int_equal(event->origin, BELAY_KERNEL_ATTESTED);
	assert_string_equal(event->verdict, "blocked");
	assert_true(event->evidence[0] != '\0');
	assert_true(event->name[0] != '\0');
	event_none(observer);
	assert_int_equal(counter_of(observer, "stalls_total", ""), 1);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_stall_fires_once_and_ends_with_the_next_accepted_beat(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	const struct belay_event *event;
	(void)state;

	test_now_ns += 2 * TEST_S;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(event->late_ns, TEST_S);
	assert_int_equal(event->silent_ns, 2 * TEST_S);
	for (unsigned i = 0; i < 5; i++) {
		test_now_ns += TEST_S;
		event_none(observer);
	}
	/* A replay ends nothing. */
	puppet.nonce = 0;
	puppet_beat(&puppet, BELAY_OK);
	event_none(observer);
	puppet_beat(&puppet, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->recovered);
	assert_false(event->first);
	assert_int_equal(event->silent_ns, 7 * TEST_S);
	assert_int_equal(counter_of(observer, "recoveries_total", ""), 1);
	event_none(observer);
	puppet_beat(&puppet, BELAY_OK);
	assert_false(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	/* And the next silence is a stall of its own. */
	event_none(observer);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(counter_of(observer, "stalls_total", ""), 2);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_beat_postpones_only_its_own_deadline(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet first = beating(observer), second = beating(observer);
	(void)state;

	test_now_ns += TEST_S / 2;
	puppet_beat(&first, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	test_now_ns += TEST_S / 2;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, second.pid);
	event_none(observer);
	test_now_ns += TEST_S / 2;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, first.pid);
	puppet_done(&first);
	puppet_done(&second);
	belay_observer_free(observer);
}

static void a_beat_that_lies_in_the_queue_is_read_before_anybody_is_blamed(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	test_now_ns += 5 * TEST_S;
	assert_false(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	event_none(observer);
	assert_int_equal(counter_of(observer, "stalls_total", ""), 0);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void many_stalls_come_one_by_one_in_the_order_of_their_deadlines(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppets[5];
	(void)state;

	for (unsigned i = 0; i < 5; i++) {
		puppets[i] = beating(observer);
		test_now_ns += TEST_MS;
	}
	test_now_ns += TEST_S;
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, puppets[i].pid);
	assert_int_equal(event_take(observer, BELAY_EVENT_MASS_STALL)->beating, 5);
	event_none(observer);
	for (unsigned i = 0; i < 5; i++)
		puppet_done(&puppets[i]);
	belay_observer_free(observer);
}

/* However many are silent, a turn asks about a few and goes on in the next, so that beats are read
 * in between. */
static void a_crowd_that_falls_silent_holds_up_no_beat(void **state)
{
	enum { CROWD = 100 };
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 1000,
			.capacity = CROWD + 1,
			.clock = test_clock });
	static struct puppet puppets[CROWD];
	struct puppet awake = beating(observer);
	const struct belay_event *event;
	unsigned stalls = 0, turns = 0, most = 0, heard = 0;
	(void)state;

	for (unsigned i = 0; i < CROWD; i++)
		puppets[i] = beating(observer);
	test_now_ns += TEST_S + TEST_S / 2;
	do {
		unsigned before = stalls;

		puppet_beat(&awake, BELAY_OK);
		while ((event = belay_observer_next(observer)) != NULL) {
			stalls += event->kind == BELAY_EVENT_STALL;
			heard += event->kind == BELAY_EVENT_BEAT;
		}
		most = stalls - before > most ? stalls - before : most;
		turns++;
	} while (stalls < CROWD && observer_readable(observer, 1000));
	assert_int_equal(stalls, CROWD);
	assert_int_equal(heard, turns);
	assert_in_range(turns, 10, CROWD);
	assert_in_range(most, 1, 10);
	for (unsigned i = 0; i < CROWD; i++)
		puppet_done(&puppets[i]);
	puppet_done(&awake);
	belay_observer_free(observer);
}

struct busy_prober {
	unsigned refusals, asked;
};

static int ask_busy(void *data, uint32_t pid, uint64_t start_ticks)
{
	struct busy_prober *prober = data;

	(void)pid;
	(void)start_ticks;
	prober->asked++;
	return prober->asked <= prober->refusals ? -EAGAIN : 0;
}

/* A question that is out when it turns out that nobody looked for a while is taken back. */
static void time_that_was_credited_is_nobodys_silence(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct busy_prober prober = { .refusals = 0 };
	struct puppet puppet = beating(observer);
	const struct belay_event *event;
	(void)state;

	belay__observer_set_prober(observer,
		&(struct belay__prober){ .data = &prober, .ask = ask_busy });
	test_now_ns += TEST_S;
	event_none(observer);
	assert_int_equal(prober.asked, 1);
	belay__credit(observer, test_now_ns, TEST_S / 2);
	test_now_ns += TEST_S / 2 - 1;
	event_none(observer);
	assert_int_equal(prober.asked, 1);
	test_now_ns += 1;
	event_none(observer);
	assert_int_equal(prober.asked, 2);
	test_now_ns += TEST_S;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(event->silent_ns, 2 * TEST_S);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_busy_prober_is_asked_again_but_not_waited_for(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct busy_prober prober = { .refusals = 2 };
	struct puppet puppet = beating(observer);
	(void)state;

	belay__observer_set_prober(observer,
		&(struct belay__prober){ .data = &prober, .ask = ask_busy });
	test_now_ns += TEST_S;
	do
		assert_null(belay_observer_next(observer));
	while (prober.asked <= prober.refusals && observer_readable(observer, 1000));
	assert_int_equal(prober.asked, 3);
	belay__observer_answer(observer, (uint32_t)puppet.pid,
		observer->table.slots[belay__table_find(&observer->table, (uint32_t)puppet.pid)]
			.start_ticks,
		-EIO, NULL);
	(void)event_take(observer, BELAY_EVENT_STALL);

	/* One that never has time is passed over. */
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	prober = (struct busy_prober){ .refusals = UINT32_MAX };
	test_now_ns += TEST_S;
	assert_null(belay_observer_next(observer));
	assert_in_range(prober.asked, 1, 10);
	test_now_ns += TEST_S;
	puppet_wait_state(&puppet, 'S');
	assert_string_equal(event_take(observer, BELAY_EVENT_STALL)->verdict, "blocked");
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_stopped_process_is_told_as_stopped(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	const struct belay_event *event;
	(void)state;

	puppet_signal(&puppet, SIGSTOP);
	puppet_wait_state(&puppet, 'T');
	test_now_ns += TEST_S;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_string_equal(event->verdict, "stopped");
	assert_true(event->evidence[0] != '\0');
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_silent_process_that_is_dead_has_ended_and_does_not_stall(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	(void)state;

	puppet_exit(&puppet, 0);
	test_now_ns += 10 * TEST_S;
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	assert_int_equal(counter_of(observer, "stalls_total", ""), 0);
	puppet_reap(&puppet);
	belay_observer_free(observer);
}

/* --- announced silences --- */

static struct belay__hello within(const struct puppet *puppet, uint64_t ms)
{
	return (struct belay__hello){ .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_WITHIN,
		.nonce = puppet->nonce,
		.value = ms };
}

static void an_announced_silence_may_last_so_long_and_the_next_one_may_not(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__hello hello = within(&puppet, 10000);
	const struct belay_event *event;
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event_none(observer);
	assert_int_equal(counter_of(observer, "withins_total", ""), 1);
	test_now_ns += 10 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(event->threshold_ns, 10 * TEST_S);
	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	event_none(observer);
	test_now_ns += TEST_S;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->threshold_ns, TEST_S);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_shorter_silence_may_be_announced_too(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__hello hello = within(&puppet, 100);
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event_none(observer);
	test_now_ns += TEST_S / 10;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void no_silence_is_announced_beyond_the_ceiling(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 1000,
			.within_max_ms = 3000,
			.clock = test_clock });
	struct puppet puppet = beating(observer);
	struct belay__hello hello = within(&puppet, UINT64_MAX);
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event_none(observer);
	test_now_ns += 3 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void an_announcement_after_an_older_beat_is_void(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__hello hello = within(&puppet, 10000);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(puppet_say(&puppet, &hello), 0);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_int_equal(counter_of(observer, "withins_total", ""), 0);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* --- real time --- */

static struct belay_observer *start_on_real_time(uint64_t threshold_ms)
{
	return observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = threshold_ms, .capacity = 16 });
}

static void the_descriptor_becomes_readable_when_a_deadline_passes(void **state)
{
	struct belay_observer *observer = start_on_real_time(250);
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	uint64_t beat_ns;
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	beat_ns = belay__clock_ns(CLOCK_MONOTONIC);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_true(observer_readable(observer, 10000));
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - beat_ns >= 250 * TEST_MS);
	assert_true(event->silent_ns >= 250 * TEST_MS);
	assert_int_equal(event->threshold_ns, 250 * TEST_MS);
	event_none(observer);
	assert_false(observer_readable(observer, 300));
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void with_a_clock_of_the_hosts_no_deadline_wakes_it(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 10,
			.capacity = 16,
			.clock = test_clock });
	struct puppet puppet = beating(observer);
	(void)state;

	test_now_ns += TEST_S;
	assert_false(observer_readable(observer, 50));
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* Does nothing for MS, as a program that is busy elsewhere. */
static void be_busy(int ms)
{
	(void)poll(NULL, 0, ms);
}

static void an_observer_that_did_not_run_credits_everyone_and_says_so(void **state)
{
	struct belay_observer *observer = start_on_real_time(500);
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	be_busy(1000);
	event = event_take(observer, BELAY_EVENT_LATE);
	assert_in_range(event->late_ns, 300 * TEST_MS, 5 * TEST_S);
	assert_string_equal(event->name, "");
	assert_int_equal(counter_of(observer, "observer_late_total", ""), 1);
	/* It has what was left of its threshold, and when that is over the pause is not held against it. */
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_in_range(event->silent_ns, 500 * TEST_MS, 5 * TEST_S);
	assert_string_equal(event->verdict, "observer-late");
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void an_observer_that_had_nothing_to_do_was_not_late(void **state)
{
	struct belay_observer *observer = start_on_real_time(5000);
	struct puppet puppet = puppet_start(&house);
	(void)state;

	event_none(observer);
	be_busy(100);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	be_busy(100);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_int_equal(counter_of(observer, "observer_late_total", ""), 0);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_silence_of_the_whole_threshold_is_a_stall_and_no_shorter_one),
		TEST(a_stall_fires_once_and_ends_with_the_next_accepted_beat),
		TEST(a_beat_postpones_only_its_own_deadline),
		TEST(a_beat_that_lies_in_the_queue_is_read_before_anybody_is_blamed),
		TEST(many_stalls_come_one_by_one_in_the_order_of_their_deadlines),
		TEST(a_crowd_that_falls_silent_holds_up_no_beat),
		TEST(time_that_was_credited_is_nobodys_silence),
		TEST(a_busy_prober_is_asked_again_but_not_waited_for),
		TEST(a_stopped_process_is_told_as_stopped),
		TEST(a_silent_process_that_is_dead_has_ended_and_does_not_stall),
		TEST(an_announced_silence_may_last_so_long_and_the_next_one_may_not),
		TEST(a_shorter_silence_may_be_announced_too),
		TEST(no_silence_is_announced_beyond_the_ceiling),
		TEST(an_announcement_after_an_older_beat_is_void),
		TEST(the_descriptor_becomes_readable_when_a_deadline_passes),
		TEST(with_a_clock_of_the_hosts_no_deadline_wakes_it),
		TEST(an_observer_that_did_not_run_credits_everyone_and_says_so),
		TEST(an_observer_that_had_nothing_to_do_was_not_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
