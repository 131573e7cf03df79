#include "broker/conform_talk.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <belay/endpoint.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/closer.h"
#include "wire/bytes.h"

enum { REFUSALS_MAX = 8 };

__attribute__((format(printf, 2, 0))) static void explain(struct belay__conform *conform,
	const char *format, va_list arguments)
{
	(void)vsnprintf(conform->why, sizeof(conform->why), format, arguments);
}

enum belay__conform_verdict belay__conform_fail(struct belay__conform *conform, const char *format,
	...)
{
	va_list arguments;

	va_start(arguments, format);
	explain(conform, format, arguments);
	va_end(arguments);
	return BELAY__CONFORM_FAIL;
}

enum belay__conform_verdict belay__conform_skip(struct belay__conform *conform, const char *format,
	...)
{
	va_list arguments;

	va_start(arguments, format);
	explain(conform, format, arguments);
	va_end(arguments);
	return BELAY__CONFORM_SKIP;
}

enum belay__conform_verdict belay__conform_pass(struct belay__conform *conform, const char *format,
	...)
{
	va_list arguments;

	va_start(arguments, format);
	explain(conform, format, arguments);
	va_end(arguments);
	conform->remarked = true;
	return BELAY__CONFORM_PASS;
}

static uint64_t patience_ns(const struct belay__conform *conform)
{
	return conform->patience_ns != 0 ? conform->patience_ns
					 : BELAY__CONFORM_PATIENCE_MS * BELAY__NS_PER_MS;
}

uint64_t belay__conform_deadline_ns(const struct belay__conform *conform)
{
	return belay__clock_ns(CLOCK_MONOTONIC) + patience_ns(conform);
}

uint64_t belay__conform_quiet_ns(const struct belay__conform *conform)
{
	uint64_t quiet_ns = BELAY__CONFORM_QUIET_MS * BELAY__NS_PER_MS;

	/* Whoever is given more time to answer is given more time to answer what he should not. */
	if (quiet_ns < patience_ns(conform) / 10)
		quiet_ns = patience_ns(conform) / 10;
	return belay__clock_ns(CLOCK_MONOTONIC) + quiet_ns;
}

int belay__conform_use(struct belay__conform *conform, struct belay__conform_line *line, int fd_take)
{
	static const int on = 1;
	const size_t size = BELAY_FRAME_HEADER + BELAY__CONFORM_REPLY_MAX;
	uint8_t *buffer = malloc(size);

	if (buffer == NULL) {
		(void)belay__conform_fail(conform, "out of memory");
		return -ENOMEM;
	}
	/* Whoever answers is known when the kernel can tell. */
	(void)setsockopt(fd_take, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on));
	*line = (struct belay__conform_line){ .fd = fd_take, .buffer = buffer };
	belay__frame_stream_start(&line->stream, line->fd, buffer, size, BELAY__CONFORM_REPLY_MAX);
	line->stream.want_sender = true;
	line->stream.closer = belay__closer_shared();
	return 0;
}

int belay__conform_dial(struct belay__conform *conform, const char *path,
	struct belay__conform_line *line)
{
	int fd = belay__stream_connect(path, belay__conform_deadline_ns(conform));
	int r;

	if (fd < 0) {
		(void)belay__conform_fail(conform, "cannot connect to %.108s: %s", path,
			strerror(-fd));
		return fd;
	}
	r = belay__conform_use(conform, line, fd);
	if (r < 0)
		belay_endpoint_hang_up(fd);
	return r;
}

void belay__conform_hang_up(struct belay__conform_line *line)
{
	belay_endpoint_hang_up(line->fd);
	line->fd = -EBADF;
	free(line->buffer);
	line->buffer = NULL;
}

void belay__conform_question_make(struct belay__conform_question *question)
{
	*question = (struct belay__conform_question){
		.framing = BELAY_FRAMING_VERSION,
		.envelope = {
			.version = 1,
			.kind = BELAY_ENVELOPE_REQUEST,
			.payload_protocol = BELAY_PROTOCOL_PROBE,
			.payload = { .len = BELAY_PROBE_NONCE_LEN },
		},
	};
	/* One that repeats would blame the backend for an answer to an older one. */
	if (getrandom(question->nonce, sizeof(question->nonce), 0) < 0)
		memset(question->nonce, 0x5a, sizeof(question->nonce));
	question->envelope.request_id = belay__get_le64(question->nonce);
}

size_t belay__conform_question_write(const struct belay__conform_question *question,
	uint8_t out[static BELAY__CONFORM_QUESTION_MAX])
{
	struct belay_envelope envelope = question->envelope;
	ssize_t len;

	envelope.payload.at = question->nonce;
	len = belay_envelope_encode(&envelope, out,
		BELAY__CONFORM_QUESTION_MAX - question->more_len);
	assert(len > 0);
	if (question->more_len > 0)
		memcpy(out + len, question->more, question->more_len);
	belay_frame_header((uint32_t)((size_t)len + question->more_len - BELAY_FRAME_HEADER), out);
	out[0] = question->framing;
	return (size_t)len + question->more_len;
}

int belay__conform_say(struct belay__conform *conform, struct belay__conform_line *line,
	const uint8_t *bytes, size_t len)
{
	int r = belay__stream_write(line->fd, bytes, len, belay__conform_deadline_ns(conform), NULL);

	if (r == -ETIMEDOUT)
		(void)belay__conform_fail(conform, "it does not read what it is sent");
	else if (r < 0)
		(void)belay__conform_fail(conform, "it hung up before it was asked: %s",
			strerror(-r));
	return r;
}

