#include "export/signal_name.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_signal_is_told_by_name_and_number(void **state)
{
	static const struct {
		int64_t number;
		const char *wanted;
	} rows[] = {
		{ SIGSEGV, "SIGSEGV (11)" },
		{ SIGKILL, "SIGKILL (9)" },
		{ 0, "signal 0" },
		{ 42, "signal 42" },
		{ -1, "signal -1" },
		{ INT64_MAX, "signal 9223372036854775807" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buffer[64];
		struct belay__text text;

		belay__text_init(&text, buffer, sizeof(buffer));
		belay__text_add_signal(&text, rows[i].number);
		assert_string_equal(buffer, rows[i].wanted);
	}
}

static void every_ordinary_signal_has_a_name(void **state)
{
	(void)state;

	for (int number = 1; number < 32; number++) {
#ifdef SIGSTKFLT
		if (number == SIGSTKFLT)
			continue;
#endif
		assert_non_null(belay__signal_name(number));
	}
	assert_null(belay__signal_name(0));
	assert_null(belay__signal_name(64));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signal_is_told_by_name_and_number),
		cmocka_unit_test(every_ordinary_signal_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
