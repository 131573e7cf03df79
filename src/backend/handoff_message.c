#include "backend/handoff_message.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

static ssize_t receive(int connection, struct msghdr *message)
{
	ssize_t len;

	do
		len = recvmsg(connection, message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	return len < 0 ? -errno : len;
}

int belay__handoff_message_receive(int connection, void *bytes, size_t size,
	struct belay__handoff_inbox *inbox, struct belay__closer *closer,
	struct belay__handoff_message *ret_message)
{
	struct iovec part = { .iov_base = bytes, .iov_len = size };
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &inbox->buffer,
		.msg_controllen = sizeof(inbox->buffer),
	};
	struct belay__control *control = &inbox->control;
	ssize_t len;

	assert(size > 0);
	len = receive(connection, &message);
	if (len < 0)
		return (int)len;

	belay__control_read(&message, control);
	*ret_message = (struct belay__handoff_message){
		.len = (size_t)len,
		.fd = -EBADF,
		.count = control->fd_count,
		.truncated = control->truncated,
	};
	if (control->fd_count == 1 && !control->truncated) {
		ret_message->fd = control->fds[0];
		control->fd_count = 0;
	}
	belay__control_discard(control, closer);
	return 0;
}
