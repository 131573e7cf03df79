#include "observe/reload.h"

#include "base/clock.h"

/* Thresholds that nobody has any more make room for new ones. Members wait off their lists until
 * they rejoin. */
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
	observer->interval_ns = options->max_beat_rate > 0
		? BELAY__NS_PER_S / options->max_beat_rate
		: 0;
	observer->now_ns = belay__watch_clock_now(&observer->clock);
	belay__bucket_init(&observer->bucket, options->global_beat_rate, options->global_beat_burst,
		observer->now_ns);
	for (uint32_t at = 0; at < observer->table.slot_count; at++)
		if (observer->table.slots[at].pid != 0)
			belay__name_let_go(observer,
				&observer->table.records[observer->table.slots[at].record]);
	forget_thresholds(&observer->table);
	observer->default_list = belay__deadlines_list(&observer->table.deadlines,
		options->threshold_ns);
	belay__observer_set_rules(observer, rules, rule_count);
	for (uint32_t at = 0; at < observer->table.slot_count; at++)
		if (observer->table.slots[at].pid != 0)
			belay__name_again(observer, at);
	belay__crowds_resume(observer);
}
