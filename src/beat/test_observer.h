/* test_observer.h - for tests: a directory of its own with a bound datagram socket in it, and its
 * door
 *
 * Failures end the test (cmocka's assertions).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/beat.h>

#include "wire/hello.h"

struct test_observer {
	int fd, door; /* -EBADF: not there */
	char directory[48];
	char path[64]; /* of the beat socket */
	char door_path[72];
};

/* Makes the directory, with nobody in it yet. */
void test_observer_init(struct test_observer *observer);

/* Binds the beat socket anew; a former one is closed. */
void test_observer_listen(struct test_observer *observer);

/* Opens the door, `<socket>.hello`. */
void test_observer_open_door(struct test_observer *observer);

/* Closes the beat socket and removes its name. */
void test_observer_leave(struct test_observer *observer);

/* Removes everything. */
void test_observer_done(struct test_observer *observer);

/* Takes one beat; false when none is queued. What is not a good frame fails the test. */
bool test_observer_take(struct test_observer *observer, struct belay_frame *ret_frame);

/* Takes a beat that must be there, and no other behind it. */
struct belay_frame test_observer_take_only(struct test_observer *observer);

/* Takes all that are queued and returns how many. */
unsigned test_observer_drain(struct test_observer *observer);

/* Takes what was said at the door; false when nobody came. */
bool test_observer_hear(struct test_observer *observer, struct belay__hello *ret_hello);

/* The outcome must be that; the message shows what came instead. */
void assert_sent(struct belay_outcome outcome);
void assert_dropped(struct belay_outcome outcome, enum belay_drop_reason reason);
void assert_failed(struct belay_outcome outcome, int error);

/* Runs CHILD with ARGUMENT in a forked child, which fails the test unless CHILD returns true. */
void assert_in_child(bool (*child)(void *argument), void *argument);
