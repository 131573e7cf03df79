/* belay key: makes keys for sealed beats, and says whether files of keys can be used */

#include <limits.h>
#include <string.h>
#include <sys/prctl.h>

#include "base/secret.h"
#include "cmd/commands.h"
#include "cmd/key_check.h"
#include "cmd/key_new.h"

enum { DIGITS = 2 * BELAY__SECRET_LEN };

static const char *const words[] = { "check", "new", NULL };

struct options {
	bool help, json;
};

/* clang-format off */
static const struct belay__option table[] = {
	BELAY__ROW_HELP(struct options),
	BELAY__ROW_JSON(struct options, "check: print one JSON object for each file"),
};
/* clang-format on */

/* Whether WORD is a key, or a line of a file of keys. Its file cannot be meant, and no message may
 * repeat it. */
static bool is_key(const char *word)
{
	uint8_t secret[BELAY__SECRET_LEN];
	bool is_one = strlen(word) >= DIGITS && belay__secret_parse(word, secret) == 0 &&
		strchr(" \t", word[DIGITS]) != NULL; /* the final NUL, too */

	explicit_bzero(secret, sizeof(secret));
	return is_one;
}

/* Says what is wrong with the words whatever the command is; NULL: nothing. */
static const char *fault_of(char *const *arguments, int count)
{
	for (int i = 0; i < count; i++) {
		if (is_key(arguments[i]))
			return "a key was given on the command line, where others can read it; "
			       "consider it known, make a new one and name its file";
		if (strlen(arguments[i]) >= PATH_MAX)
			return "the name of a file is too long";
	}
	return NULL;
}

static int refuse(const char *sentence)
{
	belay__complain("%s", sentence);
	return BELAY__EXIT_USAGE;
}

static int run(int argc, char **argv)
{
	struct options options = { 0 };
	const char *fault;
	int exit_code,
		count = belay__command_parse(&belay__command_key, &options, argc, argv, argc, NULL,
			&exit_code);

	if (count < 0)
		return exit_code;
	/* No core is dumped, and nobody looks on. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	fault = fault_of(argv + 1, count);
	if (fault != NULL)
		return refuse(fault);
	if (count >= 1 && strcmp(argv[1], "check") == 0)
		return count >= 2 ? belay__key_check(argv + 2, count - 1, options.json)
				  : refuse("check which file? belay key check FILE...");
	if (count < 1 || strcmp(argv[1], "new") != 0)
		return refuse("belay key what? belay key new [FILE], or belay key check FILE...");
	if (count > 2)
		return refuse("a key goes to one file: belay key new FILE");
	if (options.json)
		return refuse("a new key is no JSON; --json is for belay key check");
	return belay__key_new(count == 2 ? argv[2] : NULL);
}

const struct belay__command belay__command_key = {
	.name = "key",
	.synopsis = "new [FILE] | check FILE...",
	.help = "make a key for sealed beats, or see whether files of keys can be used",
	.example = "belay key new /etc/belay/web.key",
	.manual = "belay-key",
	.words = words,
	.options = table,
	.option_count = BELAY__COUNT_OF(table),
	.run = run,
};
