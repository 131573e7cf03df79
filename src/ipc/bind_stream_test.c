#include "ipc/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/missing.h"
#include "ipc/testing.h"

/* What a backend binds. */
static int set_up(void **state)
{
	struct test_place *f;
	int r = test_place_set_up(state);

	f = *state;
	f->bind.type = SOCK_STREAM;
	f->bind.anonymous = true;
	f->bind.has_threads = true;
	f->bind.who = "process";
	return r;
}

static int dial(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_true(fd >= 0);
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	(void)close(fd);
	return -EBADF;
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -errno : value;
}

static bool has_passrights(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = option(fd, SO_PASSRIGHTS) >= 0;

	(void)close(fd);
	return has;
}

/* Refused with CODE and a sentence about a process, no observer. */
static void refuse(const struct belay__bind *bind, int code)
{
	struct belay__bound bound;
	struct belay_error error = { 0 };

	assert_int_equal(belay__bind_guarded(bind, &bound, &error), code);
	assert_int_equal(error.code, code);
	assert_null(strstr(error.text, "observer"));
}

static void an_endpoint_listens_for_its_user_alone(void **state)
{
	static const mode_t umasks[] = { 0, 022, 077 };
	struct test_place *f = *state;

	for (size_t i = 0; i < sizeof(umasks) / sizeof(umasks[0]); i++) {
		mode_t before = umask(umasks[i]);
		struct belay__bound bound;
		struct stat status;
		int client;

		test_bind(&f->bind, &bound);
		assert_int_equal(umask(before), umasks[i]);
		assert_int_equal(lstat(f->path, &status), 0);
		assert_int_equal(status.st_mode, S_IFSOCK | 0600);
		assert_int_equal(option(bound.fd, SO_ACCEPTCONN), 1);
		assert_int_equal(option(bound.fd, SO_PASSCRED), 0);
		assert_true((fcntl(bound.fd, F_GETFL) & O_NONBLOCK) != 0);
		assert_true((fcntl(bound.fd, F_GETFD) & FD_CLOEXEC) != 0);
		client = dial(f->path);
		assert_true(client >= 0);
		(void)close(client);
		belay__unbind(&bound);
	}
}

static void a_umask_that_takes_the_owners_rights_is_reported(void **state)
{
	struct test_place *f = *state;
	mode_t before = umask(0200);

	refuse(&f->bind, -EPERM);
	(void)umask(before);
	assert_int_equal(access(f->path, F_OK), -1);
}

/* How a descriptor fares that CLIENT attaches, at the accepted end; and without the kernel's refusal. */
static void rights_to(struct test_place *f, bool takes)
{
	struct belay__bound bound;
	int client, accepted;

	f->bind.takes_rights = takes;
	test_bind(&f->bind, &bound);
	assert_int_equal(bound.rights_refused, !takes && has_passrights());
	client = dial(f->path);
	/* Before it is accepted, too. */
	assert_int_equal(test_send(client, "x", 1, client, 1), bound.rights_refused ? -EPERM : 0);
	accepted = accept4(bound.fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(accepted >= 0);
	assert_int_equal(test_send(client, "x", 1, client, 1), bound.rights_refused ? -EPERM : 0);
	assert_int_equal(test_send(client, "x", 1, -1, 0), 0);
	if (has_passrights())
		assert_int_equal(option(accepted, SO_PASSRIGHTS), takes);
	(void)close(client);
	(void)close(accepted);
	belay__unbind(&bound);
}

static void only_a_hand_over_endpoint_takes_descriptors(void **state)
{
	rights_to(*state, /* takes= */ true);
	rights_to(*state, /* takes= */ false);
}

static void a_live_endpoint_is_refused_with_and_without_lock(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	int client;

	test_bind(&f->bind, &bound);
	refuse(&f->bind, -EADDRINUSE);
	f->bind.lock = false;
	refuse(&f->bind, -EADDRINUSE);
	/* It noticed nothing but a connection that was hung up. */
	client = dial(f->path);
	assert_true(client >= 0);
	(void)close(client);
	belay__unbind(&bound);
}

/* A full backlog is no sign of death. */
static void an_endpoint_that_is_busy_is_alive(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	int clients[80];
	size_t count = 0;

	f->bind.lock = false;
	test_bind(&f->bind, &bound);
	for (; count < sizeof(clients) / sizeof(clients[0]); count++) {
		struct sockaddr_un address = { .sun_family = AF_UNIX };

		memcpy(address.sun_path, f->path, sizeof(address.sun_path));
		clients[count] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		assert_true(clients[count] >= 0);
		if (connect(clients[count], (struct sockaddr *)&address, sizeof(address)) < 0) {
			assert_int_equal(errno, EAGAIN);
			(void)close(clients[count]);
			break;
		}
	}
	assert_in_range(count, 1, 79);
	refuse(&f->bind, -EADDRINUSE);
	while (count > 0)
		(void)close(clients[--count]);
	belay__unbind(&bound);
}

/* Binds in a process of its own, which is killed when it has. */
static void bind_and_be_killed(const struct belay__bind *bind)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct belay__bound bound;

		if (belay__bind_guarded(bind, &bound, NULL) < 0)
			_exit(1);
		(void)raise(SIGKILL);
	}
	assert_int_equal(test_wait_child(pid), -1);
}

