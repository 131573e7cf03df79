/* roles.h - what the observer's processes say to each other
 *
 * The parent keeps privilege and parses nothing a peer wrote; it binds, opens, starts the others,
 * and replaces them. The gate receives, decodes, tracks and tells. The prober looks into /proc. The
 * runner executes whatever is executed: actions on silences and ends, alerts, the dead man's
 * switch. The exporter serves metrics, in a program of its own. All others are the same program, executed from the descriptor that the parent opened of itself at
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
 *	  |-- UDP, FORGET_KEYS, KEY*, CRASHES ----->|
 *	  |-- PAUSE (again, to a new gate) -------->|
 *	  |<------------------------------ PAUSE ---|
 *
 *	parent                                   runner                  gate
 *	  |-- OPTIONS, RULE*, STATE, JOURNAL, ----->|                        |
 *	  |   BRAKES, PAUSE*, GO                    |                        |
 *	  |-- GATE (one end of a channel) --------->|<-- ACT, PLAN, ALERT ---|
 *	  |                                         |<-- PROGRESS -----------|
 *	  |                                         |--- ACTED, PLANNED ---->|
 *	  |                                         |--- RUNNER_COUNTS, ---->|
 *	  |                                         |    OPEN, ALERTED       |
 *
 *	parent                                   exporter                gate
 *	  |-- OPTIONS, RULE*, STATE, TOTALS, ------>|                        |
 *	  |   METRICS_UNIX, METRICS_TCP, GO         |                        |
 *	  |-- GATE (one end of a channel) --------->|--- COUNT ------------->|
 *	  |                                         |<-- COUNTS -------------|
 */
#pragma once

#include <stdint.h>

#include "base/text.h"
#include "identity/aide.h"
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
	BELAY__MSG_RUNNER,       /* to the gate: nothing + fd: a channel to the runner */
	BELAY__MSG_EXPORTER,     /* to the gate: nothing + fd: a channel to the exporter */
	BELAY__MSG_GATE,         /* to runner and exporter: nothing + fd: a channel to the gate */
	BELAY__MSG_JOURNAL,      /* to the runner: nothing + fd: the journal, opened for it alone */
	BELAY__MSG_TOTALS,       /* nothing + fd: what processes that are gone counted (totals.h) */
	BELAY__MSG_EXPORT_FILE, /* to the gate: nothing + fd: the original's event file (original.h) */
	BELAY__MSG_ROTATE_EXPORT, /* gate: that file is full */
	BELAY__MSG_METRICS_UNIX,  /* to the exporter: nothing + fd: a listening socket */
	BELAY__MSG_METRICS_TCP,   /* to the exporter: nothing + fd: a listening socket */
	BELAY__MSG_TOKEN,         /* to the exporter: struct belay__msg_token */
	BELAY__MSG_PAUSE,   /* struct belay__msg_pause: gate to parent, and back to a new gate */
	BELAY__MSG_ACT,     /* gate to runner: struct belay__msg_act */
	BELAY__MSG_PLAN,    /* gate to runner: struct belay__msg_plan: what would be done? */
	BELAY__MSG_ALERT,   /* gate to runner: struct belay__msg_alert */
	BELAY__MSG_ACTED,   /* runner to gate: struct belay__msg_acted */
	BELAY__MSG_PLANNED, /* runner to gate: struct belay__msg_planned */
	BELAY__MSG_RUNNER_COUNTS, /* runner to gate: struct belay__msg_runner_counts */
	BELAY__MSG_COUNT,         /* exporter to gate: nothing */
	BELAY__MSG_COUNTS,        /* gate to exporter: struct belay__msg_counts */
	BELAY__MSG_BRAKES,        /* to the runner: nothing + fd: what its brakes know (brakes.h) */
	BELAY__MSG_OPEN, /* runner to gate: struct belay__msg_open: people were told, it is not over */
	BELAY__MSG_ALERTED, /* runner to gate: struct belay__msg_alerted: the alert was handed over */
	BELAY__MSG_UDP,     /* to the gate: nothing + fd: the UDP socket of beats */
	BELAY__MSG_FORGET_KEYS, /* to the gate: keys follow that replace those in force with GO */
	BELAY__MSG_KEY,         /* to the gate: struct belay__msg_key (network.h) */
	BELAY__MSG_CRASHES,     /* to the gate: nothing + fd: the directory of crash notes */
	BELAY__MSG_WHO,         /* gate to prober: struct belay__msg_who */
	BELAY__MSG_FACTS,       /* prober to gate: struct belay__msg_facts */
	BELAY__MSG_STUCK,       /* gate: the prober does not answer any more */
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
	uint64_t progress_every_ns;   /* how often the parent wants PROGRESS; 0: never */
	uint64_t first_seq;           /* of the next event */
	uint64_t observer_started_ns; /* CLOCK_MONOTONIC */
	uint8_t restarted;            /* another gate ran before in this observer */
	uint8_t reload;               /* the rules were replaced; all else goes on */
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
	char text[1024];
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

/* What the gate may not see itself; it waits for the answer, a moment. */
struct belay__msg_who {
	uint64_t number; /* comes back */
	uint32_t pid, want;
	uint64_t start_ticks;
};

struct belay__msg_facts {
	uint64_t number;
	struct belay__aide_facts facts;
};

