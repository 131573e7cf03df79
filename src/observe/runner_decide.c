/* Whether an action is due: what is configured, what the runner saw, what the brakes say; and what
 * comes of it. */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <belay/observer.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "identity/verdict.h"
#include "observe/runner.h"

__attribute__((format(printf, 3, 4))) static bool answer(struct belay__decision *decision,
	enum belay__acted outcome, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	decision->outcome = outcome;
	(void)vsnprintf(decision->why, sizeof(decision->why), format, arguments);
	va_end(arguments);
	return true;
}

/* One command as a ladder: what END has. */
static void make_ladder(const char *command, struct belay__ladder *ladder)
{
	*ladder = (struct belay__ladder){ .count = 1,
		.steps = { { .kind = BELAY__LADDER_COMMAND } } };
	(void)snprintf(ladder->commands, sizeof(ladder->commands), "%s", command);
}

/* False: nothing is to be done. */
static bool read_ladder(const struct belay__msg_act *act, const struct belay__doing *doing,
	struct belay__decision *decision)
{
	bool is_end = act->on == BELAY__ACT_ON_END;
	const char *text = is_end ? doing->on_exit : doing->on_stall;

	if (text[0] == '\0' || (is_end && act->end == BELAY_END_LEFT))
		return false;
	decision->ladder_check = (uint32_t)belay__fnv(text, strlen(text));
	if (is_end)
		make_ladder(text, &decision->ladder);
	else if (belay__ladder_parse(text, belay__action_keys, &decision->ladder, NULL) < 0)
		return false;
	return true;
}

static bool has_step(const struct belay__ladder *ladder, enum belay__step_kind kind)
{
	for (size_t i = 0; i < ladder->count; i++)
		if (ladder->steps[i].kind == kind)
			return true;
	return false;
}

/* The threshold is ours: by the gate's word alone nobody was well for ten of them. */
static struct belay__braking braking_of(const struct belay__runner *runner,
	const struct belay__msg_act *act, const struct belay__doing *doing)
{
	const struct belay__rule *rule = belay__runner_rule(runner, act);
	uint64_t threshold_ns = runner->config.options.threshold_ns;

	if (rule != NULL && rule->threshold_ns != 0)
		threshold_ns = rule->threshold_ns;
	return (struct belay__braking){
		.pid = act->pid,
		.uid = act->uid,
		.start_ticks = act->start_ticks,
		.beats = act->beats,
		.on = act->on,
		.name = act->name,
		.rule = act->rule_name,
		.healthy_ns = act->healthy_ns,
		.threshold_ns = act->threshold_ns > threshold_ns ? act->threshold_ns : threshold_ns,
		.debounce_ns = runner->config.options.recovery_debounce_ns,
		.limit_count = doing->limit_count,
		.limit_window_ns = doing->limit_window_ns,
	};
}

static struct belay__braking braking(const struct belay__runner *runner,
	const struct belay__msg_act *act)
{
	struct belay__doing doing;

	belay__doing_of(&runner->config.options, belay__runner_rule(runner, act), &doing);
	return braking_of(runner, act, &doing);
}

void belay__runner_arm(struct belay__runner *runner, const struct belay__msg_act *act)
{
	const struct belay__braking done = braking(runner, act);

	belay__brakes_acted(runner->brakes, &done, belay__clock_ns(CLOCK_MONOTONIC));
}

bool belay__runner_did(const struct belay__runner *runner, const struct belay__msg_act *act)
{
	const struct belay__braking done = braking(runner, act);

	return belay__brakes_done(runner->brakes, &done);
}

/* Capacity 1 is a way to say "one at a time". */
static uint32_t outstanding_max(const struct belay__runner *runner)
{
	return runner->config.options.capacity < BELAY__OUTSTANDING_MAX
		? (uint32_t)runner->config.options.capacity
		: BELAY__OUTSTANDING_MAX;
}

/* Whether an earlier runner's action on its process is still to be gone on with. */
static bool is_resumed(const struct belay__runner *runner, const struct belay__msg_act *act)
{
	for (const struct belay__held *held = runner->held; held != NULL; held = held->next)
		if (held->journal_id != 0 && held->act.pid == act->pid &&
			held->act.start_ticks == act->start_ticks)
			return true;
	return false;
}

