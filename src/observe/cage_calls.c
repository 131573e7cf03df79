/* The system calls of each role, as parts that rows of cage.c's table are made of. */

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/missing.h"
#include "observe/cage.h"

/* linux/fs.h; the C library has it since 2.26 only. */
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#endif

#define WRITES (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))
#define MAKES  (O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC)
#define THREAD (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD)

#define CONDITIONS_MAX 2

/* One call. ONLY: what some of its arguments must be (op 0: no more of them); of two rows either will
 * do. */
struct call {
	int number;
	enum belay__cage_part part;
	struct scmp_arg_cmp only[CONDITIONS_MAX];
};

#define ANY(name) SCMP_SYS(name)
#define CONDITION(at, is, a, b)                                                                    \
	{                                                                                          \
		.arg = (at), .op = SCMP_CMP_##is, .datum_a = (a), .datum_b = (b)                   \
	}
#define ONLY(at, is, a, b)                                                                         \
	{                                                                                          \
		CONDITION(at, is, a, b)                                                            \
	}

/* Where the file's end is, or its place; with no other flag, as one undoes O_APPEND. */
#define NOWAIT_AT_THE_END                                                                          \
	{                                                                                          \
		CONDITION(3, EQ, (scmp_datum_t)-1, 0),                                             \
			CONDITION(5, MASKED_EQ, UINT32_MAX, RWF_NOWAIT)                            \
	}

/* The most frequent first: a kernel before 5.11 compares with one after the other. Those that an
 * architecture lacks have a number below zero there and are left out. Not in it, though harmless
 * elsewhere: lseek and reads at a place, without which /proc/PID/mem shows nothing to whoever may open
 * it; but for HTTP sendmsg, which names an address and passes descriptors in memory that no filter sees; F_SETFL and
 * ftruncate, by which a file that is appended to could be written anew. */
static const struct call calls[] = {
	/* clang-format off */
	{ ANY(epoll_wait), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(epoll_pwait), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(epoll_pwait2), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(recvmmsg), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(timerfd_settime), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(clock_gettime), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(read), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(write), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(writev), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(recvmsg), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(sendto), BELAY__CAGE_LIVE, ONLY(4, EQ, 0, 0) }, /* to no address */
	{ ANY(close), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(poll), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(ppoll), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(epoll_ctl), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(epoll_create1), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(timerfd_create), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(signalfd4), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(pwritev2), BELAY__CAGE_LIVE, NOWAIT_AT_THE_END }, /* the log, to a pipe */
	{ ANY(fstat), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(newfstatat), BELAY__CAGE_LIVE, { { 0 } } }, /* fstat() of glibc */
	{ ANY(statx), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(fcntl), BELAY__CAGE_LIVE, ONLY(1, EQ, F_GETFD, 0) },
	{ ANY(fcntl), BELAY__CAGE_LIVE, ONLY(1, EQ, F_SETFD, 0) },
	{ ANY(fcntl), BELAY__CAGE_LIVE, ONLY(1, EQ, F_GETFL, 0) },
	{ ANY(mmap), BELAY__CAGE_LIVE, ONLY(2, MASKED_EQ, PROT_EXEC, 0) },
	{ ANY(mprotect), BELAY__CAGE_LIVE, ONLY(2, MASKED_EQ, PROT_EXEC, 0) },
	{ ANY(munmap), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(mremap), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(madvise), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(brk), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(futex), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(rt_sigprocmask), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(rt_sigaction), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(rt_sigreturn), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(restart_syscall), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(clock_nanosleep), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(clock_getres), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(gettimeofday), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(time), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(getpid), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(getppid), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(gettid), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(getuid), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(geteuid), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(getgid), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(getegid), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(getrandom), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(sysinfo), BELAY__CAGE_LIVE, { { 0 } } },           /* qsort() of glibc */
	{ ANY(sched_getaffinity), BELAY__CAGE_LIVE, { { 0 } } }, /* malloc() of glibc */
	{ ANY(sched_yield), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(exit), BELAY__CAGE_LIVE, { { 0 } } },
	{ ANY(exit_group), BELAY__CAGE_LIVE, { { 0 } } },

	{ ANY(openat), BELAY__CAGE_READ, ONLY(2, MASKED_EQ, WRITES, O_RDONLY) },
	{ ANY(open), BELAY__CAGE_READ, ONLY(1, MASKED_EQ, WRITES, O_RDONLY) },
	{ ANY(readlink), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(readlinkat), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(stat), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(lstat), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(statfs), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(fstatfs), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(faccessat), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(faccessat2), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(getdents64), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(getpgid), BELAY__CAGE_LOOK, { { 0 } } },
	{ ANY(prlimit64), BELAY__CAGE_TRACK, ONLY(2, EQ, 0, 0) }, /* how many descriptors there may be */
	{ ANY(getrlimit), BELAY__CAGE_TRACK, { { 0 } } },

	{ ANY(recvfrom), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(accept4), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(accept), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(getsockopt), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(setsockopt), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(getsockname), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(getpeername), BELAY__CAGE_TALK, { { 0 } } },
	{ ANY(shutdown), BELAY__CAGE_TALK, { { 0 } } },

	{ ANY(sendmsg), BELAY__CAGE_SERVE, { { 0 } } }, /* libmicrohttpd; all its sockets are connected */

	{ ANY(pidfd_open), BELAY__CAGE_TRACK, { { 0 } } },
	{ ANY(ioctl), BELAY__CAGE_TRACK, ONLY(1, MASKED_EQ, UINT32_MAX, BELAY__PIDFD_GET_INFO) },
	{ ANY(clone), BELAY__CAGE_TRACK, ONLY(0, MASKED_EQ, THREAD, THREAD) },
	{ ANY(set_robust_list), BELAY__CAGE_TRACK, { { 0 } } },
	{ ANY(rseq), BELAY__CAGE_TRACK, { { 0 } } },

	{ ANY(pread64), BELAY__CAGE_KEEP, ONLY(3, EQ, 0, 0) },
	{ ANY(fallocate), BELAY__CAGE_KEEP, ONLY(1, MASKED_EQ, UINT32_MAX, 0) }, /* room; no holes */
	{ ANY(fdatasync), BELAY__CAGE_KEEP, { { 0 } } },
	{ ANY(flock), BELAY__CAGE_KEEP, { { 0 } } },
	{ ANY(mlock), BELAY__CAGE_KEEP, { { 0 } } },
	{ ANY(mlock2), BELAY__CAGE_KEEP, { { 0 } } },
	{ ANY(munlock), BELAY__CAGE_KEEP, { { 0 } } },

	{ ANY(unlinkat), BELAY__CAGE_CLEAN, { { 0 } } },

	{ ANY(openat), BELAY__CAGE_WRITE, ONLY(2, MASKED_EQ, MAKES, O_WRONLY | O_CREAT | O_EXCL) },
	{ ANY(open), BELAY__CAGE_WRITE, ONLY(1, MASKED_EQ, MAKES, O_WRONLY | O_CREAT | O_EXCL) },
	{ ANY(lstat), BELAY__CAGE_WRITE, { { 0 } } },
	{ ANY(unlink), BELAY__CAGE_WRITE, { { 0 } } },
	{ ANY(unlinkat), BELAY__CAGE_WRITE, { { 0 } } },
	{ ANY(rename), BELAY__CAGE_WRITE, { { 0 } } },
	{ ANY(renameat), BELAY__CAGE_WRITE, { { 0 } } },
	{ ANY(renameat2), BELAY__CAGE_WRITE, { { 0 } } },
	{ ANY(fchmod), BELAY__CAGE_WRITE, { { 0 } } },
	{ ANY(fsync), BELAY__CAGE_WRITE, { { 0 } } },
	/* clang-format on */
};

