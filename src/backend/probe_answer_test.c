#include "backend/probe_testing.h"

#include "backend/daemon_message.h"
#include "backend/probe_frame.h"
#include "wire/broker.h"

#define NONCE_BYTES                                                                                \
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,  \
		0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c,      \
		0x1d, 0x1e, 0x1f, 0x20
#define REQUEST_ID_BYTES 0x28, 0x81, 0x84, 0x8c, 0xa0, 0xd0, 0xc0, 0xc1, 0x83, 0x08
#define EIGHT(byte)      byte, byte, byte, byte, byte, byte, byte, byte
#define HASH(byte)       EIGHT(byte), EIGHT(byte), EIGHT(byte), EIGHT(byte)

static const uint8_t golden_request[] = { 0x01, 0x32, 0x00, 0x00, 0x00, 0x08, 0x01, 0x18, 0xb2,
	0xe4, 0x02, 0x22, 0x20, NONCE_BYTES, REQUEST_ID_BYTES };

static const uint8_t golden_response[] = { 0x01, 0xb6, 0x00, 0x00, 0x00, 0x08, 0x01, 0x10, 0x01,
	0x18, 0xb2, 0xe4, 0x02, 0x22, 0xa1, 0x01, NONCE_BYTES, 0x08, 0x92, 0x21, 0x12, 0x0a, '/',
	'u', 's', 'r', '/', 'b', 'i', 'n', '/', 'd', 0x22, 0x15, 0x0a, 0x06, 's', 'h', 'a', 'r',
	'e', 'd', 0x12, 0x0b, '/', 'r', 'u', 'n', '/', 'x', '.', 's', 'o', 'c', 'k', 0x28, 0x80,
	0xd0, 0x95, 0xff, 0xbc, 0x31, 0x32, 0x04, 'b', 'o', 'o', 't', 0x38, 0x1e, 0x42, 0x06, 'b',
	'l', 'a', 'k', 'e', '3', 0x4a, 0x20, HASH(0xaa), 0x1a, 0x20, HASH(0xbb), REQUEST_ID_BYTES };

static const uint8_t nonce[BELAY_PROBE_NONCE_LEN] = { NONCE_BYTES };

static struct belay_daemon golden_daemon(void)
{
	return (struct belay_daemon){
		.pid = 4242,
		.has_blake3 = true,
		.has_sha256 = true,
		.has_idle_timeout = true,
		.blake3 = { HASH(0xaa) },
		.sha256 = { HASH(0xbb) },
		.idle_timeout_s = 30,
		.started_at_ms = 1700000000000,
		.boot_id = "boot",
		.endpoint = { "shared", "/run/x.sock" },
		.exe_path = "/usr/bin/d",
	};
}

static void scan(const uint8_t *bytes, size_t len, struct belay_frame_found *found,
	struct belay_envelope *envelope)
{
	assert_int_equal(belay_frame_scan(bytes, len, BELAY_FRAME_MAX, found), 1);
	assert_int_equal(found->consumed, len);
	assert_return_code(belay_envelope_decode(found->body, found->body_len, envelope), 0);
}

static struct belay_probe_request read_golden_request(void)
{
	struct belay_probe_request request;
	struct belay_frame_found found;
	struct belay_envelope envelope;

	scan(golden_request, sizeof(golden_request), &found, &envelope);
	assert_return_code(belay_probe_request_read(&envelope, &request, NULL), 0);
	return request;
}

static void the_golden_request_is_read(void **state)
{
	struct belay_probe_request request = read_golden_request();
	(void)state;

	assert_memory_equal(request.nonce, nonce, sizeof(nonce));
	assert_true(request.request_id == UINT64_C(0x0807060504030201));
	assert_true(request.request_id == belay__probe_request_id(nonce));
	assert_int_equal(request.traceparent.len, 0);
	assert_int_equal(request.tracestate.len, 0);
}

static void the_answer_to_the_golden_request_is_golden(void **state)
{
	struct belay_probe_request request = read_golden_request();
	struct belay_daemon self = golden_daemon();
	static uint8_t out[BELAY_PROBE_ANSWER_MAX];
	(void)state;

	assert_int_equal(belay_probe_answer(&request, &self, out, sizeof(out)),
		sizeof(golden_response));
	assert_memory_equal(out, golden_response, sizeof(golden_response));
	assert_int_equal(belay_probe_answer(&request, &self, out, sizeof(golden_response)),
		sizeof(golden_response));
	assert_int_equal(belay_probe_answer(&request, &self, out, sizeof(golden_response) - 1),
		-EMSGSIZE);
}

