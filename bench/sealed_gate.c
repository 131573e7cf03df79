/* sealed_gate.c - what a sealed frame costs the observer until it is a beat, beside reading the same
 * datagrams and opening them and nothing else
 *
 * A UDP socket on the loopback is filled with frames of many processes under one key and emptied in
 * turns: by belay__network_receive() (receive, try all keys, decode, look for replays), and by bare
 * recvmmsg(2) of 64 with libsodium's open. What is counted is CPU time of this thread; median of the
 * rounds' ratios.
 *
 * Usage: bench-sealed-gate PROCESSES
 */
#include <string.h>
#include <unistd.h>

#include <sodium.h>

#include "common.h"
#include "observe/network.h"
#include "wire/bytes.h"
#include "wire/seal.h"

enum { FRAMES = 512, ROUNDS = 401, BATCH = 64, FIRST_PID = 1000, BUFFER = 8 << 20 };

static const uint8_t key[BELAY__KEY_LEN] = "thirty-two bytes that are no key";
static uint64_t random_state = UINT64_C(88172645463325252);

static uint32_t draw(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 20) % limit);
}

static uint64_t cpu_ns(void)
{
	return belay__clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static uint64_t now(void *data)
{
	(void)data;
	return belay__clock_ns(CLOCK_MONOTONIC);
}

static void fill(int fd, uint32_t processes)
{
	static uint32_t counter;

	for (unsigned i = 0; i < FRAMES; i++) {
		struct belay_frame frame = { .pid = FIRST_PID + draw(processes),
			.nonce = ++counter };
		uint8_t prefix[BELAY__PREFIX_LEN] = { 0 }, bytes[BELAY_FRAME_LEN];
		uint8_t sealed[BELAY__SEALED_LEN];

		belay__put_le32(prefix, frame.pid);
		belay_frame_encode(&frame, bytes);
		belay__seal(key, prefix, counter, bytes, sealed);
		if (send(fd, sealed, sizeof(sealed), MSG_DONTWAIT) < 0)
			die("send");
	}
}

static double network_ns(struct belay__network *network, int fd)
{
	const struct belay__datagram *beats;
	uint64_t start_ns = cpu_ns();
	int total = 0;

	while (total < FRAMES) {
		bool dry;
		int count = belay__network_receive(network, fd, &beats, &dry);

		if (count <= 0) {
			(void)fprintf(stderr, "bench-sealed-gate: %d of %d frames came through\n",
				total, FRAMES);
			exit(1);
		}
		total += count;
	}
	return (double)(cpu_ns() - start_ns) / FRAMES;
}

static double bare_ns(int fd)
{
	static uint8_t bytes[BATCH][BELAY__UDP_MAX];
	static struct iovec parts[BATCH];
	static struct mmsghdr messages[BATCH];
	uint64_t start_ns = cpu_ns();
	int total = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i], .msg_iovlen = 1 };
	}
	while (total < FRAMES) {
		int count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);

		if (count <= 0)
			die("recvmmsg");
		for (int i = 0; i < count; i++) {
			uint8_t frame[BELAY_FRAME_LEN];

			if (crypto_aead_chacha20poly1305_ietf_decrypt_detached(frame, NULL,
				    bytes[i] + 12, BELAY_FRAME_LEN, bytes[i] + 44, NULL, 0,
				    bytes[i], key) != 0)
				die("a frame that does not open");
		}
		total += count;
	}
	return (double)(cpu_ns() - start_ns) / FRAMES;
}

static int ascending(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *samples)
{
	qsort(samples, ROUNDS, sizeof(*samples), ascending);
	return samples[ROUNDS / 2];
}

static void measure(struct belay__network *network, int receiver, int sender, uint32_t processes)
{
	static double ours[ROUNDS], bare[ROUNDS], ratio[ROUNDS];

	/* Every process is known and warm before the first round that counts. */
	for (int round = -40; round < ROUNDS; round++) {
		int slot = round < 0 ? 0 : round;

		fill(sender, processes);
		bare[slot] = bare_ns(receiver);
		fill(sender, processes);
		ours[slot] = network_ns(network, receiver);
		ratio[slot] = ours[slot] / bare[slot];
	}
	printf("{\"ours_ns\":%.1f,\"floor_ns\":%.1f,\"ratio\":%.3f,\"processes\":%u}\n",
		median(ours), median(bare), median(ratio), processes);
}

int main(int argc, char **argv)
{
	uint32_t processes = argc == 2 ? (uint32_t)strtoul(argv[1], NULL, 10) : 0;
	struct belay__msg_key sent = { .kind = BELAY__KEY_SHARED, .number = 1, .host = "bench" };
	struct belay__network *network;
	union belay__address address, bound;
	struct belay_error error;
	int receiver, sender;

	if (processes == 0 || processes > BELAY__SENDERS_MAX) {
		(void)fprintf(stderr, "usage: bench-sealed-gate PROCESSES\n");
		return 64;
	}
	stay_on_cpu(0);
	memcpy(sent.key, key, sizeof(key));
	if (belay__address_parse("127.0.0.1:0", &address) < 0 ||
		belay__network_new(processes, 0, false, now, NULL, &network) < 0 ||
		belay__network_set_keys(network, &sent, 1) < 0)
		die("belay__network_new");
	receiver = belay__udp_bind(&address, BUFFER, &bound, &error);
	sender = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (receiver < 0 || connect(sender, &bound.any, belay__address_len(&bound)) < 0)
		die("a UDP socket on the loopback");
	measure(network, receiver, sender, processes);
	(void)belay__network_free(network);
	(void)close(sender);
	(void)close(receiver);
	return 0;
}
