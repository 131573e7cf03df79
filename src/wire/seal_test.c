#include "wire/seal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/bytes.h"

enum seal_kind {
	SHARED_KEY_SEAL,
	MASTER_KEY_SEAL,
	KDF_AGENT_KEY,
	KDF_IV_PREFIX,
	KDF_EPOCH_KEY,
	KINDS,
};

struct seal_vector {
	const char *id;
	enum seal_kind kind;
	uint8_t secret[BELAY__KEY_LEN]; /* a key, or a salt in its first bytes */
	uint64_t number;                /* pid, index or epoch */
	uint8_t derived_key[BELAY__KEY_LEN];
	uint8_t prefix[BELAY__PREFIX_LEN];
	uint32_t counter;
	uint8_t frame[BELAY_FRAME_LEN];
	size_t len;
	uint8_t expected[BELAY__SEALED_MASTER_LEN];
};

#include "wire/seal_vectors.inc"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PID_LEN      4

static const uint8_t zeros[BELAY_FRAME_LEN];

static const struct seal_vector *vector_of(enum seal_kind kind)
{
	for (size_t i = 0; i < COUNT(seal_vectors); i++)
		if (seal_vectors[i].kind == kind)
			return &seal_vectors[i];
	fail_msg("no vector of kind %u", (unsigned)kind);
	return NULL;
}

/* Returns how many bytes of OUT count. */
static size_t compute(const struct seal_vector *vector, uint8_t out[BELAY__SEALED_MASTER_LEN])
{
	uint8_t key[BELAY__KEY_LEN];

	switch (vector->kind) {
	case SHARED_KEY_SEAL:
		belay__seal(vector->secret, vector->prefix, vector->counter, vector->frame, out);
		return BELAY__SEALED_LEN;
	case MASTER_KEY_SEAL:
		belay__derive_agent_key(vector->secret, (uint32_t)vector->number, key);
		assert_memory_equal(key, vector->derived_key, sizeof(key));
		belay__seal_for_pid(key, (uint32_t)vector->number, vector->prefix, vector->counter,
			vector->frame, out);
		return BELAY__SEALED_MASTER_LEN;
	case KDF_AGENT_KEY:
		belay__derive_agent_key(vector->secret, (uint32_t)vector->number, out);
		return BELAY__KEY_LEN;
	case KDF_IV_PREFIX:
		belay__derive_prefix(vector->secret, (uint32_t)vector->number, out);
		return BELAY__PREFIX_LEN;
	case KDF_EPOCH_KEY:
		belay__derive_epoch_key(vector->secret, vector->number, out);
		return BELAY__KEY_LEN;
	case KINDS:
		break;
	}
	fail();
	return 0;
}

static void the_published_vectors_hold(void **state)
{
	bool seen[KINDS] = { false };
	(void)state;

	assert_int_equal(COUNT(seal_vectors), 5);
	for (size_t i = 0; i < COUNT(seal_vectors); i++) {
		const struct seal_vector *vector = &seal_vectors[i];
		uint8_t out[BELAY__SEALED_MASTER_LEN + 1];

		print_message("%s\n", vector->id);
		memset(out, 0x5a, sizeof(out));
		assert_int_equal(compute(vector, out), vector->len);
		assert_memory_equal(out, vector->expected, vector->len);
		assert_int_equal(out[vector->len], 0x5a);
		seen[vector->kind] = true;
	}
	for (size_t i = 0; i < COUNT(seen); i++)
		assert_true(seen[i]);
}

static void the_published_frames_open(void **state)
{
	const struct seal_vector *shared = vector_of(SHARED_KEY_SEAL);
	const struct seal_vector *master = vector_of(MASTER_KEY_SEAL);
	uint8_t frame[BELAY_FRAME_LEN] = { 0 };
	(void)state;

	assert_true(belay__unseal(shared->secret, shared->expected, NULL, 0, frame));
	assert_memory_equal(frame, shared->frame, sizeof(frame));
	memset(frame, 0, sizeof(frame));
	assert_true(belay__unseal(master->derived_key, master->expected + PID_LEN, master->expected,
		PID_LEN, frame));
	assert_memory_equal(frame, master->frame, sizeof(frame));
}

/* No vector is published for the prefixes of crash frames. These were computed with the hmac and
 * hashlib modules of Python, which share no code with libsodium:
 *
 *	prk = HMAC-SHA256(32 zero bytes, salt)
 *	prefix = HMAC-SHA256(prk, "varta-panic-iv-v1\0" + pack("<IQI", pid, timestamp, counter) + "\1")[:8]
 *
 * The same lines give 9fee777f36be69ce for the published prefix of index 7. */
