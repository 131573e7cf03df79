/* seal_fuzz.c - any bytes as keys, counters and frames, and any bytes as what came sealed
 *
 * What is sealed opens to the same bytes; with any one bit of it flipped, or of its key, or in the
 * other form, it does not; and what nobody sealed does not open either, nor touches a byte.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "wire/bytes.h"
#include "wire/seal.h"

enum { PID_LEN = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An input, laid out; what it lacks is zero. */
struct input {
	uint8_t key[BELAY__KEY_LEN];
	uint8_t salt[BELAY__SALT_LEN];
	uint8_t pid[PID_LEN], index[4], counter[4], timestamp[8];
	uint8_t frame[BELAY_FRAME_LEN];
	uint8_t flip[2];
};

static void check_refused(const uint8_t *key, const uint8_t *sealed, const uint8_t *aad,
	unsigned aad_len)
{
	uint8_t frame[BELAY_FRAME_LEN], before[BELAY_FRAME_LEN];

	memset(frame, 0xa5, sizeof(frame));
	memcpy(before, frame, sizeof(before));
	bool opened = belay__unseal(key, sealed, aad, aad_len, frame);
	assert(!opened);
	assert(memcmp(frame, before, sizeof(before)) == 0);
}

static void check_opens(const uint8_t *key, const uint8_t *sealed, const uint8_t *aad,
	unsigned aad_len, const uint8_t *wanted)
{
	uint8_t frame[BELAY_FRAME_LEN];

	bool opened = belay__unseal(key, sealed, aad, aad_len, frame);
	assert(opened);
	assert(memcmp(frame, wanted, sizeof(frame)) == 0);
}

static void check_shared(const struct input *input, const uint8_t *prefix, unsigned flip)
{
	uint8_t sealed[BELAY__SEALED_LEN], key[BELAY__KEY_LEN];

	belay__seal(input->key, prefix, belay__get_le32(input->counter), input->frame, sealed);
	check_opens(input->key, sealed, NULL, 0, input->frame);
	check_refused(input->key, sealed, input->pid, PID_LEN);

	memcpy(key, input->key, sizeof(key));
	key[flip / 8 % sizeof(key)] ^= (uint8_t)(1u << flip % 8);
	check_refused(key, sealed, NULL, 0);
	sealed[flip / 8 % sizeof(sealed)] ^= (uint8_t)(1u << flip % 8);
	check_refused(input->key, sealed, NULL, 0);
}

static void check_master(const struct input *input, const uint8_t *prefix, unsigned flip)
{
	uint8_t sealed[BELAY__SEALED_MASTER_LEN], key[BELAY__KEY_LEN];
	uint32_t pid = belay__get_le32(input->pid);

	belay__derive_agent_key(input->key, pid, key);
	belay__seal_for_pid(key, pid, prefix, belay__get_le32(input->counter), input->frame, sealed);
	check_opens(key, sealed + PID_LEN, sealed, PID_LEN, input->frame);
	check_refused(key, sealed + PID_LEN, NULL, 0);
	check_refused(input->key, sealed + PID_LEN, sealed, PID_LEN);

	belay__derive_agent_key(input->key, pid ^ 1, key);
	check_refused(key, sealed + PID_LEN, sealed, PID_LEN);
	belay__derive_agent_key(input->key, pid, key);
	sealed[flip / 8 % sizeof(sealed)] ^= (uint8_t)(1u << flip % 8);
	check_refused(key, sealed + PID_LEN, sealed, PID_LEN);
}

/* Derivations differ in whatever differs in what they are given. */
static void check_derivations(const struct input *input)
{
	uint32_t index = belay__get_le32(input->index), pid = belay__get_le32(input->pid);
	uint64_t timestamp_ns = belay__get_le64(input->timestamp);
	uint8_t prefix[BELAY__PREFIX_LEN], other[BELAY__PREFIX_LEN];
	uint8_t key[BELAY__KEY_LEN], other_key[BELAY__KEY_LEN];

	belay__derive_prefix(input->salt, index, prefix);
	belay__derive_prefix(input->salt, index ^ 1, other);
	assert(memcmp(prefix, other, sizeof(prefix)) != 0);
	belay__derive_panic_prefix(input->salt, pid, timestamp_ns, index, prefix);
	belay__derive_panic_prefix(input->salt, pid, timestamp_ns ^ 1, index, other);
	assert(memcmp(prefix, other, sizeof(prefix)) != 0);
	belay__derive_epoch_key(input->key, timestamp_ns, key);
	belay__derive_epoch_key(input->key, timestamp_ns ^ 1, other_key);
	assert(memcmp(key, other_key, sizeof(key)) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = { 0 };
	uint8_t prefix[BELAY__PREFIX_LEN];
	unsigned flip;

	int r = belay__seal_init();
	assert(r == 0);
	if (size > 0)
		memcpy(&input, data, size < sizeof(input) ? size : sizeof(input));
	flip = input.flip[0] | (unsigned)input.flip[1] << 8;

	belay__derive_prefix(input.salt, belay__get_le32(input.index), prefix);
	check_derivations(&input);
	check_shared(&input, prefix, flip);
	check_master(&input, prefix, flip);
	/* A key that no input can know: nothing opens, whatever came. */
	if (size >= BELAY__SEALED_MASTER_LEN) {
		static const uint8_t secret[BELAY__KEY_LEN] = { 0x8f, 0x11, 0x5e, 0xc2 };

		check_refused(secret, data, NULL, 0);
		check_refused(secret, data + PID_LEN, data, PID_LEN);
	}
	return 0;
}
