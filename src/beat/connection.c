#include "beat/connection.h"

#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"

/* Never 0, 1 or 2: where those are closed, the program's next printf() would go to the observer. */
static int make_socket(int family)
{
	_cleanup_close_ int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int higher;

	if (fd < 0)
		return -errno;
	if (fd > STDERR_FILENO)
		return TAKE_FD(fd);

	higher = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	return higher < 0 ? -errno : higher;
}

int belay__connection_open_to(const struct sockaddr *address, socklen_t len,
	struct belay__connection *ret)
{
	_cleanup_close_ int fd = make_socket(address->sa_family);
	struct stat status;

	if (fd < 0)
		return fd;
	if (fstat(fd, &status) < 0 || connect(fd, address, len) < 0)
		return -errno;

	*ret = (struct belay__connection){
		.device = status.st_dev,
		.inode = status.st_ino,
		.fd = TAKE_FD(fd),
	};
	return 0;
}

int belay__connection_open(const char *path, struct belay__connection *ret)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);

	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len + 1);
	return belay__connection_open_to((const struct sockaddr *)&address, sizeof(address), ret);
}

bool belay__connection_may_come(int r)
{
	return r == 0 || r == -ENETUNREACH || r == -EHOSTUNREACH || r == -ENETDOWN ||
		r == -EADDRNOTAVAIL;
}

bool belay__connection_is_ours(const struct belay__connection *connection)
{
	struct stat status;

	return connection->fd >= 0 && fstat(connection->fd, &status) == 0 &&
		status.st_dev == connection->device && status.st_ino == connection->inode;
}

void belay__connection_close(struct belay__connection *connection)
{
	int saved = errno;

	if (belay__connection_is_ours(connection))
		(void)belay__close(connection->fd);
	*connection = BELAY__NO_CONNECTION;
	errno = saved;
}
