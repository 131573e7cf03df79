#include "backend/probe_testing.h"

#include "backend/daemon_message.h"
#include "wire/broker.h"

#define ANSWER_SIZE (BELAY_FRAME_HEADER + BELAY_PROBE_REPLY_MAX + 1)

/* An answer in the making: from the record to the bytes on the wire. */
struct answer {
	struct belay__daemon_process record;
	uint8_t payload[BELAY_PROBE_REPLY_MAX];
	size_t nonce_len;
	struct belay_envelope envelope;
	uint8_t bytes[ANSWER_SIZE];
	size_t len;
};

/* How somebody answers, and what the prober makes of it. Each of the three may spoil what the step
 * before it made. */
struct row {
	const char *what;
	void (*spoil_record)(struct answer *answer);
	void (*spoil_envelope)(struct answer *answer);
	void (*spoil_bytes)(struct answer *answer);
	enum belay_probe_error error;
	const char *name, *text;
	int code;
};

static struct belay_bytes view(const char *text)
{
	return (struct belay_bytes){ (const uint8_t *)text, strlen(text) };
}

static const struct belay_bytes none;
static const uint8_t other_hash[BELAY_HASH_LEN] = { 1, 2, 3 };
static const uint8_t no_hash[BELAY_HASH_LEN];

static void another_pid(struct answer *answer)
{
	answer->record.pid++;
}

static void another_path(struct answer *answer)
{
	answer->record.exe_path = view("/usr/bin/other");
}

static void another_blake3(struct answer *answer)
{
	answer->record.exe_hash.at = other_hash;
}

static void another_sha256(struct answer *answer)
{
	answer->record.exe_sha256.at = other_hash;
}

static void no_blake3(struct answer *answer)
{
	answer->record.exe_hash_algorithm = answer->record.exe_hash = none;
}

static void no_sha256(struct answer *answer)
{
	answer->record.exe_sha256 = none;
}

static void zero_sha256(struct answer *answer)
{
	answer->record.exe_sha256.at = no_hash;
}

static void only_another_sha256(struct answer *answer)
{
	no_blake3(answer);
	another_sha256(answer);
}

static void only_zero_sha256(struct answer *answer)
{
	no_blake3(answer);
	zero_sha256(answer);
}

static void no_hashes(struct answer *answer)
{
	no_blake3(answer);
	no_sha256(answer);
}

static void unknown_algorithm(struct answer *answer)
{
	answer->record.exe_hash_algorithm = view("BLAKE3");
	no_sha256(answer);
}

static void unknown_algorithm_beside_sha256(struct answer *answer)
{
	answer->record.exe_hash_algorithm = view("sha3");
}

static void short_hash(struct answer *answer)
{
	answer->record.exe_hash.len = 31;
	no_sha256(answer);
}

static void another_boot(struct answer *answer)
{
	answer->record.boot_id = view("11111111-2222-3333-4444-555555555555");
}

static void no_endpoint(struct answer *answer)
{
	answer->record.has_ipc_endpoint = false;
}

static void another_namespace(struct answer *answer)
{
	answer->record.ipc_endpoint.namespace_id = view("explicit:other");
}

static void another_endpoint(struct answer *answer)
{
	answer->record.ipc_endpoint.path = view("/run/other.sock");
}

static void version_2(struct answer *answer)
{
	answer->envelope.version = 2;
}

static void a_request(struct answer *answer)
{
	answer->envelope.kind = BELAY_ENVELOPE_REQUEST;
}

static void unknown_kind(struct answer *answer)
{
	answer->envelope.kind = 7;
}

static void another_protocol(struct answer *answer)
{
	answer->envelope.payload_protocol = BELAY_PROTOCOL_HANDOFF;
}

static void another_request(struct answer *answer)
{
	answer->envelope.request_id++;
}

static void compressed(struct answer *answer)
{
	answer->envelope.payload_encoding = 1;
}

static void short_payload(struct answer *answer)
{
	answer->envelope.payload.len = BELAY_PROBE_NONCE_LEN - 1;
}

static void another_nonce(struct answer *answer)
{
	answer->payload[31] ^= 1;
}

static void broken_record(struct answer *answer)
{
	answer->payload[BELAY_PROBE_NONCE_LEN] = 0x07; /* a wire type that there is not */
}

static void two_records(struct answer *answer)
{
	size_t len = answer->envelope.payload.len - BELAY_PROBE_NONCE_LEN;

	/* Of equal fields the last wins, so nothing changes. */
	memcpy(answer->payload + BELAY_PROBE_NONCE_LEN + len,
		answer->payload + BELAY_PROBE_NONCE_LEN, len);
	answer->envelope.payload.len += len;
}

