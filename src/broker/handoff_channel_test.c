#include <belay/handoff.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "broker/handoff_testing.h"

#define NOW_MS 1000000

struct kept {
	int fds_before;
	struct belay_handoff_channel *channel;
	int backend;
};

static int set_up(void **state)
{
	static struct kept kept;
	int ends[2];

	kept.fds_before = belay__fd_count();
	test_stream_pair(ends);
	test_sendmsg(NULL, 0);
	if (belay_handoff_channel_new(ends[0], &kept.channel) < 0)
		return -1;
	kept.backend = ends[1];
	*state = &kept;
	return belay_handoff_channel_fd(kept.channel) == ends[0] ? 0 : -1;
}

static int tear_down(void **state)
{
	struct kept *kept = *state;

	(void)belay_handoff_channel_free(kept->channel);
	(void)belay__close(kept->backend);
	return belay__fd_count() == kept->fds_before ? 0 : -1;
}

/* Hand-over number N, due within 100 ms. */
static int pass(const struct kept *kept, unsigned n)
{
	const struct belay_handoff_request request = {
		.fd = STDIN_FILENO,
		.token = test_token_of(n),
		.service = "build-cache",
		.correlation_id = n,
		.timeout_ms = 100,
	};

	return belay_handoff_channel_pass(kept->channel, &request, NOW_MS);
}

static void answer(const struct kept *kept, unsigned n, bool accepted)
{
	const struct belay_handoff_token token = test_token_of(n);

	test_answer(kept->backend, &token, n, accepted, accepted ? NULL : "no room");
}

/* The next result is that of number N. */
static void expect(const struct kept *kept, uint64_t now_ms, unsigned n,
	enum belay_handoff_stage stage, enum belay_handoff_error error, bool relinquish)
{
	struct belay_handoff_result result;

	assert_int_equal(belay_handoff_channel_next(kept->channel, now_ms, &result), 1);
	assert_int_equal(result.correlation_id, n);
	assert_int_equal(result.stage, stage);
	assert_int_equal(result.error, error);
	assert_int_equal(result.reason, belay_handoff_fallback_reason(error));
	assert_int_equal(result.relinquish, relinquish);
	assert_int_equal(result.rejected, error == BELAY_HANDOFF_REJECTED);
}

static void expect_nothing(const struct kept *kept, uint64_t now_ms, int r)
{
	struct belay_handoff_result result = { .correlation_id = 77 };

	assert_int_equal(belay_handoff_channel_next(kept->channel, now_ms, &result), r);
	assert_int_equal(result.correlation_id, 77);
}

static void a_hand_over_is_one_system_call_and_broker_v1s_bytes(void **state)
{
	const struct kept *kept = *state;
	const struct belay_handoff_token token = test_token_of(7);
	uint8_t bytes[256], offer[BELAY__HANDOFF_OFFER_SIZE];
	ssize_t len = belay__handoff_offer_frame(&token, "build-cache", 7, offer);
	int fd;

	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), UINT64_MAX);
	assert_int_equal(pass(kept, 7), 0);
	assert_int_equal(test_sendmsg_calls(), 1);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), NOW_MS + 100);

	assert_int_equal(test_receive(kept->backend, bytes, sizeof(bytes), &fd), 16 + len);
	assert_memory_equal(bytes, token.secret, 16);
	assert_memory_equal(bytes + 16, offer, (size_t)len);
	assert_true(test_same_file(fd, STDIN_FILENO));
	(void)close(fd);

	expect_nothing(kept, NOW_MS, 0);
	answer(kept, 7, true);
	expect(kept, NOW_MS, 7, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
	expect_nothing(kept, NOW_MS, 0);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), UINT64_MAX);
}

