#include "observe/actor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "observe/about.h"
#include "observe/alerting.h"
#include "observe/core.h"
#include "observe/courier.h"

/* What is held back is looked at so often in a threshold. */
#define REVIEWS_PER_THRESHOLD 16
#define REVIEW_MIN_NS         (5 * BELAY__NS_PER_MS)
#define REVIEW_MAX_NS         (100 * BELAY__NS_PER_MS)
#define PROGRESS_EVERY_NS     BELAY__NS_PER_S

/* A stall that may be one of many. */
struct held {
	bool acts, alerts; /* what it leads to */
	uint8_t list;
	uint16_t crowd;
	uint64_t until_ns; /* the observer's clock */
	struct belay__msg_act act;
	struct belay__msg_alert alert;
};

struct belay__actor {
	struct belay__actor_needs needs;
	struct belay__alerting alerting;
	struct belay__courier courier;
	struct belay__timer progress, review;
	uint64_t outcomes[BELAY__ACTED_COUNT];
	struct belay__msg_runner_counts counts;
	uint32_t held_count;
	uint16_t order[BELAY__ACTOR_HELD_MAX]; /* first the places in use, in their order */
	struct held held[BELAY__ACTOR_HELD_MAX];
};

/* --- what the runner says --- */

static void tell_acted(struct belay__actor *actor, const struct belay__msg_acted *acted)
{
	actor->outcomes[acted->outcome]++;
	belay__teller_acted(actor->needs.teller, acted);
	belay__alerting_acted(&actor->alerting, acted);
}

static int on_acted(void *data, const void *record, int fd_consume)
{
	struct belay__msg_acted acted = *(const struct belay__msg_acted *)record;
	struct belay__actor *actor = data;

	(void)fd_consume;
	/* The runner is trusted with acting, not with our memory. */
	if (acted.outcome >= BELAY__ACTED_COUNT)
		return -EPROTO;
	acted.name[sizeof(acted.name) - 1] = '\0';
	acted.verdict[sizeof(acted.verdict) - 1] = '\0';
	acted.text[sizeof(acted.text) - 1] = '\0';
	tell_acted(actor, &acted);
	return 0;
}

static int on_planned(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_planned *planned = record;
	struct belay__actor *actor = data;

	(void)fd_consume;
	if (planned->len > sizeof(planned->text) || planned->code > 0)
		return -EPROTO;
	belay__door_planned(actor->needs.observer->door, planned->request, planned->code,
		planned->text, planned->len);
	return 0;
}

static int on_counts(void *data, const void *record, int fd_consume)
{
	const struct belay__msg_runner_counts *counts = record;
	struct belay__actor *actor = data;

	(void)fd_consume;
	if (counts->count > BELAY__RUNNER_COUNTS_MAX)
		return -EPROTO;
	actor->counts = *counts;
	return 0;
}

static const struct belay__message_rule runner_rules[] = {
	{ BELAY__MSG_ACTED, sizeof(struct belay__msg_acted), BELAY__WITHOUT_FD, on_acted },
	{ BELAY__MSG_PLANNED, sizeof(struct belay__msg_planned), BELAY__WITHOUT_FD, on_planned },
	{ BELAY__MSG_RUNNER_COUNTS, sizeof(struct belay__msg_runner_counts), BELAY__WITHOUT_FD,
		on_counts },
};

/* --- what is said to it --- */

static struct belay__loop *loop_of(const struct belay__actor *actor)
{
	return belay__observer_loop(actor->needs.observer);
}

static void on_progress(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__actor *actor = timer->data;

	(void)belay__courier_send_now(&actor->courier, BELAY__MSG_PROGRESS,
		&(struct belay__msg_nothing){ 0 }, sizeof(struct belay__msg_nothing));
	belay__timer_set(loop_of(actor), timer, now_ns + PROGRESS_EVERY_NS, on_progress, actor);
}

void belay__actor_configured(struct belay__actor *actor)
{
	const struct belay__observe_options *options = actor->needs.options;

	actor->progress.data = actor;
	if (options->deadman[0] == '\0' && options->alert[0] == '\0')
		belay__timer_clear(&actor->progress);
	else if (actor->progress.next == NULL)
		on_progress(&actor->progress, belay__clock_ns(CLOCK_MONOTONIC));
}

