/* bytes.h - numbers in bytes, least significant byte first, on every host
 *
 * The bytes need no alignment. On a little-endian host each of these is one load or one store.
 */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t belay__get_le32(const uint8_t bytes[static 4])
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return le32toh(value);
}

static inline uint64_t belay__get_le64(const uint8_t bytes[static 8])
{
	uint64_t value;

	memcpy(&value, bytes, sizeof(value));
	return le64toh(value);
}

static inline void belay__put_le32(uint8_t bytes[static 4], uint32_t value)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof(value));
}

static inline void belay__put_le64(uint8_t bytes[static 8], uint64_t value)
{
	value = htole64(value);
	memcpy(bytes, &value, sizeof(value));
}
