#include <belay/mux.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A probe and its answer, byte by byte as broker v1 sends and expects them. */
static const uint8_t golden_probe[] = { 0x01, 0x32, 0x00, 0x00, 0x00, 0x08, 0x01, 0x18, 0xb2, 0xe4,
	0x02, 0x22, 0x20, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c,
	0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b,
	0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x28, 0x81, 0x84, 0x8c, 0xa0, 0xd0, 0xc0, 0xc1, 0x83, 0x08 };
static const uint8_t golden_answer[] = { 0x01, 0xb6, 0x00, 0x00, 0x00, 0x08, 0x01, 0x10, 0x01, 0x18,
	0xb2, 0xe4, 0x02, 0x22, 0xa1, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
	0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18,
	0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20, 0x08, 0x92, 0x21, 0x12, 0x0a, 0x2f, 0x75,
	0x73, 0x72, 0x2f, 0x62, 0x69, 0x6e, 0x2f, 0x64, 0x22, 0x15, 0x0a, 0x06, 0x73, 0x68, 0x61,
	0x72, 0x65, 0x64, 0x12, 0x0b, 0x2f, 0x72, 0x75, 0x6e, 0x2f, 0x78, 0x2e, 0x73, 0x6f, 0x63,
	0x6b, 0x28, 0x80, 0xd0, 0x95, 0xff, 0xbc, 0x31, 0x32, 0x04, 0x62, 0x6f, 0x6f, 0x74, 0x38,
	0x1e, 0x42, 0x06, 0x62, 0x6c, 0x61, 0x6b, 0x65, 0x33, 0x4a, 0x20, 0xaa, 0xaa, 0xaa, 0xaa,
	0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa,
	0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0x1a, 0x20,
	0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
	0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb, 0xbb,
	0xbb, 0xbb, 0x28, 0x81, 0x84, 0x8c, 0xa0, 0xd0, 0xc0, 0xc1, 0x83, 0x08 };

static const uint32_t served[] = { 0x7a63, 0xf001 };

struct fixture {
	struct belay_daemon self;
	struct belay_mux mux;
	enum belay_mux_legacy verdict; /* of the detector */
	size_t asked_len;              /* what it was shown last */
	uint8_t bytes[4096], reply[BELAY_PROBE_ANSWER_MAX];
	struct belay_mux_result result;
	const char *text;
};

static enum belay_mux_legacy detect(void *data, const uint8_t *bytes, size_t len)
{
	struct fixture *f = data;

	assert_non_null(bytes);
	f->asked_len = len;
	return f->verdict;
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->self = (struct belay_daemon){
		.pid = 4242,
		.has_blake3 = true,
		.has_sha256 = true,
		.has_idle_timeout = true,
		.idle_timeout_s = 30,
		.started_at_ms = UINT64_C(1700000000000),
		.exe_path = "/usr/bin/d",
		.boot_id = "boot",
		.endpoint = { .namespace_id = "shared", .path = "/run/x.sock" },
	};
	memset(f->self.blake3, 0xaa, sizeof(f->self.blake3));
	memset(f->self.sha256, 0xbb, sizeof(f->self.sha256));
	f->mux = (struct belay_mux){ .self = &f->self, .served = served, .served_count = 2 };
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	free(*state);
	return 0;
}

static void with_detector(struct fixture *f, enum belay_mux_legacy verdict)
{
	f->mux.is_legacy = detect;
	f->mux.data = f;
	f->verdict = verdict;
}

/* Looks at LEN bytes, of which none behind may be touched. */
static int look(struct fixture *f, const uint8_t *bytes, size_t len)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int r;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	memset(f->reply, 0x5a, sizeof(f->reply));
	memset(&f->result, 0x5a, sizeof(f->result));
	f->text = NULL;
	r = belay_mux_look(&f->mux, copy, len, f->reply, sizeof(f->reply), &f->result, &f->text);
	if (r == 0 && f->result.outcome == BELAY_MUX_PAYLOAD && f->result.envelope.payload.len > 0)
		f->result.envelope.payload.at = bytes +
			(f->result.envelope.payload.at - copy); /* COPY goes */
	free(copy);
	return r;
}

static void assert_outcome(struct fixture *f, const uint8_t *bytes, size_t len,
	enum belay_mux_outcome outcome)
{
	assert_int_equal(look(f, bytes, len), 0);
	assert_int_equal(f->result.outcome, outcome);
	assert_null(f->text);
	if (outcome != BELAY_MUX_ANSWERED)
		assert_int_equal(f->reply[0], 0x5a);
}

