/* mux_fuzz.c - any bytes on a daemon's endpoint
 *
 * How the bytes are cut on their way never changes what comes of them. What is answered is a probe's
 * answer to this very request, what is passed on is of a protocol that is served, and nothing is
 * consumed that has not arrived. The first byte of the input chooses the daemon and the cuts.
 */
#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <belay/mux.h>

#define STEPS_MAX 512u /* of one connection; more are not compared */

/* What came of a connection so far. */
struct history {
	size_t at, steps;
	bool over; /* hung up on, or the daemon's own from here */
	struct {
		int code;
		enum belay_mux_outcome outcome;
		size_t consumed;
		uint32_t protocol;
	} step[STEPS_MAX];
};

static const uint32_t served[] = { 0x7a63, BELAY_PROTOCOL_SESSION };
static const struct belay_daemon self = {
	.pid = 4242,
	.has_blake3 = true,
	.exe_path = "/usr/bin/d",
	.boot_id = "boot",
	.endpoint = { .namespace_id = "shared", .path = "/run/x.sock" },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A protocol whose first byte is that of a frame. */
static enum belay_mux_legacy detect(void *data, const uint8_t *bytes, size_t len)
{
	(void)data;
	assert(len > 0);
	if (bytes[0] != 1)
		return bytes[0] == 'L' ? BELAY_LEGACY_YES : BELAY_LEGACY_NO;
	if (len < 2)
		return BELAY_LEGACY_NEED_MORE;
	return bytes[1] == 'L' ? BELAY_LEGACY_YES : BELAY_LEGACY_NO;
}

static void check_answer(const uint8_t *asked, size_t asked_len, const uint8_t *reply, size_t len)
{
	struct belay_frame_found request_frame, reply_frame;
	struct belay_envelope request, answer;

	assert(len <= BELAY_PROBE_ANSWER_MAX);
	assert(belay_frame_scan(asked, asked_len, BELAY_FRAME_MAX, &request_frame) == 1);
	assert(belay_frame_scan(reply, len, BELAY_FRAME_MAX, &reply_frame) == 1);
	assert(reply_frame.consumed == len);
	assert(belay_envelope_decode(request_frame.body, request_frame.body_len, &request) == 0);
	assert(belay_envelope_decode(reply_frame.body, reply_frame.body_len, &answer) == 0);
	assert(answer.version == 1 && answer.kind == BELAY_ENVELOPE_RESPONSE);
	assert(answer.request_id == request.request_id);
	assert(answer.payload.len > BELAY_PROBE_NONCE_LEN);
	assert(memcmp(answer.payload.at, request.payload.at, BELAY_PROBE_NONCE_LEN) == 0);
}

static void check_payload(const struct belay_mux_result *result, const uint8_t *bytes)
{
	const struct belay_bytes *payload = &result->envelope.payload;

	assert(result->envelope.version == 1 && result->envelope.payload_encoding == 0);
	assert(result->envelope.payload_protocol == served[0] ||
		result->envelope.payload_protocol == served[1]);
	if (payload->len > 0)
		assert(payload->at >= bytes &&
			payload->at + payload->len <= bytes + result->consumed);
}

/* One look at the LEN bytes that have arrived. Whether there may be more to see in them. */
static bool step(const struct belay_mux *mux, const uint8_t *bytes, size_t len,
	struct history *history)
{
	static uint8_t reply[BELAY_PROBE_ANSWER_MAX];
	struct belay_mux_result result = { .consumed = SIZE_MAX };
	const char *text = NULL;
	const uint8_t *from = bytes + history->at;
	int r = belay_mux_look(mux, from, len - history->at, reply, sizeof(reply), &result, &text);

	assert((r < 0) == (text != NULL));
	if (r == 0 && result.outcome == BELAY_MUX_NEED_MORE)
		return false;
	if (r < 0) {
		result = (struct belay_mux_result){ .outcome = BELAY_MUX_NEED_MORE };
	} else if (result.outcome == BELAY_MUX_ANSWERED) {
		check_answer(from, result.consumed, reply, result.reply_len);
	} else if (result.outcome == BELAY_MUX_PAYLOAD) {
		check_payload(&result, from);
	}
	history->over = r < 0 || result.outcome == BELAY_MUX_LEGACY;
	assert(history->over ? result.consumed == 0 : result.consumed > 0);
	assert(result.consumed <= len - history->at);
	history->step[history->steps].code = r;
	history->step[history->steps].outcome = result.outcome;
	history->step[history->steps].consumed = result.consumed;
	history->step[history->steps].protocol = result.envelope.payload_protocol;
	history->steps++;
	history->at += result.consumed;
	return !history->over && history->steps < STEPS_MAX;
}

/* The bytes arrive in parts of 1 to LONGEST bytes; 0: all at once. */
static void serve(const struct belay_mux *mux, const uint8_t *bytes, size_t size, size_t longest,
	struct history *history)
{
	size_t arrived = 0;
	uint32_t seed = (uint32_t)longest;

	memset(history, 0, sizeof(*history));
	while (arrived < size && !history->over && history->steps < STEPS_MAX) {
		seed = seed * 1664525u + 1013904223u;
		arrived += longest > 0 ? 1 + (seed >> 8) % longest : size;
		if (arrived > size)
			arrived = size;
		while (step(mux, bytes, arrived, history))
			;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct history whole, cut;

	if (size == 0)
		return 0;

	const struct belay_mux mux = {
		.self = &self,
		.is_legacy = (data[0] & 1) != 0 ? detect : NULL,
		.served = served,
		.served_count = 2,
		.cap = (data[0] & 2) != 0 ? 300 : 0,
	};

	size--;
	/* A copy of its own, so that nothing behind it can be read unseen. */
	uint8_t *bytes = malloc(size > 0 ? size : 1);

	assert(bytes != NULL);
	memcpy(bytes, data + 1, size);
	serve(&mux, bytes, size, 0, &whole);
	serve(&mux, bytes, size, 1 + (size_t)(data[0] >> 2), &cut);
	assert(whole.at == cut.at && whole.steps == cut.steps && whole.over == cut.over);
	assert(memcmp(whole.step, cut.step, sizeof(whole.step)) == 0);
	free(bytes);
	return 0;
}
