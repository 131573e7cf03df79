#include "backend/probe_daemons_testing.h"

/* A client's end and a daemon's, with what the client has said already. */
static void pair_with(int ends[2], const void *bytes, size_t len, bool hung_up)
{
	assert_return_code(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), errno);
	send_all(ends[0], bytes, len);
	if (hung_up)
		assert_return_code(shutdown(ends[0], SHUT_WR), errno);
}

static void close_pair(const int ends[2])
{
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* A request whose nonce is all NUMBER. */
static size_t make_request(uint8_t number, uint8_t *out, size_t size)
{
	uint8_t nonce[BELAY_PROBE_NONCE_LEN];
	struct belay_envelope envelope = {
		.version = 1,
		.payload_protocol = BELAY_PROTOCOL_PROBE,
		.payload = { nonce, sizeof(nonce) },
		.request_id = number,
		.traceparent = { (const uint8_t *)"00-trace", 8 },
		.tracestate = { (const uint8_t *)"a=b", 3 },
	};
	ssize_t n;

	memset(nonce, number, sizeof(nonce));
	n = belay_envelope_encode(&envelope, out, size);
	assert_true(n > 0);
	return (size_t)n;
}

static void check_answer(int connection, uint8_t number)
{
	static uint8_t buffer[BELAY_PROBE_ANSWER_MAX];
	struct belay__frame_stream stream;
	struct belay_frame_found found;
	struct belay_envelope envelope;

	belay__frame_stream_start(&stream, connection, buffer, sizeof(buffer),
		sizeof(buffer) - BELAY_FRAME_HEADER);
	stream.exact = true;
	assert_int_equal(belay__frame_read_until(&stream, test_deadline(), &found), 1);
	assert_return_code(belay_envelope_decode(found.body, found.body_len, &envelope), 0);
	assert_int_equal(envelope.kind, BELAY_ENVELOPE_RESPONSE);
	assert_int_equal(envelope.request_id, number);
	assert_true(envelope.payload.len > BELAY_PROBE_NONCE_LEN);
	for (size_t i = 0; i < BELAY_PROBE_NONCE_LEN; i++)
		assert_int_equal(envelope.payload.at[i], number);
	assert_int_equal(envelope.traceparent.len, 8);
	assert_memory_equal(envelope.traceparent.at, "00-trace", 8);
	assert_int_equal(envelope.tracestate.len, 3);
}

static void one_request_is_answered_and_what_follows_is_left(void **state)
{
	struct place *place = *state;
	uint8_t bytes[256];
	size_t len = make_request(7, bytes, sizeof(bytes));
	int ends[2];

	memcpy(bytes + len, "mine", 4);
	pair_with(ends, bytes, len + 4, false);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, TEST_PLENTY_MS, NULL), 1);
	check_answer(ends[0], 7);
	assert_int_equal(read(ends[1], bytes, sizeof(bytes)), 4);
	assert_memory_equal(bytes, "mine", 4);
	close_pair(ends);
}

static void many_requests_may_come_in_one_piece(void **state)
{
	struct place *place = *state;
	uint8_t bytes[1024];
	size_t len = 0;
	int ends[2];

	for (uint8_t i = 1; i <= 5; i++)
		len += make_request(i, bytes + len, sizeof(bytes) - len);
	pair_with(ends, bytes, len, true);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 3, TEST_PLENTY_MS, NULL), 3);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 0, TEST_PLENTY_MS, NULL), 2);
	for (uint8_t i = 1; i <= 5; i++)
		check_answer(ends[0], i);
	close_pair(ends);
}

static void who_asks_nothing_is_no_error(void **state)
{
	struct place *place = *state;
	int ends[2];

	pair_with(ends, "", 0, true);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, TEST_PLENTY_MS, NULL), 0);
	close_pair(ends);
}

static void check_refused(const struct place *place, const void *bytes, size_t len, bool hung_up,
	int code, const char *words)
{
	struct belay_error error = { 0 };
	int ends[2];

	pair_with(ends, bytes, len, hung_up);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, TEST_PLENTY_MS, &error), code);
	assert_int_equal(error.code, code);
	if (strstr(error.text, words) == NULL)
		print_error("\"%s\" does not say \"%s\"\n", error.text, words);
	assert_non_null(strstr(error.text, words));
	close_pair(ends);
}

static void what_is_no_probe_is_refused_by_name(void **state)
{
	static const uint8_t too_large[] = { 1, 1, 0, 1, 0 }, no_frame[] = { 1, 1, 0, 0, 0, 0xff };
	static const uint8_t empty[] = { 1, 0, 0, 0, 0 };
	struct place *place = *state;
	uint8_t bytes[256];
	size_t len = make_request(1, bytes, sizeof(bytes));

	check_refused(place, "\x02", 1, false, -EPROTONOSUPPORT, "framing");
	check_refused(place, too_large, sizeof(too_large), false, -EMSGSIZE, "hang up");
	check_refused(place, no_frame, sizeof(no_frame), false, -EBADMSG, "no Frame");
	check_refused(place, empty, sizeof(empty), false, -EPROTO, "envelope_version is not v1");
	check_refused(place, bytes, 1, true, -ECONNRESET, "body length header");
	check_refused(place, bytes, BELAY_FRAME_HEADER, true, -ECONNRESET, "frame body");
	check_refused(place, bytes, len - 1, true, -ECONNRESET, "frame body");
	bytes[8] ^= 1; /* in the protocol's number */
	check_refused(place, bytes, len, false, -EPROTO, "payload_protocol is not endpoint probe");
}

