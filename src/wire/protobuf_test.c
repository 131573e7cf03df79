#include "wire/protobuf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "wire/testing.h"

#define COUNT BELAY__COUNT

/* --- a message with a field of every sort --- */

struct inner {
	uint32_t number;
	struct belay_bytes text;
	struct belay__repeated list; /* strings */
};

struct sample {
	uint32_t u32;
	uint64_t u64;
	int32_t i32, kind;
	bool flag;
	struct belay_bytes text, bytes;
	bool has_maybe;
	uint32_t maybe;
	bool has_title;
	struct belay_bytes title;
	bool has_inner;
	struct inner inner;
	uint32_t which;
	struct inner left, right;
	struct belay__repeated u32s, u64s, i32s, flags, texts, inners;
};

static const struct belay__proto_field inner_rows[] = {
	BELAY__PLAIN(1, U32, struct inner, number),
	BELAY__PLAIN(2, STRING, struct inner, text),
	BELAY__REPEATED(3, STRING, struct inner, list),
};
static const struct belay__proto_type inner_type = BELAY__PROTO_TYPE("Inner", struct inner,
	inner_rows);

static const struct belay__proto_field sample_rows[] = {
	BELAY__PLAIN(1, U32, struct sample, u32),
	BELAY__PLAIN(2, U64, struct sample, u64),
	BELAY__PLAIN(3, I32, struct sample, i32),
	BELAY__PLAIN(4, ENUM, struct sample, kind),
	BELAY__PLAIN(5, BOOL, struct sample, flag),
	BELAY__PLAIN(6, STRING, struct sample, text),
	BELAY__PLAIN(7, BYTES, struct sample, bytes),
	BELAY__OPTIONAL(8, U32, struct sample, maybe),
	BELAY__OPTIONAL(9, STRING, struct sample, title),
	BELAY__OPTIONAL_MESSAGE(10, struct sample, inner, struct inner, &inner_type),
	BELAY__ONEOF(11, struct sample, which, left, struct inner, &inner_type),
	BELAY__ONEOF(12, struct sample, which, right, struct inner, &inner_type),
	BELAY__REPEATED(13, U32, struct sample, u32s),
	BELAY__REPEATED(14, U64, struct sample, u64s),
	BELAY__REPEATED(15, I32, struct sample, i32s),
	BELAY__REPEATED(16, BOOL, struct sample, flags),
	BELAY__REPEATED(17, STRING, struct sample, texts),
	BELAY__REPEATED_MESSAGE(18, struct sample, inners, &inner_type),
};
static const struct belay__proto_type sample_type = BELAY__PROTO_TYPE("Sample", struct sample,
	sample_rows);

static uint8_t input[4096];

static int decode(const char *hex, struct sample *ret_sample)
{
	return belay__proto_decode(&sample_type, input, belay__from_hex(hex, input, sizeof(input)),
		ret_sample);
}

static struct sample decoded(const char *hex)
{
	struct sample sample;
	int r = decode(hex, &sample);

	if (r != 0)
		print_error("not decoded: %s\n", hex);
	assert_int_equal(r, 0);
	return sample;
}

static void assert_refused(const char *hex)
{
	struct sample sample;
	int r = decode(hex, &sample);

	if (r != -EBADMSG)
		print_error("not refused: %s\n", hex);
	assert_int_equal(r, -EBADMSG);
}

static void assert_bytes(struct belay_bytes is, const char *should)
{
	assert_int_equal(is.len, strlen(should));
	assert_memory_equal(is.at, should, is.len);
}

static struct belay_bytes text(const char *string)
{
	return (struct belay_bytes){ (const uint8_t *)string, strlen(string) };
}

/* Whether SAMPLE is written as HEX, in exactly as much room and in no less. */
static void assert_encoded(const struct sample *sample, const char *hex)
{
	uint8_t should[256], out[256 + 1];
	size_t len = belay__from_hex(hex, should, sizeof(should));

	assert_int_equal(belay__proto_size(&sample_type, sample), len);
	memset(out, 0xa5, sizeof(out));
	assert_int_equal(belay__proto_encode(&sample_type, sample, out, len), len);
	assert_memory_equal(out, should, len);
	assert_int_equal(out[len], 0xa5);
	for (size_t room = 0; room < len; room++) {
		memset(out, 0xa5, sizeof(out));
		assert_int_equal(belay__proto_encode(&sample_type, sample, out, room), -EMSGSIZE);
		assert_int_equal(out[room], 0xa5);
	}
}

