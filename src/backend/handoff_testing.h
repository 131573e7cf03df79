/* handoff_testing.h - the sender's side of a hand-over, good and bad, for the tests of this room
 *
 * Failures end the test that runs.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <belay/handoff.h>

#include "wire/broker.h"

/* A receiver with one connection to it. */
struct test_handoff {
	int fds_before;
	struct belay_handoff_receiver *receiver;
	struct belay_handoff_peer *peer; /* of a connection whose other end is: */
	int sender;
	int clients[2]; /* [0] is handed over, [1] is the client */
};

/* For cmocka: *STATE is a struct test_handoff without receiver. At the end nothing may be open that was
 * not open before, the closer's descriptors included. */
int test_handoff_set_up(void **state);
int test_handoff_tear_down(void **state);

/* (Re)starts the receiver with OPTIONS (NULL: defaults), and connects. */
void test_handoff_start(struct test_handoff *f,
	const struct belay_handoff_receiver_options *options);
/* Another connection to the same receiver. */
void test_handoff_connect(struct test_handoff *f);
/* Another client. */
void test_handoff_client(struct test_handoff *f);
/* Waits until the receiver's closer has closed all that it took. */
void test_handoff_settle(const struct test_handoff *f);

/* Token number N, and TOKEN and offer in one piece; the length of it. */
struct belay_handoff_token test_token(uint8_t n);
#define TEST_HANDOFF_SIZE 512
size_t test_handoff_bytes(uint8_t n, const char *service, uint64_t correlation_id,
	uint8_t ret_bytes[TEST_HANDOFF_SIZE]);
/* A whole frame of any content behind token N. */
size_t test_handoff_frame(uint8_t n, const struct belay_envelope *envelope,
	const struct belay__handoff_offer *offer, uint8_t ret_bytes[TEST_HANDOFF_SIZE]);

/* Sends LEN bytes with COUNT copies of ATTACHED. */
void test_handoff_send(const struct test_handoff *f, const void *bytes, size_t len, int attached,
	unsigned count);
/* Sends hand-over N of service "build-cache", correlation id N, with ATTACHED, in one message. */
void test_handoff_pass(const struct test_handoff *f, uint8_t n, int attached);

/* The next thing that the peer says: R, an adoption only if that is 1. Whose client was not accepted has it
 * back with the flags that it had. */
void test_handoff_expect(struct test_handoff *f, int r, struct belay_adoption *ret_adoption);
/* The ack of hand-over N has come: accepted (TEXT NULL), or refused with TEXT. */
void test_handoff_answer(const struct test_handoff *f, uint8_t n, const char *text);
/* Nothing has been answered. */
void test_handoff_silence(const struct test_handoff *f);
/* Counts so far. */
void test_handoff_counts(const struct test_handoff *f, uint64_t adopted, uint64_t refused,
	uint64_t strays, uint64_t truncated);
/* The client's connection leads to FD, which is closed. */
void test_handoff_talk(const struct test_handoff *f, int fd);
/* Nobody has the client: it reads the end. Closes [0] first. */
void test_handoff_orphaned(struct test_handoff *f);

/* One end of a TCP connection. *ret_peer is the other. LINGERING: with data that is never read, told to
 * wait for that when it is closed. */
int test_tcp(int *ret_peer, int lingering);
