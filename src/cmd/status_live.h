/* status_live.h - a status that is asked for anew every second */
#pragma once

#include "cmd/output.h"
#include "cmd/status_table.h"

/* Shows SELECTION at SOCKET every second until SIGINT or SIGTERM, or until nothing can be written
 * any more: in place on a terminal, one table after the other elsewhere. An observer that goes away
 * is waited for; one that is not there in the beginning is a failure. Returns the exit code, 0 when
 * a signal ended it. */
int belay__status_live(const char *socket, const char *selection, struct belay__status_look *look,
	struct belay__output *output);
