/* probe_steps.h - what the steps of a probe share: its last one, and how it ends
 *
 * The answer is read piece by piece, each piece judged before the next is taken, and then as a whole.
 */
#pragma once

#include <stdbool.h>

#include "backend/probe_exchange.h"

/* RECEIVING. True: it is over; false: the next piece is not there yet. */
bool belay__exchange_receive(struct belay__exchange *exchange);

/* It is over. TEXT is static and goes into the report; DETAIL (NULL: TEXT) into the sentence. CODE is never
 * -EAGAIN, which tells the caller that it is not over. */
void belay__exchange_end(struct belay__exchange *exchange, enum belay_probe_error error, int code,
	const char *text, const char *detail);

/* The same when the system refused something: CODE is its negative errno. */
void belay__exchange_end_system(struct belay__exchange *exchange, enum belay_probe_error error,
	int code);
