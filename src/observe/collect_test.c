#include "observe/collect.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <belay/vlp.h>

#include "base/clock.h"
#include "base/fd.h"
#include "identity/verdict.h"
#include "observe/table.h"

#define CAPACITY 2048
#define ROUNDS   20000
#define REALTIME UINT64_C(1700000000000000000)
#define OBSERVER UINT64_C(5000000000000)

static struct {
	struct belay__state_file file;
	struct belay__table table;
	struct belay__totals *totals;
	const struct belay__totals *read_totals;
	struct belay__state_view view;
	struct belay__collector *collector;
	struct belay__collector_sources sources;
} stand;

static int begin(void **state)
{
	int fd = memfd_create("state", MFD_CLOEXEC), totals_fd = belay__totals_create();
	(void)state;

	memset(&stand, 0, sizeof(stand));
	if (belay__state_map_take(fd, CAPACITY, &stand.file, NULL) < 0 ||
		belay__totals_open(totals_fd, &stand.totals) < 0 ||
		belay__totals_view(totals_fd, &stand.read_totals) < 0)
		return -1;
	belay__close(totals_fd);
	belay__table_init(&stand.table, CAPACITY, belay__state_slots(&stand.file),
		belay__state_records(&stand.file), 1);
	belay__state_commit(&stand.file);
	belay__totals_release(stand.totals);
	stand.sources = (struct belay__collector_sources){
		.view = &stand.view,
		.totals = stand.read_totals,
		.realtime_ns = REALTIME,
		.observer_ns = OBSERVER,
		.default_threshold_ns = 5 * BELAY__NS_PER_S,
	};
	return belay__state_view_open(fd, &stand.view) < 0 ||
		belay__collector_new(CAPACITY, &stand.collector) < 0;
}

static int end(void **state)
{
	(void)state;
	stand.collector = belay__collector_free(stand.collector);
	belay__state_view_done(&stand.view);
	belay__state_done(&stand.file);
	belay__totals_close(stand.totals);
	belay__totals_close(stand.read_totals);
	return 0;
}

static struct belay__slot *slot_of(uint32_t pid)
{
	uint32_t at = belay__table_find(&stand.table, pid);

	assert_int_not_equal(at, BELAY__NO_SLOT);
	return &stand.table.slots[at];
}

static struct belay__record *record_of(uint32_t pid)
{
	return &stand.table.records[slot_of(pid)->record];
}

/* PID enters the table and is called NAME. */
static void enter(uint32_t pid, const char *name, uint32_t uid, uint64_t beats)
{
	uint32_t at = belay__table_insert(&stand.table, pid);
	struct belay__record *record;

	assert_int_not_equal(at, BELAY__NO_SLOT);
	stand.table.slots[at].last_ns = OBSERVER - BELAY__NS_PER_S;
	record = &stand.table.records[stand.table.slots[at].record];
	record->uid = uid;
	record->beats = beats;
	(void)snprintf(record->name, sizeof(record->name), "%s", name);
}

/* PID is gone, as belay__remove() has it. */
static void leave(uint32_t pid)
{
	const struct belay__record record = *record_of(pid);

	belay__totals_hold(stand.totals);
	belay__table_remove(&stand.table, belay__table_find(&stand.table, pid));
	belay__totals_add(stand.totals, record.name, record.uid,
		&(struct belay__total){ .beats = record.beats, .stalls = record.stalls });
	belay__totals_release(stand.totals);
}

static const struct belay__metrics_snapshot *collect(void)
{
	return belay__collect(stand.collector, &stand.sources, true);
}

static bool has(const struct belay__metrics_snapshot *snapshot, const char *name, uint32_t uid)
{
	for (size_t i = 0; i < snapshot->group_count; i++)
		if (snapshot->groups[i].uid == uid && strcmp(snapshot->groups[i].name, name) == 0)
			return true;
	return false;
}

/* The group of NAME and UID in SNAPSHOT, where it must be. */
static const struct belay__metrics_group *find(const struct belay__metrics_snapshot *snapshot,
	const char *name, uint32_t uid)
{
	size_t i = 0;

	while (i < snapshot->group_count &&
		(snapshot->groups[i].uid != uid || strcmp(snapshot->groups[i].name, name) != 0))
		i++;
	if (i == snapshot->group_count)
		fail_msg("there is no %s of uid %u", name, uid);
	return &snapshot->groups[i];
}

