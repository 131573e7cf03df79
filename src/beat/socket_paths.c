#include "beat/socket_paths.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

int belay__socket_paths_set(struct belay__socket_candidates *paths, const char *socket)
{
	if (socket == NULL) {
		belay__socket_candidates(paths);
		/* Only $BELAY_SOCKET can rule all of them out. */
		return paths->count > 0 ? 0 : -EINVAL;
	}
	if (socket[0] == '\0')
		return -EINVAL;
	if (strlen(socket) >= BELAY__SOCKET_PATH_SIZE)
		return -ENAMETOOLONG;

	paths->count = 1;
	(void)stpcpy(paths->path[0], socket);
	return 0;
}

bool belay__nobody_listens(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}
