/* belay metrics: what an observer's exporter tells a scraper, on standard output */

#include <unistd.h>

#include "base/clock.h"
#include "cmd/commands.h"
#include "cmd/output.h"
#include "cmd/scrape.h"

#define WITHIN_NS (5 * BELAY__NS_PER_S)

struct options {
	bool help, openmetrics;
	char socket[BELAY__SOCKET_PATH_SIZE];
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
	{ .name = "openmetrics", .kind = BELAY__OPTION_FLAG, .offset = offsetof(struct options, openmetrics),
	  .help = "print OpenMetrics 1.0 instead of Prometheus text 0.0.4" },
	BELAY__ROW_SOCKET(struct options),
};
/* clang-format on */

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	struct belay__scrape scrape = { .bytes = NULL };
	static struct belay__output output;
	struct belay_error error;
	int exit_code;

	if (belay__command_parse(&belay__command_metrics, &options, argc, argv, 0, NULL,
		    &exit_code) < 0)
		return exit_code;

	/* Nothing is printed of an answer that is not whole: half of the series would look as if
	 * the others had gone. */
	if (belay__scrape_ask(&scrape, options.socket, options.openmetrics,
		    belay__clock_ns(CLOCK_MONOTONIC) + WITHIN_NS, &error) < 0) {
		exit_code = belay__complain_error(&error);
	} else {
		belay__output_start(&output, STDOUT_FILENO);
		belay__output_add_bytes(&output, scrape.reply.body, scrape.reply.body_len);
		exit_code = belay__output_finish(&output);
	}
	belay__scrape_free(&scrape);
	return exit_code;
}

const struct belay__command belay__command_metrics = {
	.name = "metrics",
	.synopsis = "",
	.help = "the observer's numbers, as Prometheus reads them",
	.example = "belay metrics | grep ^belay_stalls_total",
	.manual = "belay-metrics",
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
