/* about.h - what the runner is told about a process
 *
 * It is the gate's word: the runner looks for itself before it does anything. The number of the
 * event (`seq`) is the caller's to fill.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "observe/core.h"
#include "observe/roles.h"

/* About the process in slot AT as it is now. */
void belay__about_process(const struct belay_observer *observer, uint32_t at,
	struct belay__msg_act *ret_act);

/* About the process of EVENT, the observer's event at hand: a stall or an end. False: it is not
 * known well enough. */
bool belay__about_event(const struct belay_observer *observer, const struct belay_event *event,
	struct belay__msg_act *ret_act);
