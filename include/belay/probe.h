/* belay/probe.h - is the process behind an endpoint the one I think?
 *
 *	struct belay_daemon expected;
 *	struct belay_probe_report report;
 *
 *	if (belay_sidecar_read(path, &expected, &error) == 0 &&
 *		belay_probe(&expected.endpoint, &expected, NULL, NULL, &report, &error) == 0)
 *		... it is ...
 *
 * Payload protocol 0xB232 of broker v1 (seed 003): 32 random bytes go out, the same bytes and the daemon's
 * own record come back. The record is compared with the one expected, which is proved against the process
 * itself (belay/identity.h); and the kernel says who answered: the credentials on the reply must be those
 * of the claimed process or of a descendant of it. One absolute deadline holds for all that depends on the
 * peer: connecting, asking and the answer; looking at the process comes before, and takes as long as reading
 * its executable, unless the record is a mere claim (see below). A peer can make it fail, and nothing else. docs/protocol/probe.md tells what each proof is worth.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/envelope.h>
#include <belay/error.h>
#include <belay/identity.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_PROBE_NONCE_LEN  32
#define BELAY_PROBE_TIMEOUT_MS 500   /* the default, from connecting to the answer's last byte */
#define BELAY_PROBE_REPLY_MAX  65536 /* bytes of a reply's body: ours; broker v1 would read 16 MiB */

/* Seed 003's classes by their names; the last two are ours. */
enum belay_probe_error {
	BELAY_PROBED,
	BELAY_PROBE_ENDPOINT_MISMATCH, /* the record is of another endpoint; nothing was tried */
	BELAY_PROBE_VERIFY_PID,        /* `verify` in the report says which step */
	BELAY_PROBE_RANDOM,
	BELAY_PROBE_LOCAL_SOCKET_NAME, /* the path cannot be a socket's */
	BELAY_PROBE_CONNECT, /* also: the path is empty; -ETIMEDOUT: the backlog stayed full */
	BELAY_PROBE_CONFIGURE_NONBLOCKING, /* here: the kernel would not name the sender */
	BELAY_PROBE_TIMEOUT,
	BELAY_PROBE_IO, /* it hung up before the reply was whole, or this side lacks something (-EMFILE) */
	BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION,
	BELAY_PROBE_FRAME_TOO_LARGE,
	BELAY_PROBE_ENCODE_FRAME,
	BELAY_PROBE_DECODE_FRAME,
	BELAY_PROBE_UNEXPECTED_FRAME, /* `text` in the report says what of it */
	BELAY_PROBE_MALFORMED_PAYLOAD,
	BELAY_PROBE_DECODE_DAEMON_PROCESS,
	BELAY_PROBE_IDENTITY,          /* the reply's record is incomplete */
	BELAY_PROBE_IDENTITY_MISMATCH, /* `text`: the first field that differs */
	BELAY_PROBE_ANOTHER_ANSWERED, /* the kernel names another process as the sender of the reply */
	BELAY_PROBE_ENDED, /* the process ended, or runs another executable, since it was verified */
};

/* What has been proved so far. */
enum belay_proof {
	BELAY_PROOF_ENDPOINT = 1 << 0,    /* the record is of this endpoint */
	BELAY_PROOF_PROCESS = 1 << 1,     /* belay_daemon_verify() */
	BELAY_PROOF_NONCE = 1 << 2,       /* the reply answers this very request */
	BELAY_PROOF_RECORD = 1 << 3,      /* it claims the identity expected */
	BELAY_PROOF_CREDENTIALS = 1 << 4, /* the kernel: the process, or its descendant, sent it */
	BELAY_PROOF_STILL = 1 << 5,       /* the same process ran the same executable at the end */
};

struct belay_probe_report {
	enum belay_probe_error error;
	enum belay_verify_error verify;
	unsigned proved;  /* enum belay_proof */
	const char *text; /* static: broker v1's words, or the field's name, or who answered; NULL */
	pid_t answered_by; /* the reply's credentials; 0: no reply, or not visible here */
	uid_t answered_uid;
	bool by_descendant;
	pid_t listener; /* who called listen(), for information: SO_PEERCRED; 0: not known */
	uint64_t took_us;
};

/* Zero, and NULL instead of it, is the default everywhere. */
struct belay_probe_options {
	unsigned timeout_ms; /* 0: BELAY_PROBE_TIMEOUT_MS */
	/* The record is what belay_probe_claim() said, so that its pid, its path and the size of its
	 * executable were a stranger's choice: looking at the process counts into the timeout, too, and
	 * paths are compared as texts. */
	bool claimed;
	struct belay_hashes *hashes; /* borrowed for as long as the probe lives */
	/* Sent along, at most 1024 bytes together; a good backend echoes them. */
	struct belay_bytes traceparent, tracestate;
	uint64_t reserved[4]; /* 0 */
};

