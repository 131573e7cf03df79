#include "ipc/frame_stream.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "ipc/control.h"
#include "wire/bytes.h"

void belay__frame_stream_start(struct belay__frame_stream *stream, int fd, uint8_t *buffer,
	size_t size, uint32_t cap)
{
	assert(size >= BELAY_FRAME_HEADER + (size_t)cap);
	*stream = (struct belay__frame_stream){
		.fd = fd,
		.buffer = buffer,
		.size = size,
		.cap = cap,
		.closer = NULL,
	};
}

/* Moves what is left to the beginning of the buffer, and returns where more goes. Something always
 * fits: an incomplete frame was found to be within the cap. */
static struct iovec room_for_more(struct belay__frame_stream *stream)
{
	size_t have = stream->end - stream->start;
	size_t room = stream->size - have;

	if (stream->start > 0 && have > 0)
		memmove(stream->buffer, stream->buffer + stream->start, have);
	stream->start = 0;
	stream->end = have;
	if (stream->exact && have < BELAY_FRAME_HEADER)
		room = BELAY_FRAME_HEADER - have;
	else if (stream->exact)
		room = BELAY_FRAME_HEADER + (size_t)belay__get_le32(stream->buffer + 1) - have;
	assert(room > 0 && room <= stream->size - have);
	return (struct iovec){ .iov_base = stream->buffer + have, .iov_len = room };
}

/* A peer that sends descriptors where none are expected is rare enough to be worth a thread, but not as
 * many as he likes: each may be held up. */
static void discard(struct belay__frame_stream *stream, struct belay__control *control)
{
	struct belay__closer *own = NULL;

	/* A pidfd closes at once. */
	if (control->pidfd >= 0)
		(void)close(control->pidfd);
	control->pidfd = -EBADF;
	if (control->fd_count == 0)
		return;
	stream->strays += control->fd_count;
	if (stream->closer != NULL) {
		belay__control_discard(control, stream->closer);
		return;
	}
	stream->own_closers++;
	/* Short of memory they are kept open, as the closer keeps those that it has no thread for. */
	if (belay__closer_new(&own) < 0)
		return;
	belay__control_discard(control, own);
	(void)belay__closer_free(own);
}

static void note_sender(struct belay__frame_stream *stream, const struct belay__control *control,
	bool first)
{
	const struct ucred *now = &control->credentials, *before = &stream->sender;

	if (!stream->want_sender)
		return;
	if (first) {
		stream->has_sender = control->has_credentials;
		stream->sender = *now;
	} else if (!control->has_credentials || now->pid != before->pid ||
		now->uid != before->uid || now->gid != before->gid) {
		stream->has_sender = false;
	}
}

/* What the end of the stream means where it stands. */
static int hung_up(const struct belay__frame_stream *stream)
{
	return stream->end > stream->start ? -ECONNRESET : -ENOTCONN;
}

/* Reads once. 1: something came; 0: nothing is there; or a negative errno. */
static int receive_some(struct belay__frame_stream *stream)
{
	struct iovec part = room_for_more(stream);
	union belay__control_buffer room;
	struct belay__control control;
	struct msghdr message = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room),
	};
	ssize_t len;

	if (stream->own_closers >= BELAY__CLOSER_THREADS)
		return -EPROTO;
	do
		len = recvmsg(stream->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0 && errno == EAGAIN)
		return 0;
	if (len < 0)
		return errno == ECONNRESET ? hung_up(stream) : -errno;

	belay__control_read(&message, &control);
	if (len > 0)
		note_sender(stream, &control, stream->end == 0);
	discard(stream, &control);
	stream->end += (size_t)len;
	return len > 0 ? 1 : hung_up(stream);
}

/* The frame that the buffer begins with. As belay_frame_scan(). */
static int take_frame(struct belay__frame_stream *stream, struct belay_frame_found *ret_found)
{
	struct belay_frame_found found;
	int r = belay_frame_scan(stream->buffer + stream->start, stream->end - stream->start,
		stream->cap, &found);

	if (r <= 0)
		return r;
	stream->start += found.consumed;
	*ret_found = found;
	return 1;
}

