#include "export/generations.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "export/records_testing.h"

#define PATH belay__test_path

static struct belay_error error;

/* Writes generations as named: "0a 3b" makes PATH hold "a" and PATH.3 "b". */
static void make(const char *files)
{
	for (; *files != '\0'; files += files[2] == ' ' ? 3 : 2)
		belay__test_write_file(belay__test_generation((unsigned)(files[0] - '0')),
			files + 1, 1);
}

static void assert_files(const char *wanted)
{
	char files[64] = "";

	for (unsigned i = 0; i < 8; i++) {
		const char *name = belay__test_generation(i);
		size_t len = strlen(files);

		if (belay__test_exists(name))
			(void)snprintf(files + len, sizeof(files) - len, "%s%u%s",
				len > 0 ? " " : "", i, belay__test_read_file(name, NULL));
	}
	assert_string_equal(files, wanted);
}

static void a_new_file_is_private_and_both_read_and_appended_to(void **state)
{
	_cleanup_close_ int fd = belay__generations_open(PATH, &error);
	struct stat stat;
	char bytes[3] = "";
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &stat), 0);
	assert_int_equal(stat.st_mode & 07777, 0600);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(fd, "a", 1), 1);
	fd = belay__close(fd);

	fd = belay__generations_open(PATH, &error);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(write(fd, "b", 1), 1);
	assert_int_equal(pread(fd, bytes, 2, 0), 2);
	assert_string_equal(bytes, "ab");
}

static void each_step_of_a_rotation_fills_the_nearest_gap(void **state)
{
	static const struct {
		const char *before, *steps[9];
	} cases[] = {
		{ "0a", { "1a", "0 1a", NULL } },
		{ "0a 1b", { "0a 2b", "1a 2b", "0 1a 2b", NULL } },
		{ "0a 1b 3c", { "0a 2b 3c", "1a 2b 3c", "0 1a 2b 3c", NULL } },
		{ "0a 2b", { "1a 2b", "0 1a 2b", NULL } },
		{ "1a 2b", { "1a 2b", "0 1a 2b", NULL } },
		{ "0a 1b 2c 3d 4e 5f",
			{ "0a 1b 2c 3d 4e", "0a 1b 2c 3d 5e", "0a 1b 2c 4d 5e", "0a 1b 3c 4d 5e",
				"0a 2b 3c 4d 5e", "1a 2b 3c 4d 5e", "0 1a 2b 3c 4d 5e", NULL } },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__rotation rotation = { 0 };

		for (unsigned j = 0; j < 6; j++)
			(void)unlink(belay__test_generation(j));
		make(cases[i].before);
		for (size_t step = 0; cases[i].steps[step] != NULL; step++) {
			bool last = cases[i].steps[step + 1] == NULL;
			int fd = belay__generations_rotate(PATH, &rotation, 0, &error);

			assert_files(cases[i].steps[step]);
			assert_int_equal(fd >= 0, last);
			if (!last)
				assert_int_equal(fd, -EAGAIN);
			assert_int_equal(rotation.moving || rotation.opening, !last);
			(void)belay__close(fd);
		}
	}
}

static void with_time_a_rotation_is_one_call(void **state)
{
	struct belay__rotation rotation = { 0 };
	int fd;
	(void)state;

	make("0a 1b 2c 3d 4e 5f");
	fd = belay__generations_rotate(PATH, &rotation, UINT64_MAX, &error);
	assert_true(fd >= 0);
	(void)belay__close(fd);
	assert_files("0 1a 2b 3c 4d 5e");
}

static void when_only_the_opening_failed_nothing_is_moved_again(void **state)
{
	struct belay__rotation rotation = { 0 };
	int fd;
	(void)state;

	make("0a 1b");
	assert_int_equal(belay__generations_rotate(PATH, &rotation, 0, &error), -EAGAIN);
	assert_int_equal(belay__generations_rotate(PATH, &rotation, 0, &error), -EAGAIN);
	make("0x"); /* somebody else was faster */
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(belay__generations_rotate(PATH, &rotation, UINT64_MAX, &error),
			-EEXIST);
		assert_true(rotation.opening);
		assert_files("0x 1a 2b");
	}
	assert_int_equal(unlink(PATH), 0);
	fd = belay__generations_rotate(PATH, &rotation, UINT64_MAX, &error);
	assert_true(fd >= 0);
	(void)belay__close(fd);
	assert_files("0 1a 2b");
}

