/* belay/handoff.h - a connected socket moves into another process, with exactly one owner at each moment
 *
 * The wire is broker v1's (seed 004): on a connection to the backend's hand-over endpoint 16 bytes of token
 * with one descriptor attached, then an Offer frame; back comes an Ack frame; the client is told by a ready
 * frame on the very connection that moved. docs/protocol/handoff.md draws it, and says who owns the client
 * after each failure.
 *
 * Sender (a broker): belay_handoff() or its parts; a kept belay_handoff_channel for many. Receiver (a
 * backend): one belay_handoff_receiver, and a belay_handoff_peer for each connection to its endpoint. What
 * waits has an absolute deadline and a form that does not wait; time is CLOCK_MONOTONIC in milliseconds
 * where a caller passes it (`now_ms`), so that tests can.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_HANDOFF_TOKEN_LEN      16
#define BELAY_HANDOFF_SERVICE_MAX    64   /* bytes of a service's name: [a-z0-9-] */
#define BELAY_HANDOFF_ACK_TIMEOUT_MS 5000 /* for transfer, offer and ack together */
#define BELAY_HANDOFF_READY_MS       2000 /* how long a client waits for the ready frame */
#define BELAY_HANDOFF_UNACKED_MAX                                                                  \
	32 /* of one channel; the kernel counts descriptors in flight, too */

/* 16 random bytes that name one hand-over. A struct, so that no format can print it; nothing of Belay
 * does. */
struct belay_handoff_token {
	uint8_t secret[BELAY_HANDOFF_TOKEN_LEN];
};

/* Compares in a time that tells nothing. */
BELAY_API bool belay_handoff_token_equal(const struct belay_handoff_token *left,
	const struct belay_handoff_token *right);
/* From LEN bytes that came from outside. 0, -ENODATA (none: "MissingToken"), -EMSGSIZE (not 16). */
BELAY_API int belay_handoff_token_parse(const uint8_t *bytes, size_t len,
	struct belay_handoff_token *ret_token);

/* --- what can go wrong, and what it means --- */

/* Seed 004's classes by their names, and broker v1's later ones. */
enum belay_handoff_error {
	BELAY_HANDED_OVER,
	BELAY_HANDOFF_UNSUPPORTED_PLATFORM,
	BELAY_HANDOFF_PERMISSION_DENIED,
	BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE,
	BELAY_HANDOFF_WOULD_BLOCK,
	BELAY_HANDOFF_SEND_FAILED,
	BELAY_HANDOFF_PARTIAL_SEND,
	BELAY_HANDOFF_DELIVERY_FAILED, /* PostTransferDeliveryFailed: the offer could not be written */
	BELAY_HANDOFF_BACKEND_ACK_TIMEOUT,
	BELAY_HANDOFF_INTEGRITY_MISMATCH, /* an ack that answers something else */
	BELAY_HANDOFF_REJECTED,           /* the backend said no, in so many words */
};

/* Why the client is to reconnect by itself instead. */
enum belay_handoff_reason {
	BELAY_FALLBACK_NONE,
	BELAY_FALLBACK_CLIENT_UNSUPPORTED,
	BELAY_FALLBACK_SERVICE_POLICY_DISABLED,
	BELAY_FALLBACK_FD_PRESSURE_DISABLED,
	BELAY_FALLBACK_ADOPTED_BACKEND,
	BELAY_FALLBACK_FAILED_ATTEMPT_RATE_LIMITED,
	BELAY_FALLBACK_PERMISSION_DENIED,
	BELAY_FALLBACK_INTEGRITY_MISMATCH,
	BELAY_FALLBACK_BACKEND_ACK_TIMEOUT,
};

/* How far a hand-over came. */
enum belay_handoff_stage {
	BELAY_HANDOFF_DIAL,
	BELAY_HANDOFF_TRANSFER, /* token and descriptor */
	BELAY_HANDOFF_DELIVER,  /* the offer */
	BELAY_HANDOFF_AWAIT_ACK,
	BELAY_HANDOFF_ACKNOWLEDGE, /* the ack came, but too late for whoever kept the books */
	BELAY_HANDOFF_DONE,
};

