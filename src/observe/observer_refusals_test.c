/* What the observer refuses, and how it says so: each its event, its counter, and nothing else changed. */

#include <belay/observer.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/missing.h"
#include "ipc/bind.h"
#include "observe/testing.h"
#include "wire/crc32c.h"

static struct house house;
static int fds_before;

static int begin(void **state)
{
	(void)state;
	belay__ipc_without_passrights = false;
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

/* --- decoding --- */

static void put_le(uint8_t *bytes, uint64_t value, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		bytes[i] = (uint8_t)(value >> (8 * i));
}

/* Overwrites COUNT bytes at AT and mends the checksum. */
static void spoil(uint8_t frame[BELAY_FRAME_LEN], unsigned at, uint64_t value, unsigned count)
{
	put_le(frame + at, value, count);
	put_le(frame + 28, belay__crc32c(frame, 28), 4);
}

static void each_class_of_bad_frames_is_an_event_with_what_it_carries(void **state)
{
	struct {
		enum belay_decode_class class_;
		unsigned at, count;
		uint64_t value;
		struct belay_decode_error carried;
	} rows[] = {
		{ BELAY_BAD_MAGIC, 0, 2, 0x4142, { 0 } },
		{ BELAY_BAD_VERSION, 2, 1, 3, { 0 } },
		{ BELAY_BAD_STATUS, 3, 1, 200, { .status = 200 } },
		{ BELAY_STALL_ON_WIRE, 3, 1, BELAY_STALL, { 0 } },
		{ BELAY_BAD_PID, 4, 4, 1, { .pid = 1 } },
		{ BELAY_BAD_PID, 4, 4, 0, { .pid = 0 } },
		{ BELAY_BAD_TIMESTAMP, 8, 8, UINT64_MAX, { .timestamp_ns = UINT64_MAX } },
		{ BELAY_BAD_NONCE, 16, 8, UINT64_MAX, { .nonce = UINT64_MAX, .status = BELAY_OK } },
	};
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct belay_event *event;
		uint8_t frame[BELAY_FRAME_LEN];

		belay_frame_encode(&(struct belay_frame){ .pid = (uint32_t)puppet.pid,
					   .timestamp_ns = 1,
					   .nonce = 1 },
			frame);
		spoil(frame, rows[i].at, rows[i].value, rows[i].count);
		assert_int_equal(puppet_send(&puppet, frame, sizeof(frame), 0), 0);
		event = event_take(observer, BELAY_EVENT_DECODE);
		assert_int_equal(event->decode.class_, rows[i].class_);
		assert_int_equal(event->decode.status, rows[i].carried.status);
		assert_int_equal(event->decode.pid, rows[i].carried.pid);
		assert_true(event->decode.timestamp_ns == rows[i].carried.timestamp_ns);
		assert_true(event->decode.nonce == rows[i].carried.nonce);
		assert_string_equal(event->name, "");
		assert_int_equal(event->first, false);
		event_none(observer);
	}
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"bad_magic\""), 1);
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"bad_version\""), 1);
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"bad_status\""), 1);
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"stall_on_wire\""), 1);
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"bad_pid\""), 2);
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"bad_timestamp\""), 1);
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"bad_nonce\""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void a_bad_checksum_tells_both_sums(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	uint8_t frame[BELAY_FRAME_LEN];
	uint32_t sum;
	(void)state;

	belay_frame_encode(&(struct belay_frame){ .pid = (uint32_t)puppet.pid, .nonce = 1 }, frame);
	sum = belay__crc32c(frame, 28);
	put_le(frame + 28, sum ^ 1, 4);
	assert_int_equal(puppet_send(&puppet, frame, sizeof(frame), 0), 0);
	event = event_take(observer, BELAY_EVENT_DECODE);
	assert_int_equal(event->decode.class_, BELAY_BAD_CRC);
	assert_int_equal(event->decode.crc_expected, sum);
	assert_int_equal(event->decode.crc_actual, sum ^ 1);
	assert_int_equal(counter_of(observer, "decode_errors_total", "kind=\"bad_crc\""), 1);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void datagrams_of_another_length_are_counted_only(void **state)
{
	static const size_t lengths[] = { 0, 1, 31, 33, 64, 256 };
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	uint8_t bytes[256] = { 'V', 'A', 2 };
	(void)state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		assert_int_equal(puppet_send(&puppet, bytes, lengths[i], 0), 0);
		event_none(observer);
		assert_int_equal(counter_of(observer, "truncated_datagrams_total", ""), i + 1);
	}
	/* A good one right behind a bad one is not lost. */
	assert_int_equal(puppet_send(&puppet, bytes, 33, 0), 0);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* --- who sent it --- */

static void a_forged_pid_is_an_auth_failure_and_hurts_nobody(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet victim = puppet_start(&house), forger = puppet_start(&house);
	const struct belay_event *event;
	(void)state;

	puppet_beat(&victim, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet_frame(&forger,
		&(struct belay_frame){ .status = BELAY_CRITICAL,
			.pid = (uint32_t)victim.pid,
			.nonce = 1000 });
	event = event_take(observer, BELAY_EVENT_AUTH_FAILURE);
	assert_int_equal(event->pid, victim.pid); /* what it claimed */
	assert_string_equal(event->name, "");
	event_none(observer);
	assert_int_equal(counter_of(observer, "frame_auth_failures_total", ""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 1);
	/* The victim's own count was not pushed ahead. */
	puppet_beat(&victim, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(event->nonce, 2);
	assert_false(event->status_changed);
	puppet_done(&victim);
	puppet_done(&forger);
	belay_observer_free(observer);
}

static void a_pid_above_the_kernels_limit_is_counted_only(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	uint32_t pid_max = belay_observer_pid_max(observer);
	(void)state;

	puppet_frame(&puppet, &(struct belay_frame){ .pid = pid_max + 1, .nonce = 1 });
	event_none(observer);
	assert_int_equal(counter_of(observer, "frame_rejected_pid_above_max_total", ""), 1);
	assert_int_equal(counter_of(observer, "frame_auth_failures_total", ""), 0);
	puppet_frame(&puppet, &(struct belay_frame){ .pid = pid_max, .nonce = 1 });
	(void)event_take(observer, BELAY_EVENT_AUTH_FAILURE);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void another_user_is_refused_even_where_the_socket_lets_him(void **state)
{
	struct belay_observer *observer;
	struct puppet stranger;
	const struct belay_event *event;
	(void)state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(house.dir, 0711), 0);
	observer = observer_start(&house,
		&(struct belay_observer_options){ .socket_mode = 0666, .clock = test_clock });
	assert_true(puppet_start_with(&house, 0, TEST_NOBODY, 0, &stranger));
	puppet_beat(&stranger, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_IO);
	assert_int_equal(event->code, -EPERM);
	assert_int_equal(event->uid, TEST_NOBODY);
	assert_int_equal(event->pid, stranger.pid);
	event_none(observer);
	assert_int_equal(counter_of(observer, "frame_foreign_uid_total", ""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	puppet_done(&stranger);
	belay_observer_free(observer);
}

/* --- namespaces --- */

/* A process in a pid namespace of its own that knows the number it has outside. */
static bool start_inside(struct puppet *ret_puppet)
{
	return geteuid() == 0 && puppet_start_with(&house, CLONE_NEWPID, -1, 0, ret_puppet);
}

static void a_beat_from_another_pid_namespace_is_refused(void **state)
{
	struct belay_observer *observer;
	struct puppet puppet;
	const struct belay_event *event;
	(void)state;

	if (!start_inside(&puppet))
		skip();
	observer = observer_start(&house, NULL);
	puppet_beat(&puppet, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_NAMESPACE_CONFLICT);
	assert_int_equal(event->pid, puppet.pid);
	assert_int_equal(event->observer_pid_namespace, belay_observer_pid_namespace(observer));
	assert_int_not_equal(event->pid_namespace, 0);
	assert_int_not_equal(event->pid_namespace, event->observer_pid_namespace);
	event_none(observer);
	assert_int_equal(counter_of(observer, "frame_namespace_mismatch_total", ""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	/* Its inner number is not one that we could believe. */
	puppet_frame(&puppet, &(struct belay_frame){ .pid = 2, .nonce = 1 });
	(void)event_take(observer, BELAY_EVENT_AUTH_FAILURE);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* The children of this process live in a pid namespace below; it sees their outer numbers. */
static int watches_below(void *argument)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .allow_cross_namespace = true,
			.clock = test_clock });
	struct puppet first, second;
	const struct belay_event *event;
	(void)argument;

	if (unshare(CLONE_NEWPID) < 0)
		return 77;
	first = puppet_start(&house);
	second = puppet_start(&house);
	puppet_frame(&second, &(struct belay_frame){ .pid = 3, .nonce = 1 });
	assert_int_equal(event_take(observer, BELAY_EVENT_AUTH_FAILURE)->pid, 3);
	puppet_frame(&second, &(struct belay_frame){ .pid = 2, .nonce = 1 });
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->first);
	assert_int_equal(event->pid, second.pid);
	assert_int_equal(event->origin, BELAY_KERNEL_ATTESTED);
	puppet_frame(&second, &(struct belay_frame){ .pid = 2, .nonce = 2 });
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->pid, second.pid);
	puppet_frame(&second, &(struct belay_frame){ .pid = 3, .nonce = 3 });
	(void)event_take(observer, BELAY_EVENT_AUTH_FAILURE);
	event_none(observer);
	assert_int_equal(counter_of(observer, "frame_namespace_mismatch_total", ""), 0);
	puppet_done(&second);
	puppet_done(&first);
	belay_observer_free(observer);
	return 0;
}

static void with_leave_the_inner_number_counts_for_the_outer_process(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	in_child(watches_below, NULL);
}

/* The observer's end lies in a pid namespace below the sender's: the kernel has no number for the sender there. */
static int observes_from_inside(void *argument)
{
	struct belay_observer *observer;
	const struct belay_event *event;
	int ready = *(int *)argument;

	observer = observer_start(&house, NULL);
	if (write(ready, "r", 1) != 1)
		return 1;
	event = event_take(observer, BELAY_EVENT_AUTH_FAILURE);
	assert_int_equal(event->pid, 4242);
	assert_int_equal(counter_of(observer, "frame_pid_unattested_total", ""), 1);
	assert_int_equal(counter_of(observer, "frame_auth_failures_total", ""), 0);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	event_none(observer);
	belay_observer_free(observer);
	return 0;
}

static void a_sender_without_a_pid_here_is_refused_as_unattested(void **state)
{
	struct puppet puppet;
	int ready[2], status;
	char byte;
	pid_t pid;
	(void)state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	puppet = puppet_start(&house);
	pid = (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
	assert_return_code(pid, errno);
	if (pid == 0)
		_exit(observes_from_inside(&ready[1]));
	assert_int_equal(read(ready[0], &byte, 1), 1);
	puppet_frame(&puppet, &(struct belay_frame){ .pid = 4242, .nonce = 1 });
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	puppet_done(&puppet);
	belay__close(ready[0]);
	belay__close(ready[1]);
}

/* --- control data --- */

static void set_option(int option, int value)
{
	int fd = fd_bound_to(house.path, SOCK_DGRAM);

	assert_int_equal(setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)), 0);
}

static void a_datagram_without_credentials_is_believed_by_nobody(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	(void)state;

	set_option(SO_PASSCRED, 0);
	puppet_beat(&puppet, BELAY_OK);
	event = event_take(observer, BELAY_EVENT_IO);
	assert_true(event->code < 0);
	assert_int_not_equal(event->code, -EPERM);
	event_none(observer);
	assert_int_equal(counter_of(observer, "io_errors_total", ""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	set_option(SO_PASSCRED, 1);
	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void truncated_control_data_is_an_event_and_nothing_of_it_is_believed(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	struct puppet puppet = puppet_start(&house);
	uint8_t frame[BELAY_FRAME_LEN];
	int off = 1, sent;
	(void)state;

	/* Where the kernel refuses descriptors at the sender, it is told to let them through. */
	(void)setsockopt(fd_bound_to(house.path, SOCK_DGRAM), SOL_SOCKET, SO_PASSRIGHTS, &off,
		sizeof(off));
	set_option(SO_TIMESTAMPNS, 1);
	belay_frame_encode(&(struct belay_frame){ .pid = (uint32_t)puppet.pid, .nonce = 1 }, frame);
	sent = puppet_send(&puppet, frame, sizeof(frame), 253);
	assert_int_equal(sent, 0);
	(void)event_take(observer, BELAY_EVENT_CTRL_TRUNCATED);
	event_none(observer);
	assert_int_equal(counter_of(observer, "ctrl_truncated_total", ""), 1);
	assert_int_equal(counter_of(observer, "beats_total", ""), 0);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 0);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

static void descriptors_that_nobody_asked_for_cost_no_beat(void **state)
{
	struct belay_observer *observer;
	struct puppet puppet;
	uint8_t frame[BELAY_FRAME_LEN];
	(void)state;

	belay__ipc_without_passrights = true; /* as before 6.16: they arrive */
	observer = observer_start(&house, NULL);
	puppet = puppet_start(&house);
	belay_frame_encode(&(struct belay_frame){ .pid = (uint32_t)puppet.pid, .nonce = 1 }, frame);
	assert_int_equal(puppet_send(&puppet, frame, sizeof(frame), 10), 0);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(counter_of(observer, "stray_fds_total", ""), 10);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* --- too many --- */

static void one_process_beats_no_faster_than_its_rate(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .max_beat_rate = 10, .clock = test_clock });
	struct puppet puppet = puppet_start(&house), other = puppet_start(&house);
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	test_now_ns += 100 * TEST_MS - 1;
	puppet_beat(&puppet, BELAY_OK);
	puppet_beat(&other, BELAY_OK);
	assert_int_equal(event_take(observer, BELAY_EVENT_BEAT)->pid, other.pid);
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"per_pid\""), 1);
	/* The last word always passes, once. */
	puppet_last_word(&puppet, 1);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->nonce == BELAY_NONCE_TERMINAL);
	puppet_last_word(&puppet, 2);
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"per_pid\""), 2);
	test_now_ns += 100 * TEST_MS;
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet_done(&puppet);
	puppet_done(&other);
	belay_observer_free(observer);
}

