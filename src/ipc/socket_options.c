#include "ipc/socket_options.h"

#include <errno.h>
#include <limits.h>
#include <sys/socket.h>

#include "base/missing.h"
#include "ipc/bind.h"

bool belay__ipc_without_passrights;

static int set(int fd, int option, int value)
{
	return setsockopt(fd, SOL_SOCKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

int belay__socket_set_passing(int fd, int type)
{
	int r = set(fd, SO_PASSCRED, 1);

	if (r < 0)
		return r;
	(void)set(fd, SO_PASSPIDFD, type == SOCK_SEQPACKET ? 1 : 0);
	return 0;
}

bool belay__socket_refuse_rights(int fd)
{
	return !belay__ipc_without_passrights && set(fd, SO_PASSRIGHTS, 0) == 0;
}

uint32_t belay__socket_set_rcvbuf(int fd, uint32_t bytes)
{
	int granted = 0;
	socklen_t len = sizeof(granted);

	if (bytes == 0 || set(fd, SO_RCVBUF, bytes > INT_MAX ? INT_MAX : (int)bytes) < 0)
		return 0;
	if (getsockopt(fd, SOL_SOCKET, SO_RCVBUF, &granted, &len) < 0 || granted < 0)
		return 0;
	return (uint32_t)granted;
}
