/* ladder.h - what is done about a process, step after step, as it is written in an option
 *
 *     report, term 10s, kill
 *     report, command /usr/bin/restart {name}
 *
 * Steps are separated by commas (a comma in a command is written "\,"):
 *
 *     report         tell, and nothing else
 *     command CMD    run CMD, a template (template.h), and go on when it has ended
 *     term [WAIT]    send SIGTERM, and go on after WAIT; likewise int, hup, quit, abrt, usr1, usr2
 *     kill [WAIT]    send SIGKILL: the last step
 *
 * A signal that another step follows says how long to wait, "0" if not at all. A ladder is left as
 * soon as its process has ended or is heard again. Nothing here acts: this is the data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "base/text.h"
#include "process/template.h"

#define BELAY__LADDER_STEPS 8
#define BELAY__LADDER_MAX   2047 /* bytes of its text */

enum belay__step_kind { BELAY__LADDER_REPORT, BELAY__LADDER_COMMAND, BELAY__LADDER_SIGNAL };

struct belay__step {
	enum belay__step_kind kind;
	int signal;
	/* SIGCONT follows: the signal asks the process to end, and one that is stopped would not
	 * hear of it. Not for usr1 and usr2, whose meaning is the process's own. */
	bool then_continue;
	uint64_t wait_ns;
	uint16_t command_at; /* see belay__step_command() */
};

struct belay__ladder {
	size_t count; /* at least 1 */
	struct belay__step steps[BELAY__LADDER_STEPS];
	char commands[BELAY__LADDER_MAX + 1];
};

/* Reads TEXT; commands may use KEYS (ends with NULL). 0 and *ret_ladder, or -EINVAL, -ERANGE or
 * -E2BIG with a sentence that names the word and the nearest one. */
int belay__ladder_parse(const char *text, const char *const *keys, struct belay__ladder *ret_ladder,
	struct belay_error *reterr);

/* Adds LADDER as belay__ladder_parse() reads it. */
void belay__ladder_format(const struct belay__ladder *ladder, struct belay__text *text);

/* The template of STEP, which is a command of LADDER's. */
const char *belay__step_command(const struct belay__ladder *ladder, const struct belay__step *step);
