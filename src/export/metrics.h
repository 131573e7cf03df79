/* metrics.h - from a snapshot of what is watched to the text of /metrics
 *
 *	struct belay__metrics_text text = { .max = BELAY__METRICS_TEXT_MAX };
 *
 *	belay__metrics_init(&snapshot);
 *	for each counter of the observer:
 *		belay__metrics_count(&snapshot, counter.name, counter.label, counter.value);
 *	snapshot.groups = ...; snapshot.processes = ...; snapshot.histograms[...] = ...;
 *	belay__metrics_prepare(&snapshot);
 *	belay__metrics_render(&snapshot, &style, &text);
 *	answer with text.bytes, text.len and belay__metrics_content_type(style.format)
 *
 * A snapshot is plain data; its arrays are the caller's, and whatever made it need not wait for its
 * rendering. Nothing is allocated but the text, which the caller keeps for the next time. The same
 * snapshot gives the same bytes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "export/metrics_table.h"
#include "export/metrics_text.h"

/* Names told one by one; the rest is told as BELAY__METRICS_OTHER. */
#define BELAY__METRICS_NAMES_MAX 1000
#define BELAY__METRICS_OTHER     "_other"

/* Room for 65,536 processes with the original's prefix. */
#define BELAY__METRICS_TEXT_MAX ((size_t)32 * 1024 * 1024)

/* The states of a process, as belay-status(1) and verdicts spell them. */
#define BELAY__METRICS_STATES(X)                                                                   \
	X(HEALTHY, "healthy")                                                                      \
	X(DEGRADED, "degraded")                                                                    \
	X(CRITICAL, "critical")                                                                    \
	X(STOPPED, "stopped")                                                                      \
	X(TRACED, "traced")                                                                        \
	X(FROZEN, "frozen")                                                                        \
	X(STARVED, "starved")                                                                      \
	X(SUSPENDED, "suspended")                                                                  \
	X(OBSERVER_LATE, "observer-late")                                                          \
	X(BLOCKED, "blocked")                                                                      \
	X(SILENT, "silent")

enum belay__metrics_state {
#define X(id, name) BELAY__METRICS_STATE_##id,
	BELAY__METRICS_STATES(X)
#undef X
	/* Watched without beats; not told yet. */
	BELAY__METRICS_STATE_TRACKED,
	BELAY__METRICS_STATE_COUNT,
};

/* All processes of one name and uid. */
struct belay__metrics_group {
	char name[BELAY__NAME_SIZE];
	uint32_t uid;
	uint64_t expected, processes;
	uint64_t beats_total, stalls_total, crashes_total; /* since the observer's start */
	uint64_t last_beat_realtime_ns;                    /* 0: none yet, not told */
	uint64_t threshold_ns;                             /* 0: not known, not told */
	uint32_t states[BELAY__METRICS_STATE_COUNT];       /* processes in each */
	/* Belong to belay__metrics_prepare(). */
	uint8_t name_len;
	bool name_plain;  /* needs no escapes */
	bool name_shared; /* another uid has this name too: the uid is told as a label */
};

#define BELAY__METRICS_NO_STATUS UINT8_MAX

struct belay__metrics_process {
	const char *name;  /* borrowed; only belay_process_info tells it */
	uint32_t pid, uid; /* no pid of a host twice */
	uint8_t host_len;  /* so much of the name is its host and a slash; 0: this host's */
	uint64_t beats, stalls;
	uint8_t status; /* enum belay_status, or BELAY__METRICS_NO_STATUS: not known yet */
};

enum belay__histogram_id {
	BELAY__HISTOGRAM_ITERATION,
	BELAY__HISTOGRAM_SERVE_PENDING,
	BELAY__HISTOGRAM_STAGE_DRAIN_PENDING,
	BELAY__HISTOGRAM_STAGE_POLL,
	BELAY__HISTOGRAM_STAGE_MAINTENANCE,
	BELAY__HISTOGRAM_STAGE_RECOVERY_REAP,
	BELAY__HISTOGRAM_STAGE_SERVE_PENDING,
	BELAY__HISTOGRAM_STAGE_HOUSEKEEPING,
	BELAY__HISTOGRAM_AUDIT_FSYNC,
	BELAY__HISTOGRAM_COUNT,
};

/* 1, 5, 10, 50, 100, 250, 500 ms, 1 s, and all above. */
#define BELAY__HISTOGRAM_BUCKETS 9

struct belay__histogram {
	uint64_t counts[BELAY__HISTOGRAM_BUCKETS]; /* each bucket's own, not cumulated */
	uint64_t sum_ns;
};

/* Notes one duration: a bucket holds what is at most its bound. */
void belay__histogram_observe(struct belay__histogram *histogram, uint64_t ns);

struct belay__metrics_snapshot {
	/* By enum belay__metric; durations and times (MILLIS, NANOS) in nanoseconds, points in time
	 * since the epoch. Rows with another source are not looked at. */
	uint64_t values[BELAY__METRIC_COUNT];
	struct belay__histogram histograms[BELAY__HISTOGRAM_COUNT];
	/* Expected ones always, then those seen first: what lies beyond the limit is folded from
	 * the end. Prepare reorders and shortens the array. */
	struct belay__metrics_group *groups;
	size_t group_count;
	/* What the caller folded itself, and how many names that is; prepare adds to both. */
	struct belay__metrics_group other;
	uint64_t other_names;
	/* In any order; prepare sorts it by pid. May be left out when no style needs it. */
	struct belay__metrics_process *processes;
	size_t process_count;
	bool prepared;
};

enum belay__metrics_format {
	BELAY__METRICS_TEXT,        /* Prometheus text 0.0.4 */
	BELAY__METRICS_OPENMETRICS, /* OpenMetrics 1.0 */
};

struct belay__metrics_style {
	enum belay__metrics_set set; /* BELAY or VARTA */
	enum belay__metrics_format format;
	bool pids; /* set BELAY: with belay_process_info */
};

/* Makes SNAPSHOT empty, except what is always 1. */
void belay__metrics_init(struct belay__metrics_snapshot *snapshot);

/* Puts VALUE, as the observer's counters give it (seconds are whole seconds), into its row. -ENOENT
 * when no row has this name and label, and nothing is changed. */
int belay__metrics_count(struct belay__metrics_snapshot *snapshot, const char *name,
	const char *label, uint64_t value);

/* Adds what GROUP counts to INTO: the later last beat, the longer threshold, the sum of all
 * else. */
void belay__metrics_fold(struct belay__metrics_group *into,
	const struct belay__metrics_group *group);

/* Makes SNAPSHOT ready to render: folds the names beyond the limit and the name that _other itself
 * has, sorts groups by name and uid, joins those that are given twice, sorts processes by pid. Once
 * for each snapshot; allocates nothing. */
void belay__metrics_prepare(struct belay__metrics_snapshot *snapshot);

/* Writes the body for a prepared SNAPSHOT to TEXT, over what was in it, with a NUL behind it.
 * Returns 0, -EMSGSIZE (TEXT's max; refused when it is nearly reached) or -ENOMEM; then TEXT is
 * empty. */
int belay__metrics_render(const struct belay__metrics_snapshot *snapshot,
	const struct belay__metrics_style *style, struct belay__metrics_text *text);

/* The Content-Type to send with it. */
const char *belay__metrics_content_type(enum belay__metrics_format format);
