/* The runner's books: what it counts, and the audit log. */

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "observe/remote.h"
#include "observe/runner.h"

#define COUNTS_EVERY_NS BELAY__NS_PER_S
#define DRAIN_WITHIN_NS (10 * BELAY__NS_PER_MS)

/* --- the audit log --- */

static struct belay__audit_time audit_now(const struct belay__runner *runner, uint64_t now_ns)
{
	return (struct belay__audit_time){ belay__clock_ns(CLOCK_REALTIME) / BELAY__NS_PER_MS,
		now_ns - runner->observer_started_ns };
}

static void on_audit(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__runner *runner = timer->data;
	uint64_t interval_ns = runner->config.options.audit_sync_interval_ns;
	uint64_t next_ns = UINT64_MAX;
	int r;

	(void)now_ns;
	now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	r = belay__audit_log_drain(runner->audit, audit_now(runner, now_ns),
		now_ns + DRAIN_WITHIN_NS);
	if (belay__audit_log_queued(runner->audit) > 0 || belay__audit_log_pending(runner->audit))
		/* At once when only its time was over; a full disk is asked again later. */
		next_ns = r < 0 ? now_ns + BELAY__NS_PER_S : now_ns;
	else if (interval_ns > 0)
		next_ns = now_ns + interval_ns;
	belay__timer_set(runner->loop, timer, next_ns, on_audit, runner);
	belay__books_touch(runner);
}

static void close_audit(struct belay__runner *runner)
{
	belay__timer_clear(&runner->audit_timer);
	runner->audit = belay__audit_log_free(runner->audit);
}

void belay__books_configure(struct belay__runner *runner)
{
	const struct belay__observe_options *options = &runner->config.options;
	const struct belay__audit_options audit = {
		.bytes_max = options->audit_bytes_max,
		.sync_interval_ns = options->audit_sync_interval_ns,
		.fsync_budget_ns = options->audit_fsync_budget_ns,
		.rotation_budget_ns = options->audit_rotation_budget_ns,
		.sync_every = (uint32_t)options->audit_sync_every,
		.daemon_pid = (uint32_t)getppid(),
	};
	struct belay_error error;

	/* Opened anew each time: somebody may have moved it. */
	close_audit(runner);
	if (options->audit_file[0] == '\0')
		return;
	if (belay__audit_log_open(options->audit_file, &audit, &runner->audit, &error) < 0) {
		belay__log(BELAY__LOG_WARNING, "no audit log is kept: %s", error.text);
		return;
	}
	runner->audit_timer.data = runner;
	on_audit(&runner->audit_timer, 0);
}

static void write_down(struct belay__runner *runner, struct belay__audit_record *record)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__audit_time now = audit_now(runner, now_ns);

	if (runner->audit == NULL)
		return;
	record->wall_ms = now.wall_ms;
	record->observer_ns = now.observer_ns;
	(void)belay__audit_log_add(runner->audit, record);
	/* Behind what is to be done in this turn. What comes while it is written, and synced
	 * where that is asked for, waits until then. */
	belay__timer_set(runner->loop, &runner->audit_timer, now_ns, on_audit, runner);
}

static struct belay__audit_text text_of(const char *string)
{
	return (struct belay__audit_text){ string, strlen(string) };
}

void belay__books_spawned(struct belay__runner *runner, const struct belay__spawned *spawned)
{
	struct belay__audit_record record = { .kind = BELAY__AUDIT_SPAWN };
	uint64_t len = 0;

	assert(spawned->argv[0] != NULL);
	for (size_t i = 0; spawned->argv[i] != NULL; i++)
		len += strlen(spawned->argv[i]) + (i > 0);
	record.spawn.agent_pid = spawned->agent_pid;
	record.spawn.child_pid = spawned->child_pid;
	record.spawn.program = text_of(spawned->argv[0]);
	record.spawn.source = text_of(spawned->source != NULL ? spawned->source : "inline");
	record.spawn.template_len = len;
	write_down(runner, &record);
}

static void write_complete(struct belay__runner *runner, const struct belay__msg_acted *acted,
	enum belay__audit_outcome outcome)
{
	struct belay__audit_record record = { .kind = BELAY__AUDIT_COMPLETE };

	record.complete.agent_pid = belay__key_pid(acted->pid);
	record.complete.child_pid = acted->child_pid;
	record.complete.outcome = outcome;
	record.complete.exit_code = acted->exit_code;
	record.complete.signal = acted->signal;
	record.complete.duration_ns = acted->duration_ns;
	record.complete.stdout_len = acted->stdout_len;
	record.complete.stderr_len = acted->stderr_len;
	record.complete.truncated = acted->truncated;
	write_down(runner, &record);
}

