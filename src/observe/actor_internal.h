/* actor_internal.h - what the files of the actor share
 *
 * actor.c is its life and what it does about each event; actor_stalls.c holds stalls back and passes
 * them on; actor_runner.c is what it and the runner say to each other.
 */
#pragma once

#include "base/clock.h"
#include "observe/actor.h"
#include "observe/alerting.h"
#include "observe/core.h"
#include "observe/courier.h"

/* How many processes are looked at, and how many offered or handed on, before beats are read again. */
#define BELAY__LOOKED_AT_PER_TURN 4096
#define BELAY__OFFERED_PER_TURN   64

/* A stall that may be one of many, or was. */
struct belay__held_stall {
	bool acts, alerts; /* what it leads to */
	bool was_one; /* of a mass stall that is over: it has until then, whatever the others do */
	uint64_t until_ns; /* the observer's clock */
	struct belay__msg_act act;
};

/* Beside each process. */
struct belay__offered {
	uint64_t seq;     /* of the event that told its stall; 0: another observer told it */
	uint32_t offered; /* to which runner, as they are counted; 0: to none */
};

struct belay__actor {
	struct belay__actor_needs needs;
	struct belay__alerting alerting;
	struct belay__courier courier;
	struct belay__timer progress, review, offers;
	uint64_t outcomes[BELAY__ACTED_COUNT];
	struct belay__msg_runner_counts counts;
	uint32_t capacity;              /* of the observer, and of these: */
	struct belay__offered *known;   /* by record number */
	struct belay__held_stall *held; /* touched only where one is held */
	uint32_t *order;                /* first the places in use, in their order */
	uint32_t *freed;                /* while they are looked through */
	uint32_t held_count;
	uint32_t runner;       /* how many there were */
	uint32_t next_offered; /* record number */
};

struct belay__loop *belay__actor_loop(const struct belay__actor *actor);

/* --- actor.c --- */

/* The rule with number RULE (+ 1), or NULL. */
const struct belay__rule *belay__actor_rule(const struct belay__actor *actor, uint16_t rule);
/* Fills *act of the process of EVENT, the observer's event at hand. False: it is not known well
 * enough. */
bool belay__actor_describe(const struct belay__actor *actor, const struct belay_event *event,
	struct belay__msg_act *act);
bool belay__actor_is_paused(const struct belay__actor *actor, const struct belay__msg_act *act);

/* --- actor_stalls.c --- */

/* EVENT, a stall, was told. */
void belay__actor_stalled(struct belay__actor *actor, const struct belay_event *event);
/* The slot of the process with record NUMBER when it is stalled, or BELAY__NO_SLOT. */
uint32_t belay__actor_stalled_one(const struct belay__actor *actor, uint32_t number);
/* Fills *ret_act of the process in slot AT, whose stall was told before. */
void belay__actor_describe_again(const struct belay__actor *actor, uint32_t at,
	struct belay__msg_act *ret_act);
/* Takes some of those who were silent still when their mass stall was over. They have one more
 * threshold: mostly they are about to beat, like the others. Returns how many there were. */
unsigned belay__actor_take_left(struct belay__actor *actor);
/* What an earlier observer had not decided about, or had not told people for certain. */
void belay__actor_take_over(struct belay__actor *actor);

/* --- actor_runner.c --- */

/* Without a runner so far. */
void belay__actor_start_courier(struct belay__actor *actor);
/* Tells that ACT is not done, and why. */
void belay__actor_withhold(struct belay__actor *actor, const struct belay__msg_act *act,
	enum belay__acted outcome, const char *text);
/* Asks for ACT, which nobody keeps but the courier. */
void belay__actor_ask_once(struct belay__actor *actor, const struct belay__msg_act *act);
/* Offers ACT, the stall of the process with record NUMBER, which is unsettled: once to each runner.
 * False: later. */
bool belay__actor_offer(struct belay__actor *actor, uint32_t number,
	const struct belay__msg_act *act);
/* From the next turn on offers what the runner was not offered, and takes who was left by a mass
 * stall. */
void belay__actor_go_on_offering(struct belay__actor *actor);
