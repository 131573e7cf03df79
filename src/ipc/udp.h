/* udp.h - the UDP socket that beats from other hosts come in by, read in batches */
#pragma once

#include <stdint.h>

#include <belay/error.h>

#include "base/address.h"

#define BELAY__UDP_BATCH 64
#define BELAY__UDP_MAX   65 /* one byte more than any frame: what fills it was longer */

/* Binds a non-blocking, close-on-exec UDP socket to ADDRESS, asking for RCVBUF_BYTES of buffer (0:
 * leave), and sets *ret_bound to what it got (port 0 is chosen by the kernel). Never shares a port; "::"
 * takes in IPv4, too, whatever the system's default. Returns the fd, or a negative errno with a sentence
 * (-EADDRINUSE, -EADDRNOTAVAIL, -EACCES, -EAFNOSUPPORT). */
int belay__udp_bind(const union belay__address *address, uint32_t rcvbuf_bytes,
	union belay__address *ret_bound, struct belay_error *reterr);

/* One datagram as it came. */
struct belay__udp_datagram {
	uint8_t bytes[BELAY__UDP_MAX];
	uint32_t len; /* BELAY__UDP_MAX: that or longer */
	union belay__address from;
};

/* All memory is laid out here; 0 or -ENOMEM. Freed by belay__udp_receiver_free() (NULL allowed), which
 * returns NULL. */
struct belay__udp_receiver;
int belay__udp_receiver_new(struct belay__udp_receiver **ret_receiver);
struct belay__udp_receiver *belay__udp_receiver_free(struct belay__udp_receiver *receiver);

/* Reads at most MAX (1 to BELAY__UDP_BATCH) datagrams without blocking, in one system call. Returns how
 * many there are in *ret_datagrams (owned by the receiver, overwritten by the next call), 0 when none is
 * queued, or a negative errno; EINTR is retried, and so is ECONNREFUSED: an ICMP message about what was
 * sent once says nothing about what is received. */
int belay__udp_receive(struct belay__udp_receiver *receiver, int fd, unsigned max,
	const struct belay__udp_datagram **ret_datagrams);
