/* cage.h - what is left to a role once it has what it needs
 *
 * No new privileges, an allow-list of system calls (seccomp) with their arguments narrowed where it
 * matters, no file that is not open already (Landlock, where the kernel has it), no capability and,
 * when --user says so, another user. What a role may do is one row of a table; what happens when it
 * does something else is a death by SIGSYS that its parent names. docs/security.md says what each row
 * is worth.
 *
 * The prober gets no Landlock: a process in such a domain may not look at processes outside of it, and
 * looking is all that the prober does. The runner gets capabilities only: whatever it starts would
 * inherit the rest.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/error.h>

enum belay__cage_kind {
	BELAY__CAGE_GATE,
	BELAY__CAGE_PROBER,
	BELAY__CAGE_RUNNER,
	BELAY__CAGE_EXPORTER,
	BELAY__CAGE_COUNT,
};

#define BELAY__CAGE_ARGUMENT_SIZE 40

/* What is to be reachable of the file system besides /proc and the hierarchies of cgroups. */
struct belay__cage_files {
	const char *textfile; /* a file that is replaced in its directory; NULL or "": none */
	int removable_dirfd;  /* a directory whose files may be read and removed; -EBADF: none */
};

/* What holds, for `belay doctor` and the log. */
struct belay__cage_report {
	bool no_new_privs, seccomp;
	int landlock_abi; /* 0: this kernel has none, or the role gets none */
	unsigned calls;   /* system calls allowed; 0: all */
	uint32_t uid;
};

/* Parent: what its options mean for the roles, as the word to start each with ("": a cage, and the same
 * user). 0, or with a sentence -ENOENT: USER ("": nobody) is unknown, -EPERM: only root becomes others. */
int belay__cage_argument(bool no_sandbox, const char *user,
	char ret_argument[BELAY__CAGE_ARGUMENT_SIZE], struct belay_error *reterr);

/* Role: takes that word (NULL: none) for when its cage is closed. 0 or -EINVAL. */
int belay__cage_obey(const char *argument);

/* Closes the cage of KIND around this process for good; to be called by its only thread, or with threads
 * that are to be caged as well (the filter is put on all of them). 0, or a negative errno with a
 * sentence: nothing may be served then. What the kernel does not have is left out and not in
 * *ret_report (NULL allowed). */
int belay__cage(enum belay__cage_kind kind, const struct belay__cage_files *files,
	struct belay__cage_report *ret_report, struct belay_error *reterr);

/* --- cage_calls.c, cage_files.c: the parts; not for others --- */

/* What a row of the table of calls is for. */
enum belay__cage_part {
	BELAY__CAGE_LIVE,  /* what any program of ours does */
	BELAY__CAGE_READ,  /* files are opened for reading */
	BELAY__CAGE_LOOK,  /* at links, directories, file systems */
	BELAY__CAGE_TALK,  /* with peers over sockets that are there */
	BELAY__CAGE_SERVE, /* HTTP, by a library that answers its way */
	BELAY__CAGE_TRACK, /* descriptors of processes, and the thread that closes what peers sent */
	BELAY__CAGE_KEEP,  /* what is appended to, mapped and locked */
	BELAY__CAGE_CLEAN, /* files are removed */
	BELAY__CAGE_WRITE, /* files are made and renamed */
};

/* Puts the filter for PARTS (1 << enum belay__cage_part) on all threads. How many calls it allows,
 * -ENOSYS when the kernel has no filters, or another negative errno. */
int belay__cage_calls(unsigned parts);
/* Landlock's version that was enforced, 0 when the kernel has none, or a negative errno. */
int belay__cage_paths(const struct belay__cage_files *files);
/* The newest version to be used, for tests to see what older kernels would do. */
extern int belay__cage_landlock_most;
