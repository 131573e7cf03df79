#include "ipc/packet.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "ipc/control.h"

/* As in the channel: the error that a dying peer leaves is said once, then what it had sent can
 * be read. */
static ssize_t receive(int fd, struct msghdr *message, socklen_t control_size)
{
	ssize_t len;
	int resets = 0;

	do {
		message->msg_controllen = control_size;
		len = recvmsg(fd, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
	return len < 0 ? -errno : len;
}

ssize_t belay__packet_receive(int fd, void *buffer, size_t size, struct belay__closer *closer,
	struct belay__packet_from *ret_from)
{
	union belay__control_buffer bytes;
	struct iovec part = { .iov_base = buffer, .iov_len = size };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &bytes };
	struct belay__control control;
	ssize_t len = receive(fd, &message, sizeof(bytes));
	int pidfd;

	if (len < 0)
		return len == -ECONNRESET ? 0 : len;

	belay__control_read(&message, &control);
	if (len == 0 || control.truncated || !control.has_credentials ||
		(message.msg_flags & MSG_TRUNC) != 0) {
		belay__control_discard(&control, closer);
		if (len == 0)
			return 0;
		return (message.msg_flags & MSG_TRUNC) != 0 ? -EMSGSIZE : -EBADMSG;
	}

	pidfd = control.pidfd;
	control.pidfd = -EBADF;
	belay__control_discard(&control, closer);
	*ret_from = (struct belay__packet_from){
		.pid = control.credentials.pid,
		.uid = control.credentials.uid,
		.gid = control.credentials.gid,
		.pidfd = pidfd,
	};
	return len;
}
