/* http_door.h - a small HTTP server for numbers and health, on the caller's loop
 *
 * It answers GET and HEAD on a table of pages, over a Unix socket (whose file mode says who may)
 * and over TCP (with a token), in HTTP/1.1 and 1.0. Whoever connects is not trusted: connections,
 * their requests, the size of a header, silence and total time are bounded, over TCP also how often
 * an address may ask. Nothing blocks and no thread is started; one turn accepts at most
 * BELAY__HTTP_ACCEPTS connections and answers at most twice on each that it has.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "export/http_answer.h"
#include "export/http_rate.h"
#include "export/http_token.h"
#include "loop/loop.h"

#define BELAY__HTTP_CONNECTIONS   64
#define BELAY__HTTP_SHARE         48   /* of one socket, when both are open */
#define BELAY__HTTP_ACCEPTS       8    /* taken in a turn, of each socket */
#define BELAY__HTTP_REJECTS       50   /* closed at once in a turn, of each socket */
#define BELAY__HTTP_REQUESTS      64   /* on one connection */
#define BELAY__HTTP_MEMORY_BYTES  8192 /* of a connection: a longer header gets 431 or 414 */
#define BELAY__HTTP_SILENCE_S     1    /* without a byte in either direction */
#define BELAY__HTTP_REQUEST_NS    UINT64_C(5000000000) /* from its beginning to its answer's end */
#define BELAY__HTTP_RATE_DEFAULT  5
#define BELAY__HTTP_BURST_DEFAULT 10

enum belay__http_drop {
	BELAY__HTTP_DROP_RATE_LIMIT,    /* closed, or on a kept connection told 429 */
	BELAY__HTTP_DROP_CAPACITY,      /* too many connections */
	BELAY__HTTP_DROP_TIMEOUT,       /* silent, or took too long */
	BELAY__HTTP_DROP_IP_TABLE_FULL, /* not a connection: an address whose bucket was forgotten */
	BELAY__HTTP_DROP_COUNT,
};

struct belay__http_counters {
	uint64_t served;        /* pages, whatever their status */
	uint64_t cached;        /* of these, rendered for an earlier request */
	uint64_t auth_failures; /* 401 */
	uint64_t refused;       /* 404, 405, 413 and 503 */
	uint64_t dropped[BELAY__HTTP_DROP_COUNT];
	uint64_t accept_failures; /* no descriptor or no memory for a connection */
};

struct belay__http_options {
	int unix_fd, tcp_fd; /* listening, borrowed until the door is gone; -EBADF: none */
	const struct belay__http_page *pages; /* borrowed as well */
	size_t page_count;
	const uint8_t *token; /* BELAY__HTTP_TOKEN_LEN bytes, copied; NULL: TCP is open */
	/* Of a TCP address; at most BELAY__HTTP_RATE_MAX each, one of them 0: no limit. */
	uint32_t rate_per_s, rate_burst;
};

struct belay__http_door;

/* Opens the door on LOOP. 0 and *ret_door, or a negative errno with a sentence. The process needs
 * no handler for SIGPIPE. */
int belay__http_door_new(struct belay__loop *loop, const struct belay__http_options *options,
	struct belay__http_door **ret_door, struct belay_error *reterr);

/* Closes every connection, answered or not. NULL allowed; returns NULL. Not from within a page's
 * render(). */
struct belay__http_door *belay__http_door_free(struct belay__http_door *door);

/* Counted since the start; valid as long as the door. */
const struct belay__http_counters *belay__http_door_counters(const struct belay__http_door *door);

/* Connections that are open now. */
unsigned belay__http_door_connections(const struct belay__http_door *door);

/* "rate_limit", "capacity", "timeout", "ip_table_full": the label of a metric. */
const char *belay__http_drop_name(enum belay__http_drop reason);
