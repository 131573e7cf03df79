#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}
#define KEY   "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define OTHER "f0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define THIRD "e0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static struct test_door door;
static struct test_run run;

/* The path of NAME in the test's directory; good until the third call after it. */
static const char *in_room(const char *name)
{
	static char paths[3][128];
	static unsigned next;
	char *path = paths[next++ % 3];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", door.directory, name);
	return path;
}

static void make_file(const char *name, const char *text)
{
	(void)unlink(in_room(name));
	test_door_file(&door, name, text);
}

static void assert_key_line(const char *text)
{
	assert_int_equal(strspn(text, "0123456789abcdef"), 64);
	assert_string_equal(text + 64, "\n");
}

/* No message holds what a test's keys have in common. */
static void assert_silent_about_keys(void)
{
	assert_null(strstr(run.out, "112233"));
	assert_null(strstr(run.err, "112233"));
}

static void check(const char *name, bool json)
{
	const char *path = in_room(name);

	test_run(&run, &door, NULL,
		json ? WORDS("key", "check", "--json", path) : WORDS("key", "check", path));
	assert_silent_about_keys();
}

static void a_new_key_is_printed_and_never_the_same(void **state)
{
	char first[80];
	(void)state;

	test_run(&run, &door, NULL, WORDS("key", "new"));
	assert_int_equal(run.exit, 0);
	assert_key_line(run.out);
	assert_string_equal(run.err, "");
	(void)snprintf(first, sizeof(first), "%.70s", run.out);
	test_run(&run, &door, NULL, WORDS("key", "new"));
	assert_key_line(run.out);
	assert_string_not_equal(run.out, first);
}

static void a_new_file_is_private_and_usable(void **state)
{
	const char *path = in_room("fresh");
	char text[80];
	struct stat stat_;
	mode_t before = umask(0777);
	(void)state;

	test_run(&run, &door, NULL, WORDS("key", "new", path));
	(void)umask(before);
	assert_int_equal(run.exit, 0);
	assert_string_equal(run.out, "");
	assert_string_equal(run.err, "");
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode, S_IFREG | 0600);
	assert_int_equal(belay__read_file(AT_FDCWD, path, text, sizeof(text)), 65);
	assert_key_line(text);
	check("fresh", false);
	assert_int_equal(run.exit, 0);
	assert_non_null(strstr(run.out, ": a key, for every option"));
}

static void nothing_is_ever_overwritten(void **state)
{
	char text[80];
	(void)state;

	make_file("mine", "precious\n");
	test_run(&run, &door, NULL, WORDS("key", "new", in_room("mine")));
	assert_int_equal(run.exit, 1);
	assert_string_equal(run.out, "");
	assert_non_null(strstr(run.err, "name another file"));
	assert_int_equal(belay__read_file(AT_FDCWD, in_room("mine"), text, sizeof(text)), 9);
	assert_string_equal(text, "precious\n");

	/* Nor what a link leads to, even when nothing is there yet. */
	assert_int_equal(symlink("nowhere", in_room("link")), 0);
	test_run(&run, &door, NULL, WORDS("key", "new", in_room("link")));
	assert_int_equal(run.exit, 1);
	assert_int_not_equal(access(in_room("nowhere"), F_OK), 0);
}

static void a_file_that_cannot_be_made_is_told(void **state)
{
	(void)state;

	test_run(&run, &door, NULL, WORDS("key", "new", in_room("missing/key")));
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.err, "missing/key"));
	if (geteuid() == 0)
		return;
	test_run(&run, &door, NULL, WORDS("key", "new", "/proc/1/key"));
	assert_true(run.exit == 77 || run.exit == 1);
}

static void an_output_that_is_full_is_a_failure(void **state)
{
	struct test_answer how = { .out_fd = open("/dev/full", O_WRONLY | O_CLOEXEC) };
	(void)state;

	assert_true(how.out_fd >= 0);
	test_run(&run, &door, &how, WORDS("key", "new"));
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.err, "standard output"));
	(void)close(how.out_fd);
}