struct belay_handoff_result {
	enum belay_handoff_stage stage; /* where it ended */
	enum belay_handoff_error error;
	enum belay_handoff_reason reason;
	/* The backend may have the client: close your copy and never touch the connection again. False:
	 * it is still yours alone. Broker v1's table, row by row. */
	bool relinquish;
	bool rejected; /* a valid ack said no */
	int os_error;  /* errno of the system call that failed; 0 */
	uint64_t correlation_id;
	char detail[128]; /* what the backend said, made printable; "" */
};

/* Names as seed 004 and broker v1 write them; never NULL. */
BELAY_API const char *belay_handoff_error_name(enum belay_handoff_error error);
BELAY_API const char *belay_handoff_reason_name(enum belay_handoff_reason reason);
BELAY_API const char *belay_handoff_stage_name(enum belay_handoff_stage stage);

/* The reason that belongs to an error (UnsupportedPlatform: no attempt was made, policy). */
BELAY_API enum belay_handoff_reason belay_handoff_fallback_reason(enum belay_handoff_error error);
/* Whether the error counts as a failed attempt, and whether the client may be told to reconnect
 * without ever seeing an error (true of all). */
BELAY_API bool belay_handoff_is_attempt_failure(enum belay_handoff_error error);
BELAY_API bool belay_handoff_is_fallback_safe(enum belay_handoff_error error);
/* Who may own the client after a failure at STAGE, when SENT bytes of the token had gone out and the
 * backend REJECTED it or not: true: the backend; relinquish. */
BELAY_API bool belay_handoff_must_relinquish(enum belay_handoff_stage stage, size_t sent,
	bool rejected);

/* --- sending --- */

/* Whether the connection CHANNEL, which the caller has just made, leads to the process of HANDLE, which
 * belay_probe() proved, or to a descendant of it, and that process still lives. A probe proves who answered on
 * the probe's own connection, not who listens where the next one goes: so before a client is passed, and each
 * time again when the connection is a new one, dial, ask this, and pass the client over that connection
 * (`channel`, not `path`). Who called listen() is whom the kernel names: an endpoint that somebody else had
 * made for the backend is not proved by this. 0; -ESTALE: another process, or it ended; close CHANNEL, and
 * prove the backend anew; another negative errno: it cannot be told. */
struct belay_handle;
BELAY_API int belay_handoff_proved(int channel, const struct belay_handle *handle);

/* One sendmsg(2): the 16 bytes with FD attached, over CHANNEL, a connected Unix stream; never blocks,
 * closes nothing, raises no SIGPIPE. 0, or a negative errno with *ret_error (and in *ret_sent how many
 * bytes went; NULL allowed). */
BELAY_API int belay_handoff_send(int channel, int fd, const struct belay_handoff_token *token,
	size_t *ret_sent, enum belay_handoff_error *ret_error);
/* The same over a fresh connection to PATH, which is the caller's from then on (close-on-exec,
 * non-blocking, SO_PASSRIGHTS=0 where there is one: acks carry no descriptors). */
BELAY_API int belay_handoff_send_to(const char *path, int fd,
	const struct belay_handoff_token *token, int *ret_channel,
	enum belay_handoff_error *ret_error);

/* What is handed over to whom. All borrowed until it is over. */
struct belay_handoff_request {
	int fd; /* the client's connection; stays the caller's, who closes it when told to */
	const char *path; /* the backend's hand-over endpoint; or NULL: */
	int channel;      /* a connection to it on which nothing else is said */
	struct belay_handoff_token token;
	const char *service; /* [a-z0-9-], or nothing is sent: -EINVAL */
	uint64_t correlation_id;
	unsigned timeout_ms; /* for all of it; 0: BELAY_HANDOFF_ACK_TIMEOUT_MS */
};

/* The whole of it, waiting: dial, token, offer, ack. 0: the backend has the client, close your copy; else a
 * negative errno with a sentence. *ret_result is filled either way. */
BELAY_API int belay_handoff(const struct belay_handoff_request *request,
	struct belay_handoff_result *ret_result, struct belay_error *reterr);

