/* closer.h - closes other people's descriptors where it may take its time
 *
 * close(2) of a descriptor that a peer passed can block as long as the peer likes (a lingering TCP
 * socket, a FUSE file). The closer is a thread, started at the first stray, that does nothing else;
 * when it is held up by one, another takes over, at most BELAY__CLOSER_THREADS of them. Sockets are
 * taken out of lingering first.
 *
 * Any thread may use it but for belay__closer_free(), and the first use in a child. A child that
 * was forked since may go on with its copy: the threads stayed behind, so it gets its own; what
 * waited at that moment stays open in it until it ends or executes, and is counted as leaked,
 * because by now the numbers may be other descriptors'.
 */
#pragma once

#include <stdint.h>

#define BELAY__CLOSER_THREADS 4

struct belay__closer;

/* A closer in *ret_closer; no thread yet. 0 or -ENOMEM. belay__closer_free() (NULL allowed) does
 * not wait for threads that are held up; what could get no thread even now stays open. */
int belay__closer_new(struct belay__closer **ret_closer);
struct belay__closer *belay__closer_free(struct belay__closer *closer);

/* Gives FD away. Never blocks, never fails: what finds no room is kept open and counted as leaked.
 * While no thread can be had (RLIMIT_NPROC) it waits, and each call tries again. */
void belay__closer_take(struct belay__closer *closer, int fd);

/* The same, but while no thread can be had, a Unix stream socket in which nothing waits is closed
 * here: whoever is at its other end hears of it. What is passed into it at that very moment would
 * be closed with it. */
void belay__closer_take_stream(struct belay__closer *closer, int fd);

/* Hangs up: gives FD away, a Unix stream connection of ours that nobody will read again. Closing
 * it also closes the descriptors that still wait in it, so that it is closed here only if there
 * are none. Another who has FD, too, reads nothing any more. */
void belay__closer_hang_up(struct belay__closer *closer, int fd);

/* The process's own, made when it is first asked for and never freed, for whoever has no place for
 * one. Any thread may ask; a child that was forked since gets another, and what waited in its
 * parent's stays open in it. NULL: there is no memory. */
struct belay__closer *belay__closer_shared(void);

/* Strays taken, closed, and given up since the start. */
void belay__closer_counts(const struct belay__closer *closer, uint64_t *ret_taken,
	uint64_t *ret_closed, uint64_t *ret_leaked);
