#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"

ssize_t belay__read_file(int dirfd, const char *path, char *buffer, size_t size)
{
	_cleanup_close_ int fd = -EBADF;
	size_t len = 0;

	assert(size >= 1);

	fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;

	while (len < size - 1) {
		ssize_t n = read(fd, buffer + len, size - 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	buffer[len] = '\0';
	return (ssize_t)len;
}

int belay__write_all(int fd, const void *bytes, size_t len)
{
	const char *next = bytes;

	while (len > 0) {
		ssize_t n = write(fd, next, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return -EIO;
		next += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Only root and this process's own user may decide what it trusts. */
static int check_owner(const char *path, uid_t owner, struct belay_error *reterr)
{
	if (owner == 0 || owner == geteuid())
		return 0;
	return belay__fail(reterr, -EPERM, "%s belongs to uid %u; it must belong to root or uid %u",
		path, owner, geteuid());
}

/* Opens a regular file of root or this user, and tells who else it is open to. */
static int open_owned(const char *path, mode_t *ret_mode, struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat stat;
	int r;

	/* Not to hang on a FIFO that somebody put there; a regular file does not care. */
	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 && errno == ELOOP)
		return belay__fail(reterr, -ELOOP,
			"%s is a symbolic link; put the file itself there", path);
	if (fd < 0)
		return belay__fail(reterr, -errno, "cannot open %s: %s", path, strerror(errno));
	if (fstat(fd, &stat) < 0)
		return belay__fail(reterr, -errno, "cannot examine %s: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return belay__fail(reterr, -EINVAL, "%s is not a regular file", path);
	r = check_owner(path, stat.st_uid, reterr);
	if (r < 0)
		return r;
	*ret_mode = stat.st_mode;
	return TAKE_FD(fd);
}

int belay__open_trusted(const char *path, struct belay_error *reterr)
{
	mode_t mode = 0;
	_cleanup_close_ int fd = open_owned(path, &mode, reterr);

	if (fd >= 0 && (mode & 022) != 0)
		return belay__fail(reterr, -EPERM,
			"%s can be written by others; run: chmod go-w %s", path, path);
	return TAKE_FD(fd);
}

int belay__open_secret(const char *path, const char *what, struct belay_error *reterr)
{
	mode_t mode = 0;
	_cleanup_close_ int fd = open_owned(path, &mode, reterr);

	if (fd >= 0 && (mode & 077) != 0)
		return belay__fail(reterr, -EPERM,
			"%s is open to others; make a new %s, or, if nobody has looked, run: "
			"chmod 600 %s",
			path, what, path);
	return TAKE_FD(fd);
}

int belay__open_append(const char *path, struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	struct stat stat;

	fd = open(path,
		O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
		0600);
	if (fd < 0 && errno == ELOOP)
		return belay__fail(reterr, -ELOOP, "%s is a symbolic link; name the file itself",
			path);
	if (fd < 0)
		return belay__fail(reterr, -errno, "cannot open %s for appending: %s", path,
			strerror(errno));
	if (fstat(fd, &stat) < 0)
		return belay__fail(reterr, -errno, "cannot examine %s: %s", path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return belay__fail(reterr, -EINVAL, "%s is not a regular file", path);
	if (stat.st_uid != geteuid())
		return belay__fail(reterr, -EPERM, "%s belongs to uid %u, not to uid %u", path,
			stat.st_uid, geteuid());
	if (stat.st_nlink != 1)
		return belay__fail(reterr, -EPERM,
			"%s has %lu names; a file written to must have one", path,
			(unsigned long)stat.st_nlink);
	return TAKE_FD(fd);
}

int belay__make_dir(const char *path, mode_t mode)
{
	_cleanup_close_ int fd = -EBADF;

	if (mkdir(path, 0700) < 0)
		return -errno;
	if (mode == 0700)
		return 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return fchmod(fd, mode) < 0 ? -errno : 0;
}

/* Makes the parent directories of PATH that are missing. PATH is cut at each '/' and mended
 * again. */
static int make_parents(char *path)
{
	for (char *slash = path; (slash = strchr(slash + 1, '/')) != NULL;) {
		struct stat status;
		int r = 0;

		*slash = '\0';
		if (stat(path, &status) < 0)
			r = errno == ENOENT ? belay__make_dir(path, 0755) : -errno;
		*slash = '/';
		if (r < 0 && r != -EEXIST)
			return r;
	}
	return 0;
}

static int check_private_dir(const char *path, struct belay_error *reterr)
{
	struct stat stat;

	if (lstat(path, &stat) < 0)
		return belay__fail(reterr, -errno, "cannot examine %s: %s", path, strerror(errno));
	if (!S_ISDIR(stat.st_mode))
		return belay__fail(reterr, -ENOTDIR,
			"%s is not a directory; move it away or choose another path", path);
	return check_owner(path, stat.st_uid, reterr);
}

int belay__make_private_dir(const char *path, struct belay_error *reterr)
{
	char copy[4096];
	size_t len = strlen(path);
	int r;

	while (len > 1 && path[len - 1] == '/')
		len--;
	if (len == 0 || len >= sizeof(copy))
		return belay__fail(reterr, len == 0 ? -ENOENT : -ENAMETOOLONG,
			"cannot make a directory of a path of %zu bytes", len);
	memcpy(copy, path, len);
	copy[len] = '\0';

	r = make_parents(copy);
	if (r >= 0)
		r = belay__make_dir(copy, 0700);
	if (r < 0 && r != -EEXIST)
		return belay__fail(reterr, r, "cannot make directory %s: %s", copy, strerror(-r));
	return check_private_dir(copy, reterr);
}

bool belay__on_tmpfs(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0)
		return false;
	return (unsigned long)fs.f_type == TMPFS_MAGIC || (unsigned long)fs.f_type == RAMFS_MAGIC;
}