static uint64_t beats_of(const char *name, uint32_t uid)
{
	return find(collect(), name, uid)->beats_total;
}

static void processes_of_one_name_and_user_count_together(void **state)
{
	const struct belay__metrics_snapshot *snapshot;
	const struct belay__metrics_group *web;
	(void)state;

	enter(100, "web", 33, 10);
	enter(101, "web", 33, 20);
	enter(102, "web", 34, 30);
	enter(103, "api", 33, 1);
	record_of(101)->stalls = 2;
	slot_of(101)->last_ns = OBSERVER - 5;
	snapshot = collect();
	assert_int_equal(snapshot->group_count, 3);
	assert_string_equal(snapshot->groups[0].name, "api");
	web = find(snapshot, "web", 33);
	assert_int_equal(web->processes, 2);
	assert_int_equal(web->beats_total, 30);
	assert_int_equal(web->stalls_total, 2);
	assert_int_equal(web->states[BELAY__METRICS_STATE_HEALTHY], 2);
	assert_int_equal(web->last_beat_realtime_ns, REALTIME - 5);
	assert_int_equal(web->threshold_ns, 5 * BELAY__NS_PER_S);
	assert_true(web->name_shared);
	assert_int_equal(find(snapshot, "web", 34)->beats_total, 30);
	assert_int_equal(snapshot->process_count, 4);
	assert_int_equal(snapshot->processes[1].pid, 101);
	assert_string_equal(snapshot->processes[1].name, "web");
	assert_int_equal(snapshot->processes[1].beats, 20);
}

static void a_process_is_in_the_state_of_its_status_or_its_verdict(void **state)
{
	static const struct {
		uint8_t status, flags, verdict, expected, told;
	} rows[] = {
		{ BELAY_OK, 0, 0, BELAY__METRICS_STATE_HEALTHY, 0 },
		{ BELAY_DEGRADED, 0, 0, BELAY__METRICS_STATE_DEGRADED, 1 },
		{ BELAY_CRITICAL, 0, BELAY__VERDICT_TRACED, BELAY__METRICS_STATE_CRITICAL, 2 },
		{ 200, 0, 0, BELAY__METRICS_STATE_CRITICAL, BELAY__METRICS_NO_STATUS },
		{ BELAY_OK, BELAY__SLOT_STALLED, BELAY__VERDICT_STOPPED,
			BELAY__METRICS_STATE_STOPPED, 3 },
		{ BELAY_OK, BELAY__SLOT_STALLED, BELAY__VERDICT_OBSERVER_LATE,
			BELAY__METRICS_STATE_OBSERVER_LATE, 3 },
		{ BELAY_OK, BELAY__SLOT_STALLED, BELAY__VERDICT_SILENT, BELAY__METRICS_STATE_SILENT,
			3 },
		{ BELAY_OK, BELAY__SLOT_STALLED, BELAY__VERDICT_NONE, BELAY__METRICS_STATE_SILENT,
			3 },
		{ BELAY_OK, BELAY__SLOT_STALLED, 255, BELAY__METRICS_STATE_SILENT, 3 },
		{ BELAY_OK, BELAY__SLOT_QUESTIONED, 0, BELAY__METRICS_STATE_HEALTHY, 0 },
	};
	(void)state;

	enter(100, "web", 33, 10);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct belay__metrics_snapshot *snapshot;

		slot_of(100)->status = rows[i].status;
		slot_of(100)->flags = rows[i].flags;
		record_of(100)->verdict = rows[i].verdict;
		snapshot = collect();
		for (unsigned at = 0; at < BELAY__METRICS_STATE_COUNT; at++)
			assert_int_equal(find(snapshot, "web", 33)->states[at],
				at == rows[i].expected);
		assert_int_equal(snapshot->processes[0].status, rows[i].told);
	}
}

/* --- those who are gone --- */

