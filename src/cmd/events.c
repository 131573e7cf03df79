/* belay events: what happened, and what happens */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "cmd/ask_self.h"
#include "cmd/commands.h"
#include "cmd/events_follow.h"
#include "cmd/events_show.h"
#include "observe/options.h"

struct options {
	bool help, json, follow;
	uint64_t count;
	char events[BELAY__PATH_SIZE];
	char socket[BELAY__SOCKET_PATH_SIZE];
};

/* clang-format off */
static const struct belay__option table[] = {
	{ .name = "events", .kind = BELAY__OPTION_STRING, .offset = offsetof(struct options, events), .max = BELAY__PATH_SIZE - 1,
	  .metavar = "PATH", .complete = "file",
	  .help = "read this file and its predecessors instead of the observer's" },
	{ .name = "follow", .letter = 'f', .kind = BELAY__OPTION_FLAG, .offset = offsetof(struct options, follow),
	  .help = "go on with what happens, also when the observer is replaced" },
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "print the JSON objects, one a line"),
	{ .name = "lines", .letter = 'n', .kind = BELAY__OPTION_COUNT, .offset = offsetof(struct options, count),
	  .max = 1000000, .metavar = "N", .default_text = "20",
	  .help = "print the last N events" },
	BELAY__ROW_SOCKET(struct options),
};
/* clang-format on */

/* Where events are kept when no observer says so: as `belay observe` with the same options would
 * find it. */
static int path_without_observer(const struct options *options, char *path, size_t size)
{
	const char *socket = options->socket, *chosen = getenv("BELAY_SOCKET");

	if (socket[0] == '\0' && chosen != NULL && chosen[0] == '/')
		socket = chosen;
	return belay__events_path(options->events, socket, socket[0] == '\0', path, size);
}

/* Finds the observer, and where events are kept. 0 with ASK open when one answered. An absent
 * observer is a failure only for those who need one. */
static int find(const struct options *options, struct belay__ask *ask, struct belay__events *events,
	struct belay_error *reterr)
{
	static struct belay__self self;
	int r = belay__ask_open(ask, options->socket,
		belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS, reterr);

	if (r >= 0 && options->events[0] == '\0') {
		r = belay__ask_self(ask, &self, reterr);
		if (r >= 0)
			(void)belay__self_string(&self, "events_file", events->path,
				sizeof(events->path));
	} else if (path_without_observer(options, events->path, sizeof(events->path)) < 0) {
		events->path[0] = '\0';
	}
	return r;
}

/* Shows the last events that are kept. Having none is fine as long as an observer is there to make
 * some. */
static int show_kept(struct belay__events *events, const struct options *options,
	const struct belay_error *absent)
{
	int64_t n;

	if (events->path[0] == '\0' && absent != NULL)
		return belay__complain_error(absent);
	if (events->path[0] == '\0') {
		if (!options->follow)
			belay__complain("this observer keeps no event file; what happens from now "
					"on: belay events -f");
		return BELAY__EXIT_OK;
	}
	events->quiet = options->count == 0;
	n = belay__events_tail(events, options->count == 0 ? 1 : options->count);
	events->quiet = false;
	if (n == -ENOENT && absent != NULL)
		return belay__complain_error(absent);
	if (n < 0 && n != -ENOENT) {
		belay__complain("cannot read %s: %s", events->path, strerror((int)-n));
		return n == -EACCES ? BELAY__EXIT_PERMISSION : BELAY__EXIT_FAILED;
	}
	return BELAY__EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct options options = { .count = 20 };
	static struct belay__output output;
	static struct belay__ask ask;
	struct belay__events events = { .output = &output };
	struct belay_error absent;
	int r, exit_code;

	if (belay__command_parse(&belay__command_events, &options, argc, argv, 0, NULL,
		    &exit_code) < 0)
		return exit_code;
	events.json = options.json;
	ask.fd = -EBADF;
	belay__output_start(&output, STDOUT_FILENO);

	r = find(&options, &ask, &events, &absent);
	if (r < 0 && belay__exit_code(r) != BELAY__EXIT_ABSENT && options.events[0] == '\0') {
		belay__ask_close(&ask);
		return belay__complain_error(&absent);
	}
	/* Subscribed to before the file is read, so that nothing falls between. */
	if (r >= 0 && options.follow)
		r = belay__events_subscribe(&ask, &absent);
	exit_code = show_kept(&events, &options, r < 0 ? &absent : NULL);
	if (exit_code == BELAY__EXIT_OK && options.follow && r >= 0)
		return belay__events_follow(&events, &ask, options.socket);

	belay__ask_close(&ask);
	if (belay__output_finish(&output) != BELAY__EXIT_OK)
		return BELAY__EXIT_FAILED;
	if (exit_code == BELAY__EXIT_OK && options.follow)
		return belay__complain_error(&absent);
	return exit_code;
}

const struct belay__command belay__command_events = {
	.name = "events",
	.synopsis = "",
	.help = "what happened: first beats, stalls with their reason, ends; with -f also what "
		"happens",
	.example = "belay events -f -n 5",
	.manual = "belay-events",
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
