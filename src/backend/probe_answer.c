#include <belay/probe.h>

#include <errno.h>
#include <string.h>

#include "backend/daemon_message.h"
#include "backend/probe_frame.h"
#include "wire/broker.h"

const char *belay__probe_unexpected(const struct belay_envelope *envelope,
	enum belay_envelope_kind kind, const uint64_t *request_id)
{
	if (envelope->version != 1)
		return "envelope_version is not v1";
	if (envelope->kind != (int32_t)kind)
		return kind == BELAY_ENVELOPE_REQUEST ? "kind is not REQUEST"
						      : "kind is not RESPONSE";
	if (envelope->payload_protocol != BELAY_PROTOCOL_PROBE)
		return "payload_protocol is not endpoint probe";
	if (request_id != NULL && envelope->request_id != *request_id)
		return "request_id does not match endpoint probe request";
	if (envelope->payload_encoding != 0)
		return "payload is compressed";
	return NULL;
}

uint64_t belay__probe_request_id(const uint8_t nonce[BELAY_PROBE_NONCE_LEN])
{
	uint64_t id = 0;

	for (unsigned i = 0; i < sizeof(id); i++)
		id |= (uint64_t)nonce[i] << (8 * i);
	return id;
}

int belay_probe_request_read(const struct belay_envelope *envelope,
	struct belay_probe_request *ret_request, const char **ret_text)
{
	const char *text = belay__probe_unexpected(envelope, BELAY_ENVELOPE_REQUEST, NULL);

	if (text == NULL && envelope->payload.len != BELAY_PROBE_NONCE_LEN)
		text = "nonce must be 32 bytes";
	if (text != NULL) {
		if (ret_text != NULL)
			*ret_text = text;
		return -EPROTO;
	}
	ret_request->request_id = envelope->request_id;
	memcpy(ret_request->nonce, envelope->payload.at, BELAY_PROBE_NONCE_LEN);
	ret_request->traceparent = envelope->traceparent;
	ret_request->tracestate = envelope->tracestate;
	return 0;
}

ssize_t belay_probe_answer(const struct belay_probe_request *request,
	const struct belay_daemon *self, uint8_t *out, size_t size)
{
	uint8_t payload[BELAY_PROBE_NONCE_LEN + BELAY__DAEMON_MESSAGE_MAX];
	struct belay__daemon_process message;
	struct belay_envelope envelope = {
		.version = 1,
		.kind = BELAY_ENVELOPE_RESPONSE,
		.payload_protocol = BELAY_PROTOCOL_PROBE,
		.request_id = request->request_id,
		.traceparent = request->traceparent,
		.tracestate = request->tracestate,
	};
	ssize_t n;

	belay__daemon_to_message(self, &message);
	memcpy(payload, request->nonce, BELAY_PROBE_NONCE_LEN);
	n = belay__proto_encode(&belay__type_daemon_process, &message,
		payload + BELAY_PROBE_NONCE_LEN, sizeof(payload) - BELAY_PROBE_NONCE_LEN);
	if (n < 0)
		return n;

	envelope.payload = (struct belay_bytes){ payload, BELAY_PROBE_NONCE_LEN + (size_t)n };
	return belay_envelope_encode(&envelope, out, size);
}
