/* fleet.c - many real processes that beat once a second, each at its own moment of it
 *
 * Usage: bench-fleet SOCKET beat|bare COUNT SECONDS
 *
 * Prints one line when all have sent their first beat, and at the end how many beats were sent and
 * how many were not. With `bare`, a beat is a clock read and a send of 32 bytes.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay/beat.h>

#include "common.h"

/* Longer than any of them takes to be forked. */
#define GATHER_NS (2 * BELAY__NS_PER_S)

struct tally {
	uint64_t sent, dropped;
};

struct fleet {
	const char *socket;
	bool bare;
	unsigned count, seconds;
	uint64_t start_ns;
	struct tally *tallies; /* shared, one for each process */
};

static bool send_bare(int fd)
{
	uint64_t frame[4] = { belay__clock_ns(CLOCK_MONOTONIC) };

	return send(fd, frame, sizeof(frame), MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof(frame);
}

__attribute__((noreturn)) static void be_member(const struct fleet *fleet, unsigned number)
{
	struct belay *belay = fleet->bare ? NULL : belay_open(fleet->socket);
	int fd = fleet->bare ? connected_to(fleet->socket) : -1;
	uint64_t next_ns = fleet->start_ns + number * BELAY__NS_PER_S / fleet->count;
	struct tally tally = { 0 };

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned i = 0; i < fleet->seconds; i++, next_ns += BELAY__NS_PER_S) {
		bool sent;

		sleep_until_ns(next_ns);
		sent = fleet->bare ? send_bare(fd)
				   : belay_beat(belay, BELAY_OK, i).sent == BELAY_SENT;
		tally.sent += sent;
		tally.dropped += !sent;
	}
	fleet->tallies[number] = tally;
	/* Nobody is told of the end before the last beats were counted. */
	sleep_until_ns(fleet->start_ns + (fleet->seconds + 1) * BELAY__NS_PER_S);
	(void)pause();
	_exit(0);
}

static void print_tally(const struct fleet *fleet)
{
	struct tally all = { 0 };

	for (unsigned i = 0; i < fleet->count; i++) {
		all.sent += fleet->tallies[i].sent;
		all.dropped += fleet->tallies[i].dropped;
	}
	printf("{\"sent\":%llu,\"dropped\":%llu}\n", (unsigned long long)all.sent,
		(unsigned long long)all.dropped);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	struct fleet fleet = { 0 };

	if (argc == 5) {
		fleet.socket = argv[1];
		fleet.bare = strcmp(argv[2], "bare") == 0;
		fleet.count = (unsigned)strtoul(argv[3], NULL, 10);
		fleet.seconds = (unsigned)strtoul(argv[4], NULL, 10);
	}
	if (fleet.count == 0 || fleet.count > 10000 || fleet.seconds == 0) {
		(void)fprintf(stderr, "usage: bench-fleet SOCKET beat|bare COUNT SECONDS\n");
		return 64;
	}
	fleet.tallies = mmap(NULL, fleet.count * sizeof(struct tally), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fleet.tallies == MAP_FAILED)
		die("mmap");
	pid_t *members = calloc(fleet.count, sizeof(*members));
	if (members == NULL)
		die("calloc");
	fleet.start_ns = belay__clock_ns(CLOCK_MONOTONIC) + GATHER_NS;
	for (unsigned i = 0; i < fleet.count; i++) {
		members[i] = fork();
		if (members[i] < 0)
			die("fork");
		if (members[i] == 0)
			be_member(&fleet, i);
	}
	sleep_until_ns(fleet.start_ns + BELAY__NS_PER_S);
	printf("{\"beating\":%u}\n", fleet.count);
	(void)fflush(stdout);
	sleep_until_ns(fleet.start_ns + fleet.seconds * BELAY__NS_PER_S + BELAY__NS_PER_S / 10);
	print_tally(&fleet);
	/* They stay until whoever measures has looked. */
	(void)getchar();
	for (unsigned i = 0; i < fleet.count; i++)
		(void)kill(members[i], SIGKILL);
	while (wait(NULL) > 0 || errno == EINTR)
		continue;
	free(members);
	return 0;
}
