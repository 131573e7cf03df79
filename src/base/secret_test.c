#include "base/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DIGITS       "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define OTHERS       "f0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"
#define HOST_31      "a234567890123456789012345678901"

static const uint8_t secret[BELAY__SECRET_LEN] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
	0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
	0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

static char directory[] = "/tmp/belay-secret-XXXXXX";
static char path[64];

static int make_directory(void **state)
{
	(void)state;

	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/secret", directory);
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;

	return rmdir(directory);
}

static void write_file(const char *text, mode_t mode)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, text, strlen(text)), 0);
	assert_int_equal(fchmod(fd, mode), 0);
}

static void every_byte_is_a_digit_or_is_not(void **state)
{
	static const char known[] = "0123456789abcdefABCDEF";
	(void)state;

	for (unsigned byte = 0; byte < 256; byte++) {
		for (size_t place = 0; place < 64; place += 21) {
			const char *at = byte == 0 ? NULL : strchr(known, (int)byte);
			uint8_t parsed[BELAY__SECRET_LEN], before[BELAY__SECRET_LEN];
			char digits[64];

			memset(digits, '0', sizeof(digits));
			memset(parsed, 0xa5, sizeof(parsed));
			memcpy(before, parsed, sizeof(before));
			digits[place] = (char)byte;
			assert_int_equal(belay__secret_parse(digits, parsed),
				at == NULL ? -EINVAL : 0);
			if (at == NULL) {
				assert_memory_equal(parsed, before, sizeof(parsed));
				continue;
			}

			unsigned value = (unsigned)(at - known);
			value = value > 15 ? value - 6 : value;
			assert_int_equal(parsed[place / 2], place % 2 == 0 ? value << 4 : value);
		}
	}
}

static void a_file_holds_64_digits_and_perhaps_a_newline(void **state)
{
	static const struct {
		const char *text;
		int wanted;
	} cases[] = {
		{ DIGITS, 0 },
		{ DIGITS "\n", 0 },
		{ DIGITS "\r\n", 0 },
		{ "", -EINVAL },
		{ "\n", -EINVAL },
		{ DIGITS "0", -EINVAL },
		{ DIGITS "\n\n", -EINVAL },
		{ DIGITS "\n0", -EINVAL },
		{ DIGITS " web", -EINVAL },
		{ " " DIGITS, -EINVAL },
		{ "0x112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", -EINVAL },
		{ "0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", -EINVAL },
		{ "g0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", -EINVAL },
		{ DIGITS DIGITS, -EINVAL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t read[BELAY__SECRET_LEN] = { 0xa5 }, before[BELAY__SECRET_LEN];
		struct belay_error error = { 0 };

		memcpy(before, read, sizeof(before));
		write_file(cases[i].text, 0600);
		assert_int_equal(belay__secret_read(path, "token", read, &error), cases[i].wanted);
		assert_memory_equal(read, cases[i].wanted == 0 ? secret : before, sizeof(read));
		if (cases[i].wanted < 0) {
			assert_non_null(strstr(error.text, path));
			assert_non_null(strstr(error.text, "token"));
			assert_non_null(strstr(error.text, "belay key new"));
		}
		/* The secret, or what was nearly one, is in no message. */
		assert_null(strstr(error.text, "112233"));
	}
	assert_int_equal(unlink(path), 0);
}

static void a_file_for_more_eyes_is_refused(void **state)
{
	static const struct {
		mode_t mode;
		int wanted;
	} cases[] = { { 0600, 0 }, { 0400, 0 }, { 0700, 0 }, { 0640, -EPERM }, { 0604, -EPERM },
		{ 0610, -EPERM }, { 0601, -EPERM }, { 0620, -EPERM }, { 0602, -EPERM },
		{ 0666, -EPERM } };
	struct belay__secret_line line;
	uint8_t read[BELAY__SECRET_LEN];
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay_error error = { 0 };

		write_file(DIGITS, cases[i].mode);
		assert_int_equal(belay__secret_read(path, "key", read, &error), cases[i].wanted);
		if (cases[i].wanted < 0)
			assert_non_null(strstr(error.text, "make a new key"));
		assert_int_equal(belay__secret_read_lines(path, &line, 1, NULL),
			cases[i].wanted < 0 ? cases[i].wanted : 1);
		assert_int_equal(unlink(path), 0);
	}
}

