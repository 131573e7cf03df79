#include "observe/about.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "observe/state_file.h"

/* How long it had been well when it was heard last. */
static uint64_t healthy_ns(const struct belay_observer *observer, const struct belay__slot *slot,
	const struct belay__record *record)
{
	uint64_t recovered_ns = observer->watches[slot->record].recovered_ns;
	uint64_t known_ns = belay__clock_ns(CLOCK_REALTIME) - record->first_realtime_ns;
	uint64_t silent_ns = observer->now_ns - slot->last_ns;

	if (recovered_ns != 0)
		return slot->last_ns > recovered_ns ? slot->last_ns - recovered_ns : 0;
	return known_ns > silent_ns && record->first_realtime_ns != 0 ? known_ns - silent_ns : 0;
}

/* What its rule is called: numbers change when rules do. */
static void add_rule_name(const struct belay_observer *observer, struct belay__msg_act *act)
{
	if (act->rule == 0 || act->rule > observer->rule_count)
		return;
	memcpy(act->rule_name, observer->rules[act->rule - 1].name, sizeof(act->rule_name));
}

static void describe(const struct belay_observer *observer, const struct belay__slot *slot,
	const struct belay__record *record, struct belay__msg_act *ret_act)
{
	*ret_act = (struct belay__msg_act){
		.verdict = record->verdict,
		.origin = slot->origin,
		.status = slot->status,
		.name_source = record->name_source,
		.rule = record->rule,
		.pid = slot->pid,
		.uid = record->uid,
		.start_ticks = slot->start_ticks,
		.pid_ns = slot->pid_ns,
		.beats = record->beats,
		.observer_ns = observer->clock.now_ns - observer->clock.start_ns,
	};
	memcpy(ret_act->name, record->name, sizeof(ret_act->name));
	add_rule_name(observer, ret_act);
}

void belay__about_process(const struct belay_observer *observer, uint32_t at,
	struct belay__msg_act *ret_act)
{
	const struct belay__slot *slot = &observer->table.slots[at];
	const struct belay__record *record = &observer->table.records[slot->record];

	describe(observer, slot, record, ret_act);
	ret_act->silent_ns = observer->now_ns - slot->last_ns;
	ret_act->threshold_ns = observer->table.deadlines.length_ns[slot->list];
	ret_act->healthy_ns = healthy_ns(observer, slot, record);
}

/* The rule that gave a process its name under an earlier gate, whose rules may have been others. */
static uint16_t rule_named(const struct belay_observer *observer, const char *name)
{
	for (uint32_t i = 0; i < observer->rule_count; i++)
		if (strcmp(observer->rules[i].name, name) == 0)
			return (uint16_t)(i + 1);
	return 0;
}

bool belay__about_event(const struct belay_observer *observer, const struct belay_event *event,
	struct belay__msg_act *ret_act)
{
	if (event->while_down) {
		const struct belay__kept *kept = &observer->kept[observer->kept_at - 1];

		describe(observer, &kept->slot, &kept->record, ret_act);
		ret_act->rule_name[0] = '\0';
		if (kept->record.rule != 0)
			ret_act->rule = rule_named(observer, ret_act->name);
		add_rule_name(observer, ret_act);
	} else if (observer->told_slot != BELAY__NO_SLOT) {
		belay__about_process(observer, observer->told_slot, ret_act);
	} else {
		return false;
	}
	ret_act->on = event->kind == BELAY_EVENT_STALL ? BELAY__ACT_ON_STALL : BELAY__ACT_ON_END;
	ret_act->end = (uint8_t)event->end;
	ret_act->code = event->code;
	(void)snprintf(ret_act->evidence, sizeof(ret_act->evidence), "%s", event->evidence);
	return true;
}
