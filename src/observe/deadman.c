#include "observe/deadman.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "observe/operator_command.h"

/* The gate says that it is well every second: three of them may be missing, or we are late by
 * one. */
#define GATE_WITHIN_NS (3 * BELAY__NS_PER_S)
#define ON_TIME_NS     BELAY__NS_PER_S
#define TIMEOUT_MAX_NS (30 * BELAY__NS_PER_S)

struct belay__deadman {
	struct belay__loop *loop;
	const struct belay__observe_options *options;
	struct belay__timer timer;
	uint64_t every_ns;     /* 0: not set */
	uint64_t gate_well_ns; /* 0: it has not said so yet */
	bool failing;
	struct belay__deadman_counts counts;
	struct belay__operator_command command;
};

static void note_failure(struct belay__deadman *deadman, const struct belay_error *error)
{
	deadman->counts.failures++;
	if (!deadman->failing)
		belay__log(BELAY__LOG_WARNING, "%s; the next beat is tried in time", error->text);
	deadman->failing = true;
}

static void ended(struct belay__operator_command *command, const struct belay_error *end)
{
	struct belay__deadman *deadman = command->data;

	if (end->code < 0) {
		note_failure(deadman, end);
		return;
	}
	deadman->counts.beats++;
	if (deadman->failing)
		belay__log(BELAY__LOG_NOTICE, "%s works again", command->what);
	deadman->failing = false;
}

static bool all_is_well(const struct belay__deadman *deadman, uint64_t due_ns, uint64_t now_ns)
{
	return deadman->command.running == NULL && now_ns - due_ns <= ON_TIME_NS &&
		now_ns - deadman->gate_well_ns <= GATE_WITHIN_NS;
}

static void beat(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__deadman *deadman = timer->data;
	uint64_t due_ns = timer->due_ns, every_ns = deadman->every_ns;
	uint64_t missed = (now_ns - due_ns) / every_ns;
	struct belay_error error;

	deadman->counts.skipped += missed;
	belay__timer_set(deadman->loop, timer, due_ns + (missed + 1) * every_ns, beat, deadman);
	if (!all_is_well(deadman, due_ns, now_ns)) {
		deadman->counts.skipped++;
		return;
	}
	if (belay__operator_command_start(&deadman->command, deadman->options->deadman, NULL,
		    -EBADF, every_ns < TIMEOUT_MAX_NS ? every_ns : TIMEOUT_MAX_NS, &error) < 0)
		note_failure(deadman, &error);
}

int belay__deadman_new(struct belay__loop *loop, const struct belay__observe_options *options,
	struct belay__deadman **ret_deadman)
{
	struct belay__deadman *deadman = calloc(1, sizeof(*deadman));

	if (deadman == NULL)
		return -ENOMEM;
	deadman->loop = loop;
	deadman->options = options;
	deadman->command.loop = loop;
	deadman->command.what = "dead man's switch command";
	deadman->command.done = ended;
	deadman->command.data = deadman;
	belay__deadman_configured(deadman);
	*ret_deadman = deadman;
	return 0;
}

struct belay__deadman *belay__deadman_free(struct belay__deadman *deadman)
{
	if (deadman == NULL)
		return NULL;
	belay__timer_clear(&deadman->timer);
	belay__operator_command_forget(&deadman->command);
	free(deadman);
	return NULL;
}

static void start_beating(struct belay__deadman *deadman)
{
	if (deadman->every_ns != 0 && deadman->gate_well_ns != 0)
		belay__timer_set(deadman->loop, &deadman->timer, belay__clock_ns(CLOCK_MONOTONIC),
			beat, deadman);
}

void belay__deadman_configured(struct belay__deadman *deadman)
{
	const struct belay__observe_options *options = deadman->options;
	uint64_t every_ns = options->deadman[0] == '\0' ? 0 : options->deadman_every_ns;

	if (every_ns == deadman->every_ns)
		return;
	deadman->every_ns = every_ns;
	belay__timer_clear(&deadman->timer);
	start_beating(deadman);
}

void belay__deadman_gate_is_well(struct belay__deadman *deadman)
{
	bool first = deadman->gate_well_ns == 0;

	deadman->gate_well_ns = belay__clock_ns(CLOCK_MONOTONIC);
	if (first)
		start_beating(deadman);
}

struct belay__deadman_counts belay__deadman_counts(const struct belay__deadman *deadman)
{
	return deadman->counts;
}
