/* belay observe: becomes the observer, a program of its own */

#include "cmd/commands.h"
#include "cmd/program.h"

#define PROGRAM "belay-observe"

static int run(int argc, char **argv)
{
	(void)argc;
	return belay__program_exec(PROGRAM, argv);
}

/* Its options are known to the program alone; completion finds them in belay__observe_table. */
const struct belay__command belay__command_observe = {
	.name = "observe",
	.synopsis = "[OPTION]...",
	.help = "watch: receive beats and tell who goes silent and who ends",
	.example = "belay observe --threshold 2s",
	.manual = "belay-observe",
	.takes_observer_options = true,
	.run = run,
};
