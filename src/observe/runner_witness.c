/* What commands about processes that are gone need to know of them and can only be seen while
 * they run: whether one is what its rule trusts with root, and its groups. So they are looked at
 * beforehand. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "observe/remote.h"
#include "observe/runner.h"
#include "observe/table.h"

#define WITNESS_EVERY_NS BELAY__NS_PER_S
/* Those that cannot be vouched for are looked at again and again: so many at a time. */
#define LOOKS_PER_TURN 64

const struct belay__witness *belay__runner_saw(const struct belay__runner *runner,
	const struct belay__msg_act *act)
{
	const struct belay__witness *witness;

	if (runner->witnesses == NULL || act->start_ticks == 0)
		return NULL;
	witness = &runner->witnesses[act->pid % BELAY__WITNESSES];
	return witness->pid == act->pid && witness->start_ticks == act->start_ticks ? witness : NULL;
}

/* Whether an end of a process of RULE (NULL: none) has a command. */
static bool has_on_exit(const struct belay__runner *runner, const struct belay__rule *rule)
{
	struct belay__doing doing;

	belay__doing_of(&runner->config.options, rule, &doing);
	return doing.on_exit[0] != '\0';
}

/* Returns whether it had to look. */
static bool bear_witness(struct belay__runner *runner, const struct belay__slot *slot,
	const struct belay__record *record)
{
	struct belay__witness *witness = &runner->witnesses[slot->pid % BELAY__WITNESSES];
	const struct belay__msg_act act = { .on = BELAY__ACT_ON_STALL,
		.origin = slot->origin,
		.rule = record->rule,
		.pid = slot->pid,
		.uid = record->uid,
		.start_ticks = slot->start_ticks };
	struct belay__witness seen = { .pid = act.pid, .start_ticks = act.start_ticks };
	static struct belay__subject subject;
	char why[192];

	/* Its end is never told. */
	if (belay__key_host(slot->pid) != 0)
		return false;
	if (witness->pid == slot->pid && witness->start_ticks == slot->start_ticks)
		return false;
	/* Only what was seen is remembered: it may still become what it is to be. */
	if (belay__runner_check(runner, &act, BELAY__FORGIVE_ALL, BELAY__NEEDS_COMMAND, &subject,
		    why, sizeof(why)) != 0)
		return true;
	belay__close(subject.pidfd);
	if (subject.as_root)
		seen.rule = act.rule;
	if (subject.other_user && subject.group_count <= BELAY__WITNESS_GROUPS) {
		seen.has_groups = true;
		seen.gid = subject.gid;
		seen.group_count = (uint32_t)subject.group_count;
		memcpy(seen.groups, subject.groups, subject.group_count * sizeof(seen.groups[0]));
	}
	*witness = seen;
	return true;
}

static void on_witness(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	belay__runner_witness(timer->data);
}

/* NEEDED: by number of rule + 1; first that of none. */
static void witness_all(struct belay__runner *runner, const bool *needed)
{
	const struct belay__record *records;
	const struct belay__slot *slots;
	uint32_t count, looks = 0, first = runner->witness_next;

	if (!belay__state_view_tables(belay__runner_view(runner), &slots, &records))
		return;
	count = belay__table_slot_count(runner->view.capacity);
	for (uint32_t i = 0; i < count && looks < LOOKS_PER_TURN; i++) {
		const struct belay__slot slot = slots[(first + i) % count];
		struct belay__record record;

		runner->witness_next = (first + i + 1) % count;
		if (slot.pid == 0 || slot.record >= runner->view.capacity)
			continue;
		record = records[slot.record];
		if (record.rule <= runner->config.rule_count && needed[record.rule])
			looks += bear_witness(runner, &slot, &record);
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
	bool needed[BELAY__RULES_MAX + 1] = { false }, any = false;

	/* Who is not root has one user and no groups to choose from. */
	for (uint32_t i = 0; i <= runner->config.rule_count && geteuid() == 0; i++)
		any |= needed[i] = has_on_exit(runner, i > 0 ? &runner->config.rules[i - 1] : NULL);
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
