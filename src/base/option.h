/* option.h - one row per option: parser, help, completion, configuration key, man page and test
 * read the same row
 *
 * A command has one table. Rows are sorted by name. Long options take `--name value` and
 * `--name=value`; flags also `--no-name`. Repeats: the last wins, except for BELAY__OPTION_LIST,
 * whose apply function sees every value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "base/text.h"

enum belay__option_kind {
	BELAY__OPTION_FLAG,     /* bool */
	BELAY__OPTION_COUNT,    /* uint64_t within min...max */
	BELAY__OPTION_DURATION, /* uint64_t nanoseconds within min...max; written with a unit */
	BELAY__OPTION_MS,       /* as DURATION, but written as a number of milliseconds */
	BELAY__OPTION_MODE,     /* unsigned */
	BELAY__OPTION_STRING,   /* char[max + 1] in place; longer values are refused */
	BELAY__OPTION_CHOICE,   /* unsigned index into `choices` */
	BELAY__OPTION_ACTION,   /* no value; calls `apply` */
	BELAY__OPTION_LIST,     /* repeatable; calls `apply` for each value */
};

struct belay__option {
	const char *name; /* long name without dashes */
	char letter;      /* short form or 0 */
	enum belay__option_kind kind;
	size_t offset; /* of the member in the command's options struct */
	uint64_t min, max;
	const char *metavar;        /* "PATH", "DURATION"; NULL for flags */
	const char *default_text;   /* as help prints it, NULL when there is none */
	const char *help;           /* one line, no final stop */
	const char *const *choices; /* NULL-terminated, for CHOICE */
	const char *alias_of;       /* means the same as this option, in the same member; or NULL */
	const char *complete;       /* what a shell offers: "file", "dir", "name", "none" (NULL) */
	bool in_config;             /* also a key of the configuration file, with '-' or '_' */
	int (*apply)(void *options, const char *value, struct belay_error *reterr);
};

/* Reads argv[1...] into OPTIONS by TABLE (COUNT rows). Options may stand anywhere before "--"; the
 * other words are moved to the front of argv[1...] in their order. Returns the number of those
 * words, or -EINVAL with a sentence that names the option and, for an unknown one, the nearest
 * ("unknown option --treshold; did you mean --threshold?"). seen[i] (NULL allowed) is set for each
 * row that was given. */
int belay__options_parse(const struct belay__option *table, size_t count, void *options, int argc,
	char **argv, bool *seen, struct belay_error *reterr);

/* As above, but stops at the first word that is no option, for commands that carry another command
 * line. */
int belay__options_parse_until_word(const struct belay__option *table, size_t count, void *options,
	int argc, char **argv, bool *seen, int *ret_first_word, struct belay_error *reterr);

/* Sets one option from text, as the configuration file and the environment do. 0, -ENOENT (no such
 * name), -EINVAL. */
int belay__option_set(const struct belay__option *row, void *options, const char *value,
	struct belay_error *reterr);

/* Writes the value that OPTIONS holds for ROW as text, in the form that belay__option_set()
 * reads. */
void belay__option_show(const struct belay__option *row, const void *options,
	struct belay__text *text);

/* The row called NAME (of LEN bytes; '_' and '-' are the same), or NULL. */
const struct belay__option *belay__option_find(const struct belay__option *table, size_t count,
	const char *name, size_t len);

/* The name nearest to NAME when it is at most three edits away, else NULL. */
const char *belay__option_nearest(const struct belay__option *table, size_t count, const char *name);

/* Writes the OPTIONS part of --help: aligned columns, defaults in parentheses. */
void belay__options_help(const struct belay__option *table, size_t count, struct belay__text *text);

/* Asserts what a table promises: sorted, help there, defaults parse and lie within bounds, aliases
 * exist. For tests. */
int belay__options_check(const struct belay__option *table, size_t count,
	struct belay_error *reterr);