/* The same without waiting. _next() is called when _fd() is readable: -EAGAIN until it is over, then as
 * belay_handoff(). What REQUEST names is copied, but `fd` and `channel` stay open until it is freed. */
struct belay_handoff_sender;
BELAY_API int belay_handoff_async(const struct belay_handoff_request *request,
	struct belay_handoff_sender **ret_sender, struct belay_error *reterr);
BELAY_API int belay_handoff_fd(const struct belay_handoff_sender *sender);
BELAY_API int belay_handoff_next(struct belay_handoff_sender *sender,
	struct belay_handoff_result *ret_result, struct belay_error *reterr);
/* Ends it now, wherever it is, and says whose the client is: 0: the ack was there; else a negative errno,
 * -ECANCELED when nothing else was known, with *ret_result by its stage: before the transfer the client is the
 * caller's, from then on it is relinquished. Over, it returns what _next() did. */
BELAY_API int belay_handoff_cancel(struct belay_handoff_sender *sender,
	struct belay_handoff_result *ret_result, struct belay_error *reterr);
/* Frees it, in the middle, too; NULL allowed, returns NULL. Then nobody knows any more whose the client is:
 * unless _next() or _cancel() gave a result before, relinquish it: close it, and never touch it again. */
BELAY_API struct belay_handoff_sender *belay_handoff_free(struct belay_handoff_sender *sender);

/* A connection that is kept for many hand-overs, to a backend that was made to take them (Belay's
 * receivers with `keep`; broker v1's take one a connection). Each is one system call: token and offer go
 * out in one message. Acks come in any order. */
struct belay_handoff_channel;
/* FD, a connected Unix stream, is the channel's on success, and made non-blocking; on failure it stays the
 * caller's. 0, -ENOMEM; -EPROTOTYPE, -ENOTSOCK, -ENOTCONN, -EBADF: it is no such thing. */
BELAY_API int belay_handoff_channel_new(int fd_take, struct belay_handoff_channel **ret_channel);
BELAY_API int belay_handoff_channel_fd(const struct belay_handoff_channel *channel);
/* 0: on its way. Else nothing went out, and the client is the caller's: -EBUSY: BELAY_HANDOFF_UNACKED_MAX are
 * on their way, wait until some are over; -EAGAIN: the queue is full; -ETOOMANYREFS: too many descriptors
 * are in flight; -EINVAL, -EBADF, -EPERM ...: `service` or `fd` is one that cannot be passed. The channel is
 * broken, and another one has to be made, after -EPIPE, -ECONNRESET, -ENOTCONN, -ECONNREFUSED, -EPROTO,
 * -EBADMSG, -EMSGSIZE, -EPROTONOSUPPORT; -ETIMEDOUT: all of BELAY_HANDOFF_UNACKED_MAX are overdue, the backend
 * is as good as dead; -ECANCELED: it was closed. `path`, `channel` of REQUEST do not count. */
BELAY_API int belay_handoff_channel_pass(struct belay_handoff_channel *channel,
	const struct belay_handoff_request *request, uint64_t now_ms);
/* The next hand-over that is over: 1 and *ret_result; 0: none yet; negative, as above: the channel broke,
 * and all that were on their way come out first, one by one, each with its result. Call it until it is
 * not 1. */
BELAY_API int belay_handoff_channel_next(struct belay_handoff_channel *channel, uint64_t now_ms,
	struct belay_handoff_result *ret_result);
/* When to call _next() although nothing came: the first of them is overdue then, or has to be sent on;
 * CLOCK_MONOTONIC in ms; 0: at once, it broke; UINT64_MAX: nothing is awaited. */
BELAY_API uint64_t belay_handoff_channel_deadline_ms(const struct belay_handoff_channel *channel);
/* Passes no more: _next() then gives out each that is on its way, by what is known of it, and -ECANCELED
 * after the last. Call that until it is negative, then free the channel. */
BELAY_API void belay_handoff_channel_close(struct belay_handoff_channel *channel);
/* Frees it; NULL allowed, returns NULL. All that were passed and had no result from _next() are to be
 * relinquished: the backend may have them, and nobody will say any more. */
