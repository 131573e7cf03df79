#include "base/blake3_lanes.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

const uint32_t belay__blake3_iv[8] = { 0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F,
	0x9B05688C, 0x1F83D9AB, 0x5BE0CD19 };

enum { ROUNDS = 7, CHUNK_BLOCKS = BELAY__BLAKE3_CHUNK / BELAY__BLAKE3_BLOCK };

/* Which word of the block each step mixes in; from row to row by the published permutation. */
static const uint8_t schedule[ROUNDS][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8 },
	{ 3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1 },
	{ 10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6 },
	{ 12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4 },
	{ 9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7 },
	{ 11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13 },
};

/* The same text mixes single words and vectors of them. */
#define ROTATE(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
#define ROTATE_16(x) ROTATE(x, 16)
#define ROTATE_8(x)  ROTATE(x, 8)
#define MIX(v, a, b, c, d, x, y, rotate_16, rotate_8)                                              \
	do {                                                                                       \
		(v)[a] += (v)[b] + (x);                                                            \
		(v)[d] = rotate_16((v)[d] ^ (v)[a]);                                               \
		(v)[c] += (v)[d];                                                                  \
		(v)[b] = ROTATE((v)[b] ^ (v)[c], 12);                                              \
		(v)[a] += (v)[b] + (y);                                                            \
		(v)[d] = rotate_8((v)[d] ^ (v)[a]);                                                \
		(v)[c] += (v)[d];                                                                  \
		(v)[b] = ROTATE((v)[b] ^ (v)[c], 7);                                               \
	} while (0)
#define MIX_ROUND(v, m, s, r16, r8)                                                                \
	do {                                                                                       \
		MIX(v, 0, 4, 8, 12, (m)[(s)[0]], (m)[(s)[1]], r16, r8);                            \
		MIX(v, 1, 5, 9, 13, (m)[(s)[2]], (m)[(s)[3]], r16, r8);                            \
		MIX(v, 2, 6, 10, 14, (m)[(s)[4]], (m)[(s)[5]], r16, r8);                           \
		MIX(v, 3, 7, 11, 15, (m)[(s)[6]], (m)[(s)[7]], r16, r8);                           \
		MIX(v, 0, 5, 10, 15, (m)[(s)[8]], (m)[(s)[9]], r16, r8);                           \
		MIX(v, 1, 6, 11, 12, (m)[(s)[10]], (m)[(s)[11]], r16, r8);                         \
		MIX(v, 2, 7, 8, 13, (m)[(s)[12]], (m)[(s)[13]], r16, r8);                          \
		MIX(v, 3, 4, 9, 14, (m)[(s)[14]], (m)[(s)[15]], r16, r8);                          \
	} while (0)

static void load_words(const uint8_t *bytes, uint32_t words[static 16])
{
	memcpy(words, bytes, 16 * sizeof(words[0]));
	for (size_t i = 0; i < 16; i++)
		words[i] = le32toh(words[i]);
}

static void compress_words(uint32_t chain[static 8], const uint32_t words[static 16],
	uint32_t block_len, uint64_t counter, uint32_t flags)
{
	uint32_t v[16] = { chain[0], chain[1], chain[2], chain[3], chain[4], chain[5], chain[6],
		chain[7], belay__blake3_iv[0], belay__blake3_iv[1], belay__blake3_iv[2],
		belay__blake3_iv[3], (uint32_t)counter, (uint32_t)(counter >> 32), block_len,
		flags };

	for (size_t round = 0; round < ROUNDS; round++)
		MIX_ROUND(v, words, schedule[round], ROTATE_16, ROTATE_8);
	for (size_t i = 0; i < 8; i++)
		chain[i] = v[i] ^ v[i + 8];
}

void belay__blake3_compress(uint32_t chain[8], const uint8_t block[BELAY__BLAKE3_BLOCK],
	uint32_t block_len, uint64_t counter, uint32_t flags)
{
	uint32_t words[16];

	load_words(block, words);
	compress_words(chain, words, block_len, counter, flags);
}

static uint32_t chunk_flags(size_t block)
{
	return (block == 0 ? BELAY__BLAKE3_CHUNK_START : 0U) |
		(block == CHUNK_BLOCKS - 1 ? BELAY__BLAKE3_CHUNK_END : 0U);
}

