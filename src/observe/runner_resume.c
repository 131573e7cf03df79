/* Going on after a crash: what was written down and not begun is begun, what was begun is waited
 * for, and what cannot be known is told as unknown. Nothing is run twice. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <belay/observer.h>

#include "base/clock.h"
#include "base/fd.h"
#include "identity/verdict.h"
#include "observe/runner.h"

#define WAIT_MAX_NS (UINT64_C(24) * 3600 * BELAY__NS_PER_S)

/* The journal's rule holds the rule and the beats, its step all small numbers of an action. The
 * rule is a hash of its name (0: none), because numbers change when rules do. */
struct field {
	unsigned shift, bits;
};
enum { STEP_BITS = 4, ON_BITS = 1, VERDICT_BITS = 4, END_BITS = 2, STATUS_BITS = 2 };
static const struct field rule_field = { 0, 16 }, beats_field = { 16, 48 };
static const struct field step_field = { 0, STEP_BITS }, on_field = { 4, ON_BITS },
			  verdict_field = { 5, VERDICT_BITS }, end_field = { 9, END_BITS },
			  status_field = { 11, STATUS_BITS }, asked_field = { 13, 1 },
			  code_field = { 14, 8 }, check_field = { 22, 10 };
_Static_assert(BELAY__LADDER_STEPS <= 1 << STEP_BITS, "every step fits");
_Static_assert(BELAY__ACT_ON_END < 1 << ON_BITS, "both fit");
_Static_assert(BELAY__VERDICT_COUNT <= 1 << VERDICT_BITS, "every verdict fits");
_Static_assert(BELAY_END_KILLED < 1 << END_BITS, "every end fits");
_Static_assert(BELAY_STALL < 1 << STATUS_BITS, "every status fits");

static uint64_t put(struct field field, uint64_t value)
{
	return (value & ((UINT64_C(1) << field.bits) - 1)) << field.shift;
}

static uint64_t get(struct field field, uint64_t from)
{
	return from >> field.shift & ((UINT64_C(1) << field.bits) - 1);
}

static uint64_t hash_of(const char *name)
{
	uint64_t hash = belay__fnv(name, strlen(name));

	return name[0] == '\0' ? 0 : 1 + hash % UINT16_MAX;
}

struct belay__intent belay__runner_intent(const struct belay__msg_act *act, size_t step, bool asked,
	uint32_t ladder_check)
{
	return (struct belay__intent){
		.pid = (pid_t)act->pid,
		.uid = act->uid,
		.start_ticks = act->start_ticks,
		.rule = put(rule_field, hash_of(act->rule_name)) | put(beats_field, act->beats),
		.step = (uint32_t)(put(step_field, step) | put(on_field, act->on) |
			put(verdict_field, act->verdict) | put(end_field, act->end) |
			put(status_field, act->status) | put(asked_field, asked) |
			put(code_field, (uint64_t)act->code) | put(check_field, ladder_check)),
	};
}

/* Two names of one hash are none. */
static void find_rule(const struct belay__runner *runner, uint64_t hash, struct belay__msg_act *act)
{
	unsigned found = 0;

	for (uint32_t i = 0; i < runner->config.rule_count && hash != 0; i++) {
		const char *name = runner->config.rules[i].name;

		if (hash_of(name) != hash)
			continue;
		(void)snprintf(act->rule_name, sizeof(act->rule_name), "%s", name);
		found++;
	}
	if (hash != 0 && found != 1)
		(void)snprintf(act->rule_name, sizeof(act->rule_name), "?");
	belay__runner_number(runner, act);
}

/* Its name, origin and namespace are as the table has them now. */
static void refresh(struct belay__runner *runner, struct belay__msg_act *act)
{
	struct belay__record record;
	struct belay__slot slot;

	if (belay__state_view_find(belay__runner_view(runner), act->pid, act->start_ticks, &slot,
		    &record) < 0)
		return;
	memcpy(act->name, record.name, sizeof(act->name));
	act->origin = slot.origin;
	act->pid_ns = slot.pid_ns;
}

/* What the gate's word was. */
static struct belay__msg_act act_of(struct belay__runner *runner, const struct belay__intent *intent)
{
	struct belay__msg_act act = {
		.on = (uint8_t)get(on_field, intent->step),
		.verdict = (uint8_t)get(verdict_field, intent->step),
		.end = (uint8_t)get(end_field, intent->step),
		.status = (uint8_t)get(status_field, intent->step),
		.code = (int32_t)get(code_field, intent->step),
		.beats = get(beats_field, intent->rule),
		.pid = (uint32_t)intent->pid,
		.uid = intent->uid,
		.start_ticks = intent->start_ticks,
		/* It was checked before it was written down. */
		.origin = BELAY__KERNEL_ATTESTED,
	};

	find_rule(runner, get(rule_field, intent->rule), &act);
	memcpy(act.name, act.rule_name, sizeof(act.name));
	refresh(runner, &act);
	return act;
}

