/* options.h - everything that can be set about an observer: its option rows and what they fill */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/option.h"

#define BELAY__RULES_MAX   64
#define BELAY__PATH_SIZE   512
#define BELAY__ACTION_SIZE 512 /* of a ladder's or command's text, with its NUL */

#define BELAY__ACT_ON_DEFAULT       "blocked,silent"
#define BELAY__ACTION_LIMIT_DEFAULT "5/60s"

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

	/* What is done about silences and ends; rules may say otherwise (struct belay__doing). */
	char on_stall[BELAY__ACTION_SIZE]; /* a ladder (process/ladder.h); "": nothing */
	char on_exit[BELAY__ACTION_SIZE];  /* a command (process/template.h); "": nothing */
	char act_on[64];                   /* verdicts, separated by commas */
	char action_limit[24];             /* "5/60s": so many actions of one rule in that time */
	/* The original's names for the same: a command on a stall, from here or from a file. */
	char recovery_exec[BELAY__ACTION_SIZE];
	char recovery_exec_file[BELAY__PATH_SIZE];
	char recovery_env[BELAY__ACTION_SIZE]; /* entries, each with its NUL */
	uint32_t recovery_env_len;
	bool recovery_inherit_env, recovery_capture_stdio;
	uint64_t recovery_debounce_ns, recovery_timeout_ns; /* timeout 0: none */
	uint64_t recovery_capture_bytes;

	/* Records. */
	char audit_file[BELAY__PATH_SIZE]; /* "": none */
	uint64_t audit_bytes_max, audit_sync_every, audit_fsync_budget_ns, audit_sync_interval_ns,
		audit_rotation_budget_ns;
	char export_file[BELAY__PATH_SIZE]; /* the original's events; "": none */
	uint64_t export_bytes_max, export_sync_every;

	/* Telling people. */
	char alert[BELAY__ACTION_SIZE];   /* a command; "": none */
	char deadman[BELAY__ACTION_SIZE]; /* a command; "": none */
	uint64_t deadman_every_ns;

	/* Metrics. */
	char metrics_socket[108];                /* "": <socket>.metrics; "none" */
	char metrics_textfile[BELAY__PATH_SIZE]; /* "": none */
	char metrics_addr[64];                   /* IP:PORT; "": none */
	char metrics_token_file[BELAY__PATH_SIZE];
	uint64_t metrics_rate, metrics_burst; /* requests a second of one address; either 0: off */
	unsigned metric_prefix;               /* enum belay__metric_prefix */
	bool metric_pids;

	/* Beats from other hosts. */
	uint64_t udp_port;      /* 0: none */
	char udp_bind_addr[48]; /* "": 127.0.0.1 with keys, 0.0.0.0 without */
	char key_file[BELAY__PATH_SIZE], accepted_key_file[BELAY__PATH_SIZE],
		master_key_file[BELAY__PATH_SIZE];             /* "": none */
	bool accept_plaintext_udp, accept_secure_non_loopback; /* --i-accept-... */
	bool secure_recovery,
		plaintext_recovery; /* --...-udp-i-accept-recovery-on-unauthenticated-transport */
	uint64_t sealed_senders;    /* how many are kept apart */

	/* The cage. */
	bool no_sandbox;
	char user[33]; /* whom gate and exporter become when started as root; "": nobody else */
};

enum belay__metric_prefix { BELAY__PREFIX_BELAY, BELAY__PREFIX_VARTA };
enum belay__run_as { BELAY__RUN_AS_PROCESS, BELAY__RUN_AS_ROOT };

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
	char on_stall[BELAY__ACTION_SIZE]; /* "": as the observer's */
	char on_exit[BELAY__ACTION_SIZE];
	char act_on[64];
	char action_limit[24];
	unsigned run_as; /* enum belay__run_as */
	char host[64];   /* a glob over names of other hosts; "": this host's processes only */
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

/* What is done about the processes of one rule. */
struct belay__doing {
	char on_stall[2 * BELAY__ACTION_SIZE]; /* "": nothing */
	char on_exit[BELAY__ACTION_SIZE];
	uint32_t act_on;      /* 1 << enum belay__verdict */
	uint32_t limit_count; /* actions in limit_window_ns; 0: no limit */
	uint64_t limit_window_ns;
	bool run_as_root;
};

/* What OPTIONS and RULE (NULL: no rule applies) say about acting; both are checked. */
void belay__doing_of(const struct belay__observe_options *options, const struct belay__rule *rule,
	struct belay__doing *ret_doing);

/* The words that commands on stalls and exits may hold as {key}; ends with NULL. */
extern const char *const belay__action_keys[];

/* The same of OPTIONS, whose --recovery-exec-file is read into recovery_exec. 0 or a negative errno
 * with a sentence. */
int belay__doing_check(struct belay__observe_options *options, struct belay_error *reterr);

/* Whether RULE can be acted by: its ladder, commands and limits can be read, and root is asked for
 * only with exe and uid. 0 or -EINVAL with a sentence. */
int belay__rule_check(const struct belay__rule *rule, struct belay_error *reterr);

/* Whom the system calls NAME. 0, -ENOENT: nobody, or another negative errno: it could not be asked. */
int belay__find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid);

/* The rules that connect options, in the reference's order (heartbeat-system, section 3). 0 or
 * -EINVAL with a sentence. */
int belay__observe_options_check(const struct belay__observe_options *options,
	struct belay_error *reterr);

/* udp_options.c: parts of it. Address and acknowledgements come early, whether there are keys comes last,
 * when it is chosen how to listen. */
int belay__udp_options_check(const struct belay__observe_options *options,
	struct belay_error *reterr);
int belay__udp_keys_check(const struct belay__observe_options *options, struct belay_error *reterr);
/* Whether beats over UDP are sealed: there is a file of keys. */
bool belay__udp_is_sealed(const struct belay__observe_options *options);
/* The IP address that UDP is received at. */
const char *belay__udp_bind_addr(const struct belay__observe_options *options);
/* Whether a command of RULE's (NULL: of the observer's) may run because of what UDP brought, and nobody
 * vouched for it. 0 or -EINVAL with a sentence that names the flag to vouch with. */
int belay__udp_recovery_check(const struct belay__observe_options *options,
	const struct belay__rule *rule, struct belay_error *reterr);

/* What to use instead of an option of the original's that is there no more; NAME has LEN bytes. NULL:
 * it is none of those. */
const char *belay__observe_removed(const char *name, size_t len);

/* Where events are kept: options->events, else <socket>.events.jsonl when the socket was named,
 * else /var/lib/belay/events.jsonl for root and $XDG_STATE_HOME/belay/events.jsonl (~/.local/state)
 * for others. 0 or -ENOENT. */
int belay__events_path(const char *events, const char *socket, bool socket_is_default, char *path,
	size_t size);
