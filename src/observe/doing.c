/* What is done about silences and ends: read from options and rules, and checked when they are. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "identity/verdict.h"
#include "observe/options.h"
#include "process/ladder.h"
#include "process/template.h"

const char *const belay__action_keys[] = { "pid", "name", "verdict", "status", "evidence", "uid",
	"rule", "silent_ms", "host", NULL };

/* Where a word of a list ends. */
static size_t word_length(const char *text)
{
	return strcspn(text, ", ");
}

static int read_verdict(const char *word, size_t len, uint32_t *mask)
{
	for (unsigned i = BELAY__VERDICT_NONE + 1; i < BELAY__VERDICT_COUNT; i++) {
		const char *name = belay__verdict_name((enum belay__verdict)i);

		if (strlen(name) == len && memcmp(name, word, len) == 0) {
			*mask |= 1u << i;
			return 0;
		}
	}
	return -EINVAL;
}

/* "blocked,silent" to a mask; "none" to an empty one. */
static int read_act_on(const char *text, uint32_t *ret_mask, struct belay_error *reterr)
{
	uint32_t mask = 0;

	for (const char *at = text; *at != '\0';) {
		size_t len = word_length(at);

		if (len > 0 && !(len == 4 && memcmp(at, "none", 4) == 0) &&
			read_verdict(at, len, &mask) < 0)
			return belay__fail(reterr, -EINVAL,
				"act-on: there is no verdict '%.*s'; there are stopped, traced, "
				"frozen, "
				"starved, suspended, observer-late, blocked, silent, and none",
				(int)len, at);
		at += len + (at[len] != '\0');
	}
	*ret_mask = mask;
	return 0;
}

/* "5/60s"; "0" is no limit. */
static int read_limit(const char *text, uint32_t *ret_count, uint64_t *ret_window_ns,
	struct belay_error *reterr)
{
	const char *slash = strchr(text, '/');
	uint64_t count = 0, window_ns = 0;
	char number[16];
	size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
	int r = -EINVAL;

	if (len < sizeof(number)) {
		(void)snprintf(number, sizeof(number), "%.*s", (int)len, text);
		r = belay__parse_u64(number, 0, 100000, &count);
	}
	if (r >= 0 && (slash != NULL || count > 0))
		r = slash == NULL ? -EINVAL : belay__parse_duration(slash + 1, &window_ns);
	if (r < 0 || (count > 0 && window_ns == 0))
		return belay__fail(reterr, -EINVAL,
			"action-limit: '%s' is not like 5/60s (so many actions in that time) or 0",
			text);
	*ret_count = (uint32_t)count;
	*ret_window_ns = window_ns;
	return 0;
}

static bool says(const char *text)
{
	return text[0] != '\0' && strcmp(text, "none") != 0;
}

/* All four texts, of the observer or of a rule. */
static int check(const char *on_stall, const char *on_exit, const char *act_on, const char *limit,
	struct belay_error *reterr)
{
	struct belay__doing doing;
	static struct belay__ladder ladder;
	int r = 0;

	if (says(on_stall) &&
		(r = belay__ladder_parse(on_stall, belay__action_keys, &ladder, reterr)) < 0)
		return belay__wrap(reterr, r, "on-stall");
	if (says(on_exit) && (r = belay__template_check(on_exit, belay__action_keys, reterr)) < 0)
		return belay__wrap(reterr, r, "on-exit");
	r = read_act_on(act_on, &doing.act_on, reterr);
	if (r >= 0 && limit[0] != '\0')
		r = read_limit(limit, &doing.limit_count, &doing.limit_window_ns, reterr);
	return r;
}

int belay__rule_check(const struct belay__rule *rule, struct belay_error *reterr)
{
	if (rule->host[0] != '\0' &&
		(rule->exe[0] != '\0' || rule->unit[0] != '\0' || rule->comm[0] != '\0' ||
			rule->uid >= 0))
		return belay__fail(reterr, -EINVAL,
			"host is about processes of other hosts, of which no exe, unit, comm or "
			"uid "
			"is known; leave those out");
	if (rule->host[0] != '\0' && says(rule->on_exit))
		return belay__fail(reterr,
			-EINVAL, "on-exit: the end of a process of another host is never seen; use on-stall");
	if (rule->run_as == BELAY__RUN_AS_ROOT && rule->host[0] == '\0' &&
		(rule->exe[0] == '\0' || rule->uid < 0))
		return belay__fail(reterr, -EINVAL,
			"run-as = root needs exe and uid in the same section, so that nobody gets "
			"root's powers by a name");
	if (rule->run_as == BELAY__RUN_AS_ROOT && geteuid() != 0)
		return belay__fail(reterr, -EINVAL, "run-as = root needs an observer run by root");
	return check(rule->on_stall, rule->on_exit, rule->act_on, rule->action_limit, reterr);
}

