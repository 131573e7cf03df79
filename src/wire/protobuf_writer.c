#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/hot.h"
#include "wire/protobuf_internal.h"

#define KEY_MAX    5 /* bytes */
#define NUMBER_MAX 10

BELAY__INLINE const void *member(const void *message, size_t offset)
{
	return (const uint8_t *)message + offset;
}

BELAY__INLINE size_t varint_len(uint64_t value)
{
	unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);

	return (bits + 6) / 7;
}

/* What a number is as a varint: those with a sign take ten bytes when they are below zero. */
BELAY__INLINE uint64_t load_number(unsigned kind, const void *place)
{
	if (kind == BELAY__PROTO_U64)
		return *(const uint64_t *)place;
	if (kind == BELAY__PROTO_BOOL)
		return *(const bool *)place;
	if (kind == BELAY__PROTO_U32)
		return *(const uint32_t *)place;
	return (uint64_t)(int64_t) * (const int32_t *)place;
}

/* Whether the field is to be written at all; whether its value is the default is not looked at. */
BELAY__INLINE bool is_there(const struct belay__proto_field *field, const void *message)
{
	if (field->label == BELAY__PROTO_OPTIONAL)
		return *(const bool *)member(message, field->has_offset);
	if (field->label == BELAY__PROTO_ONEOF)
		return *(const uint32_t *)member(message, field->has_offset) == field->key >> 3;
	return true;
}

static size_t element_size(const struct belay__proto_field *field)
{
	switch ((enum belay__proto_kind)field->kind) {
	case BELAY__PROTO_U32:
	case BELAY__PROTO_I32:
	case BELAY__PROTO_ENUM:
		return sizeof(uint32_t);
	case BELAY__PROTO_U64:
		return sizeof(uint64_t);
	case BELAY__PROTO_BOOL:
		return sizeof(bool);
	case BELAY__PROTO_STRING:
	case BELAY__PROTO_BYTES:
		return sizeof(struct belay_bytes);
	case BELAY__PROTO_MESSAGE:
		break;
	}
	return field->type->size;
}

/* Goes through the elements of a repeated field, those of a caller or those that were read. */
struct elements {
	const struct belay__repeated *repeated;
	size_t size, i;
	uint64_t cursor;
	union belay__proto_element read;
};

static void elements_init(struct elements *elements, const struct belay__proto_field *field,
	const void *message)
{
	elements->repeated = member(message, field->offset);
	elements->size = element_size(field);
	elements->i = 0;
	elements->cursor = 0;
	assert(elements->size <= sizeof(elements->read));
}

static const void *next_element(struct elements *elements)
{
	const struct belay__repeated *repeated = elements->repeated;

	if (elements->i == repeated->count)
		return NULL;
	if (repeated->items != NULL)
		return member(repeated->items, elements->i++ * elements->size);
	elements->i++;
	return belay__repeated_next(repeated, &elements->cursor, &elements->read) == 1
		? &elements->read
		: NULL;
}

/* --- how long it will be; negative errnos pass through --- */

static int64_t fields_len(const struct belay__proto_type *type, const void *message);

static int64_t with_length(int64_t len)
{
	if (len > INT32_MAX)
		return -EMSGSIZE;
	return len < 0 ? len : len + (int64_t)varint_len((uint64_t)len);
}

/* Of a value behind its key. */
static int64_t value_len(const struct belay__proto_field *field, const void *place)
{
	const struct belay_bytes *bytes = place;

	if (field->kind < BELAY__PROTO_STRING)
		return (int64_t)varint_len(load_number(field->kind, place));
	if (field->kind == BELAY__PROTO_MESSAGE)
		return with_length(fields_len(field->type, place));
	if (bytes->len > INT32_MAX)
		return -EMSGSIZE;
	if (field->kind == BELAY__PROTO_STRING && !belay__proto_is_text(bytes->at, bytes->len))
		return -EINVAL;
	return with_length((int64_t)bytes->len);
}

static int64_t repeated_len(const struct belay__proto_field *field, const void *message)
{
	bool packed = field->kind < BELAY__PROTO_STRING;
	int64_t key_len = (int64_t)varint_len(field->key), sum = 0;
	struct elements elements BELAY__UNCLEARED;
	const void *element;

	elements_init(&elements, field, message);
	while ((element = next_element(&elements)) != NULL) {
		int64_t len = value_len(field, element);

		if (len < 0)
			return len;
		sum += packed ? len : key_len + len;
		if (sum > INT32_MAX)
			return -EMSGSIZE;
	}
	return packed && sum > 0 ? key_len + with_length(sum) : sum;
}

static bool is_default(const struct belay__proto_field *field, const void *place)
{
	if (field->label != BELAY__PROTO_PLAIN)
		return false;
	if (field->kind < BELAY__PROTO_STRING)
		return load_number(field->kind, place) == 0;
	return ((const struct belay_bytes *)place)->len == 0;
}

static int64_t field_len(const struct belay__proto_field *field, const void *message)
{
	const void *place = member(message, field->offset);
	int64_t len;

	if (field->label == BELAY__PROTO_REPEATED)
		return repeated_len(field, message);
	if (!is_there(field, message) || is_default(field, place))
		return 0;
	len = value_len(field, place);
	return len < 0 ? len : (int64_t)varint_len(field->key) + len;
}

static int64_t fields_len(const struct belay__proto_type *type, const void *message)
{
	int64_t sum = 0;

	for (size_t i = 0; i < type->field_count; i++) {
		int64_t len = field_len(&type->fields[i], message);

		if (len < 0)
			return len;
		sum += len;
	}
	return sum > INT32_MAX ? -EMSGSIZE : sum;
}

