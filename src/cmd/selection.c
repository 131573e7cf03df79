#include "cmd/selection.h"

#include <fnmatch.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FIRST_OF_NAMES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
#define IN_NAMES       FIRST_OF_NAMES ".@#-"

/* How long the bracket expression at PATTERN is; 0: nothing closes it. */
static size_t bracket_len(const char *pattern)
{
	const char *at = pattern + 1;

	if (*at == '!' || *at == '^')
		at++;
	/* One that comes first is meant itself. */
	if (*at == ']')
		at++;
	while (*at != '\0' && *at != ']') {
		const char kind[] = { at[1], ']', '\0' };
		const char *end = at[0] == '[' && strchr(":.=", at[1]) != NULL && at[1] != '\0'
			? strstr(at + 2, kind)
			: NULL;

		if (end != NULL)
			at = end + 2;
		else
			at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
	}
	return *at == ']' ? (size_t)(at - pattern) + 1 : 0;
}

/* How long the part of the glob is that stands for one character. */
static size_t part_len(const char *glob)
{
	size_t len = glob[0] == '[' ? bracket_len(glob) : 0;

	if (len > 0)
		return len;
	return glob[0] == '\\' && glob[1] != '\0' ? 2 : 1;
}

static bool part_matches_one_of(const char *part, size_t len, const char *characters)
{
	char pattern[BELAY__NAME_SIZE];

	if (len >= sizeof(pattern))
		return false;
	memcpy(pattern, part, len);
	pattern[len] = '\0';
	for (; *characters != '\0'; characters++) {
		const char name[] = { *characters, '\0' };

		if (fnmatch(pattern, name, 0) == 0)
			return true;
	}
	return false;
}

/* Each part but '*' stands for one character, so each for itself decides. */
static bool some_name_matches(const char *glob)
{
	const char *characters = FIRST_OF_NAMES;
	size_t count = 0, len;

	if (*glob == '\0')
		return false;
	for (; *glob != '\0'; glob += len) {
		len = *glob == '*' ? 1 : part_len(glob);
		if (*glob != '*') {
			count++;
			if (!part_matches_one_of(glob, len, characters))
				return false;
		}
		characters = IN_NAMES;
	}
	return count <= BELAY__NAME_MAX;
}

bool belay__selection_possible(const char *selection)
{
	size_t digits = strspn(selection, "0123456789");
	char uid[16];
	uint64_t number;

	if (selection[digits] != '/')
		return some_name_matches(selection);
	if (digits >= sizeof(uid))
		return false;
	memcpy(uid, selection, digits);
	uid[digits] = '\0';
	return belay__parse_u64(uid, 0, UINT32_MAX, &number) == 0 &&
		some_name_matches(selection + digits + 1);
}

void belay__text_add_shell_word(struct belay__text *text, const char *word)
{
	if (*word != '\0' && word[strspn(word, IN_NAMES "/:,+%")] == '\0' && *word != '#') {
		belay__text_add(text, word);
		return;
	}
	belay__text_add(text, "'");
	for (; *word != '\0'; word++) {
		if (*word == '\'')
			belay__text_add(text, "'\\''");
		else
			belay__text_add_bytes(text, word, 1);
	}
	belay__text_add(text, "'");
}
