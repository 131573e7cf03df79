#include "base/json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct belay__json parsed(const char *document)
{
	struct belay__json value;

	assert_int_equal(belay__json_parse(document, strlen(document), &value, NULL), 0);
	return value;
}

static void the_writer_keeps_commas_and_keys_right(void **state)
{
	struct belay__json_writer json;
	struct belay__text text;
	char buffer[256];
	(void)state;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__json_start(&json, &text);
	belay__json_object(&json, NULL);
	belay__json_array(&json, "empty");
	belay__json_end_array(&json);
	belay__json_array(&json, "mixed");
	belay__json_u64(&json, NULL, UINT64_MAX);
	belay__json_i64(&json, NULL, -7);
	belay__json_object(&json, NULL);
	belay__json_end_object(&json);
	belay__json_null(&json, NULL);
	belay__json_end_array(&json);
	belay__json_bool(&json, "yes", true);
	belay__json_bool(&json, "no", false);
	belay__json_seconds(&json, "age", UINT64_C(12000000034));
	belay__json_seconds(&json, "most", UINT64_MAX);
	belay__json_string(&json, "a\"b", "c");
	belay__json_end_object(&json);
	assert_string_equal(buffer,
		"{\"empty\":[],\"mixed\":[18446744073709551615,-7,{},null],\"yes\":true,\"no\":"
		"false,"
		"\"age\":12.000000034,\"most\":18446744073.709551615,\"a\\\"b\":\"c\"}");
	assert_false(text.overflowed);
	(void)parsed(buffer);
}

static void strings_are_escaped_and_mended(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *written;
	} cases[] = {
		{ "", 0, "\"\"" },
		{ "a\\b\"/", 5, "\"a\\\\b\\\"/\"" },
		{ "\n\r\t", 3, "\"\\n\\r\\t\"" },
		{ "\0\x1f\x7f", 3, "\"\\u0000\\u001f\\u007f\"" },
		{ "\xc3\xa4\xf0\x9f\x98\x80", 6, "\"\xc3\xa4\xf0\x9f\x98\x80\"" },
		{ "a\xff\xc3z", 4, "\"a\xef\xbf\xbd\xef\xbf\xbdz\"" },
		{ "\xc3", 1, "\"\xef\xbf\xbd\"" },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay__json_writer json;
		struct belay__text text;
		char buffer[64];

		belay__text_init(&text, buffer, sizeof(buffer));
		belay__json_start(&json, &text);
		belay__json_string_n(&json, NULL, cases[i].bytes, cases[i].len);
		assert_string_equal(buffer, cases[i].written);
		(void)parsed(buffer);
	}
}

