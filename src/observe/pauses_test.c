/* Pauses: who is excused for how long, and how they are asked for at the door. */

#include "observe/pauses.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/json.h"
#include "observe/core.h"
#include "observe/door_testing.h"
#include "observe/testing.h"

/* When pauses are set by hand it is this late. */
#define NOW_REALTIME (1000 * TEST_S)

static struct house house;
static int fds_before;
static struct belay_observer *observer;

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	house_open(&house);
	observer = observer_start(&house, NULL);
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

static struct puppet beating(void)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	return puppet;
}

/* Pauses PATTERN for FOR_NS from now on; 0: ends it. */
static void pause_for(const char *pattern, uint64_t for_ns)
{
	observer->now_ns = test_now_ns;
	assert_int_equal(belay__pause(observer, pattern, NOW_REALTIME + for_ns, NOW_REALTIME), 0);
}

static void a_selection_is_a_pid_a_glob_or_a_users_glob(void **state)
{
	static const struct {
		const char *selection;
		bool meant;
	} rows[] = { { "", true }, { "worker#1", true }, { "work*", true }, { "*", true },
		{ "work", false }, { "42", true }, { "43", false }, { "7/work*", true },
		{ "8/work*", false }, { "7/*", true }, { "7/worker", false } };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (belay__selects(rows[i].selection, "worker#1", 7, 42) != rows[i].meant)
			fail_msg("'%s'", rows[i].selection);
}

static void silence_in_a_pause_is_no_stall_until_a_threshold_after_it(void **state)
{
	struct puppet puppet = beating();
	const struct belay_event *event;
	(void)state;

	pause_for("*", 10 * TEST_S);
	test_now_ns += 9 * TEST_S;
	event_none(observer);
	test_now_ns += 2 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_int_equal(event->silent_ns, 11 * TEST_S);
	event_none(observer);
	puppet_done(&puppet);
}

static void a_silence_that_begins_in_a_pause_has_a_threshold_after_it(void **state)
{
	struct puppet puppet = beating();
	(void)state;

	pause_for("*", 10 * TEST_S);
	test_now_ns += 10 * TEST_S - 1;
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	/* Its own threshold would be over one tick too early. */
	test_now_ns += TEST_S;
	event_none(observer);
	test_now_ns += 1;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
}

static void nobody_else_is_excused(void **state)
{
	struct puppet paused = beating(), other = beating();
	char pid[16];
	(void)state;

	(void)snprintf(pid, sizeof(pid), "%d", paused.pid);
	pause_for(pid, 10 * TEST_S);
	test_now_ns += TEST_S;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, other.pid);
	event_none(observer);
	assert_int_equal(belay__paused_count(observer), 1);
	puppet_done(&paused);
	puppet_done(&other);
}

static void who_comes_in_a_pause_is_paused(void **state)
{
	struct puppet puppet;
	(void)state;

	pause_for("pauses*", 10 * TEST_S);
	test_now_ns += 8 * TEST_S;
	puppet = beating();
	test_now_ns += 2 * TEST_S;
	event_none(observer);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
}

static void resumed_is_who_has_a_threshold_from_now_on(void **state)
{
	struct puppet puppet = beating();
	(void)state;

	pause_for("*", 1000 * TEST_S);
	test_now_ns += 5 * TEST_S;
	event_none(observer);
	observer->now_ns = test_now_ns;
	assert_int_equal(belay__resume(observer, "other"), -ENOENT);
	assert_int_equal(belay__resume(observer, "*"), 0);
	assert_int_equal(belay__resume(observer, "*"), -ENOENT);
	test_now_ns += TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	(void)event_take(observer, BELAY_EVENT_STALL);
	/* And a stall in spite of an old pause is one. */
	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	event_none(observer);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
}

static void an_announced_silence_outlives_a_pause(void **state)
{
	struct belay__hello within = request(BELAY__HELLO_WITHIN);
	struct puppet puppet = beating();
	(void)state;

	within.nonce = puppet.nonce;
	within.value = 20000;
	assert_int_equal(puppet_say(&puppet, &within), 0);
	event_none(observer);
	pause_for("*", 5 * TEST_S);
	test_now_ns += 2 * TEST_S;
	event_none(observer);
	observer->now_ns = test_now_ns;
	assert_int_equal(belay__resume(observer, "*"), 0);
	test_now_ns += 18 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
}

static void a_pause_may_be_made_longer_or_shorter(void **state)
{
	struct puppet puppet = beating();
	(void)state;

	pause_for("*", 100 * TEST_S);
	test_now_ns += 2 * TEST_S;
	event_none(observer);
	pause_for("*", TEST_S);
	assert_int_equal(observer->pauses.count, 1);
	test_now_ns += TEST_S;
	observer->now_ns = test_now_ns;
	assert_string_equal(belay__pause_over(observer)->pattern, "*");
	assert_null(belay__pause_over(observer));
	assert_int_equal(belay__pauses_next_ns(observer), UINT64_MAX);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
}

static void there_are_64_pauses_and_over_ones_make_room(void **state)
{
	char pattern[16];
	(void)state;

	for (unsigned i = 0; i < BELAY__PAUSES_MAX; i++) {
		(void)snprintf(pattern, sizeof(pattern), "name%u", i);
		pause_for(pattern, (i + 1) * TEST_S);
	}
	assert_int_equal(belay__pause(observer, "more", NOW_REALTIME + 1, NOW_REALTIME), -ENOSPC);
	assert_int_equal(belay__pauses_next_ns(observer), observer->now_ns + TEST_S);
	test_now_ns += TEST_S;
	observer->now_ns = test_now_ns;
	assert_string_equal(belay__pause_over(observer)->pattern, "name0");
	pause_for("more", TEST_S);
	assert_int_equal(belay__paused_until(observer, "more", 0, 1), NOW_REALTIME + TEST_S);
	assert_int_equal(belay__paused_until(observer, "name0", 0, 1), 0);
	/* One that would be over already ends. */
	pause_for("more", 0);
	assert_int_equal(belay__paused_until(observer, "more", 0, 1), 0);
}

