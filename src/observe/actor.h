/* actor.h - what becomes of the gate's events: actions asked for at the runner, alerts, and what the
 * runner says of them
 *
 * A stall whose process may be one of many that go silent at once (crowds.h) is held back until that
 * is known: it becomes part of the mass stall, or goes to the runner then. Who is silent still one
 * threshold after a mass stall was over goes to the runner, too. Whatever is withheld here is told as
 * an event with its reason, but for the parts of a mass stall: that one is told once.
 *
 * A stall that is to be acted on stays unsettled, in its slot, until the process beats or ends or the
 * runner says what came of it for good: each new runner is offered those again, and never acts twice
 * on one silence. So neither the gate's death nor the runner's loses one. Ends are offered once.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/observer.h>

#include "observe/acting.h"
#include "observe/options.h"
#include "observe/roles.h"
#include "observe/teller.h"

struct belay__actor;

/* All borrowed, and looked at whenever something happens: options and rules may change. */
struct belay__actor_needs {
	struct belay_observer *observer;
	struct belay__teller *teller;
	const struct belay__observe_options *options;
	const struct belay__rule *rules;
	const uint32_t *rule_count;
};

/* An actor without a runner. What OBSERVER took over counts as alerted, unless its marks say
 * otherwise. 0 or -ENOMEM. */
int belay__actor_new(const struct belay__actor_needs *needs, struct belay__actor **ret_actor);
/* NULL allowed; returns NULL. */
struct belay__actor *belay__actor_free(struct belay__actor *actor);

/* Goes on with the runner behind FD (owned from now on). */
void belay__actor_runner_take(struct belay__actor *actor, int fd);
/* The options changed. */
void belay__actor_configured(struct belay__actor *actor);

/* EVENT, the observer's event at hand, has just been told. */
void belay__actor_heard(struct belay__actor *actor, const struct belay_event *event);
/* Looks again at what is held back; a timer does so, too. */
void belay__actor_review(struct belay__actor *actor);

/* Asks the runner what it would do, were the process in slot AT silent; REALLY: to do it. The answer
 * goes to whoever waits for REQUEST at the door. 0, -ENOTCONN or another negative errno. */
int belay__actor_plan(struct belay__actor *actor, uint32_t at, bool really, uint64_t request);
/* Has an alert sent that says it is none; the same. -ENOENT: no command is configured. */
int belay__actor_alert_test(struct belay__actor *actor, uint64_t request);

/* How often each enum belay__acted was told: BELAY__ACTED_COUNT numbers. */
const uint64_t *belay__actor_outcomes(const struct belay__actor *actor);
/* What the runner counted, as it said last; count 0: nothing yet. */
const struct belay__msg_runner_counts *belay__actor_runner_counts(const struct belay__actor *actor);
/* Alerts that could not be kept for the runner. */
uint64_t belay__actor_alerts_lost(const struct belay__actor *actor);