/* The command of --recovery-exec-file; whoever can write it decides what is run. */
static int read_exec_file(struct belay__observe_options *options, struct belay_error *reterr)
{
	const char *path = options->recovery_exec_file;
	_cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	char text[BELAY__ACTION_SIZE + 1], *start = text;
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return belay__fail(reterr, -errno, "--recovery-exec-file: cannot read %s: %s", path,
			strerror(errno));
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0)
		return belay__fail(reterr, -EPERM,
			"--recovery-exec-file: %s must be a file of this user that nobody else can "
			"open; run: chmod 600 %s",
			path, path);
	do
		n = read(fd, text, sizeof(text) - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return belay__fail(reterr, -errno, "--recovery-exec-file: cannot read %s: %s", path,
			strerror(errno));
	text[n] = '\0';
	start += strspn(start, " \t\r\n");
	for (size_t len = strlen(start); len > 0 && strchr(" \t\r\n", start[len - 1]) != NULL;)
		start[--len] = '\0';
	if (start[0] == '\0' || (size_t)n == sizeof(text) - 1)
		return belay__fail(reterr, -EINVAL,
			"--recovery-exec-file: %s must hold one command of less than %d bytes",
			path, BELAY__ACTION_SIZE);
	memcpy(options->recovery_exec, start, strlen(start) + 1);
	return 0;
}

/* The original's way to say what is done about a silence. */
static int check_recovery(struct belay__observe_options *options, struct belay_error *reterr)
{
	bool has_file = options->recovery_exec_file[0] != '\0';
	int r = 0;

	if (options->recovery_exec[0] != '\0' && has_file)
		return belay__fail(reterr, -EINVAL,
			"--recovery-exec and --recovery-exec-file are mutually exclusive");
	if ((options->recovery_exec[0] != '\0' || has_file) && options->on_stall[0] != '\0')
		return belay__fail(reterr, -EINVAL,
			"--recovery-exec and --on-stall are mutually exclusive; write --on-stall "
			"'command CMD'");
	if (has_file)
		r = read_exec_file(options, reterr);
	if (r >= 0 && options->recovery_exec[0] != '\0')
		r = belay__template_check(options->recovery_exec, belay__action_keys, reterr);
	if (r < 0)
		return belay__wrap(reterr, r, "--recovery-exec");
	if (options->recovery_timeout_ns > 0 && options->recovery_timeout_ns < UINT64_C(100000000))
		return belay__fail(reterr, -EINVAL,
			"--recovery-timeout-ms: %llu is below 100, the least there is",
			(unsigned long long)(options->recovery_timeout_ns / 1000000));
	return 0;
}

static int check_sizes(const struct belay__observe_options *options, struct belay_error *reterr)
{
	if (options->audit_bytes_max > 0 && options->audit_bytes_max < 4096)
		return belay__fail(reterr, -EINVAL, "--recovery-audit-max-bytes: %llu is below 4096",
			(unsigned long long)options->audit_bytes_max);
	if (options->export_bytes_max > 0 && options->export_bytes_max < 4096)
		return belay__fail(reterr, -EINVAL, "--export-file-max-bytes: %llu is below 4096",
			(unsigned long long)options->export_bytes_max);
	if (options->metrics_token_file[0] != '\0' && options->metrics_addr[0] == '\0')
		return belay__fail(reterr, -EINVAL,
			"--metrics-token-file is of no use without --metrics-addr");
	return 0;
}

int belay__doing_check(struct belay__observe_options *options, struct belay_error *reterr)
{
	int r = check_recovery(options, reterr);

	if (r >= 0)
		r = check(options->on_stall, options->on_exit, options->act_on,
			options->action_limit, reterr);
	if (r >= 0 && options->alert[0] != '\0' &&
		(r = belay__template_check(options->alert, (const char *const[]){ NULL }, reterr)) <
			0)
		return belay__wrap(reterr, r, "--alert");
	if (r >= 0 && options->deadman[0] != '\0' &&
		(r = belay__template_check(options->deadman, (const char *const[]){ NULL },
			 reterr)) < 0)
		return belay__wrap(reterr, r, "--deadman");
	return r < 0 ? r : check_sizes(options, reterr);
}

/* What the rule says, else what the observer says. */
static void choose(const char *rule, const char *observer, char *text, size_t size)
{
	const char *chosen = rule[0] != '\0' ? rule : observer;

	(void)snprintf(text, size, "%s", says(chosen) ? chosen : "");
}

/* COMMAND as a ladder of one step. */
static void write_command(const char *command, char *ladder, size_t size)
{
	struct belay__text text;

	belay__text_init(&text, ladder, size);
	belay__text_add(&text, "command ");
	for (; *command != '\0'; command++)
		belay__text_addf(&text, *command == ',' ? "\\%c" : "%c", *command);
}

void belay__doing_of(const struct belay__observe_options *options, const struct belay__rule *rule,
	struct belay__doing *ret_doing)
{
	static const struct belay__rule none = { .uid = -1 };
	char act_on[sizeof(options->act_on)], limit[sizeof(options->action_limit)];
	struct belay__doing doing = { .limit_count = 0 };

	if (rule == NULL)
		rule = &none;
	choose(rule->on_stall, options->on_stall, doing.on_stall, sizeof(doing.on_stall));
	if (rule->on_stall[0] == '\0' && options->recovery_exec[0] != '\0')
		write_command(options->recovery_exec, doing.on_stall, sizeof(doing.on_stall));
	choose(rule->on_exit, options->on_exit, doing.on_exit, sizeof(doing.on_exit));
	(void)snprintf(act_on, sizeof(act_on), "%s",
		rule->act_on[0] != '\0' ? rule->act_on : options->act_on);
	choose(rule->action_limit, options->action_limit, limit, sizeof(limit));
	(void)read_act_on(act_on, &doing.act_on, NULL);
	if (limit[0] != '\0')
		(void)read_limit(limit, &doing.limit_count, &doing.limit_window_ns, NULL);
	doing.run_as_root = rule->run_as == BELAY__RUN_AS_ROOT;
	*ret_doing = doing;
}