static void one_chunk(const uint8_t *bytes, uint64_t counter, uint32_t ret_chain[static 8])
{
	memcpy(ret_chain, belay__blake3_iv, sizeof(belay__blake3_iv));
	for (size_t i = 0; i < CHUNK_BLOCKS; i++)
		belay__blake3_compress(ret_chain, bytes + i * BELAY__BLAKE3_BLOCK,
			BELAY__BLAKE3_BLOCK, counter, chunk_flags(i));
}

static void one_parent(const uint32_t children[2][8], uint32_t ret_chain[static 8])
{
	uint32_t words[16];

	memcpy(words, children, sizeof(words));
	memcpy(ret_chain, belay__blake3_iv, sizeof(belay__blake3_iv));
	compress_words(ret_chain, words, BELAY__BLAKE3_BLOCK, 0, BELAY__BLAKE3_PARENT);
}

/* What eight inputs have in common. */
struct eight {
	const uint8_t *bytes; /* of the first */
	size_t stride, blocks;
	uint64_t counter; /* of the first; STEP more for each of the others */
	uint32_t step;
	uint32_t flags, first_flag, last_flag;
};

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__

/* Eight inputs side by side: vector W of a block holds word W of each of them. Written once, with
 * vectors of the compiler's; the functions below say for which machine. Nothing here is called,
 * all is inlined, because vectors of this width have no place of their own in the calling
 * convention of machines that do not have them. */
enum { LANES = 8 };
typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));
typedef uint8_t lane_bytes __attribute__((vector_size(4 * LANES)));

#define INLINE static inline __attribute__((always_inline))

#define LOW_32(a, b)   __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define HIGH_32(a, b)  __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
#define LOW_64(a, b)   __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define HIGH_64(a, b)  __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
#define LOW_128(a, b)  __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11)
#define HIGH_128(a, b) __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15)

/* Rotations by whole bytes are one shuffle where the machine has those. */
#define SHUFFLE_BYTES(x, a, b, c, d)                                                               \
	((lanes)__builtin_shufflevector((lane_bytes)(x), (lane_bytes)(x), (a), (b), (c), (d),      \
		4 + (a), 4 + (b), 4 + (c), 4 + (d), 8 + (a), 8 + (b), 8 + (c), 8 + (d), 12 + (a),  \
		12 + (b), 12 + (c), 12 + (d), 16 + (a), 16 + (b), 16 + (c), 16 + (d), 20 + (a),    \
		20 + (b), 20 + (c), 20 + (d), 24 + (a), 24 + (b), 24 + (c), 24 + (d), 28 + (a),    \
		28 + (b), 28 + (c), 28 + (d)))
#define SHUFFLE_16(x) SHUFFLE_BYTES(x, 2, 3, 0, 1)
#define SHUFFLE_8(x)  SHUFFLE_BYTES(x, 1, 2, 3, 0)

INLINE void transpose(lanes r[static LANES])
{
	lanes a0 = LOW_32(r[0], r[1]), a1 = HIGH_32(r[0], r[1]);
	lanes a2 = LOW_32(r[2], r[3]), a3 = HIGH_32(r[2], r[3]);
	lanes a4 = LOW_32(r[4], r[5]), a5 = HIGH_32(r[4], r[5]);
	lanes a6 = LOW_32(r[6], r[7]), a7 = HIGH_32(r[6], r[7]);
	lanes b0 = LOW_64(a0, a2), b1 = HIGH_64(a0, a2), b2 = LOW_64(a1, a3), b3 = HIGH_64(a1, a3);
	lanes b4 = LOW_64(a4, a6), b5 = HIGH_64(a4, a6), b6 = LOW_64(a5, a7), b7 = HIGH_64(a5, a7);

	r[0] = LOW_128(b0, b4);
	r[1] = LOW_128(b1, b5);
	r[2] = LOW_128(b2, b6);
	r[3] = LOW_128(b3, b7);
	r[4] = HIGH_128(b0, b4);
	r[5] = HIGH_128(b1, b5);
	r[6] = HIGH_128(b2, b6);
	r[7] = HIGH_128(b3, b7);
}

/* One block of each input, word by word. */
INLINE void load_block(const struct eight *eight, size_t block, lanes words[static 16])
{
	for (size_t half = 0; half < 2; half++) {
		const uint8_t *at = eight->bytes + block * BELAY__BLAKE3_BLOCK + half * 32;

		for (size_t i = 0; i < LANES; i++)
			memcpy(&words[half * LANES + i], at + i * eight->stride, sizeof(lanes));
		transpose(words + half * LANES);
	}
}

