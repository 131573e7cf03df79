#include "observe/restore.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

/* The rules may have changed since: a process that one matches now is called by it, all others keep their names. */
static void keep_name(struct belay_observer *observer, struct belay__record *record)
{
	struct belay__names names;
	char *mark;

	belay__read_names((pid_t)record->pid, &names);
	if (record->name_source == BELAY__NAME_DOOR || record->name_source == BELAY__NAME_ENV)
		memcpy(names.env, record->name, sizeof(names.env));
	if (record->name_source == BELAY__NAME_RULE ||
		belay__rule_match(observer->rules, observer->rule_count, &names, record->uid) >= 0) {
		belay__name_record(record, observer->rules, observer->rule_count, &names, observer->ordinals);
		return;
	}
	record->rule = 0;
	mark = record->name_source == BELAY__NAME_COMM ? strrchr(record->name, '#') : NULL;
	if (mark == NULL)
		return;
	*mark = '\0';
	if (!belay__ordinal_take_this(observer->ordinals, record->uid, record->name, record->ordinal))
		record->ordinal = 0;
	*mark = '#';
}

/* False: there is no room for it any more. */
static bool go_on(struct belay_observer *observer, const struct belay__kept *kept, struct belay__identity *identity)
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
	number = slot->record;
	record = &observer->table.records[number];
	*slot = kept->slot;
	slot->record = number;
	slot->prev = slot->next = BELAY__NO_SLOT;
	slot->last_ns = observer->now_ns;
	slot->flags = kept->slot.flags & (BELAY__SLOT_HAS_NONCE | BELAY__SLOT_HAS_TERMINAL | BELAY__SLOT_TERMINAL);
	*record = kept->record;
	keep_name(observer, record);
	slot->list = record->rule != 0 ? observer->rule_lists[record->rule - 1] : observer->default_list;
	if (record->rule != 0)
		observer->rule_beating[record->rule - 1]++;
	if (kept->slot.flags & BELAY__SLOT_STALLED)
		belay__table_set_stalled(&observer->table, at, true);
	else
		belay__deadlines_heard(&observer->table.deadlines, at, slot->list, observer->now_ns);
	if (identity->pidfd >= 0)
		belay__watch_take(observer, number, TAKE_FD(identity->pidfd));
	return true;
}

/* Whether the process is still the one that was kept; fills *ret_identity when it is. */
static bool same_process(const struct belay__kept *kept, struct belay__identity *ret_identity)
{
	int r = belay__identity_open((pid_t)kept->slot.pid, true, ret_identity);

	if (r == -EMFILE || r == -ENFILE)
		r = belay__identity_open((pid_t)kept->slot.pid, false, ret_identity);
	if (r < 0)
		return false;
	if (kept->slot.start_ticks == 0 || ret_identity->start_ticks == kept->slot.start_ticks)
		return true;
	belay__identity_done(ret_identity);
	return false;
}

uint32_t belay__restore(struct belay_observer *observer, const struct belay__kept *kept, uint32_t count)
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
	return going_on;
}

/* It may be that there was no room for it. */
static bool lives_on(const struct belay__kept *kept)
{
	struct belay__stat stat;

	return kept->slot.start_ticks != 0 && belay__read_stat((pid_t)kept->slot.pid, &stat) == 0 &&
		stat.start_ticks == kept->slot.start_ticks && stat.state != 'Z';
}

bool belay__vanished_next(struct belay_observer *observer)
{
	while (observer->kept_at < observer->kept_count) {
		const struct belay__kept *kept = &observer->kept[observer->kept_at++];
		uint32_t at = belay__table_find(&observer->table, kept->slot.pid);
		struct belay_event *event;

		if (at != BELAY__NO_SLOT && (kept->slot.start_ticks == 0 ||
						    observer->table.slots[at].start_ticks == kept->slot.start_ticks))
			continue;
		if (at == BELAY__NO_SLOT && lives_on(kept))
			continue;
		event = belay__event_start(observer, BELAY_EVENT_END);
		event->pid = kept->slot.pid;
		event->uid = kept->record.uid;
		event->start_ticks = kept->slot.start_ticks;
		memcpy(observer->event_name, kept->record.name, sizeof(observer->event_name));
		event->end = BELAY_END_UNKNOWN;
		event->while_down = true;
		observer->counts[BELAY__COUNT_ENDS_UNKNOWN]++;
		belay__remember_end(observer, event);
		return true;
	}
	return false;
}