/* --- numbers --- */

static void a_varint_has_up_to_ten_bytes_and_the_tenth_one_bit(void **state)
{
	(void)state;
	assert_int_equal(decoded("10 00").u64, 0);
	assert_int_equal(decoded("10 80 00").u64, 0);
	assert_int_equal(decoded("10 ac 02").u64, 300);
	assert_int_equal(decoded("10 80 80 80 80 80 80 80 80 80 00").u64, 0);
	assert_int_equal(decoded("10 ff ff ff ff ff ff ff ff ff 01").u64, UINT64_MAX);
	assert_refused("10 ff ff ff ff ff ff ff ff ff 02");
	assert_refused("10 80 80 80 80 80 80 80 80 80 80 00");
	assert_refused("10 80 80 80 80 80 80 80 80 80 80");
	assert_refused("10 80");
	assert_refused("10");
}

static void numbers_of_32_bits_take_the_low_half(void **state)
{
	(void)state;
	assert_int_equal(decoded("08 ff ff ff ff 0f").u32, UINT32_MAX);
	assert_int_equal(decoded("08 85 80 80 80 10").u32, 5);
	assert_int_equal(decoded("08 ff ff ff ff ff ff ff ff ff 01").u32, UINT32_MAX);
	assert_int_equal(decoded("18 ff ff ff ff ff ff ff ff ff 01").i32, -1);
	assert_int_equal(decoded("18 ff ff ff ff 0f").i32, -1);
	assert_int_equal(decoded("18 85 80 80 80 10").i32, 5);
	assert_int_equal(decoded("20 e7 07").kind, 999);
	assert_int_equal(decoded("20 80 80 80 80 f8 ff ff ff ff 01").kind, INT32_MIN);
}

static void every_varint_but_zero_is_true(void **state)
{
	(void)state;
	assert_false(decoded("28 00").flag);
	assert_false(decoded("28 80 80 00").flag);
	assert_true(decoded("28 01").flag);
	assert_true(decoded("28 80 80 80 80 10").flag);
	assert_true(decoded("28 80 80 80 80 80 80 80 80 80 01").flag);
}

static void of_equal_scalars_the_last_wins(void **state)
{
	struct sample sample = decoded("08 01 32 01 61 08 02 32 01 62 40 05 40 00");
	(void)state;

	assert_int_equal(sample.u32, 2);
	assert_bytes(sample.text, "b");
	assert_true(sample.has_maybe);
	assert_int_equal(sample.maybe, 0);
}

/* --- keys and unknown fields --- */

static void keys_are_checked(void **state)
{
	(void)state;
	(void)decoded("");
	assert_int_equal(decoded("88 00 07").u32, 7); /* a key may be longer than it must be */
	assert_refused("00 00");                      /* field 0 */
	assert_refused("02 00");
	assert_refused("0e 00"); /* field 1, wire types 6 and 7 */
	assert_refused("0f 00");
	assert_refused("fe 01 00"); /* an unknown field of these */
	assert_refused("ff 01 00");
	(void)decoded("f8 ff ff ff 0f 00");  /* the greatest field number */
	assert_refused("f8 ff ff ff 1f 00"); /* a key of 33 bits */
	assert_refused("80 80 80 80 10 00");
	assert_refused("f8");
}

/* What follows is a whole field of that wire type, so that skipping it would do. */
static void assert_wire_type(unsigned number, unsigned wire, bool fits)
{
	static const char *const values[] = { "00", "00 00 00 00 00 00 00 00", "00", "", "",
		"00 00 00 00" };
	unsigned high = number >> 4, low = (number << 3) & 0x7f;
	char hex[64];

	/* As keys of two bytes, whatever the number is. */
	if (wire == 3)
		(void)snprintf(hex, sizeof(hex), "%02x %02x %02x %02x", 0x80 | low | wire, high,
			0x80 | low | 4, high);
	else
		(void)snprintf(hex, sizeof(hex), "%02x %02x %s", 0x80 | low | wire, high,
			values[wire]);
	if (fits)
		(void)decoded(hex);
	else
		assert_refused(hex);
}