/* In the original's order. */
static bool brake(struct belay__runner *runner, const struct belay__msg_act *act,
	const struct belay__doing *doing, unsigned forgiven, struct belay__decision *decision)
{
	const struct belay__braking wanted = braking_of(runner, act, doing);
	const struct belay__action *running = belay__action_find(runner, act->pid);
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	uint64_t *wait_ns = &decision->wait_ns;

	if (belay__brakes_debounce(runner->brakes, &wanted, now_ns, wait_ns) != 0)
		return answer(decision, BELAY__ACTED_DEBOUNCED,
			"something was done about it just before (--recovery-debounce-ms)");
	if (is_resumed(runner, act) ||
		(running != NULL &&
			(running->act.start_ticks == act->start_ticks ||
				running->act.start_ticks == 0 || act->start_ticks == 0)))
		return answer(decision, BELAY__ACTED_IN_FLIGHT, "something is being done about it");
	if (running == NULL && runner->outstanding >= outstanding_max(runner))
		return answer(decision, BELAY__ACTED_OUTSTANDING_FULL,
			"%u actions are under way, as many as there may be", runner->outstanding);
	if (belay__brakes_room(runner->brakes, &wanted, now_ns) != 0)
		return answer(decision, BELAY__ACTED_DEBOUNCE_FULL,
			"too many processes were acted on to remember another");
	if ((forgiven & BELAY__FORGIVE_BACK_OFF) == 0 &&
		belay__brakes_back_off(runner->brakes, &wanted, now_ns, wait_ns) != 0)
		return answer(decision, BELAY__ACTED_BACK_OFF,
			"the last action on that name was too short a time ago");
	if (belay__brakes_limit(runner->brakes, &wanted, now_ns, wait_ns) != 0)
		return answer(decision, BELAY__ACTED_LIMIT,
			"there were %u actions on its rule in that time (action-limit)",
			doing->limit_count);
	return true;
}

static bool is_paused(const struct belay__runner *runner, const struct belay__msg_act *act)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_REALTIME);

	for (uint32_t i = 0; i < runner->pause_count; i++)
		if (runner->pauses[i].until_realtime_ns > now_ns &&
			belay__selects(runner->pauses[i].pattern, act->name, act->uid, act->pid))
			return true;
	return false;
}

/* What is configured, and whether the verdict is acted on. False: nothing is. */
static bool configured(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__doing *doing, struct belay__decision *decision)
{
	decision->outcome = BELAY__ACTED_REPORTED;
	decision->wait_ns = 0;
	decision->why[0] = '\0';
	decision->subject = (struct belay__subject){ .pidfd = -EBADF };
	decision->ladder.count = 0;
	belay__doing_of(&runner->config.options, belay__runner_rule(runner, act), doing);
	if (act->rule > runner->config.rule_count)
		return answer(decision, BELAY__ACTED_WRONG_RULE, "there is no rule %s (any more)",
			act->rule_name);
	if (!read_ladder(act, doing, decision)) {
		(void)answer(decision, BELAY__ACTED_VERDICT, "nothing is to be done about it");
		return false;
	}
	if (act->on == BELAY__ACT_ON_STALL && (forgiven & BELAY__FORGIVE_VERDICT) == 0 &&
		(act->verdict >= BELAY__VERDICT_COUNT || (doing->act_on & 1u << act->verdict) == 0))
		return answer(decision, BELAY__ACTED_VERDICT, "what is %s is not acted on (act-on)",
			belay__act_verdict(act));
	if ((forgiven & BELAY__FORGIVE_STATE) == 0 && is_paused(runner, act))
		return answer(decision, BELAY__ACTED_PAUSED, "it is paused");
	return true;
}

static void look(struct belay__runner *runner, const struct belay__msg_act *act, unsigned forgiven,
	struct belay__decision *decision)
{
	unsigned needs = 0;

	if (has_step(&decision->ladder, BELAY__LADDER_COMMAND))
		needs |= BELAY__NEEDS_COMMAND;
	if (has_step(&decision->ladder, BELAY__LADDER_SIGNAL))
		needs |= BELAY__NEEDS_SIGNAL;
	decision->outcome = (enum belay__acted)belay__runner_check(runner, act, forgiven, needs,
		&decision->subject, decision->why, sizeof(decision->why));
}

/* What is against ACT but the brakes. False: nothing is configured for it. */
static bool prepare(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__doing *ret_doing, struct belay__decision *ret_decision)
{
	if (!configured(runner, act, forgiven, ret_doing, ret_decision))
		return false;
	if (ret_decision->outcome == BELAY__ACTED_REPORTED)
		look(runner, act, forgiven, ret_decision);
	return true;
}

bool belay__runner_prepare(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__decision *ret_decision)
{
	struct belay__doing doing;

	return prepare(runner, act, forgiven, &doing, ret_decision);
}

bool belay__runner_decide(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__decision *ret_decision)
{
	struct belay__doing doing;

	if (!prepare(runner, act, forgiven, &doing, ret_decision))
		return false;
	if (ret_decision->outcome != BELAY__ACTED_REPORTED)
		return true;
	if (runner->journal == NULL)
		return answer(ret_decision, BELAY__ACTED_NO_JOURNAL,
			"there is no journal to write down what is begun");
	return brake(runner, act, &doing, forgiven, ret_decision);
}