BELAY_API struct belay_handoff_channel *belay_handoff_channel_free(
	struct belay_handoff_channel *channel);

/* The ready frame, written by the sender to the client on the connection that moved, before it closes its
 * copy; with ACCEPTED false: reconnect now instead of waiting. Does not block: 0 or a negative errno,
 * which changes nothing in who owns what. */
BELAY_API int belay_handoff_ready_send(int fd, const struct belay_handoff_token *token,
	uint64_t correlation_id, bool accepted);
/* The client's side: waits for that frame on FD (borrowed) and takes not one byte more, so that what
 * follows is the backend's. 0: the backend has this connection; negative: reconnect (-ETIMEDOUT, -EPROTO,
 * -EPERM: another token, -ECONNREFUSED: not accepted, -ECONNRESET: hung up). TIMEOUT_MS 0:
 * BELAY_HANDOFF_READY_MS. */
BELAY_API int belay_handoff_ready_wait(int fd, const struct belay_handoff_token *token,
	unsigned timeout_ms);

/* --- the sender's books --- */

/* Tokens that are out: each good once, for a while. */
struct belay_handoff_tokens;
/* MAX of them (0: 1; at most 1048576), for TTL_MS each (0: 1). Broker v1 has 1024 and 30 s. 0, -EINVAL,
 * -ENOMEM. */
BELAY_API int belay_handoff_tokens_new(unsigned max, unsigned ttl_ms,
	struct belay_handoff_tokens **ret_tokens);
BELAY_API struct belay_handoff_tokens *belay_handoff_tokens_free(
	struct belay_handoff_tokens *tokens);
/* 0 and a new token; -EBUSY "PendingLimitReached" (expired ones went first); -EEXIST
 * "CollisionExhausted" (16 tries); what getrandom(2) said. */
BELAY_API int belay_handoff_tokens_issue(struct belay_handoff_tokens *tokens, uint64_t now_ms,
	struct belay_handoff_token *ret_token);
/* Uses EXPECTED up if PRESENTED is the same: 0, once; -ENOENT "TokenNotPending"; -ETIME "TokenExpired"
 * (it is gone then); -EPERM "TokenMismatch" (nothing was used up). */
BELAY_API int belay_handoff_tokens_consume(struct belay_handoff_tokens *tokens,
	const struct belay_handoff_token *expected, const struct belay_handoff_token *presented,
	uint64_t now_ms);
/* Adds one that somebody else issued (a backend that was told which to expect). As _issue(). */
BELAY_API int belay_handoff_tokens_add(struct belay_handoff_tokens *tokens,
	const struct belay_handoff_token *token, uint64_t now_ms);
BELAY_API bool belay_handoff_tokens_revoke(struct belay_handoff_tokens *tokens,
	const struct belay_handoff_token *token);
/* Drops what is expired: from issue + TTL on. How many. */
BELAY_API unsigned belay_handoff_tokens_prune(struct belay_handoff_tokens *tokens, uint64_t now_ms);

/* How much acks and limiters may be told to hold; more is -EINVAL. */
#define BELAY_HANDOFF_BOOK_MAX 65536

/* Acks that are awaited. KEY is the backend's, copied; here and below its first 255 bytes count. */
#define BELAY_HANDOFF_KEY_SIZE 256
struct belay_handoff_acks;
/* MAX of them (0: 1). TOKENS (NULL: none) is borrowed: what ends here is revoked there. */
BELAY_API int belay_handoff_acks_new(unsigned max, struct belay_handoff_tokens *tokens,
	struct belay_handoff_acks **ret_acks);
BELAY_API struct belay_handoff_acks *belay_handoff_acks_free(struct belay_handoff_acks *acks);
/* Expects an ack for TOKEN until now + TIMEOUT_MS (0: the default). 0, -EBUSY (full), -EEXIST. */
BELAY_API int belay_handoff_acks_expect(struct belay_handoff_acks *acks,
	const struct belay_handoff_token *token, const char *key, uint64_t now_ms,
	unsigned timeout_ms);
/* It came: 0 and how long it took; -ENOENT "TokenNotPending", for the second one, too; -ETIME
 * "AckDeadlineExceeded". The token is revoked, but not by an ack that nobody awaits. */
