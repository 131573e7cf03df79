/* event_line.h - one event as one line for people
 *
 * The observer's log and `belay events` say the same thing in the same words, because both make it
 * from the event's JSON here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "base/text.h"

/* Adds EVENT, a checked JSON object, as one line without its time and without a newline: "worker#3
 * (pid 123) stalled: blocked, waits in futex; silent 5.0s, noticed 1ms late". Members that are
 * absent or of another kind are left out, an unknown event is named as it calls itself, and no byte
 * of it reaches a terminal as a control character. */
void belay__event_line(const struct belay__json *event, struct belay__text *text);

/* Adds how a process ended: "exited 3", "killed by SIGSEGV (11)", "left", "ended, how is unknown".
 * OBJECT has the members "end" and "code". */
void belay__event_add_end(const struct belay__json *object, struct belay__text *text);

/* Member KEY, a number of seconds, as nanoseconds; false when there is none. Negative ones are
 * 0. */
bool belay__json_member_ns(const struct belay__json *object, const char *key, uint64_t *ret_ns);

/* Member KEY as a string made visible, cut to SIZE; false when there is none. */
bool belay__json_member_text(const struct belay__json *object, const char *key, char *string,
	size_t size);
