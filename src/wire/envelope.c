#include <belay/envelope.h>

#include <errno.h>
#include <string.h>

#include "base/hot.h"
#include "wire/broker.h"
#include "wire/bytes.h"

BELAY__HOT int belay_frame_scan(const uint8_t *bytes, size_t len, uint32_t cap,
	struct belay_frame_found *ret_found)
{
	uint32_t body_len;

	if (len == 0)
		return 0;
	if (bytes[0] != BELAY_FRAMING_VERSION)
		return -EPROTONOSUPPORT;
	if (len < BELAY_FRAME_HEADER)
		return 0;
	body_len = belay__get_le32(bytes + 1);
	if (body_len > cap)
		return -EMSGSIZE;
	if (len - BELAY_FRAME_HEADER < body_len)
		return 0;
	*ret_found = (struct belay_frame_found){
		.body = bytes + BELAY_FRAME_HEADER,
		.body_len = body_len,
		.consumed = BELAY_FRAME_HEADER + (size_t)body_len,
	};
	return 1;
}

void belay_frame_header(uint32_t len, uint8_t ret_header[BELAY_FRAME_HEADER])
{
	ret_header[0] = BELAY_FRAMING_VERSION;
	belay__put_le32(ret_header + 1, len);
}

BELAY__HOT int belay_envelope_decode(const uint8_t *body, size_t len,
	struct belay_envelope *ret_envelope)
{
	struct belay_envelope envelope;
	int r = belay__proto_decode(&belay__type_frame, body, len, &envelope);

	if (r == 0)
		*ret_envelope = envelope;
	return r;
}

BELAY__HOT ssize_t belay_envelope_encode(const struct belay_envelope *envelope, uint8_t *out,
	size_t size)
{
	size_t room = size < BELAY_FRAME_HEADER ? 0 : size - BELAY_FRAME_HEADER;
	ssize_t len;

	if (room > BELAY_FRAME_MAX)
		room = BELAY_FRAME_MAX;
	len = belay__proto_encode(&belay__type_frame, envelope,
		room == 0 ? out : out + BELAY_FRAME_HEADER, room);
	if (len < 0)
		return len;
	if (size < BELAY_FRAME_HEADER)
		return -EMSGSIZE;
	belay_frame_header((uint32_t)len, out);
	return len + BELAY_FRAME_HEADER;
}

const char *belay_framing_error_text(int code)
{
	switch (code) {
	case -EPROTONOSUPPORT:
		return "unsupported framing version";
	case -EMSGSIZE:
		return "frame too large";
	case -EBADMSG:
		return "malformed broker Frame";
	default:
		return strerror(code < 0 ? -code : code);
	}
}
