/* events_show.h - events on their way to standard output, each of them once */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/output.h"

struct belay__events {
	struct belay__output *output;
	bool json;
	bool fresh_only; /* leave out what is not newer than the newest shown */
	bool quiet;      /* note what is the newest, show nothing */
	bool any;        /* the newest is known: */
	uint64_t seq;
	char time[32];
	char path[512]; /* of the file in which events are kept; "": none */
};

/* Shows the event in LINE; what is no event is left out. Returns false when it was not shown. */
bool belay__events_show(struct belay__events *events, const char *line, size_t len);

/* Whether LINE is an event with at least one unseen before it. */
bool belay__events_gap(const struct belay__events *events, const char *line, size_t len);

/* Shows the last COUNT events that are kept; with fresh_only those of them that are new. How many
 * were read, or a negative errno. */
int64_t belay__events_tail(struct belay__events *events, uint64_t count);
