#include "base/option.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct sample {
	bool quiet;
	uint64_t limit, threshold_ns, tick_ns;
	unsigned mode, format, helped;
	char path[9];
	char names[64];
	size_t name_count;
};

static const char *const formats[] = { "text", "json", NULL };

static int add_name(void *options, const char *value, struct belay_error *reterr)
{
	struct sample *sample = options;
	struct belay__text text;

	(void)reterr;
	if (strcmp(value, "bad") == 0)
		return -EINVAL;
	belay__text_init(&text, sample->names + strlen(sample->names), 16);
	belay__text_addf(&text, "%s;", value);
	sample->name_count++;
	return 0;
}

static int help(void *options, const char *value, struct belay_error *reterr)
{
	(void)reterr;
	assert_null(value);
	((struct sample *)options)->helped++;
	return 0;
}

#define AT(member) .offset = offsetof(struct sample, member)
#define SECOND     BELAY__NS_PER_S

static const struct belay__option table[] = {
	{ .name = "format",
		.letter = 'f',
		.kind = BELAY__OPTION_CHOICE,
		AT(format),
		.metavar = "FORMAT",
		.default_text = "text",
		.help = "how lines look",
		.choices = formats },
	{ .name = "help",
		.letter = 'h',
		.kind = BELAY__OPTION_ACTION,
		.help = "print this",
		.apply = help },
	{ .name = "limit",
		.letter = 'l',
		.kind = BELAY__OPTION_COUNT,
		AT(limit),
		.min = 1,
		.max = 100,
		.metavar = "N",
		.default_text = "10",
		.help = "how many" },
	{ .name = "mode",
		.kind = BELAY__OPTION_MODE,
		AT(mode),
		.metavar = "MODE",
		.help = "of the file" },
	{ .name = "name",
		.kind = BELAY__OPTION_LIST,
		.metavar = "NAME",
		.help = "whom to watch",
		.apply = add_name },
	{ .name = "path",
		.letter = 'p',
		.kind = BELAY__OPTION_STRING,
		AT(path),
		.max = 8,
		.metavar = "PATH",
		.default_text = "in the runtime directory",
		.help = "where to listen" },
	{ .name = "quiet",
		.letter = 'q',
		.kind = BELAY__OPTION_FLAG,
		AT(quiet),
		.default_text = "no",
		.help = "say less" },
	{ .name = "threshold",
		.letter = 't',
		.kind = BELAY__OPTION_DURATION,
		AT(threshold_ns),
		.min = SECOND,
		.max = 60 * SECOND,
		.metavar = "DURATION",
		.default_text = "5s",
		.help = "silence allowed" },
	{ .name = "tick-ms",
		.kind = BELAY__OPTION_MS,
		AT(tick_ns),
		.min = BELAY__NS_PER_MS,
		.max = SECOND,
		.metavar = "MS",
		.default_text = "20",
		.help = "time between looks" },
	{ .name = "wait",
		.kind = BELAY__OPTION_DURATION,
		AT(threshold_ns),
		.min = SECOND,
		.max = 60 * SECOND,
		.metavar = "DURATION",
		.help = "older name",
		.alias_of = "threshold" },
};

enum { FORMAT, HELP, LIMIT, MODE, NAME, PATH, QUIET, THRESHOLD, TICK, WAIT };

struct line {
	struct sample sample;
	bool seen[COUNT(table)];
	char *words[16];
	int count;
	struct belay_error error;
};

/* Reads a command line whose words are separated by blanks. */
static int parse(struct line *line, char *command)
{
	char *rest = command;

	memset(line, 0, sizeof(*line));
	line->words[line->count++] = (char[]){ "program" };
	for (char *word; (word = strsep(&rest, " ")) != NULL;)
		line->words[line->count++] = word;
	return belay__options_parse(table, COUNT(table), &line->sample, line->count, line->words,
		line->seen, &line->error);
}

static void every_kind_sets_its_member(void **state)
{
	char command[] = "--format=json --limit 7 --mode 0640 --path /a/b --quiet --threshold=1.5s "
			 "--tick-ms 30";
	struct line line;
	(void)state;

	assert_int_equal(parse(&line, command), 0);
	assert_int_equal(line.sample.format, 1);
	assert_int_equal(line.sample.limit, 7);
	assert_int_equal(line.sample.mode, 0640);
	assert_string_equal(line.sample.path, "/a/b");
	assert_true(line.sample.quiet);
	assert_int_equal(line.sample.threshold_ns, SECOND * 3 / 2);
	assert_int_equal(line.sample.tick_ns, 30 * BELAY__NS_PER_MS);
	for (size_t i = 0; i < COUNT(table); i++)
		assert_int_equal(line.seen[i], i != HELP && i != NAME && i != WAIT);
}

