#include "observe/track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define THRESHOLD_NS UINT64_C(100)

enum { CAPACITY = 4, SLOTS = 8 };

static struct belay__slot slots[SLOTS];
static struct belay__record records[CAPACITY];
static struct belay__table table;
static struct belay__track_counters counters;
static uint64_t now_ns;
static uint32_t at;                    /* where the last beat went */
static uint32_t evicted[4], evictions; /* pids, as they were shown */

static int begin(void **state)
{
	(void)state;
	memset(&counters, 0, sizeof(counters));
	belay__table_init(&table, CAPACITY, slots, records, 1);
	assert_int_equal(belay__deadlines_list(&table.deadlines, THRESHOLD_NS), 0);
	assert_int_equal(belay__deadlines_list(&table.deadlines, 10 * THRESHOLD_NS), 1);
	now_ns = 1000;
	evictions = 0;
	return 0;
}

static void note_eviction(void *data, uint32_t slot)
{
	assert_ptr_equal(data, &table);
	assert_int_equal(belay__table_find(&table, slots[slot].pid), slot);
	evicted[evictions++] = slots[slot].pid;
}

static enum belay__track_result track(const struct belay__sender *sender, uint8_t status,
	uint64_t timestamp_ns, uint64_t nonce)
{
	struct belay_frame frame = {
		.status = status,
		.pid = sender->pid,
		.timestamp_ns = timestamp_ns,
		.nonce = nonce,
		.payload = (uint32_t)nonce + 7,
	};
	enum belay__track_result result;

	at = BELAY__NO_SLOT - 1; /* must stay when nothing is returned */
	result = belay__track(&table, &counters, &frame, sender, 0, now_ns, note_eviction, &table,
		&at);
	belay__table_check(&table);
	return result;
}

static enum belay__track_result beat(const struct belay__sender *sender, uint64_t nonce)
{
	return track(sender, BELAY_OK, nonce * 10, nonce);
}

static enum belay__track_result last_words(const struct belay__sender *sender, uint64_t timestamp_ns)
{
	return track(sender, BELAY_CRITICAL, timestamp_ns, BELAY_NONCE_TERMINAL);
}

static const struct belay__sender local = {
	.pid = 50, .origin = BELAY__KERNEL_ATTESTED, .pid_ns = 4026, .start_ticks = 77
};
static const struct belay__sender remote = { .pid = 60, .origin = BELAY__NETWORK_UNVERIFIED };

/* What a refused beat must leave as it was: slot, record and deadlines. */
static struct belay__slot slots_before[SLOTS];
static struct belay__record records_before[CAPACITY];

static void remember(void)
{
	memcpy(slots_before, slots, sizeof(slots));
	memcpy(records_before, records, sizeof(records));
}

static void assert_untouched(void)
{
	assert_memory_equal(slots_before, slots, sizeof(slots));
	assert_memory_equal(records_before, records, sizeof(records));
}

static void a_first_beat_makes_a_slot(void **state)
{
	(void)state;

	assert_int_equal(track(&local, BELAY_DEGRADED, 5, 9), BELAY__TRACK_INSERTED);
	assert_int_equal(belay__table_find(&table, 50), at);
	assert_int_equal(slots[at].status, BELAY_DEGRADED);
	assert_int_equal(slots[at].origin, BELAY__KERNEL_ATTESTED);
	assert_int_equal(slots[at].flags, BELAY__SLOT_HAS_NONCE | BELAY__SLOT_LINKED);
	assert_int_equal(slots[at].list, 0);
	assert_int_equal(slots[at].last_nonce, 9);
	assert_int_equal(slots[at].last_ns, now_ns);
	assert_int_equal(slots[at].start_ticks, 77);
	assert_int_equal(slots[at].pid_ns, 4026);
	assert_int_equal(slots[at].due_ns, now_ns + THRESHOLD_NS);
	assert_int_equal(records[slots[at].record].beats, 1);
	assert_int_equal(records[slots[at].record].payload, 16);
}

static void a_further_beat_refreshes_it_and_postpones_its_deadline(void **state)
{
	(void)state;

	(void)beat(&local, 1);
	now_ns += 60;
	assert_int_equal(track(&local, BELAY_CRITICAL, 5, 2), BELAY__TRACK_REFRESHED);
	assert_int_equal(slots[at].status, BELAY_CRITICAL);
	assert_int_equal(slots[at].last_ns, now_ns);
	assert_int_equal(records[slots[at].record].beats, 2);
	assert_int_equal(belay__deadlines_next_ns(&table.deadlines), now_ns + THRESHOLD_NS);
}

