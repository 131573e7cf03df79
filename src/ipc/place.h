/* place.h - the directory in which a socket shall be made, checked and held open */
#pragma once

#include <belay/error.h>

struct belay__place {
	const char *path; /* of the socket; borrowed */
	const char *name; /* its last component, points into path */
	int dir_fd;       /* O_PATH; owned */
};

/* Opens the directory of PATH when a socket in it is safe from others: no symlink, owned by us
 * or root, and sticky if group or others can write in it. 0, or a negative errno with a
 * sentence. PATH outlives *ret_place. */
int belay__place_open(const char *path, struct belay__place *ret_place, struct belay_error *reterr);

/* Takes the lock `<path>.lock`, which is made if need be, 0600 whatever the umask, and stays when it is let go by closing:
 * a lock file that is removed can be held twice. 0, -EADDRINUSE (another WHO, "observer", holds
 * it), or another negative errno with a sentence. */
int belay__place_lock(const struct belay__place *place, const char *who, int *ret_lock_fd,
	struct belay_error *reterr);

/* Makes the directory's entries durable. 0 or a negative errno. */
int belay__place_sync(const struct belay__place *place);

void belay__place_close(struct belay__place *place);
