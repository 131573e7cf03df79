/* Rules about frames, and about what else may come to the same endpoint. */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "broker/conform_rules.h"
#include "broker/conform_talk.h"

enum { AT_ONCE = 3 };

/* Sends BYTES over a new connection, of which nothing need come, and hangs up: it has to survive that. */
static enum belay__conform_verdict offend(struct belay__conform *conform, const uint8_t *bytes,
	size_t len)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_reply reply;

	if (belay__conform_dial(conform, conform->socket, &line) < 0 ||
		belay__conform_say(conform, &line, bytes, len) < 0)
		return BELAY__CONFORM_FAIL;
	(void)belay__conform_listen(&line, belay__conform_quiet_ns(conform), &reply);
	belay__conform_hang_up(&line);
	return belay__conform_alive(conform);
}

enum belay__conform_verdict belay__conform_empty_body(struct belay__conform *conform)
{
	uint8_t frame[BELAY_FRAME_HEADER];

	belay_frame_header(0, frame);
	return offend(conform, frame, sizeof(frame));
}

enum belay__conform_verdict belay__conform_no_frame(struct belay__conform *conform)
{
	uint8_t frame[BELAY_FRAME_HEADER + 4];

	belay_frame_header(4, frame);
	memset(frame + BELAY_FRAME_HEADER, 0xff, 4);
	return offend(conform, frame, sizeof(frame));
}

enum belay__conform_verdict belay__conform_legacy(struct belay__conform *conform)
{
	static const char words[] = "GET / HTTP/1.0\r\n\r\n";

	return offend(conform, (const uint8_t *)words, sizeof(words) - 1);
}

enum belay__conform_verdict belay__conform_cut_off(struct belay__conform *conform)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_question question;
	uint8_t bytes[BELAY__CONFORM_QUESTION_MAX];
	size_t len;

	belay__conform_question_make(&question);
	len = belay__conform_question_write(&question, bytes);
	if (belay__conform_dial(conform, conform->socket, &line) < 0 ||
		belay__conform_say(conform, &line, bytes, len / 2) < 0)
		return BELAY__CONFORM_FAIL;
	belay__conform_hang_up(&line);
	return belay__conform_alive(conform);
}

enum belay__conform_verdict belay__conform_back_to_back(struct belay__conform *conform)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_question question;
	struct belay__conform_reply reply;
	uint8_t bytes[AT_ONCE * BELAY__CONFORM_QUESTION_MAX];
	size_t len = 0;

	for (int i = 0; i < AT_ONCE; i++) {
		belay__conform_question_make(&question);
		len += belay__conform_question_write(&question, bytes + len);
	}
	if (belay__conform_dial(conform, conform->socket, &line) < 0 ||
		belay__conform_say(conform, &line, bytes, len) < 0)
		return BELAY__CONFORM_FAIL;
	for (int i = 0; i < AT_ONCE; i++) {
		int r = belay__conform_hear(conform, &line, belay__conform_deadline_ns(conform),
			&reply);

		if (i > 0 && r == -ENOTCONN)
			return belay__conform_skip(conform,
				"it hangs up after one answer, as broker v1 lets it");
		if (r < 0)
			return BELAY__CONFORM_FAIL;
	}
	return BELAY__CONFORM_PASS;
}

/* Each byte is given a moment to be read by itself. */
static enum belay__conform_verdict trickle(struct belay__conform *conform,
	struct belay__conform_line *line, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (belay__conform_say(conform, line, bytes + i, 1) < 0)
			return BELAY__CONFORM_FAIL;
		if (i + 1 < len &&
			belay__wait_until(line->fd, POLLIN,
				belay__clock_ns(CLOCK_MONOTONIC) + BELAY__NS_PER_MS) == 0)
			return belay__conform_fail(conform,
				"it answered or hung up after %zu of %zu bytes", i + 1, len);
	}
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_byte_by_byte(struct belay__conform *conform)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_question question;
	struct belay__conform_reply reply;
	uint8_t bytes[BELAY__CONFORM_QUESTION_MAX];
	size_t len;

	belay__conform_question_make(&question);
	len = belay__conform_question_write(&question, bytes);
	if (belay__conform_dial(conform, conform->socket, &line) < 0 ||
		trickle(conform, &line, bytes, len) != BELAY__CONFORM_PASS)
		return BELAY__CONFORM_FAIL;
	return belay__conform_hear(conform, &line, belay__conform_deadline_ns(conform), &reply) < 0
		? BELAY__CONFORM_FAIL
		: BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_framing_byte(struct belay__conform *conform)
{
	struct belay__conform_question question;

	belay__conform_question_make(&question);
	question.framing = 2;
	return belay__conform_in_vain(conform, &question, "framing byte 2");
}

enum belay__conform_verdict belay__conform_unknown_protocol(struct belay__conform *conform)
{
	struct belay__conform_question question;

	belay__conform_question_make(&question);
	question.envelope.payload_protocol = 0xfffe;
	return belay__conform_in_vain(conform, &question, "another payload_protocol");
}

enum belay__conform_verdict belay__conform_too_large(struct belay__conform *conform)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_reply reply;
	uint8_t header[BELAY_FRAME_HEADER];

	belay_frame_header(BELAY_FRAME_MAX + 1, header);
	if (belay__conform_dial(conform, conform->socket, &line) < 0 ||
		belay__conform_say(conform, &line, header, sizeof(header)) < 0)
		return BELAY__CONFORM_FAIL;
	switch (belay__conform_listen(&line, belay__conform_deadline_ns(conform), &reply)) {
	case BELAY__CONFORM_SILENCE:
		return belay__conform_fail(conform, "it waits for the body");
	case BELAY__CONFORM_NOISE:
		return belay__conform_fail(conform, "it answered with bytes that are no frame");
	case BELAY__CONFORM_FRAME:
		if (reply.envelope.payload_protocol == BELAY_PROTOCOL_PROBE)
			return belay__conform_fail(conform, "it answered");
		break;
	case BELAY__CONFORM_HUNG_UP:
		break;
	}
	belay__conform_hang_up(&line);
	return belay__conform_alive(conform);
}

enum belay__conform_verdict belay__conform_unknown_fields(struct belay__conform *conform)
{
	/* Field 21, a number, and field 30, some bytes: broker v1 has neither. */
	static const uint8_t more[] = { 0xa8, 0x01, 0x01, 0xf2, 0x01, 0x02, 'h', 'i' };
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_question question;
	struct belay__conform_reply reply;

	belay__conform_question_make(&question);
	question.more = more;
	question.more_len = sizeof(more);
	if (belay__conform_dial(conform, conform->socket, &line) < 0 ||
		belay__conform_ask(conform, &line, &question, &reply) < 0)
		return BELAY__CONFORM_FAIL;
	return BELAY__CONFORM_PASS;
}
