#include "identity/syscall_name.h"

#include <stddef.h>
#include <sys/syscall.h>

#include "identity/verdict.h"

/* clang-format off */
#define ON_FD(call) { SYS_##call, true, #call }
#define PLAIN(call) { SYS_##call, false, #call }
/* clang-format on */

/* What an architecture does not have (aarch64 has no poll or select of its own) or these headers do
 * not know is left out. */
static const struct belay__syscall table[] = {
	ON_FD(accept4),
	ON_FD(accept),
	ON_FD(close),
	ON_FD(connect),
	ON_FD(epoll_pwait),
	ON_FD(fallocate),
	ON_FD(fcntl),
	ON_FD(fdatasync),
	ON_FD(flock),
	ON_FD(fsync),
	ON_FD(ioctl),
	ON_FD(pread64),
	ON_FD(preadv),
	ON_FD(pwrite64),
	ON_FD(pwritev),
	ON_FD(read),
	ON_FD(readv),
	ON_FD(recvfrom),
	ON_FD(recvmmsg),
	ON_FD(recvmsg),
	ON_FD(sendmmsg),
	ON_FD(sendmsg),
	ON_FD(sendto),
	ON_FD(sync_file_range),
	ON_FD(syncfs),
	ON_FD(write),
	ON_FD(writev),
	PLAIN(clock_nanosleep),
	PLAIN(execve),
	PLAIN(futex),
	PLAIN(msgrcv),
	PLAIN(msgsnd),
	PLAIN(nanosleep),
	PLAIN(openat),
	PLAIN(ppoll),
	PLAIN(pselect6),
	PLAIN(restart_syscall),
	PLAIN(rt_sigsuspend),
	PLAIN(rt_sigtimedwait),
	PLAIN(semtimedop),
	PLAIN(sync),
	PLAIN(wait4),
	PLAIN(waitid),
#ifdef SYS_clone
	PLAIN(clone),
#endif
#ifdef SYS_clone3
	PLAIN(clone3),
#endif
#ifdef SYS_epoll_pwait2
	ON_FD(epoll_pwait2),
#endif
#ifdef SYS_epoll_wait
	ON_FD(epoll_wait),
#endif
#ifdef SYS_futex_wait
	PLAIN(futex_wait),
#endif
#ifdef SYS_futex_waitv
	PLAIN(futex_waitv),
#endif
#ifdef SYS_io_getevents
	PLAIN(io_getevents),
#endif
#ifdef SYS_io_uring_enter
	ON_FD(io_uring_enter),
#endif
#ifdef SYS_open
	PLAIN(open),
#endif
#ifdef SYS_pause
	PLAIN(pause),
#endif
#ifdef SYS_poll
	PLAIN(poll),
#endif
#ifdef SYS_select
	PLAIN(select),
#endif
#ifdef SYS_semop
	PLAIN(semop),
#endif
#ifdef SYS_vfork
	PLAIN(vfork),
#endif
};

const struct belay__syscall *belay__syscall_find(int32_t nr)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].nr == nr)
			return &table[i];
	}
	return NULL;
}

const char *belay__syscall_name(int32_t nr)
{
	const struct belay__syscall *row = belay__syscall_find(nr);

	return row == NULL ? NULL : row->name;
}
