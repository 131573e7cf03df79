#include "observe/options.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/text.h"
#include "ipc/socket_path.h"
#include "observe/replay.h"
#include "observe/table.h"

#define USER_BYTES_MAX   ((size_t)1 << 20)
#define MIN_THRESHOLD_NS (10 * BELAY__NS_PER_MS)
/* A hundred years: long enough for "never", and what is added to the time of day does not
 * overflow. */
#define MAX_DURATION_NS (UINT64_C(36500) * 86400 * BELAY__NS_PER_S)
#define MAX_RCVBUF      INT32_MAX
#define MAX_WINDOW      4096
#define MAX_SOCKET_MODE 0777

#define OPTION(member_) .offset = offsetof(struct belay__observe_options, member_)
#define KEY(member_)    .offset = offsetof(struct belay__rule, member_), .in_config = true
#define ROOM(type_, member_)                                                                       \
	.max = sizeof(((struct type_ *)NULL)->member_) - 1 /* without the final NUL */

static const char *const clock_sources[] = {
	[BELAY__CLOCK_MONOTONIC] = "monotonic",
	[BELAY__CLOCK_BOOTTIME] = "boottime",
	NULL,
};
static const char *const eviction_policies[] = {
	[BELAY__EVICT_STRICT] = "strict",
	[BELAY__EVICT_BALANCED] = "balanced",
	NULL,
};
static const char *const metric_prefixes[] = {
	[BELAY__PREFIX_BELAY] = "belay",
	[BELAY__PREFIX_VARTA] = "varta",
	NULL,
};
static const char *const run_as_words[] = {
	[BELAY__RUN_AS_PROCESS] = "process",
	[BELAY__RUN_AS_ROOT] = "root",
	NULL,
};
static const char *const log_formats[] = {
	[BELAY__LOG_TEXT] = "text",
	[BELAY__LOG_JSON] = "json",
	NULL,
};

/* Adds VALUE to the entries that are there, in the place of one with its key. */
static int apply_recovery_env(void *data, const char *value, struct belay_error *reterr)
{
	struct belay__observe_options *options = data;
	const char *equals = strchr(value, '=');
	size_t key, len = strlen(value) + 1, at = 0, next;

	if (equals == NULL || equals == value)
		return belay__fail(reterr, -EINVAL, "--recovery-env: '%s' is not KEY=VALUE", value);
	key = (size_t)(equals - value) + 1;
	for (; at < options->recovery_env_len; at = next) {
		next = at + strlen(options->recovery_env + at) + 1;
		if (strncmp(options->recovery_env + at, value, key) == 0) {
			memmove(options->recovery_env + at, options->recovery_env + next,
				options->recovery_env_len - next);
			options->recovery_env_len -= (uint32_t)(next - at);
			next = at;
		}
	}
	if (len > sizeof(options->recovery_env) - options->recovery_env_len)
		return belay__fail(reterr, -EINVAL,
			"--recovery-env: all entries together are longer than %zu bytes",
			sizeof(options->recovery_env));
	memcpy(options->recovery_env + options->recovery_env_len, value, len);
	options->recovery_env_len += (uint32_t)len;
	return 0;
}