/* Why no frame came. */
static int explain_reading(struct belay__conform *conform, int code)
{
	switch (code) {
	case -ETIMEDOUT:
		conform->unanswered = true;
		(void)belay__conform_fail(conform, "no answer within %.3g s",
			(double)patience_ns(conform) / (double)BELAY__NS_PER_S);
		break;
	case -ENOTCONN:
		(void)belay__conform_fail(conform, "it hung up instead of answering");
		break;
	case -ECONNRESET:
		(void)belay__conform_fail(conform, "it hung up in the middle of its answer");
		break;
	case -EPROTONOSUPPORT:
	case -EMSGSIZE:
	case -EBADMSG:
		(void)belay__conform_fail(conform, "its answer is no frame of broker v1: %s",
			belay_framing_error_text(code));
		break;
	default:
		(void)belay__conform_fail(conform, "its answer cannot be read: %s", strerror(-code));
	}
	return code;
}

static int read_reply(struct belay__conform_line *line, uint64_t deadline_ns,
	struct belay__conform_reply *ret_reply)
{
	struct belay_frame_found found;
	int r = belay__frame_read_until(&line->stream, deadline_ns, &found);

	if (r < 0)
		return r;
	r = belay_envelope_decode(found.body, found.body_len, &ret_reply->envelope);
	if (r < 0)
		return r;
	ret_reply->has_sender = line->stream.has_sender;
	ret_reply->sender = line->stream.sender;
	return 0;
}

int belay__conform_hear(struct belay__conform *conform, struct belay__conform_line *line,
	uint64_t deadline_ns, struct belay__conform_reply *ret_reply)
{
	int r = read_reply(line, deadline_ns, ret_reply);

	return r < 0 ? explain_reading(conform, r) : 0;
}

int belay__conform_ask(struct belay__conform *conform, struct belay__conform_line *line,
	const struct belay__conform_question *question, struct belay__conform_reply *ret_reply)
{
	uint8_t bytes[BELAY__CONFORM_QUESTION_MAX];
	size_t len = belay__conform_question_write(question, bytes);
	int r = belay__conform_say(conform, line, bytes, len);

	return r < 0
		? r
		: belay__conform_hear(conform, line, belay__conform_deadline_ns(conform), ret_reply);
}

enum belay__conform_sound belay__conform_listen(struct belay__conform_line *line,
	uint64_t deadline_ns, struct belay__conform_reply *ret_reply)
{
	switch (read_reply(line, deadline_ns, ret_reply)) {
	case 0:
		return BELAY__CONFORM_FRAME;
	case -ETIMEDOUT:
		return BELAY__CONFORM_SILENCE;
	case -EPROTONOSUPPORT:
	case -EMSGSIZE:
	case -EBADMSG:
		return BELAY__CONFORM_NOISE;
	default:
		return BELAY__CONFORM_HUNG_UP;
	}
}

enum belay__conform_verdict belay__conform_alive(struct belay__conform *conform)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_question question;
	struct belay__conform_reply reply;
	char what[160];

	belay__conform_question_make(&question);
	if (belay__conform_dial(conform, conform->socket, &line) == 0 &&
		belay__conform_ask(conform, &line, &question, &reply) == 0)
		return BELAY__CONFORM_PASS;
	(void)snprintf(what, sizeof(what), "%.150s", conform->why);
	return belay__conform_fail(conform, "afterwards, a new connection: %s", what);
}

/* Hears LINE until DEADLINE_NS: no probe's answer may come, only frames of other protocols, a few, or other
 * bytes if NOISE is fine. */
static enum belay__conform_verdict hear_nothing(struct belay__conform *conform,
	struct belay__conform_line *line, uint64_t deadline_ns, bool noise, const char *what)
{
	struct belay__conform_reply reply;
	enum belay__conform_sound sound = BELAY__CONFORM_FRAME;

	for (int i = 0; i < REFUSALS_MAX && sound == BELAY__CONFORM_FRAME; i++) {
		sound = belay__conform_listen(line, deadline_ns, &reply);
		if (sound == BELAY__CONFORM_FRAME &&
			reply.envelope.payload_protocol == BELAY_PROTOCOL_PROBE)
			return belay__conform_fail(conform, "it answered one with %s", what);
	}
	if (sound == BELAY__CONFORM_NOISE && !noise)
		return belay__conform_fail(conform,
			"it answered one with %s with bytes that are no frame", what);
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_in_vain(struct belay__conform *conform,
	const struct belay__conform_question *question, const char *what)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	uint8_t bytes[BELAY__CONFORM_QUESTION_MAX];
	size_t len = belay__conform_question_write(question, bytes);
	uint64_t asked_ns, took_ns;

	if (belay__conform_dial(conform, conform->socket, &line) < 0 ||
		belay__conform_say(conform, &line, bytes, len) < 0)
		return BELAY__CONFORM_FAIL;
	/* How long an answer takes here, a right question tells. If it has none while this line is open,
	 * other rules blame that. */
	asked_ns = belay__clock_ns(CLOCK_MONOTONIC);
	(void)belay__conform_alive(conform);
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - asked_ns;
	if (hear_nothing(conform, &line, belay__conform_quiet_ns(conform) + took_ns,
		    question->framing != BELAY_FRAMING_VERSION, what) != BELAY__CONFORM_PASS)
		return BELAY__CONFORM_FAIL;
	belay__conform_hang_up(&line);
	return belay__conform_alive(conform);
}
