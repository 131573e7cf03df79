/* handoff_attempt.h - one hand-over, step by step: dial, token, offer, ack
 *
 * Never waits. Whoever drives it calls belay__handoff_step() when the attempt's socket is ready for `events`
 * or `wake_ns` has come, until it is over. There is one deadline, over everything.
 */
#pragma once

#include <stdint.h>

#include <belay/error.h>
#include <belay/handoff.h>

#include "ipc/frame_stream.h"
#include "wire/handoff_frame.h"

struct belay__handoff_attempt {
	int fd, channel; /* borrowed, both */
	int dialed;      /* ours: `channel`, too, when it was dialed; else -EBADF */
	char path[109];  /* one more than fits, so that what is too long stays too long */
	struct belay_handoff_token token;
	uint64_t deadline_ns;
	enum belay_handoff_stage stage;
	short events;      /* of `channel`, that are waited for; 0: time only */
	uint64_t wake_ns;  /* CLOCK_MONOTONIC */
	uint64_t pause_ns; /* between two dials, when the backlog is full */
	uint8_t offer[BELAY__HANDOFF_OFFER_SIZE];
	size_t offer_len, offer_sent;
	struct belay__frame_stream acks;
	uint8_t ack[BELAY_FRAME_HEADER + BELAY__HANDOFF_BODY_MAX];
	struct belay_handoff_result result; /* when it is over */
};

/* Starts one. 0, or -EINVAL, -EBADF with a sentence: REQUEST makes no sense, and the client is still the
 * caller's; the result says so. belay__handoff_attempt_done() in any case. */
int belay__handoff_attempt_start(struct belay__handoff_attempt *attempt,
	const struct belay_handoff_request *request, struct belay_error *reterr);

/* Closes and wipes. */
void belay__handoff_attempt_done(struct belay__handoff_attempt *attempt);

/* -EAGAIN: not over yet. 0: the backend has the client; else a negative errno (never -EAGAIN) with a
 * sentence. */
int belay__handoff_step(struct belay__handoff_attempt *attempt, struct belay_error *reterr);

/* Ends one that is not over where it is: the ack counts if it is there already, and nothing more is sent.
 * Returns as the last step does; -ECANCELED when nothing else was known. */
int belay__handoff_cancel(struct belay__handoff_attempt *attempt, struct belay_error *reterr);