static void framing_2(struct answer *answer)
{
	answer->bytes[0] = 2;
	answer->len = 1;
}

/* Says it has LEN bytes of body, and has as many as before. */
static void claim(struct answer *answer, uint32_t len)
{
	belay_frame_header(len, answer->bytes);
}

static void claim_16_mib(struct answer *answer)
{
	claim(answer, BELAY_FRAME_MAX);
	answer->len = BELAY_FRAME_HEADER;
}

/* Fills the body with a field that nobody knows up to LEN bytes. */
static void fill(struct answer *answer, uint32_t len)
{
	uint8_t *more = answer->bytes + answer->len;
	size_t left = BELAY_FRAME_HEADER + len - answer->len - 5;

	more[0] = 0xfa; /* field 31, bytes */
	more[1] = 0x01;
	more[2] = (uint8_t)(0x80 | (left & 0x7f));
	more[3] = (uint8_t)(0x80 | ((left >> 7) & 0x7f));
	more[4] = (uint8_t)(left >> 14);
	memset(more + 5, 'x', left);
	answer->len = BELAY_FRAME_HEADER + len;
	claim(answer, len);
}

static void largest(struct answer *answer)
{
	fill(answer, BELAY_PROBE_REPLY_MAX);
}

static void larger_by_one(struct answer *answer)
{
	fill(answer, BELAY_PROBE_REPLY_MAX + 1);
	answer->len = BELAY_FRAME_HEADER; /* it hangs up on us, and the rest stays here */
}

static void no_frame(struct answer *answer)
{
	answer->bytes[BELAY_FRAME_HEADER] = 0xff;
}

static void empty_body(struct answer *answer)
{
	claim(answer, 0);
	answer->len = BELAY_FRAME_HEADER;
}

static void nothing(struct answer *answer)
{
	answer->len = 0;
}

static void half_a_header(struct answer *answer)
{
	answer->len = 3;
}

static void a_header(struct answer *answer)
{
	answer->len = BELAY_FRAME_HEADER;
}

static void all_but_a_byte(struct answer *answer)
{
	answer->len--;
}

static void more_behind(struct answer *answer)
{
	answer->bytes[answer->len++] = 0x02;
}

