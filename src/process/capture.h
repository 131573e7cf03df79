/* capture.h - counting what a command writes to its stdout and stderr
 *
 * The bytes themselves are thrown away. Pipes are emptied even beyond what is counted, so no command
 * ever waits for its reader; each turn of the loop reads a bounded piece of each.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "loop/loop.h"

#define BELAY__CAPTURE_MAX UINT64_C(1048576)

/* Begins as BELAY__CAPTURE_NONE. */
struct belay__capture {
	struct belay__io ios[2];
	int fds[2];       /* owned; of stdout and stderr; -EBADF: closed */
	uint64_t lens[2]; /* bytes counted */
	uint64_t max;     /* of both together */
	bool truncated;   /* there was more than was counted */
};

#define BELAY__CAPTURE_NONE                                                                        \
	(struct belay__capture)                                                                    \
	{                                                                                          \
		.ios = { { .fd = -EBADF }, { .fd = -EBADF } }, .fds = { -EBADF, -EBADF }           \
	}

/* Makes both pipes on LOOP; the ends to write to, which wait when full, go to *ret_stdout and
 * *ret_stderr, owned by the caller. Counts at most MAX bytes. 0, or a negative errno with nothing
 * left open. */
int belay__capture_start(struct belay__capture *capture, struct belay__loop *loop, uint64_t max,
	int *ret_stdout, int *ret_stderr);

/* Counts what is in the pipes now, up to a bound, and closes them, whoever else still holds
 * them. Also on one that was never started. */
void belay__capture_finish(struct belay__capture *capture);
