/* What each role may do, and that it dies of all else: system calls. */

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/cage_testing.h"

/* A file of /proc, the event file and two sockets, one of beats and one connected, as the gate has them. */
static int file_fd, events_fd, beats_fd, peer_fds[2];

static int open_what_roles_have(void **state)
{
	if (make_directory(state) < 0)
		return -1;
	file_fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	events_fd = openat(directory_fd, "events", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	beats_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (file_fd < 0 || events_fd < 0 || beats_fd < 0)
		return -1;
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peer_fds);
}

static int close_what_roles_have(void **state)
{
	(void)close(file_fd);
	(void)close(events_fd);
	(void)close(beats_fd);
	(void)close(peer_fds[0]);
	(void)close(peer_fds[1]);
	(void)unlinkat(directory_fd, "events", 0);
	return remove_directory(state);
}

/* --- what is tried --- */

static int connects(void)
{
	return connect(0, NULL, 0);
}

static int binds(void)
{
	return bind(0, NULL, 0);
}

static int forks(void)
{
	return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int makes_a_namespace(void)
{
	return unshare(CLONE_NEWUSER);
}

static int signals_its_parent(void)
{
	return kill(getppid(), 0);
}

static int signals_a_thread_of_its_parent(void)
{
	return (int)syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static int signals_by_pidfd(void)
{
	return (int)syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0);
}

static int takes_a_descriptor(void)
{
	return (int)syscall(SYS_pidfd_getfd, 0, 0, 0);
}

static int traces(void)
{
	return (int)ptrace(PTRACE_ATTACH, getppid(), NULL, NULL);
}

static int reads_memory(void)
{
	return (int)process_vm_readv(getppid(), NULL, 0, NULL, 0, 0);
}

static int writes_memory(void)
{
	return (int)process_vm_writev(getppid(), NULL, 0, NULL, 0, 0);
}

static int maps_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
			MAP_FAILED
		? -1
		: 0;
}

static int makes_code(void)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return mprotect(page, 4096, PROT_READ | PROT_EXEC);
}

static int types_into_a_terminal(void)
{
	return ioctl(0, TIOCSTI, "x");
}

static int loads_a_program_into_the_kernel(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0);
}

static int makes_a_ring(void)
{
	return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

static int changes_its_uid(void)
{
	return setuid(getuid());
}

static int mounts(void)
{
	return (int)syscall(SYS_mount, NULL, NULL, NULL, 0, NULL);
}

static int reads_a_link(void)
{
	char link[64];

	return (int)readlink("/proc/self/exe", link, sizeof(link));
}

static int opens_a_pidfd(void)
{
	return (int)syscall(SYS_pidfd_open, getppid(), 0);
}

static int seeks(void)
{
	return lseek(directory_fd, 4096, SEEK_SET) < 0 ? -1 : 0;
}

static int truncates_on_opening(void)
{
	return open(inside, O_RDONLY | O_TRUNC | O_CLOEXEC);
}

static int reads_from_the_start_only(void)
{
	int fd = file_fd;
	char byte;

	if (pread(fd, &byte, 1, 0) != 1)
		return -1;
	return pread(fd, &byte, 1, 1) == -1 && errno == EPERM ? 0 : -1;
}

static int waits(void)
{
	struct epoll_event event;
	int fd = epoll_create1(EPOLL_CLOEXEC);

	return fd < 0 ? -1 : epoll_wait(fd, &event, 1, 0);
}

static int allocates(void)
{
	void *memory = malloc((size_t)64 << 20);
	int r = memory != NULL ? 0 : -1;

	free(memory);
	return r;
}

static int aborts(void)
{
	abort();
}

static void *nothing(void *data)
{
	return data;
}

static int starts_a_thread(void)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, nothing, NULL);
	return errno != 0 ? -1 : pthread_join(thread, NULL);
}

/* --- what is open and could be had for more --- */

static int sends_to_an_address(void)
{
	struct sockaddr_un other = { .sun_family = AF_UNIX, .sun_path = "/tmp/other" };

	return (int)sendto(beats_fd, "x", 1, 0, (struct sockaddr *)&other, sizeof(other));
}

