/* table.h - the processes an observer knows, by pid, in constant time
 *
 * One cache line a slot, and twice as many slots as processes, in two halves. In the first each
 * process has its own place, which the low bits of its pid name: found without a hash, a second
 * memory access, or a branch that anybody could mispredict, and pids that are neighbours are
 * neighbours there. Who finds that place taken lies in the second half, by open addressing: its home
 * is named by a seeded hash, from there it probes at most BELAY__PROBE_MAX slots. So rows of
 * neighbours are in nobody's way, and whoever can choose pids can make others probe but not where.
 *
 * Removing a slot closes the gap behind it (no tombstones), so a slot's number is good until the
 * next insertion or removal only. Slots and records lie in memory given by the caller. Nothing here
 * allocates, and nothing reads a clock.
 *
 * Slots and records may lie in a file and the observer may be killed between any two stores: a slot
 * is empty or complete, its pid is stored last and cleared first, and one that moves is copied
 * before the old one is cleared. Whoever reads such a file finds each process at least once, twice
 * only with equal contents, and records without a slot are free.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "observe/deadlines.h"
#include "observe/slot.h"

#define BELAY__CAPACITY_MAX 65536
#define BELAY__PROBE_MAX    64
#define BELAY__ANY_HOST     UINT32_MAX

enum belay__eviction { BELAY__EVICT_STRICT, BELAY__EVICT_BALANCED };

struct belay__table {
	struct belay__slot *slots;     /* slot_count of them, 64-byte aligned */
	struct belay__record *records; /* capacity of them */
	uint32_t capacity;             /* processes */
	uint32_t slot_count;           /* power of two, at least twice the capacity */
	uint32_t half;                 /* of slot_count: where the second half begins */
	uint32_t used;
	uint32_t hash_seed;
	uint32_t free_record; /* head of the free list */
	uint32_t stalled; /* slots with BELAY__SLOT_STALLED: the strict eviction pass is skipped at 0 */
	uint32_t eviction_cursor, eviction_window;
	enum belay__eviction eviction;
	struct belay__deadlines deadlines;
	uint64_t probe_exhausted, scan_truncated, invariant_violations;
};

/* How many slots a table for CAPACITY processes (1 to BELAY__CAPACITY_MAX) needs. */
uint32_t belay__table_slot_count(uint32_t capacity);

/* Makes TABLE empty over zeroed or used SLOTS and RECORDS (both are cleared). Eviction is strict
 * with a window of 256 until the caller says otherwise. */
void belay__table_init(struct belay__table *table, uint32_t capacity, struct belay__slot *slots,
	struct belay__record *records, uint32_t hash_seed);

/* Where in the second half PID's way begins. */
static inline uint32_t belay__table_home(const struct belay__table *table, uint32_t pid)
{
	uint32_t h = pid ^ table->hash_seed;

	h ^= h >> 16;
	h *= UINT32_C(0x85ebca6b);
	h ^= h >> 13;
	h *= UINT32_C(0xc2b2ae35);
	h ^= h >> 16;
	return table->half + (h & (table->half - 1));
}

/* The place that PID takes when it is empty. */
static inline uint32_t belay__table_own_place(const struct belay__table *table, uint32_t pid)
{
	return pid & (table->half - 1);
}

/* The slot of PID, which is not in its own place, or BELAY__NO_SLOT. A probe that reached its limit
 * is counted. */
uint32_t belay__table_probe(struct belay__table *table, uint32_t pid);

/* The slot of PID, or BELAY__NO_SLOT. Inlined: it is on the path of every beat. */
static inline uint32_t belay__table_find(struct belay__table *table, uint32_t pid)
{
	uint32_t at = belay__table_own_place(table, pid);

	if (__builtin_expect(table->slots[at].pid == pid && pid != 0, 1)) {
		if (at == BELAY__NO_SLOT)
			__builtin_unreachable(); /* spares the caller's check on this way */
		return at;
	}
	return belay__table_probe(table, pid);
}

/* Fetches what a beat of PID will touch. Whoever has a batch of beats calls the first for all of
 * them, then the second for all, and only then works through them: the misses overlap. Always
 * inlined, because gcc takes a function that only prefetches for one without effects and drops the
 * call. */
__attribute__((always_inline)) static inline void belay__table_prefetch(
	const struct belay__table *table, uint32_t pid)
{
	__builtin_prefetch(&table->slots[belay__table_own_place(table, pid)], 1);
}

__attribute__((always_inline)) static inline void belay__table_prefetch_links(
	const struct belay__table *table, uint32_t pid)
{
	const struct belay__slot *slot = &table->slots[belay__table_own_place(table, pid)];

	if (slot->pid != pid)
		return;
	if (slot->prev < table->slot_count)
		__builtin_prefetch(&table->slots[slot->prev], 1);
	if (slot->next < table->slot_count)
		__builtin_prefetch(&table->slots[slot->next], 1);
	if (slot->record < table->capacity)
		__builtin_prefetch(&table->records[slot->record], 1);
}

/* Whether one more process has room without an eviction. */
bool belay__table_has_room(const struct belay__table *table);

/* Whether PID would find an empty slot within the probe limit: no eviction helps when it would
 * not. */
bool belay__table_has_place(const struct belay__table *table, uint32_t pid);

/* A zeroed slot for PID, which is not in the table, with a zeroed record (pid set in both), and
 * pid_ns, start_ticks ... to be filled by the caller. BELAY__NO_SLOT when the table is full or the
 * probe limit is reached (counted). */
uint32_t belay__table_insert(struct belay__table *table, uint32_t pid);

/* Forgets the process in SLOT: takes it off its deadline list, frees its record, closes the gap. */
void belay__table_remove(struct belay__table *table, uint32_t slot);

/* The slot to give up for a new process, or BELAY__NO_SLOT: a stalled one silent for more than ten
 * thresholds; when the policy is balanced also one that is not stalled, unless the silence it
 * announced still runs. Of HOST's processes only (remote.h), unless it is BELAY__ANY_HOST. Looks at most at eviction_window processes (and four times as many slots,
 * empty ones included) from a rotating cursor, first fit; a scan that found none is counted
 * (heartbeat-system, section 5). The caller removes it. */
uint32_t belay__table_victim(struct belay__table *table, uint32_t host, uint64_t now_ns);

/* Sets or clears a slot's stalled flag and keeps the count. */
void belay__table_set_stalled(struct belay__table *table, uint32_t slot, bool stalled);

/* Asserts what must hold: every slot in its own place or reachable from its home, links and counts right, records and
 * slots paired. For tests. */
void belay__table_check(const struct belay__table *table);