static void what_the_dead_had_counted_stays(void **state)
{
	const struct belay__metrics_group *web;
	(void)state;

	enter(100, "web", 33, 10);
	enter(101, "web", 33, 20);
	assert_int_equal(beats_of("web", 33), 30);
	leave(100);
	assert_int_equal(beats_of("web", 33), 30);
	record_of(101)->beats++;
	assert_int_equal(beats_of("web", 33), 31);
	leave(101);
	belay__totals_add(stand.totals, "web", 33, &(struct belay__total){ .crashes = 1 });
	web = find(collect(), "web", 33);
	assert_int_equal(web->beats_total, 31);
	assert_int_equal(web->crashes_total, 1);
	assert_int_equal(web->processes, 0);
	/* Its last beat is remembered, too. */
	assert_int_equal(web->last_beat_realtime_ns, REALTIME - BELAY__NS_PER_S);
}

static void a_counter_never_goes_backwards(void **state)
{
	(void)state;

	enter(100, "web", 33, 10);
	enter(101, "web", 33, 10);
	assert_int_equal(beats_of("web", 33), 20);
	/* Between the table and the totals. */
	belay__table_remove(&stand.table, belay__table_find(&stand.table, 100));
	assert_int_equal(beats_of("web", 33), 20);
	record_of(101)->beats = 15;
	assert_int_equal(beats_of("web", 33), 20);
	belay__totals_add(stand.totals, "web", 33, &(struct belay__total){ .beats = 10 });
	assert_int_equal(beats_of("web", 33), 25);
}

static void a_renamed_process_counts_on_under_its_new_name(void **state)
{
	const struct belay__total counted = { .beats = 10 };
	(void)state;

	enter(100, "worker#1", 33, 10);
	assert_int_equal(beats_of("worker#1", 33), 10);
	belay__totals_hold(stand.totals);
	(void)snprintf(record_of(100)->name, BELAY__NAME_SIZE, "web");
	belay__totals_move(stand.totals, 33, "worker#1", "web", &counted);
	belay__totals_release(stand.totals);
	assert_int_equal(beats_of("worker#1", 33), 10);
	assert_int_equal(beats_of("web", 33), 0);
	record_of(100)->beats = 13;
	assert_int_equal(beats_of("web", 33), 3);
	/* Met in the middle, it counts nothing, not something below zero. */
	belay__totals_move(stand.totals, 33, "worker#2", "api", &counted);
	assert_int_equal(beats_of("api", 33), 0);
}

static void while_the_gate_is_replaced_all_stays_as_it_was(void **state)
{
	const struct belay__metrics_snapshot *snapshot;
	(void)state;

	enter(100, "web", 33, 10);
	assert_int_equal(beats_of("web", 33), 10);
	belay__totals_hold(stand.totals);
	record_of(100)->beats = 99;
	enter(101, "web", 33, 10);
	for (unsigned i = 0; i < 3; i++) {
		snapshot = collect();
		assert_int_equal(find(snapshot, "web", 33)->beats_total, 10);
		assert_int_equal(find(snapshot, "web", 33)->processes, 1);
		assert_int_equal(snapshot->process_count, 1);
	}
	belay__totals_release(stand.totals);
	assert_int_equal(beats_of("web", 33), 109);
}

static void without_totals_the_living_are_told(void **state)
{
	(void)state;

	stand.sources.totals = NULL;
	enter(100, "web", 33, 10);
	assert_int_equal(beats_of("web", 33), 10);
	belay__table_remove(&stand.table, belay__table_find(&stand.table, 100));
	assert_false(has(collect(), "web", 33));
}

/* --- torn reads --- */

static void a_process_that_moves_is_counted_once(void **state)
{
	uint32_t empty = 0;
	(void)state;

	enter(100, "web", 33, 10);
	/* Copied to its new place, not yet cleared at the old one. */
	while (stand.table.slots[empty].pid != 0)
		empty++;
	stand.table.slots[empty] = *slot_of(100);
	assert_int_equal(find(collect(), "web", 33)->processes, 1);
	assert_int_equal(beats_of("web", 33), 10);
	assert_int_equal(collect()->process_count, 1);
	memset(&stand.table.slots[empty], 0, sizeof(stand.table.slots[empty]));
}

static void a_pid_that_has_another_record_by_now_is_listed_once(void **state)
{
	uint32_t empty = 0;
	(void)state;

	enter(100, "web", 33, 10);
	enter(101, "web", 33, 10);
	while (stand.table.slots[empty].pid != 0)
		empty++;
	stand.table.slots[empty] = *slot_of(101);
	record_of(101)->pid = 100;
	stand.table.slots[empty].pid = 100;
	assert_int_equal(collect()->process_count, 1);
	record_of(101)->pid = 101;
	memset(&stand.table.slots[empty], 0, sizeof(stand.table.slots[empty]));
}

