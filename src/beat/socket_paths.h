/* socket_paths.h - which Unix sockets are tried, for beats and for last words alike */
#pragma once

#include <stdbool.h>

#include "ipc/socket_path.h"

/* SOCKET alone, or, when that is NULL, the default ones. 0; -EINVAL for an empty path and when
 * $BELAY_SOCKET rules all of them out; -ENAMETOOLONG. */
int belay__socket_paths_set(struct belay__socket_candidates *paths, const char *socket);

/* Whether R, a negative errno of connecting, says no more than that nobody is there. */
bool belay__nobody_listens(int r);
