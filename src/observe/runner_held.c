/* Actions that are to be looked at again: when their brake lets go, when their table is there,
 * or when the step is due that an earlier runner had come to. */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "observe/runner.h"
#include "observe/table.h"

uint64_t belay__now_ticks(void)
{
	uint64_t ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);

	return belay__clock_ns(CLOCK_BOOTTIME) / (BELAY__NS_PER_S / ticks_per_s);
}

/* Whether somebody of its name began after it had ended: then it needs no successor any more.
 * Others of its name that were there before are none. */
static bool is_replaced(struct belay__runner *runner, const struct belay__held *held)
{
	const struct belay__state_view *view = belay__runner_view(runner);
	const struct belay__msg_act *act = &held->act;
	const struct belay__record *records;
	const struct belay__slot *slots;

	if (!belay__state_view_tables(view, &slots, &records))
		return false;
	for (uint32_t i = 0; i < belay__table_slot_count(view->capacity); i++) {
		const struct belay__slot slot = slots[i];
		const struct belay__record *record;

		if (slot.pid == 0 || slot.record >= view->capacity ||
			slot.start_ticks <= held->ended_ticks)
			continue;
		record = &records[slot.record];
		if (record->pid == slot.pid && record->uid == act->uid &&
			strncmp(record->name, act->name, sizeof(record->name)) == 0)
			return true;
	}
	return false;
}

static void drop(struct belay__runner *runner, const struct belay__held *held,
	struct belay__decision *decision)
{
	static const char why[] = "another process of its name has begun since";

	decision->outcome = BELAY__ACTED_RESUMED;
	decision->wait_ns = 0;
	memcpy(decision->why, why, sizeof(why));
	belay__runner_withheld(runner, &held->act, decision);
}

static void act_again(struct belay__runner *runner, const struct belay__held *held)
{
	/* One at a time, and too large for the stack. */
	static struct belay__decision decision;

	if (held->journal_id != 0) {
		belay__runner_resumed(runner, held);
	} else if (held->act.on == BELAY__ACT_ON_END && is_replaced(runner, held)) {
		drop(runner, held, &decision);
	} else {
		/* When nothing is configured any more, that is its answer. */
		(void)belay__runner_decide(runner, &held->act, 0, &decision);
		belay__runner_carry_out(runner, &held->act, /* asked= */ false, held, &decision);
	}
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
