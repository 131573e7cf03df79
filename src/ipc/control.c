#include "ipc/control.h"

#include <errno.h>
#include <string.h>

#include "base/missing.h"

static size_t payload_len(const struct cmsghdr *header)
{
	return header->cmsg_len < CMSG_LEN(0) ? 0 : (size_t)header->cmsg_len - CMSG_LEN(0);
}

static void read_fds(const struct cmsghdr *header, struct belay__control *ret)
{
	size_t count = payload_len(header) / sizeof(int);

	for (size_t i = 0; i < count && ret->fd_count < BELAY__FDS_MAX; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
		if (fd >= 0)
			ret->fds[ret->fd_count++] = fd;
	}
}

static void read_pidfd(const struct cmsghdr *header, struct belay__control *ret)
{
	int fd;

	if (header->cmsg_len != CMSG_LEN(sizeof(int)) || ret->pidfd >= 0)
		return;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	/* Short of descriptors the kernel puts a negative errno here and sets no flag. */
	if (fd >= 0)
		ret->pidfd = fd;
}

static void read_one(const struct cmsghdr *header, struct belay__control *ret)
{
	if (header->cmsg_level != SOL_SOCKET)
		return;

	if (header->cmsg_type == SCM_CREDENTIALS) {
		if (header->cmsg_len != CMSG_LEN(sizeof(struct ucred)))
			return;
		memcpy(&ret->credentials, CMSG_DATA(header), sizeof(struct ucred));
		ret->has_credentials = true;
	} else if (header->cmsg_type == SCM_RIGHTS) {
		read_fds(header, ret);
	} else if (header->cmsg_type == SCM_PIDFD) {
		read_pidfd(header, ret);
	}
}

void belay__control_read(struct msghdr *message, struct belay__control *ret)
{
	ret->truncated = (message->msg_flags & MSG_CTRUNC) != 0;
	ret->has_credentials = false;
	ret->credentials = (struct ucred){ .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	ret->pidfd = -EBADF;
	ret->fd_count = 0;

	for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
		header = CMSG_NXTHDR(message, header))
		read_one(header, ret);
}

void belay__control_discard(struct belay__control *control, struct belay__closer *closer)
{
	for (unsigned i = 0; i < control->fd_count; i++)
		belay__closer_take(closer, control->fds[i]);
	control->fd_count = 0;

	if (control->pidfd >= 0)
		belay__closer_take(closer, control->pidfd);
	control->pidfd = -EBADF;
}
