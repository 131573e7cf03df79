#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <belay/identity.h>

#include "base/fd.h"
#include "base/missing.h"
#include "identity/identity.h"

int belay_handle_alive(const struct belay_handle *handle)
{
	const struct belay__identity identity = { .pid = handle->pid,
		.pidfd = handle->pidfd,
		.start_ticks = handle->start_ticks };

	return belay__identity_alive(&identity);
}

/* A zombie takes signals, too, and does nothing about them: it is asked about first. */
int belay_handle_signal(const struct belay_handle *handle, int signal)
{
	int alive = belay_handle_alive(handle);

	if (alive <= 0)
		return alive < 0 ? alive : -ESRCH;
	if (handle->pidfd < 0)
		return -ENOTSUP;
	if (syscall(SYS_pidfd_send_signal, handle->pidfd, signal, NULL, 0U) == 0)
		return 0;
	return errno == ENOSYS ? -ENOTSUP : -errno;
}

void belay_handle_close(struct belay_handle *handle)
{
	handle->pidfd = belay__close(handle->pidfd);
}
