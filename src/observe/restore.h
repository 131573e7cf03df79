/* restore.h - going on where an earlier observer stopped */
#pragma once

#include <stdint.h>

#include "observe/core.h"
#include "observe/state_file.h"

/* Takes up the COUNT processes of KEPT: those that still are the same process get one threshold of
 * credit; those that are gone become END events with `while_down`. To be called once, on an empty
 * table. KEPT is the caller's and has to live as long as the observer. Returns how many go on. */
uint32_t belay__restore(struct belay_observer *observer, const struct belay__kept *kept,
	uint32_t count);

/* The next one that vanished, as an event. */
bool belay__vanished_next(struct belay_observer *observer);
