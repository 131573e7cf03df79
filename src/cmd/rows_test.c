/* rows_test.c - what every command's rows promise; its argument is the root of the sources, where the manual pages are */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "cmd/cmd.h"

static const char *source_root = ".";
static char page[64 << 10];

static void every_table_keeps_its_promises(void **state)
{
	struct belay_error error;
	(void)state;

	for (size_t i = 0; i < belay__command_count; i++) {
		const struct belay__command *command = belay__commands[i];

		if (belay__options_check(command->options, command->option_count, &error) < 0)
			fail_msg("%s: %s", command->name, error.text);
		if (command->option_count > 0)
			assert_non_null(belay__option_find(command->options, command->option_count,
				"help", 4));
		assert_true(strlen(command->help) > 0 &&
			command->help[strlen(command->help) - 1] != '.');
		assert_non_null(command->example);
		assert_non_null(command->run);
		assert_ptr_equal(belay__command_find(command->name), command);
		if (i > 0)
			assert_true(strcmp(belay__commands[i - 1]->name, command->name) < 0);
	}
}

static void read_page(const char *name)
{
	char path[512];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "%s/man/%s", source_root, name);
	len = belay__read_file(AT_FDCWD, path, page, sizeof(page));
	if (len <= 0)
		fail_msg("cannot read %s", path);
	assert_true((size_t)len < sizeof(page) - 1);
}

static void want(const struct belay__command *command, const char *what)
{
	if (strstr(page, what) == NULL)
		fail_msg("the manual page of belay %s says nothing of %s", command->name, what);
}

static void every_row_is_in_its_manual_page(void **state)
{
	(void)state;

	for (size_t i = 0; i < belay__command_count; i++) {
		const struct belay__command *command = belay__commands[i];
		char wanted[96];

		(void)snprintf(wanted, sizeof(wanted), "%s.%c", command->manual,
			strcmp(command->manual, "belay-observe") == 0 ? '8' : '1');
		read_page(wanted);
		want(command, "\n.Sh EXIT STATUS\n");
		want(command, "\n.Sh EXAMPLES\n");
		for (size_t k = 0; k < command->option_count; k++) {
			const struct belay__option *row = &command->options[k];

			(void)snprintf(wanted, sizeof(wanted), "\n.It Fl %c , Fl -%s", row->letter,
				row->name);
			if (row->letter == 0)
				(void)snprintf(wanted, sizeof(wanted), "\n.It Fl -%s", row->name);
			want(command, wanted);
			for (size_t c = 0; row->choices != NULL && row->choices[c] != NULL; c++)
				want(command, row->choices[c]);
			if (row->default_text != NULL)
				want(command, row->default_text);
		}
		for (size_t k = 0; command->words != NULL && command->words[k] != NULL; k++)
			want(command, command->words[k]);
	}
}

static void the_front_page_lists_every_command(void **state)
{
	char wanted[64];
	(void)state;

	read_page("belay.1");
	for (size_t i = 0; i < belay__command_count; i++) {
		(void)snprintf(wanted, sizeof(wanted), "\n.It Cm %s", belay__commands[i]->name);
		want(belay__commands[i], wanted);
	}
}

static void every_exit_code_is_in_its_page(void **state)
{
	static const enum belay__exit exits[] = { BELAY__EXIT_OK, BELAY__EXIT_FAILED,
		BELAY__EXIT_USAGE, BELAY__EXIT_NOT_RUNNING, BELAY__EXIT_UNKNOWN,
		BELAY__EXIT_NO_INPUT, BELAY__EXIT_ABSENT, BELAY__EXIT_PROTOCOL,
		BELAY__EXIT_PERMISSION };
	char wanted[64];
	(void)state;

	read_page("belay-exit-codes.7");
	for (size_t i = 0; i < BELAY__COUNT_OF(exits); i++) {
		(void)snprintf(wanted, sizeof(wanted), "\n.It %d\n", (int)exits[i]);
		if (strstr(page, wanted) == NULL)
			fail_msg("belay-exit-codes.7 does not list %d", (int)exits[i]);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_table_keeps_its_promises),
		cmocka_unit_test(every_row_is_in_its_manual_page),
		cmocka_unit_test(the_front_page_lists_every_command),
		cmocka_unit_test(every_exit_code_is_in_its_page),
	};

	if (argc > 1)
		source_root = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
