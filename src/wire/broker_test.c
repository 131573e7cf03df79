#include "wire/broker.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "wire/testing.h"

#define COUNT BELAY__COUNT

static const struct belay__proto_type *const types[] = {
	&belay__type_frame,
	&belay__type_hello,
	&belay__type_negotiated,
	&belay__type_refused,
	&belay__type_hello_reply,
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
	&belay__type_entry,
};

/* --- two messages, compared and filled row by row --- */

static const void *member(const void *message, size_t offset)
{
	return (const uint8_t *)message + offset;
}

static size_t size_of(const struct belay__proto_field *field)
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

static bool is_there(const struct belay__proto_field *field, const void *message)
{
	if (field->label == BELAY__PROTO_OPTIONAL)
		return *(const bool *)member(message, field->has_offset);
	if (field->label == BELAY__PROTO_ONEOF)
		return *(const uint32_t *)member(message, field->has_offset) == field->key >> 3;
	return true;
}

static void assert_same(const struct belay__proto_type *type, const void *is, const void *should);

static void assert_same_value(const struct belay__proto_field *field, const void *is,
	const void *should)
{
	const struct belay_bytes *bytes = is, *other = should;

	if (field->kind == BELAY__PROTO_MESSAGE) {
		assert_same(field->type, is, should);
	} else if (field->kind < BELAY__PROTO_STRING) {
		assert_memory_equal(is, should, size_of(field));
	} else {
		assert_int_equal(bytes->len, other->len);
		if (bytes->len > 0)
			assert_memory_equal(bytes->at, other->at, bytes->len);
	}
}

/* IS was read, SHOULD was given. */
static void assert_same_list(const struct belay__proto_field *field,
	const struct belay__repeated *is, const struct belay__repeated *should)
{
	uint64_t element[BELAY__PROTO_STRUCT_MAX / sizeof(uint64_t)], cursor = 0;

	assert_int_equal(is->count, should->count);
	for (size_t i = 0; i < should->count; i++) {
		assert_int_equal(belay__repeated_next(is, &cursor, element), 1);
		assert_same_value(field, element, member(should->items, i * size_of(field)));
	}
	assert_int_equal(belay__repeated_next(is, &cursor, element), 0);
}

static void assert_same(const struct belay__proto_type *type, const void *is, const void *should)
{
	for (size_t i = 0; i < type->field_count; i++) {
		const struct belay__proto_field *field = &type->fields[i];
		const void *a = member(is, field->offset), *b = member(should, field->offset);

		assert_int_equal(is_there(field, is), is_there(field, should));
		if (field->label == BELAY__PROTO_REPEATED)
			assert_same_list(field, a, b);
		else if (is_there(field, should))
			assert_same_value(field, a, b);
	}
}

static uint64_t random_state = 1;

static uint64_t draw(uint64_t below)
{
	random_state = random_state * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (random_state >> 33) % below;
}

static uint64_t arena[1 << 16];
static size_t arena_used;

static void *give(size_t size)
{
	void *at = arena + arena_used;

	arena_used += (size + sizeof(arena[0]) - 1) / sizeof(arena[0]);
	assert_true(arena_used <= COUNT(arena));
	memset(at, 0, size);
	return at;
}

static void fill(const struct belay__proto_type *type, void *message);

static void fill_value(const struct belay__proto_field *field, void *place)
{
	static const uint64_t numbers[] = { 0, 0, 1, 127, 128, 16384, INT32_MAX, UINT32_MAX,
		UINT64_C(1) << 63, UINT64_MAX };
	static const char *const texts[] = { "", "", "a", "abcdefg", "abcdefgh", "w\u00f6rter",
		"\u20ac\U0001f600", "a text that is longer than sixteen bytes",
		("a text that is a good deal longer: its length, and that of whatever it is in, "
		 "takes more than the one byte that is kept before it is known") };
	uint64_t number = numbers[draw(COUNT(numbers))];
	const char *text = texts[draw(COUNT(texts))];

	if (field->kind == BELAY__PROTO_MESSAGE)
		fill(field->type, place);
	else if (field->kind >= BELAY__PROTO_STRING)
		*(struct belay_bytes *)place = (struct belay_bytes){ (const uint8_t *)text,
			strlen(text) };
	else if (field->kind == BELAY__PROTO_BOOL)
		*(bool *)place = draw(2) != 0;
	else if (field->kind == BELAY__PROTO_U64)
		*(uint64_t *)place = number;
	else
		*(uint32_t *)place = (uint32_t)number;
}

