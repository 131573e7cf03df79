/* belay alert test: does the command that is to tell people work? */

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cmd/commands.h"
#include "cmd/order.h"
#include "cmd/output.h"

/* The command takes its time; the observer gives up after forty seconds itself. */
#define WITHIN_NS (70 * BELAY__NS_PER_S)

static const char *const words[] = { "test", NULL };

struct options {
	bool help, json;
	char socket[BELAY__SOCKET_PATH_SIZE];
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print JSON"),
	BELAY__ROW_SOCKET(struct options),
};
/* clang-format on */

static int show(bool works, const char *sentence, bool json)
{
	static struct belay__output output;
	struct belay__json_writer writer;
	struct belay__text text;
	char buffer[1024];

	belay__text_init(&text, buffer, sizeof(buffer));
	if (json) {
		belay__json_start(&writer, &text);
		belay__json_object(&writer, NULL);
		belay__json_bool(&writer, "works", works);
		belay__json_string(&writer, "text", sentence);
		belay__json_end_object(&writer);
	} else {
		belay__text_add(&text, "the alert command took the test and succeeded");
	}
	belay__text_add(&text, "\n");
	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add_bytes(&output, text.chars, text.len);
	return belay__output_finish(&output);
}

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	struct belay__order order = { .hello = { .type = BELAY__HELLO_ALERT_TEST },
		.socket = options.socket,
		.within_ns = WITHIN_NS };
	struct belay_error error;
	char sentence[300];
	bool refused;
	int exit_code,
		count = belay__command_parse(&belay__command_alert, &options, argc, argv, 1, NULL,
			&exit_code);

	if (count < 0)
		return exit_code;
	if (count == 0 || strcmp(argv[1], words[0]) != 0) {
		belay__complain("there is one thing to do with alerts: belay alert test");
		return BELAY__EXIT_USAGE;
	}
	if (belay__order_give(&order, &refused, sentence, sizeof(sentence), &error) >= 0)
		return show(true, sentence, options.json);
	if (!refused)
		return belay__order_failed(&error, refused);
	if (options.json && show(false, error.text, true) != BELAY__EXIT_OK)
		return BELAY__EXIT_FAILED;
	exit_code = belay__order_failed(&error, refused);
	return exit_code == BELAY__EXIT_UNKNOWN ? BELAY__EXIT_FAILED : exit_code;
}

const struct belay__command belay__command_alert = {
	.name = "alert",
	.synopsis = "test",
	.help = "run the observer's alert command once, to see whether it works",
	.example = "belay alert test",
	.manual = "belay-alert",
	.words = words,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
