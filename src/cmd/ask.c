#include "cmd/ask.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "ipc/packet.h"

static const char *reason(int code)
{
	switch (code) {
	case -ENOENT:
		return "no such file";
	case -ECONNREFUSED:
		return "nobody listens";
	case -EACCES:
	case -EPERM:
		return "permission denied";
	case -ETIMEDOUT:
		return "no answer in time";
	case -ENAMETOOLONG:
		return "path too long";
	case -EPROTOTYPE:
		return "no door of an observer";
	default:
		return strerror(-code);
	}
}

static int connect_door(const char *socket, uint64_t deadline_ns)
{
	char door[BELAY__SOCKET_PATH_SIZE];
	int r = belay__socket_sibling(socket, BELAY__HELLO_SUFFIX, door);

	return r < 0 ? r : belay__packet_connect(door, deadline_ns);
}

/* The failure that counts when several paths were tried: one that an observer is behind, otherwise
 * the first. */
static int worse(int a, int b)
{
	if (a == -EACCES || a == -EPERM)
		return a;
	if (b == -EACCES || b == -EPERM)
		return b;
	return a == 0 || (a == -ENOENT && b != -ENOENT) ? b : a;
}

int belay__ask_open(struct belay__ask *ask, const char *socket, uint64_t deadline_ns,
	struct belay_error *reterr)
{
	struct belay__socket_candidates candidates = { .count = 0 };
	char buffer[sizeof(reterr->text)];
	struct belay__text tried;
	int code = 0;

	ask->fd = -EBADF;
	belay__text_init(&tried, buffer, sizeof(buffer) - 40);
	if (socket[0] == '\0') {
		belay__socket_candidates(&candidates);
	} else {
		memcpy(candidates.path[0], socket, strnlen(socket, BELAY__SOCKET_PATH_SIZE - 1) + 1);
		candidates.path[0][BELAY__SOCKET_PATH_SIZE - 1] = '\0';
		candidates.count = 1;
	}
	if (candidates.count == 0)
		return belay__fail(reterr, -EINVAL,
			"BELAY_SOCKET is relative or too long; set it to an absolute path of at "
			"most %d bytes",
			BELAY__SOCKET_PATH_MAX);

	for (size_t i = 0; i < candidates.count; i++) {
		int fd = connect_door(candidates.path[i], deadline_ns);

		if (fd >= 0) {
			ask->fd = fd;
			memcpy(ask->socket, candidates.path[i], sizeof(ask->socket));
			return 0;
		}
		code = worse(code, fd);
		belay__text_addf(&tried, "%s%s (%s)", i > 0 ? ", " : "", candidates.path[i],
			reason(fd));
	}
	if (code == -EACCES || code == -EPERM)
		return belay__fail(reterr, code, "no observer may be asked at %s; ask as its user",
			buffer);
	return belay__fail(reterr, code, "no observer answers at %s; start one: belay observe",
		buffer);
}

void belay__ask_close(struct belay__ask *ask)
{
	ask->fd = belay__close(ask->fd);
}

int belay__ask_say(struct belay__ask *ask, const struct belay__hello *hello,
	struct belay_error *reterr)
{
	struct belay__hello packet = *hello;