static void fill_list(const struct belay__proto_field *field, struct belay__repeated *list)
{
	uint8_t *items;

	list->count = draw(4);
	items = give(list->count * size_of(field));
	for (size_t i = 0; i < list->count; i++)
		fill_value(field, items + i * size_of(field));
	list->items = items;
}

static void fill(const struct belay__proto_type *type, void *message)
{
	memset(message, 0, type->size);
	for (size_t i = 0; i < type->field_count; i++) {
		const struct belay__proto_field *field = &type->fields[i];
		void *place = (uint8_t *)message + field->offset;
		void *has = (uint8_t *)message + field->has_offset;

		if (field->label == BELAY__PROTO_REPEATED) {
			fill_list(field, place);
			continue;
		}
		if (draw(2) == 0)
			continue;
		if (field->label == BELAY__PROTO_OPTIONAL)
			*(bool *)has = true;
		if (field->label == BELAY__PROTO_ONEOF)
			*(uint32_t *)has = field->key >> 3;
		fill_value(field, place);
	}
}

/* --- golden messages --- */

static const uint8_t token[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

#define TEXT(string)                                                                               \
	{                                                                                          \
		(const uint8_t *)(string), sizeof(string) - 1                                      \
	}
#define LIST(array)                                                                                \
	{                                                                                          \
		.items = (array), .count = COUNT(array)                                            \
	}

static const struct belay_envelope golden_frame = {
	.version = 1,
	.kind = BELAY_ENVELOPE_RESPONSE,
	.payload_protocol = BELAY_PROTOCOL_ADMIN,
	.payload = TEXT("\xde\xad\xbe\xef"),
	.request_id = 42,
	.payload_encoding = 1,
	.deadline_unix_ms = UINT64_C(1700000000000),
	.traceparent = TEXT("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
	.tracestate = TEXT("rp=1"),
};
static const struct belay__broker_hello golden_hello = {
	.client_min_protocol = 1,
	.client_max_protocol = 3,
	.service_name = TEXT("build-cache"),
	.wanted_version = TEXT("1.2.3-rc.1"),
	.client_version = TEXT("3.0.15"),
	.client_capabilities = UINT64_C(0x8000000000000001),
	.auth_token = TEXT("\x01\x02\x03"),
	.request_id = TEXT("req-0001"),
	.peer_pid = 4242,
	.client_lib_name = TEXT("running-process"),
	.client_lib_version = TEXT("3.0.15"),
	.peer_attestation_nonce = TEXT("\xaa\xbb"),
	.capability_token = TEXT("\xcc"),
	.client_keepalive_secs = 30,
};
static const struct belay_bytes golden_warnings[] = { TEXT("w1"), TEXT("w2") };
static const struct belay__negotiated golden_negotiated = {
	.negotiated_protocol = 2,
	.daemon_version = TEXT("3.0.15"),
	.backend_pipe = TEXT("rp-backend-7"),
	.warnings = LIST(golden_warnings),
	.server_capabilities = UINT64_C(0x8000000000000001),
	.keepalive_interval_secs = 60,
	.handle_passed_token = TEXT("\x10\x20\x30"),
	.connection_id = 99,
};
static const struct belay__hello_reply golden_hello_reply = {
	.which = 1,
	.negotiated = {
		.negotiated_protocol = 2,
		.daemon_version = TEXT("3.0.15"),
		.backend_pipe = TEXT("rp-backend-7"),
		.warnings = LIST(golden_warnings),
		.server_capabilities = UINT64_C(0x8000000000000001),
		.keepalive_interval_secs = 60,
		.handle_passed_token = TEXT("\x10\x20\x30"),
		.connection_id = 99,
	},
};
static const struct belay__proto_entry golden_details[] = { { TEXT("floor"), TEXT("2") } };
static const struct belay__refused golden_refused = {
	.reason = TEXT("version below floor"),
	.daemon_min_protocol = 2,
	.daemon_max_protocol = 3,
	.code = BELAY__ERROR_VERSION_BLOCKED,
	.details = LIST(golden_details),
	.retry_after_ms = 1500,
};
static const struct belay__handoff_offer golden_handoff_offer = {
	.handle_value = 0xbec,
	.token = { token, sizeof(token) },
	.service_name = TEXT("build-cache"),
	.correlation_id = 7,
};
static const struct belay__handoff_ack golden_handoff_ack = {
	.token = { token, sizeof(token) },
	.accepted = true,
	.error_detail = TEXT("ok"),
	.correlation_id = 7,
};

struct body {
	const struct belay__proto_type *type;
	const void *message;
	const char *hex;
};

static const struct body bodies[] = {
#define GOLDEN_FRAME(name, hex)
#define GOLDEN_BODY(name, type_, hex_) { &belay__type_##type_, &golden_##type_, hex_ },
#include "wire/broker_golden.inc"
#undef GOLDEN_FRAME
#undef GOLDEN_BODY
};

enum frame_name {
#define GOLDEN_BODY(name, type, hex)
#define GOLDEN_FRAME(name, hex) FRAME_##name,
#include "wire/broker_golden.inc"
#undef GOLDEN_FRAME
};

static const char *const frames[] = {
#define GOLDEN_FRAME(name, hex) [FRAME_##name] = (hex),
#include "wire/broker_golden.inc"
#undef GOLDEN_FRAME
#undef GOLDEN_BODY
};

union message {
	uint64_t words[BELAY__PROTO_STRUCT_MAX / sizeof(uint64_t)];
	struct belay_envelope frame;
	struct belay__broker_hello hello;
	struct belay__hello_reply reply;
	struct belay__refused refused;
	struct belay__handoff_offer offer;
	struct belay__handoff_ack ack;
	struct belay__daemon_process daemon;
	struct belay__admin_request admin;
};

static void the_golden_messages_are_read(void **state)
{
	(void)state;
	assert_int_equal(COUNT(bodies), 7);
	for (size_t i = 0; i < COUNT(bodies); i++) {
		union message message;
		uint8_t bytes[256];
		size_t len = belay__from_hex(bodies[i].hex, bytes, sizeof(bytes));

		print_message("%s\n", bodies[i].type->name);
		assert_int_equal(belay__proto_decode(bodies[i].type, bytes, len, &message), 0);
		assert_same(bodies[i].type, &message, bodies[i].message);
	}
}

static void the_golden_messages_are_written(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		uint8_t should[256], bytes[256];
		size_t len = belay__from_hex(bodies[i].hex, should, sizeof(should));

		assert_int_equal(belay__proto_size(bodies[i].type, bodies[i].message), len);
		assert_int_equal(belay__proto_encode(bodies[i].type, bodies[i].message, bytes,
					 sizeof(bytes)),
			len);
		assert_memory_equal(bytes, should, len);
	}
}

static void golden_messages_cut_anywhere_do_no_harm(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(bodies); i++) {
		uint8_t bytes[256], again[256];
		size_t len = belay__from_hex(bodies[i].hex, bytes, sizeof(bytes));

		for (size_t cut = 0; cut < len; cut++) {
			uint8_t exact[256];
			uint8_t *at = exact + sizeof(exact) - cut; /* the sanitizer sees one more */
			union message message;

			memcpy(at, bytes, cut);
			if (belay__proto_decode(bodies[i].type, at, cut, &message) != 0)
				continue;
			assert_true(belay__proto_encode(bodies[i].type, &message, again,
					    sizeof(again)) >= 0);
		}
	}
}