static void all_together_beat_no_faster_than_the_bucket_fills(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .global_beat_rate = 10,
			.global_beat_burst = 3,
			.clock = test_clock });
	struct puppet puppets[4];
	(void)state;

	for (unsigned i = 0; i < 4; i++) {
		puppets[i] = puppet_start(&house);
		puppet_beat(&puppets[i], BELAY_OK);
	}
	for (unsigned i = 0; i < 3; i++)
		(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"global\""), 1);
	test_now_ns += 100 * TEST_MS;
	puppet_beat(&puppets[3], BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	for (unsigned i = 0; i < 4; i++)
		puppet_done(&puppets[i]);
	belay_observer_free(observer);
}

static void what_is_refused_pays_like_a_beat(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .global_beat_rate = 10,
			.global_beat_burst = 2,
			.clock = test_clock });
	struct puppet puppet = puppet_start(&house);
	(void)state;

	assert_int_equal(puppet_send(&puppet, "short", 5, 0), 0);
	puppet_frame(&puppet, &(struct belay_frame){ .pid = 2, .nonce = 1 });
	(void)event_take(observer, BELAY_EVENT_AUTH_FAILURE);
	puppet_beat(&puppet, BELAY_OK);
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"global\""), 1);
	puppet_done(&puppet);
	belay_observer_free(observer);
}

