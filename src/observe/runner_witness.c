/* Root for the commands of processes that are gone: whether a process is the one that its rule trusts
 * can only be seen while it runs, so those of such rules are looked at beforehand. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "observe/runner.h"
#include "observe/table.h"

#define WITNESS_EVERY_NS BELAY__NS_PER_S

bool belay__runner_saw(const struct belay__runner *runner, const struct belay__msg_act *act)
{
	const struct belay__witness *witness;

	if (runner->witnesses == NULL || act->rule == 0)
		return false;
	witness = &runner->witnesses[act->pid % BELAY__WITNESSES];
	return witness->pid == act->pid && witness->start_ticks == act->start_ticks &&
		witness->rule == act->rule;
}

static bool needs_witness(const struct belay__runner *runner, const struct belay__rule *rule)
{
	struct belay__doing doing;

	if (!belay__runner_wants_root(runner, rule))
		return false;
	belay__doing_of(&runner->config.options, rule, &doing);
	return doing.on_exit[0] != '\0';
}

static void bear_witness(struct belay__runner *runner, const struct belay__slot *slot, uint16_t rule)
{
	struct belay__witness *witness = &runner->witnesses[slot->pid % BELAY__WITNESSES];
	struct belay__msg_act act = { .on = BELAY__ACT_ON_STALL,
		.origin = slot->origin,
		.rule = rule,
		.pid = slot->pid,
		.uid = (uint32_t)runner->config.rules[rule - 1].uid,
		.start_ticks = slot->start_ticks };
	struct belay__subject subject;
	char why[192];

	if (witness->pid == slot->pid && witness->start_ticks == slot->start_ticks)
		return;
	*witness = (struct belay__witness){ .pid = act.pid, .start_ticks = act.start_ticks };
	if (belay__runner_check(runner, &act, true, true, &subject, why, sizeof(why)) != 0)
		return;
	belay__close(subject.pidfd);
	if (subject.as_root)
		witness->rule = rule;
}

static void on_witness(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	belay__runner_witness(timer->data);
}

static void witness_all(struct belay__runner *runner, const bool *needed)
{
	const struct belay__record *records;
	const struct belay__slot *slots;

	if (!belay__state_view_tables(belay__runner_view(runner), &slots, &records))
		return;
	for (uint32_t i = 0; i < belay__table_slot_count(runner->view.capacity); i++) {
		struct belay__slot slot = slots[i];
		uint16_t rule;

		if (slot.pid == 0 || slot.record >= runner->view.capacity)
			continue;
		rule = records[slot.record].rule;
		if (rule != 0 && rule <= runner->config.rule_count && needed[rule - 1])
			bear_witness(runner, &slot, rule);
	}
}

void belay__runner_witness_anew(struct belay__runner *runner)
{
	if (runner->witnesses != NULL)
		memset(runner->witnesses, 0, BELAY__WITNESSES * sizeof(*runner->witnesses));
	belay__runner_witness(runner);
}

void belay__runner_witness(struct belay__runner *runner)
{
	bool needed[BELAY__RULES_MAX] = { false }, any = false;

	for (uint32_t i = 0; i < runner->config.rule_count && geteuid() == 0; i++)
		any |= needed[i] = needs_witness(runner, &runner->config.rules[i]);
	belay__timer_clear(&runner->witness_timer);
	if (!any)
		return;
	if (runner->witnesses == NULL)
		runner->witnesses = calloc(BELAY__WITNESSES, sizeof(*runner->witnesses));
	if (runner->witnesses != NULL)
		witness_all(runner, needed);
	belay__timer_set(runner->loop, &runner->witness_timer,
		belay__clock_ns(CLOCK_MONOTONIC) + WITNESS_EVERY_NS, on_witness, runner);
}
