#include "beat/socket_paths.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_path_of_ones_own_is_the_only_one(void **state)
{
	struct belay__socket_candidates paths = { 0 };
	char longest[BELAY__SOCKET_PATH_SIZE] = "", longer[BELAY__SOCKET_PATH_SIZE + 1] = "";
	(void)state;

	memset(longest, 'p', sizeof(longest) - 1);
	memset(longer, 'p', sizeof(longer) - 1);
	assert_int_equal(belay__socket_paths_set(&paths, ""), -EINVAL);
	assert_int_equal(belay__socket_paths_set(&paths, longer), -ENAMETOOLONG);
	assert_int_equal(paths.count, 0);
	assert_int_equal(belay__socket_paths_set(&paths, longest), 0);
	assert_int_equal(paths.count, 1);
	assert_string_equal(paths.path[0], longest);
}

static void without_one_it_is_where_the_environment_leads(void **state)
{
	struct belay__socket_candidates paths = { 0 };
	(void)state;

	assert_int_equal(setenv("BELAY_SOCKET", "/some/where", 1), 0);
	assert_int_equal(belay__socket_paths_set(&paths, NULL), 0);
	assert_int_equal(paths.count, 1);
	assert_string_equal(paths.path[0], "/some/where");
	assert_int_equal(setenv("BELAY_SOCKET", "relative", 1), 0);
	assert_int_equal(belay__socket_paths_set(&paths, NULL), -EINVAL);
}

static void nobody_listens_is_told_by_two_errors(void **state)
{
	(void)state;
	assert_true(belay__nobody_listens(-ENOENT));
	assert_true(belay__nobody_listens(-ECONNREFUSED));
	assert_false(belay__nobody_listens(-EACCES));
	assert_false(belay__nobody_listens(0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_path_of_ones_own_is_the_only_one),
		cmocka_unit_test(without_one_it_is_where_the_environment_leads),
		cmocka_unit_test(nobody_listens_is_told_by_two_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
