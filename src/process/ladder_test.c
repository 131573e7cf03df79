#include "process/ladder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char *const keys[] = { "pid", "name", NULL };

static struct belay__ladder ladder;

static void assert_formats_as(const char *expected)
{
	char buffer[2 * BELAY__LADDER_MAX];
	struct belay__text text;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__ladder_format(&ladder, &text);
	assert_false(text.overflowed);
	assert_string_equal(buffer, expected);
}

static void the_built_in_ladder_is_three_steps(void **state)
{
	(void)state;

	assert_int_equal(belay__ladder_parse("report, term 10s, kill", keys, &ladder, NULL), 0);
	assert_int_equal(ladder.count, 3);
	assert_int_equal(ladder.steps[0].kind, BELAY__LADDER_REPORT);
	assert_int_equal(ladder.steps[1].kind, BELAY__LADDER_SIGNAL);
	assert_int_equal(ladder.steps[1].signal, SIGTERM);
	assert_true(ladder.steps[1].wait_ns == 10 * BELAY__NS_PER_S);
	assert_true(ladder.steps[1].then_continue);
	assert_int_equal(ladder.steps[2].signal, SIGKILL);
	assert_true(ladder.steps[2].wait_ns == 0);
	assert_false(ladder.steps[2].then_continue);
}

static void only_signals_that_ask_for_the_end_are_followed_by_cont(void **state)
{
	static const struct {
		const char *text;
		int signal;
		bool then_continue;
	} cases[] = {
		{ "term", SIGTERM, true },
		{ "int", SIGINT, true },
		{ "hup", SIGHUP, true },
		{ "quit", SIGQUIT, true },
		{ "abrt", SIGABRT, true },
		{ "usr1", SIGUSR1, false },
		{ "usr2", SIGUSR2, false },
		{ "kill", SIGKILL, false },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(belay__ladder_parse(cases[i].text, keys, &ladder, NULL), 0);
		assert_int_equal(ladder.steps[0].signal, cases[i].signal);
		assert_int_equal(ladder.steps[0].then_continue, cases[i].then_continue);
	}
}

static void what_is_read_is_written_alike(void **state)
{
	static const struct {
		const char *text, *formatted;
	} cases[] = {
		{ "report", "report" },
		{ " report ,\tTERM  10s,SIGKILL\n", "report, term 10s, kill" },
		{ "usr1 0, abrt 1500ms, kill 5s", "usr1 0, abrt 1500ms, kill 5s" },
		{ "term 0", "term" },
		{ "command /usr/bin/restart {name} {pid}, kill",
			"command /usr/bin/restart {name} {pid}, kill" },
		{ "command a  b\\,c \\d, command e", "command a  b\\,c \\d, command e" },
		{ "command a\\ , command b\\\\,c", "command a\\ , command b\\\\,c" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(belay__ladder_parse(cases[i].text, keys, &ladder, NULL), 0);
		assert_formats_as(cases[i].formatted);
		assert_int_equal(belay__ladder_parse(cases[i].formatted, keys, &ladder, NULL), 0);
		assert_formats_as(cases[i].formatted);
	}
}

static void commands_are_templates(void **state)
{
	(void)state;

	assert_int_equal(
		belay__ladder_parse("command run a\\,b {pid}, Command two", keys, &ladder, NULL), 0);
	assert_string_equal(belay__step_command(&ladder, &ladder.steps[0]), "run a,b {pid}");
	assert_string_equal(belay__step_command(&ladder, &ladder.steps[1]), "two");
}

static void errors_name_the_word_and_the_nearest_one(void **state)
{
	static const struct {
		const char *text;
		int error;
		const char *sentence;
	} cases[] = {
		{ "report, trem 10s, kill", -EINVAL,
			"there is no step 'trem'; did you mean 'term'?" },
		{ "rreport", -EINVAL, "there is no step 'rreport'; did you mean 'report'?" },
		{ "explode", -EINVAL, "there is no step 'explode'; there are report," },
		{ "/usr/bin/x {pid}", -EINVAL,
			"there is no step '/usr/bin/x'; a command is written 'command "
			"/usr/bin/x'" },
		{ "", -EINVAL, "step 1 is empty" },
		{ "report,,kill", -EINVAL, "step 2 is empty" },
		{ "report,", -EINVAL, "step 2 is empty" },
		{ "report now", -EINVAL, "'report' stands alone, without 'now'" },
		{ "term 10, kill", -EINVAL, "'10' is no time to wait after 'term'" },
		{ "term soon", -EINVAL, "'soon' is no time to wait after 'term'" },
		{ "term 5s kill", -EINVAL, "'kill' after 'term 5s' is too much" },
		{ "term, kill", -EINVAL, "how long to wait after 'term' before the next step?" },
		{ "kill, report", -EINVAL, "nothing can come after 'kill'" },
		{ "kill 5s, term", -EINVAL, "nothing can come after 'kill'" },
		{ "term 25h, kill", -ERANGE, "'term 25h' waits longer than a day" },
		{ "sigreport", -EINVAL, "there is no step 'sigreport'" },
		{ "sigstop", -EINVAL, "there is no step 'sigstop'" },
		{ "9", -EINVAL, "there is no step '9'" },
		{ "command", -EINVAL, "a command needs a program" },
		{ "command run {names}", -EINVAL,
			"there is no key '{names}'; did you mean '{name}'?" },
		{ "report,report,report,report,report,report,report,report,report", -E2BIG,
			"'report' is too much: a ladder has at most 8 steps" },
	};
	(void)state;

	memset(&ladder, 'x', sizeof(ladder));
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay_error error;

		assert_int_equal(belay__ladder_parse(cases[i].text, keys, &ladder, &error),
			cases[i].error);
		if (strncmp(error.text, cases[i].sentence, strlen(cases[i].sentence)) != 0)
			assert_string_equal(error.text, cases[i].sentence);
		assert_int_equal(ladder.commands[0], 'x');
	}
}

static void eight_steps_and_the_longest_text_fit(void **state)
{
	char text[BELAY__LADDER_MAX + 2];
	size_t len;
	(void)state;

	assert_int_equal(belay__ladder_parse("report,report,report,report,report,report,report,"
					     "kill",
				 keys, &ladder, NULL),
		0);
	assert_int_equal(ladder.count, 8);

	len = (size_t)snprintf(text, sizeof(text), "report, command /");
	memset(text + len, 'x', sizeof(text) - len);
	text[BELAY__LADDER_MAX + 1] = '\0';
	assert_int_equal(belay__ladder_parse(text, keys, &ladder, NULL), -E2BIG);
	text[BELAY__LADDER_MAX] = '\0';
	assert_int_equal(belay__ladder_parse(text, keys, &ladder, NULL), 0);
	assert_int_equal(strlen(belay__step_command(&ladder, &ladder.steps[1])),
		BELAY__LADDER_MAX - strlen("report, command "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_built_in_ladder_is_three_steps),
		cmocka_unit_test(only_signals_that_ask_for_the_end_are_followed_by_cont),
		cmocka_unit_test(what_is_read_is_written_alike),
		cmocka_unit_test(commands_are_templates),
		cmocka_unit_test(errors_name_the_word_and_the_nearest_one),
		cmocka_unit_test(eight_steps_and_the_longest_text_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
