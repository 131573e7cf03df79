/* Stalls that may be one of many, or were: held back, and passed on when it is known. */

#include <stdio.h>
#include <string.h>

#include "observe/about.h"
#include "observe/actor_internal.h"

/* What is held back is looked at so often in a threshold. */
#define REVIEWS_PER_THRESHOLD 16
#define REVIEW_MIN_NS         (5 * BELAY__NS_PER_MS)
#define REVIEW_MAX_NS         (100 * BELAY__NS_PER_MS)

/* What the stall in slot AT, of which STALL says the rest, leads to. False: to nothing. */
static bool leads_on(const struct belay__actor *actor, uint32_t at, struct belay__held_stall *stall)
{
	static struct belay__doing doing; /* too large for the stack */
	struct belay__slot *slot = &actor->needs.observer->table.slots[at];
	const struct belay__msg_act *act = &stall->act;

	belay__doing_of(actor->needs.options, belay__actor_rule(actor, act->rule), &doing);
	stall->acts = doing.on_stall[0] != '\0';
	stall->alerts = belay__alerting_is_on(&actor->alerting) &&
		belay__is_blamed(actor->needs.observer, act->rule, act->verdict);
	if (stall->acts && (doing.act_on & 1u << act->verdict) != 0)
		slot->flags |= BELAY__SLOT_UNSETTLED;
	return stall->acts || stall->alerts;
}

void belay__actor_describe_again(const struct belay__actor *actor, uint32_t at,
	struct belay__msg_act *ret_act)
{
	const struct belay_observer *observer = actor->needs.observer;
	uint32_t number = observer->table.slots[at].record;
	const char *evidence = observer->watches[number].evidence;

	belay__about_process(observer, at, ret_act);
	ret_act->on = BELAY__ACT_ON_STALL;
	ret_act->seq = actor->known[number].seq;
	(void)snprintf(ret_act->evidence, sizeof(ret_act->evidence), "%s",
		evidence[0] != '\0' ? evidence : "told by an observer before this one");
}

/* The stall in slot AT is an ordinary one: it is acted on, and people are told. */
static void pass_on(struct belay__actor *actor, uint32_t at, const struct belay__held_stall *stall)
{
	static struct belay__msg_alert alert; /* too large for the stack */
	struct belay__slot *slot = &actor->needs.observer->table.slots[at];
	struct belay__record *record = &actor->needs.observer->table.records[slot->record];

	record->marks &= (uint8_t)~BELAY__MARK_HELD;
	if (belay__actor_is_paused(actor, &stall->act)) {
		slot->flags &= (uint8_t)~BELAY__SLOT_UNSETTLED;
		if (stall->acts)
			belay__actor_withhold(actor, &stall->act, BELAY__ACTED_PAUSED,
				"it is paused");
		return;
	}
	if (stall->alerts)
		belay__alert_make_stall(&actor->alerting, &stall->act, stall->act.seq, &alert);
	/* What is done comes before what is said. */
	if (slot->flags & BELAY__SLOT_UNSETTLED)
		(void)belay__actor_offer(actor, slot->record, &stall->act);
	else if (stall->acts)
		belay__actor_ask_once(actor, &stall->act);
	if (stall->alerts)
		belay__alert_stall(&actor->alerting, &stall->act, &alert);
}

/* Where the process of STALL is as silent as it was, or BELAY__NO_SLOT. */
static uint32_t find_silent(const struct belay__actor *actor, const struct belay__held_stall *stall)
{
	struct belay__table *table = &actor->needs.observer->table;
	uint32_t at = belay__table_find(table, stall->act.pid);

	if (at == BELAY__NO_SLOT || table->slots[at].start_ticks != stall->act.start_ticks ||
		!(table->slots[at].flags & BELAY__SLOT_STALLED) ||
		table->records[table->slots[at].record].beats != stall->act.beats)
		return BELAY__NO_SLOT;
	return at;
}

/* Decides about STALL, in slot AT, as far as it can be decided. False: it is held on. */
static bool decide(struct belay__actor *actor, uint32_t at, const struct belay__held_stall *stall,
	enum belay__outlook outlook)
{
	struct belay_observer *observer = actor->needs.observer;
	bool waits = observer->now_ns < stall->until_ns;

	if (at == BELAY__NO_SLOT) {
		if (stall->acts && !stall->was_one)
			belay__actor_withhold(actor, &stall->act, BELAY__ACTED_RESUMED,
				"it beats again or has ended");
		return true;
	}
	if (outlook == BELAY__MANY) {
		actor->outcomes[BELAY__ACTED_MASS_STALL] += stall->acts;
		belay__crowd_rejoin(observer, observer->table.slots[at].record);
		return true;
	}
	if (waits && (stall->was_one || outlook == BELAY__MAYBE_MANY))
		return false;
	pass_on(actor, at, stall);
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
		belay__timer_set(belay__actor_loop(actor), &actor->review,
			belay__clock_ns(CLOCK_MONOTONIC) + every_ns, on_review, actor);
}

