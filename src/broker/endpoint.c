#include <belay/endpoint.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "broker/names.h"
#include "ipc/bind.h"
#include "ipc/closer.h"

/* Foreigners that are hung up on before the caller's loop gets its turn again. */
#define FOREIGN_MAX 64

struct belay_listener {
	struct belay__bound bound;
	int spare_fd;   /* given up when there is no other; owned, -EBADF while it is out */
	bool takes_fds; /* hands the reserve out instead of hanging up */
	pid_t pid;      /* whose the socket is */
	struct belay__closer *closer;
};

/* Makes and checks the directory of PATH. */
static int prepare_directory(const char *path, struct belay_error *reterr)
{
	char directory[BELAY_ENDPOINT_PATH_SIZE];
	const char *slash = strrchr(path, '/');

	if (path[0] != '/' || slash == path)
		return belay__fail(reterr, -EINVAL,
			"an endpoint's path is absolute and lies in a directory of its user's own: "
			"not '%.100s'",
			path);
	if (strlen(path) >= BELAY_ENDPOINT_PATH_SIZE)
		return belay__fail(reterr, -ENAMETOOLONG,
			"the endpoint's path has %zu bytes, and a socket's at most %d: %.80s...",
			strlen(path), BELAY_ENDPOINT_PATH_SIZE - 1, path);
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = '\0';
	return belay__broker_dir_secure(directory, reterr);
}

static int spare(const struct belay_listener *listener)
{
	return fcntl(listener->bound.fd, F_DUPFD_CLOEXEC, 3);
}

int belay_endpoint_listen(const char *path, unsigned flags, struct belay_listener **ret_listener,
	struct belay_error *reterr)
{
	const struct belay__bind bind = { .path = path,
		.type = SOCK_STREAM,
		.mode = 0600,
		.lock = true,
		.takes_rights = (flags & BELAY_ENDPOINT_TAKES_FDS) != 0,
		.anonymous = true,
		.has_threads = true,
		.who = "process" };
	struct belay_listener *listener;
	int r;

	if ((flags & ~BELAY_ENDPOINT_TAKES_FDS) != 0)
		return belay__fail(reterr, -EINVAL, "an endpoint has no flags %#x", flags);
	r = prepare_directory(path, reterr);
	if (r < 0)
		return r;
	listener = calloc(1, sizeof(*listener));
	if (listener == NULL || belay__closer_new(&listener->closer) < 0) {
		free(listener);
		return belay__fail(reterr, -ENOMEM, "no memory for the endpoint %s", path);
	}
	r = belay__bind_guarded(&bind, &listener->bound, reterr);
	if (r < 0) {
		(void)belay__closer_free(listener->closer);
		free(listener);
		return r;
	}
	listener->pid = getpid();
	listener->takes_fds = bind.takes_rights;
	listener->spare_fd = spare(listener);
	if (listener->spare_fd < 0) {
		r = belay__fail(reterr, -errno, "no descriptor to keep in reserve at %s: %s", path,
			strerror(errno));
		(void)belay_endpoint_close(listener);
		return r;
	}
	*ret_listener = listener;
	return 0;
}

int belay_endpoint_fd(const struct belay_listener *listener)
{
	return listener->bound.fd;
}

/* Accepts whoever is next with the descriptor in reserve, CODE having said that there is no
 * other. */
static int accept_with_reserve(struct belay_listener *listener, int code, struct belay_error *reterr)
{
	int fd;

	listener->spare_fd = belay__close(listener->spare_fd);
	fd = accept4(listener->bound.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && errno == EAGAIN)
		code = -EAGAIN;
	if (listener->takes_fds && fd >= 0)
		return fd;
	/* Nobody may wait at the door for a descriptor that does not come: the listener would be
	 * readable all the time. */
	if (fd >= 0)
		belay__closer_hang_up(listener->closer, fd);
	listener->spare_fd = spare(listener);
	return belay__fail(reterr, code,
		"there was no descriptor for a connection to %s: %s; raise RLIMIT_NOFILE or serve "
		"fewer at a time",
		listener->bound.path, strerror(-code));
}

/* Whether the other end of FD is this user's; then it is readied to be read. */
static bool is_ours(int fd)
{
	const int on = 1;
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.uid != geteuid())
		return false;
	/* The kernel drops an urgent byte within recvmsg(2), and what is attached to it. Before
	 * 5.15 there is none here. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	return true;
}

int belay_endpoint_accept(struct belay_listener *listener, struct belay_error *reterr)
{
	if (listener->spare_fd < 0)
		listener->spare_fd = spare(listener);
	for (int i = 0; i < FOREIGN_MAX; i++) {
		int fd = accept4(listener->bound.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE) &&
			(listener->spare_fd >= 0 || !listener->takes_fds)) {
			fd = accept_with_reserve(listener, -errno, reterr);
			if (fd < 0)
				return fd;
		}
		if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
			return belay__fail(reterr, -errno, "no connection from %s: %s",
				listener->bound.path, strerror(errno));
		if (fd >= 0 && is_ours(fd))
			return fd;
		if (fd >= 0)
			belay__closer_hang_up(listener->closer, fd);
	}
	return belay__fail(reterr, -EAGAIN, "only processes of other users connect to %s",
		listener->bound.path);
}

/* Hangs up on all who were not accepted yet, each for himself: descriptors that one of them passed
 * would hold up the listener's close(2), and with it the others. False: some wait still. */
static bool turn_away(struct belay_listener *listener)
{
	/* Nobody connects any more. */
	(void)shutdown(listener->bound.fd, SHUT_RDWR);
	for (;;) {
		int fd = accept4(listener->bound.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			belay__closer_hang_up(listener->closer, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			return errno == EAGAIN;
	}
}

/* Whether somebody may wait to be accepted by this process's parent, whose place this is. */
static bool is_awaited(const struct belay_listener *listener)
{
	struct pollfd waiting = { .fd = listener->bound.fd, .events = POLLIN };

	return poll(&waiting, 1, 0) != 0;
}

struct belay_listener *belay_endpoint_close(struct belay_listener *listener)
{
	bool is_mine, may_block;

	if (listener == NULL)
		return NULL;
	(void)belay__close(listener->spare_fd);
	is_mine = listener->pid == getpid();
	may_block = is_mine ? !turn_away(listener) : is_awaited(listener);
	if (may_block) {
		belay__closer_take(listener->closer, listener->bound.fd);
		listener->bound.fd = -EBADF;
	}
	if (is_mine) {
		belay__unbind(&listener->bound);
	} else {
		(void)belay__close(listener->bound.fd);
		(void)belay__close(listener->bound.lock_fd);
	}
	(void)belay__closer_free(listener->closer);
	free(listener);
	return NULL;
}
