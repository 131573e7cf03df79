/* roles.h - what the observer's processes say to each other
 *
 * The parent keeps privilege and parses nothing a peer wrote; it binds, opens, starts the others,
 * and replaces them. The gate receives, decodes, tracks and tells. The prober looks into /proc. All
 * three are the same program, executed from the descriptor that the parent opened of itself at
 * start, so that an upgrade never mixes versions; each finds its channel to the parent at
 * BELAY__ROLE_CHANNEL and ends when that does.
 *
 *	parent                                   gate                    prober
 *	  |-- OPTIONS, RULE*, files, sockets, GO -->|                        |
 *	  |<------------------------------ READY ---|                        |
 *	  |-- PROBER (one end of a channel) ------->|<--- ASK / ANSWER ----->|
 *	  |<-- PROGRESS (when a watchdog asks) -----|
 *	  |<-- ROTATE, EVENTS (fresh file) -------->|
 *	  |-- ROLE (restarts, for status), STOP --->|
 */
#pragma once

#include <stdint.h>

#include "identity/evidence.h"
#include "observe/options.h"

#define BELAY__ROLE_CHANNEL 3
/* A gate that met a process of another namespace under --strict-namespace-check: the parent ends,
 * too. */
#define BELAY__EXIT_STRICT_NAMESPACE 78

enum belay__role_message {
	BELAY__MSG_OPTIONS = 1, /* struct belay__observe_options, resolved */
	BELAY__MSG_RULE,        /* struct belay__rule */
	BELAY__MSG_BEATS,       /* struct belay__msg_beats + fd: the beat socket */
	BELAY__MSG_HELLO,       /* nothing + fd: the door */
	BELAY__MSG_STATE,       /* nothing + fd: the state file */
	BELAY__MSG_EVENTS,      /* nothing + fd: the event file, to append to */
	BELAY__MSG_PROBER,      /* nothing + fd: a channel to the prober */
	BELAY__MSG_GO,          /* struct belay__msg_go: all is there */
	BELAY__MSG_ROLE,  /* struct belay__msg_role: how the roles are, for `status` and `doctor` */
	BELAY__MSG_STOP,  /* tell the end and end */
	BELAY__MSG_READY, /* gate: struct belay__msg_ready */
	BELAY__MSG_PROGRESS,     /* gate: it turns */
	BELAY__MSG_ROTATE,       /* gate: the event file is full */
	BELAY__MSG_NOTE,         /* parent: struct belay__msg_note, to be told as an event */
	BELAY__MSG_ASK,          /* gate to prober: struct belay__msg_ask */
	BELAY__MSG_ANSWER,       /* prober to gate: struct belay__msg_answer */
	BELAY__MSG_FORGET_RULES, /* rules follow that replace those in force */
};

/* Messages without contents carry one byte, because a packet cannot be empty. */
struct belay__msg_nothing {
	uint8_t zero;
};

struct belay__msg_beats {
	uint32_t queue_frames, rcvbuf_bytes;
	uint8_t rights_refused, directory_sync_failed;
	char path[108];
};

struct belay__msg_go {
	uint64_t progress_every_ns; /* how often the parent wants PROGRESS; 0: never */
	uint64_t first_seq;         /* of the next event */
	uint8_t restarted;          /* another gate ran before in this observer */
	uint8_t reload;             /* the rules were replaced; all else goes on */
};

struct belay__msg_role {
	char name[16];
	int32_t pid;
	uint32_t restarts;
};

struct belay__msg_ready {
	uint32_t going_on; /* processes taken over from an earlier observer */
};

struct belay__msg_note {
	char what[24]; /* "role-restarted" */
	char text[200];
};

struct belay__msg_ask {
	uint32_t pid;
	uint64_t start_ticks;
};

struct belay__msg_answer {
	uint32_t pid;
	int32_t code;
	uint64_t start_ticks;
	struct belay__evidence evidence;
};

/* Each role's main, with its channel at BELAY__ROLE_CHANNEL. Returns an exit status. */
int belay__gate_main(void);
int belay__prober_main(void);

/* What every role does first: names itself, dies with the parent, ignores what is meant for it. 0
 * or a negative errno. */
int belay__role_begin(const char *name);
