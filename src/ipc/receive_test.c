#include "ipc/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/missing.h"
#include "ipc/testing.h"

enum { FRAME_LEN = 32 };

struct fixture {
	int fds_before;
	int ends[2]; /* [0] sends, [1] receives */
	struct belay__closer *closer;
	struct belay__receiver *receiver;
	uint8_t frame[128];
};

static void open_receiver(struct fixture *f, bool expect_strays)
{
	f->receiver = belay__receiver_free(f->receiver);
	assert_int_equal(belay__receiver_new(FRAME_LEN, expect_strays, f->closer, &f->receiver), 0);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds_before = test_fd_count();
	test_pair(SOCK_DGRAM, f->ends);
	assert_int_equal(belay__closer_new(&f->closer), 0);
	open_receiver(f, true);
	for (size_t i = 0; i < sizeof(f->frame); i++)
		f->frame[i] = (uint8_t)i;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)close(f->ends[0]);
	(void)close(f->ends[1]);
	f->receiver = belay__receiver_free(f->receiver);
	f->closer = belay__closer_free(f->closer);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

static void send_frame(const struct fixture *f)
{
	assert_int_equal(test_send(f->ends[0], f->frame, FRAME_LEN, -1, 0), 0);
}

/* Receives exactly one datagram. */
static const struct belay__datagram *receive_one(const struct fixture *f)
{
	const struct belay__datagram *datagrams = NULL;

	assert_int_equal(belay__receive(f->receiver, f->ends[1], &datagrams), 1);
	assert_non_null(datagrams);
	return datagrams;
}

static void an_empty_socket_gives_nothing(void **state)
{
	const struct fixture *f = *state;
	const struct belay__datagram *datagrams = NULL;

	assert_int_equal(belay__receive(f->receiver, f->ends[1], &datagrams), 0);
	assert_null(datagrams);
}

static void a_bad_descriptor_is_an_error(void **state)
{
	const struct fixture *f = *state;
	const struct belay__datagram *datagrams = NULL;

	assert_int_equal(belay__receive(f->receiver, -EBADF, &datagrams), -EBADF);
	assert_null(datagrams);
}

static void a_frame_arrives_with_its_sender(void **state)
{
	const struct fixture *f = *state;
	const struct belay__datagram *got;

	send_frame(f);
	got = receive_one(f);
	assert_int_equal(got->arrival, BELAY__ARRIVED);
	assert_int_equal(got->len, FRAME_LEN);
	assert_memory_equal(got->bytes, f->frame, FRAME_LEN);
	assert_int_equal(got->pid, getpid());
	assert_int_equal(got->uid, geteuid());
	assert_int_equal(got->strays, 0);
}

static void the_sender_is_who_sent_not_who_opened(void **state)
{
	const struct fixture *f = *state;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(test_send(f->ends[0], f->frame, FRAME_LEN, -1, 0) < 0);
	assert_int_equal(test_wait_child(child), 0);
	assert_int_equal(receive_one(f)->pid, child);
}

static void every_other_length_is_short(void **state)
{
	static const struct {
		size_t sent;
		uint32_t len;
		enum belay__arrival arrival;
	} cases[] = {
		{ 0, 0, BELAY__ARRIVED_SHORT },
		{ 1, 1, BELAY__ARRIVED_SHORT },
		{ 31, 31, BELAY__ARRIVED_SHORT },
		{ 32, 32, BELAY__ARRIVED },
		{ 33, 33, BELAY__ARRIVED_SHORT },
		{ 34, 33, BELAY__ARRIVED_SHORT },
		{ 128, 33, BELAY__ARRIVED_SHORT },
	};
	const struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct belay__datagram *got;

		assert_int_equal(test_send(f->ends[0], f->frame, cases[i].sent, -1, 0), 0);
		got = receive_one(f);
		assert_int_equal(got->len, cases[i].len);
		assert_int_equal(got->arrival, cases[i].arrival);
		assert_int_equal(got->pid, getpid());
	}
}

static void a_batch_keeps_the_order(void **state)
{
	const struct fixture *f = *state;
	const struct belay__datagram *got;

	for (uint8_t i = 0; i < 8; i++) {
		uint8_t frame[FRAME_LEN] = { i };

		assert_int_equal(test_send(f->ends[0], frame, sizeof(frame), -1, 0), 0);
	}
	assert_int_equal(belay__receive(f->receiver, f->ends[1], &got), 8);
	for (uint8_t i = 0; i < 8; i++)
		assert_int_equal(got[i].bytes[0], i);
}

