#include <belay/endpoint.h>

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc/closer.h"
#include "ipc/control.h"

/* Without memory for a closer they stay open: closing them here is what must not happen. */
static void discard(struct belay__control *control)
{
	struct belay__closer *closer;

	/* A pidfd closes at once. */
	if (control->pidfd >= 0)
		(void)close(control->pidfd);
	control->pidfd = -EBADF;
	if (control->fd_count == 0)
		return;
	closer = belay__closer_shared();
	if (closer != NULL)
		belay__control_discard(control, closer);
}

ssize_t belay_endpoint_receive(int fd, void *bytes, size_t size)
{
	union belay__control_buffer room;
	struct belay__control control;
	struct iovec part = { .iov_base = bytes, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room),
	};
	ssize_t len;

	/* 0 bytes would look like the end. */
	if (size == 0)
		return -EINVAL;
	do
		len = recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	belay__control_read(&message, &control);
	discard(&control);
	return len;
}

void belay_endpoint_hang_up(int fd_consume)
{
	const struct linger off = { .l_onoff = 0 };
	struct belay__closer *closer;

	if (fd_consume < 0)
		return;
	closer = belay__closer_shared();
	/* What TCP has not sent yet goes out all the same, with nobody waiting for it. */
	(void)setsockopt(fd_consume, SOL_SOCKET, SO_LINGER, &off, sizeof(off));
	if (closer != NULL)
		belay__closer_hang_up(closer, fd_consume);
	else
		(void)shutdown(fd_consume, SHUT_RDWR);
}
