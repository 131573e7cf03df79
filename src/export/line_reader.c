#include "export/line_reader.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define WINDOW 4096

static ssize_t read_at(int fd, char *bytes, size_t size, uint64_t offset)
{
	ssize_t n;

	do
		n = pread(fd, bytes, size, (off_t)offset);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

void belay__line_reader_init(struct belay__line_reader *reader, int fd, uint64_t offset)
{
	reader->fd = fd;
	reader->at = offset;
	reader->number = 0;
	reader->skipping = false;
	reader->start = reader->len = 0;
}

/* Reads more behind what is there. Returns how much, or a negative errno. */
static ssize_t fill(struct belay__line_reader *reader)
{
	ssize_t n;

	memmove(reader->bytes, reader->bytes + reader->start, reader->len);
	reader->start = 0;
	n = read_at(reader->fd, reader->bytes + reader->len, sizeof(reader->bytes) - reader->len,
		reader->at);
	if (n > 0) {
		reader->at += (uint64_t)n;
		reader->len += (size_t)n;
	}
	return n;
}

static int give(struct belay__line_reader *reader, enum belay__line_end end, size_t len,
	const char **ret_line, size_t *ret_len)
{
	*ret_line = reader->bytes + reader->start;
	*ret_len = len;
	len += end == BELAY__LINE_WHOLE ? 1 : 0;
	reader->start += len;
	reader->len -= len;
	reader->number++;
	return (int)end;
}

/* Drops what is there of a line that is too long, and reads on. True when it has ended: with a
 * newline, with the file, or with the failure in *ret_n. */
static bool skip(struct belay__line_reader *reader, const char *newline, ssize_t *ret_n)
{
	size_t len = reader->len;

	if (newline != NULL)
		len = (size_t)(newline - (reader->bytes + reader->start)) + 1;
	reader->start += len;
	reader->len -= len;
	*ret_n = newline != NULL ? 1 : fill(reader);
	if (newline == NULL && *ret_n > 0)
		return false;
	reader->skipping = false;
	reader->number++;
	return true;
}

int belay__line_reader_next(struct belay__line_reader *reader, const char **ret_line,
	size_t *ret_len)
{
	for (;;) {
		const char *start = reader->bytes + reader->start;
		const char *newline = memchr(start, '\n', reader->len);
		size_t len = newline == NULL ? reader->len : (size_t)(newline - start);
		ssize_t n = 0;

		if (len > BELAY__LINE_MAX)
			reader->skipping = true;
		if (reader->skipping) {
			if (skip(reader, newline, &n))
				return n < 0 ? (int)n : -EMSGSIZE;
			continue;
		}
		if (newline != NULL)
			return give(reader, BELAY__LINE_WHOLE, len, ret_line, ret_len);
		n = fill(reader);
		if (n < 0)
			return (int)n;
		if (n == 0 && len == 0)
			return BELAY__LINE_NONE;
		if (n == 0)
			return give(reader, BELAY__LINE_TORN, len, ret_line, ret_len);
	}
}

int belay__last_line_end(int fd, uint64_t size, uint64_t *ret_end)
{
	char window[WINDOW];

	while (size > 0) {
		size_t len = size < WINDOW ? (size_t)size : WINDOW;
		ssize_t n = read_at(fd, window, len, size - len);
		const char *newline;

		if (n < 0)
			return (int)n;
		newline = memrchr(window, '\n', (size_t)n);
		if (newline != NULL) {
			*ret_end = size - len + (uint64_t)(newline - window) + 1;
			return 0;
		}
		size -= len;
	}
	*ret_end = 0;
	return 0;
}
