#include "identity/proc_own.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "identity/proc_file.h"

/* The process that was found to have one number only; a fork has another. */
static _Atomic(pid_t) single;

/* The link to oneself is missing, too, where we have no number at all. */
static int no_link(int procfd)
{
	struct statfs fs;

	if (procfd == AT_FDCWD && (statfs("/proc", &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC))
		return -ENOENT;
	return -EXDEV;
}

static int compare_link(int procfd, const char *self, pid_t pid)
{
	char link[16], number[16];
	ssize_t n = readlinkat(procfd, self, link, sizeof(link));
	int len = snprintf(number, sizeof(number), "%d", pid);

	if (n < 0)
		return errno == ENOENT ? no_link(procfd) : -errno;
	return n == len && memcmp(link, number, (size_t)n) == 0 ? 0 : -EXDEV;
}

static unsigned count_numbers(const char *line, size_t len)
{
	unsigned count = 0;

	for (size_t i = 1; i < len; i++)
		count += isdigit((unsigned char)line[i]) && !isdigit((unsigned char)line[i - 1]);
	return count;
}

/* The numbers may be the same by chance. A process has one in each namespace from that of /proc down to
 * its own. A kernel that writes no such line has no such namespaces. */
static int check_single(int procfd, const char *self)
{
	static const char key[] = "NSpid:";
	_cleanup_close_ int selffd = openat(procfd, self, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = selffd < 0 ? -errno : belay__proc_open_file(selffd, "status");
	struct belay__lines lines;
	const char *line;
	size_t len;
	int r;

	if (fd < 0)
		return fd;
	belay__lines_start(&lines, fd);
	while ((r = belay__lines_next(&lines, &line, &len)) == 1)
		if (len >= sizeof(key) && memcmp(line, key, sizeof(key) - 1) == 0)
			return count_numbers(line, len) == 1 ? 0 : -EXDEV;
	return r;
}

int belay__proc_own(int procfd)
{
	/* By way of a directory there it is that very mount, whatever is mounted meanwhile. */
	const char *self = procfd == AT_FDCWD ? "/proc/self" : "../self";
	pid_t pid = getpid();
	int r = compare_link(procfd, self, pid);

	if (r < 0 || atomic_load(&single) == pid)
		return r;
	r = check_single(procfd, self);
	if (r == 0)
		atomic_store(&single, pid);
	return r;
}
