/* order.h - telling an observer to do something, and hearing what came of it */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/error.h>

#include "cmd/ask.h"
#include "cmd/cmd.h"

struct belay__order {
	const char *socket; /* "": the first default one */
	struct belay__hello hello;
	uint64_t within_ns; /* how long each packet of the answer may take */
	/* Called with every line of the answer; NULL: there are none. */
	int (*each)(void *data, const char *line, size_t len, struct belay_error *reterr);
	void *data;
};

/* Copies NAME into the order that COMMAND gives. False, said on stderr: it is none. */
bool belay__order_name(struct belay__order *order, const struct belay__command *command,
	const char *name);

/* Gives the order and hears the whole answer. 0; or a negative errno with a sentence, with
 * *ret_refused set when it is the observer's: it heard the order and does not do it. The sentence of
 * a success, if any, is left in SENTENCE. */
int belay__order_give(const struct belay__order *order, bool *ret_refused, char *sentence,
	size_t size, struct belay_error *reterr);

/* Complains of ERROR; returns the exit code that belongs to it. */
int belay__order_failed(const struct belay_error *error, bool refused);
