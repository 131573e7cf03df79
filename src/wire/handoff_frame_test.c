#include "wire/handoff_frame.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct belay_handoff_token token = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13,
	14, 15 } };
static const struct belay_handoff_token other_token = { { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
	13, 14, 16 } };

#define TOKEN       0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define BUILD_CACHE 'b', 'u', 'i', 'l', 'd', '-', 'c', 'a', 'c', 'h', 'e'

/* Frames as broker v1 writes them. */
static const uint8_t golden_offer[] = { 0x01, 0x2b, 0, 0, 0, 0x08, 0x01, 0x18, 0xff, 0xa1, 0x03,
	0x22, 0x21, 0x12, 0x10, TOKEN, 0x1a, 0x0b, BUILD_CACHE, 0x20, 0x07, 0x28, 0x07 };
static const uint8_t golden_new_offer[] = { 0x01, 0x2d, 0, 0, 0, 0x08, 0x01, 0x18, 0xff, 0xa1, 0x03,
	0x22, 0x23, 0x08, 0x00, 0x12, 0x10, TOKEN, 0x1a, 0x0b, BUILD_CACHE, 0x20, 0x07, 0x28, 0x07 };
static const uint8_t golden_ack[] = { 0x01, 0x22, 0, 0, 0, 0x08, 0x01, 0x10, 0x01, 0x18, 0xff, 0xa1,
	0x03, 0x22, 0x16, 0x0a, 0x10, TOKEN, 0x10, 0x01, 0x20, 0x07, 0x28, 0x07 };
static const uint8_t golden_refusal[] = { 0x01, 0x38, 0, 0, 0, 0x08, 0x01, 0x10, 0x01, 0x18, 0xff,
	0xa1, 0x03, 0x22, 0x2c, 0x0a, 0x10, TOKEN, 0x1a, 0x16, 'h', 'a', 'n', 'd', 'o', 'f', 'f',
	' ', 't', 'o', 'k', 'e', 'n', ' ', 'm', 'i', 's', 'm', 'a', 't', 'c', 'h', 0x20, 0x07, 0x28,
	0x07 };
static const uint8_t golden_ready[] = { 0x01, 0x22, 0, 0, 0, 0x08, 0x01, 0x10, 0x02, 0x18, 0xff,
	0xa1, 0x03, 0x22, 0x16, 0x0a, 0x10, TOKEN, 0x10, 0x01, 0x20, 0x07, 0x28, 0x07 };

static struct belay_bytes bytes_of(const char *text)
{
	return (struct belay_bytes){ (const uint8_t *)text, strlen(text) };
}

static struct belay_envelope decode(const uint8_t *frame, size_t len)
{
	struct belay_frame_found found;
	struct belay_envelope envelope;

	assert_int_equal(belay_frame_scan(frame, len, BELAY__HANDOFF_BODY_MAX, &found), 1);
	assert_int_equal(found.consumed, len);
	assert_int_equal(belay_envelope_decode(found.body, found.body_len, &envelope), 0);
	return envelope;
}

static void what_is_written_is_broker_v1s_to_the_byte(void **state)
{
	const struct belay__handoff_ack accepted = { { token.secret, 16 }, true, { NULL, 0 }, 7 };
	const struct belay__handoff_ack refused = { { token.secret, 16 }, false,
		bytes_of("handoff token mismatch"), 7 };
	uint8_t offer[BELAY__HANDOFF_OFFER_SIZE], ack[BELAY__HANDOFF_ACK_SIZE];
	(void)state;

	assert_int_equal(belay__handoff_offer_frame(&token, "build-cache", 7, offer),
		sizeof(golden_offer));
	assert_memory_equal(offer, golden_offer, sizeof(golden_offer));
	assert_int_equal(belay__handoff_ack_frame(&accepted, ack), sizeof(golden_ack));
	assert_memory_equal(ack, golden_ack, sizeof(golden_ack));
	assert_int_equal(belay__handoff_ack_frame(&refused, ack), sizeof(golden_refusal));
	assert_memory_equal(ack, golden_refusal, sizeof(golden_refusal));
	assert_int_equal(belay__handoff_ready_frame(&token, 7, true, ack), sizeof(golden_ready));
	assert_memory_equal(ack, golden_ready, sizeof(golden_ready));
}

