/* What a file may say, and how what is wrong in it is named. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "observe/config_testing.h"

static void wrong_lines_are_named_with_file_line_and_the_nearest_word(void **state)
{
	static const struct {
		const char *text, *says;
	} cases[] = {
		{ "[observe]\ntreshold = 5s\n",
			"f:2: unknown key 'treshold'; did you mean 'threshold'?" },
		{ "[observe]\nqwertyuiop = 5s\n", "f:2: unknown key 'qwertyuiop'" },
		{ "[process web]\nexpext = 1\n",
			"f:2: unknown key 'expext'; did you mean 'expect'?" },
		{ "[process web]\ncapacity = 1\n", "f:2: unknown key 'capacity'" },
		{ "[observe]\nconfig = /x\n", "f:2: 'config' cannot be set in a file" },
		{ "[observe]\nkey_env = K\n", "f:2: 'key_env' is gone: " },
		{ "[process web]\nkey-env = K\n", "f:2: unknown key 'key-env'" },
		{ "\n# c\n; c\nthreshold = 5s\n",
			"f:4: 'threshold' stands before the first section" },
		{ "[observer]\n", "f:1: unknown section [observer]; did you mean [observe]?" },
		{ "[proces web]\n",
			"f:1: unknown section [proces web]; did you mean [process NAME]?" },
		{ "[broker]\n", "f:1: unknown section [broker]; there are" },
		{ "[process]\n", "f:1: [process] needs a name" },
		{ "[processes]\n", "f:1: unknown section [processes]; did you mean" },
		{ "[process -x]\n", "f:1: '-x' is no name" },
		{ "[process a b]\n", "f:1: 'a b' is no name" },
		{ "[observe\n", "f:1: a section is written" },
		{ "[observe] x\n", "f:1: a section is written" },
		{ "[observe]\n\nnonsense\n", "f:3: neither a section nor 'key = value'" },
		{ "[observe]\nnonsense\ncapacity = 0\n", "f:2: neither" },
		{ "[observe]\ncapacity = 0\nnonsense\n",
			"f:2: capacity: '0' is not within 1 to 65536" },
		{ "[observe]\nnonsense\n[nowhere]\n", "f:2: neither" },
		{ "[observe]\ncapacity =\n", "f:2: capacity: ''" },
		{ "[observe]\n= 5\n", "f:2: unknown key ''" },
		{ "[observe]\nstate = /a\tb\x01\n", "f:2: byte 0x01" },
		{ "[observe]\nstate = /a\rb\n", "f:2: byte 0x0d" },
		{ "[observe]\nstate=#a\n", "f:2: the value of 'state' begins with '#'" },
		{ "[observe]\nthreshold = 5\n", "f:2: threshold: '5' is no duration" },
		{ "[process web]\nuid = no-such-user-here\n", "f:2: uid: 'no-such-user-here'" },
		{ "[process web]\nexpect = 65537\n", "f:2: expect" },
		{ "[process web]\ncomm = 12345678901234567\n", "f:2: comm" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(read_text(cases[i].text), -EINVAL);
		if (strstr(load_error.text, cases[i].says) != load_error.text)
			fail_msg("'%s' was to be said: %s", cases[i].says, load_error.text);
	}
	assert_int_equal(read_bytes("[observe]\0\n", 11), -EINVAL);
	assert_non_null(strstr(load_error.text, "f:1: byte 0x00"));
}

static void lines_are_read_as_people_write_them(void **state)
{
	(void)state;

	assert_int_equal(read_text("\xef\xbb\xbf[observe] ; the observer\r\n"
				   "  capacity=7 # few\r\n"
				   "\tthreshold : 2s ; soon\n"
				   "within-max = 5m\n"
				   "   # indented, and no continuation\n"
				   "   max_beat_rate = 3\n"
				   "state = /a;b#c ;d\n"
				   "strict-namespace-check = yes\n"
				   "capacity = 8\n"
				   "[process worker#3]\n"
				   "[process web]\n"
				   "exe = /opt/web/bin/*\n"
				   "uid = root\n"
				   "[observe]\n"
				   "log-format = json"),
		0);
	assert_int_equal(config.options.capacity, 8); /* the last wins */
	assert_string_equal(from("capacity"), "f:9");
	assert_int_equal(config.options.threshold_ns, 2 * BELAY__NS_PER_S);
	assert_int_equal(config.options.within_max_ns, 300 * BELAY__NS_PER_S);
	assert_int_equal(config.options.max_beat_rate, 3);
	assert_string_equal(config.options.state, "/a;b#c");
	assert_true(config.options.strict_namespace);
	assert_int_equal(config.options.log_format, 1);
	assert_string_equal(from("log-format"), "f:15");
	assert_int_equal(config.rule_count, 2);
	assert_string_equal(config.rules[0].name, "worker#3");
	assert_int_equal(config.rules[0].first_beat_ns, 30 * BELAY__NS_PER_S);
	assert_string_equal(sources.rule_from[1], "f:11");
	assert_string_equal(config.rules[1].exe, "/opt/web/bin/*");
	assert_int_equal(config.rules[1].uid, 0);
}

static void long_lines_and_names_are_whole_or_refused(void **state)
{
	char text[4096], value[BELAY__PATH_SIZE];
	(void)state;

	memset(value, 'x', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	(void)snprintf(text, sizeof(text), "[observe]\nstate = %s\n", value);
#ifdef BELAY__INIH_HAS_MAX_LINE
	assert_int_equal(read_text(text), 0);
	assert_string_equal(config.options.state, value);
#else
	assert_int_equal(read_text(text), -EINVAL);
#endif

	value[BELAY__NAME_MAX] = '\0';
	(void)snprintf(text, sizeof(text), "[process %s]\nexpect = 2\n", value);
	assert_int_equal(read_text(text), 0);
	assert_string_equal(config.rules[0].name, value);
	(void)snprintf(text, sizeof(text), "[process %sx]\nexpect = 2\n", value);
	assert_int_equal(read_text(text), -EINVAL);

	/* A comment that is too long would be split by inih, and its end read as a line. */
	memset(text, '#', sizeof(text));
	memcpy(text, "[observe]\n", 10);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(read_text(text), -EINVAL);
	assert_non_null(strstr(load_error.text, "f:2: the line is longer than"));
}

static void there_is_room_for_64_rules_and_one_is_extended_by_later_sections(void **state)
{
	static char text[8192];
	size_t len = 0;
	(void)state;

	for (unsigned i = 0; i < BELAY__RULES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
			"[process p%u]\nexpect = %u\n", i, i + 1);
	(void)snprintf(text + len, sizeof(text) - len, "[process p0]\nthreshold = 1s\n");
	assert_int_equal(read_text(text), 0);
	assert_int_equal(config.rule_count, BELAY__RULES_MAX);
	assert_int_equal(config.rules[0].expect, 1);
	assert_int_equal(config.rules[0].threshold_ns, BELAY__NS_PER_S);
	assert_int_equal(config.rules[63].expect, 64);

	(void)snprintf(text + len, sizeof(text) - len, "[process more]\n");
	assert_int_equal(read_text(text), -EINVAL);
	assert_non_null(strstr(load_error.text, "f:129: more than 64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wrong_lines_are_named_with_file_line_and_the_nearest_word),
		cmocka_unit_test(lines_are_read_as_people_write_them),
		cmocka_unit_test(long_lines_and_names_are_whole_or_refused),
		cmocka_unit_test(there_is_room_for_64_rules_and_one_is_extended_by_later_sections),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
