/* Every case closes a cage around a child of its own and looks how it fares. */

#include "cage.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY          65534
#define LANDLOCK_KNOWN  6
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#ifdef BELAY__SANITIZED
#define CAGED 0
#else
#define CAGED 1
#endif

static char directory[64], inside[96], outside[96];
static int directory_fd, status_fd;

/* --- a child in a cage --- */

/* How a child ended that entered the cage of KIND and then did ACT: its errno (0: it could), or
 * 1000 + signal. */
enum { SIGNALLED = 1000, NO_CAGE = 500 };

static int result_of(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFSIGNALED(status) ? SIGNALLED + WTERMSIG(status) : WEXITSTATUS(status);
}

static int caged(enum belay__cage_kind kind, const struct belay__cage_files *files, int (*act)(void))
{
	const struct belay__cage_files none = { .removable_dirfd = -EBADF };
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		status_fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
		if (belay__cage(kind, files != NULL ? files : &none, NULL, NULL) < 0)
			_exit(NO_CAGE & 0xff);
		_exit(act() < 0 ? errno : 0);
	}
	return result_of(child);
}

/* --- what is tried --- */

static int makes_a_socket(void)
{
	return socket(AF_INET, SOCK_STREAM, 0);
}

static int connects(void)
{
	return connect(0, NULL, 0);
}

static int binds(void)
{
	return bind(0, NULL, 0);
}

static int executes(void)
{
	char *const argv[] = { (char *)(uintptr_t) "/bin/true", NULL };

	return execve(argv[0], argv, NULL);
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

static int opens_for_writing(void)
{
	return open("/proc/self/comm", O_RDWR | O_CLOEXEC);
}

static int truncates_on_opening(void)
{
	return open(inside, O_RDONLY | O_TRUNC | O_CLOEXEC);
}

static int makes_a_file(void)
{
	return open(inside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static int removes_a_file(void)
{
	return unlinkat(directory_fd, "note", 0);
}

static int reads_proc(void)
{
	char text[64];
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : (int)read(fd, text, sizeof(text));
}

static int reads_another_file(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static int file_fd;

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

/* The event file and two sockets, one of beats and one connected, as the gate has them. */
static int events_fd, beats_fd, peer_fds[2];

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
#define DIES (SIGNALLED + SIGSYS)

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

/* --- files --- */

static int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, 1U);

	return abi < 0 ? 0 : (int)abi;
}

static void no_file_is_read_but_those_of_proc(void **state)
{
	(void)state;
	if (!CAGED || landlock_abi() == 0)
		skip();
	assert_int_equal(caged(BELAY__CAGE_GATE, NULL, reads_another_file), EACCES);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, NULL, reads_another_file), EACCES);
	/* Who is in such a domain may not look at others, which is the prober's work. */
	assert_int_equal(caged(BELAY__CAGE_PROBER, NULL, reads_another_file), 0);
}

static void make_note(void)
{
	int fd = openat(directory_fd, "note", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
}

static int reads_a_note(void)
{
	return openat(directory_fd, "note", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static int removes_another_file(void)
{
	return unlinkat(AT_FDCWD, outside, 0);
}

static void the_gate_reads_and_removes_notes_in_their_directory_only(void **state)
{
	const struct belay__cage_files files = { .removable_dirfd = directory_fd };

	(void)state;
	if (!CAGED)
		skip();
	make_note();
	assert_int_equal(caged(BELAY__CAGE_GATE, &files, reads_a_note), 0);
	assert_int_equal(caged(BELAY__CAGE_GATE, &files, removes_a_file), 0);
	assert_int_equal(faccessat(directory_fd, "note", F_OK, 0), -1);
	if (landlock_abi() > 0)
		assert_int_equal(caged(BELAY__CAGE_GATE, &files, removes_another_file), EACCES);
	assert_int_equal(caged(BELAY__CAGE_GATE, &files, makes_a_file), DIES);
}

static int replaces_its_file(void)
{
	char temporary[112];
	int fd;

	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", inside);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fchmod(fd, 0644) < 0)
		return -1;
	return rename(temporary, inside);
}

static int makes_a_file_elsewhere(void)
{
	char path[112];

	(void)snprintf(path, sizeof(path), "%s.tmp", outside);
	return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static void the_exporter_replaces_its_text_file_and_no_other(void **state)
{
	const struct belay__cage_files files = { .textfile = inside, .removable_dirfd = -EBADF };

	(void)state;
	if (!CAGED)
		skip();
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, replaces_its_file), 0);
	if (landlock_abi() > 0)
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, makes_a_file_elsewhere),
			EACCES);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, NULL, replaces_its_file), DIES);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, opens_for_writing), DIES);
	assert_int_equal(unlink(inside), 0);
}