/* Refused without a death. clone3's flags lie in memory, where no filter sees them: the C library takes
 * clone() instead. Whoever reads from anywhere but a file's start takes it for one that cannot be read. */
static const struct {
	struct call call;
	uint16_t error;
} refused[] = {
	{ { ANY(clone3), BELAY__CAGE_TRACK, { { 0 } } }, ENOSYS },
	{ { ANY(pread64), BELAY__CAGE_KEEP, ONLY(3, NE, 0, 0) }, EPERM },
};

/* Adds CALL's rule, if it belongs to PARTS and this architecture has it. 1, 0 or a negative errno. */
static int add(scmp_filter_ctx filter, uint32_t action, const struct call *call, unsigned parts)
{
	unsigned arguments = 0;
	int r;

	while (arguments < CONDITIONS_MAX && call->only[arguments].op != _SCMP_CMP_MIN)
		arguments++;
	if (call->number < 0 || (parts & 1U << call->part) == 0)
		return 0;
	r = seccomp_rule_add_array(filter, action, call->number, arguments, call->only);
	/* Two parts may name the same call. */
	return r == -EEXIST ? 0 : r < 0 ? r : 1;
}

static bool is_first(size_t row, unsigned parts)
{
	for (size_t i = 0; i < row; i++)
		if (calls[i].number == calls[row].number && (parts & 1U << calls[i].part) != 0)
			return false;
	return true;
}

/* Returns how many calls are allowed, or a negative errno. */
static int fill(scmp_filter_ctx filter, unsigned parts)
{
	/* abort() and assert() end this process by a signal of its own. */
	const struct scmp_arg_cmp oneself = CONDITION(0, EQ, (scmp_datum_t)getpid(), 0);
	int r = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1, &oneself);
	int count = 1;

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]) && r >= 0; i++) {
		r = add(filter, SCMP_ACT_ALLOW, &calls[i], parts);
		if (r <= 0 || !is_first(i, parts))
			continue;
		count++;
		r = seccomp_syscall_priority(filter, calls[i].number,
			(uint8_t)(i < UINT8_MAX ? UINT8_MAX - i : 0));
	}
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]) && r >= 0; i++)
		r = add(filter, SCMP_ACT_ERRNO(refused[i].error), &refused[i].call, parts);
	return r < 0 ? r : count;
}

/* On all threads, for all architectures' numbers but ours a death, too; without slowing speculation down
 * for a program that runs no code of others. What an old library lacks of these is its own matter. */
static int configure(scmp_filter_ctx filter)
{
	int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);

	if (r == 0)
		r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	(void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
	return r;
}

/* The library says of all that the kernel refuses that it was refused; so it is asked before. */
static int find_out(void)
{
	const uint32_t action = SECCOMP_RET_KILL_PROCESS;

	if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0U, &action) == 0)
		return 0;
	return errno == EINVAL || errno == EOPNOTSUPP ? -ENOSYS : -errno;
}

int belay__cage_calls(unsigned parts)
{
	scmp_filter_ctx filter;
	int count = -ENOMEM, r = find_out();

	if (r < 0)
		return r;
	filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
	if (filter == NULL)
		return -ENOMEM;
	r = configure(filter);
	if (r == 0)
		r = count = fill(filter, parts);
	if (r >= 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? r : count;
}
