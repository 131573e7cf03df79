#include "export/metrics_text.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/utf8.h"

#define FIRST_SIZE ((size_t)64 * 1024)

void belay__metrics_text_done(struct belay__metrics_text *text)
{
	free(text->bytes);
	*text = (struct belay__metrics_text){ .max = text->max };
}

char *belay__metrics_text_grow(struct belay__metrics_text *text, size_t need)
{
	size_t size = text->size < FIRST_SIZE ? FIRST_SIZE : text->size * 2;
	char *bytes;

	if (need > text->max || text->len > text->max - need) {
		text->error = -EMSGSIZE;
		return NULL;
	}
	while (size < text->len + need)
		size *= 2;
	size = size > text->max ? text->max : size;
	bytes = realloc(text->bytes, size);
	if (bytes == NULL) {
		text->error = -ENOMEM;
		return NULL;
	}
	text->bytes = bytes;
	text->size = size;
	return bytes + text->len;
}

/* Two digits at a time: half of the divisions. */
static const char pairs[] = "0001020304050607080910111213141516171819"
			    "2021222324252627282930313233343536373839"
			    "4041424344454647484950515253545556575859"
			    "6061626364656667686970717273747576777879"
			    "8081828384858687888990919293949596979899";

/* From the number of bits, by log10(2) = 1233/4096; powers[n] is the least with n + 1 digits. */
static size_t digits_of(uint64_t value)
{
	static const uint64_t powers[20] = {
#define E(n) UINT64_C(1##n)
		0, E(0), E(00), E(000), E(0000), E(00000), E(000000), E(0000000), E(00000000),
		E(000000000), E(0000000000), E(00000000000), E(000000000000), E(0000000000000),
		E(00000000000000), E(000000000000000), E(0000000000000000), E(00000000000000000),
		E(000000000000000000), E(0000000000000000000)
#undef E
	};
	unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
	unsigned guess = bits * 1233 >> 12;

	return guess + (value >= powers[guess]);
}

char *belay__put_u64(char *at, uint64_t value)
{
	char *end = at + digits_of(value), *first = end;

	for (; value >= 100; value /= 100) {
		first -= 2;
		memcpy(first, pairs + 2 * (value % 100), 2);
	}
	if (value >= 10)
		memcpy(first - 2, pairs + 2 * value, 2);
	else
		first[-1] = (char)('0' + value);
	return end;
}

char *belay__put_seconds(char *at, uint64_t ns, unsigned decimals)
{
	uint64_t fraction = ns % BELAY__NS_PER_S;

	assert(decimals == 3 || decimals == 9);

	if (decimals == 3)
		fraction /= BELAY__NS_PER_MS;
	at = belay__put_u64(at, ns / BELAY__NS_PER_S);
	*at = '.';
	for (unsigned i = decimals; i > 0; i--, fraction /= 10)
		at[i] = (char)('0' + fraction % 10);
	return at + 1 + decimals;
}

char *belay__put_label_value(char *at, const char *bytes, size_t len)
{
	while (len > 0) {
		size_t n = belay__utf8_len(bytes, len);

		if (n == 0) {
			n = 1;
			*at++ = '?';
		} else if (*bytes == '\n') {
			at = belay__put(at, "\\n", 2);
		} else {
			if (*bytes == '"' || *bytes == '\\')
				*at++ = '\\';
			at = belay__put(at, bytes, n);
		}
		bytes += n;
		len -= n;
	}
	return at;
}
