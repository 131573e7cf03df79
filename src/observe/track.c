#include "observe/track.h"

#include <assert.h>
#include <stdbool.h>

#include "base/hot.h"
#include "observe/remote.h"

/* A regular nonce this close to its end may be followed by one this close to its beginning. */
#define WRAP_WINDOW (UINT64_C(1) << 20)

/* One beat on its way through the rules. */
struct beat {
	struct belay__table *table;
	struct belay__track_counters *counters;
	const struct belay_frame *frame;
	const struct belay__sender *sender;
	uint64_t now_ns;
	uint32_t at; /* its slot */
	bool terminal;
};

static bool another_generation(const struct beat *beat, const struct belay__slot *slot)
{
	return slot->start_ticks != 0 && beat->sender->start_ticks != 0 &&
		slot->start_ticks != beat->sender->start_ticks;
}

/* Nobody attests the generation of a network sender: one that comes back from a long silence and
 * counts anew restarted. */
static bool restarted_afar(const struct beat *beat, const struct belay__slot *slot)
{
	uint64_t threshold_ns = beat->table->deadlines.length_ns[slot->list];

	if (slot->start_ticks != 0 || beat->sender->start_ticks != 0)
		return false;
	if (slot->origin != beat->sender->origin ||
		(slot->origin != BELAY__OPERATOR_ATTESTED &&
			slot->origin != BELAY__NETWORK_UNVERIFIED))
		return false;
	if (beat->terminal || !(slot->flags & BELAY__SLOT_HAS_NONCE) ||
		beat->frame->nonce > slot->last_nonce)
		return false;
	if (slot->list == BELAY__LIST_WITHIN)
		return beat->now_ns >= slot->due_ns;
	return beat->now_ns >= slot->last_ns && beat->now_ns - slot->last_ns >= threshold_ns;
}

static bool namespace_conflicts(const struct beat *beat, const struct belay__slot *slot)
{
	if (slot->pid_ns == 0 || slot->pid_ns == beat->sender->pid_ns)
		return false;
	/* A dying process may no longer have a namespace that can be read: its last word counts. */
	return beat->sender->pid_ns != 0 || !beat->terminal;
}

/* Whether the frame continues what SLOT has seen; notes a wrap. */
static bool in_order(const struct beat *beat, const struct belay__slot *slot)
{
	const struct belay_frame *frame = beat->frame;

	if (beat->terminal)
		return !(slot->flags & BELAY__SLOT_HAS_TERMINAL) ||
			frame->timestamp_ns > slot->last_terminal_ns;
	if (!(slot->flags & BELAY__SLOT_HAS_NONCE) || frame->nonce > slot->last_nonce)
		return true;
	if (slot->last_nonce < BELAY_NONCE_TERMINAL - WRAP_WINDOW || frame->nonce > WRAP_WINDOW)
		return false;
	beat->counters->nonce_wraps++;
	return true;
}

/* Forgets what SLOT knows of its process; its place in the table, its record and its deadline stay
 * until they are renewed. */
static void reset(const struct beat *beat, struct belay__slot *slot)
{
	belay__table_set_stalled(beat->table, beat->at, false);
	slot->flags &= BELAY__SLOT_LINKED;
	slot->last_nonce = slot->last_terminal_ns = 0;
	slot->pid_ns = 0;
	slot->start_ticks = 0;
	slot->origin = beat->sender->origin;
}

/* Takes the frame into SLOT, and of the sender what SLOT does not know yet. */
BELAY__HOT static void accept(const struct beat *beat, struct belay__slot *slot)
{
	const struct belay_frame *frame = beat->frame;
	unsigned flags;

	if (slot->flags & BELAY__SLOT_STALLED)
		belay__table_set_stalled(beat->table, beat->at, false);
	flags = slot->flags &
		~(unsigned)(BELAY__SLOT_QUESTIONED | BELAY__SLOT_WITHIN | BELAY__SLOT_TERMINAL |
			BELAY__SLOT_UNSETTLED);
	if (beat->terminal) {
		slot->last_terminal_ns = frame->timestamp_ns;
		flags |= BELAY__SLOT_TERMINAL | BELAY__SLOT_HAS_TERMINAL;
	} else {
		slot->last_nonce = frame->nonce;
		flags |= BELAY__SLOT_HAS_NONCE;
	}
	slot->flags = (uint8_t)flags;
	slot->status = frame->status;
	slot->last_ns = beat->now_ns;
	if (slot->pid_ns == 0)
		slot->pid_ns = beat->sender->pid_ns;
	if (slot->start_ticks == 0)
		slot->start_ticks = beat->sender->start_ticks;

	if (slot->record != BELAY__NO_RECORD) {
		struct belay__record *record = &beat->table->records[slot->record];

		record->payload = frame->payload;
		record->beats++;
	}
	if (slot->list == BELAY__LIST_WITHIN)
		belay__deadlines_remove(&beat->table->deadlines, beat->at);
	else
		belay__deadlines_heard(&beat->table->deadlines, beat->at, slot->list, beat->now_ns);
}