static void fields_of_newer_peers_are_skipped(void **state)
{
	uint8_t bytes[256];
	union message message;
	size_t len = belay__from_hex(bodies[1].hex, bytes, sizeof(bytes));
	(void)state;

	len += belay__from_hex("a8 01 01", bytes + len, sizeof(bytes) - len);
	assert_int_equal(belay__proto_decode(&belay__type_hello, bytes, len, &message), 0);
	assert_same(&belay__type_hello, &message, &golden_hello);
}

/* --- golden frames --- */

struct framed {
	uint8_t bytes[256];
	size_t len;
	struct belay_envelope envelope;
};

static void read_frame(enum frame_name name, struct framed *ret_framed)
{
	struct belay_frame_found found;

	ret_framed->len = belay__from_hex(frames[name], ret_framed->bytes,
		sizeof(ret_framed->bytes));
	assert_int_equal(
		belay_frame_scan(ret_framed->bytes, ret_framed->len, BELAY_HELLO_MAX, &found), 1);
	assert_int_equal(found.consumed, ret_framed->len);
	assert_int_equal(belay_envelope_decode(found.body, found.body_len, &ret_framed->envelope),
		0);
	assert_int_equal(ret_framed->envelope.version, 1);
}

/* Reads the payload of a frame as TYPE, and writes both again: the same bytes as SAME has. */
static void assert_round_trip(enum frame_name name, enum frame_name same,
	const struct belay__proto_type *type, void *ret_message)
{
	uint8_t payload[256], bytes[256], should[256];
	struct framed framed;
	ssize_t len;

	read_frame(name, &framed);
	assert_int_equal(belay__proto_decode(type, framed.envelope.payload.at,
				 framed.envelope.payload.len, ret_message),
		0);
	len = belay__proto_encode(type, ret_message, payload, sizeof(payload));
	assert_true(len > 0);
	framed.envelope.payload = (struct belay_bytes){ payload, (size_t)len };
	len = belay_envelope_encode(&framed.envelope, bytes, sizeof(bytes));
	assert_int_equal(len, belay__from_hex(frames[same], should, sizeof(should)));
	assert_memory_equal(bytes, should, (size_t)len);
}

