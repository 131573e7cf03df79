/* Whether an action is due: what is configured, what the runner saw, what the brakes say; and those
 * that are to be looked at again when their brakes let go. */

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
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

static bool has_command(const struct belay__ladder *ladder)
{
	for (size_t i = 0; i < ladder->count; i++)
		if (ladder->steps[i].kind == BELAY__LADDER_COMMAND)
			return true;
	return false;
}

static struct belay__braking braking_of(const struct belay__runner *runner,
	const struct belay__msg_act *act, const struct belay__doing *doing)
{
	return (struct belay__braking){
		.pid = act->pid,
		.uid = act->uid,
		.start_ticks = act->start_ticks,
		.name = act->name,
		.rule = act->rule,
		.healthy_ns = act->healthy_ns,
		.threshold_ns = act->threshold_ns,
		.debounce_ns = runner->config.options.recovery_debounce_ns,
		.limit_count = doing->limit_count,
		.limit_window_ns = doing->limit_window_ns,
	};
}

void belay__runner_arm(struct belay__runner *runner, const struct belay__msg_act *act)
{
	struct belay__doing doing;
	struct belay__braking braking;

	belay__doing_of(&runner->config.options, belay__runner_rule(runner, act), &doing);
	braking = braking_of(runner, act, &doing);
	belay__brakes_acted(runner->brakes, &braking, belay__clock_ns(CLOCK_MONOTONIC));
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

/* What is configured, and whether the verdict is acted on. False: nothing is. */
static bool configured(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__doing *doing, struct belay__decision *decision)
{
	decision->outcome = BELAY__ACTED_REPORTED;
	decision->wait_ns = 0;
	decision->why[0] = '\0';
	decision->subject = (struct belay__subject){ .pidfd = -EBADF };
	belay__doing_of(&runner->config.options, belay__runner_rule(runner, act), doing);
	if (!read_ladder(act, doing, decision)) {
		(void)answer(decision, BELAY__ACTED_VERDICT, "nothing is to be done about it");
		return false;
	}
	if (act->on == BELAY__ACT_ON_STALL && (forgiven & BELAY__FORGIVE_VERDICT) == 0 &&
		(act->verdict >= BELAY__VERDICT_COUNT || (doing->act_on & 1u << act->verdict) == 0))
		(void)answer(decision, BELAY__ACTED_VERDICT, "what is %s is not acted on (act-on)",
			belay__act_verdict(act));
	return true;
}

static void look(struct belay__runner *runner, const struct belay__msg_act *act, unsigned forgiven,
	struct belay__decision *decision)
{
	decision->outcome = (enum belay__acted)belay__runner_check(runner, act,
		(forgiven & BELAY__FORGIVE_BEATS) != 0, has_command(&decision->ladder),
		&decision->subject, decision->why, sizeof(decision->why));
}

bool belay__runner_prepare(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__decision *ret_decision)
{
	struct belay__doing doing;

	if (!configured(runner, act, forgiven, &doing, ret_decision))
		return false;
	if (ret_decision->outcome == BELAY__ACTED_REPORTED)
		look(runner, act, forgiven, ret_decision);
	return true;
}

bool belay__runner_decide(struct belay__runner *runner, const struct belay__msg_act *act,
	unsigned forgiven, struct belay__decision *ret_decision)
{
	struct belay__doing doing;

	if (!configured(runner, act, forgiven, &doing, ret_decision))
		return false;
	if (ret_decision->outcome == BELAY__ACTED_REPORTED)
		look(runner, act, forgiven, ret_decision);
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

/* AGAIN: it was told before that it is held back, and is not told so once more. */
static void act_on(struct belay__runner *runner, const struct belay__msg_act *act, bool asked,
	bool again, struct belay__decision *decision)
{
	if (decision->outcome == BELAY__ACTED_REPORTED && replace_stale(runner, act, decision) == 0) {
		belay__action_begin(runner, act, asked, decision, 0, 0);
		return;
	}
	decision->subject.pidfd = belay__close(decision->subject.pidfd);
	if (!again)
		belay__runner_withheld(runner, act, decision);
	if (is_braked(decision->outcome) && !asked)
		(void)belay__runner_hold(runner,
			&(struct belay__held){ .due_ns = belay__clock_ns(CLOCK_MONOTONIC) +
					decision->wait_ns,
				.act = *act });
}

enum belay__acted belay__runner_act(struct belay__runner *runner, const struct belay__msg_act *act,
	bool asked)
{
	/* One at a time, and too large for the stack. */
	static struct belay__decision decision;

	if (belay__runner_decide(runner, act, asked ? BELAY__FORGIVE_ALL : 0, &decision))
		act_on(runner, act, asked, /* again= */ false, &decision);
	return decision.outcome;
}

/* --- later --- */

/* Somebody else has the name by now: who ended needs no successor any more. */
static bool is_replaced(struct belay__runner *runner, const struct belay__msg_act *act)
{
	const struct belay__state_view *view = belay__runner_view(runner);
	const struct belay__record *records;
	const struct belay__slot *slots;

	if (!belay__state_view_tables(view, &slots, &records))
		return true;
	for (uint32_t i = 0; i < view->capacity; i++)
		if (records[i].pid != 0 && records[i].uid == act->uid &&
			strncmp(records[i].name, act->name, sizeof(records[i].name)) == 0)
			return true;
	return false;
}

static void act_again(struct belay__runner *runner, const struct belay__held *held)
{
	static struct belay__decision decision;

	if (held->journal_id != 0)
		belay__runner_resumed(runner, held);
	else if (held->act.on == BELAY__ACT_ON_END && is_replaced(runner, &held->act))
		return;
	else if (belay__runner_decide(runner, &held->act, 0, &decision))
		act_on(runner, &held->act, false, /* again= */ true, &decision);
}

static void on_held(struct belay__timer *timer, uint64_t now_ns);

static void arm_held(struct belay__runner *runner)
{
	belay__timer_set(runner->loop, &runner->held_timer,
		runner->held != NULL ? runner->held->due_ns : UINT64_MAX, on_held, runner);
}

static void on_held(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__runner *runner = timer->data;

	while (runner->held != NULL && runner->held->due_ns <= now_ns) {
		struct belay__held *held = runner->held;

		runner->held = held->next;
		runner->held_count--;
		act_again(runner, held);
		free(held);
	}
	arm_held(runner);
}

bool belay__runner_hold(struct belay__runner *runner, const struct belay__held *held)
{
	struct belay__held **at = &runner->held;
	struct belay__held *copy;

	if (runner->held_count >= BELAY__HELD_MAX)
		return false;
	copy = malloc(sizeof(*copy));
	if (copy == NULL)
		return false;
	*copy = *held;
	while (*at != NULL && (*at)->due_ns <= copy->due_ns)
		at = &(*at)->next;
	copy->next = *at;
	*at = copy;
	runner->held_count++;
	arm_held(runner);
	return true;
}

void belay__runner_drop_held(struct belay__runner *runner)
{
	while (runner->held != NULL) {
		struct belay__held *held = runner->held;

		runner->held = held->next;
		free(held);
	}
	runner->held_count = 0;
	belay__timer_clear(&runner->held_timer);
}
