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
#include "observe/table.h"

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
static const char *const log_formats[] = {
	[BELAY__LOG_TEXT] = "text",
	[BELAY__LOG_JSON] = "json",
	NULL,
};

/* clang-format off */
const struct belay__option belay__observe_table[] = {
	{ .name = "allow-cross-namespace-agents", .kind = BELAY__OPTION_FLAG, OPTION(allow_cross_namespace), .in_config = true,
	  .help = "accept beats from other pid namespaces" },
	{ .name = "capacity", .kind = BELAY__OPTION_COUNT, OPTION(capacity), .in_config = true,
	  .min = 1, .max = BELAY__CAPACITY_MAX, .metavar = "N", .default_text = "4096",
	  .help = "how many processes are tracked at most" },
	{ .name = "clock-source", .kind = BELAY__OPTION_CHOICE, OPTION(clock_source), .in_config = true,
	  .choices = clock_sources, .metavar = "CLOCK", .default_text = "monotonic",
	  .help = "clock of deadlines: monotonic stands still in suspend, boottime does not" },
	{ .name = "config", .kind = BELAY__OPTION_STRING, OPTION(config), ROOM(belay__observe_options, config),
	  .metavar = "PATH", .complete = "file",
	  .help = "read this configuration file alone, or 'none'" },
	{ .name = "dgram-qlen", .kind = BELAY__OPTION_COUNT, OPTION(dgram_qlen), .in_config = true,
	  .max = 65536, .metavar = "N",
	  .help = "raise net.unix.max_dgram_qlen to N while the socket is made; 0 leaves it" },
	{ .name = "events", .kind = BELAY__OPTION_STRING, OPTION(events), ROOM(belay__observe_options, events), .in_config = true,
	  .metavar = "PATH", .complete = "file",
	  .help = "keep events in this file and its four predecessors, or 'none'" },
	{ .name = "eviction", .kind = BELAY__OPTION_CHOICE, OPTION(eviction_policy), .in_config = true,
	  .choices = eviction_policies, .metavar = "POLICY", .default_text = "strict",
	  .alias_of = "tracker-eviction-policy",
	  .help = "who makes room for a new process in a full table" },
	{ .name = "eviction-scan-window", .kind = BELAY__OPTION_COUNT, OPTION(eviction_window), .in_config = true,
	  .min = 1, .max = MAX_WINDOW, .metavar = "N", .default_text = "256",
	  .help = "how many slots are searched for one to evict" },
	{ .name = "global-beat-burst", .kind = BELAY__OPTION_COUNT, OPTION(global_beat_burst), .in_config = true,
	  .max = UINT32_MAX, .metavar = "N", .default_text = "10000",
	  .help = "beats that may come at once before --global-beat-rate counts; 0 turns both off" },
	{ .name = "global-beat-rate", .kind = BELAY__OPTION_COUNT, OPTION(global_beat_rate), .in_config = true,
	  .max = UINT32_MAX, .metavar = "N", .default_text = "5000",
	  .help = "beats a second of all processes together; 0 is no limit" },
	{ .name = "log-format", .kind = BELAY__OPTION_CHOICE, OPTION(log_format), .in_config = true,
	  .choices = log_formats, .metavar = "FORMAT", .default_text = "text",
	  .help = "how lines on standard error look: text or json" },
	{ .name = "max-beat-rate", .kind = BELAY__OPTION_COUNT, OPTION(max_beat_rate), .in_config = true,
	  .max = UINT32_MAX, .metavar = "N", .default_text = "100",
	  .help = "beats a second of one process; 0 is no limit" },
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
	{ .name = "uds-rcvbuf-bytes", .kind = BELAY__OPTION_COUNT, OPTION(rcvbuf_bytes), .in_config = true,
	  .max = MAX_RCVBUF, .metavar = "N", .default_text = "1048576",
	  .help = "receive buffer asked for; 0 leaves the kernel's default" },
	{ .name = "within-max", .kind = BELAY__OPTION_DURATION, OPTION(within_max_ns), .in_config = true,
	  .min = MIN_THRESHOLD_NS, .max = MAX_DURATION_NS, .metavar = "DURATION", .default_text = "1h",
	  .help = "longest silence that a process may announce" },
};
/* clang-format on */
const size_t belay__observe_table_count = sizeof(belay__observe_table) /
	sizeof(belay__observe_table[0]);

/* Reads a uid, or the name of a user who exists now. */
static int apply_uid(void *options, const char *value, struct belay_error *reterr)
{
	struct belay__rule *rule = options;
	struct passwd entry, *found = NULL;
	char buffer[4096];
	uint64_t uid;
	int r = belay__parse_u64(value, 0, UINT32_MAX - 1, &uid);

	if (r == -ERANGE)
		return belay__fail(reterr, -EINVAL, "uid: '%s' is no uid", value);
	if (r >= 0) {
		rule->uid = (int64_t)uid;
		return 0;
	}
	r = getpwnam_r(value, &entry, buffer, sizeof(buffer), &found);
	if (found == NULL)
		return belay__fail(reterr, -EINVAL, "uid: '%s' is no number, and %s", value,
			r == 0 ? "no user has this name" : strerror(r));
	rule->uid = (int64_t)entry.pw_uid;
	return 0;
}

/* clang-format off */
const struct belay__option belay__process_table[] = {
	{ .name = "comm", .kind = BELAY__OPTION_STRING, KEY(comm), ROOM(belay__rule, comm), .metavar = "GLOB",
	  .help = "command names that the rule is about, as in /proc/PID/comm" },
	{ .name = "exe", .kind = BELAY__OPTION_STRING, KEY(exe), ROOM(belay__rule, exe), .metavar = "GLOB",
	  .help = "paths of executables that the rule is about" },
	{ .name = "expect", .kind = BELAY__OPTION_COUNT, KEY(expect), .min = 1, .max = 65536, .metavar = "N",
	  .help = "how many such processes must beat" },
	{ .name = "first-beat", .kind = BELAY__OPTION_DURATION, KEY(first_beat_ns), .max = MAX_DURATION_NS,
	  .metavar = "DURATION", .default_text = "30s",
	  .help = "how long an expected process may take to its first beat" },
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
	*options = (struct belay__observe_options){ 0 };
	set_defaults(belay__observe_table, belay__observe_table_count, options);
}

void belay__rule_defaults(struct belay__rule *rule)
{
	*rule = (struct belay__rule){ .uid = -1 };
	set_defaults(belay__process_table, belay__process_table_count, rule);
}

int belay__observe_options_check(const struct belay__observe_options *options,
	struct belay_error *reterr)
{
	if (options->threshold_ns < MIN_THRESHOLD_NS)
		return belay__fail(reterr, -EINVAL,
			"--threshold: %llu ns is below the least that can be watched, 10ms",
			(unsigned long long)options->threshold_ns);
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
	return 0;
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
