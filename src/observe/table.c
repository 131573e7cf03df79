#include "observe/table.h"

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "observe/remote.h"

#define WINDOW_DEFAULT        256
#define SILENT_THRESHOLDS_MIN 10 /* a process silent for more of its thresholds may be given up */

static uint32_t power_of_two(uint32_t at_least)
{
	return at_least <= 1 ? 1 : UINT32_C(1) << (32 - __builtin_clz(at_least - 1));
}

uint32_t belay__table_slot_count(uint32_t capacity)
{
	assert(capacity > 0 && capacity <= BELAY__CAPACITY_MAX);

	return power_of_two(2 * capacity);
}

void belay__table_init(struct belay__table *table, uint32_t capacity, struct belay__slot *slots,
	struct belay__record *records, uint32_t hash_seed)
{
	table->slots = slots;
	table->records = records;
	table->capacity = capacity;
	table->slot_count = belay__table_slot_count(capacity);
	table->half = table->slot_count / 2;
	table->hash_seed = hash_seed;
	table->used = table->stalled = table->free_record = table->eviction_cursor = 0;
	table->eviction_window = WINDOW_DEFAULT;
	table->eviction = BELAY__EVICT_STRICT;
	table->probe_exhausted = table->scan_truncated = table->invariant_violations = 0;
	memset(slots, 0, table->slot_count * sizeof(slots[0]));
	memset(records, 0, capacity * sizeof(records[0]));
	for (uint32_t i = 0; i < capacity; i++)
		records[i].next_free = i + 1 < capacity ? i + 1 : BELAY__NO_RECORD;
	belay__deadlines_init(&table->deadlines, slots);
}

/* The slot behind AT of the second half, around its end. */
static uint32_t after(const struct belay__table *table, uint32_t at)
{
	return table->half + ((at + 1) & (table->half - 1));
}

/* How far AT lies behind FROM, both of the second half. */
static uint32_t distance(const struct belay__table *table, uint32_t from, uint32_t at)
{
	return (at - from) & (table->half - 1);
}

/* The place that holds WANTED (a pid, or 0: the first empty one) on the way from PID's home, or
 * BELAY__NO_SLOT. */
static uint32_t probe_for(const struct belay__table *table, uint32_t pid, uint32_t wanted)
{
	uint32_t at = belay__table_home(table, pid);

	for (unsigned steps = 0; steps < BELAY__PROBE_MAX; steps++) {
		if (table->slots[at].pid == wanted || table->slots[at].pid == 0)
			return at;
		at = after(table, at);
	}
	return BELAY__NO_SLOT;
}

uint32_t belay__table_probe(struct belay__table *table, uint32_t pid)
{
	uint32_t at = probe_for(table, pid, pid);

	if (at == BELAY__NO_SLOT) {
		table->probe_exhausted++;
		return BELAY__NO_SLOT;
	}
	if (table->slots[at].pid == 0)
		return BELAY__NO_SLOT;
	return at;
}

bool belay__table_has_room(const struct belay__table *table)
{
	return table->used < table->capacity;
}

/* Where PID, which is not in the table, would go. */
static uint32_t place_for(const struct belay__table *table, uint32_t pid)
{
	uint32_t own = belay__table_own_place(table, pid);

	return table->slots[own].pid == 0 ? own : probe_for(table, pid, 0);
}

bool belay__table_has_place(const struct belay__table *table, uint32_t pid)
{
	return place_for(table, pid) != BELAY__NO_SLOT;
}

/* Stores SLOT's pid, keeping the order of all stores around it: the memory may outlive us at any of
 * them. */
static void store_pid(struct belay__slot *slot, uint32_t pid)
{
	atomic_signal_fence(memory_order_seq_cst);
	*(volatile uint32_t *)&slot->pid = pid;
	atomic_signal_fence(memory_order_seq_cst);
}

/* Copies FROM into the empty slot TO, which is empty until it is complete. */
static void fill_slot(struct belay__slot *to, const struct belay__slot *from)
{
	static_assert(offsetof(struct belay__slot, pid) == 0, "what follows the pid is the rest");
	size_t rest = sizeof(from->pid);

	memcpy((uint8_t *)to + rest, (const uint8_t *)from + rest, sizeof(*to) - rest);
	store_pid(to, from->pid);
}