static void a_known_field_has_its_own_wire_type(void **state)
{
	(void)state;
	for (unsigned number = 1; number <= 18; number++)
		for (unsigned wire = 0; wire <= 5; wire++) {
			bool packs = number >= 13 && number <= 16;
			bool is_number = number <= 5 || number == 8 || packs;

			assert_wire_type(number, wire,
				(wire == 0 && is_number) || (wire == 2 && (!is_number || packs)));
		}
	for (unsigned wire = 0; wire <= 5; wire++)
		assert_wire_type(19, wire, wire != 4);
}

static void unknown_fields_are_skipped(void **state)
{
	(void)state;
	static const char *const skipped[] = {
		"f8 01 ff ff ff ff ff ff ff ff ff 01", /* varint */
		"f9 01 01 02 03 04 05 06 07 08",       /* 64 bits */
		"fa 01 03 ff fe fd",                   /* bytes, no text */
		"fa 01 00", "fb 01 fc 01",             /* an empty group */
		"fb 01 08 01 f9 01 01 02 03 04 05 06 07 08 12 01 ff fc 01",
		"fb 01 fb 01 fc 01 15 01 02 03 04 fc 01", "fd 01 01 02 03 04", /* 32 bits */
	};

	for (size_t i = 0; i < COUNT(skipped); i++) {
		char hex[256];
		struct sample sample;

		(void)snprintf(hex, sizeof(hex), "08 01 %s 10 02", skipped[i]);
		sample = decoded(hex);
		assert_int_equal(sample.u32, 1);
		assert_int_equal(sample.u64, 2);
		(void)snprintf(hex, sizeof(hex), "52 %02zx %s 08 07",
			(strlen(skipped[i]) + 1) / 3 + 2, skipped[i]);
		assert_int_equal(decoded(hex).inner.number, 7);
	}
}

static void what_is_cut_is_refused(void **state)
{
	(void)state;
	assert_refused("f8 01");
	assert_refused("f8 01 80");
	assert_refused("f9 01 01 02 03 04 05 06 07");
	assert_refused("fd 01 01 02 03");
	assert_refused("fa 01 02 00");
	assert_refused("fa 01");
	assert_refused("fb 01");
	assert_refused("fb 01 08");
	assert_refused("32 01");
	assert_refused("32 02 61");
	assert_refused("32 ff ff ff ff ff ff ff ff ff 01 61");
	assert_refused("32 80 80 80 80 10 61"); /* a length of 33 bits */
	assert_refused("52 02 08");             /* a message */
	assert_refused("52 01 08 01");          /* a field of it reaches out of it */
	assert_refused("6a 01 80 01");          /* so does a packed number */
	assert_refused("6a 02 01");
}

static void groups_end_as_they_began(void **state)
{
	(void)state;
	(void)decoded("fb 01 83 02 84 02 fc 01");
	assert_refused("fc 01"); /* begun by nobody */
	assert_refused("0c");
	assert_refused("fb 01 84 02"); /* another's end */
	assert_refused("fb 01 83 02 fc 01 84 02");
	assert_refused("fb 01 83 02 84 02");
	assert_refused("fb 01 00 fc 01"); /* field 0 in it */
	assert_refused("fb 01 0e fc 01");
}

/* COUNT groups in each other, within the innermost INSIDE. */
static int decode_groups(unsigned count, const char *inside, unsigned message)
{
	struct sample sample;
	uint8_t bytes[1024], *at = bytes;

	if (message > 0) {
		*at++ = 0x52;
		at += 2;
	}
	for (unsigned i = 0; i < count; i++) {
		*at++ = 0xfb;
		*at++ = 0x01;
	}
	at += belay__from_hex(inside, at, 16);
	for (unsigned i = 0; i < count; i++) {
		*at++ = 0xfc;
		*at++ = 0x01;
	}
	if (message > 0) {
		size_t len = (size_t)(at - bytes) - 3;

		bytes[1] = (uint8_t)(len | 0x80);
		bytes[2] = (uint8_t)(len >> 7);
	}
	return belay__proto_decode(&sample_type, bytes, (size_t)(at - bytes), &sample);
}

