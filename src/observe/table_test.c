#include "observe/table.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { CAPACITY = 128, SLOTS = 256 };

static struct belay__slot slots[SLOTS];
static struct belay__record records[CAPACITY];
static struct belay__table table;

static int begin(void **state)
{
	(void)state;
	memset(slots, 0xa5, sizeof(slots));
	memset(records, 0xa5, sizeof(records));
	belay__table_init(&table, CAPACITY, slots, records, 1);
	return 0;
}

static void a_table_has_twice_its_capacity_rounded_up(void **state)
{
	static const struct {
		uint32_t capacity, slots;
	} cases[] = {
		{ 1, 2 },
		{ 2, 4 },
		{ 3, 8 },
		{ 4, 8 },
		{ 4096, 8192 },
		{ 4097, 16384 },
		{ BELAY__CAPACITY_MAX, 2 * BELAY__CAPACITY_MAX },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(belay__table_slot_count(cases[i].capacity), cases[i].slots);
}

static void used_memory_is_cleared_at_the_start(void **state)
{
	(void)state;

	belay__table_check(&table);
	assert_int_equal(table.used, 0);
	assert_int_equal(belay__table_find(&table, 1234), BELAY__NO_SLOT);
	assert_int_equal(belay__table_find(&table, 0), BELAY__NO_SLOT);
}

static void an_inserted_process_is_found_with_an_empty_slot_and_record(void **state)
{
	static const struct belay__slot empty = { .pid = 77,
		.prev = BELAY__NO_SLOT,
		.next = BELAY__NO_SLOT };
	static const struct belay__record blank = { .pid = 77 };
	uint32_t at = belay__table_insert(&table, 77);
	(void)state;

	assert_int_equal(at, belay__table_own_place(&table, 77));
	assert_int_equal(belay__table_find(&table, 77), at);
	assert_memory_equal(&slots[at], &empty, sizeof(empty));
	assert_memory_equal(&records[slots[at].record], &blank, sizeof(blank));
	assert_int_equal(belay__table_find(&table, 78), BELAY__NO_SLOT);
	belay__table_check(&table);
}

/* The first pid from FROM on whose own place is PLACE. */
static uint32_t pid_of_place(uint32_t place, uint32_t from)
{
	uint32_t pid = from;

	while (belay__table_own_place(&table, pid) != place)
		pid++;
	return pid;
}

/* Somebody is already in the place that the pids below would like. */
#define TAKEN_PLACE 77

/* The first pid from FROM on whose own place is taken and whose home is HOME: seed and hash are
 * fixed, so such pids can be found. */
static uint32_t pid_at_home(uint32_t home, uint32_t from)
{
	uint32_t pid = pid_of_place(TAKEN_PLACE, from);

	while (belay__table_home(&table, pid) != home)
		pid = pid_of_place(TAKEN_PLACE, pid + 1);
	return pid;
}

static void take_place(void)
{
	uint32_t pid = pid_of_place(TAKEN_PLACE, 2);

	assert_int_equal(belay__table_insert(&table, pid), TAKEN_PLACE);
}

static void pids_that_like_the_same_place_are_told_apart(void **state)
{
	uint32_t pids[8], first;
	(void)state;

	for (uint32_t i = 0; i < 8; i++) {
		pids[i] = pid_of_place(5, i == 0 ? 2 : pids[i - 1] + 1);
		assert_int_not_equal(belay__table_insert(&table, pids[i]), BELAY__NO_SLOT);
	}
	first = pids[0];
	assert_int_equal(belay__table_find(&table, first), 5);
	for (uint32_t i = 0; i < 8; i++)
		assert_int_equal(slots[belay__table_find(&table, pids[i])].pid, pids[i]);
	belay__table_check(&table);

	/* The place that all of them would like is free again, and the next to come has it. */
	belay__table_remove(&table, 5);
	assert_int_equal(belay__table_find(&table, first), BELAY__NO_SLOT);
	assert_int_not_equal(belay__table_find(&table, pids[1]), 5);
	assert_int_equal(belay__table_insert(&table, first), 5);
	belay__table_check(&table);
}

/* As the kernel numbers them: one fleet after another, also when the numbers start anew. */
static void fleets_of_neighbours_all_find_a_place(void **state)
{
	enum { FLEET = 2048, PLACES = 4 * FLEET };
	static struct belay__slot many_slots[PLACES];
	static struct belay__record many_records[2 * FLEET];
	static const uint32_t distances[] = { FLEET, PLACES - 900, PLACES, PLACES + 900, 4 * PLACES,
		32768, 65536, 1 << 20 };
	(void)state;

	for (size_t d = 0; d < sizeof(distances) / sizeof(distances[0]); d++) {
		belay__table_init(&table, 2 * FLEET, many_slots, many_records, 1);
		for (uint32_t i = 0; i < FLEET; i++) {
			assert_int_not_equal(belay__table_insert(&table, 1000 + i), BELAY__NO_SLOT);
			assert_int_not_equal(belay__table_insert(&table, 1000 + distances[d] + i),
				BELAY__NO_SLOT);
		}
		for (uint32_t pid = 1; pid < 1000; pid++)
			assert_int_equal(belay__table_find(&table, pid), BELAY__NO_SLOT);
		assert_int_equal(table.probe_exhausted, 0);
		belay__table_check(&table);
	}
}

static void a_full_table_takes_nobody_until_one_is_removed(void **state)
{
	(void)state;

	for (uint32_t pid = 2; pid < 2 + CAPACITY; pid++) {
		assert_true(belay__table_has_room(&table));
		assert_int_not_equal(belay__table_insert(&table, pid), BELAY__NO_SLOT);
	}
	assert_false(belay__table_has_room(&table));
	assert_int_equal(belay__table_insert(&table, 5000), BELAY__NO_SLOT);
	assert_int_equal(table.probe_exhausted, 0);
	belay__table_check(&table);

	belay__table_remove(&table, belay__table_find(&table, 2));
	assert_true(belay__table_has_room(&table));
	assert_int_not_equal(belay__table_insert(&table, 5000), BELAY__NO_SLOT);
	belay__table_check(&table);
}

/* The slot N behind AT in the second half, around its end. */
static uint32_t behind(uint32_t at, uint32_t n)
{
	return table.half + (at - table.half + n) % table.half;
}

static void the_probe_limit_is_counted_and_refuses(void **state)
{
	uint32_t home = SLOTS - 10, pid = 1; /* the way leads around the end */
	(void)state;

	take_place();
	pid = 200;
	for (int i = 0; i < BELAY__PROBE_MAX; i++) {
		pid = pid_at_home(home, pid + 1);
		assert_true(belay__table_has_place(&table, pid));
		assert_int_not_equal(belay__table_insert(&table, pid), BELAY__NO_SLOT);
	}
	belay__table_check(&table);
	assert_int_equal(slots[belay__table_find(&table, pid)].pid,
		pid); /* the last step that is allowed */
	assert_int_equal(belay__table_probe(&table, pid), behind(home, BELAY__PROBE_MAX - 1));
	assert_int_equal(table.probe_exhausted, 0);

	pid = pid_at_home(home, pid + 1);
	assert_int_equal(belay__table_find(&table, pid), BELAY__NO_SLOT);
	assert_int_equal(table.probe_exhausted, 1);
	assert_false(belay__table_has_place(&table, pid));
	assert_int_equal(table.probe_exhausted, 1);
	assert_int_equal(belay__table_insert(&table, pid), BELAY__NO_SLOT);
	assert_int_equal(table.probe_exhausted, 2);
	assert_int_equal(table.used, 1 + BELAY__PROBE_MAX);

	/* One removed from the middle closes up, and the newcomer finds the place at the end. */
	belay__table_remove(&table, behind(home, 30));
	belay__table_check(&table);
	assert_int_equal(belay__table_insert(&table, pid), behind(home, BELAY__PROBE_MAX - 1));
	belay__table_check(&table);
}

static void a_moved_slot_takes_its_deadline_along(void **state)
{
	uint8_t list = belay__deadlines_list(&table.deadlines, 100);
	uint32_t pids[3] = { pid_at_home(SLOTS - 1, 200) };
	(void)state;

	take_place();
	for (uint32_t i = 0; i < 3; i++) {
		if (i > 0)
			pids[i] = pid_at_home(SLOTS - 1, pids[i - 1] + 1);
		belay__deadlines_heard(&table.deadlines, belay__table_insert(&table, pids[i]), list,
			i);
	}
	belay__table_remove(&table, belay__table_find(&table, pids[0]));
	belay__table_check(&table);
	for (uint32_t i = 1; i < 3; i++)
		assert_int_equal(slots[belay__deadlines_take_due(&table.deadlines, list, 1000)].pid,
			pids[i]);
}

static void a_process_may_lack_a_record(void **state)
{
	uint32_t at = belay__table_insert(&table, 9);
	(void)state;

	records[slots[at].record].pid = 0;
	records[slots[at].record].next_free = table.free_record;
	table.free_record = slots[at].record;
	slots[at].record = BELAY__NO_RECORD;
	belay__table_check(&table);
	belay__table_remove(&table, at);
	belay__table_check(&table);
}

static void records_that_got_lost_are_counted_and_refuse(void **state)
{
	(void)state;

	table.free_record = BELAY__NO_RECORD;
	assert_int_equal(belay__table_insert(&table, 9), BELAY__NO_SLOT);
	assert_int_equal(table.invariant_violations, 1);
	assert_int_equal(table.used, 0);
}

static void stalls_are_counted_once_each(void **state)
{
	uint32_t a = belay__table_insert(&table, 9), b;
	(void)state;

	belay__table_set_stalled(&table, a, true);
	belay__table_set_stalled(&table, a, true);
	assert_int_equal(table.stalled, 1);
	b = belay__table_insert(&table, 10);
	belay__table_set_stalled(&table, b, true);
	assert_int_equal(table.stalled, 2);
	belay__table_set_stalled(&table, b, false);
	belay__table_set_stalled(&table, b, false);
	assert_int_equal(table.stalled, 1);
	belay__table_remove(&table, belay__table_find(&table, 9));
	assert_int_equal(table.stalled, 0);
	belay__table_check(&table);
}

/* A process in slot AT (any place: victims are found by walking), silent since LAST_NS. */
static void place(uint32_t at, bool stalled, uint64_t last_ns)
{
	slots[at] = (struct belay__slot){ .pid = 1000 + at,
		.last_ns = last_ns,
		.record = BELAY__NO_RECORD };
	table.used++;
	belay__table_set_stalled(&table, at, stalled);
}

static void only_who_is_silent_for_more_than_ten_thresholds_is_given_up(void **state)
{
	(void)state;

	slots[3].list = belay__deadlines_list(&table.deadlines, 100);
	place(3, true, 5000);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 6000), BELAY__NO_SLOT);
	assert_int_equal(table.scan_truncated, 1);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 6001), 3);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 4000),
		BELAY__NO_SLOT); /* heard in the future: not silent */
}

