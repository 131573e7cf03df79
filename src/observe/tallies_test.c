#include "observe/tallies.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "observe/acting.h"
#include "observe/counters.h"

static struct belay__tallies tallies;
static struct belay__msg_counts counts;
static struct belay__metrics_snapshot snapshot;

static int begin(void **state)
{
	(void)state;
	memset(&tallies, 0, sizeof(tallies));
	memset(&counts, 0, sizeof(counts));
	counts.count = BELAY__COUNTER_COUNT;
	return 0;
}

static uint64_t told(enum belay__metric metric)
{
	belay__metrics_init(&snapshot);
	belay__tallies_fill(&tallies, &counts, NULL, &snapshot);
	return snapshot.values[metric];
}

static void every_counter_of_the_observer_is_in_the_row_of_its_name(void **state)
{
	(void)state;

	for (uint32_t i = 0; i < BELAY__COUNTER_COUNT; i++)
		counts.counters[i] = 1000 + i;
	(void)told(BELAY__METRIC_BEATS);
	for (uint32_t i = 0; i < BELAY__COUNTER_COUNT; i++) {
		int at = belay__metric_find(belay__counter_rows[i].name,
			belay__counter_rows[i].label);

		assert_true(at >= 0);
		assert_int_equal(snapshot.values[at],
			i == BELAY__COUNT_UPTIME ? (1000 + i) * BELAY__NS_PER_S : 1000 + i);
	}
	assert_int_equal(snapshot.values[BELAY__METRIC_SIGNAL_HANDLER], 1);
}

static void an_older_gate_with_fewer_counters_leaves_the_rest_at_zero(void **state)
{
	(void)state;

	counts.count = 1;
	counts.counters[0] = 5;
	counts.counters[1] = 6;
	assert_int_equal(told(BELAY__METRIC_BEATS), 5);
	assert_int_equal(told(BELAY__METRIC_STALLS), 0);
	counts.count = UINT32_MAX;
	assert_int_equal(told(BELAY__METRIC_STALLS), 6);
}

static void sums_go_on_when_whoever_counts_begins_anew(void **state)
{
	static const struct {
		uint64_t counted, told;
	} rows[] = { { 10, 10 }, { 12, 12 }, { 12, 12 }, { 3, 15 }, { 4, 16 }, { 0, 16 },
		{ 1, 17 } };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		counts.counters[BELAY__COUNT_BEATS] = rows[i].counted;
		counts.counters[BELAY__COUNT_PIDS_TRACKED] = rows[i].counted;
		assert_int_equal(told(BELAY__METRIC_BEATS), rows[i].told);
		/* How many there are now is no sum. */
		assert_int_equal(told(BELAY__METRIC_PIDS_TRACKED), rows[i].counted);
	}
}

static void the_gates_other_numbers_have_their_rows(void **state)
{
	(void)state;

	counts.realtime_ns = UINT64_C(1700000000123456789);
	counts.events_written = 4;
	counts.events_lost = 5;
	counts.mass_stalls = 6;
	assert_int_equal(told(BELAY__METRIC_LAST_POLL), counts.realtime_ns);
	assert_int_equal(told(BELAY__METRIC_EVENTS_WRITTEN), 4);
	assert_int_equal(told(BELAY__METRIC_EVENTS_LOST), 5);
	assert_int_equal(told(BELAY__METRIC_MASS_STALLS), 6);
}

static void outcomes_are_told_under_the_originals_names(void **state)
{
	(void)state;

	counts.outcomes[BELAY__ACTED_STARTED] = 9;
	counts.outcomes[BELAY__ACTED_SOCKET_MODE_ONLY] = 2;
	counts.outcomes[BELAY__ACTED_BACK_OFF] = 3;
	assert_int_equal(told(BELAY__METRIC_ACTION_SPAWNED), 9);
	assert_int_equal(told(BELAY__METRIC_ACTION_SOCKET_MODE_ONLY), 2);
	assert_int_equal(told(BELAY__METRIC_REFUSED_SOCKET_MODE_ONLY), 2);
	assert_int_equal(told(BELAY__METRIC_WITHHELD_BACK_OFF), 3);
}

