/* spawn.h - start a program: vfork-class, with a pidfd, with exactly the descriptors asked for
 *
 * The caller's memory is shared until exec, so the cost does not grow with it. All signals are
 * blocked around the creation; the child gets default dispositions and an empty mask. If exec fails
 * the child is reaped and the exec's own errno is returned: nothing was started. No thread, no
 * signal handler, no SIGCHLD needed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

#include <belay/error.h>

struct belay__spawn_fd {
	int from; /* borrowed */
	int to;   /* its number in the child; distinct among the rows */
};

/* Who the child becomes. All groups but these are given up, and all capabilities unless uid is 0. */
struct belay__credentials {
	uid_t uid;
	gid_t gid;
	const gid_t *groups; /* supplementary ones */
	size_t group_count;
};

struct belay__limit {
	int resource; /* RLIMIT_... */
	struct rlimit limit;
};

/* What the child writes into a file right before its exec, by one pwrite(2): from then on nobody
 * can believe that it was not started. Numbers are in the host's byte order. */
#define BELAY__STARTED_MAGIC 0x74725342u /* "BSrt" */

struct belay__started {
	uint32_t magic;
	uint32_t pid; /* in its own namespace */
	uint64_t id;
	uint64_t start_ticks; /* 0: it could not read it */
	uint64_t check;       /* belay__fnv() of all before */
};

struct belay__spawn_record {
	int fd; /* borrowed; opened for writing without O_APPEND */
	off_t offset;
	uint64_t id;
};

/* Members that are zero ask for nothing. */
struct belay__spawn {
	const char *path;        /* absolute path of the program; NULL: exec_fd is used */
	int exec_fd;             /* program as an open file, when path is NULL; borrowed */
	const char *const *argv; /* ends with NULL */
	const char *const *envp; /* ends with NULL; NULL: the caller's environment */
	const struct belay__spawn_fd *fds; /* 0, 1 and 2 are inherited when not named here */
	size_t fd_count;                   /* all others from 3 on are closed in the child */
	int death_signal;       /* sent to the child when the spawning thread ends; 0: none */
	bool new_group;         /* it leads a process group of its own, whose number is its pid */
	bool no_new_privileges; /* nor ambient capabilities */
	const char *directory;  /* where it starts; NULL: here */
	const mode_t *umask;    /* NULL: the caller's */
	const struct belay__credentials *credentials; /* NULL: the caller's */
	const struct belay__limit *limits;
	size_t limit_count;
	const struct belay__spawn_record *record; /* NULL: none; the program starts only if it could
						     be written */
};

/* A 64-bit check over LEN bytes (FNV-1a): against tearing and rot, not against forgers. */
uint64_t belay__fnv(const void *bytes, size_t len);

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

/* Sends SIGNAL to all of the process group that CHILD, started with new_group, was made the leader
 * of. Only while CHILD is unreaped: kernels before 6.9 know a group by its number alone, which is
 * nobody else's just as long. 0 or a negative errno (-ESRCH: nobody is in it). */
int belay__signal_group(const struct belay__child *child, int signal);

/* The same for the group that has the pid behind PIDFD as its number, whoever reaps that process.
 * -EINVAL: the kernel is older than 6.9. */
int belay__signal_group_by_pidfd(int pidfd, int signal);

/* Whether the child behind PIDFD has ended, without reaping it: 1, 0, or a negative errno. */
int belay__ended(int pidfd);