static void the_endpoint_of_a_killed_process_is_taken_over(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	int client;

	for (int lock = 0; lock < 2; lock++) {
		f->bind.lock = lock == 1;
		bind_and_be_killed(&f->bind);
		assert_int_equal(access(f->path, F_OK), 0);
		test_bind(&f->bind, &bound);
		client = dial(f->path);
		assert_true(client >= 0);
		(void)close(client);
		belay__unbind(&bound);
	}
}

static void only_who_holds_the_lock_removes_a_dead_endpoint(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	struct stat before, after;

	test_bind(&f->bind, &bound);
	/* Dead, but its lock is held: somebody is about to bind there. */
	bound.fd = belay__close(bound.fd);
	assert_int_equal(lstat(f->path, &before), 0);
	refuse(&f->bind, -EADDRINUSE);
	assert_int_equal(lstat(f->path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
	belay__unbind(&bound);
	assert_int_equal(access(f->path, F_OK), -1);
}

static void a_squatted_path_is_left_as_it_is(void **state)
{
	struct test_place *f = *state;
	char target[108];
	struct stat status;
	int squatter;

	assert_int_equal(close(open(f->path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
	refuse(&f->bind, -EADDRINUSE);
	assert_int_equal(lstat(f->path, &status), 0);
	assert_true(S_ISREG(status.st_mode));
	assert_int_equal(unlink(f->path), 0);

	test_path(f->dir, "elsewhere", target);
	assert_int_equal(symlink(target, f->path), 0);
	refuse(&f->bind, -EADDRINUSE);
	assert_int_equal(access(target, F_OK), -1);
	assert_int_equal(unlink(f->path), 0);

	/* A socket that somebody listens at. */
	squatter = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	memcpy(address.sun_path, f->path, sizeof(address.sun_path));
	assert_int_equal(bind(squatter, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(squatter, 1), 0);
	refuse(&f->bind, -EADDRINUSE);
	assert_int_equal(access(f->path, F_OK), 0);
	(void)close(squatter);
}

static void *wait_for_end(void *data)
{
	char byte;

	assert_int_equal(read(*(int *)data, &byte, 1), 0);
	return NULL;
}

static void a_process_with_threads_binds_and_keeps_its_umask(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	struct stat status;
	pthread_t thread;
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(pthread_create(&thread, NULL, wait_for_end, &ends[0]), 0);
	test_bind(&f->bind, &bound);
	assert_int_equal(lstat(f->path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	belay__unbind(&bound);
	(void)close(ends[1]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	(void)close(ends[0]);
}

#define CASE(test_) cmocka_unit_test_setup_teardown(test_, set_up, test_place_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_endpoint_listens_for_its_user_alone),
		CASE(a_umask_that_takes_the_owners_rights_is_reported),
		CASE(only_a_hand_over_endpoint_takes_descriptors),
		CASE(a_live_endpoint_is_refused_with_and_without_lock),
		CASE(an_endpoint_that_is_busy_is_alive),
		CASE(the_endpoint_of_a_killed_process_is_taken_over),
		CASE(only_who_holds_the_lock_removes_a_dead_endpoint),
		CASE(a_squatted_path_is_left_as_it_is),
		CASE(a_process_with_threads_binds_and_keeps_its_umask),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
