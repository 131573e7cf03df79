/* Rules about which probes are answered, how many of them, and for how many at once. */

#include <errno.h>

#include "broker/conform_rules.h"
#include "broker/conform_talk.h"

enum { MANY = 16, CONCURRENT = 8 };

enum belay__conform_verdict belay__conform_kind(struct belay__conform *conform)
{
	struct belay__conform_question question;

	belay__conform_question_make(&question);
	question.envelope.kind = BELAY_ENVELOPE_RESPONSE;
	return belay__conform_in_vain(conform, &question, "kind RESPONSE");
}

enum belay__conform_verdict belay__conform_version(struct belay__conform *conform)
{
	struct belay__conform_question question;

	belay__conform_question_make(&question);
	question.envelope.version = 2;
	return belay__conform_in_vain(conform, &question, "envelope_version 2");
}

enum belay__conform_verdict belay__conform_encoding(struct belay__conform *conform)
{
	struct belay__conform_question question;

	belay__conform_question_make(&question);
	question.envelope.payload_encoding = 1;
	return belay__conform_in_vain(conform, &question, "payload_encoding 1");
}

enum belay__conform_verdict belay__conform_nonce_short(struct belay__conform *conform)
{
	struct belay__conform_question question;

	belay__conform_question_make(&question);
	question.envelope.payload.len = BELAY_PROBE_NONCE_LEN - 1;
	return belay__conform_in_vain(conform, &question, "a nonce of 31 bytes");
}

enum belay__conform_verdict belay__conform_nonce_long(struct belay__conform *conform)
{
	struct belay__conform_question question;

	belay__conform_question_make(&question);
	question.envelope.payload.len = BELAY_PROBE_NONCE_LEN + 1;
	return belay__conform_in_vain(conform, &question, "a nonce of 33 bytes");
}

enum belay__conform_verdict belay__conform_many(struct belay__conform *conform)
{
	_cleanup_line_ struct belay__conform_line line = { .fd = -EBADF };
	struct belay__conform_question question;
	struct belay__conform_reply reply;

	if (belay__conform_dial(conform, conform->socket, &line) < 0)
		return BELAY__CONFORM_FAIL;
	for (int i = 0; i < MANY; i++) {
		int r;

		belay__conform_question_make(&question);
		r = belay__conform_ask(conform, &line, &question, &reply);
		if (i == 1 && (r == -ENOTCONN || r == -EPIPE || r == -ECONNRESET))
			return belay__conform_skip(conform,
				"it hangs up after one answer, as broker v1 lets it");
		if (r < 0)
			return BELAY__CONFORM_FAIL;
	}
	return BELAY__CONFORM_PASS;
}

/* All are asked before any answer is read. */
static enum belay__conform_verdict ask_all(struct belay__conform *conform,
	struct belay__conform_line *lines)
{
	const uint64_t deadline_ns = belay__conform_deadline_ns(conform);
	uint8_t bytes[BELAY__CONFORM_QUESTION_MAX];
	struct belay__conform_question question;
	struct belay__conform_reply reply;

	for (int i = 0; i < CONCURRENT; i++)
		if (belay__conform_dial(conform, conform->socket, &lines[i]) < 0)
			return BELAY__CONFORM_FAIL;
	for (int i = 0; i < CONCURRENT; i++) {
		size_t len;

		belay__conform_question_make(&question);
		len = belay__conform_question_write(&question, bytes);
		if (belay__conform_say(conform, &lines[i], bytes, len) < 0)
			return BELAY__CONFORM_FAIL;
	}
	/* The last one who came is read from first: nobody waits for anybody else's reading. */
	for (int i = CONCURRENT - 1; i >= 0; i--)
		if (belay__conform_hear(conform, &lines[i], deadline_ns, &reply) < 0)
			return BELAY__CONFORM_FAIL;
	return BELAY__CONFORM_PASS;
}

enum belay__conform_verdict belay__conform_concurrent(struct belay__conform *conform)
{
	struct belay__conform_line lines[CONCURRENT];
	enum belay__conform_verdict verdict;

	for (int i = 0; i < CONCURRENT; i++)
		lines[i] = (struct belay__conform_line){ .fd = -EBADF };
	verdict = ask_all(conform, lines);
	for (int i = 0; i < CONCURRENT; i++)
		belay__conform_hang_up(&lines[i]);
	return verdict;
}

enum belay__conform_verdict belay__conform_slow(struct belay__conform *conform)
{
	_cleanup_line_ struct belay__conform_line slow = { .fd = -EBADF };
	struct belay__conform_question question;
	uint8_t bytes[BELAY__CONFORM_QUESTION_MAX];
	size_t len;

	belay__conform_question_make(&question);
	len = belay__conform_question_write(&question, bytes);
	if (belay__conform_dial(conform, conform->socket, &slow) < 0 ||
		belay__conform_say(conform, &slow, bytes, len / 2) < 0)
		return BELAY__CONFORM_FAIL;
	return belay__conform_alive(conform);
}