static void withhold(struct belay__actor *actor, const struct belay__msg_act *act,
	enum belay__acted outcome, const char *text)
{
	struct belay__msg_acted acted = {
		.outcome = (uint8_t)outcome,
		.on = act->on,
		.rule = act->rule,
		.pid = act->pid,
		.uid = act->uid,
		.start_ticks = act->start_ticks,
		.seq = act->seq,
		.exit_code = -1,
		.signal = -1,
	};
	const char *why = act->on == BELAY__ACT_ON_STALL
		? belay__verdict_name((enum belay__verdict)act->verdict)
		: belay_end_name((enum belay_end)act->end);

	memcpy(acted.name, act->name, sizeof(acted.name));
	(void)snprintf(acted.verdict, sizeof(acted.verdict), "%s", why);
	(void)snprintf(acted.text, sizeof(acted.text), "%s", text);
	tell_acted(actor, &acted);
}

static void ask_for(struct belay__actor *actor, const struct belay__msg_act *act)
{
	if (belay__courier_send(&actor->courier, BELAY__MSG_ACT, act, sizeof(*act)) < 0)
		withhold(actor, act, BELAY__ACTED_NO_RUNNER,
			"no runner takes it, and too many wait for one already");
}

/* --- what an event is about --- */

static const struct belay__rule *rule_of(const struct belay__actor *actor, uint16_t rule)
{
	return rule != 0 && rule <= *actor->needs.rule_count ? &actor->needs.rules[rule - 1] : NULL;
}

static bool describe(const struct belay__actor *actor, const struct belay_event *event,
	struct belay__msg_act *act)
{
	if (!belay__about_event(actor->needs.observer, event, act))
		return false;
	act->seq = belay__teller_last_seq(actor->needs.teller);
	return true;
}

static bool is_paused(const struct belay__actor *actor, const struct belay__msg_act *act)
{
	return belay__paused_until(actor->needs.observer, act->name, act->uid, act->pid) != 0;
}

/* --- stalls --- */

static void let_go(struct belay__actor *actor, const struct held *stall)
{
	if (is_paused(actor, &stall->act)) {
		if (stall->acts)
			withhold(actor, &stall->act, BELAY__ACTED_PAUSED, "it is paused");
		return;
	}
	/* What is done comes before what is said. */
	if (stall->acts)
		ask_for(actor, &stall->act);
	if (stall->alerts)
		belay__alert_stall(&actor->alerting, &stall->alert, stall->act.pid);
}

/* Whether the process of STALL is as silent as it was. */
static bool goes_on(const struct belay__actor *actor, const struct held *stall)
{
	struct belay__table *table = &actor->needs.observer->table;
	uint32_t at = belay__table_find(table, stall->act.pid);

	return at != BELAY__NO_SLOT && table->slots[at].start_ticks == stall->act.start_ticks &&
		(table->slots[at].flags & BELAY__SLOT_STALLED);
}

/* Decides about STALL as far as it can be decided. False: it is held on. */
static bool decide(struct belay__actor *actor, const struct held *stall, enum belay__outlook outlook)
{
	struct belay_observer *observer = actor->needs.observer;

	if (!goes_on(actor, stall)) {
		if (stall->acts)
			withhold(actor, &stall->act, BELAY__ACTED_RESUMED,
				"it beats again or has ended");
		return true;
	}
	if (outlook == BELAY__MANY) {
		actor->outcomes[BELAY__ACTED_MASS_STALL] += stall->acts;
		return true;
	}
	if (outlook == BELAY__MAYBE_MANY && observer->now_ns < stall->until_ns)
		return false;
	let_go(actor, stall);
	return true;
}

static void on_review(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	belay__actor_review(timer->data);
}

static void arm_review(struct belay__actor *actor)
{
	uint64_t every_ns = REVIEW_MAX_NS;

	for (uint32_t i = 0; i < actor->held_count; i++) {
		uint64_t threshold_ns = actor->held[actor->order[i]].act.threshold_ns;

		if (threshold_ns / REVIEWS_PER_THRESHOLD < every_ns)
			every_ns = threshold_ns / REVIEWS_PER_THRESHOLD;
	}
	if (every_ns < REVIEW_MIN_NS)
		every_ns = REVIEW_MIN_NS;
	if (actor->held_count == 0)
		belay__timer_clear(&actor->review);
	else
		belay__timer_set(loop_of(actor), &actor->review,
			belay__clock_ns(CLOCK_MONOTONIC) + every_ns, on_review, actor);
}