static int reads_its_textfile_directory(void)
{
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Each version's ruleset is one that the kernel takes, and forbids what it is there for. */
static void every_version_of_landlock_is_used_as_it_is(void **state)
{
	const struct belay__cage_files files = { .textfile = inside, .removable_dirfd = -EBADF };

	(void)state;
	if (!CAGED || landlock_abi() == 0)
		skip();
	for (int version = 1; version <= landlock_abi(); version++) {
		struct belay__cage_report report = { 0 };
		pid_t child;

		belay__cage_landlock_most = version;
		child = fork();
		if (child == 0)
			_exit(belay__cage(BELAY__CAGE_GATE, &files, &report, NULL) < 0
					? 99
					: report.landlock_abi);
		assert_int_equal(result_of(child),
			version < LANDLOCK_KNOWN ? version : LANDLOCK_KNOWN);
		assert_int_equal(caged(BELAY__CAGE_GATE, NULL, reads_another_file), EACCES);
		assert_int_equal(caged(BELAY__CAGE_GATE, NULL, reads_proc), 0);
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, reads_its_textfile_directory),
			EACCES);
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, replaces_its_file), 0);
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, makes_a_file_elsewhere),
			EACCES);
		assert_int_equal(unlink(inside), 0);
	}
	belay__cage_landlock_most = INT_MAX;
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

/* --- whom it becomes --- */

static void an_argument_says_what_the_options_mean(void **state)
{
	char argument[BELAY__CAGE_ARGUMENT_SIZE];
	struct belay_error error;

	(void)state;
	assert_int_equal(belay__cage_argument(false, "", argument, &error), 0);
	assert_string_equal(argument, "");
	assert_int_equal(belay__cage_argument(true, "", argument, &error), 0);
	assert_string_equal(argument, "--no-sandbox");
	memcpy(argument, "same", 5);
	if (geteuid() == 0) {
		assert_int_equal(belay__cage_argument(false, "no such user", argument, &error),
			-ENOENT);
		assert_non_null(strstr(error.text, "no such user"));
		assert_string_equal(argument, "same");
		assert_int_equal(belay__cage_argument(false, "root", argument, &error), 0);
		assert_string_equal(argument, "");
		assert_int_equal(belay__cage_argument(false, "daemon", argument, &error), 0);
		assert_string_equal(argument, "--as=1:1");
	} else {
		assert_int_equal(belay__cage_argument(false, "daemon", argument, &error), -EPERM);
		assert_string_equal(argument, "same");
	}
}

static void what_is_no_argument_is_refused(void **state)
{
	static const char *const bad[] = { "--as=", "--as=1", "--as=1:", "--as=:1", "--as=1:1 ",
		"--as=-1:1", "--as=4294967295:1", "--as=1:4294967295", "--as= 1:1", "--other", "x" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(bad); i++)
		assert_int_equal(belay__cage_obey(bad[i]), -EINVAL);
	assert_int_equal(belay__cage_obey(NULL), 0);
	assert_int_equal(belay__cage_obey(""), 0);
}

/* The number behind KEY of our own status, read as BASE; all ones when there is none. It is read once, from
 * what was opened before there was a cage. */
