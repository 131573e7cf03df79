#include "cmd/selection.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void only_what_a_name_can_match_is_possible(void **state)
{
	static const struct {
		const char *selection;
		bool possible;
	} rows[] = {
		{ "web", true },
		{ "web#3", true },
		{ "4310", true },
		{ "web*", true },
		{ "*", true },
		{ "***", true },
		{ "?", true },
		{ "we[ab]", true },
		{ "[!a-z]x", true },
		{ "[^a-z]x", true },
		{ "[[:alpha:]_]*", true },
		{ "[]a]", true },
		{ "w\\eb", true },
		{ "1000/web*", true },
		{ "0/web", true },
		{ "*-x", true },
		{ "[a\\]b]", true },
		{ "", false },
		{ "a b", false },
		{ "web/3", false },
		{ "/web", false },
		{ "1000/", false },
		{ "1000/a/b", false },
		{ "4294967295/a", true },
		{ "4294967296/a", false },
		{ "99999999999999999999/a", false },
		{ "w:b", false },
		{ "caf\xc3\xa9", false },
		{ "we[ab", false },
		{ "we[]", false },
		{ "we[:]", false },
		{ "we[ $]", false },
		{ "[!A-Za-z0-9_]x", false },
		{ "a[!A-Za-z0-9_]x", true },
		{ "-x", false },
		{ ".x", false },
		{ "[.-]x", false },
		{ "we\\*", false },
		{ "we\\", false },
		{ "web\n", false },
		{ "{a,b}", false },
		{ "we][", false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (belay__selection_possible(rows[i].selection) != rows[i].possible)
			fail_msg("'%s' is %spossible", rows[i].selection,
				rows[i].possible ? "im" : "");
}

static void a_shell_takes_a_word_as_it_was(void **state)
{
	static const struct {
		const char *word, *quoted;
	} rows[] = {
		{ "web-3.a@b_#1", "web-3.a@b_#1" },
		{ "1000/web", "1000/web" },
		{ "web*", "'web*'" },
		{ "", "''" },
		{ "#web", "'#web'" },
		{ "it's", "'it'\\''s'" },
		{ "'", "''\\'''" },
		{ "$(id)", "'$(id)'" },
		{ "a b", "'a b'" },
		{ "~root", "'~root'" },
		{ "we[ab]", "'we[ab]'" },
	};
	char buffer[64];
	struct belay__text text;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		belay__text_init(&text, buffer, sizeof(buffer));
		belay__text_add_shell_word(&text, rows[i].word);
		assert_string_equal(buffer, rows[i].quoted);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_what_a_name_can_match_is_possible),
		cmocka_unit_test(a_shell_takes_a_word_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
