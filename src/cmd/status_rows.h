/* status_rows.h - the observer's answer to "how is everybody?", read and sorted */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "base/text.h"
#include "cmd/ask.h"

enum belay__state {
	BELAY__STATE_HEALTHY,
	BELAY__STATE_DEGRADED,
	BELAY__STATE_CRITICAL,
	BELAY__STATE_STALLED,
	BELAY__STATE_ENDED,
	BELAY__STATE_MISSING,
	BELAY__STATE_OTHER, /* a word of a later observer: not healthy */
};

#define BELAY__NOT_TOLD UINT64_MAX

/* One process. Numbers that the row does not have are BELAY__NOT_TOLD. */
struct belay__status_row {
	enum belay__state state;
	char state_word[16];
	char name[BELAY__NAME_MAX + 24];
	char why[BELAY__NAME_MAX +
		24]; /* the verdict; how it ended; how many are missing; until when it is paused */
	char evidence[256]; /* "" mostly */
	uint64_t pid, beats, progress;
	uint64_t watched_ns, silent_ns, threshold_ns;
	size_t line, line_len; /* the row as it came, in belay__status.bytes */
};

struct belay__status {
	char *bytes; /* owned, like `rows`; both grow as needed */
	size_t len, size;
	struct belay__status_row *rows;
	size_t count, room;
};

/* Asks the observer on ASK about SELECTION ("": all) and fills STATUS, which starts as all zeroes
 * or holds a former answer, with rows sorted by name, then pid. No row at all is no failure. 0 or a
 * negative errno with a sentence. */
int belay__status_ask(struct belay__status *status, struct belay__ask *ask, const char *selection,
	struct belay_error *reterr);
void belay__status_free(struct belay__status *status);

/* How many of its rows beat, well or not. */
size_t belay__status_beating(const struct belay__status *status);

/* The exit code: 0 all healthy, 1 somebody is not; and when somebody was asked for by name: 3
 * nobody of that name beats, 4 nobody of that name is known. Those that ended concern only who asks
 * for them. */
int belay__status_exit(const struct belay__status *status, bool named);
