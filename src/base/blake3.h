/* blake3.h - BLAKE3-256, the plain hash (no key, no derivation), incremental
 *
 * Follows the published specification and its test vectors. No allocation; several chunks at once
 * by the compiler's vectors where the input is long enough.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BELAY__BLAKE3_LEN 32

struct belay__blake3 {
	uint32_t chunk_chain[8];
	uint64_t chunk_counter;
	uint8_t block[64];
	uint8_t block_len, blocks_compressed, stack_len;
	uint32_t stack[54][8]; /* chaining values of whole subtrees: one for each bit of the counter */
};

void belay__blake3_start(struct belay__blake3 *hash);
void belay__blake3_add(struct belay__blake3 *hash, const void *bytes, size_t len);
/* Writes the hash of all that was added; HASH may go on. */
void belay__blake3_end(const struct belay__blake3 *hash, uint8_t ret_hash[BELAY__BLAKE3_LEN]);

/* All in one. */
void belay__blake3(const void *bytes, size_t len, uint8_t ret_hash[BELAY__BLAKE3_LEN]);
