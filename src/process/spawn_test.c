#include "process/spawn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/missing.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { FDS_MAX = 300, TIMEOUT_MS = 20000 };

/* A running /bin/cat with its stdin and stdout in our hands. */
struct cat {
	struct belay__child child;
	int in, out;
};

static void make_pipe(int *ret_reading, int *ret_writing)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	*ret_reading = ends[0];
	*ret_writing = ends[1];
}

static void wait_readable(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&ready, 1, TIMEOUT_MS), 1);
}

/* Starts cat with FDS besides and waits until it has come to its main loop, where it holds nothing
 * of the linker's. */
static struct cat start_cat(struct belay__spawn spawn)
{
	static const char *const argv[] = { "cat", NULL };
	struct belay__spawn_fd fds[8];
	int stdin_end, stdout_end;
	struct cat cat;
	char byte;

	make_pipe(&stdin_end, &cat.in);
	make_pipe(&cat.out, &stdout_end);
	assert_in_range(spawn.fd_count, 0, COUNT(fds) - 2);
	if (spawn.fd_count > 0)
		memcpy(fds, spawn.fds, spawn.fd_count * sizeof(fds[0]));
	fds[spawn.fd_count++] = (struct belay__spawn_fd){ .from = stdin_end, .to = 0 };
	fds[spawn.fd_count++] = (struct belay__spawn_fd){ .from = stdout_end, .to = 1 };
	spawn.fds = fds;
	spawn.argv = argv;
	if (spawn.exec_fd <= 0)
		spawn.path = "/bin/cat";
	assert_int_equal(belay__spawn(&spawn, &cat.child, NULL), 0);
	(void)belay__close(stdin_end);
	(void)belay__close(stdout_end);

	assert_int_equal(write(cat.in, "x", 1), 1);
	wait_readable(cat.out);
	assert_int_equal(read(cat.out, &byte, 1), 1);
	return cat;
}

/* Waits for the end behind PIDFD and returns its wait status. */
static int wait_for_end(int pidfd)
{
	int status = -1;

	wait_readable(pidfd);
	assert_int_equal(belay__reap(pidfd, &status), 1);
	return status;
}

static void end_cat(struct cat *cat)
{
	(void)belay__close(cat->in);
	(void)belay__close(cat->out);
	assert_int_equal(wait_for_end(cat->child.pidfd), 0);
	(void)belay__close(cat->child.pidfd);
}

/* What is open as number FD in process PID: the name that the kernel has for it, or "" for
 * nothing. */
static void name_of_fd(pid_t pid, int fd, char name[static 256])
{
	char path[64];
	ssize_t len;

	(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, fd);
	len = readlink(path, name, 255);
	name[len < 0 ? 0 : len] = '\0';
}

static void assert_only_open(pid_t pid, const int *fds, size_t count)
{
	char name[256];

	for (int fd = 0; fd < FDS_MAX; fd++) {
		bool expected = fd <= 2;

		for (size_t i = 0; i < count; i++)
			expected |= fds[i] == fd;
		name_of_fd(pid, fd, name);
		if ((name[0] != '\0') != expected)
			print_error("descriptor %d of the child: '%s'\n", fd, name);
		assert_int_equal(name[0] != '\0', expected);
	}
}

static void the_child_has_the_descriptors_asked_for_and_no_other(void **state)
{
	/* Born without close-on-exec, as a careless library of the host might. */
	int careless = fcntl(STDERR_FILENO, F_DUPFD, 3), far = fcntl(STDERR_FILENO, F_DUPFD, 200);
	_cleanup_close_ int memory = memfd_create("asked-for", MFD_CLOEXEC);
	const struct belay__spawn_fd fds[] = { { memory, 7 }, { memory, 120 } };
	const int expected[] = { 7, 120 };
	struct cat cat;
	char name[256];
	(void)state;

	assert_true(careless >= 3 && far >= 200);
	cat = start_cat((struct belay__spawn){ .fds = fds, .fd_count = COUNT(fds) });
	assert_only_open(cat.child.pid, expected, COUNT(expected));
	for (size_t i = 0; i < COUNT(expected); i++) {
		name_of_fd(cat.child.pid, expected[i], name);
		assert_non_null(strstr(name, "asked-for"));
	}
	end_cat(&cat);

	cat = start_cat((struct belay__spawn){ 0 });
	assert_only_open(cat.child.pid, NULL, 0);
	end_cat(&cat);
	(void)belay__close(careless);
	(void)belay__close(far);
}

