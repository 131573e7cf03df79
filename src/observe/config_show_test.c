/* What is said of a configuration, and of how two differ. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "observe/config_testing.h"

static struct belay__observe_config other; /* too large for a stack */

/* What "config show" prints is a configuration that says the same. */
static void what_is_shown_reads_back_as_the_same_configuration(void **state)
{
	static char buffer[65536];
	struct belay__text text;
	(void)state;

	assert_int_equal(
		read_text(
			"[observe]\nthreshold = 1500ms\nsocket = /run/x\neviction = balanced\n"
			"allow-cross-namespace-agents = on\n[process web]\nunit = web*\nuid = 12\n"
			"[process empty]\n"),
		0);
	other = config;
	belay__text_init(&text, buffer, sizeof(buffer));
	belay__config_show(&config, &sources, false, &text);
	assert_false(text.overflowed);
	assert_non_null(strstr(buffer, "threshold = 1500ms"));
	assert_non_null(strstr(buffer, "; f:2\n"));
	assert_non_null(strstr(buffer, "[process web] ; f:6\n"));
	assert_null(strstr(buffer, "threshold-ms"));

	assert_int_equal(read_text(buffer), 0);
	assert_memory_equal(&config, &other, sizeof(config));
}

static void what_is_shown_as_json_is_json(void **state)
{
	static char buffer[65536];
	struct belay__json document, observe, entry, value;
	struct belay__text text;
	uint64_t number;
	char string[64];
	(void)state;

	assert_int_equal(
		read_text("[observe]\ncapacity = 12\n[process web]\nexpect = 3\nuid = 7\n"), 0);
	belay__text_init(&text, buffer, sizeof(buffer));
	belay__config_show(&config, &sources, true, &text);
	assert_false(text.overflowed);
	assert_ends(buffer, "}\n");
	assert_int_equal(belay__json_parse(buffer, text.len, &document, NULL), 0);
	assert_int_equal(belay__json_member(&document, "observe", &observe), 0);
	assert_int_equal(belay__json_member(&observe, "capacity", &entry), 0);
	assert_int_equal(belay__json_member(&entry, "value", &value), 0);
	assert_int_equal(belay__json_get_u64(&value, &number), 0);
	assert_int_equal(number, 12);
	assert_int_equal(belay__json_member(&entry, "from", &value), 0);
	assert_int_equal(belay__json_get_string(&value, string, sizeof(string)), 0);
	assert_string_equal(string, "f:2");
	assert_non_null(strstr(buffer, "\"expect\":3"));
	assert_non_null(strstr(buffer, "\"uid\":7"));
}

static void the_difference_names_each_value_that_changed(void **state)
{
	char buffer[1024];
	struct belay__text text;
	(void)state;

	assert_int_equal(
		read_text("[observe]\nthreshold = 5s\n[process a]\nexpect = 1\n[process b]\n"), 0);
	other = config;
	belay__text_init(&text, buffer, sizeof(buffer));
	assert_int_equal(belay__config_diff(&other, &config, &text), 0);
	assert_string_equal(buffer, "");

	assert_int_equal(read_text("[observe]\nthreshold = 10s\nsocket = /s\n"
				   "[process c]\n[process a]\nexpect = 2\nuid = 3\n"),
		0);
	assert_int_equal(belay__config_diff(&other, &config, &text), 6);
	assert_string_equal(buffer,
		"socket: (unset) -> /s\n"
		"threshold: 5s -> 10s\n"
		"process b: removed\n"
		"process c: added\n"
		"process a: expect: 1 -> 2\n"
		"process a: uid: (unset) -> 3\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_shown_reads_back_as_the_same_configuration),
		cmocka_unit_test(what_is_shown_as_json_is_json),
		cmocka_unit_test(the_difference_names_each_value_that_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
