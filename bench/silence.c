/* silence.c - processes that fall silent again and again, and say when
 *
 * Each beats a few times and is then silent for a while, ROUNDS times, all independently. For each
 * silence one line is printed: pid, nonce of the last beat, and when that was sent (CLOCK_REALTIME,
 * ns). What the observer told of it is compared with that by whoever reads it.
 *
 * Usage: bench-silence SOCKET PROCESSES ROUNDS SILENCE-MS
 */
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay/beat.h>

#include "common.h"

enum { BEATS = 3, EVERY_NS = 20000000, JITTER_MS = 50 };

struct silence {
	uint64_t nonce, since_ns;
};

__attribute__((noreturn)) static void fall_silent(const char *socket, struct silence *silences,
	size_t rounds, uint64_t silence_ms)
{
	struct belay *belay = belay_open(socket);
	unsigned seed = (unsigned)getpid();
	uint64_t sent = 0;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t round = 0; round < rounds; round++) {
		for (int i = 0; i < BEATS; i++) {
			sleep_ns(EVERY_NS);
			silences[round].since_ns = belay__clock_ns(CLOCK_REALTIME);
			sent += belay_beat(belay, BELAY_OK, (uint32_t)round).sent == BELAY_SENT;
		}
		silences[round].nonce = sent;
		sleep_ns((silence_ms + (uint64_t)rand_r(&seed) % JITTER_MS) * BELAY__NS_PER_MS);
	}
	_exit(0);
}

int main(int argc, char **argv)
{
	size_t processes = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	size_t rounds = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
	uint64_t silence_ms = argc == 5 ? strtoul(argv[4], NULL, 10) : 0;

	if (processes == 0 || processes > 1000 || rounds == 0 || rounds > 10000 || silence_ms == 0) {
		(void)fprintf(stderr, "usage: bench-silence SOCKET PROCESSES ROUNDS SILENCE-MS\n");
		return 64;
	}
	struct silence *silences = mmap(NULL, processes * rounds * sizeof(*silences),
		PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t *pids = calloc(processes, sizeof(*pids));
	if (silences == MAP_FAILED || pids == NULL)
		die("memory");
	for (size_t i = 0; i < processes; i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0)
			fall_silent(argv[1], &silences[i * rounds], rounds, silence_ms);
	}
	while (wait(NULL) > 0)
		continue;
	for (size_t i = 0; i < processes * rounds; i++)
		printf("%d %llu %llu\n", pids[i / rounds], (unsigned long long)silences[i].nonce,
			(unsigned long long)silences[i].since_ns);
	free(pids);
	return 0;
}