/* Of a request of exactly LEN bytes of body. */
static void check_size(const struct place *place, size_t len, int code)
{
	static uint8_t bytes[BELAY_FRAME_HEADER + BELAY_HELLO_MAX + 1];
	size_t used = make_request(1, bytes, sizeof(bytes)), left;
	int ends[2];

	left = BELAY_FRAME_HEADER + len - used - 5;
	memcpy(bytes + used, (const uint8_t[]){ 0xfa, 0x01 }, 2); /* a field that nobody knows */
	bytes[used + 2] = (uint8_t)(0x80 | (left & 0x7f));
	bytes[used + 3] = (uint8_t)(0x80 | ((left >> 7) & 0x7f));
	bytes[used + 4] = (uint8_t)(left >> 14);
	belay_frame_header((uint32_t)len, bytes);
	pair_with(ends, bytes, BELAY_FRAME_HEADER + len, false);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, TEST_PLENTY_MS, NULL), code);
	close_pair(ends);
}

static void a_request_has_at_most_64_kib(void **state)
{
	struct place *place = *state;

	check_size(place, BELAY_HELLO_MAX, 1);
	check_size(place, BELAY_HELLO_MAX + 1, -EMSGSIZE);
}

static void check_silence(const struct place *place, const void *bytes, size_t len)
{
	uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC), took_ns;
	int ends[2];

	pair_with(ends, bytes, len, false);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, 40, NULL), -ETIMEDOUT);
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - began_ns;
	assert_true(took_ns >= 40 * BELAY__NS_PER_MS);
	assert_true(took_ns < TEST_PLENTY_MS / 4 * BELAY__NS_PER_MS);
	close_pair(ends);
}

static void who_never_asks_is_waited_for_until_the_deadline(void **state)
{
	check_silence(*state, "", 0);
	check_silence(*state, "\x01\x20\x00", 3);
}

/* Asks and asks, and never reads: sooner or later no answer goes out any more. */
static int body_asks_without_end(void *argument)
{
	int connection = *(const int *)argument;
	uint8_t bytes[256];
	size_t len = make_request(1, bytes, sizeof(bytes));

	while (send(connection, bytes, len, MSG_NOSIGNAL) == (ssize_t)len)
		;
	return 0;
}

static void who_never_reads_is_waited_for_until_the_deadline(void **state)
{
	struct place *place = *state;
	struct belay_error error;
	struct child child;
	int ends[2];

	pair_with(ends, "", 0, false);
	child = child_start(body_asks_without_end, &ends[0]);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 0, 100, &error), -ETIMEDOUT);
	(void)shutdown(ends[0], SHUT_RDWR);
	close_pair(ends);
	reap_well(&child);
}

static void a_blocking_connection_stays_one(void **state)
{
	struct place *place = *state;
	uint8_t bytes[256];
	size_t len = make_request(1, bytes, sizeof(bytes));
	int ends[2];

	pair_with(ends, bytes, len, false);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, TEST_PLENTY_MS, NULL), 1);
	assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
	close_pair(ends);
}

/* What follows the last probe may pass descriptors, where that is what the connection is for. */
static void descriptors_are_refused_only_meanwhile(void **state)
{
	struct place *place = *state;
	uint8_t bytes[256];
	size_t size = make_request(1, bytes, sizeof(bytes));

	for (int before = 0; before < 2; before++) {
		int ends[2], after = -1;
		socklen_t len = sizeof(after);

		pair_with(ends, bytes, size, false);
		if (setsockopt(ends[1], SOL_SOCKET, SO_PASSRIGHTS, &before, sizeof(before)) < 0) {
			close_pair(ends);
			skip(); /* before 6.16 */
		}
		assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, TEST_PLENTY_MS, NULL),
			1);
		assert_int_equal(getsockopt(ends[1], SOL_SOCKET, SO_PASSRIGHTS, &after, &len), 0);
		assert_int_equal(after, before);
		close_pair(ends);
	}
}

static void no_timeout_is_the_default_one(void **state)
{
	struct place *place = *state;
	uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	int ends[2];

	pair_with(ends, "", 0, false);
	assert_int_equal(belay_probe_serve(ends[1], &place->self, 1, 0, NULL), -ETIMEDOUT);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - began_ns >=
		BELAY_PROBE_TIMEOUT_MS * BELAY__NS_PER_MS);
	close_pair(ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(one_request_is_answered_and_what_follows_is_left),
		PLACE_TEST(many_requests_may_come_in_one_piece),
		PLACE_TEST(who_asks_nothing_is_no_error),
		PLACE_TEST(what_is_no_probe_is_refused_by_name),
		PLACE_TEST(a_request_has_at_most_64_kib),
		PLACE_TEST(who_never_asks_is_waited_for_until_the_deadline),
		PLACE_TEST(who_never_reads_is_waited_for_until_the_deadline),
		PLACE_TEST(a_blocking_connection_stays_one),
		PLACE_TEST(descriptors_are_refused_only_meanwhile),
		PLACE_TEST(no_timeout_is_the_default_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
