/* belay completion: a script for the shell, made from the rows that the parsers read */

#include <string.h>
#include <unistd.h>

#include "cmd/commands.h"
#include "cmd/output.h"
#include "observe/options.h"

static const char *const words[] = { "bash", NULL };

struct options {
	bool help;
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
};
/* clang-format on */

static const char head[] =
	"# bash completion for belay, written by: belay completion bash\n"
	"_belay_names()\n"
	"{\n"
	"	belay status --json 2>/dev/null | sed -n 's/^{\"name\":\"\\([^\"]*\\)\".*/\\1/p' | "
	"sort -u\n"
	"}\n"
	"\n"
	"_belay()\n"
	"{\n"
	"	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' i\n"
	"	COMPREPLY=()\n"
	"	# '=' separates words: --option = value\n"
	"	if [[ $cur == = ]]; then\n"
	"		cur=''\n"
	"	elif [[ $prev == = ]]; then\n"
	"		prev=${COMP_WORDS[COMP_CWORD-2]}\n"
	"	fi\n"
	"	for ((i = 1; i < COMP_CWORD; i++)); do\n"
	"		if [[ ${COMP_WORDS[i]} != -* ]]; then\n"
	"			command=${COMP_WORDS[i]}\n"
	"			break\n"
	"		fi\n"
	"	done\n";

static const char tail[] = "}\ncomplete -F _belay belay\n";

static bool takes_value(const struct belay__option *row)
{
	return row->kind != BELAY__OPTION_FLAG && row->kind != BELAY__OPTION_ACTION;
}

/* Adds the shell's command that completes a value of ROW. */
static void add_completion(const struct belay__option *row, struct belay__output *output)
{
	const char *how = row->complete == NULL ? "none" : row->complete;

	if (row->choices != NULL) {
		belay__output_add(output, "mapfile -t COMPREPLY < <(compgen -W '");
		for (const char *const *choice = row->choices; *choice != NULL; choice++)
			belay__output_addf(output, "%s%s", choice == row->choices ? "" : " ",
				*choice);
		belay__output_add(output, "' -- \"$cur\"); ");
	} else if (strcmp(how, "file") == 0 || strcmp(how, "dir") == 0) {
		belay__output_addf(output,
			"compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -%c -- "
			"\"$cur\"); ",
			how[0]);
	} else if (strcmp(how, "name") == 0) {
		belay__output_add(output,
			"mapfile -t COMPREPLY < <(compgen -W \"$(_belay_names)\" -- \"$cur\"); ");
	}
	belay__output_add(output, "return ;;\n");
}

/* What stands behind an option with a value. */
static void add_values(const struct belay__command *command, const struct belay__option *rows,
	size_t count, struct belay__output *output)
{
	for (size_t i = 0; i < count; i++) {
		if (!takes_value(&rows[i]))
			continue;
		belay__output_addf(output, "	%s:--%s", command->name, rows[i].name);
		if (rows[i].letter != 0)
			belay__output_addf(output, "|%s:-%c", command->name, rows[i].letter);
		belay__output_add(output, ") ");
		add_completion(&rows[i], output);
	}
}

static void add_commands(struct belay__output *output)
{
	for (size_t i = 0; i < belay__command_count; i++)
		belay__output_addf(output, " %s", belay__commands[i]->name);
}

/* What may stand anywhere behind the command: its words and its options. */
static void add_words(const struct belay__command *command, struct belay__output *output)
{
	belay__output_addf(output, "	%s) words='", command->name);
	if (command == &belay__command_help_)
		add_commands(output);
	for (size_t i = 0; command->words != NULL && command->words[i] != NULL; i++)
		belay__output_addf(output, " %s", command->words[i]);
	for (size_t i = 0; i < command->option_count; i++)
		belay__output_addf(output, " --%s", command->options[i].name);
	for (size_t i = 0; command->takes_observer_options && i < belay__observe_table_count; i++)
		belay__output_addf(output, " --%s", belay__observe_table[i].name);
	if (command->option_count == 0)
		belay__output_add(output, " --help");
	belay__output_add(output, "'");
	if (command->completes_names)
		belay__output_add(output, "; [[ $cur == -* ]] || words=$(_belay_names)");
	belay__output_add(output, " ;;\n");
}

static void write_bash(struct belay__output *output)
{
	belay__output_add(output, head);
	belay__output_add(output, "	case $command:$prev in\n");
	for (size_t i = 0; i < belay__command_count; i++) {
		const struct belay__command *command = belay__commands[i];

		add_values(command, command->options, command->option_count, output);
		if (command->takes_observer_options)
			add_values(command, belay__observe_table, belay__observe_table_count,
				output);
	}
	belay__output_add(output,
		"	esac\n	local words=''\n	case $command in\n	'') words='--help "
		"--version");
	add_commands(output);
	belay__output_add(output, "' ;;\n");
	for (size_t i = 0; i < belay__command_count; i++)
		add_words(belay__commands[i], output);
	belay__output_add(output,
		"	esac\n	mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n");
	belay__output_add(output, tail);
}

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	static struct belay__output output;
	int exit_code,
		count = belay__command_parse(&belay__command_completion, &options, argc, argv, 1,
			NULL, &exit_code);

	if (count < 0)
		return exit_code;
	if (count == 0 || strcmp(argv[1], words[0]) != 0) {
		belay__complain("completion for which shell? there is one: belay completion bash");
		return BELAY__EXIT_USAGE;
	}
	belay__output_start(&output, STDOUT_FILENO);
	write_bash(&output);
	return belay__output_finish(&output);
}

const struct belay__command belay__command_completion = {
	.name = "completion",
	.synopsis = "bash",
	.help = "a script that completes commands, options, values and live names in a shell",
	.example = "source <(belay completion bash)",
	.manual = "belay-completion",
	.words = words,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
