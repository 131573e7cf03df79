#include "identity/process_info.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>

#include "identity/test_child.h"

static void a_process_reads_itself(void **state)
{
	struct belay__stat stat;
	pid_t inner_pid = 0;
	uid_t uid = 77;
	uint64_t inode = 0;
	(void)state;

	assert_int_equal(belay__read_stat(getpid(), &stat), 0);
	assert_int_equal(stat.ppid, getppid());
	assert_int_equal(stat.state, 'R');
	assert_true(stat.threads >= 1);
	assert_true(stat.start_ticks > 0);
	assert_int_equal(belay__read_pid_namespace(getpid(), &inode), 0);
	assert_true(inode > 0);
	assert_int_equal(belay__read_inner_pid(getpid(), &inner_pid), 0);
	assert_int_equal(inner_pid, getpid());
	assert_int_equal(belay__read_uid(getpid(), &uid), 0);
	assert_int_equal(uid, getuid());
	assert_true(belay__read_pid_max() > 300);
}

static void who_is_gone_is_gone_for_every_reader(void **state)
{
	int code = 0;
	struct child child = child_start(body_ends, &code);
	struct belay__stat stat = { .ppid = 5 };
	uint64_t inode = 5;
	pid_t pid = 5;
	uid_t uid = 5;
	int status = 5;
	(void)state;

	(void)child_reap(&child);
	assert_int_equal(belay__read_stat(child.pid, &stat), -ESRCH);
	assert_int_equal(belay__read_pid_namespace(child.pid, &inode), -ESRCH);
	assert_int_equal(belay__read_inner_pid(child.pid, &pid), -ESRCH);
	assert_int_equal(belay__read_uid(child.pid, &uid), -ESRCH);
	assert_int_equal(belay__read_exit_status(child.pid, 1, &status), -ESRCH);
	assert_int_equal(belay__is_ancestor(child.pid, getpid()), -ESRCH);
	assert_int_equal(belay__read_stat(0, &stat), -ESRCH);
	assert_int_equal(belay__read_stat(-1, &stat), -ESRCH);
	assert_true(stat.ppid == 5 && inode == 5 && pid == 5 && uid == 5 && status == 5);
}

static int body_dies_by_signal(void *argument)
{
	(void)raise(*(const int *)argument);
	return 0;
}

static void a_zombie_tells_how_it_ended(void **state)
{
	static const struct {
		int (*body)(void *);
		int argument, status;
	} cases[] = {
		{ body_ends, 0, 0 },
		{ body_ends, 7, 7 << 8 },
		{ body_ends, 255, 255 << 8 },
		{ body_dies_by_signal, SIGTERM, SIGTERM },
		{ body_dies_by_signal, SIGKILL, SIGKILL },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int argument = cases[i].argument;
		struct child child = child_start(cases[i].body, &argument);
		int status = -1;

		child_wait_end(&child);
		assert_int_equal(belay__read_exit_status(child.pid, child.start_ticks + 1, &status),
			-ESRCH);
		assert_int_equal(status, -1);
		assert_int_equal(belay__read_exit_status(child.pid, child.start_ticks, &status), 0);
		assert_int_equal(status, cases[i].status);
		assert_int_equal(child_reap(&child), status);
	}
}

static void *thread_sleeps(void *argument)
{
	(void)body_sleeps(argument);
	return NULL;
}

static int body_leaves_a_thread_behind(void *argument)
{
	pthread_t thread;
	(void)argument;

	if (pthread_create(&thread, NULL, thread_sleeps, NULL) != 0)
		return 98;
	pthread_exit(NULL);
}

static void a_main_thread_that_ended_is_not_the_end(void **state)
{
	struct child child = child_start(body_leaves_a_thread_behind, NULL);
	int status = 5;
	(void)state;

	child_wait_state(&child, 'Z');
	assert_int_equal(belay__read_exit_status(child.pid, child.start_ticks, &status), -EAGAIN);
	assert_int_equal(status, 5);
	child_end(&child);
}

static void a_living_process_has_no_exit_status(void **state)
{
	struct child child = child_start(body_sleeps, NULL);
	int status = 5;
	(void)state;

	assert_int_equal(belay__read_exit_status(child.pid, child.start_ticks, &status), -EAGAIN);
	assert_int_equal(status, 5);
	child_end(&child);
}

/* Runs as somebody else: what belay__read_exit_status() says, negated. */
static int body_reads_exit_as_nobody(void *argument)
{
	const struct child *child = argument;
	int status = 5, r;

	if (setresgid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0 ||
		setresuid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0)
		return 98;
	r = belay__read_exit_status(child->pid, child->start_ticks, &status);
	return status == 5 ? -r : 97;
}

