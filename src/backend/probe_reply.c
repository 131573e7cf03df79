#include "backend/probe_frame.h"

#include <string.h>

#include "backend/daemon_message.h"
#include "wire/broker.h"

/* The record that REPLY carries, if it is one to this request; it may still lack something. */
static enum belay_probe_error open_reply(const struct belay__reply *reply, unsigned *proved,
	struct belay__daemon_process *ret_message, const char **ret_text)
{
	uint64_t request_id = belay__probe_request_id(reply->nonce);
	struct belay_envelope envelope;

	*ret_text = NULL;
	if (belay_envelope_decode(reply->body, reply->len, &envelope) < 0)
		return BELAY_PROBE_DECODE_FRAME;
	*ret_text = belay__probe_unexpected(&envelope, BELAY_ENVELOPE_RESPONSE, &request_id);
	if (*ret_text != NULL)
		return BELAY_PROBE_UNEXPECTED_FRAME;
	if (envelope.payload.len < BELAY_PROBE_NONCE_LEN) {
		*ret_text = "payload shorter than nonce";
		return BELAY_PROBE_MALFORMED_PAYLOAD;
	}
	if (memcmp(envelope.payload.at, reply->nonce, BELAY_PROBE_NONCE_LEN) != 0) {
		*ret_text = "nonce does not match endpoint probe request";
		return BELAY_PROBE_UNEXPECTED_FRAME;
	}
	*proved |= BELAY_PROOF_NONCE;
	if (belay__proto_decode(&belay__type_daemon_process,
		    envelope.payload.at + BELAY_PROBE_NONCE_LEN,
		    envelope.payload.len - BELAY_PROBE_NONCE_LEN, ret_message) < 0)
		return BELAY_PROBE_DECODE_DAEMON_PROCESS;
	return BELAY_PROBED;
}

enum belay_probe_error belay__probe_reply_judge(const struct belay__reply *reply,
	const struct belay_daemon *expected, unsigned *proved, const char **ret_text)
{
	struct belay__daemon_process message;
	enum belay_probe_error error = open_reply(reply, proved, &message, ret_text);

	if (error != BELAY_PROBED)
		return error;
	*ret_text = belay__daemon_message_lacks(&message);
	if (*ret_text != NULL)
		return BELAY_PROBE_IDENTITY;
	*ret_text = belay__daemon_message_differs(&message, expected);
	if (*ret_text != NULL)
		return BELAY_PROBE_IDENTITY_MISMATCH;
	*proved |= BELAY_PROOF_RECORD;
	return BELAY_PROBED;
}

enum belay_probe_error belay__probe_reply_claim(const struct belay__reply *reply,
	struct belay_daemon *ret_claimed, unsigned *proved, const char **ret_text)
{
	struct belay__daemon_process message;
	enum belay_probe_error error = open_reply(reply, proved, &message, ret_text);

	if (error != BELAY_PROBED)
		return error;
	return belay__daemon_from_message(&message, ret_claimed, ret_text) < 0
		? BELAY_PROBE_IDENTITY
		: BELAY_PROBED;
}
