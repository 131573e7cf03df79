/* operator_command.h - a command of the operator's, run as what we are: alerts, signs of life
 *
 * One at a time. It has an empty environment but for PATH and one variable, a process group of its
 * own, and a time; what it writes goes where our own lines go.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/error.h>

#include "loop/loop.h"
#include "process/command.h"
#include "process/environment.h"
#include "process/template.h"

struct belay__operator_command;

/* END is zero when the command exited with 0; else a negative errno and a sentence. Another one may
 * be started from here. */
typedef void belay__operator_done(struct belay__operator_command *command,
	const struct belay_error *end);

/* Begins with everything zero but the first four. */
struct belay__operator_command {
	struct belay__loop *loop;
	const char *what; /* "alert command": how sentences begin */
	belay__operator_done *done;
	void *data;
	struct belay__command *running; /* NULL: none runs */
	uint64_t timeout_ns;
	struct belay__arguments arguments;
	struct belay__environment environment;
};

/* Runs TEMPLATE, which has no keys, with VARIABLE ("KEY=value", or NULL) and STDIN_FD (borrowed;
 * 0 or less: /dev/null) for at most TIMEOUT_NS. 0, and DONE is called later; or a negative errno
 * with a sentence, and it is not: -EBUSY while one runs. */
int belay__operator_command_start(struct belay__operator_command *command, const char *template,
	const char *variable, int stdin_fd, uint64_t timeout_ns, struct belay_error *reterr);

/* Lets go of what runs: it runs on, and DONE is not called. Not from DONE. */
void belay__operator_command_forget(struct belay__operator_command *command);
