#include "observe/crash_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "observe/crash_note.h"

#define SUFFIX ".crash"

/* Whether the entry NAME of the directory is the note, nothing yet, of a process that is there; or, with
 * WRITTEN, a note that nobody has read yet. */
static bool is_wanted(int fd, const char *name, bool written)
{
	char process[32]; /* NAME is a number */
	struct stat st;
	uint64_t pid;

	if (belay__parse_u64(name, 1, INT32_MAX, &pid) < 0 || name[0] == '0' ||
		fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (st.st_size > 0)
		return written && st.st_size <= BELAY__CRASH_NOTE_MAX;
	(void)snprintf(process, sizeof(process), "/proc/%u", (unsigned)pid);
	return access(process, F_OK) == 0;
}

static void sweep(int fd, bool written)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = own >= 0 ? fdopendir(own) : NULL;
	const struct dirent *entry;

	if (directory == NULL) {
		belay__close(own);
		return;
	}
	while ((entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			!is_wanted(fd, entry->d_name, written))
			(void)unlinkat(fd, entry->d_name, 0);
	(void)closedir(directory);
}

static int open_private(const char *path, struct stat *ret_status)
{
	_cleanup_close_ int fd = -EBADF;

	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, ret_status) < 0)
		return -errno;
	return TAKE_FD(fd);
}

int belay__crash_directory_open(const char *socket, struct belay_error *reterr)
{
	char path[BELAY__SOCKET_PATH_SIZE];
	struct stat status = { .st_uid = 0 };
	_cleanup_close_ int fd = -EBADF;
	int r = belay__socket_sibling(socket, SUFFIX, path);

	if (r >= 0)
		r = fd = open_private(path, &status);
	if (r < 0)
		return belay__fail(reterr, r, "no crash notes are kept beside %s: %s", socket,
			strerror(-r));
	if (status.st_uid != geteuid() || (status.st_mode & 077) != 0)
		return belay__fail(reterr, -EPERM,
			"no crash notes are kept: %s must belong to uid %u alone; remove it, or "
			"run: "
			"chmod 700 %s",
			path, geteuid(), path);
	/* What was written while no observer ran is told with the ends that it finds out. */
	sweep(fd, /* written= */ true);
	return TAKE_FD(fd);
}

void belay__crash_directory_sweep(int fd)
{
	if (fd >= 0)
		sweep(fd, /* written= */ true);
}

void belay__crash_directory_remove(const char *socket, int fd)
{
	char path[BELAY__SOCKET_PATH_SIZE];

	if (fd < 0)
		return;
	sweep(fd, /* written= */ false);
	if (belay__socket_sibling(socket, SUFFIX, path) == 0)
		(void)rmdir(path);
}
