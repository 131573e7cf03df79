/* track_fuzz.c - beats, silences, questions and departures in a small, full table, against a model
 * that keeps all by pid
 *
 * Input: steps of six bytes {operation, process, four operands}. After each step the table's own
 * invariants hold, and slot and model agree on every process; who is evicted must have deserved it.
 */
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "observe/track.h"

#define THRESHOLD_NS UINT64_C(64)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CAPACITY = 4, SLOTS = 8, PIDS = 8, STEP = 6, INPUT_MAX = 3072 };

struct process {
	bool known, stalled, terminal, any_nonce, any_terminal;
	uint8_t origin, status;
	uint32_t pid_ns, payload;
	uint64_t generation, nonce, terminal_ns, heard_ns, due_ns, beats;
};

static struct belay__slot slots[SLOTS];
static struct belay__record records[CAPACITY];
static struct belay__table table;
static struct process model[PIDS];
static uint64_t now_ns;

static uint32_t pid_of(size_t who)
{
	/* Some share the low bits that hints go by. */
	return (uint32_t)(2 + (who & 3) + (who >> 2) * 1024);
}

static size_t who_is(uint32_t pid)
{
	return ((pid - 2) & 3) + (pid >= 1024 ? 4 : 0);
}

static unsigned known_processes(void)
{
	unsigned known = 0;

	for (size_t i = 0; i < PIDS; i++)
		known += model[i].known;
	return known;
}

static bool may_be_evicted(const struct process *process)
{
	return process->known && now_ns - process->heard_ns > 10 * THRESHOLD_NS &&
		(process->stalled || table.eviction == BELAY__EVICT_BALANCED);
}

static void on_evict(void *data, uint32_t slot)
{
	struct process *process = &model[who_is(slots[slot].pid)];

	assert(data == model && may_be_evicted(process));
	if (!process->stalled)
		for (size_t i = 0; i < PIDS; i++)
			assert(!model[i].stalled || !may_be_evicted(&model[i]));
	process->known = false;
}

/* The four nonces around which the rules turn, and small steps from the last one. */
static uint64_t nonce_from(uint8_t byte, uint64_t last)
{
	static const uint64_t edges[] = { 0, 1 << 20, BELAY_NONCE_TERMINAL - (1 << 20),
		BELAY_NONCE_TERMINAL };

	return (byte & 0x80) ? edges[(byte >> 5) & 3] + (byte & 31) - 16 : last + (byte & 7) - 2;
}

static void forget(struct process *process, const struct belay__sender *sender)
{
	uint64_t beats = process->beats;

	*process = (struct process){ .known = true, .origin = sender->origin, .beats = beats };
}

/* What section 5 of the reference says about a known process, in its order. */
static enum belay__track_result expect_known(struct process *process,
	const struct belay_frame *frame, const struct belay__sender *sender)
{
	bool last_word = frame->nonce == BELAY_NONCE_TERMINAL;
	bool network = sender->origin == BELAY__NETWORK_UNVERIFIED ||
		sender->origin == BELAY__OPERATOR_ATTESTED;
	bool behind = !last_word && process->any_nonce && frame->nonce <= process->nonce;

	if (process->generation != 0 && sender->start_ticks != 0) {
		if (process->generation != sender->start_ticks)
			return BELAY__TRACK_INSERTED;
	} else if (process->generation == 0 && sender->start_ticks == 0 && network && behind &&
		process->origin == sender->origin && now_ns >= process->heard_ns + THRESHOLD_NS) {
		return BELAY__TRACK_INSERTED;
	}
	if (sender->origin < process->origin)
		return BELAY__TRACK_ORIGIN_CONFLICT;
	if (sender->origin > process->origin) {
		bool stalled = process->stalled;

		forget(process, sender);
		return stalled ? BELAY__TRACK_RECOVERED : BELAY__TRACK_REFRESHED;
	}
	if (process->pid_ns != 0 && sender->pid_ns != 0 && process->pid_ns != sender->pid_ns)
		return BELAY__TRACK_NAMESPACE_CONFLICT;
	if (process->pid_ns != 0 && sender->pid_ns == 0 && !last_word)
		return BELAY__TRACK_NAMESPACE_CONFLICT;
	if (last_word && process->any_terminal && frame->timestamp_ns <= process->terminal_ns)
		return BELAY__TRACK_OUT_OF_ORDER;
	if (behind &&
		(process->nonce < UINT64_MAX - (UINT64_C(1) << 20) ||
			frame->nonce > (UINT64_C(1) << 20)))
		return BELAY__TRACK_OUT_OF_ORDER;
	return process->stalled ? BELAY__TRACK_RECOVERED : BELAY__TRACK_REFRESHED;
}

static void expect_accepted(struct process *process, const struct belay_frame *frame,
	const struct belay__sender *sender)
{
	process->terminal = frame->nonce == BELAY_NONCE_TERMINAL;
	if (process->terminal) {
		process->any_terminal = true;
		process->terminal_ns = frame->timestamp_ns;
	} else {
		process->any_nonce = true;
		process->nonce = frame->nonce;
	}
	if (process->pid_ns == 0)
		process->pid_ns = sender->pid_ns;
	if (process->generation == 0)
		process->generation = sender->start_ticks;
	process->stalled = false;
	process->status = frame->status;
	process->payload = frame->payload;
	process->heard_ns = now_ns;
	process->due_ns = now_ns + THRESHOLD_NS;
	process->beats++;
}