static void acks_come_in_any_order(void **state)
{
	const struct kept *kept = *state;

	for (unsigned n = 1; n <= 4; n++)
		assert_int_equal(pass(kept, n), 0);
	answer(kept, 3, true);
	answer(kept, 1, false);
	answer(kept, 4, true);
	answer(kept, 2, true);
	expect(kept, NOW_MS, 3, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
	expect(kept, NOW_MS, 1, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_REJECTED, false);
	expect(kept, NOW_MS, 4, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
	expect(kept, NOW_MS, 2, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
	expect_nothing(kept, NOW_MS, 0);
}

/* Upstream's handoff_under_load. */
static void at_most_32_are_unacknowledged(void **state)
{
	const struct kept *kept = *state;

	for (unsigned n = 1; n <= BELAY_HANDOFF_UNACKED_MAX; n++)
		assert_int_equal(pass(kept, n), 0);
	test_sendmsg(NULL, 0);
	assert_int_equal(pass(kept, 99), -EBUSY);
	assert_int_equal(test_sendmsg_calls(), 0);
	answer(kept, 9, true);
	expect(kept, NOW_MS, 9, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
	assert_int_equal(pass(kept, 99), 0);
	assert_int_equal(pass(kept, 100), -EBUSY);
}

/* Upstream's handoff_ack_deadline. */
static void an_overdue_one_is_told_once_and_its_late_ack_is_nobodys(void **state)
{
	const struct kept *kept = *state;

	assert_int_equal(pass(kept, 1), 0);
	assert_int_equal(pass(kept, 2), 0);
	expect_nothing(kept, NOW_MS + 99, 0);
	expect(kept, NOW_MS + 100, 1, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
		true);
	/* This one came, but too late for whoever kept the books. */
	answer(kept, 2, true);
	expect(kept, NOW_MS + 100, 2, BELAY_HANDOFF_ACKNOWLEDGE, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
		true);
	expect_nothing(kept, NOW_MS + 200, 0);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), UINT64_MAX);
	answer(kept, 1, true);
	expect_nothing(kept, NOW_MS + 200, 0);
	assert_int_equal(pass(kept, 3), 0);
	answer(kept, 3, true);
	expect(kept, NOW_MS, 3, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
}

static void a_backend_that_answers_none_of_32_is_as_good_as_dead(void **state)
{
	const struct kept *kept = *state;

	for (unsigned n = 1; n <= BELAY_HANDOFF_UNACKED_MAX; n++)
		assert_int_equal(pass(kept, n), 0);
	for (unsigned n = 1; n < BELAY_HANDOFF_UNACKED_MAX; n++)
		expect(kept, NOW_MS + 100, n, BELAY_HANDOFF_AWAIT_ACK,
			BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true);
	/* One that is not told of yet: wait, and it may come. */
	assert_int_equal(pass(kept, 99), -EBUSY);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), NOW_MS + 100);
	expect(kept, NOW_MS + 100, BELAY_HANDOFF_UNACKED_MAX, BELAY_HANDOFF_AWAIT_ACK,
		BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true);
	/* With nothing left to wait for it says so, to whoever asks first. */
	assert_int_equal(pass(kept, 99), -ETIMEDOUT);
	expect_nothing(kept, NOW_MS + 100, -ETIMEDOUT);
	assert_int_equal(pass(kept, 99), -ETIMEDOUT);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), UINT64_MAX);
}

