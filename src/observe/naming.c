/* Giving a tracked process its name, its rule, and with it its threshold: at first contact, at the
 * door, at a reload and after a restart. Its environment is read at first contact only, because
 * reading it waits for a lock that a wedged process may hold (or later, by who read it for us and did
 * not answer then); what it called itself then is kept in its record. */

#include <string.h>

#include "observe/core.h"
#include "observe/remote_process.h"

/* The name is taken again: who had it before is no longer of interest. */
static void forget_departed(struct belay_observer *observer, const struct belay__record *record)
{
	for (unsigned i = 0; i < BELAY__DEPARTED_MAX; i++)
		if (observer->departed[i].pid != 0 && observer->departed[i].uid == record->uid &&
			strcmp(observer->departed[i].name, record->name) == 0)
			observer->departed[i].hidden = true;
}

void belay__join_rule(struct belay_observer *observer, uint32_t at)
{
	struct belay__slot *slot = &observer->table.slots[at];
	const struct belay__record *record = &observer->table.records[slot->record];

	forget_departed(observer, record);
	slot->list = record->rule != 0 ? observer->rule_lists[record->rule - 1]
				       : observer->default_list;
	if (record->rule != 0)
		observer->rule_beating[record->rule - 1]++;
	belay__crowd_join(observer, slot->record,
		(slot->flags & BELAY__SLOT_STALLED) &&
			belay__is_blamed(observer, record->rule, record->verdict));
	if (slot->flags & (BELAY__SLOT_STALLED | BELAY__SLOT_QUESTIONED | BELAY__SLOT_WITHIN))
		return;
	belay__deadlines_heard(&observer->table.deadlines, at, slot->list, observer->now_ns);
}

/* A name made of the command's stays although the command may have been replaced since (exec). */
static bool keep_ordinal(struct belay_observer *observer, struct belay__record *record)
{
	char *mark = record->name_source == BELAY__NAME_COMM ? strrchr(record->name, '#') : NULL;
	bool kept;

	if (mark == NULL)
		return false;
	*mark = '\0';
	kept = belay__ordinal_take_this(observer->ordinals, record->uid, record->name,
		record->ordinal);
	*mark = '#';
	if (kept)
		record->rule = 0;
	return kept;
}

static void set_unsettled(struct belay_observer *observer, const struct belay__record *record,
	bool unsettled)
{
	struct belay__watch *watch = &observer->watches[record - observer->table.records];

	observer->unsettled += unsettled;
	observer->unsettled -= watch->unsettled;
	watch->unsettled = unsettled;
}

static void name_by(struct belay_observer *observer, uint32_t at, struct belay__names *names,
	const char *own)
{
	struct belay__record *record = &observer->table.records[observer->table.slots[at].record];
	size_t len = strnlen(own, BELAY__NAME_MAX);
	char before[BELAY__NAME_SIZE];

	belay__totals_hold(observer->totals);
	memcpy(before, record->name, sizeof(before));
	memmove(record->own, own, len);
	memset(record->own + len, 0, sizeof(record->own) - len);
	memcpy(names->env, record->own, sizeof(names->env));
	if (record->own[0] != '\0' ||
		belay__rule_match(observer->rules, observer->rule_count, names, record->uid) >= 0 ||
		!keep_ordinal(observer, record))
		belay__name_record(record, observer->rules, observer->rule_count, names,
			observer->ordinals);
	if (before[0] != '\0' && strcmp(before, record->name) != 0)
		belay__totals_move(observer->totals, record->uid, before, record->name,
			&(struct belay__total){ .beats = record->beats, .stalls = record->stalls });
	belay__totals_release(observer->totals);
	set_unsettled(observer, record, names->unsettled);
	belay__join_rule(observer, at);
}

void belay__name_at_contact(struct belay_observer *observer, uint32_t at)
{
	bool told = observer->door_name != NULL;
	struct belay__names names;

	belay__read_names((pid_t)observer->table.slots[at].pid, !told, &names);
	name_by(observer, at, &names, told ? observer->door_name : names.env);
}

void belay__name_again(struct belay_observer *observer, uint32_t at)
{
	const struct belay__record *record =
		&observer->table.records[observer->table.slots[at].record];
	struct belay__names names;

	if (belay__key_host(record->pid) != 0) {
		belay__remote_name(observer, at);
		return;
	}
	belay__read_names((pid_t)record->pid, /* with_environment= */ false, &names);
	name_by(observer, at, &names, record->own);
}

void belay__rename(struct belay_observer *observer, uint32_t at, const char *own)
{
	struct belay__record *record = &observer->table.records[observer->table.slots[at].record];
	struct belay__names names;

	if (strcmp(record->own, own) == 0)
		return;
	belay__name_let_go(observer, record);
	belay__read_names((pid_t)record->pid, /* with_environment= */ false, &names);
	name_by(observer, at, &names, own);
}

void belay__name_settle(struct belay_observer *observer, uint32_t at)
{
	struct belay__record *record = &observer->table.records[observer->table.slots[at].record];
	struct belay__names names;

	belay__read_names((pid_t)record->pid, record->own[0] == '\0', &names);
	if (names.unsettled)
		return;
	belay__name_let_go(observer, record);
	name_by(observer, at, &names, record->own[0] != '\0' ? record->own : names.env);
}

void belay__name_let_go(struct belay_observer *observer, const struct belay__record *record)
{
	set_unsettled(observer, record, false);
	belay__crowd_leave(observer, (uint32_t)(record - observer->table.records));
	belay__name_release(record, observer->ordinals);
	if (record->rule != 0 && observer->rule_beating[record->rule - 1] > 0)
		observer->rule_beating[record->rule - 1]--;
}
