/* channel.h - typed messages between our own processes over a SOCK_SEQPACKET pair, default deny
 *
 * A message is a header {type, size} and a fixed record, one packet, with at most one descriptor.
 * The receiver names the types it takes in a table with the size each must have and whether a
 * descriptor must come; anything else ends the channel (-EPROTO): a process of ours that breaks the
 * protocol is a broken process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BELAY__MESSAGE_MAX 16384

enum belay__message_fd { BELAY__WITHOUT_FD, BELAY__WITH_FD };

struct belay__message_rule {
	uint32_t type;
	uint32_t size; /* of the record, exactly */
	enum belay__message_fd fd;
	/* RECORD is valid during the call. FD (-EBADF without) is owned by the handler. A negative
	 * errno ends the channel. */
	int (*handle)(void *data, const void *record, int fd_consume);
};

/* A connected pair, both close-on-exec and non-blocking. 0 or a negative errno. */
int belay__channel_pair(int ret_ends[2]);

/* Sends one message; FD is borrowed, -EBADF: none. 0, -EAGAIN (peer does not read), -EPIPE (it is
 * gone), or a negative errno. */
int belay__channel_send(int channel, uint32_t type, const void *record, uint32_t size, int fd);

/* Receives all messages that are queued, at most MAX, and calls their handlers with DATA. Returns
 * their number, -EPIPE when the peer is gone, -EPROTO when it broke the rules (strays closed), or
 * what a handler returned. */
int belay__channel_receive(int channel, const struct belay__message_rule *rules, size_t rule_count,
	void *data, unsigned max);
