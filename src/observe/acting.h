/* acting.h - what can become of an action: one row is outcome, word, how loud it is told, and the
 * original's name for it
 *
 * The runner decides and says one of these (struct belay__msg_acted); the gate tells it as an event:
 * "action" for what was done, "withheld" for what was not, with the row's word as its reason. The
 * original's words stand in the audit log (heartbeat-system, section 7); "" where it has none.
 */
#pragma once

/* clang-format off */
/* id, event, word, level, audit */
#define BELAY__ACTED(X) \
	X(REPORTED, "action", "reported", NOTICE, "") \
	X(STARTED, "action", "started", NOTICE, "") \
	X(SIGNALLED, "action", "signalled", NOTICE, "") \
	X(SUCCEEDED, "action", "succeeded", NOTICE, "") \
	X(FAILED, "action", "failed", WARNING, "") \
	X(KILLED, "action", "timed-out", WARNING, "") \
	X(REAP_FAILED, "action", "lost", WARNING, "") \
	X(SPAWN_FAILED, "action", "not-started", WARNING, "spawn_failed") \
	X(SIGNAL_FAILED, "action", "not-signalled", WARNING, "") \
	X(ADOPTED, "action", "adopted", NOTICE, "") \
	X(UNKNOWN, "action", "unknown", WARNING, "") \
	X(LEFT_OFF, "action", "left-off", NOTICE, "") \
	X(VERDICT, "withheld", "verdict", INFO, "") \
	X(PAUSED, "withheld", "paused", INFO, "") \
	X(MASS_STALL, "withheld", "mass-stall", WARNING, "") \
	X(DEBOUNCED, "withheld", "debounced", NOTICE, "debounced") \
	X(IN_FLIGHT, "withheld", "in-flight", NOTICE, "outstanding_in_flight") \
	X(BACK_OFF, "withheld", "back-off", NOTICE, "") \
	X(LIMIT, "withheld", "action-limit", WARNING, "") \
	X(CROSS_NAMESPACE, "withheld", "cross-namespace", WARNING, "cross_namespace_agent") \
	X(UNAUTHENTICATED, "withheld", "unauthenticated", WARNING, "unauthenticated_transport") \
	X(SOCKET_MODE_ONLY, "withheld", "socket-mode-only", WARNING, "socket_mode_only") \
	X(DEBOUNCE_FULL, "withheld", "debounce-full", WARNING, "debounce_capacity") \
	X(OUTSTANDING_FULL, "withheld", "outstanding-full", WARNING, "outstanding_capacity") \
	X(ORPHANS_FULL, "withheld", "orphans-full", WARNING, "orphan_reap_capacity") \
	X(STALE_CHILD, "withheld", "stale-child", WARNING, "stale_child_kill_failed") \
	X(RESUMED, "withheld", "resumed", NOTICE, "skipped_agent_resumed") \
	X(RECYCLED, "withheld", "recycled", WARNING, "skipped_pid_recycled") \
	X(UNVERIFIABLE, "withheld", "unverifiable", WARNING, "skipped_stall_unverifiable") \
	X(WRONG_UID, "withheld", "wrong-uid", WARNING, "") \
	X(WRONG_RULE, "withheld", "wrong-rule", WARNING, "") \
	X(NO_ROOT, "withheld", "no-root", WARNING, "") \
	X(NO_JOURNAL, "withheld", "no-journal", WARNING, "") \
	X(NO_RUNNER, "withheld", "no-runner", WARNING, "")
/* clang-format on */

enum belay__acted {
#define X(id, event, word, level, audit) BELAY__ACTED_##id,
	BELAY__ACTED(X)
#undef X
		BELAY__ACTED_COUNT,
};

/* "action" or "withheld"; "started", "back-off" ...; the original's token or "". */
const char *belay__acted_event(enum belay__acted outcome);
const char *belay__acted_word(enum belay__acted outcome);
const char *belay__acted_audit(enum belay__acted outcome);
/* enum belay__log_level */
int belay__acted_level(enum belay__acted outcome);

/* What people are told: id, word. RECOVERED and ACTION belong to what was told before of the same
 * name. */
#define BELAY__ALERT_KINDS(X)                                                                      \
	X(STALL, "stall")                                                                          \
	X(CRASH, "crash")                                                                          \
	X(MISSING, "missing")                                                                      \
	X(MASS_STALL, "mass-stall")                                                                \
	X(ACTION, "action")                                                                        \
	X(RECOVERED, "recovered")                                                                  \
	X(TEST, "test")

enum belay__alert_kind {
#define X(id, word) BELAY__ALERT_##id,
	BELAY__ALERT_KINDS(X)
#undef X
		BELAY__ALERT_KIND_COUNT,
};

/* "stall" ... */
const char *belay__alert_word(enum belay__alert_kind kind);
