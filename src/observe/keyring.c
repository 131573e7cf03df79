#include "observe/keyring.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
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

struct owner {
	uint16_t host;
	bool named; /* by the operator */
};

/* Keys to come: who they are from, which of the old ones they are. */
struct plan {
	const struct belay__msg_key *from[BELAY__KEYS_MAX];
	uint32_t was[BELAY__KEYS_MAX];
	struct owner owners[BELAY__KEYS_MAX];
	bool taken[BELAY__HOSTS_MAX + 1]; /* hosts that have keys */
};

struct belay__keyring {
	struct secrets *secrets;
	uint32_t count, shared; /* keys, and how many of them are no masters */
	struct owner owners[BELAY__KEYS_MAX];
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

/* Shared keys first; returns how many there are. */
static uint32_t arrange(struct plan *plan, const struct belay__msg_key *keys, uint32_t count)
{
	uint32_t at = 0, shared;

	for (uint32_t i = 0; i < count; i++)
		if (keys[i].kind == BELAY__KEY_SHARED)
			plan->from[at++] = &keys[i];
	shared = at;
	for (uint32_t i = 0; i < count; i++)
		if (keys[i].kind == BELAY__KEY_MASTER)
			plan->from[at++] = &keys[i];
	assert(at == count);
	return shared;
}

/* Where old key number I is to be found in PLAN. Whose it is does not count: a replayed frame is one
 * whatever its host is called now. */
static uint32_t find_again(const struct belay__keyring *keyring, uint32_t i, uint32_t shared,
	uint32_t count)
{
	const struct plan *plan = &keyring->plan;
	bool is_shared = i < keyring->shared;

	for (uint32_t j = is_shared ? 0 : shared; j < (is_shared ? shared : count); j++)
		if (plan->was[j] == BELAY__NO_KEY &&
			crypto_verify_32(keyring->secrets->keys[i], plan->from[j]->key) == 0)
			return j;
	return BELAY__NO_KEY;
}

static void match(struct belay__keyring *keyring, uint32_t shared, uint32_t count,
	uint32_t ret_map[static BELAY__KEYS_MAX])
{
	for (uint32_t j = 0; j < count; j++)
		keyring->plan.was[j] = BELAY__NO_KEY;
	for (uint32_t i = 0; i < keyring->count; i++) {
		ret_map[i] = find_again(keyring, i, shared, count);
		if (ret_map[i] != BELAY__NO_KEY)
			keyring->plan.was[ret_map[i]] = i;
	}
}

static bool give(struct plan *plan, uint32_t j, uint32_t host, bool named)
{
	plan->owners[j] = (struct owner){ .host = (uint16_t)host, .named = named };
	plan->taken[host] = true;
	return host != 0;
}

/* Names that are certain: what the operator gave, the masters', and those of before. */
static bool name_certain(struct belay__keyring *keyring, struct belay__hosts *hosts,
	uint32_t shared, uint32_t count)
{
	struct plan *plan = &keyring->plan;
	bool fits = true;

	for (uint32_t j = 0; j < count; j++) {
		const char *name = plan->from[j]->host;
		uint32_t was = plan->was[j];

		plan->owners[j].host = 0;
		if (name[0] != '\0')
			fits = fits && give(plan, j, belay__host_number(hosts, name), true);
		else if (j >= shared)
			fits = fits && give(plan, j, belay__host_number(hosts, "master"), false);
		else if (was != BELAY__NO_KEY && !keyring->owners[was].named)
			fits = fits && give(plan, j, keyring->owners[was].host, false);
	}
	return fits;
}

static bool name_others(struct plan *plan, struct belay__hosts *hosts, uint32_t count)
{
	uint32_t next = 0;

	for (uint32_t j = 0; j < count; j++)
		while (plan->owners[j].host == 0) {
			char name[BELAY__HOST_SIZE];
			uint32_t host;

			(void)snprintf(name, sizeof(name), "key%u", next++);
			host = belay__host_number(hosts, name);
			if (host == 0)
				return false;
			if (!plan->taken[host])
				(void)give(plan, j, host, false);
		}
	return true;
}

static void carry_out(struct belay__keyring *keyring, uint32_t shared, uint32_t count)
{
	struct secrets *secrets = keyring->secrets;

	sodium_memzero(secrets, sizeof(*secrets));
	for (uint32_t j = 0; j < count; j++) {
		memcpy(secrets->keys[j], keyring->plan.from[j]->key, BELAY__KEY_LEN);
		keyring->owners[j] = keyring->plan.owners[j];
	}
	keyring->shared = shared;
	keyring->count = count;
}

int belay__keyring_set(struct belay__keyring *keyring, struct belay__hosts *hosts,
	const struct belay__msg_key *keys, uint32_t count, uint32_t ret_map[static BELAY__KEYS_MAX],
	uint32_t *ret_map_count)
{
	uint32_t hosts_before = hosts->count, shared;

	if (count > BELAY__KEYS_MAX)
		return -E2BIG;

	shared = arrange(&keyring->plan, keys, count);
	match(keyring, shared, count, ret_map);
	memset(keyring->plan.taken, 0, sizeof(keyring->plan.taken));
	if (!name_certain(keyring, hosts, shared, count) ||
		!name_others(&keyring->plan, hosts, count)) {
		hosts->count = hosts_before;
		return -E2BIG;
	}
	*ret_map_count = keyring->count;
	carry_out(keyring, shared, count);
	return 0;
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
	return keyring->owners[key].host;
}