BELAY_API int belay_handoff_acks_arrived(struct belay_handoff_acks *acks,
	const struct belay_handoff_token *token, uint64_t now_ms, uint64_t *ret_waited_ms);
/* It will not come: true if it was expected. */
BELAY_API bool belay_handoff_acks_abandon(struct belay_handoff_acks *acks,
	const struct belay_handoff_token *token);
/* The next that is overdue: 1 with its token and backend (into RET_KEY), 0: none is. */
BELAY_API int belay_handoff_acks_overdue(struct belay_handoff_acks *acks, uint64_t now_ms,
	struct belay_handoff_token *ret_token, char ret_key[BELAY_HANDOFF_KEY_SIZE]);

/* Whether to try at all. */
struct belay_handoff_policy {
	bool client_capable; /* it set CAP_HANDLE_PASSING */
	bool service_allows;
	bool fd_pressure;
	bool adopted_backend; /* it outlived the broker that started it */
};
struct belay_handoff_limiter;
/* Remembers up to MAX backends (0: 256; the one that failed longest ago goes first), 8 failures in 30 s
 * each: broker v1's numbers. */
BELAY_API int belay_handoff_limiter_new(unsigned max, struct belay_handoff_limiter **ret_limiter);
BELAY_API struct belay_handoff_limiter *belay_handoff_limiter_free(
	struct belay_handoff_limiter *limiter);
/* BELAY_FALLBACK_NONE: try. Else why not, in broker v1's order, with the rest of the window for the last
 * one (*ret_retry_after_ms, else 0; NULL allowed). */
BELAY_API enum belay_handoff_reason belay_handoff_decide(struct belay_handoff_limiter *limiter,
	const struct belay_handoff_policy *policy, const char *key, uint64_t now_ms,
	uint64_t *ret_retry_after_ms);
/* What came of a try. */
BELAY_API void belay_handoff_tried(struct belay_handoff_limiter *limiter, const char *key,
	enum belay_handoff_error error, uint64_t now_ms);

/* --- receiving --- */

/* Zero, and NULL instead of it, is the default everywhere. */
struct belay_handoff_receiver_options {
	const char *service; /* offers for another are refused; NULL: any is taken. Copied */
	bool keep;           /* many hand-overs on a connection, not one */
	bool allow_inet;     /* TCP sockets may be handed over, too */
	/* Clients may pass descriptors to us: SO_PASSRIGHTS stays as it is. Else it is switched off
	 * (Linux 6.16) once a client is adopted, because closing, and so reading, what is passed
	 * can take as long as the client likes. What he passed before is there all the same: see
	 * belay_endpoint_receive(). */
	bool clients_pass_fds;
	uid_t uid; /* who may send; 0: whoever has this process's effective uid */
	/* For the whole offer, from its first byte; without `keep` from belay_handoff_peer_new()
	 * on, and from the call of belay_handoff_receive(). 0: BELAY_HANDOFF_ACK_TIMEOUT_MS. */
	unsigned timeout_ms;
	/* With `keep`: how long nothing may begin on a connection, from belay_handoff_peer_new()
	 * and from each hand-over on; 0: for ever. What came until then is
	 * still taken, however late it is asked for. */
	unsigned idle_ms;
	unsigned replay_count; /* tokens remembered against replay; 0: 1024 */
	/* Which tokens may come (borrowed); NULL: any, once: then the token only correlates, and
	 * the directory and the sender's uid are the proof, as with broker v1. */
	struct belay_handoff_tokens *tokens;
	uint64_t reserved[4]; /* 0 */
};

/* A client that is ours now. */
struct belay_adoption {
	/* The caller's; close-on-exec, non-blocking, SO_OOBINLINE if it is a Unix stream, and
	 * SO_PASSRIGHTS=0 unless `clients_pass_fds`; other options are as the sender left them,
	 * whose end of the client's connection it was. Read it by belay_endpoint_receive() and end
	 * it by belay_endpoint_hang_up() (belay/endpoint.h): recv(2) and close(2) wait as long as a
	 * client likes who passed a descriptor before it was adopted. */
	int fd;
	struct belay_handoff_token token;
	uint64_t correlation_id;
	char service[BELAY_HANDOFF_SERVICE_MAX + 1];
	/* SO_PEERCRED of `fd`: the client's own, of when it connected. Of TCP nobody knows: 0,
	 * (uid_t)-1 and (gid_t)-1, which are nobody's. */
	pid_t client_pid;
	uid_t client_uid;
	gid_t client_gid;
};

