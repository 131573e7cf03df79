/* What an observer says of itself: counters, and names for its enums. */

#include <belay/observer.h>

#include "base/clock.h"
#include "observe/core.h"

/* Numbers that live elsewhere are fetched when somebody asks. */
static void fetch(struct belay_observer *observer)
{
	uint64_t *counts = observer->counts;
	const struct belay__track_counters *tracked = &observer->tracked;
	const struct belay__table *table = &observer->table;

	counts[BELAY__COUNT_OUT_OF_ORDER] = tracked->out_of_order;
	counts[BELAY__COUNT_CAPACITY_EXCEEDED] = tracked->capacity_exceeded;
	counts[BELAY__COUNT_ORIGIN_CONFLICTS] = tracked->origin_conflicts;
	counts[BELAY__COUNT_NAMESPACE_CONFLICTS] = tracked->namespace_conflicts;
	counts[BELAY__COUNT_PID_RECYCLES] = tracked->pid_recycles;
	counts[BELAY__COUNT_NONCE_WRAPS] = tracked->nonce_wraps;
	counts[BELAY__COUNT_SCAN_TRUNCATED] = table->scan_truncated;
	counts[BELAY__COUNT_INVARIANT_VIOLATIONS] = table->invariant_violations;
	counts[BELAY__COUNT_PROBE_EXHAUSTED] = table->probe_exhausted;
	counts[BELAY__COUNT_CAPACITY] = table->capacity;
	counts[BELAY__COUNT_SCAN_WINDOW] = table->eviction_window;
	counts[BELAY__COUNT_PIDS_TRACKED] = table->used;
	counts[BELAY__COUNT_CLOCK_REGRESSIONS] = observer->clock.regressions;
	counts[BELAY__COUNT_CLOCK_JUMPS] = observer->clock.jumps_forward;
	counts[BELAY__COUNT_PID_MAX] = observer->pid_max;
	counts[BELAY__COUNT_UPTIME] = (observer->clock.now_ns - observer->clock.start_ns) /
		BELAY__NS_PER_S;
}

size_t belay_observer_counters(struct belay_observer *observer, struct belay_counter *counters,
	size_t size)
{
	fetch(observer);
	for (size_t i = 0; i < BELAY__COUNTER_COUNT && i < size; i++)
		counters[i] = (struct belay_counter){
			.name = belay__counter_rows[i].name,
			.label = belay__counter_rows[i].label,
			.value = observer->counts[i],
		};
	return BELAY__COUNTER_COUNT;
}

uint32_t belay_observer_pid_max(const struct belay_observer *observer)
{
	return observer->pid_max;
}

uint64_t belay_observer_pid_namespace(const struct belay_observer *observer)
{
	return observer->own_pid_ns;
}

uint32_t belay_observer_rcvbuf_bytes(const struct belay_observer *observer)
{
	return (uint32_t)observer->counts[BELAY__COUNT_RCVBUF];
}

static const char *name_of(const char *const *names, size_t count, size_t value)
{
	return value < count && names[value] != NULL ? names[value] : "unknown";
}

#define NAME_OF(names, value) name_of(names, sizeof(names) / sizeof((names)[0]), (size_t)(value))

const char *belay_event_kind_name(enum belay_event_kind kind)
{
	static const char *const names[] = {
		[BELAY_EVENT_BEAT] = "beat",
		[BELAY_EVENT_STALL] = "stall",
		[BELAY_EVENT_DECODE] = "decode",
		[BELAY_EVENT_AUTH_FAILURE] = "auth-failure",
		[BELAY_EVENT_ORIGIN_CONFLICT] = "origin-conflict",
		[BELAY_EVENT_NAMESPACE_CONFLICT] = "namespace-conflict",
		[BELAY_EVENT_IO] = "io",
		[BELAY_EVENT_CTRL_TRUNCATED] = "ctrl-truncated",
		[BELAY_EVENT_END] = "end",
		[BELAY_EVENT_END_STATUS] = "end-status",
		[BELAY_EVENT_MISSING] = "missing",
		[BELAY_EVENT_EVICTED] = "evicted",
		[BELAY_EVENT_LATE] = "late",
		[BELAY_EVENT_MASS_STALL] = "mass-stall",
		[BELAY_EVENT_MASS_STALL_OVER] = "mass-stall-over",
		[BELAY_EVENT_COMPLETE] = "complete",
	};

	return NAME_OF(names, kind);
}

const char *belay_origin_name(enum belay_origin origin)
{
	static const char *const names[] = {
		[BELAY_NETWORK_UNVERIFIED] = "network-unverified",
		[BELAY_SOCKET_MODE_ONLY] = "socket-mode-only",
		[BELAY_OPERATOR_ATTESTED] = "operator-attested",
		[BELAY_KERNEL_ATTESTED] = "kernel-attested",
	};

	return NAME_OF(names, origin);
}

const char *belay_end_name(enum belay_end end)
{
	static const char *const names[] = {
		[BELAY_END_UNKNOWN] = "unknown",
		[BELAY_END_LEFT] = "left",
		[BELAY_END_EXITED] = "exited",
		[BELAY_END_KILLED] = "killed",
	};

	return NAME_OF(names, end);
}
