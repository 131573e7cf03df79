/* belay config: what an observer started now would do, and where each value comes from */

#include <string.h>

#include "cmd/commands.h"
#include "cmd/program.h"

#define PROGRAM "belay-observe"

static const char *const words[] = { "check", "show", NULL };

/* Whether WORD is one of ours; *ret_flag is then what the program is told instead. */
static bool find_word(const char *word, const char **ret_flag)
{
	static const char *const flags[] = { "--config-command=check", "--config-command=show" };

	for (size_t i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], word) == 0) {
			*ret_flag = flags[i];
			return true;
		}
	}
	return false;
}

static int run(int argc, char **argv)
{
	const char *flag = "";

	if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return belay__command_help(&belay__command_config);
	if (argc < 2 || !find_word(argv[1], &flag)) {
		belay__complain("belay config what? belay config show, or belay config check");
		return BELAY__EXIT_USAGE;
	}
	/* The program finds its command where it expects its first option. */
	argv[1] = strdup(flag);
	if (argv[1] == NULL) {
		belay__complain("no memory");
		return BELAY__EXIT_FAILED;
	}
	return belay__program_exec(PROGRAM, argv);
}

const struct belay__command belay__command_config = {
	.name = "config",
	.synopsis = "show|check [OPTION]...",
	.help = "what is configured and where each value comes from; takes the options of observe",
	.example = "belay config show --json",
	.manual = "belay-config",
	.words = words,
	.takes_observer_options = true,
	.run = run,
};
