/* The end of a process: told once, at once, with how; and a pid that comes back is somebody else. */

#include <belay/observer.h>

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

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

static struct puppet beating(struct belay_observer *observer)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	return puppet;
}

static void an_exit_is_told_with_its_status(void **state)
{
	static const int codes[] = { 0, 1, 3, 255 };
	struct belay_observer *observer = observer_start(&house, NULL);
	(void)state;

	for (unsigned i = 0; i < 4; i++) {
		struct puppet puppet = beating(observer);
		const struct belay_event *event;
		char name[80];

		puppet_beat(&puppet, BELAY_DEGRADED);
		event = event_take(observer, BELAY_EVENT_BEAT);
		(void)snprintf(name, sizeof(name), "%s", event->name);
		event_none(observer);
		test_now_ns += 30 * TEST_MS;
		puppet_exit(&puppet, codes[i]);
		assert_true(observer_readable(observer, 10000));
		event = event_take(observer, BELAY_EVENT_END);
		assert_int_equal(event->pid, puppet.pid);
		assert_int_equal(event->uid, geteuid());
		assert_int_not_equal(event->start_ticks, 0);
		assert_string_equal(event->name, name);
		assert_int_equal(event->end, BELAY_END_EXITED);
		assert_int_equal(event->code, codes[i]);
		assert_int_equal(event->origin, BELAY_KERNEL_ATTESTED);
		assert_int_equal(event->status, BELAY_DEGRADED);
		assert_int_equal(event->nonce, 2);
		assert_int_equal(event->observer_ns - event->last_ns, 30 * TEST_MS);
		assert_false(event->core_dumped);
		assert_false(event->while_down);
		puppet_reap(&puppet);
		event_none(observer);
		assert_int_equal(counter_of(observer, "ends_total", "end=\"exited\""), i + 1);
		assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	}
	belay_observer_free(observer);
}

static void a_signal_that_kills_is_told_by_its_number(void **state)
{
	static const int signals[] = { SIGKILL, SIGTERM, SIGHUP };
	struct belay_observer *observer = observer_start(&house, NULL);
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		struct puppet puppet = beating(observer);
		const struct belay_event *event;

		puppet_signal(&puppet, signals[i]);
		event = event_take(observer, BELAY_EVENT_END);
		assert_int_equal(event->end, BELAY_END_KILLED);
		assert_int_equal(event->code, signals[i]);
		assert_false(event->core_dumped);
		puppet_reap(&puppet);
		event_none(observer);
		assert_int_equal(counter_of(observer, "ends_total", "end=\"killed\""), i + 1);
	}
	belay_observer_free(observer);
}

static void an_end_is_told_even_when_the_parent_has_reaped_it(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	uint32_t pid = (uint32_t)puppet.pid;
	const struct belay_event *event;
	(void)state;

	puppet_exit(&puppet, 5);
	puppet_reap(&puppet);
	event = event_take(observer, BELAY_EVENT_END);
	assert_int_equal(event->pid, pid);
	/* Kernels before 6.15 cannot say how it ended. */
	if (event->end != BELAY_END_UNKNOWN) {
		assert_int_equal(event->end, BELAY_END_EXITED);
		assert_int_equal(event->code, 5);
	}
	event_none(observer);
	belay_observer_free(observer);
}