/* Refused, and nothing but the text was written. */
static void assert_refused(struct fixture *f, const uint8_t *bytes, size_t len, int code)
{
	struct belay_mux_result untouched;

	memset(&untouched, 0x5a, sizeof(untouched));
	assert_int_equal(look(f, bytes, len), code);
	assert_non_null(f->text);
	assert_memory_equal(&f->result, &untouched, sizeof(untouched));
	assert_int_equal(f->reply[0], 0x5a);
	assert_int_equal(
		belay_mux_look(&f->mux, bytes, len, f->reply, sizeof(f->reply), &f->result, NULL),
		code);
}

/* A frame of PROTOCOL in f->bytes behind the OFFSET bytes that are there. Returns where it ends. */
static size_t put(struct fixture *f, size_t offset, const struct belay_envelope *envelope)
{
	ssize_t len = belay_envelope_encode(envelope, f->bytes + offset, sizeof(f->bytes) - offset);

	assert_true(len > 0);
	return offset + (size_t)len;
}

static struct belay_envelope payload_of(uint32_t protocol)
{
	return (struct belay_envelope){
		.version = 1,
		.payload_protocol = protocol,
		.payload = { (const uint8_t *)"work", 4 },
		.request_id = 7,
	};
}

static void nothing_says_nothing(void **state)
{
	struct fixture *f = *state;

	assert_outcome(f, f->bytes, 0, BELAY_MUX_NEED_MORE);
	/* Nor is the detector asked about it. */
	with_detector(f, BELAY_LEGACY_YES);
	f->asked_len = 4711;
	assert_outcome(f, f->bytes, 0, BELAY_MUX_NEED_MORE);
	assert_int_equal(f->asked_len, 4711);
}

static void a_probe_is_answered_as_broker_v1_expects(void **state)
{
	struct fixture *f = *state;

	assert_outcome(f, golden_probe, sizeof(golden_probe), BELAY_MUX_ANSWERED);
	assert_int_equal(f->result.consumed, sizeof(golden_probe));
	assert_int_equal(f->result.reply_len, sizeof(golden_answer));
	assert_memory_equal(f->reply, golden_answer, sizeof(golden_answer));
}

static void every_part_of_a_frame_needs_more(void **state)
{
	struct fixture *f = *state;

	for (size_t len = 1; len < sizeof(golden_probe); len++)
		assert_outcome(f, golden_probe, len, BELAY_MUX_NEED_MORE);
}

static void what_does_not_begin_as_a_frame_is_the_daemons_own(void **state)
{
	struct fixture *f = *state;

	for (unsigned first = 0; first < 256; first++) {
		uint8_t byte = (uint8_t)first;

		assert_outcome(f, &byte, 1,
			first == BELAY_FRAMING_VERSION ? BELAY_MUX_NEED_MORE : BELAY_MUX_LEGACY);
	}
	/* Also when the daemon does not know it: broker v1 leaves it to him. */
	with_detector(f, BELAY_LEGACY_NO);
	assert_outcome(f, (const uint8_t *)"GET", 3, BELAY_MUX_LEGACY);
}

static void the_daemon_is_asked_first_and_sees_all(void **state)
{
	static const enum belay_mux_outcome outcomes[] = {
		[BELAY_LEGACY_NO] = BELAY_MUX_ANSWERED,
		[BELAY_LEGACY_YES] = BELAY_MUX_LEGACY,
		[BELAY_LEGACY_NEED_MORE] = BELAY_MUX_NEED_MORE,
	};
	struct fixture *f = *state;

	for (unsigned verdict = 0; verdict < COUNT(outcomes); verdict++) {
		with_detector(f, (enum belay_mux_legacy)verdict);
		f->asked_len = 0;
		assert_outcome(f, golden_probe, sizeof(golden_probe), outcomes[verdict]);
		assert_int_equal(f->asked_len, sizeof(golden_probe));
	}
	with_detector(f, BELAY_LEGACY_NEED_MORE);
	assert_outcome(f, (const uint8_t *)"G", 1, BELAY_MUX_NEED_MORE);
}

static void a_payload_that_is_served_is_passed_on(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(served); i++) {
		struct belay_envelope envelope = payload_of(served[i]);
		size_t len = put(f, 0, &envelope);

		assert_outcome(f, f->bytes, len, BELAY_MUX_PAYLOAD);
		assert_int_equal(f->result.consumed, len);
		assert_int_equal(f->result.reply_len, 0);
		assert_int_equal(f->result.envelope.payload_protocol, served[i]);
		assert_int_equal(f->result.envelope.request_id, 7);
		assert_int_equal(f->result.envelope.payload.len, 4);
		assert_memory_equal(f->result.envelope.payload.at, "work", 4);
	}
}

