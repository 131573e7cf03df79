/* probe_exchange.h - one probe, step by step
 *
 *	CONNECTING -> SENDING -> RECEIVING -> OVER
 *
 * Verifies the process, connects, asks, and judges the answer; or, for a claim, takes the answer for what
 * it says. Never waits, unless it is told that it
 * may wait for room in a full backlog; whoever drives it waits for what it wants, or tells it that the
 * deadline has come. Allocates only for an answer that does not fit in `room`.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <belay/probe.h>

#include "ipc/closer.h"

#define BELAY__PROBE_TRACE_MAX   1024 /* bytes of trace context, both fields together */
#define BELAY__PROBE_REQUEST_MAX (BELAY__PROBE_TRACE_MAX + 128) /* the frame around it */

enum belay__exchange_state {
	BELAY__EXCHANGE_CONNECTING,
	BELAY__EXCHANGE_SENDING,
	BELAY__EXCHANGE_RECEIVING,
	BELAY__EXCHANGE_OVER,
};

struct belay__exchange {
	enum belay__exchange_state state;
	const struct belay_endpoint *endpoint; /* borrowed */
	const struct belay_daemon *expected; /* borrowed; NULL: whoever answers is asked who he is */
	struct belay_daemon *claimed;        /* borrowed: what he says */
	bool may_wait;                       /* connect(2) may, until the deadline */
	int fd;                              /* owned; -EBADF: not connected */
	short wants; /* POLLIN or POLLOUT on fd; 0: to be called at retry_ns */
	uint64_t started_ns, deadline_ns, retry_ns;
	unsigned retries;
	struct belay_handle handle; /* owned until it is taken */
	struct stat exe;            /* what its process ran when it was verified */

	/* Who sent the reply: one process all of it. */
	bool heard, several_senders;
	bool names_pidfds; /* the kernel was asked for a pidfd of the sender, and will give it */
	pid_t sender;
	uid_t sender_uid;
	int sender_pidfd; /* owned; -EBADF: not asked for, or none came */

	struct belay__closer *closer; /* owned; NULL: no descriptor has come along yet */
	unsigned strays;              /* how often some have */

	int code; /* how it ended: 0 or a negative errno */
	struct belay_probe_report report;
	struct belay_error error;

	uint8_t nonce[BELAY_PROBE_NONCE_LEN];
	size_t request_len, sent;
	uint8_t request[BELAY__PROBE_REQUEST_MAX];
	uint8_t header[BELAY_FRAME_HEADER];
	size_t have;        /* of header and body */
	uint32_t body_len;  /* known once the header is whole */
	uint8_t *long_body; /* owned; NULL: the body is in room */
	uint8_t room[2048];
};

/* Begins: verifies EXPECTED and writes the request; nothing is sent yet. What fails is found in the
 * state OVER. OPTIONS may be NULL. belay__exchange_done() whatever happens. */
void belay__exchange_start(struct belay__exchange *exchange, const struct belay_endpoint *endpoint,
	const struct belay_daemon *expected, const struct belay_probe_options *options);

/* The same without a record, for *ret_claimed (borrowed), which is written when it ends well. */
void belay__exchange_start_claim(struct belay__exchange *exchange,
	const struct belay_endpoint *endpoint, const struct belay_probe_options *options,
	struct belay_daemon *ret_claimed);

/* Goes on until it is over, waiting. */
void belay__exchange_run(struct belay__exchange *exchange);

/* Goes as far as it can without waiting. 0: it is over; -EAGAIN: see `wants`. */
int belay__exchange_step(struct belay__exchange *exchange);

/* The deadline has come. */
void belay__exchange_expire(struct belay__exchange *exchange);

/* Waiting for it failed with CODE, a negative errno. */
void belay__exchange_break(struct belay__exchange *exchange, int code);

/* Tells how it ended, as belay_probe() does. The handle is given once. */
int belay__exchange_result(struct belay__exchange *exchange, struct belay_handle *ret_handle,
	struct belay_probe_report *ret_report, struct belay_error *reterr);

void belay__exchange_done(struct belay__exchange *exchange);