static void a_goodbye_ends_a_process_that_lives_on(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	const struct belay_event *event;
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_GOODBYE,
		.nonce = 1 };
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event = event_take(observer, BELAY_EVENT_END);
	assert_int_equal(event->pid, puppet.pid);
	assert_int_equal(event->end, BELAY_END_LEFT);
	assert_int_equal(event->code, 0);
	event_none(observer);
	assert_int_equal(counter_of(observer, "ends_total", "end=\"left\""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	/* Its exit is nobody's business any more, and neither is its silence. */
	test_now_ns += 10 * TEST_S;
	puppet_exit(&puppet, 1);
	event_none(observer);
	puppet_reap(&puppet);
	belay_observer_free(observer);
}

static void who_said_goodbye_may_come_back(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_GOODBYE,
		.nonce = 1 };
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	(void)event_take(observer, BELAY_EVENT_END);
	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void what_it_sent_before_it_died_is_read_first(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	puppet_last_word(&puppet, 7);
	puppet_signal(&puppet, SIGKILL);
	puppet_wait_ended(&puppet);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->nonce, 2);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->nonce == BELAY_NONCE_TERMINAL);
	assert_int_equal(event_take(observer, BELAY_EVENT_END)->end, BELAY_END_KILLED);
	event_none(observer);
	puppet_reap(&puppet);
	belay_observer_free(observer);
}

static void one_that_beats_once_and_dies_has_a_first_beat_and_an_end(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	puppet_exit(&puppet, 9);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	puppet_reap(&puppet);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	belay_observer_free(observer);
}

static void one_that_was_reaped_before_it_was_looked_at_ends_too(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	uint32_t pid = (uint32_t)puppet.pid;
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	puppet_exit(&puppet, 9);
	puppet_reap(&puppet);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->pid, pid);
	assert_int_equal(event_take(observer, BELAY_EVENT_END)->pid, pid);
	event_none(observer);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	belay_observer_free(observer);
}

/* An observer may be killed while it writes down what it told: its successor, who finds the table as
 * it was left, must find the process in it still. */
static void an_end_and_a_stall_are_noted_only_when_they_were_taken(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	const struct belay__table *table = &observer->table;
	(void)state;

	test_now_ns += 2 * TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(table->stalled, 0);
	event_none(observer);
	assert_int_equal(table->stalled, 1);

	puppet_signal(&puppet, SIGKILL);
	(void)event_take(observer, BELAY_EVENT_END);
	assert_int_equal(table->used, 1);
	event_none(observer);
	assert_int_equal(table->used, 0);
	puppet_reap(&puppet);
	belay_observer_free(observer);
}

static const struct belay__hello goodbye_after_two = { .magic = BELAY__HELLO_MAGIC,
	.version = BELAY__HELLO_VERSION,
	.type = BELAY__HELLO_GOODBYE,
	.nonce = 2 };

/* More than the loop tells of in a turn, and more than come in at the door at a time. */
static void a_crowd_that_ends_at_once_is_heard_out(void **state)
{
	enum { CROWD = 2 * BELAY__LOOP_BATCH };
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 1000,
			.capacity = CROWD,
			.clock = test_clock });
	static struct puppet puppets[CROWD];
	unsigned heard = 0, left = 0, exited = 0;
	const struct belay_event *event;
	(void)state;

	for (unsigned i = 0; i < CROWD; i++)
		puppets[i] = beating(observer);
	for (unsigned i = 0; i < CROWD; i++) {
		if (i % 16 == 0)
			puppet_beat(&puppets[i], BELAY_DEGRADED);
		else if (i % 2 == 1)
			assert_int_equal(puppet_say(&puppets[i], &goodbye_after_two), 0);
		puppet_exit(&puppets[i], 0);
		puppet_wait_ended(&puppets[i]);
	}
	while (left + exited < CROWD && observer_readable(observer, 10000)) {
		while ((event = belay_observer_next(observer)) != NULL) {
			heard += event->kind == BELAY_EVENT_BEAT;
			left += event->kind == BELAY_EVENT_END && event->end == BELAY_END_LEFT;
			exited += event->kind == BELAY_EVENT_END && event->end == BELAY_END_EXITED;
		}
	}
	assert_int_equal(heard, CROWD / 16);
	assert_int_equal(left, CROWD / 2);
	assert_int_equal(exited, CROWD / 2);
	for (unsigned i = 0; i < CROWD; i++)
		puppet_reap(&puppets[i]);
	belay_observer_free(observer);
}