static void a_known_process_keeps_its_own_threshold(void **state)
{
	(void)state;

	(void)beat(&local, 1);
	belay__deadlines_heard(&table.deadlines, at, 1, now_ns);
	now_ns += 5;
	assert_int_equal(beat(&local, 2), BELAY__TRACK_REFRESHED);
	assert_int_equal(slots[at].list, 1);
	assert_int_equal(slots[at].due_ns, now_ns + 10 * THRESHOLD_NS);
}

static void an_accepted_beat_ends_stall_question_and_announced_silence(void **state)
{
	(void)state;

	(void)beat(&local, 1);
	slots[at].flags |= BELAY__SLOT_QUESTIONED | BELAY__SLOT_WITHIN;
	belay__deadlines_set(&table.deadlines, at, now_ns + 1);
	belay__table_set_stalled(&table, at, true);
	assert_int_equal(beat(&local, 2), BELAY__TRACK_RECOVERED);
	assert_int_equal(slots[at].flags, BELAY__SLOT_HAS_NONCE | BELAY__SLOT_LINKED);
	assert_int_equal(table.stalled, 0);
	assert_int_equal(slots[at].due_ns, now_ns + THRESHOLD_NS);
	assert_int_equal(beat(&local, 3), BELAY__TRACK_REFRESHED);
}

static void a_refused_beat_leaves_the_stall(void **state)
{
	(void)state;

	(void)beat(&local, 5);
	belay__table_set_stalled(&table, at, true);
	remember();
	now_ns += 10;
	assert_int_equal(beat(&local, 5), BELAY__TRACK_OUT_OF_ORDER);
	assert_untouched();
	assert_int_equal(counters.out_of_order, 1);
}

/* Rule 1 */
static void another_generation_restarts_the_slot_before_any_other_check(void **state)
{
	struct belay__sender next = local;
	uint32_t first;
	(void)state;

	(void)beat(&local, 1000);
	(void)last_words(&local, 1000);
	first = at;
	records[slots[at].record].stalls = 3;
	belay__table_set_stalled(&table, at, true);

	/* Lower origin, other namespace, lower nonce: none of that is looked at. */
	next.start_ticks = 78;
	next.origin = BELAY__SOCKET_MODE_ONLY;
	next.pid_ns = 1;
	assert_int_equal(beat(&next, 2), BELAY__TRACK_INSERTED);
	assert_int_equal(at, first);
	assert_int_equal(counters.pid_recycles, 1);
	assert_int_equal(table.stalled, 0);
	assert_int_equal(slots[at].flags, BELAY__SLOT_HAS_NONCE | BELAY__SLOT_LINKED);
	assert_int_equal(slots[at].origin, BELAY__SOCKET_MODE_ONLY);
	assert_int_equal(slots[at].pid_ns, 1);
	assert_int_equal(slots[at].start_ticks, 78);
	assert_int_equal(slots[at].last_nonce, 2);
	assert_int_equal(slots[at].last_terminal_ns, 0);
	assert_int_equal(records[slots[at].record].beats, 1);
	assert_int_equal(records[slots[at].record].stalls, 0);
}

static void an_unknown_generation_is_no_other_one(void **state)
{
	struct belay__sender unknown = local;
	(void)state;

	unknown.start_ticks = 0;
	(void)beat(&unknown, 1);
	assert_int_equal(slots[at].start_ticks, 0);
	/* Refused: nothing is learnt from it. */
	assert_int_equal(beat(&local, 1), BELAY__TRACK_OUT_OF_ORDER);
	assert_int_equal(slots[at].start_ticks, 0);
	assert_int_equal(beat(&local, 2), BELAY__TRACK_REFRESHED);
	assert_int_equal(slots[at].start_ticks, 77);
	assert_int_equal(beat(&unknown, 3), BELAY__TRACK_REFRESHED);
	assert_int_equal(slots[at].start_ticks, 77);
	assert_int_equal(counters.pid_recycles, 0);
}