static void an_empty_file_is_handed_out_again(void **state)
{
	struct belay__rotation rotation = { 0 };
	(void)state;

	make("0a 1b 2c 3d 4e 5f");
	for (unsigned i = 0; i < 3; i++) {
		int fd = belay__generations_rotate(PATH, &rotation, UINT64_MAX, &error);

		assert_true(fd >= 0);
		(void)belay__close(fd);
		assert_files("0 1a 2b 3c 4d 5e");
	}
	/* Nor is one that somebody else could have put there trusted more than any other. */
	assert_int_equal(chmod(PATH, 0622), 0);
	assert_int_equal(belay__generations_rotate(PATH, &rotation, UINT64_MAX, &error), -EPERM);
}

static void an_absent_directory_is_named(void **state)
{
	char path[160], wanted[400];
	(void)state;

	(void)snprintf(path, sizeof(path), "%s/no/where/records", belay__test_directory);
	(void)snprintf(wanted, sizeof(wanted),
		"cannot make %s: there is no directory %s/no/where; make it: mkdir -p %s/no/where",
		path, belay__test_directory, belay__test_directory);
	assert_int_equal(belay__generations_open(path, &error), -ENOENT);
	assert_string_equal(error.text, wanted);
}

static void a_failed_step_is_tried_again(void **state)
{
	struct belay__rotation rotation = { 0 };
	int fd;
	(void)state;

	make("0a 1b 2c 3d 4e");
	assert_int_equal(mkdir(belay__test_generation(5), 0700), 0);
	assert_true(belay__generations_rotate(PATH, &rotation, UINT64_MAX, &error) < 0);
	assert_non_null(strstr(error.text, "cannot remove"));
	assert_int_equal(rmdir(belay__test_generation(5)), 0);
	assert_files("0a 1b 2c 3d 4e");
	fd = belay__generations_rotate(PATH, &rotation, UINT64_MAX, &error);
	assert_true(fd >= 0);
	(void)belay__close(fd);
	assert_files("0 1a 2b 3c 4d 5e");
}

static void the_newest_older_file_is_found(void **state)
{
	int fd;
	char byte = 0;
	(void)state;

	assert_int_equal(belay__generations_open_previous(PATH, &error), -ENOENT);
	make("0a 2b 4c");
	fd = belay__generations_open_previous(PATH, &error);
	assert_true(fd >= 0);
	assert_int_equal(read(fd, &byte, 1), 1);
	assert_int_equal(byte, 'b');
	(void)belay__close(fd);
	assert_int_equal(symlink(PATH, belay__test_generation(1)), 0);
	assert_int_equal(belay__generations_open_previous(PATH, &error), -ELOOP);
}

static void a_path_must_leave_room_for_a_number(void **state)
{
	char path[BELAY__GENERATION_PATH_SIZE + 1], name[BELAY__GENERATION_PATH_SIZE];
	struct belay__rotation rotation = { 0 };
	(void)state;

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	assert_int_equal(belay__generations_open(path, &error), -ENAMETOOLONG);
	assert_int_equal(belay__generations_open_previous(path, &error), -ENAMETOOLONG);
	assert_int_equal(belay__generations_rotate(path, &rotation, UINT64_MAX, &error),
		-ENAMETOOLONG);
	path[BELAY__GENERATION_PATH_SIZE - 3] = '\0';
	assert_int_equal(belay__generation_name(path, 5, name, sizeof(name)), 0);
	assert_int_equal(belay__generation_name(path, 10, name, sizeof(name)), -ENAMETOOLONG);
}

#define CASE(name_)                                                                                \
	cmocka_unit_test_setup_teardown(name_, belay__test_make_directory,                         \
		belay__test_remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_new_file_is_private_and_both_read_and_appended_to),
		CASE(each_step_of_a_rotation_fills_the_nearest_gap),
		CASE(with_time_a_rotation_is_one_call),
		CASE(when_only_the_opening_failed_nothing_is_moved_again),
		CASE(an_empty_file_is_handed_out_again),
		CASE(an_absent_directory_is_named),
		CASE(a_failed_step_is_tried_again),
		CASE(the_newest_older_file_is_found),
		CASE(a_path_must_leave_room_for_a_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
