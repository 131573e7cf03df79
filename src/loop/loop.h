/* loop.h - one thread waits for everything: descriptors, times, signals, child exits, deferred work
 *
 * One turn, in this order: wait until a source is ready or the next timer is due; read the clock
 * once; due timers; ready descriptors; deferred work. A callback may add and remove any source,
 * itself included. At most BELAY__LOOP_BATCH descriptors are served in a turn, so a busy one cannot
 * starve the rest.
 *
 * The loop allocates at belay__loop_new() only; sources are embedded in the caller's structures and
 * are taken off before their memory goes away. A host that has its own loop polls belay__loop_fd()
 * and calls belay__loop_turn(loop, 0): the fd also becomes readable when a timer is due.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BELAY__LOOP_BATCH 64

struct belay__loop;

struct belay__io {
	int fd; /* borrowed; -EBADF: not on a loop */
	uint32_t events;
	void (*ready)(struct belay__io *io, uint32_t events);
	void *data;
	struct belay__loop *loop;
};

struct belay__timer {
	uint64_t due_ns; /* CLOCK_MONOTONIC */
	void (*due)(struct belay__timer *timer, uint64_t now_ns);
	void *data;
	struct belay__timer *next, *prev; /* both NULL: not armed */
	struct belay__loop *loop;
};

struct belay__deferred {
	void (*run)(struct belay__deferred *deferred);
	void *data;
	struct belay__deferred *next;
	bool queued;
};

/* A new loop in *ret_loop; freed with belay__loop_free() (NULL allowed). 0 or a negative errno. */
int belay__loop_new(struct belay__loop **ret_loop);
struct belay__loop *belay__loop_free(struct belay__loop *loop);

/* Readable whenever a turn would do something. Owned by the loop. */
int belay__loop_fd(const struct belay__loop *loop);

/* The time read at the start of this turn, CLOCK_MONOTONIC. */
uint64_t belay__loop_now_ns(const struct belay__loop *loop);

/* Whether this turn was told of everything that was ready when it looked. Then what happened before
 * something it was told of was told as well, or in an earlier turn. */
bool belay__loop_saw_all(const struct belay__loop *loop);

/* Starts watching FD (borrowed) for EVENTS (EPOLLIN ...). 0 or a negative errno. */
int belay__io_add(struct belay__loop *loop, struct belay__io *io, int fd, uint32_t events,
	void (*ready)(struct belay__io *io, uint32_t events), void *data);
int belay__io_change(struct belay__io *io, uint32_t events);
/* Stops watching; to be called before the fd is closed. Does nothing when IO is on no loop. */
void belay__io_remove(struct belay__io *io);

/* Arms TIMER for DUE_NS, or re-arms it; UINT64_MAX disarms. Timers are kept sorted: few per loop,
 * searched from the end. */
void belay__timer_set(struct belay__loop *loop, struct belay__timer *timer, uint64_t due_ns,
	void (*due)(struct belay__timer *timer, uint64_t now_ns), void *data);
void belay__timer_clear(struct belay__timer *timer);

/* Runs DEFERRED at the end of this turn, once; of the next one when called from outside a turn or
 * by deferred work. It cannot be taken back: its memory stays until it ran. */
void belay__defer(struct belay__loop *loop, struct belay__deferred *deferred,
	void (*run)(struct belay__deferred *deferred), void *data);

/* Blocks the signals of SIGNALS (ends with 0) in this thread and calls READY with a signalfd's IO
 * for them; READY reads struct signalfd_siginfo. Returns the new fd, which the caller owns, or a
 * negative errno. */
int belay__signals_add(struct belay__loop *loop, struct belay__io *io, const int *signals,
	void (*ready)(struct belay__io *io, uint32_t events), void *data);

/* One turn. WAIT_NS: how long to wait at the most; 0 not at all, UINT64_MAX without bound. Returns
 * the number of callbacks run, or a negative errno; a signal handler's return ends the wait. */
int belay__loop_turn(struct belay__loop *loop, uint64_t wait_ns);