static void prefixes_of_crash_frames_are_as_python_computes_them(void **state)
{
	static const struct {
		uint32_t pid;
		uint64_t timestamp_ns;
		uint32_t counter;
		uint8_t prefix[BELAY__PREFIX_LEN];
	} cases[] = {
		{ 2, 0, 0, { 0xba, 0x47, 0x32, 0xf9, 0x21, 0x96, 0x31, 0x38 } },
		{ 4242, 1234567890123456789, 1, { 0x9c, 0xf9, 0x58, 0x14, 0x75, 0x0d, 0xba, 0xee } },
		{ UINT32_MAX, UINT64_MAX - 1, UINT32_MAX - 1,
			{ 0xca, 0xbe, 0x59, 0x42, 0x57, 0xb0, 0x02, 0x8b } },
	};
	const uint8_t *salt = vector_of(KDF_IV_PREFIX)->secret;
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t prefix[BELAY__PREFIX_LEN];

		belay__derive_panic_prefix(salt, cases[i].pid, cases[i].timestamp_ns,
			cases[i].counter, prefix);
		assert_memory_equal(prefix, cases[i].prefix, sizeof(prefix));
	}
}

/* By the same lines, with the label and the index of an ordinary prefix. */
static void prefixes_reach_from_the_first_index_to_the_last(void **state)
{
	static const struct {
		uint32_t index;
		uint8_t prefix[BELAY__PREFIX_LEN];
	} cases[] = {
		{ 0, { 0x5c, 0x06, 0x1b, 0x08, 0xc8, 0xa3, 0x33, 0x58 } },
		{ 1, { 0x53, 0x2a, 0x00, 0xb9, 0x24, 0x13, 0x44, 0xcf } },
		{ UINT32_MAX, { 0xf6, 0xba, 0xe8, 0x09, 0xd8, 0xf9, 0xc5, 0x1b } },
	};
	const uint8_t *salt = vector_of(KDF_IV_PREFIX)->secret;
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		uint8_t prefix[BELAY__PREFIX_LEN];

		belay__derive_prefix(salt, cases[i].index, prefix);
		assert_memory_equal(prefix, cases[i].prefix, sizeof(prefix));
	}
}

static void a_key_may_be_derived_into_its_own_place(void **state)
{
	const struct seal_vector *vector = vector_of(KDF_AGENT_KEY);
	uint8_t key[BELAY__KEY_LEN];
	(void)state;

	memcpy(key, vector->secret, sizeof(key));
	belay__derive_agent_key(key, (uint32_t)vector->number, key);
	assert_memory_equal(key, vector->expected, sizeof(key));
}

static void assert_refused(const uint8_t *key, const uint8_t *sealed, const uint8_t *aad,
	unsigned aad_len)
{
	uint8_t untouched[BELAY_FRAME_LEN];
	uint8_t frame[BELAY_FRAME_LEN];

	memset(untouched, 0xa5, sizeof(untouched));
	memset(frame, 0xa5, sizeof(frame));
	assert_false(belay__unseal(key, sealed, aad, aad_len, frame));
	assert_memory_equal(frame, untouched, sizeof(frame));
}

static void every_flipped_bit_is_noticed(void **state)
{
	const struct seal_vector *vector = vector_of(SHARED_KEY_SEAL);
	uint8_t sealed[BELAY__SEALED_LEN];
	(void)state;

	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		memcpy(sealed, vector->expected, sizeof(sealed));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_refused(vector->secret, sealed, NULL, 0);
	}
}

static void every_flipped_bit_of_the_pid_is_noticed_too(void **state)
{
	const struct seal_vector *vector = vector_of(MASTER_KEY_SEAL);
	uint8_t sealed[BELAY__SEALED_MASTER_LEN];
	(void)state;

	for (size_t bit = 0; bit < 8 * sizeof(sealed); bit++) {
		memcpy(sealed, vector->expected, sizeof(sealed));
		sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_refused(vector->derived_key, sealed + PID_LEN, sealed, PID_LEN);
	}
}

static void another_key_opens_nothing(void **state)
{
	const struct seal_vector *vector = vector_of(SHARED_KEY_SEAL);
	uint8_t key[BELAY__KEY_LEN];
	(void)state;

	for (size_t bit = 0; bit < 8 * sizeof(key); bit++) {
		memcpy(key, vector->secret, sizeof(key));
		key[bit / 8] ^= (uint8_t)(1 << bit % 8);
		assert_refused(key, vector->expected, NULL, 0);
	}
}