/* --- at the door --- */

static void say_for(int fd, enum belay__hello_type type, const char *name, uint64_t ms)
{
	struct belay__hello hello = request(type);

	hello.value = ms;
	(void)snprintf(hello.name, sizeof(hello.name), "%s", name);
	assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
}

static struct {
	unsigned calls;
	char pattern[BELAY__NAME_SIZE];
	uint64_t until_ns;
	uint32_t uid;
} host;

static void on_paused(void *data, const char *pattern, uint64_t until_realtime_ns, uint32_t uid)
{
	(void)data;
	host.calls++;
	(void)snprintf(host.pattern, sizeof(host.pattern), "%s", pattern);
	host.until_ns = until_realtime_ns;
	host.uid = uid;
}

static void status_says_until_when(int fd, bool paused)
{
	struct belay__json row, until;

	say(fd, BELAY__HELLO_STATUS, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	assert_int_equal(
		belay__json_parse(door_packet.text, strlen(door_packet.text) - 1, &row, NULL), 0);
	assert_int_equal(belay__json_member(&row, "paused_until", &until), 0);
	assert_int_equal(until.kind, paused ? BELAY__JSON_STRING : BELAY__JSON_NULL);
	hear_done(observer, fd, 0);
}

static void a_pause_is_asked_for_at_the_door_and_seen_in_status(void **state)
{
	struct puppet puppet = beating();
	int fd = connect_door(&house);
	uint64_t before_ns = belay__clock_ns(CLOCK_REALTIME);
	(void)state;

	host.calls = 0;
	belay__door_set_host(observer->door, &(struct belay__door_host){ .paused = on_paused });
	status_says_until_when(fd, false);
	say_for(fd, BELAY__HELLO_PAUSE, "pauses*", 60000);
	hear_done(observer, fd, 0);
	assert_int_equal(host.calls, 1);
	assert_string_equal(host.pattern, "pauses*");
	assert_int_equal(host.uid, geteuid());
	assert_in_range(host.until_ns, before_ns + 60 * TEST_S, before_ns + 70 * TEST_S);
	status_says_until_when(fd, true);
	test_now_ns += 10 * TEST_S;
	event_none(observer);
	say_for(fd, BELAY__HELLO_RESUME, "pauses*", 0);
	hear_done(observer, fd, 0);
	assert_int_equal(host.calls, 2);
	assert_int_equal(host.until_ns, 0);
	status_says_until_when(fd, false);
	belay__close(fd);
	puppet_done(&puppet);
}

static void what_is_no_pause_is_refused(void **state)
{
	static const struct {
		enum belay__hello_type type;
		const char *name;
		uint64_t ms;
		int code;
	} rows[] = { { BELAY__HELLO_PAUSE, "", 1000, -EINVAL },
		{ BELAY__HELLO_PAUSE, "*", 0, -EINVAL },
		{ BELAY__HELLO_PAUSE, "*", UINT64_C(31) * 24 * 3600 * 1000 + 1, -EINVAL },
		{ BELAY__HELLO_PAUSE, "*", UINT64_MAX, -EINVAL },
		{ BELAY__HELLO_PAUSE,
			"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 1000,
			-EINVAL },
		{ BELAY__HELLO_RESUME, "", 0, -EINVAL }, { BELAY__HELLO_RESUME, "*", 0, -ENOENT },
		{ BELAY__HELLO_ACT, "*", 0, -ENOTSUP },
		{ BELAY__HELLO_ALERT_TEST, "", 0, -ENOTSUP } };
	int fd = connect_door(&house);
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		say_for(fd, rows[i].type, rows[i].name, rows[i].ms);
		hear_done(observer, fd, rows[i].code);
	}
	assert_int_equal(observer->pauses.count, 0);
	belay__close(fd);
}

static void only_an_act_has_a_flag(void **state)
{
	static const struct {
		enum belay__hello_type type;
		uint8_t flags;
		int code;
	} rows[] = { { BELAY__HELLO_ACT, BELAY__HELLO_DO, -ENOTSUP },
		{ BELAY__HELLO_ACT, 2, -EBADMSG }, { BELAY__HELLO_PAUSE, 1, -EBADMSG },
		{ BELAY__HELLO_STATUS, 1, -EBADMSG } };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay__hello hello = request(rows[i].type);
		int fd = connect_door(&house);

		hello.flags = rows[i].flags;
		hello.value = 1000;
		hello.name[0] = '*';
		assert_int_equal(send(fd, &hello, sizeof(hello), MSG_NOSIGNAL), sizeof(hello));
		hear_done(observer, fd, rows[i].code);
		belay__close(fd);
	}
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_selection_is_a_pid_a_glob_or_a_users_glob),
		TEST(silence_in_a_pause_is_no_stall_until_a_threshold_after_it),
		TEST(a_silence_that_begins_in_a_pause_has_a_threshold_after_it),
		TEST(nobody_else_is_excused),
		TEST(who_comes_in_a_pause_is_paused),
		TEST(resumed_is_who_has_a_threshold_from_now_on),
		TEST(an_announced_silence_outlives_a_pause),
		TEST(a_pause_may_be_made_longer_or_shorter),
		TEST(there_are_64_pauses_and_over_ones_make_room),
		TEST(a_pause_is_asked_for_at_the_door_and_seen_in_status),
		TEST(what_is_no_pause_is_refused),
		TEST(only_an_act_has_a_flag),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
