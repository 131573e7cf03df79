/* json_fuzz.c - any bytes as a JSON document
 *
 * What parses can be walked to its last member without error, every value answers the questions of
 * its own kind only, and a string that was read is read again the same after it was written. What
 * does not parse is refused at an offset within the document.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_written_again(const char *string)
{
	static char document[6 * 512 + 3], again[512];
	struct belay__json_writer writer;
	struct belay__json value;
	struct belay__text text;

	belay__text_init(&text, document, sizeof(document));
	belay__json_start(&writer, &text);
	belay__json_string(&writer, NULL, string);
	assert(!text.overflowed);
	assert(belay__json_parse(document, text.len, &value, NULL) == 0);
	assert(belay__json_get_string(&value, again, sizeof(again)) == 0);
	assert(strcmp(string, again) == 0);
}

static void check_scalar(const struct belay__json *value)
{
	char string[512];
	uint64_t number;
	double real;
	bool flag;
	int r = belay__json_get_string(value, string, sizeof(string));

	assert(value->kind == BELAY__JSON_STRING || r == -EINVAL);
	if (r == 0)
		check_written_again(string);
	r = belay__json_get_u64(value, &number);
	assert((r == -EINVAL) == (value->kind != BELAY__JSON_NUMBER));
	r = belay__json_get_double(value, &real);
	assert((r == -EINVAL) == (value->kind != BELAY__JSON_NUMBER));
	r = belay__json_get_bool(value, &flag);
	assert((r == 0) == (value->kind == BELAY__JSON_BOOL));
}

static void check_within(const struct belay__json *outer, const struct belay__json *inner)
{
	assert(inner->start > outer->start && inner->len > 0);
	assert(inner->start + inner->len < outer->start + outer->len);
}

/* As deep as the reader lets documents be, hence bounded. */
static void walk(const struct belay__json *value, unsigned depth)
{
	struct belay__json inner;
	size_t cursor = 0;
	char key[64];
	int r;

	check_scalar(value);
	assert(depth <= BELAY__JSON_DEPTH_MAX);
	if (value->kind == BELAY__JSON_ARRAY) {
		while ((r = belay__json_next(value, &cursor, &inner)) > 0) {
			check_within(value, &inner);
			walk(&inner, depth + 1);
		}
		assert(r == 0);
	} else if (value->kind == BELAY__JSON_OBJECT) {
		while ((r = belay__json_next_member(value, &cursor, key, sizeof(key), &inner)) != 0) {
			if (r == -ERANGE)
				continue;
			assert(r == 1);
			check_within(value, &inner);
			walk(&inner, depth + 1);
			assert(belay__json_member(value, key, &inner) == 0);
		}
	} else {
		assert(belay__json_next(value, &cursor, &inner) == -EINVAL);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t offset = SIZE_MAX;
	struct belay__json value;

	if (belay__json_parse((const char *)data, size, &value, &offset) == 0) {
		assert(offset == SIZE_MAX);
		walk(&value, 0);
	} else {
		assert(offset <= size);
	}
	return 0;
}
