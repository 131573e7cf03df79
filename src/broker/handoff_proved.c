#include <belay/handoff.h>

#include <errno.h>
#include <sys/socket.h>

#include <belay/identity.h>

#include "base/fd.h"
#include "base/missing.h"
#include "identity/process_info.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* 6.5 */
#endif

/* A pidfd of whoever listened there; -EBADF: the kernel has none to give, -ESTALE: that process is gone.
 * Without it a number that was given out again could pass for his. */
static int open_listener(int channel)
{
	socklen_t len = sizeof(int);
	int pidfd = -EBADF;

	if (getsockopt(channel, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0)
		return pidfd;
	if (errno == ENOPROTOOPT || errno == ENOSYS || errno == EOPNOTSUPP)
		return -EBADF;
	return errno == ESRCH || errno == EINVAL || errno == ENODATA ? -ESTALE : -errno;
}

/* 1: PID is the process of HANDLE or a descendant; 0: another's; or a negative errno. */
static int belongs_to(pid_t pid, const struct belay_handle *handle)
{
	int r;

	if (pid <= 0)
		return 0;
	if (pid == handle->pid)
		return 1;
	r = belay__is_ancestor(pid, handle->pid);
	return r == -ESRCH ? 0 : r;
}

int belay_handoff_proved(int channel, const struct belay_handle *handle)
{
	struct ucred listener = { 0 };
	socklen_t len = sizeof(listener);
	_cleanup_close_ int pidfd = open_listener(channel);
	int r;

	if (pidfd < 0 && pidfd != -EBADF)
		return pidfd;
	if (getsockopt(channel, SOL_SOCKET, SO_PEERCRED, &listener, &len) < 0)
		return -errno;
	r = belongs_to(listener.pid, handle);
	if (r < 0)
		return r;
	if (r == 0)
		return -ESTALE;

	/* Both last: while they live, the numbers that were compared are theirs. */
	if (pidfd >= 0) {
		const struct belay_handle other = { .pid = listener.pid, .pidfd = pidfd };

		r = belay_handle_alive(&other);
		if (r <= 0)
			return r < 0 ? r : -ESTALE;
	}
	r = belay_handle_alive(handle);
	return r > 0 ? 0 : r < 0 ? r : -ESTALE;
}
