/* line_reader.h - the lines of a file of any size and any content, in bounded memory */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest line that is given, its newline not counted. */
#define BELAY__LINE_MAX 16384

struct belay__line_reader {
	int fd;          /* borrowed; read with pread() */
	uint64_t at;     /* where in the file the next read begins */
	uint64_t number; /* of the line given last, from 1 */
	size_t start, len;
	bool skipping; /* inside a line that is too long */
	char bytes[4 * (BELAY__LINE_MAX + 1)];
};

enum belay__line_end {
	BELAY__LINE_NONE,  /* the end of the file */
	BELAY__LINE_WHOLE, /* a line that had its newline */
	BELAY__LINE_TORN,  /* the bytes behind the last newline */
};

/* Starts reading FD at byte OFFSET, the beginning of a line. */
void belay__line_reader_init(struct belay__line_reader *reader, int fd, uint64_t offset);

/* Gives the next line without its newline, valid until the next call. Returns an enum
 * belay__line_end, -EMSGSIZE for a line of more than BELAY__LINE_MAX bytes (it was skipped), or another negative errno. */
int belay__line_reader_next(struct belay__line_reader *reader, const char **ret_line,
	size_t *ret_len);

/* Finds the byte behind the last newline among the first SIZE bytes of FD; 0 when there is none.
 * Returns 0 or a negative errno. */
int belay__last_line_end(int fd, uint64_t size, uint64_t *ret_end);
