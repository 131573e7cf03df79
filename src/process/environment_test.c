#include "process/environment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

static struct belay__environment environment;

static void the_later_of_two_entries_counts(void **state)
{
	(void)state;

	belay__environment_init(&environment);
	assert_int_equal(environment.count, 1);
	assert_string_equal(environment.entries[0], "PATH=/usr/bin:/bin");
	assert_null(environment.entries[1]);
	assert_int_equal(belay__environment_set(&environment, "A=1=2"), 0);
	assert_int_equal(belay__environment_set(&environment, "AB="), 0);
	assert_int_equal(belay__environment_set(&environment, "PATH=/opt"), 0);
	assert_int_equal(belay__environment_set_value(&environment, "B", "x\0y\n", 4), 0);
	assert_int_equal(environment.count, 4);
	assert_string_equal(environment.entries[0], "PATH=/opt");
	assert_string_equal(environment.entries[1], "A=1=2");
	assert_string_equal(environment.entries[2], "AB=");
	assert_string_equal(environment.entries[3], "B=x?y\n");
	assert_string_equal(belay__environment_get(&environment, "A"), "1=2");
	assert_null(belay__environment_get(&environment, "C"));
}

static void entries_without_a_key_are_refused(void **state)
{
	(void)state;

	belay__environment_init(&environment);
	assert_int_equal(belay__environment_set(&environment, "A"), -EINVAL);
	assert_int_equal(belay__environment_set(&environment, "=1"), -EINVAL);
	assert_int_equal(belay__environment_set(&environment, ""), -EINVAL);
	assert_int_equal(belay__environment_set_value(&environment, "A=B", "1", 1), -EINVAL);
	assert_int_equal(environment.count, 1);
}

static void variables_and_bytes_have_a_bound(void **state)
{
	static char value[BELAY__VARIABLE_BYTES_MAX];
	char key[16];
	size_t left;
	(void)state;

	belay__environment_init(&environment);
	for (int i = 1; i < BELAY__VARIABLES_MAX; i++) {
		(void)snprintf(key, sizeof(key), "K%d", i);
		assert_int_equal(belay__environment_set_value(&environment, key, "v", 1), 0);
	}
	assert_int_equal(belay__environment_set(&environment, "ONE=more"), -E2BIG);
	assert_int_equal(belay__environment_set(&environment, "K1=instead"), 0);
	assert_int_equal(environment.count, BELAY__VARIABLES_MAX);

	belay__environment_init(&environment);
	memset(value, 'v', sizeof(value));
	left = sizeof(environment.bytes) - environment.len - 3;
	assert_int_equal(belay__environment_set_value(&environment, "A", value, left + 1), -E2BIG);
	assert_int_equal(belay__environment_set_value(&environment, "A", value, left), 0);
	assert_int_equal(belay__environment_set(&environment, "B="), -E2BIG);
	assert_int_equal(environment.count, 2);
}

static void make_file(const char *directory, const char *name, mode_t mode)
{
	char path[256];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, mode);
	assert_true(fd >= 0);
	assert_int_equal(fchmod(fd, mode), 0);
	(void)belay__close(fd);
}

static void programs_are_found_on_the_path(void **state)
{
	char a[] = "/tmp/belay-path-a-XXXXXX", b[] = "/tmp/belay-path-b-XXXXXX";
	char search[128], path[256], expected[256], command[128];
	(void)state;

	assert_non_null(mkdtemp(a));
	assert_non_null(mkdtemp(b));
	make_file(a, "plain", 0600);
	make_file(a, "both", 0600);
	make_file(b, "both", 0700);
	(void)snprintf(expected, sizeof(expected), "%s/directory", a);
	assert_int_equal(mkdir(expected, 0700), 0);
	(void)snprintf(search, sizeof(search), ".::%s:%s:", a, b);

	assert_int_equal(belay__find_program("both", search, path, sizeof(path)), 0);
	(void)snprintf(expected, sizeof(expected), "%s/both", b);
	assert_string_equal(path, expected);
	assert_int_equal(belay__find_program("plain", search, path, sizeof(path)), -EACCES);
	assert_int_equal(belay__find_program("directory", search, path, sizeof(path)), -EACCES);
	assert_int_equal(belay__find_program("none", search, path, sizeof(path)), -ENOENT);
	assert_int_equal(belay__find_program("both", "", path, sizeof(path)), -ENOENT);
	assert_int_equal(belay__find_program("both", search, path, 8), -ENOENT);
	assert_int_equal(belay__find_program("x/both", search, path, sizeof(path)), -EINVAL);
	assert_int_equal(belay__find_program("", search, path, sizeof(path)), -EINVAL);
	assert_int_equal(belay__find_program("/no/matter", "", path, sizeof(path)), 0);
	assert_string_equal(path, "/no/matter");
	assert_int_equal(belay__find_program("/no/matter", "", path, 10), -ENAMETOOLONG);
	assert_int_equal(belay__find_program("true", BELAY__DEFAULT_PATH, path, sizeof(path)), 0);

	(void)snprintf(command, sizeof(command), "rm -r %s %s", a, b);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): names of our own */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_later_of_two_entries_counts),
		cmocka_unit_test(entries_without_a_key_are_refused),
		cmocka_unit_test(variables_and_bytes_have_a_bound),
		cmocka_unit_test(programs_are_found_on_the_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
