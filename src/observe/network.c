#include "observe/network.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/hot.h"
#include "observe/keyring.h"
#include "observe/slot.h"
#include "wire/bytes.h"
#include "wire/seal.h"

/* A frame out of its seal. */
struct opened {
	uint8_t bytes[BELAY_FRAME_LEN];
	struct belay_frame frame;
	bool is_frame; /* that could be somebody's: only then there is something to keep in mind */
	uint32_t key;
	uint32_t counter;
	uint64_t prefix;
};

struct belay__network {
	struct belay__udp_receiver *receiver;
	struct belay__replay *replay;
	struct belay__keyring *keyring;
	uint64_t (*now)(void *data);
	void *data;
	bool sealed; /* had keys once: never again is anything read that is not sealed */
	uint8_t origin;
	uint16_t plain_host; /* 0: no plain frame has come yet */
	unsigned batch;
	struct belay__network_counts counts;
	struct opened opened[BELAY__UDP_BATCH];
	struct belay__datagram beats[BELAY__UDP_BATCH];
	uint32_t map[BELAY__KEYS_MAX];
	struct belay__hosts hosts, fresh;
};

int belay__network_new(uint32_t senders, uint64_t restart_gap_ns, bool attested,
	uint64_t (*now)(void *data), void *data, struct belay__network **ret_network)
{
	struct belay__network *network = calloc(1, sizeof(*network));
	uint32_t seed = 0;
	int r;

	if (network == NULL)
		return -ENOMEM;
	network->now = now;
	network->data = data;
	network->origin = attested ? BELAY__OPERATOR_ATTESTED : BELAY__NETWORK_UNVERIFIED;
	network->batch = BELAY__UDP_BATCH;

	/* Without entropy the table works all the same. */
	(void)!getrandom(&seed, sizeof(seed), GRND_NONBLOCK);
	r = belay__keyring_new(&network->keyring);
	if (r == 0)
		r = belay__udp_receiver_new(&network->receiver);
	if (r == 0)
		r = belay__replay_new(senders, restart_gap_ns, seed, &network->replay);
	if (r < 0) {
		(void)belay__network_free(network);
		return r;
	}
	*ret_network = network;
	return 0;
}

struct belay__network *belay__network_free(struct belay__network *network)
{
	if (network == NULL)
		return NULL;

	(void)belay__replay_free(network->replay);
	(void)belay__udp_receiver_free(network->receiver);
	(void)belay__keyring_free(network->keyring);
	free(network);
	return NULL;
}

/* Plain frames are all of one host. */
static void number_plain_host(struct belay__network *network)
{
	network->plain_host = 1;
	belay__host_set(&network->hosts, network->plain_host, "udp");
}

/* The hosts of KEYS. */
static int gather_hosts(const struct belay__msg_key *keys, uint32_t count,
	struct belay__hosts *ret_hosts)
{
	memset(ret_hosts, 0, sizeof(*ret_hosts));
	for (uint32_t i = 0; i < count; i++) {
		const struct belay__msg_key *key = &keys[i];
		const char *known;

		if (key->kind == BELAY__KEY_ABSENT && key->number == 0)
			continue;
		if (key->number == 0 || key->number > BELAY__HOSTS_MAX || key->host[0] == '\0')
			return -EINVAL;
		known = ret_hosts->name[key->number];
		if (known[0] != '\0' && strcmp(known, key->host) != 0)
			return -EINVAL;
		belay__host_set(ret_hosts, key->number, key->host);
	}
	return 0;
}

int belay__network_set_keys(struct belay__network *network, const struct belay__msg_key *keys,
	uint32_t count)
{
	uint32_t map_count;
	int r = count <= BELAY__KEYS_MAX ? gather_hosts(keys, count, &network->fresh) : -E2BIG;

	if (r < 0)
		return r;
	network->sealed = network->sealed || count > 0;
	if (network->sealed)
		network->hosts = network->fresh;
	else
		number_plain_host(network);
	belay__keyring_set(network->keyring, keys, count, network->map, &map_count);
	belay__replay_renumber(network->replay, network->map, map_count,
		belay__keyring_count(network->keyring));
	network->batch = belay__keyring_batch(network->keyring);
	return 0;
}

uint32_t belay__network_keys(const struct belay__network *network)
{
	return belay__keyring_count(network->keyring);
}