static int sends_a_message(void)
{
	struct iovec part = { .iov_base = directory, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	return (int)sendmsg(peer_fds[0], &message, MSG_NOSIGNAL);
}

static int answers(void)
{
	return (int)send(peer_fds[0], "x", 1, MSG_NOSIGNAL);
}

static int appends_at(long place, long flags)
{
	struct iovec part = { .iov_base = directory, .iov_len = 1 };

	return (int)syscall(SYS_pwritev2, events_fd, &part, 1L, place, place, flags);
}

static int writes_at_the_start(void)
{
	return appends_at(0, 8); /* RWF_NOWAIT */
}

static int writes_without_appending(void)
{
	return appends_at(-1, 0x20); /* RWF_NOAPPEND */
}

static int logs(void)
{
	/* Some file systems cannot promise not to wait. */
	return appends_at(-1, 8) < 0 && errno != EOPNOTSUPP && errno != EAGAIN ? -1 : 0;
}

static int appends_no_more(void)
{
	return fcntl(events_fd, F_SETFL, 0);
}

static int cuts_its_file(void)
{
	return ftruncate(events_fd, 0);
}

static int makes_a_hole(void)
{
	return (int)syscall(SYS_fallocate, events_fd, 3L, 0L, 4096L);
}

static int takes_room(void)
{
	int r = (int)syscall(SYS_fallocate, events_fd, 0L, 0L, 1L);

	return r < 0 && errno == EOPNOTSUPP ? 0 : r;
}

/* --- the table --- */

enum {
	GATE = 1 << BELAY__CAGE_GATE,
	PROBER = 1 << BELAY__CAGE_PROBER,
	EXPORTER = 1 << BELAY__CAGE_EXPORTER,
	ALL = GATE | PROBER | EXPORTER
};

/* clang-format off */
static const struct {
	const char *what;
	int (*act)(void);
	unsigned kinds; /* cages in which RESULT is what happens */
	int result;
} table[] = {
	{ "socket", makes_a_socket, ALL, DIES },
	{ "connect", connects, ALL, DIES },
	{ "bind", binds, ALL, DIES },
	{ "execve", executes, ALL, DIES },
	{ "fork", forks, ALL, DIES },
	{ "unshare", makes_a_namespace, ALL, DIES },
	{ "kill", signals_its_parent, ALL, DIES },
	{ "tgkill of another", signals_a_thread_of_its_parent, ALL, DIES },
	{ "pidfd_send_signal", signals_by_pidfd, ALL, DIES },
	{ "pidfd_getfd", takes_a_descriptor, ALL, DIES },
	{ "ptrace", traces, ALL, DIES },
	{ "process_vm_readv", reads_memory, ALL, DIES },
	{ "process_vm_writev", writes_memory, ALL, DIES },
	{ "mmap of code", maps_code, ALL, DIES },
	{ "mprotect to code", makes_code, ALL, DIES },
	{ "ioctl", types_into_a_terminal, ALL, DIES },
	{ "bpf", loads_a_program_into_the_kernel, ALL, DIES },
	{ "io_uring", makes_a_ring, ALL, DIES },
	{ "setuid", changes_its_uid, ALL, DIES },
	{ "mount", mounts, ALL, DIES },
	{ "lseek", seeks, ALL, DIES },
	{ "open to write", opens_for_writing, ALL, DIES },
	{ "open to truncate", truncates_on_opening, ALL, DIES },
	{ "open to make", makes_a_file, ALL, DIES },
	{ "unlink", removes_a_file, ALL, DIES },
	{ "sendto an address", sends_to_an_address, ALL, DIES },
	{ "sendmsg", sends_a_message, GATE | PROBER, DIES },
	{ "pwritev2 at a place", writes_at_the_start, ALL, DIES },
	{ "pwritev2 that does not append", writes_without_appending, ALL, DIES },
	{ "F_SETFL", appends_no_more, ALL, DIES },
	{ "ftruncate", cuts_its_file, ALL, DIES },
	{ "fallocate of a hole", makes_a_hole, ALL, DIES },
	{ "thread", starts_a_thread, PROBER | EXPORTER, DIES },
	{ "readlink", reads_a_link, EXPORTER, DIES },
	{ "pidfd_open", opens_a_pidfd, PROBER | EXPORTER, DIES },
	{ "abort", aborts, ALL, SIGNALLED + SIGABRT },
	{ "read /proc", reads_proc, ALL, 0 },
	{ "wait", waits, ALL, 0 },
	{ "send", answers, ALL, 0 },
	{ "pwritev2", logs, ALL, 0 },
	{ "fallocate", takes_room, GATE | EXPORTER, 0 },
	{ "allocate", allocates, ALL, 0 },
	{ "thread", starts_a_thread, GATE, 0 },
	{ "pread", reads_from_the_start_only, GATE | EXPORTER, 0 },
};
/* clang-format on */

static void each_role_may_do_what_its_row_says_and_dies_of_all_else(void **state)
{
	(void)state;
	if (!CAGED)
		skip();
	for (size_t i = 0; i < COUNT_OF(table); i++)
		for (unsigned kind = 0; kind < BELAY__CAGE_COUNT; kind++) {
			int got;

			if ((table[i].kinds & 1U << kind) == 0)
				continue;
			got = caged((enum belay__cage_kind)kind, NULL, table[i].act);
			if (got != table[i].result)
				fail_msg("%s in cage %u: %d, not %d", table[i].what, kind, got,
					table[i].result);
		}
}

/* How many system calls a cage of KIND allows. */
static int calls_of(enum belay__cage_kind kind, const struct belay__cage_files *files)
{
	struct belay__cage_report report;
	pid_t child = fork();

	if (child == 0)
		_exit(belay__cage(kind, files, &report, NULL) < 0 ? 0 : (int)report.calls);
	return result_of(child);
}

/* docs/security.md tells them. */
static void as_many_calls_are_allowed_as_is_documented(void **state)
{
	const struct belay__cage_files none = { .removable_dirfd = -EBADF };
	const struct belay__cage_files notes = { .removable_dirfd = directory_fd };
	const struct belay__cage_files text = { .textfile = inside, .removable_dirfd = -EBADF };

	(void)state;
#ifndef __x86_64__
	skip();
#endif
	if (!CAGED)
		skip();
	assert_int_equal(calls_of(BELAY__CAGE_GATE, &none), 86);
	assert_int_equal(calls_of(BELAY__CAGE_GATE, &notes), 87);
	assert_int_equal(calls_of(BELAY__CAGE_PROBER, &none), 63);
	assert_int_equal(calls_of(BELAY__CAGE_EXPORTER, &none), 70);
	assert_int_equal(calls_of(BELAY__CAGE_EXPORTER, &text), 78);
	assert_int_equal(calls_of(BELAY__CAGE_RUNNER, &none), 0);
}

/* --- threads --- */

static int pipe_ends[2];

static void *makes_a_socket_when_told(void *data)
{
	char byte;

	(void)data;
	if (read(pipe_ends[0], &byte, 1) == 1)
		(void)makes_a_socket();
	return NULL;
}

static void threads_that_are_there_already_are_caged_as_well(void **state)
{
	const struct belay__cage_files none = { .removable_dirfd = -EBADF };
	pthread_t thread;
	pid_t child;

	(void)state;
	if (!CAGED)
		skip();
	assert_int_equal(pipe2(pipe_ends, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		if (pthread_create(&thread, NULL, makes_a_socket_when_told, NULL) != 0 ||
			belay__cage(BELAY__CAGE_GATE, &none, NULL, NULL) < 0)
			_exit(1);
		_exit(write(pipe_ends[1], "x", 1) == 1 && pthread_join(thread, NULL) == 0 ? 2 : 3);
	}
	assert_int_equal(result_of(child), DIES);
	(void)close(pipe_ends[0]);
	(void)close(pipe_ends[1]);
}

/* --- what the kernel does not have --- */

static void without(long number, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = COUNT_OF(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(90);
}

/* 0 when a gate's cage closes where system call NUMBER fails with ERROR, and says WANTED of itself. */
static int closes_without(long number, int error, const struct belay__cage_report *wanted)
{
	const struct belay__cage_files none = { .removable_dirfd = -EBADF };
	pid_t child = fork();

	if (child == 0) {
		struct belay__cage_report report;

		without(number, error);
		if (belay__cage(BELAY__CAGE_GATE, &none, &report, NULL) < 0)
			_exit(1);
		_exit(report.no_new_privs == wanted->no_new_privs &&
					report.seccomp == wanted->seccomp &&
					(report.landlock_abi > 0) == (wanted->landlock_abi > 0) &&
					report.uid == geteuid()
				? 0
				: 2);
	}
	return result_of(child);
}

static void what_the_kernel_does_not_have_is_left_out_and_not_claimed(void **state)
{
	const struct belay__cage_report files = { .no_new_privs = true,
		.landlock_abi = landlock_abi() };
	const struct belay__cage_report calls = { .no_new_privs = true, .seccomp = true };

	(void)state;
	if (!CAGED)
		skip();
	assert_int_equal(closes_without(SYS_landlock_create_ruleset, ENOSYS, &calls), 0);
	assert_int_equal(closes_without(SYS_landlock_create_ruleset, EOPNOTSUPP, &calls), 0);
	assert_int_equal(closes_without(SYS_seccomp, ENOSYS, &files), 0);
	assert_int_equal(closes_without(SYS_seccomp, EINVAL, &files), 0);
	/* What is there and fails is no reason to go on without it. */
	assert_int_equal(closes_without(SYS_seccomp, ENOMEM, &files), 1);
	assert_int_equal(closes_without(SYS_landlock_restrict_self, E2BIG, &files), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_role_may_do_what_its_row_says_and_dies_of_all_else),
		cmocka_unit_test(as_many_calls_are_allowed_as_is_documented),
		cmocka_unit_test(threads_that_are_there_already_are_caged_as_well),
		cmocka_unit_test(what_the_kernel_does_not_have_is_left_out_and_not_claimed),
	};

	return cmocka_run_group_tests(tests, open_what_roles_have, close_what_roles_have);
}
