/* json.h - JSON, written into a text and read strictly
 *
 * The writer keeps commas and escapes right, so a caller cannot produce invalid JSON except by
 * leaving a container open. The reader walks a complete document in place and copies nothing; it
 * refuses what RFC 8259 refuses, documents deeper than BELAY__JSON_DEPTH_MAX and duplicate-free
 * reading is the caller's business.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

#define BELAY__JSON_DEPTH_MAX 16

struct belay__json_writer {
	struct belay__text *text;
	bool need_comma;
};

/* Starts writing at the end of TEXT, which outlives the writer. */
void belay__json_start(struct belay__json_writer *json, struct belay__text *text);

/* KEY is NULL inside arrays and at the top level. */
void belay__json_object(struct belay__json_writer *json, const char *key);
void belay__json_array(struct belay__json_writer *json, const char *key);
void belay__json_end_object(struct belay__json_writer *json);
void belay__json_end_array(struct belay__json_writer *json);
void belay__json_string(struct belay__json_writer *json, const char *key, const char *value);
void belay__json_string_n(struct belay__json_writer *json, const char *key, const char *bytes,
	size_t len);
void belay__json_u64(struct belay__json_writer *json, const char *key, uint64_t value);
void belay__json_i64(struct belay__json_writer *json, const char *key, int64_t value);
void belay__json_bool(struct belay__json_writer *json, const char *key, bool value);
void belay__json_null(struct belay__json_writer *json, const char *key);
/* NS as a number of seconds with nine decimals. */
void belay__json_seconds(struct belay__json_writer *json, const char *key, uint64_t ns);
/* Invalid UTF-8 in a string value is written as U+FFFD; control characters are escaped. */

enum belay__json_kind {
	BELAY__JSON_NULL,
	BELAY__JSON_BOOL,
	BELAY__JSON_NUMBER,
	BELAY__JSON_STRING,
	BELAY__JSON_ARRAY,
	BELAY__JSON_OBJECT,
};

/* A value inside a checked document; borrows the document's bytes. */
struct belay__json {
	enum belay__json_kind kind;
	const char *start; /* first byte of the value, a string's opening quote included */
	size_t len;
};

/* Checks the whole of BYTES and returns its one value. 0, or -EINVAL with the offset of the first
 * bad byte in *reterr_offset (NULL allowed). */
int belay__json_parse(const char *bytes, size_t len, struct belay__json *ret_value,
	size_t *reterr_offset);

/* Finds member KEY of an object. 0, -ENOENT, or -EINVAL when OBJECT is not one. */
int belay__json_member(const struct belay__json *object, const char *key,
	struct belay__json *ret_value);

/* Walks an array: *cursor starts at 0. Returns 1 and the next element, 0 at the end, -EINVAL when
 * it is no array. */
int belay__json_next(const struct belay__json *array, size_t *cursor, struct belay__json *ret_value);

/* Walks an object's members in the same way; KEY is unescaped into key[0..key_size). -ERANGE when
 * it does not fit there or holds a NUL: nothing is written, and the next call goes on behind that
 * member. */
int belay__json_next_member(const struct belay__json *object, size_t *cursor, char *key,
	size_t key_size, struct belay__json *ret_value);

/* Each returns 0, -EINVAL (another kind) or -ERANGE (does not fit). Strings are unescaped and
 * NUL-terminated; an embedded NUL is -EINVAL. */
int belay__json_get_string(const struct belay__json *value, char *string, size_t size);
int belay__json_get_u64(const struct belay__json *value, uint64_t *ret_number);
int belay__json_get_double(const struct belay__json *value, double *ret_number);
int belay__json_get_bool(const struct belay__json *value, bool *ret_flag);