static void a_hundred_levels_may_be_entered(void **state)
{
	(void)state;
	assert_int_equal(decode_groups(99, "08 01", 0), 0);
	assert_int_equal(decode_groups(100, "", 0), 0);
	assert_int_equal(decode_groups(100, "08 01", 0), -EBADMSG);
	assert_int_equal(decode_groups(101, "", 0), -EBADMSG);
	/* A message is a level, too. */
	assert_int_equal(decode_groups(98, "08 01", 1), 0);
	assert_int_equal(decode_groups(99, "", 1), 0);
	assert_int_equal(decode_groups(99, "08 01", 1), -EBADMSG);
	assert_int_equal(decode_groups(100, "", 1), -EBADMSG);
}

/* --- text --- */

static int decode_text(unsigned field, const uint8_t *bytes, size_t len)
{
	struct sample sample;
	uint8_t message[128] = { (uint8_t)(field << 3 | 2), (uint8_t)len };

	memcpy(message + 2, bytes, len);
	return belay__proto_decode(&sample_type, message, len + 2, &sample);
}

static void text_is_utf8_wherever_the_bad_byte_is(void **state)
{
	(void)state;
	for (size_t len = 0; len <= 40; len++) {
		uint8_t bytes[40];

		memset(bytes, 'x', sizeof(bytes));
		assert_int_equal(decode_text(6, bytes, len), 0);
		for (size_t i = 0; i < len; i++) {
			memset(bytes, 'x', sizeof(bytes));
			bytes[i] = 0xff;
			assert_int_equal(decode_text(6, bytes, len), -EBADMSG);
			assert_int_equal(decode_text(9, bytes, len), -EBADMSG);
			assert_int_equal(decode_text(7, bytes, len), 0); /* bytes */
			if (i + 1 == len)
				continue;
			bytes[i] = 0xc3;
			bytes[i + 1] = 0xa4;
			assert_int_equal(decode_text(6, bytes, len), 0);
			bytes[i + 1] = 0x00;
			assert_int_equal(decode_text(6, bytes, len), -EBADMSG);
		}
	}
}

static void the_edges_of_utf8_hold(void **state)
{
	(void)state;
	assert_int_equal(decoded("32 01 00").text.len, 1);
	assert_int_equal(decoded("32 04 f4 8f bf bf").text.len, 4);
	assert_int_equal(decoded("32 03 ed 9f bf").text.len, 3);
	assert_refused("32 04 f4 90 80 80"); /* behind the last character */
	assert_refused("32 03 ed a0 80");    /* a surrogate */
	assert_refused("32 02 c0 80");       /* longer than it must be */
	assert_refused("32 03 e2 82 ac 80");
	assert_refused("32 02 e2 82 ac");    /* cut by the length */
	assert_refused("8a 01 01 ff");       /* in a list */
	assert_refused("52 03 12 01 ff");    /* in a message */
	assert_refused("92 01 03 12 01 ff"); /* in a message of a list */
	(void)decoded("fa 01 01 ff");        /* nobody knows whether this is text */
}

/* --- lists, messages, alternatives --- */

static void assert_list(const struct belay__repeated *list, const char *joined)
{
	char is[64] = "";
	uint64_t cursor = 0;
	struct belay_bytes item;
	size_t count = 0;

	while (belay__repeated_next(list, &cursor, &item) == 1) {
		(void)strncat(is, (const char *)item.at, item.len);
		(void)strcat(is, ",");
		count++;
	}
	assert_string_equal(is, joined);
	assert_int_equal(count, list->count);
	assert_int_equal(belay__repeated_next(list, &cursor, &item), 0);
}

static void numbers_come_packed_or_not(void **state)
{
	struct sample sample = decoded(
		"68 01 6a 03 02 ac 02 6a 00 f8 01 07 68 03 6a 05 ff ff ff ff 1f");
	static const uint32_t should[] = { 1, 2, 300, 3, UINT32_MAX };
	uint32_t number;
	uint64_t cursor = 0;
	(void)state;

	assert_int_equal(sample.u32s.count, COUNT(should));
	for (size_t i = 0; i < COUNT(should); i++) {
		assert_int_equal(belay__repeated_next(&sample.u32s, &cursor, &number), 1);
		assert_int_equal(number, should[i]);
	}
	assert_int_equal(belay__repeated_next(&sample.u32s, &cursor, &number), 0);
	assert_int_equal(decoded("6a 00").u32s.count, 0);
	assert_refused("6a 0b 80 80 80 80 80 80 80 80 80 80 00");
}