static void a_backend_that_answers_one_of_32_goes_on(void **state)
{
	const struct kept *kept = *state;

	for (unsigned n = 1; n <= BELAY_HANDOFF_UNACKED_MAX; n++)
		assert_int_equal(pass(kept, n), 0);
	for (unsigned n = 1; n <= BELAY_HANDOFF_UNACKED_MAX; n++)
		expect(kept, NOW_MS + 100, n, BELAY_HANDOFF_AWAIT_ACK,
			BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true);
	/* Late as it is, it makes room. */
	answer(kept, 9, true);
	expect_nothing(kept, NOW_MS + 100, 0);
	assert_int_equal(pass(kept, 99), 0);
	answer(kept, 99, true);
	expect(kept, NOW_MS, 99, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
}

static void a_channel_that_is_closed_gives_each_its_result(void **state)
{
	static const struct test_step steps[] = { { .error = 0 }, { .error = 0 }, { .error = 0 },
		{ .most = 20 } };
	const struct kept *kept = *state;

	test_sendmsg(steps, TEST_COUNT(steps));
	for (unsigned n = 1; n <= 4; n++)
		assert_int_equal(pass(kept, n), 0);
	answer(kept, 2, true);
	answer(kept, 3, false);
	belay_handoff_channel_close(kept->channel);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), 0);
	assert_int_equal(pass(kept, 5), -ECANCELED);
	/* What the backend had said counts; of the others nothing is known. */
	expect(kept, NOW_MS, 2, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
	expect(kept, NOW_MS, 3, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_REJECTED, false);
	expect(kept, NOW_MS, 1, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true);
	expect(kept, NOW_MS, 4, BELAY_HANDOFF_DELIVER, BELAY_HANDOFF_DELIVERY_FAILED, true);
	expect_nothing(kept, NOW_MS, -ECANCELED);
	belay_handoff_channel_close(kept->channel);
	expect_nothing(kept, NOW_MS, -ECANCELED);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), UINT64_MAX);
	assert_int_equal(test_sendmsg_calls(), 4);
}

