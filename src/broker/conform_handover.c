#include "broker/conform_handover.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/random.h>

#include <belay/endpoint.h>

#include "base/fd.h"
#include "ipc/socket_options.h"
#include "wire/handoff_frame.h"

static void close_theirs(struct belay__handover *handover)
{
	for (unsigned i = 0; i < BELAY__HANDOVER_FDS; i++)
		handover->theirs[i] = belay__close(handover->theirs[i]);
}

/* What the backend passed over it, and nobody read, would be closed with it, in its time. */
static int hang_up(int fd)
{
	belay_endpoint_hang_up(fd);
	return -EBADF;
}

void belay__handover_done(struct belay__handover *handover)
{
	close_theirs(handover);
	for (unsigned i = 0; i < BELAY__HANDOVER_FDS; i++)
		handover->ours[i] = hang_up(handover->ours[i]);
	belay__conform_hang_up(&handover->line);
}

enum belay__conform_verdict belay__handover_make(struct belay__conform *conform,
	struct belay__handover *handover, int type, unsigned count)
{
	static const int on = 1;

	if (conform->handoff == NULL)
		return belay__conform_skip(conform, "no --handoff was given");
	for (unsigned i = 0; i < count; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0)
			return belay__conform_skip(conform, "socketpair: %s", strerror(errno));
		(void)belay__socket_refuse_rights(pair[0]);
		/* Where the kernel cannot: what comes with an urgent byte would be closed within recvmsg(2). */
		(void)setsockopt(pair[0], SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
		handover->ours[i] = pair[0];
		handover->theirs[i] = pair[1];
	}
	handover->count = count;
	if (getrandom(&handover->carried, sizeof(handover->carried), 0) < 0 ||
		getrandom(&handover->correlation_id, sizeof(handover->correlation_id), 0) < 0)
		return belay__conform_skip(conform, "the system gives no random bytes");
	handover->offered = handover->carried;
	return BELAY__CONFORM_PASS;
}

int belay__handover_transfer(struct belay__conform *conform, struct belay__handover *handover,
	size_t len)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * BELAY__HANDOVER_FDS)];
	} control = { .bytes = { 0 } };
	struct iovec token = { .iov_base = handover->carried.secret, .iov_len = len };
	struct msghdr message = { .msg_iov = &token, .msg_iovlen = 1 };

	if (handover->count > 0) {
		struct cmsghdr *header;

		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(sizeof(int) * handover->count);
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(sizeof(int) * handover->count);
		memcpy(CMSG_DATA(header), handover->theirs, sizeof(int) * handover->count);
	}
	if (sendmsg(handover->line.fd, &message, MSG_NOSIGNAL) == (ssize_t)len) {
		close_theirs(handover);
		return 0;
	}
	(void)belay__conform_fail(conform, "it does not take a descriptor: %s", strerror(errno));
	return -EPIPE;
}

static int offer(struct belay__conform *conform, struct belay__handover *handover)
{
	uint8_t frame[BELAY__HANDOFF_OFFER_SIZE];
	ssize_t len = belay__handoff_offer_frame(&handover->offered, conform->service,
		handover->correlation_id, frame);

	if (len < 0) {
		(void)belay__conform_fail(conform, "no service can be called '%.64s'",
			conform->service);
		return (int)len;
	}
	return belay__conform_say(conform, &handover->line, frame, (size_t)len);
}

/* Waits for the ack. */
static enum belay__handover_answer hear_ack(struct belay__conform *conform,
	struct belay__handover *handover)
{
	int r = belay__conform_hear(conform, &handover->line, belay__conform_deadline_ns(conform),
		&handover->reply);
	const struct belay_bytes *payload = &handover->reply.envelope.payload;

	if (r == -ENOTCONN)
		return BELAY__HANDOVER_HUNG_UP;
	if (r < 0)
		return BELAY__HANDOVER_UNANSWERED;
	if (belay__proto_decode(&belay__type_handoff_ack, payload->at, payload->len,
		    &handover->ack) < 0) {
		(void)belay__conform_fail(conform, "its answer holds no HandoffAck");
		return BELAY__HANDOVER_UNANSWERED;
	}
	return handover->ack.accepted ? BELAY__HANDOVER_ACCEPTED : BELAY__HANDOVER_REFUSED;
}

enum belay__handover_answer belay__handover_try(struct belay__conform *conform,
	struct belay__handover *handover)
{
	int r;

	if (belay__conform_dial(conform, conform->handoff, &handover->line) < 0)
		return BELAY__HANDOVER_UNANSWERED;
	if (belay__handover_transfer(conform, handover, sizeof(handover->carried.secret)) < 0)
		return BELAY__HANDOVER_UNANSWERED;
	r = offer(conform, handover);
	if (r == -EPIPE || r == -ECONNRESET)
		return BELAY__HANDOVER_HUNG_UP;
	return r < 0 ? BELAY__HANDOVER_UNANSWERED : hear_ack(conform, handover);
}

bool belay__handover_hung_up_on(int fd, uint64_t deadline_ns)
{
	/* What is said meanwhile is not of interest, and not read. */
	return belay__wait_until(fd, POLLRDHUP, deadline_ns) == 0;
}