static void what_is_half_written_is_left_out(void **state)
{
	const struct belay__slot slot = { .pid = 0 };
	struct belay__record record;
	(void)state;

	enter(100, "web", 33, 10);
	enter(101, "api", 33, 10);
	record = *record_of(101);

	record_of(101)->name[0] = '\0';
	assert_int_equal(collect()->group_count, 1);
	memset(record_of(101)->name, 'x', BELAY__NAME_SIZE);
	assert_int_equal(collect()->group_count, 1);
	memcpy(record_of(101)->name, "a\"b", 4);
	assert_int_equal(collect()->group_count, 1);
	*record_of(101) = record;
	record_of(101)->pid = 0;
	assert_int_equal(collect()->group_count, 1);
	record_of(101)->rule = UINT16_MAX;
	*record_of(101) = record;
	assert_int_equal(collect()->group_count, 2);
	slot_of(101)->record = BELAY__NO_RECORD;
	assert_int_equal(collect()->process_count, 1);
	slot_of(100)->record = CAPACITY;
	assert_int_equal(collect()->process_count, 0);
	*slot_of(100) = slot;
	*slot_of(101) = slot;
}

static void a_table_that_is_too_large_is_not_looked_at(void **state)
{
	struct belay__collector *small = NULL;
	(void)state;

	enter(100, "web", 33, 10);
	assert_int_equal(belay__collector_new(CAPACITY - 1, &small), 0);
	assert_int_equal(belay__collect(small, &stand.sources, true)->group_count, 0);
	stand.sources.view = &(struct belay__state_view){ .mapping = NULL };
	assert_int_equal(belay__collect(small, &stand.sources, true)->group_count, 0);
	small = belay__collector_free(small);
}

/* Processes come and go as fast as they can, each after ten beats. */
static void churn(void)
{
	for (uint32_t i = 0; i < ROUNDS; i++) {
		enter(1000 + i % 64, "web", 33, 10);
		if (i >= 32)
			leave(1000 + (i - 32) % 64);
	}
	for (uint32_t i = ROUNDS - 32; i < ROUNDS; i++)
		leave(1000 + i % 64);
	_exit(0);
}

static void sums_go_forwards_and_not_too_far_while_the_table_changes(void **state)
{
	const struct belay__metrics_group *web;
	uint64_t told = 0;
	int status;
	pid_t gate;
	(void)state;

	enter(100, "web", 33, 0);
	gate = fork();
	assert_return_code(gate, errno);
	if (gate == 0)
		churn();
	while (waitpid(gate, &status, WNOHANG) == 0) {
		const struct belay__metrics_snapshot *snapshot = collect();

		web = find(snapshot, "web", 33);
		assert_non_null(web);
		assert_true(web->beats_total >= told);
		assert_in_range(web->processes, 1, 40);
		told = web->beats_total;
		for (size_t i = 1; i < snapshot->process_count; i++)
			assert_true(snapshot->processes[i - 1].pid < snapshot->processes[i].pid);
	}
	assert_int_equal(status, 0);
	web = find(collect(), "web", 33);
	assert_int_equal(web->beats_total, 10 * ROUNDS);
	assert_int_equal(web->processes, 1);
}

/* --- expectations --- */

static void what_is_expected_is_told_before_it_ever_beats(void **state)
{
	const struct belay__rule rules[] = {
		{ .name = "web", .uid = 33, .expect = 3, .threshold_ns = BELAY__NS_PER_S },
		{ .name = "api", .uid = -1, .expect = 1 },
		{ .name = "cron", .uid = -1 },
	};
	const struct belay__metrics_snapshot *snapshot;
	(void)state;

	belay__collector_expect(stand.collector, rules, 3, 1000);
	stand.sources.view = &(struct belay__state_view){ .mapping = NULL };
	snapshot = collect();
	assert_int_equal(snapshot->group_count, 2);
	assert_int_equal(find(snapshot, "web", 33)->expected, 3);
	assert_int_equal(find(snapshot, "web", 33)->processes, 0);
	assert_int_equal(find(snapshot, "web", 33)->last_beat_realtime_ns, 0);
	assert_int_equal(find(snapshot, "web", 33)->threshold_ns, BELAY__NS_PER_S);
	assert_int_equal(find(snapshot, "api", 1000)->expected, 1);
	assert_int_equal(find(snapshot, "api", 1000)->threshold_ns, 5 * BELAY__NS_PER_S);
}

