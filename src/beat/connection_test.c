#include "beat/connection.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_observer.h"

static struct test_observer observer;

static int somebody(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	test_observer_done(&observer);
	return 0;
}

/* A foreign socket takes FD's number, as after closefrom(3) and a socket(2) of the program. Returns
 * its other end. */
static int take_over(int fd)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair),
		0);
	assert_int_equal(dup3(pair[0], fd, O_CLOEXEC), fd);
	assert_int_equal(close(pair[0]), 0);
	return pair[1];
}

static bool nothing_arrived(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

static void a_connection_is_non_blocking_and_closed_on_exec(void **state)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	(void)state;

	assert_int_equal(belay__connection_open(observer.path, &connection), 0);
	assert_true(fcntl(connection.fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(connection.fd, F_GETFD) & FD_CLOEXEC);
	assert_true(belay__connection_is_ours(&connection));

	int fd = connection.fd;
	belay__connection_close(&connection);
	assert_int_equal(connection.fd, -EBADF);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	assert_false(belay__connection_is_ours(&connection));
}

static void a_failure_leaves_everything_as_it_was(void **state)
{
	struct belay__connection connection = { .fd = 77, .inode = 78 };
	int lowest;
	(void)state;

	test_observer_leave(&observer);
	lowest = dup(0);
	assert_int_equal(close(lowest), 0);
	assert_int_equal(belay__connection_open(observer.path, &connection), -ENOENT);

	assert_int_equal(connection.fd, 77);
	assert_int_equal(connection.inode, 78);
	assert_int_equal(dup(0), lowest); /* nothing leaked */
	assert_int_equal(close(lowest), 0);
}

static bool standard_streams_are_closed(void *argument)
{
	struct belay__connection connection;
	(void)argument;

	(void)close(STDIN_FILENO);
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
	return belay__connection_open(observer.path, &connection) == 0 &&
		connection.fd > STDERR_FILENO && fcntl(STDIN_FILENO, F_GETFD) < 0 &&
		(fcntl(connection.fd, F_GETFD) & FD_CLOEXEC) != 0 &&
		belay__connection_is_ours(&connection);
}

static void it_never_takes_the_number_of_a_standard_stream(void **state)
{
	(void)state;
	assert_in_child(standard_streams_are_closed, NULL);
}

static void what_took_our_number_is_not_closed(void **state)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	(void)state;

	assert_int_equal(belay__connection_open(observer.path, &connection), 0);
	int fd = connection.fd, other = take_over(fd);

	assert_false(belay__connection_is_ours(&connection));
	errno = ERANGE;
	belay__connection_close(&connection);
	assert_int_equal(errno, ERANGE);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_true(nothing_arrived(other));
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(other), 0);
}

static void after_a_second_no_beat_lands_in_a_stranger(void **state)
{
	struct belay *belay = belay_open(observer.path);
	(void)state;

	assert_sent(belay_beat(belay, BELAY_OK, 0));
	(void)test_observer_drain(&observer);
	int fd = belay->connection.fd, other = take_over(fd);

	belay->checked_ns -= BELAY__CHECK_EVERY_NS;
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_true(nothing_arrived(other));
	assert_int_equal(test_observer_take_only(&observer).nonce, 2);
	assert_int_not_equal(belay->connection.fd, fd);

	belay_close(belay);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(other), 0);
}

static void a_stranger_is_left_even_when_reconnecting_is_off(void **state)
{
	struct belay *belay = belay_open(observer.path);
	(void)state;

	belay_set_reconnect_after(belay, 0);
	int fd = belay->connection.fd, other = take_over(fd);

	belay->checked_ns -= BELAY__CHECK_EVERY_NS;
	belay->reconnect_not_before_ns = UINT64_MAX;
	assert_dropped(belay_beat(belay, BELAY_OK, 0), BELAY_DROP_PEER_GONE);
	assert_true(nothing_arrived(other));

	belay->reconnect_not_before_ns = 0;
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	belay_close(belay);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(other), 0);
}

static void a_descriptor_that_was_closed_is_replaced_at_once(void **state)
{
	struct belay *belay = belay_open(observer.path);
	(void)state;

	assert_int_equal(close(belay->connection.fd), 0);
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(test_observer_take_only(&observer).nonce, 1);
	belay_close(belay);
}

static void a_file_in_its_place_is_noticed_by_the_send(void **state)
{
	struct belay *belay = belay_open(observer.path);
	int pipe_fds[2], fd = belay->connection.fd;
	(void)state;

	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	assert_int_equal(dup3(pipe_fds[1], fd, O_CLOEXEC), fd);
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(test_observer_take_only(&observer).nonce, 1);
	assert_true(fcntl(fd, F_GETFD) >= 0);

	belay_close(belay);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(pipe_fds[0]), 0);
	assert_int_equal(close(pipe_fds[1]), 0);
}

static void the_descriptor_is_looked_at_once_a_second(void **state)
{
	struct belay *belay = belay_open(observer.path);
	uint64_t opened_ns = belay->checked_ns;
	(void)state;

	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_int_equal(belay->checked_ns, opened_ns);
	belay->checked_ns -= BELAY__CHECK_EVERY_NS;
	assert_sent(belay_beat(belay, BELAY_OK, 0));
	assert_true(belay->checked_ns > opened_ns);
	belay_close(belay);
}

int main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(somebody, a_connection_is_non_blocking_and_closed_on_exec),
		WITH(somebody, a_failure_leaves_everything_as_it_was),
		WITH(somebody, it_never_takes_the_number_of_a_standard_stream),
		WITH(somebody, what_took_our_number_is_not_closed),
		WITH(somebody, after_a_second_no_beat_lands_in_a_stranger),
		WITH(somebody, a_stranger_is_left_even_when_reconnecting_is_off),
		WITH(somebody, a_descriptor_that_was_closed_is_replaced_at_once),
		WITH(somebody, a_file_in_its_place_is_noticed_by_the_send),
		WITH(somebody, the_descriptor_is_looked_at_once_a_second),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