static void what_the_runner_counts_itself_goes_before(void **state)
{
	(void)state;

	counts.outcomes[BELAY__ACTED_STARTED] = 9;
	counts.runner.count = 4;
	counts.runner.counts[0].metric = BELAY__METRIC_ACTION_SPAWNED;
	counts.runner.counts[0].value = 11;
	counts.runner.counts[1].metric = BELAY__METRIC_RECOVERY_NS;
	counts.runner.counts[1].value = 1500;
	/* What is no value of a row is not believed. */
	counts.runner.counts[2].metric = BELAY__METRIC_COUNT;
	counts.runner.counts[2].value = 1;
	counts.runner.counts[3].metric = BELAY__METRIC_NAME_BEATS;
	counts.runner.counts[3].value = 1;
	assert_int_equal(told(BELAY__METRIC_ACTION_SPAWNED), 11);
	assert_int_equal(told(BELAY__METRIC_RECOVERY_NS), 1500);
	assert_int_equal(told(BELAY__METRIC_NAME_BEATS), 0);
	counts.runner.count = UINT32_MAX;
	assert_int_equal(told(BELAY__METRIC_ACTION_SPAWNED), 11);
}

static void a_histogram_goes_on_as_a_whole(void **state)
{
	const struct belay__histogram *fsync = &snapshot.histograms[BELAY__HISTOGRAM_AUDIT_FSYNC];
	(void)state;

	counts.runner.fsync_buckets[0] = 5;
	counts.runner.fsync_buckets[3] = 1;
	counts.runner.fsync_sum_ns = 1000;
	(void)told(BELAY__METRIC_BEATS);
	assert_int_equal(fsync->counts[0], 5);
	/* A new runner has already synced as often, but not as slowly. */
	counts.runner.fsync_buckets[0] = 6;
	counts.runner.fsync_buckets[3] = 0;
	counts.runner.fsync_sum_ns = 1001;
	(void)told(BELAY__METRIC_BEATS);
	assert_int_equal(fsync->counts[0], 11);
	assert_int_equal(fsync->counts[3], 1);
	assert_int_equal(fsync->sum_ns, 2001);
}

static void the_door_and_its_scrapes_are_counted(void **state)
{
	const struct belay__http_counters door = {
		.cached = 1,
		.auth_failures = 2,
		.dropped = { [BELAY__HTTP_DROP_RATE_LIMIT] = 3,
			[BELAY__HTTP_DROP_CAPACITY] = 4,
			[BELAY__HTTP_DROP_TIMEOUT] = 5,
			[BELAY__HTTP_DROP_IP_TABLE_FULL] = 6 },
	};
	(void)state;

	belay__tallies_scraped(&tallies, BELAY__NS_PER_MS);
	belay__tallies_scraped(&tallies, BELAY__SCRAPE_BUDGET_NS);
	belay__tallies_scraped(&tallies, BELAY__SCRAPE_BUDGET_NS + 1);
	belay__metrics_init(&snapshot);
	belay__tallies_fill(&tallies, &counts, &door, &snapshot);
	assert_int_equal(snapshot.values[BELAY__METRIC_SCRAPE_SKIPPED], 1);
	assert_int_equal(snapshot.values[BELAY__METRIC_PROM_AUTH_FAILURES], 2);
	assert_int_equal(snapshot.values[BELAY__METRIC_PROM_DROPPED_RATE_LIMIT], 3);
	assert_int_equal(snapshot.values[BELAY__METRIC_PROM_DROPPED_CAPACITY], 4);
	assert_int_equal(snapshot.values[BELAY__METRIC_PROM_DROPPED_TIMEOUT], 5);
	assert_int_equal(snapshot.values[BELAY__METRIC_PROM_DROPPED_IP_TABLE], 6);
	assert_int_equal(snapshot.values[BELAY__METRIC_SCRAPE_BUDGET], 1);
	assert_int_equal(snapshot.histograms[BELAY__HISTOGRAM_SERVE_PENDING].counts[0], 1);
	assert_int_equal(snapshot.histograms[BELAY__HISTOGRAM_STAGE_SERVE_PENDING].counts[5], 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
	const struct CMUnitTest tests[] = {
		TEST(every_counter_of_the_observer_is_in_the_row_of_its_name),
		TEST(an_older_gate_with_fewer_counters_leaves_the_rest_at_zero),
		TEST(sums_go_on_when_whoever_counts_begins_anew),
		TEST(the_gates_other_numbers_have_their_rows),
		TEST(outcomes_are_told_under_the_originals_names),
		TEST(what_the_runner_counts_itself_goes_before),
		TEST(a_histogram_goes_on_as_a_whole),
		TEST(the_door_and_its_scrapes_are_counted),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
