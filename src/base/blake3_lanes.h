/* blake3_lanes.h - the compression function of BLAKE3, for one input and for several side by side
 *
 * Words are in the machine's order here; bytes of inputs are little-endian as published.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BELAY__BLAKE3_BLOCK 64
#define BELAY__BLAKE3_CHUNK 1024

enum belay__blake3_flag {
	BELAY__BLAKE3_CHUNK_START = 1 << 0,
	BELAY__BLAKE3_CHUNK_END = 1 << 1,
	BELAY__BLAKE3_PARENT = 1 << 2,
	BELAY__BLAKE3_ROOT = 1 << 3,
};

extern const uint32_t belay__blake3_iv[8];

/* Compresses BLOCK (BLOCK_LEN of its bytes count, the rest is zero) into CHAIN. */
void belay__blake3_compress(uint32_t chain[8], const uint8_t block[BELAY__BLAKE3_BLOCK],
	uint32_t block_len, uint64_t counter, uint32_t flags);

/* Chaining values of COUNT whole chunks that lie one behind the other; the first has number
 * COUNTER. None is the root. */
void belay__blake3_chunks(const uint8_t *bytes, size_t count, uint64_t counter,
	uint32_t ret_chains[][8]);

/* Chaining values of the COUNT parents of 2 * COUNT CHILDREN. None is the root. */
void belay__blake3_parents(const uint32_t children[][8], size_t count, uint32_t ret_chains[][8]);