static void what_rfc_8259_allows_is_read(void **state)
{
	static const struct {
		const char *document;
		enum belay__json_kind kind;
		size_t len;
	} cases[] = {
		{ "null", BELAY__JSON_NULL, 4 },
		{ " \t\r\n true\n", BELAY__JSON_BOOL, 4 },
		{ "false", BELAY__JSON_BOOL, 5 },
		{ "0", BELAY__JSON_NUMBER, 1 },
		{ "-0", BELAY__JSON_NUMBER, 2 },
		{ "-12.50e+07", BELAY__JSON_NUMBER, 10 },
		{ "1E-9", BELAY__JSON_NUMBER, 4 },
		{ "\"\"", BELAY__JSON_STRING, 2 },
		{ "\"\\u12aF\\b\\/\x7f\"", BELAY__JSON_STRING, 13 },
		{ "[ ]", BELAY__JSON_ARRAY, 3 },
		{ "[1 , [ ] ,{ }]", BELAY__JSON_ARRAY, 14 },
		{ "{ \"a\" : 1 , \"a\" : 2 }", BELAY__JSON_OBJECT, 21 },
		{ "[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]", BELAY__JSON_ARRAY, 32 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay__json value = parsed(cases[i].document);

		assert_int_equal(value.kind, cases[i].kind);
		assert_int_equal(value.len, cases[i].len);
	}
}

static void what_rfc_8259_refuses_is_refused_at_its_first_bad_byte(void **state)
{
	static const struct {
		const char *document;
		size_t offset;
	} cases[] = {
		{ "", 0 },
		{ "  ", 2 },
		{ "nul", 3 },
		{ "nulL", 3 },
		{ "True", 0 },
		{ "01", 1 },
		{ "+1", 0 },
		{ "-", 1 },
		{ ".5", 0 },
		{ "1.", 2 },
		{ "1.e5", 2 },
		{ "1e", 2 },
		{ "1e+", 3 },
		{ "NaN", 0 },
		{ "0x1", 1 },
		{ "'a'", 0 },
		{ "\"a", 2 },
		{ "\"a\nb\"", 2 },
		{ "\"\\x\"", 2 },
		{ "\"\\", 2 },
		{ "\"\\u12\"", 5 },
		{ "\"\xff\"", 1 },
		{ "\"\xed\xa0\x80\"", 1 },
		{ "\xef\xbb\xbf{}", 0 },
		{ "[", 1 },
		{ "[1", 2 },
		{ "[1,", 3 },
		{ "[1,]", 3 },
		{ "[,1]", 1 },
		{ "[1 2]", 3 },
		{ "[1}", 2 },
		{ "{1:2}", 1 },
		{ "{\"a\"}", 4 },
		{ "{\"a\":}", 5 },
		{ "{\"a\":1,}", 7 },
		{ "{\"a\":1 \"b\":2}", 7 },
		{ "{} {}", 3 },
		{ "1//x", 1 },
		{ "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", 16 },
	};
	struct belay__json untouched = { .len = 4711 };
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t offset = 4711;

		assert_int_equal(belay__json_parse(cases[i].document, strlen(cases[i].document),
					 &untouched, &offset),
			-EINVAL);
		assert_int_equal(offset, cases[i].offset);
		assert_int_equal(untouched.len, 4711);
	}
	assert_int_equal(belay__json_parse("1\0", 2, &untouched, NULL), -EINVAL);
	assert_int_equal(belay__json_parse("\"\0\"", 3, &untouched, NULL), -EINVAL);
	assert_int_equal(belay__json_parse("\"\\\0\"", 4, &untouched, NULL), -EINVAL);
}

/* Each beginning of a document lies at the end of its own memory, where a sanitizer sees a step too
 * far. */
static void a_cut_document_is_refused_within_its_bounds(void **state)
{
	static const char document[] =
		"{\"a\":[1.5e3,true,null,\"\\ud83d\\ude00\xc3\xa4\"],\"b\":{\"c\":false}}";
	(void)state;

	for (size_t len = 0; len < sizeof(document) - 1; len++) {
		struct belay__json value;
		char *copy = malloc(len + (len == 0));
		size_t offset;

		assert_non_null(copy);
		memcpy(copy, document, len);
		assert_int_equal(belay__json_parse(copy, len, &value, &offset), -EINVAL);
		assert_in_range(offset, 0, len);
		free(copy);
	}
}

static void members_are_found_by_their_unescaped_key(void **state)
{
	struct belay__json object = parsed(
		"{\"a\":1,\"\\u0061b\":[2],\"ab\":3,\"\":4,\"n\\u0000\":5}");
	struct belay__json value = { .len = 4711 };
	(void)state;

	assert_int_equal(belay__json_member(&object, "b", &value), -ENOENT);
	assert_int_equal(belay__json_member(&object, "n", &value), -ENOENT);
	assert_int_equal(value.len, 4711);
	assert_int_equal(belay__json_member(&object, "ab", &value), 0);
	assert_int_equal(value.kind, BELAY__JSON_ARRAY);
	assert_int_equal(belay__json_member(&value, "a", &value), -EINVAL);
	assert_int_equal(belay__json_member(&object, "", &value), 0);
	assert_memory_equal(value.start, "4", 1);
}

