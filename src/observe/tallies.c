#include "observe/tallies.h"

#include <stdbool.h>

#include "base/clock.h"
#include "observe/acting.h"
#include "observe/counters.h"

/* A counter of the observer and its series have the same id. */
static const uint16_t metric_of_counter[BELAY__COUNTER_COUNT] = {
#define X(id, name, label, help) [BELAY__COUNT_##id] = BELAY__METRIC_##id,
	BELAY__COUNTERS(X)
#undef X
};

/* What became of actions, as the metrics say it; a refusal is told under two names, as the original
 * does. */
static const struct {
	uint8_t outcome; /* enum belay__acted */
	uint16_t metric;
} metrics_of_outcomes[] = {
	{ BELAY__ACTED_STARTED, BELAY__METRIC_ACTION_SPAWNED },
	{ BELAY__ACTED_SUCCEEDED, BELAY__METRIC_ACTION_REAPED_ZERO },
	{ BELAY__ACTED_FAILED, BELAY__METRIC_ACTION_REAPED_NONZERO },
	{ BELAY__ACTED_KILLED, BELAY__METRIC_ACTION_KILLED },
	{ BELAY__ACTED_REAP_FAILED, BELAY__METRIC_ACTION_REAP_FAILED },
	{ BELAY__ACTED_SPAWN_FAILED, BELAY__METRIC_ACTION_SPAWN_FAILED },
	{ BELAY__ACTED_UNKNOWN, BELAY__METRIC_ACTION_UNKNOWN },
	{ BELAY__ACTED_DEBOUNCED, BELAY__METRIC_ACTION_DEBOUNCED },
	{ BELAY__ACTED_UNAUTHENTICATED, BELAY__METRIC_ACTION_UNAUTHENTICATED },
	{ BELAY__ACTED_UNAUTHENTICATED, BELAY__METRIC_REFUSED_UNAUTHENTICATED },
	{ BELAY__ACTED_CROSS_NAMESPACE, BELAY__METRIC_ACTION_CROSS_NAMESPACE },
	{ BELAY__ACTED_CROSS_NAMESPACE, BELAY__METRIC_REFUSED_CROSS_NAMESPACE },
	{ BELAY__ACTED_DEBOUNCE_FULL, BELAY__METRIC_ACTION_DEBOUNCE_FULL },
	{ BELAY__ACTED_DEBOUNCE_FULL, BELAY__METRIC_REFUSED_DEBOUNCE_FULL },
	{ BELAY__ACTED_OUTSTANDING_FULL, BELAY__METRIC_ACTION_OUTSTANDING_FULL },
	{ BELAY__ACTED_OUTSTANDING_FULL, BELAY__METRIC_REFUSED_OUTSTANDING_FULL },
	{ BELAY__ACTED_SOCKET_MODE_ONLY, BELAY__METRIC_ACTION_SOCKET_MODE_ONLY },
	{ BELAY__ACTED_SOCKET_MODE_ONLY, BELAY__METRIC_REFUSED_SOCKET_MODE_ONLY },
	{ BELAY__ACTED_RESUMED, BELAY__METRIC_ACTION_RESUMED },
	{ BELAY__ACTED_RECYCLED, BELAY__METRIC_ACTION_RECYCLED },
	{ BELAY__ACTED_UNVERIFIABLE, BELAY__METRIC_ACTION_UNVERIFIABLE },
	{ BELAY__ACTED_STALE_CHILD, BELAY__METRIC_ACTION_STALE_CHILD },
	{ BELAY__ACTED_VERDICT, BELAY__METRIC_WITHHELD_VERDICT },
	{ BELAY__ACTED_BACK_OFF, BELAY__METRIC_WITHHELD_BACK_OFF },
	{ BELAY__ACTED_LIMIT, BELAY__METRIC_WITHHELD_LIMIT },
	{ BELAY__ACTED_MASS_STALL, BELAY__METRIC_WITHHELD_MASS_STALL },
	{ BELAY__ACTED_PAUSED, BELAY__METRIC_WITHHELD_PAUSED },
};
#define OUTCOMES (sizeof(metrics_of_outcomes) / sizeof(metrics_of_outcomes[0]))

_Static_assert(BELAY__ACTED_COUNT <=
		sizeof(((struct belay__msg_counts *)NULL)->outcomes) / sizeof(uint64_t),
	"one message holds them all");

void belay__tallies_scraped(struct belay__tallies *tallies, uint64_t ns)
{
	belay__histogram_observe(&tallies->scrapes, ns);
	tallies->scrapes_over_budget += ns > BELAY__SCRAPE_BUDGET_NS;
}

