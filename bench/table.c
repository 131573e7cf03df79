/* table.c - what it costs to find a process and note its beat, against touching its line alone
 *
 * Floor and subject do the same read-modify-write on the same 64-byte lines in the same random
 * order, drawn beforehand; the floor knows each line's number, the subject only the pid. Rounds of
 * both are interleaved and counted in CPU time of this thread; what is printed are medians, one
 * JSON object a line. Beside them: all of belay__track(), which touches four more lines (record,
 * neighbours, list's end), beat by beat and with a batch of beats prefetched.
 */
#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "observe/track.h"

enum { OPERATIONS = 1 << 19, ROUNDS = 15, BATCH = 64 };

static struct belay__table table;
static uint32_t order_pid[OPERATIONS], order_slot[OPERATIONS];
static uint64_t random_state = UINT64_C(88172645463325252);

static uint32_t draw(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(random_state >> 20);
}

static uint64_t cpu_ns(void)
{
	return belay__clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* What an accepted beat changes in its slot. */
static inline void update(struct belay__slot *slot, uint64_t nonce)
{
	if (nonce <= slot->last_nonce)
		abort();
	slot->last_nonce = nonce;
	slot->last_ns = nonce;
	slot->due_ns = nonce + 5;
	slot->status = (uint8_t)(nonce & 1);
	slot->flags = (uint8_t)((slot->flags & ~BELAY__SLOT_TERMINAL) | BELAY__SLOT_HAS_NONCE);
}

static uint64_t nonce_now = 1;

__attribute__((noinline)) static double floor_ns(void)
{
	uint64_t start_ns = cpu_ns(), nonce = nonce_now;

	for (uint32_t i = 0; i < OPERATIONS; i++)
		update(&table.slots[order_slot[i]], nonce++);
	nonce_now = nonce;
	return (double)(cpu_ns() - start_ns) / OPERATIONS;
}

__attribute__((noinline)) static double find_ns(void)
{
	uint64_t start_ns = cpu_ns(), nonce = nonce_now;

	for (uint32_t i = 0; i < OPERATIONS; i++) {
		uint32_t at = belay__table_find(&table, order_pid[i]);

		if (at == BELAY__NO_SLOT)
			abort();
		update(&table.slots[at], nonce++);
	}
	nonce_now = nonce;
	return (double)(cpu_ns() - start_ns) / OPERATIONS;
}

/* As the gate does it: a batch of beats at a time, or (BATCHED false) without looking ahead. */
__attribute__((noinline)) static double track_ns(uint8_t list, bool batched)
{
	struct belay__track_counters counters = { 0 };
	struct belay__sender sender = { .origin = BELAY__NETWORK_UNVERIFIED };
	uint64_t start_ns = cpu_ns();

	for (uint32_t i = 0; i < OPERATIONS; i++) {
		struct belay_frame frame = { .pid = order_pid[i], .nonce = nonce_now + i };
		uint32_t slot;

		if (batched && i % BATCH == 0) {
			for (uint32_t k = i; k < i + BATCH; k++)
				belay__table_prefetch(&table, order_pid[k]);
			for (uint32_t k = i; k < i + BATCH; k++)
				belay__table_prefetch_links(&table, order_pid[k]);
		}
		sender.pid = frame.pid;
		if (belay__track(&table, &counters, &frame, &sender, list, frame.nonce, NULL, NULL,
			    &slot) != BELAY__TRACK_REFRESHED)
			abort();
	}
	nonce_now += OPERATIONS;
	return (double)(cpu_ns() - start_ns) / OPERATIONS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double samples[ROUNDS])
{
	qsort(samples, ROUNDS, sizeof(samples[0]), compare);
	return samples[ROUNDS / 2];
}

static void *lines(size_t size)
{
	void *memory = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

	assert(memory != NULL);
	return memory;
}

/* ENTRIES processes whose pids lie up to GAP apart, as the kernel numbers them when others start in
 * between. */
static uint8_t fill(uint32_t entries, uint32_t gap)
{
	static uint32_t pids[BELAY__CAPACITY_MAX];
	struct belay__track_counters counters = { 0 };
	struct belay__sender sender = { .pid = 1000, .origin = BELAY__NETWORK_UNVERIFIED };
	uint8_t list;

	belay__table_init(&table, entries,
		lines(belay__table_slot_count(entries) * sizeof(struct belay__slot)),
		lines(entries * sizeof(struct belay__record)), draw());
	list = belay__deadlines_list(&table.deadlines, UINT64_C(1) << 40);
	for (uint32_t i = 0; i < entries; i++) {
		struct belay_frame frame = { .nonce = ++nonce_now };
		uint32_t slot;

		sender.pid += 1 + (gap > 1 ? draw() % gap : 0);
		frame.pid = pids[i] = sender.pid;
		if (belay__track(&table, &counters, &frame, &sender, list, nonce_now, NULL, NULL,
			    &slot) != BELAY__TRACK_INSERTED)
			abort();
	}
	for (uint32_t i = 0; i < OPERATIONS; i++) {
		order_pid[i] = pids[draw() % entries];
		order_slot[i] = belay__table_find(&table, order_pid[i]);
	}
	return list;
}

static void measure(uint32_t entries, uint32_t gap, const char *what)
{
	double bare[ROUNDS], find[ROUNDS], track[ROUNDS], batched[ROUNDS];
	double ratio[ROUNDS];
	uint8_t list = fill(entries, gap);

	for (int i = 0; i < ROUNDS; i++) {
		/* Each runs twice, so that none is measured in the caches that another left. */
		(void)floor_ns();
		bare[i] = floor_ns();
		(void)find_ns();
		find[i] = find_ns();
		(void)track_ns(list, false);
		track[i] = track_ns(list, false);
		(void)track_ns(list, true);
		batched[i] = track_ns(list, true);
		ratio[i] = find[i] / bare[i];
	}
	printf("{\"name\":\"%s-%u\",\"ours_ns\":%.2f,\"floor_ns\":%.2f,\"ratio\":%.2f,"
	       "\"track_ns\":%.2f,\"track_batched_ns\":%.2f}\n",
		what, entries, median(find), median(bare), median(ratio), median(track),
		median(batched));
	free(table.slots);
	free(table.records);
}

/* Nobody is due: when is the next, and is it now? */
static void measure_empty_tick(uint32_t thresholds)
{
	double ours[ROUNDS];
	uint64_t next_ns = 0;

	(void)fill(64, 1);
	for (uint32_t i = 1; i < thresholds; i++)
		belay__deadlines_heard(&table.deadlines, belay__table_find(&table, 1001 + i),
			belay__deadlines_list(&table.deadlines, (UINT64_C(1) << 40) + i), nonce_now);
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t start_ns = cpu_ns();

		for (uint32_t i = 0; i < OPERATIONS; i++) {
			__asm__ volatile("" ::: "memory");
			next_ns |= belay__deadlines_next_ns(&table.deadlines);
			if (belay__deadlines_take_due(&table.deadlines, 0, nonce_now) !=
				BELAY__NO_SLOT)
				abort();
		}
		ours[round] = (double)(cpu_ns() - start_ns) / OPERATIONS;
	}
	if (next_ns == 0)
		abort();
	printf("{\"name\":\"empty-tick%s\",\"ours_ns\":%.2f}\n",
		thresholds > 1 ? "-64-thresholds" : "", median(ours));
	free(table.slots);
	free(table.records);
}

int main(void)
{
	measure(4096, 1, "pids");
	measure(65536, 1, "pids");
	measure(4096, 14, "sparse-pids");
	measure(65536, 14, "sparse-pids");
	measure_empty_tick(1);
	measure_empty_tick(64);
	return EXIT_SUCCESS;
}
