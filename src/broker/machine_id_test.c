#include "broker/names.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ETC  "/etc/machine-id"
#define DBUS "/var/lib/dbus/machine-id"
#define BOOT "/proc/sys/kernel/random/boot_id"
#define ID   "0123456789abcdef0123456789abcdef"

static char root[64];

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

static int set_up(void **state)
{
	static const char *const levels[] = { "/etc", "/var", "/var/lib", "/var/lib/dbus", "/proc",
		"/proc/sys", "/proc/sys/kernel", "/proc/sys/kernel/random" };

	(void)state;
	memcpy(root, "/tmp/belay-test-XXXXXX", sizeof("/tmp/belay-test-XXXXXX"));
	assert_non_null(mkdtemp(root));
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		char path[128];

		(void)snprintf(path, sizeof(path), "%s%s", root, levels[i]);
		assert_int_equal(mkdir(path, 0700), 0);
	}
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	return nftw(root, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* NAME below the root holds TEXT, or is not there (NULL). */
static void put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s%s", root, name);
	(void)unlink(path);
	if (text == NULL)
		return;
	file = fopen(path, "we");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void the_first_id_that_is_there_counts(void **state)
{
	static const struct {
		const char *etc, *dbus, *boot, *id;
	} cases[] = {
		{ ID "\n", "b\n", "c\n", ID },
		{ ID, "b\n", "c\n", ID },
		{ " \t\r\n" ID " \v\f\n", NULL, NULL, ID },
		{ "", "b\n", "c\n", "b" },
		{ "\n \n", "b\n", "c\n", "b" },
		{ NULL, "b\n", "c\n", "b" },
		{ NULL, NULL, "c-d\n", "boot:c-d" },
		{ "", "", "c-d", "boot:c-d" },
		{ "uninitialized\n", "b", "c", "uninitialized" },
	};
	char id[80];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put(ETC, cases[i].etc);
		put(DBUS, cases[i].dbus);
		put(BOOT, cases[i].boot);
		assert_int_equal(belay__machine_id(root, id, NULL), 0);
		assert_string_equal(id, cases[i].id);
	}
}

static void a_machine_without_any_id_is_told_what_to_do(void **state)
{
	char id[80] = "untouched";
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__machine_id(root, id, &error), -ENOENT);
	assert_non_null(strstr(error.text, "systemd-machine-id-setup"));
	assert_string_equal(id, "untouched");
}

/* Another id in its place would give names that nobody else computes. */
static void an_id_that_cannot_be_read_is_an_error(void **state)
{
	char id[80] = "untouched", path[128];
	struct belay_error error;

	(void)state;
	put(DBUS, "b\n");
	(void)snprintf(path, sizeof(path), "%s%s", root, ETC);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(belay__machine_id(root, id, &error), -EISDIR);
	assert_int_equal(error.code, -EISDIR);
	assert_int_equal(rmdir(path), 0);

	if (geteuid() != 0) {
		put(ETC, ID);
		assert_int_equal(chmod(path, 0), 0);
		assert_int_equal(belay__machine_id(root, id, &error), -EACCES);
		assert_non_null(strstr(error.text, ETC));
	}
	assert_string_equal(id, "untouched");
}

static void an_id_has_a_limit(void **state)
{
	char text[200], id[80];

	(void)state;
	memset(text, 'a', sizeof(text));
	memcpy(text + 79, "\n", 2);
	put(ETC, text);
	assert_int_equal(belay__machine_id(root, id, NULL), 0);
	assert_int_equal(strlen(id), 79);
	memcpy(text + 79, "aa\n", 4);
	put(ETC, text);
	assert_int_equal(belay__machine_id(root, id, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_first_id_that_is_there_counts, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(a_machine_without_any_id_is_told_what_to_do, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(an_id_that_cannot_be_read_is_an_error, set_up,
			tear_down),
		cmocka_unit_test_setup_teardown(an_id_has_a_limit, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
