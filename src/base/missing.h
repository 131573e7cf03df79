/* missing.h - kernel interfaces newer than Debian 12's headers
 *
 * Each is used when the running kernel has it and done without when it refuses; tests force the
 * refusal.
 */
#pragma once

#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76 /* 6.5 */
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* 6.16; 0 refuses fds at the sender with EPERM */
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436 /* 5.9 */
#endif
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441 /* 5.11 */
#endif

/* PIDFD_GET_INFO (6.13) with exit information after the process was reaped (6.15). */
#define BELAY__PIDFD_INFO_EXIT (UINT64_C(1) << 3)

struct belay__pidfd_info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid, tgid, ppid, ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
	int32_t exit_code;
};

#define BELAY__PIDFD_GET_INFO _IOWR(0xFF, 11, struct belay__pidfd_info)