static void hand_on(struct belay__network *network, unsigned beat, const uint8_t *bytes,
	uint16_t host)
{
	network->beats[beat] = (struct belay__datagram){
		.bytes = bytes,
		.len = BELAY_FRAME_LEN,
		.uid = BELAY__NO_UID,
		.arrival = BELAY__ARRIVED_REMOTE,
		.origin = network->origin,
		.host = host,
	};
}

static unsigned take_plain(struct belay__network *network,
	const struct belay__udp_datagram *datagrams, unsigned count)
{
	unsigned beats = 0;

	if (network->plain_host == 0)
		number_plain_host(network);
	for (unsigned i = 0; i < count; i++) {
		if (datagrams[i].len == BELAY_FRAME_LEN)
			hand_on(network, beats++, datagrams[i].bytes, network->plain_host);
		else
			network->counts.truncated++;
	}
	return beats;
}

/* Whether DATAGRAM is one of ours; if so it is in OPENED. */
static bool open_one(struct belay__network *network, const struct belay__udp_datagram *datagram,
	struct opened *opened)
{
	const uint8_t *nonce = datagram->bytes;

	if (datagram->len != BELAY__SEALED_LEN && datagram->len != BELAY__SEALED_MASTER_LEN) {
		network->counts.truncated++;
		return false;
	}
	network->counts.aead_attempts += belay__keyring_attempts(network->keyring, datagram->len);
	opened->key = belay__keyring_open(network->keyring, datagram->bytes, datagram->len,
		opened->bytes);
	if (opened->key == BELAY__NO_KEY) {
		network->counts.decrypt_failures++;
		return false;
	}

	nonce += datagram->len - BELAY__SEALED_LEN;
	opened->prefix = belay__get_le64(nonce);
	opened->counter = belay__get_le32(nonce + BELAY__PREFIX_LEN);
	opened->is_frame = belay_frame_decode(opened->bytes, &opened->frame, NULL) &&
		opened->frame.pid < BELAY__PID_LIMIT;
	if (opened->is_frame)
		belay__replay_prefetch(network->replay, opened->key, opened->frame.pid);
	return true;
}

static bool is_fresh(struct belay__network *network, const struct opened *opened, uint64_t now_ns)
{
	if (!opened->is_frame)
		return true;
	switch (belay__replay_check(network->replay, opened->key, opened->prefix, opened->counter,
		&opened->frame, now_ns)) {
	case BELAY__REPLAY_FRESH:
		return true;
	case BELAY__REPLAY_REFUSED:
		network->counts.replays_refused++;
		return false;
	case BELAY__REPLAY_FULL:
		network->counts.sender_state_full++;
		return false;
	}
	return false;
}

/* All are opened before the first is looked up: what is known of its sender is on its way from memory
 * meanwhile. */
static unsigned take_sealed(struct belay__network *network,
	const struct belay__udp_datagram *datagrams, unsigned count)
{
	uint64_t now_ns = network->now(network->data);
	unsigned opened = 0, beats = 0;

	for (unsigned i = 0; i < count; i++)
		opened += open_one(network, &datagrams[i], &network->opened[opened]);
	for (unsigned i = 0; i < opened; i++) {
		const struct opened *one = &network->opened[i];

		if (is_fresh(network, one, now_ns))
			hand_on(network, beats++, one->bytes,
				belay__keyring_host(network->keyring, one->key));
	}
	return beats;
}

BELAY__HOT int belay__network_receive(struct belay__network *network, int fd,
	const struct belay__datagram **ret_datagrams, bool *ret_dry)
{
	const struct belay__udp_datagram *datagrams = NULL;
	int count = belay__udp_receive(network->receiver, fd, network->batch, &datagrams);
	unsigned beats = 0;

	if (count < 0)
		return count;
	if (count > 0)
		beats = network->sealed ? take_sealed(network, datagrams, (unsigned)count)
					: take_plain(network, datagrams, (unsigned)count);
	*ret_dry = (unsigned)count < network->batch;
	*ret_datagrams = network->beats;
	return (int)beats;
}

const struct belay__hosts *belay__network_hosts(const struct belay__network *network)
{
	return &network->hosts;
}

const struct belay__network_counts *belay__network_counts(const struct belay__network *network)
{
	return &network->counts;
}

void belay__network_set_restart_gap(struct belay__network *network, uint64_t restart_gap_ns)
{
	belay__replay_set_restart_gap(network->replay, restart_gap_ns);
}
