#include "ipc/socket_path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/testing.h"

static char dir[TEST_PATH_SIZE];

static int set_up(void **state)
{
	(void)state;
	test_make_dir(dir);
	(void)unsetenv("BELAY_SOCKET");
	(void)unsetenv("XDG_RUNTIME_DIR");
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_remove_dir(dir);
	return 0;
}

static const char *text_of(size_t len)
{
	static char path[256];

	memset(path, 'x', len);
	path[0] = '/';
	path[len] = '\0';
	return path;
}

static void the_chosen_socket_is_the_only_candidate(void **state)
{
	struct belay__socket_candidates list;

	(void)state;
	(void)setenv("XDG_RUNTIME_DIR", dir, 1);
	(void)setenv("BELAY_SOCKET", "/somewhere/s", 1);
	belay__socket_candidates(&list);
	assert_int_equal(list.count, 1);
	assert_string_equal(list.path[0], "/somewhere/s");
}

static void a_chosen_socket_that_cannot_be_leaves_none(void **state)
{
	struct belay__socket_candidates list;

	(void)state;
	(void)setenv("BELAY_SOCKET", "relative/s", 1);
	belay__socket_candidates(&list);
	assert_int_equal(list.count, 0);

	(void)setenv("BELAY_SOCKET", text_of(BELAY__SOCKET_PATH_MAX), 1);
	belay__socket_candidates(&list);
	assert_int_equal(list.count, 1);

	(void)setenv("BELAY_SOCKET", text_of(BELAY__SOCKET_PATH_MAX + 1), 1);
	belay__socket_candidates(&list);
	assert_int_equal(list.count, 0);
}

static void the_defaults_come_in_their_order(void **state)
{
	struct belay__socket_candidates list;
	char expected[256], of_user[64];
	struct stat status;
	size_t next = 0;

	(void)state;
	(void)setenv("BELAY_SOCKET", "", 1); /* as good as none */
	(void)setenv("XDG_RUNTIME_DIR", dir, 1);
	belay__socket_candidates(&list);

	(void)snprintf(expected, sizeof(expected), "%s/belay/beat.sock", dir);
	assert_string_equal(list.path[next++], expected);
	(void)snprintf(of_user, sizeof(of_user), "/run/user/%u", (unsigned)geteuid());
	if (lstat(of_user, &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid()) {
		(void)snprintf(expected, sizeof(expected), "%s/belay/beat.sock", of_user);
		assert_string_equal(list.path[next++], expected);
	}
	assert_string_equal(list.path[next++], "/run/belay/beat.sock");
	assert_int_equal(list.count, next);
}

static void a_useless_runtime_directory_is_left_out(void **state)
{
	static const char *const useless[] = { "", "relative", NULL };
	struct belay__socket_candidates list;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		const char *runtime = useless[i] == NULL ? text_of(200) : useless[i];

		(void)setenv("XDG_RUNTIME_DIR", runtime, 1);
		belay__socket_candidates(&list);
		assert_in_range(list.count, 1, 2);
		assert_string_equal(list.path[list.count - 1], "/run/belay/beat.sock");
	}
}

static void no_candidate_comes_twice(void **state)
{
	struct belay__socket_candidates list;

	(void)state;
	(void)setenv("XDG_RUNTIME_DIR", "/run", 1);
	belay__socket_candidates(&list);
	assert_string_equal(list.path[0], "/run/belay/beat.sock");
	for (size_t i = 1; i < list.count; i++)
		assert_string_not_equal(list.path[i], list.path[0]);
}

static void a_sibling_fits_or_is_refused(void **state)
{
	char path[BELAY__SOCKET_PATH_SIZE] = "untouched";

	(void)state;
	assert_int_equal(belay__socket_sibling("/a/b", ".hello", path), 0);
	assert_string_equal(path, "/a/b.hello");
	assert_int_equal(belay__socket_sibling(text_of(101), ".hello", path), 0);
	assert_int_equal(strlen(path), 107);

	memcpy(path, "untouched", 10);
	assert_int_equal(belay__socket_sibling(text_of(102), ".hello", path), -ENAMETOOLONG);
	assert_string_equal(path, "untouched");
	assert_int_equal(belay__socket_sibling(text_of(BELAY__SOCKET_PATH_MAX), ".12345.7", path),
		0);
}

static void the_directory_of_a_default_socket_is_made(void **state)
{
	char path[BELAY__SOCKET_PATH_SIZE], made[256];
	struct stat status;
	mode_t before = umask(077);

	(void)state;
	(void)setenv("XDG_RUNTIME_DIR", dir, 1);
	(void)snprintf(made, sizeof(made), "%s/belay", dir);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(belay__socket_to_bind(path, NULL), 0);
		assert_int_equal(strncmp(path, made, strlen(made)), 0);
		assert_string_equal(path + strlen(made), "/beat.sock");
		assert_int_equal(lstat(made, &status), 0);
		assert_int_equal(status.st_mode, S_IFDIR | 0700);
	}
	(void)umask(before);
}

static void a_chosen_socket_is_taken_as_it_is(void **state)
{
	char path[BELAY__SOCKET_PATH_SIZE] = "untouched";
	struct belay_error error = { 0 };

	(void)state;
	(void)setenv("BELAY_SOCKET", "/nowhere/at/all", 1);
	assert_int_equal(belay__socket_to_bind(path, NULL), 0);
	assert_string_equal(path, "/nowhere/at/all");

	memcpy(path, "untouched", 10);
	(void)setenv("BELAY_SOCKET", "relative", 1);
	assert_int_equal(belay__socket_to_bind(path, &error), -ENOENT);
	assert_non_null(strstr(error.text, "BELAY_SOCKET"));
	assert_string_equal(path, "untouched");
}

static void a_runtime_directory_of_others_is_passed_over(void **state)
{
	char path[BELAY__SOCKET_PATH_SIZE], other[256], link[256], made[300];
	struct stat status;

	(void)state;
	/* A link is nobody's directory, wherever it leads. */
	(void)snprintf(other, sizeof(other), "%s/real", dir);
	(void)snprintf(link, sizeof(link), "%s/link", dir);
	(void)snprintf(made, sizeof(made), "%s/belay", other);
	assert_int_equal(mkdir(other, 0700), 0);
	assert_int_equal(symlink(other, link), 0);
	(void)setenv("XDG_RUNTIME_DIR", link, 1);
	if (geteuid() == 0)
		skip(); /* root would go on to make /run/belay */
	if (belay__socket_to_bind(path, NULL) == 0)
		assert_int_not_equal(strncmp(path, link, strlen(link)), 0);
	assert_int_equal(lstat(made, &status), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_chosen_socket_is_the_only_candidate),
		TEST(a_chosen_socket_that_cannot_be_leaves_none),
		TEST(the_defaults_come_in_their_order),
		TEST(a_useless_runtime_directory_is_left_out),
		TEST(no_candidate_comes_twice),
		TEST(a_sibling_fits_or_is_refused),
		TEST(the_directory_of_a_default_socket_is_made),
		TEST(a_chosen_socket_is_taken_as_it_is),
		TEST(a_runtime_directory_of_others_is_passed_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
