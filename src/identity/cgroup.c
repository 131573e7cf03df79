#include "identity/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/vfs.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "identity/proc_file.h"
#include "identity/proc_text.h"

enum { PATH_ROOM = 1024 };

enum hierarchy { UNIFIED, FREEZER, HIERARCHIES };

/* Where each hierarchy is mounted on nearly all hosts, and how the mount table tells it
 * otherwise. */
static const struct {
	const char *usual[2];
	long magic;
	const char *type, *option;
} hierarchies[HIERARCHIES] = {
	[UNIFIED] = { { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }, CGROUP2_SUPER_MAGIC,
		"cgroup2", NULL },
	[FREEZER] = { { "/sys/fs/cgroup/freezer", "/cgroup/freezer" }, CGROUP_SUPER_MAGIC, "cgroup",
		"freezer" },
};

/* Each of those that read lines has a buffer of 4 KiB; inlined into one function they would be on
 * the stack together. */
__attribute__((noinline)) static int find_in_mounts(enum hierarchy hierarchy, char *point,
	size_t size)
{
	_cleanup_close_ int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
	struct belay__lines lines;
	const char *line;
	size_t len;
	int r;

	if (fd < 0)
		return -errno;
	belay__lines_start(&lines, fd);
	while ((r = belay__lines_next(&lines, &line, &len)) == 1) {
		if (belay__parse_mount_line(line, len, hierarchies[hierarchy].type,
			    hierarchies[hierarchy].option, point, size) == 1)
			return 0;
	}
	return r < 0 ? r : -ENOENT;
}

static int find_mount(enum hierarchy hierarchy, char *point, size_t size)
{
	for (size_t i = 0; i < 2; i++) {
		const char *usual = hierarchies[hierarchy].usual[i];
		struct statfs stat;

		if (statfs(usual, &stat) == 0 && (long)stat.f_type == hierarchies[hierarchy].magic) {
			memcpy(point, usual, strlen(usual) + 1);
			return 0;
		}
	}
	return find_in_mounts(hierarchy, point, size);
}

/* PATH leads out of the tree that we see (another cgroup namespace): its files are not where we
 * would look. */
static bool leads_outside(const char *path, size_t len)
{
	return len >= 3 && memcmp(path, "/..", 3) == 0 && (len == 3 || path[3] == '/');
}

static bool line_is_of(const struct belay__cgroup_line *line, enum hierarchy hierarchy)
{
	if (hierarchy == UNIFIED)
		return line->unified;
	return belay__list_has(line->controllers, line->controllers_len, "freezer");
}

/* The process's path in HIERARCHY. 0, -ENOENT when it is in none, or another negative errno. */
__attribute__((noinline)) static int find_path(int procfd, enum hierarchy hierarchy, char *path,
	size_t size)
{
	_cleanup_close_ int fd = belay__proc_open_file(procfd, "cgroup");
	struct belay__lines lines;
	struct belay__cgroup_line cgroup;
	const char *line;
	size_t len;
	int r;

	if (fd < 0)
		return fd == -ENOENT ? -ESRCH : fd;
	belay__lines_start(&lines, fd);
	while ((r = belay__lines_next(&lines, &line, &len)) == 1) {
		if (belay__parse_cgroup_line(line, len, &cgroup) < 0 ||
			!line_is_of(&cgroup, hierarchy))
			continue;
		if (cgroup.path_len >= size)
			return -ENAMETOOLONG;
		if (leads_outside(cgroup.path, cgroup.path_len))
			return -EXDEV;
		memcpy(path, cgroup.path, cgroup.path_len);
		path[cgroup.path_len] = '\0';
		return 0;
	}
	return r < 0 ? r : -ENOENT;
}

/* Reads FILE of the process's cgroup in HIERARCHY. Bytes read; -ENOENT when it is in no such
 * hierarchy or at its root, where there are no such files; -ENXIO when its cgroup or the
 * hierarchy's mount is not to be found; another negative errno. */
static ssize_t read_cgroup_file(int procfd, enum hierarchy hierarchy, const char *file, char *bytes,
	size_t size)
{
	char path[PATH_ROOM], point[256], full[PATH_ROOM + 512];
	struct belay__text text;
	ssize_t n;
	int r = find_path(procfd, hierarchy, path, sizeof(path));
	bool at_root = r == 0 && path[1] == '\0';

	if (r < 0)
		return r;
	r = find_mount(hierarchy, point, sizeof(point));
	if (r < 0)
		return at_root ? -ENOENT : -ENXIO;

	belay__text_init(&text, full, sizeof(full));
	belay__text_add(&text, point);
	belay__text_add(&text, at_root ? "" : path);
	belay__text_add(&text, "/");
	belay__text_add(&text, file);
	if (text.overflowed)
		return -ENAMETOOLONG;
	n = belay__read_file(AT_FDCWD, full, bytes, size);
	return n == -ENOENT && !at_root ? -ENXIO : n;
}

static int frozen_by_freezer(int procfd)
{
	char bytes[64];
	ssize_t n = read_cgroup_file(procfd, FREEZER, "freezer.state", bytes, sizeof(bytes));

	if (n < 0)
		return n == -ENOENT ? 0 : (int)n;
	return strncmp(bytes, "FROZEN", 6) == 0 || strncmp(bytes, "FREEZING", 8) == 0;
}

static int frozen_by_unified(int procfd)
{
	char bytes[256];
	ssize_t n = read_cgroup_file(procfd, UNIFIED, "cgroup.events", bytes, sizeof(bytes));

	if (n < 0)
		return n == -ENOENT ? 0 : (int)n;
	return strncmp(bytes, "frozen 1\n", 9) == 0 || strstr(bytes, "\nfrozen 1\n") != NULL;
}

int belay__cgroup_frozen(int procfd)
{
	int unified = frozen_by_unified(procfd);
	int freezer;

	if (unified > 0)
		return 2;
	freezer = frozen_by_freezer(procfd);
	if (freezer > 0)
		return 1;
	return unified < 0 ? unified : freezer;
}

int belay__cgroup_cpu_pressure(int procfd, uint32_t *ret_milli)
{
	char bytes[256];
	ssize_t n = read_cgroup_file(procfd, UNIFIED, "cpu.pressure", bytes, sizeof(bytes));

	if (n < 0)
		n = belay__read_file(AT_FDCWD, "/proc/pressure/cpu", bytes, sizeof(bytes));
	return n < 0 ? (int)n : belay__parse_pressure(bytes, (size_t)n, ret_milli);
}
