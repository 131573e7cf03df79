/* What the command of a step is: its words, its variables, as whom it runs. */

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <belay/observer.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"
#include "identity/verdict.h"
#include "observe/remote_process.h"
#include "observe/runner.h"
#include "process/template.h"

#define VALUES 9

/* The values of belay__action_keys, in its order, and the texts that they are made of. */
struct values {
	struct belay__value rows[VALUES];
	char pid[16], uid[16], status[16], silent_ms[24], host[BELAY__HOST_SIZE];
};

/* Those that commands find in their environment as well. */
static const struct variable {
	const char *name, *key;
} variables[] = {
	{ "BELAY_PID", "pid" },
	{ "BELAY_NAME", "name" },
	{ "BELAY_VERDICT", "verdict" },
	{ "BELAY_STATUS", "status" },
	{ "BELAY_EVIDENCE", "evidence" },
	{ "BELAY_UID", "uid" },
	{ "BELAY_RULE", "rule" },
	{ "BELAY_HOST", "host" },
};

const char *belay__act_verdict(const struct belay__msg_act *act)
{
	static const char *const ends[] = {
		[BELAY_END_UNKNOWN] = "unknown",
		[BELAY_END_LEFT] = "left",
		[BELAY_END_EXITED] = "exited",
		[BELAY_END_KILLED] = "killed",
	};

	if (act->on == BELAY__ACT_ON_STALL)
		return belay__verdict_name(act->verdict < BELAY__VERDICT_COUNT
				? (enum belay__verdict)act->verdict
				: BELAY__VERDICT_NONE);
	return act->end < sizeof(ends) / sizeof(ends[0]) ? ends[act->end] : "unknown";
}

static void set(struct values *values, unsigned *count, const char *key, const char *text)
{
	values->rows[(*count)++] = (struct belay__value){ key, text, strlen(text) };
}

static void fill_values(const struct belay__action *action, struct values *values)
{
	const struct belay__msg_act *act = &action->act;
	const struct belay__rule *rule = belay__runner_rule(action->runner, act);
	unsigned count = 0;

	(void)snprintf(values->pid, sizeof(values->pid), "%u", belay__key_pid(act->pid));
	values->host[0] = '\0';
	if (belay__key_host(act->pid) != 0)
		belay__remote_host(act->name, values->host);
	if (act->uid != BELAY__NO_UID)
		(void)snprintf(values->uid, sizeof(values->uid), "%u", act->uid);
	if (act->on == BELAY__ACT_ON_END)
		(void)snprintf(values->status, sizeof(values->status), "%d", act->code);
	else
		(void)snprintf(values->status, sizeof(values->status), "%s",
			belay_status_name((enum belay_status)act->status));
	(void)snprintf(values->silent_ms, sizeof(values->silent_ms), "%llu",
		(unsigned long long)(act->silent_ns / BELAY__NS_PER_MS));
	set(values, &count, "pid", values->pid);
	set(values, &count, "name", act->name);
	set(values, &count, "verdict", belay__act_verdict(act));
	set(values, &count, "status", values->status);
	set(values, &count, "evidence", act->evidence);
	set(values, &count, "uid", values->uid);
	set(values, &count, "rule", rule != NULL ? rule->name : "");
	set(values, &count, "silent_ms", values->silent_ms);
	set(values, &count, "host", values->host);
}

static int add_entries(const struct belay__observe_options *options,
	struct belay__environment *environment)
{
	int r = 0;

	for (uint32_t at = 0; at < options->recovery_env_len && r == 0;
		at += (uint32_t)strlen(options->recovery_env + at) + 1)
		r = belay__environment_set(environment, options->recovery_env + at);
	return r;
}

static int fill_environment(const struct belay__observe_options *options,
	const struct values *values, struct belay__environment *environment)
{
	int r;

	belay__environment_init(environment);
	for (char **entry = environ; options->recovery_inherit_env && *entry != NULL; entry++)
		if (strchr(*entry, '=') != NULL && belay__environment_set(environment, *entry) < 0)
			return -E2BIG;
	r = add_entries(options, environment);
	for (unsigned i = 0; i < sizeof(variables) / sizeof(variables[0]) && r == 0; i++)
		for (unsigned value = 0; value < VALUES; value++)
			if (strcmp(values->rows[value].key, variables[i].key) == 0 &&
				!(values->host[0] == '\0' && strcmp(variables[i].key, "host") == 0))
				r = belay__environment_set_value(environment, variables[i].name,
					values->rows[value].bytes, values->rows[value].len);
	return r;
}

static const char *source_of(const struct belay__action *action)
{
	const struct belay__observe_options *options = &action->runner->config.options;
	const struct belay__rule *rule = belay__runner_rule(action->runner, &action->act);
	bool own = rule != NULL && rule->on_stall[0] != '\0';

	return action->act.on == BELAY__ACT_ON_STALL && !own &&
			options->recovery_exec_file[0] != '\0'
		? options->recovery_exec_file
		: NULL;
}

int belay__action_command(struct belay__action *action, belay__command_done *done,
	struct belay_error *reterr)
{
	/* Needed during the start only, and too large for the stack. */
	static struct belay__arguments arguments;
	static struct belay__environment environment;
	const struct belay__observe_options *options = &action->runner->config.options;
	const struct belay__subject *subject = &action->subject;
	const struct belay__credentials credentials = { .uid = subject->uid,
		.gid = subject->gid,
		.groups = subject->groups,
		.group_count = subject->group_count };
	struct belay__spawn_record record;
	struct values values = { .pid = "" };
	int r;

	fill_values(action, &values);
	r = belay__template_expand(
		belay__step_command(&action->ladder, &action->ladder.steps[action->step]),
		values.rows, VALUES, &arguments);
	if (r < 0)
		return belay__fail(reterr, r, "its command is too long with its values put in");
	r = fill_environment(options, &values, &environment);
	if (r < 0)
		return belay__fail(reterr, r, "too many variables for its command");
	r = belay__journal_record(action->runner->journal, action->journal_id, &record);
	if (r < 0)
		return belay__fail(reterr, r, "its command has no place in the journal");
	r = belay__command_start(action->runner->loop,
		&(struct belay__command_options){
			.argv = arguments.words,
			.environment = &environment,
			.target_pidfd = subject->pidfd,
			.timeout_ns = options->recovery_timeout_ns,
			.capture = options->recovery_capture_stdio,
			.capture_max = options->recovery_capture_bytes,
			.run_as_root = subject->as_root,
			.credentials = subject->other_user ? &credentials : NULL,
			.record = &record,
		},
		done, action, &action->command, reterr);
	if (r == 0)
		belay__books_spawned(action->runner,
			&(struct belay__spawned){ .agent_pid = belay__key_pid(action->act.pid),
				.child_pid = (uint32_t)belay__command_pid(action->command),
				.argv = arguments.words,
				.source = source_of(action) });
	return r;
}
