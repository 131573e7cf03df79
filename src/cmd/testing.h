/* testing.h - for tests: a command in a child, and a door at which it asks us
 *
 * Failures end the test (cmocka's assertions).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "wire/hello.h"

struct test_door {
	int fd; /* -EBADF: closed */
	char directory[48];
	char socket[64]; /* beside which the door is */
	char door[72];
};

struct test_run {
	int exit; /* 128+n when signal n ended it, 99 when it left a descriptor open */
	char out[1 << 18], err[8192];
	size_t out_len;
	unsigned requests;         /* heard */
	struct belay__hello hello; /* the last */
};

/* Makes the directory and opens the door in it. */
void test_door_open(struct test_door *door);
/* Closes the door and takes its name away; it can be opened anew. */
void test_door_shut(struct test_door *door);
void test_door_reopen(struct test_door *door);
/* Removes everything. */
void test_door_done(struct test_door *door);

/* Writes TEXT to NAME in the door's directory. */
void test_door_file(const struct test_door *door, const char *name, const char *text);

/* What a test does with a request that came over FD; CHILD is who asks. */
struct test_answer {
	void (*answer)(int fd, const struct belay__hello *hello, void *data);
	void *data;
	int out_fd; /* the child's standard output; 0: it is captured */
};

/* Runs `belay WORDS...` (NULL-terminated) in a child with BELAY_SOCKET set to the door's, answers
 * what it asks, and waits for its end; a child that takes longer than 30 s fails the test. */
void test_run(struct test_run *run, struct test_door *door, const struct test_answer *how,
	const char *const *words);

/* The child of the run that is under way: for answers that signal it. */
pid_t test_child(void);

/* Sends a packet of an answer. What the asker no longer wants is dropped. */
void test_send(int fd, enum belay__hello_part part, int code, const char *text);
