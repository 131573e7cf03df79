#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

/* Each test stands in an empty directory of its own, removed afterwards. */
static char directory[sizeof("/tmp/belay-file-test-XXXXXX")];

static int enter_directory(void **state)
{
	(void)state;
	memcpy(directory, "/tmp/belay-file-test-XXXXXX", sizeof(directory));
	return mkdtemp(directory) == NULL || chdir(directory) < 0 ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *place)
{
	(void)stat;
	(void)type;
	(void)place;
	return remove(path);
}

static int leave_directory(void **state)
{
	(void)state;
	return chdir("/") < 0 || nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0 ? -1 : 0;
}

static void write_file(const char *path, const char *content, mode_t mode)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, content, strlen(content)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static void reading_stops_at_the_end_or_at_the_buffer(void **state)
{
	char buffer[8] = "unread";
	(void)state;

	assert_int_equal(belay__read_file(AT_FDCWD, "none", buffer, sizeof(buffer)), -ENOENT);
	assert_string_equal(buffer, "unread");

	write_file("file", "1234567", 0600);
	assert_int_equal(belay__read_file(AT_FDCWD, "file", buffer, 9 - 1), 7);
	assert_string_equal(buffer, "1234567");
	assert_int_equal(belay__read_file(AT_FDCWD, "file", buffer, 7), 6);
	assert_string_equal(buffer, "123456");
	assert_int_equal(belay__read_file(AT_FDCWD, "file", buffer, 1), 0);
	assert_string_equal(buffer, "");
	assert_int_equal(belay__read_file(AT_FDCWD, ".", buffer, sizeof(buffer)), -EISDIR);
}

static void reading_is_relative_to_the_directory(void **state)
{
	_cleanup_close_ int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char buffer[32];
	(void)state;

	assert_true(proc >= 0);
	assert_true(belay__read_file(proc, "comm", buffer, sizeof(buffer)) > 0);
	assert_non_null(strchr(buffer, '\n'));
}

static void writing_stops_at_an_error(void **state)
{
	_cleanup_close_ int reading = -EBADF, writing = -EBADF;
	static char block[65536];
	int ends[2];
	(void)state;

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	reading = ends[0];
	writing = ends[1];
	assert_int_equal(belay__write_all(writing, "", 0), 0);
	assert_int_equal(belay__write_all(writing, block, sizeof(block)), 0);
	assert_int_equal(belay__write_all(writing, block, sizeof(block)), -EAGAIN);
	assert_int_equal(belay__write_all(reading, "x", 1), -EBADF);
}

static int trusted(const char *path)
{
	struct belay_error error = { .code = 1 };
	_cleanup_close_ int fd = belay__open_trusted(path, &error);

	/* A sentence comes with a failure and only then. */
	assert_int_equal(error.code, fd < 0 ? fd : 1);
	assert_int_equal(error.text[0] != '\0', fd < 0);
	if (fd >= 0)
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	return fd < 0 ? fd : 0;
}

static void configuration_is_trusted_when_nobody_else_can_write_it(void **state)
{
	static const struct {
		mode_t mode;
		int r;
	} cases[] = {
		{ 0600, 0 },
		{ 0644, 0 },
		{ 0664, -EPERM },
		{ 0646, -EPERM },
		{ 0622, -EPERM },
	};
	(void)state;

	assert_int_equal(trusted("none"), -ENOENT);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file("file", "x", cases[i].mode);
		assert_int_equal(trusted("file"), cases[i].r);
	}
	assert_int_equal(belay__open_trusted("none", NULL), -ENOENT);
}

static void a_secret_that_others_could_see_is_to_be_made_anew(void **state)
{
	static const mode_t modes[] = { 0640, 0604, 0620, 0602, 0610, 0666, 0777 };
	struct belay_error error;
	(void)state;

	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_file("file", "x", modes[i]);
		assert_int_equal(belay__open_secret("file", "token", &error), -EPERM);
		assert_non_null(strstr(error.text, "make a new token"));
	}
	write_file("file", "x", 0600);
	_cleanup_close_ int fd = belay__open_secret("file", "token", &error);
	assert_true(fd >= 0);
	assert_int_equal(belay__open_secret("none", "token", NULL), -ENOENT);
}

static void configuration_is_a_regular_file_itself(void **state)
{
	(void)state;

	write_file("file", "x", 0600);
	assert_int_equal(symlink("file", "link"), 0);
	assert_int_equal(trusted("link"), -ELOOP);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(trusted("fifo"), -EINVAL);
	assert_int_equal(trusted("."), -EINVAL);
}

static void configuration_belongs_to_root_or_to_us(void **state)
{
	(void)state;

	assert_int_equal(trusted("/etc/passwd"), 0);
	if (geteuid() != 0)
		return;
	write_file("file", "x", 0600);
	assert_int_equal(chown("file", 12345, (gid_t)-1), 0);
	assert_int_equal(trusted("file"), -EPERM);
}

