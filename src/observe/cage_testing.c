#include "observe/cage_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { NO_CAGE = 500 };

char directory[64], inside[96], outside[96];
int directory_fd, status_fd;

int make_directory(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/belay-cage-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(inside, sizeof(inside), "%s/metrics.prom", directory);
	(void)snprintf(outside, sizeof(outside), "%s-outside", directory);
	fd = open(outside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	(void)close(fd);
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return directory_fd < 0 ? -1 : 0;
}

int remove_directory(void **state)
{
	(void)state;
	(void)close(directory_fd);
	(void)unlink(outside);
	return rmdir(directory);
}

int result_of(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

int caged(enum belay__cage_kind kind, const struct belay__cage_files *files, int (*act)(void))
{
	const struct belay__cage_files none = { .removable_dirfd = -EBADF };
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		if (belay__cage(kind, files != NULL ? files : &none, NULL, NULL) < 0)
			_exit(NO_CAGE & 0xff);
		_exit(act() < 0 ? errno : 0);
	}
	return result_of(child);
}

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, 1U);

	return abi < 0 ? 0 : (int)abi;
}

int makes_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

int executes(void)
{
	char *const argv[] = { (char *)(uintptr_t) "/bin/true", NULL };

	return execve(argv[0], argv, NULL);
}

int opens_for_writing(void)
{
	return open("/proc/self/comm", O_RDWR | O_CLOEXEC);
}

int makes_a_file(void)
{
	return open(inside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

int removes_a_file(void)
{
	return unlinkat(directory_fd, "note", 0);
}

int reads_proc(void)
{
	char text[64];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : (int)read(fd, text, sizeof(text));
}
