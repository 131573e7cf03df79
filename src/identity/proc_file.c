#include "identity/proc_file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/proc_text.h"

enum { PATH_ROOM = 64 };

static void make_path(char path[static PATH_ROOM], pid_t pid, const char *file)
{
	struct belay__text text;

	belay__text_init(&text, path, PATH_ROOM);
	belay__text_add(&text, "/proc/");
	belay__text_add_i64(&text, pid);
	if (file != NULL) {
		belay__text_add(&text, "/");
		belay__text_add(&text, file);
	}
	assert(!text.overflowed);
}

/* What ERROR, met on the way to /proc/PID, means. With hidepid=2 a process that is there has no
 * directory either; getpgid() needs no permission and knows better. */
static int process_error(pid_t pid, int error)
{
	switch (error) {
	case ENOENT:
		return getpgid(pid) < 0 && errno == ESRCH ? -ESRCH : -EACCES;
	case EPERM:
		return -EACCES;
	default:
		return -error;
	}
}

int belay__proc_open(pid_t pid)
{
	char path[PATH_ROOM];
	int fd;

	if (pid <= 0)
		return -ESRCH;
	make_path(path, pid, NULL);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? process_error(pid, errno) : fd;
}

int belay__proc_open_file(int procfd, const char *file)
{
	int fd = openat(procfd, file, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	return fd < 0 ? -errno : fd;
}

ssize_t belay__proc_read(pid_t pid, const char *file, char *buffer, size_t size)
{
	char path[PATH_ROOM];
	ssize_t n;

	if (pid <= 0)
		return -ESRCH;
	make_path(path, pid, file);
	n = belay__read_file(AT_FDCWD, path, buffer, size);
	return n < 0 ? process_error(pid, (int)-n) : n;
}

ssize_t belay__proc_readlink(pid_t pid, const char *file, char *link, size_t size)
{
	char path[PATH_ROOM];
	ssize_t n;

	if (pid <= 0)
		return -ESRCH;
	make_path(path, pid, file);
	n = readlink(path, link, size);
	if (n < 0)
		return process_error(pid, errno);
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	link[n] = '\0';
	return n;
}

/* A stat file is one record: one read takes it whole, and the end need not be looked for, which
 * counts when somebody waits to hear of a process's end. */
static int read_stat(int dirfd, const char *path, struct belay__stat *ret_stat)
{
	_cleanup_close_ int fd = belay__proc_open_file(dirfd, path);
	char bytes[2048];
	ssize_t n;

	if (fd < 0)
		return fd;
	do
		n = read(fd, bytes, sizeof(bytes));
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : belay__parse_stat(bytes, (size_t)n, ret_stat);
}

int belay__proc_stat(pid_t pid, struct belay__stat *ret_stat)
{
	char path[PATH_ROOM];
	int r;

	if (pid <= 0)
		return -ESRCH;
	make_path(path, pid, "stat");
	r = read_stat(AT_FDCWD, path, ret_stat);
	return r == -ENOENT || r == -EPERM ? process_error(pid, -r) : r;
}

int belay__proc_stat_at(int procfd, const char *file, struct belay__stat *ret_stat)
{
	int r = read_stat(procfd, file, ret_stat);

	return r == -ENOENT ? -ESRCH : r;
}

int belay__proc_open_stat(pid_t pid, uint64_t start_ticks, struct belay__stat *ret_stat)
{
	_cleanup_close_ int procfd = belay__proc_open(pid);
	struct belay__stat stat = { 0 };
	int r;

	if (procfd < 0)
		return procfd;
	r = belay__proc_stat_at(procfd, "stat", &stat);
	if (r < 0)
		return r;
	if (stat.start_ticks != start_ticks)
		return -ESRCH;
	*ret_stat = stat;
	return TAKE_FD(procfd);
}

int belay__proc_status_at(int procfd, const char *key, bool last, uint64_t *ret_number)
{
	_cleanup_close_ int fd = belay__proc_open_file(procfd, "status");
	struct belay__lines lines;
	const char *line;
	size_t len;
	int r;

	if (fd < 0)
		return fd;
	belay__lines_start(&lines, fd);
	while ((r = belay__lines_next(&lines, &line, &len)) == 1) {
		r = belay__parse_status_line(line, len, key, last, ret_number);
		if (r != 0)
			return r < 0 ? r : 0;
	}
	return r < 0 ? r : -ENOENT;
}

bool belay__proc_permitted(int procfd)
{
	char link[64];

	return readlinkat(procfd, "ns/pid", link, sizeof(link)) > 0;
}

void belay__lines_start(struct belay__lines *lines, int fd)
{
	lines->fd = fd;
	lines->skipping = lines->at_end = false;
	lines->start = lines->end = 0;
}

/* Makes room and reads more. 0 or a negative errno. */
static int refill(struct belay__lines *lines)
{
	ssize_t n;

	if (lines->start > 0) {
		memmove(lines->chunk, lines->chunk + lines->start, lines->end - lines->start);
		lines->end -= lines->start;
		lines->start = 0;
	}
	if (lines->end == sizeof(lines->chunk)) {
		lines->end = 0;
		lines->skipping = true;
	}
	do
		n = read(lines->fd, lines->chunk + lines->end, sizeof(lines->chunk) - lines->end);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	lines->at_end = n == 0;
	lines->end += (size_t)n;
	return 0;
}

int belay__lines_next(struct belay__lines *lines, const char **ret_line, size_t *ret_len)
{
	for (;;) {
		const char *line = lines->chunk + lines->start;
		size_t have = lines->end - lines->start;
		const char *newline = have > 0 ? memchr(line, '\n', have) : NULL;
		bool skipped = lines->skipping;
		int r;

		if (newline != NULL || (lines->at_end && have > 0)) {
			size_t len = newline == NULL ? have : (size_t)(newline - line);

			lines->start += newline == NULL ? len : len + 1;
			lines->skipping = false;
			if (skipped)
				continue;
			*ret_line = line;
			*ret_len = len;
			return 1;
		}
		if (lines->at_end)
			return 0;
		r = refill(lines);
		if (r < 0)
			return r;
	}
}
