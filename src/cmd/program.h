/* program.h - the programs behind commands that need more than libc */
#pragma once

#include <stddef.h>

#include <belay/error.h>

/* Writes to PATH where the program NAME lies, seen from the executable EXE: DIR/libexec/belay/ in a
 * build tree, DIR/../libexec/belay/ when installed, else the directory that was configured. 0, or
 * -ENOENT with a sentence. */
int belay__program_find(const char *exe, const char *name, char *path, size_t size,
	struct belay_error *reterr);

/* Becomes the program NAME with ARGV, whose argv[0] is replaced. Returns the exit code when that
 * fails, and has said why. */
int belay__program_exec(const char *name, char **argv);