/* Probes ENDPOINT for EXPECTED. 0 and *ret_handle (NULL: not wanted), which the caller closes; or a negative
 * errno with a sentence for people. *ret_report (NULL allowed) is filled either way. -ESTALE: somebody
 * else; -ETIMEDOUT; -EPROTO: the answer breaks the protocol; -EINVAL; what connect(2) said, ... */
BELAY_API int belay_probe(const struct belay_endpoint *endpoint, const struct belay_daemon *expected,
	const struct belay_probe_options *options, struct belay_handle *ret_handle,
	struct belay_probe_report *ret_report, struct belay_error *reterr);

/* The same without waiting: the process is verified and connected to at once (connect(2) to a Unix socket
 * does not block here: a full backlog is tried again until the deadline), then whenever belay_probe_fd()
 * is readable belay_probe_next() goes on. ENDPOINT and EXPECTED are copied. *ret_probe is freed by
 * belay_probe_free() (NULL allowed; returns NULL). 0 or -ENOMEM, -EMFILE ...: every failure of the probe
 * itself comes from belay_probe_next(). */
struct belay_prober;
BELAY_API int belay_probe_async(const struct belay_endpoint *endpoint,
	const struct belay_daemon *expected, const struct belay_probe_options *options,
	struct belay_prober **ret_prober, struct belay_error *reterr);
BELAY_API int belay_probe_fd(const struct belay_prober *prober);
/* -EAGAIN: not yet, and never anything else. Else it is over, as belay_probe() would have returned; asked once more, it says the
 * same, but for the handle, which is given once. */
BELAY_API int belay_probe_next(struct belay_prober *prober, struct belay_handle *ret_handle,
	struct belay_probe_report *ret_report, struct belay_error *reterr);
BELAY_API struct belay_prober *belay_probe_free(struct belay_prober *prober);

/* The error's name as seed 003 writes it ("UnexpectedFrame"); never NULL. And the proof's, for one bit. */
BELAY_API const char *belay_probe_error_name(enum belay_probe_error error);
BELAY_API const char *belay_proof_name(enum belay_proof proof);

/* Asks whoever answers at ENDPOINT's path (its namespace does not count) who he says he is: 0 and *ret_claimed,
 * which nothing has proved but the nonce; belay_probe() with it, its endpoint and the option `claimed` proves
 * it. Errors and *ret_report (NULL allowed) as there. */
BELAY_API int belay_probe_claim(const struct belay_endpoint *endpoint,
	const struct belay_probe_options *options, struct belay_daemon *ret_claimed,
	struct belay_probe_report *ret_report, struct belay_error *reterr);

/* --- the other side --- */

/* A probe that was asked, as views into the frame. */
struct belay_probe_request {
	uint64_t request_id;
	uint8_t nonce[BELAY_PROBE_NONCE_LEN];
	struct belay_bytes traceparent, tracestate;
};

/* Whether ENVELOPE is a probe, checked in broker v1's order. 0 and *ret_request; -EPROTO and *ret_text
 * (static, broker v1's words: "kind is not REQUEST", "nonce must be 32 bytes" ...). */
BELAY_API int belay_probe_request_read(const struct belay_envelope *envelope,
	struct belay_probe_request *ret_request, const char **ret_text);

/* Writes the whole frame that answers REQUEST with SELF to OUT. The number of bytes, or -EMSGSIZE;
 * BELAY_PROBE_ANSWER_MAX bytes are enough for every SELF and 1024 bytes of trace context. */
#define BELAY_PROBE_ANSWER_MAX 8192
BELAY_API ssize_t belay_probe_answer(const struct belay_probe_request *request,
	const struct belay_daemon *self, uint8_t *out, size_t size);

/* Serves CONNECTION (borrowed, blocking or not), which somebody just opened, until COUNT probes are
 * answered (0: until he hangs up) or TIMEOUT_MS (0: BELAY_PROBE_TIMEOUT_MS) have passed in all. Reads at most 64 KiB a request and no
 * byte behind the last one. Refuses descriptors meanwhile where the kernel can (SO_PASSRIGHTS) and closes
 * those that come. The
 * number of answers, 0 when he hung up before asking; or a negative errno with a sentence: -ETIMEDOUT,
 * -EPROTONOSUPPORT (framing byte), -EMSGSIZE, -EBADMSG (no Frame), -EPROTO (no probe), -ECONNRESET (in the
 * middle of a frame). */
BELAY_API int belay_probe_serve(int connection, const struct belay_daemon *self, unsigned count,
	unsigned timeout_ms, struct belay_error *reterr);

#ifdef __cplusplus
}
#endif