static void golden_frames_are_read_and_written(void **state)
{
	static const struct {
		enum frame_name name;
		const struct belay__proto_type *type;
		uint32_t protocol;
		int32_t kind;
	} cases[] = {
		{ FRAME_OFFER_CANONICAL, &belay__type_handoff_offer, BELAY_PROTOCOL_HANDOFF,
			BELAY_ENVELOPE_REQUEST },
		{ FRAME_ACK_ACCEPTED, &belay__type_handoff_ack, BELAY_PROTOCOL_HANDOFF,
			BELAY_ENVELOPE_RESPONSE },
		{ FRAME_ACK_REFUSED, &belay__type_handoff_ack, BELAY_PROTOCOL_HANDOFF,
			BELAY_ENVELOPE_RESPONSE },
		{ FRAME_READY, &belay__type_handoff_ack, BELAY_PROTOCOL_HANDOFF,
			BELAY_ENVELOPE_EVENT },
		{ FRAME_HELLO, &belay__type_hello, BELAY_PROTOCOL_CONTROL, BELAY_ENVELOPE_REQUEST },
		{ FRAME_REPLY_NEGOTIATED, &belay__type_hello_reply, BELAY_PROTOCOL_CONTROL,
			BELAY_ENVELOPE_RESPONSE },
		{ FRAME_REPLY_REFUSED, &belay__type_hello_reply, BELAY_PROTOCOL_CONTROL,
			BELAY_ENVELOPE_RESPONSE },
		{ FRAME_ADMIN_STATUS, &belay__type_admin_request, BELAY_PROTOCOL_ADMIN,
			BELAY_ENVELOPE_REQUEST },
		{ FRAME_ADMIN_SHUTDOWN, &belay__type_admin_request, BELAY_PROTOCOL_ADMIN,
			BELAY_ENVELOPE_REQUEST },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		union message message;
		struct framed framed;

		assert_round_trip(cases[i].name, cases[i].name, cases[i].type, &message);
		read_frame(cases[i].name, &framed);
		assert_int_equal(framed.envelope.payload_protocol, cases[i].protocol);
		assert_int_equal(framed.envelope.kind, cases[i].kind);
	}
}

/* Newer peers write the handle although it is 0; it is read, and not written back. */
static void an_explicit_zero_in_an_offer_is_read(void **state)
{
	union message message;
	(void)state;

	assert_round_trip(FRAME_OFFER_EXPLICIT, FRAME_OFFER_CANONICAL, &belay__type_handoff_offer,
		&message);
	assert_int_equal(message.offer.handle_value, 0);
	assert_memory_equal(message.offer.token.at, token, sizeof(token));
	assert_int_equal(message.offer.correlation_id, 7);
}