/* clang-format off */
const struct belay__option belay__observe_table[] = {
	{ .name = "accepted-key-file", .kind = BELAY__OPTION_STRING, OPTION(accepted_key_file), ROOM(belay__observe_options, accepted_key_file), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "further keys that open sealed beats, one a line, with the name of a host" },
	{ .name = "act-on", .kind = BELAY__OPTION_STRING, OPTION(act_on), ROOM(belay__observe_options, act_on), .in_config = true,
	  .metavar = "VERDICTS", .default_text = BELAY__ACT_ON_DEFAULT,
	  .help = "on which silences something is done" },
	{ .name = "action-limit", .kind = BELAY__OPTION_STRING, OPTION(action_limit), ROOM(belay__observe_options, action_limit), .in_config = true,
	  .metavar = "N/DURATION", .default_text = BELAY__ACTION_LIMIT_DEFAULT,
	  .help = "at most N actions of one rule in that time; 0 is no limit" },
	{ .name = "alert", .kind = BELAY__OPTION_STRING, OPTION(alert), ROOM(belay__observe_options, alert), .in_config = true,
	  .metavar = "COMMAND",
	  .help = "tell this command of what people should know, as JSON lines on its stdin" },
	{ .name = "allow-cross-namespace-agents", .kind = BELAY__OPTION_FLAG, OPTION(allow_cross_namespace), .in_config = true,
	  .help = "accept beats from other pid namespaces" },
	{ .name = "audit-fsync-budget-ms", .kind = BELAY__OPTION_MS, OPTION(audit_fsync_budget_ns), .min = BELAY__NS_PER_MS, .max = 60 * BELAY__NS_PER_S, .in_config = true,
	  .metavar = "N", .default_text = "50",
	  .help = "how long a sync of the audit log may take before it is counted as slow" },
	{ .name = "audit-rotation-budget-ms", .kind = BELAY__OPTION_MS, OPTION(audit_rotation_budget_ns), .min = BELAY__NS_PER_MS, .max = 250 * BELAY__NS_PER_MS, .in_config = true,
	  .metavar = "N", .default_text = "50",
	  .help = "how long a step of a rotation of the audit log may take" },
	{ .name = "audit-sync-interval-ms", .kind = BELAY__OPTION_MS, OPTION(audit_sync_interval_ns), .max = MAX_DURATION_NS, .in_config = true,
	  .metavar = "N",
	  .help = "sync the audit log at least this often; 0 is off" },
	{ .name = "capacity", .kind = BELAY__OPTION_COUNT, OPTION(capacity), .in_config = true,
	  .min = 1, .max = BELAY__CAPACITY_MAX, .metavar = "N", .default_text = "4096",
	  .help = "how many processes are tracked at most" },
	{ .name = "clock-source", .kind = BELAY__OPTION_CHOICE, OPTION(clock_source), .in_config = true,
	  .choices = clock_sources, .metavar = "CLOCK", .default_text = "monotonic",
	  .help = "clock of deadlines: monotonic stands still in suspend, boottime does not" },
	{ .name = "config", .kind = BELAY__OPTION_STRING, OPTION(config), ROOM(belay__observe_options, config),
	  .metavar = "PATH", .complete = "file",
	  .help = "read this configuration file alone, or 'none'" },
	{ .name = "deadman", .kind = BELAY__OPTION_STRING, OPTION(deadman), ROOM(belay__observe_options, deadman), .in_config = true,
	  .metavar = "COMMAND",
	  .help = "run this command as long as all is well here" },
	{ .name = "deadman-every", .kind = BELAY__OPTION_DURATION, OPTION(deadman_every_ns), .in_config = true,
	  .min = BELAY__NS_PER_S, .max = MAX_DURATION_NS, .metavar = "DURATION", .default_text = "60s",
	  .help = "how often the command of --deadman is run" },
	{ .name = "dgram-qlen", .kind = BELAY__OPTION_COUNT, OPTION(dgram_qlen), .in_config = true,
	  .max = 65536, .metavar = "N",
	  .help = "raise net.unix.max_dgram_qlen to N while the socket is made; 0 leaves it" },
	{ .name = "events", .kind = BELAY__OPTION_STRING, OPTION(events), ROOM(belay__observe_options, events), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "keep events in this file and its four predecessors, or 'none'" },
	{ .name = "every", .kind = BELAY__OPTION_DURATION, OPTION(deadman_every_ns), .in_config = true,
	  .min = BELAY__NS_PER_S, .max = MAX_DURATION_NS, .metavar = "DURATION", .default_text = "60s", .alias_of = "deadman-every",
	  .help = "how often the command of --deadman is run" },
	{ .name = "eviction", .kind = BELAY__OPTION_CHOICE, OPTION(eviction_policy), .in_config = true,
	  .choices = eviction_policies, .metavar = "POLICY", .default_text = "strict",
	  .alias_of = "tracker-eviction-policy",
	  .help = "who makes room for a new process in a full table" },
	{ .name = "eviction-scan-window", .kind = BELAY__OPTION_COUNT, OPTION(eviction_window), .in_config = true,
	  .min = 1, .max = MAX_WINDOW, .metavar = "N", .default_text = "256",
	  .help = "how many slots are searched for one to evict" },
	{ .name = "export-file", .kind = BELAY__OPTION_STRING, OPTION(export_file), ROOM(belay__observe_options, export_file), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "keep events in the original's form in this file, too" },
	{ .name = "export-file-max-bytes", .kind = BELAY__OPTION_COUNT, OPTION(export_bytes_max), .max = INT64_MAX, .in_config = true,
	  .metavar = "N",
	  .help = "rotate the file of --export-file at this size; 0 is never" },
	{ .name = "export-file-sync-every", .kind = BELAY__OPTION_COUNT, OPTION(export_sync_every), .max = UINT32_MAX, .in_config = true,
	  .metavar = "N",
	  .help = "sync the file of --export-file after so many lines; 0 is never" },
	{ .name = "global-beat-burst", .kind = BELAY__OPTION_COUNT, OPTION(global_beat_burst), .in_config = true,
	  .max = UINT32_MAX, .metavar = "N", .default_text = "10000",
	  .help = "beats that may come at once before --global-beat-rate counts; 0 turns both off" },
	{ .name = "global-beat-rate", .kind = BELAY__OPTION_COUNT, OPTION(global_beat_rate), .in_config = true,
	  .max = UINT32_MAX, .metavar = "N", .default_text = "5000",
	  .help = "beats a second of all processes together; 0 is no limit" },
	{ .name = "i-accept-plaintext-udp", .kind = BELAY__OPTION_FLAG, OPTION(accept_plaintext_udp), .in_config = true,
	  .help = "receive beats over UDP that anybody can forge" },
	{ .name = "i-accept-secure-udp-non-loopback", .kind = BELAY__OPTION_FLAG, OPTION(accept_secure_non_loopback), .in_config = true,
	  .help = "receive sealed beats where other hosts can send them" },
	{ .name = "key-file", .kind = BELAY__OPTION_STRING, OPTION(key_file), ROOM(belay__observe_options, key_file), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "the key that opens sealed beats, 64 hex digits" },
	{ .name = "log-format", .kind = BELAY__OPTION_CHOICE, OPTION(log_format), .in_config = true,
	  .choices = log_formats, .metavar = "FORMAT", .default_text = "text",
	  .help = "how lines on standard error look: text or json" },
	{ .name = "master-key-file", .kind = BELAY__OPTION_STRING, OPTION(master_key_file), ROOM(belay__observe_options, master_key_file), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "the key that each sender has one of its own made from" },
	{ .name = "max-beat-rate", .kind = BELAY__OPTION_COUNT, OPTION(max_beat_rate), .in_config = true,
	  .max = UINT32_MAX, .metavar = "N", .default_text = "100",
	  .help = "beats a second of one process; 0 is no limit" },
	{ .name = "metric-pids", .kind = BELAY__OPTION_FLAG, OPTION(metric_pids), .in_config = true,
	  .help = "tell which pids are behind a name" },
	{ .name = "metric-prefix", .kind = BELAY__OPTION_CHOICE, OPTION(metric_prefix), .choices = metric_prefixes, .in_config = true,
	  .metavar = "PREFIX", .default_text = "belay",
	  .help = "whose series are told: belay by name, varta the original's by pid" },
	{ .name = "metrics-addr", .kind = BELAY__OPTION_STRING, OPTION(metrics_addr), ROOM(belay__observe_options, metrics_addr), .in_config = true,
	  .metavar = "IP:PORT",
	  .help = "serve metrics at this TCP address, too" },
	{ .name = "metrics-socket", .kind = BELAY__OPTION_STRING, OPTION(metrics_socket), ROOM(belay__observe_options, metrics_socket), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "serve metrics at this socket, or 'none'" },
	{ .name = "metrics-textfile", .kind = BELAY__OPTION_STRING, OPTION(metrics_textfile), ROOM(belay__observe_options, metrics_textfile), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "write metrics to this file every 15 seconds" },
	{ .name = "metrics-token-file", .kind = BELAY__OPTION_STRING, OPTION(metrics_token_file), ROOM(belay__observe_options, metrics_token_file), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "the secret of 64 hex digits that a scrape over TCP shows" },
	{ .name = "no-sandbox", .kind = BELAY__OPTION_FLAG, OPTION(no_sandbox), .in_config = true,
	  .help = "do not cage the roles, for debugging" },
	{ .name = "on-exit", .kind = BELAY__OPTION_STRING, OPTION(on_exit), ROOM(belay__observe_options, on_exit), .in_config = true,
	  .metavar = "COMMAND",
	  .help = "what is run when a process ends without a goodbye" },
	{ .name = "on-stall", .kind = BELAY__OPTION_STRING, OPTION(on_stall), ROOM(belay__observe_options, on_stall), .in_config = true,
	  .metavar = "LADDER",
	  .help = "what is done about a silence: 'report, term 10s, kill', 'command CMD'" },
	{ .name = "plaintext-udp-i-accept-recovery-on-unauthenticated-transport", .kind = BELAY__OPTION_FLAG, OPTION(plaintext_recovery), .in_config = true,
	  .help = "let beats that anybody can forge lead to commands" },
	{ .name = "prom-addr", .kind = BELAY__OPTION_STRING, OPTION(metrics_addr), ROOM(belay__observe_options, metrics_addr), .alias_of = "metrics-addr", .in_config = true,
	  .metavar = "IP:PORT",
	  .help = "serve metrics at this TCP address, too" },
	{ .name = "prom-rate-limit-burst", .kind = BELAY__OPTION_COUNT, OPTION(metrics_burst), .max = 1000000, .in_config = true,
	  .metavar = "N", .default_text = "10",
	  .help = "scrapes of one address that may come at once; 0 is no limit" },
	{ .name = "prom-rate-limit-per-sec", .kind = BELAY__OPTION_COUNT, OPTION(metrics_rate), .max = 1000000, .in_config = true,
	  .metavar = "N", .default_text = "5",
	  .help = "scrapes a second of one address; 0 is no limit" },
	{ .name = "prom-token-file", .kind = BELAY__OPTION_STRING, OPTION(metrics_token_file), ROOM(belay__observe_options, metrics_token_file), .alias_of = "metrics-token-file", .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "the secret of 64 hex digits that a scrape over TCP shows" },
	{ .name = "recovery-audit-file", .kind = BELAY__OPTION_STRING, OPTION(audit_file), ROOM(belay__observe_options, audit_file), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "keep an audit log of all commands in this file" },
	{ .name = "recovery-audit-max-bytes", .kind = BELAY__OPTION_COUNT, OPTION(audit_bytes_max), .max = INT64_MAX, .in_config = true,
	  .metavar = "N",
	  .help = "rotate the audit log at this size; 0 is never" },
	{ .name = "recovery-audit-sync-every", .kind = BELAY__OPTION_COUNT, OPTION(audit_sync_every), .min = 1, .max = UINT32_MAX, .in_config = true,
	  .metavar = "N", .default_text = "1",
	  .help = "sync the audit log after so many records" },
	{ .name = "recovery-capture-bytes", .kind = BELAY__OPTION_COUNT, OPTION(recovery_capture_bytes), .min = 1, .max = 1048576, .in_config = true,
	  .metavar = "N", .default_text = "4096",
	  .help = "how many bytes of output are counted" },
	{ .name = "recovery-capture-stdio", .kind = BELAY__OPTION_FLAG, OPTION(recovery_capture_stdio), .in_config = true,
	  .help = "count what commands write instead of passing it on" },
	{ .name = "recovery-debounce-ms", .kind = BELAY__OPTION_MS, OPTION(recovery_debounce_ns), .max = MAX_DURATION_NS, .in_config = true,
	  .metavar = "N", .default_text = "1000",
	  .help = "the least time between two actions on one process" },
	{ .name = "recovery-env", .kind = BELAY__OPTION_LIST, OPTION(recovery_env), .apply = apply_recovery_env, .in_config = true,
	  .metavar = "KEY=VALUE",
	  .help = "a variable for commands; may be given again" },
	{ .name = "recovery-exec", .kind = BELAY__OPTION_STRING, OPTION(recovery_exec), ROOM(belay__observe_options, recovery_exec), .in_config = true,
	  .metavar = "COMMAND",
	  .help = "run this command on a silence; the same as --on-stall 'command COMMAND'" },
	{ .name = "recovery-exec-file", .kind = BELAY__OPTION_STRING, OPTION(recovery_exec_file), ROOM(belay__observe_options, recovery_exec_file), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "the same, with the command in a private file" },
	{ .name = "recovery-inherit-env", .kind = BELAY__OPTION_FLAG, OPTION(recovery_inherit_env), .in_config = true,
	  .help = "give commands the observer's environment, too" },
	{ .name = "recovery-timeout-ms", .kind = BELAY__OPTION_MS, OPTION(recovery_timeout_ns), .max = MAX_DURATION_NS, .in_config = true,
	  .metavar = "N",
	  .help = "kill a command that takes longer; 0 is never" },
	{ .name = "sealed-senders", .kind = BELAY__OPTION_COUNT, OPTION(sealed_senders), .in_config = true,
	  .min = 1, .max = BELAY__SENDERS_MAX, .metavar = "N", .default_text = "1024",
	  .help = "how many senders of sealed beats are told apart" },
	{ .name = "secure-udp-i-accept-recovery-on-unauthenticated-transport", .kind = BELAY__OPTION_FLAG, OPTION(secure_recovery), .in_config = true,
	  .help = "let sealed beats lead to commands" },
	{ .name = "shutdown-after-secs", .kind = BELAY__OPTION_COUNT, OPTION(shutdown_after_s), .in_config = true,
	  .max = UINT32_MAX, .metavar = "N",
	  .help = "end after N seconds; 0 is never" },
	{ .name = "socket", .kind = BELAY__OPTION_STRING, OPTION(socket), .in_config = true,
	  .max = BELAY__SOCKET_PATH_MAX, .metavar = "PATH", .complete = "file",
	  .help = "where beats are received" },
	{ .name = "socket-mode", .kind = BELAY__OPTION_MODE, OPTION(socket_mode), .in_config = true,
	  .metavar = "OCTAL", .default_text = "0600",
	  .help = "permissions of the socket" },
	{ .name = "state", .kind = BELAY__OPTION_STRING, OPTION(state), ROOM(belay__observe_options, state), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "keep the table in this file on a memory file system, or 'none'" },
	{ .name = "strict-namespace-check", .kind = BELAY__OPTION_FLAG, OPTION(strict_namespace), .in_config = true,
	  .help = "end with an error at the first process that changes its pid namespace" },
	{ .name = "threshold", .kind = BELAY__OPTION_DURATION, OPTION(threshold_ns), .in_config = true,
	  .min = MIN_THRESHOLD_NS, .max = MAX_DURATION_NS, .metavar = "DURATION", .default_text = "5s",
	  .help = "how long a process may be silent" },
	{ .name = "threshold-ms", .kind = BELAY__OPTION_MS, OPTION(threshold_ns), .in_config = true,
	  .min = MIN_THRESHOLD_NS, .max = MAX_DURATION_NS, .metavar = "N",
	  .help = "the same as --threshold, in milliseconds" },
	{ .name = "tracker-capacity", .kind = BELAY__OPTION_COUNT, OPTION(capacity), .in_config = true,
	  .min = 1, .max = BELAY__CAPACITY_MAX, .metavar = "N", .default_text = "4096", .alias_of = "capacity",
	  .help = "how many processes are tracked at most" },
	{ .name = "tracker-eviction-policy", .kind = BELAY__OPTION_CHOICE, OPTION(eviction_policy), .in_config = true,
	  .choices = eviction_policies, .metavar = "POLICY", .default_text = "strict",
	  .help = "who makes room in a full table: strict the long stalled, balanced any long silent one" },
	{ .name = "udp-bind-addr", .kind = BELAY__OPTION_STRING, OPTION(udp_bind_addr), ROOM(belay__observe_options, udp_bind_addr), .in_config = true,
	  .metavar = "IP",
	  .help = "the address that UDP is received at; 127.0.0.1 with keys, 0.0.0.0 without" },
	{ .name = "udp-port", .kind = BELAY__OPTION_COUNT, OPTION(udp_port), .in_config = true,
	  .max = 65535, .metavar = "N",
	  .help = "receive beats of other hosts over UDP at this port; 0 is none" },
	{ .name = "uds-rcvbuf-bytes", .kind = BELAY__OPTION_COUNT, OPTION(rcvbuf_bytes), .in_config = true,
	  .max = MAX_RCVBUF, .metavar = "N", .default_text = "1048576",
	  .help = "receive buffer asked for; 0 leaves the kernel's default" },
	{ .name = "user", .kind = BELAY__OPTION_STRING, OPTION(user), ROOM(belay__observe_options, user), .in_config = true,
	  .metavar = "NAME",
	  .help = "whom the roles that hear others become when root starts the observer" },
	{ .name = "within-max", .kind = BELAY__OPTION_DURATION, OPTION(within_max_ns), .in_config = true,
	  .min = MIN_THRESHOLD_NS, .max = MAX_DURATION_NS, .metavar = "DURATION", .default_text = "1h",
	  .help = "longest silence that a process may announce" },
};
/* clang-format on */
const size_t belay__observe_table_count = sizeof(belay__observe_table) /
	sizeof(belay__observe_table[0]);

