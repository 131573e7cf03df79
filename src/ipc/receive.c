#include "ipc/receive.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/hot.h"
#include "ipc/control.h"

#define CACHE_LINE 64u

/* What a well-behaved datagram leaves behind: this header and nothing else. */
#define CREDENTIALS_LEN   CMSG_LEN(sizeof(struct ucred))
#define CREDENTIALS_SPACE CMSG_SPACE(sizeof(struct ucred))

struct belay__receiver {
	struct belay__closer *closer; /* borrowed */
	uint32_t frame_len;
	unsigned used;          /* headers that the last call wrote to, and the next must reset */
	socklen_t control_size; /* msg_controllen is no size_t in musl */
	struct mmsghdr headers[BELAY__BATCH];
	struct iovec parts[BELAY__BATCH];
	struct belay__datagram datagrams[BELAY__BATCH];
	uint8_t *memory; /* control buffers, then frame buffers */
};

static size_t in_lines(size_t size)
{
	return (size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
}

static void lay_out(struct belay__receiver *receiver, size_t control_stride, size_t frame_stride)
{
	uint8_t *control = receiver->memory;
	uint8_t *frame = control + BELAY__BATCH * control_stride;

	for (size_t i = 0; i < BELAY__BATCH; i++) {
		struct msghdr *message = &receiver->headers[i].msg_hdr;

		/* One byte more than a frame, so that a longer datagram shows. */
		receiver->parts[i].iov_base = frame + i * frame_stride;
		receiver->parts[i].iov_len = receiver->frame_len + 1;
		receiver->datagrams[i].bytes = frame + i * frame_stride;
		message->msg_iov = &receiver->parts[i];
		message->msg_iovlen = 1;
		message->msg_control = control + i * control_stride;
	}
	receiver->used = BELAY__BATCH;
}

int belay__receiver_new(uint32_t frame_len, bool expect_strays, struct belay__closer *closer,
	struct belay__receiver **ret_receiver)
{
	size_t control_size = expect_strays ? BELAY__CONTROL_SIZE : CREDENTIALS_SPACE;
	size_t control_stride = in_lines(control_size);
	size_t frame_stride = in_lines((size_t)frame_len + 1);
	struct belay__receiver *receiver = calloc(1, sizeof(*receiver));

	assert(closer != NULL);
	if (receiver == NULL)
		return -ENOMEM;

	receiver->closer = closer;
	receiver->frame_len = frame_len;
	receiver->control_size = (socklen_t)control_size;
	receiver->memory = aligned_alloc(CACHE_LINE, BELAY__BATCH * (control_stride + frame_stride));
	if (receiver->memory == NULL) {
		free(receiver);
		return -ENOMEM;
	}
	/* Touched now, so that the first beats pay no page faults. */
	memset(receiver->memory, 0, BELAY__BATCH * (control_stride + frame_stride));
	lay_out(receiver, control_stride, frame_stride);
	*ret_receiver = receiver;
	return 0;
}

struct belay__receiver *belay__receiver_free(struct belay__receiver *receiver)
{
	if (receiver == NULL)
		return NULL;

	free(receiver->memory);
	free(receiver);
	return NULL;
}

/* Identity comes before length: whoever counts a datagram against its sender must be able to
 * trust the sender. */
static enum belay__arrival judge(const struct belay__control *control, uint32_t len,
	uint32_t frame_len)
{
	if (control->truncated)
		return BELAY__ARRIVED_CUT;
	if (!control->has_credentials)
		return BELAY__ARRIVED_NOBODY;
	return len == frame_len ? BELAY__ARRIVED : BELAY__ARRIVED_SHORT;
}

/* Everything that is not the usual datagram. */
__attribute__((noinline, cold)) static void take_carefully(struct belay__receiver *receiver,
	struct msghdr *message, struct belay__datagram *datagram)
{
	struct belay__control control;

	belay__control_read(message, &control);
	datagram->pid = control.credentials.pid;
	datagram->uid = control.credentials.uid;
	datagram->arrival = (uint8_t)judge(&control, datagram->len, receiver->frame_len);
	datagram->strays = (uint8_t)(control.fd_count < UINT8_MAX ? control.fd_count : UINT8_MAX);
	belay__control_discard(&control, receiver->closer);
}

/* Whether nothing came with MESSAGE but one well-formed header with its sender's credentials. */
static inline bool is_usual(const struct msghdr *message)
{
	const struct cmsghdr *header = message->msg_control;

	return (message->msg_flags & (MSG_CTRUNC | MSG_TRUNC)) == 0 &&
		message->msg_controllen == CREDENTIALS_SPACE &&
		header->cmsg_len == CREDENTIALS_LEN && header->cmsg_level == SOL_SOCKET &&
		header->cmsg_type == SCM_CREDENTIALS;
}

static inline void take(struct belay__receiver *receiver, unsigned i)
{
	struct msghdr *message = &receiver->headers[i].msg_hdr;
	struct belay__datagram *datagram = &receiver->datagrams[i];

	datagram->len = receiver->headers[i].msg_len;
	if (__builtin_expect(!is_usual(message) || datagram->len != receiver->frame_len, 0)) {
		take_carefully(receiver, message, datagram);
		return;
	}

	struct ucred credentials;

	memcpy(&credentials, CMSG_DATA((struct cmsghdr *)message->msg_control), sizeof(credentials));
	datagram->pid = credentials.pid;
	datagram->uid = credentials.uid;
	datagram->arrival = BELAY__ARRIVED;
	datagram->strays = 0;
}

BELAY__HOT int belay__receive(struct belay__receiver *receiver, int fd,
	const struct belay__datagram **ret_datagrams)
{
	int count;

	for (unsigned i = 0; i < receiver->used; i++) {
		receiver->headers[i].msg_hdr.msg_controllen = receiver->control_size;
		receiver->headers[i].msg_hdr.msg_flags = 0;
	}

	do
		count = recvmmsg(fd, receiver->headers, BELAY__BATCH,
			MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
	while (count < 0 && errno == EINTR);

	if (count < 0) {
		receiver->used = 0;
		return errno == EAGAIN ? 0 : -errno;
	}

	receiver->used = (unsigned)count;
	for (unsigned i = 0; i < receiver->used; i++)
		take(receiver, i);
	*ret_datagrams = receiver->datagrams;
	return count;
}