static void a_probe_answers_the_nonce_and_then_the_daemon(void **state)
{
	enum { NONCE = 32 };
	uint8_t bytes[256];
	struct framed request, response;
	union message message;
	const struct belay__daemon_process *daemon = &message.daemon;
	ssize_t len;
	(void)state;

	read_frame(FRAME_PROBE_REQUEST, &request);
	read_frame(FRAME_PROBE_RESPONSE, &response);
	assert_int_equal(request.envelope.payload.len, NONCE);
	assert_int_equal(request.envelope.request_id, response.envelope.request_id);
	assert_memory_equal(request.envelope.payload.at, response.envelope.payload.at, NONCE);

	assert_int_equal(belay__proto_decode(&belay__type_daemon_process,
				 response.envelope.payload.at + NONCE,
				 response.envelope.payload.len - NONCE, &message),
		0);
	assert_int_equal(daemon->pid, 4242);
	assert_true(daemon->has_ipc_endpoint);
	assert_memory_equal(daemon->ipc_endpoint.path.at, "/run/x.sock", 11);
	assert_true(daemon->has_idle_timeout_secs);
	assert_int_equal(daemon->idle_timeout_secs, 30);
	assert_int_equal(daemon->exe_hash.at[0], 0xaa);
	assert_int_equal(daemon->exe_sha256.at[31], 0xbb);

	/* Field 3 comes last. */
	len = belay__proto_encode(&belay__type_daemon_process, daemon, bytes, sizeof(bytes));
	assert_int_equal(len, response.envelope.payload.len - NONCE);
	assert_memory_equal(bytes, response.envelope.payload.at + NONCE, (size_t)len);
	len = belay_envelope_encode(&response.envelope, bytes, sizeof(bytes));
	assert_int_equal(len, response.len);
	assert_memory_equal(bytes, response.bytes, (size_t)len);
}

/* --- maps --- */

static void entries_of_a_map_may_lack_their_halves(void **state)
{
	static const char *const should[][2] = { { "a", "b" }, { "a", "" }, { "", "b" }, { "", "" },
		{ "a", "c" }, { "d", "e" } };
	uint8_t bytes[256];
	union message message;
	struct belay__proto_entry entry;
	uint64_t cursor = 0;
	size_t len = belay__from_hex(
		"2a 06 0a 01 61 12 01 62 2a 03 0a 01 61 2a 03 12 01 62 2a 00 "
		"2a 08 12 01 63 18 07 0a 01 61 2a 09 0a 01 78 12 01 65 0a 01 64",
		bytes, sizeof(bytes));
	(void)state;

	assert_int_equal(belay__proto_decode(&belay__type_refused, bytes, len, &message), 0);
	assert_int_equal(message.refused.details.count, COUNT(should));
	for (size_t i = 0; i < COUNT(should); i++) {
		assert_int_equal(belay__repeated_next(&message.refused.details, &cursor, &entry), 1);
		assert_int_equal(entry.key.len, strlen(should[i][0]));
		assert_memory_equal(entry.key.at, should[i][0], entry.key.len);
		assert_int_equal(entry.value.len, strlen(should[i][1]));
		assert_memory_equal(entry.value.at, should[i][1], entry.value.len);
	}
	len = belay__from_hex("2a 03 0a 01 ff", bytes, sizeof(bytes));
	assert_int_equal(belay__proto_decode(&belay__type_refused, bytes, len, &message), -EBADMSG);
	len = belay__from_hex("2a 02 08 01", bytes, sizeof(bytes));
	assert_int_equal(belay__proto_decode(&belay__type_refused, bytes, len, &message), -EBADMSG);
}

static void defaults_in_an_entry_are_left_out(void **state)
{
	const struct belay__proto_entry entries[] = { { TEXT("a"), TEXT("") },
		{ TEXT(""), TEXT("b") }, { TEXT(""), TEXT("") } };
	const struct belay__refused refused = { .details = LIST(entries) };
	uint8_t should[64], bytes[64];
	size_t len = belay__from_hex("2a 03 0a 01 61 2a 03 12 01 62 2a 00", should, sizeof(should));
	(void)state;

	assert_int_equal(belay__proto_encode(&belay__type_refused, &refused, bytes, sizeof(bytes)),
		len);
	assert_memory_equal(bytes, should, len);
}

/* --- any messages --- */

static void any_message_survives_the_way_there_and_back(void **state)
{
	static uint8_t bytes[1 << 16], again[1 << 16];
	(void)state;

	for (unsigned round = 0; round < 200 * COUNT(types); round++) {
		const struct belay__proto_type *type = types[round % COUNT(types)];
		union message given, read;
		ssize_t len, size;

		arena_used = 0;
		fill(type, &given);
		size = belay__proto_size(type, &given);
		assert_true(size >= 0);
		memset(bytes + size, 0xa5, 8);
		len = belay__proto_encode(type, &given, bytes, (size_t)size);
		assert_int_equal(len, size);
		assert_int_equal(bytes[len], 0xa5);
		if (len > 0)
			assert_int_equal(belay__proto_encode(type, &given, again, (size_t)len - 1),
				-EMSGSIZE);
		assert_int_equal(belay__proto_decode(type, bytes, (size_t)len, &read), 0);
		assert_same(type, &read, &given);
		assert_int_equal(belay__proto_size(type, &read), len);
		assert_int_equal(belay__proto_encode(type, &read, again, sizeof(again)), len);
		assert_memory_equal(again, bytes, (size_t)len);
	}
}