int belay__find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
	struct passwd entry, *found = NULL;
	int r = ERANGE;

	/* Directories of users answer with as much as they like. */
	for (size_t size = 1024; size <= USER_BYTES_MAX && r == ERANGE; size *= 4) {
		char *buffer = malloc(size);

		if (buffer == NULL)
			return -ENOMEM;
		r = getpwnam_r(name, &entry, buffer, size, &found);
		free(buffer);
	}
	if (found == NULL)
		return r == 0 ? -ENOENT : -r;
	*ret_uid = entry.pw_uid;
	*ret_gid = entry.pw_gid;
	return 0;
}

/* Reads a uid, or the name of a user who exists now. */
static int apply_uid(void *options, const char *value, struct belay_error *reterr)
{
	struct belay__rule *rule = options;
	uint64_t uid;
	uid_t found;
	gid_t group;
	int r = belay__parse_u64(value, 0, UINT32_MAX - 1, &uid);

	if (r == -ERANGE)
		return belay__fail(reterr, -EINVAL, "uid: '%s' is no uid", value);
	if (r >= 0) {
		rule->uid = (int64_t)uid;
		return 0;
	}
	r = belay__find_user(value, &found, &group);
	if (r < 0)
		return belay__fail(reterr, -EINVAL, "uid: '%s' is no number, and %s", value,
			r == -ENOENT ? "no user has this name" : strerror(-r));
	rule->uid = (int64_t)found;
	return 0;
}

