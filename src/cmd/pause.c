/* belay pause, belay resume: nobody is blamed and nothing is done while somebody works on it */

#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "cmd/commands.h"
#include "cmd/order.h"
#include "cmd/output.h"
#include "cmd/selection.h"
#include "cmd/status_rows.h"

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

/* Says what is so from now on: paused for FOR_NS, or (0) not any more. How long, not until when: it
 * is the observer's clock that counts. */
static int show(const char *name, uint64_t for_ns, size_t beating, bool json)
{
	static struct belay__output output;
	char buffer[512];
	struct belay__json_writer writer;
	struct belay__text text;

	belay__text_init(&text, buffer, sizeof(buffer));
	if (json) {
		belay__json_start(&writer, &text);
		belay__json_object(&writer, NULL);
		belay__json_string(&writer, "pattern", name);
		if (for_ns != 0) {
			belay__json_seconds(&writer, "for_s", for_ns);
			belay__json_u64(&writer, "beating", beating);
		} else {
			belay__json_null(&writer, "for_s");
		}
		belay__json_end_object(&writer);
	} else if (for_ns != 0) {
		belay__text_addf(&text, "%s is paused for ", name);
		belay__text_add_age(&text, for_ns);
		belay__text_add(&text, "; sooner: belay resume ");
		belay__text_add_shell_word(&text, name);
	} else {
		belay__text_addf(&text, "%s is watched again", name);
	}
	belay__text_add(&text, "\n");
	belay__output_start(&output, STDOUT_FILENO);
	belay__output_add_bytes(&output, text.chars, text.len);
	return belay__output_finish(&output);
}

/* How many NAME means now. 0 or a negative errno with a sentence. */
static int count_beating(const char *socket, const char *name, size_t *ret_beating,
	struct belay_error *reterr)
{
	static struct belay__ask ask;
	struct belay__status status = { 0 };
	int r = belay__ask_open(&ask, socket,
		belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS, reterr);

	if (r < 0)
		return r;
	r = belay__status_ask(&status, &ask, name, reterr);
	if (r >= 0)
		*ret_beating = belay__status_beating(&status);
	belay__status_free(&status);
	belay__ask_close(&ask);
	return r;
}

/* Reads whom the command line means into ORDER; false: nobody, which was said. */
static bool read_whom(const struct belay__command *command, int words, const char *name,
	struct belay__order *order)
{
	if (words == 0) {
		belay__complain("whom? a name, a glob or a pid; see: belay %s --help",
			command->name);
		return false;
	}
	return belay__order_name(order, command, name);
}

static int run_pause(int argc, char **argv)
{
	struct options options = { .for_ns = 600 * BELAY__NS_PER_S };
	struct belay__order order = { .hello = { .type = BELAY__HELLO_PAUSE },
		.socket = options.socket,
		.within_ns = BELAY__ASK_PACKET_NS };
	size_t beating = 0;
	struct belay_error error;
	char sentence[8];
	bool refused;
	int exit_code,
		words = belay__command_parse(&belay__command_pause, &options, argc, argv, 1, NULL,
			&exit_code);

	if (words < 0)
		return exit_code;
	if (!read_whom(&belay__command_pause, words, argv[1], &order))
		return BELAY__EXIT_USAGE;
	if (!belay__selection_possible(argv[1])) {
		belay__complain("no name can match '%s': names have A-Z a-z 0-9 _ . @ # - only; "
				"see: belay pause --help",
			argv[1]);
		return BELAY__EXIT_USAGE;
	}
	if (count_beating(options.socket, argv[1], &beating, &error) < 0)
		return belay__complain_error(&error);
	order.hello.value = options.for_ns / BELAY__NS_PER_MS;
	if (belay__order_give(&order, &refused, sentence, sizeof(sentence), &error) < 0)
		return belay__order_failed(&error, refused);
	if (beating == 0)
		belay__complain("nobody of that name beats now, so whoever comes later is meant; "
				"who does: belay status");
	return show(argv[1], options.for_ns, beating, options.json);
}

static int run_resume(int argc, char **argv)
{
	struct options options = { 0 };
	struct belay__order order = { .hello = { .type = BELAY__HELLO_RESUME },
		.socket = options.socket,
		.within_ns = BELAY__ASK_PACKET_NS };
	struct belay_error error;
	char sentence[8];
	bool refused;
	int exit_code,
		words = belay__command_parse(&belay__command_resume, &options, argc, argv, 1, NULL,
			&exit_code);

	if (words < 0)
		return exit_code;
	if (!read_whom(&belay__command_resume, words, argv[1], &order))
		return BELAY__EXIT_USAGE;
	if (belay__order_give(&order, &refused, sentence, sizeof(sentence), &error) < 0)
		return belay__order_failed(&error, refused);
	return show(argv[1], 0, 0, options.json);
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
