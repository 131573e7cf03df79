/* identity.h - one process, for certain: a number that cannot be recycled under us
 *
 * The record that all parts of Belay share. The pidfd is opened first and the start time read after
 * it, while the pidfd still says "alive": then number, start time and pidfd belong together for
 * ever.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct belay__identity {
	pid_t pid;
	int pidfd;            /* owned; -EBADF when none could be had (fd budget) */
	uint64_t start_ticks; /* 0: could not be read */
	uint64_t pid_ns;      /* inode; 0: could not be read */
	pid_t inner_pid;      /* the pid it sees itself under; 0: could not be read */
	uid_t uid;            /* real; (uid_t)-1: could not be read */
};

/* Identifies the process that has number PID now. Opens a pidfd when WANT_PIDFD. 0 and
 * *ret_identity, of which /proc's part is unknown where that shows another pid namespace; -ESRCH when it has ended before all was read, or a negative errno (-EMFILE: no
 * pidfd to be had; nothing is returned then). */
int belay__identity_open(pid_t pid, bool want_pidfd, struct belay__identity *ret_identity);

/* Whether IDENTITY's process is still there: 1 alive, 0 ended, or a negative errno. By pidfd, else
 * by start time (-EINVAL when it has neither). A zombie has ended. */
int belay__identity_alive(const struct belay__identity *identity);

/* Closes the pidfd. */
void belay__identity_done(struct belay__identity *identity);

/* This boot's id as 16 bytes. 0 or a negative errno. */
int belay__boot_id(uint8_t ret_id[16]);
