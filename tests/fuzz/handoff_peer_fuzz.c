/* handoff_peer_fuzz.c - a hand-over connection whose sender does what it likes
 *
 * Input: a byte of options, then steps: two bytes {what, which descriptors}, and for some a length, and bytes.
 * Pieces of right hand-overs and any other bytes come with descriptors of all kinds, as urgent bytes, too.
 * After each step the peer is asked until it has nothing to say. What it adopts is a connected stream,
 * close-on-exec and non-blocking; it never says more often yes than descriptors came; in the end as many
 * descriptors are open as before, and all that took no time to speak of.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <belay/handoff.h>

#include "backend/handoff_receiver.h"
#include "base/clock.h"
#include "base/fd.h"
#include "wire/handoff_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEPS_MAX = 64 };

enum step { PIECE, REST, RAW, URGENT, HANG_UP, CONNECT, AGAIN, WAIT };

/* The input, read from its front; zeroes behind its end. */
static const uint8_t *input;
static size_t input_len;

static struct belay_handoff_receiver *receiver;
static struct belay_handoff_peer *peer;
static int sender, attached[8];
static unsigned descriptors_sent, adopted;

/* The hand-over that is being sent. */
static uint8_t handoff[BELAY_HANDOFF_TOKEN_LEN + BELAY__HANDOFF_OFFER_SIZE];
static size_t handoff_len, handoff_at;
static uint8_t handoff_number;

static uint8_t take(void)
{
	if (input_len == 0)
		return 0;
	input_len--;
	return *input++;
}

static void begin_handoff(void)
{
	struct belay_handoff_token token;
	ssize_t len;

	memset(&token, ++handoff_number, sizeof(token));
	memcpy(handoff, token.secret, sizeof(token.secret));
	len = belay__handoff_offer_frame(&token, "service", handoff_number,
		handoff + sizeof(token.secret));
	assert(len > 0);
	handoff_len = sizeof(token.secret) + (size_t)len;
	handoff_at = 0;
}

static void open_attached(void)
{
	int ends[2];
	int r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);

	assert(r == 0);
	attached[0] = ends[0];
	attached[1] = ends[1];
	attached[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
	r = socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends);
	assert(r == 0);
	attached[3] = ends[0];
	attached[4] = ends[1];
	attached[5] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	r = socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
	assert(r == 0);
	attached[6] = ends[0];
	attached[7] = ends[1];
}

static void connect_peer(void)
{
	int ends[2];
	int r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);

	assert(r == 0);
	peer = belay_handoff_peer_free(peer);
	sender = belay__close(sender);
	sender = ends[0];
	r = belay_handoff_peer_new(receiver, ends[1], &peer, NULL);
	assert(r == 0);
	begin_handoff();
}

/* WHICH: from which descriptor on, and, in the bits above, how many. */
static void send_bytes(const void *bytes, size_t len, uint8_t which, int flags)
{
	static const unsigned counts[] = { 0, 1, 1, 1, 1, 1, 2, BELAY__FDS_MAX };
	union belay__control_buffer control = { .bytes = { 0 } };
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
	unsigned count = counts[(which >> 3) & 7];

	if (sender < 0 || len == 0)
		return;
	if (count > 0) {
		struct cmsghdr *header;

		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(header) + i * sizeof(int), &attached[(which + i) & 7],
				sizeof(int));
	}
	if (sendmsg(sender, &message, flags | MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		descriptors_sent += count;
}

static void send_piece(size_t len, uint8_t which)
{
	if (len > handoff_len - handoff_at)
		len = handoff_len - handoff_at;
	send_bytes(handoff + handoff_at, len, which, 0);
	handoff_at += len;
	if (handoff_at == handoff_len)
		begin_handoff();
}

static void send_raw(uint8_t which)
{
	size_t len = take();

	if (len > input_len)
		len = input_len;
	send_bytes(input, len, which, 0);
	input += len;
	input_len -= len;
}

static void check_adopted(const struct belay_adoption *adoption)
{
	int type = 0, on_exec = fcntl(adoption->fd, F_GETFD), flags = fcntl(adoption->fd, F_GETFL);
	struct sockaddr_storage name;
	socklen_t len = sizeof(type), name_len = sizeof(name);
	int r = getsockopt(adoption->fd, SOL_SOCKET, SO_TYPE, &type, &len);

	assert(r == 0 && type == SOCK_STREAM);
	assert(on_exec == FD_CLOEXEC && (flags & O_NONBLOCK) != 0);
	r = getpeername(adoption->fd, (struct sockaddr *)&name, &name_len);
	assert(r == 0);
	assert(adoption->client_pid == getpid() && adoption->client_uid == geteuid());
	assert(memchr(adoption->service, '\0', sizeof(adoption->service)) != NULL);
	(void)close(adoption->fd);
	adopted++;
	assert(adopted <= descriptors_sent);
}

static void ask(void)
{
	for (unsigned i = 0; peer != NULL; i++) {
		struct belay_adoption adoption;
		struct belay_error error = { .text = "" };
		int r = belay_handoff_peer_next(peer, &adoption, &error);

		if (r == 0)
			return;
		if (r == 1) {
			check_adopted(&adoption);
			continue;
		}
		assert(r < 0 && (r == -ENOTCONN || error.code == r));
		if (r != -EACCES) {
			peer = belay_handoff_peer_free(peer);
			sender = belay__close(sender);
		}
		assert(i <= 2 * STEPS_MAX);
	}
}

static void step(void)
{
	uint8_t byte = take(), which = take();

	switch ((enum step)(byte & 7)) {
	case PIECE:
		send_piece(take(), which);
		break;
	case REST:
		send_piece(sizeof(handoff), which);
		break;
	case RAW:
		send_raw(which);
		break;
	case URGENT:
		send_bytes("!", 1, which, MSG_OOB);
		break;
	case HANG_UP:
		sender = belay__close(sender);
		break;
	case CONNECT:
		connect_peer();
		break;
	case AGAIN:
		handoff_number--;
		begin_handoff();
		break;
	case WAIT:
		ask();
		break;
	}
	/* Else more comes in one piece. */
	if (byte & 8)
		ask();
}

static void settle(void)
{
	uint64_t taken, closed, leaked;

	do {
		(void)sched_yield();
		belay__closer_counts(receiver->closer, &taken, &closed, &leaked);
	} while (closed + leaked < taken);
	assert(leaked == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct belay_handoff_receiver_options options = { .replay_count = 2 };
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC), took_ns;
	int fds_before = belay__fd_count(), r;
	uint8_t byte;

	input = data;
	input_len = size;
	byte = take();
	options.keep = byte & 1;
	options.allow_inet = byte & 2;
	options.service = byte & 4 ? "service" : NULL;
	sender = -EBADF;
	handoff_number = 0;
	descriptors_sent = adopted = 0;
	r = belay_handoff_receiver_new(&options, &receiver, NULL);
	assert(r == 0);
	open_attached();
	connect_peer();

	for (unsigned i = 0; i < STEPS_MAX && input_len > 0; i++)
		step();
	ask();

	peer = belay_handoff_peer_free(peer);
	sender = belay__close(sender);
	for (size_t i = 0; i < sizeof(attached) / sizeof(attached[0]); i++)
		(void)close(attached[i]);
	settle();
	receiver = belay_handoff_receiver_free(receiver);
	assert(belay__fd_count() == fds_before);
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
	assert(took_ns < 10 * BELAY__NS_PER_S);
	return 0;
}
