#include "wire/protobuf.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "base/hot.h"
#include "wire/protobuf_internal.h"

static const struct belay__proto_field entry_rows[] = {
	BELAY__PLAIN(1, STRING, struct belay__proto_entry, key),
	BELAY__PLAIN(2, STRING, struct belay__proto_entry, value),
};
const struct belay__proto_type belay__type_entry = BELAY__PROTO_TYPE("entry",
	struct belay__proto_entry, entry_rows);

BELAY__INLINE void *member(void *message, size_t offset)
{
	return (uint8_t *)message + offset;
}

/* Where a message lies that is being read. */
struct site {
	const uint8_t *root_end; /* of the message that the caller asked for, or of an element */
	const struct belay__proto_field *outer; /* of the root: the one that this is in, or NULL */
	unsigned below_root;                    /* levels */
	unsigned depth;                         /* levels that may still be entered */
};

static bool decode_fields(const struct belay__proto_type *type, const uint8_t *at,
	const uint8_t *end, void *message, const struct site *site);

/* N more elements of FIELD are in the field that begins at START, in a message that ends at END. */
BELAY__INLINE void count_elements(struct belay__repeated *repeated,
	const struct belay__proto_field *field, const uint8_t *start, const uint8_t *end,
	const struct site *site, size_t n)
{
	if (repeated->field == NULL) {
		assert(site->below_root == 0 ||
			(site->below_root == 1 && field->kind >= BELAY__PROTO_STRING));
		repeated->root = (struct belay_bytes){ start, (size_t)(site->root_end - start) };
		repeated->outer_len = (size_t)(end - start);
		repeated->outer = site->outer;
		repeated->field = field;
	}
	repeated->count += n;
}

/* An element is decoded to see that it can be, and thrown away. */
__attribute__((noinline)) static bool is_element(const struct belay__proto_type *type,
	const uint8_t *at, const uint8_t *end, const struct site *site)
{
	const struct site inside = { .root_end = end, .depth = site->depth - 1 };
	union belay__proto_element scratch BELAY__UNCLEARED;

	assert(type->size <= sizeof(scratch));
	if (site->depth == 0)
		return false;
	memset(&scratch, 0, type->size);
	return decode_fields(type, at, end, &scratch, &inside);
}

static const uint8_t *decode_element(const struct belay__proto_field *field, const uint8_t *start,
	const uint8_t *at, const uint8_t *end, void *message, const struct site *site)
{
	struct belay__varint value;

	if (field->kind < BELAY__PROTO_STRING) {
		value = belay__read_varint(at, end);
		at = value.end;
	} else {
		value = belay__read_len(at, end);
		if (value.end == NULL)
			return NULL;
		at = value.end + value.value;
	}
	if (at == NULL)
		return NULL;
	if (field->kind == BELAY__PROTO_STRING &&
		!belay__proto_is_text(value.end, (size_t)value.value))
		return NULL;
	if (field->kind == BELAY__PROTO_MESSAGE && !is_element(field->type, value.end, at, site))
		return NULL;
	count_elements(member(message, field->offset), field, start, end, site, 1);
	return at;
}

static const uint8_t *decode_packed(const struct belay__proto_field *field, const uint8_t *start,
	const uint8_t *at, const uint8_t *end, void *message, const struct site *site)
{
	struct belay__varint run = belay__read_len(at, end);
	const uint8_t *in = run.end, *stop;
	size_t n = 0;

	if (run.end == NULL)
		return NULL;
	for (stop = run.end + run.value; in < stop; n++) {
		in = belay__read_varint(in, stop).end;
		if (in == NULL)
			return NULL;
	}
	count_elements(member(message, field->offset), field, start, end, site, n);
	return stop;
}

/* Another of the alternatives than before: it starts empty, and the one before is forgotten. */
static void choose(const struct belay__proto_type *type, const struct belay__proto_field *field,
	void *message)
{
	uint32_t *which = member(message, field->has_offset);

	if (*which == field->key >> 3)
		return;
	for (size_t i = 0; *which != 0 && i < type->field_count; i++) {
		const struct belay__proto_field *other = &type->fields[i];

		if (other->label == BELAY__PROTO_ONEOF && other->has_offset == field->has_offset)
			memset(member(message, other->offset), 0, other->type->size);
	}
	*which = field->key >> 3;
}

