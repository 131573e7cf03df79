/* beat_send.c - what a beat costs beside the bare system call that it stands on
 *
 * Batches of clock_gettime() + send(2) of 32 bytes and batches of belay_beat() take turns, so that
 * whatever else the machine does meets both. Each batch is small enough for the shortest kernel
 * queue (11 datagrams) and drained, untimed, before the next. Prints one line of JSON; the ratios
 * are what counts.
 *
 * Usage: bench-beat-send [SAMPLES]
 */
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <belay/beat.h>

enum { BATCH = 10, WARM_UP = 2000, SAMPLES = 50000, SAMPLES_MAX = 10000000 };

struct bench {
	char directory[48];
	struct sockaddr_un address;
	int observer, bare;
	struct belay *belay;
};

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static int datagram_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

static void set_up(struct bench *bench)
{
	const struct sockaddr *address = (const struct sockaddr *)&bench->address;

	(void)strcpy(bench->directory, "/tmp/belay-bench-XXXXXX");
	if (mkdtemp(bench->directory) == NULL)
		die("mkdtemp");
	bench->address.sun_family = AF_UNIX;
	(void)snprintf(bench->address.sun_path, sizeof(bench->address.sun_path), "%s/s",
		bench->directory);

	bench->observer = datagram_socket();
	if (bind(bench->observer, address, sizeof(bench->address)) < 0)
		die("bind");
	bench->bare = datagram_socket();
	if (connect(bench->bare, address, sizeof(bench->address)) < 0)
		die("connect");
	bench->belay = belay_open(bench->address.sun_path);
	if (bench->belay == NULL)
		die("belay_open");
}

static void clean_up(struct bench *bench)
{
	belay_close(bench->belay);
	(void)close(bench->bare);
	(void)close(bench->observer);
	(void)unlink(bench->address.sun_path);
	(void)rmdir(bench->directory);
}

static void drain(const struct bench *bench)
{
	char bytes[64];
	int count = 0;

	while (recv(bench->observer, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		count++;
	if (count != BATCH) {
		(void)fprintf(stderr, "%d of %d arrived\n", count, BATCH);
		exit(1);
	}
}

/* Nanoseconds for a batch of bare sends. The clock is read for each, as a beat must. */
static uint64_t bare_batch(const struct bench *bench)
{
	uint64_t frame[4] = { 0 };
	uint64_t start_ns = now_ns();

	for (int i = 0; i < BATCH; i++) {
		frame[1] = now_ns();
		if (send(bench->bare, frame, sizeof(frame), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			die("send");
	}
	return now_ns() - start_ns;
}

static uint64_t beat_batch(const struct bench *bench)
{
	uint64_t start_ns = now_ns();

	for (uint32_t i = 0; i < BATCH; i++)
		if (belay_beat(bench->belay, BELAY_OK, i).sent != BELAY_SENT)
			die("belay_beat");
	return now_ns() - start_ns;
}

static int ascending(const void *a, const void *b)
{
	const uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;

	return (left > right) - (left < right);
}

static double percentile(const uint64_t *sorted, size_t count, unsigned percent)
{
	const size_t rank = (count - 1) * percent / 100;

	return (double)sorted[rank] / BATCH;
}

static void measure(const struct bench *bench, uint64_t *bare, uint64_t *ours, size_t samples)
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
	qsort(bare, samples, sizeof(*bare), ascending);
	qsort(ours, samples, sizeof(*ours), ascending);
}

/* One CPU for the whole run, the one it happens to be on. */
static void stay_here(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)sched_getcpu(), &set);
	(void)sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
	size_t samples = argc > 1 ? strtoul(argv[1], NULL, 10) : SAMPLES;
	struct bench bench = { 0 };

	if (samples == 0 || samples > SAMPLES_MAX) {
		(void)fprintf(stderr, "usage: bench-beat-send [SAMPLES up to %d]\n", SAMPLES_MAX);
		return 64;
	}
	uint64_t *bare = calloc(samples, sizeof(*bare)), *ours = calloc(samples, sizeof(*ours));
	if (bare == NULL || ours == NULL)
		die("calloc");

	stay_here();
	set_up(&bench);
	measure(&bench, bare, ours, samples);
	clean_up(&bench);

	double bare_p50 = percentile(bare, samples, 50), bare_p99 = percentile(bare, samples, 99);
	double ours_p50 = percentile(ours, samples, 50), ours_p99 = percentile(ours, samples, 99);
	printf("{\"name\":\"beat\",\"ours_p50_ns\":%.1f,\"floor_p50_ns\":%.1f,\"ratio_p50\":%.3f,"
	       "\"ours_p99_ns\":%.1f,\"floor_p99_ns\":%.1f,\"ratio_p99\":%.3f,\"samples\":%zu}\n",
		ours_p50, bare_p50, ours_p50 / bare_p50, ours_p99, bare_p99, ours_p99 / bare_p99,
		samples);
	free(bare);
	free(ours);
	return 0;
}