static void the_policy_decides_about_who_is_not_stalled(void **state)
{
	(void)state;

	(void)belay__deadlines_list(&table.deadlines, 100);
	place(3, false, 0);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000), BELAY__NO_SLOT);
	assert_int_equal(table.scan_truncated, 0); /* nobody stalls: nothing was looked at */

	place(9, true, 99990);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000), BELAY__NO_SLOT);
	assert_int_equal(table.scan_truncated, 1);

	table.eviction = BELAY__EVICT_BALANCED;
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 1000), BELAY__NO_SLOT);
	assert_int_equal(table.scan_truncated, 2);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 1001), 3);

	/* Who has stalled goes before, though it stands behind. */
	slots[9].last_ns = 0;
	table.eviction_cursor = 0;
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000), 9);
	assert_int_equal(table.scan_truncated, 2);
}

static void an_announced_silence_is_not_cut_short(void **state)
{
	(void)state;

	(void)belay__deadlines_list(&table.deadlines, 100);
	table.eviction = BELAY__EVICT_BALANCED;
	place(3, false, 0);
	slots[3].flags |= BELAY__SLOT_WITHIN;
	slots[3].due_ns = 50000;
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 49999), BELAY__NO_SLOT);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 50000), 3);

	/* Without a list of its own the threshold is what its deadline says. */
	slots[3].flags = 0;
	slots[3].list = BELAY__LIST_WITHIN;
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 500000), BELAY__NO_SLOT);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 500001), 3);
}

