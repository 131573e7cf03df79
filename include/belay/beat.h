/* belay/beat.h - tell the observer that you are alive
 *
 *	#include <belay/beat.h>
 *
 *	int main(void)
 *	{
 *		struct belay *belay = belay_open(NULL);
 *
 *		for (uint32_t done = 0; work(); done++)
 *			belay_beat(belay, BELAY_OK, done);
 *		belay_close(belay);
 *	}
 *
 * A beat is one clock read and one send(2) of 32 bytes to a Unix datagram socket. It never blocks,
 * never allocates and never prints; an observer that is absent, slow or restarted costs a dropped
 * beat and nothing else. A handle belongs to one thread at a time. After fork(2) the child's first
 * beat makes a connection of its own; the parent's is not touched. Links libc only. Follows the VLP
 * 0.2 reference client; what differs is in docs/compatibility.md.
 */
#pragma once

#include <stdint.h>

#include <belay/error.h>
#include <belay/vlp.h>

#ifdef __cplusplus
extern "C" {
#endif

struct belay;

enum belay_sent {
	BELAY_SENT,    /* the kernel has queued the beat for the observer */
	BELAY_DROPPED, /* not sent, for a `reason` that passes; the next beat tries again */
	BELAY_FAILED,  /* not sent, for a reason that will not pass by itself: see `error` */
};

enum belay_drop_reason {
	BELAY_DROP_NONE,
	BELAY_DROP_QUEUE_FULL,   /* EAGAIN, ENOBUFS: the observer does not keep up */
	BELAY_DROP_NO_OBSERVER,  /* ENOENT, ECONNREFUSED: nobody listens */
	BELAY_DROP_PEER_GONE,    /* ECONNRESET, ENOTCONN, EPIPE: the observer went away */
	BELAY_DROP_STORAGE_FULL, /* ENOSPC */
};

struct belay_outcome {
	uint8_t sent;   /* enum belay_sent */
	uint8_t reason; /* enum belay_drop_reason; BELAY_DROP_NONE unless dropped */
	uint16_t reserved;
	int32_t error; /* errno of the send, or of our own refusal (EINVAL, EBADF); 0 when sent */
};

/* A new handle for the observer at SOCKET (copied), or, when NULL, at the first default path that
 * accepts a connection: $BELAY_SOCKET, $XDG_RUNTIME_DIR/belay/beat.sock,
 * /run/user/UID/belay/beat.sock, /run/belay/beat.sock. Nobody needs to be there: beats are then
 * dropped until somebody is. Returns NULL with errno set (ENOMEM; ENAMETOOLONG; EINVAL: an empty
 * path, or $BELAY_SOCKET is relative or too long; EMFILE, ENFILE; EAGAIN: no fork handler could be
 * registered). The caller ends it with belay_close(). */
BELAY_API struct belay *belay_open(const char *socket);

/* Sends one beat with STATUS and a PAYLOAD of the caller's choice (a progress counter is a good
 * one). BELAY_STALL is refused (failed, error EINVAL); a NULL handle too (failed, EBADF), so that a
 * program need not check belay_open(). Nonce and timestamp are used up only by a beat that was
 * sent. On "no observer" and "peer gone" it reconnects and tries once more, at most every 100 ms
 * (belay_set_reconnect_after() changes when). */
BELAY_API struct belay_outcome belay_beat(struct belay *belay, enum belay_status status,
	uint32_t payload);

/* Announces that the next silence, after the beats sent so far, may last WITHIN_MS milliseconds
 * without being a stall: before a long phase. The observer caps it (within-max, 1 h by default).
 * Ends with the next beat. Best effort and never blocking: 0, or a negative errno when it could not
 * be told (-ENOTSUP: this observer has no door for it). */
BELAY_API int belay_beat_within(struct belay *belay, uint64_t within_ms);

/* Says goodbye, so that the end of the beats is not a stall ("left"), closes the connection and
 * frees BELAY. NULL is fine. In a forked child that never beat it only frees. Keeps errno. */
BELAY_API void belay_close(struct belay *belay);

/* Connects anew, keeping nonce and start time. 0 or a negative errno; on failure the old connection
 * stays. */
BELAY_API int belay_reconnect(struct belay *belay);

/* Reconnects once DROPS beats in a row were dropped for whatever reason; 0: never by itself. Also
 * zeroes the count. The default is 1 and only for "no observer" and "peer gone". */
BELAY_API void belay_set_reconnect_after(struct belay *belay, uint32_t drops);

/* How often the clock ran backwards under this handle, and how often it found itself in a forked
 * child. Saturating. */
BELAY_API uint64_t belay_clock_regressions(const struct belay *belay);
BELAY_API uint64_t belay_fork_recoveries(const struct belay *belay);

/* What an errno of send(2) means: sent is BELAY_DROPPED with its reason, or BELAY_FAILED. */
BELAY_API struct belay_outcome belay_classify_send_error(int error);

/* "queue full", "no observer", "peer gone", "storage full", or "". */
BELAY_API const char *belay_drop_reason_text(enum belay_drop_reason reason);

/* Writes "sent", "dropped: no observer" or "failed: Message too long" to TEXT (SIZE bytes with the
 * NUL); returns the full length. */
BELAY_API int belay_outcome_text(const struct belay_outcome *outcome, char *text,
	unsigned long size);

#ifdef __cplusplus
}
#endif
