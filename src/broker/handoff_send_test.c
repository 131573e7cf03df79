#include <belay/handoff.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/missing.h"
#include "broker/handoff_testing.h"

/* Seed 004: send_scm_rights_to_backend_socket_transfers_fd_and_token. */
static void a_descriptor_and_its_token_arrive(void **state)
{
	const struct test_endpoint *endpoint = *state;
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC), channel = -1, accepted, received;
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	uint8_t bytes[32];

	assert_int_equal(belay_handoff_send_to(endpoint->path, file, &test_token, &channel, &error),
		0);
	assert_true((fcntl(channel, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(channel, F_GETFD) & FD_CLOEXEC) != 0);

	accepted = accept4(endpoint->listener, NULL, NULL, SOCK_CLOEXEC);
	assert_int_equal(test_receive(accepted, bytes, sizeof(bytes), &received), 16);
	assert_memory_equal(bytes, test_token.secret, 16);
	assert_true(received >= 0 && received != file);
	assert_true(test_same_file(received, file));

	/* The sender's is still its own. */
	assert_int_equal(close(file), 0);
	assert_int_equal(close(received), 0);
	assert_int_equal(close(accepted), 0);
	assert_int_equal(close(channel), 0);
}

/* Seed 004: missing_backend_socket_maps_to_fallback_safe_error. */
static void an_endpoint_that_cannot_be_reached_is_unavailable(void **state)
{
	const struct test_endpoint *endpoint = *state;
	char missing[128], long_path[200];
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	int channel = -77;

	(void)snprintf(missing, sizeof(missing), "%s/missing.sock", endpoint->dir);
	assert_int_equal(belay_handoff_send_to(missing, 0, &test_token, &channel, &error), -ENOENT);
	assert_int_equal(error, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE);
	assert_true(belay_handoff_is_fallback_safe(error));

	memset(long_path, 'a', sizeof(long_path));
	long_path[sizeof(long_path) - 1] = '\0';
	assert_int_equal(belay_handoff_send_to(long_path, 0, &test_token, &channel, &error),
		-ENAMETOOLONG);
	assert_int_equal(error, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE);

	/* Nobody listens any more. */
	assert_int_equal(shutdown(endpoint->listener, SHUT_RDWR), 0);
	error = BELAY_HANDED_OVER;
	assert_int_equal(belay_handoff_send_to(endpoint->path, 0, &test_token, &channel, &error),
		-ECONNREFUSED);
	assert_int_equal(error, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE);
	assert_int_equal(channel, -77);
}

static int dial_forbidden(void *data)
{
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	int channel = -1;
	int r = belay_handoff_send_to(data, 0, &test_token, &channel, &error);

	return r == -EACCES && error == BELAY_HANDOFF_PERMISSION_DENIED && channel == -1 ? 0 : 1;
}

static void an_endpoint_of_mode_0_denies_permission(void **state)
{
	struct test_endpoint *endpoint = *state;

	assert_int_equal(chmod(endpoint->path, 0), 0);
	assert_int_equal(test_as_ordinary_user(dial_forbidden, endpoint->path), 0);
}

static void a_full_backlog_would_block(void **state)
{
	const struct test_endpoint *endpoint = *state;
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	int waiting = -1, channel = -1;

	assert_int_equal(belay_handoff_send_to(endpoint->path, 0, &test_token, &waiting, &error), 0);
	assert_int_equal(belay_handoff_send_to(endpoint->path, 0, &test_token, &channel, &error),
		-EAGAIN);
	assert_int_equal(error, BELAY_HANDOFF_WOULD_BLOCK);
	assert_int_equal(channel, -1);
	(void)close(waiting);
}