/* --- what comes of it --- */

void belay__runner_withheld(struct belay__runner *runner, const struct belay__msg_act *act,
	const struct belay__decision *decision)
{
	struct belay__msg_acted acted;

	belay__acted_init(&acted, act, decision->outcome);
	acted.wait_ns = decision->wait_ns;
	(void)snprintf(acted.text, sizeof(acted.text), "%s", decision->why);
	belay__books_note(runner, &acted);
	belay__runner_tell(runner, BELAY__MSG_ACTED, &acted, sizeof(acted));
}

/* The pid's last process is gone while something was being done about it. */
static int replace_stale(struct belay__runner *runner, const struct belay__msg_act *act,
	struct belay__decision *decision)
{
	struct belay__action *stale = belay__action_find(runner, act->pid);
	int r = stale != NULL ? belay__action_orphan(stale) : 0;

	if (r == BELAY__ACTED_ORPHANS_FULL)
		(void)answer(decision, BELAY__ACTED_ORPHANS_FULL,
			"too many commands about processes that are gone have not ended yet");
	else if (r != 0)
		(void)answer(decision, BELAY__ACTED_STALE_CHILD,
			"the command about the process that had its pid before cannot be killed");
	return r;
}

static bool is_braked(enum belay__acted outcome)
{
	return outcome == BELAY__ACTED_BACK_OFF || outcome == BELAY__ACTED_LIMIT;
}

/* Holds HELD back until its brake lets go, or its table is there. False: it is not to be, or cannot
 * be, which DECISION says then. */
static bool hold(struct belay__runner *runner, struct belay__held *held,
	struct belay__decision *decision)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);

	if (is_braked(decision->outcome)) {
		held->due_ns = now_ns + decision->wait_ns;
		held->until_ns = held->due_ns + BELAY__TABLE_WITHIN_NS;
	} else if (decision->outcome == BELAY__ACTED_UNVERIFIABLE && now_ns < held->until_ns &&
		belay__runner_lacks_table(runner)) {
		held->due_ns = now_ns + BELAY__TABLE_AGAIN_NS;
	} else {
		return false;
	}
	if (belay__runner_hold(runner, held))
		return true;
	(void)answer(decision, BELAY__ACTED_OUTSTANDING_FULL,
		"%u actions are held back, as many as there may be", runner->held_count);
	return false;
}

void belay__runner_carry_out(struct belay__runner *runner, const struct belay__msg_act *act,
	bool asked, const struct belay__held *before, struct belay__decision *decision)
{
	struct belay__held held = before != NULL
		? *before
		: (struct belay__held){ .act = *act,
			  .until_ns = belay__clock_ns(CLOCK_MONOTONIC) + BELAY__TABLE_WITHIN_NS,
			  .ended_ticks = belay__now_ticks() };
	enum belay__acted told = held.told;

	if (decision->outcome == BELAY__ACTED_REPORTED && replace_stale(runner, act, decision) == 0) {
		belay__action_begin(runner, act, asked, decision, 0, 0);
		return;
	}
	decision->subject.pidfd = belay__close(decision->subject.pidfd);
	held.told = is_braked(decision->outcome) ? decision->outcome : told;
	/* That a table is waited for is nothing to tell: it takes a moment. */
	if (!asked && hold(runner, &held, decision) && held.told == told)
		return;
	if (decision->outcome != told)
		belay__runner_withheld(runner, act, decision);
}

/* Whether this very silence, or end, was acted on, is being acted on or waits for it: the gate asks
 * again when it or an earlier runner was replaced. */
static bool is_known(const struct belay__runner *runner, const struct belay__msg_act *act)
{
	for (const struct belay__action *action = runner->actions; action != NULL;
		action = action->next)
		if (belay__same_act(&action->act, act))
			return true;
	for (const struct belay__held *held = runner->held; held != NULL; held = held->next)
		if (belay__same_act(&held->act, act))
			return true;
	return belay__runner_did(runner, act);
}

enum belay__acted belay__runner_act(struct belay__runner *runner, const struct belay__msg_act *act,
	bool asked)
{
	/* One at a time, and too large for the stack. */
	static struct belay__decision decision;

	if (!asked && is_known(runner, act))
		return BELAY__ACTED_IN_FLIGHT;
	if (belay__runner_decide(runner, act, asked ? BELAY__FORGIVE_ALL : 0, &decision))
		belay__runner_carry_out(runner, act, asked, NULL, &decision);
	return decision.outcome;
}
