#include "backend/probe_frame.h"

#include <string.h>

#include "backend/daemon_message.h"
#include "wire/broker.h"

static enum belay_probe_error judge_record(struct belay_bytes bytes,
	const struct belay_daemon *expected, const char **ret_text)
{
	struct belay__daemon_process message;

	if (belay__proto_decode(&belay__type_daemon_process, bytes.at, bytes.len, &message) < 0)
		return BELAY_PROBE_DECODE_DAEMON_PROCESS;
	*ret_text = belay__daemon_message_lacks(&message);
	if (*ret_text != NULL)
		return BELAY_PROBE_IDENTITY;
	*ret_text = belay__daemon_message_differs(&message, expected);
	return *ret_text != NULL ? BELAY_PROBE_IDENTITY_MISMATCH : BELAY_PROBED;
}

enum belay_probe_error belay__probe_reply_judge(const uint8_t *body, size_t len,
	const uint8_t nonce[BELAY_PROBE_NONCE_LEN], const struct belay_daemon *expected,
	unsigned *proved, const char **ret_text)
{
	uint64_t request_id = belay__probe_request_id(nonce);
	struct belay_envelope envelope;
	enum belay_probe_error error;

	*ret_text = NULL;
	if (belay_envelope_decode(body, len, &envelope) < 0)
		return BELAY_PROBE_DECODE_FRAME;
	*ret_text = belay__probe_unexpected(&envelope, BELAY_ENVELOPE_RESPONSE, &request_id);
	if (*ret_text != NULL)
		return BELAY_PROBE_UNEXPECTED_FRAME;
	if (envelope.payload.len < BELAY_PROBE_NONCE_LEN) {
		*ret_text = "payload shorter than nonce";
		return BELAY_PROBE_MALFORMED_PAYLOAD;
	}
	if (memcmp(envelope.payload.at, nonce, BELAY_PROBE_NONCE_LEN) != 0) {
		*ret_text = "nonce does not match endpoint probe request";
		return BELAY_PROBE_UNEXPECTED_FRAME;
	}
	*proved |= BELAY_PROOF_NONCE;

	envelope.payload.at += BELAY_PROBE_NONCE_LEN;
	envelope.payload.len -= BELAY_PROBE_NONCE_LEN;
	error = judge_record(envelope.payload, expected, ret_text);
	if (error == BELAY_PROBED)
		*proved |= BELAY_PROOF_RECORD;
	return error;
}
