/* sender_cost.c - what a beat costs its sender, by how the receiver sleeps
 *
 * Beats a thousand times a second in turns to the observer at OURS, which collects on a tick by
 * then, and to a receiver at FLOOR, which is woken by each. The sender has slept before each beat,
 * as real ones have. Beside both, what cannot be less: a bare send, after the same sleep, to a
 * socket where nobody waits.
 *
 * Usage: bench-sender-cost OURS FLOOR [SAMPLES]
 */
#include <belay/beat.h>

#include "common.h"

enum { WARM_UP = 1500, SAMPLES = 3000, SAMPLES_MAX = 1000000, PAUSE_NS = 1000000 };

static uint64_t beat_ns(struct belay *belay, uint32_t number)
{
	uint64_t start_ns;
	struct belay_outcome outcome;

	sleep_ns(PAUSE_NS);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	outcome = belay_beat(belay, BELAY_OK, number);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
	if (outcome.sent != BELAY_SENT) {
		char text[80];

		(void)belay_outcome_text(&outcome, text, sizeof(text));
		(void)fprintf(stderr, "bench-sender-cost: %s\n", text);
		exit(1);
	}
	return start_ns;
}

static int sockets_nobody_waits_at[2];

static uint64_t unwaited_ns(void)
{
	char frame[32] = { 0 };
	uint64_t start_ns;

	sleep_ns(PAUSE_NS);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	if (send(sockets_nobody_waits_at[0], frame, sizeof(frame), MSG_DONTWAIT) < 0)
		die("send");
	start_ns = belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
	(void)recv(sockets_nobody_waits_at[1], frame, sizeof(frame), MSG_DONTWAIT);
	return start_ns;
}

int main(int argc, char **argv)
{
	size_t count = argc > 3 ? strtoul(argv[3], NULL, 10) : SAMPLES;

	if (argc < 3 || count == 0 || count > SAMPLES_MAX) {
		(void)fprintf(stderr, "usage: bench-sender-cost OURS FLOOR [SAMPLES]\n");
		return 64;
	}
	uint64_t *ours = calloc(count, sizeof(*ours)), *bare = calloc(count, sizeof(*bare));
	uint64_t *unwaited = calloc(count, sizeof(*unwaited));
	struct belay *to_ours = belay_open(argv[1]), *to_floor = belay_open(argv[2]);
	if (ours == NULL || bare == NULL || unwaited == NULL || to_ours == NULL ||
		to_floor == NULL ||
		socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets_nobody_waits_at) < 0)
		die("start");

	for (uint32_t i = 0; i < WARM_UP + count; i++) {
		size_t slot = i < WARM_UP ? 0 : i - WARM_UP;

		ours[slot] = beat_ns(to_ours, i);
		bare[slot] = beat_ns(to_floor, i);
		unwaited[slot] = unwaited_ns();
	}
	uint64_t ours_p50 = percentile_of(ours, count, 50),
		 bare_p50 = percentile_of(bare, count, 50);
	printf("{\"ours_p50_ns\":%llu,\"floor_p50_ns\":%llu,\"ratio_p50\":%.4f,"
	       "\"ours_p99_ns\":%llu,\"floor_p99_ns\":%llu,"
	       "\"unwaited_p50_ns\":%llu}\n",
		(unsigned long long)ours_p50, (unsigned long long)bare_p50,
		(double)ours_p50 / (double)bare_p50,
		(unsigned long long)percentile_of(ours, count, 99),
		(unsigned long long)percentile_of(bare, count, 99),
		(unsigned long long)percentile_of(unwaited, count, 50));
	belay_close(to_ours);
	belay_close(to_floor);
	free(ours);
	free(bare);
	free(unwaited);
	return 0;
}