static void words_move_to_the_front_in_their_order(void **state)
{
	char command[] = "one -q two --limit 3 - -- --quiet -x";
	struct line line;
	(void)state;

	assert_int_equal(parse(&line, command), 5);
	assert_string_equal(line.words[1], "one");
	assert_string_equal(line.words[2], "two");
	assert_string_equal(line.words[3], "-");
	assert_string_equal(line.words[4], "--quiet");
	assert_string_equal(line.words[5], "-x");
	assert_null(line.words[6]);
	assert_int_equal(line.sample.limit, 3);
}

static void letters_share_a_dash_until_one_takes_a_value(void **state)
{
	char together[] = "-qhl5 -fjson -t 2s", equals[] = "-l=5";
	struct line line;
	(void)state;

	assert_int_equal(parse(&line, together), 0);
	assert_true(line.sample.quiet);
	assert_int_equal(line.sample.helped, 1);
	assert_int_equal(line.sample.limit, 5);
	assert_int_equal(line.sample.format, 1);
	assert_int_equal(line.sample.threshold_ns, 2 * SECOND);
	assert_int_equal(parse(&line, equals), -EINVAL);
}

static void the_last_wins_but_a_list_sees_all(void **state)
{
	char command[] = "--limit 1 --quiet --name a --limit 2 --no-quiet --name b";
	char undone[] = "--quiet=off", other[] = "--wait 9s";
	struct line line;
	(void)state;

	assert_int_equal(parse(&line, command), 0);
	assert_int_equal(line.sample.limit, 2);
	assert_false(line.sample.quiet);
	assert_true(line.seen[QUIET]);
	assert_int_equal(line.sample.name_count, 2);
	assert_string_equal(line.sample.names, "a;b;");
	assert_int_equal(parse(&line, undone), 0);
	assert_false(line.sample.quiet);
	assert_true(line.seen[QUIET]);

	assert_int_equal(parse(&line, other), 0);
	assert_int_equal(line.sample.threshold_ns, 9 * SECOND);
	assert_true(line.seen[WAIT] && line.seen[THRESHOLD]);
}

