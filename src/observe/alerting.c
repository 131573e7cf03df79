#include "observe/alerting.h"

#include <string.h>

#include "observe/acting.h"
#include "observe/core.h"

bool belay__alerting_is_on(const struct belay__alerting *alerting)
{
	return alerting->options->alert[0] != '\0';
}

/* An event whose line is longer than an alert's may be is cut down to what it is about. */
static void write_short(const struct belay__msg_alert *alert, struct belay__text *text)
{
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "event", belay__alert_word((enum belay__alert_kind)alert->kind));
	belay__json_string(&json, "name", alert->name);
	belay__json_u64(&json, "uid", alert->uid);
	belay__json_end_object(&json);
}

void belay__alert_make(const struct belay__alerting *alerting, uint8_t kind, uint32_t uid,
	const char *name, struct belay__msg_alert *ret_alert)
{
	struct belay__text text;

	*ret_alert = (struct belay__msg_alert){ .kind = kind, .uid = uid };
	memcpy(ret_alert->name, name, strnlen(name, sizeof(ret_alert->name) - 1));
	belay__text_init(&text, ret_alert->line, sizeof(ret_alert->line));
	belay__text_add(&text, belay__teller_line(alerting->teller));
	if (text.overflowed) {
		belay__text_init(&text, ret_alert->line, sizeof(ret_alert->line));
		write_short(ret_alert, &text);
	}
	ret_alert->len = (uint32_t)text.len;
}

void belay__alert_send(struct belay__alerting *alerting, const struct belay__msg_alert *alert)
{
	if (belay__courier_send(alerting->courier, BELAY__MSG_ALERT, alert, sizeof(*alert)) == 0) {
		alerting->lost_is_told = false;
		return;
	}
	alerting->lost++;
	if (!alerting->lost_is_told)
		belay__teller_note(alerting->teller, "alerts-lost",
			"the runner takes no alerts, and too many wait for it already");
	alerting->lost_is_told = true;
}

void belay__alert_stall(struct belay__alerting *alerting, const struct belay__msg_alert *alert,
	uint32_t pid)
{
	belay__trouble_opens(&alerting->troubles, BELAY__ALERT_STALL, alert->uid, alert->name, pid);
	belay__alert_send(alerting, alert);
}

static void alert(struct belay__alerting *alerting, enum belay__alert_kind kind, uint32_t uid,
	const char *name)
{
	struct belay__msg_alert made;

	belay__alert_make(alerting, (uint8_t)kind, uid, name, &made);
	belay__alert_send(alerting, &made);
}

static void on_beat(struct belay__alerting *alerting, const struct belay_event *event)
{
	struct belay__troubles *troubles = &alerting->troubles;

	if ((event->recovered &&
		    belay__trouble_over(troubles, event->uid, event->name, event->pid)) ||
		(event->first &&
			belay__trouble_replaced(troubles, event->uid, event->name, event->pid)))
		alert(alerting, BELAY__ALERT_RECOVERED, event->uid, event->name);
}

/* The end of a process whose stall people know of is no news: but it may be what ended the stall. */
static void on_end(struct belay__alerting *alerting, const struct belay_event *event)
{
	struct belay__troubles *troubles = &alerting->troubles;
	bool well = event->end == BELAY_END_LEFT ||
		(event->end == BELAY_END_EXITED && event->code == 0);

	if (well) {
		if (belay__trouble_over(troubles, event->uid, event->name, event->pid))
			alert(alerting, BELAY__ALERT_RECOVERED, event->uid, event->name);
		return;
	}
	if (event->end != BELAY_END_UNKNOWN &&
		!belay__trouble_with(troubles, event->uid, event->pid) &&
		belay__paused_until(alerting->observer, event->name, event->uid, event->pid) == 0) {
		belay__trouble_opens(troubles, BELAY__ALERT_CRASH, event->uid, event->name,
			event->pid);
		alert(alerting, BELAY__ALERT_CRASH, event->uid, event->name);
	}
	belay__trouble_gone(troubles, event->uid, event->pid);
}