__attribute__((noinline)) static const uint8_t *decode_submessage(
	const struct belay__proto_type *type, const struct belay__proto_field *field,
	const uint8_t *at, const uint8_t *end, void *message, const struct site *site)
{
	struct site inside = *site;
	struct belay__varint len = belay__read_len(at, end);

	if (len.end == NULL || site->depth == 0)
		return NULL;
	if (field->label == BELAY__PROTO_ONEOF)
		choose(type, field, message);
	else
		*(bool *)member(message, field->has_offset) = true;

	if (site->outer == NULL)
		inside.outer = field;
	inside.below_root++;
	inside.depth--;
	at = len.end + len.value;
	if (!decode_fields(field->type, len.end, at, member(message, field->offset), &inside))
		return NULL;
	return at;
}

/* Reads what follows the key of FIELD. */
BELAY__INLINE const uint8_t *decode_value(const struct belay__proto_field *field, const uint8_t *at,
	const uint8_t *end, void *message)
{
	void *place = member(message, field->offset);
	struct belay__varint value;

	if (field->kind < BELAY__PROTO_STRING) {
		value = belay__read_varint(at, end);
		if (value.end == NULL)
			return NULL;
		belay__store_number(field->kind, place, value.value);
		at = value.end;
	} else {
		value = belay__read_len(at, end);
		if (value.end == NULL)
			return NULL;
		if (field->kind == BELAY__PROTO_STRING &&
			!belay__proto_is_text(value.end, (size_t)value.value))
			return NULL;
		*(struct belay_bytes *)place = (struct belay_bytes){ value.end,
			(size_t)value.value };
		at = value.end + value.value;
	}
	if (field->label == BELAY__PROTO_OPTIONAL)
		*(bool *)member(message, field->has_offset) = true;
	return at;
}

/* Rows mostly come in order, so the search begins where the last one was found. */
static const struct belay__proto_field *find(const struct belay__proto_type *type,
	const struct belay__proto_field *from, uint64_t number)
{
	const struct belay__proto_field *end = type->fields + type->field_count;

	for (const struct belay__proto_field *field = from; field < end; field++)
		if (field->key >> 3 == number)
			return field;
	for (const struct belay__proto_field *field = type->fields; field < from; field++)
		if (field->key >> 3 == number)
			return field;
	return NULL;
}

/* A field of another key than any row has: unknown, packed, or of a wire type that it cannot have. */
__attribute__((noinline)) static const uint8_t *decode_other(const struct belay__proto_field *field,
	uint64_t key, const uint8_t *start, const uint8_t *at, const uint8_t *end, void *message,
	const struct site *site)
{
	if (field == NULL)
		return belay__skip_field(at, end, key, site->depth);
	if (field->label == BELAY__PROTO_REPEATED && belay__is_packed(field, key))
		return decode_packed(field, start, at, end, message, site);
	return NULL;
}

BELAY__HOT static bool decode_fields(const struct belay__proto_type *type, const uint8_t *at,
	const uint8_t *end, void *message, const struct site *site)
{
	const struct belay__proto_field *stop = type->fields + type->field_count;
	const struct belay__proto_field *next = type->fields;

	while (at < end) {
		const struct belay__proto_field *field = next;
		const uint8_t *start = at;
		struct belay__varint key = belay__read_varint(at, end);

		at = key.end;
		if (at == NULL)
			return false;
		if (field == stop || field->key != key.value) {
			if (!belay__is_key(key.value))
				return false;
			field = find(type, next, key.value >> 3);
		}
		if (field == NULL || field->key != key.value)
			at = decode_other(field, key.value, start, at, end, message, site);
		else if (field->label == BELAY__PROTO_REPEATED)
			at = decode_element(field, start, at, end, message, site);
		else if (field->kind == BELAY__PROTO_MESSAGE)
			at = decode_submessage(type, field, at, end, message, site);
		else
			at = decode_value(field, at, end, message);
		if (at == NULL)
			return false;
		next = field == NULL ? next : field + 1;
	}
	return true;
}

BELAY__HOT int belay__proto_decode(const struct belay__proto_type *type, const uint8_t *bytes,
	size_t len, void *message)
{
	struct site root = { .depth = BELAY__PROTO_DEPTH };

	memset(message, 0, type->size);
	if (len == 0)
		return 0;
	root.root_end = bytes + len;
	return len <= INT32_MAX && decode_fields(type, bytes, root.root_end, message, &root)
		? 0
		: -EBADMSG;
}
