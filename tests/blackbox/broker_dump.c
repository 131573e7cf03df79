/* broker-dump: what Belay reads in the messages of broker v1, for test_broker_wire.py.
 *
 * Standard input is records: a type's place in the list below (one byte), a length (four bytes, least
 * significant first), and as many bytes. For each it prints one line: `error` when they are no such
 * message, else the content as NUMBER:VALUE;... in the order of the numbers and the bytes, in
 * hexadecimal, that Belay writes for it. Numbers are decimal, text and bytes hexadecimal behind an x,
 * messages in braces, repeated fields in brackets, maps in angles.
 */
#include <assert.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire/broker.h"
#include "wire/bytes.h"

#define NUMBER_MAX 255u

/* The order is that of TYPES in test_broker_wire.py. */
static const struct belay__proto_type *const types[] = {
	&belay__type_frame,
	&belay__type_hello,
	&belay__type_hello_reply,
	&belay__type_negotiated,
	&belay__type_refused,
	&belay__type_handoff_offer,
	&belay__type_handoff_ack,
	&belay__type_endpoint,
	&belay__type_daemon_process,
	&belay__type_admin_request,
	&belay__type_admin_reply,
	&belay__type_service_definition,
	&belay__type_cache_manifest,
	&belay__type_cache_root,
	&belay__type_lifecycle_event,
};

struct element {
	alignas(max_align_t) uint8_t bytes[BELAY__PROTO_STRUCT_MAX];
};

static void dump_message(const struct belay__proto_type *type, const void *message);

static void print_hex(const uint8_t *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		(void)printf("%02x", (unsigned)at[i]);
}

static void dump_value(const struct belay__proto_field *field, const void *value)
{
	const struct belay_bytes *bytes = value;

	switch ((enum belay__proto_kind)field->kind) {
	case BELAY__PROTO_U32:
		(void)printf("%u", *(const uint32_t *)value);
		break;
	case BELAY__PROTO_U64:
		(void)printf("%llu", (unsigned long long)*(const uint64_t *)value);
		break;
	case BELAY__PROTO_I32:
	case BELAY__PROTO_ENUM:
		(void)printf("%d", *(const int32_t *)value);
		break;
	case BELAY__PROTO_BOOL:
		(void)printf("%d", *(const bool *)value ? 1 : 0);
		break;
	case BELAY__PROTO_STRING:
	case BELAY__PROTO_BYTES:
		(void)putchar('x');
		print_hex(bytes->at, bytes->len);
		break;
	case BELAY__PROTO_MESSAGE:
		(void)putchar('{');
		dump_message(field->type, value);
		(void)putchar('}');
		break;
	}
}

static void dump_repeated(const struct belay__proto_field *field,
	const struct belay__repeated *repeated)
{
	bool is_map = field->type == &belay__type_entry;
	struct element element;
	uint64_t cursor = 0;
	size_t count = 0;

	(void)putchar(is_map ? '<' : '[');
	while (belay__repeated_next(repeated, &cursor, &element) == 1) {
		if (count++ > 0)
			(void)putchar(',');
		dump_value(field, &element);
	}
	(void)putchar(is_map ? '>' : ']');
	assert(count == repeated->count);
}

static bool is_zero(const struct belay__proto_field *field, const void *value)
{
	uint64_t number = 0;

	switch ((enum belay__proto_kind)field->kind) {
	case BELAY__PROTO_U64:
		memcpy(&number, value, sizeof(uint64_t));
		return number == 0;
	case BELAY__PROTO_U32:
	case BELAY__PROTO_I32:
	case BELAY__PROTO_ENUM:
		memcpy(&number, value, sizeof(uint32_t));
		return number == 0;
	case BELAY__PROTO_BOOL:
		return !*(const bool *)value;
	case BELAY__PROTO_STRING:
	case BELAY__PROTO_BYTES:
		return ((const struct belay_bytes *)value)->len == 0;
	case BELAY__PROTO_MESSAGE:
		break;
	}
	return false;
}

static bool is_there(const struct belay__proto_field *field, const uint8_t *message)
{
	const void *value = message + field->offset, *has = message + field->has_offset;

	switch ((enum belay__proto_label)field->label) {
	case BELAY__PROTO_PLAIN:
		return !is_zero(field, value);
	case BELAY__PROTO_OPTIONAL:
		return *(const bool *)has;
	case BELAY__PROTO_REPEATED:
		return ((const struct belay__repeated *)value)->count > 0;
	case BELAY__PROTO_ONEOF:
		return *(const uint32_t *)has == field->key >> 3;
	}
	return false;
}

static const struct belay__proto_field *find(const struct belay__proto_type *type, uint32_t number)
{
	for (size_t i = 0; i < type->field_count; i++) {
		if (type->fields[i].key >> 3 == number)
			return &type->fields[i];
	}
	return NULL;
}

static void dump_message(const struct belay__proto_type *type, const void *message)
{
	for (uint32_t number = 1; number <= NUMBER_MAX; number++) {
		const struct belay__proto_field *field = find(type, number);
		const uint8_t *at = message;

		if (field == NULL || !is_there(field, at))
			continue;
		(void)printf("%u:", number);
		if (field->label == BELAY__PROTO_REPEATED)
			dump_repeated(field, (const void *)(at + field->offset));
		else
			dump_value(field, at + field->offset);
		(void)putchar(';');
	}
}

static void answer(const struct belay__proto_type *type, const uint8_t *bytes, size_t len)
{
	struct element message;
	ssize_t size;

	assert(type->size <= sizeof(message));
	if (belay__proto_decode(type, bytes, len, &message) < 0) {
		(void)puts("error");
		return;
	}
	dump_message(type, &message);

	/* What was read can be written. */
	size = belay__proto_size(type, &message);
	assert(size >= 0);
	uint8_t *again = malloc((size_t)size + 1);
	assert(again != NULL);
	assert(size == 0 || belay__proto_encode(type, &message, again, (size_t)size - 1) < 0);
	assert(belay__proto_encode(type, &message, again, (size_t)size) == size);
	(void)putchar(' ');
	print_hex(again, (size_t)size);
	(void)putchar('\n');
	free(again);
}

int main(void)
{
	uint8_t head[5];

	while (fread(head, sizeof(head), 1, stdin) == 1) {
		size_t len = belay__get_le32(head + 1);
		/* Of its own size, so that a sanitizer sees who reads beyond it. */
		uint8_t *bytes = malloc(len > 0 ? len : 1);

		assert(bytes != NULL && head[0] < sizeof(types) / sizeof(types[0]));
		if (len > 0 && fread(bytes, len, 1, stdin) != 1)
			return 1;
		answer(types[head[0]], bytes, len);
		free(bytes);
	}
	return ferror(stdin) || fflush(stdout) != 0 ? 1 : 0;
}
