/* brakes.h - what keeps actions from being done too often: pure bookkeeping with the caller's time
 *
 *	debounce  one process (pid and start time) is acted on once in so long; as the original does
 *	back-off  between two actions on one name of one user lie 1 s, then 2 s ... 5 min; forgotten
 *	          when the name was well for ten thresholds, all of them after the last action on it
 *	limit     so many actions of one rule and user in a window of time
 *
 * One silence (a process and the count of its beats) or end is acted on once, whoever asks again.
 *
 * All of it lies in memory that the parent holds, so that it outlives a runner: one that crashes
 * over and over is braked as well. What an earlier runner left there is checked when it is read
 * back. Times are CLOCK_MONOTONIC. Everything has a fixed size; what does not fit holds the action
 * back rather than letting it pass.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BELAY__BRAKES_LEDGER       4096
#define BELAY__BRAKES_NAMES        4096
#define BELAY__BRAKES_HISTORY      4096 /* actions: limits above it mean it */
#define BELAY__BACK_OFF_FIRST_NS   UINT64_C(1000000000)
#define BELAY__BACK_OFF_MOST_NS    UINT64_C(300000000000)
#define BELAY__BACK_OFF_THRESHOLDS 10

struct belay__brakes;

/* An action that is wanted. */
struct belay__braking {
	uint32_t pid, uid;
	uint64_t start_ticks;
	uint64_t beats; /* it is the silence after so many */
	uint8_t on;     /* enum belay__act_on: or its end */
	const char *name;
	const char *rule; /* its name: numbers change when rules do; "": none */
	uint64_t healthy_ns, threshold_ns;
	uint64_t debounce_ns;
	uint32_t limit_count; /* 0: none */
	uint64_t limit_window_ns;
};

struct belay__brakes_counters {
	uint64_t evictions;      /* entries of the ledger given up for others */
	uint64_t recycle_resets; /* its entries whose pid came to name another process */
};

/* Makes the memory, with nothing in it. Returns its fd or a negative errno. */
int belay__brakes_create(void);

/* Brakes in the memory behind FD (borrowed, may be closed afterwards), as an earlier runner left
 * them; -EBADF: in memory of their own. Times after NOW_NS are taken for it. 0 and *ret_brakes,
 * -EPROTO (this is no such memory), or another negative errno. */
int belay__brakes_new(int fd, uint64_t now_ns, struct belay__brakes **ret_brakes);
/* NULL allowed; returns NULL. */
struct belay__brakes *belay__brakes_free(struct belay__brakes *brakes);

/* Whether WANTED was done already: the very same silence, or end. */
bool belay__brakes_done(const struct belay__brakes *brakes, const struct belay__braking *wanted);

/* Each: 0 when nothing is against WANTED at NOW_NS, else the enum belay__acted that holds it back
 * (none of which is 0) and for how long in *ret_wait_ns. They are asked in this order. Asking
 * changes nothing. */
int belay__brakes_debounce(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns);
int belay__brakes_room(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns);
int belay__brakes_back_off(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns);
int belay__brakes_limit(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns);

/* It is done: from now on it counts. */
void belay__brakes_acted(struct belay__brakes *brakes, const struct belay__braking *done,
	uint64_t now_ns);

/* Since these brakes were opened. */
const struct belay__brakes_counters *belay__brakes_counters(const struct belay__brakes *brakes);
