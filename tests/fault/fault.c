/* fault: makes one call of a program fail, chosen by number, to see what becomes of it. To be
 * preloaded.
 *
 * FAULT_FILE names a file of two 64-bit numbers, shared by all processes of the program: how many
 * of the calls below were made, and which of them fails (0: none). The count goes over all
 * processes, so exactly one call fails, once. Calls that give back what was taken (close, free,
 * munmap, unlink) never fail.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define EPOLL_PWAIT2 441 /* not in every libc's headers */

struct counts {
	_Atomic uint64_t made;
	uint64_t failing;
	char name[48]; /* of the call that failed */
};

static struct counts *counts;

/* Straight to the kernel: what is wrapped below may not be used here. */
static long kernel(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return result;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("FAULT_FILE");
	long fd, mapped;

	if (path == NULL)
		return;
	fd = kernel(SYS_open, (long)path, O_RDWR | O_CLOEXEC, 0, 0, 0, 0);
	if (fd < 0)
		return;
	mapped = kernel(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	(void)kernel(SYS_close, fd, 0, 0, 0, 0, 0);
	if (mapped > 0)
		counts = (struct counts *)mapped;
}

static int fails(const char *name, int error)
{
	if (counts == NULL || atomic_fetch_add(&counts->made, 1) + 1 != counts->failing)
		return 0;
	for (size_t i = 0; i + 1 < sizeof(counts->name) && name[i] != '\0'; i++)
		counts->name[i] = name[i];
	errno = error;
	return 1;
}

#define NEXT(name_)                                                                                \
	static __typeof__(name_) *next;                                                            \
	if (next == NULL)                                                                          \
	*(void **)&next = dlsym(RTLD_NEXT, #name_)

/* RESULT is what the call returns when it fails with ERROR. */
#define WRAP(type_, name_, parameters_, arguments_, result_, error_)                               \
	type_ name_ parameters_                                                                    \
	{                                                                                          \
		NEXT(name_);                                                                       \
		return fails(#name_, error_) ? (type_)(result_) : next arguments_;                 \
	}

/* A sanitizer brings an allocator of its own, which may not fail. */
#ifndef FAULT_WITHOUT_MALLOC
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* Without memory libseccomp crashes, or makes a filter that lacks calls; either ends a role before it has
 * read anything, and another is started. That is known and not ours, so it is spared. */
static int allocation_fails(const char *name, const void *caller)
{
	Dl_info info;

	if (counts == NULL ||
		(dladdr(caller, &info) != 0 && info.dli_fname != NULL &&
			strstr(info.dli_fname, "libseccomp") != NULL))
		return 0;
	return fails(name, ENOMEM);
}

void *malloc(size_t size)
{
	return allocation_fails("malloc", __builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return allocation_fails("calloc", __builtin_return_address(0)) ? NULL
								       : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	return allocation_fails("realloc", __builtin_return_address(0))
		? NULL
		: __libc_realloc(memory, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return fails("aligned_alloc", ENOMEM) ? NULL : __libc_memalign(alignment, size);
}
#endif

WRAP(void *, mmap64, (void *at, size_t size, int prot, int flags, int fd, off64_t offset),
	(at, size, prot, flags, fd, offset), MAP_FAILED, ENOMEM)
WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol), -1, EMFILE)
WRAP(int, socketpair, (int domain, int type, int protocol, int ends[2]),
	(domain, type, protocol, ends), -1, EMFILE)
WRAP(int, bind, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size), -1,
	EACCES)
WRAP(int, listen, (int fd, int backlog), (fd, backlog), -1, ENOBUFS)
WRAP(int, accept4, (int fd, struct sockaddr *address, socklen_t *size, int flags),
	(fd, address, size, flags), -1, EMFILE)
WRAP(int, connect, (int fd, const struct sockaddr *address, socklen_t size), (fd, address, size),
	-1, ENOBUFS)
WRAP(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t size),
	(fd, level, name, value, size), -1, ENOPROTOOPT)
WRAP(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *size),
	(fd, level, name, value, size), -1, ENOBUFS)
WRAP(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags), -1,
	ENOBUFS)
WRAP(ssize_t, recv, (int fd, void *bytes, size_t size, int flags), (fd, bytes, size, flags), -1,
	ENOMEM)
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags), -1, ENOMEM)
WRAP(int, recvmmsg,
	(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout),
	(fd, messages, count, flags, timeout), -1, ENOMEM)
