/* exe_file.h - the executable that a process runs: its path, and the very file, wherever it lies now */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "identity/exe_hash.h"

/* The path and the inode behind /proc/PID/exe, whose directory PROCFD is. The kernel's mark
 * " (deleted)" behind the path of a file that was replaced or removed is taken off. 0 or a negative
 * errno. */
int belay__exe_look(int procfd, char path[static PATH_MAX], struct stat *ret_stat);

/* Whether both paths lead to the same place. Equal texts do; no file is looked at then. */
bool belay__exe_same_path(const char *left, const char *right);

/* KINDS of hashes of the file that the process runs, which STAT is of. Nothing is opened when
 * HASHES (NULL allowed) remembers it. As belay__exe_hash(). */
int belay__exe_hash_of(int procfd, const struct stat *stat, unsigned kinds,
	struct belay_hashes *hashes, uint64_t deadline_ns, struct belay__exe_hash *ret_hash);

/* Whether process PID, whose number it must have still, runs the file that EXE is of: the same inode, of
 * the same size, not written to since. A file that was replaced or removed is the same. 1, 0 (another, or
 * it cannot be seen any more), or -ENOMEM. One system call, and no descriptor. */
int belay__exe_still(pid_t pid, const struct stat *exe);