struct belay__msg_token {
	uint8_t token[32];
};

/* Stalls and actions of these processes are withheld. */
struct belay__msg_pause {
	char pattern[BELAY__NAME_SIZE]; /* a glob over names, or a pid */
	uint64_t until_realtime_ns;     /* 0: no longer */
};

/* A silence or an end about which something may have to be done. What it says about the process is
 * the gate's word: the runner looks for itself before it does anything. */
struct belay__msg_act {
	uint8_t on;          /* enum belay__act_on */
	uint8_t verdict;     /* STALL: enum belay__verdict */
	uint8_t end;         /* END: enum belay_end */
	uint8_t origin;      /* enum belay__origin_rank */
	uint8_t status;      /* enum belay_status of its last beat */
	uint8_t name_source; /* enum belay__name_source */
	uint16_t rule;       /* number + 1; 0: none */
	int32_t code;        /* END: exit status or signal */
	uint32_t pid, uid;
	uint64_t start_ticks, pid_ns;
	uint64_t beats; /* accepted until now: one more, and it is not silent any more */
	uint64_t seq;   /* of the event that told it */
	uint64_t observer_ns, silent_ns, threshold_ns;
	uint64_t healthy_ns; /* how long it had been well before */
	char name[BELAY__NAME_SIZE];
	char rule_name[BELAY__NAME_SIZE]; /* of rule: numbers change when rules do; "": none */
	char evidence[256];
};

enum belay__act_on { BELAY__ACT_ON_STALL, BELAY__ACT_ON_END };

/* `belay act NAME --dry-run`: what would be done, were the process of ACT silent now? Or, to have
 * it done (really set): the verdict does not matter then, all else does. */
struct belay__msg_plan {
	uint64_t request; /* comes back with the answer */
	uint8_t really;
	struct belay__msg_act act;
};

struct belay__msg_planned {
	uint64_t request;
	int32_t code; /* 0 or a negative errno */
	uint32_t len; /* of text: one JSON object without a newline; a sentence when code < 0 */
	char text[2048];
};

/* What people should know: an event, and what it is about. */
struct belay__msg_alert {
	uint8_t kind;  /* enum belay__alert_kind */
	uint8_t again; /* another runner had it, and did not say that it was handed over */
	uint32_t uid;
	uint64_t request;            /* not 0: to be tried out at once, and answered by PLANNED */
	uint64_t seq;                /* of the event; comes back in ALERTED */
	char name[BELAY__NAME_SIZE]; /* of the process or rule */
	uint32_t len;
	char line[1536]; /* the event as JSON, without a newline */
};

/* The gate keeps an alert until this comes, and sends it again to another runner. */
struct belay__msg_alerted {
	uint64_t seq;
};

/* A trouble that people know of, for a gate that does not: sent to each new gate. */
struct belay__msg_open {
	uint8_t kind; /* enum belay__alert_kind */
	uint32_t uid;
	char name[BELAY__NAME_SIZE];
};

/* What the runner did or did not do, for the gate to tell. */
struct belay__msg_acted {
	uint8_t outcome; /* enum belay__acted (acting.h) */
	uint8_t on;      /* enum belay__act_on */
	uint8_t step;    /* of its ladder, from 1 */
	uint8_t last;    /* no step comes behind it */
	uint8_t as_root;
	uint8_t truncated;
	uint16_t rule;
	uint32_t pid, uid, child_pid;
	uint64_t start_ticks, seq; /* of the event that led to it */
	int32_t exit_code, signal; /* -1: none */
	uint64_t duration_ns, stdout_len, stderr_len;
	uint64_t wait_ns; /* withheld: for so long */
	char name[BELAY__NAME_SIZE];
	char verdict[16]; /* or "exited", "killed" ... */
	char text[256];   /* one sentence, or the step as it is written */
};

#define BELAY__RUNNER_COUNTS_MAX 96

/* Numbers that only the runner has, by enum belay__metric (export/metrics_table.h). */
struct belay__msg_runner_counts {
	uint32_t count;
	struct belay__runner_count {
		uint32_t metric, reserved;
		uint64_t value;
	} counts[BELAY__RUNNER_COUNTS_MAX];
	uint64_t fsync_buckets[9], fsync_sum_ns; /* as struct belay__histogram */
};

#define BELAY__COUNTS_MAX 96

/* What the gate counts, in the order of enum belay__counter, and what it was told to pass on. */
struct belay__msg_counts {
	uint64_t realtime_ns, observer_ns; /* the same moment on both clocks */
	uint64_t default_threshold_ns;
	uint64_t events_written, events_lost;
	uint64_t mass_stalls;
	uint32_t paused; /* processes */
	uint32_t count;
	uint64_t counters[BELAY__COUNTS_MAX];
	struct belay__msg_runner_counts runner;
	uint64_t outcomes[64]; /* by enum belay__acted */
};

/* Each role's main, with its channel at BELAY__ROLE_CHANNEL. Returns an exit status. */
int belay__gate_main(void);
int belay__prober_main(void);
int belay__runner_main(void);
int belay__exporter_main(void);

/* What every role does first: names itself, dies with the parent, ignores what is meant for it. 0
 * or a negative errno. */
int belay__role_begin(const char *name);
