/* actor_testing.h - for the actor's tests: the gate's side of acting, with puppets as processes and
 * the test as the runner
 *
 * Failures end the test that runs.
 */
#pragma once

#include <stdint.h>

#include "observe/acting.h"
#include "observe/actor.h"
#include "observe/core.h"
#include "observe/testing.h"

extern struct house house;
extern struct belay_observer *observer;
extern struct belay__teller teller;
extern struct belay__actor *actor;
extern struct belay__observe_options options;
extern struct belay__rule rules[1];
extern uint32_t rule_count;

/* What the runner was sent. */
struct heard {
	int fd;
	unsigned acts, alerts, plans, progress;
	struct belay__msg_act act;
	struct belay__msg_alert alert;
	struct belay__msg_plan plan;
	char kinds[16]; /* of the alerts, a letter each */
	uint64_t seqs[16];
};
extern struct heard runner;

/* cmocka's setup and teardown: an observer, an actor without anything to do, and a runner. */
int actor_open(void **state);
int actor_close(void **state);

/* Options that say so much, in force. */
void set(const char *on_stall, const char *on_exit, const char *alert);

/* What lies in the runner's channel now; 0 or a negative errno. */
int listen_to_gate(void);
void say_as_runner(uint32_t type, const void *record, uint32_t size);
/* The alert of event SEQ was handed over. */
void hand_over(uint64_t seq);

void start_runner(void);
void replace_runner(void);
/* The gate is replaced; what it knew of processes is in the table. */
void replace_gate(void);

/* Does as the gate does. Returns how many events of KIND there were. */
unsigned turn(enum belay_event_kind kind);
/* The same, whatever happens. */
void go_on(void);

/* A process that has beaten once. */
struct puppet beating(void);
/* The line told last says KEY is EXPECTED; NULL: says nothing of it. */
void assert_told(const char *key, const char *expected);
