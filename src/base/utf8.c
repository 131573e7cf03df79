#include "base/utf8.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

static bool is_tail(uint8_t byte)
{
	return (byte & 0xC0) == 0x80;
}

size_t belay__utf8_len(const char *bytes, size_t len)
{
	const uint8_t *b = (const uint8_t *)bytes;
	size_t wanted;

	if (len == 0)
		return 0;
	if (b[0] < 0x80)
		return 1;
	if (b[0] < 0xC2 || b[0] > 0xF4)
		return 0;

	wanted = b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
	if (len < wanted)
		return 0;
	for (size_t i = 1; i < wanted; i++)
		if (!is_tail(b[i]))
			return 0;

	/* Overlong forms, surrogates and what lies past U+10FFFF show in the second byte. */
	if ((b[0] == 0xE0 && b[1] < 0xA0) || (b[0] == 0xED && b[1] > 0x9F) ||
		(b[0] == 0xF0 && b[1] < 0x90) || (b[0] == 0xF4 && b[1] > 0x8F))
		return 0;
	return wanted;
}

size_t belay__utf8_put(char bytes[static 4], unsigned code)
{
	static const uint8_t lead[5] = { 0, 0, 0xC0, 0xE0, 0xF0 };
	size_t len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;

	assert(code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF));

	for (size_t i = len - 1; i > 0; i--) {
		bytes[i] = (char)(0x80 | (code & 0x3F));
		code >>= 6;
	}
	bytes[0] = (char)(lead[len] | code);
	return len;
}