static int appendable(const char *path)
{
	struct belay_error error = { .code = 1 };
	_cleanup_close_ int fd = belay__open_append(path, &error);

	assert_int_equal(error.code, fd < 0 ? fd : 1);
	if (fd >= 0) {
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_int_equal(belay__write_all(fd, "+", 1), 0);
	}
	return fd < 0 ? fd : 0;
}

static void appending_creates_and_continues(void **state)
{
	struct stat stat;
	char buffer[8];
	(void)state;

	assert_int_equal(appendable("log"), 0);
	assert_int_equal(appendable("log"), 0);
	assert_int_equal(belay__read_file(AT_FDCWD, "log", buffer, sizeof(buffer)), 2);
	assert_int_equal(lstat("log", &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0600);
	assert_int_equal(appendable("none/log"), -ENOENT);
}

static void appending_refuses_what_leads_elsewhere(void **state)
{
	struct stat stat;
	(void)state;

	assert_int_equal(symlink("target", "link"), 0);
	assert_int_equal(appendable("link"), -ELOOP);
	assert_int_equal(lstat("target", &stat), -1);

	write_file("file", "", 0600);
	assert_int_equal(link("file", "second"), 0);
	assert_int_equal(appendable("file"), -EPERM);
	assert_int_equal(appendable("/dev/null"), -EINVAL);

	if (geteuid() != 0)
		return;
	write_file("foreign", "", 0666);
	assert_int_equal(chown("foreign", 12345, (gid_t)-1), 0);
	assert_int_equal(appendable("foreign"), -EPERM);
}

static mode_t mode_of(const char *path)
{
	struct stat stat;

	assert_int_equal(lstat(path, &stat), 0);
	return stat.st_mode & 07777;
}

static void a_private_directory_gets_public_parents(void **state)
{
	mode_t before = umask(077);
	(void)state;

	assert_int_equal(belay__make_private_dir("a/b//c/", NULL), 0);
	(void)umask(before);
	assert_int_equal(mode_of("a"), 0755);
	assert_int_equal(mode_of("a/b"), 0755);
	assert_int_equal(mode_of("a/b/c"), 0700);
	assert_int_equal(belay__make_private_dir("a/b/c", NULL), 0);
	assert_int_equal(belay__make_private_dir("/", NULL), 0);
}

static void a_private_directory_is_neither_file_nor_link_nor_foreign(void **state)
{
	struct belay_error error = { 0 };
	char longest[5000];
	(void)state;

	assert_int_equal(mkdir("real", 0700), 0);
	assert_int_equal(symlink("real", "link"), 0);
	write_file("file", "", 0600);
	assert_int_equal(belay__make_private_dir("link", &error), -ENOTDIR);
	assert_int_equal(belay__make_private_dir("link/", &error), -ENOTDIR);
	assert_int_equal(belay__make_private_dir("file", &error), -ENOTDIR);
	assert_int_equal(belay__make_private_dir("file/below", &error), -ENOTDIR);
	/* Above it links are common: /var/run is one. */
	assert_int_equal(belay__make_private_dir("link/below", &error), 0);
	assert_int_equal(belay__make_private_dir("", &error), -ENOENT);
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(belay__make_private_dir(longest, &error), -ENAMETOOLONG);

	if (geteuid() != 0)
		return;
	assert_int_equal(chown("real", 12345, (gid_t)-1), 0);
	assert_int_equal(belay__make_private_dir("real", &error), -EPERM);
}

static void memory_file_systems_are_known(void **state)
{
	_cleanup_close_ int memory = memfd_create("belay", MFD_CLOEXEC);
	_cleanup_close_ int proc = open("/proc/self/comm", O_RDONLY | O_CLOEXEC);
	(void)state;

	assert_true(belay__on_tmpfs(memory));
	assert_false(belay__on_tmpfs(proc));
	assert_false(belay__on_tmpfs(-1));
}

#define in_directory(test) cmocka_unit_test_setup_teardown(test, enter_directory, leave_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_directory(reading_stops_at_the_end_or_at_the_buffer),
		cmocka_unit_test(reading_is_relative_to_the_directory),
		cmocka_unit_test(writing_stops_at_an_error),
		in_directory(configuration_is_trusted_when_nobody_else_can_write_it),
		in_directory(a_secret_that_others_could_see_is_to_be_made_anew),
		in_directory(configuration_is_a_regular_file_itself),
		in_directory(configuration_belongs_to_root_or_to_us),
		in_directory(appending_creates_and_continues),
		in_directory(appending_refuses_what_leads_elsewhere),
		in_directory(a_private_directory_gets_public_parents),
		in_directory(a_private_directory_is_neither_file_nor_link_nor_foreign),
		cmocka_unit_test(memory_file_systems_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
