#include "base/text.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MS           BELAY__NS_PER_MS
#define S            BELAY__NS_PER_S

static void text_ends_where_its_buffer_ends(void **state)
{
	struct belay__text text;
	char buffer[6];
	(void)state;

	belay__text_init(&text, buffer, sizeof(buffer));
	assert_string_equal(buffer, "");
	belay__text_add(&text, "abc");
	belay__text_add_bytes(&text, "dexyz", 2);
	assert_string_equal(buffer, "abcde");
	assert_int_equal(text.len, 5);
	assert_false(text.overflowed);
	belay__text_add(&text, "");
	assert_false(text.overflowed);
	belay__text_add(&text, "f");
	assert_true(text.overflowed);
	assert_string_equal(buffer, "abcde");

	belay__text_init(&text, buffer, 1);
	belay__text_add_u64(&text, 1);
	assert_true(text.overflowed);
	assert_string_equal(buffer, "");
}

static void format_fills_to_the_last_byte(void **state)
{
	struct belay__text text;
	char buffer[6];
	(void)state;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_addf(&text, "%d-%s", 12, "ab");
	assert_string_equal(buffer, "12-ab");
	assert_false(text.overflowed);
	belay__text_addf(&text, "%s", "c");
	assert_true(text.overflowed);
	assert_string_equal(buffer, "12-ab");
	assert_int_equal(text.len, 5);
}

static void numbers_are_written_to_their_limits(void **state)
{
	struct belay__text text;
	char buffer[128];
	(void)state;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_add_u64(&text, 0);
	belay__text_add(&text, " ");
	belay__text_add_u64(&text, UINT64_MAX);
	belay__text_add(&text, " ");
	belay__text_add_i64(&text, INT64_MIN);
	belay__text_add(&text, " ");
	belay__text_add_i64(&text, INT64_MAX);
	belay__text_add(&text, " ");
	belay__text_add_i64(&text, -1);
	assert_string_equal(buffer,
		"0 18446744073709551615 -9223372036854775808 9223372036854775807 -1");
}

static void ages_have_two_units_at_the_most(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0ms" },
		{ MS - 1, "0ms" },
		{ 12 * MS, "12ms" },
		{ 100 * MS - 1, "99ms" },
		{ 100 * MS, "0.1s" },
		{ 499 * MS, "0.4s" },
		{ 10 * S - 1, "9.9s" },
		{ 10 * S, "10s" },
		{ 60 * S - 1, "59s" },
		{ 60 * S, "1m00s" },
		{ 185 * S, "3m05s" },
		{ 3600 * S - 1, "59m59s" },
		{ 3600 * S, "1h00m" },
		{ 7800 * S, "2h10m" },
		{ 86400 * S - 1, "23h59m" },
		{ 86400 * S, "1d00h" },
		{ UINT64_C(99) * 3600 * S, "4d03h" },
		{ UINT64_MAX, "213503d23h" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay__text text;
		char buffer[32];

		belay__text_init(&text, buffer, sizeof(buffer));
		belay__text_add_age(&text, cases[i].ns);
		assert_string_equal(buffer, cases[i].text);
	}
}

static void assert_time(uint64_t ns)
{
	struct belay__text text;
	char buffer[32], expected[32], whole[24];
	time_t seconds = (time_t)(ns / S);
	struct tm tm;

	assert_non_null(gmtime_r(&seconds, &tm));
	assert_true(strftime(whole, sizeof(whole), "%Y-%m-%dT%H:%M:%S", &tm) > 0);
	(void)snprintf(expected, sizeof(expected), "%s.%03uZ", whole, (unsigned)(ns % S / MS));

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_add_time(&text, ns);
	assert_string_equal(buffer, expected);
}

/* Every day until the end of 64 bits, each at another time of day, as the C library sees it. */
static void times_agree_with_the_calendar(void **state)
{
	(void)state;

	assert_time(0);
	assert_time(UINT64_MAX);
	for (uint64_t day = 0; day < UINT64_MAX / (86400 * S); day++) {
		assert_time(day * 86400 * S);
		assert_time(day * 86400 * S + day * 7919 * MS % (86400 * S));
		assert_time((day + 1) * 86400 * S - 1);
	}
}