/* It was all over before anybody looked who it is; the loop has not heard the rest of it yet. */
static void one_found_dead_at_its_first_beat_is_heard_out(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet first = puppet_start(&house), brief = puppet_start(&house);
	const struct belay_event *event;
	(void)state;

	puppet_beat(&first, BELAY_OK);
	puppet_beat(&brief, BELAY_OK);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->pid, first.pid);
	puppet_beat(&brief, BELAY_DEGRADED);
	assert_int_equal(puppet_say(&brief, &goodbye_after_two), 0);
	puppet_exit(&brief, 0);
	puppet_reap(&brief);

	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(event->status, BELAY_DEGRADED);
	assert_int_equal(event->nonce, 2);
	assert_int_equal(event_take(observer, BELAY_EVENT_END)->end, BELAY_END_LEFT);
	event_none(observer);
	puppet_done(&first);
	belay_observer_free(observer);
}

static void a_stalled_process_that_dies_ends_once(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	(void)state;

	test_now_ns += 2 * TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	event_none(observer);
	puppet_signal(&puppet, SIGKILL);
	(void)event_take(observer, BELAY_EVENT_END);
	test_now_ns += 20 * TEST_S;
	event_none(observer);
	puppet_reap(&puppet);
	belay_observer_free(observer);
}

static void many_ends_at_once_are_all_told(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppets[16];
	(void)state;

	for (unsigned i = 0; i < 16; i++)
		puppets[i] = beating(observer);
	for (unsigned i = 0; i < 16; i++)
		puppet_exit(&puppets[i], (int)i);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(event_take(observer, BELAY_EVENT_END)->end, BELAY_END_EXITED);
	event_none(observer);
	for (unsigned i = 0; i < 16; i++)
		puppet_reap(&puppets[i]);
	belay_observer_free(observer);
}

/* --- a status that comes later --- */

static int drop_all_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { { 0 }, { 0 } };

	return (int)syscall(SYS_capset, &header, none);
}

static uint64_t all_ends(struct belay_observer *observer)
{
	return counter_of(observer, "ends_total", "end=\"unknown\"") +
		counter_of(observer, "ends_total", "end=\"exited\"") +
		counter_of(observer, "ends_total", "end=\"killed\"") +
		counter_of(observer, "ends_total", "end=\"left\"");
}

/* Without capabilities, root may not look into a process that has them: the zombie's status is not to be had. */
static int tells_the_status_later(void *argument)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	const struct belay_event *event;
	uint64_t start_ticks, unknown;
	uint32_t pid = (uint32_t)puppet.pid;
	char name[80];
	(void)argument;

	if (drop_all_capabilities() < 0)
		return 77;
	puppet_exit(&puppet, 42);
	event = event_take(observer, BELAY_EVENT_END);
	if (event->end != BELAY_END_UNKNOWN)
		return 77;
	assert_int_equal(event->code, 0);
	start_ticks = event->start_ticks;
	(void)snprintf(name, sizeof(name), "%s", event->name);
	event_none(observer);
	unknown = all_ends(observer);
	puppet_reap(&puppet);
	if (!observer_readable(observer, 1000))
		return 77; /* before 6.15 it never becomes known */
	event = event_take(observer, BELAY_EVENT_END_STATUS);
	assert_int_equal(event->pid, pid);
	assert_int_equal(event->start_ticks, start_ticks);
	assert_string_equal(event->name, name);
	assert_int_equal(event->end, BELAY_END_EXITED);
	assert_int_equal(event->code, 42);
	event_none(observer);
	/* One process ended: it is counted once, and nothing is taken back for it. */
	assert_int_equal(counter_of(observer, "ends_total", "end=\"exited\""), 1);
	assert_in_range(unknown, 0, 1);
	assert_int_equal(counter_of(observer, "ends_total", "end=\"unknown\""), unknown);
	assert_int_equal(all_ends(observer), 1);
	belay_observer_free(observer);
	return 0;
}

static void an_unknown_end_is_completed_when_the_kernel_tells(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	in_child(tells_the_status_later, NULL);
}

