/* frame_fuzz.c - any bytes as a frame, and any numbers as one
 *
 * What decodes re-encodes to the same bytes, what does not leaves the frame alone; a stamped frame
 * is refused for its values only; and the CPU's checksum is the table's.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <belay/vlp.h>

#include "wire/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_refused(const struct belay_decode_error *error)
{
	char text[160];

	assert(error->class_ > BELAY_DECODE_OK && error->class_ < BELAY_DECODE_CLASSES);

	int len = belay_decode_error_text(error, text, sizeof(text));
	assert(len > 0 && (size_t)len < sizeof(text));
}

static void check_decode(const uint8_t *bytes)
{
	struct belay_frame frame = { .pid = 0, .nonce = 0xa5a5 }; /* decoding never gives pid 0 */
	struct belay_decode_error error = { 0 };
	uint8_t again[BELAY_FRAME_LEN];

	if (!belay_frame_decode(bytes, &frame, &error)) {
		assert(frame.pid == 0 && frame.nonce == 0xa5a5);
		check_refused(&error);
		return;
	}
	belay_frame_encode(&frame, again);
	assert(memcmp(again, bytes, sizeof(again)) == 0);
	assert(error.class_ == BELAY_DECODE_OK);
}

/* A fuzzer does not guess checksums: stamp its bytes, so that the checks behind the checksum are
 * reached. */
static void check_stamped(const uint8_t *bytes)
{
	struct belay_frame frame = { .status = bytes[3] };
	struct belay_decode_error error = { 0 };
	uint8_t wire[BELAY_FRAME_LEN];

	memcpy(&frame.pid, bytes + 4, sizeof(frame.pid));
	memcpy(&frame.timestamp_ns, bytes + 8, sizeof(frame.timestamp_ns));
	memcpy(&frame.nonce, bytes + 16, sizeof(frame.nonce));
	memcpy(&frame.payload, bytes + 24, sizeof(frame.payload));
	belay_frame_encode(&frame, wire);
	if (!belay_frame_decode(wire, &frame, &error))
		assert(error.class_ > BELAY_BAD_CRC);
	check_decode(wire);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (belay__crc32c_has_hardware())
		assert(belay__crc32c_hardware(data, size) == belay__crc32c_portable(data, size));
	if (size >= BELAY_FRAME_LEN) {
		check_decode(data);
		check_stamped(data);
	}
	return 0;
}
