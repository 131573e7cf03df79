/* tallies.h - the numbers of /metrics that are not about single processes
 *
 * They come from the gate, which passes on what the runner counts, and from the HTTP door. Each of
 * these may be replaced and then counts from zero: sums go on from where they were.
 */
#pragma once

#include "export/http_door.h"
#include "export/metrics.h"
#include "observe/roles.h"

/* A scrape that takes longer is counted (the original's default). */
#define BELAY__SCRAPE_BUDGET_NS UINT64_C(250000000)

/* Starts zeroed. */
struct belay__tallies {
	struct belay__tally {
		uint64_t last; /* as it was told to us */
		uint64_t base; /* what those before had counted */
	} tallies[BELAY__METRIC_COUNT], fsync[BELAY__HISTOGRAM_BUCKETS + 1];
	struct belay__histogram scrapes;
	uint64_t scrapes_over_budget;
};

/* Notes that a scrape took NS. */
void belay__tallies_scraped(struct belay__tallies *tallies, uint64_t ns);

/* Fills SNAPSHOT's values and histograms with what COUNTS (as the gate sent it) and DOOR (NULL:
 * none) say. */
void belay__tallies_fill(struct belay__tallies *tallies, const struct belay__msg_counts *counts,
	const struct belay__http_counters *door, struct belay__metrics_snapshot *snapshot);