static void an_empty_list_ends_at_once(void **state)
{
	struct sample sample = decoded("08 01");
	(void)state;

	assert_list(&sample.texts, "");
	assert_list(&sample.inner.list, "");
	sample = decoded("6a 00");
	assert_list(&sample.u32s, "");
}

static void equal_messages_are_merged(void **state)
{
	struct sample sample = decoded(
		"52 05 08 01 1a 01 61 08 09 52 00 52 0a 12 01 74 1a 01 62 1a 02 "
		"63 64 52 02 08 05 52 03 1a 01 65 10 01");
	(void)state;

	assert_true(sample.has_inner);
	assert_int_equal(sample.inner.number, 5);
	assert_bytes(sample.inner.text, "t");
	assert_list(&sample.inner.list, "a,b,cd,e,");
	assert_int_equal(sample.u32, 9);
	assert_int_equal(sample.u64, 1);
}

/* Whoever repeats what is around the elements does not make walking them slow: by squares, this would
 * take minutes. */
static void a_walk_takes_one_step_an_element(void **state)
{
	enum { OCCURRENCES = 400000, EACH = 5 };
	static uint8_t bytes[OCCURRENCES * EACH];
	struct sample sample;
	struct belay_bytes item;
	uint64_t cursor = 0;
	size_t count = 0;
	(void)state;

	for (size_t i = 0; i < OCCURRENCES; i++)
		memcpy(bytes + i * EACH, "\x52\x03\x1a\x01x", EACH);
	assert_int_equal(belay__proto_decode(&sample_type, bytes, sizeof(bytes), &sample), 0);
	assert_int_equal(sample.inner.list.count, OCCURRENCES);
	while (belay__repeated_next(&sample.inner.list, &cursor, &item) == 1)
		count++;
	assert_int_equal(count, OCCURRENCES);
}

static void elements_keep_their_lists(void **state)
{
	struct sample sample = decoded(
		"92 01 08 1a 01 61 12 00 1a 01 62 08 01 92 01 00 92 01 02 08 07");
	struct inner inner;
	uint64_t cursor = 0;
	(void)state;

	assert_int_equal(sample.inners.count, 3);
	assert_int_equal(belay__repeated_next(&sample.inners, &cursor, &inner), 1);
	assert_list(&inner.list, "a,b,");
	assert_int_equal(belay__repeated_next(&sample.inners, &cursor, &inner), 1);
	assert_list(&inner.list, "");
	assert_int_equal(belay__repeated_next(&sample.inners, &cursor, &inner), 1);
	assert_int_equal(inner.number, 7);
	assert_int_equal(belay__repeated_next(&sample.inners, &cursor, &inner), 0);
	assert_refused("92 01 01 08");    /* one of them cut */
	assert_refused("92 01 02 0a 00"); /* one of them wrong */
}

static void of_alternatives_the_last_wins(void **state)
{
	struct sample sample = decoded("5a 02 08 01 62 02 08 02");
	(void)state;

	assert_int_equal(sample.which, 12);
	assert_int_equal(sample.right.number, 2);
	assert_int_equal(sample.left.number, 0);
	assert_int_equal(decoded("62 00").which, 12);
	assert_int_equal(decoded("").which, 0);

	/* The same again is merged, after another it begins anew. */
	sample = decoded("5a 05 08 01 1a 01 61 5a 05 12 01 74 08 03 5a 03 1a 01 62");
	assert_int_equal(sample.which, 11);
	assert_int_equal(sample.left.number, 3);
	assert_list(&sample.left.list, "a,b,");
	sample = decoded("5a 05 08 01 1a 01 61 62 05 08 09 1a 01 7a 5a 03 1a 01 62 5a 03 1a 01 63");
	assert_int_equal(sample.which, 11);
	assert_int_equal(sample.left.number, 0);
	assert_list(&sample.left.list, "b,c,");
	assert_int_equal(sample.right.list.count, 0);
}

/* --- writing --- */