/* With the rounds unrolled each index is a constant, and the state can stay in registers. */
INLINE void hash_eight(const struct eight *eight, bool shuffles, uint32_t ret_chains[][8])
{
	const lanes none = { 0 };
	lanes chain[8], low = none, high = none;

	for (size_t i = 0; i < LANES; i++) {
		uint64_t counter = eight->counter + i * eight->step;

		chain[i] = none + belay__blake3_iv[i];
		low[i] = (uint32_t)counter;
		high[i] = (uint32_t)(counter >> 32);
	}
	for (size_t block = 0; block < eight->blocks; block++) {
		uint32_t flags = eight->flags | (block == 0 ? eight->first_flag : 0) |
			(block == eight->blocks - 1 ? eight->last_flag : 0);
		lanes words[16], v[16];

		load_block(eight, block, words);
		for (size_t i = 0; i < 8; i++)
			v[i] = chain[i];
		for (size_t i = 0; i < 4; i++)
			v[8 + i] = none + belay__blake3_iv[i];
		v[12] = low;
		v[13] = high;
		v[14] = none + (uint32_t)BELAY__BLAKE3_BLOCK;
		v[15] = none + flags;
#pragma GCC unroll 7
		for (size_t round = 0; round < ROUNDS; round++) {
			if (shuffles)
				MIX_ROUND(v, words, schedule[round], SHUFFLE_16, SHUFFLE_8);
			else
				MIX_ROUND(v, words, schedule[round], ROTATE_16, ROTATE_8);
		}
		for (size_t i = 0; i < 8; i++)
			chain[i] = v[i] ^ v[8 + i];
	}
	transpose(chain);
	memcpy(ret_chains, chain, sizeof(chain));
}

static void hash_eight_anywhere(const struct eight *eight, uint32_t ret_chains[][8])
{
	hash_eight(eight, false, ret_chains);
}

/* Tests say BELAY__BLAKE3_PLAIN to see what other machines do. */
#if defined(__x86_64__) && !defined(BELAY__BLAKE3_PLAIN)
#define HAVE_AVX2 1
__attribute__((target("avx2"))) static void hash_eight_avx2(const struct eight *eight,
	uint32_t ret_chains[][8])
{
	hash_eight(eight, true, ret_chains);
}
#endif

/* As many of COUNT inputs as make eights; how many that are. */
static size_t hash_eights(struct eight *eight, size_t count, uint32_t ret_chains[][8])
{
	size_t done = 0;

	for (; count - done >= LANES; done += LANES) {
#ifdef HAVE_AVX2
		if (__builtin_cpu_supports("avx2"))
			hash_eight_avx2(eight, ret_chains + done);
		else
#endif
			hash_eight_anywhere(eight, ret_chains + done);
		eight->bytes += LANES * eight->stride;
		eight->counter += LANES * (uint64_t)eight->step;
	}
	return done;
}

#else /* words of inputs would have to be turned round */

static size_t hash_eights(const struct eight *eight, size_t count, uint32_t ret_chains[][8])
{
	(void)eight;
	(void)count;
	(void)ret_chains;
	return 0;
}

#endif

void belay__blake3_chunks(const uint8_t *bytes, size_t count, uint64_t counter,
	uint32_t ret_chains[][8])
{
	struct eight eight = {
		.bytes = bytes,
		.stride = BELAY__BLAKE3_CHUNK,
		.blocks = CHUNK_BLOCKS,
		.counter = counter,
		.step = 1,
		.first_flag = BELAY__BLAKE3_CHUNK_START,
		.last_flag = BELAY__BLAKE3_CHUNK_END,
	};

	for (size_t i = hash_eights(&eight, count, ret_chains); i < count; i++)
		one_chunk(bytes + i * BELAY__BLAKE3_CHUNK, counter + i, ret_chains[i]);
}

void belay__blake3_parents(const uint32_t children[][8], size_t count, uint32_t ret_chains[][8])
{
	struct eight eight = {
		.bytes = (const uint8_t *)children,
		.stride = BELAY__BLAKE3_BLOCK,
		.blocks = 1,
		.flags = BELAY__BLAKE3_PARENT,
	};

	for (size_t i = hash_eights(&eight, count, ret_chains); i < count; i++)
		one_parent(children + 2 * i, ret_chains[i]);
}
