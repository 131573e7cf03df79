/* roles.h - what the parts of roles_fuzz.c share: a role of the observer as an ear for one peer
 *
 * Each roles_ROLE.c takes the role's own source in, because what it hears by is nobody else's
 * business; nothing in that source is changed but how the role begins as a process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipc/channel.h"
#include "observe/roles.h"

/* One table of messages, and the role behind it. */
struct ear {
	const struct belay__message_rule *rules;
	size_t rule_count;
	/* What its peer says need not be so; the parent is believed, so its records are well-formed,
	 * but come in any order and number. */
	bool believes;
	/* Makes the role anew; STAGE is the input's: what it has heard before. */
	void (*open)(uint8_t stage);
	/* Whether the parent says TYPE at this time at all. NULL: always. */
	bool (*expects)(uint32_t type);
	/* Writes what an honest peer says into RECORD, all zeros so far. NULL: that is it. */
	void (*fill)(uint32_t type, void *record);
	/* What the role does between two messages. NULL: nothing. */
	void (*work)(void);
	/* Lets go of all it has. */
	void (*close)(void);
	void *(*self)(void); /* the handlers' data */
};

extern const struct ear ear_gate_of_parent, ear_gate_of_prober, ear_gate_of_exporter,
	ear_gate_of_runner;
extern const struct ear ear_runner_of_parent, ear_runner_of_gate;
extern const struct ear ear_exporter_of_parent, ear_exporter_of_gate;
extern const struct ear ear_prober_of_parent, ear_prober_of_gate;
extern const struct ear ear_parent_of_gate, ear_parent_of_others;

/* --- what the world is made of: roles_world.c --- */

/* A child that only waits; it never gets a signal from here, and ends with us. */
struct neighbour {
	uint32_t pid;
	int pidfd;
	uint64_t start_ticks, pid_ns;
	uint32_t uid;
};

const struct neighbour *world_neighbour(void);

/* A state file for WORLD_CAPACITY processes with the neighbour in its table, whose beats are
 * WORLD_BEATS; borrowed. */
#define WORLD_CAPACITY 8
#define WORLD_BEATS    7
int world_state(void);

/* What the parent opens, and some things that it does not: borrowed descriptors. */
#define WORLD_THINGS 8
int world_thing(unsigned which);

/* Two ends of a channel; what is written to ours (the first) is read and forgotten. */
void world_channel(int ret_ends[2]);
/* Reads all that waits at CHANNEL. */
void world_drain(int channel);

/* A configuration that acts on the neighbour by rule 1. */
const struct belay__observe_config *world_configuration(void);
/* The neighbour's silence, as an honest gate has it. */
void world_act(struct belay__msg_act *act);
/* Options, a rule, and the word to go, as the parent has them. */
void world_fill_orders(uint32_t type, void *record);

/* Time that passes besides the world's own, on the clocks of the day and of timers. */
extern uint64_t world_passed_ns;

/* The end of BELAY__ROLE_CHANNEL that is the parent's, while an input is tried. */
extern int world_parent;
void world_begin(void);
void world_end(void);