/* --- pids that come back --- */

/* Another process under the same number, started in another clock tick. */
static bool start_successor(pid_t pid, struct puppet *ret_puppet)
{
	(void)poll(NULL, 0, 25);
	return geteuid() == 0 && puppet_start_with(&house, 0, -1, pid, ret_puppet);
}

static void a_recycled_pid_is_first_an_end_and_then_a_first_beat(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet old, young;
	const struct belay_event *event;
	uint64_t start_ticks;
	pid_t pid;
	(void)state;

	old = puppet_start(&house);
	pid = old.pid;
	old.nonce = 10;
	puppet_beat(&old, BELAY_DEGRADED);
	start_ticks = event_take(observer, BELAY_EVENT_BEAT)->start_ticks;
	event_none(observer);
	/* All of this happens while the observer looks elsewhere. */
	puppet_exit(&old, 3);
	puppet_reap(&old);
	if (!start_successor(pid, &young)) {
		belay_observer_free(observer);
		skip();
	}
	puppet_beat(&young, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_END);
	assert_int_equal(event->pid, pid);
	assert_int_equal(event->start_ticks, start_ticks);
	assert_int_equal(event->status, BELAY_DEGRADED);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->first);
	assert_int_equal(event->pid, pid);
	assert_true(event->start_ticks > start_ticks);
	assert_int_equal(event->nonce, 1);
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_pid_recycle_total", ""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 1);
	/* And the successor's own end is told as its own. */
	puppet_exit(&young, 4);
	event = event_take(observer, BELAY_EVENT_END);
	assert_true(event->start_ticks > start_ticks);
	assert_int_equal(event->code, 4);
	event_none(observer);
	puppet_reap(&young);
	belay_observer_free(observer);
}

static void a_successor_with_a_higher_nonce_becomes_known_for_itself_too(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet old, young;
	const struct belay_event *event;
	uint64_t start_ticks;
	pid_t pid;
	(void)state;

	old = beating(observer);
	pid = old.pid;
	puppet_beat(&old, BELAY_OK);
	start_ticks = event_take(observer, BELAY_EVENT_BEAT)->start_ticks;
	event_none(observer);
	puppet_exit(&old, 3);
	puppet_reap(&old);
	if (!start_successor(pid, &young)) {
		belay_observer_free(observer);
		skip();
	}
	young.nonce = 100;
	puppet_beat(&young, BELAY_OK);
	do
		event = belay_observer_next(observer);
	while (event == NULL || event->kind != BELAY_EVENT_END);
	assert_int_equal(event->start_ticks, start_ticks);
	(void)event_drain(observer);
	puppet_beat(&young, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(event->pid, pid);
	assert_true(event->start_ticks > start_ticks);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 1);
	puppet_done(&young);
	belay_observer_free(observer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_exit_is_told_with_its_status),
		TEST(a_signal_that_kills_is_told_by_its_number),
		TEST(an_end_is_told_even_when_the_parent_has_reaped_it),
		TEST(a_goodbye_ends_a_process_that_lives_on),
		TEST(who_said_goodbye_may_come_back),
		TEST(what_it_sent_before_it_died_is_read_first),
		TEST(one_that_beats_once_and_dies_has_a_first_beat_and_an_end),
		TEST(one_that_was_reaped_before_it_was_looked_at_ends_too),
		TEST(a_stalled_process_that_dies_ends_once),
		TEST(an_end_and_a_stall_are_noted_only_when_they_were_taken),
		TEST(a_crowd_that_ends_at_once_is_heard_out),
		TEST(one_found_dead_at_its_first_beat_is_heard_out),
		TEST(many_ends_at_once_are_all_told),
		TEST(an_unknown_end_is_completed_when_the_kernel_tells),
		TEST(a_recycled_pid_is_first_an_end_and_then_a_first_beat),
		TEST(a_successor_with_a_higher_nonce_becomes_known_for_itself_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
