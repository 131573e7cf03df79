#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_character_is_read_back_at_its_length(void **state)
{
	char bytes[4];
	(void)state;

	for (unsigned code = 0; code <= 0x10FFFF; code++) {
		size_t len;

		if (code >= 0xD800 && code <= 0xDFFF)
			continue;
		len = belay__utf8_put(bytes, code);
		assert_int_equal(len, code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4);
		assert_int_equal(belay__utf8_len(bytes, len), len);
		assert_int_equal(belay__utf8_len(bytes, len - 1), 0);
	}
}

static void what_is_no_character_has_no_length(void **state)
{
	static const char *const bad[] = {
		"\x80",                                         /* a tail without a head */
		"\xC0\x80", "\xC1\xBF",                         /* two bytes for what one holds */
		"\xE0\x9F\xBF",                                 /* three for what two hold */
		"\xED\xA0\x80",                                 /* a surrogate */
		"\xF0\x8F\xBF\xBF",                             /* four for what three hold */
		"\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", /* past the last */
		"\xC3(", "\xE2\x82(", "\xF0\x9F\x98(",          /* cut */
	};
	(void)state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(belay__utf8_len(bad[i], strlen(bad[i])), 0);
	assert_int_equal(belay__utf8_len("", 0), 0);
	assert_int_equal(belay__utf8_len("", 1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_character_is_read_back_at_its_length),
		cmocka_unit_test(what_is_no_character_has_no_length),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
