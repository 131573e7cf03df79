/* deadman.h - the dead man's switch: a command run at regular times while all is well, so that who
 * expects it notices when it is not
 *
 * All is well while the gate has said so within three seconds and this process comes to its timers
 * in time. A beat that is left out is counted and not made up for.
 */
#pragma once

#include <stdint.h>

#include "loop/loop.h"
#include "observe/options.h"

struct belay__deadman;

struct belay__deadman_counts {
	uint64_t beats;    /* commands that exited with 0 */
	uint64_t failures; /* others, and those that could not be started */
	uint64_t skipped;  /* beats left out: something was not well, or the command still ran */
};

/* As belay__alerts_new(): options->deadman, "" for none, every options->deadman_every_ns. The first
 * beat is made as soon as the gate is known to be well. */
int belay__deadman_new(struct belay__loop *loop, const struct belay__observe_options *options,
	struct belay__deadman **ret_deadman);
struct belay__deadman *belay__deadman_free(struct belay__deadman *deadman);

void belay__deadman_configured(struct belay__deadman *deadman);
void belay__deadman_gate_is_well(struct belay__deadman *deadman);
struct belay__deadman_counts belay__deadman_counts(const struct belay__deadman *deadman);
