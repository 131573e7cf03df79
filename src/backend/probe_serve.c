#include <belay/probe.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/missing.h"
#include "ipc/frame_stream.h"

#define REQUEST_MAX BELAY_HELLO_MAX

static int fail_read(const struct belay__frame_stream *stream, int code, struct belay_error *reterr)
{
	const char *place = belay__frame_stream_place(stream);

	switch (code) {
	case -ETIMEDOUT:
		return belay__fail(reterr, code,
			"serving a probe: no whole request came in time (%s); "
			"hang up, or allow more time",
			place);
	case -ECONNRESET:
		return belay__fail(reterr, code,
			"serving a probe: the peer hung up in the middle of a request (%s); "
			"hang up, too",
			place);
	case -EPROTONOSUPPORT:
	case -EMSGSIZE:
		return belay__fail(reterr, code, "serving a probe: %s; hang up on this peer",
			belay_framing_error_text(code));
	default:
		return belay__fail(reterr, code, "serving a probe: reading failed (%s); hang up",
			strerror(-code));
	}
}

/* Answers the request in FRAME, by way of OUT, of BELAY_PROBE_ANSWER_MAX bytes. 0, or a negative errno with
 * a sentence. */
static int answer(const struct belay__frame_stream *stream, const struct belay_frame_found *frame,
	const struct belay_daemon *self, uint8_t *out, uint64_t deadline_ns,
	struct belay_error *reterr)
{
	struct belay_envelope envelope;
	struct belay_probe_request request;
	const char *text;
	ssize_t n;
	int r;

	if (belay_envelope_decode(frame->body, frame->body_len, &envelope) < 0)
		return belay__fail(reterr, -EBADMSG,
			"serving a probe: the request is no Frame; hang up on this peer");
	if (belay_probe_request_read(&envelope, &request, &text) < 0)
		return belay__fail(reterr, -EPROTO,
			"serving a probe: the request is none (%s); hang up on this peer", text);
	n = belay_probe_answer(&request, self, out, BELAY_PROBE_ANSWER_MAX);
	if (n < 0)
		return belay__fail(reterr, (int)n,
			"serving a probe: the answer does not fit (too much trace context); "
			"hang up on this peer");
	r = belay__stream_write(stream->fd, out, (size_t)n, deadline_ns, NULL);
	if (r < 0)
		return belay__fail(reterr, r,
			"serving a probe: the answer could not be sent (%s); hang up", strerror(-r));
	return 0;
}

static int serve(struct belay__frame_stream *stream, const struct belay_daemon *self, uint8_t *out,
	unsigned count, uint64_t deadline_ns, struct belay_error *reterr)
{
	struct belay_frame_found frame;
	int answered = 0;

	while (count == 0 || (unsigned)answered < count) {
		int r = belay__frame_read_until(stream, deadline_ns, &frame);

		if (r == -ENOTCONN)
			break;
		if (r < 0)
			return fail_read(stream, r, reterr);
		/* Who never stops asking is not served beyond the deadline. */
		if (answered > 0 && belay__clock_ns(CLOCK_MONOTONIC) >= deadline_ns)
			return fail_read(stream, -ETIMEDOUT, reterr);
		r = answer(stream, &frame, self, out, deadline_ns, reterr);
		if (r < 0)
			return r;
		answered++;
	}
	return answered;
}

/* Where the kernel has it, a sender of descriptors fails; elsewhere they are closed here. What is to be put
 * back afterwards, or a negative errno: nothing. */
static int refuse_rights(int connection)
{
	const int off = 0;
	socklen_t len = sizeof(off);
	int before;

	if (getsockopt(connection, SOL_SOCKET, SO_PASSRIGHTS, &before, &len) < 0 ||
		setsockopt(connection, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0)
		return -errno;
	return before;
}

int belay_probe_serve(int connection, const struct belay_daemon *self, unsigned count,
	unsigned timeout_ms, struct belay_error *reterr)
{
	uint64_t deadline_ns = belay__clock_ns(CLOCK_MONOTONIC) +
		(timeout_ms > 0 ? timeout_ms : BELAY_PROBE_TIMEOUT_MS) * BELAY__NS_PER_MS;
	const size_t size = BELAY_FRAME_HEADER + REQUEST_MAX;
	struct belay__frame_stream stream;
	uint8_t *buffer = malloc(size + BELAY_PROBE_ANSWER_MAX);
	int rights, r;

	if (buffer == NULL)
		return belay__fail(reterr, -ENOMEM, "serving a probe: no memory; try again later");
	rights = refuse_rights(connection);
	belay__frame_stream_start(&stream, connection, buffer, size, REQUEST_MAX);
	stream.exact = true; /* what follows the last probe is the caller's */
	r = serve(&stream, self, buffer + size, count, deadline_ns, reterr);
	free(buffer);
	/* What follows may be a protocol that passes some. */
	if (rights >= 0)
		(void)setsockopt(connection, SOL_SOCKET, SO_PASSRIGHTS, &rights, sizeof(rights));
	return r;
}
