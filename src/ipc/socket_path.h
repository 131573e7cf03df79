/* socket_path.h - where an observer's socket is looked for and made
 *
 * $BELAY_SOCKET alone when set; otherwise, in this order, $XDG_RUNTIME_DIR/belay/beat.sock,
 * /run/user/UID/belay/beat.sock when /run/user/UID is this user's, /run/belay/beat.sock. Never
 * anything in /tmp.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <belay/error.h>

#define BELAY__SOCKET_PATH_SIZE 108 /* sun_path */
/* Room that other names beside the socket need after its own: ".hello", ".lock", ".state". */
#define BELAY__SOCKET_PATH_MAX   (BELAY__SOCKET_PATH_SIZE - 1 - 8)
#define BELAY__SOCKET_CANDIDATES 3

struct belay__socket_candidates {
	size_t count;
	char path[BELAY__SOCKET_CANDIDATES][BELAY__SOCKET_PATH_SIZE];
};

/* Fills *ret with the paths to try, first choice first. Reads the environment; allocates nothing. A
 * path that is too long is left out; $BELAY_SOCKET too long or relative leaves none. */
void belay__socket_candidates(struct belay__socket_candidates *ret);

/* The path an observer binds by default: the first candidate whose runtime directory exists and is
 * ours (its `belay` directory is made, 0700, or 0755 for root's /run/belay). 0, or -ENOENT with a
 * sentence that names what to set or run. */
int belay__socket_to_bind(char ret_path[BELAY__SOCKET_PATH_SIZE], struct belay_error *reterr);

/* Whether PATH is a directory, no symlink, of this process's uid. */
bool belay__is_own_directory(const char *path);

/* Writes PATH + SUFFIX (".hello" ...) to ret_path. 0 or -ENAMETOOLONG. */
int belay__socket_sibling(const char *path, const char *suffix,
	char ret_path[BELAY__SOCKET_PATH_SIZE]);
