/* belay/envelope.h - the frame that everything between clients, brokers and backends travels in
 *
 *	01 | length LE32 | Frame
 *
 * One framing byte, the length of the body, and the body: a protobuf message (broker v1's Frame, in
 * docs/protocol/envelope.md). Nothing here allocates, blocks or keeps state. What is read is never
 * copied: views point into the caller's bytes and live as long as these do.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_FRAMING_VERSION 1
#define BELAY_FRAME_HEADER    5
#define BELAY_FRAME_MAX       16777216 /* bytes of a body, inclusive */
#define BELAY_HELLO_MAX       65536    /* of a body before anything is agreed upon, inclusive */

/* LEN bytes of somebody else's. Text in them is valid UTF-8 where the message says so, and not
 * NUL-terminated. */
struct belay_bytes {
	const uint8_t *at;
	size_t len;
};

enum belay_envelope_kind {
	BELAY_ENVELOPE_REQUEST = 0,
	BELAY_ENVELOPE_RESPONSE = 1,
	BELAY_ENVELOPE_EVENT = 2,
	BELAY_ENVELOPE_CANCEL = 3,
};

/* What a payload is: belay_payload_protocol_name() knows who has registered which number. */
#define BELAY_PROTOCOL_CONTROL 0x0000u
#define BELAY_PROTOCOL_ADMIN   0xAD01u
#define BELAY_PROTOCOL_PROBE   0xB232u
#define BELAY_PROTOCOL_HANDOFF 0xD0FFu
#define BELAY_PROTOCOL_SESSION 0x5350u

/* The Frame message. All zero but `version` is a REQUEST of the control protocol without payload. */
struct belay_envelope {
	uint32_t version; /* 1; others are refused by whoever reads it, not by the decoder */
	int32_t kind;     /* enum belay_envelope_kind; unknown numbers survive decoding */
	uint32_t payload_protocol; /* BELAY_PROTOCOL_... */
	struct belay_bytes payload;
	uint64_t request_id;
	int32_t payload_encoding; /* 0: none, the only one that anybody accepts */
	uint64_t deadline_unix_ms;
	struct belay_bytes traceparent, tracestate;
};

/* A frame found at the beginning of some bytes. */
struct belay_frame_found {
	const uint8_t *body;
	size_t body_len;
	size_t consumed; /* header and body: what follows belongs to the next one */
};

/* Looks at the LEN bytes at BYTES (the framing byte as soon as there is one, the length before any
 * of the body). 1 and *ret_found; 0: all is well so far, more is needed; -EPROTONOSUPPORT: the
 * framing byte is another; -EMSGSIZE: the body would have more than CAP bytes. */
BELAY_API int belay_frame_scan(const uint8_t *bytes, size_t len, uint32_t cap,
	struct belay_frame_found *ret_found);

/* The header of a body of LEN bytes. */
BELAY_API void belay_frame_header(uint32_t len, uint8_t ret_header[BELAY_FRAME_HEADER]);

/* Decodes a body. 0 and *ret_envelope, or -EBADMSG: no Frame (prost's rules: unknown fields are
 * skipped, the last of equal scalars wins, text must be UTF-8). */
BELAY_API int belay_envelope_decode(const uint8_t *body, size_t len,
	struct belay_envelope *ret_envelope);

/* Writes header and body to OUT. Returns how many bytes that are, or -EMSGSIZE: more than SIZE, or a
 * body of more than BELAY_FRAME_MAX; -EINVAL: text that is no UTF-8. OUT is undefined then. */
BELAY_API ssize_t belay_envelope_encode(const struct belay_envelope *envelope, uint8_t *out,
	size_t size);

/* Who uses PROTOCOL: "control", "admin", "probe", "handoff", "session", a registered consumer's
 * name ("zccache", "clud", "fbuild"), or what its range is for: "first-party", "consumer",
 * "reserved", "private"; "invalid" above 0xffff. Never NULL. */
BELAY_API const char *belay_payload_protocol_name(uint32_t protocol);

/* A mistake of whoever sent a frame, as broker v1 names it: a sentence for the negative errno that
 * came from reading one (-EPROTONOSUPPORT, -EMSGSIZE, -EBADMSG), else strerror's. */
BELAY_API const char *belay_framing_error_text(int code);

#ifdef __cplusplus
}
#endif
