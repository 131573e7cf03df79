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

/* Nobody has a use for descriptors here; closing one may take as long as its sender likes. */
static void discard_strays(struct belay__control *control)
{
	struct belay__closer *closer;

	if (control->fd_count == 0 || belay__closer_new(&closer) < 0)
		return;
	belay__control_discard(control, closer);
	(void)belay__closer_free(closer);
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
	if (exchange->sender != exchange->handle.pid)
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

	do
		len = recvmsg(exchange->fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;

	belay__control_read(&message, &control);
	if (len > 0)
		note_sender(exchange, &control);
	control.pidfd = belay__close(control.pidfd);
	discard_strays(&control);
	return (int)len;
}

/* Whether the process behind PIDFD has its number still; a zombie has. */
static bool has_number(int pidfd)
{
	return syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0 || errno == EPERM;
}

/* Kernels before 6.5 give no pidfd with the segment: then one of whoever has the number by now. That
 * another descendant took the sender's number within these microseconds is not ruled out there. Where
 * they do give one, none means that its process was reaped already, and its number anybody's. */
static int open_sender(struct belay__exchange *exchange)
{
	if (exchange->sender_pidfd < 0 && !exchange->names_pidfds)
		exchange->sender_pidfd = (int)syscall(SYS_pidfd_open, exchange->sender, 0);
	return exchange->sender_pidfd;
}

const char *belay__probe_sender_differs(struct belay__exchange *exchange)
{
	pid_t verified = exchange->handle.pid;
	int r;

	if (exchange->several_senders)
		return "several processes, or one that the kernel does not name";
	if (exchange->sender == verified)
		return NULL;
	if (exchange->sender <= 0)
		return "a process outside of this pid namespace";
	if (open_sender(exchange) < 0)
		return "a process that is gone already";
	r = belay__is_ancestor(exchange->sender, verified);
	if (r < 0 || !has_number(exchange->sender_pidfd))
		return "a process that is gone already, or hidden";
	if (r == 0)
		return "no descendant of the recorded process";
	exchange->report.by_descendant = true;
	return NULL;
}

bool belay__probe_still_there(const struct belay_handle *handle)
{
	struct belay__stat stat;

	/* Its start time was read while the pidfd said "alive": as long as it does, the number, the
	 * start time and the process belong together, and reading it again would say nothing new. */
	if (handle->pidfd >= 0)
		return belay_handle_alive(handle) == 1;
	return belay__read_stat(handle->pid, &stat) == 0 &&
		stat.start_ticks == handle->start_ticks && stat.state != 'Z' && stat.state != 'X' &&
		stat.state != 'x';
}
