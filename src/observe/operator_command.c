#include "observe/operator_command.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/text.h"

static void say_killed(const struct belay__operator_command *command,
	const struct belay__command_result *result, struct belay_error *end)
{
	char age[32];
	struct belay__text text;

	belay__text_init(&text, age, sizeof(age));
	belay__text_add_duration(&text, command->timeout_ns);
	if (result->kill_error < 0)
		(void)belay__fail(end, -ETIMEDOUT,
			"%s took longer than %s and could not be killed: %s", command->what, age,
			strerror(-result->kill_error));
	else
		(void)belay__fail(end, -ETIMEDOUT,
			"%s took longer than %s and was killed: let it give up earlier by itself",
			command->what, age);
}

static void say_end(const struct belay__operator_command *command,
	const struct belay__command_result *result, struct belay_error *end)
{
	switch (result->end) {
	case BELAY__COMMAND_EXITED:
		if (result->exit_code != 0)
			(void)belay__fail(end,
				-EIO, "%s exited with %d: what it wrote to stderr is in the observer's log",
				command->what, result->exit_code);
		return;
	case BELAY__COMMAND_SIGNALLED:
		(void)belay__fail(end, -EIO, "%s was ended by signal %d", command->what,
			result->signal);
		return;
	case BELAY__COMMAND_TIMED_OUT:
		say_killed(command, result, end);
		return;
	case BELAY__COMMAND_CANCELLED:
	case BELAY__COMMAND_SPAWN_FAILED:
	case BELAY__COMMAND_UNKNOWN:
		break;
	}
	(void)belay__fail(end, -EIO, "%s ended in a way that nobody told", command->what);
}

static void ended(struct belay__command *running, const struct belay__command_result *result,
	void *data)
{
	struct belay__operator_command *command = data;
	struct belay_error end = { 0 };

	(void)running;
	command->running = NULL;
	say_end(command, result, &end);
	command->done(command, &end);
}

int belay__operator_command_start(struct belay__operator_command *command, const char *template,
	const char *variable, int stdin_fd, uint64_t timeout_ns, struct belay_error *reterr)
{
	const struct belay__command_options options = {
		.argv = command->arguments.words,
		.environment = &command->environment,
		.stdin_fd = stdin_fd,
		.timeout_ns = timeout_ns,
		.run_as_root = true,
	};
	int r;

	if (command->running != NULL)
		return belay__fail(reterr, -EBUSY, "%s still runs", command->what);
	belay__environment_init(&command->environment);
	r = belay__template_expand(template, NULL, 0, &command->arguments);
	if (r == 0 && variable != NULL)
		r = belay__environment_set(&command->environment, variable);
	if (r < 0)
		return belay__fail(reterr, r, "%s cannot be run: '%.64s' is not a command: %s",
			command->what, template, strerror(-r));

	command->timeout_ns = timeout_ns;
	r = belay__command_start(command->loop, &options, ended, command, &command->running, reterr);
	return r < 0 ? belay__wrap(reterr, r, "%s", command->what) : 0;
}

void belay__operator_command_forget(struct belay__operator_command *command)
{
	command->running = belay__command_free(command->running);
}
