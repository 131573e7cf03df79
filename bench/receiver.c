/* receiver.c - the floor of every observer: wait in epoll_wait, read what is there with
 * credentials, count, wait again
 *
 * With TICK-MS it does not wait for anything but the next tick. It decodes nothing and knows nobody.
 * Ends on SIGTERM, having printed how many datagrams came.
 *
 * Usage: bench-receiver SOCKET [TICK-MS]
 */
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common.h"

enum { BATCH = 64, FRAME = 32 };

static volatile sig_atomic_t told_to_end;

static void on_term(int signal_nr)
{
	(void)signal_nr;
	told_to_end = 1;
}

static int bound_to(const char *path)
{
	struct sockaddr_un address = address_of(path);
	int on = 1, fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ||
		bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		die(path);
	return fd;
}

static uint64_t drain(int fd)
{
	static uint8_t bytes[BATCH][FRAME + 1];
	static union {
		struct cmsghdr align;
		uint8_t bytes[CMSG_SPACE(sizeof(struct ucred))];
	} control[BATCH];
	static struct iovec parts[BATCH];
	static struct mmsghdr messages[BATCH];
	uint64_t total = 0;
	int count;

	do {
		for (unsigned i = 0; i < BATCH; i++) {
			parts[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
			messages[i].msg_hdr = (struct msghdr){ .msg_iov = &parts[i],
				.msg_iovlen = 1,
				.msg_control = &control[i],
				.msg_controllen = sizeof(control[i]) };
		}
		count = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
		total += count > 0 ? (uint64_t)count : 0;
	} while (count == BATCH);
	return total;
}

static bool wait_for_beats(int epoll_fd, uint64_t tick_ns)
{
	struct epoll_event event;

	if (tick_ns == 0)
		return epoll_wait(epoll_fd, &event, 1, -1) > 0;
	sleep_ns(tick_ns);
	return true;
}

int main(int argc, char **argv)
{
	struct epoll_event event = { .events = EPOLLIN };
	uint64_t total = 0, tick_ns = 0;

	if (argc == 3)
		tick_ns = strtoul(argv[2], NULL, 10) * BELAY__NS_PER_MS;
	if (argc < 2 || argc > 3 || (argc == 3 && tick_ns == 0)) {
		(void)fprintf(stderr, "usage: bench-receiver SOCKET [TICK-MS]\n");
		return 64;
	}
	/* Without SA_RESTART: it has to come back from epoll_wait. */
	(void)sigaction(SIGTERM, &(struct sigaction){ .sa_handler = on_term }, NULL);
	int fd = bound_to(argv[1]), epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		die("epoll");
	while (!told_to_end)
		if (wait_for_beats(epoll_fd, tick_ns))
			total += drain(fd);
	printf("{\"received\":%llu}\n", (unsigned long long)(total + drain(fd)));
	return 0;
}
