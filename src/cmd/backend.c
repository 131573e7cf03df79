#include "cmd/backend.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "cmd/commands.h"
#include "cmd/program.h"

#define PROGRAM "belay-backend"

static const char *const words[] = {
	[BELAY__BACKEND_CONFORM] = "conform",
	[BELAY__BACKEND_PROBE] = "probe",
	NULL,
};

/* The rows, by their names' order. */
enum { ROW_HANDOFF, ROW_HELP, ROW_JSON, ROW_SERVICE, ROW_SIDECAR, ROW_TIMEOUT, ROWS };

/* clang-format off */
static const struct belay__option table[ROWS] = {
	[ROW_HANDOFF] = { .name = "handoff", .kind = BELAY__OPTION_STRING,
	  .offset = offsetof(struct belay__backend_options, handoff), .max = BELAY__BACKEND_PATH_MAX,
	  .metavar = "SOCKET", .complete = "file", .help = "conform: hand connections over to this endpoint, too" },
	[ROW_HELP] = BELAY__ROW_HELP(struct belay__backend_options),
	[ROW_JSON] = BELAY__ROW_JSON(struct belay__backend_options, "probe: print one JSON object; conform: one array"),
	[ROW_SERVICE] = { .name = "service", .kind = BELAY__OPTION_STRING,
	  .offset = offsetof(struct belay__backend_options, service), .max = 64,
	  .metavar = "NAME", .default_text = "conform", .help = "conform: hand over for this service" },
	[ROW_SIDECAR] = { .name = "sidecar", .kind = BELAY__OPTION_STRING,
	  .offset = offsetof(struct belay__backend_options, sidecar), .max = 4095,
	  .metavar = "FILE", .complete = "file", .help = "conform: the backend must be the one of this record" },
	[ROW_TIMEOUT] = { .name = "timeout", .kind = BELAY__OPTION_DURATION,
	  .offset = offsetof(struct belay__backend_options, timeout_ns),
	  .min = BELAY__NS_PER_MS, .max = 3600 * BELAY__NS_PER_S,
	  .metavar = "DURATION", .help = "how long a probe (500ms) or each answer to conform (5s) may take" },
};
/* clang-format on */

/* Which rows are about one of the words only. */
static const struct {
	unsigned row;
	enum belay__backend_word word;
} only[] = {
	{ ROW_HANDOFF, BELAY__BACKEND_CONFORM },
	{ ROW_SERVICE, BELAY__BACKEND_CONFORM },
	{ ROW_SIDECAR, BELAY__BACKEND_CONFORM },
};

static int refuse(int *ret_exit, const char *sentence)
{
	belay__complain("%s; see: belay backend --help", sentence);
	*ret_exit = BELAY__EXIT_USAGE;
	return -1;
}

static int complain_of_row(const bool *seen, enum belay__backend_word word, int *ret_exit)
{
	for (size_t i = 0; i < BELAY__COUNT_OF(only); i++) {
		if (!seen[only[i].row] || only[i].word == word)
			continue;
		belay__complain("--%s is for belay backend %s, not for %s", table[only[i].row].name,
			words[only[i].word], words[word]);
		*ret_exit = BELAY__EXIT_USAGE;
		return -1;
	}
	return 0;
}

int belay__backend_parse(int argc, char **argv, struct belay__backend_options *ret_options,
	int *ret_exit)
{
	struct belay__backend_options *options = ret_options;
	bool seen[ROWS] = { false };
	int count;

	memset(options, 0, sizeof(*options));
	memcpy(options->service, "conform", sizeof("conform"));
	count = belay__command_parse(&belay__command_backend, options, argc, argv, 2, seen,
		ret_exit);
	if (count < 0)
		return -1;
	if (count >= 1 && strcmp(argv[1], words[BELAY__BACKEND_PROBE]) == 0)
		options->word = BELAY__BACKEND_PROBE;
	else if (count >= 1 && strcmp(argv[1], words[BELAY__BACKEND_CONFORM]) == 0)
		options->word = BELAY__BACKEND_CONFORM;
	else
		return refuse(ret_exit, "belay backend what? there are probe and conform");
	if (count < 2 || argv[2][0] == '\0')
		return refuse(ret_exit,
			options->word == BELAY__BACKEND_PROBE
				? "probe whom? belay backend probe SIDECAR, or its SOCKET"
				: "which backend? belay backend conform SOCKET");
	options->target = argv[2];
	return complain_of_row(seen, options->word, ret_exit);
}

/* What can be said without hashing is said here; the program gets the line as it was. */
static int run(int argc, char **argv)
{
	struct belay__backend_options *options = malloc(sizeof(*options));
	char **copy = calloc((size_t)argc + 1, sizeof(*copy));
	int exit_code = BELAY__EXIT_FAILED;

	if (options == NULL || copy == NULL) {
		belay__complain("out of memory");
	} else {
		memcpy(copy, argv, (size_t)argc * sizeof(*copy));
		if (belay__backend_parse(argc, copy, options, &exit_code) == 0)
			exit_code = belay__program_exec(PROGRAM, argv);
	}
	free(copy);
	free(options);
	return exit_code;
}

const struct belay__command belay__command_backend = {
	.name = "backend",
	.synopsis = "probe SIDECAR|SOCKET | conform SOCKET",
	.help = "prove who a daemon is; check from outside whether it keeps the protocol's rules",
	.example = "belay backend probe /run/user/1000/app/daemon-app.json",
	.manual = "belay-backend",
	.words = words,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
