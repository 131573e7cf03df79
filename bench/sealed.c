/* sealed.c - what a sealed beat costs beside the least that one can be
 *
 * Batches of clock_gettime() + AEAD + send(2) over UDP and batches of belay_beat() on a sealed
 * handle take turns, so that whatever else the machine does meets both. Each batch is drained,
 * untimed, before the next. Prints one line of JSON; the ratios are what counts.
 *
 * Usage: bench-sealed [SAMPLES]
 */
#include <netinet/in.h>
#include <sodium.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <belay/sealed.h>

#include "common.h"

enum { BATCH = 10, WARM_UP = 2000, SAMPLES = 20000, SAMPLES_MAX = 10000000, SEALED = 60 };

struct bench {
	int observer, bare;
	struct belay_key key;
	uint64_t sealed; /* frames in the bare loop: half of their nonce */
	struct belay *belay;
};

static void set_up(struct bench *bench)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	const struct sockaddr *address = (const struct sockaddr *)&in;
	socklen_t len = sizeof(in);
	char text[32];

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bench->observer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bench->bare = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (bench->observer < 0 || bench->bare < 0 || bind(bench->observer, address, len) < 0 ||
		getsockname(bench->observer, (struct sockaddr *)&in, &len) < 0 ||
		connect(bench->bare, address, len) < 0)
		die("socket");

	randombytes_buf(bench->key.bytes, sizeof(bench->key.bytes));
	(void)snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(in.sin_port));
	bench->belay = belay_open_sealed(text, &bench->key);
	if (bench->belay == NULL)
		die("belay_open_sealed");
}

static void drain(const struct bench *bench)
{
	char bytes[64];
	int count = 0;

	while (recv(bench->observer, bytes, sizeof(bytes), MSG_DONTWAIT) == SEALED)
		count++;
	if (count != BATCH) {
		(void)fprintf(stderr, "%d of %d arrived\n", count, BATCH);
		exit(1);
	}
}

/* One frame, sealed in the place it is sent from. */
static void send_bare(struct bench *bench)
{
	uint64_t frame[4] = { 0, belay__clock_ns(CLOCK_MONOTONIC) };
	uint8_t bytes[SEALED] = { 0 };

	bench->sealed++;
	memcpy(bytes, &bench->sealed, sizeof(bench->sealed));
	(void)crypto_aead_chacha20poly1305_ietf_encrypt_detached(bytes + 12, bytes + 44, NULL,
		(const unsigned char *)frame, sizeof(frame), NULL, 0, NULL, bytes, bench->key.bytes);
	if (send(bench->bare, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		die("send");
}

static uint64_t bare_batch(struct bench *bench)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);

	for (int i = 0; i < BATCH; i++)
		send_bare(bench);
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static uint64_t beat_batch(struct bench *bench)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);

	for (uint32_t i = 0; i < BATCH; i++)
		if (belay_beat(bench->belay, BELAY_OK, i).sent != BELAY_SENT)
			die("belay_beat");
	return belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
}

static void measure(struct bench *bench, uint64_t *bare, uint64_t *ours, size_t samples)
{
	for (size_t i = 0; i < WARM_UP + samples; i++) {
		/* The warm-up's samples are overwritten. */
		size_t slot = i < WARM_UP ? 0 : i - WARM_UP;

		/* Neither always comes second. */
		if (i % 2 == 0) {
			bare[slot] = bare_batch(bench);
			drain(bench);
		}
		ours[slot] = beat_batch(bench);
		drain(bench);
		if (i % 2 != 0) {
			bare[slot] = bare_batch(bench);
			drain(bench);
		}
	}
}

int main(int argc, char **argv)
{
	size_t samples = argc > 1 ? strtoul(argv[1], NULL, 10) : SAMPLES;
	struct bench bench = { 0 };

	if (samples == 0 || samples > SAMPLES_MAX || sodium_init() < 0) {
		(void)fprintf(stderr, "usage: bench-sealed [SAMPLES up to %d]\n", SAMPLES_MAX);
		return 64;
	}
	uint64_t *bare = calloc(samples, sizeof(*bare)), *ours = calloc(samples, sizeof(*ours));
	if (bare == NULL || ours == NULL)
		die("calloc");

	stay_on_cpu((unsigned)sched_getcpu());
	set_up(&bench);
	measure(&bench, bare, ours, samples);
	belay_close(bench.belay);

	double bare_p50 = (double)percentile_of(bare, samples, 50) / BATCH,
	       ours_p50 = (double)percentile_of(ours, samples, 50) / BATCH,
	       bare_p99 = (double)percentile_of(bare, samples, 99) / BATCH,
	       ours_p99 = (double)percentile_of(ours, samples, 99) / BATCH;
	printf("{\"name\":\"sealed\",\"ours_p50_ns\":%.1f,\"floor_p50_ns\":%.1f,\"ratio_p50\":%.3f,"
	       "\"ours_p99_ns\":%.1f,\"floor_p99_ns\":%.1f,\"ratio_p99\":%.3f,\"samples\":%zu}\n",
		ours_p50, bare_p50, ours_p50 / bare_p50, ours_p99, bare_p99, ours_p99 / bare_p99,
		samples);
	free(bare);
	free(ours);
	return 0;
}