/* Whether the ladder still is the one that STEP was of. */
static bool same_ladder(const struct belay__decision *decision, size_t step, uint32_t check)
{
	return step < decision->ladder.count &&
		get(check_field, put(check_field, decision->ladder_check)) == check;
}

static void give_up(struct belay__runner *runner, const struct belay__msg_act *act,
	struct belay__decision *decision, uint64_t id, enum belay__acted outcome)
{
	decision->subject.pidfd = belay__close(decision->subject.pidfd);
	decision->outcome = outcome;
	(void)belay__journal_finish(runner->journal, id, (uint32_t)outcome, 0);
	belay__runner_withheld(runner, act, decision);
}

void belay__runner_resumed(struct belay__runner *runner, const struct belay__held *held)
{
	static struct belay__decision decision;
	unsigned forgiven = held->asked ? BELAY__FORGIVE_ALL : BELAY__FORGIVE_VERDICT;
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__held later = *held;
	struct belay__msg_act act = held->act;
	bool is_configured;

	/* The table may know it by now. */
	refresh(runner, &act);
	is_configured = belay__runner_prepare(runner, &act, forgiven, &decision);
	if (!is_configured ||
		(decision.outcome != BELAY__ACTED_WRONG_RULE &&
			!same_ladder(&decision, held->step, held->ladder_check))) {
		(void)snprintf(decision.why, sizeof(decision.why),
			"what is to be done about it was changed before it was begun");
		give_up(runner, &act, &decision, held->journal_id, BELAY__ACTED_LEFT_OFF);
		return;
	}
	later.due_ns = now_ns + BELAY__TABLE_AGAIN_NS;
	if (decision.outcome == BELAY__ACTED_UNVERIFIABLE && now_ns < held->until_ns &&
		belay__runner_lacks_table(runner) && belay__runner_hold(runner, &later))
		return;
	if (decision.outcome != BELAY__ACTED_REPORTED)
		give_up(runner, &act, &decision, held->journal_id,
			held->step > 0 ? BELAY__ACTED_LEFT_OFF : decision.outcome);
	else
		belay__action_begin(runner, &act, held->asked, &decision, held->step,
			held->journal_id);
}

static void resume_intent(struct belay__runner *runner, const struct belay__intent *intent)
{
	static struct belay__decision decision = { .subject = { .pidfd = -EBADF } };
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	uint64_t realtime_ns = belay__clock_ns(CLOCK_REALTIME), wait_ns = 0;
	struct belay__held held = {
		.act = act_of(runner, intent),
		.journal_id = intent->id,
		.step = (uint32_t)get(step_field, intent->step),
		.ladder_check = (uint32_t)get(check_field, intent->step),
		.asked = get(asked_field, intent->step) != 0,
	};

	if (intent->realtime_ns > realtime_ns && intent->realtime_ns - realtime_ns <= WAIT_MAX_NS)
		wait_ns = intent->realtime_ns - realtime_ns;
	held.due_ns = now_ns + wait_ns;
	held.until_ns = held.due_ns + BELAY__TABLE_WITHIN_NS;
	if (belay__runner_hold(runner, &held))
		return;
	(void)snprintf(decision.why, sizeof(decision.why), "too many wait for it already");
	give_up(runner, &held.act, &decision, intent->id, BELAY__ACTED_OUTSTANDING_FULL);
}

/* Its command may still run. What it is about may have ended or be heard again meanwhile, but it is
 * waited for all the same. */
static void resume_started(struct belay__runner *runner, const struct belay__unfinished *unfinished)
{
	static struct belay__decision decision;
	const struct belay__intent *intent = &unfinished->intent;
	struct belay__msg_act act = act_of(runner, intent);
	size_t step = (size_t)get(step_field, intent->step);

	if (!belay__runner_prepare(runner, &act, BELAY__FORGIVE_VERDICT, &decision) ||
		!same_ladder(&decision, step, (uint32_t)get(check_field, intent->step)))
		decision.ladder = (struct belay__ladder){ .count = step + 1 };
	if (unfinished->pid > 0 &&
		belay__action_adopt(runner, &act, &decision, step, intent->id, unfinished->pid,
			unfinished->start_ticks) == 0)
		return;
	/* It counts, and is not to be begun anew when the gate asks again. */
	if (!belay__runner_did(runner, &act))
		belay__runner_arm(runner, &act);
	(void)snprintf(decision.why, sizeof(decision.why),
		"its command was started by an earlier runner, and has ended in a way nobody "
		"tells");
	give_up(runner, &act, &decision, intent->id, BELAY__ACTED_UNKNOWN);
}

void belay__runner_resume(struct belay__runner *runner)
{
	static struct belay__unfinished unfinished[BELAY__JOURNAL_MAX];
	unsigned cursor = 0, count = 0;

	/* What is begun from here on is unfinished, too, and is not to be met. */
	while (count < BELAY__JOURNAL_MAX &&
		belay__journal_next(runner->journal, &cursor, &unfinished[count]) == 1)
		count++;
	for (unsigned i = 0; i < count; i++)
		if (unfinished[i].started)
			resume_started(runner, &unfinished[i]);
		else
			resume_intent(runner, &unfinished[i].intent);
}