/* --- the tables --- */

static void numbers_are_used_once_and_in_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		const struct belay__proto_type *type = types[i];

		assert_true(type->size <= BELAY__PROTO_STRUCT_MAX);
		for (size_t j = 0; j < type->field_count; j++) {
			const struct belay__proto_field *field = &type->fields[j];
			bool last_is_old = type == &belay__type_daemon_process &&
				j + 1 == type->field_count;

			assert_in_range(field->key >> 3, 1, 536870911);
			assert_int_equal(field->key & 7, field->kind < BELAY__PROTO_STRING ? 0 : 2);
			if (last_is_old)
				assert_int_equal(field->key >> 3, 3);
			else if (j > 0)
				assert_true(field->key > type->fields[j - 1].key);
		}
	}
}

static void what_is_reserved_is_not_used(void **state)
{
	static const struct {
		const struct belay__proto_type *type;
		uint32_t first, last;
	} reserved[] = {
		{ &belay__type_frame, 10, 15 },
		{ &belay__type_hello, 16, 20 },
		{ &belay__type_handoff_offer, 5, 10 },
		{ &belay__type_handoff_ack, 5, 10 },
		{ &belay__type_admin_request, 10, 20 },
		{ &belay__type_admin_reply, 10, 20 },
		{ &belay__type_cache_manifest, 110, 255 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(reserved); i++)
		for (size_t j = 0; j < reserved[i].type->field_count; j++) {
			uint32_t number = reserved[i].type->fields[j].key >> 3;

			assert_true(number < reserved[i].first || number > reserved[i].last);
		}
}

static void members_lie_apart(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(types); i++) {
		const struct belay__proto_type *type = types[i];
		uint8_t taken[BELAY__PROTO_STRUCT_MAX] = { 0 };

		for (size_t j = 0; j < type->field_count; j++) {
			const struct belay__proto_field *field = &type->fields[j];
			size_t size = field->label == BELAY__PROTO_REPEATED
				? sizeof(struct belay__repeated)
				: size_of(field);

			assert_true(field->offset + size <= type->size);
			for (size_t at = 0; at < size; at++)
				assert_int_equal(taken[field->offset + at]++, 0);
			if (field->label == BELAY__PROTO_OPTIONAL)
				assert_int_equal(taken[field->has_offset]++, 0);
		}
	}
}

/* Whether the rows below TYPE, LEVEL messages below what is decoded, obey protobuf.h. */
static void assert_lists_near(const struct belay__proto_type *type, unsigned level)
{
	for (size_t i = 0; i < type->field_count; i++) {
		const struct belay__proto_field *field = &type->fields[i];

		if (field->kind == BELAY__PROTO_MESSAGE)
			assert_int_not_equal(field->label, BELAY__PROTO_PLAIN);
		if (field->label == BELAY__PROTO_REPEATED)
			assert_true(
				level == 0 || (level == 1 && field->kind >= BELAY__PROTO_STRING));
		else if (field->kind == BELAY__PROTO_MESSAGE)
			assert_lists_near(field->type, level + 1);
	}
}

static void lists_lie_where_they_may(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(types); i++)
		assert_lists_near(types[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_golden_messages_are_read),
		cmocka_unit_test(the_golden_messages_are_written),
		cmocka_unit_test(golden_messages_cut_anywhere_do_no_harm),
		cmocka_unit_test(fields_of_newer_peers_are_skipped),
		cmocka_unit_test(golden_frames_are_read_and_written),
		cmocka_unit_test(an_explicit_zero_in_an_offer_is_read),
		cmocka_unit_test(a_probe_answers_the_nonce_and_then_the_daemon),
		cmocka_unit_test(entries_of_a_map_may_lack_their_halves),
		cmocka_unit_test(defaults_in_an_entry_are_left_out),
		cmocka_unit_test(any_message_survives_the_way_there_and_back),
		cmocka_unit_test(numbers_are_used_once_and_in_order),
		cmocka_unit_test(what_is_reserved_is_not_used),
		cmocka_unit_test(members_lie_apart),
		cmocka_unit_test(lists_lie_where_they_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
