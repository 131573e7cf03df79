/* gate.h - the inside of the gate: what its files share
 *
 * gate.c starts it and turns; gate_orders.c takes what the parent says and sends; gate_peers.c talks
 * to prober and exporter. The runner is the actor's (actor.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "observe/actor.h"
#include "observe/core.h"
#include "observe/original.h"
#include "observe/pausing.h"
#include "observe/restore.h"
#include "observe/roles.h"
#include "observe/teller.h"

#define BELAY__GATE_MESSAGES_PER_TURN 64
#define BELAY__GATE_ROLES_MAX         8

struct belay__gate {
	/* what the parent sent: OPTIONS and RULEs come into force together, when it says GO */
	struct belay__observe_config incoming;
	struct belay__observe_options options;
	struct belay__rule rules[BELAY__RULES_MAX];
	uint32_t rule_count;
	struct belay__bound beats;
	uint32_t queue_frames;
	int hello_fd, state_fd, events_fd, prober_fd, exporter_fd;
	int runner_fd; /* until the actor takes it */
	int export_fd; /* until it is written to */
	struct belay__totals *totals;
	struct belay__msg_go go;
	struct belay__msg_role roles[BELAY__GATE_ROLES_MAX];
	unsigned role_count;

	struct belay_observer *observer;
	struct belay__state_file state;
	struct belay__kept *kept;
	struct belay__teller teller;
	struct belay__original original;
	struct belay__actor *actor;
	struct belay__pausing pausing;
	struct belay__io parent_io, prober_io, exporter_io, signal_io;
	int signal_fd;
	struct belay__timer progress;
	bool ready, over;
};

/* --- gate_orders.c --- */

/* Takes messages of the parent until it says go. 0 or a negative errno. */
int belay__gate_receive_orders(struct belay__gate *gate);
/* Goes on listening to the parent on the observer's loop. 0 or a negative errno. */
int belay__gate_follow_orders(struct belay__gate *gate);
/* Sends RECORD of SIZE bytes (NULL: a message without contents) to the parent. 0 or a negative
 * errno. */
int belay__gate_tell_parent(uint32_t type, const void *record, uint32_t size);

/* --- gate_peers.c --- */

/* belay__prober's ask(); DATA is the gate. */
int belay__gate_ask_prober(void *data, uint32_t pid, uint64_t start_ticks);
/* Listens to the channel that is there; without one does nothing. */
void belay__gate_watch_prober(struct belay__gate *gate);
void belay__gate_watch_exporter(struct belay__gate *gate);
