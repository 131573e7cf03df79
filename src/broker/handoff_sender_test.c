#include <belay/handoff.h>

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/missing.h"
#include "broker/handoff_testing.h"

#define TIMEOUT_MS 60
/* What no hand-over of that timeout may take, however busy the machine is. */
#define HANGING_MS 5000

static struct belay_handoff_request request_to(int channel)
{
	return (struct belay_handoff_request){
		.fd = STDIN_FILENO,
		.channel = channel,
		.token = test_token,
		.service = "build-cache",
		.correlation_id = 7,
		.timeout_ms = TIMEOUT_MS,
	};
}

/* Never in what people read. */
static void assert_no_token(const char *text)
{
	assert_null(strstr(text, "OpenSesame"));
	assert_null(strstr(text, "4f70656e"));
	assert_null(strstr(text, "79 112"));
}

struct expected {
	int code;
	enum belay_handoff_stage stage;
	enum belay_handoff_error error;
	bool relinquish, rejected;
};

static void expect_result(int code, const struct belay_handoff_result *result,
	const struct belay_error *error, const struct expected *expected)
{
	assert_int_equal(code, expected->code);
	assert_int_equal(result->stage, expected->stage);
	assert_int_equal(result->error, expected->error);
	assert_int_equal(result->reason, belay_handoff_fallback_reason(expected->error));
	assert_int_equal(result->relinquish, expected->relinquish);
	assert_int_equal(result->rejected, expected->rejected);
	assert_int_equal(result->correlation_id, 7);
	if (code < 0) {
		assert_int_equal(error->code, code);
		assert_true(error->text[0] != '\0');
		assert_no_token(error->text);
	}
}

