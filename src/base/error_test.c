#include "base/error.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void failing_fills_code_and_sentence(void **state)
{
	struct belay_error error = { 0 };
	(void)state;

	assert_int_equal(belay__fail(&error, -ENOENT, "cannot open %s: gone", "x"), -ENOENT);
	assert_int_equal(error.code, -ENOENT);
	assert_string_equal(error.text, "cannot open x: gone");
	assert_int_equal(belay__fail(NULL, -EIO, "nobody listens"), -EIO);
	assert_int_equal(belay__wrap(NULL, -EIO, "nobody listens"), -EIO);
}

static void wrapping_puts_the_outer_part_in_front(void **state)
{
	struct belay_error error = { 0 };
	(void)state;

	(void)belay__fail(&error, -ENOENT, "inner");
	assert_int_equal(belay__wrap(&error, -EINVAL, "line %d", 7), -EINVAL);
	assert_int_equal(error.code, -EINVAL);
	assert_string_equal(error.text, "line 7: inner");
}

static void what_does_not_fit_is_cut_at_the_end(void **state)
{
	char name[2 * sizeof(((struct belay_error *)NULL)->text)];
	struct belay_error error = { 0 };
	(void)state;

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';

	(void)belay__fail(&error, -EIO, "%s", name);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
	(void)belay__wrap(&error, -EIO, "outer");
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
	assert_memory_equal(error.text, "outer: nnn", 10);
	(void)belay__wrap(&error, -EIO, "%s", name);
	assert_int_equal(strlen(error.text), sizeof(error.text) - 1);
	assert_memory_equal(error.text, "nnn", 3);
}

static void a_sentence_stays_on_one_line(void **state)
{
	struct belay_error error = { 0 };
	(void)state;

	(void)belay__fail(&error, -EIO, "a\nb\x1b[2Jc\x7f \xc3\xa4");
	assert_string_equal(error.text, "a?b?[2Jc? \xc3\xa4");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failing_fills_code_and_sentence),
		cmocka_unit_test(wrapping_puts_the_outer_part_in_front),
		cmocka_unit_test(what_does_not_fit_is_cut_at_the_end),
		cmocka_unit_test(a_sentence_stays_on_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
