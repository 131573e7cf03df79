#include "observe/pauses.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "observe/core.h"

bool belay__selects(const char *selection, const char *name, uint32_t uid, uint32_t pid)
{
	const char *slash = strchr(selection, '/');
	uint64_t number;

	if (selection[0] == '\0')
		return true;
	if (belay__parse_u64(selection, 1, UINT32_MAX, &number) == 0)
		return pid == number;
	if (slash != NULL)
		return strtoul(selection, NULL, 10) == uid && fnmatch(slash + 1, name, 0) == 0;
	return fnmatch(selection, name, 0) == 0;
}

static struct belay__pause *find(struct belay__pauses *pauses, const char *pattern)
{
	for (uint32_t i = 0; i < pauses->count; i++)
		if (pauses->pauses[i].runs && strcmp(pauses->pauses[i].pattern, pattern) == 0)
			return &pauses->pauses[i];
	return NULL;
}

/* A place never used, or that of the pause that ended first. NULL: all run. */
static struct belay__pause *place(struct belay__pauses *pauses)
{
	struct belay__pause *oldest = NULL;

	if (pauses->count < BELAY__PAUSES_MAX)
		return &pauses->pauses[pauses->count++];
	for (uint32_t i = 0; i < BELAY__PAUSES_MAX; i++) {
		struct belay__pause *pause = &pauses->pauses[i];

		if (!pause->runs && (oldest == NULL || pause->until_ns < oldest->until_ns))
			oldest = pause;
	}
	return oldest;
}

static bool selects_record(const struct belay__pause *pause, const struct belay__record *record)
{
	return belay__selects(pause->pattern, record->name, record->uid, record->pid);
}

/* Who was put off by PAUSE alone, or would be overdue sooner, has one threshold from now on. What a
 * process announced of its silence stays. */
static void give_credit(struct belay_observer *observer, const struct belay__pause *pause)
{
	struct belay__table *table = &observer->table;

	for (uint32_t at = 0; at < table->slot_count; at++) {
		struct belay__slot *slot = &table->slots[at];
		const struct belay__watch *watch;

		if (slot->pid == 0 || slot->record == BELAY__NO_RECORD ||
			!selects_record(pause, &table->records[slot->record]) ||
			(slot->flags & (BELAY__SLOT_STALLED | BELAY__SLOT_QUESTIONED)))
			continue;
		watch = &observer->watches[slot->record];
		if ((slot->flags & BELAY__SLOT_WITHIN) && watch->put_off_ns != slot->due_ns)
			continue;
		table->records[slot->record].marks &= (uint8_t)~BELAY__MARK_PUT_OFF;
		/* Not on its own list: that one is in order of last beats. */
		slot->flags |= BELAY__SLOT_WITHIN;
		belay__deadlines_set(&table->deadlines, at,
			observer->now_ns + table->deadlines.length_ns[slot->list]);
	}
}

static void end(struct belay_observer *observer, struct belay__pause *pause)
{
	pause->runs = false;
	pause->until_ns = observer->now_ns;
	give_credit(observer, pause);
}

int belay__pause(struct belay_observer *observer, const char *pattern, uint64_t until_realtime_ns,
	uint64_t now_realtime_ns)
{
	struct belay__pause *pause = find(&observer->pauses, pattern);

	if (until_realtime_ns <= now_realtime_ns) {
		if (pause != NULL)
			end(observer, pause);
		return 0;
	}
	if (pause == NULL)
		pause = place(&observer->pauses);
	if (pause == NULL)
		return -ENOSPC;
	*pause = (struct belay__pause){
		.runs = true,
		.until_ns = observer->now_ns + (until_realtime_ns - now_realtime_ns),
		.until_realtime_ns = until_realtime_ns,
	};
	memcpy(pause->pattern, pattern, strnlen(pattern, sizeof(pause->pattern) - 1));
	return 0;
}

int belay__resume(struct belay_observer *observer, const char *pattern)
{
	struct belay__pause *pause = find(&observer->pauses, pattern);

	if (pause == NULL)
		return -ENOENT;
	end(observer, pause);
	return 0;
}

const struct belay__pause *belay__pause_over(struct belay_observer *observer)
{
	for (uint32_t i = 0; i < observer->pauses.count; i++) {
		struct belay__pause *pause = &observer->pauses.pauses[i];

		if (pause->runs && pause->until_ns <= observer->now_ns) {
			end(observer, pause);
			return pause;
		}
	}
	return NULL;
}

uint64_t belay__pauses_next_ns(const struct belay_observer *observer)
{
	uint64_t next_ns = UINT64_MAX;

	for (uint32_t i = 0; i < observer->pauses.count; i++) {
		const struct belay__pause *pause = &observer->pauses.pauses[i];

		if (pause->runs && pause->until_ns < next_ns)
			next_ns = pause->until_ns;
	}
	return next_ns;
}

uint64_t belay__paused_until(const struct belay_observer *observer, const char *name, uint32_t uid,
	uint32_t pid)
{
	uint64_t until_ns = 0;

	for (uint32_t i = 0; i < observer->pauses.count; i++) {
		const struct belay__pause *pause = &observer->pauses.pauses[i];

		if (pause->runs && pause->until_ns > observer->now_ns &&
			pause->until_realtime_ns > until_ns &&
			belay__selects(pause->pattern, name, uid, pid))
			until_ns = pause->until_realtime_ns;
	}
	return until_ns;
}

uint32_t belay__paused_count(const struct belay_observer *observer)
{
	const struct belay__table *table = &observer->table;
	uint32_t count = 0;

	if (belay__pauses_next_ns(observer) == UINT64_MAX)
		return 0;
	for (uint32_t i = 0; i < table->capacity; i++) {
		const struct belay__record *record = &table->records[i];

		count += record->pid != 0 &&
			belay__paused_until(observer, record->name, record->uid, record->pid) != 0;
	}
	return count;
}

uint64_t belay__excused_until(const struct belay_observer *observer, uint32_t at)
{
	const struct belay__slot *slot = &observer->table.slots[at];
	uint64_t threshold_ns = observer->table.deadlines.length_ns[slot->list], until_ns = 0;

	for (uint32_t i = 0; i < observer->pauses.count; i++) {
		const struct belay__pause *pause = &observer->pauses.pauses[i];
		uint64_t its_ns = pause->until_ns + threshold_ns;

		if (its_ns > observer->now_ns && its_ns > until_ns &&
			slot->last_ns < pause->until_ns &&
			selects_record(pause, &observer->table.records[slot->record]))
			until_ns = its_ns;
	}
	return until_ns;
}
