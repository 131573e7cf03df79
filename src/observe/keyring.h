/* keyring.h - the keys that sealed frames are opened with
 *
 * All secrets, the keys derived from them included, lie in one piece of locked memory that no core dump
 * shows and that is wiped when it is freed. Nothing here allocates or asks the kernel for anything after
 * belay__keyring_new(). Keys have numbers: first the shared ones, then the masters, each in the order
 * they were given in.
 */
#pragma once

#include "observe/network.h"

#define BELAY__NO_KEY UINT32_MAX

struct belay__keyring;

/* An empty one. 0, -ENOMEM, or -ENOTSUP (seal.h). */
int belay__keyring_new(struct belay__keyring **ret_keyring);
struct belay__keyring *belay__keyring_free(struct belay__keyring *keyring);

/* Replaces all keys by those among COUNT others (at most BELAY__KEYS_MAX; absent ones are left out).
 * ret_map[i], for each of the *ret_map_count keys there were, is the new number of key i, or
 * BELAY__NO_KEY. */
void belay__keyring_set(struct belay__keyring *keyring, const struct belay__msg_key *keys,
	uint32_t count, uint32_t ret_map[static BELAY__KEYS_MAX], uint32_t *ret_map_count);
uint32_t belay__keyring_count(const struct belay__keyring *keyring);

/* Tries every key that can open LEN bytes (BELAY__SEALED_LEN: the shared ones;
 * BELAY__SEALED_MASTER_LEN: all, the shared ones on what follows the pid) and returns the first that
 * does, with the frame, unchecked but for a master's pid, in RET_FRAME; or BELAY__NO_KEY. How long it
 * takes does not depend on which it is. */
uint32_t belay__keyring_open(struct belay__keyring *keyring, const uint8_t *sealed, uint32_t len,
	uint8_t ret_frame[static BELAY_FRAME_LEN]);
/* How many keys are tried on LEN bytes. */
uint32_t belay__keyring_attempts(const struct belay__keyring *keyring, uint32_t len);
/* How many frames may be opened in a row before others have to get their turn. */
unsigned belay__keyring_batch(const struct belay__keyring *keyring);

uint16_t belay__keyring_host(const struct belay__keyring *keyring, uint32_t key);
