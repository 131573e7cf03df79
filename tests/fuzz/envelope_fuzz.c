/* envelope_fuzz.c - any bytes as a stream of frames
 *
 * However the stream is cut, the same frames are found at the same places and the same error comes
 * at the same byte; a frame that was found decodes or does not, and is written as it was understood.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <belay/envelope.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX 4096
#define CAP       1024

/* A verdict is final: it comes with the first byte that decides it, and no later one changes it. */
static int check_prefixes(const uint8_t *data, size_t size, struct belay_frame_found *ret_found)
{
	struct belay_frame_found found = { NULL, 0, 0 };
	int verdict = 0;

	for (size_t len = 0; len <= size; len++) {
		struct belay_frame_found now = { NULL, 0, 0 };
		int r = belay_frame_scan(data, len, CAP, &now);

		if (verdict == 0) {
			verdict = r;
			found = now;
			assert(r != 1 || now.consumed == len);
		}
		assert(r == verdict && now.body == found.body && now.body_len == found.body_len &&
			now.consumed == found.consumed);
	}
	*ret_found = found;
	return verdict;
}

static void check_same(const struct belay_bytes *a, const struct belay_bytes *b)
{
	assert(a->len == b->len && (a->len == 0 || memcmp(a->at, b->at, a->len) == 0));
}

static void check_envelope(const uint8_t *body, size_t len)
{
	static uint8_t once[INPUT_MAX], twice[INPUT_MAX];
	struct belay_envelope envelope, again;
	struct belay_frame_found found;
	ssize_t written;

	if (belay_envelope_decode(body, len, &envelope) != 0)
		return;
	written = belay_envelope_encode(&envelope, once, sizeof(once));
	assert(written >= BELAY_FRAME_HEADER);
	assert(belay_envelope_encode(&envelope, twice, (size_t)written - 1) == -EMSGSIZE);
	assert(belay_frame_scan(once, (size_t)written, BELAY_FRAME_MAX, &found) == 1);
	assert(found.consumed == (size_t)written);

	assert(belay_envelope_decode(found.body, found.body_len, &again) == 0);
	assert(again.version == envelope.version && again.kind == envelope.kind);
	assert(again.payload_protocol == envelope.payload_protocol);
	assert(again.request_id == envelope.request_id);
	assert(again.payload_encoding == envelope.payload_encoding);
	assert(again.deadline_unix_ms == envelope.deadline_unix_ms);
	check_same(&again.payload, &envelope.payload);
	check_same(&again.traceparent, &envelope.traceparent);
	check_same(&again.tracestate, &envelope.tracestate);
	assert(belay_payload_protocol_name(again.payload_protocol) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct belay_frame_found found;
	int r = 1;

	if (size > INPUT_MAX)
		return 0;
	while (r == 1) {
		r = check_prefixes(data, size, &found);
		if (r != 1)
			break;
		assert(found.body == data + BELAY_FRAME_HEADER && found.body_len <= CAP);
		assert(found.consumed == found.body_len + BELAY_FRAME_HEADER);
		check_envelope(found.body, found.body_len);
		data += found.consumed;
		size -= found.consumed;
	}
	assert(r == 0 || r == -EPROTONOSUPPORT || r == -EMSGSIZE);
	assert(belay_framing_error_text(r) != NULL);
	return 0;
}
