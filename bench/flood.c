/* flood.c - beats as fast as the observer takes them
 *
 * Usage: bench-flood SOCKET COUNT
 *
 * For each line on standard input sends COUNT beats of this process, each waiting for room in the
 * queue, and prints a line when the last is in it.
 */
#include <fcntl.h>
#include <unistd.h>

#include <belay/vlp.h>

#include "common.h"

static void send_beats(int fd, uint64_t *nonce, unsigned long count)
{
	struct belay_frame frame = { .pid = (uint32_t)getpid() };
	uint8_t bytes[BELAY_FRAME_LEN];

	for (unsigned long i = 0; i < count; i++) {
		frame.nonce = ++*nonce;
		frame.timestamp_ns = *nonce;
		belay_frame_encode(&frame, bytes);
		if (send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL) != (ssize_t)sizeof(bytes))
			die("send");
	}
}

int main(int argc, char **argv)
{
	unsigned long count = argc == 3 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t nonce = 0;
	char line[16];
	int fd;

	if (count == 0) {
		(void)fputs("usage: bench-flood SOCKET COUNT\n", stderr);
		return 64;
	}
	fd = connected_to(argv[1]);
	if (fcntl(fd, F_SETFL, 0) < 0)
		die("fcntl");
	while (fgets(line, sizeof(line), stdin) != NULL) {
		send_beats(fd, &nonce, count);
		if (puts("sent") < 0 || fflush(stdout) != 0)
			die("stdout");
	}
	return 0;
}
