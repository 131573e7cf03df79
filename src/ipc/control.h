/* control.h - what came beside a message's bytes, read with every rule that others forget
 *
 * All headers are walked; level, type and length are checked for each; a header whose length does
 * not fit is passed over. Nothing here closes: every descriptor that the kernel installed is handed
 * to the caller, wanted or not.
 */
#pragma once

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "ipc/closer.h"

/* SCM_MAX_FD of the kernel: no message carries more. */
#define BELAY__FDS_MAX 253

/* Room for credentials, a pidfd, and the most descriptors a peer can attach. With less room the
 * kernel would drop them inside recvmsg(), and dropping can block there. */
#define BELAY__CONTROL_SIZE                                                                        \
	(CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) +                              \
		CMSG_SPACE(BELAY__FDS_MAX * sizeof(int)))

union belay__control_buffer {
	struct cmsghdr align;
	char bytes[BELAY__CONTROL_SIZE];
};

struct belay__control {
	bool truncated; /* MSG_CTRUNC: something is missing, nobody knows what */
	bool has_credentials;
	struct ucred credentials;
	int pidfd; /* SCM_PIDFD, owned by the caller; -EBADF: none came, or none could be made */
	unsigned fd_count; /* owned by the caller */
	int fds[BELAY__FDS_MAX];
};

/* Reads the control data of MESSAGE, which recvmsg() has filled, into *ret. */
void belay__control_read(struct msghdr *message, struct belay__control *ret);

/* Gives all descriptors in CONTROL to CLOSER. */
void belay__control_discard(struct belay__control *control, struct belay__closer *closer);
