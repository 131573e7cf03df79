/* environment.h - what a command finds around it: its variables, and its program on their PATH */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "process/template.h"

#define BELAY__DEFAULT_PATH       "/usr/bin:/bin"
#define BELAY__VARIABLES_MAX      128
#define BELAY__VARIABLE_BYTES_MAX 32768

/* The variables, all of them inside of it: large, so rather not on a stack. */
struct belay__environment {
	size_t count;
	const char *entries[BELAY__VARIABLES_MAX + 1]; /* ends with NULL: an envp */
	size_t len;
	char bytes[BELAY__VARIABLE_BYTES_MAX];
};

/* Empty but for PATH=/usr/bin:/bin. */
void belay__environment_init(struct belay__environment *environment);

/* Adds ENTRY ("KEY=value"), or puts it in the place of the one with its key. 0, -EINVAL (no key) or
 * -E2BIG. */
int belay__environment_set(struct belay__environment *environment, const char *entry);

/* The same from both parts; a NUL in the LEN bytes at VALUE becomes '?'. */
int belay__environment_set_value(struct belay__environment *environment, const char *key,
	const char *value, size_t len);

/* The value of KEY, or NULL. */
const char *belay__environment_get(const struct belay__environment *environment, const char *key);

/* The absolute path of PROGRAM into PATH of SIZE bytes: itself when it begins with /, else the
 * first executable file of that name in the directories of SEARCH, those that do not begin with /
 * left out. 0, -ENOENT, -EACCES (there are only such that cannot be executed), -EINVAL (a relative
 * path, or nothing) or -ENAMETOOLONG. */
int belay__find_program(const char *program, const char *search, char *path, size_t size);
