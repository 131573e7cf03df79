#include "process/template.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/error.h"
#include "base/text.h"

#define WHITE_SPACE " \t\n\v\f\r"
#define LETTERS     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"

enum { SHOWN_MAX = 40 };

/* The next word behind *AT: its start, or NULL at the end. */
static const char *next_word(const char **at, size_t *ret_len)
{
	const char *word = *at + strspn(*at, WHITE_SPACE);

	*ret_len = strcspn(word, WHITE_SPACE);
	*at = word + *ret_len;
	return *ret_len > 0 ? word : NULL;
}

/* How many bytes `{word}` takes at the start of the LEN bytes at TEXT, or 0 when there is none. */
static size_t placeholder_len(const char *text, size_t len)
{
	size_t inside;

	if (len < 3 || text[0] != '{' || strchr(LETTERS, text[1]) == NULL)
		return 0;
	inside = strspn(text + 1, LETTERS "0123456789");
	return inside + 2 <= len && text[1 + inside] == '}' ? inside + 2 : 0;
}

static bool is_key(const char *placeholder, size_t len, const char *key)
{
	return strlen(key) == len - 2 && memcmp(placeholder + 1, key, len - 2) == 0;
}

static const struct belay__value *find_value(const char *placeholder, size_t len,
	const struct belay__value *values, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_key(placeholder, len, values[i].key))
			return &values[i];
	return NULL;
}

static void add_byte(struct belay__arguments *arguments, char byte)
{
	if (arguments->len < sizeof(arguments->bytes))
		arguments->bytes[arguments->len] = byte;
	arguments->len++;
}

static void add_value(struct belay__arguments *arguments, const struct belay__value *value)
{
	for (size_t i = 0; i < value->len && arguments->len <= sizeof(arguments->bytes); i++)
		add_byte(arguments, value->bytes[i] == '\0' ? '?' : value->bytes[i]);
}

static void add_word(struct belay__arguments *arguments, const char *word, size_t word_len,
	const struct belay__value *values, size_t count)
{
	for (size_t at = 0; at < word_len;) {
		size_t len = placeholder_len(word + at, word_len - at);
		const struct belay__value *value = len > 0
			? find_value(word + at, len, values, count)
			: NULL;

		if (value != NULL) {
			add_value(arguments, value);
			at += len;
		} else {
			add_byte(arguments, word[at++]);
		}
	}
	add_byte(arguments, '\0');
}

int belay__template_expand(const char *template, const struct belay__value *values, size_t count,
	struct belay__arguments *arguments)
{
	const char *word;
	size_t len;

	arguments->count = arguments->len = 0;
	arguments->words[0] = NULL;
	while ((word = next_word(&template, &len)) != NULL) {
		bool is_program = arguments->count == 0;
		size_t start = arguments->len;

		if (arguments->count < BELAY__WORDS_MAX)
			add_word(arguments, word, len, values, is_program ? 0 : count);
		if (arguments->count == BELAY__WORDS_MAX ||
			arguments->len > sizeof(arguments->bytes)) {
			arguments->count = arguments->len = 0;
			arguments->words[0] = NULL;
			return -E2BIG;
		}
		arguments->words[arguments->count++] = arguments->bytes + start;
		arguments->words[arguments->count] = NULL;
	}
	return arguments->count > 0 ? 0 : -EINVAL;
}

static bool is_known(const char *placeholder, size_t len, const char *const *keys)
{
	for (; *keys != NULL; keys++)
		if (is_key(placeholder, len, *keys))
			return true;
	return false;
}

static int fail_unknown(const char *placeholder, size_t len, const char *const *keys,
	struct belay_error *reterr)
{
	char name[SHOWN_MAX];
	const char *nearest = NULL;
	unsigned best = 3;

	if (len - 2 >= sizeof(name))
		return belay__fail(reterr, -EINVAL, "there is no key '%.*s...}'", SHOWN_MAX,
			placeholder);
	memcpy(name, placeholder + 1, len - 2);
	name[len - 2] = '\0';
	for (; *keys != NULL; keys++) {
		unsigned distance = belay__text_distance(name, *keys, best);

		if (distance <= best && (nearest == NULL || distance < best)) {
			best = distance;
			nearest = *keys;
		}
	}
	if (nearest == NULL)
		return belay__fail(reterr, -EINVAL, "there is no key '{%s}'", name);
	return belay__fail(reterr, -EINVAL, "there is no key '{%s}'; did you mean '{%s}'?", name,
		nearest);
}

static int check_program(const char *word, size_t len, const char *const *keys,
	struct belay_error *reterr)
{
	int shown = len > SHOWN_MAX ? SHOWN_MAX : (int)len;

	if (memchr(word, '/', len) != NULL && word[0] != '/')
		return belay__fail(reterr, -EINVAL,
			"program '%.*s' is neither a bare name nor a path that begins with /",
			shown, word);
	for (size_t at = 0; at < len; at++) {
		size_t key = placeholder_len(word + at, len - at);

		if (key > 0 && is_known(word + at, key, keys))
			return belay__fail(reterr, -EINVAL,
				"program '%.*s' cannot depend on a key: write it out", shown, word);
	}
	return 0;
}

static int check_argument(const char *word, size_t len, const char *const *keys,
	struct belay_error *reterr)
{
	for (size_t at = 0; at < len; at++) {
		size_t key = placeholder_len(word + at, len - at);

		if (key > 0 && !is_known(word + at, key, keys))
			return fail_unknown(word + at, key, keys, reterr);
	}
	return 0;
}

int belay__template_check(const char *template, const char *const *keys, struct belay_error *reterr)
{
	const char *word;
	size_t len, count = 0;

	if (strlen(template) > BELAY__TEMPLATE_MAX)
		return belay__fail(reterr, -E2BIG,
			"a command has at most %d bytes: put it into a script", BELAY__TEMPLATE_MAX);
	for (; (word = next_word(&template, &len)) != NULL; count++) {
		int r = count == 0 ? check_program(word, len, keys, reterr)
				   : check_argument(word, len, keys, reterr);

		if (r < 0)
			return r;
		if (count == BELAY__WORDS_MAX)
			return belay__fail(reterr, -E2BIG,
				"a command has at most %d words: put it into a script",
				BELAY__WORDS_MAX);
	}
	if (count == 0)
		return belay__fail(reterr, -EINVAL, "a command needs a program");
	return 0;
}
