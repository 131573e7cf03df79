#include "observe/keyring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/hot.h"
#include "wire/bytes.h"
#include "wire/seal.h"

#define PID_LEN 4
#define PID_AT  4 /* in a frame */

enum {
	AGENTS = 1024,       /* derived keys kept; all secrets together stay below 64 KiB, which is
				 what some systems let a user lock */
	WORK_MAX = 4096,     /* attempts in a row */
	DERIVATION_WORK = 4, /* attempts that take as long as one derivation, about */
};

/* The key derived from master number MASTER for PID. */
struct agent {
	uint32_t pid;
	uint32_t master; /* its number + 1; 0: empty */
	uint8_t key[BELAY__KEY_LEN];
};

struct secrets {
	uint8_t keys[BELAY__KEYS_MAX][BELAY__KEY_LEN];
	struct agent agents[AGENTS]; /* each in the only place it can be in */
	uint8_t derived[BELAY__KEY_LEN];
};
static_assert(sizeof(struct secrets) <= 14 * 4096 + 4000, "less than 64 KiB with what guards it");
static_assert(BELAY__KEY_LEN == BELAY__SECRET_LEN, "a secret is a key");

/* Keys to come: where they stand, and whether an old one was found to be it. */
struct plan {
	const struct belay__msg_key *from[BELAY__KEYS_MAX];
	bool is_known[BELAY__KEYS_MAX];
};

struct belay__keyring {
	struct secrets *secrets;
	uint32_t count, shared; /* keys, and how many of them are no masters */
	uint16_t hosts[BELAY__KEYS_MAX];
	struct plan plan;
};

int belay__keyring_new(struct belay__keyring **ret_keyring)
{
	struct belay__keyring *keyring;
	int r = belay__seal_init();

	if (r < 0)
		return r;
	keyring = calloc(1, sizeof(*keyring));
	if (keyring == NULL)
		return -ENOMEM;
	keyring->secrets = sodium_malloc(sizeof(*keyring->secrets));
	if (keyring->secrets == NULL) {
		free(keyring);
		return -ENOMEM;
	}
	memset(keyring->secrets, 0, sizeof(*keyring->secrets));
	*ret_keyring = keyring;
	return 0;
}

struct belay__keyring *belay__keyring_free(struct belay__keyring *keyring)
{
	if (keyring == NULL)
		return NULL;

	sodium_free(keyring->secrets); /* wipes it */
	free(keyring);
	return NULL;
}

/* --- other keys --- */

/* Shared keys first. */
static void arrange(struct plan *plan, const struct belay__msg_key *keys, uint32_t count,
	uint32_t *ret_shared, uint32_t *ret_count)
{
	uint32_t at = 0;

	for (uint32_t i = 0; i < count; i++)
		if (keys[i].kind == BELAY__KEY_SHARED)
			plan->from[at++] = &keys[i];
	*ret_shared = at;
	for (uint32_t i = 0; i < count; i++)
		if (keys[i].kind == BELAY__KEY_MASTER)
			plan->from[at++] = &keys[i];
	*ret_count = at;
}

/* Where old key number I is to be found in PLAN. Whose it is does not count: a replayed frame is one
 * whatever its host is called now. */
static uint32_t find_again(const struct belay__keyring *keyring, uint32_t i, uint32_t shared,
	uint32_t count)
{
	const struct plan *plan = &keyring->plan;
	bool is_shared = i < keyring->shared;

	for (uint32_t j = is_shared ? 0 : shared; j < (is_shared ? shared : count); j++)
		if (!plan->is_known[j] &&
			crypto_verify_32(keyring->secrets->keys[i], plan->from[j]->key) == 0)
			return j;
	return BELAY__NO_KEY;
}

static void match(struct belay__keyring *keyring, uint32_t shared, uint32_t count,
	uint32_t ret_map[static BELAY__KEYS_MAX])
{
	memset(keyring->plan.is_known, 0, sizeof(keyring->plan.is_known));
	for (uint32_t i = 0; i < keyring->count; i++) {
		ret_map[i] = find_again(keyring, i, shared, count);
		if (ret_map[i] != BELAY__NO_KEY)
			keyring->plan.is_known[ret_map[i]] = true;
	}
}

