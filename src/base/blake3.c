#include "base/blake3.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <string.h>

#include "base/blake3_lanes.h"

enum { SUBTREE_CHUNKS = 64, CHUNK_BLOCKS = BELAY__BLAKE3_CHUNK / BELAY__BLAKE3_BLOCK };

void belay__blake3_start(struct belay__blake3 *hash)
{
	memcpy(hash->chunk_chain, belay__blake3_iv, sizeof(hash->chunk_chain));
	hash->chunk_counter = 0;
	hash->block_len = hash->blocks_compressed = hash->stack_len = 0;
}

/* Puts the chaining value of a whole subtree of CHUNKS chunks (a power of two) on the stack. */
static void push(struct belay__blake3 *hash, const uint32_t chain[static 8], uint64_t chunks)
{
	assert(hash->stack_len < sizeof(hash->stack) / sizeof(hash->stack[0]));
	memcpy(hash->stack[hash->stack_len++], chain, sizeof(hash->stack[0]));
	hash->chunk_counter += chunks;
}

/* Merges what is complete on the stack: one value stays for each bit of the counter. To be done
 * only when more input follows; else what is merged last is the root, which is another's. */
static void merge(struct belay__blake3 *hash)
{
	while (hash->stack_len > __builtin_popcountll(hash->chunk_counter)) {
		uint32_t(*pair)[8] = &hash->stack[hash->stack_len - 2];
		uint32_t parent[1][8];

		belay__blake3_parents((const uint32_t(*)[8])pair, 1, parent);
		memcpy(pair[0], parent[0], sizeof(parent[0]));
		hash->stack_len--;
	}
}

/* How many of the chunks at the beginning of LEN bytes make a whole subtree. A single chunk needs
 * a byte behind it, because it could be the root; 0: not even one. */
static size_t subtree_chunks(uint64_t counter, size_t len)
{
	size_t chunks = SUBTREE_CHUNKS;

	while (chunks > 1 && (chunks * BELAY__BLAKE3_CHUNK > len || counter % chunks != 0))
		chunks /= 2;
	return chunks == 1 && len <= BELAY__BLAKE3_CHUNK ? 0 : chunks;
}

/* Its two halves stay apart on the stack until it is known whether more follows. */
static void push_subtree(struct belay__blake3 *hash, const uint8_t *bytes, size_t chunks)
{
	uint32_t chains[2][SUBTREE_CHUNKS][8];
	unsigned now = 0;
	size_t left = chunks;

	belay__blake3_chunks(bytes, chunks, hash->chunk_counter, chains[0]);
	for (; left > 2; left /= 2) {
		belay__blake3_parents((const uint32_t(*)[8])chains[now], left / 2, chains[1 - now]);
		now = 1 - now;
	}
	for (size_t i = 0; i < left; i++) {
		merge(hash);
		push(hash, chains[now][i], chunks / left);
	}
}

static uint32_t start_flag(const struct belay__blake3 *hash)
{
	return hash->blocks_compressed == 0 ? BELAY__BLAKE3_CHUNK_START : 0;
}

/* The block is full and more input follows: a chunk that ends with it is not the root. */
static void finish_block(struct belay__blake3 *hash)
{
	bool last = hash->blocks_compressed == CHUNK_BLOCKS - 1;

	belay__blake3_compress(hash->chunk_chain, hash->block, BELAY__BLAKE3_BLOCK,
		hash->chunk_counter, start_flag(hash) | (last ? BELAY__BLAKE3_CHUNK_END : 0));
	hash->block_len = 0;
	hash->blocks_compressed++;
	if (last) {
		push(hash, hash->chunk_chain, 1);
		memcpy(hash->chunk_chain, belay__blake3_iv, sizeof(hash->chunk_chain));
		hash->blocks_compressed = 0;
	}
}

static size_t add_to_block(struct belay__blake3 *hash, const uint8_t *bytes, size_t len)
{
	size_t room = BELAY__BLAKE3_BLOCK - (size_t)hash->block_len;
	size_t n = len < room ? len : room;

	memcpy(hash->block + hash->block_len, bytes, n);
	hash->block_len = (uint8_t)(hash->block_len + n);
	return n;
}

void belay__blake3_add(struct belay__blake3 *hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		size_t chunks = 0, n;

		if (hash->block_len == BELAY__BLAKE3_BLOCK)
			finish_block(hash);
		merge(hash);
		if (hash->block_len == 0 && hash->blocks_compressed == 0)
			chunks = subtree_chunks(hash->chunk_counter, len);
		if (chunks > 0) {
			push_subtree(hash, at, chunks);
			n = chunks * BELAY__BLAKE3_CHUNK;
		} else {
			n = add_to_block(hash, at, len);
		}
		at += n;
		len -= n;
	}
}

static void store_words(const uint32_t words[static 8], uint8_t *bytes)
{
	for (size_t i = 0; i < 8; i++) {
		uint32_t word = htole32(words[i]);

		memcpy(bytes + 4 * i, &word, sizeof(word));
	}
}

/* The last chunk, unless the last subtree stands on the stack already, and above it what waits
 * there, youngest first; the topmost is the root. */
void belay__blake3_end(const struct belay__blake3 *hash, uint8_t ret_hash[BELAY__BLAKE3_LEN])
{
	bool chunk = hash->block_len > 0 || hash->chunk_counter == 0;
	uint8_t block[BELAY__BLAKE3_BLOCK] = { 0 };
	uint32_t chain[8];
	size_t left = hash->stack_len;

	if (chunk) {
		memcpy(block, hash->block, hash->block_len);
		memcpy(chain, hash->chunk_chain, sizeof(chain));
		belay__blake3_compress(chain, block, hash->block_len, hash->chunk_counter,
			start_flag(hash) | BELAY__BLAKE3_CHUNK_END |
				(left == 0 ? BELAY__BLAKE3_ROOT : 0));
	} else {
		memcpy(chain, hash->stack[--left], sizeof(chain));
	}
	while (left-- > 0) {
		store_words(hash->stack[left], block);
		store_words(chain, block + BELAY__BLAKE3_LEN);
		memcpy(chain, belay__blake3_iv, sizeof(chain));
		belay__blake3_compress(chain, block, BELAY__BLAKE3_BLOCK, 0,
			BELAY__BLAKE3_PARENT | (left == 0 ? BELAY__BLAKE3_ROOT : 0));
	}
	store_words(chain, ret_hash);
}

void belay__blake3(const void *bytes, size_t len, uint8_t ret_hash[BELAY__BLAKE3_LEN])
{
	struct belay__blake3 hash;

	belay__blake3_start(&hash);
	belay__blake3_add(&hash, bytes, len);
	belay__blake3_end(&hash, ret_hash);
}
