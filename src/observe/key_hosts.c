#include "observe/key_hosts.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include <sodium.h>

#include "base/error.h"
#include "wire/seal.h"

int belay__key_hosts_init(struct belay__key_hosts *hosts)
{
	int r = belay__seal_init();

	if (r < 0)
		return r;
	memset(hosts, 0, sizeof(*hosts));
	if (getrandom(hosts->secret, sizeof(hosts->secret), 0) != (ssize_t)sizeof(hosts->secret))
		return -EIO;
	return 0;
}

/* Of all hashes there are this one copies nothing of what it hashes. */
static void take_print(const struct belay__key_hosts *hosts, const struct belay__msg_key *key,
	uint8_t ret_print[static BELAY__KEY_PRINT_LEN])
{
	static_assert(BELAY__KEY_PRINT_LEN == crypto_shorthash_siphashx24_BYTES, "it fills a print");
	static_assert(sizeof(hosts->secret) == crypto_shorthash_siphashx24_KEYBYTES, "as a key");
	(void)crypto_shorthash_siphashx24(ret_print, key->key, sizeof(key->key), hosts->secret);
}

static bool is_nameless(const struct belay__msg_key *key)
{
	return key->host[0] == '\0' && key->kind == BELAY__KEY_SHARED;
}

static uint32_t find_print(const struct belay__key_hosts *hosts,
	const uint8_t print[static BELAY__KEY_PRINT_LEN])
{
	for (uint32_t i = 1; i <= hosts->hosts.count; i++)
		if (hosts->of[i].nameless &&
			memcmp(hosts->of[i].print, print, BELAY__KEY_PRINT_LEN) == 0)
			return i;
	return 0;
}

/* A number that is nobody's, or whose name has rested long enough; the lowest, so that they stay few. */
static uint32_t free_number(const struct belay__key_hosts *hosts, uint64_t now_ns)
{
	for (uint32_t i = 1; i <= BELAY__HOSTS_MAX; i++) {
		const struct belay__key_host *host = &hosts->of[i];

		if (hosts->hosts.name[i][0] == '\0' ||
			(!host->has_keys && now_ns - host->left_ns >= BELAY__HOST_REST_NS))
			return i;
	}
	return 0;
}

/* A name that no key ever had. */
static void name_newcomer(struct belay__key_hosts *hosts, struct belay__msg_key *key)
{
	do
		(void)snprintf(key->host, sizeof(key->host), "key%u", hosts->next_key++);
	while (belay__host_find(&hosts->hosts, key->host) != 0);
}

/* Names of before, and those that the operator gave, find their numbers first. */
static void find_known(struct belay__key_hosts *hosts, struct belay__msg_key *keys, uint32_t count)
{
	uint8_t print[BELAY__KEY_PRINT_LEN];

	for (uint32_t i = 0; i < count; i++) {
		struct belay__msg_key *key = &keys[i];

		if (is_nameless(key)) {
			take_print(hosts, key, print);
			key->number = (uint16_t)find_print(hosts, print);
			if (key->number != 0)
				memcpy(key->host, hosts->hosts.name[key->number], sizeof(key->host));
		} else {
			if (key->host[0] == '\0')
				memcpy(key->host, "master", sizeof("master"));
			key->number = (uint16_t)belay__host_find(&hosts->hosts, key->host);
		}
		hosts->of[key->number].has_keys = true;
	}
}

/* Gives KEY, a newcomer, a number. False: there is none. */
static bool number_one(struct belay__key_hosts *hosts, struct belay__msg_key *key, uint64_t now_ns)
{
	bool nameless = is_nameless(key);
	struct belay__key_host *host;

	/* Another key of the same name may have been first. */
	key->number = (uint16_t)belay__host_find(&hosts->hosts, key->host);
	if (key->number != 0)
		return true;
	key->number = (uint16_t)free_number(hosts, now_ns);
	if (key->number == 0)
		return false;
	host = &hosts->of[key->number];
	*host = (struct belay__key_host){ .has_keys = true, .nameless = nameless };
	if (nameless) {
		take_print(hosts, key, host->print);
		name_newcomer(hosts, key);
	}
	belay__host_set(&hosts->hosts, key->number, key->host);
	return true;
}

/* Names that are given come before those that are made up. */
static bool number_newcomers(struct belay__key_hosts *hosts, struct belay__msg_key *keys,
	uint32_t count, uint64_t now_ns)
{
	for (uint32_t i = 0; i < count; i++)
		if (keys[i].number == 0 && !is_nameless(&keys[i]) &&
			!number_one(hosts, &keys[i], now_ns))
			return false;
	for (uint32_t i = 0; i < count; i++)
		if (keys[i].number == 0 && !number_one(hosts, &keys[i], now_ns))
			return false;
	return true;
}

static int assign(struct belay__key_hosts *hosts, struct belay__msg_key *keys, uint32_t count,
	uint64_t now_ns, struct belay_error *reterr)
{
	bool had_keys[BELAY__HOSTS_MAX + 1];
	uint32_t gone = 0;

	for (uint32_t i = 1; i <= BELAY__HOSTS_MAX; i++) {
		struct belay__key_host *host = &hosts->of[i];

		had_keys[i] = host->has_keys;
		/* Until it is known who stays: nobody gets the number of one who leaves now. */
		if (host->has_keys)
			host->left_ns = now_ns;
		host->has_keys = false;
	}
	find_known(hosts, keys, count);
	for (uint32_t i = 1; i <= BELAY__HOSTS_MAX; i++)
		gone += !hosts->of[i].has_keys && had_keys[i];
	if (!number_newcomers(hosts, keys, count, now_ns))
		return belay__fail(reterr, -E2BIG,
			"%u names of hosts are in use, or had a key in the last hour (%u until "
			"now), and %d are the most; try again later, or restart the observer",
			hosts->hosts.count, gone, BELAY__HOSTS_MAX);
	return 0;
}

int belay__key_hosts_assign(struct belay__key_hosts *hosts, struct belay__msg_key *keys,
	uint32_t count, uint64_t now_ns, struct belay_error *reterr)
{
	static struct belay__key_hosts draft; /* too large for the stack */
	int r;

	draft = *hosts;
	r = assign(&draft, keys, count, now_ns, reterr);
	if (r == 0)
		*hosts = draft;
	return r;
}

uint32_t belay__key_hosts_absent(const struct belay__key_hosts *hosts,
	struct belay__msg_key ret_keys[static BELAY__KEYS_MAX])
{
	uint32_t count = 0;

	ret_keys[count++] = (struct belay__msg_key){ .kind = BELAY__KEY_ABSENT };
	for (uint32_t i = 1; i <= hosts->hosts.count; i++) {
		if (!hosts->of[i].has_keys)
			continue;
		assert(count < BELAY__KEYS_MAX);
		ret_keys[count] = (struct belay__msg_key){ .kind = BELAY__KEY_ABSENT,
			.number = (uint16_t)i };
		memcpy(ret_keys[count++].host, hosts->hosts.name[i], BELAY__HOST_SIZE);
	}
	return count;
}
