/* handoff_message.h - one read from a hand-over connection: bytes, and at most one descriptor
 *
 * The descriptor is close-on-exec from birth, room is there for the most that a peer can attach, all
 * control headers are walked. Two are as useless as none: then all go to the closer, because closing
 * them here could take as long as their sender likes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ipc/closer.h"
#include "ipc/control.h"

/* Memory for reading, kept because it is large; nothing in it outlives a call. */
struct belay__handoff_inbox {
	struct belay__control control;
	union belay__control_buffer buffer; /* last: to a compiler it has no fixed size */
};

struct belay__handoff_message {
	size_t len;     /* 0: hung up */
	int fd;         /* the one that came whole and alone; the caller's; else -EBADF */
	unsigned count; /* how many came */
	bool truncated; /* the kernel dropped some */
};

/* Reads at most SIZE (not 0) bytes from CONNECTION without waiting. 0 and *ret_message, or a negative errno:
 * -EAGAIN: nothing is there. */
int belay__handoff_message_receive(int connection, void *bytes, size_t size,
	struct belay__handoff_inbox *inbox, struct belay__closer *closer,
	struct belay__handoff_message *ret_message);