static void the_longest_frames_fit(void **state)
{
	char service[BELAY_HANDOFF_SERVICE_MAX + 2], detail[200];
	uint8_t offer[BELAY__HANDOFF_OFFER_SIZE], ack[BELAY__HANDOFF_ACK_SIZE], echo[100] = { 0 };
	struct belay__handoff_ack long_ack = { { echo, sizeof(echo) }, false, { NULL, 0 },
		UINT64_MAX };
	struct belay__handoff_ack read;
	struct belay_envelope envelope;
	enum belay_handoff_error error;
	const char *text;
	ssize_t len;
	(void)state;

	memset(service, 's', sizeof(service));
	service[sizeof(service) - 1] = '\0';
	assert_int_equal(belay__handoff_offer_frame(&token, service, 7, offer), -EINVAL);
	assert_int_equal(belay__handoff_offer_frame(&token, "", 7, offer), -EINVAL);
	service[sizeof(service) - 2] = '\0';
	assert_true(belay__handoff_offer_frame(&token, service, UINT64_MAX, offer) > 0);

	/* What is cut is cut between two characters. */
	memset(detail, 'd', sizeof(detail));
	memcpy(detail + BELAY__HANDOFF_DETAIL_MAX - 1, "\xc3\xa4", 2);
	long_ack.error_detail = (struct belay_bytes){ (const uint8_t *)detail, sizeof(detail) };
	len = belay__handoff_ack_frame(&long_ack, ack);
	assert_true(len > 0);
	long_ack.token = (struct belay_bytes){ token.secret, 16 };
	len = belay__handoff_ack_frame(&long_ack, ack);
	assert_true(len > 0);
	envelope = decode(ack, (size_t)len);
	assert_int_equal(
		belay__handoff_ack_read(&envelope, &token, UINT64_MAX, &read, &error, &text),
		-ECONNREFUSED);
	assert_int_equal(read.error_detail.len, BELAY__HANDOFF_DETAIL_MAX - 1);
}

static void an_offer_is_read_in_both_forms(void **state)
{
	const struct belay_bytes frames[] = { { golden_offer, sizeof(golden_offer) },
		{ golden_new_offer, sizeof(golden_new_offer) } };
	(void)state;

	for (size_t i = 0; i < COUNT(frames); i++) {
		struct belay_envelope envelope = decode(frames[i].at, frames[i].len);
		struct belay__handoff_offer offer;
		const char *text = "untouched";

		assert_int_equal(belay__handoff_offer_read(&envelope, &offer, &text), 0);
		assert_int_equal(offer.correlation_id, 7);
		assert_int_equal(offer.service_name.len, 11);
		assert_int_equal(belay__handoff_offer_check(&offer, &token, "build-cache", &text),
			0);
		assert_int_equal(belay__handoff_offer_check(&offer, &token, NULL, &text), 0);
		assert_string_equal(text, "untouched");
		assert_int_equal(belay__handoff_offer_check(&offer, &other_token, NULL, &text),
			-EPERM);
		assert_string_equal(text, "handoff token mismatch");
		assert_int_equal(belay__handoff_offer_check(&offer, &token, "build-cach", &text),
			-EACCES);
		assert_int_equal(belay__handoff_offer_check(&offer, &token, "build-cachf", &text),
			-EACCES);
	}
}