struct belay_handoff_counts {
	uint64_t adopted, refused;
	uint64_t strays;    /* descriptors that nobody asked for; closed by a thread of their own */
	uint64_t truncated; /* messages whose descriptors the kernel dropped */
};

/* What the connections to an endpoint share; opens nothing. What came and is not adopted is closed
 * by a thread, started when first needed, that takes no signal: closing it can take as long as its
 * sender likes. While no thread can be had (RLIMIT_NPROC) Unix streams in which nothing waits are
 * closed at once and the rest at a later refusal. A receiver and its peers belong to one thread at
 * a time; a child that was forked since may go on with its copy, but clients that waited to be
 * closed at that moment stay open in it, too, until it ends or executes. */
struct belay_handoff_receiver;
BELAY_API int belay_handoff_receiver_new(const struct belay_handoff_receiver_options *options,
	struct belay_handoff_receiver **ret_receiver, struct belay_error *reterr);
BELAY_API struct belay_handoff_receiver *belay_handoff_receiver_free(
	struct belay_handoff_receiver *receiver);
BELAY_API void belay_handoff_receiver_counts(const struct belay_handoff_receiver *receiver,
	struct belay_handoff_counts *ret_counts);

/* A connection to the hand-over endpoint, just accepted. Its uid is checked at once: -EPERM, with
 * no byte read or written. FD is the peer's, and on failure gone: hung up on by a thread of its own
 * where something waits in it, since closing that can take as long as its sender likes. Never
 * read(2) from it: that would close what is attached. */
struct belay_handoff_peer;
BELAY_API int belay_handoff_peer_new(struct belay_handoff_receiver *receiver, int fd_consume,
	struct belay_handoff_peer **ret_peer, struct belay_error *reterr);
BELAY_API int belay_handoff_peer_fd(const struct belay_handoff_peer *peer);
/* When it has to be over, CLOCK_MONOTONIC in ms; UINT64_MAX: nothing has begun (`keep`, without
 * `idle_ms`). Call belay_handoff_peer_next() then, too: what begun is over by -ETIMEDOUT, and so is
 * a connection on which nothing did. */
BELAY_API uint64_t belay_handoff_peer_deadline_ms(const struct belay_handoff_peer *peer);
/* Reads what there is, without waiting: 1 and *ret_adoption, whose ack has been sent (its sender
 * gave the client up, or will); 0: not yet; -ENOTCONN: it hung up, or the one hand-over of this
 * connection is over; a negative errno with a sentence: a hand-over was refused, answered as such
 * where it could be, and everything that came with it is closed; who is told no has his client back
 * as it was, except that TCP lingers no more (SO_LINGER). After -EACCES (refused: token, replay,
 * service, kind of descriptor) and -EMFILE (the kernel had no room for the descriptor) the
 * connection goes on if it is kept and the refusal could be told; all others end it, and -ENOTCONN
 * follows. After -ENOBUFS and -EPIPE, when the ack could not be sent, the token is used up: nobody
 * can tell its sender what became of the client. */
BELAY_API int belay_handoff_peer_next(struct belay_handoff_peer *peer,
	struct belay_adoption *ret_adoption, struct belay_error *reterr);
BELAY_API struct belay_handoff_peer *belay_handoff_peer_free(struct belay_handoff_peer *peer);

/* The same, waiting, for one hand-over on CONNECTION (borrowed). 0 and *ret_adoption, or a negative
 * errno with a sentence. */
BELAY_API int belay_handoff_receive(struct belay_handoff_receiver *receiver, int connection,
	struct belay_adoption *ret_adoption, struct belay_error *reterr);

#ifdef __cplusplus
}
#endif
