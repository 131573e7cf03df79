/* handoff_testing.h - what the tests of hand-overs share: peers that do one thing, and a kernel that fails
 * on demand
 *
 * Failures end the test that runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <belay/handoff.h>

#include "wire/handoff_frame.h"

#define TEST_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Readable, so that a test finds it wherever it should not be. */
extern const struct belay_handoff_token test_token;

/* What the next calls of sendmsg(2) do, one step each; after the last all is normal. */
struct test_step {
	int error;   /* fails with this */
	size_t most; /* takes no more than this; 0: all */
};
void test_sendmsg(const struct test_step *steps, unsigned count);
/* How many calls there were since. */
unsigned test_sendmsg_calls(void);

/* A connected pair of Unix streams; a directory with a listening socket in it. */
void test_stream_pair(int ret_ends[2]);
struct test_endpoint {
	int fds_before;
	char dir[64], path[108];
	int listener;
};
int test_endpoint_set_up(void **state);
int test_endpoint_tear_down(void **state);

/* Reads with room for a descriptor: how many bytes, and *ret_fd (-EBADF: none came). */
ssize_t test_receive(int end, uint8_t *bytes, size_t size, int *ret_fd);
/* Reads LEN bytes that have to be there. */
void test_read(int end, uint8_t *bytes, size_t len);
/* Writes all or fails. */
void test_write(int end, const void *bytes, size_t len);
/* Writes until nothing more fits. */
void test_fill(int end);

/* The frame of an ack. */
struct test_ack {
	struct belay_handoff_token token;
	uint64_t request_id, correlation_id;
	bool accepted;
	const char *detail;
};
size_t test_ack_frame(const struct test_ack *ack, uint8_t ret_frame[256]);
/* Writes the one that answers TOKEN and ID. */
void test_answer(int end, const struct belay_handoff_token *token, uint64_t id, bool accepted,
	const char *detail);

/* A token of its own for each N. */
struct belay_handoff_token test_token_of(unsigned n);

/* Whether the two are the same open file. */
bool test_same_file(int left, int right);

uint64_t test_now_ms(void);

/* Runs WHAT in a child that is no root; its result is the child's exit status, which is returned. */
int test_as_ordinary_user(int (*what)(void *data), void *data);