/* Rule 2 */
static void a_network_sender_that_counts_anew_after_a_silence_restarted(void **state)
{
	static const struct {
		uint8_t origin;
		uint64_t silent_ns, nonce;
		enum belay__track_result result;
	} cases[] = {
		{ BELAY__NETWORK_UNVERIFIED, THRESHOLD_NS, 500, BELAY__TRACK_INSERTED },
		{ BELAY__NETWORK_UNVERIFIED, THRESHOLD_NS, 1, BELAY__TRACK_INSERTED },
		{ BELAY__NETWORK_UNVERIFIED, THRESHOLD_NS - 1, 500, BELAY__TRACK_OUT_OF_ORDER },
		{ BELAY__NETWORK_UNVERIFIED, THRESHOLD_NS, 501, BELAY__TRACK_REFRESHED },
		{ BELAY__OPERATOR_ATTESTED, THRESHOLD_NS, 500, BELAY__TRACK_INSERTED },
		{ BELAY__SOCKET_MODE_ONLY, THRESHOLD_NS, 500, BELAY__TRACK_OUT_OF_ORDER },
		{ BELAY__KERNEL_ATTESTED, THRESHOLD_NS, 500, BELAY__TRACK_OUT_OF_ORDER },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__sender sender = { .pid = 60, .origin = cases[i].origin };

		begin(NULL);
		(void)beat(&sender, 500);
		now_ns += cases[i].silent_ns;
		assert_int_equal(beat(&sender, cases[i].nonce), cases[i].result);
		assert_int_equal(counters.pid_recycles, cases[i].result == BELAY__TRACK_INSERTED);
	}
}

static void a_known_generation_or_a_last_word_is_no_restart_afar(void **state)
{
	struct belay__sender sender = remote;
	(void)state;

	(void)beat(&remote, 500);
	now_ns += 2 * THRESHOLD_NS;
	sender.start_ticks = 9; /* only one side knows it */
	assert_int_equal(beat(&sender, 5), BELAY__TRACK_OUT_OF_ORDER);

	assert_int_equal(last_words(&remote, 10), BELAY__TRACK_REFRESHED);
	now_ns += 2 * THRESHOLD_NS;
	assert_int_equal(last_words(&remote, 10), BELAY__TRACK_OUT_OF_ORDER);

	sender = remote;
	sender.origin = BELAY__OPERATOR_ATTESTED; /* not the same origin: rule 3 */
	assert_int_equal(beat(&sender, 5), BELAY__TRACK_REFRESHED);
	assert_int_equal(counters.pid_recycles, 0);
}

static void a_wrap_after_a_long_silence_afar_counts_as_a_restart(void **state)
{
	(void)state;

	(void)beat(&remote, BELAY_NONCE_TERMINAL - 1);
	now_ns += THRESHOLD_NS;
	assert_int_equal(beat(&remote, 0), BELAY__TRACK_INSERTED);
	assert_int_equal(counters.nonce_wraps, 0);
}

static void a_silence_of_its_own_length_is_the_threshold_of_a_restart(void **state)
{
	(void)state;

	(void)beat(&remote, 500);
	slots[at].list = BELAY__LIST_WITHIN;
	belay__deadlines_set(&table.deadlines, at, now_ns + 5000);
	now_ns += 4999;
	assert_int_equal(beat(&remote, 5), BELAY__TRACK_OUT_OF_ORDER);
	now_ns += 1;
	assert_int_equal(beat(&remote, 5), BELAY__TRACK_INSERTED);
}

/* Rule 3 */
static void a_higher_origin_replaces_the_slot(void **state)
{
	struct belay__sender sender = { .pid = 50,
		.origin = BELAY__SOCKET_MODE_ONLY,
		.pid_ns = 1,
		.start_ticks = 77 };
	(void)state;

	(void)beat(&sender, 900);
	(void)last_words(&sender, 900);
	/* Other namespace and lower nonce: everything begins with this frame. */
	assert_int_equal(beat(&local, 3), BELAY__TRACK_REFRESHED);
	assert_int_equal(slots[at].origin, BELAY__KERNEL_ATTESTED);
	assert_int_equal(slots[at].pid_ns, 4026);
	assert_int_equal(slots[at].last_nonce, 3);
	assert_int_equal(slots[at].flags, BELAY__SLOT_HAS_NONCE | BELAY__SLOT_LINKED);
	assert_int_equal(records[slots[at].record].beats, 3);
	assert_int_equal(counters.pid_recycles, 0);
}

static void a_higher_origin_ends_the_stall(void **state)
{
	struct belay__sender sender = local;
	(void)state;

	sender.origin = BELAY__SOCKET_MODE_ONLY;
	(void)beat(&sender, 900);
	belay__table_set_stalled(&table, at, true);
	assert_int_equal(last_words(&local, 0), BELAY__TRACK_RECOVERED);
	assert_int_equal(slots[at].flags,
		BELAY__SLOT_TERMINAL | BELAY__SLOT_HAS_TERMINAL | BELAY__SLOT_LINKED);
	assert_int_equal(table.stalled, 0);
}