/* Hands over, on a channel at whose other end WRITTEN has been written already, and hung up or not. */
static void hand_over(const void *written, size_t len, bool hang_up, const struct expected *expected)
{
	struct belay_handoff_result result;
	struct belay_error error = { 0 };
	struct belay_handoff_request request;
	uint64_t begun_ms = test_now_ms();
	int ends[2], r;

	test_stream_pair(ends);
	test_write(ends[1], written, len);
	if (hang_up)
		assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
	request = request_to(ends[0]);
	r = belay_handoff(&request, &result, &error);
	expect_result(r, &result, &error, expected);
	assert_true(test_now_ms() - begun_ms < HANGING_MS);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static const struct expected done = { 0, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true, false };

static void the_wire_is_token_with_descriptor_then_offer(void **state)
{
	const struct test_endpoint *endpoint = *state;
	struct belay_handoff_result result;
	struct belay_handoff_request request;
	uint8_t offer[BELAY__HANDOFF_OFFER_SIZE], bytes[256];
	ssize_t len = belay__handoff_offer_frame(&test_token, "build-cache", 7, offer);
	int ends[2], fd;

	test_stream_pair(ends);
	test_answer(ends[1], &test_token, 7, true, "welcome\n");
	request = request_to(ends[0]);
	request.fd = endpoint->listener;
	assert_int_equal(belay_handoff(&request, &result, NULL), 0);
	assert_int_equal(result.stage, BELAY_HANDOFF_DONE);
	assert_true(result.relinquish);
	assert_string_equal(result.detail, "welcome?");

	assert_int_equal(test_receive(ends[1], bytes, sizeof(bytes), &fd), 16);
	assert_memory_equal(bytes, test_token.secret, 16);
	assert_true(test_same_file(fd, endpoint->listener));
	(void)close(fd);
	assert_int_equal(test_receive(ends[1], bytes, sizeof(bytes), &fd), len);
	assert_memory_equal(bytes, offer, (size_t)len);
	assert_int_equal(fd, -EBADF);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* Upstream's handoff_wire and handoff_token_mismatch: what comes instead of the right ack. */
static void only_the_right_ack_hands_over_and_only_a_valid_no_gives_back(void **state)
{
	const struct belay_handoff_token other = test_token_of(1);
	const struct {
		struct test_ack ack;
		struct expected expected;
	} rows[] = {
		{ { test_token, 7, 7, true, NULL }, done },
		{ { test_token, 7, 7, false, "handoff token expired" },
			{ -ECONNREFUSED, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_REJECTED, false,
				true } },
		{ { test_token, 7, 7, false, NULL },
			{ -ECONNREFUSED, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_REJECTED, false,
				true } },
		{ { other, 7, 7, true, NULL },
			{ -EPERM, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_INTEGRITY_MISMATCH, true,
				false } },
		{ { other, 7, 7, false, NULL },
			{ -EPERM, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_INTEGRITY_MISMATCH, true,
				false } },
		{ { test_token, 7, 8, true, NULL },
			{ -EPERM, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_INTEGRITY_MISMATCH, true,
				false } },
		{ { test_token, 8, 7, true, NULL },
			{ -EPERM, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_INTEGRITY_MISMATCH, true,
				false } },
		{ { test_token, 8, 7, false, NULL },
			{ -EPERM, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_INTEGRITY_MISMATCH, true,
				false } },
	};
	uint8_t frame[256];
	(void)state;

	for (size_t i = 0; i < TEST_COUNT(rows); i++)
		hand_over(frame, test_ack_frame(&rows[i].ack, frame), false, &rows[i].expected);
}

static void what_is_no_ack_is_none(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int code;
		bool hang_up;
	} rows[] = {
		{ "", 0, -ETIMEDOUT, false },
		{ "", 0, -ECONNRESET, true },
		{ "\x01\x22\0\0\0\x08\x01", 7, -ETIMEDOUT, false },
		{ "\x01\x22\0\0\0\x08\x01", 7, -ECONNRESET, true },
		{ "\x02", 1, -EPROTONOSUPPORT, false },
		{ "\x01\x01\x10\0\0", 5, -EMSGSIZE, false },
		{ "\x01\xff\xff\xff\xff", 5, -EMSGSIZE, false },
		{ "\x01\x01\0\0\0\x07", 6, -EBADMSG, false },
		{ "\x01\0\0\0\0", 5, -EPROTO, false },
		/* A control response, a handoff request, and a response that is no ack. */
		{ "\x01\x06\0\0\0\x08\x01\x10\x01\x28\x07", 11, -EPROTO, false },
		{ "\x01\x08\0\0\0\x08\x01\x18\xff\xa1\x03\x28\x07", 13, -EPROTO, false },
		{ "\x01\x0d\0\0\0\x08\x01\x10\x01\x18\xff\xa1\x03\x22\x01\x07\x28\x07", 18,
			-EBADMSG, false },
	};
	(void)state;

	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		const struct expected expected = { rows[i].code, BELAY_HANDOFF_AWAIT_ACK,
			BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true, false };

		hand_over(rows[i].bytes, rows[i].len, rows[i].hang_up, &expected);
	}
}

