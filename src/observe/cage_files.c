/* What is left of the file system: Landlock by its system calls, as the C library has no names for
 * them. */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "identity/proc_file.h"
#include "identity/proc_text.h"
#include "observe/cage.h"

/* linux/landlock.h, of which older ones lack the later half. */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule       445
#define SYS_landlock_restrict_self  446
#endif
#define CREATE_RULESET_VERSION 1U
#define RULE_PATH_BENEATH      1

enum {
	FS_WRITE_FILE = 1 << 1,
	FS_READ_FILE = 1 << 2,
	FS_READ_DIR = 1 << 3,
	FS_REMOVE_FILE = 1 << 5,
	FS_MAKE_REG = 1 << 8,
	NET_BIND_TCP = 1 << 0,
	NET_CONNECT_TCP = 1 << 1,
	SCOPE_ABSTRACT_UNIX_SOCKET = 1 << 0,
	SCOPE_SIGNAL = 1 << 1,
};

struct ruleset {
	uint64_t fs, net, scoped;
};

struct path_beneath {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

/* What each version can refuse, from 1. */
static const struct {
	uint64_t fs;
	size_t size;
} versions[] = {
	{ (UINT64_C(1) << 13) - 1, sizeof(uint64_t) },
	{ (UINT64_C(1) << 14) - 1, sizeof(uint64_t) },
	{ (UINT64_C(1) << 15) - 1, sizeof(uint64_t) },
	{ (UINT64_C(1) << 15) - 1, 2 * sizeof(uint64_t) },
	{ (UINT64_C(1) << 16) - 1, 2 * sizeof(uint64_t) },
	{ (UINT64_C(1) << 16) - 1, 3 * sizeof(uint64_t) },
};

static int allow_fd(int ruleset, int fd, uint64_t allowed)
{
	const struct path_beneath rule = { .allowed = allowed, .parent_fd = fd };

	return syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0U) < 0 ? -errno
											 : 0;
}

/* A place that is not there cannot be reached, either. */
static int allow_path(int ruleset, const char *path, uint64_t allowed)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);

	return fd < 0 ? 0 : allow_fd(ruleset, fd, allowed);
}

/* Hierarchies of cgroups lie where they were mounted. */
static int allow_cgroups(int ruleset)
{
	static const char *const types[] = { "cgroup2", "cgroup" };
	_cleanup_close_ int fd = open("/proc/self/mounts", O_RDONLY | O_CLOEXEC);
	struct belay__lines lines;
	char point[256];
	const char *line;
	size_t len;
	int r = 0;

	if (fd < 0)
		return 0;
	belay__lines_start(&lines, fd);
	while (r == 0 && belay__lines_next(&lines, &line, &len) == 1)
		for (unsigned i = 0; i < 2 && r == 0; i++)
			if (belay__parse_mount_line(line, len, types[i], NULL, point,
				    sizeof(point)) == 1)
				r = allow_path(ruleset, point, FS_READ_FILE | FS_READ_DIR);
	return r;
}

static int allow_directory_of(int ruleset, const char *file)
{
	const char *slash = strrchr(file, '/');
	char directory[4096];
	size_t len = slash == NULL ? 0 : (size_t)(slash - file);

	if (len >= sizeof(directory))
		return -ENAMETOOLONG;
	memcpy(directory, slash == NULL ? "." : file, slash == NULL ? 1 : len + 1);
	directory[slash == NULL ? 1 : len + (len == 0)] = '\0';
	return allow_path(ruleset, directory, FS_WRITE_FILE | FS_MAKE_REG | FS_REMOVE_FILE);
}

static int allow_all(int ruleset, const struct belay__cage_files *files)
{
	int r = allow_path(ruleset, "/proc", FS_READ_FILE | FS_READ_DIR);

	if (r == 0)
		r = allow_cgroups(ruleset);
	if (r == 0 && files->removable_dirfd >= 0)
		r = allow_fd(ruleset, files->removable_dirfd,
			FS_READ_FILE | FS_READ_DIR | FS_REMOVE_FILE);
	if (r == 0 && files->textfile != NULL && files->textfile[0] != '\0')
		r = allow_directory_of(ruleset, files->textfile);
	return r;
}

int belay__cage_landlock_most = sizeof(versions) / sizeof(versions[0]);

int belay__cage_paths(const struct belay__cage_files *files)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);
	int known = sizeof(versions) / sizeof(versions[0]);
	int most = belay__cage_landlock_most < known ? belay__cage_landlock_most : known;
	int version = abi < most ? (int)abi : most;
	_cleanup_close_ int fd = -EBADF;
	struct ruleset ruleset;
	int r;

	if (abi < 1)
		return 0;
	ruleset = (struct ruleset){ .fs = versions[version - 1].fs,
		.net = NET_BIND_TCP | NET_CONNECT_TCP,
		.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL };
	fd = (int)syscall(SYS_landlock_create_ruleset, &ruleset, versions[version - 1].size, 0U);
	if (fd < 0)
		return -errno;
	r = allow_all(fd, files);
	if (r < 0)
		return r;
	return syscall(SYS_landlock_restrict_self, fd, 0U) < 0 ? -errno : version;
}