static void on_group(struct belay__alerting *alerting, const struct belay_event *event)
{
	bool missing = event->kind == BELAY_EVENT_MISSING || event->kind == BELAY_EVENT_COMPLETE;
	bool begins = event->kind == BELAY_EVENT_MISSING || event->kind == BELAY_EVENT_MASS_STALL;
	uint8_t kind = missing ? BELAY__ALERT_MISSING : BELAY__ALERT_MASS_STALL;
	uint32_t uid = missing ? alerting->observer->own_uid : event->uid;

	if (!begins) {
		if (belay__trouble_lifted(&alerting->troubles, kind, uid, event->name))
			alert(alerting, BELAY__ALERT_RECOVERED, uid, event->name);
		return;
	}
	if (missing && belay__paused_until(alerting->observer, event->name, uid, 0) != 0)
		return;
	belay__trouble_opens(&alerting->troubles, kind, uid, event->name, 0);
	alert(alerting, (enum belay__alert_kind)kind, uid, event->name);
}

void belay__alerting_heard(struct belay__alerting *alerting, const struct belay_event *event)
{
	if (!belay__alerting_is_on(alerting))
		return;
	switch (event->kind) {
	case BELAY_EVENT_BEAT:
		on_beat(alerting, event);
		break;
	case BELAY_EVENT_END:
	case BELAY_EVENT_END_STATUS:
		on_end(alerting, event);
		break;
	case BELAY_EVENT_EVICTED:
		belay__trouble_gone(&alerting->troubles, event->uid, event->pid);
		break;
	case BELAY_EVENT_MISSING:
	case BELAY_EVENT_COMPLETE:
	case BELAY_EVENT_MASS_STALL:
	case BELAY_EVENT_MASS_STALL_OVER:
		on_group(alerting, event);
		break;
	case BELAY_EVENT_STALL:
	case BELAY_EVENT_DECODE:
	case BELAY_EVENT_AUTH_FAILURE:
	case BELAY_EVENT_ORIGIN_CONFLICT:
	case BELAY_EVENT_NAMESPACE_CONFLICT:
	case BELAY_EVENT_IO:
	case BELAY_EVENT_CTRL_TRUNCATED:
	case BELAY_EVENT_LATE:
		break;
	}
}

void belay__alerting_acted(struct belay__alerting *alerting, const struct belay__msg_acted *acted)
{
	enum belay__acted outcome = (enum belay__acted)acted->outcome;

	if (belay__alerting_is_on(alerting) && strcmp(belay__acted_event(outcome), "action") == 0 &&
		outcome != BELAY__ACTED_REPORTED && outcome != BELAY__ACTED_LEFT_OFF)
		alert(alerting, BELAY__ALERT_ACTION, acted->uid, acted->name);
}

void belay__alerting_begin(struct belay__alerting *alerting)
{
	struct belay_observer *observer = alerting->observer;
	const struct belay__table *table = &observer->table;

	for (uint32_t at = 0; at < table->slot_count; at++) {
		const struct belay__slot *slot = &table->slots[at];
		const struct belay__record *record;
		uint16_t crowd;

		if (slot->pid == 0 || !(slot->flags & BELAY__SLOT_STALLED) ||
			slot->record == BELAY__NO_RECORD)
			continue;
		record = &table->records[slot->record];
		crowd = observer->watches[slot->record].member.crowd;
		if (belay__is_blamed(record->verdict) &&
			(crowd == 0 || !observer->crowds.crowds[crowd - 1].told))
			belay__trouble_opens(&alerting->troubles, BELAY__ALERT_STALL, record->uid,
				record->name, record->pid);
	}
	for (uint32_t i = 0; i <= BELAY__CROWDS_MAX; i++)
		if (observer->crowds.crowds[i].told)
			belay__trouble_opens(&alerting->troubles, BELAY__ALERT_MASS_STALL,
				observer->crowds.crowds[i].uid, belay__crowd_name(observer, i), 0);
}