void belay__actor_review(struct belay__actor *actor)
{
	struct belay_observer *observer = actor->needs.observer;
	enum belay__outlook outlook = BELAY__ALONE;
	uint32_t kept = 0, freed_count = 0;
	uint16_t crowd = 0;

	observer->now_ns = belay__watch_clock_now(&observer->clock);
	for (uint32_t i = 0; i < actor->held_count; i++) {
		struct belay__held_stall *stall = &actor->held[actor->order[i]];
		uint32_t at = find_silent(actor, stall);
		const struct belay__slot *slot = &observer->table.slots[at];

		/* Mostly they are all of one. */
		if (at != BELAY__NO_SLOT && observer->watches[slot->record].member.crowd != crowd) {
			crowd = observer->watches[slot->record].member.crowd;
			outlook = belay__crowd_look(observer, crowd, slot->list);
		}
		if (decide(actor, at, stall, outlook))
			actor->freed[freed_count++] = actor->order[i];
		else
			actor->order[kept++] = actor->order[i];
	}
	memcpy(&actor->order[kept], actor->freed, freed_count * sizeof(actor->freed[0]));
	actor->held_count = kept;
	arm_review(actor);
}

/* Waits with STALL, of the process with record NUMBER. */
static void hold(struct belay__actor *actor, uint32_t number, const struct belay__held_stall *stall)
{
	actor->needs.observer->table.records[number].marks |= BELAY__MARK_HELD;
	/* There is room for one silence of each: others are over. */
	if (actor->held_count == actor->capacity)
		belay__actor_review(actor);
	if (actor->held_count == actor->capacity)
		return;
	actor->held[actor->order[actor->held_count++]] = *stall;
	if (actor->review.next == NULL)
		arm_review(actor);
}

/* Holds STALL, in slot AT, back, or sees to it at once when it cannot be one of many. */
static void consider(struct belay__actor *actor, uint32_t at, struct belay__held_stall *stall)
{
	struct belay_observer *observer = actor->needs.observer;
	uint32_t number = observer->table.slots[at].record;
	enum belay__outlook outlook = belay__crowd_outlook(observer, at, &stall->until_ns);

	if (outlook == BELAY__ALONE) {
		pass_on(actor, at, stall);
	} else if (outlook == BELAY__MANY) {
		actor->outcomes[BELAY__ACTED_MASS_STALL] += stall->acts;
		observer->table.records[number].marks |= BELAY__MARK_HELD;
	} else {
		hold(actor, number, stall);
	}
}

void belay__actor_stalled(struct belay__actor *actor, const struct belay_event *event)
{
	/* It is done with before the next event. */
	static struct belay__held_stall stall;
	uint32_t at = actor->needs.observer->told_slot;

	memset(&stall, 0, sizeof(stall));
	if (!belay__actor_describe(actor, event, &stall.act))
		return;
	actor->known[actor->needs.observer->table.slots[at].record] = (struct belay__offered){
		.seq = stall.act.seq
	};
	if (!leads_on(actor, at, &stall))
		return;
	if (belay__is_blamed(actor->needs.observer, stall.act.rule, stall.act.verdict))
		consider(actor, at, &stall);
	else
		pass_on(actor, at, &stall);
}

/* --- what is owed since before --- */

uint32_t belay__actor_stalled_one(const struct belay__actor *actor, uint32_t number)
{
	struct belay__table *table = &actor->needs.observer->table;
	uint32_t pid = table->records[number].pid;
	uint32_t at = pid != 0 ? belay__table_find(table, pid) : BELAY__NO_SLOT;

	if (at == BELAY__NO_SLOT || table->slots[at].record != number ||
		!(table->slots[at].flags & BELAY__SLOT_STALLED))
		return BELAY__NO_SLOT;
	return at;
}

unsigned belay__actor_take_left(struct belay__actor *actor)
{
	struct belay_observer *observer = actor->needs.observer;
	static struct belay__held_stall stall;
	unsigned taken = 0;
	uint32_t number;

	while (taken < BELAY__OFFERED_PER_TURN &&
		(number = belay__crowds_left_next(observer)) != BELAY__NO_RECORD) {
		uint32_t at = belay__actor_stalled_one(actor, number);

		taken++;
		if (at == BELAY__NO_SLOT ||
			!(observer->table.records[number].marks & BELAY__MARK_HELD))
			continue;
		memset(&stall, 0, sizeof(stall));
		belay__actor_describe_again(actor, at, &stall.act);
		stall.was_one = true;
		stall.until_ns = observer->now_ns + stall.act.threshold_ns;
		if (leads_on(actor, at, &stall))
			hold(actor, number, &stall);
	}
	return taken;
}

void belay__actor_take_over(struct belay__actor *actor)
{
	struct belay_observer *observer = actor->needs.observer;
	static struct belay__held_stall stall;

	for (uint32_t number = 0; number < actor->capacity; number++) {
		uint32_t at = belay__actor_stalled_one(actor, number);
		uint8_t marks = observer->table.records[number].marks;

		if (at == BELAY__NO_SLOT || (marks & (BELAY__MARK_HELD | BELAY__MARK_UNTOLD)) == 0)
			continue;
		memset(&stall, 0, sizeof(stall));
		belay__actor_describe_again(actor, at, &stall.act);
		if (!leads_on(actor, at, &stall))
			continue;
		if (marks & BELAY__MARK_HELD) {
			consider(actor, at, &stall);
		} else if (stall.alerts) {
			static struct belay__msg_alert alert;

			belay__alert_make_stall(&actor->alerting, &stall.act, 0, &alert);
			belay__alert_stall(&actor->alerting, &stall.act, &alert);
		}
	}
}
