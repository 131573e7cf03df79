#include "export/visible.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void what_could_steer_a_terminal_becomes_a_question_mark(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *wanted;
	} rows[] = {
		{ "", 0, "" },
		{ "plain words", 11, "plain words" },
		{ "a\033[2Jb", 6, "a?[2Jb" },
		{ "\x1f\x20\x7e\x7f", 4, "? ~?" },
		{ "tab\tand\nline", 12, "tab?and?line" },
		{ "a\0b", 3, "a?b" },
		{ "\xc2\x9b", 2, "?" },
		{ "\xc2\x9f\xc2\xa0", 4, "?\xc2\xa0" },
		{ "\xc3\xa9 \xe2\x82\xac", 6, "\xc3\xa9 \xe2\x82\xac" },
		{ "cut \xe2\x82", 6, "cut ??" },
		{ "\xff\xfe", 2, "??" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buffer[64];
		struct belay__text text;

		belay__text_init(&text, buffer, sizeof(buffer));
		belay__text_add_visible(&text, rows[i].bytes, rows[i].len);
		assert_string_equal(buffer, rows[i].wanted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_could_steer_a_terminal_becomes_a_question_mark),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