static void whose_protocol_it_is_decides_the_refusal(void **state)
{
	static const struct {
		uint32_t protocol;
		int unserved, served; /* what comes of it */
	} cases[] = {
		{ BELAY_PROTOCOL_CONTROL, -ENOPROTOOPT, -ENOPROTOOPT },
		{ BELAY_PROTOCOL_ADMIN, -ENOPROTOOPT, -ENOPROTOOPT },
		{ BELAY_PROTOCOL_HANDOFF, -ENOPROTOOPT, -ENOPROTOOPT },
		{ 0x0001, -ENOPROTOOPT, -ENOPROTOOPT },
		{ 0x534f, -ENOPROTOOPT, -ENOPROTOOPT },
		{ BELAY_PROTOCOL_SESSION, -EPFNOSUPPORT, 0 }, /* a consumer's, as always */
		{ 0x5351, -ENOPROTOOPT, -ENOPROTOOPT },
		{ 0x6fff, -ENOPROTOOPT, -ENOPROTOOPT },
		{ 0x7000, -EPFNOSUPPORT, 0 },
		{ 0x7c4c, -EPFNOSUPPORT, 0 },
		{ 0x7f00, -EPFNOSUPPORT, 0 },
		{ 0xffff, -EPFNOSUPPORT, 0 },
		{ 0x10000, -EPFNOSUPPORT, 0 },
		{ UINT32_MAX, -EPFNOSUPPORT, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay_envelope envelope = payload_of(cases[i].protocol);
		size_t len = put(f, 0, &envelope);

		f->mux.served = NULL;
		f->mux.served_count = 0;
		assert_refused(f, f->bytes, len, cases[i].unserved);
		assert_string_equal(f->text,
			cases[i].unserved == -ENOPROTOOPT ? "UnexpectedFirstPartyFrame"
							  : "UnservedPayloadProtocol");
		f->mux.served = &cases[i].protocol;
		f->mux.served_count = 1;
		if (cases[i].served < 0)
			assert_refused(f, f->bytes, len, cases[i].served);
		else
			assert_outcome(f, f->bytes, len, BELAY_MUX_PAYLOAD);
	}
}

static void a_probe_that_is_none_is_refused(void **state)
{
	static const struct {
		uint32_t version;
		int32_t kind, encoding;
		size_t nonce_len;
		int result;
	} cases[] = {
		{ 1, BELAY_ENVELOPE_REQUEST, 0, 32, 0 },
		{ 0, BELAY_ENVELOPE_REQUEST, 0, 32, -EPROTO },
		{ 2, BELAY_ENVELOPE_REQUEST, 0, 32, -EPROTO },
		{ 1, BELAY_ENVELOPE_RESPONSE, 0, 32, -EPROTO },
		{ 1, BELAY_ENVELOPE_EVENT, 0, 32, -EPROTO },
		{ 1, 4711, 0, 32, -EPROTO },
		{ 1, BELAY_ENVELOPE_REQUEST, 1, 32, -EPROTO },
		{ 1, BELAY_ENVELOPE_REQUEST, 0, 0, -EPROTO },
		{ 1, BELAY_ENVELOPE_REQUEST, 0, 31, -EPROTO },
		{ 1, BELAY_ENVELOPE_REQUEST, 0, 33, -EPROTO },
	};
	struct fixture *f = *state;
	const uint8_t nonce[33] = { 1, 2, 3 };

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay_envelope envelope = {
			.version = cases[i].version,
			.kind = cases[i].kind,
			.payload_encoding = cases[i].encoding,
			.payload_protocol = BELAY_PROTOCOL_PROBE,
			.payload = { nonce, cases[i].nonce_len },
		};
		size_t len = put(f, 0, &envelope);

		if (cases[i].result < 0)
			assert_refused(f, f->bytes, len, cases[i].result);
		else
			assert_outcome(f, f->bytes, len, BELAY_MUX_ANSWERED);
	}
}

