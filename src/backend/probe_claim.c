/* belay_probe_claim(): who a daemon says it is, asked of whoever answers at its endpoint */

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <belay/probe.h>

#include "backend/daemon_message.h"
#include "backend/probe_frame.h"
#include "backend/probe_words.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "ipc/frame_stream.h"

#define REQUEST_SIZE (BELAY_FRAME_HEADER + 128 + 2 * 1024)

struct claim {
	const struct belay_endpoint *endpoint;
	const struct belay_probe_options *options;
	struct belay_probe_report *report;
	struct belay_error *reterr;
	uint64_t deadline_ns;
	uint8_t nonce[BELAY_PROBE_NONCE_LEN];
	uint8_t buffer[BELAY_FRAME_HEADER + BELAY_PROBE_REPLY_MAX];
};

static int give_up(struct claim *claim, enum belay_probe_error error, int code, const char *detail)
{
	claim->report->error = error;
	return belay__probe_sentence(claim->report, claim->endpoint->path, code, detail,
		claim->reterr);
}

static int give_up_io(struct claim *claim, int code)
{
	switch (code) {
	case -ETIMEDOUT:
		return give_up(claim, BELAY_PROBE_TIMEOUT, code, NULL);
	case -EPROTONOSUPPORT:
		return give_up(claim, BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION, -EPROTO, NULL);
	case -EMSGSIZE:
		return give_up(claim, BELAY_PROBE_FRAME_TOO_LARGE, -EPROTO, NULL);
	case -ENOTCONN:
		return give_up(claim, BELAY_PROBE_IO, -ECONNRESET, NULL);
	default:
		return give_up(claim, BELAY_PROBE_IO, code, strerror(-code));
	}
}

static int open_connection(struct claim *claim)
{
	static const int on = 1;
	_cleanup_close_ int fd = belay__stream_connect(claim->endpoint->path, claim->deadline_ns);
	struct ucred listener;
	socklen_t len = sizeof(listener);

	if (fd == -ENAMETOOLONG)
		return give_up(claim, BELAY_PROBE_LOCAL_SOCKET_NAME, fd, NULL);
	if (fd < 0)
		return give_up(claim, fd == -ETIMEDOUT ? BELAY_PROBE_TIMEOUT : BELAY_PROBE_CONNECT,
			fd, strerror(-fd));
	/* Without it the sender of the answer stays unknown, which the report says. */
	(void)setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &listener, &len) == 0)
		claim->report->listener = listener.pid;
	return TAKE_FD(fd);
}

static int ask(struct claim *claim, int fd)
{
	const struct belay_envelope envelope = {
		.version = 1,
		.kind = BELAY_ENVELOPE_REQUEST,
		.payload_protocol = BELAY_PROTOCOL_PROBE,
		.payload = { claim->nonce, sizeof(claim->nonce) },
		.request_id = belay__probe_request_id(claim->nonce),
		.traceparent = claim->options->traceparent,
		.tracestate = claim->options->tracestate,
	};
	uint8_t request[REQUEST_SIZE];
	ssize_t len = belay_envelope_encode(&envelope, request, sizeof(request));
	int r;

	if (len < 0)
		return give_up(claim, BELAY_PROBE_ENCODE_FRAME, (int)len, NULL);
	r = belay__stream_write(fd, request, (size_t)len, claim->deadline_ns, NULL);
	return r < 0 ? give_up_io(claim, r) : 0;
}

/* Reads the record out of a reply. */
static int take_record(struct claim *claim, const struct belay_frame_found *found,
	struct belay_daemon *ret_claimed)
{
	const uint64_t request_id = belay__probe_request_id(claim->nonce);
	struct belay_probe_report *report = claim->report;
	struct belay_envelope envelope;
	struct belay__daemon_process message;

