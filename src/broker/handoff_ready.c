#include <belay/handoff.h>

#include <errno.h>

#include "base/clock.h"
#include "ipc/frame_stream.h"
#include "wire/handoff_frame.h"

int belay_handoff_ready_send(int fd, const struct belay_handoff_token *token,
	uint64_t correlation_id, bool accepted)
{
	uint8_t frame[BELAY__HANDOFF_ACK_SIZE];
	ssize_t len = belay__handoff_ready_frame(token, correlation_id, accepted, frame);

	if (len < 0)
		return (int)len;

	return belay__stream_write(fd, frame, (size_t)len, 0, NULL);
}

/* What reading a frame said, in the words of this page. */
static int unread(int code)
{
	switch (-code) {
	case ENOTCONN:
		return -ECONNRESET;
	case EPROTONOSUPPORT:
	case EMSGSIZE:
	case EBADMSG:
		return -EPROTO;
	default:
		return code;
	}
}

int belay_handoff_ready_wait(int fd, const struct belay_handoff_token *token, unsigned timeout_ms)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	uint64_t wait_ns = (timeout_ms > 0 ? timeout_ms : BELAY_HANDOFF_READY_MS) * BELAY__NS_PER_MS;
	uint8_t buffer[BELAY_FRAME_HEADER + BELAY__HANDOFF_BODY_MAX];
	struct belay__frame_stream stream;
	struct belay_frame_found found;
	struct belay_envelope envelope;
	const char *text;
	int r;

	belay__frame_stream_start(&stream, fd, buffer, sizeof(buffer), BELAY__HANDOFF_BODY_MAX);
	/* What follows is the backend's, not ours. */
	stream.exact = true;
	r = belay__frame_read_until(&stream, now_ns + wait_ns, &found);
	if (r < 0)
		return unread(r);
	if (belay_envelope_decode(found.body, found.body_len, &envelope) < 0)
		return -EPROTO;
	return unread(belay__handoff_ready_read(&envelope, token, &text));
}