static void carry_out(struct belay__keyring *keyring, uint32_t shared, uint32_t count)
{
	struct secrets *secrets = keyring->secrets;

	sodium_memzero(secrets, sizeof(*secrets));
	for (uint32_t j = 0; j < count; j++) {
		memcpy(secrets->keys[j], keyring->plan.from[j]->key, BELAY__KEY_LEN);
		keyring->hosts[j] = keyring->plan.from[j]->number;
	}
	keyring->shared = shared;
	keyring->count = count;
}

void belay__keyring_set(struct belay__keyring *keyring, const struct belay__msg_key *keys,
	uint32_t count, uint32_t ret_map[static BELAY__KEYS_MAX], uint32_t *ret_map_count)
{
	uint32_t shared, present;

	assert(count <= BELAY__KEYS_MAX);

	arrange(&keyring->plan, keys, count, &shared, &present);
	match(keyring, shared, present, ret_map);
	*ret_map_count = keyring->count;
	carry_out(keyring, shared, present);
}

uint32_t belay__keyring_count(const struct belay__keyring *keyring)
{
	return keyring->count;
}

/* --- opening --- */

static struct agent *place_of(struct secrets *secrets, uint32_t master, uint32_t pid)
{
	return &secrets->agents[(pid + master * 61) % AGENTS];
}

/* Tries the key that MASTER has for the pid before SEALED. It is kept once it has opened something:
 * that it is quicker then tells who was heard, which the pid on the wire tells, too. */
static bool open_derived(struct secrets *secrets, uint32_t master, const uint8_t *sealed,
	uint8_t ret_frame[static BELAY_FRAME_LEN])
{
	uint32_t pid = belay__get_le32(sealed);
	struct agent *agent = place_of(secrets, master, pid);

	if (agent->master == master + 1 && agent->pid == pid)
		return belay__unseal(agent->key, sealed + PID_LEN, sealed, PID_LEN, ret_frame);

	belay__derive_agent_key(secrets->keys[master], pid, secrets->derived);
	if (!belay__unseal(secrets->derived, sealed + PID_LEN, sealed, PID_LEN, ret_frame))
		return false;
	agent->master = master + 1;
	agent->pid = pid;
	memcpy(agent->key, secrets->derived, sizeof(agent->key));
	return true;
}

BELAY__HOT uint32_t belay__keyring_open(struct belay__keyring *keyring, const uint8_t *sealed,
	uint32_t len, uint8_t ret_frame[static BELAY_FRAME_LEN])
{
	bool with_pid = len == BELAY__SEALED_MASTER_LEN;
	uint32_t found = BELAY__NO_KEY, tried = belay__keyring_attempts(keyring, len);
	uint8_t ignored[BELAY_FRAME_LEN] = { 0 };

	assert(with_pid || len == BELAY__SEALED_LEN);
	for (uint32_t i = 0; i < tried; i++) {
		uint8_t *frame = found == BELAY__NO_KEY ? ret_frame : ignored;
		bool opened = i < keyring->shared
			? belay__unseal(keyring->secrets->keys[i],
				  sealed + (with_pid ? PID_LEN : 0), NULL, 0, frame)
			: open_derived(keyring->secrets, i, sealed, frame);

		if (opened && found == BELAY__NO_KEY)
			found = i;
	}
	if (found != BELAY__NO_KEY && found >= keyring->shared &&
		belay__get_le32(ret_frame + PID_AT) != belay__get_le32(sealed))
		return BELAY__NO_KEY;
	return found;
}

uint32_t belay__keyring_attempts(const struct belay__keyring *keyring, uint32_t len)
{
	return len == BELAY__SEALED_MASTER_LEN ? keyring->count : keyring->shared;
}

unsigned belay__keyring_batch(const struct belay__keyring *keyring)
{
	uint32_t masters = keyring->count - keyring->shared;
	uint32_t work = keyring->shared + masters * DERIVATION_WORK;

	return work * BELAY__UDP_BATCH <= WORK_MAX ? BELAY__UDP_BATCH : WORK_MAX / work;
}

uint16_t belay__keyring_host(const struct belay__keyring *keyring, uint32_t key)
{
	assert(key < keyring->count);
	return keyring->hosts[key];
}