	if (belay_envelope_decode(found->body, found->body_len, &envelope) < 0)
		return give_up(claim, BELAY_PROBE_DECODE_FRAME, -EPROTO, NULL);
	report->text = belay__probe_unexpected(&envelope, BELAY_ENVELOPE_RESPONSE, &request_id);
	if (report->text != NULL)
		return give_up(claim, BELAY_PROBE_UNEXPECTED_FRAME, -EPROTO, report->text);
	if (envelope.payload.len < sizeof(claim->nonce)) {
		report->text = "payload shorter than nonce";
		return give_up(claim, BELAY_PROBE_MALFORMED_PAYLOAD, -EPROTO, report->text);
	}
	if (memcmp(envelope.payload.at, claim->nonce, sizeof(claim->nonce)) != 0) {
		report->text = "nonce does not match endpoint probe request";
		return give_up(claim, BELAY_PROBE_UNEXPECTED_FRAME, -EPROTO, report->text);
	}
	report->proved |= BELAY_PROOF_NONCE;
	if (belay__proto_decode(&belay__type_daemon_process,
		    envelope.payload.at + sizeof(claim->nonce),
		    envelope.payload.len - sizeof(claim->nonce), &message) < 0)
		return give_up(claim, BELAY_PROBE_DECODE_DAEMON_PROCESS, -EPROTO, NULL);
	if (belay__daemon_from_message(&message, ret_claimed, &report->text) < 0)
		return give_up(claim, BELAY_PROBE_IDENTITY, -EPROTO, report->text);
	return 0;
}

static int read_record(struct claim *claim, int fd, struct belay_daemon *ret_claimed)
{
	struct belay__frame_stream stream;
	struct belay_frame_found found;
	int r;

	belay__frame_stream_start(&stream, fd, claim->buffer, sizeof(claim->buffer),
		BELAY_PROBE_REPLY_MAX);
	stream.want_sender = true;
	r = belay__frame_read_until(&stream, claim->deadline_ns, &found);
	if (stream.has_sender) {
		claim->report->answered_by = stream.sender.pid;
		claim->report->answered_uid = stream.sender.uid;
	}
	return r < 0 ? give_up_io(claim, r) : take_record(claim, &found, ret_claimed);
}

static int converse(struct claim *claim, struct belay_daemon *ret_claimed)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (getrandom(claim->nonce, sizeof(claim->nonce), 0) != (ssize_t)sizeof(claim->nonce))
		return give_up(claim, BELAY_PROBE_RANDOM, -EIO, NULL);
	fd = open_connection(claim);
	if (fd < 0)
		return fd;
	r = ask(claim, fd);
	return r < 0 ? r : read_record(claim, fd, ret_claimed);
}

int belay_probe_claim(const struct belay_endpoint *endpoint,
	const struct belay_probe_options *options, struct belay_daemon *ret_claimed,
	struct belay_probe_report *ret_report, struct belay_error *reterr)
{
	static const struct belay_probe_options defaults;
	const uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay_probe_report report = { .error = BELAY_PROBED };
	struct claim *claim = calloc(1, sizeof(*claim));
	struct belay_daemon *claimed = calloc(1, sizeof(*claimed));
	unsigned timeout_ms;
	int r = -ENOMEM;

	assert(endpoint != NULL && ret_claimed != NULL);
	if (options == NULL)
		options = &defaults;
	timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : BELAY_PROBE_TIMEOUT_MS;
	if (claim != NULL && claimed != NULL) {
		claim->endpoint = endpoint;
		claim->options = options;
		claim->report = &report;
		claim->reterr = reterr;
		claim->deadline_ns = began_ns + timeout_ms * BELAY__NS_PER_MS;
		r = converse(claim, claimed);
	} else {
		(void)belay__fail(reterr, r, "out of memory");
	}
	report.took_us = (belay__clock_ns(CLOCK_MONOTONIC) - began_ns) / BELAY__NS_PER_US;
	if (r == 0)
		*ret_claimed = *claimed;
	if (ret_report != NULL)
		*ret_report = report;
	free(claimed);
	free(claim);
	return r;
}
