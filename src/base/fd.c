#include "base/fd.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/resource.h>
#include <unistd.h>

int belay__close(int fd)
{
	if (fd >= 0) {
		int saved = errno;

		/* Linux frees the number even when close() reports an error, so it is never
		 * repeated. */
		(void)close(fd);
		errno = saved;
	}
	return -EBADF;
}

int belay__fd_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0)
		return -errno;
	if ((flags & O_NONBLOCK) != 0)
		return 0;
	return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int belay__fd_fill_stdio(void)
{
	for (int wanted = STDIN_FILENO; wanted <= STDERR_FILENO; wanted++) {
		int fd;

		if (fcntl(wanted, F_GETFD) >= 0)
			continue;
		/* The lowest number that is free; programs started later have it, too. For reading
		 * only: what is written to a closed output is an error, not lost in silence. */
		fd = open("/dev/null", O_RDONLY | O_NOCTTY | O_CLOEXEC);
		if (fd < 0 || fcntl(fd, F_SETFD, 0) < 0)
			return -errno;
	}
	return 0;
}

unsigned belay__fd_raise_limit(void)
{
	struct rlimit limit, wanted;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;

	wanted = limit;
	wanted.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &wanted) == 0)
		limit = wanted;
	return limit.rlim_cur > UINT_MAX ? UINT_MAX : (unsigned)limit.rlim_cur;
}

int belay__fd_count(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int count = 0;

	if (directory == NULL)
		return -errno;

	for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
		if (entry->d_name[0] != '.')
			count++;

	(void)closedir(directory);
	return count - 1;
}
