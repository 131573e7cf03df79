#include <belay/envelope.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/testing.h"

#define COUNT BELAY__COUNT

static const struct belay_frame_found untouched = { NULL, 1, 2 };

static int scan(const char *hex, uint32_t cap, struct belay_frame_found *ret_found)
{
	static uint8_t bytes[256];

	*ret_found = untouched;
	return belay_frame_scan(bytes, belay__from_hex(hex, bytes, sizeof(bytes)), cap, ret_found);
}

static void assert_scanned(const char *hex, uint32_t cap, int should)
{
	struct belay_frame_found found;

	assert_int_equal(scan(hex, cap, &found), should);
	assert_null(found.body);
	assert_int_equal(found.body_len, untouched.body_len);
	assert_int_equal(found.consumed, untouched.consumed);
}

static void a_cut_frame_is_no_error(void **state)
{
	(void)state;
	assert_scanned("", 10, 0);
	assert_scanned("01", 10, 0);
	assert_scanned("01 03 00 00", 10, 0);
	assert_scanned("01 03 00 00 00", 10, 0);
	assert_scanned("01 03 00 00 00 08 01", 10, 0);
}

static void a_frame_ends_where_it_says(void **state)
{
	struct belay_frame_found found;
	(void)state;

	assert_int_equal(scan("01 03 00 00 00 aa bb cc", 10, &found), 1);
	assert_int_equal(found.body_len, 3);
	assert_int_equal(found.consumed, 8);
	assert_int_equal(found.body[0], 0xaa);
	assert_int_equal(scan("01 03 00 00 00 aa bb cc 01 00 00 00 00", 10, &found), 1);
	assert_int_equal(found.consumed, 8);
}

static void a_body_may_be_empty(void **state)
{
	struct belay_frame_found found;
	struct belay_envelope envelope;
	(void)state;

	assert_int_equal(scan("01 00 00 00 00", 0, &found), 1);
	assert_int_equal(found.body_len, 0);
	assert_int_equal(found.consumed, 5);
	assert_int_equal(belay_envelope_decode(found.body, found.body_len, &envelope), 0);
	assert_int_equal(envelope.version, 0);
	assert_int_equal(belay_envelope_decode(NULL, 0, &envelope), 0);
}

static void the_framing_byte_is_looked_at_first(void **state)
{
	(void)state;
	assert_scanned("00", 10, -EPROTONOSUPPORT);
	assert_scanned("02", 10, -EPROTONOSUPPORT);
	assert_scanned("ff ff ff ff ff", 10, -EPROTONOSUPPORT);
}

static void a_cap_includes_itself(void **state)
{
	(void)state;
	assert_scanned("01 0a 00 00 00", 10, 0);
	assert_scanned("01 0b 00 00 00", 10, -EMSGSIZE); /* before any of the body */
	assert_scanned("01 00 00 01 00", BELAY_HELLO_MAX, 0);
	assert_scanned("01 01 00 01 00", BELAY_HELLO_MAX, -EMSGSIZE);
	assert_scanned("01 00 00 00 01", BELAY_FRAME_MAX, 0);
	assert_scanned("01 01 00 00 01", BELAY_FRAME_MAX, -EMSGSIZE);
	assert_scanned("01 ff ff ff ff", BELAY_FRAME_MAX, -EMSGSIZE);
	assert_scanned("01 ff ff ff ff", UINT32_MAX, 0);
	assert_scanned("01 01 00 00 00", 0, -EMSGSIZE);
}

static void the_header_is_what_is_scanned(void **state)
{
	static const uint32_t lens[] = { 0, 1, 255, 256, 65536, 16777216, UINT32_MAX };
	uint8_t header[BELAY_FRAME_HEADER];
	struct belay_frame_found found;
	(void)state;

	belay_frame_header(0x04030201, header);
	assert_memory_equal(header, "\x01\x01\x02\x03\x04", sizeof(header));
	for (size_t i = 0; i < COUNT(lens); i++) {
		belay_frame_header(lens[i], header);
		assert_int_equal(belay_frame_scan(header, sizeof(header), lens[i], &found),
			lens[i] == 0);
		if (lens[i] > 0)
			assert_int_equal(
				belay_frame_scan(header, sizeof(header), lens[i] - 1, &found),
				-EMSGSIZE);
	}
}

static void a_failed_decode_leaves_the_envelope_alone(void **state)
{
	struct belay_envelope envelope = { .version = 77 };
	(void)state;

	assert_int_equal(belay_envelope_decode((const uint8_t *)"\x08\x01\x08", 3, &envelope),
		-EBADMSG);
	assert_int_equal(envelope.version, 77);
}

