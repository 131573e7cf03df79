#include "cmd/program.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static struct test_door door;

static void make(const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", door.directory, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static void put_program(const char *name, mode_t mode)
{
	char path[128];

	test_door_file(&door, name, "#!/bin/sh\n");
	(void)snprintf(path, sizeof(path), "%s/%s", door.directory, name);
	assert_int_equal(chmod(path, mode), 0);
}

static void a_program_is_found_beside_the_executable_or_one_up(void **state)
{
	struct belay_error error = { 0 };
	char exe[96], path[256], wanted[256];
	(void)state;

	make("bin");
	make("libexec");
	make("libexec/belay");
	(void)snprintf(exe, sizeof(exe), "%s/bin/belay", door.directory);
	assert_int_equal(belay__program_find(exe, "it", path, sizeof(path), &error), -ENOENT);
	assert_non_null(strstr(error.text, exe));

	put_program("libexec/belay/it", 0600);
	if (geteuid() != 0)
		assert_int_equal(belay__program_find(exe, "it", path, sizeof(path), NULL), -ENOENT);
	put_program("libexec/belay/it", 0700);
	assert_int_equal(belay__program_find(exe, "it", path, sizeof(path), NULL), 0);
	(void)snprintf(wanted, sizeof(wanted), "%s/bin/../libexec/belay/it", door.directory);
	assert_string_equal(path, wanted);

	(void)snprintf(exe, sizeof(exe), "%s/belay", door.directory);
	assert_int_equal(belay__program_find(exe, "it", path, sizeof(path), NULL), 0);
	(void)snprintf(wanted, sizeof(wanted), "%s/libexec/belay/it", door.directory);
	assert_string_equal(path, wanted);

	assert_int_equal(belay__program_find(exe, "it", path, 10, NULL), -ENOENT);
}

static void a_program_that_is_not_there_is_a_failure(void **state)
{
	static struct test_run run;
	(void)state;

	if (access(BELAY_LIBEXECDIR "/belay-observe", X_OK) == 0)
		skip();
	/* The test's own directory has no libexec/belay beside it; in a build tree the program is elsewhere. */
	test_run(&run, &door, NULL, WORDS("observe"));
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.err, "belay-observe is not beside "));
	test_run(&run, &door, NULL, WORDS("config", "show"));
	assert_int_equal(run.exit, 1);
}

static int set_up(void **state)
{
	(void)state;
	test_door_open(&door);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_door_done(&door);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_program_is_found_beside_the_executable_or_one_up),
		cmocka_unit_test(a_program_that_is_not_there_is_a_failure),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