static void a_token_is_missing_or_16_bytes_or_wrong(void **state)
{
	static const struct {
		size_t len;
		int code;
		const char *text;
	} rows[] = {
		{ 0, -ENODATA, "handoff token is missing" },
		{ 15, -EMSGSIZE, "handoff token must be 16 bytes" },
		{ 17, -EMSGSIZE, "handoff token must be 16 bytes" },
	};
	const uint8_t bytes[17] = { TOKEN, 16 };
	struct belay_handoff_token parsed = other_token;
	(void)state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct belay__handoff_offer offer = { .token = { bytes, rows[i].len } };
		const char *text = NULL;

		assert_int_equal(belay__handoff_offer_check(&offer, &token, NULL, &text),
			rows[i].code);
		assert_string_equal(text, rows[i].text);
		assert_int_equal(belay_handoff_token_parse(bytes, rows[i].len, &parsed),
			rows[i].code);
		assert_true(belay_handoff_token_equal(&parsed, &other_token));
	}
	assert_int_equal(belay_handoff_token_parse(bytes, 16, &parsed), 0);
	assert_true(belay_handoff_token_equal(&parsed, &token));
	assert_false(belay_handoff_token_equal(&parsed, &other_token));
}

static void tokens_that_differ_in_one_bit_anywhere_are_not_equal(void **state)
{
	(void)state;

	for (unsigned bit = 0; bit < 8 * BELAY_HANDOFF_TOKEN_LEN; bit++) {
		struct belay_handoff_token changed = token;

		changed.secret[bit / 8] ^= (uint8_t)(1u << (bit % 8));
		assert_false(belay_handoff_token_equal(&changed, &token));
	}
}

static void an_accepted_ack_and_a_refusal_are_read(void **state)
{
	struct belay_envelope envelope = decode(golden_ack, sizeof(golden_ack));
	struct belay__handoff_ack ack;
	enum belay_handoff_error error;
	const char *text;
	(void)state;

	assert_int_equal(belay__handoff_ack_read(&envelope, &token, 7, &ack, &error, &text), 0);
	assert_int_equal(error, BELAY_HANDED_OVER);
	assert_true(ack.accepted);

	envelope = decode(golden_refusal, sizeof(golden_refusal));
	assert_int_equal(belay__handoff_ack_read(&envelope, &token, 7, &ack, &error, &text),
		-ECONNREFUSED);
	assert_int_equal(error, BELAY_HANDOFF_REJECTED);
	assert_int_equal(ack.error_detail.len, 22);
	assert_memory_equal(ack.error_detail.at, "handoff token mismatch", 22);
}

/* An ack in which everything is wrong, and then, row by row, one thing less: the first mistake is named. */
static void the_first_mistake_of_an_ack_is_named(void **state)
{
	static const struct {
		int code;
		enum belay_handoff_error error;
		const char *text;
	} rows[] = {
		{ -EPROTO, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
			"handoff frame envelope_version is not v1" },
		{ -EPROTO, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, "handoff frame kind is not RESPONSE" },
		{ -EPROTO, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
			"handoff frame payload_protocol is not handoff" },
		{ -EPROTO, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
			"handoff frame payload is compressed" },
		{ -EPERM, BELAY_HANDOFF_INTEGRITY_MISMATCH, "handoff request_id mismatch" },
		{ -EBADMSG, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, "malformed handoff ack" },
		{ -EPERM, BELAY_HANDOFF_INTEGRITY_MISMATCH, "handoff correlation_id mismatch" },
		{ -EPERM, BELAY_HANDOFF_INTEGRITY_MISMATCH, "handoff token mismatch" },
		{ -ECONNREFUSED, BELAY_HANDOFF_REJECTED, "backend refused the handoff" },
	};
	(void)state;

	for (size_t right = 0; right < COUNT(rows); right++) {
		const struct belay__handoff_ack ack = {
			.token = { right > 7 ? token.secret : other_token.secret, 16 },
			.correlation_id = right > 6 ? 7 : 8,
		};
		uint8_t payload[64];
		ssize_t len = belay__proto_encode(&belay__type_handoff_ack, &ack, payload,
			sizeof(payload));
		struct belay__handoff_ack read;
		enum belay_handoff_error error = BELAY_HANDED_OVER;
		const char *text = NULL;
		struct belay_envelope envelope = {
			.version = right > 0 ? 1 : 2,
			.kind = right > 1 ? BELAY_ENVELOPE_RESPONSE : BELAY_ENVELOPE_EVENT,
			.payload_protocol = right > 2 ? BELAY_PROTOCOL_HANDOFF
						      : BELAY_PROTOCOL_CONTROL,
			.payload_encoding = right > 3 ? 0 : 1,
			.request_id = right > 4 ? 7 : 9,
			.payload = { right > 5 ? payload : (const uint8_t *)"\x07",
				right > 5 ? (size_t)len : 1 },
		};

		assert_true(len > 0);
		assert_int_equal(belay__handoff_ack_read(&envelope, &token, 7, &read, &error, &text),
			rows[right].code);
		assert_string_equal(text, rows[right].text);
		assert_int_equal(error, rows[right].error);
	}
}

