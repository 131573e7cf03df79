#include "identity/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/missing.h"
#include "identity/proc_file.h"
#include "identity/proc_own.h"
#include "identity/process_info.h"

/* 1: the process is there; 0: it has ended, reaped or not. */
static int pidfd_alive(int pidfd)
{
	struct pollfd wait = { .fd = pidfd, .events = POLLIN };
	int n;

	do
		n = poll(&wait, 1, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if ((wait.revents & POLLNVAL) != 0)
		return -EBADF;
	return n == 0 ? 1 : 0;
}

static int open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0U); /* born close-on-exec */

	if (fd >= 0)
		return fd;
	/* The number of a thread that is no process is nobody's. */
	return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
}

/* Reads what can be read; what cannot stays unknown, and so does all of it where /proc has it about another
 * process of that number. Only -ESRCH and a lack of descriptors are errors. */
static int read_facts(struct belay__identity *identity)
{
	struct belay__stat stat = { 0 };
	int r = belay__proc_own(AT_FDCWD);

	if (r == -EXDEV)
		return 0;
	if (r != -EMFILE && r != -ENFILE)
		r = belay__read_stat(identity->pid, &stat);
	if (r == -ESRCH || r == -EMFILE || r == -ENFILE)
		return r;
	if (r == 0 && belay__stat_ended(&stat))
		return -ESRCH;
	identity->start_ticks = stat.start_ticks;

	(void)belay__read_pid_namespace(identity->pid, &identity->pid_ns);
	(void)belay__read_inner_pid(identity->pid, &identity->inner_pid);
	(void)belay__read_uid(identity->pid, &identity->uid);
	return 0;
}

int belay__identity_open(pid_t pid, bool want_pidfd, struct belay__identity *ret_identity)
{
	struct belay__identity identity = { .pid = pid, .pidfd = -EBADF, .uid = (uid_t)-1 };
	_cleanup_close_ int pidfd = -EBADF;
	int r;

	if (pid <= 0)
		return -ESRCH;
	if (want_pidfd) {
		pidfd = open_pidfd(pid);
		if (pidfd < 0)
			return pidfd;
	}
	r = read_facts(&identity);
	if (r < 0)
		return r;

	/* Only now is it certain that all of it was about one process: it had the number from the
	 * first read to the last. */
	identity.pidfd = pidfd;
	if (pidfd >= 0 || identity.start_ticks != 0) {
		r = belay__identity_alive(&identity);
		if (r <= 0)
			return r < 0 ? r : -ESRCH;
	}
	(void)TAKE_FD(pidfd);
	*ret_identity = identity;
	return 0;
}

int belay__identity_alive(const struct belay__identity *identity)
{
	struct belay__stat stat;
	int r;

	if (identity->pidfd >= 0)
		return pidfd_alive(identity->pidfd);
	if (identity->start_ticks == 0)
		return -EINVAL;
	r = belay__read_stat(identity->pid, &stat);
	if (r == -ESRCH)
		return 0;
	if (r < 0)
		return r;
	return stat.start_ticks == identity->start_ticks && !belay__stat_ended(&stat);
}

void belay__identity_done(struct belay__identity *identity)
{
	identity->pidfd = belay__close(identity->pidfd);
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int belay__boot_id(uint8_t ret_id[16])
{
	char text[64];
	uint8_t id[16] = { 0 };
	unsigned digits = 0;
	ssize_t n = belay__read_file(AT_FDCWD, "/proc/sys/kernel/random/boot_id", text,
		sizeof(text));

	if (n < 0)
		return (int)n;
	for (ssize_t i = 0; i < n && text[i] != '\n'; i++) {
		int value = hex_value(text[i]);

		if (text[i] == '-')
			continue;
		if (value < 0 || digits == 32)
			return -EBADMSG;
		id[digits / 2] = (uint8_t)(id[digits / 2] << 4 | value);
		digits++;
	}
	if (digits != 32)
		return -EBADMSG;
	for (size_t i = 0; i < sizeof(id); i++)
		ret_id[i] = id[i];
	return 0;
}
