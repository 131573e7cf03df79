#include <belay/vlp.h>

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/hot.h"
#include "wire/bytes.h"
#include "wire/crc32c.h"

#define VERSION   2
#define PID_FIRST 2 /* 0 is no process and 1 is init: neither beats */

static const uint8_t magic[2] = { 'V', 'A' };

/* The frame as it lies on the wire; all numbers little-endian. */
struct frame_bytes {
	uint8_t magic[2];
	uint8_t version;
	uint8_t status;
	uint8_t pid[4];
	uint8_t timestamp_ns[8];
	uint8_t nonce[8];
	uint8_t payload[4];
	uint8_t crc32c[4]; /* over everything before it */
};

#define CHECKED_LEN offsetof(struct frame_bytes, crc32c)

_Static_assert(sizeof(struct frame_bytes) == BELAY_FRAME_LEN, "a frame is 32 bytes");
_Static_assert(_Alignof(struct frame_bytes) == 1, "a frame may lie anywhere");
_Static_assert(offsetof(struct frame_bytes, version) == 2, "version at 2");
_Static_assert(offsetof(struct frame_bytes, status) == 3, "status at 3");
_Static_assert(offsetof(struct frame_bytes, pid) == 4, "pid at 4");
_Static_assert(offsetof(struct frame_bytes, timestamp_ns) == 8, "timestamp at 8");
_Static_assert(offsetof(struct frame_bytes, nonce) == 16, "nonce at 16");
_Static_assert(offsetof(struct frame_bytes, payload) == 24, "payload at 24");
_Static_assert(offsetof(struct frame_bytes, crc32c) == 28, "checksum at 28");

void belay_frame_encode(const struct belay_frame *frame, uint8_t out[BELAY_FRAME_LEN])
{
	struct frame_bytes *wire = (struct frame_bytes *)out;

	memcpy(wire->magic, magic, sizeof(magic));
	wire->version = VERSION;
	wire->status = frame->status;
	belay__put_le32(wire->pid, frame->pid);
	belay__put_le64(wire->timestamp_ns, frame->timestamp_ns);
	belay__put_le64(wire->nonce, frame->nonce);
	belay__put_le32(wire->payload, frame->payload);
	belay__put_le32(wire->crc32c, belay__crc32c(out, CHECKED_LEN));
}

static struct belay_frame read_fields(const struct frame_bytes *wire)
{
	return (struct belay_frame){
		.status = wire->status,
		.pid = belay__get_le32(wire->pid),
		.timestamp_ns = belay__get_le64(wire->timestamp_ns),
		.nonce = belay__get_le64(wire->nonce),
		.payload = belay__get_le32(wire->payload),
	};
}

/* The order is the protocol's: nothing behind the checksum is believed before it holds. */
static enum belay_decode_class first_fault(const struct frame_bytes *wire,
	const struct belay_frame *frame)
{
	if (memcmp(wire->magic, magic, sizeof(magic)) != 0)
		return BELAY_BAD_MAGIC;
	if (wire->version != VERSION)
		return BELAY_BAD_VERSION;
	if (belay__crc32c(wire, CHECKED_LEN) != belay__get_le32(wire->crc32c))
		return BELAY_BAD_CRC;
	if (frame->status > BELAY_STALL)
		return BELAY_BAD_STATUS;
	if (frame->status == BELAY_STALL)
		return BELAY_STALL_ON_WIRE;
	if (frame->pid < PID_FIRST)
		return BELAY_BAD_PID;
	if (frame->timestamp_ns == UINT64_MAX)
		return BELAY_BAD_TIMESTAMP;
	if (frame->nonce == BELAY_NONCE_TERMINAL && frame->status != BELAY_CRITICAL)
		return BELAY_BAD_NONCE;
	return BELAY_DECODE_OK;
}

