#include "export/generations.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/file.h"

#define OPEN_FLAGS (O_RDWR | O_APPEND | O_NONBLOCK | O_NOCTTY)

int belay__generation_name(const char *path, unsigned i, char *name, size_t size)
{
	int len = i == 0 ? snprintf(name, size, "%s", path) : snprintf(name, size, "%s.%u", path, i);

	return len < 0 || (size_t)len >= size ? -ENAMETOOLONG : 0;
}

/* Makes a new name in the directory of PATH survive a power failure. Where that is not possible the
 * records are written all the same. */
static void sync_directory(const char *path)
{
	_cleanup_close_ int fd = -EBADF;
	char directory[BELAY__GENERATION_PATH_SIZE];
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL || slash == path ? 1 : (size_t)(slash - path);

	if (len >= sizeof(directory))
		return;
	memcpy(directory, slash == NULL ? "." : path, len);
	directory[len] = '\0';
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)fsync(fd);
}

static int refuse_to_create(const char *path, int error, struct belay_error *reterr)
{
	const char *slash = strrchr(path, '/');
	int len = slash == NULL ? 0 : (int)(slash - path);

	if (error == ENOENT && len > 0)
		return belay__fail(reterr, -error,
			"cannot make %s: there is no directory %.*s; make it: mkdir -p %.*s", path,
			len, path, len, path);
	return belay__fail(reterr, -error, "cannot make %s: %s", path, strerror(error));
}

/* A new file, or -EEXIST. */
static int create(const char *path, struct belay_error *reterr)
{
	int fd = open(path, OPEN_FLAGS | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return refuse_to_create(path, errno, reterr);
	sync_directory(path);
	return fd;
}

/* The checks are those of every file that is appended to; that it can be read as well is all this
 * adds. The checked descriptor itself is opened once more, not the name. */
static int open_existing(const char *path, struct belay_error *reterr)
{
	_cleanup_close_ int checked = belay__open_append(path, reterr);
	char same[32];
	struct stat stat;
	int fd;

	if (checked < 0)
		return checked;
	if (fstat(checked, &stat) < 0)
		return belay__fail(reterr, -errno, "cannot examine %s: %s", path, strerror(errno));
	if ((stat.st_mode & 022) != 0)
		return belay__fail(reterr, -EPERM,
			"%s can be written by others; run: chmod go-w %s", path, path);
	(void)snprintf(same, sizeof(same), "/proc/self/fd/%d", checked);
	fd = open(same, OPEN_FLAGS | O_CLOEXEC);
	if (fd < 0)
		return belay__fail(reterr, -errno, "cannot open %s for reading: %s", path,
			strerror(errno));
	return fd;
}

int belay__generations_open(const char *path, struct belay_error *reterr)
{
	char name[BELAY__GENERATION_PATH_SIZE];
	int fd;

	/* Whoever opens it will have to name its generations. */
	if (belay__generation_name(path, BELAY__GENERATIONS, name, sizeof(name)) < 0)
		return belay__fail(reterr, -ENAMETOOLONG,
			"the path %.64s... is too long for a file of records", path);
	fd = create(path, reterr);
	return fd == -EEXIST ? open_existing(path, reterr) : fd;
}

int belay__generations_open_previous(const char *path, struct belay_error *reterr)
{
	char name[BELAY__GENERATION_PATH_SIZE];

	for (unsigned i = 1; i <= BELAY__GENERATIONS; i++) {
		int fd = belay__generation_name(path, i, name, sizeof(name));

		if (fd >= 0)
			fd = belay__open_trusted(name, reterr);
		else
			(void)belay__fail(reterr, fd, "the path %.64s... is too long", path);
		if (fd != -ENOENT)
			return fd;
	}
	return belay__fail(reterr, -ENOENT, "%s has no older generations", path);
}

static bool exists(const char *name)
{
	struct stat stat;

	return lstat(name, &stat) == 0 || errno != ENOENT;
}

/* One step: makes room at the end when all generations are there, else moves the file below the
 * nearest gap into it. 1: there is more to do; 0: PATH has moved, or is not there. */
static int move_one(const char *path, struct belay_error *reterr)
{
	char from[BELAY__GENERATION_PATH_SIZE], to[BELAY__GENERATION_PATH_SIZE];
	unsigned gap;

	for (gap = 0; gap <= BELAY__GENERATIONS; gap++) {
		if (belay__generation_name(path, gap, to, sizeof(to)) < 0)
			return belay__fail(reterr, -ENAMETOOLONG, "the path %.64s... is too long",
				path);
		if (!exists(to))
			break;
	}
	if (gap == 0)
		return 0;

	if (gap > BELAY__GENERATIONS) {
		if (unlink(to) < 0 && errno != ENOENT)
			return belay__fail(reterr, -errno, "cannot remove %s: %s", to,
				strerror(errno));
		return 1;
	}
	(void)belay__generation_name(path, gap - 1, from, sizeof(from));
	if (rename(from, to) < 0)
		return belay__fail(reterr, -errno, "cannot move %s to %s: %s", from, to,
			strerror(errno));
	return gap > 1 ? 1 : 0;
}

/* A new file whose taker got lost on the way, or who asked twice: moving it would cost the oldest
 * generation and keep nothing. */
static bool is_new_already(const char *path)
{
	struct stat stat;

	return lstat(path, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size == 0;
}

int belay__generations_rotate(const char *path, struct belay__rotation *rotation,
	uint64_t deadline_ns, struct belay_error *reterr)
{
	int r;

	if (!rotation->moving && !rotation->opening && is_new_already(path))
		return belay__generations_open(path, reterr);
	while (!rotation->opening) {
		rotation->moving = true;
		r = move_one(path, reterr);
		if (r < 0)
			return r;
		if (r == 0)
			*rotation = (struct belay__rotation){ .opening = true };
		if (belay__clock_ns(CLOCK_MONOTONIC) >= deadline_ns)
			return belay__fail(reterr, -EAGAIN, "the rotation of %s needs more time",
				path);
	}
	r = create(path, reterr);
	if (r >= 0)
		*rotation = (struct belay__rotation){ 0 };
	return r;
}
