/* The door of an embedded observer, through its socket: what is answered, and what is done. */

#include "observe/door.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "observe/core.h"
#include "observe/door_testing.h"

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

/* The line at hand as an object. */
static struct belay__json first_line(void)
{
	struct belay__json object;

	assert_int_equal(belay__json_parse(door_packet.text,
				 (size_t)(strchr(door_packet.text, '\n') - door_packet.text),
				 &object, NULL),
		0);
	return object;
}

static void assert_text(const struct belay__json *object, const char *key, const char *expected)
{
	struct belay__json value;
	char text[256];

	assert_int_equal(belay__json_member(object, key, &value), 0);
	assert_int_equal(belay__json_get_string(&value, text, sizeof(text)), 0);
	assert_string_equal(text, expected);
}

static void assert_number(const struct belay__json *object, const char *key, uint64_t expected)
{
	struct belay__json value;
	uint64_t number;

	assert_int_equal(belay__json_member(object, key, &value), 0);
	assert_int_equal(belay__json_get_u64(&value, &number), 0);
	assert_int_equal(number, expected);
}

static void assert_seconds(const struct belay__json *object, const char *key, double expected)
{
	struct belay__json value;
	double number;

	assert_int_equal(belay__json_member(object, key, &value), 0);
	assert_int_equal(belay__json_get_double(&value, &number), 0);
	assert_true(number > expected - 1e-6 && number < expected + 1e-6);
}

static void assert_null_member(const struct belay__json *object, const char *key)
{
	struct belay__json value;

	assert_int_equal(belay__json_member(object, key, &value), 0);
	assert_int_equal(value.kind, BELAY__JSON_NULL);
}

static struct puppet beating(struct belay_observer *observer)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	return puppet;
}

/* --- questions --- */

static void a_ping_is_answered(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	int fd = connect_door(&house);
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		say(fd, BELAY__HELLO_PING, "");
		assert_int_equal(hear_lines(observer, fd), 1);
		hear_done(observer, fd, 0);
	}
	belay__close(fd);
	event_none(observer);
	belay_observer_free(observer);
}

static void status_of_nobody_is_not_found(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	int fd = connect_door(&house);
	(void)state;

	say(fd, BELAY__HELLO_STATUS, "");
	hear_done(observer, fd, -ENOENT);
	belay__close(fd);
	belay_observer_free(observer);
}

