/* belay beat: a beat for a shell script, a cron job, or whatever else cannot link a library
 *
 * It travels over the door, because on the beat socket the kernel would name this short-lived
 * process as its sender. Over UDP nobody names anybody.
 */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <belay/vlp.h>

#include "base/clock.h"
#include "base/error.h"
#include "cmd/ask.h"
#include "cmd/beat_udp.h"
#include "cmd/commands.h"
#include "wire/hello.h"

/* A script that beats in a loop is held up no longer than this. */
#define WITHIN_NS (200 * BELAY__NS_PER_MS)
#define PID_MIN   2
#define PID_LIMIT (UINT64_C(1) << 22)

struct options {
	bool help, strict;
	unsigned status; /* enum belay_status */
	uint64_t of, progress;
	char socket[BELAY__SOCKET_PATH_SIZE];
	char udp[BELAY__BEAT_UDP_MAX + 1];
};

static const char *const statuses[] = {
	[BELAY_OK] = "ok",
	[BELAY_DEGRADED] = "degraded",
	[BELAY_CRITICAL] = "critical",
	NULL,
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
	{ .name = "of", .kind = BELAY__OPTION_COUNT, .offset = offsetof(struct options, of),
	  .min = PID_MIN, .max = PID_LIMIT, .metavar = "PID",
	  .help = "beat for this ancestor instead of the parent; in a shell: --of $$" },
	{ .name = "progress", .kind = BELAY__OPTION_COUNT, .offset = offsetof(struct options, progress),
	  .max = UINT32_MAX, .metavar = "N",
	  .help = "a number that tells how far the work has come" },
	BELAY__ROW_SOCKET(struct options),
	{ .name = "status", .kind = BELAY__OPTION_CHOICE, .offset = offsetof(struct options, status),
	  .choices = statuses, .metavar = "STATUS", .default_text = "ok",
	  .help = "how the process is: ok, degraded or critical" },
	{ .name = "strict", .kind = BELAY__OPTION_FLAG, .offset = offsetof(struct options, strict),
	  .help = "exit 69 when no observer answers" },
	{ .name = "udp", .kind = BELAY__OPTION_STRING, .offset = offsetof(struct options, udp),
	  .max = BELAY__BEAT_UDP_MAX, .metavar = "IP:PORT",
	  .help = "send the beat to another host, unsealed; takes no NAME" },
};
/* clang-format on */

/* Its row above, the last. */
#define ROW_UDP (BELAY__COUNT_OF(table) - 1)

/* Beats and waits for the answer. When the observer heard the beat and did not want it,
 * *ret_refused is set. */
static int beat(const char *socket, const struct belay__hello *hello, bool *ret_refused,
	struct belay_error *reterr)
{
	static struct belay__ask ask;
	uint64_t deadline_ns = belay__clock_ns(CLOCK_MONOTONIC) + WITHIN_NS;
	struct belay__answer answer = { .code = 0 };
	int r = belay__ask_open(&ask, socket, deadline_ns, reterr);

	if (r < 0)
		return r;
	r = belay__ask_say(&ask, hello, reterr);
	if (r >= 0)
		r = belay__ask_hear(&ask, deadline_ns, &answer, reterr);
	if (r >= 0 && answer.part != BELAY__HELLO_DONE) {
		r = belay__fail(reterr, -EPROTO,
			"what answers at %s is no observer; see: belay doctor", ask.socket);
	} else if (r >= 0 && answer.code < 0) {
		*ret_refused = true;
		r = belay__fail(reterr, answer.code, "the observer at %s refuses the beat: %s",
			ask.socket, answer.len > 0 ? answer.text : strerror(-answer.code));
	}
	belay__ask_close(&ask);
	return r;
}

/* Nobody who beats from a job wants the job to fail because nobody watches. */
static int tell_failure(const struct belay_error *error, bool refused, bool strict)
{
	int exit_code = belay__complain_error(error);

	if (refused)
		return exit_code == BELAY__EXIT_PERMISSION ? exit_code : BELAY__EXIT_FAILED;
	if (exit_code == BELAY__EXIT_ABSENT && !strict)
		return BELAY__EXIT_OK;
	return exit_code;
}

/* The beat is for the parent, which init is not. */
static int run_udp(const struct options *options, bool named)
{
	uint32_t pid = options->of != 0 ? (uint32_t)options->of : (uint32_t)getppid();
	struct belay_error error;
	int r;

	if (named || options->socket[0] != '\0') {
		belay__complain("--udp takes no %s; over UDP a process has the name that the "
				"observer's rules give it",
			named ? "NAME" : "--socket");
		return BELAY__EXIT_USAGE;
	}
	if (pid < PID_MIN) {
		belay__complain("there is no parent to beat for; say for whom: --of PID");
		return BELAY__EXIT_FAILED;
	}
	r = belay__beat_udp(options->udp, pid, (enum belay_status)options->status,
		(uint32_t)options->progress, &error);
	if (r == 0)
		return BELAY__EXIT_OK;
	(void)belay__complain_error(&error);
	if (r == -EINVAL)
		return BELAY__EXIT_USAGE;
	return options->strict ? BELAY__EXIT_ABSENT : BELAY__EXIT_OK;
}

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	struct belay_error error;
	struct belay__hello hello = { .type = BELAY__HELLO_BEAT };
	bool seen[BELAY__COUNT_OF(table)] = { false };
	bool refused = false;
	int exit_code,
		words = belay__command_parse(&belay__command_beat, &options, argc, argv, 1, seen,
			&exit_code);

	if (words < 0)
		return exit_code;
	if (words > 0 && !belay__name_valid(argv[1], strlen(argv[1]))) {
		belay__complain("'%.64s' is no name: at most %d of A-Z a-z 0-9 _ . @ # -, the "
				"first a letter, digit or _",
			argv[1], BELAY__NAME_MAX);
		return BELAY__EXIT_USAGE;
	}
	if (seen[ROW_UDP])
		return run_udp(&options, words > 0);
	if (words > 0)
		memcpy(hello.name, argv[1], strlen(argv[1]));
	hello.status = (uint8_t)options.status;
	hello.of = (uint32_t)options.of;
	hello.progress = (uint32_t)options.progress;

	if (beat(options.socket, &hello, &refused, &error) < 0)
		return tell_failure(&error, refused, options.strict);
	return BELAY__EXIT_OK;
}

const struct belay__command belay__command_beat = {
	.name = "beat",
	.synopsis = "[NAME]",
	.help = "beat for the parent process, or for an ancestor, under NAME",
	.example = "belay beat demo --of $$",
	.manual = "belay-beat",
	.completes_names = true,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