static void an_expectation_goes_to_the_user_under_whom_it_came_true(void **state)
{
	const struct belay__rule rules[] = { { .name = "web", .uid = -1, .expect = 2 } };
	const struct belay__metrics_snapshot *snapshot;
	(void)state;

	belay__collector_expect(stand.collector, rules, 1, 1000);
	assert_int_equal(find(collect(), "web", 1000)->expected, 2);
	/* One that only calls itself so is not meant. */
	enter(99, "web", 66, 10);
	assert_int_equal(find(collect(), "web", 1000)->expected, 2);
	enter(100, "web", 33, 10);
	record_of(100)->rule = 1;
	snapshot = collect();
	assert_int_equal(find(snapshot, "web", 33)->expected, 2);
	assert_false(has(snapshot, "web", 1000));
	assert_int_equal(find(snapshot, "web", 66)->expected, 0);
	leave(100);
	assert_int_equal(find(collect(), "web", 33)->expected, 2);
	/* The rule is gone, and so is what it expected; what was counted is not. */
	belay__collector_expect(stand.collector, NULL, 0, 1000);
	assert_int_equal(find(collect(), "web", 33)->expected, 0);
	assert_int_equal(find(collect(), "web", 33)->beats_total, 10);
}

static void a_rules_threshold_is_that_of_its_processes(void **state)
{
	const struct belay__rule rules[] = { { .name = "web", .uid = -1, .threshold_ns = 77 } };
	(void)state;

	belay__collector_expect(stand.collector, rules, 1, 1000);
	enter(100, "web", 33, 10);
	enter(101, "api", 33, 10);
	record_of(100)->rule = 1;
	record_of(101)->rule = 2;
	assert_int_equal(find(collect(), "web", 33)->threshold_ns, 77);
	assert_int_equal(find(collect(), "api", 33)->threshold_ns, 5 * BELAY__NS_PER_S);
}

/* --- many names --- */

static void enter_many(uint32_t first, uint32_t count)
{
	char name[32];

	for (uint32_t i = first; i < first + count; i++) {
		(void)snprintf(name, sizeof(name), "n%u", i);
		enter(10000 + i, name, 33, 1);
	}
}

static uint64_t sum_of(const struct belay__metrics_snapshot *snapshot)
{
	uint64_t sum = snapshot->other.beats_total;

	for (size_t i = 0; i < snapshot->group_count; i++)
		sum += snapshot->groups[i].beats_total;
	return sum;
}

static void names_beyond_the_limit_are_told_together(void **state)
{
	const struct belay__rule rules[] = { { .name = "late", .uid = 33, .expect = 1 } };
	const struct belay__metrics_snapshot *snapshot;
	(void)state;

	enter_many(0, BELAY__METRICS_NAMES_MAX);
	snapshot = collect();
	assert_int_equal(snapshot->group_count, BELAY__METRICS_NAMES_MAX);
	assert_int_equal(snapshot->other_names, 0);
	enter_many(BELAY__METRICS_NAMES_MAX, 500);
	enter(9999, "n1400", 33, 4);
	snapshot = collect();
	assert_int_equal(snapshot->group_count, BELAY__METRICS_NAMES_MAX);
	assert_int_equal(snapshot->other_names, 500);
	assert_int_equal(snapshot->other.processes, 501);
	assert_int_equal(sum_of(snapshot), 1504);
	assert_true(has(snapshot, "n999", 33));
	assert_false(has(snapshot, "n1000", 33));
	/* An expected one is told all the same. */
	belay__collector_expect(stand.collector, rules, 1, 1000);
	snapshot = collect();
	assert_int_equal(find(snapshot, "late", 33)->expected, 1);
	assert_int_equal(snapshot->group_count, BELAY__METRICS_NAMES_MAX);
	assert_int_equal(snapshot->other_names, 501);
	assert_int_equal(sum_of(snapshot), 1504);
}

