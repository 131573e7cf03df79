#include "observe/restore.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/fd.h"
#include "observe/remote_process.h"

/* What it announced of its silence still holds: it is the same boot and the same clock. What a pause
 * excused does not: if that still runs, it will excuse it again. */
static void keep_announcement(struct belay_observer *observer, uint32_t at,
	const struct belay__slot *kept, uint8_t marks)
{
	uint64_t most_ns = observer->options.within_max_ms * BELAY__NS_PER_MS;
	struct belay__slot *slot = &observer->table.slots[at];

	if (!(kept->flags & BELAY__SLOT_WITHIN) || (marks & BELAY__MARK_PUT_OFF) ||
		kept->due_ns <= slot->due_ns || kept->due_ns - observer->now_ns > most_ns)
		return;
	slot->flags |= BELAY__SLOT_WITHIN;
	belay__deadlines_set(&observer->table.deadlines, at, kept->due_ns);
}

/* False: there is no room for it any more. */
static bool go_on(struct belay_observer *observer, const struct belay__kept *kept,
	struct belay__identity *identity)
{
	uint32_t at = belay__table_insert(&observer->table, kept->slot.pid);
	struct belay__slot *slot;
	struct belay__record *record;
	uint32_t number;

	if (at == BELAY__NO_SLOT) {
		observer->tracked.capacity_exceeded++;
		return false;
	}
	slot = &observer->table.slots[at];
	belay__remote_count(observer, slot->pid, true);
	number = slot->record;
	record = &observer->table.records[number];
	*slot = kept->slot;
	slot->record = number;
	slot->prev = slot->next = BELAY__NO_SLOT;
	slot->last_ns = observer->now_ns;
	slot->flags = kept->slot.flags &
		(BELAY__SLOT_HAS_NONCE | BELAY__SLOT_HAS_TERMINAL | BELAY__SLOT_TERMINAL);
	*record = kept->record;
	record->paid_ns = 0;
	if (kept->slot.flags & BELAY__SLOT_STALLED) {
		belay__table_set_stalled(&observer->table, at, true);
		slot->flags |= kept->slot.flags & BELAY__SLOT_UNSETTLED;
	} else {
		record->marks = 0;
	}
	belay__name_again(observer, at);
	if (!(slot->flags & BELAY__SLOT_STALLED))
		keep_announcement(observer, at, &kept->slot, kept->record.marks);
	if (identity->pidfd >= 0)
		belay__watch_take(observer, number, TAKE_FD(identity->pidfd));
	return true;
}

/* Whether the process is still the one that was kept; fills *ret_identity when it is. What cannot
 * be told is not "gone". */
static bool same_process(const struct belay__kept *kept, struct belay__identity *ret_identity)
{
	int r;

	/* Of one on another host only its beats can tell. */
	if (belay__key_host(kept->slot.pid) != 0)
		return true;
	r = belay__identify(kept->slot.pid, ret_identity);
	if (r < 0)
		return r != -ESRCH;
	if (kept->slot.start_ticks == 0 || ret_identity->start_ticks == 0 ||
		ret_identity->start_ticks == kept->slot.start_ticks)
		return true;
	belay__identity_done(ret_identity);
	return false;
}

uint32_t belay__restore(struct belay_observer *observer, const struct belay__kept *kept,
	uint32_t count)
{
	uint32_t going_on = 0;

	observer->kept = kept;
	observer->kept_count = count;
	for (uint32_t i = 0; i < count; i++) {
		struct belay__identity identity = { .pidfd = -EBADF };

		if (belay__table_find(&observer->table, kept[i].slot.pid) != BELAY__NO_SLOT ||
			!same_process(&kept[i], &identity))
			continue;
		going_on += go_on(observer, &kept[i], &identity);
		belay__identity_done(&identity);
	}
	belay__crowds_resume(observer, NULL);
	return going_on;
}

/* It may be that there was no room for it. */
static bool lives_on(const struct belay__kept *kept)
{
	struct belay__stat stat;

	/* Of one on another host nobody here sees an end. */
	if (belay__key_host(kept->slot.pid) != 0)
		return true;
	return kept->slot.start_ticks != 0 && belay__read_stat((pid_t)kept->slot.pid, &stat) == 0 &&
		stat.start_ticks == kept->slot.start_ticks && stat.state != 'Z';
}

bool belay__vanished_next(struct belay_observer *observer)
{
	while (observer->kept_at < observer->kept_count) {
		const struct belay__kept *kept = &observer->kept[observer->kept_at++];
		uint32_t at = belay__table_find(&observer->table, kept->slot.pid);
		struct belay_event *event;

		if (at != BELAY__NO_SLOT &&
			(kept->slot.start_ticks == 0 ||
				observer->table.slots[at].start_ticks == kept->slot.start_ticks))
			continue;
		belay__totals_add(observer->totals, kept->record.name, kept->record.uid,
			&(struct belay__total){ .beats = kept->record.beats,
				.stalls = kept->record.stalls });
		if (at == BELAY__NO_SLOT && lives_on(kept))
			continue;
		event = belay__event_start(observer, BELAY_EVENT_END);
		event->pid = kept->slot.pid;
		event->uid = kept->record.uid;
		event->start_ticks = kept->slot.start_ticks;
		memcpy(observer->event_name, kept->record.name, sizeof(observer->event_name));
		event->end = BELAY_END_UNKNOWN;
		event->while_down = true;
		belay__add_crash_note(observer, event, kept->record.first_realtime_ns);
		observer->counts[BELAY__COUNT_ENDS_UNKNOWN]++;
		belay__remember_end(observer, event, kept->slot.last_nonce);
		return true;
	}
	return false;
}