static void a_threshold_past_all_counting_never_runs_out_tenfold(void **state)
{
	(void)state;

	(void)belay__deadlines_list(&table.deadlines, UINT64_MAX / 10 + 1);
	place(3, true, 0);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, UINT64_MAX), BELAY__NO_SLOT);
}

static void the_scan_looks_at_a_window_and_goes_on_from_there(void **state)
{
	(void)state;

	(void)belay__deadlines_list(&table.deadlines, 100);
	table.eviction_window = 4;
	for (uint32_t at = 0; at < 12; at++)
		place(at, at == 5 || at == 9, at == 5 || at == 9 ? 0 : 99999);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000),
		BELAY__NO_SLOT); /* 0 to 3 */
	assert_int_equal(table.eviction_cursor, 4);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000), 5);
	assert_int_equal(table.eviction_cursor, 6);
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000), 9);

	/* Empty slots are looked at, too, but only up to four for each process. */
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000), BELAY__NO_SLOT);
	assert_int_equal(table.eviction_cursor, 10 + 16);
	assert_int_equal(table.scan_truncated, 2);

	/* Around the end. */
	table.eviction_cursor = SLOTS - 2;
	assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000), BELAY__NO_SLOT);
	assert_int_equal(table.eviction_cursor, 4);
}

