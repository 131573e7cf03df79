/* belay act: what would be done about a process, and why; or having it done */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "cmd/commands.h"
#include "cmd/order.h"
#include "cmd/output.h"
#include "export/event_line.h"

/* The observer gives up after two seconds itself. */
#define WITHIN_NS (4 * BELAY__NS_PER_S)

struct options {
	bool help, json, dry_run, now;
	char socket[BELAY__SOCKET_PATH_SIZE];
};

/* clang-format off */
static const struct belay__option table[] = {
	{ .name = "dry-run", .kind = BELAY__OPTION_FLAG, .offset = offsetof(struct options, dry_run),
	  .help = "say what would be done were it silent now, and why" },
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print JSON, one object a line"),
	{ .name = "now", .kind = BELAY__OPTION_FLAG, .offset = offsetof(struct options, now),
	  .help = "do it, although nothing may be wrong" },
	BELAY__ROW_SOCKET(struct options),
};
/* clang-format on */

struct acting {
	const struct options *options;
	struct belay__output *output;
	bool withheld; /* something is not done */
};

/* Adds BEFORE, member KEY and BEHIND; nothing when it is empty or absent. */
static void add(struct belay__output *output, const struct belay__json *object, const char *before,
	const char *key, const char *behind)
{
	char value[600];

	if (belay__json_member_text(object, key, value, sizeof(value)) && value[0] != '\0')
		belay__output_addf(output, "%s%s%s", before, value, behind);
}

static void show(const struct acting *acting, const struct belay__json *object, bool runs)
{
	struct belay__output *output = acting->output;
	struct belay__json pid;
	uint64_t number, wait_ns;

	add(output, object, "", "name", " ");
	if (belay__json_member(object, "pid", &pid) == 0 && belay__json_get_u64(&pid, &number) == 0)
		belay__output_addf(output, "(pid %llu) ", (unsigned long long)number);
	if (runs) {
		add(output, object, acting->options->now ? "runs: " : "would run: ", "ladder", "");
		add(output, object, ", as ", "run_as", "");
	} else {
		belay__output_add(output, acting->options->now ? "withheld" : "would be withheld");
		add(output, object, ": ", "reason", "");
		if (belay__json_member_ns(object, "wait_s", &wait_ns) && wait_ns > 0)
			belay__output_addf(output, ", for %.1fs",
				(double)wait_ns / (double)BELAY__NS_PER_S);
	}
	belay__output_add(output, "\n");
	add(output, object, "      why: ", "why", "\n");
	add(output, object, "      why: ", "text", "\n");
}

static int take_line(void *data, const char *line, size_t len, struct belay_error *reterr)
{
	struct acting *acting = data;
	struct belay__json object;
	char would[16] = "";
	bool runs;

	if (belay__json_parse(line, len, &object, NULL) < 0)
		return belay__fail(reterr, -EPROTO,
			"the observer sent a line that cannot be understood; see: belay doctor");
	(void)belay__json_member_text(&object, "would", would, sizeof(would));
	runs = strcmp(would, "run") == 0;
	acting->withheld = acting->withheld || !runs;
	if (acting->options->json) {
		belay__output_add_bytes(acting->output, line, len);
		belay__output_add(acting->output, "\n");
	} else {
		show(acting, &object, runs);
	}
	return 0;
}

/* What is wrong with the command line, or NULL. */
static const char *find_fault(const struct options *options, int words)
{
	if (words == 0)
		return "on whom? a name, a glob or a pid";
	if (options->dry_run == options->now)
		return "one of two: --dry-run says what would be done and why, --now does it";
	return NULL;
}

static int run(int argc, char **argv)
{
	static struct belay__output output;
	struct options options = { 0 };
	struct acting acting = { .options = &options, .output = &output };
	struct belay__order order = { .hello = { .type = BELAY__HELLO_ACT },
		.socket = options.socket,
		.within_ns = WITHIN_NS,
		.each = take_line,
		.data = &acting };
	struct belay_error error;
	const char *fault;
	char sentence[8];
	bool refused;
	int r, exit_code,
		words = belay__command_parse(&belay__command_act, &options, argc, argv, 1, NULL,
			&exit_code);

	if (words < 0)
		return exit_code;
	fault = find_fault(&options, words);
	if (fault != NULL) {
		belay__complain("%s; see: belay act --help", fault);
		return BELAY__EXIT_USAGE;
	}
	if (!belay__order_name(&order, &belay__command_act, argv[1]))
		return BELAY__EXIT_USAGE;
	order.hello.flags = options.now ? BELAY__HELLO_DO : 0;

	belay__output_start(&output, STDOUT_FILENO);
	r = belay__order_give(&order, &refused, sentence, sizeof(sentence), &error);
	exit_code = r < 0         ? belay__order_failed(&error, refused)
		: acting.withheld ? BELAY__EXIT_FAILED
				  : BELAY__EXIT_OK;
	return belay__output_finish(&output) == BELAY__EXIT_OK ? exit_code : BELAY__EXIT_FAILED;
}

const struct belay__command belay__command_act = {
	.name = "act",
	.synopsis = "NAME",
	.help = "what would be done about NAME, and why (--dry-run), or doing it (--now)",
	.example = "belay act 'worker*' --dry-run",
	.manual = "belay-act",
	.completes_names = true,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