/* The first beat of a process whose slot is new, or was another's. */
static enum belay__track_result begin(const struct beat *beat, struct belay__slot *slot,
	uint8_t list)
{
	reset(beat, slot);
	slot->list = list;
	if (slot->record != BELAY__NO_RECORD) {
		beat->table->records[slot->record].beats = 0;
		beat->table->records[slot->record].stalls = 0;
	}
	accept(beat, slot);
	return BELAY__TRACK_INSERTED;
}

static enum belay__track_result known(const struct beat *beat, uint8_t list)
{
	struct belay__slot *slot = &beat->table->slots[beat->at];
	bool stalled = slot->flags & BELAY__SLOT_STALLED;

	if (another_generation(beat, slot) || restarted_afar(beat, slot)) {
		beat->counters->pid_recycles++;
		return begin(beat, slot, list);
	}
	if (beat->sender->origin < slot->origin) {
		beat->counters->origin_conflicts++;
		return BELAY__TRACK_ORIGIN_CONFLICT;
	}
	if (beat->sender->origin > slot->origin) {
		reset(beat, slot);
	} else if (namespace_conflicts(beat, slot)) {
		beat->counters->namespace_conflicts++;
		return BELAY__TRACK_NAMESPACE_CONFLICT;
	} else if (!in_order(beat, slot)) {
		beat->counters->out_of_order++;
		return BELAY__TRACK_OUT_OF_ORDER;
	}
	accept(beat, slot);
	return stalled ? BELAY__TRACK_RECOVERED : BELAY__TRACK_REFRESHED;
}

/* Makes room for PID when there is none; false when nobody can be given up for it. */
static bool make_room(const struct beat *beat, uint32_t pid,
	void (*on_evict)(void *data, uint32_t slot), void *data)
{
	uint32_t victim;

	if (belay__table_has_room(beat->table))
		return true;
	/* Nobody is given up for one that would not find a place even then. */
	if (!belay__table_has_place(beat->table, pid))
		return false;
	/* Who comes from another host takes nobody's place but one of its own. */
	victim = belay__table_victim(beat->table,
		belay__key_host(pid) != 0 ? belay__key_host(pid) : BELAY__ANY_HOST, beat->now_ns);
	if (victim == BELAY__NO_SLOT)
		return false;
	if (on_evict != NULL)
		on_evict(data, victim);
	belay__table_remove(beat->table, victim);
	beat->counters->evictions++;
	return true;
}

/* Nine arguments, because each belongs to somebody else.
 * NOLINTNEXTLINE(readability-function-size) */
BELAY__HOT enum belay__track_result belay__track(struct belay__table *table,
	struct belay__track_counters *counters, const struct belay_frame *frame,
	const struct belay__sender *sender, uint8_t list, uint64_t now_ns,
	void (*on_evict)(void *data, uint32_t slot), void *data, uint32_t *ret_slot)
{
	struct beat beat = {
		.table = table,
		.counters = counters,
		.frame = frame,
		.sender = sender,
		.now_ns = now_ns,
		.at = belay__table_find(table, sender->pid),
		.terminal = frame->nonce == BELAY_NONCE_TERMINAL,
	};

	assert(sender->pid != 0 && list < BELAY__LISTS);

	if (beat.at != BELAY__NO_SLOT) {
		*ret_slot = beat.at;
		return known(&beat, list);
	}
	beat.at = make_room(&beat, sender->pid, on_evict, data)
		? belay__table_insert(table, sender->pid)
		: BELAY__NO_SLOT;
	if (beat.at == BELAY__NO_SLOT) {
		counters->capacity_exceeded++;
		return BELAY__TRACK_CAPACITY_EXCEEDED;
	}
	*ret_slot = beat.at;
	return begin(&beat, &table->slots[beat.at], list);
}
