/* testing.h - bytes written as text, for the tests of this room */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define BELAY__COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline unsigned belay__hex_digit(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a') + 10;
}

/* Writes what the digits in HEX say (blanks between bytes do not count) to OUT of SIZE bytes, and
 * returns how many bytes that are. */
static inline size_t belay__from_hex(const char *hex, uint8_t *out, size_t size)
{
	size_t len = 0;

	while (*hex != '\0') {
		if (*hex == ' ') {
			hex++;
			continue;
		}
		assert(len < size && hex[1] != '\0');
		out[len++] = (uint8_t)(belay__hex_digit(hex[0]) << 4 | belay__hex_digit(hex[1]));
		hex += 2;
	}
	return len;
}
