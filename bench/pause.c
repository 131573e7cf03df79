/* pause.c - how long an observer does not listen: asks it "is somebody there?" again and again
 *
 * Prints one JSON object: the longest round trip in microseconds, the one that 999 of 1,000 do not
 * exceed, and how many there were.
 *
 * Usage: bench-pause SOCKET MILLISECONDS
 */
#include <unistd.h>

#include "common.h"
#include "wire/hello.h"

enum { TRIPS_MAX = 1 << 20 };

static uint64_t trips_ns[TRIPS_MAX];

static void ask(int fd)
{
	const struct belay__hello ping = { .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_PING };
	struct belay__hello_answer answer;
	char packet[BELAY__HELLO_PACKET_MAX];

	if (write(fd, &ping, sizeof(ping)) != (ssize_t)sizeof(ping))
		die("the door");
	do {
		if (read(fd, packet, sizeof(packet)) < (ssize_t)sizeof(answer))
			die("the door");
		answer = *(const struct belay__hello_answer *)(const void *)packet;
	} while (answer.part != BELAY__HELLO_DONE);
}

int main(int argc, char **argv)
{
	uint64_t ms = argc == 3 ? strtoul(argv[2], NULL, 10) : 0, end_ns;
	char path[128];
	struct sockaddr_un address;
	size_t count = 0;
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (ms == 0) {
		(void)fprintf(stderr, "usage: bench-pause SOCKET MILLISECONDS\n");
		return 64;
	}
	(void)snprintf(path, sizeof(path), "%s%s", argv[1], BELAY__HELLO_SUFFIX);
	address = address_of(path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	end_ns = belay__clock_ns(CLOCK_MONOTONIC) + ms * BELAY__NS_PER_MS;
	while (count < TRIPS_MAX) {
		uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC);

		if (began_ns > end_ns)
			break;
		ask(fd);
		trips_ns[count++] = belay__clock_ns(CLOCK_MONOTONIC) - began_ns;
		sleep_ns(100000);
	}
	if (count == 0)
		return 1;
	qsort(trips_ns, count, sizeof(*trips_ns), ascending_u64);
	printf("{\"max_us\":%.1f,\"p999_us\":%.1f,\"count\":%zu}\n",
		(double)trips_ns[count - 1] / 1000,
		(double)trips_ns[(count - 1) * 999 / 1000] / 1000, count);
	return 0;
}
