/* alert_lines.h - the lines of alerts that wait for the command, bounded
 *
 * A line is the event as it was told, with what the alert says beyond it: "uid" if it is not there,
 * for problems are told apart by it; "alert" (its kind), "repeats", "reminder", "recovers". What
 * does not fit any more is counted, and the next batch ends in
 * {"event":"alerts-dropped","alert":"dropped","count":N}.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "observe/acting.h"
#include "observe/problems.h"

#define BELAY__ALERT_BYTES_MAX ((size_t)256 * 1024)
#define BELAY__ALERT_LINES_MAX 8192

/* Begins with everything zero. */
struct belay__alert_lines {
	size_t len;
	uint32_t count;
	uint64_t dropped; /* lines, not told yet */
	uint64_t kinds[BELAY__ALERT_KIND_COUNT];
	uint64_t seqs[BELAY__ALERT_LINES_MAX]; /* of each line: struct belay__telling */
	char bytes[BELAY__ALERT_BYTES_MAX];
};

/* What one call of the command was given. */
struct belay__alert_batch {
	size_t len;
	uint32_t count; /* lines of it, the one about dropped ones not among them */
	uint64_t dropped;
	uint64_t kinds[BELAY__ALERT_KIND_COUNT];
};

/* Whether the LEN bytes at LINE can be handed to a command as a line: one JSON object. */
bool belay__alert_line_valid(const char *line, size_t len);

/* Adds a line, which is valid. False: there is no room, it is counted as dropped. */
bool belay__alert_lines_add(struct belay__alert_lines *lines, const struct belay__telling *telling,
	const char *line, size_t len);

/* Counts one as dropped. */
void belay__alert_lines_drop(struct belay__alert_lines *lines);

/* A file that holds all that waits, sealed, to be read from its start; the caller owns it.
 * *ret_batch says what that is. A negative errno otherwise. */
int belay__alert_lines_file(const struct belay__alert_lines *lines,
	struct belay__alert_batch *ret_batch);

/* BATCH was handed over: what came later stays. */
void belay__alert_lines_remove(struct belay__alert_lines *lines,
	const struct belay__alert_batch *batch);
