/* seal.h - sealed frames: a beat that nobody can read, forge or change on its way
 *
 * ChaCha20-Poly1305 (RFC 8439) over the 32 bytes of a frame, in two forms:
 *
 *	shared key, 60 bytes    prefix 8 | counter LE32 | ciphertext 32 | tag 16, nothing else authenticated
 *	master key, 64 bytes    pid LE32 | the same 60 bytes, under a key derived for that pid; the pid is authenticated
 *
 * The nonce is prefix | counter; a key must never see one twice. Prefixes are derived from a salt that
 * the OS gave, so the beat path asks for no entropy. Derivations are HKDF-SHA256 without salt
 * (heartbeat-system, section 1). Nothing here allocates, blocks or keeps state; after
 * belay__seal_init() all of it may be called in a signal handler.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include <belay/vlp.h>

#define BELAY__KEY_LEN           32
#define BELAY__SALT_LEN          16
#define BELAY__PREFIX_LEN        8
#define BELAY__SEALED_LEN        60
#define BELAY__SEALED_MASTER_LEN 64

/* To be called once before anything else here, by any thread. 0; -ENOTSUP when the library cannot be
 * used on this machine; or what getrandom(2) says where the OS gives no entropy. Without it all of
 * this works as well, only slower. */
int belay__seal_init(void);

/* 16 bytes from the OS. 0, or a negative errno (-ENOSYS, -EPERM, -EIO) with SALT's content
 * undefined. Not for signal handlers. */
int belay__seal_salt(uint8_t salt[static BELAY__SALT_LEN]);

/* What is written is OUT's whole length; a name of the field says whose key it is. */
void belay__derive_agent_key(const uint8_t master[static BELAY__KEY_LEN], uint32_t pid,
	uint8_t out[static BELAY__KEY_LEN]);
void belay__derive_epoch_key(const uint8_t agent[static BELAY__KEY_LEN], uint64_t epoch,
	uint8_t out[static BELAY__KEY_LEN]);
void belay__derive_prefix(const uint8_t salt[static BELAY__SALT_LEN], uint32_t index,
	uint8_t out[static BELAY__PREFIX_LEN]);
void belay__derive_panic_prefix(const uint8_t salt[static BELAY__SALT_LEN], uint32_t pid,
	uint64_t timestamp_ns, uint32_t counter, uint8_t out[static BELAY__PREFIX_LEN]);

/* Seals FRAME under KEY. The caller never uses PREFIX and COUNTER with this key again. */
void belay__seal(const uint8_t key[static BELAY__KEY_LEN],
	const uint8_t prefix[static BELAY__PREFIX_LEN], uint32_t counter,
	const uint8_t frame[static BELAY_FRAME_LEN], uint8_t out[static BELAY__SEALED_LEN]);
/* The same in the master form; KEY is the one derived for PID. */
void belay__seal_for_pid(const uint8_t key[static BELAY__KEY_LEN], uint32_t pid,
	const uint8_t prefix[static BELAY__PREFIX_LEN], uint32_t counter,
	const uint8_t frame[static BELAY_FRAME_LEN], uint8_t out[static BELAY__SEALED_MASTER_LEN]);

/* Opens SEALED, whose tag authenticates AAD_LEN bytes at AAD, too (0: none; the 4 bytes of the pid in
 * the master form, whose SEALED begins behind them). True and the frame's bytes, unchecked, in
 * RET_FRAME; false and RET_FRAME untouched: another key, or not as it was sealed. */
bool belay__unseal(const uint8_t key[static BELAY__KEY_LEN],
	const uint8_t sealed[static BELAY__SEALED_LEN], const uint8_t *aad, unsigned aad_len,
	uint8_t ret_frame[static BELAY_FRAME_LEN]);
