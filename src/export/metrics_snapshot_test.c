#include "export/metrics.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/clock.h"

static void counters_land_in_their_rows_and_unknown_ones_nowhere(void **state)
{
	struct belay__metrics_snapshot snapshot, before;
	(void)state;

	belay__metrics_init(&snapshot);
	assert_int_equal(snapshot.values[BELAY__METRIC_SIGNAL_HANDLER], 1);
	assert_int_equal(belay__metrics_count(&snapshot, "beats_total", "", 7), 0);
	assert_int_equal(snapshot.values[BELAY__METRIC_BEATS], 7);
	assert_int_equal(belay__metrics_count(&snapshot, "watch_uptime_seconds", "", 3), 0);
	assert_int_equal(snapshot.values[BELAY__METRIC_UPTIME], 3 * BELAY__NS_PER_S);

	before = snapshot;
	assert_int_equal(belay__metrics_count(&snapshot, "beats", "", 9), -ENOENT);
	assert_int_equal(belay__metrics_count(&snapshot, "ends_total", "end=\"?\"", 9), -ENOENT);
	assert_memory_equal(&snapshot, &before, sizeof(before));
}

static void a_bucket_holds_what_is_at_most_its_bound(void **state)
{
	static const struct {
		uint64_t ns;
		size_t bucket;
	} rows[] = { { 0, 0 }, { 1000000, 0 }, { 1000001, 1 }, { 5000000, 1 }, { 10000000, 2 },
		{ 50000000, 3 }, { 100000000, 4 }, { 250000000, 5 }, { 500000000, 6 },
		{ 1000000000, 7 }, { 1000000001, 8 } };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay__histogram histogram = { 0 };

		belay__histogram_observe(&histogram, rows[i].ns);
		for (size_t k = 0; k < BELAY__HISTOGRAM_BUCKETS; k++)
			assert_int_equal(histogram.counts[k], k == rows[i].bucket);
		assert_int_equal(histogram.sum_ns, rows[i].ns);
	}
}

static struct belay__metrics_group groups[BELAY__METRICS_NAMES_MAX + 20];

/* COUNT names that nobody expects, the last of them in the order of the alphabet first. */
static void strangers(size_t count)
{
	for (size_t i = 0; i < count; i++) {
		groups[i] = (struct belay__metrics_group){ .processes = 1,
			.beats_total = 10,
			.last_beat_realtime_ns = i + 1,
			.threshold_ns = 5 };
		groups[i].states[BELAY__METRICS_STATE_SILENT] = 1;
		(void)snprintf(groups[i].name, sizeof(groups[i].name), "p%05zu", count - i);
	}
}

static void as_many_names_as_the_limit_are_all_told(void **state)
{
	struct belay__metrics_snapshot snapshot;
	(void)state;

	belay__metrics_init(&snapshot);
	strangers(BELAY__METRICS_NAMES_MAX);
	snapshot.groups = groups;
	snapshot.group_count = BELAY__METRICS_NAMES_MAX;
	belay__metrics_prepare(&snapshot);
	assert_int_equal(snapshot.group_count, BELAY__METRICS_NAMES_MAX);
	assert_int_equal(snapshot.values[BELAY__METRIC_NAMES_FOLDED], 0);
	for (size_t i = 1; i < snapshot.group_count; i++)
		assert_true(strcmp(groups[i - 1].name, groups[i].name) < 0);
}

static void names_beyond_the_limit_become_other_but_never_expected_ones(void **state)
{
	const size_t count = BELAY__METRICS_NAMES_MAX + 5;
	struct belay__metrics_snapshot snapshot;
	(void)state;

	belay__metrics_init(&snapshot);
	strangers(count);
	/* The last two to come are expected; so the seven before them have to go, one less for each
	 * that is expected. */
	groups[count - 1].expected = groups[count - 2].expected = 2;
	snapshot.groups = groups;
	snapshot.group_count = count;
	snapshot.other_names = 3;
	snapshot.other.beats_total = 100;
	belay__metrics_prepare(&snapshot);

	assert_int_equal(snapshot.group_count, BELAY__METRICS_NAMES_MAX);
	assert_string_equal(groups[0].name, "p00001");
	assert_string_equal(groups[1].name, "p00002");
	assert_string_equal(groups[2].name, "p00008");
	assert_int_equal(snapshot.values[BELAY__METRIC_NAMES_FOLDED], 8);
	assert_string_equal(snapshot.other.name, BELAY__METRICS_OTHER);
	assert_int_equal(snapshot.other.processes, 5);
	assert_int_equal(snapshot.other.beats_total, 150);
	assert_int_equal(snapshot.other.states[BELAY__METRICS_STATE_SILENT], 5);
	assert_int_equal(snapshot.other.last_beat_realtime_ns, count - 2);
	assert_int_equal(snapshot.other.threshold_ns, 5);
}

