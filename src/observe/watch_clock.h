/* watch_clock.h - time as an observer counts it: forwards only, with a memory of when it was not
 * looking
 *
 * A kernel clock, or the host's own, that never runs backwards; what would have been a step back or
 * a leap ahead is counted. When the observer did not run for a while (stopped, frozen, starved),
 * everyone is credited that time (belay__credit), and the clock remembers it, because it belongs to
 * the evidence about a silence.
 */
#pragma once

#include <stdint.h>
#include <time.h>

/* An advance of more than this between two readings is counted as a jump (heartbeat-system, section
 * 5). */
#define BELAY__CLOCK_JUMP_NS UINT64_C(5000000000)

struct belay__watch_clock {
	uint64_t (*read)(void *data); /* NULL: clock_gettime(source) */
	void *data;
	clockid_t source;
	uint64_t start_ns;
	uint64_t now_ns; /* last reading, clamped */
	uint64_t late_at_ns,
		late_ns;    /* the last time it did not look: when that ended, how long it was */
	uint64_t credit_ns; /* not looking, in all */
	uint64_t regressions, jumps_forward;
};

void belay__watch_clock_init(struct belay__watch_clock *clock, clockid_t source,
	uint64_t (*read)(void *), void *data);

/* Reads the clock. */
uint64_t belay__watch_clock_now(struct belay__watch_clock *clock);

/* Takes RAW_NS as a reading: the part of belay__watch_clock_now() that tests feed. */
uint64_t belay__watch_clock_feed(struct belay__watch_clock *clock, uint64_t raw_ns);

/* The observer did not look for the last LATE_NS. */
void belay__watch_clock_was_late(struct belay__watch_clock *clock, uint64_t late_ns);

/* How much of a silence that began at SINCE_NS and lasts until now the observer did not look.
 * Credits move SINCE_NS up to the end of a pause at the most, so a pause belongs to a silence when
 * it ended at or after its beginning. */
uint64_t belay__watch_clock_late_since(const struct belay__watch_clock *clock, uint64_t since_ns);
