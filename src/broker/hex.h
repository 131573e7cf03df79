/* hex.h - bytes as lowercase hexadecimal digits, for names */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Writes two digits for each of LEN bytes and a NUL. */
static inline void belay__hex(const uint8_t *bytes, size_t len, char *ret_digits)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		ret_digits[2 * i] = digits[bytes[i] >> 4];
		ret_digits[2 * i + 1] = digits[bytes[i] & 15];
	}
	ret_digits[2 * len] = '\0';
}