static void a_window_as_large_as_the_capacity_misses_nobody(void **state)
{
	(void)state;

	(void)belay__deadlines_list(&table.deadlines, 100);
	table.eviction_window = CAPACITY;
	for (uint32_t cursor = 0; cursor < SLOTS; cursor += 17) {
		begin(NULL);
		(void)belay__deadlines_list(&table.deadlines, 100);
		table.eviction_window = CAPACITY;
		place((cursor + SLOTS - 1) % SLOTS, true, 0);
		table.eviction_cursor = cursor;
		assert_int_equal(belay__table_victim(&table, BELAY__ANY_HOST, 100000),
			(cursor + SLOTS - 1) % SLOTS);
	}
}

/* What random use should leave behind, kept by pid and searched from end to end. */
enum { PIDS = 300 };

struct model {
	bool present, stalled;
	uint64_t due_ns;
	uint32_t beats; /* to see that record and slot stay paired */
};

static void compare_with(const struct model *model)
{
	uint64_t next_ns = UINT64_MAX;
	uint32_t used = 0;

	for (uint32_t i = 0; i < PIDS; i++) {
		uint32_t at = belay__table_find(&table, 2 + i * 7);

		assert_int_equal(at != BELAY__NO_SLOT, model[i].present);
		if (!model[i].present)
			continue;
		used++;
		assert_int_equal(records[slots[at].record].beats, model[i].beats);
		assert_int_equal((slots[at].flags & BELAY__SLOT_STALLED) != 0, model[i].stalled);
		if (model[i].due_ns < next_ns)
			next_ns = model[i].due_ns;
	}
	assert_int_equal(table.used, used);
	assert_int_equal(belay__deadlines_next_ns(&table.deadlines), next_ns);
}

