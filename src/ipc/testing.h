/* testing.h - what the tests of this room share
 *
 * Failures end the test that runs.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/bind.h"
#include "ipc/closer.h"

#define TEST_PATH_SIZE 80

/* Makes a directory of its own below $TMPDIR or /tmp, mode 0700. */
void test_make_dir(char ret_path[TEST_PATH_SIZE]);

/* Removes it with everything in it. */
void test_remove_dir(const char *path);

/* Writes "DIR/NAME" to ret_path, which has room for a socket's path. */
void test_path(const char *dir, const char *name, char ret_path[108]);

/* A directory of its own in which a test binds. */
struct test_place {
	int fds_before;
	char dir[TEST_PATH_SIZE];
	char path[108];          /* of a socket in it, which is not made yet */
	struct belay__bind bind; /* a datagram socket there, 0600, with its lock */
};

/* For cmocka: makes the place *STATE, and removes it, when no descriptor may be left open. */
int test_place_set_up(void **state);
int test_place_tear_down(void **state);

/* Binds, or fails with the sentence. */
void test_bind(const struct belay__bind *bind, struct belay__bound *ret_bound);

/* A connected pair; what arrives at ret_ends[1] carries credentials. TYPE is SOCK_DGRAM or
 * SOCK_SEQPACKET. */
void test_pair(int type, int ret_ends[2]);

/* Sends BYTES with COUNT copies of FD attached. Returns 0 or a negative errno. */
int test_send(int fd, const void *bytes, size_t len, int attached, unsigned count);

/* One end of a TCP connection with data that the other end never reads, told to linger for five
 * seconds when it is closed. *ret_peer keeps it so. */
int test_lingering_socket(int *ret_peer);

/* Waits until CLOSER has closed COUNT descriptors, at most ten seconds. */
void test_wait_closed(const struct belay__closer *closer, uint64_t count);

/* The number of open descriptors. */
int test_fd_count(void);

/* Waits for child PID and returns its exit status; -1 when it was killed. */
int test_wait_child(pid_t pid);
