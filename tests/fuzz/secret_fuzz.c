/* secret_fuzz.c - any bytes as a file of keys
 *
 * Whatever is refused is refused with a sentence that holds nothing of it, and leaves nothing behind;
 * whatever is accepted, written anew, reads back as the same.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/secret.h"

#define NAME "the file"

enum { LINES = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sentence is made of constants and numbers: so that it is enough to see which one it is. */
static void check_refusal(int r, const struct belay_error *error,
	const struct belay__secret_line *lines)
{
	static const struct belay__secret_line wiped[LINES];
	static const char *const parts[] = {
		"not 64 hexadecimal digits and perhaps the name of a host",
		"not the name of a host", "no host can be called '", "more than 8 keys",
		"holds no key; run: belay key new FILE"
	};
	size_t known = 0;

	assert(r == error->code && (r == -EINVAL || r == -E2BIG));
	assert(strncmp(error->text, NAME, strlen(NAME)) == 0);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		known += strstr(error->text, parts[i]) != NULL;
	assert(known == 1);
	assert(memcmp(lines, wiped, sizeof(wiped)) == 0);
}

static void check_accepted(const struct belay__secret_line *lines, int count)
{
	struct belay__secret_line again[LINES];
	char text[LINES * 128];
	size_t len = 0;

	for (int i = 0; i < count; i++) {
		assert(memchr(lines[i].host, '\0', sizeof(lines[i].host)) != NULL);
		assert(lines[i].host[0] == '\0' || belay__host_valid(lines[i].host));
		for (size_t k = 0; k < sizeof(lines[i].secret); k++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%02x",
				lines[i].secret[k]);
		len += (size_t)snprintf(text + len, sizeof(text) - len, " %s\n", lines[i].host);
	}

	int r = belay__secret_parse_lines(text, len, NAME, again, LINES, NULL);
	assert(r == count);
	assert(memcmp(again, lines, (size_t)count * sizeof(*lines)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct belay__secret_line lines[LINES];
	struct belay_error error = { 0 };

	memset(lines, 0xa5, sizeof(lines));
	int r = belay__secret_parse_lines((const char *)data, size, NAME, lines, LINES, &error);

	if (r <= 0)
		check_refusal(r, &error, lines);
	else
		check_accepted(lines, r);
	return 0;
}
