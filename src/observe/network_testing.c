#include "observe/network_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/slot.h"
#include "wire/bytes.h"

#define START_NS UINT64_C(5000000)

struct net net;

uint64_t net_now(void *data)
{
	assert_ptr_equal(data, &net.now_ns);
	net.clock_reads++;
	return net.now_ns;
}

int net_new_sender(void)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &net.bound.any, belay__address_len(&net.bound)), 0);
	return fd;
}

void net_begin_with(uint32_t senders, bool attested)
{
	union belay__address address;

	net.fds_before = belay__fd_count();
	net.now_ns = START_NS;
	net.clock_reads = 0;
	assert_int_equal(belay__key_hosts_init(&net.hosts), 0);
	assert_int_equal(belay__address_parse("127.0.0.1:0", &address), 0);
	net.receiver = belay__udp_bind(&address, 1 << 20, &net.bound, NULL);
	assert_true(net.receiver >= 0);
	net.sender = net_new_sender();
	assert_int_equal(belay__network_new(senders, NET_GAP_NS, attested, net_now, &net.now_ns,
				 &net.network),
		0);
}

int net_begin(void **state)
{
	(void)state;
	net_begin_with(NET_SENDERS, false);
	return 0;
}

int net_end(void **state)
{
	(void)state;
	assert_null(belay__network_free(net.network));
	(void)close(net.sender);
	(void)close(net.receiver);
	assert_int_equal(belay__fd_count(), net.fds_before);
	return 0;
}

static void secret(unsigned n, uint8_t ret_key[BELAY__KEY_LEN])
{
	memset(ret_key, 0x40, BELAY__KEY_LEN);
	belay__put_le32(ret_key + 4, n);
}

struct belay__msg_key net_shared(unsigned n, const char *host)
{
	struct belay__msg_key key = { .kind = BELAY__KEY_SHARED };

	secret(n, key.key);
	(void)snprintf(key.host, sizeof(key.host), "%s", host);
	return key;
}

struct belay__msg_key net_master(unsigned n)
{
	struct belay__msg_key key = net_shared(n, "");

	key.kind = BELAY__KEY_MASTER;
	return key;
}

void net_set(const struct belay__msg_key *keys, size_t count)
{
	static struct belay__msg_key given[BELAY__KEYS_MAX];

	memcpy(given, keys, count * sizeof(*keys));
	assert_int_equal(
		belay__key_hosts_assign(&net.hosts, given, (uint32_t)count, net.now_ns, NULL), 0);
	assert_int_equal(belay__network_set_keys(net.network, given, (uint32_t)count), 0);
}

const struct belay__network_counts *net_counts(void)
{
	return belay__network_counts(net.network);
}

const char *net_host_of(const struct belay__datagram *beat)
{
	const struct belay__hosts *hosts = belay__network_hosts(net.network);

	assert_in_range(beat->host, 1, hosts->count);
	return hosts->name[beat->host];
}

void net_frame(uint32_t pid, uint64_t nonce, uint8_t ret_frame[BELAY_FRAME_LEN])
{
	struct belay_frame frame = { .pid = pid, .nonce = nonce, .timestamp_ns = nonce };

	belay_frame_encode(&frame, ret_frame);
}

void net_seal(unsigned n, uint32_t pid, uint8_t prefix, uint32_t counter,
	uint8_t ret_sealed[BELAY__SEALED_LEN])
{
	const uint8_t prefix_bytes[BELAY__PREFIX_LEN] = { prefix, 1 };
	uint8_t key[BELAY__KEY_LEN], frame[BELAY_FRAME_LEN];

	secret(n, key);
	net_frame(pid, counter + UINT64_C(1), frame);
	belay__seal(key, prefix_bytes, counter, frame, ret_sealed);
}

void net_seal_derived(unsigned n, uint32_t outer_pid, uint32_t pid, uint8_t prefix,
	uint32_t counter, uint8_t ret_sealed[BELAY__SEALED_MASTER_LEN])
{
	const uint8_t prefix_bytes[BELAY__PREFIX_LEN] = { prefix, 1 };
	uint8_t key[BELAY__KEY_LEN], derived[BELAY__KEY_LEN], frame[BELAY_FRAME_LEN];

	secret(n, key);
	belay__derive_agent_key(key, outer_pid, derived);
	net_frame(pid, counter + UINT64_C(1), frame);
	belay__seal_for_pid(derived, outer_pid, prefix_bytes, counter, frame, ret_sealed);
}

void net_post(const void *bytes, size_t len)
{
	assert_int_equal(send(net.sender, bytes, len, 0), len);
}

void net_post_sealed(unsigned n, uint32_t pid, uint8_t prefix, uint32_t counter)
{
	uint8_t sealed[BELAY__SEALED_LEN];

	net_seal(n, pid, prefix, counter, sealed);
	net_post(sealed, sizeof(sealed));
}

void net_post_derived(unsigned n, uint32_t pid, uint8_t prefix, uint32_t counter)
{
	uint8_t sealed[BELAY__SEALED_MASTER_LEN];

	net_seal_derived(n, pid, pid, prefix, counter, sealed);
	net_post(sealed, sizeof(sealed));
}

int net_receive(void)
{
	return belay__network_receive(net.network, net.receiver, &net.beats, &net.dry);
}

void net_assert_beat(const struct belay__datagram *beat, uint32_t pid, uint64_t nonce)
{
	uint8_t frame[BELAY_FRAME_LEN];

	net_frame(pid, nonce, frame);
	assert_int_equal(beat->arrival, BELAY__ARRIVED_REMOTE);
	assert_int_equal(beat->len, BELAY_FRAME_LEN);
	assert_memory_equal(beat->bytes, frame, sizeof(frame));
	assert_int_equal(beat->pid, 0);
	assert_int_equal(beat->uid, BELAY__NO_UID);
	assert_int_equal(beat->strays, 0);
	assert_int_equal(beat->origin, BELAY__NETWORK_UNVERIFIED);
}