static void a_file_is_described_without_a_digit_of_it(void **state)
{
	static const struct {
		const char *text, *plain, *json;
	} cases[] = {
		{ KEY "\n", ": a key, for every option that takes a file of keys\n",
			"\"usable\":true,\"fits\":[\"key-file\",\"master-key-file\","
			"\"accepted-key-file\"],\"keys\":1,\"unnamed\":1,\"hosts\":[],\"error\":"
			"null}\n" },
		{ "# one\n" KEY "\n", ": 1 key, for --accepted-key-file\n",
			"\"usable\":true,\"fits\":[\"accepted-key-file\"],\"keys\":1,\"unnamed\":1,"
			"\"hosts\":[],\"error\":null}\n" },
		{ KEY " web\n", ": 1 key of web, for --accepted-key-file\n",
			"\"keys\":1,\"unnamed\":0,\"hosts\":[{\"name\":\"web\",\"keys\":1}],"
			"\"error\":null}\n" },
		{ KEY " web\n" OTHER " db\n" THIRD " web\n",
			": 3 keys of web (2), db, for --accepted-key-file\n",
			"\"keys\":3,\"unnamed\":0,\"hosts\":[{\"name\":\"web\",\"keys\":2},"
			"{\"name\":\"db\",\"keys\":1}],\"error\":null}\n" },
		{ KEY " web\n" OTHER "\n" THIRD "\n",
			": 3 keys of web; 2 without a host, for --accepted-key-file\n",
			"\"keys\":3,\"unnamed\":2,\"hosts\":[{\"name\":\"web\",\"keys\":1}],"
			"\"error\":null}\n" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(cases); i++) {
		char wanted[512];

		make_file("keys", cases[i].text);
		(void)snprintf(wanted, sizeof(wanted), "%s%s", in_room("keys"), cases[i].plain);
		check("keys", false);
		assert_int_equal(run.exit, 0);
		assert_string_equal(run.out, wanted);
		assert_string_equal(run.err, "");
		check("keys", true);
		assert_int_equal(run.exit, 0);
		assert_non_null(strstr(run.out, cases[i].json));
		assert_string_equal(run.err, "");
	}
}

static void what_cannot_be_used_is_told_with_the_reason(void **state)
{
	static const struct {
		const char *text, *part;
	} cases[] = {
		{ "", "holds no key" },
		{ "# only words\n", "holds no key" },
		{ KEY "0\n", "line 1: not 64 hexadecimal digits" },
		{ KEY "\n" KEY "x\n", "line 2: not 64 hexadecimal digits" },
		{ KEY " web\n" OTHER " -db\n", "line 2: not the name of a host" },
		{ KEY " web\n" OTHER "\n" KEY " db\n", "key 3 is the same as key 1" },
		{ KEY "\n00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\n",
			"key 2 is the same as key 1" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(cases); i++) {
		make_file("keys", cases[i].text);
		check("keys", false);
		assert_int_equal(run.exit, 1);
		assert_string_equal(run.out, "");
		assert_non_null(strstr(run.err, cases[i].part));
		assert_non_null(strstr(run.err, in_room("keys")));
		check("keys", true);
		assert_int_equal(run.exit, 1);
		assert_non_null(strstr(run.out, "\"usable\":false,\"fits\":[],\"keys\":0"));
		assert_non_null(strstr(run.out, cases[i].part));
	}
}

static void a_file_open_to_others_cannot_be_used(void **state)
{
	(void)state;

	make_file("keys", KEY "\n");
	assert_int_equal(chmod(in_room("keys"), 0640), 0);
	check("keys", false);
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.err, "make a new key"));
	assert_int_equal(chmod(in_room("keys"), 0662), 0);
	check("keys", false);
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.err, "make a new key"));
	assert_int_equal(symlink("keys", in_room("alias")), 0);
	check("alias", false);
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.err, "symbolic link"));
}

static void a_file_that_is_not_there_exits_66_after_the_others(void **state)
{
	(void)state;

	make_file("good", KEY "\n");
	make_file("bad", "x\n");
	test_run(&run, &door, NULL,
		WORDS("key", "check", in_room("gone"), in_room("bad"), in_room("good")));
	assert_int_equal(run.exit, 66);
	assert_non_null(strstr(run.out, "/good: a key"));
	assert_non_null(strstr(run.err, "/gone"));
	assert_non_null(strstr(run.err, "/bad"));
	assert_silent_about_keys();
}

static void wrong_words_are_usage(void **state)
{
	char long_name[PATH_MAX + 1];
	const char *const lines[][5] = {
		{ "key", NULL },
		{ "key", "make", NULL },
		{ "key", "check", NULL },
		{ "key", "new", "a", "b", NULL },
		{ "key", "new", "--json", NULL },
		{ "key", "check", long_name, NULL },
		/* Keys do not belong there, and are not repeated. */
		{ "key", KEY, NULL },
		{ "key", "new", KEY, NULL },
		{ "key", "check", "x", KEY " web", NULL },
	};
	(void)state;

	memset(long_name, 'x', PATH_MAX);
	long_name[PATH_MAX] = '\0';
	for (size_t i = 0; i < BELAY__COUNT_OF(lines); i++) {
		test_run(&run, &door, NULL, lines[i]);
		assert_int_equal(run.exit, 2);
		assert_string_equal(run.out, "");
		assert_memory_equal(run.err, "belay: ", 7);
		assert_silent_about_keys();
	}
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
		cmocka_unit_test(a_new_key_is_printed_and_never_the_same),
		cmocka_unit_test(a_new_file_is_private_and_usable),
		cmocka_unit_test(nothing_is_ever_overwritten),
		cmocka_unit_test(a_file_that_cannot_be_made_is_told),
		cmocka_unit_test(an_output_that_is_full_is_a_failure),
		cmocka_unit_test(a_file_is_described_without_a_digit_of_it),
		cmocka_unit_test(what_cannot_be_used_is_told_with_the_reason),
		cmocka_unit_test(a_file_open_to_others_cannot_be_used),
		cmocka_unit_test(a_file_that_is_not_there_exits_66_after_the_others),
		cmocka_unit_test(wrong_words_are_usage),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
