/* The front door: `belay COMMAND`. One row per command. */

#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/output.h"

const struct belay__command *const belay__commands[] = {
	&belay__command_act,
	&belay__command_alert,
	&belay__command_audit,
	&belay__command_backend,
	&belay__command_beat,
	&belay__command_completion,
	&belay__command_config,
	&belay__command_doctor,
	&belay__command_events,
	&belay__command_help_,
	&belay__command_key,
	&belay__command_metrics,
	&belay__command_observe,
	&belay__command_pause,
	&belay__command_resume,
	&belay__command_status,
	&belay__command_version,
};
const size_t belay__command_count = BELAY__COUNT_OF(belay__commands);

const struct belay__command *belay__command_find(const char *name)
{
	for (size_t i = 0; i < belay__command_count; i++)
		if (strcmp(belay__commands[i]->name, name) == 0)
			return belay__commands[i];
	return NULL;
}

static int complain_of_command(const char *name)
{
	const char *nearest = NULL;
	unsigned best = 3;

	for (size_t i = 0; i < belay__command_count; i++) {
		unsigned distance = belay__text_distance(name, belay__commands[i]->name, best);

		if (distance < best) {
			best = distance;
			nearest = belay__commands[i]->name;
		}
	}
	if (nearest != NULL)
		belay__complain("there is no command '%.64s'; did you mean: belay %s", name,
			nearest);
	else
		belay__complain("there is no command '%.64s'; all there are: belay help", name);
	return BELAY__EXIT_USAGE;
}

static int print_commands(void)
{
	static struct belay__output output;

	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add(&output,
		"usage: belay COMMAND [OPTION]... [WORD]...\n"
		"Watches local processes: who beats, who went silent, who ended, and "
		"why.\n\ncommands:\n");
	for (size_t i = 0; i < belay__command_count; i++)
		belay__output_addf(&output, "  %-12s%s\n", belay__commands[i]->name,
			belay__commands[i]->help);
	belay__output_add(&output,
		"\nstart: belay observe          then, elsewhere: belay beat demo --of $$; belay "
		"status\n"
		"more:  belay COMMAND --help   man belay\n");
	return belay__output_finish(&output);
}

/* belay help [COMMAND] */
static int run_help(int argc, char **argv)
{
	struct {
		bool help;
	} options = { false };
	const struct belay__command *command;
	int exit_code,
		words = belay__command_parse(&belay__command_help_, &options, argc, argv, 1, NULL,
			&exit_code);

	if (words < 0)
		return exit_code;
	if (words == 0)
		return print_commands();
	command = belay__command_find(argv[1]);
	return command != NULL ? belay__command_help(command) : complain_of_command(argv[1]);
}

const struct belay__command belay__command_help_ = {
	.name = "help",
	.synopsis = "[COMMAND]",
	.help = "what there is, and how each command is used",
	.example = "belay help status",
	.manual = "belay",
	.run = run_help,
};

int belay__belay(int argc, char **argv)
{
	const struct belay__command *command;

	if (argc < 2) {
		belay__complain("which command? all there are: belay help");
		return BELAY__EXIT_USAGE;
	}
	if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)
		return print_commands();
	if (strcmp(argv[1], "--version") == 0)
		return belay__command_version.run(argc - 1, argv + 1);

	command = belay__command_find(argv[1]);
	return command != NULL ? command->run(argc - 1, argv + 1) : complain_of_command(argv[1]);
}
