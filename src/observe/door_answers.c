/* What is told at the door: processes as JSON lines, counters, the observer itself. */

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "observe/door_internal.h"
#include "observe/remote_process.h"

/* Room that one row may need: a name and some evidence, escaped, and numbers. */
#define ROW_MAX 1024
/* How many places are looked at in a turn: a selection that means nobody must not hold up beats. */
#define STEPS_PER_TURN 1024

static const char *state_of(const struct belay__slot *slot)
{
	static const char *const states[] = { "healthy", "degraded", "critical" };

	return slot->flags & BELAY__SLOT_STALLED
		? "stalled"
		: states[slot->status <= BELAY_CRITICAL ? slot->status : 2];
}

static void add_name(struct belay__json_writer *json, const char *name, uint8_t source,
	uint32_t uid, uint32_t asker)
{
	char full[BELAY__NAME_MAX + 24];
	struct belay__text text;

	belay__text_init(&text, full, sizeof(full));
	if (uid != asker && belay__name_self_given((enum belay__name_source)source)) {
		belay__text_add_u64(&text, uid);
		belay__text_add(&text, "/");
	}
	belay__text_add(&text, name);
	belay__json_string(json, "name", full);
}

static void add_stall(struct belay__json_writer *json, const struct belay_observer *observer,
	const struct belay__slot *slot, const struct belay__record *record)
{
	if (slot->flags & BELAY__SLOT_STALLED) {
		belay__json_string(json, "verdict",
			belay__verdict_name((enum belay__verdict)record->verdict));
		belay__json_string(json, "evidence", observer->watches[slot->record].evidence);
	} else {
		belay__json_null(json, "verdict");
		belay__json_null(json, "evidence");
	}
}

static void add_pause(struct belay__json_writer *json, const struct belay_observer *observer,
	const char *name, uint32_t uid, uint32_t pid)
{
	uint64_t until_ns = belay__paused_until(observer, name, uid, pid);
	char time[40];
	struct belay__text text;

	if (until_ns == 0) {
		belay__json_null(json, "paused_until");
		return;
	}
	belay__text_init(&text, time, sizeof(time));
	belay__text_add_time(&text, until_ns);
	belay__json_string(json, "paused_until", time);
}

