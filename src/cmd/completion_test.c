/* completion_test.c - the script is sourced by a real bash, which completes by it */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/cmd.h"
#include "cmd/testing.h"
#include "observe/options.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static struct test_door door;
static struct test_run run;

/* What the script proposes when the cursor stands at the end of the bash words LINE, separated by spaces in ANSWER. */
static void complete(const char *line, char *answer, size_t size)
{
	char command[1024];
	FILE *bash;
	size_t len;

	(void)snprintf(command, sizeof(command),
		"bash -c 'source %s/script || exit 9; belay() { echo "
		"\"{\\\"name\\\":\\\"worker#1\\\",}\"; };"
		"COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _belay; echo -n "
		"\"${COMPREPLY[*]}\"' 2>&1",
		door.directory, line);
	/* The shell is what is tested. NOLINTNEXTLINE(cert-env33-c) */
	bash = popen(command, "re");
	assert_non_null(bash);
	len = fread(answer, 1, size - 1, bash);
	answer[len] = '\0';
	assert_int_equal(pclose(bash), 0);
}

static void bash_completes_commands_options_values_and_names(void **state)
{
	static const struct {
		const char *line, *wanted;
	} rows[] = {
		{ "belay sta", "status" },
		{ "belay --v", "--version" },
		{ "belay beat --st", "--status --strict" },
		{ "belay beat --status d", "degraded" },
		{ "belay beat --status = cr", "critical" },
		{ "belay beat --status =", "ok degraded critical" },
		{ "belay beat --of \"\"", "" },
		{ "belay status wor", "worker#1" },
		{ "belay status --js", "--json" },
		{ "belay status --socket /et", "/etc" },
		{ "belay config sh", "show" },
		{ "belay config show --thr", "--threshold --threshold-ms" },
		{ "belay observe --log-format j", "json" },
		{ "belay backend pr", "probe" },
		{ "belay backend conform --s", "--service --sidecar" },
		{ "belay backend conform --handoff /et", "/etc" },
		{ "belay help ob", "observe" },
		{ "belay completion \"\"", "bash --help" },
		{ "belay nonsense x", "" },
	};
	char answer[1024];
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		complete(rows[i].line, answer, sizeof(answer));
		assert_string_equal(answer, rows[i].wanted);
	}
}

static void every_row_is_in_the_script(void **state)
{
	char wanted[96];
	(void)state;

	for (size_t i = 0; i < belay__command_count; i++) {
		const struct belay__command *command = belay__commands[i];
		char start[64], line[4096];
		const char *found;

		(void)snprintf(start, sizeof(start), "\t%s) words=", command->name);
		found = strstr(run.out, start);
		assert_non_null(found);
		(void)snprintf(line, sizeof(line), "%.*s", (int)strcspn(found + 1, "\n"), found + 1);
		for (size_t k = 0; k < command->option_count; k++) {
			(void)snprintf(wanted, sizeof(wanted), " --%s", command->options[k].name);
			assert_non_null(strstr(line, wanted));
		}
		for (size_t k = 0;
			command->takes_observer_options && k < belay__observe_table_count; k++) {
			(void)snprintf(wanted, sizeof(wanted), " --%s",
				belay__observe_table[k].name);
			assert_non_null(strstr(line, wanted));
		}
	}
}

static int set_up(void **state)
{
	(void)state;
	test_door_open(&door);
	test_run(&run, &door, NULL, WORDS("completion", "bash"));
	assert_int_equal(run.exit, 0);
	test_door_file(&door, "script", run.out);
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
		cmocka_unit_test(bash_completes_commands_options_values_and_names),
		cmocka_unit_test(every_row_is_in_the_script),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
