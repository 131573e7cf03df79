/* status_counters.h - every number an observer counts */
#pragma once

#include <stdbool.h>

#include <belay/error.h>

#include "cmd/ask.h"
#include "cmd/output.h"

/* Asks for the counters and adds them to OUTPUT: "name value" or "name{label} value" a line, or the
 * JSON object as it came. 0 or a negative errno with a sentence. */
int belay__status_counters(struct belay__ask *ask, bool json, struct belay__output *output,
	struct belay_error *reterr);
