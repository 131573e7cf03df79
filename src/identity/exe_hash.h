/* exe_hash.h - what an executable hashes to, read once and remembered
 *
 * One pass over the file makes all the hashes that are asked for. A file that changes under the
 * reading is read again; what is remembered goes by device, inode, size and both times.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include <belay/identity.h>

enum belay__hash_kind {
	BELAY__HASH_BLAKE3 = 1 << 0,
	BELAY__HASH_SHA256 = 1 << 1,
};

struct belay__exe_hash {
	unsigned kinds; /* enum belay__hash_kind: which of these are known */
	uint8_t blake3[BELAY_HASH_LEN], sha256[BELAY_HASH_LEN];
};

/* Whether HASHES (NULL: none) remembers KINDS of the file that STAT is of. No system call. */
bool belay__hashes_find(const struct belay_hashes *hashes, const struct stat *stat, unsigned kinds,
	struct belay__exe_hash *ret_hash);

/* Hashes of the regular file behind FD, from its beginning, whatever FD's position is. What was
 * read is remembered in HASHES (NULL allowed) unless it had changed less than a second before. 0;
 * -EBUSY: it changed each time it was read; -EFBIG: more than BELAY_EXE_MAX bytes; -ETIMEDOUT:
 * DEADLINE_NS (CLOCK_MONOTONIC; UINT64_MAX: none) came first, asked about before each piece is
 * read; -ENOMEM; -EINVAL: no regular file; or what reading said. */
int belay__exe_hash(int fd, unsigned kinds, struct belay_hashes *hashes, uint64_t deadline_ns,
	struct belay__exe_hash *ret_hash);