static void strays_are_taken_and_closed_elsewhere(void **state)
{
	static const unsigned counts[] = { 1, 2, 10, 250, 253 };
	const struct fixture *f = *state;
	uint64_t closed = 0;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		int fds = test_fd_count();
		const struct belay__datagram *got;

		assert_int_equal(test_send(f->ends[0], f->frame, FRAME_LEN, f->ends[0], counts[i]),
			0);
		send_frame(f);
		assert_int_equal(belay__receive(f->receiver, f->ends[1], &got), 2);
		assert_int_equal(got[0].arrival, BELAY__ARRIVED);
		assert_int_equal(got[0].strays, counts[i]);
		assert_int_equal(got[0].pid, getpid());
		assert_int_equal(got[1].arrival, BELAY__ARRIVED);
		assert_int_equal(got[1].strays, 0);
		closed += counts[i];
		test_wait_closed(f->closer, closed);
		assert_int_equal(test_fd_count(), fds);
	}
}

static void strays_of_a_short_datagram_are_closed_too(void **state)
{
	const struct fixture *f = *state;
	const struct belay__datagram *got;

	assert_int_equal(test_send(f->ends[0], f->frame, 5, f->ends[0], 3), 0);
	got = receive_one(f);
	assert_int_equal(got->arrival, BELAY__ARRIVED_SHORT);
	assert_int_equal(got->strays, 3);
	test_wait_closed(f->closer, 3);
}

static void unusual_and_usual_datagrams_do_not_disturb_each_other(void **state)
{
	const struct fixture *f = *state;
	unsigned seed = 20261121;
	uint64_t closed = 0;

	for (int round = 0; round < 200; round++) {
		unsigned strays[8];
		size_t len[8];
		const struct belay__datagram *got;

		for (int i = 0; i < 8; i++) {
			strays[i] = rand_r(&seed) % 3 == 0 ? (unsigned)rand_r(&seed) % 20 : 0;
			len[i] = rand_r(&seed) % 4 == 0 ? (size_t)rand_r(&seed) % 40 : FRAME_LEN;
			assert_int_equal(
				test_send(f->ends[0], f->frame, len[i], f->ends[0], strays[i]), 0);
			closed += strays[i];
		}
		assert_int_equal(belay__receive(f->receiver, f->ends[1], &got), 8);
		for (int i = 0; i < 8; i++) {
			assert_int_equal(got[i].strays, strays[i]);
			assert_int_equal(got[i].len, len[i] > 33 ? 33 : len[i]);
			assert_int_equal(got[i].arrival == BELAY__ARRIVED, len[i] == FRAME_LEN);
			assert_int_equal(got[i].pid, getpid());
		}
		/* A closer that gets no CPU would leave so many open that the kernel cuts the next
		 * ones. */
		test_wait_closed(f->closer, closed);
	}
}

static void without_room_for_strays_the_control_data_is_cut(void **state)
{
	struct fixture *f = *state;
	int fds = test_fd_count();
	const struct belay__datagram *got;

	open_receiver(f, false);
	assert_int_equal(test_send(f->ends[0], f->frame, FRAME_LEN, f->ends[0], 1), 0);
	send_frame(f);
	assert_int_equal(belay__receive(f->receiver, f->ends[1], &got), 2);
	assert_int_equal(got[0].arrival, BELAY__ARRIVED_CUT);
	assert_int_equal(got[0].strays, 0);
	assert_int_equal(got[1].arrival, BELAY__ARRIVED);
	assert_int_equal(test_fd_count(), fds);
}

