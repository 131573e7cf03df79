/* What the runner tells of an action. */

#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "observe/runner.h"

void belay__acted_init(struct belay__msg_acted *acted, const struct belay__msg_act *act,
	enum belay__acted outcome)
{
	*acted = (struct belay__msg_acted){
		.outcome = (uint8_t)outcome,
		.on = act->on,
		.rule = act->rule != BELAY__NO_RULE ? act->rule : 0,
		.pid = act->pid,
		.uid = act->uid,
		.start_ticks = act->start_ticks,
		.seq = act->seq,
		.exit_code = -1,
		.signal = -1,
	};
	(void)snprintf(acted->name, sizeof(acted->name), "%s", act->name);
	(void)snprintf(acted->verdict, sizeof(acted->verdict), "%s", belay__act_verdict(act));
}

static void init(struct belay__msg_acted *acted, const struct belay__action *action,
	enum belay__acted outcome)
{
	belay__acted_init(acted, &action->act, outcome);
	acted->step = (uint8_t)(action->step + 1);
	acted->last = action->step + 1 >= action->ladder.count;
	acted->as_root = action->subject.as_root;
	if (action->command != NULL)
		acted->child_pid = (uint32_t)belay__command_pid(action->command);
}

static void tell(struct belay__action *action, const struct belay__msg_acted *acted)
{
	belay__books_note(action->runner, acted);
	belay__runner_tell(action->runner, BELAY__MSG_ACTED, acted, sizeof(*acted));
}

void belay__action_say(struct belay__action *action, enum belay__acted outcome, const char *text)
{
	struct belay__msg_acted acted;

	init(&acted, action, outcome);
	(void)snprintf(acted.text, sizeof(acted.text), "%s", text);
	tell(action, &acted);
}

void belay__action_say_step(struct belay__action *action, enum belay__acted outcome)
{
	struct belay__ladder one = { .count = 1, .steps = { action->ladder.steps[action->step] } };
	char buffer[sizeof(((struct belay__msg_acted *)NULL)->text)];
	struct belay__text text;

	memcpy(one.commands, action->ladder.commands, sizeof(one.commands));
	belay__text_init(&text, buffer, sizeof(buffer));
	belay__ladder_format(&one, &text);
	belay__action_say(action, outcome, buffer);
}

enum belay__acted belay__acted_of(const struct belay__command_result *result)
{
	switch (result->end) {
	case BELAY__COMMAND_EXITED:
		return result->exit_code == 0 ? BELAY__ACTED_SUCCEEDED : BELAY__ACTED_FAILED;
	case BELAY__COMMAND_SIGNALLED:
		return BELAY__ACTED_FAILED;
	case BELAY__COMMAND_TIMED_OUT:
	case BELAY__COMMAND_CANCELLED:
		return BELAY__ACTED_KILLED;
	case BELAY__COMMAND_SPAWN_FAILED:
		return BELAY__ACTED_SPAWN_FAILED;
	case BELAY__COMMAND_UNKNOWN:
		break;
	}
	return BELAY__ACTED_UNKNOWN;
}

static void explain(const struct belay__command_result *result, struct belay__text *text)
{
	switch (result->end) {
	case BELAY__COMMAND_EXITED:
		belay__text_addf(text, "its command exited with %d", result->exit_code);
		break;
	case BELAY__COMMAND_SIGNALLED:
		belay__text_addf(text, "its command was killed by signal %d", result->signal);
		break;
	case BELAY__COMMAND_TIMED_OUT:
		belay__text_add(text, "its command was killed: its time was over");
		break;
	case BELAY__COMMAND_CANCELLED:
		belay__text_add(text, "its command was killed: the pid names another process");
		break;
	case BELAY__COMMAND_SPAWN_FAILED:
	case BELAY__COMMAND_UNKNOWN:
		belay__text_add(text, "its command ended, and nobody tells how");
		break;
	}
	belay__text_add(text, " after ");
	belay__text_add_age(text, result->duration_ns);
	if (result->kill_error != 0)
		belay__text_addf(text, "; killing it failed: %s", strerror(-result->kill_error));
}

void belay__action_say_end(struct belay__action *action, const struct belay__command_result *result)
{
	struct belay__msg_acted acted;
	struct belay__text text;

	init(&acted, action, belay__acted_of(result));
	if (result->end == BELAY__COMMAND_EXITED)
		acted.exit_code = result->exit_code;
	else if (result->signal != 0)
		acted.signal = result->signal;
	acted.duration_ns = result->duration_ns;
	acted.stdout_len = result->stdout_len;
	acted.stderr_len = result->stderr_len;
	acted.truncated = result->truncated;
	belay__text_init(&text, acted.text, sizeof(acted.text));
	explain(result, &text);
	tell(action, &acted);
}
