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
 * beat makes a connection of its own; the parent's is not touched. (Where madvise(2) refuses
 * MADV_WIPEONFORK, a child of a raw clone(2) or _Fork(3) goes unnoticed and beats as its parent.) Links libc only. Follows the VLP
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

/* A new handle for an observer that receives UDP at ADDRESS, "IP:PORT" or "[IP6]:PORT" (no names:
 * looking one up takes time, memory and a network). The frame is sent as it is: whoever is on the
 * way can read and forge it (belay/sealed.h). "Sent" means that it left; that nobody listened is
 * told, if at all, to a later beat, and says nothing against the socket: by itself only a socket
 * is replaced that is lost, or whose own address this host no longer has. A network that is not
 * there yet fails beats until it is. There is no door: belay_beat_within() is -ENOTSUP and
 * belay_close() says no goodbye. NULL with errno set as belay_open() does; EINVAL: no address,
 * or port 0; EAFNOSUPPORT: no IPv6. */
BELAY_API struct belay *belay_open_udp(const char *address);

/* Another way for 32 bytes to reach an observer. No member may block, allocate on `send`, or change
 * errno when it succeeds. DATA is passed to each. */
struct belay_transport {
	void *data;
	/* Sends the frame. 0, or a negative errno as send(2) has it (belay_classify_send_error()
	 * says what becomes of it). */
	int (*send)(void *data, const uint8_t frame[BELAY_FRAME_LEN]);
	/* Prepares a new connection, then puts it in the place of the old one; on failure the old
	 * one stays whole. Called when `send` says that the old one is gone ("no observer", "peer
	 * gone"; or as belay_set_reconnect_after() says), and before the first beat of a forked
	 * child, which fails when this does; the child's next try comes 100 ms later. 0 or a
	 * negative errno. */
	int (*reconnect)(void *data);
	/* Called once, by belay_close(). */
	void (*close)(void *data);
};

/* A new handle over TRANSPORT (copied), which is connected. Its `data` belongs to the handle from
 * now on, and after a failure still to the caller. NULL with errno set: ENOMEM, EINVAL (a
 * function is NULL), EAGAIN. */
BELAY_API struct belay *belay_open_with(const struct belay_transport *transport);

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
 * zeroes the count. The default is 1 and only for "no observer" and "peer gone"; over UDP, sealed
 * or not, it is 0. */
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