static void an_array_is_walked_to_its_end(void **state)
{
	struct belay__json array = parsed(" [ 1 , [2,3] , {\"a\":[]} ,\"]\" ] "), value,
			   empty = parsed("[ ]");
	static const size_t lens[] = { 1, 5, 8, 3 };
	size_t cursor = 0, count = 0;
	(void)state;

	while (belay__json_next(&array, &cursor, &value) == 1) {
		assert_in_range(count, 0, COUNT(lens) - 1);
		assert_int_equal(value.len, lens[count++]);
	}
	assert_int_equal(count, COUNT(lens));
	assert_int_equal(belay__json_next(&array, &cursor, &value), 0);

	cursor = 0;
	assert_int_equal(belay__json_next(&empty, &cursor, &value), 0);
	assert_int_equal(belay__json_next(&empty, &cursor, &value), 0);
	cursor = 4711;
	assert_int_equal(belay__json_next(&array, &cursor, &value), -EINVAL);
	value = parsed("{}");
	cursor = 0;
	assert_int_equal(belay__json_next(&value, &cursor, &value), -EINVAL);
}

static void an_object_is_walked_past_keys_that_do_not_fit(void **state)
{
	struct belay__json object = parsed(
				   "{\"abc\":1, \"abcd\":2, \"\\u0000\":3, \"\\u00e4\" : 4}"),
			   value;
	size_t cursor = 0;
	char key[4] = "";
	(void)state;

	assert_int_equal(belay__json_next_member(&object, &cursor, key, sizeof(key), &value), 1);
	assert_string_equal(key, "abc");
	assert_memory_equal(value.start, "1", 1);
	assert_int_equal(belay__json_next_member(&object, &cursor, key, sizeof(key), &value),
		-ERANGE);
	assert_int_equal(belay__json_next_member(&object, &cursor, key, sizeof(key), &value),
		-ERANGE);
	assert_string_equal(key, "abc");
	assert_memory_equal(value.start, "1", 1);
	assert_int_equal(belay__json_next_member(&object, &cursor, key, sizeof(key), &value), 1);
	assert_string_equal(key, "\xc3\xa4");
	assert_int_equal(belay__json_next_member(&object, &cursor, key, sizeof(key), &value), 0);
	value = parsed("[1]");
	cursor = 0;
	assert_int_equal(belay__json_next_member(&value, &cursor, key, sizeof(key), &value),
		-EINVAL);
}

static void strings_are_unescaped_or_left_alone(void **state)
{
	static const struct {
		const char *document;
		int r;
		const char *string;
	} cases[] = {
		{ "\"\"", 0, "" },
		{ "\"1234567\"", 0, "1234567" },
		{ "\"12345678\"", -ERANGE, NULL },
		{ "\"\\b\\f\\n\\r\\t\\/\\\\\"", 0, "\b\f\n\r\t/\\" },
		{ "\"\\\"\"", 0, "\"" },
		{ "\"\\u0041\\u00e4\"", 0, "A\xc3\xa4" },
		{ "\"\\uD83D\\uDE00\"", 0, "\xf0\x9f\x98\x80" },
		{ "\"\\ud83d\"", 0, "\xef\xbf\xbd" },
		{ "\"\\ud83dx\"", 0, "\xef\xbf\xbdx" },
		{ "\"\\ude00\\ud83d\"", 0, "\xef\xbf\xbd\xef\xbf\xbd" },
		{ "\"\\ud83d\\u0041\"", 0,
			"\xef\xbf\xbd"
			"A" },
		{ "\"a\\u0000b\"", -EINVAL, NULL },
		{ "12", -EINVAL, NULL },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay__json value = parsed(cases[i].document);
		char string[8] = "before";

		assert_int_equal(belay__json_get_string(&value, string, sizeof(string)), cases[i].r);
		assert_string_equal(string, cases[i].r == 0 ? cases[i].string : "before");
	}
}

