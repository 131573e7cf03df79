/* network_testing.h - what the tests of network.h share: a socket, somebody who sends to it, keys by
 * number
 *
 * Failures end the test that runs.
 */
#pragma once

#include <stddef.h>

#include "observe/key_hosts.h"
#include "observe/network.h"
#include "wire/seal.h"

#define NET_GAP_NS UINT64_C(1000)

enum { NET_SENDERS = 64, PID = 700 };

extern struct net {
	struct belay__network *network;
	struct belay__key_hosts hosts;
	int receiver, sender, fds_before;
	union belay__address bound; /* where the receiver is */
	uint64_t now_ns;
	unsigned clock_reads;
	const struct belay__datagram *beats; /* of the last net_receive() */
	bool dry;
} net;

/* For cmocka: a network for NET_SENDERS senders; at the end all descriptors are closed again. */
int net_begin(void **state);
int net_end(void **state);
void net_begin_with(uint32_t senders, bool attested);
/* The network's clock, whose DATA is &net.now_ns. */
uint64_t net_now(void *data);
/* A socket with a port of its own that sends to the receiver. */
int net_new_sender(void);

/* Key number N: 32 bytes of their own. */
struct belay__msg_key net_shared(unsigned n, const char *host);
struct belay__msg_key net_master(unsigned n);
/* Puts them in force with the names and numbers that a parent gives. */
void net_set(const struct belay__msg_key *keys, size_t count);
#define NET_SET(...)                                                                               \
	net_set((const struct belay__msg_key[]){ __VA_ARGS__ },                                    \
		sizeof((const struct belay__msg_key[]){ __VA_ARGS__ }) /                           \
			sizeof(struct belay__msg_key))

const struct belay__network_counts *net_counts(void);
const char *net_host_of(const struct belay__datagram *beat);

void net_frame(uint32_t pid, uint64_t nonce, uint8_t ret_frame[BELAY_FRAME_LEN]);
/* A frame of session PREFIX whose nonce is COUNTER + 1, under key N. */
void net_seal(unsigned n, uint32_t pid, uint8_t prefix, uint32_t counter,
	uint8_t ret_sealed[BELAY__SEALED_LEN]);
/* The same under what is derived from master key N for OUTER_PID. */
void net_seal_derived(unsigned n, uint32_t outer_pid, uint32_t pid, uint8_t prefix,
	uint32_t counter, uint8_t ret_sealed[BELAY__SEALED_MASTER_LEN]);
void net_post(const void *bytes, size_t len);
void net_post_sealed(unsigned n, uint32_t pid, uint8_t prefix, uint32_t counter);
void net_post_derived(unsigned n, uint32_t pid, uint8_t prefix, uint32_t counter);

/* belay__network_receive() into net.beats and net.dry. */
int net_receive(void);
/* BEAT is the whole frame that net_frame() makes, unverified. */
void net_assert_beat(const struct belay__datagram *beat, uint32_t pid, uint64_t nonce);
