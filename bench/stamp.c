/* stamp.c - a command that notes when it began to run, and about whom
 *
 * Usage: bench-stamp FILE PID
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common.h"

int main(int argc, char **argv)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	char line[64];
	int fd, len;

	if (argc != 3)
		return 64;
	fd = open(argv[1], O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	len = snprintf(line, sizeof(line), "%s %llu\n", argv[2], (unsigned long long)now_ns);
	return fd < 0 || write(fd, line, (size_t)len) != len;
}