WRAP(int, epoll_create1, (int flags), (flags), -1, EMFILE)
WRAP(int, epoll_ctl, (int epfd, int op, int fd, struct epoll_event *event), (epfd, op, fd, event),
	-1, ENOSPC)
WRAP(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags), -1, EMFILE)
WRAP(int, timerfd_create, (int clock, int flags), (clock, flags), -1, EMFILE)
WRAP(int, ftruncate64, (int fd, off64_t size), (fd, size), -1, ENOSPC)
WRAP(int, fstat64, (int fd, struct stat64 *status), (fd, status), -1, EIO)
WRAP(int, fstatat64, (int fd, const char *path, struct stat64 *status, int flags),
	(fd, path, status, flags), -1, EIO)
WRAP(int, lstat64, (const char *path, struct stat64 *status), (path, status), -1, EIO)
WRAP(int, statfs64, (const char *path, struct statfs64 *status), (path, status), -1, EIO)
WRAP(int, fstatfs64, (int fd, struct statfs64 *status), (fd, status), -1, EIO)
WRAP(int, flock, (int fd, int operation), (fd, operation), -1, ENOLCK)
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode), -1, EPERM)
WRAP(int, fsync, (int fd), (fd), -1, EIO)
WRAP(int, mkdir, (const char *path, mode_t mode), (path, mode), -1, ENOSPC)
WRAP(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size), -1, EIO)
WRAP(ssize_t, pread64, (int fd, void *bytes, size_t size, off64_t offset),
	(fd, bytes, size, offset), -1, EIO)
WRAP(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size), -1, ENOSPC)
WRAP(ssize_t, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count), -1, ENOSPC)
WRAP(ssize_t, readlink, (const char *path, char *text, size_t size), (path, text, size), -1, EIO)
WRAP(ssize_t, readlinkat, (int fd, const char *path, char *text, size_t size),
	(fd, path, text, size), -1, EIO)
WRAP(int, setrlimit64, (__rlimit_resource_t resource, const struct rlimit64 *limit),
	(resource, limit), -1, EPERM)
WRAP(int, pthread_create,
	(pthread_t * thread, const pthread_attr_t *attributes, void *(*run)(void *), void *data),
	(thread, attributes, run, data), EAGAIN, EAGAIN)
WRAP(int, posix_fallocate64, (int fd, off64_t offset, off64_t size), (fd, offset, size), ENOSPC,
	ENOSPC)

/* The one byte that a forked child waits for goes into an empty socket pair of our own: the kernel
 * has no reason to refuse it. */
ssize_t send(int fd, const void *bytes, size_t size, int flags)
{
	NEXT(send);

	return size > 1 && fails("send", ENOBUFS) ? -1 : next(fd, bytes, size, flags);
}

int open64(const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;
	NEXT(open64);

	va_start(arguments, flags);
	mode = va_arg(arguments, mode_t);
	va_end(arguments);
	return fails("open", EMFILE) ? -1 : next(path, flags, mode);
}

int openat64(int fd, const char *path, int flags, ...)
{
	va_list arguments;
	mode_t mode;
	NEXT(openat64);

	va_start(arguments, flags);
	mode = va_arg(arguments, mode_t);
	va_end(arguments);
	return fails("openat", EMFILE) ? -1 : next(fd, path, flags, mode);
}

/* pidfd_open and other calls without a function of their own. */
long syscall(long number, ...)
{
	long a[6];
	va_list arguments;
	long result;

	va_start(arguments, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number == SYS_pidfd_open && fails("pidfd_open", EMFILE))
		return -1;
	if (number == SYS_pidfd_send_signal && fails("pidfd_send_signal", EPERM))
		return -1;
	if (number == EPOLL_PWAIT2 && fails("epoll_pwait2", EINTR))
		return -1;
	result = kernel(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	if (result < 0 && result > -4096) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

int clone(int (*run)(void *), void *stack, int flags, void *data, ...)
{
	va_list arguments;
	void *a[3];
	NEXT(clone);

	va_start(arguments, data);
	for (int i = 0; i < 3; i++)
		a[i] = va_arg(arguments, void *);
	va_end(arguments);
	return fails("clone", EAGAIN) ? -1 : next(run, stack, flags, data, a[0], a[1], a[2]);
}