static void the_two_forms_are_not_taken_for_each_other(void **state)
{
	const struct seal_vector *shared = vector_of(SHARED_KEY_SEAL);
	const struct seal_vector *master = vector_of(MASTER_KEY_SEAL);
	const uint8_t *pid = master->expected;
	(void)state;

	/* Data that is not authenticated, data too short, data that was not there. */
	assert_refused(master->derived_key, master->expected + PID_LEN, NULL, 0);
	assert_refused(master->derived_key, master->expected + PID_LEN, pid, PID_LEN - 1);
	assert_refused(shared->secret, shared->expected, pid, PID_LEN);
	/* The master key itself seals nothing. */
	assert_refused(master->secret, master->expected + PID_LEN, pid, PID_LEN);
}

static void no_two_salts_are_equal(void **state)
{
	uint8_t salt[BELAY__SALT_LEN], other[BELAY__SALT_LEN];
	(void)state;

	assert_int_equal(belay__seal_salt(salt), 0);
	assert_int_equal(belay__seal_salt(other), 0);
	assert_memory_not_equal(salt, other, sizeof(salt));
}

static void what_was_sealed_opens_to_the_same_bytes(void **state)
{
	enum { STEPS = 2000 };
	unsigned seed = 20261121;
	(void)state;

	for (int step = 0; step < STEPS; step++) {
		uint8_t bytes[BELAY__KEY_LEN + BELAY__PREFIX_LEN + BELAY_FRAME_LEN];
		const uint8_t *key = bytes, *prefix = bytes + BELAY__KEY_LEN;
		const uint8_t *frame = prefix + BELAY__PREFIX_LEN;
		uint32_t counter = (uint32_t)rand_r(&seed), pid = (uint32_t)rand_r(&seed);
		uint8_t sealed[BELAY__SEALED_MASTER_LEN], opened[BELAY_FRAME_LEN];

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)rand_r(&seed);

		belay__seal(key, prefix, counter, frame, sealed);
		assert_int_equal(belay__get_le32(sealed + BELAY__PREFIX_LEN), counter);
		assert_true(belay__unseal(key, sealed, NULL, 0, opened));
		assert_memory_equal(opened, frame, sizeof(opened));

		belay__seal_for_pid(key, pid, prefix, counter, frame, sealed);
		assert_int_equal(belay__get_le32(sealed), pid);
		assert_true(belay__unseal(key, sealed + PID_LEN, sealed, PID_LEN, opened));
		assert_memory_equal(opened, frame, sizeof(opened));
	}
}

static void each_counter_and_each_prefix_gives_other_bytes(void **state)
{
	const struct seal_vector *vector = vector_of(SHARED_KEY_SEAL);
	uint8_t other_prefix[BELAY__PREFIX_LEN], one[BELAY__SEALED_LEN], other[BELAY__SEALED_LEN];
	(void)state;

	memcpy(other_prefix, vector->prefix, sizeof(other_prefix));
	other_prefix[0] ^= 1;
	belay__seal(vector->secret, vector->prefix, 0, zeros, one);
	belay__seal(vector->secret, vector->prefix, UINT32_MAX, zeros, other);
	assert_memory_not_equal(one + 12, other + 12, BELAY_FRAME_LEN);
	belay__seal(vector->secret, other_prefix, 0, zeros, other);
	assert_memory_not_equal(one + 12, other + 12, BELAY_FRAME_LEN);
}

static int init(void **state)
{
	(void)state;

	return belay__seal_init();
}

static void it_may_be_initialised_again(void **state)
{
	(void)state;

	assert_int_equal(belay__seal_init(), 0);
	assert_int_equal(belay__seal_init(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_may_be_initialised_again),
		cmocka_unit_test(the_published_vectors_hold),
		cmocka_unit_test(the_published_frames_open),
		cmocka_unit_test(prefixes_of_crash_frames_are_as_python_computes_them),
		cmocka_unit_test(prefixes_reach_from_the_first_index_to_the_last),
		cmocka_unit_test(a_key_may_be_derived_into_its_own_place),
		cmocka_unit_test(every_flipped_bit_is_noticed),
		cmocka_unit_test(every_flipped_bit_of_the_pid_is_noticed_too),
		cmocka_unit_test(another_key_opens_nothing),
		cmocka_unit_test(the_two_forms_are_not_taken_for_each_other),
		cmocka_unit_test(no_two_salts_are_equal),
		cmocka_unit_test(what_was_sealed_opens_to_the_same_bytes),
		cmocka_unit_test(each_counter_and_each_prefix_gives_other_bytes),
	};

	return cmocka_run_group_tests(tests, init, NULL);
}
