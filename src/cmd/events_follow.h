/* events_follow.h - events as they happen, over the end of one observer and the start of the
 * next */
#pragma once

#include "cmd/ask.h"
#include "cmd/events_show.h"

/* Subscribes on ASK, which is open and is closed in the end. 0 or a negative errno with a
 * sentence. */
int belay__events_subscribe(struct belay__ask *ask, struct belay_error *reterr);

/* Shows what the observer on ASK, subscribed to, tells, until nothing can be written any more. When
 * it ends, the next one at SOCKET is waited for, and what happened between is read from the file.
 * Returns the exit code. */
int belay__events_follow(struct belay__events *events, struct belay__ask *ask, const char *socket);
