/* counters.h - every number an observer counts: one row is enum, name, label and help
 *
 * Names and labels are those of the reference's metrics without their prefix (heartbeat-system,
 * section 8), so existing dashboards need no new words; rows that only Belay has follow the same
 * grammar.
 */
#pragma once

#include <stdint.h>

/* clang-format off */
/* id, name, label, what it counts */
#define BELAY__COUNTERS(X) \
	X(BEATS, "beats_total", "", "beats accepted") \
	X(STALLS, "stalls_total", "", "silences longer than allowed") \
	X(RECOVERIES, "recoveries_total", "", "stalls that ended with a beat") \
	X(STALLS_ANSWERED, "stalls_answered_total", "", "deadlines missed by processes that beat again while evidence was gathered") \
	X(ENDS_LEFT, "ends_total", "end=\"left\"", "processes that said goodbye") \
	X(ENDS_EXITED, "ends_total", "end=\"exited\"", "processes that exited") \
	X(ENDS_KILLED, "ends_total", "end=\"killed\"", "processes that a signal ended") \
	X(ENDS_UNKNOWN, "ends_total", "end=\"unknown\"", "processes whose way of ending is not known") \
	X(AUTH_FAILURES, "frame_auth_failures_total", "", "frames that claim another pid than the kernel saw") \
	X(PID_UNATTESTED, "frame_pid_unattested_total", "", "frames whose sender has no pid here") \
	X(FOREIGN_UID, "frame_foreign_uid_total", "", "frames from another user") \
	X(BAD_MAGIC, "decode_errors_total", "kind=\"bad_magic\"", "frames that do not decode") \
	X(BAD_VERSION, "decode_errors_total", "kind=\"bad_version\"", "") \
	X(BAD_STATUS, "decode_errors_total", "kind=\"bad_status\"", "") \
	X(BAD_PID, "decode_errors_total", "kind=\"bad_pid\"", "") \
	X(BAD_TIMESTAMP, "decode_errors_total", "kind=\"bad_timestamp\"", "") \
	X(BAD_NONCE, "decode_errors_total", "kind=\"bad_nonce\"", "") \
	X(STALL_ON_WIRE, "decode_errors_total", "kind=\"stall_on_wire\"", "") \
	X(BAD_CRC, "decode_errors_total", "kind=\"bad_crc\"", "") \
	X(IO_ERRORS, "io_errors_total", "", "receive errors") \
	X(CTRL_TRUNCATED, "ctrl_truncated_total", "", "datagrams whose control data was cut") \
	X(TRUNCATED, "truncated_datagrams_total", "", "datagrams that are not 32 bytes") \
	X(STRAY_FDS, "stray_fds_total", "", "descriptors that nobody asked for") \
	X(RATE_LIMITED_PID, "rate_limited_total", "reason=\"per_pid\"", "beats refused by a rate limit") \
	X(RATE_LIMITED_GLOBAL, "rate_limited_total", "reason=\"global\"", "") \
	X(OUT_OF_ORDER, "out_of_order_total", "", "beats with an old nonce") \
	X(CAPACITY_EXCEEDED, "tracker_capacity_exceeded_total", "", "beats refused because the table is full") \
	X(EVICTED, "tracker_evicted_total", "", "processes forgotten to make room") \
	X(SCAN_TRUNCATED, "tracker_eviction_scan_truncated_total", "", "searches for room that found none") \
	X(CAPACITY, "tracker_capacity", "", "processes the table has room for") \
	X(SCAN_WINDOW, "tracker_eviction_scan_window_max", "", "slots looked at in one search for room") \
	X(ORIGIN_CONFLICTS, "origin_conflict_total", "", "beats from a less trusted origin than their process") \
	X(NAMESPACE_MISMATCH, "frame_namespace_mismatch_total", "", "beats from another pid namespace") \
	X(PID_ABOVE_MAX, "frame_rejected_pid_above_max_total", "", "frames with a pid that cannot exist") \
	X(NAMESPACE_CONFLICTS, "tracker_namespace_conflict_total", "", "beats whose process was in another namespace before") \
	X(PID_RECYCLES, "tracker_pid_recycle_total", "", "pids that came to name another process") \
	X(INVARIANT_VIOLATIONS, "tracker_invariant_violations_total", "", "should stay 0") \
	X(PROBE_EXHAUSTED, "tracker_pid_index_probe_exhausted_total", "", "table look-ups given up") \
	X(NONCE_WRAPS, "nonce_wrap_total", "", "nonces that started over") \
	X(CLOCK_REGRESSIONS, "observer_clock_regression_total", "", "clock readings that ran backwards") \
	X(CLOCK_JUMPS, "observer_clock_jump_forward_total", "", "clock readings that jumped by more than 5 s") \
	X(LATE, "observer_late_total", "", "times the observer did not run when it should have") \
	X(PIDFDS_MISSING, "pidfds_missing_total", "", "processes watched without a pidfd") \
	X(VERDICTS_MISSING, "verdicts_without_evidence_total", "", "stalls told without evidence") \
	X(DOOR_REFUSED, "door_refused_total", "", "requests at the door that were refused") \
	X(DOOR_BEATS, "door_beats_total", "", "beats given at the door for a parent or ancestor") \
	X(WITHINS, "withins_total", "", "silences announced") \
	X(DECRYPT_FAILURES, "frame_decrypt_failures_total", "", "sealed frames that no key opens") \
	X(REPLAYS, "secure_replay_refused_total", "", "sealed frames that came before") \
	X(SENDER_STATE_FULL, "sender_state_full_total", "", "sealed frames of senders beyond the limit") \
	X(AEAD_ATTEMPTS, "secure_aead_attempts_total", "", "attempts to open a sealed frame") \
	X(BIND_SYNC_FAILED, "socket_bind_dir_fsync_failed_total", "", "directory syncs that failed at a bind") \
	X(RCVBUF, "observer_uds_rcvbuf_bytes", "", "receive buffer granted") \
	X(PID_MAX, "pid_max_current", "", "the kernel's pid_max") \
	X(PIDS_TRACKED, "watch_pids_tracked", "", "processes in the table") \
	X(UPTIME, "watch_uptime_seconds", "", "seconds since this observer started")
/* clang-format on */

enum belay__counter {
#define X(id, name, label, help) BELAY__COUNT_##id,
	BELAY__COUNTERS(X)
#undef X
		BELAY__COUNTER_COUNT,
};

struct belay__counter_row {
	const char *name, *label, *help;
};

extern const struct belay__counter_row belay__counter_rows[BELAY__COUNTER_COUNT];