static void beat(size_t who, const uint8_t operands[4])
{
	struct process *process = &model[who];
	struct belay__sender sender = {
		.pid = pid_of(who),
		.origin = operands[0] & 3,
		.pid_ns = (operands[0] >> 2) & 3,
		.start_ticks = (operands[0] >> 4) & 3,
	};
	struct belay_frame frame = {
		.pid = sender.pid,
		.status = operands[1] & 1,
		.timestamp_ns = operands[2],
		.nonce = nonce_from(operands[3], process->nonce),
		.payload = operands[1],
	};
	struct belay__track_counters counters = { 0 };
	bool was_known = process->known, was_full = known_processes() == CAPACITY, evictable = false;
	enum belay__track_result expected = BELAY__TRACK_INSERTED, result;
	uint32_t at = BELAY__NO_SLOT;

	for (size_t i = 0; i < PIDS; i++)
		evictable = evictable || may_be_evicted(&model[i]);
	if (was_known)
		expected = expect_known(process, &frame, &sender);
	else if (was_full && !evictable)
		expected = BELAY__TRACK_CAPACITY_EXCEEDED;

	result = belay__track(&table, &counters, &frame, &sender, 0, now_ns, on_evict, model, &at);
	assert(result == expected);
	assert(counters.evictions == (!was_known && was_full && evictable));
	assert(counters.pid_recycles == (was_known && result == BELAY__TRACK_INSERTED));
	assert(counters.out_of_order == (result == BELAY__TRACK_OUT_OF_ORDER));
	assert(counters.capacity_exceeded == (result == BELAY__TRACK_CAPACITY_EXCEEDED));
	assert((at == BELAY__NO_SLOT) == (result == BELAY__TRACK_CAPACITY_EXCEEDED));

	if (result == BELAY__TRACK_INSERTED) {
		process->beats = 0;
		forget(process, &sender);
	}
	if (result <= BELAY__TRACK_RECOVERED)
		expect_accepted(process, &frame, &sender);
}

/* What the observer does with a deadline: first a question, then a stall. */
static void take_due(void)
{
	struct belay__deadlines *deadlines = &table.deadlines;
	uint32_t at;

	while ((at = belay__deadlines_take_due(deadlines, BELAY__LIST_QUESTION, now_ns)) !=
		BELAY__NO_SLOT) {
		struct process *process = &model[who_is(slots[at].pid)];

		assert(process->due_ns <= now_ns);
		process->due_ns = UINT64_MAX;
		process->stalled = true;
		belay__table_set_stalled(&table, at, true);
	}
	for (int special = 0; special < 2; special++) {
		uint8_t list = special ? BELAY__LIST_WITHIN : 0;

		while ((at = belay__deadlines_take_due(deadlines, list, now_ns)) != BELAY__NO_SLOT) {
			struct process *process = &model[who_is(slots[at].pid)];

			assert(process->due_ns <= now_ns);
			belay__deadlines_heard(deadlines, at, BELAY__LIST_QUESTION, now_ns);
			process->due_ns = now_ns + deadlines->length_ns[BELAY__LIST_QUESTION];
		}
	}
	assert(belay__deadlines_next_ns(deadlines) > now_ns);
}

static void step(const uint8_t *bytes)
{
	size_t who = bytes[1] % PIDS;
	uint32_t at = belay__table_find(&table, pid_of(who));

	switch (bytes[0] % 8) {
	case 0:
		now_ns += bytes[2];
		break;
	case 1:
		now_ns += (uint64_t)bytes[2] * 16;
		take_due();
		break;
	case 2:
		if (at != BELAY__NO_SLOT)
			belay__table_remove(&table, at);
		model[who].known = false;
		break;
	case 3:
		if (at != BELAY__NO_SLOT && !model[who].stalled) {
			model[who].due_ns = now_ns + bytes[2];
			belay__deadlines_set(&table.deadlines, at, model[who].due_ns);
		}
		break;
	default:
		beat(who, bytes + 2);
	}
}

static void compare(void)
{
	uint64_t next_ns = UINT64_MAX;

	belay__table_check(&table);
	for (size_t i = 0; i < PIDS; i++) {
		const struct process *process = &model[i];
		uint32_t at = belay__table_find(&table, pid_of(i));
		const struct belay__slot *slot;

		assert((at != BELAY__NO_SLOT) == process->known);
		if (!process->known)
			continue;
		slot = &slots[at];
		assert(slot->status == process->status && slot->origin == process->origin);
		assert(slot->pid_ns == process->pid_ns && slot->start_ticks == process->generation);
		assert(slot->last_nonce == process->nonce && slot->last_ns == process->heard_ns);
		assert(slot->last_terminal_ns == process->terminal_ns);
		assert(!(slot->flags & BELAY__SLOT_STALLED) == !process->stalled);
		assert(!(slot->flags & BELAY__SLOT_TERMINAL) == !process->terminal);
		assert(records[slot->record].beats == process->beats);
		assert(records[slot->record].payload == process->payload);
		if (process->due_ns < next_ns)
			next_ns = process->due_ns;
	}
	assert(belay__deadlines_next_ns(&table.deadlines) == next_ns);
	assert(table.used == known_processes());
	assert(table.probe_exhausted == 0 && table.invariant_violations == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	belay__table_init(&table, CAPACITY, slots, records, data[0]);
	table.eviction = data[1] & 1 ? BELAY__EVICT_BALANCED : BELAY__EVICT_STRICT;
	(void)belay__deadlines_list(&table.deadlines, THRESHOLD_NS);
	table.deadlines.length_ns[BELAY__LIST_QUESTION] = 8;
	memset(model, 0, sizeof(model));
	now_ns = 0;

	for (size_t i = 2; i + STEP <= size && i < INPUT_MAX; i += STEP) {
		step(data + i);
		compare();
	}
	return 0;
}