/* clang-format off */
const struct belay__option belay__process_table[] = {
	{ .name = "act-on", .kind = BELAY__OPTION_STRING, KEY(act_on), ROOM(belay__rule, act_on), .metavar = "VERDICTS",
	  .help = "on which of its silences something is done, instead of the observer's" },
	{ .name = "action-limit", .kind = BELAY__OPTION_STRING, KEY(action_limit), ROOM(belay__rule, action_limit), .metavar = "N/DURATION",
	  .help = "at most N actions in that time, instead of the observer's" },
	{ .name = "comm", .kind = BELAY__OPTION_STRING, KEY(comm), ROOM(belay__rule, comm), .metavar = "GLOB",
	  .help = "command names that the rule is about, as in /proc/PID/comm" },
	{ .name = "exe", .kind = BELAY__OPTION_STRING, KEY(exe), ROOM(belay__rule, exe), .metavar = "GLOB",
	  .help = "paths of executables that the rule is about" },
	{ .name = "expect", .kind = BELAY__OPTION_COUNT, KEY(expect), .min = 1, .max = 65536, .metavar = "N",
	  .help = "how many such processes must beat" },
	{ .name = "first-beat", .kind = BELAY__OPTION_DURATION, KEY(first_beat_ns), .max = MAX_DURATION_NS,
	  .metavar = "DURATION", .default_text = "30s",
	  .help = "how long an expected process may take to its first beat" },
	{ .name = "host", .kind = BELAY__OPTION_STRING, KEY(host), ROOM(belay__rule, host), .metavar = "GLOB",
	  .help = "names of other hosts whose processes the rule is about" },
	{ .name = "on-exit", .kind = BELAY__OPTION_STRING, KEY(on_exit), ROOM(belay__rule, on_exit), .metavar = "COMMAND",
	  .help = "what is run when such a process ends without a goodbye, or 'none'" },
	{ .name = "on-stall", .kind = BELAY__OPTION_STRING, KEY(on_stall), ROOM(belay__rule, on_stall), .metavar = "LADDER",
	  .help = "what is done about its silence, or 'none'" },
	{ .name = "run-as", .kind = BELAY__OPTION_CHOICE, KEY(run_as), .choices = run_as_words, .metavar = "WHOM",
	  .default_text = "process",
	  .help = "as whom its commands run; root needs exe and uid in the same section" },
	{ .name = "threshold", .kind = BELAY__OPTION_DURATION, KEY(threshold_ns),
	  .min = MIN_THRESHOLD_NS, .max = MAX_DURATION_NS, .metavar = "DURATION",
	  .help = "how long such a process may be silent, instead of the observer's threshold" },
	{ .name = "uid", .kind = BELAY__OPTION_LIST, KEY(uid), .metavar = "USER", .apply = apply_uid,
	  .help = "number or name of the user whose processes the rule is about" },
	{ .name = "unit", .kind = BELAY__OPTION_STRING, KEY(unit), ROOM(belay__rule, unit), .metavar = "GLOB",
	  .help = "systemd units or container ids that the rule is about" },
};
/* clang-format on */
const size_t belay__process_table_count = sizeof(belay__process_table) /
	sizeof(belay__process_table[0]);

