#include "observe/reload.h"

#include <string.h>

#include "base/clock.h"

/* The rules' own names are given anew; a name from elsewhere stays unless a rule claims the process now. */
static void rename_by_rules(struct belay_observer *observer, struct belay__record *record)
{
	struct belay__names names;

	belay__read_names((pid_t)record->pid, &names);
	if (record->name_source == BELAY__NAME_ENV || record->name_source == BELAY__NAME_DOOR)
		memcpy(names.env, record->name, sizeof(names.env));
	if (record->rule == 0 && belay__rule_match(observer->rules, observer->rule_count, &names, record->uid) < 0)
		return;
	belay__name_release(record, observer->ordinals);
	belay__name_record(record, observer->rules, observer->rule_count, &names, observer->ordinals);
}

static void rejoin(struct belay_observer *observer, uint32_t at)
{
	struct belay__slot *slot = &observer->table.slots[at];
	struct belay__record *record = &observer->table.records[slot->record];

	rename_by_rules(observer, record);
	slot->list = record->rule != 0 ? observer->rule_lists[record->rule - 1] : observer->default_list;
	if (record->rule != 0)
		observer->rule_beating[record->rule - 1]++;
	if (slot->flags & (BELAY__SLOT_STALLED | BELAY__SLOT_QUESTIONED | BELAY__SLOT_WITHIN))
		return;
	belay__deadlines_heard(&observer->table.deadlines, at, slot->list, observer->now_ns);
}

/* Thresholds that nobody has any more make room for new ones. Members wait off their lists until they rejoin. */
static void forget_thresholds(struct belay__table *table)
{
	for (uint32_t at = 0; at < table->slot_count; at++)
		if (table->slots[at].pid != 0 &&
			!(table->slots[at].flags & (BELAY__SLOT_QUESTIONED | BELAY__SLOT_WITHIN)))
			belay__deadlines_remove(&table->deadlines, at);
	table->deadlines.lists = 0;
}

void belay__reload(struct belay_observer *observer, const struct belay__observe_options *options,
	const struct belay__rule *rules, uint32_t rule_count)
{
	observer->options.threshold_ms = options->threshold_ns / BELAY__NS_PER_MS;
	observer->options.within_max_ms = options->within_max_ns / BELAY__NS_PER_MS;
	observer->interval_ns = options->max_beat_rate > 0 ? BELAY__NS_PER_S / options->max_beat_rate : 0;
	observer->now_ns = belay__watch_clock_now(&observer->clock);
	belay__bucket_init(
		&observer->bucket, options->global_beat_rate, options->global_beat_burst, observer->now_ns);
	forget_thresholds(&observer->table);
	observer->default_list = belay__deadlines_list(&observer->table.deadlines, options->threshold_ns);
	belay__observer_set_rules(observer, rules, rule_count);
	for (uint32_t at = 0; at < observer->table.slot_count; at++)
		if (observer->table.slots[at].pid != 0)
			rejoin(observer, at);
}