static void a_lower_origin_is_refused(void **state)
{
	(void)state;

	(void)beat(&local, 1);
	remember();
	for (unsigned origin = BELAY__NETWORK_UNVERIFIED; origin < BELAY__KERNEL_ATTESTED;
		origin++) {
		struct belay__sender sender = local;

		sender.origin = (uint8_t)origin;
		sender.pid_ns = 1; /* the origin is looked at first */
		assert_int_equal(beat(&sender, 5), BELAY__TRACK_ORIGIN_CONFLICT);
		assert_int_equal(last_words(&sender, 5), BELAY__TRACK_ORIGIN_CONFLICT);
		assert_int_equal(slots[at].pid, 50);
	}
	assert_untouched();
	assert_int_equal(counters.origin_conflicts, 6);
	assert_int_equal(counters.namespace_conflicts, 0);
}

/* Rule 4 */
static void another_namespace_is_refused(void **state)
{
	struct belay__sender sender = local;
	(void)state;

	(void)beat(&local, 1);
	remember();
	sender.pid_ns = 4027;
	assert_int_equal(beat(&sender, 2), BELAY__TRACK_NAMESPACE_CONFLICT);
	assert_int_equal(last_words(&sender, 2), BELAY__TRACK_NAMESPACE_CONFLICT);
	sender.pid_ns = 0;
	assert_int_equal(beat(&sender, 2), BELAY__TRACK_NAMESPACE_CONFLICT);
	assert_untouched();
	assert_int_equal(counters.namespace_conflicts, 3);
	assert_int_equal(counters.out_of_order, 0);

	/* Only a dying process may have lost it. */
	assert_int_equal(last_words(&sender, 2), BELAY__TRACK_REFRESHED);
	assert_int_equal(slots[at].pid_ns, 4026);
}

static void a_namespace_is_learnt_from_accepted_beats_only(void **state)
{
	struct belay__sender sender = local;
	(void)state;

	sender.pid_ns = 0;
	(void)beat(&sender, 5);
	assert_int_equal(beat(&local, 5), BELAY__TRACK_OUT_OF_ORDER);
	assert_int_equal(slots[at].pid_ns, 0);
	assert_int_equal(beat(&local, 6), BELAY__TRACK_REFRESHED);
	assert_int_equal(slots[at].pid_ns, 4026);
}

/* Rule 5 */
static void a_last_word_must_be_newer_than_the_one_before(void **state)
{
	(void)state;

	(void)beat(&local, 7);
	now_ns++;
	assert_int_equal(last_words(&local, 0),
		BELAY__TRACK_REFRESHED); /* the first may have any time */
	assert_int_equal(slots[at].status, BELAY_CRITICAL);
	assert_int_equal(slots[at].last_ns, now_ns);
	assert_int_equal(slots[at].last_nonce, 7);
	assert_true(slots[at].flags & BELAY__SLOT_TERMINAL);

	remember();
	assert_int_equal(last_words(&local, 0), BELAY__TRACK_OUT_OF_ORDER);
	assert_untouched();
	assert_int_equal(last_words(&local, 1), BELAY__TRACK_REFRESHED);
	assert_int_equal(beat(&local, 8), BELAY__TRACK_REFRESHED);
	assert_false(slots[at].flags & BELAY__SLOT_TERMINAL);
	assert_int_equal(last_words(&local, 1),
		BELAY__TRACK_OUT_OF_ORDER); /* remembered all the same */
}