static void the_dead_make_room_for_the_living(void **state)
{
	const struct belay__metrics_snapshot *snapshot;
	(void)state;

	enter_many(0, 1000);
	collect();
	for (uint32_t i = 0; i < 1000; i++)
		leave(10000 + i);
	snapshot = collect();
	/* A tenth is kept free. */
	assert_int_equal(snapshot->group_count, 900);
	assert_int_equal(snapshot->other_names, 100);
	assert_int_equal(sum_of(snapshot), 1000);
	enter_many(1000, 100);
	snapshot = collect();
	assert_true(has(snapshot, "n1099", 33));
	assert_int_equal(sum_of(snapshot), 1100);
	enter_many(1100, 900);
	collect();
	snapshot = collect();
	assert_true(has(snapshot, "n1999", 33));
	assert_false(has(snapshot, "n5", 33));
	assert_int_equal(snapshot->group_count, 1000);
	assert_in_range(snapshot->other_names, 950, 1000);
	assert_true(sum_of(snapshot) >= 2000);
}

/* --- time --- */

static void a_last_beat_does_not_tremble_with_the_clocks(void **state)
{
	const uint64_t told = REALTIME - BELAY__NS_PER_S;
	(void)state;

	enter(100, "web", 33, 10);
	assert_int_equal(find(collect(), "web", 33)->last_beat_realtime_ns, told);
	for (unsigned i = 0; i < 10; i++) {
		stand.sources.observer_ns += BELAY__NS_PER_S;
		stand.sources.realtime_ns += BELAY__NS_PER_S;
		stand.sources.realtime_ns += i % 2 == 0 ? 2000000 : (uint64_t)-2000000;
		record_of(100)->beats++;
		assert_int_equal(find(collect(), "web", 33)->last_beat_realtime_ns, told);
	}
	/* The clock was set back by an hour. */
	stand.sources.realtime_ns -= 3600 * BELAY__NS_PER_S;
	assert_int_equal(find(collect(), "web", 33)->last_beat_realtime_ns,
		told - 3600 * BELAY__NS_PER_S);
}

static void a_new_gate_is_no_beat(void **state)
{
	(void)state;

	enter(100, "web", 33, 10);
	collect();
	/* It counts silences anew. */
	slot_of(100)->last_ns = OBSERVER + 10 * BELAY__NS_PER_S;
	assert_int_equal(find(collect(), "web", 33)->last_beat_realtime_ns,
		REALTIME - BELAY__NS_PER_S);
	record_of(100)->beats++;
	assert_int_equal(find(collect(), "web", 33)->last_beat_realtime_ns,
		REALTIME + 10 * BELAY__NS_PER_S);
}

static void a_last_beat_is_not_told_before_the_clocks_are_known(void **state)
{
	(void)state;

	stand.sources.realtime_ns = stand.sources.observer_ns = 0;
	enter(100, "web", 33, 10);
	assert_int_equal(find(collect(), "web", 33)->last_beat_realtime_ns, 0);
	stand.sources.realtime_ns = REALTIME;
	stand.sources.observer_ns = OBSERVER;
	assert_int_equal(find(collect(), "web", 33)->last_beat_realtime_ns,
		REALTIME - BELAY__NS_PER_S);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(processes_of_one_name_and_user_count_together),
		TEST(a_process_is_in_the_state_of_its_status_or_its_verdict),
		TEST(what_the_dead_had_counted_stays),
		TEST(a_counter_never_goes_backwards),
		TEST(a_renamed_process_counts_on_under_its_new_name),
		TEST(while_the_gate_is_replaced_all_stays_as_it_was),
		TEST(without_totals_the_living_are_told),
		TEST(a_process_that_moves_is_counted_once),
		TEST(a_pid_that_has_another_record_by_now_is_listed_once),
		TEST(what_is_half_written_is_left_out),
		TEST(a_table_that_is_too_large_is_not_looked_at),
		TEST(sums_go_forwards_and_not_too_far_while_the_table_changes),
		TEST(what_is_expected_is_told_before_it_ever_beats),
		TEST(an_expectation_goes_to_the_user_under_whom_it_came_true),
		TEST(a_rules_threshold_is_that_of_its_processes),
		TEST(names_beyond_the_limit_are_told_together),
		TEST(the_dead_make_room_for_the_living),
		TEST(a_last_beat_does_not_tremble_with_the_clocks),
		TEST(a_new_gate_is_no_beat),
		TEST(a_last_beat_is_not_told_before_the_clocks_are_known),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
