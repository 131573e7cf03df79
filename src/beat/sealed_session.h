/* sealed_session.h - sealed frames on their way: the socket, the key, and the nonces used so far
 *
 * A session begins with a salt from the OS, of which its prefixes are derived; under each prefix
 * a counter goes from 0 up to, and never to, 2^32 - 1. A nonce is used up by a frame that was
 * sent and by no other: what could not be sent was seen by nobody. Everything lies in one page
 * that is locked where the limit allows it, left out of core dumps, and wiped when it is given
 * back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/vlp.h>

#include "base/address.h"
#include "beat/connection.h"
#include "wire/seal.h"

/* The nonce of the next frame. */
struct belay__position {
	uint8_t prefix[BELAY__PREFIX_LEN];
	uint32_t counter;
	uint32_t index; /* of the prefix */
};

/* What a reconnect replaces as a whole. */
struct belay__session {
	struct belay__connection connection;
	uint32_t epoch; /* of the process that it belongs to */
	uint32_t pid;   /* of that process; used in the master form */
	struct belay__position position;
	uint8_t key[BELAY__KEY_LEN]; /* that frames are sealed under */
	uint8_t salt[BELAY__SALT_LEN];
};

struct belay__sealed {
	struct belay__session now;
	uint64_t checked_ns;    /* the time of the beat before which the descriptor was looked at */
	uint64_t not_before_ns; /* no new socket before a beat of that time */
	int absent_error;       /* while there is no socket: why, as a negative errno */
	bool master;            /* in the master form */

	struct belay__session next;      /* only while it is prepared */
	uint8_t own_key[BELAY__KEY_LEN]; /* what the caller gave: the shared or the master key */
	union belay__address address;
	socklen_t address_len;
};

/* Begins a session to ADDRESS ("IP:PORT") under KEY, or, with MASTER, under what is derived of it
 * for this process. 0 and *ret_sealed, which the caller ends with belay__sealed_close(); or a
 * negative errno: -EINVAL, -ENOMEM, -EAGAIN, -ENOTSUP, and what getrandom(2) and socket(2)
 * report. */
int belay__sealed_new(const char *address, const uint8_t key[static BELAY__KEY_LEN], bool master,
	struct belay__sealed **ret_sealed);

/* The members of a struct belay_transport; DATA is a struct belay__sealed. `send` begins a
 * session of its own by itself when it finds itself in a forked child. */
int belay__sealed_send(void *data, const uint8_t frame[BELAY_FRAME_LEN]);
int belay__sealed_reconnect(void *data);
void belay__sealed_close(void *data);
