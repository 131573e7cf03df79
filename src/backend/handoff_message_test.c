#include "backend/handoff_message.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/handoff_testing.h"
#include "base/clock.h"
#include "ipc/testing.h"

struct fixture {
	int fds_before;
	int ends[2]; /* [0] sends, [1] receives */
	struct belay__closer *closer;
	uint8_t bytes[64];
	struct belay__handoff_inbox inbox;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds_before = test_fd_count();
	/* Blocking: the call does not wait nevertheless. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, f->ends), 0);
	assert_int_equal(belay__closer_new(&f->closer), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	uint64_t taken, closed, leaked;

	belay__closer_counts(f->closer, &taken, &closed, &leaked);
	test_wait_closed(f->closer, taken);
	f->closer = belay__closer_free(f->closer);
	if (f->ends[0] >= 0)
		(void)close(f->ends[0]);
	(void)close(f->ends[1]);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

static int receive(struct fixture *f, struct belay__handoff_message *ret_message)
{
	return belay__handoff_message_receive(f->ends[1], f->bytes, sizeof(f->bytes), &f->inbox,
		f->closer, ret_message);
}

static void expect(struct fixture *f, size_t len, unsigned count, bool truncated, bool usable)
{
	struct belay__handoff_message message = { .fd = -1 };

	assert_int_equal(receive(f, &message), 0);
	assert_int_equal(message.len, len);
	assert_int_equal(message.count, count);
	assert_int_equal(message.truncated, truncated);
	assert_int_equal(message.fd >= 0, usable);
	if (usable) {
		assert_int_equal(fcntl(message.fd, F_GETFD), FD_CLOEXEC);
		(void)close(message.fd);
	}
}

static void nothing_is_there_and_nothing_is_waited_for(void **state)
{
	struct fixture *f = *state;
	struct belay__handoff_message message = { .len = 7 };

	assert_int_equal(receive(f, &message), -EAGAIN);
	assert_int_equal(message.len, 7);
}

static void a_hang_up_is_no_bytes(void **state)
{
	struct fixture *f = *state;

	(void)close(f->ends[0]);
	f->ends[0] = -EBADF;
	expect(f, 0, 0, false, false);
}

static void a_bad_connection_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct belay__handoff_message message;

	assert_int_equal(
		belay__handoff_message_receive(-EBADF, f->bytes, 1, &f->inbox, f->closer, &message),
		-EBADF);
}

static void only_one_descriptor_is_one(void **state)
{
	static const unsigned counts[] = { 0, 1, 2, 3, 250, 252, 253 };
	struct fixture *f = *state;
	uint64_t closed = 0;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned count = counts[i];

		assert_int_equal(test_send(f->ends[0], "bytes", 5, f->ends[0], count), 0);
		expect(f, 5, count, false, count == 1);
		if (count > 1)
			closed += count;
		test_wait_closed(f->closer, closed);
	}
}

/* What the kernel does with bytes around those that carry a descriptor: what all of this builds on. */
static void a_read_ends_behind_what_carries_a_descriptor(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(test_send(f->ends[0], "before", 6, -1, 0), 0);
	assert_int_equal(test_send(f->ends[0], "carrier", 7, f->ends[0], 1), 0);
	assert_int_equal(test_send(f->ends[0], "second", 6, f->ends[0], 1), 0);
	assert_int_equal(test_send(f->ends[0], "behind", 6, -1, 0), 0);
	expect(f, 13, 1, false, true);
	assert_memory_equal(f->bytes, "beforecarrier", 13);
	expect(f, 6, 1, false, true);
	expect(f, 6, 0, false, false);
	assert_memory_equal(f->bytes, "behind", 6);
}

static void a_descriptor_comes_with_the_first_of_its_bytes(void **state)
{
	struct fixture *f = *state;
	struct belay__handoff_message message;

	assert_int_equal(test_send(f->ends[0], "carrier", 7, f->ends[0], 1), 0);
	assert_int_equal(belay__handoff_message_receive(f->ends[1], f->bytes, 1, &f->inbox,
				 f->closer, &message),
		0);
	assert_int_equal(message.len, 1);
	assert_true(message.fd >= 0);
	(void)close(message.fd);
	expect(f, 6, 0, false, false);
}

static void credentials_and_a_pidfd_beside_it_change_nothing(void **state)
{
	struct fixture *f = *state;
	int on = 1;

	assert_int_equal(setsockopt(f->ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	(void)setsockopt(f->ends[1], SOL_SOCKET, 76 /* SO_PASSPIDFD */, &on, sizeof(on));
	assert_int_equal(test_send(f->ends[0], "bytes", 5, f->ends[0], 1), 0);
	expect(f, 5, 1, false, true);
	assert_int_equal(test_send(f->ends[0], "bytes", 5, f->ends[0], 253), 0);
	expect(f, 5, 253, false, false);
}

/* Leaves room for ROOM more descriptors while the next is received. */
static void expect_with_room(struct fixture *f, unsigned room, unsigned count)
{
	struct rlimit before, limit;
	int lowest = dup(f->ends[0]);

	assert_true(lowest >= 0);
	(void)close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	limit.rlim_cur = (rlim_t)lowest + room;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	expect(f, 5, count, true, false);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void what_finds_no_room_is_truncated_and_the_rest_is_no_use(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(test_send(f->ends[0], "bytes", 5, f->ends[0], 1), 0);
	expect_with_room(f, 0, 0);
	assert_int_equal(test_send(f->ends[0], "bytes", 5, f->ends[0], 2), 0);
	expect_with_room(f, 1, 1);
	assert_int_equal(test_send(f->ends[0], "bytes", 5, f->ends[0], 1), 0);
	expect(f, 5, 1, false, true);
}

static void strays_that_linger_hold_nobody_up(void **state)
{
	struct fixture *f = *state;
	uint64_t start_ns;
	int peer, stray = test_tcp(&peer, true);

	assert_int_equal(test_send(f->ends[0], "bytes", 5, stray, 2), 0);
	(void)close(stray);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	expect(f, 5, 2, false, false);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 500 * BELAY__NS_PER_MS);
	test_wait_closed(f->closer, 2);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 4 * BELAY__NS_PER_S);
	(void)close(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_is_there_and_nothing_is_waited_for),
		TEST(a_hang_up_is_no_bytes),
		TEST(a_bad_connection_is_an_error),
		TEST(only_one_descriptor_is_one),
		TEST(a_read_ends_behind_what_carries_a_descriptor),
		TEST(a_descriptor_comes_with_the_first_of_its_bytes),
		TEST(credentials_and_a_pidfd_beside_it_change_nothing),
		TEST(what_finds_no_room_is_truncated_and_the_rest_is_no_use),
		TEST(strays_that_linger_hold_nobody_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
