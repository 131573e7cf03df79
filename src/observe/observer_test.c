/* The embeddable observer through its public header: making it, its one descriptor, beats, its clock. */

#include <belay/observer.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
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

/* Whatever a test opened is closed again. */
static int end(void **state)
{
	(void)state;
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

/* --- making one --- */

static void options_out_of_range_are_refused_by_name(void **state)
{
	static const struct {
		struct belay_observer_options options;
		const char *word;
	} rows[] = {
		{ { .threshold_ms = 9 }, "threshold" },
		{ { .threshold_ms = UINT64_MAX }, "threshold" },
		{ { .capacity = 65537 }, "capacity" },
		{ { .capacity = UINT32_MAX }, "capacity" },
		{ { .socket_mode = 01000 }, "mode" },
		{ { .within_max_ms = UINT64_MAX }, "within" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay_observer *observer = (void *)&house;
		struct belay_error error = { .text = "" };

		assert_int_equal(belay_observer_new(&rows[i].options, &observer, &error), -EINVAL);
		assert_int_equal(error.code, -EINVAL);
		assert_non_null(strstr(error.text, rows[i].word));
		assert_ptr_equal(observer, &house);
		assert_int_equal(belay_observer_new(&rows[i].options, &observer, NULL), -EINVAL);
	}
}

static void options_at_their_limits_are_taken(void **state)
{
	static const struct belay_observer_options rows[] = {
		{ .threshold_ms = 10 },
		{ .capacity = 1 },
		{ .capacity = 65536 },
		{ .socket_mode = 0777 },
		{ .max_beat_rate = UINT32_MAX,
			.global_beat_rate = UINT32_MAX,
			.global_beat_burst = UINT32_MAX },
		{ .boottime = true },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay_observer *observer = NULL;

		assert_int_equal(belay_observer_new(&rows[i], &observer, NULL), 0);
		assert_null(belay_observer_free(observer));
	}
	assert_null(belay_observer_free(NULL));
}

static void zero_means_the_default(void **state)
{
	struct belay_observer *observer = NULL;
	(void)state;

	assert_int_equal(belay_observer_new(&(struct belay_observer_options){ 0 }, &observer, NULL),
		0);
	assert_int_equal(counter_of(observer, "tracker_capacity", ""), 4096);
	assert_int_equal(counter_of(observer, "tracker_eviction_scan_window_max", ""), 256);
	assert_int_equal(belay_observer_rcvbuf_bytes(observer), 0);
	belay_observer_free(observer);
}

static void an_observer_knows_its_host(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct stat st;
	(void)state;

	assert_int_equal(stat("/proc/self/ns/pid", &st), 0);
	assert_int_equal(belay_observer_pid_namespace(observer), st.st_ino);
	assert_in_range(belay_observer_pid_max(observer), 300, 1 << 22);
	assert_int_equal(counter_of(observer, "pid_max_current", ""),
		belay_observer_pid_max(observer));
	belay_observer_free(observer);
}

/* --- listening --- */

static void freeing_unlinks_the_bound_sockets(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct stat st;
	(void)state;

	assert_int_equal(stat(house.path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(house.door, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	belay_observer_free(observer);
	assert_int_equal(stat(house.path, &st), -1);
	assert_int_equal(stat(house.door, &st), -1);
}

static void freeing_leaves_what_somebody_put_in_its_place(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	int fd;
	(void)state;

	assert_int_equal(unlink(house.path), 0);
	fd = open(house.path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	assert_return_code(fd, errno);
	belay__close(fd);
	belay_observer_free(observer);
	assert_int_equal(access(house.path, F_OK), 0);
}

static void a_second_observer_is_refused_and_harms_nothing(void **state)
{
	struct belay_observer *first = observer_start(&house, NULL), *second = NULL;
	struct puppet puppet = puppet_start(&house);
	struct belay_error error = { .text = "" };
	(void)state;

	assert_int_equal(belay_observer_new(&(struct belay_observer_options){ 0 }, &second, NULL),
		0);
	assert_int_equal(belay_observer_listen(second, house.path, &error), -EADDRINUSE);
	assert_int_equal(error.code, -EADDRINUSE);
	assert_non_null(strstr(error.text, house.path));
	belay_observer_free(second);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(first, BELAY_EVENT_BEAT);
	puppet_done(&puppet);
	belay_observer_free(first);
}

static void what_cannot_be_listened_on_leaves_nothing_behind(void **state)
{
	struct belay_observer *observer = NULL;
	struct belay_error error;
	char path[200];
	(void)state;

	assert_int_equal(belay_observer_new(&(struct belay_observer_options){ 0 }, &observer, NULL),
		0);
	(void)snprintf(path, sizeof(path), "%s/%0120d", house.dir, 1);
	assert_int_equal(belay_observer_listen(observer, path, &error), -ENAMETOOLONG);
	(void)snprintf(path, sizeof(path), "%s/nowhere/beat.sock", house.dir);
	assert_true(belay_observer_listen(observer, path, &error) < 0);
	assert_true(error.text[0] != '\0');
	/* The door's place is taken by something that is no socket: the beat socket goes, too. */
	assert_int_equal(mkdir(house.door, 0700), 0);
	assert_true(belay_observer_listen(observer, house.path, &error) < 0);
	assert_int_equal(access(house.path, F_OK), -1);
	assert_int_equal(rmdir(house.door), 0);
	/* It is as good as new. */
	assert_int_equal(belay_observer_listen(observer, house.path, &error), 0);
	belay_observer_free(observer);
}

static void the_socket_has_the_mode_and_buffer_that_were_asked_for(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .socket_mode = 0622,
			.rcvbuf_bytes = 65536,
			.clock = test_clock });
	mode_t mask = umask(077);
	struct stat st;
	(void)state;

	(void)umask(mask);
	assert_int_equal(stat(house.path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0622);
	assert_in_range(belay_observer_rcvbuf_bytes(observer), 65536, 4 * 65536);
	assert_int_equal(counter_of(observer, "observer_uds_rcvbuf_bytes", ""),
		belay_observer_rcvbuf_bytes(observer));
	belay_observer_free(observer);
}

static void eight_sockets_are_served_and_a_ninth_is_refused(void **state)
{
	struct belay_observer *observer = NULL;
	struct house rooms[9];
	struct belay_error error;
	struct puppet puppets[8];
	(void)state;

	assert_int_equal(belay_observer_new(&(struct belay_observer_options){ .clock = test_clock },
				 &observer, NULL),
		0);
	for (unsigned i = 0; i < 9; i++) {
		rooms[i] = house;
		(void)snprintf(rooms[i].path, sizeof(rooms[i].path), "%s/%u", house.dir, i);
		assert_int_equal(belay_observer_listen(observer, rooms[i].path, &error),
			i < 8 ? 0 : -ENOSPC);
	}
	assert_int_equal(access(rooms[8].path, F_OK), -1);
	for (unsigned i = 0; i < 8; i++) {
		puppets[i] = puppet_start(&rooms[i]);
		puppet_beat(&puppets[i], BELAY_OK);
	}
	for (unsigned i = 0; i < 8; i++)
		assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	for (unsigned i = 0; i < 8; i++)
		puppet_done(&puppets[i]);
	belay_observer_free(observer);
	assert_int_equal(access(rooms[7].path, F_OK), -1);
}

/* A socket that is never empty must not keep the others from being read. */
static void a_busy_socket_starves_no_other(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct house other = house;
	struct puppet busy = puppet_start(&house), quiet;
	const struct belay_event *event;
	unsigned beats = 0;
	(void)state;

	(void)snprintf(other.path, sizeof(other.path), "%s/other", house.dir);
	assert_int_equal(belay_observer_listen(observer, other.path, NULL), 0);
	quiet = puppet_start(&other);
	puppet_beat(&quiet, BELAY_OK);
	for (;;) {
		puppet_beat(&busy, BELAY_OK);
		event = event_take(observer, BELAY_EVENT_BEAT);
		if (event->pid == (uint32_t)quiet.pid)
			break;
		assert_in_range(++beats, 1, 1000);
	}
	puppet_done(&busy);
	puppet_done(&quiet);
	belay_observer_free(observer);
}

/* --- beats --- */

static void a_first_beat_brings_the_process_with_all_that_is_known(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	(void)state;

	test_now_ns += 5 * TEST_MS;
	puppet_frame(&puppet,
		&(struct belay_frame){ .status = BELAY_DEGRADED,
			.pid = (uint32_t)puppet.pid,
			.timestamp_ns = 77,
			.nonce = 9,
			.payload = 0xfeedbeef });
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(event->observer_ns, 5 * TEST_MS);
	assert_int_equal(event->pid, puppet.pid);
	assert_int_equal(event->uid, geteuid());
	assert_int_not_equal(event->start_ticks, 0);
	assert_int_equal(event->status, BELAY_DEGRADED);
	assert_int_equal(event->origin, BELAY_KERNEL_ATTESTED);
	assert_int_equal(event->payload, 0xfeedbeef);
	assert_int_equal(event->nonce, 9);
	assert_true(event->first);
	assert_false(event->recovered);
	assert_true(event->name[0] != '\0');
	assert_string_equal(event->evidence, "");
	assert_int_equal(event->silent_ns, 0);
	assert_int_equal(event->last_ns, 0);
	assert_int_equal(event->threshold_ns, 1000 * TEST_MS);
	assert_int_equal(event->late_ns, 0);
	assert_int_equal(event->code, 0);
	assert_int_equal(event->end, BELAY_END_UNKNOWN);
	event_none(observer);
	assert_int_equal(counter_of(observer, "beats_total", ""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 1);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_change_of_status_is_marked_once(void **state)
{
	static const enum belay_status statuses[] = { BELAY_OK, BELAY_OK, BELAY_CRITICAL,
		BELAY_CRITICAL, BELAY_OK };
	static const bool changed[] = { false, false, true, false, true };
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	(void)state;

	for (unsigned i = 0; i < 5; i++) {
		const struct belay_event *event;

		puppet_beat(&puppet, statuses[i]);
		event = event_take(observer, BELAY_EVENT_BEAT);
		assert_int_equal(event->first, i == 0);
		assert_int_equal(event->status, statuses[i]);
		if (i > 0)
			assert_int_equal(event->status_changed, changed[i]);
	}
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void quiet_observers_tell_only_beats_that_change_something(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .quiet_beats = true, .clock = test_clock });
	struct puppet puppet = puppet_start(&house);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	puppet_beat(&puppet, BELAY_OK);
	event_none(observer);
	puppet_beat(&puppet, BELAY_DEGRADED);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->status_changed);
	puppet_beat(&puppet, BELAY_DEGRADED);
	event_none(observer);
	assert_int_equal(counter_of(observer, "beats_total", ""), 4);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void old_nonces_are_counted_and_told_to_nobody(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	(void)state;

	puppet.nonce = 41;
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet.nonce = 41;
	puppet_beat(&puppet, BELAY_OK); /* the same again */
	puppet.nonce = 0;
	puppet_beat(&puppet, BELAY_OK);
	event_none(observer);
	assert_int_equal(counter_of(observer, "out_of_order_total", ""), 2);
	assert_int_equal(counter_of(observer, "beats_total", ""), 1);
	puppet.nonce = 42;
	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->nonce, 43);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_nonce_that_wraps_goes_on(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	(void)state;

	puppet.nonce = UINT64_MAX - 2;
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet.nonce = 0;
	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->nonce, 1);
	assert_int_equal(counter_of(observer, "nonce_wrap_total", ""), 1);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_last_word_is_a_beat_and_each_must_be_newer(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet_last_word(&puppet, 100);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->nonce == BELAY_NONCE_TERMINAL);
	assert_int_equal(event->status, BELAY_CRITICAL);
	puppet_last_word(&puppet, 100);
	puppet_last_word(&puppet, 99);
	event_none(observer);
	puppet_last_word(&puppet, 101);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	/* The regular count goes on where it was. */
	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->nonce, 2);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* --- one event at a time --- */

static void events_come_one_by_one_and_then_there_is_nothing(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	(void)state;

	event_none(observer);
	assert_false(observer_readable(observer, 0));
	for (unsigned i = 0; i < 5; i++)
		puppet_beat(&puppet, BELAY_OK);
	assert_true(observer_readable(observer, 0));
	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->nonce, i);
	event_none(observer);
	event_none(observer);
	assert_false(observer_readable(observer, 0));
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void all_listed_counters_keep_their_places(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	static struct belay_counter before[256], after[256];
	struct puppet puppet = puppet_start(&house);
	size_t count = belay_observer_counters(observer, before, 256);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(belay_observer_counters(observer, after, 256), count);
	for (size_t i = 0; i < count; i++) {
		assert_ptr_equal(before[i].name, after[i].name);
		assert_ptr_equal(before[i].label, after[i].label);
		assert_true(after[i].value >= before[i].value);
	}
	/* Fewer are filled when there is room for fewer, and none behind it is touched. */
	after[2].name = "untouched";
	assert_int_equal(belay_observer_counters(observer, after, 2), count);
	assert_string_equal(after[2].name, "untouched");
	assert_int_equal(belay_observer_counters(observer, NULL, 0), count);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void every_kind_origin_and_end_has_its_name(void **state)
{
	static const char *const kinds[] = { "beat", "stall", "decode", "auth-failure",
		"origin-conflict", "namespace-conflict", "io", "ctrl-truncated", "end",
		"end-status", "missing", "evicted", "late" };
	static const char *const origins[] = { "network-unverified", "socket-mode-only",
		"operator-attested", "kernel-attested" };
	static const char *const ends[] = { "unknown", "left", "exited", "killed" };
	(void)state;

	for (int i = 0; i < 13; i++)
		assert_string_equal(belay_event_kind_name((enum belay_event_kind)(i + 1)), kinds[i]);
	for (int i = 0; i < 4; i++) {
		assert_string_equal(belay_origin_name((enum belay_origin)i), origins[i]);
		assert_string_equal(belay_end_name((enum belay_end)i), ends[i]);
	}
}

/* --- the clock --- */

static void a_clock_that_runs_backwards_is_held_and_counted(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	uint64_t regressions = counter_of(observer, "observer_clock_regression_total", "");
	(void)state;

	test_now_ns = 3 * TEST_S;
	assert_int_equal(belay_observer_now_ns(observer), 2 * TEST_S);
	assert_int_equal(counter_of(observer, "observer_clock_regression_total", ""), regressions);
	test_now_ns = 2 * TEST_S;
	assert_int_equal(belay_observer_now_ns(observer), 2 * TEST_S);
	assert_int_equal(counter_of(observer, "observer_clock_regression_total", ""),
		regressions + 1);
	test_now_ns = 3 * TEST_S - 1;
	assert_int_equal(belay_observer_now_ns(observer), 2 * TEST_S);
	assert_int_equal(counter_of(observer, "observer_clock_regression_total", ""),
		regressions + 2);
	test_now_ns = 3 * TEST_S;
	assert_int_equal(belay_observer_now_ns(observer), 2 * TEST_S);
	assert_int_equal(counter_of(observer, "observer_clock_regression_total", ""),
		regressions + 2);
	assert_int_equal(counter_of(observer, "observer_clock_jump_forward_total", ""), 0);
	belay_observer_free(observer);
}

static void a_leap_of_more_than_five_seconds_is_counted(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	(void)state;

	test_now_ns += 10 * TEST_S;
	(void)belay_observer_now_ns(observer);
	assert_int_equal(counter_of(observer, "observer_clock_jump_forward_total", ""), 1);
	test_now_ns += 2 * TEST_S;
	(void)belay_observer_now_ns(observer);
	test_now_ns += 5 * TEST_S;
	(void)belay_observer_now_ns(observer);
	assert_int_equal(counter_of(observer, "observer_clock_jump_forward_total", ""), 1);
	test_now_ns += 5 * TEST_S + 1;
	(void)belay_observer_now_ns(observer);
	assert_int_equal(counter_of(observer, "observer_clock_jump_forward_total", ""), 2);
	assert_int_equal(counter_of(observer, "observer_clock_regression_total", ""), 0);
	belay_observer_free(observer);
}

static void uptime_is_counted_on_the_observers_clock(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	(void)state;

	test_now_ns += 3 * TEST_S - 1;
	(void)belay_observer_now_ns(observer);
	assert_int_equal(counter_of(observer, "watch_uptime_seconds", ""), 2);
	test_now_ns++;
	(void)belay_observer_now_ns(observer);
	assert_int_equal(counter_of(observer, "watch_uptime_seconds", ""), 3);
	belay_observer_free(observer);
}

/* --- pid_max --- */

static void write_pid_max(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_return_code(fd, errno);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	belay__close(fd);
}

/* In a mount namespace of its own, with a file in the place of the kernel's. */
static int pid_max_is_read_again(void *argument)
{
	struct belay_observer *observer;
	struct puppet puppet;
	char path[100];
	(void)argument;

	(void)snprintf(path, sizeof(path), "%s/pid_max", house.dir);
	write_pid_max(path, "400\n");
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount(path, "/proc/sys/kernel/pid_max", NULL, MS_BIND, NULL) < 0)
		return 77;
	observer = observer_start(&house, NULL);
	assert_int_equal(belay_observer_pid_max(observer), 400);
	do
		puppet = puppet_start(&house);
	while (puppet.pid <= 400); /* the few early ones of a small container */
	write_pid_max(path, "4194304\n");
	puppet_beat(&puppet, BELAY_OK);
	event_none(observer);
	assert_int_equal(counter_of(observer, "frame_rejected_pid_above_max_total", ""), 1);
	test_now_ns += 60 * TEST_S - 1;
	puppet_beat(&puppet, BELAY_OK);
	event_none(observer);
	assert_int_equal(belay_observer_pid_max(observer), 400);
	assert_int_equal(counter_of(observer, "frame_rejected_pid_above_max_total", ""), 2);
	test_now_ns++;
	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	assert_int_equal(belay_observer_pid_max(observer), 4194304);
	puppet_done(&puppet);
	belay_observer_free(observer);
	return 0;
}

static void pid_max_is_read_again_after_sixty_seconds(void **state)
{
	(void)state;
	in_child(pid_max_is_read_again, NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options_out_of_range_are_refused_by_name),
		TEST(options_at_their_limits_are_taken),
		TEST(zero_means_the_default),
		TEST(an_observer_knows_its_host),
		TEST(freeing_unlinks_the_bound_sockets),
		TEST(freeing_leaves_what_somebody_put_in_its_place),
		TEST(a_second_observer_is_refused_and_harms_nothing),
		TEST(what_cannot_be_listened_on_leaves_nothing_behind),
		TEST(the_socket_has_the_mode_and_buffer_that_were_asked_for),
		TEST(eight_sockets_are_served_and_a_ninth_is_refused),
		TEST(a_busy_socket_starves_no_other),
		TEST(a_first_beat_brings_the_process_with_all_that_is_known),
		TEST(a_change_of_status_is_marked_once),
		TEST(quiet_observers_tell_only_beats_that_change_something),
		TEST(old_nonces_are_counted_and_told_to_nobody),
		TEST(a_nonce_that_wraps_goes_on),
		TEST(a_last_word_is_a_beat_and_each_must_be_newer),
		TEST(events_come_one_by_one_and_then_there_is_nothing),
		TEST(all_listed_counters_keep_their_places),
		TEST(every_kind_origin_and_end_has_its_name),
		TEST(a_clock_that_runs_backwards_is_held_and_counted),
		TEST(a_leap_of_more_than_five_seconds_is_counted),
		TEST(uptime_is_counted_on_the_observers_clock),
		TEST(pid_max_is_read_again_after_sixty_seconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
