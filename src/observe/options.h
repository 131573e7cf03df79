/* options.h - everything that can be set about an observer: its option rows and what they fill */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/option.h"

#define BELAY__RULES_MAX 64
#define BELAY__PATH_SIZE 512

enum belay__clock_source { BELAY__CLOCK_MONOTONIC, BELAY__CLOCK_BOOTTIME };

/* Plain data: it is handed from the parent to its roles as it is. */
struct belay__observe_options {
	char socket[108];             /* "": the default path */
	char state[BELAY__PATH_SIZE]; /* "": <socket>.state; "none": no state file */
	char events[BELAY__PATH_SIZE]; /* "": the default path (events_path.h); "none": no event file */
	char config[BELAY__PATH_SIZE]; /* "": the default files */
	uint64_t threshold_ns;
	uint64_t within_max_ns;
	uint64_t capacity;
	uint64_t eviction_window;
	unsigned eviction_policy;                     /* enum belay__eviction */
	uint64_t max_beat_rate;                       /* beats/s of one process; 0: off */
	uint64_t global_beat_rate, global_beat_burst; /* either 0: off */
	unsigned socket_mode;
	uint64_t rcvbuf_bytes;     /* 0: the kernel's default */
	uint64_t dgram_qlen;       /* 0: leave */
	uint64_t shutdown_after_s; /* 0: never */
	unsigned clock_source;     /* enum belay__clock_source */
	unsigned log_format;       /* enum belay__log_format */
	bool allow_cross_namespace;
	bool strict_namespace;
};

/* A [process NAME] section: which processes it is about, and what is expected of them. */
struct belay__rule {
	char name[BELAY__NAME_MAX + 1];
	char exe[256];                  /* "": any; a glob over the executable's path */
	char unit[BELAY__NAME_MAX + 1]; /* "": any; a glob */
	char comm[17];                  /* "": any; a glob */
	int64_t uid;                    /* -1: any */
	uint64_t threshold_ns;          /* 0: the observer's */
	uint64_t expect;                /* how many there must be; 0: no expectation */
	uint64_t first_beat_ns; /* how long after the start (or the loss of one) they may take to beat; default 30 s */
};
/* A rule without exe, unit, comm and uid is about the processes that call themselves by its
 * name. */

struct belay__observe_config {
	struct belay__observe_options options;
	struct belay__rule rules[BELAY__RULES_MAX];
	uint32_t rule_count;
};

extern const struct belay__option belay__observe_table[];
extern const size_t belay__observe_table_count;
extern const struct belay__option
	belay__process_table[]; /* keys of [process NAME], members of struct belay__rule */
extern const size_t belay__process_table_count;

/* Defaults, as the rows' default_text say them. */
void belay__observe_defaults(struct belay__observe_options *options);
void belay__rule_defaults(struct belay__rule *rule);

/* The rules that connect options, in the reference's order (heartbeat-system, section 3). 0 or
 * -EINVAL with a sentence. */
int belay__observe_options_check(const struct belay__observe_options *options,
	struct belay_error *reterr);

/* Where events are kept: options->events, else <socket>.events.jsonl when the socket was named,
 * else /var/lib/belay/events.jsonl for root and $XDG_STATE_HOME/belay/events.jsonl (~/.local/state)
 * for others. 0 or -ENOENT. */
int belay__events_path(const char *events, const char *socket, bool socket_is_default, char *path,
	size_t size);
