#include "lines.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

bool lines_pending(const struct lines *lines)
{
	return lines->out_done < lines->out_len;
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
	n = recv(fd, at, end == NULL ? (size_t)n : (size_t)(end + 1 - at), MSG_DONTWAIT);
	if (n <= 0)
		return n == 0 ? -ENOTCONN : -errno;
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
	lines->out_len = (size_t)snprintf(lines->out, sizeof(lines->out), "%s %d: %.*s", who,
		(int)getpid(), (int)len, lines->in);
	lines->out_done = 0;
	lines->in_len -= len;
	memmove(lines->in, lines->in + len, lines->in_len);
	return flush(lines, fd);
}