static void a_failure_names_the_option_and_what_is_wrong(void **state)
{
	static const struct {
		const char *command, *text;
	} cases[] = {
		{ "--treshold 5s", "unknown option --treshold; did you mean --threshold?" },
		{ "--tick_msx=5", "unknown option --tick_msx; did you mean --tick-ms?" },
		{ "--zzzzzzzz", "unknown option --zzzzzzzz; --help lists the options" },
		{ "--x", "unknown option --x; --help lists the options" },
		{ "--no-limit", "unknown option --no-limit; did you mean --limit?" },
		{ "-qz", "unknown option -z; --help lists the options" },
		{ "--limit", "option --limit needs a value: --limit N" },
		{ "-l", "option --limit needs a value: --limit N" },
		{ "--help=1", "option --help takes no value" },
		{ "--limit x", "--limit: 'x' is no number; write digits alone" },
		{ "--limit 0", "--limit: '0' is not within 1 to 100" },
		{ "--limit 101", "--limit: '101' is not within 1 to 100" },
		{ "--limit 99999999999999999999",
			"--limit: '99999999999999999999' is not within 1 to 100" },
		{ "--threshold 5",
			"--threshold: '5' is no duration; write a number with its unit, like "
			"250ms, "
			"5s or 10m" },
		{ "--threshold 999ms", "--threshold: '999ms' is not within 1s to 1m" },
		{ "--threshold 61s", "--threshold: '61s' is not within 1s to 1m" },
		{ "--tick-ms 5ms",
			"--tick-ms: '5ms' is no number of milliseconds; write digits alone" },
		{ "--tick-ms 0", "--tick-ms: '0' is not within 1 to 1000" },
		{ "--tick-ms 1001", "--tick-ms: '1001' is not within 1 to 1000" },
		{ "--mode 9", "--mode: '9' is no octal file mode; write it like 0600" },
		{ "--path 123456789", "--path: value of 9 bytes is longer than 8" },
		{ "--format xml", "--format: 'xml' is none of: text, json" },
		{ "--quiet=maybe", "--quiet: 'maybe' is neither yes nor no" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sample untouched = { 0 };
		char command[64];
		struct line line;

		(void)strncpy(command, cases[i].command, sizeof(command) - 1);
		command[sizeof(command) - 1] = '\0';
		assert_int_equal(parse(&line, command), -EINVAL);
		assert_int_equal(line.error.code, -EINVAL);
		assert_string_equal(line.error.text, cases[i].text);
		untouched.quiet = line.sample.quiet;
		assert_memory_equal(&line.sample, &untouched, sizeof(untouched));
	}
}

static void a_string_may_fill_its_member(void **state)
{
	char command[] = "--path 12345678";
	struct line line;
	(void)state;

	assert_int_equal(parse(&line, command), 0);
	assert_string_equal(line.sample.path, "12345678");
}

static void a_refusing_list_fails_the_line(void **state)
{
	char command[] = "--name good --name bad";
	struct line line;
	(void)state;

	assert_int_equal(parse(&line, command), -EINVAL);
	assert_int_equal(line.sample.name_count, 1);
}

static void reading_can_stop_at_the_first_word(void **state)
{
	static const struct {
		const char *words[6];
		int count, r, first;
	} cases[] = {
		{ { "program" }, 1, 0, 1 },
		{ { "program", "-q" }, 2, 0, 2 },
		{ { "program", "-q", "sh", "-c", "x" }, 5, 3, 2 },
		{ { "program", "--limit", "5", "sh", "--limit", "x" }, 6, 3, 3 },
		{ { "program", "-q", "--", "-q" }, 4, 1, 3 },
		{ { "program", "-q", "--" }, 3, 0, 3 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct sample sample = { 0 };
		char copies[6][16], *words[7] = { 0 };
		int first = -1;

		for (int k = 0; k < cases[i].count; k++) {
			(void)strncpy(copies[k], cases[i].words[k], sizeof(copies[k]) - 1);
			copies[k][sizeof(copies[k]) - 1] = '\0';
			words[k] = copies[k];
		}
		assert_int_equal(belay__options_parse_until_word(table, COUNT(table), &sample,
					 cases[i].count, words, NULL, &first, NULL),
			cases[i].r);
		assert_int_equal(first, cases[i].first);
	}
}

static void dash_and_underscore_find_the_same_row(void **state)
{
	(void)state;

	assert_ptr_equal(belay__option_find(table, COUNT(table), "tick_ms", 7), &table[TICK]);
	assert_ptr_equal(belay__option_find(table, COUNT(table), "tick-ms=5", 7), &table[TICK]);
	assert_null(belay__option_find(table, COUNT(table), "tick", 4));
	assert_null(belay__option_find(table, COUNT(table), "tick-msx", 8));
	assert_null(belay__option_find(table, COUNT(table), "", 0));
}

static void the_nearest_is_at_most_three_edits_away(void **state)
{
	(void)state;

	assert_string_equal(belay__option_nearest(table, COUNT(table), "treshhol"), "threshold");
	assert_string_equal(belay__option_nearest(table, COUNT(table), "tick_m"), "tick-ms");
	assert_null(belay__option_nearest(table, COUNT(table), "tresh"));
	assert_null(belay__option_nearest(table, COUNT(table), "abc"));
	assert_null(belay__option_nearest(table, COUNT(table), ""));
}

static void what_is_shown_can_be_set_again(void **state)
{
	static const struct {
		size_t row;
		const char *value, *shown;
	} cases[] = {
		{ FORMAT, "json", "json" },
		{ LIMIT, "007", "7" },
		{ MODE, "644", "0644" },
		{ PATH, "/x", "/x" },
		{ QUIET, "on", "yes" },
		{ QUIET, "0", "no" },
		{ THRESHOLD, "60s", "1m" },
		{ THRESHOLD, "1500ms", "1500ms" },
		{ THRESHOLD, "1.000000001s", "1000000001ns" },
		{ TICK, "20", "20" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct belay__option *row = &table[cases[i].row];
		struct sample first = { 0 }, second = { 0 };
		struct belay__text text;
		char buffer[64];

		assert_int_equal(belay__option_set(row, &first, cases[i].value, NULL), 0);
		belay__text_init(&text, buffer, sizeof(buffer));
		belay__option_show(row, &first, &text);
		assert_string_equal(buffer, cases[i].shown);
		assert_int_equal(belay__option_set(row, &second, buffer, NULL), 0);
		assert_memory_equal(&first, &second, sizeof(first));
	}
	assert_int_equal(belay__option_set(NULL, NULL, "x", NULL), -ENOENT);
}

static void a_setting_from_a_file_is_named_without_dashes(void **state)
{
	struct belay_error error;
	struct sample sample;
	(void)state;

	assert_int_equal(belay__option_set(&table[LIMIT], &sample, "x", &error), -EINVAL);
	assert_string_equal(error.text, "limit: 'x' is no number; write digits alone");
}

static void help_is_aligned_and_lists_an_alias_under_its_option(void **state)
{
	struct belay__text text;
	char buffer[2048];
	(void)state;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__options_help(table, COUNT(table), &text);
	assert_false(text.overflowed);
	assert_non_null(
		strstr(buffer, "  -f, --format FORMAT       how lines look (default: text)\n"));
	assert_non_null(strstr(buffer, "  -h, --help                print this\n"));
	assert_non_null(strstr(buffer,
		"  -t, --threshold DURATION  silence allowed (default: 5s)\n"
		"      --wait DURATION       the same as --threshold\n"
		"      --tick-ms MS "));
}

static void a_wide_option_has_its_help_on_the_next_line(void **state)
{
	static const struct belay__option wide[] = {
		{ .name = "short", .kind = BELAY__OPTION_FLAG, .help = "first" },
		{ .name = "such-a-long-name-that-it-is-wider-than-all",
			.kind = BELAY__OPTION_FLAG,
			.help = "second" },
	};
	struct belay__text text;
	char buffer[256];
	(void)state;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__options_help(wide, COUNT(wide), &text);
	assert_string_equal(buffer,
		"      --short  first\n"
		"      --such-a-long-name-that-it-is-wider-than-all\n"
		"               second\n");
}

static void check_finds_each_broken_promise(void **state)
{
	static const struct belay__option good = { .name = "limit",
		.letter = 'l',
		.kind = BELAY__OPTION_COUNT,
		.min = 1,
		.max = 9,
		.metavar = "N",
		.default_text = "5",
		.help = "how many" };
	struct belay__option two[2];
	(void)state;

	assert_int_equal(belay__options_check(table, COUNT(table), NULL), 0);

#define BROKEN(...)                                                                                \
	two[0] = two[1] = good;                                                                    \
	two[1].name = "limit-more";                                                                \
	two[1].letter = 'm';                                                                       \
	assert_int_equal(belay__options_check(two, 2, NULL), 0);                                   \
	__VA_ARGS__;                                                                               \
	assert_int_equal(belay__options_check(two, 2, NULL), -EINVAL)

	BROKEN(two[1].name = "aaa");
	BROKEN(two[1].name = "limit");
	BROKEN(two[1].name = "limit_more");
	BROKEN(two[1].letter = 'l');
	BROKEN(two[1].help = NULL);
	BROKEN(two[1].help = "");
	BROKEN(two[1].help = "Stop.");
	BROKEN(two[1].metavar = NULL);
	BROKEN(two[1].min = 10);
	BROKEN(two[1].default_text = "10");
	BROKEN(two[1].default_text = "five");
	BROKEN(two[1].apply = add_name);
	BROKEN(two[1].choices = formats);
	BROKEN(two[1].kind = BELAY__OPTION_FLAG);
	BROKEN(two[1].kind = BELAY__OPTION_CHOICE);
	BROKEN(two[1].kind = BELAY__OPTION_LIST);
	BROKEN(two[1].alias_of = "none");
	BROKEN(two[1].alias_of = "limit-more");
	BROKEN(two[1].alias_of = "limit"; two[1].offset = 8);
	BROKEN(two[1].kind = BELAY__OPTION_STRING; two[1].min = two[1].max = 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_sets_its_member),
		cmocka_unit_test(words_move_to_the_front_in_their_order),
		cmocka_unit_test(letters_share_a_dash_until_one_takes_a_value),
		cmocka_unit_test(the_last_wins_but_a_list_sees_all),
		cmocka_unit_test(a_failure_names_the_option_and_what_is_wrong),
		cmocka_unit_test(a_string_may_fill_its_member),
		cmocka_unit_test(a_refusing_list_fails_the_line),
		cmocka_unit_test(reading_can_stop_at_the_first_word),
		cmocka_unit_test(dash_and_underscore_find_the_same_row),
		cmocka_unit_test(the_nearest_is_at_most_three_edits_away),
		cmocka_unit_test(what_is_shown_can_be_set_again),
		cmocka_unit_test(a_setting_from_a_file_is_named_without_dashes),
		cmocka_unit_test(help_is_aligned_and_lists_an_alias_under_its_option),
		cmocka_unit_test(a_wide_option_has_its_help_on_the_next_line),
		cmocka_unit_test(check_finds_each_broken_promise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