#define PRIVATE_FILE                                                                               \
	"an environment is no place for a secret; write it to a private file with belay key new "
#define NO_SHELL "commands run without a shell; "

/* clang-format off */
static const struct {
	const char *name, *instead;
} removed[] = {
	{ "accepted-key-env",     PRIVATE_FILE "and use --accepted-key-file" },
	{ "i-accept-shell-risk",  NO_SHELL "use --recovery-exec, which has no such risk" },
	{ "key-env",              PRIVATE_FILE "and use --key-file" },
	{ "master-key-env",       PRIVATE_FILE "and use --master-key-file" },
	{ "recovery-cmd",         NO_SHELL "use --recovery-exec" },
	{ "recovery-cmd-file",    NO_SHELL "use --recovery-exec-file" },
};
/* clang-format on */

const char *belay__observe_removed(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(removed) / sizeof(removed[0]); i++) {
		size_t at = 0;

		while (at < len && removed[i].name[at] != '\0' &&
			removed[i].name[at] == (name[at] == '_' ? '-' : name[at]))
			at++;
		if (at == len && removed[i].name[at] == '\0')
			return removed[i].instead;
	}
	return NULL;
}

/* Strings describe their defaults in words and stay empty; belay__options_check() has seen that the
 * others can be read. */
static void set_defaults(const struct belay__option *table, size_t count, void *options)
{
	for (size_t i = 0; i < count; i++)
		if (table[i].default_text != NULL && table[i].alias_of == NULL &&
			table[i].kind != BELAY__OPTION_STRING)
			(void)belay__option_set(&table[i], options, table[i].default_text, NULL);
}

