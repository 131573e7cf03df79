#include "process/spawn.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/missing.h"
#include "process/child.h"

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

/* PIDFD_SIGNAL_PROCESS_GROUP (6.9) */
#define SIGNAL_GROUP_OF_PIDFD 4U

#define STACK_SIZE ((size_t)64 * 1024)

/* The child's stack and the array of moved descriptors, in one mapping above a guard page. */
struct memory {
	char *base;
	size_t size;
	char *stack_end; /* the stack grows down from here, the array lies above */
};

static int start_sharing_memory(struct belay__start *start, const struct memory *memory,
	struct belay__child *ret_child)
{
	int pidfd = -EBADF;
	pid_t pid = clone(belay__child_main, memory->stack_end,
		CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD, start, &pidfd);

	if (pid < 0)
		return -errno;
	*ret_child = (struct belay__child){ .pid = pid, .pidfd = pidfd };
	return 0;
}

/* The child says nothing when the exec took place: its end closes there. */
static int start_by_fork(struct belay__start *start, struct belay__child *ret_child)
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
		belay__child_main(start);

	(void)belay__close(TAKE_FD(child_end));
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0U);
	if (pidfd < 0) {
		int r = -errno;

		(void)belay__close(TAKE_FD(parent_end));
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	/* A child that is not told to go on reads the end of the channel instead, and ends. */
	if (send(parent_end, "", 1, MSG_NOSIGNAL) < 0) {
		int r = -errno;

		(void)belay__close(TAKE_FD(parent_end));
		(void)waitpid(pid, NULL, 0);
		return r;
	}
	do
		n = read(parent_end, &start->failure, sizeof(start->failure));
	while (n < 0 && errno == EINTR);
	*ret_child = (struct belay__child){ .pid = pid, .pidfd = TAKE_FD(pidfd) };
	return 0;
}

/* Signals stay blocked until the child is on its own: no handler may run in it. */
static int start_child(struct belay__start *start, const struct memory *memory,
	struct belay__child *ret_child)
{
	belay__signal_set all, before;
	int cancel_state, r = -ENOSYS;

	(void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	memset(all, 0xFF, sizeof(all));
	(void)belay__set_signal_mask(all, before);

	if (SHARE_MEMORY)
		r = start_sharing_memory(start, memory, ret_child);
	/* Old kernels and the filters of containers refuse it in these ways. */
	if (r == -ENOSYS || r == -EPERM || r == -EINVAL)
		r = start_by_fork(start, ret_child);

	(void)belay__set_signal_mask(before, NULL);
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

static int say_failure(const struct belay__start *start, struct belay_error *reterr)
{
	/* clang-format off */
	static const char *const what[] = {
		[BELAY__STEP_NONE] = "",
		[BELAY__STEP_GROUP] = "cannot lead a process group: ",
		[BELAY__STEP_FDS] = "cannot pass its descriptors: ",
		[BELAY__STEP_CREDENTIALS] = "cannot become its user: ",
		[BELAY__STEP_DIRECTORY] = "cannot enter its directory: ",
		[BELAY__STEP_PRIVILEGES] = "cannot give up privileges: ",
		[BELAY__STEP_DEATH_SIGNAL] = "cannot set its death signal: ",
		[BELAY__STEP_RECORD] = "cannot record its start: ",
		[BELAY__STEP_LIMITS] = "cannot set its limits: ",
		[BELAY__STEP_EXEC] = "",
	};
	/* clang-format on */
	const char *program = start->spawn->path != NULL ? start->spawn->path
							 : start->spawn->argv[0];
	int error = start->failure.error;

	return belay__fail(reterr, -error, "cannot run %s: %s%s", program,
		what[start->failure.step], strerror(error));
}

static int reap_failed(const struct belay__start *start, int pidfd, struct belay_error *reterr)
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
	struct belay__start start = {
		.spawn = spawn,
		.envp = spawn->envp == NULL ? environ : (char *const *)(uintptr_t)spawn->envp,
		.parent = getpid(),
		.exec_fd = -EBADF,
		.record_fd = -EBADF,
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
		*ret_wait_status = (info.si_status & 0xFF) << 8; /* musl has no W_EXITCODE() */
	else
		*ret_wait_status = info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
	return 1;
}

int belay__signal(int pidfd, int signal)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0U) < 0 ? -errno : 0;
}

int belay__signal_group_by_pidfd(int pidfd, int signal)
{
	long r = syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, SIGNAL_GROUP_OF_PIDFD);

	return r < 0 ? -errno : 0;
}

int belay__signal_group(const struct belay__child *child, int signal)
{
	int r = belay__signal_group_by_pidfd(child->pidfd, signal);

	if (r != -EINVAL && r != -ENOSYS && r != -EPERM)
		return r;
	return kill(-child->pid, signal) < 0 ? -errno : 0;
}

int belay__ended(int pidfd)
{
	siginfo_t info = { 0 };

	while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
		if (errno != EINTR)
			return -errno;
	return info.si_pid != 0;
}

uint64_t belay__fnv(const void *bytes, size_t len)
{
	const unsigned char *byte = bytes;
	uint64_t hash = UINT64_C(0xCBF29CE484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ byte[i]) * UINT64_C(0x100000001B3);
	return hash;
}