static void numbers_fit_or_are_refused(void **state)
{
	static const struct {
		const char *document;
		int r;
		uint64_t number;
	} cases[] = {
		{ "0", 0, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "-1", -ERANGE, 0 },
		{ "1.0", -ERANGE, 0 },
		{ "1e3", -ERANGE, 0 },
		{ "true", -EINVAL, 0 },
		{ "\"1\"", -EINVAL, 0 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay__json value = parsed(cases[i].document);
		uint64_t number = 4711;

		assert_int_equal(belay__json_get_u64(&value, &number), cases[i].r);
		assert_int_equal(number, cases[i].r == 0 ? cases[i].number : 4711);
	}
}

static void assert_double(const char *document, int r, double expected)
{
	struct belay__json value = parsed(document);
	uint64_t bits, expected_bits;
	double number = 4711;

	assert_int_equal(belay__json_get_double(&value, &number), r);
	/* Bit by bit, so that -0 differs from 0. */
	memcpy(&bits, &number, sizeof(bits));
	memcpy(&expected_bits, &expected, sizeof(expected_bits));
	assert_int_equal(bits, expected_bits);
}

static void doubles_are_read_exactly(void **state)
{
	char longest[67];
	(void)state;

	assert_double("0.1", 0, 0.1);
	assert_double("-12.5e-1", 0, -1.25);
	assert_double("-0", 0, -0.0);
	assert_double("1e308", 0, 1e308);
	assert_double("1e309", -ERANGE, 4711);
	assert_double("1e-999", 0, 0);
	assert_double("[]", -EINVAL, 4711);

	memset(longest, '9', sizeof(longest));
	longest[64] = '\0';
	assert_double(longest, 0, 1e64);
	longest[64] = '9';
	longest[65] = '\0';
	assert_double(longest, -ERANGE, 4711);
}

static void truth_is_a_kind_of_its_own(void **state)
{
	struct belay__json value = parsed("true");
	bool flag = false;
	(void)state;

	assert_int_equal(belay__json_get_bool(&value, &flag), 0);
	assert_true(flag);
	value = parsed("1");
	assert_int_equal(belay__json_get_bool(&value, &flag), -EINVAL);
	assert_true(flag);
	value = parsed("false");
	assert_int_equal(belay__json_get_bool(&value, &flag), 0);
	assert_false(flag);
}

static void what_was_written_is_read_back(void **state)
{
	unsigned seed = 20261121;
	(void)state;

	for (int round = 0; round < 20000; round++) {
		struct belay__json_writer json;
		struct belay__json value;
		struct belay__text text;
		char buffer[512], bytes[33], again[64];
		size_t len = (size_t)rand_r(&seed) % 32;

		/* Every byte but NUL, and of those above ASCII none, which would be mended. */
		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)(1 + rand_r(&seed) % 127);
		bytes[len] = '\0';
		belay__text_init(&text, buffer, sizeof(buffer));
		belay__json_start(&json, &text);
		belay__json_object(&json, NULL);
		belay__json_string(&json, bytes, bytes);
		belay__json_end_object(&json);

		value = parsed(buffer);
		assert_int_equal(belay__json_member(&value, bytes, &value), 0);
		assert_int_equal(belay__json_get_string(&value, again, sizeof(again)), 0);
		assert_string_equal(again, bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_writer_keeps_commas_and_keys_right),
		cmocka_unit_test(strings_are_escaped_and_mended),
		cmocka_unit_test(what_rfc_8259_allows_is_read),
		cmocka_unit_test(what_rfc_8259_refuses_is_refused_at_its_first_bad_byte),
		cmocka_unit_test(a_cut_document_is_refused_within_its_bounds),
		cmocka_unit_test(members_are_found_by_their_unescaped_key),
		cmocka_unit_test(an_array_is_walked_to_its_end),
		cmocka_unit_test(an_object_is_walked_past_keys_that_do_not_fit),
		cmocka_unit_test(strings_are_unescaped_or_left_alone),
		cmocka_unit_test(numbers_fit_or_are_refused),
		cmocka_unit_test(doubles_are_read_exactly),
		cmocka_unit_test(truth_is_a_kind_of_its_own),
		cmocka_unit_test(what_was_written_is_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
