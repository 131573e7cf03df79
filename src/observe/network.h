/* network.h - beats that come over UDP: opened, checked for replays, handed on with their host
 *
 * Belongs to the gate; the observer proper knows nothing of keys. Without keys (plaintext UDP, which
 * an operator has to ask for by name) 32 bytes are a frame of host "udp". With keys: 60 bytes are
 * tried with every key there is, 64 bytes with every key and then with the master key, always with all
 * of them, so that the time it takes does not tell which one fits; the first that opens it counts
 * (heartbeat-system, section 4). What opens but is no frame, or one of a pid that nobody can have, is
 * handed on as it is (a decode event) and leaves no state; a pid inside that differs from the
 * authenticated one outside does not open. Under a shared key what precedes the last 60 of 64 bytes is
 * not authenticated and says nothing.
 *
 * After belay__network_new(), which locks memory and asks for entropy, nothing here allocates or calls
 * the kernel but for recvmmsg(2).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ipc/receive.h"
#include "ipc/udp.h"
#include "observe/remote.h"
#include "observe/replay.h"

enum belay__key_kind {
	BELAY__KEY_SHARED,
	BELAY__KEY_MASTER,
	BELAY__KEY_ABSENT, /* no key at all: a host whose keys cannot be had just now */
};

/* A key as the parent sends it (roles.h), and whose it is: the host and its number (key_hosts.h). An
 * absent one may be nobody's (0, ""). */
struct belay__msg_key {
	uint8_t kind; /* enum belay__key_kind */
	uint16_t number;
	char host[BELAY__HOST_SIZE];
	uint8_t key[BELAY__SECRET_LEN];
};

struct belay__network_counts {
	uint64_t truncated;        /* wrong length */
	uint64_t decrypt_failures; /* no key opens it */
	uint64_t replays_refused;
	uint64_t sender_state_full;
	uint64_t aead_attempts;
};

struct belay__network;

/* SENDERS and RESTART_GAP_NS as in replay.h; ATTESTED: the operator vouches for this transport, so its
 * beats are BELAY__OPERATOR_ATTESTED and not BELAY__NETWORK_UNVERIFIED. NOW tells the observer's clock.
 * 0, -ENOMEM, or -ENOTSUP (seal.h). */
int belay__network_new(uint32_t senders, uint64_t restart_gap_ns, bool attested,
	uint64_t (*now)(void *data), void *data, struct belay__network **ret_network);
struct belay__network *belay__network_free(struct belay__network *network);

/* Replaces all keys, and with them all hosts, by those of KEYS (copied into locked memory; the caller
 * wipes his). What is known of senders stays with the keys that stay, in whatever order they come and
 * whatever their hosts are called. Senders of other keys are forgotten. Who was given anything once reads
 * only what is sealed from then on, also when none of it was a key. 0, or with nothing changed -E2BIG
 * (more than BELAY__KEYS_MAX) or -EINVAL (a key without a name or number, or two names of one number). */
int belay__network_set_keys(struct belay__network *network, const struct belay__msg_key *keys,
	uint32_t count);
/* How many keys are in force. */
uint32_t belay__network_keys(const struct belay__network *network);

/* Reads a batch from FD, the smaller the more keys there are, and opens it. Returns how many beats there are (less than what came: what was
 * refused is counted and left out; 0 with *ret_dry false: all were refused, there may be more), valid
 * until the next call, or a negative errno. Each has arrival BELAY__ARRIVED_REMOTE, the bytes of its
 * frame, `host` and `origin`. */
int belay__network_receive(struct belay__network *network, int fd,
	const struct belay__datagram **ret_datagrams, bool *ret_dry);

const struct belay__hosts *belay__network_hosts(const struct belay__network *network);
const struct belay__network_counts *belay__network_counts(const struct belay__network *network);
void belay__network_set_restart_gap(struct belay__network *network, uint64_t restart_gap_ns);
