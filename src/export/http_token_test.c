#include "export/http_token.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

/* What else is refused of a file is secret_test.c's. */
static void a_token_is_read_from_a_private_file(void **state)
{
	char path[] = "/tmp/belay-http-XXXXXX";
	_cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
	uint8_t read[BELAY__HTTP_TOKEN_LEN] = { 0xa5 }, before[BELAY__HTTP_TOKEN_LEN];
	struct belay_error error = { 0 };
	(void)state;

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, DIGITS "\n", sizeof(DIGITS "\n") - 1), 0);
	memcpy(before, read, sizeof(before));
	assert_int_equal(fchmod(fd, 0640), 0);
	assert_int_equal(belay__http_token_read(path, read, &error), -EPERM);
	assert_memory_equal(read, before, sizeof(read));
	assert_non_null(strstr(error.text, path));
	assert_non_null(strstr(error.text, "token"));

	assert_int_equal(fchmod(fd, 0600), 0);
	assert_int_equal(belay__http_token_read(path, read, &error), 0);
	assert_memory_equal(read, token, sizeof(read));
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
		cmocka_unit_test(a_token_is_read_from_a_private_file),
		cmocka_unit_test(only_the_whole_token_matches),
		cmocka_unit_test(every_single_bit_counts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
