#include "export/metrics_text.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void numbers_are_written_as_printf_writes_them(void **state)
{
	uint64_t power = 1;
	(void)state;

	for (int i = 0; i < 21; i++, power = i == 20 ? UINT64_MAX : power * 10) {
		for (uint64_t value = power - 1; value != power + 2; value++) {
			char wanted[24], written[24] = "";

			(void)snprintf(wanted, sizeof(wanted), "%" PRIu64, value);
			*belay__put_u64(written, value) = '\0';
			assert_string_equal(written, wanted);
		}
	}
}

static void seconds_are_cut_not_rounded(void **state)
{
	static const struct {
		uint64_t ns;
		unsigned decimals;
		const char *wanted;
	} rows[] = {
		{ 0, 3, "0.000" },
		{ 0, 9, "0.000000000" },
		{ 1, 9, "0.000000001" },
		{ 999999, 3, "0.000" },
		{ 1000000, 3, "0.001" },
		{ 1999999999, 3, "1.999" },
		{ UINT64_MAX, 9, "18446744073.709551615" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char written[32] = "";

		*belay__put_seconds(written, rows[i].ns, rows[i].decimals) = '\0';
		assert_string_equal(written, rows[i].wanted);
	}
}

static void label_values_are_escaped_and_utf8(void **state)
{
	static const struct {
		const char *bytes, *wanted;
	} rows[] = {
		{ "", "" },
		{ "worker#3", "worker#3" },
		{ "a\"b\\c\nd", "a\\\"b\\\\c\\nd" },
		{ "\xc3\xa9\xff\xe2\x82", "\xc3\xa9???" },
		{ "\t\x01", "\t\x01" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char written[32];

		*belay__put_label_value(written, rows[i].bytes, strlen(rows[i].bytes)) = '\0';
		assert_string_equal(written, rows[i].wanted);
	}
}

static void room_ends_at_the_maximum_and_nothing_is_lost(void **state)
{
	struct belay__metrics_text text = { .max = 100 };
	char *at = belay__metrics_text_room(&text, 100);
	(void)state;

	assert_non_null(at);
	belay__metrics_text_end(&text, belay__put_string(at, "kept"));
	assert_null(belay__metrics_text_room(&text, 97));
	assert_int_equal(text.error, -EMSGSIZE);
	assert_null(belay__metrics_text_room(&text, SIZE_MAX));
	assert_non_null(belay__metrics_text_room(&text, 96));
	assert_int_equal(text.len, 4);
	assert_memory_equal(text.bytes, "kept", 4);

	belay__metrics_text_done(&text);
	assert_null(text.bytes);
	assert_int_equal(text.max, 100);
	belay__metrics_text_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_are_written_as_printf_writes_them),
		cmocka_unit_test(seconds_are_cut_not_rounded),
		cmocka_unit_test(label_values_are_escaped_and_utf8),
		cmocka_unit_test(room_ends_at_the_maximum_and_nothing_is_lost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
