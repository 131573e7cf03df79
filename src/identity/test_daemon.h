/* test_daemon.h - executables of our own in a directory of our own, and processes that run them
 *
 * The test's program itself is copied; called as "NAME sleeps" it does nothing else.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "identity/test_child.h"

static char test_dir[] = "/tmp/belay-daemon-XXXXXX";

static inline int test_make_dir(void **state)
{
	(void)state;
	return mkdtemp(test_dir) == NULL ? -1 : 0;
}

static inline int test_remove_dir(void **state)
{
	(void)state;
	return rmdir(test_dir);
}

/* A path in it; four at a time are valid. */
static inline const char *in_dir(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", test_dir, name);
	return path;
}

/* Copies the running program to PATH; MORE bytes behind it make another hash and change nothing. */
static inline void copy_self(const char *path, size_t more)
{
	_cleanup_close_ int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);

	assert_true(from >= 0 && to >= 0);
	for (ssize_t n = 1; n > 0;) {
		n = sendfile(to, from, NULL, 1 << 20);
		assert_return_code(n, errno);
	}
	while (more-- > 0)
		assert_int_equal(write(to, "", 1), 1);
}

struct execution {
	const char *path;
	int ready; /* closed by the execution */
};

static inline int body_executes(void *argument)
{
	const struct execution *execution = argument;
	char *const arguments[] = { (char[]){ "daemon" }, (char[]){ "sleeps" }, NULL };

	(void)execv(execution->path, arguments);
	(void)!write(execution->ready, "!", 1);
	return 98;
}

/* A child that runs PATH by now. */
static inline struct child child_execute(const char *path)
{
	struct execution execution = { .path = path };
	struct child child;
	int ends[2];
	char byte;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	execution.ready = ends[1];
	child = child_start(body_executes, &execution);
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0);
	(void)close(ends[0]);
	return child;
}

/* For the beginning of main(). */
static inline void sleep_if_told(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "sleeps") == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
}