static void write_refused(struct belay__runner *runner, const struct belay__msg_acted *acted)
{
	const char *reason = belay__acted_audit((enum belay__acted)acted->outcome);
	struct belay__audit_record record = { .kind = BELAY__AUDIT_REFUSED };

	if (reason[0] == '\0')
		return;
	record.refused.agent_pid = belay__key_pid(acted->pid);
	record.refused.reason = text_of(reason);
	write_down(runner, &record);
}

/* --- counts --- */

#define NOTHING BELAY__METRIC_COUNT

/* What an outcome counts as; NOTHING where it does not. */
static const struct counted {
	enum belay__acted outcome;
	enum belay__metric as, also;
} counted[] = {
	{ BELAY__ACTED_STARTED, BELAY__METRIC_ACTION_SPAWNED, NOTHING },
	{ BELAY__ACTED_SUCCEEDED, BELAY__METRIC_ACTION_REAPED_ZERO, NOTHING },
	{ BELAY__ACTED_FAILED, BELAY__METRIC_ACTION_REAPED_NONZERO, NOTHING },
	{ BELAY__ACTED_KILLED, BELAY__METRIC_ACTION_KILLED, NOTHING },
	{ BELAY__ACTED_REAP_FAILED, BELAY__METRIC_ACTION_REAP_FAILED, NOTHING },
	{ BELAY__ACTED_SPAWN_FAILED, BELAY__METRIC_ACTION_SPAWN_FAILED, NOTHING },
	{ BELAY__ACTED_UNKNOWN, BELAY__METRIC_ACTION_UNKNOWN, NOTHING },
	{ BELAY__ACTED_VERDICT, BELAY__METRIC_WITHHELD_VERDICT, NOTHING },
	{ BELAY__ACTED_BACK_OFF, BELAY__METRIC_WITHHELD_BACK_OFF, NOTHING },
	{ BELAY__ACTED_LIMIT, BELAY__METRIC_WITHHELD_LIMIT, NOTHING },
	{ BELAY__ACTED_DEBOUNCED, BELAY__METRIC_ACTION_DEBOUNCED, NOTHING },
	{ BELAY__ACTED_IN_FLIGHT, BELAY__METRIC_ACTION_DEBOUNCED, NOTHING },
	{ BELAY__ACTED_CROSS_NAMESPACE, BELAY__METRIC_ACTION_CROSS_NAMESPACE,
		BELAY__METRIC_REFUSED_CROSS_NAMESPACE },
	{ BELAY__ACTED_UNAUTHENTICATED, BELAY__METRIC_ACTION_UNAUTHENTICATED,
		BELAY__METRIC_REFUSED_UNAUTHENTICATED },
	{ BELAY__ACTED_SOCKET_MODE_ONLY, BELAY__METRIC_ACTION_SOCKET_MODE_ONLY,
		BELAY__METRIC_REFUSED_SOCKET_MODE_ONLY },
	{ BELAY__ACTED_DEBOUNCE_FULL, BELAY__METRIC_ACTION_DEBOUNCE_FULL,
		BELAY__METRIC_REFUSED_DEBOUNCE_FULL },
	{ BELAY__ACTED_OUTSTANDING_FULL, BELAY__METRIC_ACTION_OUTSTANDING_FULL,
		BELAY__METRIC_REFUSED_OUTSTANDING_FULL },
	{ BELAY__ACTED_ORPHANS_FULL, BELAY__METRIC_ACTION_OUTSTANDING_FULL,
		BELAY__METRIC_REFUSED_OUTSTANDING_FULL },
	{ BELAY__ACTED_STALE_CHILD, BELAY__METRIC_ACTION_STALE_CHILD, NOTHING },
	{ BELAY__ACTED_RESUMED, BELAY__METRIC_ACTION_RESUMED, NOTHING },
	{ BELAY__ACTED_RECYCLED, BELAY__METRIC_ACTION_RECYCLED, NOTHING },
	{ BELAY__ACTED_UNVERIFIABLE, BELAY__METRIC_ACTION_UNVERIFIABLE, NOTHING },
};

/* What else is sent, beside what outcomes count as. */
static const enum belay__metric others[] = {
	BELAY__METRIC_RECOVERY_NS,
	BELAY__METRIC_RECOVERY_COUNT,
	BELAY__METRIC_RECOVERY_LAST_FIRED_EVICTIONS,
	BELAY__METRIC_RECOVERY_DEBOUNCE_RESETS,
	BELAY__METRIC_RECOVERY_OUTSTANDING_RESETS,
	BELAY__METRIC_RECOVERY_SPAWN_BUDGET,
	BELAY__METRIC_RECOVERY_INVARIANTS,
	BELAY__METRIC_AUDIT_DROPPED,
	BELAY__METRIC_AUDIT_FLUSH_BUDGET,
	BELAY__METRIC_AUDIT_FSYNC_BUDGET,
	BELAY__METRIC_AUDIT_ROTATION_BUDGET,
	BELAY__METRIC_AUDIT_RING_WARN,
	BELAY__METRIC_AUDIT_RING_CRITICAL,
};