/* Upstream's handoff_unix_orchestrate and handoff_orchestrate: failures on this side. */
static void what_fails_here_says_who_owns_the_client(void **state)
{
	static const struct {
		struct test_step steps[3];
		struct expected expected;
		unsigned calls;
	} rows[] = {
		/* The token: nothing more is sent, no ack is waited for. */
		{ { { .error = EPERM } },
			{ -EPERM, BELAY_HANDOFF_TRANSFER, BELAY_HANDOFF_PERMISSION_DENIED, false,
				false },
			1 },
		{ { { .error = EAGAIN } },
			{ -EBUSY, BELAY_HANDOFF_TRANSFER, BELAY_HANDOFF_WOULD_BLOCK, false, false },
			1 },
		{ { { .error = ETOOMANYREFS } },
			{ -ETOOMANYREFS, BELAY_HANDOFF_TRANSFER, BELAY_HANDOFF_SEND_FAILED, false,
				false },
			1 },
		{ { { .most = 1 } },
			{ -EIO, BELAY_HANDOFF_TRANSFER, BELAY_HANDOFF_PARTIAL_SEND, true, false },
			1 },
		/* The offer: the descriptor is there already. */
		{ { { .error = 0 }, { .error = EPIPE } },
			{ -EPIPE, BELAY_HANDOFF_DELIVER, BELAY_HANDOFF_DELIVERY_FAILED, true, false },
			2 },
		{ { { .error = 0 }, { .most = 9 }, { .error = ECONNRESET } },
			{ -ECONNRESET, BELAY_HANDOFF_DELIVER, BELAY_HANDOFF_DELIVERY_FAILED, true,
				false },
			3 },
		/* In three pieces, it arrives. */
		{ { { .error = 0 }, { .most = 1 }, { .most = 30 } },
			{ 0, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true, false }, 4 },
	};
	uint8_t frame[256];
	const struct test_ack ack = { test_token, 7, 7, true, NULL };
	size_t len = test_ack_frame(&ack, frame);
	(void)state;

	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		test_sendmsg(rows[i].steps, 3);
		hand_over(frame, len, false, &rows[i].expected);
		assert_int_equal(test_sendmsg_calls(), rows[i].calls);
	}
	test_sendmsg(NULL, 0);
}

static void a_backend_that_takes_no_descriptors_leaves_the_client_here(void **state)
{
	struct belay_handoff_result result;
	struct belay_handoff_request request;
	int ends[2], no = 0, r;
	(void)state;

	test_stream_pair(ends);
	r = setsockopt(ends[1], SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
	if (r == 0) {
		request = request_to(ends[0]);
		assert_int_equal(belay_handoff(&request, &result, NULL), -EPERM);
		assert_int_equal(result.stage, BELAY_HANDOFF_TRANSFER);
		assert_int_equal(result.reason, BELAY_FALLBACK_PERMISSION_DENIED);
		assert_int_equal(result.os_error, EPERM);
		assert_false(result.relinquish);
	}
	(void)close(ends[0]);
	(void)close(ends[1]);
	if (r < 0)
		skip();
}

static void a_request_that_makes_no_sense_is_refused_before_anything(void **state)
{
	static const struct {
		int fd, channel, code;
		const char *service;
	} rows[] = {
		{ -1, STDIN_FILENO, -EBADF, "s" },
		{ STDIN_FILENO, -1, -EBADF, "s" },
		{ STDIN_FILENO, STDIN_FILENO, -EINVAL, NULL },
		{ STDIN_FILENO, STDIN_FILENO, -EINVAL, "" },
		{ STDIN_FILENO, STDIN_FILENO, -EINVAL, "Foo Bar" },
		{ STDIN_FILENO, STDIN_FILENO, -EINVAL,
			"a2345678901234567890123456789012345678901234567890123456789012345" },
	};
	struct belay_handoff_sender *sender = NULL;
	(void)state;

	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		const struct belay_handoff_request request = { .fd = rows[i].fd,
			.channel = rows[i].channel,
			.service = rows[i].service,
			.correlation_id = 7 };
		const struct expected expected = { rows[i].code, BELAY_HANDOFF_DIAL,
			BELAY_HANDOFF_SEND_FAILED, false, false };
		struct belay_handoff_result result;
		struct belay_error error = { 0 };
		int r = belay_handoff(&request, &result, &error);

		expect_result(r, &result, &error, &expected);
		assert_int_equal(belay_handoff_async(&request, &sender, &error), rows[i].code);
		assert_null(sender);
	}
	assert_null(belay_handoff_free(NULL));
}

static void an_endpoint_that_is_not_there_leaves_the_client_here(void **state)
{
	const struct test_endpoint *endpoint = *state;
	const struct expected expected = { -ENOENT, BELAY_HANDOFF_DIAL,
		BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE, false, false };
	struct belay_handoff_request request = request_to(-1);
	struct belay_handoff_result result;
	struct belay_error error = { 0 };
	char missing[128];
	int r;

	(void)snprintf(missing, sizeof(missing), "%s/missing.sock", endpoint->dir);
	request.path = missing;
	r = belay_handoff(&request, &result, &error);
	expect_result(r, &result, &error, &expected);
	assert_int_equal(result.os_error, ENOENT);
}