static void numbers_that_overlap_are_exchanged(void **state)
{
	_cleanup_close_ int a = memfd_create("file-a", MFD_CLOEXEC);
	_cleanup_close_ int b = memfd_create("file-b", MFD_CLOEXEC);
	_cleanup_close_ int c = memfd_create("file-c", MFD_CLOEXEC);
	const struct belay__spawn_fd fds[] = { { a, b }, { b, c }, { c, a }, { a, 2 } };
	const struct belay__spawn_fd same[] = { { a, a }, { b, b } };
	const int expected[] = { a, b, c };
	const struct {
		int fd;
		const char *name;
	} cases[] = { { a, "file-c" }, { b, "file-a" }, { c, "file-b" }, { 2, "file-a" } };
	struct cat cat;
	char name[256];
	(void)state;

	cat = start_cat((struct belay__spawn){ .fds = fds, .fd_count = COUNT(fds) });
	assert_only_open(cat.child.pid, expected, COUNT(expected));
	for (size_t i = 0; i < COUNT(cases); i++) {
		name_of_fd(cat.child.pid, cases[i].fd, name);
		assert_non_null(strstr(name, cases[i].name));
	}
	end_cat(&cat);

	/* In place, though they are close-on-exec here. */
	cat = start_cat((struct belay__spawn){ .fds = same, .fd_count = COUNT(same) });
	assert_only_open(cat.child.pid, expected, 2);
	end_cat(&cat);
	assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
}

static void a_program_is_run_from_its_descriptor(void **state)
{
	_cleanup_close_ int program = open("/bin/cat", O_PATH | O_CLOEXEC);
	struct cat cat;
	(void)state;

	assert_true(program > 0);
	cat = start_cat((struct belay__spawn){ .exec_fd = program });
	assert_only_open(cat.child.pid, NULL, 0);
	end_cat(&cat);
}

static void run_shell(const char *script, const char *const *envp, char *output, size_t size,
	int *ret_status)
{
	const char *const argv[] = { "sh", "-c", script, NULL };
	int reading, writing;
	struct belay__child child;
	ssize_t n;

	make_pipe(&reading, &writing);
	const struct belay__spawn_fd fds[] = { { writing, 1 } };
	const struct belay__spawn spawn = { .path = "/bin/sh",
		.argv = argv,
		.envp = envp,
		.fds = fds,
		.fd_count = 1 };

	assert_int_equal(belay__spawn(&spawn, &child, NULL), 0);
	(void)belay__close(writing);
	wait_readable(child.pidfd);
	n = read(reading, output, size - 1);
	assert_true(n >= 0);
	output[n] = '\0';
	(void)belay__close(reading);
	*ret_status = wait_for_end(child.pidfd);
	(void)belay__close(child.pidfd);
}

static void the_environment_is_given_or_inherited(void **state)
{
	const char *const envp[] = { "BELAY_TEST=given", NULL };
	char output[64];
	int status;
	(void)state;

	assert_int_equal(setenv("BELAY_TEST", "inherited", 1), 0);
	run_shell("printf %s \"$BELAY_TEST$HOME\"", envp, output, sizeof(output), &status);
	assert_string_equal(output, "given");
	run_shell("printf %s \"$BELAY_TEST\"", NULL, output, sizeof(output), &status);
	assert_string_equal(output, "inherited");
	assert_int_equal(unsetenv("BELAY_TEST"), 0);
}