static void numbers_are_read_whole_and_in_bounds(void **state)
{
	static const struct {
		const char *string;
		uint64_t min, max;
		int r;
		uint64_t value;
	} cases[] = {
		{ "0", 0, 9, 0, 0 },
		{ "007", 0, 9, 0, 7 },
		{ "18446744073709551615", 0, UINT64_MAX, 0, UINT64_MAX },
		{ "18446744073709551616", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999", 0, UINT64_MAX, -ERANGE, 0 },
		{ "99999999999999999999999x", 0, UINT64_MAX, -EINVAL, 0 },
		{ "4", 5, 9, -ERANGE, 0 },
		{ "5", 5, 9, 0, 5 },
		{ "9", 5, 9, 0, 9 },
		{ "10", 5, 9, -ERANGE, 0 },
		{ "", 0, 9, -EINVAL, 0 },
		{ " 1", 0, 9, -EINVAL, 0 },
		{ "1 ", 0, 9, -EINVAL, 0 },
		{ "+1", 0, 9, -EINVAL, 0 },
		{ "-1", 0, 9, -EINVAL, 0 },
		{ "0x1", 0, 9, -EINVAL, 0 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t value = 4711;

		assert_int_equal(
			belay__parse_u64(cases[i].string, cases[i].min, cases[i].max, &value),
			cases[i].r);
		assert_int_equal(value, cases[i].r == 0 ? cases[i].value : 4711);
	}
}

static void a_duration_is_written_as_it_is_read(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ 1, "1ns" },
		{ 999, "999ns" },
		{ 1000, "1us" },
		{ 1001, "1001ns" },
		{ 250 * BELAY__NS_PER_MS, "250ms" },
		{ 1500 * BELAY__NS_PER_MS, "1500ms" },
		{ 59 * BELAY__NS_PER_S, "59s" },
		{ 60 * BELAY__NS_PER_S, "1m" },
		{ 90 * BELAY__NS_PER_S, "90s" },
		{ 3600 * BELAY__NS_PER_S, "1h" },
		{ 86400 * BELAY__NS_PER_S, "1d" },
		{ UINT64_MAX, "18446744073709551615ns" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__text text;
		char buffer[32];
		uint64_t ns;

		belay__text_init(&text, buffer, sizeof(buffer));
		belay__text_add_duration(&text, cases[i].ns);
		assert_string_equal(buffer, cases[i].text);
		assert_int_equal(belay__parse_duration(buffer, &ns), 0);
		assert_int_equal(ns, cases[i].ns);
	}
}

static void durations_carry_their_unit(void **state)
{
	static const struct {
		const char *string;
		int r;
		uint64_t ns;
	} cases[] = {
		{ "0", 0, 0 },
		{ "0s", 0, 0 },
		{ "7ns", 0, 7 },
		{ "7us", 0, 7000 },
		{ "250ms", 0, 250 * MS },
		{ "5s", 0, 5 * S },
		{ "10m", 0, 600 * S },
		{ "2h", 0, 7200 * S },
		{ "1d", 0, 86400 * S },
		{ "1.5s", 0, 1500 * MS },
		{ "0.25m", 0, 15 * S },
		{ "1.50000000000000s", 0, 1500 * MS },
		{ "0.000000001s", 0, 1 },
		{ "0.0000000001s", -ERANGE, 0 },
		{ "0.5ns", -ERANGE, 0 },
		{ "18446744073709551615ns", 0, UINT64_MAX },
		{ "18446744073709551616ns", -ERANGE, 0 },
		{ "18446744073s", 0, UINT64_C(18446744073) * S },
		{ "18446744074s", -ERANGE, 0 },
		{ "18446744073.709551615s", 0, UINT64_MAX },
		{ "18446744073.709551616s", -ERANGE, 0 },
		{ "999999999999999999999999s", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "5", -EINVAL, 0 },
		{ "00", -EINVAL, 0 },
		{ "s", -EINVAL, 0 },
		{ ".5s", -EINVAL, 0 },
		{ "1.s", -EINVAL, 0 },
		{ "1..5s", -EINVAL, 0 },
		{ "5 s", -EINVAL, 0 },
		{ "5S", -EINVAL, 0 },
		{ "5sec", -EINVAL, 0 },
		{ "-5s", -EINVAL, 0 },
		{ "1h30m", -EINVAL, 0 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint64_t ns = 4711;

		assert_int_equal(belay__parse_duration(cases[i].string, &ns), cases[i].r);
		assert_int_equal(ns, cases[i].r == 0 ? cases[i].ns : 4711);
	}
}

static void modes_are_octal_with_or_without_a_prefix(void **state)
{
	static const struct {
		const char *string;
		int r;
		unsigned mode;
	} cases[] = {
		{ "600", 0, 0600 },
		{ "0600", 0, 0600 },
		{ "0o600", 0, 0600 },
		{ "0O660", 0, 0660 },
		{ "0", 0, 0 },
		{ "7777", 0, 07777 },
		{ "10000", -ERANGE, 0 },
		{ "777777777777777777777777777", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "0o", -EINVAL, 0 },
		{ "o600", -EINVAL, 0 },
		{ "680", -EINVAL, 0 },
		{ "0x1ff", -EINVAL, 0 },
		{ "600 ", -EINVAL, 0 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		unsigned mode = 4711;

		assert_int_equal(belay__parse_mode(cases[i].string, &mode), cases[i].r);
		assert_int_equal(mode, cases[i].r == 0 ? cases[i].mode : 4711);
	}
}

static void truth_has_four_words(void **state)
{
	static const char *const yes[] = { "true", "yes", "on", "1" };
	static const char *const no[] = { "false", "no", "off", "0" };
	bool value;
	(void)state;

	for (size_t i = 0; i < 4; i++) {
		value = false;
		assert_int_equal(belay__parse_bool(yes[i], &value), 0);
		assert_true(value);
		assert_int_equal(belay__parse_bool(no[i], &value), 0);
		assert_false(value);
	}
	value = true;
	assert_int_equal(belay__parse_bool("", &value), -EINVAL);
	assert_int_equal(belay__parse_bool("2", &value), -EINVAL);
	assert_int_equal(belay__parse_bool("True", &value), -EINVAL);
	assert_true(value);
}

static void names_begin_with_a_word_character(void **state)
{
	static const char *const good[] = { "a", "_", "9", "web-1", "a.b@c#3", "Z_-" };
	static const char *const bad[] = { "", "-a", ".a", "@a", "#1", "a b", "a/b", "a*",
		"\xc3\xa4" };
	char name[BELAY__NAME_MAX + 1];
	(void)state;

	for (size_t i = 0; i < COUNT(good); i++)
		assert_true(belay__name_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < COUNT(bad); i++)
		assert_false(belay__name_valid(bad[i], strlen(bad[i])));
	assert_false(belay__name_valid("a\0b", 3));

	memset(name, 'n', sizeof(name));
	assert_true(belay__name_valid(name, BELAY__NAME_MAX));
	assert_false(belay__name_valid(name, BELAY__NAME_MAX + 1));
}

static void distance_counts_single_edits(void **state)
{
	char longest[200];
	(void)state;

	assert_int_equal(belay__text_distance("", "", 3), 0);
	assert_int_equal(belay__text_distance("threshold", "threshold", 3), 0);
	assert_int_equal(belay__text_distance("capacit", "capacity", 3), 1);
	assert_int_equal(belay__text_distance("kitten", "sitting", 3), 3);
	assert_int_equal(belay__text_distance("kitten", "sitting", 2), 3);
	assert_int_equal(belay__text_distance("", "abc", 3), 3);
	assert_int_equal(belay__text_distance("abcd", "", 3), 4);
	assert_int_equal(belay__text_distance("abcdef", "ghijkl", 3), 4);

	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(belay__text_distance(longest, longest, 3), 0);
	assert_int_equal(belay__text_distance(longest, longest + 1, 3), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_ends_where_its_buffer_ends),
		cmocka_unit_test(format_fills_to_the_last_byte),
		cmocka_unit_test(numbers_are_written_to_their_limits),
		cmocka_unit_test(ages_have_two_units_at_the_most),
		cmocka_unit_test(times_agree_with_the_calendar),
		cmocka_unit_test(numbers_are_read_whole_and_in_bounds),
		cmocka_unit_test(a_duration_is_written_as_it_is_read),
		cmocka_unit_test(durations_carry_their_unit),
		cmocka_unit_test(modes_are_octal_with_or_without_a_prefix),
		cmocka_unit_test(truth_has_four_words),
		cmocka_unit_test(names_begin_with_a_word_character),
		cmocka_unit_test(distance_counts_single_edits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