static void the_golden_answer_proves_nonce_and_record(void **state)
{
	const struct belay__reply reply = { golden_response + BELAY_FRAME_HEADER,
		sizeof(golden_response) - BELAY_FRAME_HEADER, nonce };
	struct belay_daemon expected = golden_daemon();
	static struct belay_daemon claimed;
	const char *text = "";
	unsigned proved = 0;
	(void)state;

	assert_int_equal(belay__probe_reply_judge(&reply, &expected, &proved, &text), BELAY_PROBED);
	assert_int_equal(proved, (unsigned)BELAY_PROOF_NONCE | (unsigned)BELAY_PROOF_RECORD);
	assert_null(text);

	proved = 0;
	assert_int_equal(belay__probe_reply_claim(&reply, &claimed, &proved, &text), BELAY_PROBED);
	assert_int_equal(proved, (unsigned)BELAY_PROOF_NONCE);
	assert_int_equal(claimed.pid, expected.pid);
	assert_string_equal(claimed.exe_path, expected.exe_path);
	assert_true(belay_endpoint_equal(&claimed.endpoint, &expected.endpoint));
}

static void a_request_is_checked_in_order(void **state)
{
	static const uint8_t bytes[33];
	/* Everything is wrong at first; each row mends one more thing. */
	struct belay_envelope envelope = {
		.version = 2,
		.kind = BELAY_ENVELOPE_RESPONSE,
		.payload_protocol = 0xb233,
		.payload_encoding = 1,
		.payload = { bytes, 33 },
	};
	struct belay_probe_request request = { .request_id = 77 };
	const char *text = NULL;
	(void)state;

	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), -EPROTO);
	assert_string_equal(text, "envelope_version is not v1");
	envelope.version = 1;
	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), -EPROTO);
	assert_string_equal(text, "kind is not REQUEST");
	envelope.kind = 9;
	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), -EPROTO);
	assert_string_equal(text, "kind is not REQUEST");
	envelope.kind = BELAY_ENVELOPE_REQUEST;
	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), -EPROTO);
	assert_string_equal(text, "payload_protocol is not endpoint probe");
	envelope.payload_protocol = BELAY_PROTOCOL_PROBE;
	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), -EPROTO);
	assert_string_equal(text, "payload is compressed");
	envelope.payload_encoding = 0;
	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), -EPROTO);
	assert_string_equal(text, "nonce must be 32 bytes");
	envelope.payload.len = 31;
	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), -EPROTO);
	assert_string_equal(text, "nonce must be 32 bytes");
	assert_true(request.request_id == 77); /* untouched so far */
	envelope.payload.len = 32;
	assert_int_equal(belay_probe_request_read(&envelope, &request, &text), 0);
	assert_true(request.request_id == 0);
}

static void trace_context_comes_back(void **state)
{
	struct belay_probe_request request = read_golden_request();
	struct belay_daemon self = golden_daemon();
	static uint8_t out[BELAY_PROBE_ANSWER_MAX];
	struct belay_envelope envelope;
	struct belay_frame_found found;
	ssize_t n;
	(void)state;

	request.traceparent = (struct belay_bytes){ (const uint8_t *)"00-ab-cd-01", 11 };
	request.tracestate = (struct belay_bytes){ (const uint8_t *)"rp=1", 4 };
	n = belay_probe_answer(&request, &self, out, sizeof(out));
	assert_true(n > 0);
	scan(out, (size_t)n, &found, &envelope);
	assert_int_equal(envelope.traceparent.len, 11);
	assert_memory_equal(envelope.traceparent.at, "00-ab-cd-01", 11);
	assert_int_equal(envelope.tracestate.len, 4);
	assert_memory_equal(envelope.tracestate.at, "rp=1", 4);
	assert_true(envelope.request_id == request.request_id);
}

