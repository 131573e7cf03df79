/* quiet.c - processes that fall silent for good, one after the other or all at once
 *
 * Each beats every EVERY-MS. When a line comes on standard input, they fall silent, APART-MS after each
 * other, and then live on until standard input ends. Prints "ready" when all have begun.
 *
 * Usage: bench-quiet SOCKET PROCESSES EVERY-MS APART-MS
 */
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay/beat.h>

#include "common.h"

/* When the first falls silent; 0: not yet. */
static _Atomic uint64_t *since_ns;

__attribute__((noreturn)) static void beat_on(const char *socket, uint64_t every_ns,
	uint64_t after_ns)
{
	struct belay *belay = belay_open(socket);
	uint64_t from_ns;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	do {
		(void)belay_beat(belay, BELAY_OK, 0);
		sleep_ns(every_ns);
		from_ns = atomic_load(since_ns);
	} while (from_ns == 0 || belay__clock_ns(CLOCK_MONOTONIC) < from_ns + after_ns);
	for (;;)
		(void)pause();
}

int main(int argc, char **argv)
{
	size_t processes = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t every_ns = argc == 5 ? strtoul(argv[3], NULL, 10) * BELAY__NS_PER_MS : 0;
	uint64_t apart_ns = argc == 5 ? strtoul(argv[4], NULL, 10) * BELAY__NS_PER_MS : 0;
	char line[64];

	if (processes == 0 || processes > 4096 || every_ns == 0) {
		(void)fprintf(stderr, "usage: bench-quiet SOCKET PROCESSES EVERY-MS APART-MS\n");
		return 64;
	}
	since_ns = mmap(NULL, sizeof(*since_ns), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		-1, 0);
	if (since_ns == MAP_FAILED)
		die("memory");
	for (size_t i = 0; i < processes; i++) {
		pid_t pid = fork();

		if (pid < 0)
			die("fork");
		if (pid == 0)
			beat_on(argv[1], every_ns, i * apart_ns);
		sleep_ns(BELAY__NS_PER_MS); /* so that they do not beat as one */
	}
	puts("ready");
	(void)fflush(stdout);
	if (fgets(line, sizeof(line), stdin) != NULL)
		atomic_store(since_ns, belay__clock_ns(CLOCK_MONOTONIC));
	while (fgets(line, sizeof(line), stdin) != NULL)
		continue;
	return 0;
}
