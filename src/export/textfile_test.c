#include "export/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"

static char directory[] = "/tmp/belay-textfile-XXXXXX";
static char path[64], temporary[72];

static int make_directory(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/belay.prom", directory);
	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	(void)unlink(path);
	return rmdir(directory);
}

static void assert_contents(const char *wanted)
{
	char text[64];
	struct stat stat;

	assert_int_equal(belay__read_file(AT_FDCWD, path, text, sizeof(text)), strlen(wanted));
	assert_string_equal(text, wanted);
	assert_int_equal(lstat(path, &stat), 0);
	assert_int_equal(stat.st_mode, S_IFREG | 0644);
	assert_int_equal(access(temporary, F_OK), -1);
}

static void a_file_is_made_and_replaced_whole(void **state)
{
	const int fds = belay__fd_count();
	const mode_t mask = umask(077);
	(void)state;

	assert_int_equal(belay__textfile_write(path, "one\n", 4, false, NULL), 0);
	assert_contents("one\n");
	/* Who has the old one open goes on reading the old one. */
	{
		_cleanup_close_ int old = open(path, O_RDONLY | O_CLOEXEC);
		char text[8] = "";

		assert_int_equal(belay__textfile_write(path, "another\n", 8, true, NULL), 0);
		assert_contents("another\n");
		assert_int_equal(read(old, text, sizeof(text) - 1), 4);
		assert_string_equal(text, "one\n");
	}
	assert_int_equal(belay__textfile_write(path, "", 0, false, NULL), 0);
	assert_contents("");
	(void)umask(mask);
	assert_int_equal(belay__fd_count(), fds);
}

static void what_a_killed_writer_left_is_no_obstacle(void **state)
{
	_cleanup_close_ int left = open(temporary, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	(void)state;

	assert_true(left >= 0);
	assert_int_equal(belay__textfile_write(path, "new", 3, false, NULL), 0);
	assert_contents("new");
	/* Nor is a trap: a link there is not followed. */
	assert_int_equal(symlink(path, temporary), 0);
	assert_int_equal(belay__textfile_write(path, "newer", 5, false, NULL), 0);
	assert_contents("newer");
}

static void what_is_no_regular_file_stays(void **state)
{
	struct belay_error error = { 0 };
	struct stat stat;
	(void)state;

	(void)unlink(path);
	assert_int_equal(symlink("/nowhere", path), 0);
	assert_int_equal(belay__textfile_write(path, "x", 1, false, &error), -EINVAL);
	assert_non_null(strstr(error.text, "not a regular file"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(belay__textfile_write(path, "x", 1, false, NULL), -EINVAL);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(lstat(temporary, &stat), -1);
}

static void a_directory_that_is_not_there_is_an_error_with_its_name(void **state)
{
	struct belay_error error = { 0 };
	char longest[5000];
	(void)state;

	assert_int_equal(belay__textfile_write("/nowhere/at/all.prom", "x", 1, false, &error),
		-ENOENT);
	assert_non_null(strstr(error.text, "/nowhere/at/all.prom"));
	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(belay__textfile_write(longest, "x", 1, false, NULL), -ENAMETOOLONG);
}

static void a_write_that_fails_leaves_the_old_file(void **state)
{
	const struct rlimit small = { 4096, RLIM_INFINITY };
	struct rlimit before;
	static char big[8192];
	struct belay_error error = { 0 };
	(void)state;

	memset(big, 'b', sizeof(big));
	assert_int_equal(belay__textfile_write(path, "old", 3, false, NULL), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(belay__textfile_write(path, big, sizeof(big), false, &error), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_non_null(strstr(error.text, path));
	assert_contents("old");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_made_and_replaced_whole),
		cmocka_unit_test(what_a_killed_writer_left_is_no_obstacle),
		cmocka_unit_test(what_is_no_regular_file_stays),
		cmocka_unit_test(a_directory_that_is_not_there_is_an_error_with_its_name),
		cmocka_unit_test(a_write_that_fails_leaves_the_old_file),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
