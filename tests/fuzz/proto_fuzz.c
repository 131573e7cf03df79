/* proto_fuzz.c - any bytes as any message of broker v1
 *
 * Input: which message, then its bytes. What decodes can be walked and written, and what was written
 * decodes and is written as the same bytes, in exactly that much room. Of every such message the
 * pieces are tried, too: a byte less, and with each length byte off by one.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "wire/broker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 8192
#define TRIED_MAX 64 /* bytes that are changed in turn */

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
	&belay__type_host_identity,
	&belay__type_operation,
	&belay__type_quota,
	&belay__type_teardown_hook,
	&belay__type_ownership,
	&belay__type_cache_root,
	&belay__type_cleanup_policy,
	&belay__type_manifest_ref,
	&belay__type_observability_info,
	&belay__type_cache_manifest,
	&belay__type_lifecycle_event,
};

union message {
	uint64_t words[BELAY__PROTO_STRUCT_MAX / sizeof(uint64_t)];
	uint8_t bytes[BELAY__PROTO_STRUCT_MAX];
};

static void check_inside(struct belay_bytes bytes, const uint8_t *data, size_t size)
{
	if (bytes.len > 0)
		assert(bytes.at >= data && bytes.len <= size && bytes.at <= data + size - bytes.len);
}

static void check_list(const struct belay__proto_field *field, const struct belay__repeated *list,
	const uint8_t *data, size_t size)
{
	union message element;
	struct belay_bytes bytes;
	uint64_t cursor = 0;
	size_t count = 0;

	while (belay__repeated_next(list, &cursor, &element) == 1) {
		count++;
		if (field->kind != BELAY__PROTO_STRING)
			continue;
		memcpy(&bytes, &element, sizeof(bytes));
		check_inside(bytes, data, size);
	}
	assert(count == list->count);
}

/* All that was read lies in what was given. */
static void check_read(const struct belay__proto_type *type, const uint8_t *message,
	const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < type->field_count; i++) {
		const struct belay__proto_field *field = &type->fields[i];
		const void *place = message + field->offset;

		if (field->label == BELAY__PROTO_REPEATED)
			check_list(field, place, data, size);
		else if (field->kind == BELAY__PROTO_MESSAGE)
			check_read(field->type, place, data, size);
		else if (field->kind >= BELAY__PROTO_STRING)
			check_inside(*(const struct belay_bytes *)place, data, size);
	}
}

static void check(const struct belay__proto_type *type, const uint8_t *data, size_t size)
{
	static uint8_t once[2 * INPUT_MAX], twice[2 * INPUT_MAX];
	union message message;
	ssize_t len, again;

	if (belay__proto_decode(type, data, size, &message) != 0)
		return;
	check_read(type, message.bytes, data, size);
	len = belay__proto_size(type, &message);
	assert(len >= 0 && (size_t)len < sizeof(once));
	once[len] = 0xa5;
	assert(belay__proto_encode(type, &message, once, (size_t)len) == len && once[len] == 0xa5);
	if (len > 0)
		assert(belay__proto_encode(type, &message, twice, (size_t)len - 1) == -EMSGSIZE);

	assert(belay__proto_decode(type, once, (size_t)len, &message) == 0);
	again = belay__proto_encode(type, &message, twice, sizeof(twice));
	assert(again == len && memcmp(once, twice, (size_t)len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t changed[INPUT_MAX];
	const struct belay__proto_type *type;

	if (size == 0 || size > INPUT_MAX)
		return 0;
	type = types[data[0] % (sizeof(types) / sizeof(types[0]))];
	data++;
	size--;
	check(type, data, size);
	if (size == 0)
		return 0;
	check(type, data, size - 1);
	memcpy(changed, data, size);
	for (size_t i = 0; i < size && i < TRIED_MAX; i++) {
		changed[i]++;
		check(type, changed, size);
		changed[i] = (uint8_t)(data[i] - 1);
		check(type, changed, size);
		changed[i] = data[i];
	}
	return 0;
}