/* clang-format off */
static const struct row rows[] = {
	{ "both hashes", NULL, NULL, NULL, BELAY_PROBED, "Probed", NULL, 0 },
	{ "the 4.1.0 era", no_blake3, NULL, NULL, BELAY_PROBED, "Probed", NULL, 0 },
	{ "the 4.10.3 era", no_sha256, NULL, NULL, BELAY_PROBED, "Probed", NULL, 0 },
	{ "zeros for a SHA-256", zero_sha256, NULL, NULL, BELAY_PROBED, "Probed", NULL, 0 },
	{ "an algorithm of the future", unknown_algorithm_beside_sha256, NULL, NULL, BELAY_PROBED, "Probed", NULL, 0 },
	{ "fields twice", NULL, two_records, NULL, BELAY_PROBED, "Probed", NULL, 0 },
	{ "the largest body", NULL, NULL, largest, BELAY_PROBED, "Probed", NULL, 0 },
	{ "bytes behind it", NULL, NULL, more_behind, BELAY_PROBED, "Probed", NULL, 0 },

	{ "framing", NULL, NULL, framing_2, BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION, "UnsupportedFramingVersion", NULL, -EPROTO },
	{ "16 MiB", NULL, NULL, claim_16_mib, BELAY_PROBE_FRAME_TOO_LARGE, "FrameTooLarge", NULL, -EPROTO },
	{ "one too many", NULL, NULL, larger_by_one, BELAY_PROBE_FRAME_TOO_LARGE, "FrameTooLarge", NULL, -EPROTO },
	{ "no frame", NULL, NULL, no_frame, BELAY_PROBE_DECODE_FRAME, "DecodeFrame", NULL, -EPROTO },

	{ "empty", NULL, NULL, empty_body, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "envelope_version is not v1", -EPROTO },
	{ "version", NULL, version_2, NULL, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "envelope_version is not v1", -EPROTO },
	{ "request", NULL, a_request, NULL, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "kind is not RESPONSE", -EPROTO },
	{ "kind", NULL, unknown_kind, NULL, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "kind is not RESPONSE", -EPROTO },
	{ "protocol", NULL, another_protocol, NULL, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "payload_protocol is not endpoint probe", -EPROTO },
	{ "request id", NULL, another_request, NULL, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "request_id does not match endpoint probe request", -EPROTO },
	{ "encoding", NULL, compressed, NULL, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "payload is compressed", -EPROTO },
	{ "payload", NULL, short_payload, NULL, BELAY_PROBE_MALFORMED_PAYLOAD, "MalformedPayload", "payload shorter than nonce", -EPROTO },
	{ "nonce", NULL, another_nonce, NULL, BELAY_PROBE_UNEXPECTED_FRAME, "UnexpectedFrame", "nonce does not match endpoint probe request", -EPROTO },
	{ "no record", NULL, broken_record, NULL, BELAY_PROBE_DECODE_DAEMON_PROCESS, "DecodeDaemonProcess", NULL, -EPROTO },

	{ "no endpoint", no_endpoint, NULL, NULL, BELAY_PROBE_IDENTITY, "Identity", "ipc_endpoint is missing", -EPROTO },
	{ "no hashes", no_hashes, NULL, NULL, BELAY_PROBE_IDENTITY, "Identity", "it has no hash of the executable", -EPROTO },
	{ "zeros alone", only_zero_sha256, NULL, NULL, BELAY_PROBE_IDENTITY, "Identity", "exe_sha256 must be 32 bytes, not all zero", -EPROTO },
	{ "algorithm", unknown_algorithm, NULL, NULL, BELAY_PROBE_IDENTITY, "Identity", "exe_hash_algorithm is not blake3", -EPROTO },
	{ "hash", short_hash, NULL, NULL, BELAY_PROBE_IDENTITY, "Identity", "exe_hash must be 32 bytes", -EPROTO },

	{ "pid", another_pid, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "pid", -ESTALE },
	{ "path", another_path, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "exe_path", -ESTALE },
	{ "blake3", another_blake3, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "exe_hash", -ESTALE },
	{ "sha256", another_sha256, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "exe_hash", -ESTALE },
	{ "sha256 alone", only_another_sha256, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "exe_sha256", -ESTALE },
	{ "boot", another_boot, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "boot_id", -ESTALE },
	{ "namespace", another_namespace, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "ipc_endpoint", -ESTALE },
	{ "endpoint", another_endpoint, NULL, NULL, BELAY_PROBE_IDENTITY_MISMATCH, "IdentityMismatch", "ipc_endpoint", -ESTALE },

	{ "hung up at once", NULL, NULL, nothing, BELAY_PROBE_IO, "Io", "framing byte", -ECONNRESET },
	{ "hung up in the header", NULL, NULL, half_a_header, BELAY_PROBE_IO, "Io", "body length header", -ECONNRESET },
	{ "hung up behind the header", NULL, NULL, a_header, BELAY_PROBE_IO, "Io", "frame body", -ECONNRESET },
	{ "hung up in the body", NULL, NULL, all_but_a_byte, BELAY_PROBE_IO, "Io", "frame body", -ECONNRESET },
};
/* clang-format on */

static void make_answer(struct answer *answer, const struct belay_daemon *self,
	const struct belay_probe_request *request, const struct row *row)
{
	uint8_t *record = answer->payload + BELAY_PROBE_NONCE_LEN;
	ssize_t n;

	belay__daemon_to_message(self, &answer->record);
	if (row->spoil_record != NULL)
		row->spoil_record(answer);
	memcpy(answer->payload, request->nonce, BELAY_PROBE_NONCE_LEN);
	n = belay__proto_encode(&belay__type_daemon_process, &answer->record, record,
		sizeof(answer->payload) - BELAY_PROBE_NONCE_LEN);
	assert_true(n > 0);
	answer->envelope = (struct belay_envelope){
		.version = 1,
		.kind = BELAY_ENVELOPE_RESPONSE,
		.payload_protocol = BELAY_PROTOCOL_PROBE,
		.request_id = request->request_id,
		.payload = { answer->payload, BELAY_PROBE_NONCE_LEN + (size_t)n },
	};
	if (row->spoil_envelope != NULL)
		row->spoil_envelope(answer);
	n = belay_envelope_encode(&answer->envelope, answer->bytes, sizeof(answer->bytes));
	assert_true(n > 0);
	answer->len = (size_t)n;
	if (row->spoil_bytes != NULL)
		row->spoil_bytes(answer);
}

/* Before the answer: what it must not have touched. */
static const struct belay_handle no_handle = { .pid = -7, .pidfd = -77, .start_ticks = 777 };

static void check(const struct row *row, int code, const struct belay_probe_report *report,
	const struct belay_handle *handle, const struct belay_error *error)
{
	if (code != row->code || report->error != row->error)
		print_error("%s: %d %s, not %d %s\n", row->what, code,
			belay_probe_error_name(report->error), row->code, row->name);
	assert_int_equal(code, row->code);
	assert_int_equal(report->error, row->error);
	assert_string_equal(belay_probe_error_name(report->error), row->name);
	if (row->text != NULL)
		assert_string_equal(report->text, row->text);
	if (code == 0) {
		assert_int_equal(report->proved, TEST_ALL_PROOFS);
		assert_int_equal(report->answered_by, getpid());
		assert_int_equal(handle->pid, getpid());
		return;
	}
	assert_int_equal(handle->pidfd, no_handle.pidfd);
	assert_int_equal(error->code, code);
	assert_non_null(strstr(error->text, "; "));
	if (row->text != NULL)
		assert_non_null(strstr(error->text, row->text));
	assert_int_equal(report->proved & (unsigned)BELAY_PROOF_STILL, 0);
	/* Nothing here may wait for the deadline. */
	assert_true(report->took_us < TEST_PLENTY_MS * 1000 / 2);
}