static void count(struct belay__runner *runner, const struct belay__msg_acted *acted)
{
	for (unsigned i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
		if (counted[i].outcome != (enum belay__acted)acted->outcome)
			continue;
		runner->counts[counted[i].as]++;
		if (counted[i].also != NOTHING)
			runner->counts[counted[i].also]++;
	}
}

void belay__books_note(struct belay__runner *runner, const struct belay__msg_acted *acted)
{
	enum belay__acted outcome = (enum belay__acted)acted->outcome;

	count(runner, acted);
	if (outcome == BELAY__ACTED_SUCCEEDED || outcome == BELAY__ACTED_FAILED ||
		outcome == BELAY__ACTED_KILLED) {
		runner->counts[BELAY__METRIC_RECOVERY_COUNT]++;
		runner->counts[BELAY__METRIC_RECOVERY_NS] += acted->duration_ns;
		write_complete(runner, acted,
			outcome == BELAY__ACTED_KILLED ? BELAY__AUDIT_KILLED : BELAY__AUDIT_REAPED);
	} else if (outcome == BELAY__ACTED_UNKNOWN || outcome == BELAY__ACTED_REAP_FAILED) {
		write_complete(runner, acted, BELAY__AUDIT_REAP_FAILED);
	} else {
		write_refused(runner, acted);
	}
	belay__books_touch(runner);
}

static void add(const struct belay__runner *runner, struct belay__msg_runner_counts *message,
	enum belay__metric metric)
{
	for (uint32_t i = 0; i < message->count; i++)
		if (message->counts[i].metric == (uint32_t)metric)
			return;
	if (message->count < BELAY__RUNNER_COUNTS_MAX)
		message->counts[message->count++] = (struct belay__runner_count){
			.metric = (uint32_t)metric,
			.value = runner->counts[metric]
		};
}

/* What other parts of the runner count. */
static void collect(struct belay__runner *runner, struct belay__msg_runner_counts *message)
{
	const struct belay__brakes_counters *brakes = belay__brakes_counters(runner->brakes);
	const struct belay__audit_counters *audit;

	runner->counts[BELAY__METRIC_RECOVERY_LAST_FIRED_EVICTIONS] = brakes->evictions;
	runner->counts[BELAY__METRIC_RECOVERY_DEBOUNCE_RESETS] = brakes->recycle_resets;
	if (runner->audit == NULL)
		return;
	audit = belay__audit_log_counters(runner->audit);
	runner->counts[BELAY__METRIC_AUDIT_DROPPED] = audit->dropped;
	runner->counts[BELAY__METRIC_AUDIT_FLUSH_BUDGET] = audit->flush_budget_exceeded;
	runner->counts[BELAY__METRIC_AUDIT_FSYNC_BUDGET] = audit->fsync_budget_exceeded;
	runner->counts[BELAY__METRIC_AUDIT_ROTATION_BUDGET] = audit->rotation_budget_exceeded;
	runner->counts[BELAY__METRIC_AUDIT_RING_WARN] = audit->watermark_warn;
	runner->counts[BELAY__METRIC_AUDIT_RING_CRITICAL] = audit->watermark_critical;
	memcpy(message->fsync_buckets, audit->fsync_bucket, sizeof(message->fsync_buckets));
	message->fsync_sum_ns = audit->fsync_sum_ns;
}

static bool is_same(const struct belay__msg_runner_counts *one,
	const struct belay__msg_runner_counts *other)
{
	return one->count == other->count && one->fsync_sum_ns == other->fsync_sum_ns &&
		memcmp(one->counts, other->counts, one->count * sizeof(one->counts[0])) == 0;
}

static void on_counts(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__runner *runner = timer->data;
	struct belay__msg_runner_counts message;

	memset(&message, 0, sizeof(message));
	collect(runner, &message);
	for (unsigned i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
		add(runner, &message, counted[i].as);
		if (counted[i].also != NOTHING)
			add(runner, &message, counted[i].also);
	}
	for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		add(runner, &message, others[i]);
	belay__alerts_count(runner->alerts, &message);
	runner->counts_sent_ns = now_ns;
	runner->counted_in_turn = true;
	if (is_same(&message, &runner->sent_counts))
		return;
	runner->sent_counts = message;
	belay__runner_tell(runner, BELAY__MSG_RUNNER_COUNTS, &message, sizeof(message));
}

void belay__books_touch(struct belay__runner *runner)
{
	if (runner->counts_timer.next == NULL)
		belay__timer_set(runner->loop, &runner->counts_timer,
			runner->counts_sent_ns + COUNTS_EVERY_NS, on_counts, runner);
}

void belay__books_send_again(struct belay__runner *runner)
{
	runner->sent_counts.count = 0;
	belay__books_touch(runner);
}

void belay__books_done(struct belay__runner *runner)
{
	belay__timer_clear(&runner->counts_timer);
	close_audit(runner);
}
