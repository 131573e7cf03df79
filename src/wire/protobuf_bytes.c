#include "base/hot.h"
#include "base/utf8.h"
#include "wire/protobuf_internal.h"

#define VARINT_MAX     10 /* bytes */
#define LAST_BYTE_STOP 2  /* the tenth byte carries one bit */

/* --- text --- */

static bool is_text_by_character(const uint8_t *at, size_t len)
{
	while (len > 0) {
		size_t character = *at < 0x80 ? 1 : belay__utf8_len((const char *)at, len);

		if (character == 0)
			return false;
		at += character;
		len -= character;
	}
	return true;
}

/* Eight bytes at a time while they are ASCII, the last eight once more where they overlap. */
bool belay__proto_is_long_text(const uint8_t *at, size_t len)
{
	size_t done = 0;

	if (len < sizeof(uint64_t))
		return is_text_by_character(at, len);
	while (len - done >= sizeof(uint64_t) && belay__is_ascii_word(at + done))
		done += sizeof(uint64_t);
	if (len - done < sizeof(uint64_t) && belay__is_ascii_word(at + len - sizeof(uint64_t)))
		return true;
	return is_text_by_character(at + done, len - done);
}

/* --- fields --- */

BELAY__HOT struct belay__varint belay__read_long_varint(const uint8_t *at, const uint8_t *end)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < VARINT_MAX && at < end; i++) {
		uint8_t byte = *at++;

		value |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte >= 0x80)
			continue;
		if (i == VARINT_MAX - 1 && byte >= LAST_BYTE_STOP)
			break;
		return (struct belay__varint){ at, value };
	}
	return (struct belay__varint){ NULL, 0 };
}

static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end, uint64_t key)
{
	struct belay__varint len = { at, 0 };

	switch ((enum belay__wire_type)(key & 7)) {
	case BELAY__WIRE_VARINT:
		return belay__read_varint(at, end).end;
	case BELAY__WIRE_BYTES:
		len = belay__read_len(at, end);
		break;
	case BELAY__WIRE_FIXED64:
		len.value = sizeof(uint64_t);
		break;
	case BELAY__WIRE_FIXED32:
		len.value = sizeof(uint32_t);
		break;
	case BELAY__WIRE_GROUP:
	case BELAY__WIRE_GROUP_END:
		return NULL;
	}
	if (len.end == NULL || len.value > (uint64_t)(end - len.end))
		return NULL;
	return len.end + len.value;
}

const uint8_t *belay__skip_field(const uint8_t *at, const uint8_t *end, uint64_t key, unsigned depth)
{
	uint32_t open[BELAY__PROTO_DEPTH] BELAY__UNCLEARED;
	unsigned count = 0;

	for (;;) {
		struct belay__varint next;

		if ((key & 7) == BELAY__WIRE_GROUP_END) {
			if (count == 0 || open[--count] != key >> 3)
				return NULL;
		} else if (count == depth) {
			return NULL;
		} else if ((key & 7) == BELAY__WIRE_GROUP) {
			open[count++] = (uint32_t)(key >> 3);
		} else {
			at = skip_value(at, end, key);
		}
		if (at == NULL || count == 0)
			return at;
		next = belay__read_key(at, end);
		if (next.end == NULL)
			return NULL;
		at = next.end;
		key = next.value;
	}
}
