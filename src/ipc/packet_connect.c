#include "ipc/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/missing.h"
#include "ipc/frame_stream.h"

static int fill_address(const char *path, struct sockaddr_un *ret_address)
{
	size_t len = strlen(path);

	if (len >= sizeof(ret_address->sun_path))
		return -ENAMETOOLONG;
	ret_address->sun_family = AF_UNIX;
	memcpy(ret_address->sun_path, path, len + 1);
	return 0;
}

/* A Unix socket whose peer has a full backlog cannot be polled until there is room: connect()
 * must wait itself, and it waits as long as sending may. Returns what is left until DEADLINE_NS,
 * or -ETIMEDOUT. */
static int limit_wait(int fd, uint64_t deadline_ns)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct timeval left;
	uint64_t left_us;

	if (now_ns >= deadline_ns)
		return -ETIMEDOUT;
	/* Rounded up: zero would mean for ever. */
	left_us = (deadline_ns - now_ns + BELAY__NS_PER_US - 1) / BELAY__NS_PER_US;
	left.tv_sec = (time_t)(left_us / 1000000);
	left.tv_usec = (suseconds_t)(left_us % 1000000);
	return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &left, sizeof(left)) < 0 ? -errno : 0;
}

static int connect_until(int fd, const struct sockaddr_un *address, uint64_t deadline_ns)
{
	const struct timeval none = { 0 };

	for (;;) {
		int r = limit_wait(fd, deadline_ns);

		if (r < 0)
			return r;
		if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
			break;
		if (errno == EAGAIN)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &none, sizeof(none));
	return belay__fd_nonblock(fd);
}

static int connect_type(int type, const char *path, uint64_t deadline_ns)
{
	int nonblock = deadline_ns == 0 ? SOCK_NONBLOCK : 0;
	struct sockaddr_un address = { 0 };
	const int off = 0, on = 1;
	_cleanup_close_ int fd = -EBADF;
	int r = fill_address(path, &address);

	if (r < 0)
		return r;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | nonblock, 0);
	if (fd < 0)
		return -errno;
	/* Before there is a peer, so that none can be first. Packets bring descriptors that are
	 * wanted. */
	if (type == SOCK_STREAM) {
		(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
		/* Where the kernel has no such option: an urgent byte would be dropped within
		 * recvmsg(2), and what is attached to it. */
		(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	}

	if (deadline_ns == 0)
		r = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	else
		r = connect_until(fd, &address, deadline_ns);
	return r < 0 ? r : TAKE_FD(fd);
}

int belay__packet_connect(const char *path, uint64_t deadline_ns)
{
	return connect_type(SOCK_SEQPACKET, path, deadline_ns);
}

int belay__stream_connect(const char *path, uint64_t deadline_ns)
{
	/* An empty path would be an address without a name, which connect(2) calls refused. */
	if (path[0] == '\0')
		return -EINVAL;
	return connect_type(SOCK_STREAM, path, deadline_ns);
}
