/* receive.h - read datagrams in batches, with who sent them
 *
 * Every rule for receiving control data holds here: close-on-exec, level, type and length checked
 * for each header, all headers walked, truncated control data refused, unexpected descriptors
 * handed to the closer (never closed in the loop: close(2) of a passed, lingering socket blocks as
 * long as its sender likes), credentials required.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "ipc/closer.h"

#define BELAY__BATCH 64

enum belay__arrival {
	BELAY__ARRIVED,        /* exactly `frame_len` bytes with credentials */
	BELAY__ARRIVED_SHORT,  /* wrong length, shorter or longer */
	BELAY__ARRIVED_CUT,    /* control data was truncated: identity cannot be trusted */
	BELAY__ARRIVED_NOBODY, /* the kernel attached no credentials */
	BELAY__ARRIVED_REMOTE, /* from another host: `host` and `origin` instead of credentials */
};

struct belay__datagram {
	const uint8_t *bytes; /* valid until the next belay__receive() */
	uint32_t len;         /* as sent, up to frame_len + 1 */
	pid_t pid;            /* in our pid namespace; 0: it has no number there */
	uid_t uid;
	uint8_t arrival; /* enum belay__arrival */
	uint8_t strays;  /* descriptors that went to the closer, 255 at most */
	uint8_t origin;  /* REMOTE: enum belay__origin_rank */
	uint16_t host;   /* REMOTE: its number (observe/remote.h) */
};

struct belay__receiver;

/* A receiver for datagrams of FRAME_LEN bytes; all its memory is allocated here. CLOSER is borrowed
 * and outlives it; when EXPECT_STRAYS is false (SO_PASSRIGHTS=0 from the start) the control buffers
 * have no room for fds. 0 or -ENOMEM. Freed by belay__receiver_free() (NULL allowed), which returns
 * NULL. */
int belay__receiver_new(uint32_t frame_len, bool expect_strays, struct belay__closer *closer,
	struct belay__receiver **ret_receiver);
struct belay__receiver *belay__receiver_free(struct belay__receiver *receiver);

/* Reads at most BELAY__BATCH datagrams from FD without blocking. Returns how many there are in
 * *ret_datagrams (owned by the receiver, overwritten by the next call), 0 when none is queued, or a
 * negative errno; EINTR is retried. */
int belay__receive(struct belay__receiver *receiver, int fd,
	const struct belay__datagram **ret_datagrams);