/* --- no room --- */

static struct belay_observer *full_observer(enum belay_eviction_policy policy,
	struct puppet puppets[3])
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 1000,
			.capacity = 2,
			.eviction_policy = policy,
			.clock = test_clock });

	for (unsigned i = 0; i < 3; i++)
		puppets[i] = puppet_start(&house);
	for (unsigned i = 0; i < 2; i++) {
		puppet_beat(&puppets[i], BELAY_OK);
		(void)event_take(observer, BELAY_EVENT_BEAT);
	}
	event_none(observer);
	return observer;
}

static void full_rooms_close(struct belay_observer *observer, struct puppet puppets[3])
{
	for (unsigned i = 0; i < 3; i++)
		puppet_done(&puppets[i]);
	belay_observer_free(observer);
}

static void a_full_table_keeps_whom_it_knows(void **state)
{
	struct puppet puppets[3];
	struct belay_observer *observer = full_observer(BELAY_EVICT_STRICT, puppets);
	(void)state;

	puppet_beat(&puppets[2], BELAY_OK);
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_capacity_exceeded_total", ""), 1);
	assert_int_equal(counter_of(observer, "tracker_evicted_total", ""), 0);
	puppet_beat(&puppets[0], BELAY_OK);
	assert_false(event_take(observer, BELAY_EVENT_BEAT)->first);
	/* The end of one makes room for another. */
	puppet_exit(&puppets[0], 0);
	(void)event_take(observer, BELAY_EVENT_END);
	puppet_beat(&puppets[2], BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	full_rooms_close(observer, puppets);
}

static void who_stalled_ten_thresholds_ago_gives_up_his_place_and_it_is_told(void **state)
{
	struct puppet puppets[3];
	struct belay_observer *observer = full_observer(BELAY_EVICT_STRICT, puppets);
	const struct belay_event *event;
	uint32_t pid = (uint32_t)puppets[0].pid;
	(void)state;

	test_now_ns += 5 * TEST_S;
	puppet_beat(&puppets[1], BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, pid);
	event_none(observer);
	test_now_ns += 5 * TEST_S;
	puppet_beat(&puppets[1], BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet_beat(&puppets[2], BELAY_OK); /* ten thresholds are not more than ten */
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_eviction_scan_truncated_total", ""), 1);
	test_now_ns += 1;
	puppet_beat(&puppets[2], BELAY_OK);
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->first);
	assert_int_equal(event->pid, puppets[2].pid);
	event = event_take(observer, BELAY_EVENT_EVICTED);
	assert_int_equal(event->pid, pid);
	assert_int_equal(event->uid, geteuid());
	assert_int_not_equal(event->start_ticks, 0);
	assert_true(event->name[0] != '\0');
	event_none(observer);
	assert_int_equal(counter_of(observer, "tracker_evicted_total", ""), 1);
	assert_int_equal(counter_of(observer, "watch_pids_tracked", ""), 2);
	full_rooms_close(observer, puppets);
}

static void a_balanced_observer_gives_up_the_long_silent_before_they_stall(void **state)
{
	struct puppet puppets[3];
	struct belay_observer *observer = full_observer(BELAY_EVICT_BALANCED, puppets);
	const struct belay_event *event;
	(void)state;

	test_now_ns += 10 * TEST_S + 1;
	puppet_beat(&puppets[2], BELAY_OK); /* is read before anybody is questioned */
	event = event_take(observer, BELAY_EVENT_BEAT);
	assert_true(event->first);
	(void)event_take(observer, BELAY_EVENT_EVICTED);
	(void)event_take(observer, BELAY_EVENT_STALL); /* the other one */
	full_rooms_close(observer, puppets);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_class_of_bad_frames_is_an_event_with_what_it_carries),
		TEST(a_bad_checksum_tells_both_sums),
		TEST(datagrams_of_another_length_are_counted_only),
		TEST(a_forged_pid_is_an_auth_failure_and_hurts_nobody),
		TEST(a_pid_above_the_kernels_limit_is_counted_only),
		TEST(another_user_is_refused_even_where_the_socket_lets_him),
		TEST(a_beat_from_another_pid_namespace_is_refused),
		TEST(with_leave_the_inner_number_counts_for_the_outer_process),
		TEST(a_sender_without_a_pid_here_is_refused_as_unattested),
		TEST(a_datagram_without_credentials_is_believed_by_nobody),
		TEST(truncated_control_data_is_an_event_and_nothing_of_it_is_believed),
		TEST(descriptors_that_nobody_asked_for_cost_no_beat),
		TEST(one_process_beats_no_faster_than_its_rate),
		TEST(all_together_beat_no_faster_than_the_bucket_fills),
		TEST(what_is_refused_pays_like_a_beat),
		TEST(a_full_table_keeps_whom_it_knows),
		TEST(who_stalled_ten_thresholds_ago_gives_up_his_place_and_it_is_told),
		TEST(a_balanced_observer_gives_up_the_long_silent_before_they_stall),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
