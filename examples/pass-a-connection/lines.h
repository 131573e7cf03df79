/* lines.h - answer lines on a connection, and never read past the one that is answered
 *
 * What the server has read, the backend cannot read any more. So a line is taken from the socket up to its
 * end and not one byte further: between two lines everything that the client has sent is still in the
 * socket, and moves with it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define LINE_MAX_LEN 1024

struct lines {
	char in[LINE_MAX_LEN]; /* the beginning of a line */
	size_t in_len;
	char out[LINE_MAX_LEN + 64]; /* an answer that is not written yet */
	size_t out_len, out_done;
};

/* Goes on with FD, which does not block, as WHO: 1: a line was answered, and nothing is pending; 0: it has
 * to become readable, or writable if lines_pending(); negative errno: it is over (-ENOTCONN: hung up). */
int lines_next(struct lines *lines, int fd, const char *who);

/* Whether an answer still has to be written. */
bool lines_pending(const struct lines *lines);
/* Whether nothing was read that is not answered: all that the client sent since is in its socket. */
bool lines_between(const struct lines *lines);
/* Whether the line that was answered last ends in WORD. */
bool lines_said(const struct lines *lines, const char *word);
