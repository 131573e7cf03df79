#include <belay/mux.h>

#include <errno.h>

#include "wire/payload_protocol.h"

/* The text of what ended the connection, for people. Returns CODE. */
static int refuse(const char **ret_text, int code, const char *text)
{
	if (ret_text != NULL)
		*ret_text = text;
	return code;
}

static enum belay_mux_legacy ask_daemon(const struct belay_mux *mux, const uint8_t *bytes,
	size_t len)
{
	enum belay_mux_legacy legacy = BELAY_LEGACY_NO;

	if (len == 0)
		return BELAY_LEGACY_NEED_MORE;
	if (mux->is_legacy != NULL)
		legacy = mux->is_legacy(mux->data, bytes, len);
	if (legacy == BELAY_LEGACY_NO && bytes[0] != BELAY_FRAMING_VERSION)
		return BELAY_LEGACY_YES;
	return legacy;
}

/* Whether PROTOCOL belongs to the broker. The session lane does, and yet broker v1's mux has always taken
 * it for a consumer's. */
static bool is_first_party(uint32_t protocol)
{
	return protocol != BELAY_PROTOCOL_SESSION &&
		belay__payload_protocol_owner(protocol) == BELAY__FIRST_PARTY;
}

static bool is_served(const struct belay_mux *mux, uint32_t protocol)
{
	for (size_t i = 0; i < mux->served_count; i++) {
		if (mux->served[i] == protocol)
			return true;
	}
	return false;
}

static int answer(const struct belay_mux *mux, const struct belay_envelope *envelope, uint8_t *reply,
	size_t reply_size, struct belay_mux_result *ret_result, const char **ret_text)
{
	struct belay_probe_request request;
	ssize_t len;
	int r = belay_probe_request_read(envelope, &request, ret_text);

	if (r < 0)
		return r;
	len = belay_probe_answer(&request, mux->self, reply, reply_size);
	if (len < 0)
		return refuse(ret_text, (int)len, "the answer to the probe does not fit");
	ret_result->outcome = BELAY_MUX_ANSWERED;
	ret_result->reply_len = (size_t)len;
	return 0;
}

/* Checked in broker v1's order: version, whose protocol, whether it is served, encoding. */
static int check_payload(const struct belay_mux *mux, const struct belay_envelope *envelope,
	const char **ret_text)
{
	if (envelope->version != 1)
		return refuse(ret_text, -EPROTO, "envelope_version is not v1");
	if (is_first_party(envelope->payload_protocol))
		return refuse(ret_text, -ENOPROTOOPT, "UnexpectedFirstPartyFrame");
	if (!is_served(mux, envelope->payload_protocol))
		return refuse(ret_text, -EPFNOSUPPORT, "UnservedPayloadProtocol");
	if (envelope->payload_encoding != 0)
		return refuse(ret_text, -EPROTO, "payload is compressed");
	return 0;
}

static int look_at_frame(const struct belay_mux *mux, const struct belay_frame_found *found,
	uint8_t *reply, size_t reply_size, struct belay_mux_result *ret_result,
	const char **ret_text)
{
	struct belay_mux_result result = { .outcome = BELAY_MUX_PAYLOAD,
		.consumed = found->consumed };
	int r = belay_envelope_decode(found->body, found->body_len, &result.envelope);

	if (r < 0)
		return refuse(ret_text, r, belay_framing_error_text(r));
	if (result.envelope.payload_protocol == BELAY_PROTOCOL_PROBE)
		r = answer(mux, &result.envelope, reply, reply_size, &result, ret_text);
	else
		r = check_payload(mux, &result.envelope, ret_text);
	if (r < 0)
		return r;
	*ret_result = result;
	return 0;
}

int belay_mux_look(const struct belay_mux *mux, const uint8_t *bytes, size_t len, uint8_t *reply,
	size_t reply_size, struct belay_mux_result *ret_result, const char **ret_text)
{
	uint32_t cap = mux->cap > 0 ? mux->cap : BELAY_HELLO_MAX;
	enum belay_mux_legacy legacy = ask_daemon(mux, bytes, len);
	struct belay_frame_found found;
	int r;

	if (legacy != BELAY_LEGACY_NO) {
		*ret_result = (struct belay_mux_result){
			.outcome = legacy == BELAY_LEGACY_YES ? BELAY_MUX_LEGACY
							      : BELAY_MUX_NEED_MORE,
		};
		return 0;
	}
	r = belay_frame_scan(bytes, len, cap, &found);
	if (r < 0)
		return refuse(ret_text, r, belay_framing_error_text(r));
	if (r == 0) {
		*ret_result = (struct belay_mux_result){ .outcome = BELAY_MUX_NEED_MORE };
		return 0;
	}
	return look_at_frame(mux, &found, reply, reply_size, ret_result, ret_text);
}
