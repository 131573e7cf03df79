/* Time in which the observer did not look is nobody's silence: everyone not heard since gets it
 * back. */

#include "observe/core.h"

/* A deadline moves, but not past that of somebody heard just before: members of one list keep their
 * order, because those heard since lie behind them with later ones. */
static void postpone(const struct belay_observer *observer, struct belay__slot *slot,
	uint64_t heard_before_ns, uint64_t late_ns)
{
	bool fresh_is_most = !(slot->flags & (BELAY__SLOT_WITHIN | BELAY__SLOT_QUESTIONED));
	uint64_t most_ns = heard_before_ns + observer->table.deadlines.length_ns[slot->list];

	if (__builtin_add_overflow(slot->due_ns, late_ns, &slot->due_ns))
		slot->due_ns = UINT64_MAX;
	if (fresh_is_most && slot->due_ns > most_ns)
		slot->due_ns = most_ns;
}

/* Why SLOT was silent is not asked any more: it has LATE_NS more to be heard in. */
static void withdraw(struct belay_observer *observer, uint32_t at, uint64_t late_ns)
{
	struct belay__deadlines *deadlines = &observer->table.deadlines;
	struct belay__slot *slot = &observer->table.slots[at];
	uint64_t missed_ns = observer->watches[slot->record].missed_ns;

	slot->flags = (uint8_t)(slot->flags & ~BELAY__SLOT_QUESTIONED);
	if ((slot->flags & BELAY__SLOT_WITHIN) || slot->list == BELAY__LIST_WITHIN)
		belay__deadlines_set(deadlines, at, missed_ns + late_ns);
	else
		belay__deadlines_heard(deadlines, at, slot->list, slot->last_ns);
}

void belay__credit(struct belay_observer *observer, uint64_t heard_before_ns, uint64_t late_ns)
{
	struct belay__table *table = &observer->table;

	for (uint32_t at = 0; at < table->slot_count; at++) {
		struct belay__slot *slot = &table->slots[at];

		if (slot->pid == 0 || slot->last_ns >= heard_before_ns)
			continue;
		if (slot->flags & BELAY__SLOT_LINKED)
			postpone(observer, slot, heard_before_ns, late_ns);
		slot->last_ns = observer->now_ns - slot->last_ns > late_ns ? slot->last_ns + late_ns
									   : observer->now_ns;
		if (slot->flags & BELAY__SLOT_QUESTIONED)
			withdraw(observer, at, late_ns);
	}
	for (uint32_t i = 0; i < observer->rule_count; i++)
		if (observer->rule_missing_due_ns[i] < UINT64_MAX - late_ns)
			observer->rule_missing_due_ns[i] += late_ns;
	belay__watch_clock_was_late(&observer->clock, late_ns);
	observer->counts[BELAY__COUNT_LATE]++;
}