static void a_full_channel_would_block_and_nothing_goes_out(void **state)
{
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	size_t sent = 99;
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	test_fill(ends[0]);
	assert_int_equal(belay_handoff_send(ends[0], 0, &test_token, &sent, &error), -EAGAIN);
	assert_int_equal(error, BELAY_HANDOFF_WOULD_BLOCK);
	assert_int_equal(sent, 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void a_peer_that_is_gone_raises_no_signal(void **state)
{
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	(void)close(ends[1]);
	assert_int_equal(belay_handoff_send(ends[0], 0, &test_token, NULL, &error), -EPIPE);
	assert_int_equal(error, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE);
	/* Who does not ask is not told. */
	assert_int_equal(belay_handoff_send(ends[0], 0, &test_token, NULL, NULL), -EPIPE);
	(void)close(ends[0]);
}

static void a_peer_that_takes_no_descriptors_denies_permission(void **state)
{
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	uint8_t byte;
	int ends[2], no = 0, r;
	(void)state;

	test_stream_pair(ends);
	r = setsockopt(ends[1], SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
	if (r == 0) {
		assert_int_equal(belay_handoff_send(ends[0], 0, &test_token, NULL, &error), -EPERM);
		assert_int_equal(error, BELAY_HANDOFF_PERMISSION_DENIED);
		assert_int_equal(read(ends[1], &byte, 1), -1);
	}
	(void)close(ends[0]);
	(void)close(ends[1]);
	if (r < 0)
		skip();
}

static int crowd_the_kernel(void *data)
{
	const struct rlimit few = { 16, 16 };
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	int *ends = data, r = 0;
	size_t sent = 99;

	if (setrlimit(RLIMIT_NOFILE, &few) < 0)
		return 2;
	for (int i = 0; i < 64 && r == 0; i++)
		r = belay_handoff_send(ends[0], 0, &test_token, &sent, &error);
	return r == -ETOOMANYREFS && error == BELAY_HANDOFF_SEND_FAILED && sent == 0 ? 0 : 1;
}

static void what_comes_back_carries_no_descriptors(void **state)
{
	const struct test_endpoint *endpoint = *state;
	enum belay_handoff_error error;
	int channel, may = 1;
	socklen_t len = sizeof(may);

	assert_int_equal(belay_handoff_send_to(endpoint->path, 0, &test_token, &channel, &error), 0);
	if (getsockopt(channel, SOL_SOCKET, SO_PASSRIGHTS, &may, &len) == 0)
		assert_int_equal(may, 0);
	(void)close(channel);
}

static void too_many_descriptors_in_flight_fail_before_anything_goes_out(void **state)
{
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	assert_int_equal(test_as_ordinary_user(crowd_the_kernel, ends), 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* Upstream's handoff_transport and handoff_fallback_perm_denied: what each errno means. */
static void each_errno_has_its_class(void **state)
{
	static const struct {
		int error_number;
		enum belay_handoff_error error;
		enum belay_handoff_reason reason;
	} rows[] = {
		{ EACCES, BELAY_HANDOFF_PERMISSION_DENIED, BELAY_FALLBACK_PERMISSION_DENIED },
		{ EPERM, BELAY_HANDOFF_PERMISSION_DENIED, BELAY_FALLBACK_PERMISSION_DENIED },
		{ EAGAIN, BELAY_HANDOFF_WOULD_BLOCK, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ ENOBUFS, BELAY_HANDOFF_WOULD_BLOCK, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ ECONNREFUSED, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE,
			BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ ECONNRESET, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE,
			BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ EPIPE, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE,
			BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ ENOTCONN, BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE,
			BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ EBADF, BELAY_HANDOFF_SEND_FAILED, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ ETOOMANYREFS, BELAY_HANDOFF_SEND_FAILED, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
		{ EMSGSIZE, BELAY_HANDOFF_SEND_FAILED, BELAY_FALLBACK_BACKEND_ACK_TIMEOUT },
	};
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		const struct test_step step = { .error = rows[i].error_number };
		enum belay_handoff_error error = BELAY_HANDED_OVER;

		test_sendmsg(&step, 1);
		assert_int_equal(belay_handoff_send(ends[0], 0, &test_token, NULL, &error),
			-rows[i].error_number);
		assert_int_equal(error, rows[i].error);
		assert_int_equal(belay_handoff_fallback_reason(error), rows[i].reason);
		assert_int_equal(test_sendmsg_calls(), 1);
	}
	test_sendmsg(NULL, 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void an_interrupted_send_is_sent_again(void **state)
{
	static const struct test_step steps[] = { { .error = EINTR }, { .error = EINTR } };
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	test_sendmsg(steps, 2);
	assert_int_equal(belay_handoff_send(ends[0], 0, &test_token, NULL, &error), 0);
	assert_int_equal(test_sendmsg_calls(), 3);
	assert_int_equal(error, BELAY_HANDED_OVER);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void a_part_of_the_token_is_a_partial_send(void **state)
{
	static const struct test_step step = { .most = 1 };
	enum belay_handoff_error error = BELAY_HANDED_OVER;
	size_t sent = 0;
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	test_sendmsg(&step, 1);
	assert_int_equal(belay_handoff_send(ends[0], 0, &test_token, &sent, &error), -EIO);
	assert_int_equal(error, BELAY_HANDOFF_PARTIAL_SEND);
	assert_int_equal(sent, 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

#define PLACED(test)                                                                               \
	cmocka_unit_test_setup_teardown(test, test_endpoint_set_up, test_endpoint_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(a_descriptor_and_its_token_arrive),
		PLACED(an_endpoint_that_cannot_be_reached_is_unavailable),
		PLACED(an_endpoint_of_mode_0_denies_permission),
		PLACED(a_full_backlog_would_block),
		PLACED(a_full_channel_would_block_and_nothing_goes_out),
		PLACED(a_peer_that_is_gone_raises_no_signal),
		PLACED(a_peer_that_takes_no_descriptors_denies_permission),
		PLACED(what_comes_back_carries_no_descriptors),
		PLACED(too_many_descriptors_in_flight_fail_before_anything_goes_out),
		PLACED(each_errno_has_its_class),
		PLACED(an_interrupted_send_is_sent_again),
		PLACED(a_part_of_the_token_is_a_partial_send),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
