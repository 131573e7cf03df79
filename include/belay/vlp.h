/* belay/vlp.h - the Varta Lifeline Protocol, version 0.2: one beat in 32 bytes
 *
 * The wire is fixed: magic "VA", version 2, status, pid, timestamp, nonce, payload, CRC-32C, all
 * little-endian. The layout and the order of checks are in belay-vlp(7). Nothing here allocates,
 * blocks, or reads a clock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_FRAME_LEN      32
#define BELAY_NONCE_TERMINAL UINT64_MAX /* last beat of a dying process; goes with BELAY_CRITICAL */

enum belay_status {
	BELAY_OK = 0,
	BELAY_DEGRADED = 1,
	BELAY_CRITICAL = 2,
	BELAY_STALL = 3, /* made by observers only; never on the wire */
};

struct belay_frame {
	uint8_t status; /* enum belay_status */
	uint32_t pid;
	uint64_t timestamp_ns; /* since the sender connected */
	uint64_t nonce;
	uint32_t payload;
};

/* Why a frame was refused. The set is closed and the order is the order of the checks. */
enum belay_decode_class {
	BELAY_DECODE_OK,
	BELAY_BAD_MAGIC,
	BELAY_BAD_VERSION,
	BELAY_BAD_CRC,
	BELAY_BAD_STATUS,
	BELAY_STALL_ON_WIRE,
	BELAY_BAD_PID,
	BELAY_BAD_TIMESTAMP,
	BELAY_BAD_NONCE,
};
#define BELAY_DECODE_CLASSES 9

struct belay_decode_error {
	uint8_t class_; /* enum belay_decode_class */
	uint8_t status; /* BAD_STATUS: the byte; BAD_NONCE: the status that came with it */
	uint32_t crc_expected, crc_actual; /* BAD_CRC: recomputed, stored */
	uint32_t pid;                      /* BAD_PID */
	uint64_t timestamp_ns;             /* BAD_TIMESTAMP */
	uint64_t nonce;                    /* BAD_NONCE */
};

/* Writes FRAME to OUT with its checksum. Never validates: what it is given, it stamps (VLP 0.2,
 * encode). */
BELAY_API void belay_frame_encode(const struct belay_frame *frame, uint8_t out[BELAY_FRAME_LEN]);

/* Reads the frame in BYTES into *ret_frame and returns true; or returns false, leaves *ret_frame
 * alone and says why in *reterr_error (NULL allowed) with the members that belong to the class; the
 * others are 0. First failure wins, in the order of enum belay_decode_class (VLP 0.2, decode). */
BELAY_API bool belay_frame_decode(const uint8_t bytes[BELAY_FRAME_LEN],
	struct belay_frame *ret_frame, struct belay_decode_error *reterr_error);

/* The class's name as metrics and events spell it ("bad_magic"), or "ok"; NULL for any other
 * value. */
BELAY_API const char *belay_decode_class_name(enum belay_decode_class class_);

/* Writes one sentence about ERROR to TEXT, at most SIZE bytes with the final NUL; returns the
 * sentence's full length. */
BELAY_API int belay_decode_error_text(const struct belay_decode_error *error, char *text,
	unsigned long size);

/* "ok", "degraded", "critical", "stall"; NULL for any other value. */
BELAY_API const char *belay_status_name(enum belay_status status);

#ifdef __cplusplus
}
#endif
