/* template.h - a command with {keys} in it, and the words that it becomes
 *
 * A template is split at white space once, before anything is put into it: the first word is the
 * program, the others are its arguments, and `{key}` in an argument becomes the value of that key.
 * There is no shell and no quoting: whatever a value holds, it stays inside its argument and is not
 * looked at again.
 */
#pragma once

#include <stddef.h>

#include <belay/error.h>

#define BELAY__TEMPLATE_MAX       2047  /* bytes of a template */
#define BELAY__WORDS_MAX          64    /* its words, the program among them */
#define BELAY__ARGUMENT_BYTES_MAX 16384 /* all words with their values, each with its NUL */

/* What a key stands for. A NUL, which no argument can hold, becomes '?'. */
struct belay__value {
	const char *key;
	const char *bytes;
	size_t len;
};

/* The words, all of them inside of it: large, so rather not on a stack. */
struct belay__arguments {
	size_t count;
	const char *words[BELAY__WORDS_MAX + 1]; /* ends with NULL: an argv */
	size_t len;
	char bytes[BELAY__ARGUMENT_BYTES_MAX];
};

/* Whether TEMPLATE can be run, for the time it is configured: it has a program, which is a bare
 * name or begins with / and has no key in it, keeps the bounds, and every `{word}` in it is one of
 * KEYS (ends with NULL). 0, -EINVAL or -E2BIG with a sentence that names the word and the nearest
 * key. */
int belay__template_check(const char *template, const char *const *keys, struct belay_error *reterr);

/* Splits TEMPLATE and puts VALUES in; a `{word}` that is none of them stays as it is. 0, -EINVAL
 * (no word) or -E2BIG; ARGUMENTS holds nothing then. */
int belay__template_expand(const char *template, const struct belay__value *values, size_t count,
	struct belay__arguments *arguments);
