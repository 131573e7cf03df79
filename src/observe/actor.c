#include "observe/actor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/about.h"
#include "observe/actor_internal.h"

#define PROGRESS_EVERY_NS BELAY__NS_PER_S

struct belay__loop *belay__actor_loop(const struct belay__actor *actor)
{
	return belay__observer_loop(actor->needs.observer);
}

static void on_progress(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__actor *actor = timer->data;

	(void)belay__courier_send_now(&actor->courier, BELAY__MSG_PROGRESS,
		&(struct belay__msg_nothing){ 0 }, sizeof(struct belay__msg_nothing));
	belay__timer_set(belay__actor_loop(actor), timer, now_ns + PROGRESS_EVERY_NS, on_progress,
		actor);
}

void belay__actor_configured(struct belay__actor *actor)
{
	const struct belay__observe_options *options = actor->needs.options;

	/* Other rules may have left somebody by a mass stall. */
	belay__actor_go_on_offering(actor);
	actor->progress.data = actor;
	if (options->deadman[0] == '\0' && options->alert[0] == '\0')
		belay__timer_clear(&actor->progress);
	else if (actor->progress.next == NULL)
		on_progress(&actor->progress, belay__clock_ns(CLOCK_MONOTONIC));
}

const struct belay__rule *belay__actor_rule(const struct belay__actor *actor, uint16_t rule)
{
	return rule != 0 && rule <= *actor->needs.rule_count ? &actor->needs.rules[rule - 1] : NULL;
}

bool belay__actor_describe(const struct belay__actor *actor, const struct belay_event *event,
	struct belay__msg_act *act)
{
	if (!belay__about_event(actor->needs.observer, event, act))
		return false;
	act->seq = belay__teller_last_seq(actor->needs.teller);
	return true;
}

bool belay__actor_is_paused(const struct belay__actor *actor, const struct belay__msg_act *act)
{
	return belay__paused_until(actor->needs.observer, act->name, act->uid, act->pid) != 0;
}

/* --- events --- */

static void on_end(struct belay__actor *actor, const struct belay_event *event)
{
	static struct belay__doing doing;
	struct belay__msg_act act;

	if (event->end == BELAY_END_LEFT || !belay__actor_describe(actor, event, &act))
		return;
	belay__doing_of(actor->needs.options, belay__actor_rule(actor, act.rule), &doing);
	if (doing.on_exit[0] == '\0')
		return;
	if (belay__actor_is_paused(actor, &act))
		belay__actor_withhold(actor, &act, BELAY__ACTED_PAUSED, "it is paused");
	else
		belay__actor_ask_once(actor, &act);
}

void belay__actor_heard(struct belay__actor *actor, const struct belay_event *event)
{
	bool has_alert = belay__alerting_is_on(&actor->alerting);

	if (event->kind == BELAY_EVENT_STALL) {
		belay__actor_stalled(actor, event);
		return;
	}
	/* Both before anything else is told: the line told last is its alert's. */
	if (has_alert)
		belay__alerting_heard(&actor->alerting, event);
	if (event->kind == BELAY_EVENT_END)
		on_end(actor, event);
	else if (event->kind == BELAY_EVENT_MASS_STALL_OVER)
		belay__actor_go_on_offering(actor);
	if (event->kind != BELAY_EVENT_MASS_STALL)
		return;
	belay__crowds_told(actor->needs.observer);
	if (actor->held_count > 0)
		belay__actor_review(actor);
}

/* --- what people ask for --- */

int belay__actor_plan(struct belay__actor *actor, uint32_t at, bool really, uint64_t request)
{
	const struct belay_observer *observer = actor->needs.observer;
	const struct belay__slot *slot = &observer->table.slots[at];
	struct belay__msg_plan plan = { .request = request, .really = really };

	belay__about_process(observer, at, &plan.act);
	if (!(slot->flags & BELAY__SLOT_STALLED))
		plan.act.verdict = BELAY__VERDICT_NONE;
	(void)snprintf(plan.act.evidence, sizeof(plan.act.evidence), "%s",
		slot->flags & BELAY__SLOT_STALLED ? observer->watches[slot->record].evidence
						  : "asked for by a person");
	return belay__courier_send_now(&actor->courier, BELAY__MSG_PLAN, &plan, sizeof(plan));
}

int belay__actor_alert_test(struct belay__actor *actor, uint64_t request)
{
	struct belay__msg_alert alert = { .kind = BELAY__ALERT_TEST,
		.uid = actor->needs.observer->own_uid,
		.request = request };
	struct belay__json_writer json;
	struct belay__text text, stamp;
	char time[40];

	if (!belay__alerting_is_on(&actor->alerting))
		return -ENOENT;
	belay__text_init(&stamp, time, sizeof(time));
	belay__text_add_time(&stamp, belay__clock_ns(CLOCK_REALTIME));
	belay__text_init(&text, alert.line, sizeof(alert.line));
	belay__json_start(&json, &text);
	belay__json_object(&json, NULL);
	belay__json_string(&json, "time", time);
	belay__json_string(&json, "event", "test");
	belay__json_string(&json, "text", "a test of the alert command: nothing is wrong");
	belay__json_end_object(&json);
	alert.len = (uint32_t)text.len;
	return belay__courier_send_now(&actor->courier, BELAY__MSG_ALERT, &alert, sizeof(alert));
}

/* --- its life --- */

static int allocate(struct belay__actor *actor)
{
	actor->capacity = actor->needs.observer->options.capacity;
	actor->known = calloc(actor->capacity, sizeof(*actor->known));
	actor->held = calloc(actor->capacity, sizeof(*actor->held));
	actor->order = calloc(actor->capacity, sizeof(*actor->order));
	actor->freed = calloc(actor->capacity, sizeof(*actor->freed));
	if (actor->known == NULL || actor->held == NULL || actor->order == NULL ||
		actor->freed == NULL)
		return -ENOMEM;
	for (uint32_t i = 0; i < actor->capacity; i++)
		actor->order[i] = i;
	return 0;
}

int belay__actor_new(const struct belay__actor_needs *needs, struct belay__actor **ret_actor)
{
	struct belay__actor *actor = calloc(1, sizeof(*actor));

	if (actor == NULL)
		return -ENOMEM;
	actor->needs = *needs;
	actor->alerting.observer = needs->observer;
	actor->alerting.teller = needs->teller;
	actor->alerting.options = needs->options;
	actor->alerting.courier = &actor->courier;
	belay__actor_start_courier(actor);
	if (allocate(actor) < 0) {
		belay__actor_free(actor);
		return -ENOMEM;
	}
	actor->offers.data = actor;
	if (belay__alerting_is_on(&actor->alerting))
		belay__alerting_begin(&actor->alerting);
	belay__actor_take_over(actor);
	belay__actor_configured(actor);
	*ret_actor = actor;
	return 0;
}

struct belay__actor *belay__actor_free(struct belay__actor *actor)
{
	if (actor == NULL)
		return NULL;
	belay__timer_clear(&actor->progress);
	belay__timer_clear(&actor->review);
	belay__timer_clear(&actor->offers);
	belay__courier_done(&actor->courier);
	free(actor->known);
	free(actor->held);
	free(actor->order);
	free(actor->freed);
	free(actor);
	return NULL;
}

const uint64_t *belay__actor_outcomes(const struct belay__actor *actor)
{
	return actor->outcomes;
}

const struct belay__msg_runner_counts *belay__actor_runner_counts(const struct belay__actor *actor)
{
	return &actor->counts;
}

uint64_t belay__actor_alerts_lost(const struct belay__actor *actor)
{
	return actor->alerting.lost;
}
