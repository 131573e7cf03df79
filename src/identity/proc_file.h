/* proc_file.h - opening and reading what belongs to one process below /proc, without allocating
 *
 * A descriptor of /proc/PID stays with the process that had the number when it was opened: through
 * it one never reads about two processes by mistake, and what is asked after the end fails.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "identity/process_info.h"

/* Opens /proc/PID as a place to read from. The fd (owned by the caller), -ESRCH (no such process)
 * or -EACCES (hidden). */
int belay__proc_open(pid_t pid);

/* Opens FILE of the process behind PROCFD for reading. The fd or a negative errno; -ENOENT also
 * once it has ended. */
int belay__proc_open_file(int procfd, const char *file);

/* Reads FILE of the process PID itself, one path lookup and no directory held: bytes read, or
 * -ESRCH, -EACCES, another negative errno. */
ssize_t belay__proc_read(pid_t pid, const char *file, char *buffer, size_t size);

/* The link FILE of process PID into LINK, NUL-terminated: its length, -ENAMETOOLONG, -ESRCH,
 * -EACCES, another errno. */
ssize_t belay__proc_readlink(pid_t pid, const char *file, char *link, size_t size);

/* The stat of process PID: one path lookup, one read. 0, -ESRCH, -EACCES, another negative errno. */
int belay__proc_stat(pid_t pid, struct belay__stat *ret_stat);

/* The same, of FILE behind PROCFD ("stat", or "TID/stat" when PROCFD is a task
 * directory). */
int belay__proc_stat_at(int procfd, const char *file, struct belay__stat *ret_stat);

/* Opens /proc/PID of the process that began at START_TICKS and reads its stat: the fd, -ESRCH
 * (gone, or another process has the number by now) or another negative errno. */
int belay__proc_open_stat(pid_t pid, uint64_t start_ticks, struct belay__stat *ret_stat);

/* The first or last number of the line KEY in the process's status. 0, -ENOENT (no such line) or
 * another negative errno. */
int belay__proc_status_at(int procfd, const char *key, bool last, uint64_t *ret_number);

/* Whether the process behind PROCFD lets us see what ptrace(2) may read: else some fields read as 0
 * and are no facts. The link that decides is asked for by the same rule, and zombies have it
 * too. */
bool belay__proc_permitted(int procfd);

/* Whether STAT is of a process that has ended. A main thread that left its siblings behind is a
 * zombie as well. */
static inline bool belay__stat_ended(const struct belay__stat *stat)
{
	return (stat->state == 'Z' && stat->threads <= 1) || stat->state == 'X' ||
		stat->state == 'x';
}

/* Lines of a file that may be long, in a fixed buffer. */
struct belay__lines {
	int fd; /* borrowed */
	bool skipping, at_end;
	size_t start, end;
	char chunk[4096];
};

void belay__lines_start(struct belay__lines *lines, int fd);

/* The next line, without its newline, valid until the next call: 1, 0 at the end, or a negative
 * errno. Lines longer than the buffer are left out. */
int belay__lines_next(struct belay__lines *lines, const char **ret_line, size_t *ret_len);
