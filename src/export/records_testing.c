#include "export/records_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"

char belay__test_directory[64], belay__test_path[96];

static int remove_one(const char *name, const struct stat *stat, int kind, struct FTW *ftw)
{
	(void)stat;
	(void)kind;
	(void)ftw;
	return remove(name);
}

int belay__test_make_directory(void **state)
{
	(void)state;
	(void)snprintf(belay__test_directory, sizeof(belay__test_directory),
		"/tmp/belay-records-XXXXXX");
	if (mkdtemp(belay__test_directory) == NULL)
		return -1;
	(void)snprintf(belay__test_path, sizeof(belay__test_path), "%s/records",
		belay__test_directory);
	return 0;
}

int belay__test_remove_directory(void **state)
{
	(void)state;
	return nftw(belay__test_directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

const char *belay__test_generation(unsigned i)
{
	static char names[10][128];

	assert_true(i < 10);
	if (i == 0)
		return belay__test_path;
	(void)snprintf(names[i], sizeof(names[i]), "%s.%u", belay__test_path, i);
	return names[i];
}

void belay__test_write_file(const char *name, const char *bytes, size_t len)
{
	_cleanup_close_ int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, bytes, len), 0);
}

const char *belay__test_read_file(const char *name, size_t *ret_len)
{
	static char bytes[1 << 20];
	ssize_t len = belay__read_file(AT_FDCWD, name, bytes, sizeof(bytes));

	assert_true(len >= 0);
	if (ret_len != NULL)
		*ret_len = (size_t)len;
	return bytes;
}

uint64_t belay__test_file_size(const char *name)
{
	struct stat status;

	assert_int_equal(stat(name, &status), 0);
	return (uint64_t)status.st_size;
}

bool belay__test_exists(const char *name)
{
	struct stat status;

	return lstat(name, &status) == 0;
}

bool belay__test_on_small_disk(int (*body)(void))
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
			mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
			mount("tmpfs", belay__test_directory, "tmpfs", 0, "size=64k,mode=700") < 0)
			_exit(77);
		_exit(body());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		return false;
	assert_int_equal(WEXITSTATUS(status), 0);
	return true;
}

int belay__test_fill_disk(int *ret_fd)
{
	char ballast[4096] = { 0 };
	int fd, r;

	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", belay__test_directory);
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while ((r = belay__write_all(fd, ballast, sizeof(ballast))) == 0)
		;
	*ret_fd = fd;
	return r == -ENOSPC ? 0 : -EINVAL;
}

void belay__test_limit_file_size(uint64_t bytes)
{
	struct rlimit limit;

	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}
