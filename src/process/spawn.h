/* spawn.h - start a program: vfork-class, with a pidfd, with exactly the descriptors asked for
 *
 * The caller's memory is shared until exec, so the cost does not grow with it. All signals are
 * blocked around the creation; the child gets default dispositions and an empty mask. If exec fails
 * the child is reaped and the exec's own errno is returned: nothing was started. No thread, no
 * signal handler, no SIGCHLD needed.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include <belay/error.h>

struct belay__spawn_fd {
	int from; /* borrowed */
	int to;   /* its number in the child; distinct among the rows */
};

struct belay__spawn {
	const char *path;        /* absolute path of the program; NULL: exec_fd is used */
	int exec_fd;             /* program as an open file, when path is NULL; borrowed */
	const char *const *argv; /* ends with NULL */
	const char *const *envp; /* ends with NULL; NULL: the caller's environment */
	const struct belay__spawn_fd *fds; /* 0, 1 and 2 are inherited when not named here */
	size_t fd_count;                   /* all others from 3 on are closed in the child */
	int death_signal; /* sent to the child when the spawning thread ends; 0: none */
};

struct belay__child {
	pid_t pid;
	int pidfd; /* owned by the caller from now on */
};

/* Starts the program. 0 and *ret_child, or a negative errno with a sentence. */
int belay__spawn(const struct belay__spawn *spawn, struct belay__child *ret_child,
	struct belay_error *reterr);

/* Reaps the child behind PIDFD if it has ended. 1 and *ret_wait_status (as waitpid(2)), 0 while it
 * runs, or a negative errno. */
int belay__reap(int pidfd, int *ret_wait_status);

/* Sends SIGNAL through PIDFD. 0 or a negative errno (-ESRCH: ended). */
int belay__signal(int pidfd, int signal);
