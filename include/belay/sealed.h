/* belay/sealed.h - beats that cross a network without being read, forged or replayed
 *
 *	struct belay_key key;
 *	struct belay *belay = NULL;
 *
 *	if (belay_key_read("/etc/app/beat.key", &key, &error) == 0)
 *		belay = belay_open_sealed("192.0.2.7:7000", &key);
 *	belay_key_wipe(&key);
 *	... belay_beat(belay, BELAY_OK, done) ...
 *
 * Sealed with ChaCha20-Poly1305 in the forms of VLP 0.2. The salt of a session comes from the OS
 * when it is opened; a beat asks for no entropy, allocates nothing and makes one system call. A
 * forked child notices before it seals anything and begins a session of its own: no two frames
 * ever share a key, a prefix and a counter. In libbelay-sealed, which links libsodium; handles
 * are those of belay/beat.h.
 */
#pragma once

#include <stdint.h>

#include <belay/beat.h>
#include <belay/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BELAY_KEY_LEN 32

struct belay_key {
	uint8_t bytes[BELAY_KEY_LEN];
};

/* Reads a key, 64 hexadecimal digits, from PATH: a regular file of this user, closed to all
 * others, no symbolic link. `belay key new` makes one. 0 or a negative errno with a sentence that
 * holds nothing of the key. The caller wipes it. */
BELAY_API int belay_key_read(const char *path, struct belay_key *ret_key,
	struct belay_error *reterr);
BELAY_API void belay_key_wipe(struct belay_key *key);

/* A new handle that seals its beats under KEY and sends them to ADDRESS as belay_open_udp() does.
 * The key is copied to memory that is locked where RLIMIT_MEMLOCK allows it (in a forked child
 * from its first beat on), left out of core dumps, and wiped by belay_close(); the caller may wipe his at once. belay_reconnect() begins a
 * new session, a socket that was lost is replaced within the old one. NULL with errno set as
 * belay_open_udp() does; also EINVAL: no key; what getrandom(2) says (ENOSYS, EIO): the OS gives
 * no entropy; ENOTSUP: no libsodium for this machine, or one where a child of a raw clone(2) would
 * go unnoticed (madvise(2) refuses MADV_WIPEONFORK) and could use its parent's nonces. */
BELAY_API struct belay *belay_open_sealed(const char *address, const struct belay_key *key);

/* The same in the master form: under a key derived from MASTER for this process's pid, again
 * after a fork. The observer needs only the master key for any number of processes. */
BELAY_API struct belay *belay_open_sealed_master(const char *address,
	const struct belay_key *master);

#ifdef __cplusplus
}
#endif
