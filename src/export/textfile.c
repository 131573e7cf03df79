#include "export/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"

/* rename() would replace a symbolic link, a device or a FIFO without asking. */
static int check_target(const char *path, struct belay_error *reterr)
{
	struct stat stat;

	if (lstat(path, &stat) < 0)
		return errno == ENOENT ? 0
				       : belay__fail(reterr, -errno, "cannot examine %s: %s", path,
						 strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return belay__fail(reterr, -EINVAL,
			"%s is not a regular file; choose another path for the metrics", path);
	return 0;
}

/* A new file of ours alone; one that a killed writer left is in the way and goes. */
static int create(const char *path)
{
	int fd;

	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

/* Gives the file its contents and its place. */
static int fill(int fd, const char *temporary, const char *path, const void *bytes, size_t len,
	bool sync)
{
	int r = belay__write_all(fd, bytes, len);

	if (r < 0)
		return r;
	/* Others read it, whatever our umask is. */
	if (fchmod(fd, 0644) < 0)
		return -errno;
	if (sync && fsync(fd) < 0)
		return -errno;
	return rename(temporary, path) < 0 ? -errno : 0;
}

int belay__textfile_write(const char *path, const void *bytes, size_t len, bool sync,
	struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	char temporary[PATH_MAX];
	int r;

	if (strlen(path) + sizeof(".tmp") > sizeof(temporary))
		return belay__fail(reterr, -ENAMETOOLONG, "the path of the metrics is too long");
	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	r = check_target(path, reterr);
	if (r < 0)
		return r;

	fd = create(temporary);
	if (fd < 0)
		return belay__fail(reterr, fd, "cannot create %s: %s", temporary, strerror(-fd));
	r = fill(fd, temporary, path, bytes, len, sync);
	if (r < 0) {
		(void)unlink(temporary);
		return belay__fail(reterr, r, "cannot write %s: %s", path, strerror(-r));
	}
	return 0;
}
