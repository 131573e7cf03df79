/* fd.h - file descriptors that close themselves
 *
 * A variable declared `_cleanup_close_ int fd = -EBADF;` closes its descriptor when its scope ends,
 * keeping errno. TAKE_FD(fd) gives the descriptor away and forgets it.
 */
#pragma once

#include <errno.h>

/* Closes FD if it is one (>= 0), keeps errno, returns -EBADF so that `fd = belay__close(fd)`
 * forgets it. */
int belay__close(int fd);

static inline void belay__closep(int *fd)
{
	*fd = belay__close(*fd);
}

#define _cleanup_close_ __attribute__((cleanup(belay__closep)))

#define TAKE_FD(fd)                                                                                \
	__extension__({                                                                            \
		int *belay_fd_ = &(fd);                                                            \
		int belay_taken_ = *belay_fd_;                                                     \
		*belay_fd_ = -EBADF;                                                               \
		belay_taken_;                                                                      \
	})

/* Makes FD non-blocking. Returns 0 or a negative errno. */
int belay__fd_nonblock(int fd);

/* Opens /dev/null in the place of each of 0, 1 and 2 that is closed: for the beginning of main(),
 * so that no socket becomes the standard error that lines are logged to. 0 or a negative errno. */
int belay__fd_fill_stdio(void);

/* Raises RLIMIT_NOFILE's soft limit to its hard limit. Returns the limit that is in force now. */
unsigned belay__fd_raise_limit(void);

/* Counts this process's open descriptors by reading /proc/self/fd (its own excluded), or returns a
 * negative errno. */
int belay__fd_count(void);