int belay__frame_read(struct belay__frame_stream *stream, struct belay_frame_found *ret_found)
{
	for (;;) {
		int r = take_frame(stream, ret_found);

		if (r != 0)
			return r;
		r = receive_some(stream);
		if (r <= 0)
			return r;
	}
}

int belay__frame_read_until(struct belay__frame_stream *stream, uint64_t deadline_ns,
	struct belay_frame_found *ret_found)
{
	bool late = false;

	for (;;) {
		int r = take_frame(stream, ret_found);

		if (r != 0)
			return r;
		if (late)
			return -ETIMEDOUT;
		/* What is there when the deadline comes is read once more, and then no more. */
		late = belay__clock_ns(CLOCK_MONOTONIC) >= deadline_ns;
		r = receive_some(stream);
		if (r == 0)
			r = belay__wait_until(stream->fd, POLLIN, deadline_ns);
		if (r < 0)
			return r;
	}
}

const char *belay__frame_stream_place(const struct belay__frame_stream *stream)
{
	size_t have = stream->end - stream->start;

	if (have == 0)
		return "framing byte";
	return have < BELAY_FRAME_HEADER ? "body length header" : "frame body";
}

/* Forgets the first SENT bytes of the parts of MESSAGE. */
static void advance(struct msghdr *message, size_t sent)
{
	while (message->msg_iovlen > 0 && sent >= message->msg_iov->iov_len) {
		sent -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (message->msg_iovlen > 0) {
		message->msg_iov->iov_base = (uint8_t *)message->msg_iov->iov_base + sent;
		message->msg_iov->iov_len -= sent;
	}
}

/* What to do when the kernel takes no more: 0, try again. */
static int wait_for_room(int fd, uint64_t deadline_ns, size_t sent)
{
	if (deadline_ns == 0)
		return sent > 0 ? -EMSGSIZE : -EAGAIN;
	/* A peer that reads a byte now and then would always be ready for a little more. */
	if (belay__clock_ns(CLOCK_MONOTONIC) >= deadline_ns)
		return -ETIMEDOUT;
	return belay__wait_until(fd, POLLOUT, deadline_ns);
}

/* Sends the COUNT parts, which it uses up. */
static int send_parts(int fd, struct iovec *parts, size_t count, uint64_t deadline_ns,
	size_t *ret_sent)
{
	struct msghdr message = { .msg_iov = parts };
	int r = 0;

	message.msg_iovlen = (__typeof__(message.msg_iovlen))count;
	*ret_sent = 0;
	advance(&message, 0);
	while (r == 0 && message.msg_iovlen > 0) {
		ssize_t len = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (len >= 0) {
			*ret_sent += (size_t)len;
			advance(&message, (size_t)len);
		} else if (errno == EAGAIN) {
			r = wait_for_room(fd, deadline_ns, *ret_sent);
		} else if (errno != EINTR) {
			r = -errno;
		}
	}
	return r;
}

int belay__frame_write(int fd, const uint8_t *body, size_t len, uint64_t deadline_ns)
{
	uint8_t header[BELAY_FRAME_HEADER];
	struct iovec parts[] = {
		{ .iov_base = header, .iov_len = sizeof(header) },
		{ .iov_base = (void *)(uintptr_t)body, .iov_len = len },
	};
	size_t sent;

	if (len > BELAY_FRAME_MAX)
		return -EFBIG;
	belay_frame_header((uint32_t)len, header);
	return send_parts(fd, parts, 2, deadline_ns, &sent);
}

int belay__stream_write(int fd, const uint8_t *bytes, size_t len, uint64_t deadline_ns,
	size_t *ret_sent)
{
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	size_t sent;
	int r = send_parts(fd, &part, 1, deadline_ns, &sent);

	if (ret_sent != NULL)
		*ret_sent = sent;
	return r;
}

int belay__wait_until(int fd, short events, uint64_t deadline_ns)
{
	struct pollfd end = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
		struct timespec left = belay__timespec(
			deadline_ns > now_ns ? deadline_ns - now_ns : 0);
		int count = ppoll(&end, 1, &left, NULL);

		if (count > 0)
			return (end.revents & POLLNVAL) != 0 ? -EBADF : 0;
		if (count == 0)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}