static unsigned long long own_status(const char *key, int base)
{
	static char text[8192];
	const char *at;

	if (text[0] == '\0' && read(status_fd, text, sizeof(text) - 1) < 0)
		return ~0ULL;
	at = strstr(text, key);
	return at == NULL ? ~0ULL : strtoull(at + strlen(key), NULL, base);
}

static int has_become_nobody(void)
{
	bool all = getuid() == NOBODY && geteuid() == NOBODY && getgid() == NOBODY &&
		own_status("\nGroups:", 10) == 0 && own_status("\nCapPrm:", 16) == 0 &&
		own_status("\nCapBnd:", 16) == 0 && own_status("\nNoNewPrivs:", 10) == 1;

	errno = EBADMSG;
	return all ? 0 : -1;
}

static int sees_capabilities(unsigned long long wanted, bool bound)
{
	unsigned long long bounding = own_status("\nCapBnd:", 16);

	errno = EBADMSG;
	return own_status("\nCapEff:", 16) == (wanted & bounding) &&
			own_status("\nCapPrm:", 16) == (wanted & bounding) &&
			(!bound || (bounding & ~wanted) == 0)
		? 0
		: -1;
}

static int keeps_none(void)
{
	return sees_capabilities(0, true);
}

static int keeps_sys_ptrace(void)
{
	return sees_capabilities(1ULL << 19, true);
}

static int keeps_those_of_the_runner(void)
{
	return sees_capabilities(1ULL << 1 | 1ULL << 5 | 1ULL << 6 | 1ULL << 7 | 1ULL << 19, false);
}

static void of_root_each_role_keeps_what_its_row_says(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(caged(BELAY__CAGE_GATE, NULL, keeps_none), 0);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, NULL, keeps_none), 0);
	assert_int_equal(caged(BELAY__CAGE_PROBER, NULL, keeps_sys_ptrace), 0);
	assert_int_equal(caged(BELAY__CAGE_RUNNER, NULL, keeps_those_of_the_runner), 0);
}

/* Whoever may keeps a capability that its children inherit, and is no longer root. */
static void is_given_ambient_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const uint32_t given = 1U << CAP_KILL | 1U << CAP_SYS_PTRACE;
	struct __user_cap_data_struct data[2] = { { given, given, given } };

	if (prctl(PR_SET_KEEPCAPS, 1) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) < 0 || syscall(SYS_capset, &header, data) < 0 ||
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0) < 0 ||
		prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_PTRACE, 0, 0) < 0)
		_exit(98);
}

static int has_no_ambient_capability(unsigned long long wanted)
{
	bool none = own_status("\nCapAmb:", 16) == 0 && own_status("\nCapInh:", 16) == 0 &&
		own_status("\nCapPrm:", 16) == wanted && own_status("\nCapEff:", 16) == wanted;

	errno = EBADMSG;
	return none ? 0 : -1;
}

static int has_none_of_them(void)
{
	return has_no_ambient_capability(0);
}

static int has_what_the_prober_needs(void)
{
	return has_no_ambient_capability(1ULL << CAP_SYS_PTRACE);
}

static int ambient(enum belay__cage_kind kind, int (*act)(void))
{
	pid_t child = fork();

	if (child == 0) {
		is_given_ambient_capabilities();
		_exit(caged(kind, NULL, act) & 0xff);
	}
	return result_of(child);
}

static void who_is_not_root_gives_up_what_a_service_manager_gave_it(void **state)
{
	(void)state;
	if (geteuid() != 0 || prctl(PR_CAPBSET_READ, CAP_SYS_PTRACE) != 1 ||
		prctl(PR_CAPBSET_READ, CAP_KILL) != 1)
		skip();
	assert_int_equal(ambient(BELAY__CAGE_GATE, has_none_of_them), 0);
	assert_int_equal(ambient(BELAY__CAGE_EXPORTER, has_none_of_them), 0);
	assert_int_equal(ambient(BELAY__CAGE_PROBER, has_what_the_prober_needs), 0);
}