static void the_largest_record_with_its_trace_context_fits(void **state)
{
	struct belay_probe_request request = read_golden_request();
	struct belay_daemon self = golden_daemon();
	static uint8_t out[BELAY_PROBE_ANSWER_MAX];
	uint8_t trace[1024];
	(void)state;

	memset(trace, 't', sizeof(trace));
	memset(self.exe_path, '/', sizeof(self.exe_path) - 1);
	memset(self.boot_id, 'b', sizeof(self.boot_id) - 1);
	memset(self.endpoint.path, 'p', sizeof(self.endpoint.path) - 1);
	memset(self.endpoint.namespace_id, 'n', sizeof(self.endpoint.namespace_id) - 1);
	self.pid = self.idle_timeout_s = UINT32_MAX;
	self.started_at_ms = UINT64_MAX;
	request.request_id = UINT64_MAX;
	request.tracestate = (struct belay_bytes){ trace, sizeof(trace) };
	assert_true(belay_probe_answer(&request, &self, out, sizeof(out)) > 5000);
}

static void a_record_survives_the_message(void **state)
{
	struct belay_daemon before = golden_daemon();
	static struct belay_daemon after;
	struct belay__daemon_process message;
	const char *text = NULL;
	(void)state;

	belay__daemon_to_message(&before, &message);
	assert_null(belay__daemon_message_lacks(&message));
	assert_null(belay__daemon_message_differs(&message, &before));
	assert_return_code(belay__daemon_from_message(&message, &after, &text), 0);
	assert_int_equal(after.pid, before.pid);
	assert_true(after.has_blake3 && after.has_sha256 && after.has_idle_timeout);
	assert_memory_equal(after.blake3, before.blake3, BELAY_HASH_LEN);
	assert_memory_equal(after.sha256, before.sha256, BELAY_HASH_LEN);
	assert_int_equal(after.idle_timeout_s, 30);
	assert_true(after.started_at_ms == before.started_at_ms);
	assert_true(after.start_ticks == 0);
	assert_string_equal(after.boot_id, "boot");
	assert_string_equal(after.exe_path, "/usr/bin/d");
	assert_true(belay_endpoint_equal(&after.endpoint, &before.endpoint));
}

static void texts_that_do_not_fit_are_no_record(void **state)
{
	static const uint8_t nul[] = { 'a', 0, 'b' };
	static uint8_t long_text[BELAY_EXE_SIZE];
	struct belay_daemon before = golden_daemon();
	static struct belay_daemon after = { .pid = 7 };
	struct belay__daemon_process message;
	const char *text = NULL;
	(void)state;

	memset(long_text, 'x', sizeof(long_text));
	belay__daemon_to_message(&before, &message);
	message.exe_path = (struct belay_bytes){ long_text, sizeof(long_text) };
	assert_int_equal(belay__daemon_from_message(&message, &after, &text), -EINVAL);
	assert_string_equal(text, "exe_path is too long or has a NUL in it");
	assert_int_equal(after.pid, 7);
	message.exe_path.len--;
	assert_return_code(belay__daemon_from_message(&message, &after, &text), 0);

	message.boot_id = (struct belay_bytes){ nul, sizeof(nul) };
	assert_int_equal(belay__daemon_from_message(&message, &after, NULL), -EINVAL);
}

static void every_error_and_proof_has_a_name(void **state)
{
	(void)state;

	assert_string_equal(belay_probe_error_name(BELAY_PROBED), "Probed");
	for (int i = 0; i <= (int)BELAY_PROBE_ENDED; i++)
		assert_string_not_equal(belay_probe_error_name((enum belay_probe_error)i),
			"Unknown");
	assert_string_equal(belay_probe_error_name(BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION),
		"UnsupportedFramingVersion");
	assert_string_equal(belay_probe_error_name(BELAY_PROBE_ENDED), "Ended");
	assert_string_equal(belay_probe_error_name((enum belay_probe_error)(BELAY_PROBE_ENDED + 1)),
		"Unknown");
	assert_string_equal(belay_proof_name(BELAY_PROOF_ENDPOINT), "endpoint");
	assert_string_equal(belay_proof_name(BELAY_PROOF_STILL), "still");
	assert_string_equal(belay_proof_name((enum belay_proof)(1 << 6)), "unknown");
	assert_string_equal(belay_proof_name((enum belay_proof)3), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_golden_request_is_read),
		cmocka_unit_test(the_answer_to_the_golden_request_is_golden),
		cmocka_unit_test(the_golden_answer_proves_nonce_and_record),
		cmocka_unit_test(a_request_is_checked_in_order),
		cmocka_unit_test(trace_context_comes_back),
		cmocka_unit_test(the_largest_record_with_its_trace_context_fits),
		cmocka_unit_test(a_record_survives_the_message),
		cmocka_unit_test(texts_that_do_not_fit_are_no_record),
		cmocka_unit_test(every_error_and_proof_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
