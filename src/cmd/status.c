/* belay status: who beats, who does not, and why */

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/ask.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/status_counters.h"
#include "cmd/status_live.h"
#include "cmd/status_rows.h"
#include "cmd/status_table.h"
#include "wire/hello.h"

struct options {
	bool help, json, live, counters;
	char socket[BELAY__SOCKET_PATH_SIZE];
};

/* clang-format off */
static const struct belay__option table[] = {
	{ .name = "counters", .kind = BELAY__OPTION_FLAG, .offset = offsetof(struct options, counters),
	  .help = "print what the observer counts instead" },
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print JSON, one object a line"),
	{ .name = "live", .kind = BELAY__OPTION_FLAG, .offset = offsetof(struct options, live),
	  .help = "ask again every second until interrupted" },
	BELAY__ROW_SOCKET(struct options),
};
/* clang-format on */

static int show_once(struct belay__ask *ask, const char *name,
	const struct belay__status_look *look, struct belay__output *output)
{
	struct belay__status status = { 0 };
	struct belay_error error;
	int r = belay__status_ask(&status, ask, name, &error);
	int exit_code = r < 0 ? belay__complain_error(&error)
			      : belay__status_exit(&status, name[0] != '\0');

	if (r >= 0) {
		(void)belay__status_show(&status, look, output);
		if (status.count == 0 && name[0] != '\0')
			belay__complain("the observer at %s knows nobody called %s; all it knows: "
					"belay status",
				ask->socket, name);
		else if (status.count == 0)
			belay__complain("nobody beats yet; try: belay beat demo --of $$");
		if (belay__output_finish(output) != BELAY__EXIT_OK)
			exit_code = BELAY__EXIT_FAILED;
	}
	belay__status_free(&status);
	return exit_code;
}

static int show_counters(struct belay__ask *ask, bool json, struct belay__output *output)
{
	struct belay_error error;

	if (belay__status_counters(ask, json, output, &error) < 0)
		return belay__complain_error(&error);
	return belay__output_finish(output);
}

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	struct belay__status_look look = { 0 };
	static struct belay__output output;
	static struct belay__ask ask;
	struct belay_error error;
	const char *name;
	int exit_code,
		words = belay__command_parse(&belay__command_status, &options, argc, argv, 1, NULL,
			&exit_code);

	if (words < 0)
		return exit_code;
	name = words > 0 ? argv[1] : "";
	if (strlen(name) >= BELAY__HELLO_NAME_SIZE ||
		(options.counters && (words > 0 || options.live))) {
		belay__complain(options.counters
				? "--counters goes with neither NAME nor --live; see: belay status "
				  "--help"
				: "NAME is longer than any name; see: belay status --help");
		return BELAY__EXIT_USAGE;
	}

	look.json = options.json;
	look.coloured = belay__output_is_coloured(STDOUT_FILENO);
	belay__output_start(&output, STDOUT_FILENO);
	if (options.live)
		return belay__status_live(options.socket, name, &look, &output);

	if (belay__ask_open(&ask, options.socket,
		    belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS, &error) < 0)
		return belay__complain_error(&error);
	exit_code = options.counters ? show_counters(&ask, options.json, &output)
				     : show_once(&ask, name, &look, &output);
	belay__ask_close(&ask);
	return exit_code;
}

const struct belay__command belay__command_status = {
	.name = "status",
	.synopsis = "[NAME]",
	.help = "who beats, who does not, and why; NAME is a name, a glob or a pid",
	.example = "belay status 'worker*'",
	.manual = "belay-status",
	.completes_names = true,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