static void insert_or_remove(struct model *one, uint32_t pid)
{
	uint32_t at = belay__table_find(&table, pid);

	if (one->present) {
		belay__table_remove(&table, at);
		one->present = false;
	} else if (belay__table_has_room(&table)) {
		at = belay__table_insert(&table, pid);
		assert_int_not_equal(at, BELAY__NO_SLOT);
		*one = (struct model){ .present = true, .due_ns = UINT64_MAX };
	} else {
		assert_int_equal(belay__table_insert(&table, pid), BELAY__NO_SLOT);
	}
}

static void agrees_with_a_model_under_random_use(void **state)
{
	static struct model model[PIDS];
	uint64_t now_ns = 0;
	unsigned seed = 20261121;
	(void)state;

	memset(model, 0, sizeof(model));
	(void)belay__deadlines_list(&table.deadlines, 50);
	(void)belay__deadlines_list(&table.deadlines, 20);
	for (int step = 0; step < 1 << 16; step++) {
		uint32_t i = (uint32_t)rand_r(&seed) % PIDS,
			 at = belay__table_find(&table, 2 + i * 7);
		uint8_t list = (uint8_t)(rand_r(&seed) % 2);

		switch (rand_r(&seed) % 6) {
		case 0:
			insert_or_remove(&model[i], 2 + i * 7);
			break;
		case 1:
			if (!model[i].present)
				break;
			belay__deadlines_heard(&table.deadlines, at, list, now_ns);
			model[i].due_ns = now_ns + table.deadlines.length_ns[list];
			model[i].beats++;
			records[slots[at].record].beats++;
			break;
		case 2:
			if (!model[i].present)
				break;
			model[i].due_ns = now_ns + (uint64_t)rand_r(&seed) % 90;
			belay__deadlines_set(&table.deadlines, at, model[i].due_ns);
			break;
		case 3:
			if (!model[i].present)
				break;
			model[i].stalled = rand_r(&seed) % 2;
			belay__table_set_stalled(&table, at, model[i].stalled);
			break;
		case 4:
			now_ns += (uint64_t)rand_r(&seed) % 4;
			break;
		default:
			list = list ? BELAY__LIST_WITHIN : (uint8_t)(rand_r(&seed) % 2);
			at = belay__deadlines_take_due(&table.deadlines, list, now_ns);
			if (at == BELAY__NO_SLOT)
				break;
			i = (slots[at].pid - 2) / 7;
			assert_true(model[i].present && model[i].due_ns <= now_ns);
			model[i].due_ns = UINT64_MAX;
		}
		if (step % 16 == 0) {
			belay__table_check(&table);
			compare_with(model);
		}
	}
	assert_int_equal(table.probe_exhausted, 0);
	assert_int_equal(table.invariant_violations, 0);
}

/* Who lasts, and who comes and goes: all would like one of two places, so that nearly all probe and
 * are moved. */
static uint32_t lasting[CAPACITY / 2], churning[CAPACITY];

static void choose_pids(void)
{
	for (uint32_t i = 0; i < CAPACITY / 2; i++)
		lasting[i] = pid_of_place(2, i == 0 ? 2 : lasting[i - 1] + 1);
	for (uint32_t i = 0; i < CAPACITY; i++)
		churning[i] = pid_of_place(3, i == 0 ? 2 : churning[i - 1] + 1);
}

/* A lasting half and a half that comes and goes, until somebody kills us. */
_Noreturn static void churn(struct belay__slot *shared_slots, struct belay__record *shared_records,
	int ready_fd, unsigned seed)
{
	belay__table_init(&table, CAPACITY, shared_slots, shared_records, seed);
	for (uint32_t i = 0; i < CAPACITY / 2; i++) {
		uint32_t at = belay__table_insert(&table, lasting[i]);

		shared_slots[at].last_nonce = ~(uint64_t)lasting[i];
	}
	if (write(ready_fd, "", 1) != 1)
		_exit(1);
	for (;;) {
		uint32_t pid = churning[(uint32_t)rand_r(&seed) % CAPACITY],
			 at = belay__table_find(&table, pid);

		if (at != BELAY__NO_SLOT)
			belay__table_remove(&table, at);
		else if ((at = belay__table_insert(&table, pid)) != BELAY__NO_SLOT)
			shared_slots[at].last_nonce = ~(uint64_t)pid;
	}
}

