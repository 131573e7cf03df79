/* metrics_table.h - every series of /metrics: one row is enum, name, label, type, source and help
 *
 * The renderer, the documentation, the test of the dashboards and the observer's counters all read
 * these rows. Names stand without their prefix. Rows of one name follow each other and are one
 * family; the first of them has the help. Those in the set of the original (heartbeat-system,
 * section 8) have its names, labels and order to the letter, so its dashboards go on working; what
 * it counts by pid, Belay counts by name.
 *
 * Where a value comes from:
 *	VALUE            values[ID] of the snapshot
 *	COUNTED_AS(name) the same, but the observer's counter has another name
 *	MILLIS           values[ID] in nanoseconds, told in seconds with 3 decimals
 *	NANOS_OF(id)     values[id] in nanoseconds, told in seconds with 9 decimals
 *	HISTOGRAM_OF(id) histograms[id]
 *	GROUP(member), GROUP_SECONDS(member), STATES         each group of processes with one name
 *	PROCESS(member), PROCESS_STATUS, PROCESS_INFO        each process
 *	BUILD            1, with the version as its label
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "export/metrics_text.h"

/* clang-format off */
/* id, name, label, type, source, sets, help */
#define BELAY__METRICS(X) \
	X(NAME_BEATS, "beats_total", "", COUNTER, GROUP(beats_total), BELAY, "Beats accepted, by name.") \
	X(NAME_STALLS, "stalls_total", "", COUNTER, GROUP(stalls_total), BELAY, "Silences longer than allowed, by name.") \
	X(NAME_CRASHES, "crashes_total", "", COUNTER, GROUP(crashes_total), BELAY, "Processes that a signal ended or that exited with another status than 0, by name.") \
	X(NAME_PROCESSES, "processes", "", GAUGE, GROUP(processes), BELAY, "Processes watched, by name.") \
	X(NAME_EXPECTED, "expected_processes", "", GAUGE, GROUP(expected), BELAY, "Processes that the configuration expects, by name.") \
	X(NAME_STATE, "process_state", "", GAUGE, STATES, BELAY, "Processes in each state, by name; a stalled one is in the state of its verdict.") \
	X(NAME_LAST_BEAT, "last_beat_timestamp_seconds", "", GAUGE, GROUP_SECONDS(last_beat_realtime_ns), BELAY, "When the last beat was accepted, by name; absent until there was one.") \
	X(NAME_THRESHOLD, "silence_threshold_seconds", "", GAUGE, GROUP_SECONDS(threshold_ns), BELAY, "How long a process may be silent, by name.") \
	X(NAMES_FOLDED, "other_names", "", GAUGE, VALUE, BELAY, "Names beyond the limit, told together as _other.") \
	X(PROCESS_INFO, "process_info", "", INFO, PROCESS_INFO, BELAY, "The processes behind a name; always 1.") \
	X(BUILD_INFO, "build_info", "", INFO, BUILD, BELAY, "The version of this observer; always 1.") \
	X(PID_BEATS, "beats_total", "", COUNTER, PROCESS(beats), VARTA, "Beats accepted, by pid.") \
	X(PID_STALLS, "stalls_total", "", COUNTER, PROCESS(stalls), VARTA, "Silences longer than allowed, by pid.") \
	X(PID_STATUS, "status", "", GAUGE, PROCESS_STATUS, VARTA, "Last status, by pid: 0 ok, 1 degraded, 2 critical, 3 stall.") \
	X(BEATS, "observer_beats_total", "", COUNTER, COUNTED_AS("beats_total"), BELAY, "Beats accepted, of all processes.") \
	X(STALLS, "observer_stalls_total", "", COUNTER, COUNTED_AS("stalls_total"), BELAY, "Silences longer than allowed, of all processes.") \
	X(RECOVERIES, "recoveries_total", "", COUNTER, VALUE, BELAY, "Stalls that ended with a beat.") \
	X(STALLS_ANSWERED, "stalls_answered_total", "", COUNTER, VALUE, BELAY, "Deadlines missed by processes that beat again while evidence was gathered.") \
	X(MASS_STALLS, "mass_stalls_total", "", COUNTER, VALUE, BELAY, "Times that many processes of one rule went silent at once.") \
	X(ENDS_LEFT, "ends_total", "end=\"left\"", COUNTER, VALUE, BELAY, "Processes that ended, by how.") \
	X(ENDS_EXITED, "ends_total", "end=\"exited\"", COUNTER, VALUE, BELAY, "") \
	X(ENDS_KILLED, "ends_total", "end=\"killed\"", COUNTER, VALUE, BELAY, "") \
	X(ENDS_UNKNOWN, "ends_total", "end=\"unknown\"", COUNTER, VALUE, BELAY, "") \
	X(EVICTED, "tracker_evicted_total", "", COUNTER, VALUE, BOTH, "Processes forgotten to make room for others.") \
	X(AUTH_FAILURES, "frame_auth_failures_total", "", COUNTER, VALUE, BOTH, "Frames that claim another pid than the kernel saw.") \
	X(PID_UNATTESTED, "frame_pid_unattested_total", "", COUNTER, VALUE, BELAY, "Frames whose sender has no pid here.") \
	X(FOREIGN_UID, "frame_foreign_uid_total", "", COUNTER, VALUE, BELAY, "Frames from another user.") \
	X(BAD_MAGIC, "decode_errors_total", "kind=\"bad_magic\"", COUNTER, VALUE, BOTH, "Frames that do not decode, by what is wrong with them.") \
	X(BAD_VERSION, "decode_errors_total", "kind=\"bad_version\"", COUNTER, VALUE, BOTH, "") \
	X(BAD_STATUS, "decode_errors_total", "kind=\"bad_status\"", COUNTER, VALUE, BOTH, "") \
	X(BAD_PID, "decode_errors_total", "kind=\"bad_pid\"", COUNTER, VALUE, BOTH, "") \
	X(BAD_TIMESTAMP, "decode_errors_total", "kind=\"bad_timestamp\"", COUNTER, VALUE, BOTH, "") \
	X(BAD_NONCE, "decode_errors_total", "kind=\"bad_nonce\"", COUNTER, VALUE, BOTH, "") \
	X(STALL_ON_WIRE, "decode_errors_total", "kind=\"stall_on_wire\"", COUNTER, VALUE, BOTH, "") \
	X(BAD_CRC, "decode_errors_total", "kind=\"bad_crc\"", COUNTER, VALUE, BOTH, "") \
	X(IO_ERRORS, "io_errors_total", "", COUNTER, VALUE, BOTH, "Errors while receiving.") \
	X(CTRL_TRUNCATED, "ctrl_truncated_total", "", COUNTER, VALUE, BOTH, "Datagrams whose control data was cut.") \
	X(STRAY_FDS, "stray_fds_total", "", COUNTER, VALUE, BELAY, "Descriptors that nobody asked for.") \
	X(CAPACITY_EXCEEDED, "tracker_capacity_exceeded_total", "", COUNTER, VALUE, BOTH, "Beats refused because the table is full.") \
	X(SCAN_TRUNCATED, "tracker_eviction_scan_truncated_total", "", COUNTER, VALUE, BOTH, "Searches for room that found none.") \
	X(CAPACITY, "tracker_capacity", "", GAUGE, VALUE, BOTH, "Processes that the table has room for.") \
	X(SCAN_WINDOW, "tracker_eviction_scan_window_max", "", GAUGE, VALUE, BOTH, "Slots looked at in one search for room.") \
	X(ACTION_SPAWNED, "recovery_outcomes_total", "outcome=\"spawned\"", COUNTER, VALUE, BOTH, "What became of the actions on stalls.") \
	X(ACTION_DEBOUNCED, "recovery_outcomes_total", "outcome=\"debounced\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_REAPED_ZERO, "recovery_outcomes_total", "outcome=\"reaped_zero\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_REAPED_NONZERO, "recovery_outcomes_total", "outcome=\"reaped_nonzero\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_KILLED, "recovery_outcomes_total", "outcome=\"killed\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_SPAWN_FAILED, "recovery_outcomes_total", "outcome=\"spawn_failed\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_UNAUTHENTICATED, "recovery_outcomes_total", "outcome=\"refused_unauthenticated_transport\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_CROSS_NAMESPACE, "recovery_outcomes_total", "outcome=\"refused_cross_namespace\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_DEBOUNCE_FULL, "recovery_outcomes_total", "outcome=\"refused_debounce_capacity\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_OUTSTANDING_FULL, "recovery_outcomes_total", "outcome=\"refused_outstanding_capacity\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_SOCKET_MODE_ONLY, "recovery_outcomes_total", "outcome=\"refused_socket_mode_only\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_RESUMED, "recovery_outcomes_total", "outcome=\"skipped_agent_resumed\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_RECYCLED, "recovery_outcomes_total", "outcome=\"skipped_pid_recycled\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_UNVERIFIABLE, "recovery_outcomes_total", "outcome=\"skipped_stall_unverifiable\"", COUNTER, VALUE, BOTH, "") \
	X(ACTION_STALE_CHILD, "recovery_outcomes_total", "outcome=\"refused_stale_child_kill_failed\"", COUNTER, VALUE, BELAY, "") \
	X(ACTION_REAP_FAILED, "recovery_outcomes_total", "outcome=\"reap_failed\"", COUNTER, VALUE, BELAY, "") \
	X(ACTION_UNKNOWN, "recovery_outcomes_total", "outcome=\"unknown\"", COUNTER, VALUE, BELAY, "") \
	X(WITHHELD_VERDICT, "actions_withheld_total", "reason=\"verdict\"", COUNTER, VALUE, BELAY, "Actions that were due and not done, by what held them back.") \
	X(WITHHELD_BACK_OFF, "actions_withheld_total", "reason=\"back_off\"", COUNTER, VALUE, BELAY, "") \
	X(WITHHELD_LIMIT, "actions_withheld_total", "reason=\"action_limit\"", COUNTER, VALUE, BELAY, "") \
	X(WITHHELD_MASS_STALL, "actions_withheld_total", "reason=\"mass_stall\"", COUNTER, VALUE, BELAY, "") \
	X(WITHHELD_PAUSED, "actions_withheld_total", "reason=\"paused\"", COUNTER, VALUE, BELAY, "") \
	X(ALERT_STALL, "alerts_total", "kind=\"stall\"", COUNTER, VALUE, BELAY, "Alerts handed over, by kind.") \
	X(ALERT_CRASH, "alerts_total", "kind=\"crash\"", COUNTER, VALUE, BELAY, "") \
	X(ALERT_MISSING, "alerts_total", "kind=\"missing\"", COUNTER, VALUE, BELAY, "") \
	X(ALERT_MASS_STALL, "alerts_total", "kind=\"mass_stall\"", COUNTER, VALUE, BELAY, "") \
	X(ALERT_ACTION, "alerts_total", "kind=\"action\"", COUNTER, VALUE, BELAY, "") \
	X(ALERT_RECOVERED, "alerts_total", "kind=\"recovered\"", COUNTER, VALUE, BELAY, "") \
	X(ALERT_FAILURES, "alert_failures_total", "", COUNTER, VALUE, BELAY, "Calls of the alert command that failed.") \
	X(EVENTS_WRITTEN, "events_written_total", "", COUNTER, VALUE, BELAY, "Events written to the event file.") \
	X(EVENTS_LOST, "events_lost_total", "", COUNTER, VALUE, BELAY, "Events that could not be written.") \
	X(RECOVERY_NS, "recovery_duration_ns_sum", "", COUNTER, VALUE, VARTA, "How long the commands of finished actions ran, together.") \
	X(RECOVERY_SECONDS, "recovery_duration_seconds_total", "", COUNTER, NANOS_OF(RECOVERY_NS), BELAY, "How long the commands of finished actions ran, together.") \
	X(RECOVERY_COUNT, "recovery_duration_count_total", "", COUNTER, VALUE, BOTH, "Commands of actions that finished.") \
	X(REFUSED_UNAUTHENTICATED, "recovery_refused_total", "reason=\"unauthenticated_transport\"", COUNTER, VALUE, BOTH, "Actions refused, by reason.") \
	X(REFUSED_CROSS_NAMESPACE, "recovery_refused_total", "reason=\"cross_namespace_agent\"", COUNTER, VALUE, BOTH, "") \
	X(REFUSED_DEBOUNCE_FULL, "recovery_refused_total", "reason=\"debounce_capacity\"", COUNTER, VALUE, BOTH, "") \
	X(REFUSED_OUTSTANDING_FULL, "recovery_refused_total", "reason=\"outstanding_capacity\"", COUNTER, VALUE, BOTH, "") \
	X(REFUSED_SOCKET_MODE_ONLY, "recovery_refused_total", "reason=\"socket_mode_only\"", COUNTER, VALUE, BOTH, "") \
	X(RECOVERY_LAST_FIRED_EVICTIONS, "recovery_last_fired_evictions_total", "", COUNTER, VALUE, BOTH, "Debounce entries given up to make room.") \
	X(RECOVERY_DEBOUNCE_RESETS, "recovery_debounce_recycle_resets_total", "", COUNTER, VALUE, BOTH, "Debounce entries of a pid that came to name another process.") \
	X(RECOVERY_OUTSTANDING_RESETS, "recovery_outstanding_recycle_resets_total", "", COUNTER, VALUE, BOTH, "Running actions of a pid that came to name another process.") \
	X(RECOVERY_SPAWN_BUDGET, "recovery_spawn_budget_exceeded_total", "", COUNTER, VALUE, BOTH, "Turns that started as many actions as a turn may.") \
	X(RECOVERY_INVARIANTS, "recovery_invariant_violations_total", "", COUNTER, VALUE, BOTH, "Inconsistencies found in the books on actions; should stay 0.") \
	X(RECOVERY_PROBES, "recovery_outstanding_probe_exhausted_total", "", COUNTER, VALUE, BOTH, "Look-ups of running actions given up.") \
	X(RECOVERY_REAP_TRUNCATED, "recovery_reap_truncated_total", "", COUNTER, VALUE, BOTH, "Turns that left finished commands to the next.") \
	X(AUDIT_DROPPED, "recovery_audit_dropped_total", "", COUNTER, VALUE, BOTH, "Audit records that could not be kept.") \
	X(AUDIT_FLUSH_BUDGET, "recovery_audit_flush_budget_exceeded_total", "", COUNTER, VALUE, BOTH, "Turns that could not write all audit records.") \
	X(AUDIT_FSYNC, "audit_fsync_seconds", "", HISTOGRAM, HISTOGRAM_OF(AUDIT_FSYNC), BOTH, "How long syncs of the audit log took.") \
	X(AUDIT_FSYNC_BUDGET, "audit_fsync_budget_exceeded_total", "", COUNTER, VALUE, BOTH, "Syncs of the audit log that took too long.") \
	X(AUDIT_ROTATION_BUDGET, "audit_rotation_budget_exceeded_total", "", COUNTER, VALUE, BOTH, "Rotations of the audit log that took too long.") \
	X(AUDIT_RING_WARN, "audit_ring_watermark_total", "level=\"warn\"", COUNTER, VALUE, BOTH, "Times that the queue of audit records filled up to a mark.") \
	X(AUDIT_RING_CRITICAL, "audit_ring_watermark_total", "level=\"critical\"", COUNTER, VALUE, BOTH, "") \
	X(BIND_SYNC_FAILED, "socket_bind_dir_fsync_failed_total", "", COUNTER, VALUE, BOTH, "Syncs of a directory that failed at a bind.") \
	X(LOG_FILE_EXPORT, "log_suppressed_total", "kind=\"file_export_io\"", COUNTER, VALUE, BOTH, "Log lines left out because there were too many, by kind.") \
	X(LOG_AUDIT, "log_suppressed_total", "kind=\"audit_io\"", COUNTER, VALUE, BOTH, "") \
	X(LOG_PROM, "log_suppressed_total", "kind=\"prom_serve\"", COUNTER, VALUE, BOTH, "") \
	X(LOG_HEARTBEAT, "log_suppressed_total", "kind=\"heartbeat_io\"", COUNTER, VALUE, BOTH, "") \
	X(LOG_RING_WARN, "log_suppressed_total", "kind=\"audit_ring_warn\"", COUNTER, VALUE, BOTH, "") \
	X(LOG_RING_CRITICAL, "log_suppressed_total", "kind=\"audit_ring_critical\"", COUNTER, VALUE, BOTH, "") \
	X(ORIGIN_CONFLICTS, "origin_conflict_total", "", COUNTER, VALUE, BOTH, "Beats from a less trusted origin than their process.") \
	X(NAMESPACE_MISMATCH, "frame_namespace_mismatch_total", "", COUNTER, VALUE, BOTH, "Beats from another pid namespace.") \
	X(PID_ABOVE_MAX, "frame_rejected_pid_above_max_total", "", COUNTER, VALUE, BOTH, "Frames with a pid that cannot exist.") \
	X(NAMESPACE_CONFLICTS, "tracker_namespace_conflict_total", "", COUNTER, VALUE, BOTH, "Beats whose process was in another namespace before.") \
	X(PID_RECYCLES, "tracker_pid_recycle_total", "", COUNTER, VALUE, BOTH, "Pids that came to name another process.") \
	X(INVARIANT_VIOLATIONS, "tracker_invariant_violations_total", "", COUNTER, VALUE, BOTH, "Inconsistencies found in the table; should stay 0.") \
	X(REMOVED_PID_DROPS, "tracker_removed_pid_drops_total", "", COUNTER, VALUE, BOTH, "Removed pids that could not be noted.") \
	X(PROBE_EXHAUSTED, "tracker_pid_index_probe_exhausted_total", "", COUNTER, VALUE, BOTH, "Look-ups in the table given up.") \
	X(OUT_OF_ORDER, "out_of_order_total", "", COUNTER, VALUE, BELAY, "Beats with an old nonce.") \
	X(PID_MAX, "pid_max_current", "", GAUGE, VALUE, BOTH, "The highest pid that this kernel gives.") \
	X(PROM_IP_PROBES, "prom_ip_state_probe_exhausted_total", "", COUNTER, VALUE, BOTH, "Look-ups of a client's address given up.") \
	X(PROM_ROW_REFUSED, "prom_pid_row_refused_total", "", COUNTER, VALUE, BOTH, "Rows left out for lack of room.") \
	X(PROM_AUTH_FAILURES, "prom_auth_failures_total", "", COUNTER, VALUE, BOTH, "Scrapes without the right token.") \
	X(PROM_DROPPED_DRAIN, "prom_connections_dropped_total", "reason=\"drain\"", COUNTER, VALUE, BOTH, "Connections closed without an answer, by reason.") \
	X(PROM_DROPPED_RATE_LIMIT, "prom_connections_dropped_total", "reason=\"rate_limit\"", COUNTER, VALUE, BOTH, "") \
	X(PROM_DROPPED_IP_TABLE, "prom_connections_dropped_total", "reason=\"ip_table_full\"", COUNTER, VALUE, BOTH, "") \
	X(PROM_DROPPED_CAPACITY, "prom_connections_dropped_total", "reason=\"capacity\"", COUNTER, VALUE, BELAY, "") \
	X(PROM_DROPPED_TIMEOUT, "prom_connections_dropped_total", "reason=\"timeout\"", COUNTER, VALUE, BELAY, "") \
	X(DECRYPT_FAILURES, "frame_decrypt_failures_total", "", COUNTER, VALUE, BOTH, "Sealed frames that do not open.") \
	X(REPLAYS, "secure_replay_refused_total", "", COUNTER, VALUE, BOTH, "Sealed frames that came twice.") \
	X(SENDER_STATE_FULL, "sender_state_full_total", "", COUNTER, VALUE, BOTH, "Senders of sealed frames beyond the limit.") \
	X(AEAD_ATTEMPTS, "secure_aead_attempts_total", "", COUNTER, VALUE, BOTH, "Attempts to open a sealed frame.") \
	X(TRUNCATED, "truncated_datagrams_total", "", COUNTER, VALUE, BOTH, "Datagrams of a wrong size.") \
	X(RATE_LIMITED_PID, "rate_limited_total", "reason=\"per_pid\"", COUNTER, VALUE, BOTH, "Beats refused by a limit on their rate.") \
	X(RATE_LIMITED_GLOBAL, "rate_limited_total", "reason=\"global\"", COUNTER, VALUE, BOTH, "") \
	X(RCVBUF, "observer_uds_rcvbuf_bytes", "", GAUGE, VALUE, BOTH, "Receive buffer granted by the kernel; 0 when left alone.") \
	X(CLOCK_REGRESSIONS, "observer_clock_regression_total", "", COUNTER, VALUE, BOTH, "Readings of the clock that ran backwards.") \
	X(CLOCK_JUMPS, "observer_clock_jump_forward_total", "", COUNTER, VALUE, BOTH, "Readings of the clock that jumped by more than 5 s.") \
	X(LATE, "observer_late_total", "", COUNTER, VALUE, BELAY, "Times the observer did not run when it should have.") \
	X(PIDFDS_MISSING, "pidfds_missing_total", "", COUNTER, VALUE, BELAY, "Processes watched without a pidfd.") \
	X(VERDICTS_MISSING, "verdicts_without_evidence_total", "", COUNTER, VALUE, BELAY, "Stalls told without evidence.") \
	X(DOOR_REFUSED, "door_refused_total", "", COUNTER, VALUE, BELAY, "Requests at the door that were refused.") \
	X(DOOR_BEATS, "door_beats_total", "", COUNTER, VALUE, BELAY, "Beats given at the door for a parent or ancestor.") \
	X(WITHINS, "withins_total", "", COUNTER, VALUE, BELAY, "Silences announced.") \
	X(SCRAPE_SKIPPED, "scrape_skipped_total", "", COUNTER, VALUE, BOTH, "Scrapes answered with the body of the one before.") \
	X(SCRAPE_EXHAUSTED, "scrape_budget_exhausted_total", "", COUNTER, VALUE, BOTH, "Turns that served as many scrapes as a turn may.") \
	X(ITERATION, "observer_iteration_seconds", "", HISTOGRAM, HISTOGRAM_OF(ITERATION), BOTH, "How long turns of the loop took.") \
	X(SERVE_PENDING, "observer_serve_pending_seconds", "", HISTOGRAM, HISTOGRAM_OF(SERVE_PENDING), BOTH, "How long serving scrapes took in a turn.") \
	X(STAGE_DRAIN, "observer_stage_seconds", "stage=\"drain_pending\"", HISTOGRAM, HISTOGRAM_OF(STAGE_DRAIN_PENDING), BOTH, "How long each stage of a turn took.") \
	X(STAGE_POLL, "observer_stage_seconds", "stage=\"poll\"", HISTOGRAM, HISTOGRAM_OF(STAGE_POLL), BOTH, "") \
	X(STAGE_MAINTENANCE, "observer_stage_seconds", "stage=\"maintenance\"", HISTOGRAM, HISTOGRAM_OF(STAGE_MAINTENANCE), BOTH, "") \
	X(STAGE_REAP, "observer_stage_seconds", "stage=\"recovery_reap\"", HISTOGRAM, HISTOGRAM_OF(STAGE_RECOVERY_REAP), BOTH, "") \
	X(STAGE_SERVE, "observer_stage_seconds", "stage=\"serve_pending\"", HISTOGRAM, HISTOGRAM_OF(STAGE_SERVE_PENDING), BOTH, "") \
	X(STAGE_HOUSEKEEPING, "observer_stage_seconds", "stage=\"housekeeping\"", HISTOGRAM, HISTOGRAM_OF(STAGE_HOUSEKEEPING), BOTH, "") \
	X(ITERATION_BUDGET, "observer_iteration_budget_exceeded_total", "", COUNTER, VALUE, BOTH, "Turns of the loop that took too long.") \
	X(SCRAPE_BUDGET, "observer_scrape_budget_exceeded_total", "", COUNTER, VALUE, BOTH, "Scrapes that took too long.") \
	X(NONCE_WRAPS, "nonce_wrap_total", "", COUNTER, VALUE, BOTH, "Nonces that started over.") \
	X(SIGNAL_HANDLER, "signal_handler_install_total", "mode=\"libc\"", COUNTER, VALUE, BOTH, "How signals are received; always 1.") \
	X(UPTIME, "watch_uptime_seconds", "", GAUGE, MILLIS, BOTH, "Seconds since this observer started.") \
	X(LAST_POLL, "watch_last_poll_loop_timestamp_seconds", "", GAUGE, MILLIS, BOTH, "When the loop last turned.") \
	X(PIDS_TRACKED, "watch_pids_tracked", "", GAUGE, VALUE, BOTH, "Processes in the table.")
