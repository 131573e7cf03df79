#include "ipc/queue.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "ipc/bind.h"

#define LIMIT_PATH  "/proc/sys/net/unix/max_dgram_qlen"
#define FRAMES_MAX  16384
#define SENDERS_MAX 4096

/* What the frames of a measurement look like; eight words that no beat has. */
static const char filler[32] = "belay measures its own queue...";

static int write_limit(const char *text)
{
	_cleanup_close_ int fd = open(LIMIT_PATH, O_WRONLY | O_CLOEXEC);

	return fd < 0 ? -errno : belay__write_all(fd, text, strlen(text));
}

void belay__queue_limit_raise(unsigned length, struct belay__queue_limit *ret_limit)
{
	char wanted[16];

	*ret_limit = (struct belay__queue_limit){ .raised = false };
	if (length == 0)
		return;
	if (belay__read_file(AT_FDCWD, LIMIT_PATH, ret_limit->before, sizeof(ret_limit->before)) <=
		0) {
		ret_limit->refused = true;
		return;
	}
	if (strtoul(ret_limit->before, NULL, 10) >= length)
		return;

	(void)snprintf(wanted, sizeof(wanted), "%u\n", length);
	ret_limit->raised = write_limit(wanted) == 0;
	ret_limit->refused = !ret_limit->raised;
}

void belay__queue_limit_restore(const struct belay__queue_limit *limit)
{
	/* Whoever could raise it can put it back; if not, the host keeps a longer queue, which
	 * hurts nobody. */
	if (limit->raised)
		(void)write_limit(limit->before);
}

struct address {
	struct sockaddr_un name;
	socklen_t len;
};

/* Sends from a new socket until the receiver's queue or the sender's own buffer is full. Returns
 * how many frames went out, or a negative errno. Closing the sender leaves them in the queue. */
static int send_from_new_socket(const struct address *to, int most)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int sent = 0;

	if (fd < 0 || connect(fd, (const struct sockaddr *)&to->name, to->len) < 0)
		return -errno;

	while (sent < most &&
		send(fd, filler, sizeof(filler), MSG_NOSIGNAL) == (ssize_t)sizeof(filler))
		sent++;
	return sent > 0 || errno == EAGAIN || errno == ENOBUFS ? sent : -errno;
}

static int fill(const struct address *to)
{
	int sent = 0;

	for (int senders = 0; senders < SENDERS_MAX && sent < FRAMES_MAX; senders++) {
		int r = send_from_new_socket(to, FRAMES_MAX - sent);

		if (r < 0)
			return sent > 0 ? sent : r;
		/* Even a sender that owes nothing gets no frame in: the queue is full. */
		if (r == 0)
			break;
		sent += r;
	}
	return sent;
}

/* Takes back SENT frames and nothing that came after them. Returns how many others stood between
 * them. */
static int take_back(int fd, int sent)
{
	char bytes[sizeof(filler) + 1];
	int others = 0;

	while (sent > 0) {
		ssize_t len = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			break;
		if (len == (ssize_t)sizeof(filler) && memcmp(bytes, filler, sizeof(filler)) == 0)
			sent--;
		else
			others++;
	}
	return others;
}

static int measure(int fd, const struct address *address)
{
	int sent = fill(address);

	return sent < 0 ? sent : sent + take_back(fd, sent);
}

/* Measures a socket of its own, under a name that the kernel chooses. */
static int measure_another(void)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct address address = { .name.sun_family = AF_UNIX, .len = sizeof(sa_family_t) };

	if (fd < 0 || bind(fd, (const struct sockaddr *)&address.name, address.len) < 0)
		return -errno;
	address.len = sizeof(address.name);
	if (getsockname(fd, (struct sockaddr *)&address.name, &address.len) < 0)
		return -errno;
	return measure(fd, &address);
}

int belay__measure_queue(int fd)
{
	struct address address = { .len = sizeof(address.name) };

	if (getsockname(fd, (struct sockaddr *)&address.name, &address.len) < 0)
		return -errno;
	if (address.name.sun_family != AF_UNIX)
		return -EINVAL;
	return address.len > sizeof(sa_family_t) ? measure(fd, &address) : measure_another();
}