static void an_envelope_is_written_in_exactly_its_room(void **state)
{
	const struct belay_envelope envelope = { .version = 1,
		.payload = { (const uint8_t *)"xyz", 3 },
		.request_id = 300 };
	uint8_t should[32], out[32];
	size_t len = belay__from_hex("01 0a 00 00 00 08 01 22 03 78 79 7a 28 ac 02", should,
		sizeof(should));
	(void)state;

	memset(out, 0xa5, sizeof(out));
	assert_int_equal(belay_envelope_encode(&envelope, out, len), len);
	assert_memory_equal(out, should, len);
	assert_int_equal(out[len], 0xa5);
	for (size_t room = 0; room < len; room++) {
		memset(out, 0xa5, sizeof(out));
		assert_int_equal(belay_envelope_encode(&envelope, out, room), -EMSGSIZE);
		assert_int_equal(out[room], 0xa5);
	}
}

static void an_empty_envelope_is_five_bytes(void **state)
{
	const struct belay_envelope envelope = { .version = 0 };
	uint8_t out[BELAY_FRAME_HEADER];
	(void)state;

	assert_int_equal(belay_envelope_encode(&envelope, out, sizeof(out)), sizeof(out));
	assert_memory_equal(out, "\x01\x00\x00\x00\x00", sizeof(out));
	assert_int_equal(belay_envelope_encode(&envelope, out, 4), -EMSGSIZE);
	assert_int_equal(belay_envelope_encode(&envelope, NULL, 0), -EMSGSIZE);
}

static void a_body_of_sixteen_mebibytes_is_the_longest(void **state)
{
	enum { AROUND = 5 }; /* the payload's key and length */
	size_t size = BELAY_FRAME_HEADER + BELAY_FRAME_MAX + 16;
	uint8_t *out = calloc(1, size), *payload = calloc(1, BELAY_FRAME_MAX);
	struct belay_envelope envelope = { .payload = { payload, BELAY_FRAME_MAX - AROUND } };
	struct belay_frame_found found;
	(void)state;

	assert_non_null(out);
	assert_non_null(payload);
	assert_int_equal(belay_envelope_encode(&envelope, out, size),
		BELAY_FRAME_HEADER + BELAY_FRAME_MAX);
	assert_int_equal(belay_frame_scan(out, size, BELAY_FRAME_MAX, &found), 1);
	assert_int_equal(found.body_len, BELAY_FRAME_MAX);
	assert_int_equal(belay_envelope_decode(found.body, found.body_len, &envelope), 0);
	assert_int_equal(envelope.payload.len, BELAY_FRAME_MAX - AROUND);

	envelope.payload.at = payload;
	envelope.payload.len++;
	assert_int_equal(belay_envelope_encode(&envelope, out, size), -EMSGSIZE);
	free(payload);
	free(out);
}

static void text_of_an_envelope_is_utf8(void **state)
{
	struct belay_envelope envelope = { .traceparent = { (const uint8_t *)"\xff", 1 } };
	uint8_t out[64];
	(void)state;

	assert_int_equal(belay_envelope_encode(&envelope, out, sizeof(out)), -EINVAL);
	assert_int_equal(belay_envelope_decode((const uint8_t *)"\x42\x01\xff", 3, &envelope),
		-EBADMSG);
	assert_int_equal(belay_envelope_decode((const uint8_t *)"\x4a\x01\xff", 3, &envelope),
		-EBADMSG);
	assert_int_equal(belay_envelope_decode((const uint8_t *)"\x22\x01\xff", 3, &envelope), 0);
}

/* Who reads a frame refuses these, with a text of its own. */
static void other_versions_and_kinds_are_decoded(void **state)
{
	static const uint8_t body[] = { 0x08, 0x02, 0x10, 0x63, 0x30, 0x07 };
	struct belay_envelope envelope;
	(void)state;

	assert_int_equal(belay_envelope_decode(body, sizeof(body), &envelope), 0);
	assert_int_equal(envelope.version, 2);
	assert_int_equal(envelope.kind, 99);
	assert_int_equal(envelope.payload_encoding, 7);
}

static void framing_errors_are_named(void **state)
{
	(void)state;
	assert_string_equal(belay_framing_error_text(-EPROTONOSUPPORT),
		"unsupported framing version");
	assert_string_equal(belay_framing_error_text(-EMSGSIZE), "frame too large");
	assert_string_equal(belay_framing_error_text(-EBADMSG), "malformed broker Frame");
	assert_string_equal(belay_framing_error_text(-EPIPE), strerror(EPIPE));
	assert_string_equal(belay_framing_error_text(EPIPE), strerror(EPIPE));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_cut_frame_is_no_error),
		cmocka_unit_test(a_frame_ends_where_it_says),
		cmocka_unit_test(a_body_may_be_empty),
		cmocka_unit_test(the_framing_byte_is_looked_at_first),
		cmocka_unit_test(a_cap_includes_itself),
		cmocka_unit_test(the_header_is_what_is_scanned),
		cmocka_unit_test(a_failed_decode_leaves_the_envelope_alone),
		cmocka_unit_test(an_envelope_is_written_in_exactly_its_room),
		cmocka_unit_test(an_empty_envelope_is_five_bytes),
		cmocka_unit_test(a_body_of_sixteen_mebibytes_is_the_longest),
		cmocka_unit_test(text_of_an_envelope_is_utf8),
		cmocka_unit_test(other_versions_and_kinds_are_decoded),
		cmocka_unit_test(framing_errors_are_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
