#include "wire/handoff_frame.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

static struct belay_bytes bytes_of(const struct belay_handoff_token *token)
{
	return (struct belay_bytes){ token->secret, sizeof(token->secret) };
}

/* --- building --- */

static ssize_t frame(enum belay_envelope_kind kind, uint64_t request_id,
	const struct belay__proto_type *type, const void *message, uint8_t *out, size_t size)
{
	uint8_t payload[BELAY__HANDOFF_ACK_SIZE];
	ssize_t len = belay__proto_encode(type, message, payload, sizeof(payload));

	if (len < 0)
		return len;

	return belay_envelope_encode(
		&(struct belay_envelope){
			.version = 1,
			.kind = (int32_t)kind,
			.payload_protocol = BELAY_PROTOCOL_HANDOFF,
			.payload = { payload, (size_t)len },
			.request_id = request_id,
		},
		out, size);
}

ssize_t belay__handoff_offer_frame(const struct belay_handoff_token *token, const char *service,
	uint64_t correlation_id, uint8_t ret_frame[static BELAY__HANDOFF_OFFER_SIZE])
{
	size_t len = strnlen(service, BELAY_HANDOFF_SERVICE_MAX + 1);
	const struct belay__handoff_offer offer = {
		.token = bytes_of(token),
		.service_name = { (const uint8_t *)service, len },
		.correlation_id = correlation_id,
	};

	if (len == 0 || len > BELAY_HANDOFF_SERVICE_MAX)
		return -EINVAL;

	return frame(BELAY_ENVELOPE_REQUEST, correlation_id, &belay__type_handoff_offer, &offer,
		ret_frame, BELAY__HANDOFF_OFFER_SIZE);
}

/* At most MAX bytes of TEXT, and no half of a character. */
static struct belay_bytes cut(struct belay_bytes text, size_t max)
{
	size_t len = text.len;

	if (len > max) {
		len = max;
		while (len > 0 && (text.at[len] & 0xc0) == 0x80)
			len--;
	}
	return (struct belay_bytes){ text.at, len };
}

ssize_t belay__handoff_ack_frame(const struct belay__handoff_ack *ack,
	uint8_t ret_frame[static BELAY__HANDOFF_ACK_SIZE])
{
	struct belay__handoff_ack fitting = *ack;

	if (fitting.token.len > BELAY__HANDOFF_ECHO_MAX)
		fitting.token.len = BELAY__HANDOFF_ECHO_MAX;
	fitting.error_detail = cut(ack->error_detail, BELAY__HANDOFF_DETAIL_MAX);
	return frame(BELAY_ENVELOPE_RESPONSE, ack->correlation_id, &belay__type_handoff_ack,
		&fitting, ret_frame, BELAY__HANDOFF_ACK_SIZE);
}

ssize_t belay__handoff_ready_frame(const struct belay_handoff_token *token, uint64_t correlation_id,
	bool accepted, uint8_t ret_frame[static BELAY__HANDOFF_ACK_SIZE])
{
	const struct belay__handoff_ack ready = {
		.token = bytes_of(token),
		.accepted = accepted,
		.correlation_id = correlation_id,
	};

	return frame(BELAY_ENVELOPE_EVENT, correlation_id, &belay__type_handoff_ack, &ready,
		ret_frame, BELAY__HANDOFF_ACK_SIZE);
}

/* --- reading --- */

static int says(int code, const char *text, const char **ret_text)
{
	*ret_text = text;
	return code;
}

static int check_frame(const struct belay_envelope *envelope, enum belay_envelope_kind kind,
	const char *wrong_kind, const char **ret_text)
{
	if (envelope->version != 1)
		return says(-EPROTO, "handoff frame envelope_version is not v1", ret_text);
	if (envelope->kind != (int32_t)kind)
		return says(-EPROTO, wrong_kind, ret_text);
	if (envelope->payload_protocol != BELAY_PROTOCOL_HANDOFF)
		return says(-EPROTO, "handoff frame payload_protocol is not handoff", ret_text);
	if (envelope->payload_encoding != 0)
		return says(-EPROTO, "handoff frame payload is compressed", ret_text);
	return 0;
}

static bool same_token(struct belay_bytes came, const struct belay_handoff_token *expected)
{
	struct belay_handoff_token token;
	bool same = belay_handoff_token_parse(came.at, came.len, &token) == 0 &&
		belay_handoff_token_equal(&token, expected);

	explicit_bzero(&token, sizeof(token));
	return same;
}