void belay__actor_review(struct belay__actor *actor)
{
	struct belay_observer *observer = actor->needs.observer;
	uint16_t freed[BELAY__ACTOR_HELD_MAX];
	enum belay__outlook outlook = BELAY__ALONE;
	uint32_t kept = 0, freed_count = 0;
	uint16_t crowd = 0;

	observer->now_ns = belay__watch_clock_now(&observer->clock);
	for (uint32_t i = 0; i < actor->held_count; i++) {
		uint16_t at = actor->order[i];

		/* Mostly they are all of one. */
		if (actor->held[at].crowd != crowd) {
			crowd = actor->held[at].crowd;
			outlook = belay__crowd_look(observer, crowd, actor->held[at].list);
		}
		if (decide(actor, &actor->held[at], outlook))
			freed[freed_count++] = at;
		else
			actor->order[kept++] = at;
	}
	for (uint32_t i = 0; i < freed_count; i++)
		actor->order[kept + i] = freed[i];
	actor->held_count = kept;
	arm_review(actor);
}

/* Holds STALL back, or sees to it at once when it cannot be one of many. */
static void hold(struct belay__actor *actor, uint32_t at, struct held *stall)
{
	struct belay_observer *observer = actor->needs.observer;
	enum belay__outlook outlook = belay__crowd_outlook(observer, at, &stall->until_ns);

	if (outlook == BELAY__ALONE) {
		let_go(actor, stall);
	} else if (outlook == BELAY__MANY) {
		actor->outcomes[BELAY__ACTED_MASS_STALL] += stall->acts;
	} else if (actor->held_count == BELAY__ACTOR_HELD_MAX) {
		if (stall->acts)
			withhold(actor, &stall->act, BELAY__ACTED_MASS_STALL,
				"too many went silent at once");
	} else {
		stall->crowd = observer->watches[observer->table.slots[at].record].member.crowd;
		stall->list = observer->table.slots[at].list;
		actor->held[actor->order[actor->held_count++]] = *stall;
		if (actor->review.next == NULL)
			arm_review(actor);
	}
}

static void on_stall(struct belay__actor *actor, const struct belay_event *event)
{
	/* Too large for the stack; it is done with before the next event. */
	static struct held stall;
	static struct belay__doing doing;

	memset(&stall, 0, offsetof(struct held, alert));
	if (!describe(actor, event, &stall.act))
		return;
	belay__doing_of(actor->needs.options, rule_of(actor, stall.act.rule), &doing);
	stall.acts = doing.on_stall[0] != '\0';
	stall.alerts = belay__alerting_is_on(&actor->alerting) &&
		(doing.act_on & 1u << stall.act.verdict) != 0;
	if (!stall.acts && !stall.alerts)
		return;
	if (stall.alerts)
		belay__alert_make(&actor->alerting, BELAY__ALERT_STALL, event->uid, event->name,
			&stall.alert);
	if (belay__is_blamed(stall.act.verdict))
		hold(actor, actor->needs.observer->told_slot, &stall);
	else
		let_go(actor, &stall);
}

/* --- ends --- */

static void on_end(struct belay__actor *actor, const struct belay_event *event)
{
	static struct belay__doing doing;
	struct belay__msg_act act;

	if (event->end == BELAY_END_LEFT || !describe(actor, event, &act))
		return;
	belay__doing_of(actor->needs.options, rule_of(actor, act.rule), &doing);
	if (doing.on_exit[0] == '\0')
		return;
	if (is_paused(actor, &act))
		withhold(actor, &act, BELAY__ACTED_PAUSED, "it is paused");
	else
		ask_for(actor, &act);
}

void belay__actor_heard(struct belay__actor *actor, const struct belay_event *event)
{
	bool has_alert = belay__alerting_is_on(&actor->alerting);

	if (event->kind == BELAY_EVENT_STALL) {
		on_stall(actor, event);
		return;
	}
	/* Both before anything else is told: the line told last is its alert's. */
	if (has_alert)
		belay__alerting_heard(&actor->alerting, event);
	if (event->kind == BELAY_EVENT_END)
		on_end(actor, event);
	else if (event->kind == BELAY_EVENT_MASS_STALL && actor->held_count > 0)
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
	for (uint16_t i = 0; i < BELAY__ACTOR_HELD_MAX; i++)
		actor->order[i] = i;
	belay__courier_init(&actor->courier, loop_of(actor), runner_rules,
		sizeof(runner_rules) / sizeof(runner_rules[0]), actor);
	if (belay__alerting_is_on(&actor->alerting))
		belay__alerting_begin(&actor->alerting);
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
	belay__courier_done(&actor->courier);
	free(actor);
	return NULL;
}

void belay__actor_runner_take(struct belay__actor *actor, int fd)
{
	belay__courier_take(&actor->courier, fd);
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