void belay__observe_defaults(struct belay__observe_options *options)
{
	memset(options, 0, sizeof(*options));
	memcpy(options->act_on, BELAY__ACT_ON_DEFAULT, sizeof(BELAY__ACT_ON_DEFAULT));
	memcpy(options->action_limit, BELAY__ACTION_LIMIT_DEFAULT,
		sizeof(BELAY__ACTION_LIMIT_DEFAULT));
	set_defaults(belay__observe_table, belay__observe_table_count, options);
}

void belay__rule_defaults(struct belay__rule *rule)
{
	*rule = (struct belay__rule){ .uid = -1 };
	set_defaults(belay__process_table, belay__process_table_count, rule);
}

/* Whom roles become is checked before they are started. */
static int check_user(const char *name, struct belay_error *reterr)
{
	uid_t uid = 0;
	gid_t gid;
	int r;

	if (name[0] == '\0')
		return 0;
	r = belay__find_user(name, &uid, &gid);
	if (r == -ENOENT)
		return belay__fail(reterr, -EINVAL,
			"--user: nobody is called '%s'; make a user with useradd --system %s", name,
			name);
	if (r < 0)
		return belay__fail(reterr, -EINVAL, "--user: cannot look %s up: %s", name,
			strerror(-r));
	if (geteuid() != 0 && uid != geteuid())
		return belay__fail(reterr, -EINVAL,
			"--user: only root's observer can become %s; leave it out", name);
	return 0;
}

