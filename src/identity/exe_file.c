#include "identity/exe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "identity/proc_file.h"

#define DELETED " (deleted)"

/* A file may be called so; then its name still leads to it. */
static void strip_deleted(char *path, size_t len, const struct stat *exe)
{
	const size_t suffix = sizeof(DELETED) - 1;
	struct stat there;

	if (len <= suffix || memcmp(path + len - suffix, DELETED, suffix) != 0)
		return;
	if (exe->st_nlink > 0 && stat(path, &there) == 0 && there.st_dev == exe->st_dev &&
		there.st_ino == exe->st_ino)
		return;
	path[len - suffix] = '\0';
}

int belay__exe_look(int procfd, char path[static PATH_MAX], struct stat *ret_stat)
{
	struct stat stat;
	ssize_t n = readlinkat(procfd, "exe", path, PATH_MAX);

	if (n < 0)
		return -errno;
	if (n == PATH_MAX)
		return -ENAMETOOLONG;
	path[n] = '\0';
	if (fstatat(procfd, "exe", &stat, 0) < 0)
		return -errno;
	strip_deleted(path, (size_t)n, &stat);
	*ret_stat = stat;
	return 0;
}

bool belay__exe_same_path(const char *left, const char *right)
{
	char *real_left, *real_right;
	bool same;

	if (strcmp(left, right) == 0)
		return true;
	real_left = realpath(left, NULL);
	real_right = realpath(right, NULL);
	same = strcmp(real_left != NULL ? real_left : left,
		       real_right != NULL ? real_right : right) == 0;
	free(real_left);
	free(real_right);
	return same;
}

int belay__exe_hash_of(int procfd, const struct stat *stat, unsigned kinds,
	struct belay_hashes *hashes, uint64_t deadline_ns, struct belay__exe_hash *ret_hash)
{
	_cleanup_close_ int fd = -EBADF;

	if (belay__hashes_find(hashes, stat, kinds, ret_hash))
		return 0;
	fd = belay__proc_open_file(procfd, "exe");
	return fd < 0 ? fd : belay__exe_hash(fd, kinds, hashes, deadline_ns, ret_hash);
}

int belay__exe_still(pid_t pid, const struct stat *exe)
{
	struct stat now;
	char path[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	if (stat(path, &now) < 0)
		return errno == ENOMEM ? -ENOMEM : 0;
	/* The time of change counts renames and removals, too, which the process outlives. */
	return now.st_dev == exe->st_dev && now.st_ino == exe->st_ino &&
		now.st_size == exe->st_size && now.st_mtim.tv_sec == exe->st_mtim.tv_sec &&
		now.st_mtim.tv_nsec == exe->st_mtim.tv_nsec;
}
