/* event_file.h - events kept on disk, one JSON object a line, in a bounded set of files
 *
 * `events.jsonl` is appended to; at BELAY__EVENT_FILE_BYTES it becomes `events.jsonl.1`, `.1`
 * becomes `.2` and so on, the oldest goes. A failed write (full disk) costs the event on disk only:
 * it is counted, the next one is tried again, and a torn line is ended before the next whole one is
 * written.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "base/text.h"

#define BELAY__EVENT_FILE_BYTES (UINT64_C(8) << 20)
#define BELAY__EVENT_FILES      5

/* Writing end: an open descriptor and how much the file holds; used by the role that makes events.
 * Plain memory. */
struct belay__event_file {
	int fd; /* owned; -EBADF: none, every event is counted as lost */
	uint64_t bytes;
	uint64_t written, lost;
	bool torn; /* the last write was cut short */
};

/* Takes FD over (its size is read with fstat); -EBADF is allowed. */
void belay__event_file_init_take(struct belay__event_file *file, int fd);
void belay__event_file_done(struct belay__event_file *file);

/* Appends LINE (with its newline). Returns 1 when the file is now full and should be rotated, 0
 * otherwise; a failure is counted. */
int belay__event_file_append(struct belay__event_file *file, const char *line, size_t len);

/* Keeping end: opens PATH (checked as belay__open_append() does), its directory is made when
 * missing. Returns the fd or a negative errno with a sentence. */
int belay__event_file_open(const char *path, struct belay_error *reterr);

/* Moves PATH to .1 and the older ones up (at most BELAY__EVENT_FILES in all), then opens a new
 * PATH. Returns its fd or a negative errno with a sentence; when only the opening failed the moves
 * stay done. */
int belay__event_file_rotate(const char *path, struct belay_error *reterr);

/* Reads the last COUNT events of all files of PATH, oldest first, and calls EACH with each line
 * (without newline; torn ones are skipped). Returns how many, or a negative errno (-ENOENT: no
 * file). */
int64_t belay__event_file_tail(const char *path, uint64_t count,
	void (*each)(void *data, const char *line, size_t len), void *data);