static void add_process(struct belay__client *client, const struct belay__slot *slot,
	const struct belay__record *record, struct belay__text *text)
{
	const struct belay_observer *observer = client->door->observer;
	struct belay__json_writer json;
	uint64_t silent_ns = observer->now_ns - slot->last_ns;
	bool due = slot->flags & BELAY__SLOT_LINKED && slot->due_ns > observer->now_ns;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	add_name(&json, record->name, record->name_source, record->uid, client->uid);
	belay__json_process(&json, slot->pid, record->uid, record->name);
	belay__json_u64(&json, "start_ticks", slot->start_ticks);
	belay__json_string(&json, "state", state_of(slot));
	belay__json_string(&json, "status", belay_status_name((enum belay_status)slot->status));
	add_stall(&json, observer, slot, record);
	belay__json_seconds(&json, "silent_s", silent_ns);
	belay__json_seconds(&json, "threshold_s", observer->table.deadlines.length_ns[slot->list]);
	belay__json_seconds(&json, "due_s", due ? slot->due_ns - observer->now_ns : 0);
	belay__json_u64(&json, "beats", record->beats);
	belay__json_u64(&json, "payload", record->payload);
	belay__json_u64(&json, "nonce", slot->last_nonce);
	belay__json_u64(&json, "stalls", record->stalls);
	belay__json_string(&json, "origin", belay_origin_name((enum belay_origin)slot->origin));
	belay__json_seconds(&json, "watched_s",
		belay__clock_ns(CLOCK_REALTIME) - record->first_realtime_ns);
	if (record->rule != 0)
		belay__json_string(&json, "rule", observer->rules[record->rule - 1].name);
	else
		belay__json_null(&json, "rule");
	add_pause(&json, observer, record->name, record->uid, record->pid);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

static void add_departed(struct belay__client *client, const struct belay__departed *departed,
	struct belay__text *text)
{
	const struct belay_observer *observer = client->door->observer;
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	add_name(&json, departed->name, BELAY__NAME_RULE, departed->uid, client->uid);
	belay__json_process(&json, departed->pid, departed->uid, departed->name);
	belay__json_u64(&json, "start_ticks", departed->start_ticks);
	belay__json_string(&json, "state", "ended");
	belay__json_string(&json, "end", belay_end_name((enum belay_end)departed->end));
	belay__json_i64(&json, "code", departed->code);
	belay__json_seconds(&json, "ended_s", observer->now_ns - departed->at_ns);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

static void add_missing(const struct belay_observer *observer, uint32_t rule,
	struct belay__text *text)
{
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "name", observer->rules[rule].name);
	belay__json_string(&json, "state", "missing");
	belay__json_u64(&json, "expected", observer->rules[rule].expect);
	belay__json_u64(&json, "beating", observer->rule_beating[rule]);
	add_pause(&json, observer, observer->rules[rule].name, observer->own_uid, 0);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

/* Adds the row that CURSOR stands for, if there is one and it is meant. Returns 1 when it was
 * added. */
static uint32_t add_row(struct belay__client *client, uint32_t cursor, struct belay__text *text)
{
	struct belay_observer *observer = client->door->observer;
	uint32_t capacity = observer->table.capacity;

	if (cursor < capacity) {
		const struct belay__record *record = &observer->table.records[cursor];
		uint32_t at = record->pid != 0 ? belay__table_find(&observer->table, record->pid)
					       : BELAY__NO_SLOT;

		if (at == BELAY__NO_SLOT || observer->table.slots[at].record != cursor ||
			!belay__selects(client->selection, record->name, record->uid, record->pid))
			return 0;
		add_process(client, &observer->table.slots[at], record, text);
		return 1;
	}
	if (cursor < capacity + BELAY__DEPARTED_MAX) {
		const struct belay__departed *departed = &observer->departed[cursor - capacity];

		if (departed->pid == 0 || departed->hidden ||
			!belay__selects(client->selection, departed->name, departed->uid,
				departed->pid))
			return 0;
		add_departed(client, departed, text);
		return 1;
	}
	cursor -= capacity + BELAY__DEPARTED_MAX;
	if (observer->rule_beating[cursor] >= observer->rules[cursor].expect ||
		!observer->rule_missing_told[cursor] ||
		!belay__selects(client->selection, observer->rules[cursor].name, observer->own_uid,
			0))
		return 0;
	add_missing(observer, cursor, text);
	return 1;
}

bool belay__door_status(struct belay__client *client, struct belay__text *text)
{
	const struct belay_observer *observer = client->door->observer;
	uint32_t end = observer->table.capacity + BELAY__DEPARTED_MAX + observer->rule_count;

	for (unsigned steps = 0;
		client->cursor < end && steps < STEPS_PER_TURN && text->len + ROW_MAX < text->size;
		client->cursor++, steps++)
		client->rows += add_row(client, client->cursor, text);
	return client->cursor < end;
}

void belay__door_counters(struct belay__door *door, struct belay__text *text)
{
	static struct belay_counter counters[BELAY__COUNTER_COUNT];
	struct belay__json_writer json;
	bool open = false;

	belay_observer_counters(door->observer, counters, BELAY__COUNTER_COUNT);
	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	for (unsigned i = 0; i < BELAY__COUNTER_COUNT; i++) {
		const struct belay_counter *counter = &counters[i];
		bool first = i == 0 || strcmp(counter->name, counters[i - 1].name) != 0;

		if (first && open) {
			belay__json_end_object(&json);
			open = false;
		}
		if (counter->label[0] == '\0') {
			belay__json_u64(&json, counter->name, counter->value);
			continue;
		}
		if (!open)
			belay__json_object(&json, counter->name);
		open = true;
		belay__json_u64(&json, counter->label, counter->value);
	}
	if (open)
		belay__json_end_object(&json);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

void belay__door_self(struct belay__door *door, struct belay__text *text)
{
	const struct belay_observer *observer = door->observer;
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "version", BELAY_VERSION);
	belay__json_u64(&json, "uid", observer->own_uid);
	belay__json_seconds(&json, "uptime_s", observer->clock.now_ns - observer->clock.start_ns);
	belay__json_seconds(&json, "threshold_s", observer->options.threshold_ms * BELAY__NS_PER_MS);
	belay__json_u64(&json, "capacity", observer->table.capacity);
	belay__json_u64(&json, "tracked", observer->table.used);
	belay__json_u64(&json, "queue_wanted", observer->table.used - observer->far_used[0]);
	belay__json_u64(&json, "queue_frames",
		observer->listener_count > 0 ? observer->listeners[0].queue_frames : 0);
	belay__json_bool(&json, "collecting", observer->collecting);
	belay__json_seconds(&json, "credit_s", observer->clock.credit_ns);
	if (door->host.self != NULL)
		door->host.self(door->host.data, &json);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}
