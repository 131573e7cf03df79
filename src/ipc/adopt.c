#include "ipc/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "ipc/socket_options.h"

/* Where sd_listen_fds(3) puts the first one. */
#define LISTEN_FDS_START 3
#define LISTEN_FDS_MAX   1024

static int get(int fd, int option, int *ret_value)
{
	socklen_t len = sizeof(*ret_value);

	return getsockopt(fd, SOL_SOCKET, option, ret_value, &len) < 0 ? -errno : 0;
}

static int check_kind(int fd, int type, struct belay_error *reterr)
{
	int domain = 0, got = 0, listening = 0;
	int r = get(fd, SO_DOMAIN, &domain);

	if (r < 0)
		return belay__fail(reterr, r,
			"descriptor %d, passed as our socket, is none: %s; check the socket unit",
			fd, strerror(-r));
	(void)get(fd, SO_TYPE, &got);
	(void)get(fd, SO_ACCEPTCONN, &listening);
	if (domain != AF_UNIX || got != type)
		return belay__fail(reterr, -EINVAL,
			"the passed socket %d has family %d and type %d where a Unix socket of "
			"type %d is needed: check the socket unit (ListenDatagram=, "
			"ListenSequentialPacket=)",
			fd, domain, got, type);
	if (type == SOCK_SEQPACKET && !listening)
		return belay__fail(reterr, -EINVAL,
			"the passed socket %d is not listening: pass a listening one (Accept=no)",
			fd);
	return 0;
}

/* For messages only: an adopted socket is never found again by its name. */
static void copy_path(int fd, char ret_path[BELAY__SOCKET_PATH_SIZE])
{
	struct sockaddr_un address = { 0 };
	socklen_t len = sizeof(address);
	size_t path_len;

	ret_path[0] = '\0';
	if (getsockname(fd, (struct sockaddr *)&address, &len) < 0 ||
		len <= offsetof(struct sockaddr_un, sun_path))
		return;
	path_len = strnlen(address.sun_path, len - offsetof(struct sockaddr_un, sun_path));
	if (path_len >= BELAY__SOCKET_PATH_SIZE)
		return;
	memcpy(ret_path, address.sun_path, path_len);
	ret_path[path_len] = '\0';
}

int belay__bind_adopt_consume(int fd, int type, struct belay__bound *ret_bound,
	struct belay_error *reterr)
{
	_cleanup_close_ int owned = fd;
	struct belay__bound bound = { .fd = -EBADF, .lock_fd = -EBADF };
	int r = check_kind(owned, type, reterr);

	if (r < 0)
		return r;
	(void)belay__socket_refuse_rights(owned);
	r = belay__socket_set_passing(owned, type);
	if (r >= 0)
		r = belay__fd_nonblock(owned);
	if (r >= 0 && fcntl(owned, F_SETFD, FD_CLOEXEC) < 0)
		r = -errno;
	if (r < 0)
		return belay__fail(reterr, r, "cannot set up the passed socket %d: %s", fd,
			strerror(-r));

	/* What was queued before may carry descriptors all the same, and needs room for them: they
	 * do not count as refused. */
	copy_path(owned, bound.path);
	bound.fd = TAKE_FD(owned);
	*ret_bound = bound;
	return 0;
}

static int count_meant_for_us(void)
{
	const char *pid_text = getenv("LISTEN_PID"), *count_text = getenv("LISTEN_FDS");
	uint64_t pid, count;

	if (pid_text == NULL || count_text == NULL)
		return 0;
	if (belay__parse_u64(pid_text, 1, INT32_MAX, &pid) < 0 || (pid_t)pid != getpid())
		return 0;
	if (belay__parse_u64(count_text, 1, LISTEN_FDS_MAX, &count) < 0)
		return 0;
	return (int)count;
}

int belay__listen_fds(void)
{
	int count = count_meant_for_us();

	for (int i = 0; i < count; i++)
		(void)fcntl(LISTEN_FDS_START + i, F_SETFD, FD_CLOEXEC);
	/* Also when they are not for us: our children would be fooled by them. */
	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	return count;
}