static bool is_value(uint32_t metric)
{
	return metric < BELAY__METRIC_COUNT &&
		belay__metric_rows[metric].source <= BELAY__FROM_MILLIS;
}

static void fill_counted(const struct belay__msg_counts *counts, uint64_t *values)
{
	for (uint32_t i = 0; i < counts->count && i < BELAY__COUNTER_COUNT; i++)
		values[metric_of_counter[i]] = counts->counters[i];
	values[BELAY__METRIC_UPTIME] *= BELAY__NS_PER_S;
	values[BELAY__METRIC_LAST_POLL] = counts->realtime_ns;
	values[BELAY__METRIC_EVENTS_WRITTEN] = counts->events_written;
	values[BELAY__METRIC_EVENTS_LOST] = counts->events_lost;
	values[BELAY__METRIC_MASS_STALLS] = counts->mass_stalls;
	for (size_t i = 0; i < OUTCOMES; i++)
		values[metrics_of_outcomes[i].metric] =
			counts->outcomes[metrics_of_outcomes[i].outcome];
	/* What the runner counts by itself it knows better. */
	for (uint32_t i = 0; i < counts->runner.count && i < BELAY__RUNNER_COUNTS_MAX; i++)
		if (is_value(counts->runner.counts[i].metric))
			values[counts->runner.counts[i].metric] = counts->runner.counts[i].value;
}

static void fill_door(const struct belay__http_counters *door, uint64_t *values)
{
	values[BELAY__METRIC_PROM_AUTH_FAILURES] = door->auth_failures;
	values[BELAY__METRIC_PROM_DROPPED_RATE_LIMIT] = door->dropped[BELAY__HTTP_DROP_RATE_LIMIT];
	values[BELAY__METRIC_PROM_DROPPED_CAPACITY] = door->dropped[BELAY__HTTP_DROP_CAPACITY];
	values[BELAY__METRIC_PROM_DROPPED_TIMEOUT] = door->dropped[BELAY__HTTP_DROP_TIMEOUT];
	values[BELAY__METRIC_PROM_DROPPED_IP_TABLE] = door->dropped[BELAY__HTTP_DROP_IP_TABLE_FULL];
	values[BELAY__METRIC_SCRAPE_SKIPPED] = door->cached;
}

/* The sum of VALUE and of what was counted before whoever counts it started anew. */
static uint64_t sum(struct belay__tally *tally, uint64_t value)
{
	if (value < tally->last)
		tally->base += tally->last;
	tally->last = value;
	return tally->base + value;
}

static void fill_fsync(struct belay__tallies *tallies,
	const struct belay__msg_runner_counts *runner, struct belay__histogram *histogram)
{
	bool anew = runner->fsync_sum_ns < tallies->fsync[BELAY__HISTOGRAM_BUCKETS].last;

	for (size_t i = 0; i < BELAY__HISTOGRAM_BUCKETS; i++)
		anew = anew || runner->fsync_buckets[i] < tallies->fsync[i].last;
	/* All of it begins anew, or nothing does. */
	for (size_t i = 0; anew && i <= BELAY__HISTOGRAM_BUCKETS; i++) {
		tallies->fsync[i].base += tallies->fsync[i].last;
		tallies->fsync[i].last = 0;
	}
	for (size_t i = 0; i < BELAY__HISTOGRAM_BUCKETS; i++)
		histogram->counts[i] = sum(&tallies->fsync[i], runner->fsync_buckets[i]);
	histogram->sum_ns = sum(&tallies->fsync[BELAY__HISTOGRAM_BUCKETS], runner->fsync_sum_ns);
}

void belay__tallies_fill(struct belay__tallies *tallies, const struct belay__msg_counts *counts,
	const struct belay__http_counters *door, struct belay__metrics_snapshot *snapshot)
{
	fill_counted(counts, snapshot->values);
	if (door != NULL)
		fill_door(door, snapshot->values);
	for (uint32_t i = 0; i < BELAY__METRIC_COUNT; i++)
		if (is_value(i) && belay__metric_rows[i].type == BELAY__METRIC_COUNTER &&
			i != BELAY__METRIC_SIGNAL_HANDLER)
			snapshot->values[i] = sum(&tallies->tallies[i], snapshot->values[i]);
	snapshot->values[BELAY__METRIC_SCRAPE_BUDGET] = tallies->scrapes_over_budget;
	snapshot->histograms[BELAY__HISTOGRAM_SERVE_PENDING] = tallies->scrapes;
	snapshot->histograms[BELAY__HISTOGRAM_STAGE_SERVE_PENDING] = tallies->scrapes;
	fill_fsync(tallies, &counts->runner, &snapshot->histograms[BELAY__HISTOGRAM_AUDIT_FSYNC]);
}