static void more_expected_names_than_the_limit_are_folded_as_well(void **state)
{
	struct belay__metrics_snapshot snapshot;
	(void)state;

	belay__metrics_init(&snapshot);
	strangers(BELAY__METRICS_NAMES_MAX + 1);
	for (size_t i = 0; i <= BELAY__METRICS_NAMES_MAX; i++)
		groups[i].expected = 1;
	snapshot.groups = groups;
	snapshot.group_count = BELAY__METRICS_NAMES_MAX + 1;
	belay__metrics_prepare(&snapshot);
	assert_int_equal(snapshot.group_count, BELAY__METRICS_NAMES_MAX);
	assert_int_equal(snapshot.other.expected, 1);
}

static void who_is_called_like_the_rest_becomes_part_of_it(void **state)
{
	struct belay__metrics_group two[] = {
		{ .name = "_other", .uid = 1000, .processes = 4 },
		{ .name = "a", .processes = 1 },
	};
	struct belay__metrics_snapshot snapshot;
	(void)state;

	belay__metrics_init(&snapshot);
	snapshot.groups = two;
	snapshot.group_count = 2;
	belay__metrics_prepare(&snapshot);
	assert_int_equal(snapshot.group_count, 1);
	assert_string_equal(two[0].name, "a");
	assert_int_equal(snapshot.other.processes, 4);
	assert_int_equal(snapshot.other_names, 1);
}

static void one_name_of_two_users_is_marked_and_twins_are_joined(void **state)
{
	struct belay__metrics_group given[] = {
		{ .name = "b", .uid = 2, .beats_total = 1 },
		{ .name = "c", .uid = 1, .beats_total = 2 },
		{ .name = "b", .uid = 1, .beats_total = 4 },
		{ .name = "b", .uid = 2, .beats_total = 8 },
		{ .name = "a\"", .uid = 1, .beats_total = 16 },
	};
	struct belay__metrics_snapshot snapshot;
	(void)state;

	belay__metrics_init(&snapshot);
	snapshot.groups = given;
	snapshot.group_count = 5;
	belay__metrics_prepare(&snapshot);
	assert_int_equal(snapshot.group_count, 4);
	assert_string_equal(given[0].name, "a\"");
	assert_false(given[0].name_plain || given[0].name_shared);
	assert_int_equal(given[1].uid, 1);
	assert_int_equal(given[2].uid, 2);
	assert_int_equal(given[2].beats_total, 9);
	assert_true(given[1].name_shared && given[2].name_shared && given[1].name_plain);
	assert_false(given[3].name_shared);
}

/* Any order of up to seven processes is sorted. */
static void processes_come_by_pid(void **state)
{
	(void)state;

	for (uint32_t seed = 0; seed < 5000; seed++) {
		struct belay__metrics_process some[7];
		struct belay__metrics_snapshot snapshot;
		uint32_t sum = 0;

		belay__metrics_init(&snapshot);
		snapshot.processes = some;
		snapshot.process_count = seed % 8;
		for (uint32_t i = 0, draw = seed * 2654435761U; i < seed % 8; i++, draw /= 7) {
			some[i] = (struct belay__metrics_process){ .pid = draw % 7, .uid = i };
			sum += i;
		}
		belay__metrics_prepare(&snapshot);
		for (uint32_t i = 0; i < seed % 8; i++) {
			assert_true(i == 0 || some[i - 1].pid <= some[i].pid);
			sum -= some[i].uid;
		}
		assert_int_equal(sum, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counters_land_in_their_rows_and_unknown_ones_nowhere),
		cmocka_unit_test(a_bucket_holds_what_is_at_most_its_bound),
		cmocka_unit_test(as_many_names_as_the_limit_are_all_told),
		cmocka_unit_test(names_beyond_the_limit_become_other_but_never_expected_ones),
		cmocka_unit_test(more_expected_names_than_the_limit_are_folded_as_well),
		cmocka_unit_test(who_is_called_like_the_rest_becomes_part_of_it),
		cmocka_unit_test(one_name_of_two_users_is_marked_and_twins_are_joined),
		cmocka_unit_test(processes_come_by_pid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
