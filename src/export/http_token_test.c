#include "export/http_token.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"

#define DIGITS "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static const uint8_t token[BELAY__HTTP_TOKEN_LEN] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66,
	0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
	0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

static char directory[] = "/tmp/belay-token-XXXXXX";
static char path[64];

static int make_directory(void **state)
{
	(void)state;
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/token", directory);
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
		{ " " DIGITS, -EINVAL },
		{ "0x112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", -EINVAL },
		{ "0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", -EINVAL },
		{ "g0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", -EINVAL },
		{ DIGITS DIGITS, -EINVAL },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint8_t read[BELAY__HTTP_TOKEN_LEN] = { 0xa5 }, before[BELAY__HTTP_TOKEN_LEN];
		struct belay_error error = { 0 };

		memcpy(before, read, sizeof(before));
		write_file(cases[i].text, 0600);
		assert_int_equal(belay__http_token_read(path, read, &error), cases[i].wanted);
		assert_memory_equal(read, cases[i].wanted == 0 ? token : before, sizeof(read));
		if (cases[i].wanted < 0)
			assert_non_null(strstr(error.text, path));
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
	} cases[] = { { 0600, 0 }, { 0400, 0 }, { 0640, -EPERM }, { 0604, -EPERM },
		{ 0610, -EPERM }, { 0620, -EPERM }, { 0602, -EPERM }, { 0666, -EPERM } };
	uint8_t read[BELAY__HTTP_TOKEN_LEN];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_file(DIGITS, cases[i].mode);
		assert_int_equal(belay__http_token_read(path, read, NULL), cases[i].wanted);
		assert_int_equal(unlink(path), 0);
	}
}

static void what_is_no_file_is_refused(void **state)
{
	uint8_t read[BELAY__HTTP_TOKEN_LEN];
	(void)state;

	assert_int_equal(belay__http_token_read(path, read, NULL), -ENOENT);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(belay__http_token_read(path, read, NULL), -EINVAL);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/dev/null", path), 0);
	assert_int_equal(belay__http_token_read(path, read, NULL), -ELOOP);
	assert_int_equal(unlink(path), 0);
}

static void only_the_whole_token_matches(void **state)
{
	static const struct {
		const char *header;
		bool wanted;
	} cases[] = {
		{ "Bearer " DIGITS, true },
		{ "bearer " DIGITS, true },
		{ "Bearer   " DIGITS, true },
		{ "Bearer 00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff", true },
		{ NULL, false },
		{ "", false },
		{ "Bearer", false },
		{ "Bearer ", false },
		{ "Basic " DIGITS, false },
		{ "Bearer" DIGITS, false },
		{ DIGITS, false },
		{ "Bearer " DIGITS " ", false },
		{ "Bearer " DIGITS "0", false },
		{ "Bearer 00112233445566778899aabbccddeeff", false },
		{ "Bearer 10112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF", false },
		{ "Bearer 00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFE", false },
		{ "Bearer 00112233445566778899aabbccddeeff0011223344556677889:AABBCCDDEEFF", false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(belay__http_token_matches(token, cases[i].header), cases[i].wanted);
}

static void every_single_bit_counts(void **state)
{
	(void)state;

	for (unsigned bit = 0; bit < 8 * BELAY__HTTP_TOKEN_LEN; bit++) {
		uint8_t other[BELAY__HTTP_TOKEN_LEN];

		memcpy(other, token, sizeof(other));
		other[bit / 8] = (uint8_t)(other[bit / 8] ^ 1u << bit % 8);
		assert_false(belay__http_token_matches(other, "Bearer " DIGITS));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_holds_64_digits_and_perhaps_a_newline),
		cmocka_unit_test(a_file_for_more_eyes_is_refused),
		cmocka_unit_test(what_is_no_file_is_refused),
		cmocka_unit_test(only_the_whole_token_matches),
		cmocka_unit_test(every_single_bit_counts),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
