/* gate.h - the inside of the gate: what its files share
 *
 * gate.c starts it and turns; gate_orders.c takes what the parent says and sends; gate_peers.c talks
 * to prober and exporter; gate_network.c has what beats from other hosts need. The runner is the actor's (actor.h).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "observe/actor.h"
#include "observe/cage.h"
#include "observe/core.h"
#include "observe/network.h"
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
	int udp_fd;    /* until the observer takes it */
	int crashes_fd;
	struct belay__msg_key *keys; /* BELAY__KEYS_MAX: those that came since GO; NULL: none ever */
	uint32_t key_count;
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
	struct belay__network *network; /* NULL: there is only this host */
	uint64_t network_truncated;     /* of its counts, what the observer's have already */
	char udp_address[BELAY__ADDRESS_SIZE];
	struct belay__pausing pausing;
	struct belay__io parent_io, prober_io, exporter_io, signal_io;
	int signal_fd;
	struct belay__timer progress;
	uint64_t asked, told; /* numbers of questions to the prober, and of its last answer */
	struct belay__timer owed;
	uint32_t owes;    /* how many answers the prober owes us */
	uint32_t quiet_s; /* ... and for how long it has said nothing */
	struct belay__aide_facts facts;
	struct belay__cage_report cage;
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
/* belay__aide's ask(); DATA is the gate. Waits for a tenth of a second at most, and not at all for a prober
 * that has just let us wait. */
int belay__gate_ask_aide(void *data, pid_t pid, uint64_t start_ticks, uint32_t want,
	struct belay__aide_facts *ret_facts);
/* Listens to the channel that is there; without one does nothing. */
void belay__gate_watch_prober(struct belay__gate *gate);
void belay__gate_watch_exporter(struct belay__gate *gate);

/* --- gate_network.c --- */

/* When the parent sent a socket for beats of other hosts: prepares for them, so that the hosts are known
 * before processes are taken over. 0 or a negative errno. */
int belay__gate_network_open(struct belay__gate *gate);
/* Begins to receive them. 0 or a negative errno. */
int belay__gate_network_listen(struct belay__gate *gate);
/* Puts new options, and keys when some came, in force. */
void belay__gate_network_reload(struct belay__gate *gate);
/* Writes the member "udp" of what `doctor` hears. */
void belay__gate_network_self(const struct belay__gate *gate, struct belay__json_writer *json);
/* Gives processes of other hosts in gate->kept, COUNT in all, the numbers of their hosts; those of hosts
 * that are not known any more are left out, and told of. Returns how many are left. */
uint32_t belay__gate_network_renumber(struct belay__gate *gate, uint32_t count);
/* Makes room for keys that come, before the gate is ready. 0 or -ENOMEM. */
int belay__gate_expect_keys(struct belay__gate *gate);
/* Wipes keys that came and were not put in force. */
void belay__gate_forget_keys(struct belay__gate *gate);
