/* cage_testing.h - for the tests of cages: a child in one, and what it tries there
 *
 * Each cage closes around a child of its own. Failures end the test that runs.
 */
#pragma once

#include <signal.h>
#include <sys/types.h>

#include "observe/cage.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#ifdef BELAY__SANITIZED
#define CAGED 0
#else
#define CAGED 1
#endif

/* A directory, open as well; a path in it where nothing is, and a file beside it. */
extern char directory[64], inside[96], outside[96];
extern int directory_fd;

/* cmocka's setup and teardown of a group. */
int make_directory(void **state);
int remove_directory(void **state);

/* How CHILD ended: its exit status, or SIGNALLED + signal. */
enum { SIGNALLED = 1000 };
#define DIES (SIGNALLED + SIGSYS)
int result_of(pid_t child);

/* How a child ended that entered the cage of KIND with FILES (NULL: none) and then did ACT: its errno (0:
 * it could), or SIGNALLED + signal. */
int caged(enum belay__cage_kind kind, const struct belay__cage_files *files, int (*act)(void));

/* In such a child: its own status, opened before there was a cage. */
extern int status_fd;

/* The version of Landlock that the kernel has; 0: none. */
int landlock_abi(void);

/* What more than one program tries: negative with errno when it could not. The file that is removed is
 * "note" in the directory. */
int makes_a_socket(void);
int executes(void);
int opens_for_writing(void);
int makes_a_file(void);
int removes_a_file(void);
int reads_proc(void);
