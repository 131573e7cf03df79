#include <belay/endpoint.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/testing.h"

/* A lingering socket takes five seconds to close. */
#define AT_ONCE_NS (2 * BELAY__NS_PER_S)

static int ends[2], fds_before; /* [0] is read */

static int set_up(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static void close_it(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
	*fd = -EBADF;
}

static void wait_for_fds(int count)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + 10 * BELAY__NS_PER_S;

	while (belay__fd_count() != count) {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < give_up_ns);
		(void)sched_yield();
	}
}

static int tear_down(void **state)
{
	(void)state;
	close_it(&ends[0]);
	close_it(&ends[1]);
	wait_for_fds(fds_before);
	return 0;
}

/* Passes a socket that takes its time to close; *ret_peer keeps it so. */
static void pass_lingering(const char *text, size_t len, int *ret_peer)
{
	int lingering = test_lingering_socket(ret_peer);

	assert_int_equal(test_send(ends[1], text, len, lingering, 1), 0);
	(void)close(lingering);
}

static void reading_goes_like_recv_but_does_not_wait(void **state)
{
	char bytes[4] = "....";

	(void)state;
	assert_int_equal(fcntl(ends[0], F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, sizeof(bytes)), -EAGAIN);
	assert_int_equal(send(ends[1], "abc", 3, 0), 3);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, 0), -EINVAL);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, 2), 2);
	assert_memory_equal(bytes, "ab..", 4);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, sizeof(bytes)), 1);
	assert_memory_equal(bytes, "cb..", 4);
	close_it(&ends[1]);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, sizeof(bytes)), 0);
	assert_int_equal(belay_endpoint_receive(-EBADF, bytes, sizeof(bytes)), -EBADF);
}

static void what_takes_its_time_to_close_holds_no_reader_up(void **state)
{
	uint64_t start_ns;
	char bytes[8];
	int peer;

	(void)state;
	pass_lingering("hi", 2, &peer);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, sizeof(bytes)), 2);
	assert_memory_equal(bytes, "hi", 2);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, sizeof(bytes)), -EAGAIN);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < AT_ONCE_NS);
	(void)close(peer);
}

static void as_many_descriptors_as_there_can_be_are_closed(void **state)
{
	char bytes[8];

	(void)state;
	assert_int_equal(test_send(ends[1], "x", 1, ends[1], 253), 0);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, sizeof(bytes)), 1);
	wait_for_fds(fds_before + 2);
}

static void a_child_reads_in_its_own_right(void **state)
{
	char bytes[8];
	pid_t child;

	(void)state;
	assert_int_equal(test_send(ends[1], "x", 1, ends[1], 1), 0);
	assert_int_equal(belay_endpoint_receive(ends[0], bytes, 1), 1);
	wait_for_fds(fds_before + 2);
	assert_int_equal(test_send(ends[1], "y", 1, ends[1], 1), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (belay_endpoint_receive(ends[0], bytes, sizeof(bytes)) != 1)
			_exit(1);
		wait_for_fds(fds_before + 2);
		_exit(7);
	}
	assert_int_equal(test_wait_child(child), 7);
}

static void hanging_up_waits_for_nothing(void **state)
{
	(void)state;
	for (int waits = 0; waits < 2; waits++) {
		uint64_t start_ns;
		int peer = -EBADF;
		char byte;

		if (waits)
			pass_lingering("x", 1, &peer);
		start_ns = belay__clock_ns(CLOCK_MONOTONIC);
		belay_endpoint_hang_up(ends[0]);
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < AT_ONCE_NS);
		ends[0] = -EBADF;
		/* With something unread it is a reset. */
		assert_true(recv(ends[1], &byte, 1, 0) <= 0);
		close_it(&peer);
		close_it(&ends[1]);
		wait_for_fds(fds_before);
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	}
	belay_endpoint_hang_up(-EBADF);
}

static void tcp_that_lingers_is_hung_up_on_at_once(void **state)
{
	int peer, lingering = test_lingering_socket(&peer);
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);

	(void)state;
	belay_endpoint_hang_up(lingering);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < AT_ONCE_NS);
	(void)close(peer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(reading_goes_like_recv_but_does_not_wait),
		TEST(what_takes_its_time_to_close_holds_no_reader_up),
		TEST(as_many_descriptors_as_there_can_be_are_closed),
		TEST(a_child_reads_in_its_own_right),
		TEST(hanging_up_waits_for_nothing),
		TEST(tcp_that_lingers_is_hung_up_on_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
