#include "backend/probe_sender.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/missing.h"
#include "identity/process_info.h"
#include "ipc/control.h"

/* How often descriptors may come along where the kernel lets them: some writer may do it by mistake, but
 * each may hold up a thread for as long as its sender likes, or stay open where there is no thread left. */
#define STRAYS_MAX 4

/* Nobody has a use for descriptors here. 0, or -EPROTO: they came too often. */
static int discard_strays(struct belay__exchange *exchange, struct belay__control *control)
{
	if (control->fd_count == 0)
		return 0;
	/* Short of memory they are kept open, as the closer keeps those that it has no thread for. */
	if (exchange->closer == NULL && belay__closer_new(&exchange->closer) < 0)
		exchange->closer = NULL;
	if (exchange->closer != NULL)
		belay__control_discard(control, exchange->closer);
	return ++exchange->strays > STRAYS_MAX ? -EPROTO : 0;
}

/* Another process answers than the one that was verified; it may be a child of it. By the next segment
 * the kernel names it by a pidfd, too, which cannot be mistaken for a later process of its number. */
static void ask_for_pidfd(struct belay__exchange *exchange)
{
	const int on = 1;

	exchange->names_pidfds = setsockopt(exchange->fd, SOL_SOCKET, SO_PASSPIDFD, &on,
					 sizeof(on)) == 0;
}

static void note_first(struct belay__exchange *exchange, const struct belay__control *control)
{
	struct belay_probe_report *report = &exchange->report;

	exchange->heard = true;
	if (!control->has_credentials) {
		exchange->several_senders = true;
		return;
	}
	exchange->sender = report->answered_by = control->credentials.pid;
	exchange->sender_uid = report->answered_uid = control->credentials.uid;
	if (exchange->expected != NULL && exchange->sender != exchange->handle.pid)
		ask_for_pidfd(exchange);
}

static void note_sender(struct belay__exchange *exchange, struct belay__control *control)
{
	if (!exchange->heard)
		note_first(exchange, control);
	else if (!control->has_credentials || control->credentials.pid != exchange->sender ||
		control->credentials.uid != exchange->sender_uid)
		exchange->several_senders = true;

	if (exchange->sender_pidfd < 0)
		exchange->sender_pidfd = TAKE_FD(control->pidfd);
	control->pidfd = belay__close(control->pidfd);
}

int belay__probe_receive(struct belay__exchange *exchange, const struct iovec *part)
{
	union belay__control_buffer room;
	struct belay__control control;
	struct iovec bytes = *part;
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = &room,
		.msg_controllen = sizeof(room),
	};
	ssize_t len;
	int r;

	do
		len = recvmsg(exchange->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;

	belay__control_read(&message, &control);
	if (len > 0)
		note_sender(exchange, &control);
	control.pidfd = belay__close(control.pidfd);
	r = discard_strays(exchange, &control);
	return r < 0 ? r : (int)len;
}

/* 0: the process behind PIDFD has its number still (a zombie has); -ESRCH: it was reaped; or another
 * negative errno. */
static int has_number(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno == EPERM ? 0 : -errno;
}

/* Kernels before 6.5 give no pidfd with the segment: then one of whoever has the number by now. That
 * another descendant took the sender's number within these microseconds is not ruled out there. Where
 * they do give one, none means that its process was reaped already, and its number anybody's; or that
 * there was no descriptor left, which opening one by number tells apart. 0, -ESRCH (reaped) or another
 * negative errno. */
static int open_sender(struct belay__exchange *exchange)
{
	int fd;

	if (exchange->sender_pidfd >= 0)
		return 0;
	fd = (int)syscall(SYS_pidfd_open, exchange->sender, 0);
	if (fd < 0)
		return errno == EINVAL || errno == ENOENT ? -ESRCH : -errno;
	if (exchange->names_pidfds) {
		(void)close(fd);
		return -ESRCH;
	}
	exchange->sender_pidfd = fd;
	return 0;
}

/* Whether the sender descends from the process that was verified: 1, 0, or a negative errno. */
static int is_descendant(struct belay__exchange *exchange)
{
	int r = open_sender(exchange), known;

	if (r < 0)
		return r;
	r = belay__is_ancestor(exchange->sender, exchange->handle.pid);
	known = has_number(exchange->sender_pidfd);
	return known < 0 ? known : r;
}

int belay__probe_sender_check(struct belay__exchange *exchange, const char **ret_who)
{
	int r;

	if (exchange->several_senders) {
		*ret_who = "several processes, or one that the kernel does not name";
		return -ESTALE;
	}
	if (exchange->sender == exchange->handle.pid)
		return 0;
	if (exchange->sender <= 0) {
		*ret_who = "a process outside of this pid namespace";
		return -ESTALE;
	}
	r = is_descendant(exchange);
	if (r < 0 && r != -ESRCH && r != -EACCES)
		return r;
	if (r <= 0) {
		*ret_who = r < 0 ? "a process that is gone already, or hidden"
				 : "no descendant of the recorded process";
		return -ESTALE;
	}
	exchange->report.by_descendant = true;
	return 0;
}