int belay__observe_options_check(const struct belay__observe_options *options,
	struct belay_error *reterr)
{
	if (options->threshold_ns < MIN_THRESHOLD_NS)
		return belay__fail(reterr, -EINVAL,
			"--threshold: %llu ns is below the least that can be watched, 10ms",
			(unsigned long long)options->threshold_ns);
	if (belay__udp_options_check(options, reterr) < 0)
		return -EINVAL;
	if (options->eviction_window < 1 || options->eviction_window > MAX_WINDOW)
		return belay__fail(reterr, -EINVAL,
			"--eviction-scan-window: %llu is not within 1 to %d",
			(unsigned long long)options->eviction_window, MAX_WINDOW);
	if (options->capacity < 1 || options->capacity > BELAY__CAPACITY_MAX)
		return belay__fail(reterr, -EINVAL, "--capacity: %llu is not within 1 to %d",
			(unsigned long long)options->capacity, BELAY__CAPACITY_MAX);
	if (options->clock_source > BELAY__CLOCK_BOOTTIME)
		return belay__fail(reterr, -EINVAL, "--clock-source: there is no clock %u",
			options->clock_source);
	if (options->rcvbuf_bytes > MAX_RCVBUF)
		return belay__fail(reterr, -EINVAL, "--uds-rcvbuf-bytes: %llu is above %d",
			(unsigned long long)options->rcvbuf_bytes, MAX_RCVBUF);
	if (options->within_max_ns < MIN_THRESHOLD_NS)
		return belay__fail(reterr, -EINVAL, "--within-max: %llu ns is below 10ms",
			(unsigned long long)options->within_max_ns);
	if (options->socket_mode > MAX_SOCKET_MODE)
		return belay__fail(reterr,
			-EINVAL, "--socket-mode: %04o has bits that a socket has no use for; 0777 is the most",
			options->socket_mode);
	if (options->sealed_senders < 1 || options->sealed_senders > BELAY__SENDERS_MAX)
		return belay__fail(reterr, -EINVAL, "--sealed-senders: %llu is not within 1 to %d",
			(unsigned long long)options->sealed_senders, BELAY__SENDERS_MAX);
	if (check_user(options->user, reterr) < 0)
		return -EINVAL;
	return belay__udp_keys_check(options, reterr);
}

/* The directory that VARIABLE names, as the XDG specification reads it: a relative one counts as
 * unset. */
static const char *directory_from(const char *variable)
{
	const char *value = getenv(variable);

	return value != NULL && value[0] == '/' ? value : NULL;
}

int belay__events_path(const char *events, const char *socket, bool socket_is_default, char *path,
	size_t size)
{
	const char *base = NULL, *behind = "";
	struct belay__text text;
	char buffer[BELAY__PATH_SIZE];

	if (strcmp(events, "none") == 0)
		return -ENOENT;

	if (events[0] != '\0') {
		base = events;
	} else if (!socket_is_default) {
		base = socket;
		behind = ".events.jsonl";
	} else if (geteuid() == 0) {
		base = "/var/lib/belay/events.jsonl";
	} else if ((base = directory_from("XDG_STATE_HOME")) != NULL) {
		behind = "/belay/events.jsonl";
	} else if ((base = directory_from("HOME")) != NULL) {
		behind = "/.local/state/belay/events.jsonl";
	} else {
		return -ENOENT;
	}

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_add(&text, base);
	belay__text_add(&text, behind);
	if (text.overflowed || text.len >= size)
		return -ENAMETOOLONG;
	memcpy(path, buffer, text.len + 1);
	return 0;
}
