/* metrics_text.h - one growing buffer that a whole /metrics body is written to, without stdio
 *
 * Writers ask once for as much room as a line can need at most, write through a plain pointer, and
 * say where they ended. The buffer keeps its memory from one rendering to the next.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Starts as { .max = N } and ends with belay__metrics_text_done(). */
struct belay__metrics_text {
	char *bytes; /* LEN of them are written; a NUL follows when a rendering ended well */
	size_t len, size;
	size_t max; /* no more memory than this is ever taken */
	int error;  /* 0, or why room was refused: -EMSGSIZE (MAX), -ENOMEM */
};

/* Frees the memory; the text may be used again. */
void belay__metrics_text_done(struct belay__metrics_text *text);

/* Takes memory for NEED more bytes: see belay__metrics_text_room(). */
char *belay__metrics_text_grow(struct belay__metrics_text *text, size_t need);

/* Where to write up to NEED bytes, or NULL when there is no room for them (`error` says why). Ends
 * with belay__metrics_text_end(). */
static inline char *belay__metrics_text_room(struct belay__metrics_text *text, size_t need)
{
	if (__builtin_expect(text->size - text->len >= need, 1))
		return text->bytes + text->len;
	return belay__metrics_text_grow(text, need);
}

/* All before AT has been written. */
static inline void belay__metrics_text_end(struct belay__metrics_text *text, const char *at)
{
	text->len = (size_t)(at - text->bytes);
}

/* Each writes at AT, where there is room, and returns the place behind it. */
static inline char *belay__put(char *at, const char *bytes, size_t len)
{
	memcpy(at, bytes, len);
	return at + len;
}

static inline char *belay__put_string(char *at, const char *string)
{
	return belay__put(at, string, strlen(string));
}

/* At most 20 bytes. */
char *belay__put_u64(char *at, uint64_t value);

/* NS as seconds with DECIMALS (3 or 9) digits behind the point, cut, not rounded; at most 21
 * bytes. */
char *belay__put_seconds(char *at, uint64_t ns, unsigned decimals);

/* LEN bytes as the value of a label: backslash, quote and newline escaped, a '?' for each byte that
 * is no UTF-8, which would make the whole body unreadable. At most twice LEN bytes. */
char *belay__put_label_value(char *at, const char *bytes, size_t len);
