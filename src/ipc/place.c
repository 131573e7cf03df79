#include "ipc/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "ipc/socket_path.h"

/* Splits PATH. Returns the name and writes the directory, or NULL when no socket can have this
 * path. */
static const char *split(const char *path, char ret_directory[BELAY__SOCKET_PATH_SIZE])
{
	const char *slash = strrchr(path, '/');
	const char *name = slash == NULL ? path : slash + 1;
	size_t len = slash == NULL ? 0 : (size_t)(slash - path);

	if (strlen(path) >= BELAY__SOCKET_PATH_SIZE || name[0] == '\0' || strcmp(name, ".") == 0 ||
		strcmp(name, "..") == 0)
		return NULL;
	if (len == 0) {
		memcpy(ret_directory, slash == NULL ? "." : "/", 2);
		return name;
	}
	/* Trailing slashes would make the kernel follow a link that stands before them. */
	while (len > 1 && path[len - 1] == '/')
		len--;
	memcpy(ret_directory, path, len);
	ret_directory[len] = '\0';
	return name;
}

static int check_directory(const char *directory, const struct stat *status,
	struct belay_error *reterr)
{
	if (S_ISLNK(status->st_mode))
		return belay__fail(reterr, -ELOOP,
			"%s is a symbolic link: name the directory that it leads to", directory);
	if (!S_ISDIR(status->st_mode))
		return belay__fail(reterr, -ENOTDIR,
			"%s is no directory: choose a socket path in a directory of yours",
			directory);
	if (status->st_uid != geteuid() && status->st_uid != 0)
		return belay__fail(reterr, -EPERM,
			"%s belongs to uid %u, who could put another socket in place of ours: use "
			"a directory of your own",
			directory, (unsigned)status->st_uid);
	if ((status->st_mode & 0022) != 0 && (status->st_mode & S_ISVTX) == 0)
		return belay__fail(reterr, -EPERM,
			"others can write in %s (mode %04o), so they could replace the socket: "
			"chmod go-w or use another directory",
			directory, (unsigned)status->st_mode & 07777u);
	return 0;
}

int belay__place_open(const char *path, struct belay__place *ret_place, struct belay_error *reterr)
{
	char directory[BELAY__SOCKET_PATH_SIZE];
	const char *name = split(path, directory);
	_cleanup_close_ int fd = -EBADF;
	struct stat status;
	int r;

	if (name == NULL)
		return belay__fail(reterr,
			strlen(path) < BELAY__SOCKET_PATH_SIZE ? -EINVAL : -ENAMETOOLONG,
			"no socket can have the path '%.100s%s': it takes a file name and at most "
			"%d bytes",
			path, strlen(path) > 100 ? "..." : "", BELAY__SOCKET_PATH_SIZE - 1);

	fd = open(directory, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return belay__fail(reterr, -errno,
			"cannot open the directory %s: %s; make it or choose another socket path",
			directory, strerror(errno));
	r = check_directory(directory, &status, reterr);
	if (r < 0)
		return r;

	*ret_place = (struct belay__place){ .path = path, .name = name, .dir_fd = TAKE_FD(fd) };
	return 0;
}

/* The lock file must be one that nobody else made or can share with us by another name. */
static int check_lock(int fd, const char *path, struct belay_error *reterr)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return belay__fail(reterr, -errno, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(status.st_mode) || status.st_uid != geteuid() || status.st_nlink != 1)
		return belay__fail(reterr, -EPERM,
			"%s is no lock file of uid %u alone: remove it or choose another path",
			path, (unsigned)geteuid());
	return 0;
}

int belay__place_lock(const struct belay__place *place, const char *who, int *ret_lock_fd,
	struct belay_error *reterr)
{
	/* A file, which may have a longer path than a socket. */
	char path[BELAY__SOCKET_PATH_SIZE + sizeof(".lock")];
	_cleanup_close_ int fd = -EBADF;
	int r;

	(void)snprintf(path, sizeof(path), "%s.lock", place->path);
	fd = openat(place->dir_fd, path + (place->name - place->path),
		O_CREAT | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0600);
	if (fd < 0)
		return belay__fail(reterr, -errno,
			"cannot open the lock file %s: %s; it must be a plain file of yours", path,
			strerror(errno));
	r = check_lock(fd, path, reterr);
	if (r < 0)
		return r;
	/* The umask may have taken what the next one needs to open it. */
	if (fchmod(fd, 0600) < 0)
		return belay__fail(reterr, -errno, "cannot set the mode of %s: %s; remove it", path,
			strerror(errno));

	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return belay__fail(reterr, -EADDRINUSE,
				"another %s holds %s: use that one, stop it, or choose another "
				"socket path",
				who, path);
		return belay__fail(reterr, -errno, "cannot lock %s: %s; choose another directory",
			path, strerror(errno));
	}
	*ret_lock_fd = TAKE_FD(fd);
	return 0;
}

int belay__place_sync(const struct belay__place *place)
{
	_cleanup_close_ int fd = openat(place->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

void belay__place_close(struct belay__place *place)
{
	place->dir_fd = belay__close(place->dir_fd);
}
