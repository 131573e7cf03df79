#include "process/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/missing.h"

/* Sanitizers do not follow a child that shares their memory. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SHARE_MEMORY false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define SHARE_MEMORY false
#else
#define SHARE_MEMORY true
#endif
#else
#define SHARE_MEMORY true
#endif

#define STACK_SIZE  ((size_t)64 * 1024)
#define KERNEL_NSIG 64

/* A set of signals as the kernel knows it: the C library's functions leave out the two that it uses itself. */
typedef unsigned char kernel_sigset[KERNEL_NSIG / 8];

enum step { STEP_NONE, STEP_DEATH_SIGNAL, STEP_FDS, STEP_EXEC };

struct failure {
	int error; /* errno, 0: none */
	enum step step;
};

/* Everything the child needs. It lives in the parent's memory, which a vfork-class child writes to as well. */
struct start {
	const struct belay__spawn *spawn;
	char *const *envp;
	pid_t parent;
	int *moved;  /* the number that each row's descriptor was moved to, fd_count of them */
	int exec_fd; /* moved out of the way, or -EBADF */
	/* When memory is not shared both talk over a socket pair, else both are -EBADF. */
	int child_end, parent_end;
	struct failure failure;
};

/* The child's stack and the array of moved descriptors, in one mapping above a guard page. */
struct memory {
	char *base;
	size_t size;
	char *stack_end; /* the stack grows down from here, the array lies above */
};

static int set_mask(const kernel_sigset mask, kernel_sigset old)
{
	return (int)syscall(SYS_rt_sigprocmask, SIG_SETMASK, mask, old, sizeof(kernel_sigset));
}

/* --- The child. From here on only what is safe beside other threads: system calls, no locks, no heap. --- */

static void reset_signals(void)
{
	/* All zero is the default action with no flags in every layout that the kernel's struct has. */
	static const unsigned long by_default[8];

	for (int signal = 1; signal <= KERNEL_NSIG; signal++)
		(void)syscall(SYS_rt_sigaction, signal, by_default, NULL, sizeof(kernel_sigset));
}

static int move_out_of_the_way(int fd, int lowest)
{
	int moved = fcntl(fd, F_DUPFD_CLOEXEC, lowest);

	return moved < 0 ? -errno : moved;
}

/* Moves every source above all targets first; then no target can hit a source that is still needed. */
static int place_fds(struct start *start)
{
	const struct belay__spawn *spawn = start->spawn;
	int lowest = STDERR_FILENO + 1;

	for (size_t i = 0; i < spawn->fd_count; i++)
		if (spawn->fds[i].to >= lowest)
			lowest = spawn->fds[i].to + 1;

	if (start->child_end >= 0) {
		int moved = move_out_of_the_way(start->child_end, lowest);

		if (moved < 0)
			return moved;
		start->child_end = moved;
	}
	if (spawn->path == NULL) {
		start->exec_fd = move_out_of_the_way(spawn->exec_fd, lowest);
		if (start->exec_fd < 0)
			return start->exec_fd;
	}
	for (size_t i = 0; i < spawn->fd_count; i++) {
		start->moved[i] = move_out_of_the_way(spawn->fds[i].from, lowest);
		if (start->moved[i] < 0)
			return start->moved[i];
	}
	for (size_t i = 0; i < spawn->fd_count; i++)
		if (dup2(start->moved[i], spawn->fds[i].to) < 0)
			return -errno;
	return 0;
}

static bool is_kept(const struct start *start, int fd)
{
	if (fd <= STDERR_FILENO || fd == start->exec_fd || fd == start->child_end)
		return true;
	for (size_t i = 0; i < start->spawn->fd_count; i++)
		if (fd == start->spawn->fds[i].to)
			return true;
	return false;
}

/* The lowest descriptor from FIRST on that is kept, or -1. */
static int next_kept(const struct start *start, int first)
{
	int lowest = -1;

	for (size_t i = 0; i < start->spawn->fd_count + 2; i++) {
		int fd = i == 0  ? start->exec_fd
			: i == 1 ? start->child_end
				 : start->spawn->fds[i - 2].to;

		if (fd >= first && (lowest < 0 || fd < lowest))
			lowest = fd;
	}
	return lowest;
}

