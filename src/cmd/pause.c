/* belay pause, belay resume: nobody is blamed and nothing is done while somebody works on it */

#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cmd/commands.h"
#include "cmd/order.h"
#include "cmd/output.h"

#define PAUSE_MAX_NS (UINT64_C(31) * 24 * 3600 * BELAY__NS_PER_S)

struct options {
	bool help, json;
	uint64_t for_ns;
	char socket[BELAY__SOCKET_PATH_SIZE];
};

/* clang-format off */
static const struct belay__option pause_table[] = {
	{ .name = "for", .kind = BELAY__OPTION_DURATION, .offset = offsetof(struct options, for_ns),
	  .min = BELAY__NS_PER_MS, .max = PAUSE_MAX_NS, .metavar = "DURATION", .default_text = "10m",
	  .help = "how long, at most 31d" },
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print JSON"),
	BELAY__ROW_SOCKET(struct options),
};

static const struct belay__option resume_table[] = {
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print JSON"),
	BELAY__ROW_SOCKET(struct options),
};
/* clang-format on */

/* Says what is so from now on. */
static int show(const char *name, uint64_t until_ns, bool json)
{
	static struct belay__output output;
	char buffer[256], time[40] = "";
	struct belay__json_writer writer;
	struct belay__text text, stamp;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_init(&stamp, time, sizeof(time));
	if (until_ns != 0)
		belay__text_add_time(&stamp, until_ns);
	if (json) {
		belay__json_start(&writer, &text);
		belay__json_object(&writer, NULL);
		belay__json_string(&writer, "pattern", name);
		if (until_ns != 0)
			belay__json_string(&writer, "paused_until", time);
		else
			belay__json_null(&writer, "paused_until");
		belay__json_end_object(&writer);
	} else if (until_ns != 0) {
		belay__text_addf(&text, "%s is paused until %s; sooner: belay resume '%s'", name,
			time, name);
	} else {
		belay__text_addf(&text, "%s is watched again", name);
	}
	belay__text_add(&text, "\n");
	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add_bytes(&output, text.chars, text.len);
	return belay__output_finish(&output);
}

static int order(const struct belay__command *command, struct options *options,
	enum belay__hello_type type, int argc, char **argv)
{
	struct belay__order order = { .hello = { .type = (uint8_t)type },
		.within_ns = BELAY__ASK_PACKET_NS };
	uint64_t until_ns = 0;
	struct belay_error error;
	char sentence[8];
	bool refused;
	int exit_code,
		words = belay__command_parse(command, options, argc, argv, 1, NULL, &exit_code);

	if (words < 0)
		return exit_code;
	if (words == 0) {
		belay__complain("whom? a name, a glob or a pid; see: belay %s --help",
			command->name);
		return BELAY__EXIT_USAGE;
	}
	if (!belay__order_name(&order, argv[1]))
		return BELAY__EXIT_USAGE;
	order.socket = options->socket;
	if (type == BELAY__HELLO_PAUSE) {
		order.hello.value = options->for_ns / BELAY__NS_PER_MS;
		until_ns = belay__clock_ns(CLOCK_REALTIME) + options->for_ns;
	}
	if (belay__order_give(&order, &refused, sentence, sizeof(sentence), &error) < 0)
		return belay__order_failed(&error, refused);
	return show(argv[1], until_ns, options->json);
}

static int run_pause(int argc, char **argv)
{
	struct options options = { .for_ns = 600 * BELAY__NS_PER_S };

	return order(&belay__command_pause, &options, BELAY__HELLO_PAUSE, argc, argv);
}

static int run_resume(int argc, char **argv)
{
	struct options options = { 0 };

	return order(&belay__command_resume, &options, BELAY__HELLO_RESUME, argc, argv);
}

const struct belay__command belay__command_pause = {
	.name = "pause",
	.synopsis = "NAME",
	.help = "have NAME neither stall nor be acted on for a while; NAME is a name, a glob or a "
		"pid",
	.example = "belay pause 'worker*' --for 30m",
	.manual = "belay-pause",
	.completes_names = true,
	.options = pause_table,
	.option_count = BELAY__COUNT_OF(pause_table),
	.run = run_pause,
};

const struct belay__command belay__command_resume = {
	.name = "resume",
	.synopsis = "NAME",
	.help = "end the pause that was given by NAME",
	.example = "belay resume 'worker*'",
	.manual = "belay-pause",
	.completes_names = true,
	.options = resume_table,
	.option_count = BELAY__COUNT_OF(resume_table),
	.run = run_resume,
};