static void empty_slot(struct belay__slot *slot)
{
	store_pid(slot, 0);
	memset(slot, 0, sizeof(*slot));
}

static uint32_t take_record(struct belay__table *table, uint32_t pid)
{
	uint32_t number = table->free_record;

	if (number == BELAY__NO_RECORD) /* somebody detached a record from its slot */
		return number;
	table->free_record = table->records[number].next_free;
	memset(&table->records[number], 0, sizeof(table->records[number]));
	table->records[number].pid = pid;
	return number;
}

static void free_record(struct belay__table *table, uint32_t number)
{
	table->records[number].pid = 0;
	table->records[number].next_free = table->free_record;
	table->free_record = number;
}

uint32_t belay__table_insert(struct belay__table *table, uint32_t pid)
{
	struct belay__slot fresh = { .pid = pid, .prev = BELAY__NO_SLOT, .next = BELAY__NO_SLOT };
	uint32_t at;

	assert(pid != 0);

	if (!belay__table_has_room(table))
		return BELAY__NO_SLOT;
	at = place_for(table, pid);
	if (at == BELAY__NO_SLOT) {
		table->probe_exhausted++;
		return BELAY__NO_SLOT;
	}
	fresh.record = take_record(table, pid);
	if (fresh.record == BELAY__NO_RECORD) {
		table->invariant_violations++;
		return BELAY__NO_SLOT;
	}
	fill_slot(&table->slots[at], &fresh);
	table->used++;
	return at;
}

static void move_slot(struct belay__table *table, uint32_t from, uint32_t to)
{
	fill_slot(&table->slots[to], &table->slots[from]);
	belay__deadlines_moved(&table->deadlines, from, to);
	empty_slot(&table->slots[from]);
}

/* Moves slots into GAP, and into the gaps they leave, until nobody's way from home is broken. In the
 * first half there are no ways. */
static void close_gap(struct belay__table *table, uint32_t gap)
{
	if (gap < table->half)
		return;
	for (uint32_t at = after(table, gap); table->slots[at].pid != 0; at = after(table, at)) {
		uint32_t home = belay__table_home(table, table->slots[at].pid);

		if (distance(table, home, at) < distance(table, gap, at))
			continue;
		move_slot(table, at, gap);
		gap = at;
	}
}

void belay__table_remove(struct belay__table *table, uint32_t slot)
{
	uint32_t record = table->slots[slot].record;

	assert(slot < table->slot_count && table->slots[slot].pid != 0);

	belay__deadlines_remove(&table->deadlines, slot);
	belay__table_set_stalled(table, slot, false);
	empty_slot(&table->slots[slot]);
	if (record != BELAY__NO_RECORD)
		free_record(table, record);
	table->used--;
	close_gap(table, slot);
}

static bool long_silent(const struct belay__table *table, const struct belay__slot *slot,
	uint64_t now_ns)
{
	uint64_t silent_ns = now_ns > slot->last_ns ? now_ns - slot->last_ns : 0;
	uint64_t threshold_ns = table->deadlines.length_ns[slot->list];
	uint64_t enough_ns;

	/* There is no length that all announced silences share. */
	if (slot->list == BELAY__LIST_WITHIN)
		threshold_ns = slot->due_ns > slot->last_ns ? slot->due_ns - slot->last_ns : 0;
	if ((slot->flags & BELAY__SLOT_WITHIN) && slot->due_ns > now_ns)
		return false;
	return !__builtin_mul_overflow(threshold_ns, SILENT_THRESHOLDS_MIN, &enough_ns) &&
		silent_ns > enough_ns;
}

static uint32_t next_slot(const struct belay__table *table, uint32_t at)
{
	return at + 1 < table->slot_count ? at + 1 : 0;
}

