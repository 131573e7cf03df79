/* process_info.h - what /proc says about a process, read once, in a stack buffer, checked
 *
 * Every function takes a pid and may be told about a process that has just been replaced by another
 * of the same number; belay__identity_open() is the only way to be sure (identity.h). All return 0
 * or a negative errno: -ESRCH gone, -EACCES hidden or not permitted, -EBADMSG not understood.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/text.h"

struct belay__stat {
	char comm[17];
	char state; /* R S D T t Z X I ... */
	pid_t ppid;
	uint64_t user_ticks, system_ticks;
	uint32_t threads;
	uint64_t start_ticks; /* since boot: the generation of the pid */
	int exit_status;      /* as waitpid(2); 0 where not permitted: see exit_readable */
};

int belay__read_stat(pid_t pid, struct belay__stat *ret_stat);

/* The inode of the process's pid namespace (/proc/PID/ns/pid). */
int belay__read_pid_namespace(pid_t pid, uint64_t *ret_inode);

/* The last NSpid number: the pid that the process sees itself under. */
int belay__read_inner_pid(pid_t pid, pid_t *ret_pid);

/* Real uid of the process (owner of /proc/PID is the effective one, so from status). */
int belay__read_uid(pid_t pid, uid_t *ret_uid);

/* How a zombie ended, when its stat field is readable to us (same credentials or CAP_SYS_PTRACE);
 * -EACCES when it reads as 0 without our having the right to see it; -EAGAIN when the process has
 * not ended. */
int belay__read_exit_status(pid_t pid, uint64_t start_ticks, int *ret_wait_status);

/* How the process behind PIDFD ended, by PIDFD_GET_INFO (6.15), also after it was reaped. -EAGAIN:
 * it is not known yet; -ENOTTY or -EINVAL: the kernel cannot say. */
int belay__pidfd_exit_status(int pidfd, int *ret_wait_status);

/* What a process is called by others: each "" when not known. */
struct belay__names {
	char env[BELAY__NAME_MAX + 1];  /* BELAY_NAME in its first environment, when valid */
	char unit[BELAY__NAME_MAX + 1]; /* systemd unit or 12 digits of a container id; made valid */
	char comm[17];                  /* made valid */
	char exe[256];                  /* link target of /proc/PID/exe */
	bool unsettled; /* exe or env could not be had just now; another time they may */
};

/* Reads all four; what cannot be read is "". The environment lies in the process's own memory:
 * reading it waits while somebody changes that memory's layout, which a process stuck in the kernel
 * may do for long. Nothing else here waits. */
void belay__read_names(pid_t pid, bool with_environment, struct belay__names *ret_names);

/* Whether ANCESTOR is an ancestor of PID (at most 64 generations up; pid 1 never counts). 1, 0, or
 * a negative errno. */
int belay__is_ancestor(pid_t pid, pid_t ancestor);

/* kernel.pid_max, or a negative errno. */
int64_t belay__read_pid_max(void);
