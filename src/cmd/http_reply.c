#include "cmd/http_reply.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>
#include <sys/types.h>

/* What is not read yet. */
struct cursor {
	char *at, *end;
};

/* What a head says of its body. */
struct framing {
	bool has_len, chunked;
	size_t len;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Cuts the next line off, without its CRLF. 0, -ENODATA, or -EPROTO for one that is longer than a
 * head may be. */
static int cut_line(struct cursor *rest, struct cursor *ret_line)
{
	char *end = memmem(rest->at, (size_t)(rest->end - rest->at), "\r\n", 2);

	if (end == NULL)
		return rest->end - rest->at > BELAY__HTTP_REPLY_HEAD_MAX ? -EPROTO : -ENODATA;
	if (memchr(rest->at, '\0', (size_t)(end - rest->at)) != NULL)
		return -EPROTO;
	*ret_line = (struct cursor){ rest->at, end };
	rest->at = end + 2;
	return 0;
}

/* "HTTP/1.1 200 OK" */
static int read_status(struct cursor line, unsigned *ret_status)
{
	static const char version[] = "HTTP/1.";
	const char *at = line.at;
	size_t len = (size_t)(line.end - line.at);

	if (len < sizeof("HTTP/1.1 200") - 1 || memcmp(at, version, sizeof(version) - 1) != 0)
		return -EPROTO;
	at += sizeof(version) - 1;
	if (!is_digit(at[0]) || at[1] != ' ' || !is_digit(at[2]) || !is_digit(at[3]) ||
		!is_digit(at[4]) || (at + 5 < line.end && at[5] != ' '))
		return -EPROTO;
	*ret_status = (unsigned)((at[2] - '0') * 100 + (at[3] - '0') * 10 + (at[4] - '0'));
	return 0;
}

static bool is(struct cursor piece, const char *word)
{
	size_t len = strlen(word);

	return (size_t)(piece.end - piece.at) == len && strncasecmp(piece.at, word, len) == 0;
}

/* A number of at most BELAY__HTTP_REPLY_BODY_MAX. */
static int read_len(struct cursor digits, size_t *ret_len)
{
	size_t len = 0;

	if (digits.at == digits.end)
		return -EPROTO;
	for (; digits.at < digits.end; digits.at++) {
		if (!is_digit(*digits.at))
			return -EPROTO;
		len = len * 10 + (size_t)(*digits.at - '0');
		if (len > BELAY__HTTP_REPLY_BODY_MAX)
			return -EPROTO;
	}
	*ret_len = len;
	return 0;
}

/* Two lengths, or a length and chunks, are two opinions about where the body ends. */
static int read_header(struct cursor line, struct framing *framing)
{
	char *colon = memchr(line.at, ':', (size_t)(line.end - line.at));
	struct cursor name, value;

	if (colon == NULL || colon == line.at || is_blank(line.at[0]) || is_blank(colon[-1]))
		return -EPROTO;
	name = (struct cursor){ line.at, colon };
	value = (struct cursor){ colon + 1, line.end };
	while (value.at < value.end && is_blank(*value.at))
		value.at++;
	while (value.at < value.end && is_blank(value.end[-1]))
		value.end--;

	if (is(name, "Content-Length")) {
		if (framing->has_len || framing->chunked)
			return -EPROTO;
		framing->has_len = true;
		return read_len(value, &framing->len);
	}
	if (is(name, "Transfer-Encoding")) {
		if (framing->has_len || framing->chunked || !is(value, "chunked"))
			return -EPROTO;
		framing->chunked = true;
	}
	return 0;
}

/* Reads lines up to the empty one; FRAMING NULL: they mean nothing. */
static int read_headers(struct cursor *rest, const char *begin, struct framing *framing)
{
	for (;;) {
		struct cursor line;
		int r = cut_line(rest, &line);

		if (r < 0)
			return r;
		if (rest->at - begin > BELAY__HTTP_REPLY_HEAD_MAX)
			return -EPROTO;
		if (line.at == line.end)
			return 0;
		r = framing == NULL ? 0 : read_header(line, framing);
		if (r < 0)
			return r;
	}
}

/* "1a0f" or "1a0f;anything" */
static int read_chunk_size(struct cursor line, size_t *ret_size)
{
	size_t size = 0;
	const char *at = line.at;

	for (; at < line.end && *at != ';' && !is_blank(*at); at++) {
		char c = (char)(*at | 0x20);

		if (!is_digit(*at) && (c < 'a' || c > 'f'))
			return -EPROTO;
		size = size * 16 + (size_t)(is_digit(*at) ? *at - '0' : c - 'a' + 10);
		if (size > BELAY__HTTP_REPLY_BODY_MAX)
			return -EPROTO;
	}
	if (at == line.at)
		return -EPROTO;
	*ret_size = size;
	return 0;
}

/* Moves the bytes of one chunk to *TO. Returns its size, 0 for the last one, or a negative errno. */
static ssize_t read_chunk(struct cursor *rest, char **to)
{
	struct cursor line;
	size_t size = 0, left;
	int r = cut_line(rest, &line);

	if (r >= 0)
		r = read_chunk_size(line, &size);
	if (r < 0)
		return r;
	if (size == 0)
		return 0;

	left = (size_t)(rest->end - rest->at);
	if (left < size + 2)
		return -ENODATA;
	if (memcmp(rest->at + size, "\r\n", 2) != 0)
		return -EPROTO;
	memmove(*to, rest->at, size);
	*to += size;
	rest->at += size + 2;
	return (ssize_t)size;
}

static int read_chunks(struct cursor *rest, size_t *ret_len)
{
	char *begin = rest->at, *to = begin;
	ssize_t n;

	do {
		n = read_chunk(rest, &to);
		if (n < 0)
			return (int)n;
		if ((size_t)(to - begin) > BELAY__HTTP_REPLY_BODY_MAX)
			return -EPROTO;
	} while (n > 0);
	*ret_len = (size_t)(to - begin);
	return read_headers(rest, rest->at, NULL);
}

static int read_body(struct cursor *rest, const struct framing *framing, size_t *ret_len)
{
	if (framing->chunked)
		return read_chunks(rest, ret_len);
	/* A body that lasts until the server hangs up looks the same when it is cut off. */
	if (!framing->has_len)
		return -EPROTO;
	if ((size_t)(rest->end - rest->at) < framing->len)
		return -ENODATA;
	rest->at += framing->len;
	*ret_len = framing->len;
	return 0;
}

int belay__http_reply_read(char *bytes, size_t len, struct belay__http_reply *ret_reply)
{
	struct cursor rest = { bytes, bytes + len }, line;
	struct belay__http_reply reply = { 0 };
	struct framing framing = { 0 };
	int r = cut_line(&rest, &line);

	if (r >= 0)
		r = read_status(line, &reply.status);
	if (r >= 0)
		r = read_headers(&rest, bytes, &framing);
	if (r < 0)
		return r;

	reply.body = rest.at;
	r = read_body(&rest, &framing, &reply.body_len);
	if (r < 0)
		return r;
	if (rest.at != rest.end)
		return -EPROTO;
	*ret_reply = reply;
	return 0;
}
