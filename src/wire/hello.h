/* hello.h - what is said at the door, `<socket>.hello`
 *
 * A SOCK_SEQPACKET socket beside the beat socket for everything that is not a beat: how long the
 * next silence may last, goodbye, a beat on behalf of a parent, and questions from `belay status`
 * and its like. A request is one packet of exactly sizeof(struct belay__hello); an answer is one or
 * more packets that each start with a struct belay__hello_answer. Who asks is told by the kernel
 * with each packet, never by the packet. Both ends are on one host, so numbers are in its byte
 * order; a version that is not understood is answered with -EPROTONOSUPPORT and the version that
 * is.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define BELAY__HELLO_MAGIC      UINT16_C(0x4842) /* "BH" in memory on little-endian hosts */
#define BELAY__HELLO_VERSION    1
#define BELAY__HELLO_SUFFIX     ".hello"
#define BELAY__HELLO_PACKET_MAX 16384 /* of an answer */
#define BELAY__HELLO_NAME_SIZE  72    /* up to 64 characters, filled with NULs */

enum belay__hello_type {
	BELAY__HELLO_WITHIN = 1,  /* the silence after `nonce` may last `value` ms; not answered */
	BELAY__HELLO_GOODBYE = 2, /* the beat `nonce` is the last, on purpose; not answered */
	BELAY__HELLO_BEAT = 3,    /* a beat for the parent, or for `of`, an ancestor of equal uid */
	BELAY__HELLO_PING = 4,    /* answers "{}": is somebody there? */
	BELAY__HELLO_STATUS = 5, /* one JSON line a process; name: a glob, a pid, or empty for all */
	BELAY__HELLO_COUNTERS = 6, /* one JSON object */
	BELAY__HELLO_EVENTS = 7,   /* JSON lines: events from now on, until the asker hangs up */
	BELAY__HELLO_SELF = 8,  /* one JSON object: the observer itself: socket, roles, warnings */
	BELAY__HELLO_PAUSE = 9, /* for `value` ms nobody whom `name` selects stalls or is acted on */
	BELAY__HELLO_RESUME = 10, /* the pause of `name` is over */
	BELAY__HELLO_ACT = 11, /* JSON lines: what would be done about whom `name` selects; DO: do it */
	BELAY__HELLO_ALERT_TEST = 12, /* has the alert command run at once, and says how it went */
};

/* Flags of ACT. */
#define BELAY__HELLO_DO 1

struct belay__hello {
	uint16_t magic;
	uint8_t version;
	uint8_t type;                      /* enum belay__hello_type */
	uint8_t status;                    /* BEAT: enum belay_status */
	uint8_t flags;                     /* 0; ACT: BELAY__HELLO_DO */
	uint16_t reserved;                 /* 0 */
	uint32_t of;                       /* BEAT: pid of the ancestor, 0: the parent */
	uint32_t progress;                 /* BEAT: payload */
	uint64_t nonce;                    /* WITHIN, GOODBYE: the sender's last committed nonce */
	uint64_t value;                    /* WITHIN, PAUSE: milliseconds */
	char name[BELAY__HELLO_NAME_SIZE]; /* BEAT: the name; else the selection; empty: none */
};
static_assert(sizeof(struct belay__hello) == 104, "a request is one packet of a fixed size");
static_assert(offsetof(struct belay__hello, name) == 32, "no hidden padding");

enum belay__hello_part {
	BELAY__HELLO_DONE = 1,  /* last packet: `code` tells; text, if any, is a sentence */
	BELAY__HELLO_LINES = 2, /* text: whole JSON lines, each ending in a newline */
};

struct belay__hello_answer {
	uint16_t magic;
	uint8_t version;   /* of the observer */
	uint8_t part;      /* enum belay__hello_part */
	int32_t code;      /* 0 or a negative errno */
	uint32_t text_len; /* bytes that follow in this packet */
	uint32_t reserved; /* 0 */
};
static_assert(sizeof(struct belay__hello_answer) == 16, "no hidden padding");
