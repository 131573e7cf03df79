/* event_json.h - an event as one line of JSON (docs/protocol/door.md) */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/observer.h>

#include "base/json.h"
#include "observe/roles.h"

/* Room for any event's line. */
#define BELAY__EVENT_LINE_MAX 4096

/* What events are called in the line; beats that change nothing have no line. NULL: none. */
const char *belay__event_word(const struct belay_event *event);

/* The reason of a refused frame ("bad_crc", "pid_mismatch" ...), or NULL for events that are no
 * refusals. */
const char *belay__event_refusal(const struct belay_event *event);

/* Writes EVENT as a line with its newline. SEQ counts events over restarts; COUNT is how many
 * refusals of one reason the line stands for. */
void belay__event_write(const struct belay_event *event, uint64_t seq, uint64_t realtime_ns,
	uint64_t count, struct belay__text *text);

/* Writes what the runner did ("action") or did not do ("withheld"); ACTED's strings end. */
void belay__event_write_acted(const struct belay__msg_acted *acted, uint64_t seq,
	uint64_t realtime_ns, struct belay__text *text);

/* Writes a line about the observer itself. */
void belay__event_write_note(const char *what, const char *note, uint64_t seq, uint64_t realtime_ns,
	uint64_t mono_ns, struct belay__text *text);