ssize_t belay__proto_size(const struct belay__proto_type *type, const void *message)
{
	return (ssize_t)fields_len(type, message);
}

/* --- the bytes; all return what follows them, or NULL: there is no room, or no text --- */

static uint8_t *put_fields(const struct belay__proto_type *type, const void *message, uint8_t *at,
	uint8_t *end);

BELAY__INLINE uint8_t *put_varint(uint8_t *at, uint64_t value)
{
	while (value >= 0x80) {
		*at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}

/* Lengths are added up only near the end of the room. */
BELAY__INLINE bool has_room(const uint8_t *at, const uint8_t *end, uint64_t key, uint64_t number,
	size_t behind)
{
	size_t room = (size_t)(end - at);

	if (room >= KEY_MAX + NUMBER_MAX && room - (KEY_MAX + NUMBER_MAX) >= behind)
		return true;
	return room >= behind && room - behind >= varint_len(key) + varint_len(number);
}

BELAY__INLINE uint8_t *put_number(const struct belay__proto_field *field, uint64_t number,
	uint8_t *at, uint8_t *end)
{
	if (!has_room(at, end, field->key, number, 0))
		return NULL;
	return put_varint(put_varint(at, field->key), number);
}

BELAY__INLINE uint8_t *put_bytes(const struct belay__proto_field *field,
	const struct belay_bytes *bytes, uint8_t *at, uint8_t *end)
{
	if (!has_room(at, end, field->key, bytes->len, bytes->len) || bytes->len > INT32_MAX)
		return NULL;
	if (field->kind == BELAY__PROTO_STRING && !belay__proto_is_text(bytes->at, bytes->len))
		return NULL;
	at = put_varint(put_varint(at, field->key), bytes->len);
	if (bytes->len > 0)
		memcpy(at, bytes->at, bytes->len);
	return at + bytes->len;
}

/* Writes the key of something whose length will be known when it is written, and leaves one byte for
 * that. */
static uint8_t *open_length(uint32_t key, uint8_t *at, const uint8_t *end)
{
	if ((size_t)(end - at) < varint_len(key) + 1)
		return NULL;
	return put_varint(at, key) + 1;
}

/* What was begun at START ends at AT. Few are longer than one byte can say; they move. */
static uint8_t *close_length(uint8_t *start, uint8_t *at, const uint8_t *end)
{
	size_t len = (size_t)(at - start), more = varint_len(len) - 1;

	if (more > (size_t)(end - at) || len > INT32_MAX)
		return NULL;
	if (more > 0)
		memmove(start + more, start, len);
	(void)put_varint(start - 1, len);
	return at + more;
}

static uint8_t *put_message(const struct belay__proto_field *field, const void *message,
	uint8_t *at, uint8_t *end)
{
	uint8_t *start = open_length(field->key | BELAY__WIRE_BYTES, at, end);

	if (start == NULL)
		return NULL;
	at = put_fields(field->type, message, start, end);
	return at == NULL ? NULL : close_length(start, at, end);
}

static uint8_t *put_packed(const struct belay__proto_field *field, struct elements *elements,
	uint8_t *at, uint8_t *end)
{
	uint8_t *start = open_length(field->key | BELAY__WIRE_BYTES, at, end);
	const void *element;

	if (start == NULL)
		return NULL;
	at = start;
	while ((element = next_element(elements)) != NULL) {
		uint64_t number = load_number(field->kind, element);

		if ((size_t)(end - at) < varint_len(number))
			return NULL;
		at = put_varint(at, number);
	}
	return close_length(start, at, end);
}

__attribute__((noinline)) static uint8_t *put_repeated(const struct belay__proto_field *field,
	const void *message, uint8_t *at, uint8_t *end)
{
	struct elements elements BELAY__UNCLEARED;
	const void *element;

	elements_init(&elements, field, message);
	if (field->kind < BELAY__PROTO_STRING)
		return put_packed(field, &elements, at, end);
	while (at != NULL && (element = next_element(&elements)) != NULL)
		at = field->kind == BELAY__PROTO_MESSAGE ? put_message(field, element, at, end)
							 : put_bytes(field, element, at, end);
	return at;
}

BELAY__INLINE uint8_t *put_field(const struct belay__proto_field *field, const void *message,
	uint8_t *at, uint8_t *end)
{
	const void *place = member(message, field->offset);

	if (field->label == BELAY__PROTO_REPEATED)
		return ((const struct belay__repeated *)place)->count == 0
			? at
			: put_repeated(field, message, at, end);
	if (!is_there(field, message))
		return at;
	if (field->kind == BELAY__PROTO_MESSAGE)
		return put_message(field, place, at, end);
	if (is_default(field, place))
		return at;
	if (field->kind < BELAY__PROTO_STRING)
		return put_number(field, load_number(field->kind, place), at, end);
	return put_bytes(field, place, at, end);
}

BELAY__HOT static uint8_t *put_fields(const struct belay__proto_type *type, const void *message,
	uint8_t *at, uint8_t *end)
{
	for (size_t i = 0; at != NULL && i < type->field_count; i++)
		at = put_field(&type->fields[i], message, at, end);
	return at;
}

BELAY__HOT ssize_t belay__proto_encode(const struct belay__proto_type *type, const void *message,
	uint8_t *out, size_t size)
{
	size_t room = size < INT32_MAX ? size : INT32_MAX;
	const uint8_t *end = room == 0 ? out : put_fields(type, message, out, out + room);
	ssize_t len;

	if (end != NULL && room > 0)
		return end - out;
	len = belay__proto_size(type, message);
	if (len == 0)
		return 0;
	return len < 0 ? len : -EMSGSIZE;
}
