/* protobuf_internal.h - what reading and writing protocol buffers share */
#pragma once

#include <string.h>

#include "wire/protobuf.h"

enum belay__wire_type {
	BELAY__WIRE_VARINT = 0,
	BELAY__WIRE_FIXED64 = 1,
	BELAY__WIRE_BYTES = 2,
	BELAY__WIRE_GROUP = 3,
	BELAY__WIRE_GROUP_END = 4,
	BELAY__WIRE_FIXED32 = 5,
};

/* Not worth clearing: the compilers are told to clear every local variable. */
#define BELAY__UNCLEARED __attribute__((uninitialized))

#define BELAY__INLINE static inline __attribute__((always_inline))

/* Room for one element of any repeated field. */
union belay__proto_element {
	uint64_t number;
	struct belay_bytes bytes;
	uint8_t message[BELAY__PROTO_STRUCT_MAX];
};

#define BELAY__HIGH_BITS UINT64_C(0x8080808080808080)

BELAY__INLINE bool belay__is_ascii_word(const uint8_t *at)
{
	uint64_t word;

	memcpy(&word, at, sizeof(word));
	return (word & BELAY__HIGH_BITS) == 0;
}

/* Whether the LEN bytes at AT are UTF-8. */
bool belay__proto_is_long_text(const uint8_t *at, size_t len);

/* The same. Nearly all text is short and ASCII: one or two looks, which may overlap, tell. */
BELAY__INLINE bool belay__proto_is_text(const uint8_t *at, size_t len)
{
	uint32_t first, last;

	if (len >= sizeof(uint64_t)) {
		if (len <= 2 * sizeof(uint64_t) && belay__is_ascii_word(at) &&
			belay__is_ascii_word(at + len - sizeof(uint64_t)))
			return true;
	} else if (len >= sizeof(first)) {
		memcpy(&first, at, sizeof(first));
		memcpy(&last, at + len - sizeof(last), sizeof(last));
		if (((first | last) & (uint32_t)BELAY__HIGH_BITS) == 0)
			return true;
	} else if (len == 0 || (at[0] | at[len / 2] | at[len - 1]) < 0x80) {
		return true;
	}
	return belay__proto_is_long_text(at, len);
}

/* --- what fields are made of --- */

/* Something that was read and where it ended, or NULL there: these are no such bytes. By value, so
 * that both stay in registers. */
struct belay__varint {
	const uint8_t *end;
	uint64_t value;
};

/* A varint of any length between AT and END. */
struct belay__varint belay__read_long_varint(const uint8_t *at, const uint8_t *end);

BELAY__INLINE struct belay__varint belay__read_varint(const uint8_t *at, const uint8_t *end)
{
	if (at < end && *at < 0x80)
		return (struct belay__varint){ at + 1, *at };
	return belay__read_long_varint(at, end);
}

/* The length of bytes and where they begin, when that many are there. */
BELAY__INLINE struct belay__varint belay__read_len(const uint8_t *at, const uint8_t *end)
{
	struct belay__varint len = belay__read_varint(at, end);

	if (len.end != NULL && len.value > (uint64_t)(end - len.end))
		len.end = NULL;
	return len;
}

BELAY__INLINE bool belay__is_key(uint64_t key)
{
	return key <= UINT32_MAX && key >> 3 != 0 && (key & 7) <= BELAY__WIRE_FIXED32;
}

BELAY__INLINE struct belay__varint belay__read_key(const uint8_t *at, const uint8_t *end)
{
	struct belay__varint key = belay__read_varint(at, end);

	if (!belay__is_key(key.value))
		key.end = NULL;
	return key;
}

/* Skips the field whose KEY was read, with all that is in it when it is a group. DEPTH more levels
 * may be entered; a field at a level where none is left is refused, like the peers do. Returns what
 * follows, or NULL: these are no such bytes. */
const uint8_t *belay__skip_field(const uint8_t *at, const uint8_t *end, uint64_t key,
	unsigned depth);

/* Whether KEY is that of a packed run of FIELD, which is repeated. */
BELAY__INLINE bool belay__is_packed(const struct belay__proto_field *field, uint64_t key)
{
	return field->kind < BELAY__PROTO_STRING && key == (field->key | BELAY__WIRE_BYTES);
}

/* Stores VALUE at PLACE as the type that goes with KIND. */
BELAY__INLINE void belay__store_number(unsigned kind, void *place, uint64_t value)
{
	if (kind == BELAY__PROTO_U64)
		*(uint64_t *)place = value;
	else if (kind == BELAY__PROTO_BOOL)
		*(bool *)place = value != 0;
	else
		*(uint32_t *)place = (uint32_t)value; /* the low half, also of I32 and ENUM */
}