static void check_survivors(const struct belay__slot *left)
{
	unsigned seen[CAPACITY / 2] = { 0 };

	for (uint32_t at = 0; at < SLOTS; at++)
		for (uint32_t i = 0; i < CAPACITY / 2; i++) {
			if (left[at].pid != lasting[i])
				continue;
			assert_int_equal(left[at].last_nonce, ~(uint64_t)lasting[i]); /* complete */
			assert_true(left[at].record < CAPACITY);
			seen[i]++;
		}
	for (uint32_t i = 0; i < CAPACITY / 2; i++)
		assert_in_range(seen[i], 1, 2);
}

static void nobody_is_lost_when_the_observer_is_killed_at_any_instant(void **state)
{
	size_t size = sizeof(slots) + sizeof(records);
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct belay__slot *shared_slots = memory;
	(void)state;

	assert_ptr_not_equal(memory, MAP_FAILED);
	choose_pids();
	for (unsigned round = 1; round <= 100; round++) {
		int ready[2], status;
		char byte;
		pid_t child;

		assert_return_code(pipe2(ready, O_CLOEXEC), 0);
		child = fork();
		assert_true(child >= 0);
		if (child == 0)
			churn(shared_slots, (struct belay__record *)(void *)(shared_slots + SLOTS),
				ready[1], round);
		assert_int_equal(read(ready[0], &byte, 1), 1);
		assert_return_code(kill(child, SIGKILL), 0);
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_true(WIFSIGNALED(status));
		check_survivors(shared_slots);
		(void)close(ready[0]);
		(void)close(ready[1]);
	}
	(void)munmap(memory, size);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_table_has_twice_its_capacity_rounded_up, begin),
		cmocka_unit_test_setup(used_memory_is_cleared_at_the_start, begin),
		cmocka_unit_test_setup(an_inserted_process_is_found_with_an_empty_slot_and_record,
			begin),
		cmocka_unit_test_setup(pids_that_like_the_same_place_are_told_apart, begin),
		cmocka_unit_test_setup(fleets_of_neighbours_all_find_a_place, begin),
		cmocka_unit_test_setup(a_full_table_takes_nobody_until_one_is_removed, begin),
		cmocka_unit_test_setup(the_probe_limit_is_counted_and_refuses, begin),
		cmocka_unit_test_setup(a_moved_slot_takes_its_deadline_along, begin),
		cmocka_unit_test_setup(a_process_may_lack_a_record, begin),
		cmocka_unit_test_setup(records_that_got_lost_are_counted_and_refuse, begin),
		cmocka_unit_test_setup(stalls_are_counted_once_each, begin),
		cmocka_unit_test_setup(only_who_is_silent_for_more_than_ten_thresholds_is_given_up,
			begin),
		cmocka_unit_test_setup(the_policy_decides_about_who_is_not_stalled, begin),
		cmocka_unit_test_setup(an_announced_silence_is_not_cut_short, begin),
		cmocka_unit_test_setup(a_threshold_past_all_counting_never_runs_out_tenfold, begin),
		cmocka_unit_test_setup(the_scan_looks_at_a_window_and_goes_on_from_there, begin),
		cmocka_unit_test_setup(a_window_as_large_as_the_capacity_misses_nobody, begin),
		cmocka_unit_test_setup(nobody_is_lost_when_the_observer_is_killed_at_any_instant,
			begin),
		cmocka_unit_test_setup(agrees_with_a_model_under_random_use, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
