/* test_sealed.h - for tests: what arrived sealed, opened; and system calls that fail on demand
 *
 * Needs -Wl,--wrap=send,--wrap=getrandom,--wrap=connect,--wrap=munmap. Failures end the test
 * (cmocka's assertions).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/sealed.h>

#include "beat/sealed_session.h"
#include "beat/test_far.h"

extern const struct belay_key test_key;

/* What the next calls do instead of asking the kernel; zeroes ask it. */
struct test_calls {
	int send_errors[4], connect_error;
	/* Of the next getrandom(2)s: a negative errno, or at most so many bytes; -INT_MAX: none. */
	int entropy[4];
	unsigned sends, asked; /* how often */
	bool unmapped_is_zero; /* what was last given back held nothing but zeroes */
	uint8_t last[64];      /* what was last given to send(2) */
	size_t last_len;
};
extern struct test_calls test_calls;

struct test_opened {
	uint32_t pid; /* in the clear; 0 in the shared form */
	uint8_t prefix[BELAY__PREFIX_LEN];
	uint32_t counter;
	struct belay_frame frame;
};

/* Takes the oldest frame that arrived and opens it under `test_key`, of which the key for its pid
 * is derived when it has the master form. False when there is none. */
bool test_opened_take(const struct test_far *far, struct test_opened *ret_opened);

/* Takes the one that must be there, and no other behind it. */
struct test_opened test_opened_take_only(const struct test_far *far);

struct belay__sealed *test_sealed_of(const struct belay *belay);