/* What was obeyed stays: in a child, then. */
static int obeying(const char *argument, enum belay__cage_kind kind, int (*act)(void))
{
	pid_t child = fork();

	if (child == 0)
		_exit(belay__cage_obey(argument) < 0 ? 99 : caged(kind, NULL, act) & 0xff);
	return result_of(child);
}

static int is_who_it_was(void)
{
	errno = EBADMSG;
	return getuid() == 0 ? 0 : -1;
}

static void gate_and_exporter_become_another_user_and_the_others_do_not(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_GATE, has_become_nobody), 0);
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_EXPORTER, has_become_nobody), 0);
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_PROBER, is_who_it_was), 0);
	assert_int_equal(obeying("--as=65534:65534", BELAY__CAGE_RUNNER, is_who_it_was), 0);
}

static int is_as_before(void)
{
	int fd = makes_a_socket();

	errno = EBADMSG;
	return fd >= 0 && own_status("\nSeccomp:", 10) == 0 && own_status("\nNoNewPrivs:", 10) == 0
		? 0
		: -1;
}

static void without_a_sandbox_nothing_is_given_up(void **state)
{
	(void)state;
	if (prctl(PR_GET_SECCOMP) != 0 || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0)
		skip();
	for (unsigned kind = 0; kind < BELAY__CAGE_COUNT; kind++)
		assert_int_equal(obeying("--no-sandbox", (enum belay__cage_kind)kind, is_as_before),
			0);
}

static void the_runner_starts_commands_that_no_cage_holds(void **state)
{
	(void)state;
	assert_int_equal(caged(BELAY__CAGE_RUNNER, NULL, is_as_before), 0);
	assert_int_equal(caged(BELAY__CAGE_RUNNER, NULL, executes), 0);
}

static int make_directory(void **state)
{
	int fd;

	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/belay-cage-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(inside, sizeof(inside), "%s/metrics.prom", directory);
	(void)snprintf(outside, sizeof(outside), "%s-outside", directory);
	fd = open(outside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	file_fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || file_fd < 0)
		return -1;
	(void)close(fd);
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	events_fd = openat(directory_fd, "events", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	beats_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (directory_fd < 0 || events_fd < 0 || beats_fd < 0 ||
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, peer_fds) < 0)
		return -1;
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	(void)unlinkat(directory_fd, "events", 0);
	(void)close(directory_fd);
	(void)close(file_fd);
	(void)close(events_fd);
	(void)close(beats_fd);
	(void)close(peer_fds[0]);
	(void)close(peer_fds[1]);
	(void)unlink(outside);
	return rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_role_may_do_what_its_row_says_and_dies_of_all_else),
		cmocka_unit_test(as_many_calls_are_allowed_as_is_documented),
		cmocka_unit_test(no_file_is_read_but_those_of_proc),
		cmocka_unit_test(the_gate_reads_and_removes_notes_in_their_directory_only),
		cmocka_unit_test(the_exporter_replaces_its_text_file_and_no_other),
		cmocka_unit_test(every_version_of_landlock_is_used_as_it_is),
		cmocka_unit_test(threads_that_are_there_already_are_caged_as_well),
		cmocka_unit_test(what_the_kernel_does_not_have_is_left_out_and_not_claimed),
		cmocka_unit_test(an_argument_says_what_the_options_mean),
		cmocka_unit_test(what_is_no_argument_is_refused),
		cmocka_unit_test(of_root_each_role_keeps_what_its_row_says),
		cmocka_unit_test(who_is_not_root_gives_up_what_a_service_manager_gave_it),
		cmocka_unit_test(gate_and_exporter_become_another_user_and_the_others_do_not),
		cmocka_unit_test(without_a_sandbox_nothing_is_given_up),
		cmocka_unit_test(the_runner_starts_commands_that_no_cage_holds),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
