#include "process/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a process may call itself, if nobody stops it. */
#define NAME "a b;$(rm -rf /) `id` \"'{pid}\n"

static const struct belay__value values[] = {
	{ "pid", "4711", 4 },
	{ "name", NAME, sizeof(NAME) - 1 },
	{ "empty", "", 0 },
	{ "evidence", "x\0y", 3 },
};

static const char *const keys[] = { "pid", "name", "verdict", "start_ticks", NULL };

static struct belay__arguments arguments;

static void values_stay_inside_their_argument(void **state)
{
	static const struct {
		const char *template;
		const char *words[6];
	} cases[] = {
		{ "run", { "run" } },
		{ " \t\n\v\f\rrun  a\tb ", { "run", "a", "b" } },
		{ "run {pid}", { "run", "4711" } },
		{ "run --pid={pid} x{pid}y{pid}", { "run", "--pid=4711", "x4711y4711" } },
		{ "run {name} {name}{pid}", { "run", NAME, NAME "4711" } },
		{ "run {empty} end", { "run", "", "end" } },
		{ "run {evidence}", { "run", "x?y" } },
		{ "{pid} {pid}", { "{pid}", "4711" } },
		{ "run {{pid}} {pid", { "run", "{4711}", "{pid" } },
		{ "run {Pid} {} { } {pid }", { "run", "{Pid}", "{}", "{", "}", "{pid" } },
		{ "run {unknown} ${HOME} *", { "run", "{unknown}", "${HOME}", "*" } },
		{ "run 'a b' a\\ b", { "run", "'a", "b'", "a\\", "b" } },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t count = 0;

		assert_int_equal(belay__template_expand(cases[i].template, values, COUNT(values),
					 &arguments),
			0);
		for (; count < COUNT(cases[i].words) && cases[i].words[count] != NULL; count++)
			assert_string_equal(arguments.words[count], cases[i].words[count]);
		if (count < COUNT(cases[i].words))
			assert_int_equal(arguments.count, count);
		assert_null(arguments.words[arguments.count]);
	}
}

static void nothing_to_run_is_refused(void **state)
{
	(void)state;

	assert_int_equal(belay__template_expand("", NULL, 0, &arguments), -EINVAL);
	assert_int_equal(belay__template_expand(" \t ", NULL, 0, &arguments), -EINVAL);
	assert_int_equal(arguments.count, 0);
	assert_null(arguments.words[0]);
}

/* COUNT words of one letter. */
static char *words_of(size_t count)
{
	char *template = malloc(2 * count + 1);

	assert_non_null(template);
	for (size_t i = 0; i < count; i++)
		memcpy(template + 2 * i, "x ", 2);
	template[2 * count] = '\0';
	return template;
}

static void words_and_bytes_have_a_bound(void **state)
{
	char *enough = words_of(BELAY__WORDS_MAX), *much = words_of(BELAY__WORDS_MAX + 1);
	char *value = malloc(BELAY__ARGUMENT_BYTES_MAX);
	struct belay__value large = { "v", value, BELAY__ARGUMENT_BYTES_MAX - 5 };
	(void)state;

	assert_int_equal(belay__template_expand(enough, NULL, 0, &arguments), 0);
	assert_int_equal(arguments.count, BELAY__WORDS_MAX);
	assert_int_equal(belay__template_expand(much, NULL, 0, &arguments), -E2BIG);
	assert_int_equal(arguments.count, 0);
	assert_int_equal(belay__template_check(enough, keys, NULL), 0);
	assert_int_equal(belay__template_check(much, keys, NULL), -E2BIG);

	/* "run" and the value, each with its NUL, and one byte to spare or none. */
	assert_non_null(value);
	memset(value, 'v', BELAY__ARGUMENT_BYTES_MAX);
	assert_int_equal(belay__template_expand("run {v}", &large, 1, &arguments), 0);
	assert_int_equal(arguments.len, BELAY__ARGUMENT_BYTES_MAX);
	assert_int_equal(strlen(arguments.words[1]), large.len);
	large.len++;
	assert_int_equal(belay__template_expand("run {v}", &large, 1, &arguments), -E2BIG);
	large.len = BELAY__ARGUMENT_BYTES_MAX;
	assert_int_equal(belay__template_expand("run {v}{v}{v}", &large, 1, &arguments), -E2BIG);
	assert_null(arguments.words[0]);
	free(value);
	free(enough);
	free(much);
}

static void a_template_is_checked_when_it_is_configured(void **state)
{
	static const struct {
		const char *template, *sentence; /* NULL: fine */
	} cases[] = {
		{ "restart {pid} {name} {start_ticks}", NULL },
		{ "/usr/bin/restart --json={\"a\":1} {} {a-b} {1}", NULL },
		{ "run {}", NULL },
		{ "", "a command needs a program" },
		{ "   ", "a command needs a program" },
		{ "run {pdi}", "there is no key '{pdi}'; did you mean '{pid}'?" },
		{ "run x={verdikt}", "there is no key '{verdikt}'; did you mean '{verdict}'?" },
		{ "run {qwertyuiop}", "there is no key '{qwertyuiop}'" },
		{ "run {this_is_a_very_long_word_that_nobody_would_ever_want_to_see_whole}",
			"there is no key '{this_is_a_very_long_word_that_nobody_wo...}'" },
		{ "/opt/{pid}/run",
			"program '/opt/{pid}/run' cannot depend on a key: write it out" },
		{ "bin/run",
			"program 'bin/run' is neither a bare name nor a path that begins "
			"with /" },
		{ "./run", "program './run' is neither a bare name nor a path that begins with /" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay_error error = { .text = "untouched" };
		int r = belay__template_check(cases[i].template, keys, &error);

		assert_int_equal(r, cases[i].sentence == NULL ? 0 : -EINVAL);
		assert_string_equal(error.text,
			cases[i].sentence == NULL ? "untouched" : cases[i].sentence);
	}
}

static void a_template_that_is_too_long_is_refused(void **state)
{
	char template[BELAY__TEMPLATE_MAX + 2];
	(void)state;

	memset(template, 'x', sizeof(template));
	template[BELAY__TEMPLATE_MAX + 1] = '\0';
	assert_int_equal(belay__template_check(template, keys, NULL), -E2BIG);
	template[BELAY__TEMPLATE_MAX] = '\0';
	assert_int_equal(belay__template_check(template, keys, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_stay_inside_their_argument),
		cmocka_unit_test(nothing_to_run_is_refused),
		cmocka_unit_test(words_and_bytes_have_a_bound),
		cmocka_unit_test(a_template_is_checked_when_it_is_configured),
		cmocka_unit_test(a_template_that_is_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
