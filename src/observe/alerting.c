#include "observe/alerting.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "identity/verdict.h"
#include "observe/core.h"
#include "observe/event_json.h"
#include "observe/remote_process.h"

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
	belay__json_uid(&json, alert->uid);
	belay__json_end_object(&json);
}

/* --- on the way --- */

static struct belay__kept_alert *kept_at(struct belay__alerting *alerting, uint32_t i)
{
	return &alerting->kept[(alerting->first + i) % BELAY__ALERTS_KEPT];
}

static void drop_first(struct belay__alerting *alerting)
{
	alerting->first = (alerting->first + 1) % BELAY__ALERTS_KEPT;
	alerting->count--;
	if (alerting->sent > 0)
		alerting->sent--;
}

void belay__alerts_send(struct belay__alerting *alerting)
{
	while (alerting->sent < alerting->count) {
		const struct belay__kept_alert *kept = kept_at(alerting, alerting->sent);
		int r = kept->handed_over
			? 0
			: belay__courier_send_now(alerting->courier, BELAY__MSG_ALERT, &kept->alert,
				  sizeof(kept->alert));

		if (r == -EAGAIN)
			belay__courier_call(alerting->courier);
		if (r < 0)
			return;
		alerting->sent++;
	}
	alerting->lost_is_told = false;
}

void belay__alerts_send_again(struct belay__alerting *alerting)
{
	for (uint32_t i = 0; i < alerting->sent; i++)
		kept_at(alerting, i)->alert.again = 1;
	alerting->sent = 0;
	belay__alerts_send(alerting);
}

static void lose(struct belay__alerting *alerting)
{
	alerting->lost++;
	if (!alerting->lost_is_told)
		belay__teller_note(alerting->teller, "alerts-lost",
			"the runner takes no alerts, and too many wait for it already");
	alerting->lost_is_told = true;
}

/* ALERT is about the stall of PID; 0: about something else. */
static void send(struct belay__alerting *alerting, const struct belay__msg_alert *alert,
	uint32_t pid, uint64_t start_ticks)
{
	struct belay__kept_alert *kept;

	if (alerting->count == BELAY__ALERTS_KEPT && alerting->sent == 0) {
		lose(alerting);
		return;
	}
	if (alerting->count == BELAY__ALERTS_KEPT)
		drop_first(alerting);
	kept = kept_at(alerting, alerting->count++);
	kept->handed_over = false;
	kept->pid = pid;
	kept->start_ticks = start_ticks;
	kept->alert = *alert;
	belay__alerts_send(alerting);
}

/* The record of the process of KEPT, if it is silent still; or NULL. */
static struct belay__record *silent_one(const struct belay__alerting *alerting,
	const struct belay__kept_alert *kept)
{
	struct belay__table *table = &alerting->observer->table;
	uint32_t at = kept->pid != 0 ? belay__table_find(table, kept->pid) : BELAY__NO_SLOT;

	if (at == BELAY__NO_SLOT || table->slots[at].start_ticks != kept->start_ticks)
		return NULL;
	return &table->records[table->slots[at].record];
}

void belay__alert_handed_over(struct belay__alerting *alerting, uint64_t seq)
{
	for (uint32_t i = 0; i < alerting->sent; i++) {
		struct belay__kept_alert *kept = kept_at(alerting, i);
		struct belay__record *record;

		if (kept->handed_over || kept->alert.seq != seq)
			continue;
		kept->handed_over = true;
		record = silent_one(alerting, kept);
		if (record != NULL)
			record->marks &= (uint8_t)~BELAY__MARK_UNTOLD;
		break;
	}
	while (alerting->count > 0 && kept_at(alerting, 0)->handed_over)
		drop_first(alerting);
}

/* --- stalls --- */

static void begin(struct belay__msg_alert *alert, uint8_t kind, uint64_t seq, uint32_t uid,
	const char *name, struct belay__text *text)
{
	*alert = (struct belay__msg_alert){ .kind = kind, .seq = seq, .uid = uid };
	memcpy(alert->name, name, strnlen(name, sizeof(alert->name) - 1));
	belay__text_init(text, alert->line, sizeof(alert->line));
}

static void finish(struct belay__msg_alert *alert, struct belay__text *text)
{
	if (text->overflowed) {
		belay__text_init(text, alert->line, sizeof(alert->line));
		write_short(alert, text);
	}
	alert->len = (uint32_t)text->len;
}

/* ACT's stall as an event; it was told long ago, or by another observer. */
static void write_stall(const struct belay__msg_act *act, uint64_t seq, struct belay__text *text)
{
	const struct belay_event event = {
		.kind = BELAY_EVENT_STALL,
		.pid = act->pid,
		.uid = act->uid,
		.start_ticks = act->start_ticks,
		.name = act->name,
		.verdict = belay__verdict_name((enum belay__verdict)act->verdict),
		.evidence = act->evidence,
		.silent_ns = act->silent_ns,
		.threshold_ns = act->threshold_ns,
		.status = (enum belay_status)act->status,
		.origin = (enum belay_origin)act->origin,
	};

	belay__event_write(&event, seq, belay__clock_ns(CLOCK_REALTIME), 1, text);
	if (!text->overflowed)
		text->chars[--text->len] = '\0'; /* its newline */
}