/* Rule 6 */
static void a_regular_nonce_must_rise_or_wrap(void **state)
{
	static const uint64_t window = 1 << 20, top = BELAY_NONCE_TERMINAL - (1 << 20);
	static const struct {
		uint64_t last, nonce;
		bool accepted, wraps;
	} cases[] = {
		{ 5, 6, true, false },
		{ 5, 5, false, false },
		{ 5, 4, false, false },
		{ 0, 0, false, false },
		{ 5, BELAY_NONCE_TERMINAL - 1, true, false },
		{ top, 0, true, true },
		{ top, window, true, true },
		{ top, window + 1, false, false },
		{ top - 1, 0, false, false },
		{ top - 1, window, false, false },
		{ BELAY_NONCE_TERMINAL - 1, 0, true, true },
		{ BELAY_NONCE_TERMINAL - 1, window, true, true },
		{ BELAY_NONCE_TERMINAL - 1, window + 1, false, false },
		{ BELAY_NONCE_TERMINAL - 1, BELAY_NONCE_TERMINAL - 1, false, false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(NULL);
		(void)beat(&local, cases[i].last);
		now_ns++;
		assert_int_equal(beat(&local, cases[i].nonce),
			cases[i].accepted ? BELAY__TRACK_REFRESHED : BELAY__TRACK_OUT_OF_ORDER);
		assert_int_equal(slots[at].last_nonce,
			cases[i].accepted ? cases[i].nonce : cases[i].last);
		assert_int_equal(counters.nonce_wraps, cases[i].wraps);
		assert_int_equal(counters.out_of_order, !cases[i].accepted);
	}
}

static void the_first_regular_beat_after_a_last_word_may_have_any_nonce(void **state)
{
	(void)state;

	assert_int_equal(last_words(&remote, 3), BELAY__TRACK_INSERTED);
	assert_int_equal(slots[at].last_nonce, 0);
	now_ns += 5 * THRESHOLD_NS; /* and is no restart, whatever the silence */
	assert_int_equal(beat(&remote, 0), BELAY__TRACK_REFRESHED);
	assert_int_equal(beat(&remote, 0), BELAY__TRACK_OUT_OF_ORDER);
	assert_int_equal(counters.pid_recycles, 0);
}

/* New processes in a full table */
static void fill(void)
{
	for (uint32_t i = 0; i < CAPACITY; i++) {
		struct belay__sender sender = { .pid = 100 + i,
			.origin = BELAY__NETWORK_UNVERIFIED };

		assert_int_equal(beat(&sender, 1), BELAY__TRACK_INSERTED);
	}
}

static void nobody_is_given_up_while_all_beat(void **state)
{
	(void)state;

	fill();
	remember();
	now_ns += 100 * THRESHOLD_NS;
	assert_int_equal(beat(&local, 1), BELAY__TRACK_CAPACITY_EXCEEDED);
	assert_int_equal(at, BELAY__NO_SLOT - 1);
	assert_untouched();
	assert_int_equal(counters.capacity_exceeded, 1);
	assert_int_equal(table.scan_truncated, 0);
	assert_int_equal(evictions, 0);
}

static void a_long_stalled_process_makes_room_and_is_shown_before(void **state)
{
	(void)state;

	fill();
	belay__table_set_stalled(&table, belay__table_find(&table, 102), true);
	now_ns += 10 * THRESHOLD_NS;
	assert_int_equal(beat(&local, 1), BELAY__TRACK_CAPACITY_EXCEEDED);
	assert_int_equal(table.scan_truncated, 1);
	now_ns += 1;
	assert_int_equal(beat(&local, 1), BELAY__TRACK_INSERTED);
	assert_int_equal(belay__table_find(&table, 50), at);
	assert_int_equal(evictions, 1);
	assert_int_equal(evicted[0], 102);
	assert_int_equal(belay__table_find(&table, 102), BELAY__NO_SLOT);
	assert_int_equal(counters.evictions, 1);
	assert_int_equal(counters.capacity_exceeded, 1);
}

static void a_balanced_table_also_gives_up_who_was_not_found_stalled(void **state)
{
	(void)state;

	fill();
	table.eviction = BELAY__EVICT_BALANCED;
	now_ns += 10 * THRESHOLD_NS;
	assert_int_equal(beat(&local, 1), BELAY__TRACK_CAPACITY_EXCEEDED);
	now_ns += 1;
	assert_int_equal(beat(&local, 1), BELAY__TRACK_INSERTED);
	assert_int_equal(evictions, 1);
}

/* The first pid behind PID that would like the place of pid 0 and is at home where the way of others
 * begins. */
static uint32_t crowded_pid(uint32_t pid)
{
	do
		pid++;
	while (belay__table_own_place(&table, pid) != 0 ||
		belay__table_home(&table, pid) != table.half);
	return pid;
}

static void nobody_is_given_up_for_a_pid_that_would_find_no_place(void **state)
{
	enum { MANY = 2 * BELAY__PROBE_MAX };
	static struct belay__slot many_slots[2 * MANY];
	static struct belay__record many_records[MANY];
	struct belay__sender sender = { .origin = BELAY__NETWORK_UNVERIFIED };
	struct belay_frame frame = { .nonce = 1 };
	uint32_t crowded = 0;
	(void)state;

	belay__table_init(&table, MANY, many_slots, many_records, 1);
	(void)belay__deadlines_list(&table.deadlines, THRESHOLD_NS);
	table.eviction = BELAY__EVICT_BALANCED;
	for (uint32_t i = 0; i <= MANY; i++) {
		uint64_t when_ns = i == MANY ? 1 << 20 : 0;
		enum belay__track_result result;

		/* One in the place, so many on the whole way, the rest elsewhere; and one more. */
		if (i <= BELAY__PROBE_MAX || i == MANY)
			sender.pid = crowded = crowded_pid(crowded);
		else
			sender.pid = i;
		frame.pid = sender.pid;
		result = belay__track(&table, &counters, &frame, &sender, 0, when_ns, note_eviction,
			&table, &at);
		assert_int_equal(result,
			i == MANY ? BELAY__TRACK_CAPACITY_EXCEEDED : BELAY__TRACK_INSERTED);
	}
	assert_int_equal(evictions, 0);
	assert_int_equal(table.used, MANY);
	belay__table_check(&table);
}

static void a_slot_without_a_record_beats_too(void **state)
{
	(void)state;

	(void)beat(&remote, 1);
	records[slots[at].record].pid = 0;
	records[slots[at].record].next_free = table.free_record;
	table.free_record = slots[at].record;
	slots[at].record = BELAY__NO_RECORD;
	assert_int_equal(beat(&remote, 2), BELAY__TRACK_REFRESHED);
	now_ns += THRESHOLD_NS;
	assert_int_equal(beat(&remote, 2), BELAY__TRACK_INSERTED);
}

static void a_deadline_of_its_own_is_the_callers(void **state)
{
	(void)state;

	(void)beat(&local, 1);
	slots[at].list = BELAY__LIST_WITHIN;
	assert_int_equal(beat(&local, 2), BELAY__TRACK_REFRESHED);
	assert_false(slots[at].flags & BELAY__SLOT_LINKED);
	assert_int_equal(belay__deadlines_next_ns(&table.deadlines), UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_first_beat_makes_a_slot, begin),
		cmocka_unit_test_setup(a_further_beat_refreshes_it_and_postpones_its_deadline,
			begin),
		cmocka_unit_test_setup(a_known_process_keeps_its_own_threshold, begin),
		cmocka_unit_test_setup(an_accepted_beat_ends_stall_question_and_announced_silence,
			begin),
		cmocka_unit_test_setup(a_refused_beat_leaves_the_stall, begin),
		cmocka_unit_test_setup(another_generation_restarts_the_slot_before_any_other_check,
			begin),
		cmocka_unit_test_setup(an_unknown_generation_is_no_other_one, begin),
		cmocka_unit_test_setup(a_network_sender_that_counts_anew_after_a_silence_restarted,
			begin),
		cmocka_unit_test_setup(a_known_generation_or_a_last_word_is_no_restart_afar, begin),
		cmocka_unit_test_setup(a_wrap_after_a_long_silence_afar_counts_as_a_restart, begin),
		cmocka_unit_test_setup(a_silence_of_its_own_length_is_the_threshold_of_a_restart,
			begin),
		cmocka_unit_test_setup(a_higher_origin_replaces_the_slot, begin),
		cmocka_unit_test_setup(a_higher_origin_ends_the_stall, begin),
		cmocka_unit_test_setup(a_lower_origin_is_refused, begin),
		cmocka_unit_test_setup(another_namespace_is_refused, begin),
		cmocka_unit_test_setup(a_namespace_is_learnt_from_accepted_beats_only, begin),
		cmocka_unit_test_setup(a_last_word_must_be_newer_than_the_one_before, begin),
		cmocka_unit_test_setup(a_regular_nonce_must_rise_or_wrap, begin),
		cmocka_unit_test_setup(the_first_regular_beat_after_a_last_word_may_have_any_nonce,
			begin),
		cmocka_unit_test_setup(nobody_is_given_up_while_all_beat, begin),
		cmocka_unit_test_setup(a_long_stalled_process_makes_room_and_is_shown_before, begin),
		cmocka_unit_test_setup(a_balanced_table_also_gives_up_who_was_not_found_stalled,
			begin),
		cmocka_unit_test_setup(nobody_is_given_up_for_a_pid_that_would_find_no_place, begin),
		cmocka_unit_test_setup(a_slot_without_a_record_beats_too, begin),
		cmocka_unit_test_setup(a_deadline_of_its_own_is_the_callers, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
