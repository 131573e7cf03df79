/* live.h - a process held on to while it is looked at
 *
 * Its pidfd is opened first, then its directory below /proc and its stat there: all three stay
 * with the process that they were opened for, and at the end they tell whether it is still there.
 * Where the kernel refuses pidfds the other two do. The three are of one process only where /proc is of
 * our own pid namespace, which is made sure of.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>
#include <belay/identity.h>

/* What to do when the system has no descriptor or memory left. */
#define BELAY__MORE_ROOM "close descriptors or raise the limit"

struct belay__live {
	pid_t pid;
	int pidfd; /* -EBADF: the kernel refuses them */
	int procfd, statfd;
	uint64_t start_ticks;
};

/* Holds on to the process PID (positive). 0, or a negative errno with a sentence and in
 * *ret_class BELAY_VERIFY_NOT_FOUND (-ESRCH), BELAY_VERIFY_HANDLE (no descriptors) or
 * BELAY_VERIFY_EXE_PATH (what /proc says of it is hidden, or, -EXDEV, of another pid namespace). */
int belay__live_open(pid_t pid, struct belay__live *ret_live, enum belay_verify_error *ret_class,
	struct belay_error *reterr);

/* Whether it was there all the time since it was opened, and still is: 0, -ESRCH (it ended, or is
 * a zombie), or another negative errno. */
int belay__live_check(const struct belay__live *live);

/* Closes what is open. */
void belay__live_done(struct belay__live *live);
