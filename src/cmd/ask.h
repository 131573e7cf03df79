/* ask.h - asking an observer at its door (wire/hello.h)
 *
 * An observer is found by its socket's path: the one given, or the first default path whose door is
 * open. What comes back is not trusted: every packet is checked, an answer is bounded in bytes,
 * each packet and the whole have a deadline.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "ipc/socket_path.h"
#include "wire/hello.h"

/* How long an observer may take to connect and for each packet, and for a whole answer. */
#define BELAY__ASK_PACKET_NS UINT64_C(2000000000)
#define BELAY__ASK_ANSWER_NS UINT64_C(10000000000)
/* An answer longer than this is refused: the largest table needs a third of it. */
#define BELAY__ASK_BYTES_MAX (UINT64_C(64) << 20)

struct belay__ask {
	int fd;                               /* owned; -EBADF: none */
	char socket[BELAY__SOCKET_PATH_SIZE]; /* of the observer that is asked */
	char packet[BELAY__HELLO_PACKET_MAX + 1];
};

struct belay__answer {
	enum belay__hello_part part;
	int code;         /* DONE: 0 or a negative errno */
	const char *text; /* inside of the packet, until the next one; ends with NUL */
	size_t len;
};

/* Connects to the observer at SOCKET, or, when that is "", to the first default one, until
 * DEADLINE_NS (CLOCK_MONOTONIC). 0, or a negative errno with a sentence: -ENOENT, -ECONNREFUSED,
 * -ETIMEDOUT (nobody there), -EACCES (not for us). */
int belay__ask_open(struct belay__ask *ask, const char *socket, uint64_t deadline_ns,
	struct belay_error *reterr);
void belay__ask_close(struct belay__ask *ask);

/* Sends one request; its magic and version are filled in. 0 or a negative errno with a sentence. */
int belay__ask_say(struct belay__ask *ask, const struct belay__hello *hello,
	struct belay_error *reterr);

/* Waits for the next packet. 0, or a negative errno with a sentence: -ETIMEDOUT, -ECONNRESET (the
 * observer hung up), -EPROTO (not an answer), -EPROTONOSUPPORT (another version). */
int belay__ask_hear(struct belay__ask *ask, uint64_t deadline_ns, struct belay__answer *ret_answer,
	struct belay_error *reterr);

/* Calls EACH with every line of a LINES packet, without its newline. 0 or the negative errno with
 * which EACH ended it. */
int belay__answer_lines(const struct belay__answer *answer,
	int (*each)(void *data, const char *line, size_t len, struct belay_error *reterr),
	void *data, struct belay_error *reterr);

/* Sends a request of TYPE about NAME on an open connection and hears its whole answer; EACH is
 * called with every line, without its newline, and ends the asking by a negative errno with a
 * sentence. 0; the code of the answer with the observer's sentence; or what belay__ask_hear() or
 * EACH returned. */
int belay__ask_lines(struct belay__ask *ask, enum belay__hello_type type, const char *name,
	int (*each)(void *data, const char *line, size_t len, struct belay_error *reterr),
	void *data, struct belay_error *reterr);