	packet.magic = BELAY__HELLO_MAGIC;
	packet.version = BELAY__HELLO_VERSION;
	/* A fresh connection has room for a request, so this never waits. */
	if (send(ask->fd, &packet, sizeof(packet), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return belay__fail(reterr, errno == EPIPE ? -ECONNRESET : -errno,
			"cannot ask the observer at %s: %s", ask->socket, strerror(errno));
	return 0;
}

/* Waits until FD can be read. 0, -ETIMEDOUT, or another negative errno. */
static int wait_readable(int fd, uint64_t deadline_ns)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
		struct timespec left = belay__timespec(
			now_ns < deadline_ns ? deadline_ns - now_ns : 0);
		int n = ppoll(&readable, 1, &left, NULL);

		if (n > 0)
			return 0;
		if (n == 0 && now_ns >= deadline_ns)
			return -ETIMEDOUT;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

static int refuse_packet(const struct belay__ask *ask, struct belay_error *reterr)
{
	return belay__fail(reterr, -EPROTO,
		"what answers at %s is no observer, or another release of one; see: belay doctor",
		ask->socket);
}

/* Checks the packet of LEN bytes that was received. */
static int check_packet(struct belay__ask *ask, size_t len, struct belay__answer *ret_answer,
	struct belay_error *reterr)
{
	struct belay__hello_answer head;

	if (len < sizeof(head) || len > BELAY__HELLO_PACKET_MAX)
		return refuse_packet(ask, reterr);
	memcpy(&head, ask->packet, sizeof(head));
	if (head.magic != BELAY__HELLO_MAGIC)
		return refuse_packet(ask, reterr);
	if (head.version != BELAY__HELLO_VERSION)
		return belay__fail(reterr, -EPROTONOSUPPORT,
			"the observer at %s speaks version %u of the door, this command %u; %s",
			ask->socket, (unsigned)head.version, (unsigned)BELAY__HELLO_VERSION,
			head.version < BELAY__HELLO_VERSION ? "restart the observer"
							    : "use its release of belay");
	if (head.text_len != len - sizeof(head) || head.code > 0 ||
		(head.part != BELAY__HELLO_DONE && head.part != BELAY__HELLO_LINES))
		return refuse_packet(ask, reterr);
	if (head.part == BELAY__HELLO_LINES && (head.text_len == 0 || ask->packet[len - 1] != '\n'))
		return refuse_packet(ask, reterr);

	ask->packet[len] = '\0';
	*ret_answer = (struct belay__answer){
		.part = (enum belay__hello_part)head.part,
		.code = head.code,
		.text = ask->packet + sizeof(head),
		.len = head.text_len,
	};
	return 0;
}

int belay__ask_hear(struct belay__ask *ask, uint64_t deadline_ns, struct belay__answer *ret_answer,
	struct belay_error *reterr)
{
	ssize_t len;
	int r;

	do {
		r = wait_readable(ask->fd, deadline_ns);
		if (r == -ETIMEDOUT)
			return belay__fail(reterr,
				r, "the observer at %s took the question but does not answer; see: belay doctor",
				ask->socket);
		if (r < 0)
			return belay__fail(reterr, r, "cannot hear the observer at %s: %s",
				ask->socket, strerror(-r));
		/* MSG_TRUNC makes the length that of the whole packet. */
		len = recv(ask->fd, ask->packet, BELAY__HELLO_PACKET_MAX, MSG_DONTWAIT | MSG_TRUNC);
	} while (len < 0 && (errno == EINTR || errno == EAGAIN));

	if (len == 0 || (len < 0 && errno == ECONNRESET))
		return belay__fail(reterr, -ECONNRESET,
			"the observer at %s hung up before its answer was complete; ask again",
			ask->socket);
	if (len < 0)
		return belay__fail(reterr, -errno, "cannot hear the observer at %s: %s",
			ask->socket, strerror(errno));
	return check_packet(ask, (size_t)len, ret_answer, reterr);
}

static int refuse_answer(const struct belay__ask *ask, const struct belay__answer *answer,
	struct belay_error *reterr)
{
	if (answer->code == 0)
		return 0;
	return belay__fail(reterr, answer->code, "the observer at %s says: %s", ask->socket,
		answer->len > 0 ? answer->text : strerror(-answer->code));
}

int belay__answer_lines(const struct belay__answer *answer,
	int (*each)(void *data, const char *line, size_t len, struct belay_error *reterr),
	void *data, struct belay_error *reterr)
{
	const char *line = answer->text, *end = answer->text + answer->len;

	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		int r = each(data, line, (size_t)(newline - line), reterr);

		if (r < 0)
			return r;
		line = newline + 1;
	}
	return 0;
}

int belay__ask_lines(struct belay__ask *ask, enum belay__hello_type type, const char *name,
	int (*each)(void *data, const char *line, size_t len, struct belay_error *reterr),
	void *data, struct belay_error *reterr)
{
	uint64_t end_ns = belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_ANSWER_NS, bytes = 0;
	struct belay__hello hello = { .type = (uint8_t)type };
	size_t name_len = strlen(name);
	int r;

	if (name_len >= sizeof(hello.name))
		return belay__fail(reterr, -EINVAL, "a name has at most %zu bytes",
			sizeof(hello.name) - 1);
	memcpy(hello.name, name, name_len);
	r = belay__ask_say(ask, &hello, reterr);

	while (r >= 0) {
		uint64_t packet_ns = belay__clock_ns(CLOCK_MONOTONIC) + BELAY__ASK_PACKET_NS;
		struct belay__answer answer = { .code = 0 };

		r = belay__ask_hear(ask, packet_ns < end_ns ? packet_ns : end_ns, &answer, reterr);
		if (r < 0)
			break;
		if (answer.part == BELAY__HELLO_DONE)
			return refuse_answer(ask, &answer, reterr);
		bytes += answer.len;
		/* A server that keeps talking would never run into the deadline of a packet. */
		if (bytes > BELAY__ASK_BYTES_MAX || belay__clock_ns(CLOCK_MONOTONIC) >= end_ns)
			return belay__fail(reterr, -EPROTO,
				"the answer of the observer at %s has no end", ask->socket);
		r = belay__answer_lines(&answer, each, data, reterr);
	}
	return r;
}
