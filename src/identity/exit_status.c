#include "identity/process_info.h"

#include <errno.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "base/missing.h"
#include "identity/aide.h"
#include "identity/proc_file.h"

int belay__read_exit_status(pid_t pid, uint64_t start_ticks, int *ret_wait_status)
{
	_cleanup_close_ int procfd = -EBADF;
	struct belay__aide_facts facts;
	struct belay__stat stat;
	int r = belay__read_stat(pid, &stat);

	if (r < 0)
		return r;
	if (stat.start_ticks != start_ticks)
		return -ESRCH;
	if (!belay__stat_ended(&stat))
		return -EAGAIN;

	/* Without permission the kernel writes 0, which would read as a success. */
	if (stat.exit_status == 0) {
		procfd = belay__proc_open_stat(pid, start_ticks, &stat);
		if (procfd < 0)
			return procfd;
		if (!belay__proc_permitted(procfd)) {
			if (belay__aide_ask(pid, start_ticks, BELAY__AIDE_EXIT, &facts) < 0)
				return -EACCES;
			stat.exit_status = facts.exit_status;
		}
	}
	*ret_wait_status = stat.exit_status;
	return 0;
}

int belay__pidfd_exit_status(int pidfd, int *ret_wait_status)
{
	struct belay__pidfd_info info = { .mask = BELAY__PIDFD_INFO_EXIT };

	if (ioctl(pidfd, BELAY__PIDFD_GET_INFO, &info) < 0) {
		/* 6.13 and 6.14 know processes only until they are reaped. */
		return errno == ESRCH ? -EINVAL : -errno;
	}
	if ((info.mask & BELAY__PIDFD_INFO_EXIT) == 0)
		return -EAGAIN;
	*ret_wait_status = info.exit_code;
	return 0;
}
