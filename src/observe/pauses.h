/* pauses.h - processes that nobody is to blame or to act on for a while, because somebody works on
 * them
 *
 * A pause is a selection of processes and an end. The silence of a paused process becomes no stall:
 * its deadline is put off until the pause has ended and one threshold more has passed. Ends are told
 * as ever. Pauses are few and looked at when a deadline passes, so beats do not know of them; one
 * that has ended is kept until its place is needed, because silences that began in it are excused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define BELAY__PAUSES_MAX 64

struct belay_observer;

struct belay__pause {
	char pattern[BELAY__NAME_SIZE]; /* belay__selects(); "": a free place */
	bool runs;                      /* its end was not noticed yet */
	uint64_t until_ns; /* the observer's clock; it ended then, when it does not run */
	uint64_t until_realtime_ns;
};

struct belay__pauses {
	uint32_t count; /* places that were ever in use */
	struct belay__pause pauses[BELAY__PAUSES_MAX];
};

/* Whether a process called NAME under UID, with PID, is meant by SELECTION: empty (all), a pid, a
 * glob, or UID/glob. */
bool belay__selects(const char *selection, const char *name, uint32_t uid, uint32_t pid);

/* Pauses what PATTERN (not empty) selects until UNTIL_REALTIME_NS, when it is NOW_REALTIME_NS now; a
 * pause of the same pattern is replaced. One that would be over already resumes. 0 or -ENOSPC. */
int belay__pause(struct belay_observer *observer, const char *pattern, uint64_t until_realtime_ns,
	uint64_t now_realtime_ns);
/* Ends the pause of PATTERN now: whoever it meant has one threshold from now on. 0 or -ENOENT. */
int belay__resume(struct belay_observer *observer, const char *pattern);
/* Ends a pause whose time has come and returns it, or NULL. */
const struct belay__pause *belay__pause_over(struct belay_observer *observer);
/* When the next pause ends on the observer's clock; UINT64_MAX: none runs. */
uint64_t belay__pauses_next_ns(const struct belay_observer *observer);

/* Until when (CLOCK_REALTIME) a process is paused; 0: it is not. */
uint64_t belay__paused_until(const struct belay_observer *observer, const char *name, uint32_t uid,
	uint32_t pid);
/* How many tracked processes are. */
uint32_t belay__paused_count(const struct belay_observer *observer);

/* Until when (the observer's clock) the silence of the process in slot AT, whose deadline has passed,
 * is excused by a pause; 0: it is not. */
uint64_t belay__excused_until(const struct belay_observer *observer, uint32_t at);
