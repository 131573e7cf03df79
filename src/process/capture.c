#include "process/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"

/* A pipe holds 64 KiB unless somebody made it larger, at most 1 MiB for ordinary users. */
enum { PIECE = 4096, PIECES_PER_TURN = 32, PIECES_AT_END = 512 };

static void count(struct belay__capture *capture, int which, uint64_t n)
{
	uint64_t left = capture->max - capture->lens[0] - capture->lens[1];

	if (n > left) {
		n = left;
		capture->truncated = true;
	}
	capture->lens[which] += n;
}

static void stop(struct belay__capture *capture, int which)
{
	belay__io_remove(&capture->ios[which]);
	capture->fds[which] = belay__close(capture->fds[which]);
}

/* Reads at most PIECES pieces. False when nobody can write any more. */
static bool drain(struct belay__capture *capture, int which, int pieces)
{
	char piece[PIECE];

	while (pieces-- > 0) {
		ssize_t n = read(capture->fds[which], piece, sizeof(piece));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 && errno == EAGAIN;
		count(capture, which, (uint64_t)n);
	}
	return true;
}

static void ready(struct belay__io *io, uint32_t events)
{
	struct belay__capture *capture = io->data;
	int which = io == &capture->ios[1];

	(void)events;
	if (!drain(capture, which, PIECES_PER_TURN))
		stop(capture, which);
}

static int start_one(struct belay__capture *capture, struct belay__loop *loop, int which,
	int *ret_writing)
{
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	capture->fds[which] = ends[0];
	*ret_writing = ends[1];
	r = belay__fd_nonblock(ends[0]);
	if (r < 0)
		return r;
	return belay__io_add(loop, &capture->ios[which], ends[0], EPOLLIN, ready, capture);
}

int belay__capture_start(struct belay__capture *capture, struct belay__loop *loop, uint64_t max,
	int *ret_stdout, int *ret_stderr)
{
	_cleanup_close_ int out = -EBADF, err = -EBADF;
	int r;

	capture->max = max;
	r = start_one(capture, loop, 0, &out);
	if (r == 0)
		r = start_one(capture, loop, 1, &err);
	if (r < 0) {
		stop(capture, 0);
		stop(capture, 1);
		return r;
	}
	*ret_stdout = TAKE_FD(out);
	*ret_stderr = TAKE_FD(err);
	return 0;
}

void belay__capture_finish(struct belay__capture *capture)
{
	for (int which = 0; which < 2; which++) {
		if (capture->fds[which] >= 0)
			(void)drain(capture, which, PIECES_AT_END);
		stop(capture, which);
	}
}
