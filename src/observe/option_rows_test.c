/* option_rows_test.c - the manual pages name every option and every key; its argument is the root of the sources */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "observe/options.h"

static const char *source_root = ".";
static char page[128 << 10];

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

/* The part of the page from its heading TITLE on; it is cut off at the heading behind. */
static char *section(const char *title)
{
	char heading[64], *start, *end;

	(void)snprintf(heading, sizeof(heading), "\n.Sh %s\n", title);
	start = strstr(page, heading);
	if (start == NULL) {
		fail_msg("there is no section %s", title);
		return page;
	}
	start += strlen(heading);
	end = strstr(start, "\n.Sh ");
	if (end != NULL)
		end[1] = '\0';
	return start;
}

/* Whether an item of TEXT's list is headed by MACRO and NAME ("Fl -", "Ic "), alone or behind others. */
static bool has_item(const char *text, const char *macro, const char *name)
{
	char wanted[96];
	size_t len = (size_t)snprintf(wanted, sizeof(wanted), " %s%s", macro, name);

	for (const char *line = strstr(text, ".It "); line != NULL;
		line = strstr(line + 1, "\n.It ")) {
		const char *found = strstr(line, wanted), *end = strchr(line + 1, '\n');

		if (found != NULL && (end == NULL || found < end) &&
			(found[len] == ' ' || found[len] == '\n'))
			return true;
	}
	return false;
}

static void the_observers_page_explains_every_option(void **state)
{
	const char *options;
	(void)state;

	read_page("belay-observe.8");
	options = section("OPTIONS");
	for (size_t i = 0; i < belay__observe_table_count; i++)
		if (!has_item(options, "Fl -", belay__observe_table[i].name))
			fail_msg("belay-observe.8 does not explain --%s",
				belay__observe_table[i].name);
}

static void the_observers_page_has_no_option_of_its_own(void **state)
{
	(void)state;

	read_page("belay-observe.8");
	for (const char *at = section("OPTIONS"); (at = strstr(at, ".It Fl -")) != NULL;) {
		size_t len;

		at += strlen(".It Fl -");
		len = strcspn(at, " \n");
		if (len == 4 && strncmp(at, "help", 4) == 0)
			continue;
		if (belay__option_find(belay__observe_table, belay__observe_table_count, at, len) ==
			NULL)
			fail_msg("--%.*s is no option", (int)len, at);
	}
}

static void the_files_page_explains_every_key(void **state)
{
	const char *text;
	(void)state;

	read_page("belay.conf.5");
	text = section("THE OBSERVE SECTION");
	for (size_t i = 0; i < belay__observe_table_count; i++)
		if (belay__observe_table[i].in_config !=
			has_item(text, "Ic ", belay__observe_table[i].name))
			fail_msg("belay.conf.5, section observe: %s", belay__observe_table[i].name);

	read_page("belay.conf.5");
	text = section("PROCESS SECTIONS");
	for (size_t i = 0; i < belay__process_table_count; i++)
		if (!has_item(text, "Ic ", belay__process_table[i].name))
			fail_msg("belay.conf.5, process sections: %s", belay__process_table[i].name);
}

static void the_pages_tell_the_defaults_of_the_rows(void **state)
{
	static const char *const pages[][2] = {
		{ "belay-observe.8", "OPTIONS" },
		{ "belay.conf.5", "THE OBSERVE SECTION" },
	};
	(void)state;

	for (size_t k = 0; k < 2; k++) {
		for (size_t i = 0; i < belay__observe_table_count; i++) {
			const struct belay__option *row = &belay__observe_table[i];
			char item[96], wanted[64], *text, *start, *end;

			if (row->default_text == NULL || row->alias_of != NULL)
				continue;
			read_page(pages[k][0]);
			text = section(pages[k][1]);
			(void)snprintf(item, sizeof(item), "%s%s ", k == 0 ? ".It Fl -" : ".It Ic ",
				row->name);
			start = strstr(text, item);
			assert_non_null(start);
			/* Items of one meaning stand on lines one after the other. */
			end = strstr(start, "\n.It ");
			while (end != NULL && memchr(start, '\n', (size_t)(end - start)) == NULL) {
				start = end + 1;
				end = strstr(start, "\n.It ");
			}
			if (end != NULL)
				*end = '\0';
			(void)snprintf(wanted, sizeof(wanted), "Default: %s", row->default_text);
			if (strstr(start, wanted) == NULL)
				fail_msg("%s does not say '%s' of %s", pages[k][0], wanted,
					row->name);
		}
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_observers_page_explains_every_option),
		cmocka_unit_test(the_observers_page_has_no_option_of_its_own),
		cmocka_unit_test(the_files_page_explains_every_key),
		cmocka_unit_test(the_pages_tell_the_defaults_of_the_rows),
	};

	if (argc > 1)
		source_root = argv[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
