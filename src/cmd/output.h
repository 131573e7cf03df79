/* output.h - standard output of a command: collected, written at once, and never silently lost */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define BELAY__OUTPUT_SIZE 16384

struct belay__output {
	int fd;
	int error; /* the first failure to write, a negative errno; nothing is written after it */
	size_t len;
	char bytes[BELAY__OUTPUT_SIZE];
};

/* Starts writing to FD (borrowed). A reader that has gone away is an error like any other: SIGPIPE
 * is ignored from here on. */
void belay__output_start(struct belay__output *output, int fd);

void belay__output_add_bytes(struct belay__output *output, const char *bytes, size_t len);
void belay__output_add(struct belay__output *output, const char *string);
/* At most 1023 bytes at once. */
__attribute__((format(printf, 2, 3))) void belay__output_addf(struct belay__output *output,
	const char *format, ...);

/* Writes what was collected. 0 or output->error. */
int belay__output_flush(struct belay__output *output);

/* As above, and says on stderr why it failed. Returns the exit code: 0 or 1. */
int belay__output_finish(struct belay__output *output);

/* Whether FD is a terminal whose user wants colour (NO_COLOR is not set, TERM is not "dumb"). */
bool belay__output_is_coloured(int fd);