static void answers_are_told_apart_by_their_errors(void **state)
{
	static struct answer answer;
	struct place *place = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct belay_prober *prober = ask(place);
		int connection = accept_at(place->listener);
		struct belay_handle handle = no_handle;
		struct belay_probe_request request;
		struct belay_probe_report report;
		struct belay_error error = { 0 };
		int r;

		read_request(connection, &request);
		assert_int_equal(belay_probe_next(prober, &handle, &report, &error), -EAGAIN);
		make_answer(&answer, &place->self, &request, &rows[i]);
		send_all(connection, answer.bytes, answer.len);
		(void)close(connection);
		r = conclude(prober, &handle, &report, &error);
		check(&rows[i], r, &report, &handle, &error);
		if (r == 0)
			belay_handle_close(&handle);
	}
}

/* What only one of both sides knows proves nothing. */
static void a_reply_without_the_hash_that_is_expected_is_another(void **state)
{
	static struct answer answer;
	static const struct row only_sha256 = { .spoil_record = no_blake3 };
	struct place *place = *state;
	struct belay_prober *prober;
	struct belay_probe_request request;
	struct belay_probe_report report;
	int connection;

	place->self.has_sha256 = false;
	prober = ask(place);
	connection = accept_at(place->listener);
	read_request(connection, &request);
	place->self.has_sha256 = true;
	make_answer(&answer, &place->self, &request, &only_sha256);
	send_all(connection, answer.bytes, answer.len);
	assert_int_equal(conclude(prober, NULL, &report, NULL), -ESTALE);
	assert_int_equal(report.error, BELAY_PROBE_IDENTITY_MISMATCH);
	assert_string_equal(report.text, "exe_hash");
	(void)close(connection);
}

static void an_answer_may_come_byte_by_byte(void **state)
{
	static struct answer answer;
	static const struct row good;
	struct place *place = *state;
	struct belay_prober *prober = ask(place);
	int connection = accept_at(place->listener);
	struct belay_probe_request request;
	struct belay_probe_report report;

	read_request(connection, &request);
	make_answer(&answer, &place->self, &request, &good);
	for (size_t i = 0; i < answer.len; i++) {
		assert_int_equal(belay_probe_next(prober, NULL, &report, NULL), -EAGAIN);
		send_all(connection, answer.bytes + i, 1);
		wait_readable(belay_probe_fd(prober));
	}
	assert_int_equal(conclude(prober, NULL, &report, NULL), 0);
	assert_int_equal(report.proved, TEST_ALL_PROOFS);
	(void)close(connection);
}

static void descriptors_that_come_along_do_not_stay(void **state)
{
	static struct answer answer;
	static const struct row good;
	struct place *place = *state;
	struct belay_prober *prober = ask(place);
	int connection = accept_at(place->listener);
	uint64_t until_ns = test_deadline();
	struct belay_probe_request request;
	struct belay_probe_report report;

	read_request(connection, &request);
	make_answer(&answer, &place->self, &request, &good);
	if (!send_with_descriptor(connection, answer.bytes, answer.len)) {
		assert_int_equal(errno, EPERM);
		send_all(connection, answer.bytes, answer.len);
	}
	assert_int_equal(conclude(prober, NULL, &report, NULL), 0);
	(void)close(connection);
	/* The closer may take a moment. */
	while (belay__fd_count() != place->fds_before + 1) {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < until_ns);
		(void)poll(NULL, 0, 1);
	}
}

static void a_prober_may_be_given_up_at_any_time(void **state)
{
	struct place *place = *state;
	struct belay_prober *prober = ask(place);
	int connection = accept_at(place->listener);

	assert_null(belay_probe_free(prober));
	wait_hung_up(connection);
	(void)close(connection);
	assert_null(belay_probe_free(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(answers_are_told_apart_by_their_errors),
		PLACE_TEST(a_reply_without_the_hash_that_is_expected_is_another),
		PLACE_TEST(an_answer_may_come_byte_by_byte),
		PLACE_TEST(descriptors_that_come_along_do_not_stay),
		PLACE_TEST(a_prober_may_be_given_up_at_any_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