static void nobody_is_believed_without_credentials(void **state)
{
	const struct fixture *f = *state;
	const struct belay__datagram *got;
	int off = 0;

	assert_int_equal(setsockopt(f->ends[1], SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
	send_frame(f);
	got = receive_one(f);
	assert_int_equal(got->arrival, BELAY__ARRIVED_NOBODY);
	assert_int_equal(got->pid, 0);
	assert_int_equal(got->uid, (uid_t)-1);

	/* Strays do not stand in for credentials. */
	assert_int_equal(test_send(f->ends[0], f->frame, FRAME_LEN, f->ends[0], 2), 0);
	got = receive_one(f);
	assert_int_equal(got->arrival, BELAY__ARRIVED_NOBODY);
	assert_int_equal(got->strays, 2);
	test_wait_closed(f->closer, 2);
}

/* Leaves this process room for ROOM more descriptors. Returns the limit from before. */
static struct rlimit leave_room(rlim_t room)
{
	struct rlimit before, now;
	int free_fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	assert_true(free_fd >= 0);
	(void)close(free_fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = (rlim_t)free_fd + room;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return before;
}

static void a_full_descriptor_table_cuts_but_does_not_stop(void **state)
{
	static const unsigned rooms[] = { 0, 1, 2 };
	const struct fixture *f = *state;
	uint64_t closed = 0;

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		const struct belay__datagram *got;
		struct rlimit before;
		int count;

		assert_int_equal(test_send(f->ends[0], f->frame, FRAME_LEN, f->ends[0], 3), 0);
		send_frame(f);
		before = leave_room(rooms[i]);
		count = belay__receive(f->receiver, f->ends[1], &got);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);

		assert_int_equal(count, 2);
		assert_int_equal(got[0].arrival, BELAY__ARRIVED_CUT);
		assert_int_equal(got[0].len, FRAME_LEN);
		assert_int_equal(got[0].pid, getpid());
		assert_int_equal(got[0].strays, rooms[i]);
		assert_int_equal(got[1].arrival, BELAY__ARRIVED);
		closed += rooms[i];
		test_wait_closed(f->closer, closed);
	}
}

static void a_lingering_stray_does_not_hold_up_the_reader(void **state)
{
	const struct fixture *f = *state;
	const struct belay__datagram *got;
	uint64_t start_ns, took_ns;
	int peer, stray = test_lingering_socket(&peer);

	assert_int_equal(test_send(f->ends[0], f->frame, FRAME_LEN, stray, 1), 0);
	(void)close(stray); /* the one in the message is the last */
	send_frame(f);

	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	assert_int_equal(belay__receive(f->receiver, f->ends[1], &got), 2);
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
	assert_int_equal(got[0].strays, 1);
	assert_int_equal(got[1].arrival, BELAY__ARRIVED);
	assert_true(took_ns <= 5 * BELAY__NS_PER_MS);

	/* Nor the closer: it is taken out of lingering. */
	test_wait_closed(f->closer, 1);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 4 * BELAY__NS_PER_S);
	(void)close(peer);
}

static void where_the_kernel_refuses_rights_the_sender_is_told(void **state)
{
	struct fixture *f = *state;
	int off = 0;

	if (setsockopt(f->ends[1], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0)
		skip();
	open_receiver(f, false);
	assert_int_equal(test_send(f->ends[0], f->frame, FRAME_LEN, f->ends[0], 1), -EPERM);
	send_frame(f);
	assert_int_equal(receive_one(f)->arrival, BELAY__ARRIVED);
}

/* Receives one frame as the first process of a new pid namespace; exits with 0 when its sender
 * had number 0 there. */
static void receive_in_a_namespace(const struct fixture *f)
{
	const struct belay__datagram *got;
	pid_t child;

	if (unshare(CLONE_NEWUSER | CLONE_NEWPID) < 0)
		_exit(77);
	child = fork();
	if (child == 0) {
		int count = belay__receive(f->receiver, f->ends[1], &got);

		_exit(count == 1 && got->arrival == BELAY__ARRIVED && got->pid == 0 ? 0 : 1);
	}
	_exit(child < 0 ? 77 : test_wait_child(child));
}

static void a_sender_from_outside_our_namespace_has_no_number(void **state)
{
	const struct fixture *f = *state;
	pid_t child;
	int status;

	send_frame(f);
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		receive_in_a_namespace(f);
	status = test_wait_child(child);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_socket_gives_nothing),
		TEST(a_bad_descriptor_is_an_error),
		TEST(a_frame_arrives_with_its_sender),
		TEST(the_sender_is_who_sent_not_who_opened),
		TEST(every_other_length_is_short),
		TEST(a_batch_keeps_the_order),
		TEST(strays_are_taken_and_closed_elsewhere),
		TEST(strays_of_a_short_datagram_are_closed_too),
		TEST(unusual_and_usual_datagrams_do_not_disturb_each_other),
		TEST(without_room_for_strays_the_control_data_is_cut),
		TEST(nobody_is_believed_without_credentials),
		TEST(a_full_descriptor_table_cuts_but_does_not_stop),
		TEST(a_lingering_stray_does_not_hold_up_the_reader),
		TEST(where_the_kernel_refuses_rights_the_sender_is_told),
		TEST(a_sender_from_outside_our_namespace_has_no_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
