/* audit_log.h - the recovery audit log: records queued without waiting, written within a budget
 *
 * A record is copied into a ring of BELAY__AUDIT_RING and written by a later drain, which gives it
 * its sequence number and its chain. Nothing is lost silently: a record that finds the ring full is
 * counted, and its number stays missing in the file; one that a full disk refuses stays in the ring
 * and is tried again. A line that a write cut short is cut off before another is written.
 *
 * Files are made and moved by whoever may: either the log does so itself (it was opened by its
 * path), or it is given descriptors and says when it wants the next one. After a rotation it writes
 * on into the old file until it has the new one, so no step of that can lose a record.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "export/audit_line.h"

#define BELAY__AUDIT_RING          256
#define BELAY__AUDIT_BYTES_MAX_MIN 4096
#define BELAY__AUDIT_FSYNC_BUCKETS 9
/* Longer programs, sources and reasons are cut and end in "...". */
#define BELAY__AUDIT_TEXT_MAX 511

/* A moment, on the wall and on the observer's clock. */
struct belay__audit_time {
	uint64_t wall_ms, observer_ns;
};

struct belay__audit_options {
	uint64_t bytes_max;          /* a file is rotated at this size; 0: never */
	uint64_t sync_interval_ns;   /* records wait no longer than this for their sync; 0: off */
	uint64_t fsync_budget_ns;    /* 0: 50 ms */
	uint64_t rotation_budget_ns; /* of one drain; 0: 50 ms */
	uint32_t sync_every;         /* records; 0: 1 */
	uint32_t daemon_pid;         /* in the records of a start */
};

struct belay__audit_counters {
	uint64_t written; /* records, those of starts and rotations included */
	uint64_t dropped; /* the ring was full */
	uint64_t flush_budget_exceeded;
	uint64_t fsync_budget_exceeded;
	uint64_t rotation_budget_exceeded;
	uint64_t watermark_warn, watermark_critical; /* the ring rose to 75 %, to 95 % */
	uint64_t write_failed, sync_failed, rotation_failed;
	uint64_t fsync_count, fsync_sum_ns;
	uint64_t fsync_bucket[BELAY__AUDIT_FSYNC_BUCKETS]; /* each for itself, the last is +Inf */
};

/* The upper bounds of all buckets but the last: 1, 5, 10, 50, 100, 250, 500 ms, 1 s. */
extern const uint64_t belay__audit_fsync_bound_ns[BELAY__AUDIT_FSYNC_BUCKETS - 1];

struct belay__audit_log;

/* Opens the log at PATH (belay__generations_open()) and goes on behind its last record: a torn line
 * is cut off first. The record of the start is due and written by the first drain. 0; or a negative
 * errno with a sentence. */
int belay__audit_log_open(const char *path, const struct belay__audit_options *options,
	struct belay__audit_log **ret_log, struct belay_error *reterr);

/* The same on FD, which belay__generations_open() made. PREVIOUS_FD (borrowed, -EBADF: none) is the
 * newest older generation: it is looked at when FD holds no record yet, after a rotation that was
 * cut short. */
int belay__audit_log_open_take(int fd, int previous_fd, const struct belay__audit_options *options,
	struct belay__audit_log **ret_log, struct belay_error *reterr);

/* Writes and syncs what is queued, for a second at most, and frees the log. Returns NULL. */
struct belay__audit_log *belay__audit_log_free(struct belay__audit_log *log);

/* Queues a copy of RECORD; its sequence number is given later. False when it was dropped. Neither
 * waits nor allocates. */
bool belay__audit_log_add(struct belay__audit_log *log, const struct belay__audit_record *record);

/* Writes queued records until DEADLINE_NS (CLOCK_MONOTONIC; at least one), with the syncs and the
 * step of a rotation that are due. NOW stands in the records of starts. Call it while something is
 * queued or pending, and from time to time for sync_interval_ns. 0, or the first failure as a negative errno:
 * it was counted, and is tried again by the next call. */
int belay__audit_log_drain(struct belay__audit_log *log, struct belay__audit_time now,
	uint64_t deadline_ns);

/* Syncs what was written. 0 or a negative errno. */
int belay__audit_log_sync(struct belay__audit_log *log);

/* How many records wait, that of a start included. */
size_t belay__audit_log_queued(const struct belay__audit_log *log);

/* Whether the last drain left something for the next one that is not queued: a rotation that is under
 * way, or a sync that is due, because their time was over or they failed. */
bool belay__audit_log_pending(const struct belay__audit_log *log);

/* Whether a log on descriptors is as long as it may be. It was synced; its files may be moved, and
 * it goes on writing until belay__audit_log_switch_take(). */
bool belay__audit_log_wants_rotation(const struct belay__audit_log *log);

/* Goes on in FD, a new and empty file, with the record of a rotation. 0, -EEXIST when FD is not
 * empty (borrowed then, the log stays where it is), or another negative errno. */
int belay__audit_log_switch_take(struct belay__audit_log *log, int fd);

const struct belay__audit_counters *belay__audit_log_counters(const struct belay__audit_log *log);

/* The sequence number and chain of the record written last; 0 and zeros when there is none. Kept
 * elsewhere, it makes a later change to the file visible. */
uint64_t belay__audit_log_head(const struct belay__audit_log *log,
	uint8_t ret_chain[BELAY__AUDIT_CHAIN_SIZE]);
