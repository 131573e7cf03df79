/* conform_handover.h - one hand-over for the sake of a rule
 *
 * What is handed over is one end of a socket pair; the other one stays here and tells what the backend
 * does with its client. The messages are put together here, as a sender of broker v1 would, or would not.
 */
#pragma once

#include "broker/conform_talk.h"

enum { BELAY__HANDOVER_FDS = 2 };

/* A hand-over as it goes out: right in all things until a rule spoils one. */
struct belay__handover {
	struct belay__conform_line line;
	int ours[BELAY__HANDOVER_FDS];   /* the client's ends, owned */
	int theirs[BELAY__HANDOVER_FDS]; /* what is handed over, owned until it is sent */
	unsigned count;
	struct belay_handoff_token carried, offered;
	uint64_t correlation_id;
	struct belay__conform_reply reply;
	struct belay__handoff_ack ack; /* views into the line's buffer */
};

/* How it is answered. */
enum belay__handover_answer {
	BELAY__HANDOVER_ACCEPTED,
	BELAY__HANDOVER_REFUSED, /* an ack says no */
	BELAY__HANDOVER_HUNG_UP,
	BELAY__HANDOVER_UNANSWERED, /* conform->why says how */
};

/* One with COUNT connected sockets of TYPE and a token of its own; skipped when it cannot be made. */
enum belay__conform_verdict belay__handover_make(struct belay__conform *conform,
	struct belay__handover *handover, int type, unsigned count);
void belay__handover_done(struct belay__handover *handover);
#define _cleanup_handover_ __attribute__((cleanup(belay__handover_done)))
#define BELAY__NO_HANDOVER                                                                         \
	{                                                                                          \
		.line = { .fd = -EBADF }, .ours = { -EBADF, -EBADF }, .theirs = { -EBADF, -EBADF } \
	}

/* Token and descriptors in one message over its line, as much of the token as LEN. 0 or a negative errno,
 * explained. */
int belay__handover_transfer(struct belay__conform *conform, struct belay__handover *handover,
	size_t len);
/* All of it, over a connection of its own. A peer that hangs up before it has heard all has answered. */
enum belay__handover_answer belay__handover_try(struct belay__conform *conform,
	struct belay__handover *handover);
/* Whether a client's end FD is hung up on until DEADLINE_NS. */
bool belay__handover_hung_up_on(int fd, uint64_t deadline_ns);
