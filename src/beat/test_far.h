/* test_far.h - for tests: an observer across a network, which is the loopback
 *
 * Failures end the test (cmocka's assertions). What was sent is there when send(2) has returned, so
 * nothing here waits.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct test_far {
	int fd;           /* -EBADF: nobody listens */
	char address[64]; /* "IP:PORT" */
	uint16_t port;
	int family;
};

/* Listens at a free port. False when this host has no such FAMILY (AF_INET, AF_INET6). */
bool test_far_init(struct test_far *far, int family);

/* Nobody listens any more; the port stays the same for test_far_return(). */
void test_far_leave(struct test_far *far);
void test_far_return(struct test_far *far);

void test_far_done(struct test_far *far);

/* Takes one datagram; its length, or -1 when none is there. */
ssize_t test_far_take(const struct test_far *far, uint8_t *bytes, size_t size);

/* Takes all that are there and returns how many. */
unsigned test_far_drain(const struct test_far *far);
