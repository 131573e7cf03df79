#include <belay/beat.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_far.h"
#include "beat/test_observer.h"

/* Stand before the C library's for every object of ours. */
ssize_t __real_send(int fd, const void *bytes, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags);
int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);

static int send_error, connect_error; /* of the next call; 0: as the kernel says */

ssize_t __wrap_send(int fd, const void *bytes, size_t len, int flags)
{
	if (send_error != 0) {
		errno = send_error;
		send_error = 0;
		return -1;
	}
	return __real_send(fd, bytes, len, flags);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	if (connect_error != 0) {
		errno = connect_error;
		connect_error = 0;
		return -1;
	}
	return __real_connect(fd, address, len);
}

static struct test_far far;
static struct belay *belay;

static int somebody(void **state)
{
	(void)state;
	assert_true(test_far_init(&far, AF_INET));
	belay = belay_open_udp(far.address);
	assert_non_null(belay);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	belay_close(belay);
	test_far_done(&far);
	return 0;
}

static struct belay_outcome beat(void)
{
	return belay_beat(belay, BELAY_OK, 0);
}

static struct belay_frame take_only(void)
{
	uint8_t bytes[BELAY_FRAME_LEN + 1];
	struct belay_frame frame = { 0 };

	assert_int_equal(test_far_take(&far, bytes, sizeof(bytes)), BELAY_FRAME_LEN);
	assert_true(belay_frame_decode(bytes, &frame, NULL));
	assert_int_equal(test_far_take(&far, bytes, sizeof(bytes)), -1);
	return frame;
}

static void a_beat_is_one_datagram_with_what_was_given(void **state)
{
	struct belay_frame frame;
	(void)state;

	assert_sent(belay_beat(belay, BELAY_DEGRADED, 4711));
	frame = take_only();
	assert_int_equal(frame.status, BELAY_DEGRADED);
	assert_int_equal(frame.pid, getpid());
	assert_int_equal(frame.nonce, 1);
	assert_int_equal(frame.payload, 4711);
}

static void six_is_spoken_as_four_is(void **state)
{
	struct test_far six;
	(void)state;

	if (!test_far_init(&six, AF_INET6))
		skip();
	struct belay *handle = belay_open_udp(six.address);
	assert_sent(belay_beat(handle, BELAY_OK, 0));
	assert_int_equal(test_far_drain(&six), 1);
	belay_close(handle);
	test_far_done(&six);
}

static void what_is_no_address_is_refused(void **state)
{
	static const char *const texts[] = { "", "127.0.0.1", "localhost:7000", "127.0.0.1:70000",
		"::1:7000", "/run/beat.sock", "127.0.0.1:7000 ", "127.0.0.1:0", "[::1]:0" };
	(void)state;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		errno = 0;
		assert_null(belay_open_udp(texts[i]));
		assert_int_equal(errno, EINVAL);
	}
	assert_null(belay_open_udp(NULL));
	assert_int_equal(errno, EINVAL);
}

static void there_is_no_door(void **state)
{
	(void)state;
	assert_sent(beat());
	assert_int_equal(belay_beat_within(belay, 1000), -ENOTSUP);
	belay_close(belay);
	belay = NULL;
	assert_int_equal(test_far_drain(&far), 1); /* no goodbye */
}

static void a_refusal_drops_a_beat_and_keeps_the_socket(void **state)
{
	int fd = belay->connection.fd;
	(void)state;

	test_far_leave(&far);
	assert_sent(beat()); /* whether somebody listens is told later */
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(belay->nonce, 1);
	test_far_return(&far);
	assert_sent(beat());
	assert_int_equal(take_only().nonce, 2);
	assert_int_equal(belay->connection.fd, fd);
	assert_int_equal(belay->reconnect_not_before_ns, 0);
}

static void whoever_asks_for_it_gets_a_new_socket(void **state)
{
	ino_t inode = belay->connection.inode;
	(void)state;

	belay_set_reconnect_after(belay, 2);
	send_error = ENOBUFS;
	assert_dropped(beat(), BELAY_DROP_QUEUE_FULL);
	assert_int_equal(belay->connection.inode, inode);
	send_error = ENOBUFS;
	assert_sent(beat());
	assert_int_not_equal(belay->connection.inode, inode);
	assert_int_equal(take_only().nonce, 1);

	/* At most every 100 ms. */
	inode = belay->connection.inode;
	for (int i = 0; i < 2; i++) {
		send_error = ENOBUFS;
		assert_dropped(beat(), BELAY_DROP_QUEUE_FULL);
	}
	assert_int_equal(belay->connection.inode, inode);
}

static void a_host_whose_address_changed_beats_on(void **state)
{
	static const int errors[] = { EINVAL, EADDRNOTAVAIL };
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		ino_t inode = belay->connection.inode;

		belay->reconnect_not_before_ns = 0;
		send_error = errors[i];
		assert_sent(beat());
		assert_int_not_equal(belay->connection.inode, inode);
		assert_int_equal(take_only().nonce, i + 1);
	}
	send_error = EINVAL;
	assert_failed(beat(), EINVAL); /* too soon */
	send_error = EPERM;
	belay->must_connect = false;
	assert_failed(beat(), EPERM);
}

static void a_new_socket_that_fails_leaves_the_old_one(void **state)
{
	ino_t inode = belay->connection.inode;
	(void)state;

	connect_error = ENETUNREACH;
	assert_int_equal(belay_reconnect(belay), -ENETUNREACH);
	assert_int_equal(belay->connection.inode, inode);
	assert_sent(beat());
	assert_int_equal(take_only().nonce, 1);
	assert_int_equal(belay_reconnect(belay), 0);
	assert_int_not_equal(belay->connection.inode, inode);
	assert_sent(beat());
	assert_int_equal(take_only().nonce, 2);
}