static void a_foreign_zombie_is_never_taken_for_a_success(void **state)
{
	static const int codes[] = { 0, 7 };
	(void)state;

	if (geteuid() != 0)
		skip();
	for (size_t i = 0; i < 2; i++) {
		int code = codes[i];
		struct child zombie = child_start(body_ends, &code);
		struct child reader;

		child_wait_end(&zombie);
		reader = child_start(body_reads_exit_as_nobody, &zombie);
		assert_int_equal(child_reap(&reader), EACCES << 8);
		(void)child_reap(&zombie);
	}
}

static void a_pidfd_tells_the_end_even_after_it_was_reaped(void **state)
{
	int code = 7, pidfd, status = 5, r;
	struct child child = child_start(body_sleeps, NULL);
	(void)state;

	pidfd = fcntl(child.pidfd, F_DUPFD_CLOEXEC, 0);
	r = belay__pidfd_exit_status(pidfd, &status);
	assert_true(r == -EAGAIN || r == -ENOTTY || r == -EINVAL);
	assert_int_equal(status, 5);
	child_end(&child);

	r = belay__pidfd_exit_status(pidfd, &status);
	if (r == 0)
		assert_int_equal(status, SIGKILL);
	else
		assert_true(r == -ENOTTY || r == -EINVAL);
	(void)belay__close(pidfd);

	child = child_start(body_ends, &code);
	pidfd = fcntl(child.pidfd, F_DUPFD_CLOEXEC, 0);
	(void)child_reap(&child);
	r = belay__pidfd_exit_status(pidfd, &status);
	if (r == 0)
		assert_int_equal(status, 7 << 8);
	(void)belay__close(pidfd);

	status = 5;
	assert_int_equal(belay__pidfd_exit_status(STDIN_FILENO, &status) < 0, 1);
	assert_int_equal(status, 5);
}

static int body_asks_about_ancestors(void *argument)
{
	pid_t parent = *(const pid_t *)argument;

	if (belay__is_ancestor(getpid(), parent) != 1)
		return 1;
	if (belay__is_ancestor(getpid(), getpid()) != 0)
		return 2;
	return belay__is_ancestor(parent, getpid()) == 0 ? 0 : 3;
}

static int body_has_a_child_that_asks(void *argument)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0)
		_exit(body_asks_about_ancestors(argument));
	(void)waitpid(pid, &status, 0);
	return WEXITSTATUS(status);
}

static void ancestors_are_found_over_generations(void **state)
{
	pid_t self = getpid();
	struct child child = child_start(body_asks_about_ancestors, &self);
	(void)state;

	assert_int_equal(child_reap(&child), 0);
	child = child_start(body_has_a_child_that_asks, &self);
	assert_int_equal(child_reap(&child), 0);
	assert_int_equal(belay__is_ancestor(getpid(), 1), 0);
	assert_int_equal(belay__is_ancestor(getpid(), 0), 0);
}

/* Exit code 77: this host does not let us make the situation. */
static int body_looks_behind_hidepid(void *argument)
{
	const struct child *other = argument;
	struct belay__stat stat;

	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("proc", "/proc", "proc", 0, "hidepid=2") < 0)
		return 77;
	if (setresgid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0 ||
		setresuid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0)
		return 77;
	if (belay__read_stat(other->pid, &stat) != -EACCES)
		return 1;
	if (belay__read_stat(getpid(), &stat) != 0)
		return 2;
	return belay__read_stat((pid_t)belay__read_pid_max(), &stat) == -ESRCH ? 0 : 3;
}

static void who_is_hidden_is_not_taken_for_gone(void **state)
{
	struct child other, looker;
	int status;
	(void)state;

	if (geteuid() != 0)
		skip();
	other = child_start(body_sleeps, NULL);
	looker = child_start(body_looks_behind_hidepid, &other);
	status = child_reap(&looker);
	child_end(&other);
	if (status == 77 << 8)
		skip();
	assert_int_equal(status, 0);
}

static void the_inner_pid_is_of_the_innermost_namespace(void **state)
{
	struct child child;
	uint64_t mine = 0, its = 0;
	pid_t inner_pid = 0;
	(void)state;

	if (geteuid() != 0)
		skip();
	child = child_start_with(CLONE_NEWPID, body_sleeps, NULL);
	assert_int_equal(belay__read_inner_pid(child.pid, &inner_pid), 0);
	assert_int_equal(inner_pid, 1);
	assert_int_equal(belay__read_pid_namespace(getpid(), &mine), 0);
	assert_int_equal(belay__read_pid_namespace(child.pid, &its), 0);
	assert_int_not_equal(mine, its);
	child_end(&child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_process_reads_itself),
		TEST(who_is_gone_is_gone_for_every_reader),
		TEST(a_zombie_tells_how_it_ended),
		TEST(a_main_thread_that_ended_is_not_the_end),
		TEST(a_living_process_has_no_exit_status),
		TEST(a_foreign_zombie_is_never_taken_for_a_success),
		TEST(a_pidfd_tells_the_end_even_after_it_was_reaped),
		TEST(ancestors_are_found_over_generations),
		TEST(who_is_hidden_is_not_taken_for_gone),
		TEST(the_inner_pid_is_of_the_innermost_namespace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
