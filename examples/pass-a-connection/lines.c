#include "lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <belay/endpoint.h>

bool lines_pending(const struct lines *lines)
{
	return lines->out_done < lines->out_len;
}

bool lines_between(const struct lines *lines)
{
	return lines->in_len == 0 && !lines_pending(lines);
}

bool lines_said(const struct lines *lines, const char *word)
{
	size_t len = strlen(word);

	/* "server 123: WORD" and the end of the line */
	return lines->out_len > len + 2 &&
		memcmp(lines->out + lines->out_len - len - 1, word, len) == 0 &&
		lines->out[lines->out_len - len - 2] == ' ';
}

/* 1: all of it is written; 0: not yet. */
static int flush(struct lines *lines, int fd)
{
	while (lines_pending(lines)) {
		ssize_t n = send(fd, lines->out + lines->out_done, lines->out_len - lines->out_done,
			MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		lines->out_done += (size_t)n;
	}
	return 1;
}

/* Takes what is there of the line, and not a byte that follows it. 1, 0: nothing, negative: over. */
static int take(struct lines *lines, int fd)
{
	char *at = lines->in + lines->in_len;
	size_t room = sizeof(lines->in) - lines->in_len;
	const char *end;
	ssize_t n;

	if (room == 0)
		return -EMSGSIZE;
	n = recv(fd, at, room, MSG_PEEK | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ENOTCONN;
	end = memchr(at, '\n', (size_t)n);
	/* Not recv(2): who passes a descriptor along would decide how long that takes. To look does no harm. */
	n = belay_endpoint_receive(fd, at, end == NULL ? (size_t)n : (size_t)(end + 1 - at));
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n <= 0)
		return n == 0 ? -ENOTCONN : (int)n;
	lines->in_len += (size_t)n;
	return 1;
}

int lines_next(struct lines *lines, int fd, const char *who)
{
	const char *end;
	size_t len;
	int r = flush(lines, fd);

	if (r <= 0)
		return r;
	while ((end = memchr(lines->in, '\n', lines->in_len)) == NULL) {
		r = take(lines, fd);
		if (r <= 0)
			return r;
	}
	len = (size_t)(end + 1 - lines->in);
	lines->out_len = (size_t)snprintf(lines->out, sizeof(lines->out) - sizeof(lines->in),
		"%s %d: ", who, (int)getpid());
	/* Whatever bytes it has. */
	memcpy(lines->out + lines->out_len, lines->in, len);
	lines->out_len += len;
	lines->out_done = 0;
	lines->in_len -= len;
	memmove(lines->in, lines->in + len, lines->in_len);
	return flush(lines, fd);
}
