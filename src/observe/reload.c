#include "observe/reload.h"

#include <string.h>

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

void belay__blame_by(struct belay_observer *observer, const struct belay__observe_options *options,
	const struct belay__rule *rules, uint32_t rule_count)
{
	struct belay__doing doing;

	for (uint32_t i = 0; i <= rule_count; i++) {
		belay__doing_of(options, i == 0 ? NULL : &rules[i - 1], &doing);
		observer->crowds.also[i] = doing.act_on;
	}
}

/* Of which rules it was told that somebody is missing. */
struct missing {
	uint32_t count;
	char names[BELAY__RULES_MAX][BELAY__NAME_SIZE];
};

static void keep_missing(const struct belay_observer *observer, struct missing *missing)
{
	missing->count = 0;
	for (uint32_t i = 0; i < observer->rule_count; i++)
		if (observer->rule_missing_told[i])
			memcpy(missing->names[missing->count++], observer->rules[i].name,
				sizeof(missing->names[0]));
}

static void resume_missing(struct belay_observer *observer, const struct missing *missing)
{
	for (uint32_t i = 0; i < observer->rule_count; i++)
		for (uint32_t k = 0; k < missing->count; k++)
			if (strcmp(observer->rules[i].name, missing->names[k]) == 0)
				observer->rule_missing_told[i] = true;
}

void belay__reload(struct belay_observer *observer, const struct belay__observe_options *options,
	const struct belay__rule *rules, uint32_t rule_count)
{
	/* Too large for the stack. */
	static struct belay__mass_stalls mass_stalls;
	static struct missing missing;

	belay__crowds_keep(observer, &mass_stalls);
	keep_missing(observer, &missing);
	observer->options.threshold_ms = options->threshold_ns / BELAY__NS_PER_MS;
	observer->options.within_max_ms = options->within_max_ns / BELAY__NS_PER_MS;
	observer->interval_ns = options->max_beat_rate > 0
		? BELAY__NS_PER_S / options->max_beat_rate
		: 0;
	observer->now_ns = belay__watch_clock_now(&observer->clock);
	belay__bucket_init(&observer->bucket, options->global_beat_rate, options->global_beat_burst,
		observer->now_ns);
	for (uint32_t host = 1; host <= BELAY__HOSTS_MAX; host++)
		observer->far_buckets[host] = observer->bucket;
	for (uint32_t at = 0; at < observer->table.slot_count; at++)
		if (observer->table.slots[at].pid != 0)
			belay__name_let_go(observer,
				&observer->table.records[observer->table.slots[at].record]);
	forget_thresholds(&observer->table);
	observer->default_list = belay__deadlines_list(&observer->table.deadlines,
		options->threshold_ns);
	belay__blame_by(observer, options, rules, rule_count);
	belay__observer_set_rules(observer, rules, rule_count);
	resume_missing(observer, &missing);
	for (uint32_t at = 0; at < observer->table.slot_count; at++)
		if (observer->table.slots[at].pid != 0)
			belay__name_again(observer, at);
	belay__crowds_resume(observer, &mass_stalls);
}