static void defaults_are_left_out(void **state)
{
	struct sample sample = { .u32 = 0 };
	(void)state;

	assert_encoded(&sample, "");
	assert_int_equal(belay__proto_encode(&sample_type, &sample, NULL, 0), 0);
}

static void what_is_optional_is_written_when_it_is_there(void **state)
{
	struct sample sample = { .has_maybe = true,
		.has_title = true,
		.has_inner = true,
		.which = 12 };
	(void)state;

	assert_encoded(&sample, "40 00 4a 00 52 00 62 00");
	sample = (struct sample){ .maybe = 1, .inner.number = 1, .left.number = 1 };
	assert_encoded(&sample, "");
}

static void numbers_are_as_long_as_they_must_be(void **state)
{
	struct sample sample = { .u32 = 127, .u64 = 128, .flag = true };
	(void)state;

	assert_encoded(&sample, "08 7f 10 80 01 28 01");
	sample = (struct sample){ .u32 = UINT32_MAX, .u64 = UINT64_MAX, .i32 = INT32_MAX };
	assert_encoded(&sample,
		"08 ff ff ff ff 0f 10 ff ff ff ff ff ff ff ff ff 01 18 ff ff ff ff 07");
	sample = (struct sample){ .i32 = -1, .kind = INT32_MIN };
	assert_encoded(&sample, "18 ff ff ff ff ff ff ff ff ff 01 20 80 80 80 80 f8 ff ff ff ff 01");
}

static void lists_are_written_packed_or_one_by_one(void **state)
{
	const uint32_t numbers[] = { 0, 1, 300 };
	const uint64_t long_ones[] = { UINT64_MAX };
	const int32_t signed_ones[] = { -1, 2 };
	const bool flags[] = { true, false };
	const struct belay_bytes texts[] = { text("a"), text(""), text("bc") };
	const struct inner inners[] = {
		{ .number = 1 },
		{ .number = 0 },
		{ .list = { .items = texts, .count = 2 } },
	};
	struct sample sample = {
		.u32s = { .items = numbers, .count = COUNT(numbers) },
		.u64s = { .items = long_ones, .count = COUNT(long_ones) },
		.i32s = { .items = signed_ones, .count = COUNT(signed_ones) },
		.flags = { .items = flags, .count = COUNT(flags) },
		.texts = { .items = texts, .count = COUNT(texts) },
		.inners = { .items = inners, .count = COUNT(inners) },
	};
	static const char hex[] = "6a 04 00 01 ac 02 72 0a ff ff ff ff ff ff ff ff ff 01 "
				  "7a 0b ff ff ff ff ff ff ff ff ff 01 02 82 01 02 01 00 "
				  "8a 01 01 61 8a 01 00 8a 01 02 62 63 "
				  "92 01 02 08 01 92 01 00 92 01 05 1a 01 61 1a 00";
	(void)state;

	assert_encoded(&sample, hex);
	/* What was read is written as what was given. */
	sample = decoded(hex);
	assert_encoded(&sample, hex);
}

/* Room for a length is kept before the length is known; a long one moves what was written. */
static void lengths_are_exact_on_both_sides_of_their_edges(void **state)
{
	static const size_t lens[] = { 0, 1, 123, 124, 125, 126, 127, 128, 129, 16379, 16380, 16381,
		16383, 16384, 2097148, 2097149, 2097152 };
	static uint8_t content[2097152], out[2097152 + 64];
	(void)state;

	memset(content, 'x', sizeof(content));
	for (size_t i = 0; i < COUNT(lens); i++) {
		struct sample sample = { .has_inner = true, .inner.text = { content, lens[i] } },
			      again;
		ssize_t size = belay__proto_size(&sample_type, &sample);

		memset(out, 0xa5, sizeof(out));
		assert_int_equal(belay__proto_encode(&sample_type, &sample, out, (size_t)size),
			size);
		assert_int_equal(out[size], 0xa5);
		assert_int_equal(belay__proto_encode(&sample_type, &sample, out, (size_t)size - 1),
			-EMSGSIZE);
		assert_int_equal(belay__proto_encode(&sample_type, &sample, out, sizeof(out)), size);
		assert_int_equal(belay__proto_decode(&sample_type, out, (size_t)size, &again), 0);
		assert_int_equal(again.inner.text.len, lens[i]);
	}
}

