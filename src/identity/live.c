#include "identity/live.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/missing.h"
#include "identity/proc_file.h"
#include "identity/proc_own.h"
#include "identity/proc_text.h"

/* The stat behind FD as of now; -ESRCH once its process was reaped. */
static int read_stat(int fd, struct belay__stat *ret_stat)
{
	char bytes[2048];
	ssize_t n;

	do
		n = pread(fd, bytes, sizeof(bytes), 0);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : belay__parse_stat(bytes, (size_t)n, ret_stat);
}

/* The start time is read by a descriptor, so it is of the same process each time. */
static int read_start(int statfd, uint64_t *ret_start_ticks)
{
	struct belay__stat stat = { 0 };
	int r = read_stat(statfd, &stat);

	if (r < 0)
		return r;
	if (belay__stat_ended(&stat))
		return -ESRCH;
	*ret_start_ticks = stat.start_ticks;
	return 0;
}

/* The number of a thread that is no process is nobody's: EINVAL, or ENOENT of later kernels. Other
 * refusals, of a kernel without pidfds or of a filter, leave the rest to the start time. */
static int open_pidfd(pid_t pid, int *ret_pidfd)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0U); /* born close-on-exec */

	if (fd >= 0 ||
		(errno != ESRCH && errno != EINVAL && errno != ENOENT && errno != EMFILE &&
			errno != ENFILE && errno != ENOMEM)) {
		*ret_pidfd = fd >= 0 ? fd : -EBADF;
		return 0;
	}
	return errno == EMFILE || errno == ENFILE || errno == ENOMEM ? -errno : -ESRCH;
}

static int open_parts(struct belay__live *live)
{
	int r = open_pidfd(live->pid, &live->pidfd);

	if (r < 0)
		return r;
	live->procfd = belay__proc_open(live->pid);
	if (live->procfd < 0)
		return live->procfd;
	r = belay__proc_own(live->procfd);
	if (r < 0)
		return r;
	live->statfd = belay__proc_open_file(live->procfd, "stat");
	if (live->statfd < 0)
		return live->statfd == -ENOENT ? -ESRCH : live->statfd;
	return read_start(live->statfd, &live->start_ticks);
}

/* That nobody is found says nothing when the pidfd was looked for in one namespace and the rest in
 * another. */
static int open_all(struct belay__live *live)
{
	int r = open_parts(live);

	return r == -ESRCH && belay__proc_own(AT_FDCWD) == -EXDEV ? -EXDEV : r;
}

int belay__live_open(pid_t pid, struct belay__live *ret_live, enum belay_verify_error *ret_class,
	struct belay_error *reterr)
{
	struct belay__live live = { .pid = pid, .pidfd = -EBADF, .procfd = -EBADF, .statfd = -EBADF };
	int r;

	assert(pid > 0);

	r = open_all(&live);
	if (r == 0) {
		*ret_live = live;
		return 0;
	}
	belay__live_done(&live);
	switch (r) {
	case -ESRCH:
		*ret_class = BELAY_VERIFY_NOT_FOUND;
		return belay__fail(reterr, r,
			"no process has pid %d; what the record describes has ended", pid);
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
		*ret_class = BELAY_VERIFY_HANDLE;
		return belay__fail(reterr, r, "cannot hold on to process %d: %s; " BELAY__MORE_ROOM,
			pid, strerror(-r));
	case -EXDEV:
		*ret_class = BELAY_VERIFY_EXE_PATH;
		return belay__fail(reterr, r,
			"cannot tell who process %d is: /proc shows another pid namespace, in "
			"which that "
			"number is another's; mount this namespace's own there",
			pid);
	default:
		*ret_class = BELAY_VERIFY_EXE_PATH;
		return belay__fail(reterr, r,
			"cannot read /proc/%d: %s; look as the same user or as root", pid,
			strerror(-r));
	}
}

int belay__live_check(const struct belay__live *live)
{
	struct pollfd wait = { .fd = live->pidfd, .events = POLLIN };
	uint64_t start_ticks;
	int r, n;

	r = read_start(live->statfd, &start_ticks);
	if (r < 0)
		return r;
	if (start_ticks != live->start_ticks)
		return -ESRCH;
	if (live->pidfd < 0)
		return 0;
	do
		n = poll(&wait, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n == 0 ? 0 : -ESRCH;
}

void belay__live_done(struct belay__live *live)
{
	live->pidfd = belay__close(live->pidfd);
	live->procfd = belay__close(live->procfd);
	live->statfd = belay__close(live->statfd);
}
