/* launch.c - how long a bare vfork and exec takes until the program runs
 *
 * Starts bench-stamp again and again and compares what it notes with the moment before the vfork.
 * Prints one JSON object.
 *
 * Usage: bench-launch BENCH-STAMP FILE ROUNDS
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

static uint64_t launch(char *program, char *file, char *round)
{
	char *const argv[] = { program, file, round, NULL };
	uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	/* The very thing that is to be measured. */
	pid_t pid = vfork();

	if (pid == 0) {
		(void)execv(program, argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) != pid)
		die("vfork");
	return began_ns;
}

int main(int argc, char **argv)
{
	size_t rounds = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
	uint64_t *took_ns = calloc(rounds + 1, sizeof(*took_ns));
	char round[24];
	FILE *file;

	if (rounds == 0 || rounds > 100000 || took_ns == NULL) {
		(void)fprintf(stderr, "usage: bench-launch BENCH-STAMP FILE ROUNDS\n");
		return 64;
	}
	for (size_t i = 0; i < rounds; i++) {
		(void)snprintf(round, sizeof(round), "%zu", i);
		took_ns[i] = launch(argv[1], argv[2], round);
		sleep_ns(2 * BELAY__NS_PER_MS);
	}
	file = fopen(argv[2], "re");
	for (size_t i = 0; file != NULL && i < rounds; i++) {
		unsigned long long at_ns;

		if (fscanf(file, "%*s %llu", &at_ns) != 1)
			die(argv[2]);
		took_ns[i] = at_ns - took_ns[i];
	}
	if (file == NULL)
		die(argv[2]);
	(void)fclose(file);
	printf("{\"p50_us\":%.1f,", (double)percentile_of(took_ns, rounds, 50) / 1000);
	printf("\"p99_us\":%.1f}\n", (double)percentile_of(took_ns, rounds, 99) / 1000);
	free(took_ns);
	return 0;
}