static void the_first_mistake_of_an_offer_is_named(void **state)
{
	static const struct {
		int code;
		const char *text;
	} rows[] = {
		{ -EPROTO, "handoff frame envelope_version is not v1" },
		{ -EPROTO, "handoff frame kind is not REQUEST" },
		{ -EPROTO, "handoff frame payload_protocol is not handoff" },
		{ -EPROTO, "handoff frame payload is compressed" },
		{ -EBADMSG, "malformed handoff offer" },
		{ -EPROTO, "handoff offer request_id is not its correlation_id" },
	};
	struct belay_envelope good = decode(golden_offer, sizeof(golden_offer));
	(void)state;

	for (size_t right = 0; right < COUNT(rows); right++) {
		struct belay_envelope envelope = good;
		struct belay__handoff_offer offer = { .correlation_id = 99 };
		const char *text = NULL;

		envelope.version = right > 0 ? 1 : 0;
		envelope.kind = right > 1 ? BELAY_ENVELOPE_REQUEST : BELAY_ENVELOPE_CANCEL;
		envelope.payload_protocol = right > 2 ? BELAY_PROTOCOL_HANDOFF : 0x7a63;
		envelope.payload_encoding = right > 3 ? 0 : 2;
		if (right <= 4)
			envelope.payload = bytes_of("\x12\x10 short");
		envelope.request_id = 8;

		assert_int_equal(belay__handoff_offer_read(&envelope, &offer, &text),
			rows[right].code);
		assert_string_equal(text, rows[right].text);
		assert_int_equal(offer.correlation_id, 99);
	}
}

static void a_client_looks_at_kind_token_and_answer_but_not_at_ids(void **state)
{
	struct belay_envelope envelope = decode(golden_ready, sizeof(golden_ready));
	uint8_t frame[BELAY__HANDOFF_ACK_SIZE];
	const char *text;
	ssize_t len;
	(void)state;

	assert_int_equal(belay__handoff_ready_read(&envelope, &token, &text), 0);
	envelope.request_id = 1234;
	assert_int_equal(belay__handoff_ready_read(&envelope, &token, &text), 0);
	assert_int_equal(belay__handoff_ready_read(&envelope, &other_token, &text), -EPERM);
	envelope.kind = BELAY_ENVELOPE_RESPONSE;
	assert_int_equal(belay__handoff_ready_read(&envelope, &token, &text), -EPROTO);
	assert_string_equal(text, "handoff frame kind is not EVENT");

	len = belay__handoff_ready_frame(&token, 7, false, frame);
	assert_true(len > 0);
	envelope = decode(frame, (size_t)len);
	assert_int_equal(belay__handoff_ready_read(&envelope, &token, &text), -ECONNREFUSED);
	envelope.payload = bytes_of("\x07");
	assert_int_equal(belay__handoff_ready_read(&envelope, &token, &text), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_broker_v1s_to_the_byte),
		cmocka_unit_test(the_longest_frames_fit),
		cmocka_unit_test(an_offer_is_read_in_both_forms),
		cmocka_unit_test(a_token_is_missing_or_16_bytes_or_wrong),
		cmocka_unit_test(tokens_that_differ_in_one_bit_anywhere_are_not_equal),
		cmocka_unit_test(an_accepted_ack_and_a_refusal_are_read),
		cmocka_unit_test(the_first_mistake_of_an_ack_is_named),
		cmocka_unit_test(the_first_mistake_of_an_offer_is_named),
		cmocka_unit_test(a_client_looks_at_kind_token_and_answer_but_not_at_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