int belay__handoff_offer_read(const struct belay_envelope *envelope,
	struct belay__handoff_offer *ret_offer, const char **ret_text)
{
	struct belay__handoff_offer offer;
	int r = check_frame(envelope, BELAY_ENVELOPE_REQUEST, "handoff frame kind is not REQUEST",
		ret_text);

	if (r < 0)
		return r;
	if (belay__proto_decode(&belay__type_handoff_offer, envelope->payload.at,
		    envelope->payload.len, &offer) < 0)
		return says(-EBADMSG, "malformed handoff offer", ret_text);
	if (envelope->request_id != offer.correlation_id)
		return says(-EPROTO, "handoff offer request_id is not its correlation_id", ret_text);

	*ret_offer = offer;
	return 0;
}

int belay__handoff_offer_check(const struct belay__handoff_offer *offer,
	const struct belay_handoff_token *carried, const char *service, const char **ret_text)
{
	if (offer->token.len == 0)
		return says(-ENODATA, "handoff token is missing", ret_text);
	if (offer->token.len != BELAY_HANDOFF_TOKEN_LEN)
		return says(-EMSGSIZE, "handoff token must be 16 bytes", ret_text);
	if (!same_token(offer->token, carried))
		return says(-EPERM, "handoff token mismatch", ret_text);
	if (service != NULL &&
		(offer->service_name.len != strlen(service) ||
			memcmp(offer->service_name.at, service, offer->service_name.len) != 0))
		return says(-EACCES, "handoff is for another service", ret_text);
	return 0;
}

/* What an ack says, once it is known to be one: the checks behind its frame's. */
static int check_ack(const struct belay__handoff_ack *ack, const struct belay_handoff_token *token,
	const uint64_t *correlation_id, enum belay_handoff_error *ret_error, const char **ret_text)
{
	*ret_error = BELAY_HANDOFF_INTEGRITY_MISMATCH;
	if (correlation_id != NULL && ack->correlation_id != *correlation_id)
		return says(-EPERM, "handoff correlation_id mismatch", ret_text);
	if (!same_token(ack->token, token))
		return says(-EPERM, "handoff token mismatch", ret_text);

	*ret_error = ack->accepted ? BELAY_HANDED_OVER : BELAY_HANDOFF_REJECTED;
	if (!ack->accepted)
		return says(-ECONNREFUSED, "backend refused the handoff", ret_text);
	return 0;
}

int belay__handoff_ack_read(const struct belay_envelope *envelope,
	const struct belay_handoff_token *token, uint64_t correlation_id,
	struct belay__handoff_ack *ret_ack, enum belay_handoff_error *ret_error,
	const char **ret_text)
{
	struct belay__handoff_ack ack;
	int r;

	/* What is no ack at all is none in time. */
	*ret_error = BELAY_HANDOFF_BACKEND_ACK_TIMEOUT;
	r = check_frame(envelope, BELAY_ENVELOPE_RESPONSE, "handoff frame kind is not RESPONSE",
		ret_text);
	if (r < 0)
		return r;
	if (envelope->request_id != correlation_id) {
		*ret_error = BELAY_HANDOFF_INTEGRITY_MISMATCH;
		return says(-EPERM, "handoff request_id mismatch", ret_text);
	}
	if (belay__proto_decode(&belay__type_handoff_ack, envelope->payload.at,
		    envelope->payload.len, &ack) < 0)
		return says(-EBADMSG, "malformed handoff ack", ret_text);

	r = check_ack(&ack, token, &correlation_id, ret_error, ret_text);
	if (r == 0 || r == -ECONNREFUSED)
		*ret_ack = ack;
	return r;
}

int belay__handoff_ready_read(const struct belay_envelope *envelope,
	const struct belay_handoff_token *token, const char **ret_text)
{
	struct belay__handoff_ack ack;
	enum belay_handoff_error error;
	int r = check_frame(envelope, BELAY_ENVELOPE_EVENT, "handoff frame kind is not EVENT",
		ret_text);

	if (r < 0)
		return r;
	if (belay__proto_decode(&belay__type_handoff_ack, envelope->payload.at,
		    envelope->payload.len, &ack) < 0)
		return says(-EBADMSG, "malformed handoff ready frame", ret_text);
	return check_ack(&ack, token, NULL, &error, ret_text);
}