static void a_payload_of_another_version_or_compressed_is_refused(void **state)
{
	struct fixture *f = *state;
	struct belay_envelope envelope = payload_of(served[0]);

	envelope.payload_encoding = 1;
	assert_refused(f, f->bytes, put(f, 0, &envelope), -EPROTO);
	assert_string_equal(f->text, "payload is compressed");
	/* The version is looked at before all else, the encoding after all else. */
	envelope.payload_protocol = 0x7000;
	assert_refused(f, f->bytes, put(f, 0, &envelope), -EPFNOSUPPORT);
	envelope.version = 2;
	assert_refused(f, f->bytes, put(f, 0, &envelope), -EPROTO);
	assert_string_equal(f->text, "envelope_version is not v1");
}

static void a_body_beyond_the_cap_is_refused_by_its_header(void **state)
{
	static const struct {
		uint32_t cap, claim;
		int result;
	} cases[] = {
		{ 0, BELAY_HELLO_MAX, 0 },
		{ 0, BELAY_HELLO_MAX + 1, -EMSGSIZE },
		{ 0, BELAY_FRAME_MAX, -EMSGSIZE },
		{ 100, 100, 0 },
		{ 100, 101, -EMSGSIZE },
		{ BELAY_FRAME_MAX, BELAY_FRAME_MAX, 0 },
		{ BELAY_FRAME_MAX, UINT32_MAX, -EMSGSIZE },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		f->mux.cap = cases[i].cap;
		belay_frame_header(cases[i].claim, f->bytes);
		if (cases[i].result < 0)
			assert_refused(f, f->bytes, BELAY_FRAME_HEADER, cases[i].result);
		else
			assert_outcome(f, f->bytes, BELAY_FRAME_HEADER, BELAY_MUX_NEED_MORE);
	}
}

static void a_body_that_is_no_frame_is_refused(void **state)
{
	static const uint8_t bad[] = { 1, 2, 0, 0, 0, 0x08, 0x80 };
	static const uint8_t empty[] = { 1, 0, 0, 0, 0 };
	struct fixture *f = *state;

	assert_refused(f, bad, sizeof(bad), -EBADMSG);
	/* An empty one is a Frame: of version 0. */
	assert_refused(f, empty, sizeof(empty), -EPROTO);
}

static void an_answer_that_does_not_fit_is_refused(void **state)
{
	struct fixture *f = *state;
	struct belay_mux_result result;
	const char *text = NULL;

	assert_int_equal(belay_mux_look(&f->mux, golden_probe, sizeof(golden_probe), f->reply,
				 sizeof(golden_answer) - 1, &result, &text),
		-EMSGSIZE);
	assert_non_null(text);
	assert_int_equal(belay_mux_look(&f->mux, golden_probe, sizeof(golden_probe), f->reply,
				 sizeof(golden_answer), &result, &text),
		0);
}

static void all_wires_share_one_connection(void **state)
{
	struct fixture *f = *state;
	struct belay_envelope envelope = payload_of(served[1]);
	size_t len, at = 0;

	memcpy(f->bytes, golden_probe, sizeof(golden_probe));
	len = put(f, sizeof(golden_probe), &envelope);
	memcpy(f->bytes + len, golden_probe, sizeof(golden_probe));
	len += sizeof(golden_probe);
	memcpy(f->bytes + len, "QUIT\n", 5);
	len += 5;

	assert_outcome(f, f->bytes, len, BELAY_MUX_ANSWERED);
	at += f->result.consumed;
	assert_outcome(f, f->bytes + at, len - at, BELAY_MUX_PAYLOAD);
	at += f->result.consumed;
	assert_outcome(f, f->bytes + at, len - at, BELAY_MUX_ANSWERED);
	at += f->result.consumed;
	assert_int_equal(len - at, 5);
	assert_outcome(f, f->bytes + at, len - at, BELAY_MUX_LEGACY);
	assert_int_equal(f->result.consumed, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nothing_says_nothing),
		TEST(a_probe_is_answered_as_broker_v1_expects),
		TEST(every_part_of_a_frame_needs_more),
		TEST(what_does_not_begin_as_a_frame_is_the_daemons_own),
		TEST(the_daemon_is_asked_first_and_sees_all),
		TEST(a_payload_that_is_served_is_passed_on),
		TEST(whose_protocol_it_is_decides_the_refusal),
		TEST(a_probe_that_is_none_is_refused),
		TEST(a_payload_of_another_version_or_compressed_is_refused),
		TEST(a_body_beyond_the_cap_is_refused_by_its_header),
		TEST(a_body_that_is_no_frame_is_refused),
		TEST(an_answer_that_does_not_fit_is_refused),
		TEST(all_wires_share_one_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