static void the_file_of_another_user_is_refused(void **state)
{
	struct belay_error error = { 0 };
	uint8_t read[BELAY__SECRET_LEN];
	(void)state;

	if (geteuid() != 0)
		skip();
	write_file(DIGITS, 0600);
	assert_int_equal(chown(path, 12345, 12345), 0);
	assert_int_equal(belay__secret_read(path, "key", read, &error), -EPERM);
	assert_non_null(strstr(error.text, "12345"));
	assert_int_equal(unlink(path), 0);
}

static void what_is_no_file_is_refused(void **state)
{
	uint8_t read[BELAY__SECRET_LEN];
	(void)state;

	assert_int_equal(belay__secret_read(path, "key", read, NULL), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(belay__secret_read(path, "key", read, NULL), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(belay__secret_read(path, "key", read, NULL), -EINVAL);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(belay__secret_read(path, "key", read, NULL), -ELOOP);
	assert_int_equal(unlink(path), 0);
}

static void a_huge_file_is_not_read_to_its_end(void **state)
{
	struct belay__secret_line line;
	uint8_t read[BELAY__SECRET_LEN];
	(void)state;

	write_file(DIGITS, 0600);
	assert_int_equal(truncate(path, INT64_C(1) << 40), 0);
	assert_int_equal(belay__secret_read(path, "key", read, NULL), -EINVAL);
	assert_int_equal(belay__secret_read_lines(path, &line, 1, NULL), -EFBIG);
	assert_int_equal(unlink(path), 0);
}

static void whether_a_file_holds_one_secret_only_is_told(void **state)
{
	static const struct {
		const char *text;
		bool single;
	} cases[] = { { DIGITS, true }, { DIGITS "\n", true }, { DIGITS "\r\n", true },
		{ "\n" DIGITS, false }, { DIGITS " web", false }, { DIGITS " ", false },
		{ DIGITS "\n\n", false }, { "# one\n" DIGITS, false } };
	struct belay__secret_line line;
	uint8_t read[BELAY__SECRET_LEN];
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		bool single = !cases[i].single;

		write_file(cases[i].text, 0600);
		assert_int_equal(belay__secret_read_either(path, &line, 1, &single, NULL), 1);
		assert_int_equal(single, cases[i].single);
		assert_int_equal(belay__secret_read(path, "key", read, NULL) == 0, single);
		assert_int_equal(unlink(path), 0);
	}
}

static void a_line_may_name_its_host(void **state)
{
	static const struct {
		const char *line, *host; /* NULL: refused */
	} cases[] = {
		{ DIGITS, "" },
		{ DIGITS "\r", "" },
		{ DIGITS " \t", "" },
		{ "\t" DIGITS, "" },
		{ DIGITS " web-1.example_x", "web-1.example_x" },
		{ DIGITS "\t web \r", "web" },
		{ DIGITS " 0", "0" },
		{ DIGITS " " HOST_31, HOST_31 },
		{ DIGITS " " HOST_31 "2", NULL },
		{ DIGITS "web", NULL },
		{ DIGITS " web db", NULL },
		{ DIGITS " -web", NULL },
		{ DIGITS " .web", NULL },
		{ DIGITS " _web", NULL },
		{ DIGITS " web/1", NULL },
		{ DIGITS " # mine", NULL },
		{ DIGITS " w\xc3\xa9", NULL },
		{ "web " DIGITS, NULL },
		{ "web", NULL },
		{ "0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF ", NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay__secret_line line = { .host = "before" };
		static const struct belay__secret_line wiped;
		struct belay_error error = { 0 };
		char text[256];
		int r;

		(void)snprintf(text, sizeof(text), "# keys\n\n%s\n", cases[i].line);
		r = belay__secret_parse_lines(text, strlen(text), "KEYS", &line, 1, &error);
		if (cases[i].host == NULL) {
			assert_int_equal(r, -EINVAL);
			assert_memory_equal(&line, &wiped, sizeof(line));
			assert_non_null(strstr(error.text, "KEYS, line 3: "));
			assert_null(strstr(error.text, "112233"));
			assert_null(strstr(error.text, "web"));
			continue;
		}
		assert_int_equal(r, 1);
		assert_memory_equal(line.secret, secret, sizeof(secret));
		assert_string_equal(line.host, cases[i].host);
	}
}

static void a_nul_is_no_part_of_a_name(void **state)
{
	static const char text[] = DIGITS " web\0b\n";
	struct belay__secret_line line;
	(void)state;

	assert_int_equal(belay__secret_parse_lines(text, sizeof(text) - 1, "KEYS", &line, 1, NULL),
		-EINVAL);
}

static void lines_are_read_in_their_order(void **state)
{
	struct belay__secret_line lines[3];
	(void)state;

	write_file("# two keys of one host\n" DIGITS " web\n\n  # the new one:\n" OTHERS
		   " web\n" DIGITS,
		0600);
	assert_int_equal(belay__secret_read_lines(path, lines, COUNT(lines), NULL), 3);
	assert_memory_equal(lines[0].secret, secret, sizeof(secret));
	assert_int_equal(lines[1].secret[0], 0xf0);
	assert_memory_equal(lines[2].secret, secret, sizeof(secret));
	assert_string_equal(lines[0].host, "web");
	assert_string_equal(lines[1].host, "web");
	assert_string_equal(lines[2].host, "");
	assert_int_equal(unlink(path), 0);
}

static void one_line_too_many_leaves_nothing(void **state)
{
	static const struct belay__secret_line wiped[2];
	struct belay__secret_line lines[2];
	struct belay_error error = { 0 };
	(void)state;

	memset(lines, 0xa5, sizeof(lines));
	write_file(DIGITS "\n" DIGITS "\n" DIGITS "\n", 0600);
	assert_int_equal(belay__secret_read_lines(path, lines, 2, &error), -E2BIG);
	assert_memory_equal(lines, wiped, sizeof(lines));
	assert_non_null(strstr(error.text, "line 3: more than 2 keys"));
	write_file(DIGITS "\n" DIGITS "\n", 0600);
	assert_int_equal(belay__secret_read_lines(path, lines, 2, NULL), 2);
	assert_int_equal(unlink(path), 0);
}

static void a_file_without_a_key_is_an_error(void **state)
{
	static const char *const texts[] = { "", "\n", "# " DIGITS "\n", " \t\r\n\n" };
	(void)state;

	for (size_t i = 0; i < COUNT(texts); i++) {
		struct belay__secret_line line;
		struct belay_error error = { 0 };

		write_file(texts[i], 0600);
		assert_int_equal(belay__secret_read_lines(path, &line, 1, &error), -EINVAL);
		assert_non_null(strstr(error.text, "holds no key"));
		assert_non_null(strstr(error.text, path));
		assert_int_equal(unlink(path), 0);
	}
	struct belay__secret_line line;
	assert_int_equal(belay__secret_read_lines(path, &line, 1, NULL), -ENOENT);
}

static void a_file_is_read_up_to_its_largest_size(void **state)
{
	static char text[BELAY__SECRET_FILE_MAX + 2];
	struct belay__secret_line line;
	(void)state;

	memset(text, '#', BELAY__SECRET_FILE_MAX);
	memcpy(text, DIGITS "\n", 65);
	write_file(text, 0600);
	assert_int_equal(belay__secret_read_lines(path, &line, 1, NULL), 1);
	text[BELAY__SECRET_FILE_MAX] = '#';
	write_file(text, 0600);
	assert_int_equal(belay__secret_read_lines(path, &line, 1, NULL), -EFBIG);
	assert_int_equal(unlink(path), 0);
}

static void names_of_hosts_have_no_marks_first(void **state)
{
	static const struct {
		const char *name;
		bool wanted;
	} cases[] = { { "a", true }, { "Z9", true }, { "0.a_b-c", true }, { HOST_31, true },
		{ "", false }, { HOST_31 "2", false }, { ".a", false }, { "_a", false },
		{ "-a", false }, { "a/b", false }, { "a b", false }, { "a\n", false },
		{ "a:1", false } };
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++)
		assert_int_equal(belay__host_valid(cases[i].name), cases[i].wanted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_a_digit_or_is_not),
		cmocka_unit_test(a_file_holds_64_digits_and_perhaps_a_newline),
		cmocka_unit_test(a_file_for_more_eyes_is_refused),
		cmocka_unit_test(the_file_of_another_user_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(a_huge_file_is_not_read_to_its_end),
		cmocka_unit_test(whether_a_file_holds_one_secret_only_is_told),
		cmocka_unit_test(a_line_may_name_its_host),
		cmocka_unit_test(a_nul_is_no_part_of_a_name),
		cmocka_unit_test(lines_are_read_in_their_order),
		cmocka_unit_test(one_line_too_many_leaves_nothing),
		cmocka_unit_test(a_file_without_a_key_is_an_error),
		cmocka_unit_test(a_file_is_read_up_to_its_largest_size),
		cmocka_unit_test(names_of_hosts_have_no_marks_first),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