static void a_network_may_come_later(void **state)
{
	struct belay *handle;
	(void)state;

	connect_error = ENETUNREACH;
	handle = belay_open_udp(far.address);
	assert_non_null(handle);
	assert_int_equal(handle->connection.fd, -EBADF);
	connect_error = ENETUNREACH;
	assert_failed(belay_beat(handle, BELAY_OK, 0), ENETUNREACH);
	assert_failed(belay_beat(handle, BELAY_OK, 0), ENETUNREACH); /* not tried so soon */
	handle->reconnect_not_before_ns = 0;
	assert_sent(belay_beat(handle, BELAY_OK, 0));
	assert_int_equal(take_only().nonce, 1);
	belay_close(handle);

	connect_error = EAFNOSUPPORT;
	assert_null(belay_open_udp(far.address));
	assert_int_equal(errno, EAFNOSUPPORT);
}

static void a_socket_that_others_took_is_left_to_them(void **state)
{
	int pair[2], fd = belay->connection.fd;
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(dup3(pair[0], fd, O_CLOEXEC), fd);
	belay->checked_ns -= BELAY__CHECK_EVERY_NS;
	assert_sent(beat());
	assert_int_equal(take_only().nonce, 1);
	assert_true(fcntl(fd, F_GETFD) >= 0);
	assert_int_equal(recv(pair[1], &fd, 1, MSG_DONTWAIT), -1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(close(pair[0]), 0);
	assert_int_equal(close(pair[1]), 0);

	assert_int_equal(close(belay->connection.fd), 0);
	belay->reconnect_not_before_ns = 0;
	assert_sent(beat());
	assert_int_equal(take_only().nonce, 2);
}

static bool beat_twice(void *argument)
{
	(void)argument;
	for (int i = 0; i < 2; i++)
		if (beat().sent != BELAY_SENT)
			return false;
	return belay_fork_recoveries(belay) == 1;
}

static void a_child_has_a_socket_of_its_own_and_begins_with_one(void **state)
{
	uint8_t bytes[BELAY_FRAME_LEN];
	struct belay_frame frame;
	(void)state;

	assert_sent(beat());
	assert_int_equal(take_only().nonce, 1);
	assert_in_child(beat_twice, NULL);
	for (uint64_t nonce = 1; nonce <= 2; nonce++) {
		assert_int_equal(test_far_take(&far, bytes, sizeof(bytes)), sizeof(bytes));
		assert_true(belay_frame_decode(bytes, &frame, NULL));
		assert_int_not_equal(frame.pid, getpid());
		assert_int_equal(frame.nonce, nonce);
	}
	assert_sent(beat());
	assert_int_equal(take_only().nonce, 2);
}

/* Nothing is sent over what is the parent's; what failed is tried again every 100 ms. */
static bool cannot_connect_at_first(void *argument)
{
	struct belay_outcome outcome;
	(void)argument;

	connect_error = EMFILE;
	errno = ERANGE;
	outcome = beat();
	if (outcome.sent != BELAY_FAILED || outcome.error != EMFILE || errno != ERANGE ||
		belay_fork_recoveries(belay) != 0 || test_far_drain(&far) != 0)
		return false;
	outcome = beat();
	if (outcome.sent != BELAY_FAILED || outcome.error != EMFILE)
		return false;
	belay->reconnect_not_before_ns = 0;
	return beat().sent == BELAY_SENT && belay->nonce == 1 && belay_fork_recoveries(belay) == 1;
}

static void a_child_without_a_socket_sends_nothing(void **state)
{
	(void)state;
	assert_sent(beat());
	(void)test_far_drain(&far);
	assert_in_child(cannot_connect_at_first, NULL);
	assert_int_equal(take_only().nonce, 1);
}

static void a_child_of_a_raw_clone_has_its_own_too(void **state)
{
	int status;
	(void)state;

	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (pid == 0)
		_exit(beat_twice(NULL) ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(test_far_drain(&far), 2);
}

static bool standard_streams_are_closed(void *argument)
{
	struct belay *handle;
	(void)argument;

	(void)close(STDIN_FILENO);
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
	handle = belay_open_udp(far.address);
	return handle->connection.fd > STDERR_FILENO &&
		(fcntl(handle->connection.fd, F_GETFD) & FD_CLOEXEC) != 0 &&
		(fcntl(handle->connection.fd, F_GETFL) & O_NONBLOCK) != 0;
}

static void it_never_takes_the_number_of_a_standard_stream(void **state)
{
	(void)state;
	assert_in_child(standard_streams_are_closed, NULL);
}

int main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(somebody, a_beat_is_one_datagram_with_what_was_given),
		WITH(somebody, six_is_spoken_as_four_is),
		WITH(somebody, what_is_no_address_is_refused),
		WITH(somebody, there_is_no_door),
		WITH(somebody, a_refusal_drops_a_beat_and_keeps_the_socket),
		WITH(somebody, whoever_asks_for_it_gets_a_new_socket),
		WITH(somebody, a_host_whose_address_changed_beats_on),
		WITH(somebody, a_new_socket_that_fails_leaves_the_old_one),
		WITH(somebody, a_network_may_come_later),
		WITH(somebody, a_socket_that_others_took_is_left_to_them),
		WITH(somebody, a_child_has_a_socket_of_its_own_and_begins_with_one),
		WITH(somebody, a_child_without_a_socket_sends_nothing),
		WITH(somebody, a_child_of_a_raw_clone_has_its_own_too),
		WITH(somebody, it_never_takes_the_number_of_a_standard_stream),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
