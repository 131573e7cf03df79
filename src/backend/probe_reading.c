#include "backend/probe_steps.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "backend/probe_frame.h"
#include "backend/probe_sender.h"
#include "identity/exe_file.h"
#include "wire/bytes.h"

static void hung_up(struct belay__exchange *exchange)
{
	const char *place = "frame body";

	if (exchange->have < BELAY_FRAME_HEADER)
		place = exchange->have == 0 ? "framing byte" : "body length header";
	belay__exchange_end(exchange, BELAY_PROBE_IO, -ECONNRESET, place, NULL);
}

static uint8_t *body_of(struct belay__exchange *exchange)
{
	return exchange->long_body != NULL ? exchange->long_body : exchange->room;
}

/* Judges what came of the header, whole or not. False: it is over. */
static bool read_header(struct belay__exchange *exchange)
{
	char detail[64];

	if (exchange->header[0] != BELAY_FRAMING_VERSION) {
		(void)snprintf(detail, sizeof(detail), "framing byte %u, expected %u",
			(unsigned)exchange->header[0], (unsigned)BELAY_FRAMING_VERSION);
		belay__exchange_end(exchange, BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION, -EPROTO,
			NULL, detail);
		return false;
	}
	if (exchange->have < BELAY_FRAME_HEADER)
		return true;

	exchange->body_len = belay__get_le32(exchange->header + 1);
	if (exchange->body_len > BELAY_PROBE_REPLY_MAX) {
		(void)snprintf(detail, sizeof(detail), "%u bytes, at most %u are read",
			(unsigned)exchange->body_len, (unsigned)BELAY_PROBE_REPLY_MAX);
		belay__exchange_end(exchange, BELAY_PROBE_FRAME_TOO_LARGE, -EPROTO, NULL, detail);
		return false;
	}
	if (exchange->body_len > sizeof(exchange->room)) {
		exchange->long_body = malloc(exchange->body_len);
		if (exchange->long_body == NULL) {
			belay__exchange_end_system(exchange, BELAY_PROBE_IO, -ENOMEM);
			return false;
		}
	}
	return true;
}

/* Where the next bytes go: the header alone first, so that its length is looked at before any of the
 * body is taken, and the sender before anything is believed. */
static struct iovec next_part(struct belay__exchange *exchange)
{
	size_t have = exchange->have;

	if (have < BELAY_FRAME_HEADER)
		return (struct iovec){ exchange->header + have, BELAY_FRAME_HEADER - have };
	have -= BELAY_FRAME_HEADER;
	return (struct iovec){ body_of(exchange) + have, exchange->body_len - have };
}

static bool is_whole(const struct belay__exchange *exchange)
{
	return exchange->have >= BELAY_FRAME_HEADER &&
		exchange->have - BELAY_FRAME_HEADER == exchange->body_len;
}

/* The process of the handle as it was verified: 1 there, 0 ended or become another program, or a negative
 * errno. Execution changes neither its number nor its start time, and what was asked about the number, here
 * and before, was about it only if it has the number still: that comes last. */
static int still_there(const struct belay__exchange *exchange)
{
	int same = belay__exe_still(exchange->handle.pid, &exchange->exe);
	int alive = belay_handle_alive(&exchange->handle);

	if (alive <= 0)
		return alive;
	return same;
}

static void judge_sender(struct belay__exchange *exchange)
{
	struct belay_probe_report *report = &exchange->report;
	const char *who = NULL;
	int r = belay__probe_sender_check(exchange, &who), there;

	if (r == 0)
		report->proved |= BELAY_PROOF_CREDENTIALS;
	there = still_there(exchange);
	if (there == 0) {
		belay__exchange_end(exchange, BELAY_PROBE_ENDED, -ESRCH, NULL, NULL);
	} else if (r == -ESTALE) {
		belay__exchange_end(exchange, BELAY_PROBE_ANOTHER_ANSWERED, -ESTALE, who, NULL);
	} else if (r < 0 || there < 0) {
		belay__exchange_end_system(exchange, BELAY_PROBE_IO, r < 0 ? r : there);
	} else {
		report->proved |= BELAY_PROOF_STILL;
		belay__exchange_end(exchange, BELAY_PROBED, 0, NULL, NULL);
	}
}

static void judge(struct belay__exchange *exchange)
{
	struct belay_probe_report *report = &exchange->report;
	const struct belay__reply reply = { body_of(exchange), exchange->body_len, exchange->nonce };
	enum belay_probe_error error;
	const char *text = NULL;

	if (exchange->expected == NULL && exchange->several_senders)
		report->answered_by = 0;
	if (exchange->expected != NULL)
		error = belay__probe_reply_judge(&reply, exchange->expected, &report->proved, &text);
	else
		error = belay__probe_reply_claim(&reply, exchange->claimed, &report->proved, &text);
	if (error != BELAY_PROBED)
		belay__exchange_end(exchange, error,
			error == BELAY_PROBE_IDENTITY_MISMATCH ? -ESTALE : -EPROTO, text, NULL);
	else if (exchange->expected != NULL)
		judge_sender(exchange);
	else
		belay__exchange_end(exchange, BELAY_PROBED, 0, NULL, NULL);
}

bool belay__exchange_receive(struct belay__exchange *exchange)
{
	struct iovec part;
	int n;

	while (!is_whole(exchange)) {
		part = next_part(exchange);
		n = belay__probe_receive(exchange, &part);
		if (n == -EAGAIN) {
			exchange->wants = POLLIN;
			return false;
		}
		if (n <= 0) {
			if (n == 0 || n == -ECONNRESET)
				hung_up(exchange);
			else if (n == -EPROTO)
				belay__exchange_end(exchange, BELAY_PROBE_IO, n,
					"descriptors came with its bytes", NULL);
			else
				belay__exchange_end_system(exchange, BELAY_PROBE_IO, n);
			return true;
		}
		exchange->have += (size_t)n;
		if (exchange->have <= BELAY_FRAME_HEADER && !read_header(exchange))
			return true;
	}
	judge(exchange);
	return true;
}
