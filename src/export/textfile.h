/* textfile.h - a file that readers find whole: the old contents or the new, never a part */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <belay/error.h>

/* Makes PATH a file (0644) of LEN BYTES: written beside it as "PATH.tmp", then renamed, so that a
 * collector which looks for "*.prom" never sees the unfinished one. One writer for each PATH. What
 * is at PATH must be nothing or a regular file. SYNC: on the disk, too, before it gets its name,
 * which may take as long as the disk likes. 0, or a negative errno with a sentence; then PATH is as
 * it was and PATH.tmp is gone. */
int belay__textfile_write(const char *path, const void *bytes, size_t len, bool sync,
	struct belay_error *reterr);