/* Fills *ret_alert with the line told last. */
static void make(const struct belay__alerting *alerting, uint8_t kind, uint32_t uid,
	const char *name, struct belay__msg_alert *ret_alert)
{
	struct belay__text text;

	begin(ret_alert, kind, belay__teller_last_seq(alerting->teller), uid, name, &text);
	belay__text_add(&text, belay__teller_line(alerting->teller));
	finish(ret_alert, &text);
}

void belay__alert_make_stall(const struct belay__alerting *alerting,
	const struct belay__msg_act *act, uint64_t seq, struct belay__msg_alert *ret_alert)
{
	struct belay__text text;

	if (seq != 0 && seq == belay__teller_last_seq(alerting->teller)) {
		make(alerting, BELAY__ALERT_STALL, act->uid, act->name, ret_alert);
		return;
	}
	if (seq == 0)
		seq = belay__teller_last_seq(alerting->teller);
	begin(ret_alert, BELAY__ALERT_STALL, seq, act->uid, act->name, &text);
	write_stall(act, seq, &text);
	finish(ret_alert, &text);
}

void belay__alert_stall(struct belay__alerting *alerting, const struct belay__msg_act *act,
	const struct belay__msg_alert *alert)
{
	struct belay__table *table = &alerting->observer->table;
	uint32_t at = belay__table_find(table, act->pid);

	if (!belay__trouble_with(&alerting->troubles, act->uid, act->pid))
		belay__trouble_opens(&alerting->troubles, BELAY__ALERT_STALL, act->uid, act->name,
			act->pid);
	if (at != BELAY__NO_SLOT && table->slots[at].start_ticks == act->start_ticks)
		table->records[table->slots[at].record].marks |= BELAY__MARK_UNTOLD;
	send(alerting, alert, act->pid, act->start_ticks);
}

/* --- everything else --- */

static void alert(struct belay__alerting *alerting, enum belay__alert_kind kind, uint32_t uid,
	const char *name)
{
	/* Too large for the stack. */
	static struct belay__msg_alert made;

	make(alerting, (uint8_t)kind, uid, name, &made);
	send(alerting, &made, 0, 0);
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

/* Of which rule people were told that somebody is missing: that all are there is told, too. */
static void missing_is_told(struct belay_observer *observer, const char *name)
{
	for (uint32_t i = 0; i < observer->rule_count; i++)
		if (strcmp(observer->rules[i].name, name) == 0) {
			observer->rule_missing_told[i] = true;
			observer->rule_missing_due_ns[i] = UINT64_MAX;
		}
}

void belay__alert_is_open(struct belay__alerting *alerting, enum belay__alert_kind kind,
	uint32_t uid, const char *name)
{
	struct belay__troubles *troubles = &alerting->troubles;

	if (!belay__alerting_is_on(alerting) ||
		belay__trouble_is_open(troubles, (uint8_t)kind, uid, name))
		return;
	if (kind == BELAY__ALERT_STALL || kind == BELAY__ALERT_CRASH) {
		belay__trouble_inherited(troubles, (uint8_t)kind, uid, name);
	} else if (kind == BELAY__ALERT_MISSING) {
		belay__trouble_opens(troubles, (uint8_t)kind, uid, name, 0);
		missing_is_told(alerting->observer, name);
	} else if (kind == BELAY__ALERT_MASS_STALL) {
		belay__trouble_opens(troubles, (uint8_t)kind, uid, name, 0);
		belay__crowds_known(alerting->observer, name, uid);
	}
}

/* The record of the process in SLOT when people were told of its silence, or NULL. */
static const struct belay__record *told_one(const struct belay_observer *observer,
	const struct belay__slot *slot)
{
	const struct belay__record *record;

	if (slot->pid == 0 || !(slot->flags & BELAY__SLOT_STALLED) ||
		slot->record == BELAY__NO_RECORD)
		return NULL;
	record = &observer->table.records[slot->record];
	return !(record->marks & (BELAY__MARK_HELD | BELAY__MARK_IN_MASS)) &&
			belay__is_blamed(observer, record->rule, record->verdict)
		? record
		: NULL;
}

void belay__alerting_begin(struct belay__alerting *alerting)
{
	struct belay_observer *observer = alerting->observer;
	const struct belay__table *table = &observer->table;

	for (uint32_t at = 0; at < table->slot_count; at++) {
		const struct belay__record *record = told_one(observer, &table->slots[at]);

		if (record != NULL)
			belay__trouble_opens(&alerting->troubles, BELAY__ALERT_STALL, record->uid,
				record->name, record->pid);
	}
	for (uint32_t i = 0; i <= BELAY__CROWDS_MAX; i++)
		if (observer->crowds.crowds[i].told || observer->crowds.crowds[i].ends)
			belay__trouble_opens(&alerting->troubles, BELAY__ALERT_MASS_STALL,
				observer->crowds.crowds[i].uid, belay__crowd_name(observer, i), 0);
}
