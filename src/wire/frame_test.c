#include <belay/vlp.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/bytes.h"
#include "wire/crc32c.h"

struct frame_vector {
	const char *id;
	enum belay_decode_class class_;
	struct belay_frame frame;
	uint8_t wire[BELAY_FRAME_LEN];
};

#include "wire/frame_vectors.inc"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What stands in an output before a call, to see afterwards whether it was touched. */
static const struct belay_frame untouched_frame = { 0xa5, 0xa5a5a5a5, 1, 2, 3 };
static const struct belay_decode_error untouched_error = { 0xa5, 0x5a, 1, 2, 3, 4, 5 };

static void assert_frame_equal(const struct belay_frame *is, const struct belay_frame *should)
{
	assert_int_equal(is->status, should->status);
	assert_int_equal(is->pid, should->pid);
	assert_int_equal(is->timestamp_ns, should->timestamp_ns);
	assert_int_equal(is->nonce, should->nonce);
	assert_int_equal(is->payload, should->payload);
}

static void assert_error_equal(const struct belay_decode_error *is,
	const struct belay_decode_error *should)
{
	assert_int_equal(is->class_, should->class_);
	assert_int_equal(is->status, should->status);
	assert_int_equal(is->crc_expected, should->crc_expected);
	assert_int_equal(is->crc_actual, should->crc_actual);
	assert_int_equal(is->pid, should->pid);
	assert_int_equal(is->timestamp_ns, should->timestamp_ns);
	assert_int_equal(is->nonce, should->nonce);
}

static void assert_accepted(const uint8_t *wire, const struct belay_frame *should)
{
	struct belay_frame frame = untouched_frame;
	struct belay_decode_error error = untouched_error;

	assert_true(belay_frame_decode(wire, &frame, &error));
	assert_frame_equal(&frame, should);
	assert_error_equal(&error, &untouched_error);
	assert_true(belay_frame_decode(wire, &frame, NULL));
}

static struct belay_decode_error assert_refused(const uint8_t *wire, enum belay_decode_class class_)
{
	struct belay_frame frame = untouched_frame;
	struct belay_decode_error error = untouched_error;

	assert_false(belay_frame_decode(wire, &frame, &error));
	assert_frame_equal(&frame, &untouched_frame);
	assert_int_equal(error.class_, class_);
	assert_false(belay_frame_decode(wire, &frame, NULL));
	assert_frame_equal(&frame, &untouched_frame);
	return error;
}

static void stamp(uint8_t *wire)
{
	belay__put_le32(wire + 28, belay__crc32c(wire, 28));
}

static void the_published_vectors_hold(void **state)
{
	(void)state;

	assert_int_equal(COUNT(frame_vectors), 15);
	for (size_t i = 0; i < COUNT(frame_vectors); i++) {
		const struct frame_vector *vector = &frame_vectors[i];
		uint8_t wire[BELAY_FRAME_LEN];

		print_message("%s\n", vector->id);
		if (vector->class_ != BELAY_DECODE_OK) {
			(void)assert_refused(vector->wire, vector->class_);
			continue;
		}
		assert_accepted(vector->wire, &vector->frame);
		belay_frame_encode(&vector->frame, wire);
		assert_memory_equal(wire, vector->wire, sizeof(wire));
	}
}

static void every_error_class_has_a_published_vector(void **state)
{
	bool seen[BELAY_DECODE_CLASSES] = { false };
	(void)state;

	for (size_t i = 0; i < COUNT(frame_vectors); i++)
		seen[frame_vectors[i].class_] = true;
	for (size_t i = 0; i < COUNT(seen); i++)
		assert_true(seen[i]);
}