static int fill_backlog(const struct test_endpoint *endpoint)
{
	int waiting = -1;

	assert_int_equal(belay_handoff_send_to(endpoint->path, 0, &test_token, &waiting, NULL), 0);
	return waiting;
}

static void a_dial_ends_at_the_deadline(void **state)
{
	const struct test_endpoint *endpoint = *state;
	const struct expected expected = { -EBUSY, BELAY_HANDOFF_DIAL, BELAY_HANDOFF_WOULD_BLOCK,
		false, false };
	struct belay_handoff_request request = request_to(-1);
	struct belay_handoff_result result;
	struct belay_error error = { 0 };
	int waiting = fill_backlog(endpoint), r;
	uint64_t begun_ms = test_now_ms();

	request.path = endpoint->path;
	r = belay_handoff(&request, &result, &error);
	assert_in_range(test_now_ms() - begun_ms, TIMEOUT_MS - 1, HANGING_MS);
	expect_result(r, &result, &error, &expected);
	(void)close(waiting);
}

/* --- without waiting --- */

/* One turn: waits until the sender has something to do, and lets it. */
static int turn(struct belay_handoff_sender *sender, struct belay_handoff_result *ret_result)
{
	struct pollfd ready = { .fd = belay_handoff_fd(sender), .events = POLLIN };

	assert_int_equal(poll(&ready, 1, HANGING_MS), 1);
	return belay_handoff_next(sender, ret_result, NULL);
}

static void a_dial_goes_on_when_the_backlog_has_room(void **state)
{
	const struct test_endpoint *endpoint = *state;
	struct belay_handoff_request request = request_to(-1);
	struct belay_handoff_sender *sender;
	struct belay_handoff_result result;
	int waiting = fill_backlog(endpoint), accepted, r;

	request.path = endpoint->path;
	request.timeout_ms = HANGING_MS;
	assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
	assert_int_equal(turn(sender, &result), -EAGAIN);
	assert_int_equal(turn(sender, &result), -EAGAIN);

	accepted = accept4(endpoint->listener, NULL, NULL, SOCK_CLOEXEC);
	(void)close(accepted);
	(void)close(waiting);
	/* The next to come is the sender. */
	do {
		struct pollfd came = { .fd = endpoint->listener, .events = POLLIN };

		assert_int_equal(turn(sender, &result), -EAGAIN);
		r = poll(&came, 1, 0);
	} while (r == 0);
	accepted = accept4(endpoint->listener, NULL, NULL, SOCK_CLOEXEC);
	test_answer(accepted, &test_token, 7, true, NULL);
	do
		r = turn(sender, &result);
	while (r == -EAGAIN);
	assert_int_equal(r, 0);
	assert_int_equal(result.stage, BELAY_HANDOFF_DONE);

	/* It stays over, and says so. */
	assert_int_equal(turn(sender, &result), 0);
	assert_null(belay_handoff_free(sender));
	(void)close(accepted);
}