/* Off the good frame's path, so that it pays for none of this. */
__attribute__((cold, noinline)) static void explain(enum belay_decode_class class_,
	const struct frame_bytes *wire, struct belay_decode_error *reterr_error)
{
	const struct belay_frame frame = read_fields(wire);
	struct belay_decode_error error = { .class_ = (uint8_t)class_ };

	switch (class_) {
	case BELAY_BAD_CRC:
		error.crc_expected = belay__crc32c(wire, CHECKED_LEN);
		error.crc_actual = belay__get_le32(wire->crc32c);
		break;
	case BELAY_BAD_STATUS:
		error.status = frame.status;
		break;
	case BELAY_BAD_PID:
		error.pid = frame.pid;
		break;
	case BELAY_BAD_TIMESTAMP:
		error.timestamp_ns = frame.timestamp_ns;
		break;
	case BELAY_BAD_NONCE:
		error.nonce = frame.nonce;
		error.status = frame.status;
		break;
	case BELAY_DECODE_OK:
	case BELAY_BAD_MAGIC:
	case BELAY_BAD_VERSION:
	case BELAY_STALL_ON_WIRE:
		break;
	}
	*reterr_error = error;
}

BELAY__HOT bool belay_frame_decode(const uint8_t bytes[BELAY_FRAME_LEN],
	struct belay_frame *ret_frame, struct belay_decode_error *reterr_error)
{
	const struct frame_bytes *wire = (const struct frame_bytes *)bytes;
	const struct belay_frame frame = read_fields(wire);
	enum belay_decode_class class_ = first_fault(wire, &frame);

	if (class_ != BELAY_DECODE_OK) {
		if (reterr_error != NULL)
			explain(class_, wire, reterr_error);
		return false;
	}
	*ret_frame = frame;
	return true;
}

static const char *const class_names[] = {
	[BELAY_DECODE_OK] = "ok",
	[BELAY_BAD_MAGIC] = "bad_magic",
	[BELAY_BAD_VERSION] = "bad_version",
	[BELAY_BAD_CRC] = "bad_crc",
	[BELAY_BAD_STATUS] = "bad_status",
	[BELAY_STALL_ON_WIRE] = "stall_on_wire",
	[BELAY_BAD_PID] = "bad_pid",
	[BELAY_BAD_TIMESTAMP] = "bad_timestamp",
	[BELAY_BAD_NONCE] = "bad_nonce",
};

_Static_assert(sizeof(class_names) / sizeof(class_names[0]) == BELAY_DECODE_CLASSES,
	"every class has its name");

const char *belay_decode_class_name(enum belay_decode_class class_)
{
	return (unsigned)class_ < BELAY_DECODE_CLASSES ? class_names[class_] : NULL;
}

int belay_decode_error_text(const struct belay_decode_error *error, char *text, unsigned long size)
{
	switch ((enum belay_decode_class)error->class_) {
	case BELAY_DECODE_OK:
		return snprintf(text, size, "nothing is wrong with the frame");
	case BELAY_BAD_MAGIC:
		return snprintf(text, size, "not a VLP frame: it does not begin with \"VA\"");
	case BELAY_BAD_VERSION:
		return snprintf(text, size, "not a frame of VLP 0.2: its version byte is not 2");
	case BELAY_BAD_CRC:
		return snprintf(text, size,
			"damaged frame: its bytes have CRC-32C 0x%08" PRIx32
			", but it carries 0x%08" PRIx32,
			error->crc_expected, error->crc_actual);
	case BELAY_BAD_STATUS:
		return snprintf(text, size, "status byte 0x%02x has no meaning",
			(unsigned)error->status);
	case BELAY_STALL_ON_WIRE:
		return snprintf(text, size,
			"status stall came over the wire; only observers make it");
	case BELAY_BAD_PID:
		return snprintf(text, size, "pid %" PRIu32 " never beats", error->pid);
	case BELAY_BAD_TIMESTAMP:
		return snprintf(text, size,
			"timestamp %" PRIu64 " is reserved: the sender's clock ran out",
			error->timestamp_ns);
	case BELAY_BAD_NONCE:
		return snprintf(text, size,
			"terminal nonce %" PRIu64
			" came with status %u; it goes with critical only",
			error->nonce, (unsigned)error->status);
	}
	return snprintf(text, size, "unknown decode error %u", (unsigned)error->class_);
}

const char *belay_status_name(enum belay_status status)
{
	static const char *const names[] = {
		[BELAY_OK] = "ok",
		[BELAY_DEGRADED] = "degraded",
		[BELAY_CRITICAL] = "critical",
		[BELAY_STALL] = "stall",
	};

	return (unsigned)status < sizeof(names) / sizeof(names[0]) ? names[status] : NULL;
}