static void what_is_no_text_is_not_written(void **state)
{
	static const uint8_t bad[] = { 'a', 0xff };
	const struct belay_bytes no_text = { bad, sizeof(bad) };
	struct sample samples[] = {
		{ .text = no_text },
		{ .has_title = true, .title = no_text },
		{ .has_inner = true, .inner.text = no_text },
		{ .texts = { .items = &no_text, .count = 1 } },
		{ .which = 11, .left.list = { .items = &no_text, .count = 1 } },
	};
	struct sample bytes = { .bytes = no_text, .inner.text = no_text };
	uint8_t out[64];
	(void)state;

	for (size_t i = 0; i < COUNT(samples); i++) {
		assert_int_equal(belay__proto_size(&sample_type, &samples[i]), -EINVAL);
		assert_int_equal(belay__proto_encode(&sample_type, &samples[i], out, sizeof(out)),
			-EINVAL);
	}
	assert_encoded(&bytes, "3a 02 61 ff");
}

static void what_is_too_large_is_neither_read_nor_written(void **state)
{
	uint8_t byte = 0, out[64];
	struct sample sample = { .bytes = { &byte, (size_t)INT32_MAX + 1 } };
	(void)state;

	assert_int_equal(belay__proto_size(&sample_type, &sample), -EMSGSIZE);
	assert_int_equal(belay__proto_encode(&sample_type, &sample, out, sizeof(out)), -EMSGSIZE);
	assert_int_equal(belay__proto_encode(&sample_type, &sample, out, SIZE_MAX), -EMSGSIZE);
	sample.bytes.len = INT32_MAX - 6; /* with its key and its length the longest of all */
	assert_int_equal(belay__proto_size(&sample_type, &sample), INT32_MAX);
	sample.bytes.len++;
	assert_int_equal(belay__proto_size(&sample_type, &sample), -EMSGSIZE);
	assert_int_equal(belay__proto_encode(&sample_type, &sample, out, sizeof(out)), -EMSGSIZE);
	assert_int_equal(belay__proto_decode(&sample_type, &byte, (size_t)INT32_MAX + 1, &sample),
		-EBADMSG);
}

static void fields_may_come_in_any_order(void **state)
{
	struct sample sample = decoded("8a 01 01 61 10 02 8a 01 01 62 08 01 32 01 7a 8a 01 01 63");
	(void)state;

	assert_encoded(&sample, "08 01 10 02 32 01 7a 8a 01 01 61 8a 01 01 62 8a 01 01 63");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_varint_has_up_to_ten_bytes_and_the_tenth_one_bit),
		cmocka_unit_test(numbers_of_32_bits_take_the_low_half),
		cmocka_unit_test(every_varint_but_zero_is_true),
		cmocka_unit_test(of_equal_scalars_the_last_wins),
		cmocka_unit_test(keys_are_checked),
		cmocka_unit_test(a_known_field_has_its_own_wire_type),
		cmocka_unit_test(unknown_fields_are_skipped),
		cmocka_unit_test(what_is_cut_is_refused),
		cmocka_unit_test(groups_end_as_they_began),
		cmocka_unit_test(a_hundred_levels_may_be_entered),
		cmocka_unit_test(text_is_utf8_wherever_the_bad_byte_is),
		cmocka_unit_test(the_edges_of_utf8_hold),
		cmocka_unit_test(numbers_come_packed_or_not),
		cmocka_unit_test(an_empty_list_ends_at_once),
		cmocka_unit_test(equal_messages_are_merged),
		cmocka_unit_test(a_walk_takes_one_step_an_element),
		cmocka_unit_test(elements_keep_their_lists),
		cmocka_unit_test(of_alternatives_the_last_wins),
		cmocka_unit_test(defaults_are_left_out),
		cmocka_unit_test(what_is_optional_is_written_when_it_is_there),
		cmocka_unit_test(numbers_are_as_long_as_they_must_be),
		cmocka_unit_test(lists_are_written_packed_or_one_by_one),
		cmocka_unit_test(lengths_are_exact_on_both_sides_of_their_edges),
		cmocka_unit_test(what_is_no_text_is_not_written),
		cmocka_unit_test(what_is_too_large_is_neither_read_nor_written),
		cmocka_unit_test(fields_may_come_in_any_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
