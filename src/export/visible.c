#include "export/visible.h"

#include <stdbool.h>

#include "base/utf8.h"

static bool is_control(const char *bytes, size_t len)
{
	unsigned char first = (unsigned char)bytes[0];

	if (len == 2)
		return first == 0xC2 && (unsigned char)bytes[1] < 0xA0;
	return len == 1 && (first < ' ' || first == 0x7F);
}

void belay__text_add_visible(struct belay__text *text, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t n = belay__utf8_len(bytes, len);

		if (n == 0 || is_control(bytes, n)) {
			n = n == 0 ? 1 : n;
			belay__text_add(text, "?");
		} else {
			belay__text_add_bytes(text, bytes, n);
		}
		bytes += n;
		len -= n;
	}
}