/* Both sides of every edge that a value can have. */
static void values_are_accepted_up_to_their_edges(void **state)
{
	static const struct {
		struct belay_frame frame;
		struct belay_decode_error error;
	} cases[] = {
		{ { BELAY_OK, 2, 0, 0, 0 }, { .class_ = BELAY_DECODE_OK } },
		{ { BELAY_OK, UINT32_MAX, UINT64_MAX - 1, UINT64_MAX - 1, UINT32_MAX },
			{ .class_ = BELAY_DECODE_OK } },
		{ { BELAY_DEGRADED, 2, 1, 1, 1 }, { .class_ = BELAY_DECODE_OK } },
		{ { BELAY_CRITICAL, 2, 1, 1, 1 }, { .class_ = BELAY_DECODE_OK } },
		{ { BELAY_CRITICAL, 2, 1, UINT64_MAX, 1 }, { .class_ = BELAY_DECODE_OK } },
		{ { BELAY_STALL, 2, 1, 1, 1 }, { .class_ = BELAY_STALL_ON_WIRE } },
		{ { 4, 2, 1, 1, 1 }, { .class_ = BELAY_BAD_STATUS, .status = 4 } },
		{ { 255, 2, 1, 1, 1 }, { .class_ = BELAY_BAD_STATUS, .status = 255 } },
		{ { BELAY_OK, 0, 1, 1, 1 }, { .class_ = BELAY_BAD_PID, .pid = 0 } },
		{ { BELAY_OK, 1, 1, 1, 1 }, { .class_ = BELAY_BAD_PID, .pid = 1 } },
		{ { BELAY_OK, 2, UINT64_MAX, 1, 1 },
			{ .class_ = BELAY_BAD_TIMESTAMP, .timestamp_ns = UINT64_MAX } },
		{ { BELAY_OK, 2, 1, UINT64_MAX, 1 },
			{ .class_ = BELAY_BAD_NONCE, .nonce = UINT64_MAX, .status = BELAY_OK } },
		{ { BELAY_DEGRADED, 2, 1, UINT64_MAX, 1 },
			{ .class_ = BELAY_BAD_NONCE, .nonce = UINT64_MAX, .status = BELAY_DEGRADED } },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t wire[BELAY_FRAME_LEN];

		belay_frame_encode(&cases[i].frame, wire);
		if (cases[i].error.class_ == BELAY_DECODE_OK) {
			assert_accepted(wire, &cases[i].frame);
			continue;
		}

		struct belay_decode_error error = assert_refused(wire, cases[i].error.class_);
		assert_error_equal(&error, &cases[i].error);
	}
}

/* Commits every fault at once and mends them one by one: what comes out is the order of the
 * checks. */
static void the_first_fault_wins(void **state)
{
	uint8_t wire[BELAY_FRAME_LEN] = { 'v', 'A', 1, 7 };
	(void)state;

	memset(wire + 8, 0xff, 16); /* pid 0, reserved timestamp, terminal nonce, no checksum */
	(void)assert_refused(wire, BELAY_BAD_MAGIC);
	wire[0] = 'V';
	(void)assert_refused(wire, BELAY_BAD_VERSION);
	wire[2] = 2;
	(void)assert_refused(wire, BELAY_BAD_CRC);
	stamp(wire);
	(void)assert_refused(wire, BELAY_BAD_STATUS);
	wire[3] = BELAY_STALL;
	stamp(wire);
	(void)assert_refused(wire, BELAY_STALL_ON_WIRE);
	wire[3] = BELAY_DEGRADED;
	stamp(wire);
	(void)assert_refused(wire, BELAY_BAD_PID);
	wire[4] = 2;
	stamp(wire);
	(void)assert_refused(wire, BELAY_BAD_TIMESTAMP);
	wire[8] = 0xfe;
	stamp(wire);
	(void)assert_refused(wire, BELAY_BAD_NONCE);
	wire[16] = 0xfe;
	stamp(wire);
	assert_accepted(wire,
		&(struct belay_frame){ BELAY_DEGRADED, 2, UINT64_MAX - 1, UINT64_MAX - 1, 0 });
}

static void both_bytes_of_the_magic_count(void **state)
{
	uint8_t wire[BELAY_FRAME_LEN];
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		memcpy(wire, frame_vectors[0].wire, sizeof(wire));
		wire[i] ^= 0x20;
		stamp(wire);
		(void)assert_refused(wire, BELAY_BAD_MAGIC);
	}
}

static void neighbouring_versions_are_refused(void **state)
{
	static const uint8_t versions[] = { 0, 1, 3, 255 };
	uint8_t wire[BELAY_FRAME_LEN];
	(void)state;

	memcpy(wire, frame_vectors[0].wire, sizeof(wire));
	for (size_t i = 0; i < COUNT(versions); i++) {
		wire[2] = versions[i];
		stamp(wire);
		(void)assert_refused(wire, BELAY_BAD_VERSION);
	}
}

/* Castagnoli's polynomial finds every single flipped bit; those of the checksum itself too. */
static void every_flipped_bit_is_noticed(void **state)
{
	(void)state;

	for (size_t bit = 0; bit < 8 * sizeof(frame_vectors[1].wire); bit++) {
		enum belay_decode_class class_ = bit < 16 ? BELAY_BAD_MAGIC
			: bit < 24                        ? BELAY_BAD_VERSION
							  : BELAY_BAD_CRC;
		uint8_t wire[BELAY_FRAME_LEN];

		memcpy(wire, frame_vectors[1].wire, sizeof(wire));
		wire[bit / 8] ^= (uint8_t)(1 << bit % 8);

		struct belay_decode_error error = assert_refused(wire, class_);
		if (class_ == BELAY_BAD_CRC) {
			assert_int_equal(error.crc_expected, belay__crc32c(wire, 28));
			assert_int_equal(error.crc_actual, belay__get_le32(wire + 28));
		}
	}
}

