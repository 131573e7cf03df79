/* belay version: which release this is and what it speaks */

#include <unistd.h>

#include "base/json.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "wire/hello.h"

#define VLP_VERSION "0.2"

struct options {
	bool help, json;
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print one JSON object"),
};
/* clang-format on */

static void write_json(struct belay__text *text)
{
	struct belay__json_writer json;

	belay__json_start(&json, text);
	belay__json_object(&json, NULL);
	belay__json_u64(&json, "schema", 1);
	belay__json_string(&json, "version", BELAY_VERSION);
	belay__json_string(&json, "vlp", VLP_VERSION);
	belay__json_u64(&json, "door", BELAY__HELLO_VERSION);
	belay__json_end_object(&json);
	belay__text_add(text, "\n");
}

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	static struct belay__output output;
	struct belay__text text;
	char buffer[256];
	int exit_code;

	if (belay__command_parse(&belay__command_version, &options, argc, argv, 0, NULL,
		    &exit_code) < 0)
		return exit_code;
	belay__text_init(&text, buffer, sizeof(buffer));
	if (options.json)
		write_json(&text);
	else
		belay__text_add(&text, "belay " BELAY_VERSION "\n");
	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add_bytes(&output, text.chars, text.len);
	return belay__output_finish(&output);
}

const struct belay__command belay__command_version = {
	.name = "version",
	.synopsis = "",
	.help = "which release this is and which protocols it speaks",
	.example = "belay version --json",
	.manual = "belay-version",
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