static void status_tells_all_about_a_process(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__json row;
	uint64_t start_ticks;
	char name[80];
	const struct belay_event *event;
	int fd = connect_door(&house);
	(void)state;

	puppet_beat(&puppet, BELAY_DEGRADED);
	event = event_take(observer, BELAY_EVENT_BEAT);
	start_ticks = event->start_ticks;
	(void)snprintf(name, sizeof(name), "%s", event->name);
	event_none(observer);
	test_now_ns += 250 * TEST_MS;
	say(fd, BELAY__HELLO_STATUS, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	row = first_line();
	assert_text(&row, "name", name);
	assert_number(&row, "uid", geteuid());
	assert_number(&row, "pid", (uint64_t)puppet.pid);
	assert_number(&row, "start_ticks", start_ticks);
	assert_text(&row, "state", "degraded");
	assert_text(&row, "status", "degraded");
	assert_null_member(&row, "verdict");
	assert_seconds(&row, "silent_s", 0.25);
	assert_seconds(&row, "threshold_s", 1);
	assert_seconds(&row, "due_s", 0.75);
	assert_number(&row, "beats", 2);
	assert_number(&row, "payload", 2);
	assert_number(&row, "nonce", 2);
	assert_number(&row, "stalls", 0);
	assert_text(&row, "origin", "kernel-attested");
	assert_null_member(&row, "rule");
	hear_done(observer, fd, 0);

	/* and when it stalls, why */
	puppet_wait_state(&puppet, 'S');
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	say(fd, BELAY__HELLO_STATUS, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	row = first_line();
	assert_text(&row, "state", "stalled");
	assert_text(&row, "verdict", "blocked");
	assert_number(&row, "stalls", 1);
	hear_done(observer, fd, 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void status_is_asked_by_pid_by_glob_and_by_user(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer), other = beating(observer);
	int fd = connect_door(&house);
	char pattern[4][64];
	static const unsigned rows[4] = { 1, 2, 2, 0 };
	(void)state;

	(void)snprintf(pattern[0], 64, "%d", puppet.pid);
	(void)snprintf(pattern[1], 64, "*");
	(void)snprintf(pattern[2], 64, "%u/*", geteuid());
	(void)snprintf(pattern[3], 64, "%u/*", geteuid() + 1);
	for (unsigned i = 0; i < 4; i++) {
		say(fd, BELAY__HELLO_STATUS, pattern[i]);
		if (rows[i] > 0)
			assert_int_equal(hear_lines(observer, fd), rows[i]);
		hear_done(observer, fd, rows[i] > 0 ? 0 : -ENOENT);
	}
	say(fd, BELAY__HELLO_STATUS, "nobody-of-this-name");
	hear_done(observer, fd, -ENOENT);
	belay__close(fd);
	puppet_done(&puppet);
	puppet_done(&other);
	belay_observer_free(observer);
}

static void status_remembers_who_ended_and_how(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__json row;
	int fd = connect_door(&house);
	(void)state;

	puppet_exit(&puppet, 3);
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	test_now_ns += 2 * TEST_S;
	event_none(observer);
	say(fd, BELAY__HELLO_STATUS, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	row = first_line();
	assert_text(&row, "state", "ended");
	assert_text(&row, "end", "exited");
	assert_number(&row, "code", 3);
	assert_number(&row, "pid", (uint64_t)puppet.pid);
	assert_seconds(&row, "ended_s", 2);
	hear_done(observer, fd, 0);
	puppet_reap(&puppet);
	/* Somebody of the same name takes its place. */
	puppet = beating(observer);
	say(fd, BELAY__HELLO_STATUS, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	row = first_line();
	assert_text(&row, "state", "healthy");
	hear_done(observer, fd, 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void counters_are_one_object_with_every_counter(void **state)
{
	static struct belay_counter counters[256];
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__json object;
	size_t count;
	int fd = connect_door(&house);
	(void)state;

	say(fd, BELAY__HELLO_COUNTERS, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	object = first_line();
	count = belay_observer_counters(observer, counters, 256);
	for (size_t i = 0; i < count; i++) {
		if (counters[i].label[0] == '\0') {
			assert_number(&object, counters[i].name, counters[i].value);
		} else {
			struct belay__json labels;

			assert_int_equal(belay__json_member(&object, counters[i].name, &labels), 0);
			assert_number(&labels, counters[i].label, counters[i].value);
		}
	}
	assert_number(&object, "beats_total", 1);
	hear_done(observer, fd, 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void an_observer_tells_about_itself(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	struct belay__json object;
	int fd = connect_door(&house);
	(void)state;

	test_now_ns += TEST_S / 2;
	say(fd, BELAY__HELLO_SELF, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	object = first_line();
	assert_text(&object, "version", BELAY_VERSION);
	assert_number(&object, "uid", geteuid());
	assert_seconds(&object, "uptime_s", 0.5);
	assert_seconds(&object, "threshold_s", 1);
	assert_number(&object, "capacity", 16);
	assert_number(&object, "tracked", 1);
	hear_done(observer, fd, 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* --- events --- */

static void without_a_publisher_nobody_can_follow(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	int fd = connect_door(&house);
	(void)state;

	say(fd, BELAY__HELLO_EVENTS, "");
	hear_done(observer, fd, -ENOTSUP);
	assert_false(belay__door_followed(observer->door));
	belay__close(fd);
	belay_observer_free(observer);
}

static void followers_get_every_line_and_one_that_does_not_read_is_hung_up_on(void **state)
{
	static const char line[] =
		"{\"event\":\"first-beat\",\"padding\":\"................................\"}\n";
	struct belay_observer *observer = observer_start(&house, NULL);
	int reader = connect_door(&house), sleeper = connect_door(&house);
	(void)state;

	belay__door_set_host(observer->door, &(struct belay__door_host){ .publishes = true });
	say(reader, BELAY__HELLO_EVENTS, "");
	say(sleeper, BELAY__HELLO_EVENTS, "");
	event_none(observer);
	assert_true(belay__door_followed(observer->door));
	for (unsigned i = 0; i < 5000; i++) {
		belay__door_publish(observer->door, line, sizeof(line) - 1);
		assert_true(hear(observer, reader));
		assert_int_equal(door_packet.head.part, BELAY__HELLO_LINES);
		assert_string_equal(door_packet.text, line);
	}
	/* What the sleeper had got is still there for it; then the line is dead. */
	while (hear(observer, sleeper))
		assert_string_equal(door_packet.text, line);
	assert_true(belay__door_followed(observer->door));
	belay__close(reader);
	event_none(observer);
	assert_false(belay__door_followed(observer->door));
	belay__close(sleeper);
	belay_observer_free(observer);
}

/* --- beats for others --- */

static struct belay__hello door_beat(uint32_t of, enum belay_status status, uint32_t progress,
	const char *name)
{
	struct belay__hello hello = request(BELAY__HELLO_BEAT);

	hello.of = of;
	hello.status = (uint8_t)status;
	hello.progress = progress;
	(void)snprintf(hello.name, sizeof(hello.name), "%s", name);
	return hello;
}

static void a_beat_at_the_door_counts_for_the_senders_parent(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	struct belay__hello hello = door_beat(0, BELAY_DEGRADED, 7, "nightly-job");
	const struct belay_event *event;
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->first);
	assert_int_equal(event->pid, getpid());
	assert_int_equal(event->uid, geteuid());
	assert_string_equal(event->name, "nightly-job");
	assert_int_equal(event->status, BELAY_DEGRADED);
	assert_int_equal(event->payload, 7);
	assert_int_equal(event->origin, BELAY_KERNEL_ATTESTED);
	event_none(observer);
	assert_int_equal(puppet_hear(&puppet), 0);
	assert_int_equal(counter_of(observer, "door_beats_total", ""), 1);
	/* The next one keeps it from stalling. */
	test_now_ns += 900 * TEST_MS;
	hello = door_beat((uint32_t)getpid(), BELAY_OK, 8, "nightly-job");
	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_false(event->first);
	assert_true(event->status_changed);
	assert_int_equal(event->payload, 8);
	event_none(observer);
	test_now_ns += 900 * TEST_MS;
	event_none(observer);
	test_now_ns += 100 * TEST_MS;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, getpid());
	hello = door_beat(0, BELAY_OK, 9, "nightly-job");
	assert_int_equal(puppet_say(&puppet, &hello), 0);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_beat_at_the_door_may_give_a_new_name(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	struct belay__hello hello = door_beat(0, BELAY_OK, 0, "one");
	struct belay__json row;
	int fd = connect_door(&house);
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	hello = door_beat(0, BELAY_OK, 0, "two");
	assert_int_equal(puppet_say(&puppet, &hello), 0);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	say(fd, BELAY__HELLO_STATUS, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	row = first_line();
	assert_text(&row, "name", "two");
	hear_done(observer, fd, 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void beats_for_strangers_and_nonsense_are_refused(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house), sibling = puppet_start(&house);
	struct {
		struct belay__hello hello;
		int code;
	} rows[] = {
		{ door_beat((uint32_t)sibling.pid, BELAY_OK, 0, "x"), -EPERM },
		{ door_beat((uint32_t)puppet.pid, BELAY_OK, 0, "x"), -EPERM },
		{ door_beat(1, BELAY_OK, 0, "x"), -EPERM },
		{ door_beat(UINT32_MAX, BELAY_OK, 0, "x"), -EPERM },
		{ door_beat(0, BELAY_STALL, 0, "x"), -EINVAL },
		{ door_beat(0, (enum belay_status)200, 0, "x"), -EINVAL },
		{ door_beat(0, BELAY_OK, 0, "../x"), -EINVAL },
		{ door_beat(0, BELAY_OK, 0, "-x"), -EINVAL },
		{ door_beat(0, BELAY_OK, 0, "a name"), -EINVAL },
		{ door_beat(0, BELAY_OK, 0,
			  "7777777777777777777777777777777777777777777777777777777777777777x"),
			-EINVAL },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(puppet_say(&puppet, &rows[i].hello), 0);
		event_none(observer);
		assert_int_equal(puppet_hear(&puppet), rows[i].code);
	}
	assert_int_equal(counter_of(observer, "beats_total", ""), 0);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	puppet_done(&puppet);
	puppet_done(&sibling);
	belay_observer_free(observer);
}

static void a_door_beat_never_becomes_a_last_word_and_leaves_the_senders_count_alone(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	struct belay__hello hello = door_beat(0, BELAY_OK, 0, "");
	const struct belay_event *event;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint8_t frame[BELAY_FRAME_LEN];
	(void)state;

	/* This process beats for itself, with the highest nonce there is. */
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", house.path);
	belay_frame_encode(
		&(struct belay_frame){ .pid = (uint32_t)getpid(), .nonce = UINT64_MAX - 1 }, frame);
	assert_int_equal(
		sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&address, sizeof(address)),
		32);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->nonce != BELAY_NONCE_TERMINAL);
	event_none(observer);
	/* Its own next one is accepted as ever. */
	belay_frame_encode(&(struct belay_frame){ .pid = (uint32_t)getpid(), .nonce = 1 }, frame);
	assert_int_equal(
		sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&address, sizeof(address)),
		32);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->nonce, 1);
	assert_int_equal(counter_of(observer, "out_of_order_total", ""), 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void who_was_beaten_for_may_begin_its_own_count_at_one(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	struct belay__hello hello = door_beat(0, BELAY_OK, 0, "");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	uint8_t frame[BELAY_FRAME_LEN];
	(void)state;

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(puppet_say(&puppet, &hello), 0);
		(void)event_take(observer, BELAY_EVENT_BEAT);
		event_none(observer);
	}
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", house.path);
	belay_frame_encode(&(struct belay_frame){ .pid = (uint32_t)getpid(), .nonce = 1 }, frame);
	assert_int_equal(
		sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&address, sizeof(address)),
		32);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->nonce, 1);
	assert_int_equal(counter_of(observer, "out_of_order_total", ""), 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void beats_at_the_door_pay_like_all_others(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .global_beat_rate = 1,
			.global_beat_burst = 1,
			.clock = test_clock });
	struct puppet puppet = puppet_start(&house);
	struct belay__hello hello = door_beat(0, BELAY_OK, 0, "x");
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_int_equal(puppet_hear(&puppet), 0);
	assert_int_equal(puppet_say(&puppet, &hello), 0);
	event_none(observer);
	assert_int_equal(puppet_hear(&puppet), -EBUSY);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"global\""), 1);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void announcements_and_goodbyes_of_unknown_processes_change_nothing(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = beating(observer);
	int fd = connect_door(&house);
	(void)state;

	/* This process has not beaten; whatever the packet says, it speaks for nobody else. */
	say(fd, BELAY__HELLO_GOODBYE, "");
	say(fd, BELAY__HELLO_WITHIN, "");
	event_none(observer);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 1);
	assert_int_equal(counter_of(observer, "withins_total", ""), 0);
	belay__close(fd);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_ping_is_answered),
		TEST(status_of_nobody_is_not_found),
		TEST(status_tells_all_about_a_process),
		TEST(status_is_asked_by_pid_by_glob_and_by_user),
		TEST(status_remembers_who_ended_and_how),
		TEST(counters_are_one_object_with_every_counter),
		TEST(an_observer_tells_about_itself),
		TEST(without_a_publisher_nobody_can_follow),
		TEST(followers_get_every_line_and_one_that_does_not_read_is_hung_up_on),
		TEST(a_beat_at_the_door_counts_for_the_senders_parent),
		TEST(a_beat_at_the_door_may_give_a_new_name),
		TEST(beats_for_strangers_and_nonsense_are_refused),
		TEST(a_door_beat_never_becomes_a_last_word_and_leaves_the_senders_count_alone),
		TEST(who_was_beaten_for_may_begin_its_own_count_at_one),
		TEST(beats_at_the_door_pay_like_all_others),
		TEST(announcements_and_goodbyes_of_unknown_processes_change_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
