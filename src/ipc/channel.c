#include "ipc/channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "ipc/control.h"

/* Both ends run on this host and come from one build, so the header is in the host's byte order. */
struct header {
	uint32_t type, size;
};

_Static_assert(sizeof(struct header) == 8, "no padding goes over the channel");

/* One message as it travels. */
struct packet {
	struct header header;
	_Alignas(8) uint8_t record[BELAY__MESSAGE_MAX];
};

int belay__channel_pair(int ret_ends[2])
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;

	ret_ends[0] = ends[0];
	ret_ends[1] = ends[1];
	return 0;
}

static void attach(struct msghdr *message, char *control, socklen_t size, int fd)
{
	struct cmsghdr *header;

	message->msg_control = control;
	message->msg_controllen = size;
	header = CMSG_FIRSTHDR(message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
}

static int sent_or_error(ssize_t sent)
{
	if (sent >= 0)
		return 0;
	return errno == ECONNRESET || errno == ENOTCONN ? -EPIPE : -errno;
}

static int send_with_fd(int channel, const struct header *header, const void *record, int fd)
{
	struct iovec parts[2] = {
		{ .iov_base = (void *)(uintptr_t)header, .iov_len = sizeof(*header) },
		{ .iov_base = (void *)(uintptr_t)record, .iov_len = header->size },
	};
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
	ssize_t sent;

	attach(&message, control, sizeof(control), fd);
	do
		sent = sendmsg(channel, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	return sent_or_error(sent);
}

/* The message lies on the stack, because senders may be several threads. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wframe-larger-than="
/* In one piece, by a call whose arguments say all of it: roles in a cage may not use sendmsg(). */
static int send_alone(int channel, const struct header *header, const void *record)
{
	struct packet packet;
	ssize_t sent;

	packet.header = *header;
	if (header->size > 0)
		memcpy(packet.record, record, header->size);
	do
		sent = send(channel, &packet, sizeof(*header) + header->size,
			MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	/* Keys go this way. */
	explicit_bzero(packet.record, header->size);
	return sent_or_error(sent);
}

int belay__channel_send(int channel, uint32_t type, const void *record, uint32_t size, int fd)
{
	const struct header header = { .type = type, .size = size };

	if (size > BELAY__MESSAGE_MAX)
		return -EMSGSIZE;
	return fd >= 0 ? send_with_fd(channel, &header, record, fd)
		       : send_alone(channel, &header, record);
}
#pragma GCC diagnostic pop

/* Closes what nobody asked for. The peer is one of our own roles, so what it can do to us by a
 * slow close is to be found broken a little later; lingering, the one thing that lasts seconds,
 * is switched off. */
static void close_all(struct belay__control *control)
{
	const struct linger off = { 0 };

	for (unsigned i = 0; i < control->fd_count; i++) {
		(void)setsockopt(control->fds[i], SOL_SOCKET, SO_LINGER, &off, sizeof(off));
		(void)belay__close(control->fds[i]);
	}
	control->fd_count = 0;
	control->pidfd = belay__close(control->pidfd);
}

static const struct belay__message_rule *find_rule(const struct belay__message_rule *rules,
	size_t rule_count, uint32_t type)
{
	for (size_t i = 0; i < rule_count; i++) {
		if (rules[i].type == type)
			return &rules[i];
	}
	return NULL;
}

/* Tells the end from an empty packet, which is received as 0 bytes as well and may carry
 * descriptors. */
static bool has_hung_up(int channel)
{
	struct pollfd end = { .fd = channel, .events = POLLRDHUP };

	return poll(&end, 1, 0) == 1;
}

/* Receives one packet and its control data. Returns its length, 0 at the end, or a negative
 * errno. */
static ssize_t receive_packet(int channel, struct packet *packet, struct belay__control *ret_control)
{
	union belay__control_buffer control;
	struct iovec part = { .iov_base = packet, .iov_len = sizeof(*packet) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control };
	ssize_t len;
	int resets = 0;

	ret_control->fd_count = 0;
	ret_control->pidfd = -EBADF;

	/* A peer that died with unread messages of ours makes the first call fail, before its
	 * own last messages are read: ECONNRESET is said once and then they come. */
	do {
		message.msg_controllen = sizeof(control);
		len = recvmsg(channel, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	} while (len < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
	if (len < 0)
		return errno == ECONNRESET ? 0 : -errno;

	belay__control_read(&message, ret_control);
	if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 && len > 0)
		return len;
	close_all(ret_control);
	return len == 0 && has_hung_up(channel) ? 0 : -EPROTO;
}

/* The rule that a packet of LEN bytes obeys in every respect, or NULL. */
static const struct belay__message_rule *permitted(const struct packet *packet, size_t len,
	const struct belay__control *control, const struct belay__message_rule *rules,
	size_t rule_count)
{
	const struct belay__message_rule *rule;

	if (len < sizeof(packet->header))
		return NULL;
	rule = find_rule(rules, rule_count, packet->header.type);
	if (rule == NULL || packet->header.size != rule->size ||
		len != sizeof(packet->header) + (size_t)rule->size)
		return NULL;
	if (control->pidfd >= 0 || control->fd_count != (rule->fd == BELAY__WITH_FD ? 1u : 0u))
		return NULL;
	return rule;
}

/* The record lies on the stack, because a handler may receive from another channel. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wframe-larger-than="
int belay__channel_receive(int channel, const struct belay__message_rule *rules, size_t rule_count,
	void *data, unsigned max)
{
	struct belay__control control;
	struct packet packet;
	unsigned count;

	for (count = 0; count < max; count++) {
		const struct belay__message_rule *rule;
		ssize_t len = receive_packet(channel, &packet, &control);

		if (len == -EAGAIN)
			break;
		if (len == 0 && count > 0)
			break; /* the next call says so */
		if (len <= 0)
			return len == 0 ? -EPIPE : (int)len;

		rule = permitted(&packet, (size_t)len, &control, rules, rule_count);
		if (rule == NULL) {
			close_all(&control);
			return -EPROTO;
		}
		int r = rule->handle(data, packet.record,
			control.fd_count == 1 ? control.fds[0] : -EBADF);
		if (r < 0)
			return r;
	}
	return (int)count;
}
#pragma GCC diagnostic pop
