#include <belay/handoff.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "broker/handoff_testing.h"

#define TIMEOUT_MS 60
#define HANGING_MS 5000

/* What a client sees that reads WRITTEN, after which its peer hung up or did not. */
static int wait_after(const void *written, size_t len, bool hang_up)
{
	uint64_t begun_ms = test_now_ms();
	int ends[2], r;

	test_stream_pair(ends);
	test_write(ends[1], written, len);
	if (hang_up)
		assert_int_equal(shutdown(ends[1], SHUT_WR), 0);
	r = belay_handoff_ready_wait(ends[0], &test_token, TIMEOUT_MS);
	assert_true(test_now_ms() - begun_ms < HANGING_MS);
	(void)close(ends[0]);
	(void)close(ends[1]);
	return r;
}

/* Upstream's handoff_adoption: an accepted relay adopts, and what follows is the backend's. */
static void the_frame_is_taken_and_not_one_byte_more(void **state)
{
	uint8_t first = 0;
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	assert_int_equal(belay_handoff_ready_send(ends[1], &test_token, 7, true), 0);
	test_write(ends[1], "\x01 from the backend", 18);
	assert_int_equal(belay_handoff_ready_wait(ends[0], &test_token, 0), 0);
	assert_int_equal(read(ends[0], &first, 1), 1);
	assert_int_equal(first, 1);
	assert_int_equal(read(ends[0], &first, 1), 1);
	assert_int_equal(first, ' ');
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void a_client_that_is_not_taken_reconnects_at_once(void **state)
{
	const struct belay_handoff_token other = test_token_of(1);
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	assert_int_equal(belay_handoff_ready_send(ends[1], &test_token, 7, false), 0);
	assert_int_equal(belay_handoff_ready_wait(ends[0], &test_token, 0), -ECONNREFUSED);
	assert_int_equal(belay_handoff_ready_send(ends[1], &other, 7, true), 0);
	assert_int_equal(belay_handoff_ready_wait(ends[0], &test_token, 0), -EPERM);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void anything_else_is_a_reason_to_reconnect(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool hang_up;
		int code;
	} rows[] = {
		{ "", 0, false, -ETIMEDOUT },
		{ "", 0, true, -ECONNRESET },
		{ "\x01\x22\0\0\0\x08", 6, false, -ETIMEDOUT },
		{ "\x01\x22\0\0\0\x08", 6, true, -ECONNRESET },
		{ "\x01\x22", 2, true, -ECONNRESET },
		{ "HTTP", 4, false, -EPROTO },
		{ "\x01\0\0\0\x01", 5, false, -EPROTO },
		{ "\x01\x01\0\0\0\x07", 6, false, -EPROTO },
		{ "\x01\0\0\0\0", 5, false, -EPROTO },
		/* A control response. */
		{ "\x01\x06\0\0\0\x08\x01\x10\x01\x28\x07", 11, false, -EPROTO },
		/* An event of the right protocol that is no ack. */
		{ "\x01\x0d\0\0\0\x08\x01\x10\x02\x18\xff\xa1\x03\x22\x01\x07\x28\x07", 18, false,
			-EPROTO },
	};
	(void)state;

	for (size_t i = 0; i < TEST_COUNT(rows); i++)
		assert_int_equal(wait_after(rows[i].bytes, rows[i].len, rows[i].hang_up),
			rows[i].code);
}

static void *send_byte_by_byte(void *data)
{
	const int *end = data;
	uint8_t frame[BELAY__HANDOFF_ACK_SIZE];
	ssize_t len = belay__handoff_ready_frame(&test_token, 7, true, frame);

	for (ssize_t i = 0; i < len; i++) {
		if (send(*end, &frame[i], 1, MSG_NOSIGNAL) != 1)
			return data;
	}
	return NULL;
}

static void a_frame_that_comes_byte_by_byte_is_waited_for(void **state)
{
	pthread_t thread;
	void *failed;
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	assert_int_equal(pthread_create(&thread, NULL, send_byte_by_byte, &ends[1]), 0);
	assert_int_equal(belay_handoff_ready_wait(ends[0], &test_token, HANGING_MS), 0);
	assert_int_equal(pthread_join(thread, &failed), 0);
	assert_null(failed);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void telling_a_client_never_blocks(void **state)
{
	int ends[2];
	(void)state;

	test_stream_pair(ends);
	test_fill(ends[1]);
	assert_int_equal(belay_handoff_ready_send(ends[1], &test_token, 7, true), -EAGAIN);
	(void)close(ends[0]);
	assert_int_equal(belay_handoff_ready_send(ends[1], &test_token, 7, true), -EPIPE);
	(void)close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_frame_is_taken_and_not_one_byte_more),
		cmocka_unit_test(a_client_that_is_not_taken_reconnects_at_once),
		cmocka_unit_test(anything_else_is_a_reason_to_reconnect),
		cmocka_unit_test(a_frame_that_comes_byte_by_byte_is_waited_for),
		cmocka_unit_test(telling_a_client_never_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