/* The fixture counts descriptors, and the sanitizer what was allocated. */
static void a_channel_that_is_freed_with_hand_overs_on_their_way_leaves_nothing(void **state)
{
	struct kept *kept = *state;
	uint8_t bytes[512];
	int fd;

	assert_int_equal(pass(kept, 1), 0);
	assert_int_equal(pass(kept, 2), 0);
	answer(kept, 2, true);
	kept->channel = belay_handoff_channel_free(kept->channel);
	assert_null(kept->channel);
	/* That is why they are to be relinquished: the backend has them. */
	assert_true(test_receive(kept->backend, bytes, sizeof(bytes), &fd) > 0);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void a_service_that_no_receiver_knows_is_refused_before_anything_goes_out(void **state)
{
	static const char *const names[] = { "", "Foo Bar", "build_cache", "a.b" };
	const struct kept *kept = *state;
	struct belay_handoff_request request = { .fd = STDIN_FILENO };

	for (size_t i = 0; i < TEST_COUNT(names); i++) {
		request.service = names[i];
		assert_int_equal(belay_handoff_channel_pass(kept->channel, &request, NOW_MS),
			-EINVAL);
	}
	assert_int_equal(test_sendmsg_calls(), 0);
}

static void when_the_backend_hangs_up_each_is_told(void **state)
{
	struct kept *kept = *state;

	for (unsigned n = 1; n <= 3; n++)
		assert_int_equal(pass(kept, n), 0);
	answer(kept, 2, true);
	kept->backend = belay__close(kept->backend);
	/* What had been said before is still heard. */
	assert_true(pass(kept, 4) < 0);
	expect(kept, NOW_MS, 2, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
	expect(kept, NOW_MS, 1, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true);
	expect(kept, NOW_MS, 3, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true);
	expect_nothing(kept, NOW_MS, -ECONNRESET);
	expect_nothing(kept, NOW_MS, -ECONNRESET);
	assert_int_equal(pass(kept, 5), -ECONNRESET);
}

static void after_an_ack_that_makes_no_sense_nothing_is_believed(void **state)
{
	const struct kept *kept = *state;
	const struct belay_handoff_token wrong = test_token_of(99);

	assert_int_equal(pass(kept, 1), 0);
	assert_int_equal(pass(kept, 2), 0);
	test_answer(kept->backend, &wrong, 2, false, NULL);
	answer(kept, 1, false);
	expect(kept, NOW_MS, 2, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_INTEGRITY_MISMATCH, true);
	expect(kept, NOW_MS, 1, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, true);
	expect_nothing(kept, NOW_MS, -EPROTO);
	assert_int_equal(pass(kept, 3), -EPROTO);
}

static void what_answers_nothing_breaks_the_channel(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		int code;
	} rows[] = {
		{ "\x01\x06\0\0\0\x08\x01\x10\x01\x28\x07", 11, -EPROTO },
		{ "\x01\x01\0\0\0\x07", 6, -EBADMSG },
		{ "GET / HTTP/1.1", 14, -EPROTONOSUPPORT },
		{ "\x01\0\0\0\x01", 5, -EMSGSIZE },
	};

	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		const struct kept *kept = *state;

		assert_int_equal(pass(kept, 1), 0);
		test_write(kept->backend, rows[i].bytes, rows[i].len);
		expect(kept, NOW_MS, 1, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
			true);
		expect_nothing(kept, NOW_MS, rows[i].code);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

static void what_the_kernel_does_not_take_stays_the_callers(void **state)
{
	static const struct {
		int error_number, code;
	} rows[] = {
		{ EAGAIN, -EAGAIN },
		{ ENOBUFS, -EAGAIN },
		{ ETOOMANYREFS, -ETOOMANYREFS },
		{ EPERM, -EPERM },
		{ EBADF, -EBADF },
	};
	const struct kept *kept = *state;
	struct belay_handoff_request request = { .fd = STDIN_FILENO };

	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		const struct test_step step = { .error = rows[i].error_number };

		test_sendmsg(&step, 1);
		assert_int_equal(pass(kept, 1), rows[i].code);
		expect_nothing(kept, NOW_MS + 100, 0);
	}
	assert_int_equal(belay_handoff_channel_pass(kept->channel, &request, NOW_MS), -EINVAL);
	/* None of that broke it. */
	assert_int_equal(pass(kept, 1), 0);
	answer(kept, 1, true);
	expect(kept, NOW_MS, 1, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, true);
}

static void a_message_that_went_in_part_is_finished_before_anything_else(void **state)
{
	static const struct test_step steps[] = { { .most = 20 }, { .error = EAGAIN },
		{ .most = 5 }, { .error = EAGAIN }, { .error = 0 }, { .error = 0 } };
	const struct kept *kept = *state;
	const struct belay_handoff_token tokens[] = { test_token_of(1), test_token_of(2) };
	uint8_t bytes[512], offer[BELAY__HANDOFF_OFFER_SIZE];
	ssize_t len = belay__handoff_offer_frame(&tokens[0], "build-cache", 1, offer);
	int fd;

	test_sendmsg(steps, TEST_COUNT(steps));
	assert_int_equal(pass(kept, 1), 0);
	assert_true(belay_handoff_channel_deadline_ms(kept->channel) <= NOW_MS);
	assert_int_equal(pass(kept, 2), -EAGAIN);
	assert_in_range(belay_handoff_channel_deadline_ms(kept->channel), NOW_MS + 1, NOW_MS + 99);
	expect_nothing(kept, NOW_MS, 0);
	assert_int_equal(test_sendmsg_calls(), 4);
	assert_int_equal(pass(kept, 2), 0);
	assert_int_equal(test_sendmsg_calls(), 6);
	assert_int_equal(belay_handoff_channel_deadline_ms(kept->channel), NOW_MS + 100);

	/* Nothing lies between, nothing came twice. */
	assert_int_equal(test_receive(kept->backend, bytes, 20, &fd), 20);
	(void)close(fd);
	test_read(kept->backend, bytes + 20, (size_t)len - 4);
	assert_memory_equal(bytes, tokens[0].secret, 16);
	assert_memory_equal(bytes + 16, offer, (size_t)len);
	assert_int_equal(test_receive(kept->backend, bytes, sizeof(bytes), &fd), 16 + len);
	assert_memory_equal(bytes, tokens[1].secret, 16);
	assert_true(fd >= 0);
	(void)close(fd);
}

static void a_message_that_is_never_finished_relinquishes_its_client(void **state)
{
	static const struct {
		size_t most;
		enum belay_handoff_stage stage;
		enum belay_handoff_error error;
	} rows[] = {
		{ 1, BELAY_HANDOFF_TRANSFER, BELAY_HANDOFF_PARTIAL_SEND },
		{ 15, BELAY_HANDOFF_TRANSFER, BELAY_HANDOFF_PARTIAL_SEND },
		{ 16, BELAY_HANDOFF_DELIVER, BELAY_HANDOFF_DELIVERY_FAILED },
		{ 40, BELAY_HANDOFF_DELIVER, BELAY_HANDOFF_DELIVERY_FAILED },
	};

	for (size_t i = 0; i < TEST_COUNT(rows); i++) {
		const struct kept *kept = *state;
		const struct test_step steps[] = { { .error = 0 }, { .most = rows[i].most },
			{ .error = EPIPE } };

		test_sendmsg(steps, 3);
		assert_int_equal(pass(kept, 1), 0);
		assert_int_equal(pass(kept, 2), 0);
		expect(kept, NOW_MS, 1, BELAY_HANDOFF_AWAIT_ACK, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
			true);
		expect(kept, NOW_MS, 2, rows[i].stage, rows[i].error, true);
		expect_nothing(kept, NOW_MS, -EPIPE);
		assert_int_equal(tear_down(state), 0);
		assert_int_equal(set_up(state), 0);
	}
}

static void a_descriptor_that_is_no_connected_stream_stays_the_callers(void **state)
{
	struct belay_handoff_channel *channel = NULL;
	int unconnected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), pair[2], ends[2];
	int inet = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	(void)state;

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	assert_int_equal(belay_handoff_channel_new(-1, &channel), -EBADF);
	assert_int_equal(belay_handoff_channel_new(ends[0], &channel), -ENOTSOCK);
	assert_int_equal(belay_handoff_channel_new(unconnected, &channel), -ENOTCONN);
	assert_int_equal(belay_handoff_channel_new(inet, &channel), -ENOTCONN);
	assert_int_equal(belay_handoff_channel_new(pair[0], &channel), -EPROTOTYPE);
	assert_null(channel);
	/* Each is still there to be closed. */
	assert_int_equal(close(unconnected), 0);
	assert_int_equal(close(inet), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(close(ends[i]), 0);
		assert_int_equal(close(pair[i]), 0);
	}
	assert_null(belay_handoff_channel_free(NULL));
}

#define KEPT(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		KEPT(a_hand_over_is_one_system_call_and_broker_v1s_bytes),
		KEPT(acks_come_in_any_order),
		KEPT(at_most_32_are_unacknowledged),
		KEPT(an_overdue_one_is_told_once_and_its_late_ack_is_nobodys),
		KEPT(a_backend_that_answers_none_of_32_is_as_good_as_dead),
		KEPT(a_backend_that_answers_one_of_32_goes_on),
		KEPT(a_channel_that_is_closed_gives_each_its_result),
		KEPT(a_channel_that_is_freed_with_hand_overs_on_their_way_leaves_nothing),
		KEPT(a_service_that_no_receiver_knows_is_refused_before_anything_goes_out),
		KEPT(when_the_backend_hangs_up_each_is_told),
		KEPT(after_an_ack_that_makes_no_sense_nothing_is_believed),
		KEPT(what_answers_nothing_breaks_the_channel),
		KEPT(what_the_kernel_does_not_take_stays_the_callers),
		KEPT(a_message_that_went_in_part_is_finished_before_anything_else),
		KEPT(a_message_that_is_never_finished_relinquishes_its_client),
		cmocka_unit_test(a_descriptor_that_is_no_connected_stream_stays_the_callers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