/* Closes the gaps between what is kept. Fails on kernels and under filters that do not know the call. */
static int close_by_range(const struct start *start)
{
	int first = STDERR_FILENO + 1;

	for (;;) {
		int kept = next_kept(start, first);
		unsigned last = kept < 0 ? ~0U : (unsigned)kept - 1;

		if (kept != first && syscall(SYS_close_range, (unsigned)first, last, 0U) < 0)
			return -errno;
		if (kept < 0)
			return 0;
		first = kept + 1;
	}
}

static int parse_fd(const char *name)
{
	int fd = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		fd = fd * 10 + (*name - '0');
	return *name == '\0' ? fd : -1;
}

/* Closes what /proc lists. opendir() would use the heap, which may be locked by a thread that is not here. */
static int close_by_listing(const struct start *start)
{
	struct entry {
		uint64_t inode;
		int64_t offset;
		unsigned short len;
		unsigned char type;
		char name[];
	};
	_Alignas(struct entry) char buffer[2048];
	int directory = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (directory < 0)
		return -errno;
	while ((n = syscall(SYS_getdents64, directory, buffer, sizeof(buffer))) > 0)
		for (long at = 0; at < n;) {
			const struct entry *entry = (const void *)(buffer + at);
			int fd = parse_fd(entry->name);

			if (fd > STDERR_FILENO && fd != directory && !is_kept(start, fd))
				(void)close(fd);
			at += entry->len;
		}
	(void)close(directory);
	return n < 0 ? -EIO : 0;
}

static void close_one_by_one(const struct start *start)
{
	struct rlimit limit;
	int end = 65536;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20)
		end = (int)limit.rlim_cur;
	for (int fd = STDERR_FILENO + 1; fd < end; fd++)
		if (!is_kept(start, fd))
			(void)close(fd);
}

static void close_others(const struct start *start)
{
	if (close_by_range(start) < 0 && close_by_listing(start) < 0)
		close_one_by_one(start);
}

static struct failure failed(int error, enum step step)
{
	return (struct failure){ .error = error, .step = step };
}

/* Becomes the program; returns only when that failed. */
static struct failure become(struct start *start)
{
	const struct belay__spawn *spawn = start->spawn;
	char *const *argv = (char *const *)(uintptr_t)spawn->argv;
	static const kernel_sigset none;
	int r;

	reset_signals();
	if (spawn->death_signal != 0) {
		if (prctl(PR_SET_PDEATHSIG, (unsigned long)spawn->death_signal, 0UL, 0UL, 0UL) < 0)
			return failed(errno, STEP_DEATH_SIGNAL);
		/* It died before it was watched: nobody is left to be told. */
		if (getppid() != start->parent)
			_exit(127);
	}

	r = place_fds(start);
	if (r < 0)
		return failed(-r, STEP_FDS);
	close_others(start);

	/* Not earlier: until here a handler of the parent's could have run on its memory. */
	(void)set_mask(none, NULL);
	if (spawn->path != NULL)
		(void)execve(spawn->path, argv, start->envp);
	else
		(void)syscall(SYS_execveat, start->exec_fd, "", argv, start->envp, AT_EMPTY_PATH);
	return failed(errno, STEP_EXEC);
}

/* A child that shares no memory begins when its parent holds a pidfd, or never. */
static void wait_for_go(const struct start *start)
{
	char go;

	(void)close(start->parent_end);
	if (read(start->child_end, &go, sizeof(go)) != (ssize_t)sizeof(go))
		_exit(127);
}

static int child_main(void *argument)
{
	struct start *start = argument;
	struct failure failure;

	if (start->child_end >= 0)
		wait_for_go(start);
	failure = become(start);
	if (start->child_end >= 0)
		(void)send(start->child_end, &failure, sizeof(failure), MSG_NOSIGNAL);
	else
		start->failure = failure;
	_exit(127);
}

/* --- The parent. --- */

static int start_sharing_memory(struct start *start, const struct memory *memory,
	struct belay__child *ret_child)
{
	int pidfd = -EBADF;
	pid_t pid = clone(child_main, memory->stack_end,
		CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, start, &pidfd);

	if (pid < 0)
		return -errno;
	*ret_child = (struct belay__child){ .pid = pid, .pidfd = pidfd };
	return 0;
}