/* clang-format on */

enum belay__metric {
#define X(id, name, label, type, source, sets, help) BELAY__METRIC_##id,
	BELAY__METRICS(X)
#undef X
		BELAY__METRIC_COUNT,
};

enum belay__metric_type {
	BELAY__METRIC_COUNTER,
	BELAY__METRIC_GAUGE,
	BELAY__METRIC_HISTOGRAM,
	BELAY__METRIC_INFO,
	BELAY__METRIC_TYPES,
};

enum belay__metric_source {
	BELAY__FROM_VALUE,
	BELAY__FROM_MILLIS,
	BELAY__FROM_NANOS,
	BELAY__FROM_HISTOGRAM,
	BELAY__FROM_GROUP,
	BELAY__FROM_GROUP_SECONDS,
	BELAY__FROM_STATES,
	BELAY__FROM_PROCESS,
	BELAY__FROM_PROCESS_STATUS,
	BELAY__FROM_PROCESS_INFO,
	BELAY__FROM_BUILD,
	BELAY__METRIC_SOURCES,
};

/* Which table of series: the prefix decides. */
enum belay__metrics_set {
	BELAY__METRICS_BELAY = 1, /* belay_..., by name */
	BELAY__METRICS_VARTA = 2, /* varta_..., the original's, by pid */
	BELAY__METRICS_BOTH = 3,
};

struct belay__metric_row {
	const char *name, *label, *help;
	const char *counted_as;           /* the observer's name for it, when that is another */
	uint16_t at;                      /* member of a group or process; or another row's value,
					     or a histogram */
	enum belay__metric_type type;     /* of the whole family */
	enum belay__metric_source source; /* of the whole family */
	enum belay__metrics_set sets;
};

extern const struct belay__metric_row belay__metric_rows[BELAY__METRIC_COUNT];

/* "belay" or "varta". */
const char *belay__metrics_prefix(enum belay__metrics_set set);

/* "counter", "gauge", "histogram", "info". */
const char *belay__metric_type_name(enum belay__metric_type type);

/* Finds the row whose value the observer's counter NAME with LABEL ("" or "kind=\"bad_magic\"") is;
 * -ENOENT when there is none. */
int belay__metric_find(const char *name, const char *label);

/* Adds the series of SET as lines of five columns between tabs: name with prefix, type, labels
 * ("kind: bad_magic bad_version", "name, state", or "-"), where the value comes from, help; a NUL
 * behind them. For documentation and tests. 0, -EMSGSIZE or -ENOMEM. */
int belay__metrics_write_table(enum belay__metrics_set set, struct belay__metrics_text *text);
