/* closer.h - closes other people's descriptors where it may take its time
 *
 * close(2) of a descriptor that a peer passed can block as long as the peer likes (a lingering TCP
 * socket, a FUSE file). The closer is a thread, started at the first stray, that does nothing else;
 * when it is held up by one, another takes over, at most BELAY__CLOSER_THREADS of them. Sockets are
 * taken out of lingering first.
 */
#pragma once

#include <stdint.h>

#define BELAY__CLOSER_THREADS 4

struct belay__closer;

/* A closer in *ret_closer; no thread yet. 0 or -ENOMEM. belay__closer_free() (NULL allowed) does
 * not wait for threads that are held up. */
int belay__closer_new(struct belay__closer **ret_closer);
struct belay__closer *belay__closer_free(struct belay__closer *closer);

/* Gives FD away. Never blocks, never fails: what finds no room is kept open and counted as
 * leaked. */
void belay__closer_take(struct belay__closer *closer, int fd);

/* Strays taken, closed, and given up since the start. */
void belay__closer_counts(const struct belay__closer *closer, uint64_t *ret_taken,
	uint64_t *ret_closed, uint64_t *ret_leaked);