static void how_a_child_ended_is_told(void **state)
{
	static const struct {
		const char *script;
		bool exited;
		int value;
	} cases[] = {
		{ "exit 0", true, 0 },
		{ "exit 7", true, 7 },
		{ "exit 255", true, 255 },
		{ "kill -KILL $$", false, SIGKILL },
		{ "kill -TERM $$", false, SIGTERM },
	};
	char output[64];
	int status;
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		run_shell(cases[i].script, NULL, output, sizeof(output), &status);
		assert_int_equal(WIFEXITED(status), cases[i].exited);
		assert_int_equal(cases[i].exited ? WEXITSTATUS(status) : WTERMSIG(status),
			cases[i].value);
	}
}

static void a_running_child_is_not_reaped_and_an_ended_one_once(void **state)
{
	struct cat cat = start_cat((struct belay__spawn){ 0 });
	int status = 4711;
	(void)state;

	assert_int_equal(fcntl(cat.child.pidfd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(belay__reap(cat.child.pidfd, &status), 0);
	assert_int_equal(status, 4711);
	assert_int_equal(belay__signal(cat.child.pidfd, SIGTERM), 0);
	assert_int_equal(wait_for_end(cat.child.pidfd), SIGTERM);
	assert_int_equal(belay__reap(cat.child.pidfd, &status), -ECHILD);
	assert_int_equal(belay__signal(cat.child.pidfd, SIGTERM), -ESRCH);
	assert_int_equal(status, 4711);
	(void)belay__close(cat.child.pidfd);
	(void)belay__close(cat.in);
	(void)belay__close(cat.out);
	assert_int_equal(belay__signal(-1, SIGTERM), -EBADF);
	assert_int_equal(belay__reap(STDERR_FILENO, &status), -EBADF);
}

static void handle(int signal)
{
	(void)signal;
}

/* The hexadecimal number behind NAME in /proc/PID/status. */
static unsigned long long status_mask(pid_t pid, const char *name)
{
	char path[64], status[4096], *line;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	assert_true(belay__read_file(AT_FDCWD, path, status, sizeof(status)) > 0);
	line = strstr(status, name);
	assert_non_null(line);
	return strtoull(line + strlen(name), NULL, 16);
}

static void the_child_starts_with_default_signals_and_an_empty_mask(void **state)
{
	static const int ignored[] = { SIGPIPE, SIGHUP, SIGCHLD, 64 };
	struct sigaction before[COUNT(ignored)];
	const struct sigaction ignore = { .sa_handler = SIG_IGN }, catch = { .sa_handler = handle };
	sigset_t blocked, mask_before, mask_after;
	struct cat cat;
	(void)state;

	/* SIGCHLD ignored would reap the child behind our back: here it is only caught. */
	for (size_t i = 0; i < COUNT(ignored); i++)
		assert_int_equal(
			sigaction(ignored[i], ignored[i] == SIGCHLD ? &catch : &ignore, &before[i]),
			0);
	(void)sigemptyset(&blocked);
	(void)sigaddset(&blocked, SIGUSR1);
	(void)sigaddset(&blocked, SIGTERM);
	assert_int_equal(pthread_sigmask(SIG_BLOCK, &blocked, &mask_before), 0);

	cat = start_cat((struct belay__spawn){ 0 });
	assert_int_equal(status_mask(cat.child.pid, "SigBlk:"), 0);
	assert_int_equal(status_mask(cat.child.pid, "SigIgn:"), 0);
	assert_int_equal(status_mask(cat.child.pid, "SigCgt:"), 0);
	end_cat(&cat);

	assert_int_equal(pthread_sigmask(SIG_SETMASK, &mask_before, &mask_after), 0);
	for (int signal = 1; signal < NSIG; signal++)
		assert_int_equal(sigismember(&mask_after, signal) == 1,
			sigismember(&blocked, signal) == 1 ||
				sigismember(&mask_before, signal) == 1);
	for (size_t i = 0; i < COUNT(ignored); i++) {
		struct sigaction now;

		assert_int_equal(sigaction(ignored[i], &before[i], &now), 0);
		assert_ptr_equal(now.sa_handler, ignored[i] == SIGCHLD ? handle : SIG_IGN);
	}
}

static int spawn_path(const char *path, const char *const *argv, struct belay_error *reterr)
{
	static const char *const plain[] = { "program", NULL };
	const struct belay__spawn spawn = { .path = path, .argv = argv == NULL ? plain : argv };
	struct belay__child untouched = { .pid = 4711, .pidfd = 4711 };
	int r = belay__spawn(&spawn, &untouched, reterr);

	assert_true(r < 0);
	assert_int_equal(untouched.pid, 4711);
	assert_int_equal(untouched.pidfd, 4711);
	/* Nothing was started and nothing is left. */
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
	return r;
}

static void a_failed_exec_returns_its_own_errno(void **state)
{
	char directory[] = "/tmp/belay-spawn-test-XXXXXX", empty[64], closed[64], loop[64];
	static char longest[5000];
	struct belay_error error = { 0 };
	int before = belay__fd_count();
	(void)state;

	assert_non_null(mkdtemp(directory));
	(void)snprintf(empty, sizeof(empty), "%s/empty", directory);
	(void)snprintf(closed, sizeof(closed), "%s/closed", directory);
	(void)snprintf(loop, sizeof(loop), "%s/loop", directory);
	assert_int_equal(symlink("loop", loop), 0);
	(void)belay__close(open(empty, O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
	(void)belay__close(open(closed, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[0] = '/';

	assert_int_equal(spawn_path("/does/not/exist", NULL, &error), -ENOENT);
	assert_int_equal(error.code, -ENOENT);
	assert_string_equal(error.text, "cannot run /does/not/exist: No such file or directory");
	assert_int_equal(spawn_path("/etc/passwd/below", NULL, NULL), -ENOTDIR);
	assert_int_equal(spawn_path("/etc", NULL, NULL), -EACCES);
	assert_int_equal(spawn_path(closed, NULL, NULL), -EACCES);
	assert_int_equal(spawn_path(empty, NULL, NULL), -ENOEXEC);
	assert_int_equal(spawn_path(loop, NULL, NULL), -ELOOP);
	assert_int_equal(spawn_path(longest, NULL, NULL), -ENAMETOOLONG);
	assert_int_equal(spawn_path("cat", NULL, &error), -EINVAL);
	assert_int_equal(belay__fd_count(), before);

	(void)unlink(empty);
	(void)unlink(closed);
	(void)unlink(loop);
	(void)rmdir(directory);
}

static void arguments_without_end_are_too_long(void **state)
{
	enum { EACH = 100000, ARGUMENTS = 200 };
	const char *argv[ARGUMENTS + 1] = { 0 };
	char *argument = malloc(EACH);
	(void)state;

	assert_non_null(argument);
	memset(argument, 'x', EACH - 1);
	argument[EACH - 1] = '\0';
	for (int i = 0; i < ARGUMENTS; i++)
		argv[i] = argument;
	assert_int_equal(spawn_path("/bin/true", argv, NULL), -E2BIG);
	free(argument);
}

static void a_descriptor_that_is_not_open_is_named_as_the_cause(void **state)
{
	static const char *const argv[] = { "cat", NULL };
	const struct belay__spawn_fd fds[] = { { 250, 5 } };
	const struct belay__spawn bad_fd = { .path = "/bin/cat",
		.argv = argv,
		.fds = fds,
		.fd_count = 1 };
	const struct belay__spawn bad_program = { .exec_fd = 250, .argv = argv };
	struct belay__child child;
	struct belay_error error;
	(void)state;

	assert_int_equal(belay__spawn(&bad_fd, &child, &error), -EBADF);
	assert_string_equal(error.text,
		"cannot run /bin/cat: cannot pass its descriptors: Bad file descriptor");
	assert_int_equal(belay__spawn(&bad_program, &child, &error), -EBADF);
}

static void a_wrong_death_signal_is_refused(void **state)
{
	static const char *const argv[] = { "cat", NULL };
	const struct belay__spawn spawn = { .path = "/bin/cat", .argv = argv, .death_signal = 99 };
	struct belay__child child;
	(void)state;

	assert_int_equal(belay__spawn(&spawn, &child, NULL), -EINVAL);
}

/* Starts cat from a process that ends: cat's stdout, which nobody else holds, ends with it. */
static void the_death_signal_follows_the_starter(void **state)
{
	static const char *const argv[] = { "cat", NULL };
	int stdin_end, stdin_writing, reading, stdout_end, status;
	char byte;
	pid_t starter;
	(void)state;

	make_pipe(&stdin_end, &stdin_writing);
	make_pipe(&reading, &stdout_end);
	starter = fork();
	assert_true(starter >= 0);
	if (starter == 0) {
		const struct belay__spawn_fd fds[] = { { stdin_end, 0 }, { stdout_end, 1 } };
		const struct belay__spawn spawn = {
			.path = "/bin/cat",
			.argv = argv,
			.fds = fds,
			.fd_count = 2,
			.death_signal = SIGKILL,
		};
		struct belay__child child;

		_exit(belay__spawn(&spawn, &child, NULL) == 0 ? 0 : 1);
	}
	(void)belay__close(stdout_end);
	assert_int_equal(waitpid(starter, &status, 0), starter);
	assert_int_equal(status, 0);
	wait_readable(reading);
	assert_int_equal(read(reading, &byte, 1), 0);
	(void)belay__close(reading);
	(void)belay__close(stdin_end);
	(void)belay__close(stdin_writing);
}

static void many_starts_leave_no_descriptor(void **state)
{
	int before = belay__fd_count();
	(void)state;

	for (int i = 0; i < 50; i++) {
		struct cat cat = start_cat((struct belay__spawn){ 0 });

		end_cat(&cat);
	}
	assert_int_equal(belay__fd_count(), before);
}

/* Answers in a filter: clone() with CLONE_PIDFD is refused, and so are the calls of FIRST and
 * SECOND. */
static void refuse(uint32_t first, uint32_t second, uint32_t clone_error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, first, 4, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, second, 3, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_PIDFD, 2, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | clone_error),
	};
	struct sock_fprog program = { .len = COUNT(code), .filter = code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0 ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
		_exit(77);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_child_has_the_descriptors_asked_for_and_no_other),
	cmocka_unit_test(numbers_that_overlap_are_exchanged),
	cmocka_unit_test(a_program_is_run_from_its_descriptor),
	cmocka_unit_test(the_environment_is_given_or_inherited),
	cmocka_unit_test(how_a_child_ended_is_told),
	cmocka_unit_test(a_running_child_is_not_reaped_and_an_ended_one_once),
	cmocka_unit_test(the_child_starts_with_default_signals_and_an_empty_mask),
	cmocka_unit_test(a_failed_exec_returns_its_own_errno),
	cmocka_unit_test(arguments_without_end_are_too_long),
	cmocka_unit_test(a_descriptor_that_is_not_open_is_named_as_the_cause),
	cmocka_unit_test(a_wrong_death_signal_is_refused),
	cmocka_unit_test(the_death_signal_follows_the_starter),
	cmocka_unit_test(many_starts_leave_no_descriptor),
};

/* The same tests on kernels that lack, or filters that refuse, what is used first. */
static int run_refused(const char *name, uint32_t first, uint32_t second, uint32_t clone_error)
{
	pid_t pid;
	int status;

	(void)fflush(stdout);
	pid = fork();
	if (pid == 0) {
		const struct rlimit few = { .rlim_cur = FDS_MAX, .rlim_max = FDS_MAX };

		/* Else closing one by one takes its time. */
		(void)setrlimit(RLIMIT_NOFILE, &few);
		refuse(first, second, clone_error);
		exit(_cmocka_run_group_tests(name, tests, COUNT(tests), NULL, NULL));
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return 1;
	return WEXITSTATUS(status) == 77 ? 0 : WEXITSTATUS(status);
}

int main(void)
{
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	failed += run_refused("without clone", SYS_close_range, SYS_close_range, EPERM);
	failed += run_refused("without close_range", SYS_close_range, SYS_getdents64, ENOSYS);
	return failed;
}