static void encode_stamps_what_it_is_given(void **state)
{
	const struct belay_frame frame = { 0xff, 0, UINT64_MAX, UINT64_MAX, 0 };
	uint8_t around[BELAY_FRAME_LEN + 2];
	uint8_t *wire = around + 1; /* nowhere aligned, and nothing beside it is written */
	(void)state;

	memset(around, 0x77, sizeof(around));
	belay_frame_encode(&frame, wire);
	assert_int_equal(wire[3], 0xff);
	assert_int_equal(belay__get_le32(wire + 28), belay__crc32c(wire, 28));
	assert_int_equal(around[0], 0x77);
	assert_int_equal(around[BELAY_FRAME_LEN + 1], 0x77);
}

static void what_decodes_encodes_to_the_same_bytes(void **state)
{
	enum { STEPS = 20000 };
	unsigned seed = 20261121;
	int accepted = 0;
	(void)state;

	for (int step = 0; step < STEPS; step++) {
		uint8_t wire[BELAY_FRAME_LEN] = { 'V', 'A', 2, (uint8_t)(step % 5) };
		uint8_t again[BELAY_FRAME_LEN];
		struct belay_frame frame;

		for (size_t i = 4; i < 28; i++)
			wire[i] = (uint8_t)rand_r(&seed);
		stamp(wire);
		if (!belay_frame_decode(wire, &frame, NULL))
			continue;
		accepted++;
		belay_frame_encode(&frame, again);
		assert_memory_equal(again, wire, sizeof(wire));
	}
	assert_int_equal(accepted, STEPS / 5 * 3);
}

static void names_are_those_of_metrics_and_events(void **state)
{
	static const char *const names[BELAY_DECODE_CLASSES] = { "ok", "bad_magic", "bad_version",
		"bad_crc", "bad_status", "stall_on_wire", "bad_pid", "bad_timestamp", "bad_nonce" };
	(void)state;

	for (unsigned i = 0; i < BELAY_DECODE_CLASSES; i++)
		assert_string_equal(belay_decode_class_name((enum belay_decode_class)i), names[i]);
	assert_null(belay_decode_class_name((enum belay_decode_class)BELAY_DECODE_CLASSES));

	assert_string_equal(belay_status_name(BELAY_OK), "ok");
	assert_string_equal(belay_status_name(BELAY_DEGRADED), "degraded");
	assert_string_equal(belay_status_name(BELAY_CRITICAL), "critical");
	assert_string_equal(belay_status_name(BELAY_STALL), "stall");
	assert_null(belay_status_name((enum belay_status)4));
}

static void texts_say_what_the_class_carries(void **state)
{
	static const struct {
		struct belay_decode_error error;
		const char *part;
	} cases[] = {
		{ { .class_ = BELAY_DECODE_OK }, "nothing is wrong" },
		{ { .class_ = BELAY_BAD_MAGIC }, "\"VA\"" },
		{ { .class_ = BELAY_BAD_VERSION }, "VLP 0.2" },
		{ { .class_ = BELAY_BAD_CRC, .crc_expected = 0xab, .crc_actual = 0xdeadbeef },
			"0x000000ab, but it carries 0xdeadbeef" },
		{ { .class_ = BELAY_BAD_STATUS, .status = 0xfe }, "0xfe" },
		{ { .class_ = BELAY_STALL_ON_WIRE }, "stall" },
		{ { .class_ = BELAY_BAD_PID, .pid = 1 }, "pid 1 " },
		{ { .class_ = BELAY_BAD_TIMESTAMP, .timestamp_ns = UINT64_MAX },
			"18446744073709551615" },
		{ { .class_ = BELAY_BAD_NONCE, .nonce = UINT64_MAX, .status = 1 }, "status 1" },
		{ { .class_ = BELAY_DECODE_CLASSES }, "unknown decode error 9" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		char text[128];
		int len = belay_decode_error_text(&cases[i].error, text, sizeof(text));

		assert_int_equal(len, strlen(text));
		assert_non_null(strstr(text, cases[i].part));
	}
}

static void a_text_is_cut_where_its_room_ends(void **state)
{
	const struct belay_decode_error error = { .class_ = BELAY_BAD_MAGIC };
	char text[8] = "xxxxxxx";
	int len = belay_decode_error_text(&error, NULL, 0);
	(void)state;

	assert_int_equal(belay_decode_error_text(&error, text, 4), len);
	assert_memory_equal(text, "not\0xxx", sizeof(text));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_published_vectors_hold),
		cmocka_unit_test(every_error_class_has_a_published_vector),
		cmocka_unit_test(values_are_accepted_up_to_their_edges),
		cmocka_unit_test(the_first_fault_wins),
		cmocka_unit_test(both_bytes_of_the_magic_count),
		cmocka_unit_test(neighbouring_versions_are_refused),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(encode_stamps_what_it_is_given),
		cmocka_unit_test(what_decodes_encodes_to_the_same_bytes),
		cmocka_unit_test(names_are_those_of_metrics_and_events),
		cmocka_unit_test(texts_say_what_the_class_carries),
		cmocka_unit_test(a_text_is_cut_where_its_room_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