/* The child says nothing when the exec took place: its end closes there. */
static int start_by_fork(struct start *start, struct belay__child *ret_child)
{
	_cleanup_close_ int parent_end = -EBADF, child_end = -EBADF, pidfd = -EBADF;
	int ends[2];
	ssize_t n;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	start->parent_end = parent_end = ends[0];
	start->child_end = child_end = ends[1];

	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		(void)child_main(start);

	(void)belay__close(TAKE_FD(child_end));
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
	if (pidfd < 0) {
		int r = -errno;

		(void)belay__close(TAKE_FD(parent_end));
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	(void)send(parent_end, "", 1, MSG_NOSIGNAL);
	do
		n = read(parent_end, &start->failure, sizeof(start->failure));
	while (n < 0 && errno == EINTR);
	*ret_child = (struct belay__child){ .pid = pid, .pidfd = TAKE_FD(pidfd) };
	return 0;
}

/* Signals stay blocked until the child is on its own: no handler may run in it. */
static int start_child(struct start *start, const struct memory *memory,
	struct belay__child *ret_child)
{
	kernel_sigset all, before;
	int cancel_state, r = -ENOSYS;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	memset(all, 0xFF, sizeof(all));
	(void)set_mask(all, before);

	if (SHARE_MEMORY)
		r = start_sharing_memory(start, memory, ret_child);
	/* Old kernels and the filters of containers refuse it in these ways. */
	if (r == -ENOSYS || r == -EPERM || r == -EINVAL)
		r = start_by_fork(start, ret_child);

	(void)set_mask(before, NULL);
	(void)pthread_setcancelstate(cancel_state, NULL);
	return r;
}

static int map_memory(size_t fd_count, struct memory *ret_memory)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t size = page + STACK_SIZE + (fd_count * sizeof(int) + page - 1) / page * page;
	char *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return -errno;
	if (mprotect(base, page, PROT_NONE) < 0) {
		int r = -errno;

		(void)munmap(base, size);
		return r;
	}
	*ret_memory = (struct memory){ .base = base,
		.size = size,
		.stack_end = base + page + STACK_SIZE };
	return 0;
}

static int say_failure(const struct start *start, struct belay_error *reterr)
{
	const char *program = start->spawn->path != NULL ? start->spawn->path
							 : start->spawn->argv[0];
	int error = start->failure.error;

	switch (start->failure.step) {
	case STEP_DEATH_SIGNAL:
		return belay__fail(reterr, -error, "cannot run %s: cannot set death signal %d: %s",
			program, start->spawn->death_signal, strerror(error));
	case STEP_FDS:
		return belay__fail(reterr, -error, "cannot run %s: cannot pass its descriptors: %s",
			program, strerror(error));
	case STEP_EXEC:
	case STEP_NONE:
		break;
	}
	return belay__fail(reterr, -error, "cannot run %s: %s", program, strerror(error));
}

static int reap_failed(const struct start *start, int pidfd, struct belay_error *reterr)
{
	siginfo_t info;

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	(void)belay__close(pidfd);
	return say_failure(start, reterr);
}

int belay__spawn(const struct belay__spawn *spawn, struct belay__child *ret_child,
	struct belay_error *reterr)
{
	struct start start = {
		.spawn = spawn,
		.envp = spawn->envp == NULL ? environ : (char *const *)(uintptr_t)spawn->envp,
		.parent = getpid(),
		.exec_fd = -EBADF,
		.child_end = -EBADF,
		.parent_end = -EBADF,
	};
	struct belay__child child = { 0 };
	struct memory memory = { 0 };
	int r;

	assert(spawn->argv != NULL && spawn->argv[0] != NULL);

	if (spawn->path != NULL && spawn->path[0] != '/')
		return belay__fail(reterr, -EINVAL,
			"cannot run %s: the path of a program begins with /", spawn->path);
	r = map_memory(spawn->fd_count, &memory);
	if (r < 0)
		return belay__fail(reterr, r, "cannot start a process: no stack for it: %s",
			strerror(-r));

	start.moved = (int *)(void *)memory.stack_end;
	r = start_child(&start, &memory, &child);
	(void)munmap(memory.base, memory.size);
	if (r < 0)
		return belay__fail(reterr, r, "cannot start a process: %s", strerror(-r));
	if (start.failure.error != 0)
		return reap_failed(&start, child.pidfd, reterr);
	*ret_child = child;
	return 0;
}

int belay__reap(int pidfd, int *ret_wait_status)
{
	siginfo_t info = { 0 };

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG) < 0)
		if (errno != EINTR)
			return -errno;
	if (info.si_pid == 0)
		return 0;

	if (info.si_code == CLD_EXITED)
		*ret_wait_status = W_EXITCODE(info.si_status & 0xFF, 0);
	else
		*ret_wait_status = info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
	return 1;
}

int belay__signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0U) < 0 ? -errno : 0;
}
