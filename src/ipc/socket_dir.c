#include "ipc/socket_path.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"

/* Removes the last component of PATH in place: "/run/belay/beat.sock" becomes "/run/belay". */
static void cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	*slash = '\0';
}

/* Makes the directory at PATH with MODE; one that is there already keeps its own. */
static bool make_directory(const char *path, mode_t mode)
{
	int r = belay__make_dir(path, mode);

	return r == -EEXIST ? belay__is_own_directory(path) : r >= 0;
}

/* Whether a socket can be made at PATH, RUNTIME/belay/NAME, whose directory is made when only
 * RUNTIME is there. */
static bool prepare(const char *path)
{
	char directory[BELAY__SOCKET_PATH_SIZE], runtime[BELAY__SOCKET_PATH_SIZE];
	bool for_all;

	memcpy(directory, path, BELAY__SOCKET_PATH_SIZE);
	cut_last(directory);
	if (belay__is_own_directory(directory))
		return true;

	memcpy(runtime, directory, sizeof(runtime));
	cut_last(runtime);
	for_all = strcmp(runtime, "/run") == 0;
	return belay__is_own_directory(runtime) && make_directory(directory, for_all ? 0755 : 0700);
}

int belay__socket_to_bind(char ret_path[BELAY__SOCKET_PATH_SIZE], struct belay_error *reterr)
{
	const char *chosen = secure_getenv("BELAY_SOCKET");
	struct belay__socket_candidates candidates;
	bool is_chosen = chosen != NULL && chosen[0] != '\0';

	belay__socket_candidates(&candidates);
	if (is_chosen && candidates.count == 0)
		return belay__fail(reterr, -ENOENT,
			"BELAY_SOCKET is no path that a socket can have: set it to an absolute "
			"path of at most %d bytes",
			BELAY__SOCKET_PATH_MAX);

	for (size_t i = 0; i < candidates.count; i++) {
		/* A path that somebody chose is taken as it is; binding to it says what is wrong
		 * with it. */
		if (!is_chosen && !prepare(candidates.path[i]))
			continue;
		memcpy(ret_path, candidates.path[i], BELAY__SOCKET_PATH_SIZE);
		return 0;
	}
	return belay__fail(reterr, -ENOENT,
		"no directory for the socket: uid %u owns neither $XDG_RUNTIME_DIR, /run/user/%u "
		"nor /run/belay; log in with a session, or set BELAY_SOCKET to a path in a "
		"directory of yours",
		(unsigned)geteuid(), (unsigned)geteuid());
}