uint32_t belay__table_victim(struct belay__table *table, uint32_t host, uint64_t now_ns)
{
	uint32_t second_choice = BELAY__NO_SLOT, processes = 0;
	uint32_t at = table->eviction_cursor % table->slot_count;

	if (table->stalled == 0 && table->eviction == BELAY__EVICT_STRICT)
		return BELAY__NO_SLOT;

	/* One walk for both passes of the balanced policy: they would see the same slots. */
	for (uint64_t seen = 0; seen < UINT64_C(4) * table->eviction_window &&
		seen < table->slot_count && processes < table->eviction_window;
		seen++, at = next_slot(table, at)) {
		const struct belay__slot *slot = &table->slots[at];

		if (slot->pid == 0)
			continue;
		processes++;
		if ((host != BELAY__ANY_HOST && belay__key_host(slot->pid) != host) ||
			!long_silent(table, slot, now_ns))
			continue;
		if (slot->flags & BELAY__SLOT_STALLED) {
			table->eviction_cursor = next_slot(table, at);
			return at;
		}
		if (table->eviction == BELAY__EVICT_BALANCED && second_choice == BELAY__NO_SLOT)
			second_choice = at;
	}
	table->eviction_cursor = second_choice == BELAY__NO_SLOT ? at
								 : next_slot(table, second_choice);
	table->scan_truncated += second_choice == BELAY__NO_SLOT;
	return second_choice;
}

void belay__table_set_stalled(struct belay__table *table, uint32_t slot, bool stalled)
{
	uint8_t *flags = &table->slots[slot].flags;

	if (stalled == ((*flags & BELAY__SLOT_STALLED) != 0))
		return;
	*flags ^= BELAY__SLOT_STALLED;
	if (stalled)
		table->stalled++;
	else
		table->stalled--;
}

static void check_slots(const struct belay__table *table)
{
	uint32_t used = 0, stalled = 0, records = 0;

	for (uint32_t at = 0; at < table->slot_count; at++) {
		const struct belay__slot *slot = &table->slots[at];

		if (slot->pid == 0) {
			assert(slot->flags == 0 && slot->record == 0 && slot->due_ns == 0);
			continue;
		}
		used++;
		stalled += (slot->flags & BELAY__SLOT_STALLED) != 0;
		assert(at == belay__table_own_place(table, slot->pid) ||
			probe_for(table, slot->pid, slot->pid) == at);
		if (slot->record == BELAY__NO_RECORD)
			continue;
		records++;
		assert(slot->record < table->capacity);
		assert(table->records[slot->record].pid == slot->pid);
	}
	assert(used == table->used && used <= table->capacity);
	assert(stalled == table->stalled);

	/* Pids are unique, so are the records that bear them; all others are free. */
	for (uint32_t i = 0; i < table->capacity; i++)
		records += table->records[i].pid == 0;
	assert(records == table->capacity);
	records = 0;
	for (uint32_t i = table->free_record; i != BELAY__NO_RECORD;
		i = table->records[i].next_free) {
		assert(table->records[i].pid == 0);
		records++;
	}
	for (uint32_t i = 0; i < table->capacity; i++)
		records += table->records[i].pid != 0;
	assert(records == table->capacity);
}

static uint32_t check_list(const struct belay__table *table, uint32_t list)
{
	const struct belay__deadlines *deadlines = &table->deadlines;
	uint32_t at = deadlines->head[list], prev = BELAY__LIST_END + list, members = 0;
	uint64_t due_ns = 0;

	while (at != BELAY__NO_SLOT && at != BELAY__LIST_END + list) {
		const struct belay__slot *slot = &table->slots[at];

		assert(at < table->slot_count && slot->pid != 0);
		assert(slot->flags & BELAY__SLOT_LINKED);
		assert(slot->prev == prev && slot->due_ns >= due_ns);
		due_ns = slot->due_ns;
		prev = at;
		at = slot->next;
		members++;
	}
	assert(deadlines->tail[list] == (members == 0 ? BELAY__NO_SLOT : prev));
	return members;
}

void belay__table_check(const struct belay__table *table)
{
	uint32_t linked = 0, members = 0;

	check_slots(table);
	for (uint32_t at = 0; at < table->slot_count; at++)
		linked += (table->slots[at].flags & BELAY__SLOT_LINKED) != 0;
	for (uint32_t list = 0; list < BELAY__LISTS; list++)
		members += check_list(table, list);
	assert(members == linked);
}
