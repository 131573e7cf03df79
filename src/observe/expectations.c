/* Rules that expect a number of processes: who never came, or went and did not come back, is
 * missing. */

#include "base/clock.h"
#include "observe/core.h"

#define PAUSED_AGAIN_NS BELAY__NS_PER_S

static void on_expect(struct belay__timer *timer, uint64_t now_ns)
{
	/* The turn looks at all expectations; the timer only wakes it. */
	(void)timer;
	(void)now_ns;
}

/* Starts or stops a rule's patience as processes come and go; wakes the turn when the earliest runs
 * out. */
static void arm(struct belay_observer *observer)
{
	uint64_t earliest_ns = UINT64_MAX, raw_ns;

	for (uint32_t i = 0; i < observer->rule_count; i++) {
		const struct belay__rule *rule = &observer->rules[i];

		if (observer->rule_beating[i] >= rule->expect) {
			observer->rule_missing_due_ns[i] = UINT64_MAX;
		} else if (observer->rule_missing_due_ns[i] == UINT64_MAX &&
			!observer->rule_missing_told[i]) {
			observer->rule_missing_due_ns[i] = observer->now_ns + rule->first_beat_ns;
		}
		if (observer->rule_missing_due_ns[i] < earliest_ns)
			earliest_ns = observer->rule_missing_due_ns[i];
	}
	if (observer->options.clock != NULL)
		return; /* its time has nothing to do with the timers' */
	if (earliest_ns == UINT64_MAX) {
		belay__timer_clear(&observer->expect_timer);
		return;
	}
	raw_ns = belay__timer_due_ns(observer, earliest_ns);
	if (observer->expect_timer.next == NULL || observer->expect_timer.due_ns != raw_ns)
		belay__timer_set(observer->loop, &observer->expect_timer, raw_ns, on_expect,
			observer);
}

/* While its name is paused nobody of it is missed; that is looked at again after each second. */
static bool is_paused(const struct belay_observer *observer, const struct belay__rule *rule)
{
	uint32_t uid = rule->uid >= 0 ? (uint32_t)rule->uid : observer->own_uid;

	return observer->pauses.count > 0 && belay__paused_until(observer, rule->name, uid, 0) != 0;
}

bool belay__expectations_next(struct belay_observer *observer)
{
	for (uint32_t i = 0; i < observer->rule_count; i++) {
		bool complete = observer->rule_beating[i] >= observer->rules[i].expect;
		struct belay_event *event;

		if (complete ? !observer->rule_missing_told[i]
			     : observer->rule_missing_due_ns[i] > observer->now_ns)
			continue;
		if (!complete && is_paused(observer, &observer->rules[i])) {
			observer->rule_missing_due_ns[i] = observer->now_ns + PAUSED_AGAIN_NS;
			continue;
		}
		observer->rule_missing_due_ns[i] = UINT64_MAX;
		observer->rule_missing_told[i] = !complete;
		event = belay__event_start(observer,
			complete ? BELAY_EVENT_COMPLETE : BELAY_EVENT_MISSING);
		event->name = observer->rules[i].name;
		event->beating = observer->rule_beating[i];
		event->expected = (uint32_t)observer->rules[i].expect;
		return true;
	}
	if (observer->rule_count > 0)
		arm(observer);
	return false;
}
