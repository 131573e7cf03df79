/* generations.h - a file that records are appended to, and its older generations
 *
 * PATH is appended to; when it is full it becomes PATH.1, and PATH.1 becomes PATH.2 and so on up to
 * PATH.5, whose predecessor goes. These are the file operations alone: whoever may make files (the
 * parent role) calls them, and whoever writes records needs only the descriptor.
 *
 * A rotation keeps nothing in memory that it could not find again on disk. It fills the nearest gap
 * among the generations from below, so after a kill between any two steps the next rotation goes on
 * where the last one ended, and no generation is lost to a gap.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#define BELAY__GENERATIONS          5
#define BELAY__GENERATION_PATH_SIZE 2048

/* Writes the name of generation I of PATH: itself, PATH.1, PATH.2 ... 0 or -ENAMETOOLONG. */
int belay__generation_name(const char *path, unsigned i, char *name, size_t size);

/* Opens PATH to read and to append to. A new one is made with O_EXCL and mode 0600, and its
 * directory is synced; an existing one must be a regular file of this uid with one link, no symlink
 * and not writable by others. Returns the fd or a negative errno with a sentence. */
int belay__generations_open(const char *path, struct belay_error *reterr);

/* Opens the newest file among PATH.1 ... PATH.5 for reading, as carefully. Returns the fd, or a
 * negative errno with a sentence; -ENOENT when there is none. */
int belay__generations_open_previous(const char *path, struct belay_error *reterr);

/* How far a rotation is. All zero: none is under way. */
struct belay__rotation {
	bool moving;  /* some generations may have moved, PATH has not */
	bool opening; /* all have; only the new PATH could not be made yet */
};

/* Moves every generation one up and makes a new PATH, step by step until DEADLINE_NS
 * (CLOCK_MONOTONIC; at least one step a call). A PATH that is empty is not moved but handed out
 * again. Returns the new fd, as belay__generations_open() gives it; or -EAGAIN when there was not time for all: the next call goes on. Another negative
 * errno comes with a sentence; the next call tries again what failed, and moves nothing twice. */
int belay__generations_rotate(const char *path, struct belay__rotation *rotation,
	uint64_t deadline_ns, struct belay_error *reterr);
