/* collect.h - from the table, as another role sees it, to metrics by name
 *
 *	belay__collector_new(capacity, &collector);
 *	belay__collector_expect(collector, rules, rule_count, own_uid);
 *	for each scrape:
 *		snapshot = belay__collect(collector, &sources, with_processes);
 *		fill snapshot's values (tallies.h), render
 *
 * The gate writes while this reads, and waits for nobody: a process is looked at as it was at some
 * moment, all sums by name fit together unless the table changes without a pause. Nothing that is
 * read there is believed unchecked. Counters of a name never go backwards as long as the name is
 * told: the highest of what was told counts.
 *
 * Names are told in the order in which they were seen first. Those that nobody has any more stay,
 * with what their processes had counted, while there is room; names beyond it are folded into
 * "_other". All memory is taken at the start.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/metrics.h"
#include "observe/options.h"
#include "observe/state_file.h"
#include "observe/totals.h"

struct belay__collector;

/* For tables of at most CAPACITY processes. 0 or -ENOMEM. */
int belay__collector_new(uint32_t capacity, struct belay__collector **ret_collector);
/* NULL allowed; returns NULL. */
struct belay__collector *belay__collector_free(struct belay__collector *collector);

/* From now on RULES (copied) say which thresholds processes have and which names are expected. A
 * rule for any user expects its processes of the user under whom they were seen, or else of
 * OWN_UID. */
void belay__collector_expect(struct belay__collector *collector, const struct belay__rule *rules,
	uint32_t rule_count, uint32_t own_uid);

struct belay__collector_sources {
	const struct belay__state_view *view; /* mapping NULL: there is none */
	const struct belay__totals *totals;   /* NULL: there are none */
	uint64_t realtime_ns, observer_ns; /* the same moment on both clocks; 0: not known, then no
					      last beat is told */
	uint64_t default_threshold_ns;
};

/* What SOURCES say now, prepared; WITH_PROCESSES: pid by pid, too. While the gate is being replaced
 * it is what they said before. Values are zero. Belongs to COLLECTOR and is good until the next
 * call. A table for more processes than COLLECTOR's is not looked at. */
struct belay__metrics_snapshot *belay__collect(struct belay__collector *collector,
	const struct belay__collector_sources *sources, bool with_processes);
