/* belay audit: verifies the log of recoveries, which takes libcrypto and so another program */

#include <string.h>

#include "cmd/commands.h"
#include "cmd/program.h"

#define PROGRAM "belay-observe"

static const char *const words[] = { "verify", NULL };

struct options {
	bool help, json;
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print the result as one JSON object"),
};
/* clang-format on */

/* Becomes the program with what it reads: the command where it expects its first option, and a FILE
 * that no dash can make an option of. */
static int verify(char *file, bool json)
{
	char program[] = PROGRAM, command[] = "--audit-verify", as_json[] = "--json", end[] = "--";
	char *plain[] = { program, command, end, file, NULL };
	char *with_json[] = { program, command, as_json, end, file, NULL };

	return belay__program_exec(PROGRAM, json ? with_json : plain);
}

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	int exit_code,
		count = belay__command_parse(&belay__command_audit, &options, argc, argv, 2, NULL,
			&exit_code);

	if (count < 0)
		return exit_code;
	if (count < 1 || strcmp(argv[1], words[0]) != 0) {
		belay__complain("belay audit what? there is one: belay audit verify FILE");
		return BELAY__EXIT_USAGE;
	}
	if (count < 2) {
		belay__complain("verify which file? belay audit verify FILE");
		return BELAY__EXIT_USAGE;
	}
	return verify(argv[2], options.json);
}

const struct belay__command belay__command_audit = {
	.name = "audit",
	.synopsis = "verify FILE",
	.help = "whether the log of recoveries is what was written, over restarts and rotations",
	.example = "belay audit verify /var/lib/belay/audit.log",
	.manual = "belay-audit",
	.words = words,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