static void bytes_that_trickle_do_not_move_the_deadline(void **state)
{
	const struct test_ack ack = { test_token, 7, 7, true, "take your time" };
	struct belay_handoff_request request;
	struct belay_handoff_sender *sender;
	struct belay_handoff_result result;
	uint64_t begun_ms = test_now_ms();
	uint8_t frame[256];
	size_t len = test_ack_frame(&ack, frame), written = 0;
	int ends[2], r;
	(void)state;

	test_stream_pair(ends);
	request = request_to(ends[0]);
	assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
	do {
		r = turn(sender, &result);
		/* All but the last one. */
		if (r == -EAGAIN && written < len - 1)
			test_write(ends[1], &frame[written++], 1);
	} while (r == -EAGAIN);
	assert_int_equal(r, -ETIMEDOUT);
	assert_int_equal(result.error, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT);
	assert_true(result.relinquish);
	assert_in_range(test_now_ms() - begun_ms, TIMEOUT_MS - 1, HANGING_MS);
	(void)belay_handoff_free(sender);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void an_ack_after_the_deadline_is_none(void **state)
{
	struct belay_handoff_request request;
	struct belay_handoff_sender *sender;
	struct belay_handoff_result result;
	struct pollfd ready = { .events = POLLIN };
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	request = request_to(ends[0]);
	request.timeout_ms = 1;
	assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
	assert_int_equal(turn(sender, &result), -EAGAIN);
	ready.fd = belay_handoff_fd(sender);
	assert_int_equal(poll(&ready, 1, HANGING_MS), 1);
	test_answer(ends[1], &test_token, 7, true, NULL);
	assert_int_equal(belay_handoff_next(sender, &result, NULL), -ETIMEDOUT);
	assert_true(result.relinquish);
	assert_false(result.rejected);
	(void)belay_handoff_free(sender);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void an_offer_waits_for_room_until_the_deadline(void **state)
{
	static const struct test_step full_once[] = { { .error = 0 }, { .error = EAGAIN } };
	static const struct test_step full[] = { { .error = 0 }, { .most = 3 }, { .error = EAGAIN },
		{ .error = EAGAIN } };
	struct belay_handoff_request request;
	struct belay_handoff_sender *sender;
	struct belay_handoff_result result;
	uint64_t begun_ms;
	int ends[2], r;
	(void)state;

	test_stream_pair(ends);
	request = request_to(ends[0]);
	request.timeout_ms = HANGING_MS;
	test_sendmsg(full_once, 2);
	assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
	assert_int_equal(turn(sender, &result), -EAGAIN);
	test_answer(ends[1], &test_token, 7, true, NULL);
	do
		r = turn(sender, &result);
	while (r == -EAGAIN);
	assert_int_equal(r, 0);
	(void)belay_handoff_free(sender);

	request.timeout_ms = 1;
	test_sendmsg(full, 4);
	assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
	begun_ms = test_now_ms();
	do {
		r = turn(sender, &result);
		while (test_now_ms() < begun_ms + 3)
			;
	} while (r == -EAGAIN);
	assert_int_equal(r, -ETIMEDOUT);
	assert_int_equal(result.stage, BELAY_HANDOFF_DELIVER);
	assert_int_equal(result.error, BELAY_HANDOFF_DELIVERY_FAILED);
	assert_true(result.relinquish);
	(void)belay_handoff_free(sender);
	test_sendmsg(NULL, 0);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void a_hand_over_given_up_half_way_leaves_nothing_open(void **state)
{
	const struct test_endpoint *endpoint = *state;
	struct belay_handoff_request request = request_to(-1);
	struct belay_handoff_sender *sender;
	struct belay_handoff_result result;
	int before = belay__fd_count();

	request.path = endpoint->path;
	assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
	assert_int_equal(turn(sender, &result), -EAGAIN);
	assert_null(belay_handoff_free(sender));
	assert_int_equal(belay__fd_count(), before);
}

/* Takes it back after a number of turns, when the backend had said something by then or not. */
static void cancelled_hand_overs_have_a_result_by_their_stage(void **state)
{
	static const struct test_step no_room[] = { { .error = 0 }, { .error = EAGAIN } };
	static const struct {
		const char *said; /* NULL: nothing; "" yes; else why not */
		unsigned turns, full;
		struct expected expected;
	} rows[] = {
		{ NULL, 0, 0,
			{ -ECANCELED, BELAY_HANDOFF_TRANSFER, BELAY_HANDOFF_SEND_FAILED, false,
				false } },
		{ NULL, 1, 2,
			{ -ECANCELED, BELAY_HANDOFF_DELIVER, BELAY_HANDOFF_DELIVERY_FAILED, true,
				false } },
		{ NULL, 1, 0,
			{ -ECANCELED, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
				true, false } },
		{ "", 1, 0, { 0, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true, false } },
		{ "no room", 1, 0,
			{ -ECONNREFUSED, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_REJECTED, false,
				true } },
	};
	(void)state;

	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		struct belay_handoff_request request;
		struct belay_handoff_sender *sender;
		struct belay_handoff_result result = { .correlation_id = 77 };
		struct belay_error error = { 0 };
		int ends[2], before, r;

		test_stream_pair(ends);
		before = belay__fd_count();
		request = request_to(ends[0]);
		request.timeout_ms = HANGING_MS;
		test_sendmsg(no_room, rows[i].full);
		assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
		for (unsigned n = 0; n < rows[i].turns; n++)
			assert_int_equal(turn(sender, &result), -EAGAIN);
		if (rows[i].said != NULL)
			test_answer(ends[1], &test_token, 7, rows[i].said[0] == '\0', rows[i].said);
		r = belay_handoff_cancel(sender, &result, &error);
		expect_result(r, &result, &error, &rows[i].expected);
		/* It stays what it was, whatever comes. */
		test_answer(ends[1], &test_token, 7, true, NULL);
		r = turn(sender, &result);
		expect_result(r, &result, &error, &rows[i].expected);
		r = belay_handoff_cancel(sender, &result, &error);
		expect_result(r, &result, &error, &rows[i].expected);
		assert_null(belay_handoff_free(sender));
		assert_int_equal(belay__fd_count(), before);
		test_sendmsg(NULL, 0);
		(void)close(ends[0]);
		(void)close(ends[1]);
	}
}

static void a_dial_that_is_cancelled_leaves_the_client_here(void **state)
{
	const struct test_endpoint *endpoint = *state;
	const struct expected expected = { -ECANCELED, BELAY_HANDOFF_DIAL,
		BELAY_HANDOFF_SEND_FAILED, false, false };
	struct belay_handoff_request request = request_to(-1);
	struct belay_handoff_sender *sender;
	struct belay_handoff_result result;
	struct belay_error error = { 0 };
	int waiting = fill_backlog(endpoint), r;

	request.path = endpoint->path;
	request.timeout_ms = HANGING_MS;
	assert_int_equal(belay_handoff_async(&request, &sender, NULL), 0);
	assert_int_equal(turn(sender, &result), -EAGAIN);
	r = belay_handoff_cancel(sender, &result, &error);
	expect_result(r, &result, &error, &expected);
	(void)belay_handoff_free(sender);
	(void)close(waiting);
}

#define PLACED(test)                                                                               \
	cmocka_unit_test_setup_teardown(test, test_endpoint_set_up, test_endpoint_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(the_wire_is_token_with_descriptor_then_offer),
		PLACED(only_the_right_ack_hands_over_and_only_a_valid_no_gives_back),
		PLACED(what_is_no_ack_is_none),
		PLACED(what_fails_here_says_who_owns_the_client),
		PLACED(a_backend_that_takes_no_descriptors_leaves_the_client_here),
		PLACED(a_request_that_makes_no_sense_is_refused_before_anything),
		PLACED(an_endpoint_that_is_not_there_leaves_the_client_here),
		PLACED(a_dial_ends_at_the_deadline),
		PLACED(a_dial_goes_on_when_the_backlog_has_room),
		PLACED(bytes_that_trickle_do_not_move_the_deadline),
		PLACED(an_ack_after_the_deadline_is_none),
		PLACED(an_offer_waits_for_room_until_the_deadline),
		PLACED(cancelled_hand_overs_have_a_result_by_their_stage),
		PLACED(a_dial_that_is_cancelled_leaves_the_client_here),
		PLACED(a_hand_over_given_up_half_way_leaves_nothing_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
