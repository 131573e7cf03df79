/* testing.h - for this room's tests: a directory of their own, puppets that beat with real
 * credentials, events one by one
 *
 * Failures end the test that runs. A puppet is a forked child that does what it is told, one order
 * at a time; when an order has returned, what was sent is in the observer's queue.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/observer.h>

#include "wire/hello.h"

#define TEST_NOBODY 65534
#define TEST_MS     UINT64_C(1000000)
#define TEST_S      (1000 * TEST_MS)

struct house {
	char dir[64];
	char path[100]; /* of the beat socket */
	char door[108];
};

/* Makes the directory (0700), on a memory file system where there is one. */
void house_open(struct house *house);
/* Removes it, and waits until this process is alone again: closers are threads that nobody waits
 * for. */
void house_close(struct house *house);

/* The observer's injected clock. */
extern uint64_t test_now_ns;
uint64_t test_clock(void *data);

/* An observer on house->path. OPTIONS NULL: 1 s threshold, 16 processes, the injected clock. */
struct belay_observer *observer_start(const struct house *house,
	const struct belay_observer_options *options);

struct puppet {
	pid_t pid; /* 0: has been waited for */
	int orders, pidfd;
	uint64_t nonce; /* of its last puppet_beat() */
	const char *path;
};

/* Forks a puppet that speaks to house->path. */
struct puppet puppet_start(const struct house *house);
/* The same with FLAGS of clone(2), as user UID (-1: ours), under pid SET_TID (0: any). False: not
 * permitted here. */
bool puppet_start_with(const struct house *house, unsigned long flags, int64_t uid, pid_t set_tid,
	struct puppet *ret_puppet);

/* Sends LEN bytes to the beat socket, with COUNT descriptors attached. 0 or a negative errno. */
int puppet_send(struct puppet *puppet, const void *bytes, size_t len, unsigned count);
/* Sends a frame as it is; it must arrive. */
void puppet_frame(struct puppet *puppet, const struct belay_frame *frame);
/* Beats with the next nonce; payload is the nonce. */
void puppet_beat(struct puppet *puppet, enum belay_status status);
/* The last word. */
void puppet_last_word(struct puppet *puppet, uint64_t timestamp_ns);
/* Sends HELLO to the door, to which it stays connected. 0 or a negative errno. */
int puppet_say(struct puppet *puppet, const struct belay__hello *hello);
/* The code of the last packet that the door has sent it; it must be there already. */
int puppet_hear(struct puppet *puppet);

/* Has it exit with CODE; it stays a zombie until it is reaped. */
void puppet_exit(struct puppet *puppet, int code);
void puppet_signal(const struct puppet *puppet, int signal_nr);
/* Waits until its main thread is in STATE, as /proc spells it. */
void puppet_wait_state(const struct puppet *puppet, char state);
/* Waits until it has ended, without reaping it. */
void puppet_wait_ended(const struct puppet *puppet);
void puppet_reap(struct puppet *puppet);
/* Ends it anyhow and reaps it. */
void puppet_done(struct puppet *puppet);

/* The next event, which must be of KIND and comes within ten seconds. */
const struct belay_event *event_take(struct belay_observer *observer, enum belay_event_kind kind);
/* There is nothing to tell, and nothing is left that could become an event. */
void event_none(struct belay_observer *observer);
/* Takes all there is; how many there were. */
unsigned event_drain(struct belay_observer *observer);

/* Waits until the observer's descriptor is readable, at most TIMEOUT_MS; whether it is. */
bool observer_readable(const struct belay_observer *observer, int timeout_ms);

/* The value of a counter, which must exist. LABEL: "" or as in the table. */
uint64_t counter_of(struct belay_observer *observer, const char *name, const char *label);

/* The descriptor of this process that is bound to PATH and has TYPE. */
int fd_bound_to(const char *path, int type);

/* Runs BODY in a forked child that must return 0 from it; 77 skips the test. */
void in_child(int (*body)(void *argument), void *argument);
