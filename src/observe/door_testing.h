/* door_testing.h - for tests: a client at the door of an observer that runs in the same program */
#pragma once

#include "observe/testing.h"
#include "wire/hello.h"

struct packet {
	struct belay__hello_answer head;
	char text[BELAY__HELLO_PACKET_MAX + 1]; /* ends with NUL */
};

/* What hear() received last. */
extern struct packet door_packet;

/* A connection that never blocks. */
int connect_door(const struct house *house);

/* An empty request of TYPE; and one with NAME, sent. */
struct belay__hello request(enum belay__hello_type type);
void say(int fd, enum belay__hello_type type, const char *name);

/* The next packet of an answer, for which the observer is given its turns. False: it has hung up.
 * An event fails the test. */
bool hear(struct belay_observer *observer, int fd);

/* The last packet, whose code is CODE; with a sentence unless that is 0. */
void hear_done(struct belay_observer *observer, int fd, int code);

/* One packet of lines, each a JSON object. Returns how many; 0: it was the last packet. */
unsigned hear_lines(struct belay_observer *observer, int fd);
