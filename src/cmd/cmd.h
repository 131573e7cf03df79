/* cmd.h - what the subcommands of belay share
 *
 * A subcommand is one file and one struct belay__command: its rows are what its parser, its help,
 * the shell's completion and its manual page's test read. It prints data on stdout, talk on stderr,
 * and returns an exit code.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <belay/error.h>

#include "base/option.h"
#include "ipc/socket_path.h"

/* belay-exit-codes(7). Numbers never change. */
enum belay__exit {
	BELAY__EXIT_OK = 0,
	BELAY__EXIT_FAILED = 1,      /* it did not work; status: something is not healthy */
	BELAY__EXIT_USAGE = 2,       /* the command line is wrong */
	BELAY__EXIT_NOT_RUNNING = 3, /* status NAME: known, but nobody of that name beats */
	BELAY__EXIT_UNKNOWN = 4,     /* status NAME: nobody of that name is known */
	BELAY__EXIT_NO_INPUT = 66,   /* a file that was named cannot be read */
	BELAY__EXIT_ABSENT = 69,     /* no observer answers */
	BELAY__EXIT_PROTOCOL = 76,   /* the observer's answer cannot be understood */
	BELAY__EXIT_PERMISSION = 77, /* the observer, or the system, does not allow it */
};

struct belay__command {
	const char *name;
	const char *synopsis;     /* what stands behind the name, without "[OPTION]..." */
	const char *help;         /* one line, no final stop */
	const char *example;      /* a whole command line */
	const char *manual;       /* its manual page, "belay-status" */
	const char *const *words; /* the fixed words that may come first, NULL-terminated, or NULL */
	bool completes_names;     /* its first word is the name of a process */
	bool takes_observer_options; /* those of belay__observe_table as well */
	const struct belay__option *options;
	size_t option_count;
	int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
};

extern const struct belay__command *const belay__commands[];
extern const size_t belay__command_count;

/* The command called NAME, or NULL. */
const struct belay__command *belay__command_find(const char *name);

/* Runs the command line of `belay`; returns its exit code. */
int belay__belay(int argc, char **argv);

/* Reads argv by the command's rows. Returns how many words are left in argv[1...]; or -1 when
 * nothing is left to do, because help was asked for and printed, or because the line is wrong,
 * which was said: *ret_exit is the exit code then. More than MAX_WORDS words are wrong. SEEN as in
 * belay__options_parse(). */
int belay__command_parse(const struct belay__command *command, void *options, int argc, char **argv,
	int max_words, bool *seen, int *ret_exit);

/* Prints the command's help on stdout; returns the exit code. */
int belay__command_help(const struct belay__command *command);

/* The exit code that belongs to the negative errno CODE. */
int belay__exit_code(int code);

/* Prints "belay: SENTENCE" on stderr, in one write and without control characters. */
__attribute__((format(printf, 1, 2))) void belay__complain(const char *format, ...);

/* Complains with ERROR's sentence; returns the exit code that belongs to its code. */
int belay__complain_error(const struct belay_error *error);

/* Rows that many commands have. TYPE is the command's options struct with the members `help`,
 * `json`, `socket`. */
/* clang-format off */
#define BELAY__ROW_HELP(type_) \
	{ .name = "help", .letter = 'h', .kind = BELAY__OPTION_FLAG, .offset = offsetof(type_, help), \
	  .help = "print this help" }
#define BELAY__ROW_JSON(type_, help_) \
	{ .name = "json", .kind = BELAY__OPTION_FLAG, .offset = offsetof(type_, json), .help = help_ }
#define BELAY__ROW_SOCKET(type_) \
	{ .name = "socket", .kind = BELAY__OPTION_STRING, .offset = offsetof(type_, socket), .max = BELAY__SOCKET_PATH_MAX, \
	  .metavar = "PATH", .complete = "file", .help = "ask the observer at this socket" }
/* clang-format on */

#define BELAY__COUNT_OF(array_) (sizeof(array_) / sizeof((array_)[0]))
