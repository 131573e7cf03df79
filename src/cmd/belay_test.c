#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static struct test_door door;
static struct test_run run;

static void every_command_is_listed_and_helps(void **state)
{
	char line[512];
	(void)state;

	test_run(&run, &door, NULL, WORDS("help"));
	assert_int_equal(run.exit, 0);
	for (size_t i = 0; i < belay__command_count; i++) {
		(void)snprintf(line, sizeof(line), "  %-12s%s\n", belay__commands[i]->name,
			belay__commands[i]->help);
		assert_non_null(strstr(run.out, line));
	}
	for (size_t i = 0; i < belay__command_count; i++) {
		const struct belay__command *command = belay__commands[i];

		test_run(&run, &door, NULL, WORDS("help", command->name));
		assert_int_equal(run.exit, 0);
		assert_non_null(strstr(run.out, command->example));
		for (size_t k = 0; k < command->option_count; k++) {
			(void)snprintf(line, sizeof(line), "--%s", command->options[k].name);
			assert_non_null(strstr(run.out, line));
		}
		/* What becomes another program asks that one for help. */
		if (command->option_count == 0)
			continue;
		test_run(&run, &door, NULL, WORDS(command->name, "--help"));
		assert_int_equal(run.exit, 0);
		assert_non_null(strstr(run.out, command->example));
		test_run(&run, &door, NULL, WORDS(command->name, "-h"));
		assert_int_equal(run.exit, 0);
	}
	assert_int_equal(run.requests, 0);
}

static void help_is_found_in_every_spelling(void **state)
{
	static const char *const spellings[] = { "help", "-h", "--help" };
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(spellings); i++) {
		test_run(&run, &door, NULL, WORDS(spellings[i]));
		assert_int_equal(run.exit, 0);
		assert_non_null(strstr(run.out, "usage: belay COMMAND"));
	}
}

static void what_is_no_command_is_told_with_the_nearest(void **state)
{
	(void)state;

	test_run(&run, &door, NULL, (const char *const[]){ NULL });
	assert_int_equal(run.exit, 2);
	assert_string_equal(run.err, "belay: which command? all there are: belay help\n");
	test_run(&run, &door, NULL, WORDS("statsu"));
	assert_int_equal(run.exit, 2);
	assert_string_equal(run.err,
		"belay: there is no command 'statsu'; did you mean: belay status\n");
	test_run(&run, &door, NULL, WORDS("somersault"));
	assert_int_equal(run.exit, 2);
	assert_string_equal(run.err,
		"belay: there is no command 'somersault'; all there are: belay help\n");
	test_run(&run, &door, NULL, WORDS("help", "fly"));
	assert_int_equal(run.exit, 2);
	test_run(&run, &door, NULL, WORDS("config"));
	assert_int_equal(run.exit, 2);
	test_run(&run, &door, NULL, WORDS("config", "destroy"));
	assert_int_equal(run.exit, 2);
	test_run(&run, &door, NULL, WORDS("completion", "fish"));
	assert_int_equal(run.exit, 2);
}

static void the_version_is_told_in_both_forms(void **state)
{
	struct belay__json object, value;
	uint64_t schema;
	(void)state;

	test_run(&run, &door, NULL, WORDS("version"));
	assert_int_equal(run.exit, 0);
	assert_string_equal(run.out, "belay " BELAY_VERSION "\n");
	test_run(&run, &door, NULL, WORDS("--version"));
	assert_string_equal(run.out, "belay " BELAY_VERSION "\n");

	test_run(&run, &door, NULL, WORDS("version", "--json"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(belay__json_parse(run.out, run.out_len, &object, NULL), 0);
	assert_int_equal(belay__json_member(&object, "schema", &value), 0);
	assert_int_equal(belay__json_get_u64(&value, &schema), 0);
	assert_int_equal(schema, 1);
	assert_int_equal(belay__json_member(&object, "version", &value), 0);
}

static int set_up(void **state)
{
	(void)state;
	test_door_open(&door);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_door_done(&door);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_command_is_listed_and_helps),
		cmocka_unit_test(help_is_found_in_every_spelling),
		cmocka_unit_test(what_is_no_command_is_told_with_the_nearest),
		cmocka_unit_test(the_version_is_told_in_both_forms),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
