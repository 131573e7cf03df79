/* parent.h - the process that keeps what the others must not have, and replaces them
 *
 * It binds the sockets, opens the files, reads the configuration, talks to the service manager and
 * starts the roles; it parses nothing that a peer wrote. parent.c runs it, crew.c keeps the roles
 * alive, crew_keys.c hands out keys, provisions.c opens what they get.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/generations.h"
#include "export/service_manager.h"
#include "ipc/bind.h"
#include "loop/loop.h"
#include "observe/cage.h"
#include "observe/config.h"
#include "observe/key_hosts.h"
#include "observe/pauses.h"
#include "observe/roles.h"

enum belay__role {
	BELAY__ROLE_GATE,
	BELAY__ROLE_PROBER,
	BELAY__ROLE_RUNNER,   /* when something may have to be run */
	BELAY__ROLE_EXPORTER, /* when metrics are served anywhere */
	BELAY__ROLE_COUNT,
};

struct belay__parent;

struct belay__crew_member {
	struct belay__parent *parent;
	enum belay__role role;
	pid_t pid; /* 0: it does not run now */
	int pidfd, channel;
	struct belay__io exit_io, channel_io;
	struct belay__timer restart;
	uint64_t started_ns;
	uint32_t restarts, quick_deaths;
};

struct belay__parent {
	struct belay__observe_config config;
	struct belay__config_sources sources;
	int argc;
	char **argv; /* as given, for reloading */
	bool socket_is_default;

	struct belay__bound beats, hello, metrics;
	int queue_frames;
	uint64_t started_ns; /* CLOCK_MONOTONIC */
	int state_fd;
	int self_fd, exporter_fd; /* the programs of the roles, as they were at start */
	int totals_fd;            /* what processes that are gone had counted; outlives the gate */
	int brakes_fd;            /* what holds actions back; outlives the runner */
	int metrics_tcp_fd;
	int udp_fd, crashes_fd;
	struct belay__key_hosts key_hosts;
	uint32_t key_count;
	bool keys_missing;    /* the gate has none */
	char keys_fault[256]; /* why they could not be read when they were wanted last; "" */
	struct belay__msg_token token; /* has_token */
	bool has_token;
	bool events_wanted;
	struct belay__loop *loop;
	struct belay__io signal_io;
	int signal_fd;
	struct belay__timer crash_sweep;
	struct belay__timer
		deadline; /* --shutdown-after-secs, then the patience with a gate that does not end */
	struct belay__service_manager manager;
	struct belay__crew_member crew[BELAY__ROLE_COUNT];
	struct belay__rotation export_rotation;
	struct belay__msg_pause pauses[BELAY__PAUSES_MAX]; /* told again to each new gate */
	uint32_t pause_count;
	char cage[BELAY__CAGE_ARGUMENT_SIZE]; /* what each role is told about its cage */
	char gate_death[352]; /* how the last gate ended, for its successor to tell */
	bool announced;       /* READY=1 was sent */
	bool stopping, over;
	int exit_status;
};

/* --- provisions.c --- */

/* Opens and binds everything. 0 or a negative errno with a sentence. */
int belay__provide(struct belay__parent *parent, struct belay_error *reterr);
void belay__provisions_done(struct belay__parent *parent);
/* Opens the event file; -EBADF when there is none or it cannot be had (said once in the log). */
int belay__open_events(struct belay__parent *parent);
/* The original's event file; -EBADF when none is wanted, or it cannot be had (said in the log). */
int belay__open_export(const struct belay__parent *parent);
/* FD's file once more, as it is given to a role: what can be read as well could be mapped, and written
 * anew. FD is closed. A negative FD, or errno, is returned. */
int belay__append_only_consume(int fd);
/* Descriptors for one role: state and totals for reading only, and the runner's journal, as an open
 * file of its own. -EBADF when there is none. */
int belay__open_state_view(const struct belay__parent *parent);
int belay__open_totals_view(const struct belay__parent *parent);
int belay__open_journal(const struct belay__parent *parent);
/* The number that the next event gets. */
uint64_t belay__next_seq(const struct belay__parent *parent);

/* --- crew.c --- */

/* Starts ROLE and gives it what it needs. 0 or a negative errno with a sentence. */
int belay__crew_start(struct belay__parent *parent, enum belay__role role,
	struct belay_error *reterr);
/* Asks the gate to end, then ends all. */
void belay__crew_stop(struct belay__parent *parent);
/* Ends what still runs, now. */
void belay__crew_done(struct belay__parent *parent);
/* Whether ROLE has something to do under this configuration. */
bool belay__crew_wants(const struct belay__parent *parent, enum belay__role role);
/* Sends options and rules to all that run, as a reload, and starts who is wanted by now. */
void belay__crew_reload(struct belay__parent *parent);
/* Opens the event file anew (it may have been moved) and gives it to the gate. */
void belay__crew_reopen_events(struct belay__parent *parent);
/* Has the gate tell WHAT with TEXT as an event. */
void belay__crew_note(struct belay__parent *parent, const char *what, const char *text);

/* Sends RECORD of SIZE bytes to MEMBER, which has until DEADLINE_NS to read when its channel is full. 0 or
 * a negative errno. */
int belay__crew_send(const struct belay__crew_member *member, uint64_t deadline_ns, uint32_t type,
	const void *record, uint32_t size);

/* --- crew_keys.c --- */

/* Reads the keys, when beats over UDP are sealed, and sends them to GATE, which takes them with the next
 * word to go. Those that cannot be read stay as they are (RELOAD), or let nothing in. 0 or a negative
 * errno. */
int belay__crew_send_keys(const struct belay__crew_member *gate, bool reload, uint64_t deadline_ns);

/* --- parent.c --- */
void belay__parent_gate_ready(struct belay__parent *parent, uint32_t going_on);
void belay__parent_gate_progress(struct belay__parent *parent);
void belay__parent_ended(struct belay__parent *parent);
