#include "observe/crash_directory.h"
#include "observe/crash_note.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

static char directory[64], socket_path[80], crashes[96];

static int begin(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/belay-crash-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(socket_path, sizeof(socket_path), "%s/b.sock", directory);
	(void)snprintf(crashes, sizeof(crashes), "%s.crash", socket_path);
	return 0;
}

static int end(void **state)
{
	(void)state;
	(void)unlink(crashes);
	(void)rmdir(crashes);
	return rmdir(directory);
}

static void write_note(const char *name, const char *text)
{
	char path[160];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", crashes, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static bool is_there(int fd, const char *name)
{
	return faccessat(fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void it_is_made_for_its_user_alone_and_goes_again(void **state)
{
	_cleanup_close_ int fd = belay__crash_directory_open(socket_path, NULL);
	struct stat st;
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(stat(crashes, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(st.st_uid, geteuid());
	belay__crash_directory_remove(socket_path, fd);
	assert_int_equal(access(crashes, F_OK), -1);
	belay__crash_directory_remove(socket_path, -EBADF);
}

static void what_nobody_has_read_yet_and_who_lives_stays(void **state)
{
	static const char *const stale[] = { "999999998", "999999999", "0", "x", "01",
		"4294967297" };
	char long_one[BELAY__CRASH_NOTE_MAX + 2];
	_cleanup_close_ int fd = -EBADF;
	char own[16];
	(void)state;

	assert_int_equal(mkdir(crashes, 0700), 0);
	(void)snprintf(own, sizeof(own), "%d", (int)getpid());
	write_note(own, "");
	memset(long_one, 'a', sizeof(long_one) - 1);
	long_one[sizeof(long_one) - 1] = '\0';
	write_note(stale[0], long_one);
	write_note("2147483646", "not read yet");
	for (size_t i = 1; i < sizeof(stale) / sizeof(stale[0]); i++)
		write_note(stale[i], "");
	fd = belay__crash_directory_open(socket_path, NULL);
	assert_true(fd >= 0);
	assert_true(is_there(fd, own));
	for (size_t i = 0; i < sizeof(stale) / sizeof(stale[0]); i++)
		assert_false(is_there(fd, stale[i]));
	assert_true(is_there(fd, "2147483646"));

	/* Who lives keeps his note beyond this observer. */
	belay__crash_directory_remove(socket_path, fd);
	assert_true(is_there(fd, own));
	assert_false(is_there(fd, "2147483646"));
	write_note(own, "x");
	belay__crash_directory_remove(socket_path, fd);
	assert_int_equal(access(crashes, F_OK), -1);
}

static void one_that_others_can_reach_is_not_used(void **state)
{
	struct belay_error error = { .text = "" };
	(void)state;

	assert_int_equal(mkdir(crashes, 0700), 0);
	assert_int_equal(chmod(crashes, 0755), 0);
	assert_int_equal(belay__crash_directory_open(socket_path, &error), -EPERM);
	assert_non_null(strstr(error.text, "chmod 700"));
	assert_int_equal(rmdir(crashes), 0);

	assert_int_equal(symlink(directory, crashes), 0);
	assert_true(belay__crash_directory_open(socket_path, &error) < 0);
	assert_int_equal(unlink(crashes), 0);

	if (geteuid() != 0)
		return;
	assert_int_equal(mkdir(crashes, 0700), 0);
	assert_int_equal(chown(crashes, 65534, 65534), 0);
	assert_int_equal(belay__crash_directory_open(socket_path, &error), -EPERM);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(it_is_made_for_its_user_alone_and_goes_again),
		TEST(what_nobody_has_read_yet_and_who_lives_stays),
		TEST(one_that_others_can_reach_is_not_used),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
