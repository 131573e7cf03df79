/* What the gate's actor and the runner say to each other. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "observe/about.h"
#include "observe/actor_internal.h"

/* --- what the runner says --- */

static void tell_acted(struct belay__actor *actor, const struct belay__msg_acted *acted)
{
	actor->outcomes[acted->outcome]++;
	belay__teller_acted(actor->needs.teller, acted);
	belay__alerting_acted(&actor->alerting, acted);
}

/* Whether nothing more comes of the silence. */
static bool is_final(const struct belay__msg_acted *acted)
{
	static const bool not_yet[BELAY__ACTED_COUNT] = {
		[BELAY__ACTED_STARTED] = true,
		[BELAY__ACTED_ADOPTED] = true,
		[BELAY__ACTED_BACK_OFF] = true,
		[BELAY__ACTED_LIMIT] = true,
		[BELAY__ACTED_IN_FLIGHT] = true,
		[BELAY__ACTED_DEBOUNCED] = true,
	};

	if (acted->outcome == BELAY__ACTED_REPORTED || acted->outcome == BELAY__ACTED_SIGNALLED)
		return acted->last;
	return !not_yet[acted->outcome];
}

/* Nothing is owed any more to the process of ACTED; unless it fell silent again since. */
static void settle(struct belay__actor *actor, const struct belay__msg_acted *acted)
{
	struct belay__table *table = &actor->needs.observer->table;
	uint32_t at = belay__table_find(table, acted->pid);
	uint64_t seq;

	if (at == BELAY__NO_SLOT || table->slots[at].start_ticks != acted->start_ticks)
		return;
	seq = actor->known[table->slots[at].record].seq;
	if (seq == 0 || acted->seq == 0 || seq == acted->seq)
		table->slots[at].flags &= (uint8_t)~BELAY__SLOT_UNSETTLED;
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
	if (acted.on == BELAY__ACT_ON_STALL && is_final(&acted))
		settle(actor, &acted);
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

static int on_alerted(void *data, const void *record, int fd_consume)
{
	struct belay__actor *actor = data;

	(void)fd_consume;
	belay__alert_handed_over(&actor->alerting, ((const struct belay__msg_alerted *)record)->seq);
	return 0;
}

static int on_open(void *data, const void *record, int fd_consume)
{
	struct belay__msg_open open = *(const struct belay__msg_open *)record;
	struct belay__actor *actor = data;

	(void)fd_consume;
	if (open.kind >= BELAY__ALERT_KIND_COUNT)
		return -EPROTO;
	open.name[sizeof(open.name) - 1] = '\0';
	belay__alert_is_open(&actor->alerting, (enum belay__alert_kind)open.kind, open.uid,
		open.name);
	return 0;
}

static const struct belay__message_rule runner_rules[] = {
	{ BELAY__MSG_ACTED, sizeof(struct belay__msg_acted), BELAY__WITHOUT_FD, on_acted },
	{ BELAY__MSG_PLANNED, sizeof(struct belay__msg_planned), BELAY__WITHOUT_FD, on_planned },
	{ BELAY__MSG_RUNNER_COUNTS, sizeof(struct belay__msg_runner_counts), BELAY__WITHOUT_FD,
		on_counts },
	{ BELAY__MSG_ALERTED, sizeof(struct belay__msg_alerted), BELAY__WITHOUT_FD, on_alerted },
	{ BELAY__MSG_OPEN, sizeof(struct belay__msg_open), BELAY__WITHOUT_FD, on_open },
};

/* --- what is said to it --- */

void belay__actor_withhold(struct belay__actor *actor, const struct belay__msg_act *act,
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

void belay__actor_ask_once(struct belay__actor *actor, const struct belay__msg_act *act)
{
	if (belay__courier_send(&actor->courier, act) < 0)
		belay__actor_withhold(actor, act, BELAY__ACTED_NO_RUNNER,
			"no runner takes it, and too many wait for one already");
}

bool belay__actor_offer(struct belay__actor *actor, uint32_t number,
	const struct belay__msg_act *act)
{
	int r = belay__courier_send_now(&actor->courier, BELAY__MSG_ACT, act, sizeof(*act));

	if (r == -EAGAIN)
		belay__courier_call(&actor->courier);
	if (r < 0)
		return false;
	actor->known[number].offered = actor->runner;
	return true;
}

/* Offers what this runner was not offered. False: it takes no more just now. */
static bool offer_again(struct belay__actor *actor)
{
	const struct belay_observer *observer = actor->needs.observer;
	struct belay__msg_act act;
	unsigned offered = 0;

	for (unsigned looks = 0;
		looks < BELAY__LOOKED_AT_PER_TURN && offered < BELAY__OFFERED_PER_TURN; looks++) {
		uint32_t number = actor->next_offered, at;

		if (number >= actor->capacity)
			return true;
		at = belay__actor_stalled_one(actor, number);
		if (at != BELAY__NO_SLOT &&
			(observer->table.slots[at].flags & BELAY__SLOT_UNSETTLED) &&
			!(observer->table.records[number].marks & BELAY__MARK_HELD) &&
			actor->known[number].offered != actor->runner) {
			belay__actor_describe_again(actor, at, &act);
			if (!belay__actor_offer(actor, number, &act))
				return false;
			offered++;
		}
		actor->next_offered++;
	}
	return true;
}

static void on_offers(struct belay__timer *timer, uint64_t now_ns);

void belay__actor_go_on_offering(struct belay__actor *actor)
{
	belay__timer_set(belay__actor_loop(actor), &actor->offers, belay__clock_ns(CLOCK_MONOTONIC),
		on_offers, actor);
}

static void on_offers(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__actor *actor = timer->data;
	struct belay_observer *observer = actor->needs.observer;
	bool more;

	(void)now_ns;
	observer->now_ns = belay__watch_clock_now(&observer->clock);
	more = belay__actor_take_left(actor) == BELAY__OFFERED_PER_TURN;
	more = (offer_again(actor) && actor->next_offered < actor->capacity) || more;
	if (more)
		belay__actor_go_on_offering(actor);
}

/* The runner takes something again. */
static void has_room(void *data)
{
	struct belay__actor *actor = data;

	belay__alerts_send(&actor->alerting);
	actor->next_offered = 0;
	belay__actor_go_on_offering(actor);
}

void belay__actor_start_courier(struct belay__actor *actor)
{
	belay__courier_init(&actor->courier, belay__actor_loop(actor), runner_rules,
		sizeof(runner_rules) / sizeof(runner_rules[0]), has_room, actor);
}

void belay__actor_runner_take(struct belay__actor *actor, int fd)
{
	belay__courier_take(&actor->courier, fd);
	actor->runner++;
	actor->next_offered = 0;
	belay__alerts_send_again(&actor->alerting);
	belay__actor_go_on_offering(actor);
}
