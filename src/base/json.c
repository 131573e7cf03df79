#include "base/json.h"

#include <assert.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

/* A number of more characters than this is refused as a double. */
#define NUMBER_MAX 64

/* Where reading stands; after a failure `at` is the byte that does not belong. */
struct scan {
	const char *at, *end;
};

static bool check_value(struct scan *scan, unsigned depth);

static void skip_space(struct scan *scan)
{
	while (scan->at < scan->end &&
		(*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r'))
		scan->at++;
}

static bool next_is(const struct scan *scan, char c)
{
	return scan->at < scan->end && *scan->at == c;
}

static bool take(struct scan *scan, char c)
{
	if (!next_is(scan, c))
		return false;
	scan->at++;
	return true;
}

static bool take_word(struct scan *scan, const char *word)
{
	for (; *word != '\0'; word++)
		if (!take(scan, *word))
			return false;
	return true;
}

static bool take_digits(struct scan *scan)
{
	const char *start = scan->at;

	while (scan->at < scan->end && *scan->at >= '0' && *scan->at <= '9')
		scan->at++;
	return scan->at > start;
}

static bool check_number(struct scan *scan)
{
	(void)take(scan, '-');
	if (!take(scan, '0') && !take_digits(scan))
		return false;
	if (take(scan, '.') && !take_digits(scan))
		return false;
	if (next_is(scan, 'e') || next_is(scan, 'E')) {
		scan->at++;
		if (!take(scan, '+'))
			(void)take(scan, '-');
		return take_digits(scan);
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool check_escape(struct scan *scan)
{
	if (scan->at == scan->end)
		return false;
	if (*scan->at != 'u') {
		if (*scan->at == '\0' || strchr("\"\\/bfnrt", *scan->at) == NULL)
			return false;
		scan->at++;
		return true;
	}
	scan->at++;
	for (int i = 0; i < 4; i++, scan->at++)
		if (scan->at == scan->end || hex_digit(*scan->at) < 0)
			return false;
	return true;
}

static bool check_string(struct scan *scan)
{
	if (!take(scan, '"'))
		return false;
	while (!take(scan, '"')) {
		size_t len = belay__utf8_len(scan->at, (size_t)(scan->end - scan->at));

		if (len == 0 || (unsigned char)*scan->at < ' ')
			return false;
		if (take(scan, '\\')) {
			if (!check_escape(scan))
				return false;
		} else {
			scan->at += len;
		}
	}
	return true;
}

static bool check_member(struct scan *scan, unsigned depth)
{
	if (!check_string(scan))
		return false;
	skip_space(scan);
	if (!take(scan, ':'))
		return false;
	skip_space(scan);
	return check_value(scan, depth);
}

/* Checks an array or an object whose opening bracket is next. */
static bool check_container(struct scan *scan, char close, unsigned depth)
{
	if (depth >= BELAY__JSON_DEPTH_MAX)
		return false;

	scan->at++;
	skip_space(scan);
	if (take(scan, close))
		return true;
	for (;;) {
		if (close == '}' ? !check_member(scan, depth + 1) : !check_value(scan, depth + 1))
			return false;
		skip_space(scan);
		if (take(scan, close))
			return true;
		if (!take(scan, ','))
			return false;
		skip_space(scan);
	}
}

/* Depth is bounded, hence so is the recursion. */
static bool check_value(struct scan *scan, unsigned depth)
{
	if (scan->at == scan->end)
		return false;
	switch (*scan->at) {
	case '{':
		return check_container(scan, '}', depth);
	case '[':
		return check_container(scan, ']', depth);
	case '"':
		return check_string(scan);
	case 't':
		return take_word(scan, "true");
	case 'f':
		return take_word(scan, "false");
	case 'n':
		return take_word(scan, "null");
	default:
		return check_number(scan);
	}
}

static enum belay__json_kind kind_of(char first)
{
	switch (first) {
	case '{':
		return BELAY__JSON_OBJECT;
	case '[':
		return BELAY__JSON_ARRAY;
	case '"':
		return BELAY__JSON_STRING;
	case 't':
	case 'f':
		return BELAY__JSON_BOOL;
	case 'n':
		return BELAY__JSON_NULL;
	default:
		return BELAY__JSON_NUMBER;
	}
}

/* Takes one value, which DEPTH containers surround. */
static bool take_value(struct scan *scan, unsigned depth, struct belay__json *ret_value)
{
	const char *start = scan->at;

	if (!check_value(scan, depth))
		return false;
	*ret_value = (struct belay__json){
		.kind = kind_of(*start),
		.start = start,
		.len = (size_t)(scan->at - start),
	};
	return true;
}

int belay__json_parse(const char *bytes, size_t len, struct belay__json *ret_value,
	size_t *reterr_offset)
{
	struct scan scan = { bytes, bytes + len };
	struct belay__json value;

	skip_space(&scan);
	if (take_value(&scan, 0, &value)) {
		skip_space(&scan);
		if (scan.at == scan.end) {
			*ret_value = value;
			return 0;
		}
	}
	if (reterr_offset != NULL)
		*reterr_offset = (size_t)(scan.at - bytes);
	return -EINVAL;
}

/* Takes the next element of an array, or the next member with its key as it is written. The cursor
 * is the offset behind the comma that follows what was taken last. */
static int next_raw(const struct belay__json *container, enum belay__json_kind kind, size_t *cursor,
	struct belay__json *ret_key, struct belay__json *ret_value)
{
	struct scan scan = { container->start, container->start + container->len };

	if (container->kind != kind || *cursor >= container->len)
		return -EINVAL;

	scan.at += *cursor == 0 ? 1 : *cursor;
	skip_space(&scan);
	if (scan.at == scan.end - 1)
		return 0;
	if (kind == BELAY__JSON_OBJECT) {
		if (!next_is(&scan, '"') || !take_value(&scan, 0, ret_key))
			return -EINVAL;
		skip_space(&scan);
		if (!take(&scan, ':'))
			return -EINVAL;
		skip_space(&scan);
	}
	if (!take_value(&scan, 0, ret_value))
		return -EINVAL;
	skip_space(&scan);
	(void)take(&scan, ',');
	*cursor = (size_t)(scan.at - container->start);
	return 1;
}

static unsigned hex4(const char *digits)
{
	unsigned value = 0;

	for (int i = 0; i < 4; i++)
		value = value << 4 | (unsigned)hex_digit(digits[i]);
	return value;
}

/* Decodes the \u escape whose digits begin at *AT. Half a surrogate pair stands for no character:
 * U+FFFD. */
static unsigned decode_u(const char **at, const char *end)
{
	unsigned code = hex4(*at), low;

	*at += 4;
	if (code < 0xD800 || code > 0xDFFF)
		return code;
	if (code > 0xDBFF || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return 0xFFFD;
	low = hex4(*at + 2);
	if (low < 0xDC00 || low > 0xDFFF)
		return 0xFFFD;
	*at += 6;
	return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

/* Decodes what is next between the quotes of a checked string and returns its length. */
static size_t decode(const char **at, const char *end, char bytes[static 4])
{
	static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
	const char *letter;
	char c = *(*at)++;

	if (c != '\\') {
		bytes[0] = c;
		return 1;
	}
	c = *(*at)++;
	if (c == 'u')
		return belay__utf8_put(bytes, decode_u(at, end));
	letter = strchr(from, c);
	bytes[0] = letter == NULL ? c : to[letter - from];
	return 1;
}

/* Unescapes a checked string: measures first, so that nothing is written when it does not fit. */
static int unescape(const struct belay__json *value, char *string, size_t size)
{
	const char *end = value->start + value->len - 1;
	char bytes[4];
	size_t len = 0;

	for (const char *at = value->start + 1; at < end;) {
		size_t n = decode(&at, end, bytes);

		if (bytes[0] == '\0')
			return -EINVAL;
		len += n;
	}
	if (len >= size)
		return -ERANGE;

	for (const char *at = value->start + 1; at < end;) {
		size_t n = decode(&at, end, bytes);

		memcpy(string, bytes, n);
		string += n;
	}
	*string = '\0';
	return 0;
}

/* Whether the string VALUE, unescaped, is KEY. */
static bool is_key(const struct belay__json *value, const char *key)
{
	const char *end = value->start + value->len - 1;
	size_t left = strlen(key);
	char bytes[4];

	for (const char *at = value->start + 1; at < end;) {
		size_t n = decode(&at, end, bytes);

		if (n > left || memcmp(key, bytes, n) != 0)
			return false;
		key += n;
		left -= n;
	}
	return left == 0;
}

int belay__json_member(const struct belay__json *object, const char *key,
	struct belay__json *ret_value)
{
	struct belay__json name, value;
	size_t cursor = 0;
	int r;

	while ((r = next_raw(object, BELAY__JSON_OBJECT, &cursor, &name, &value)) > 0)
		if (is_key(&name, key)) {
			*ret_value = value;
			return 0;
		}
	return r < 0 ? r : -ENOENT;
}

int belay__json_next(const struct belay__json *array, size_t *cursor, struct belay__json *ret_value)
{
	return next_raw(array, BELAY__JSON_ARRAY, cursor, NULL, ret_value);
}

int belay__json_next_member(const struct belay__json *object, size_t *cursor, char *key,
	size_t key_size, struct belay__json *ret_value)
{
	struct belay__json name, value;
	int r = next_raw(object, BELAY__JSON_OBJECT, cursor, &name, &value);

	if (r <= 0)
		return r;
	if (unescape(&name, key, key_size) < 0)
		return -ERANGE;
	*ret_value = value;
	return 1;
}

int belay__json_get_string(const struct belay__json *value, char *string, size_t size)
{
	if (value->kind != BELAY__JSON_STRING)
		return -EINVAL;
	return unescape(value, string, size);
}

int belay__json_get_u64(const struct belay__json *value, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (value->kind != BELAY__JSON_NUMBER)
		return -EINVAL;
	for (size_t i = 0; i < value->len; i++) {
		char c = value->start[i];

		if (c < '0' || c > '9' || __builtin_mul_overflow(number, 10, &number) ||
			__builtin_add_overflow(number, (unsigned)(c - '0'), &number))
			return -ERANGE;
	}
	*ret_number = number;
	return 0;
}

int belay__json_get_double(const struct belay__json *value, double *ret_number)
{
	char digits[NUMBER_MAX + 1];
	double number;
	locale_t c;

	if (value->kind != BELAY__JSON_NUMBER)
		return -EINVAL;
	if (value->len > NUMBER_MAX)
		return -ERANGE;
	memcpy(digits, value->start, value->len);
	digits[value->len] = '\0';

	/* The host may have set a locale whose decimal point is a comma. */
	c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (c == (locale_t)0)
		return -ERANGE;
	number = strtod_l(digits, NULL, c);
	freelocale(c);

	if (!isfinite(number))
		return -ERANGE;
	*ret_number = number;
	return 0;
}

int belay__json_get_bool(const struct belay__json *value, bool *ret_flag)
{
	if (value->kind != BELAY__JSON_BOOL)
		return -EINVAL;
	*ret_flag = value->start[0] == 't';
	return 0;
}
