/* proc_text.h - the kernel's texts about processes, understood
 *
 * Pure functions over bytes: no file, no memory of their own, no assumption that the bytes end with
 * NUL. All of them return 0 and fill their results, or -EBADMSG and leave them alone; those that
 * look for something return 1 when it was there and 0 when it was not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "identity/process_info.h"

/* /proc/PID/stat. A command name may hold anything, ')' and newlines too: what counts is the last
 * ')'. */
int belay__parse_stat(const char *bytes, size_t len, struct belay__stat *ret_stat);

/* One line of /proc/PID/status: the first or the last number behind KEY ("Uid:"), when the line has
 * that key. */
int belay__parse_status_line(const char *line, size_t len, const char *key, bool last,
	uint64_t *ret_number);

/* "pid:[4026531836]", as the links below /proc/PID/ns read. */
int belay__parse_namespace(const char *link, size_t len, uint64_t *ret_inode);

/* /proc/PID/schedstat. */
struct belay__schedstat {
	uint64_t cpu_ns, run_delay_ns, slices;
};
int belay__parse_schedstat(const char *bytes, size_t len, struct belay__schedstat *ret_schedstat);

/* /proc/PID/syscall; *ret_nr is -1 when the thread runs or waits outside of system calls. */
int belay__parse_syscall(const char *bytes, size_t len, int32_t *ret_nr,
	uint64_t *ret_first_argument);

/* /proc/PID/wchan, into WCHAN of SIZE bytes: "" when it reads "0", cut when it is longer. */
int belay__parse_wchan(const char *bytes, size_t len, char *wchan, size_t size);

/* The "some avg10" of a pressure file, in thousandths of the time. */
int belay__parse_pressure(const char *bytes, size_t len, uint32_t *ret_milli);

/* One line of /proc/PID/cgroup; the results point into it. */
struct belay__cgroup_line {
	const char *controllers, *path;
	size_t controllers_len, path_len;
	bool unified; /* of the version 2 hierarchy */
};
int belay__parse_cgroup_line(const char *line, size_t len, struct belay__cgroup_line *ret_line);

/* Whether the comma-separated LIST of LEN bytes has the member WORD. */
bool belay__list_has(const char *list, size_t len, const char *word);

/* One line of /proc/self/mounts: 1 and the mount point when it is a file system of type TYPE whose
 * options include OPTION (NULL: any). 0 otherwise, also when the mount point does not fit into
 * POINT of SIZE bytes. */
int belay__parse_mount_line(const char *line, size_t len, const char *type, const char *option,
	char *point, size_t size);
