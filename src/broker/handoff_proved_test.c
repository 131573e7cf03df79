#include <belay/handoff.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <belay/identity.h>

#include "base/fd.h"
#include "base/missing.h"
#include "broker/handoff_testing.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* --- a kernel that knows no pidfds of peers --- */

static bool old_kernel;

int __real_getsockopt(int fd, int level, int option, void *value, socklen_t *len);
int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len);

int __wrap_getsockopt(int fd, int level, int option, void *value, socklen_t *len)
{
	if (old_kernel && level == SOL_SOCKET && option == SO_PEERPIDFD) {
		errno = ENOPROTOOPT;
		return -1;
	}
	return __real_getsockopt(fd, level, option, value, len);
}

/* --- who listens --- */

static struct belay_handle handle_of(pid_t pid)
{
	struct belay_handle handle = { .pid = pid, .pidfd = (int)syscall(SYS_pidfd_open, pid, 0) };

	assert_true(handle.pidfd >= 0);
	return handle;
}

/* A child that listens anew where the endpoint was, or only waits; until it is ended. */
static pid_t start_child(const struct test_endpoint *endpoint, bool listens)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int ends[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	memcpy(address.sun_path, endpoint->path, sizeof(address.sun_path));
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (listens &&
			(unlink(endpoint->path) < 0 ||
				bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
				listen(fd, 8) < 0))
			_exit(1);
		(void)!write(ends[1], "", 1);
		(void)pause();
		_exit(0);
	}
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	(void)close(ends[0]);
	return child;
}

static void end_child(pid_t child)
{
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
}

static int dial(const struct test_endpoint *endpoint)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, endpoint->path, sizeof(address.sun_path));
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Dials, asks, and hangs up; with pidfds of peers and without. */
static void expect(const struct test_endpoint *endpoint, const struct belay_handle *handle, int r)
{
	for (int old = 0; old < 2; old++) {
		int fd = dial(endpoint);

		old_kernel = old == 1;
		assert_int_equal(belay_handoff_proved(fd, handle), r);
		old_kernel = false;
		(void)close(fd);
	}
}

static void the_process_that_listens_is_proved_and_so_is_its_descendant(void **state)
{
	const struct test_endpoint *endpoint = *state;
	struct belay_handle self = handle_of(getpid()), other;
	pid_t child;

	child = start_child(endpoint, true);
	other = handle_of(child);
	expect(endpoint, &self, 0);
	expect(endpoint, &other, 0);
	end_child(child);
	belay_handle_close(&other);
	belay_handle_close(&self);
}

static void whoever_else_listens_is_not(void **state)
{
	const struct test_endpoint *endpoint = *state;
	pid_t first = start_child(endpoint, false), second = start_child(endpoint, true);
	struct belay_handle proved = handle_of(first);

	expect(endpoint, &proved, -ESTALE);
	/* Nor is it after the one that was proved has ended. */
	end_child(first);
	expect(endpoint, &proved, -ESTALE);
	end_child(second);
	belay_handle_close(&proved);
}

static void a_process_that_ended_is_proved_no_more(void **state)
{
	const struct test_endpoint *endpoint = *state;
	pid_t child = start_child(endpoint, true);
	struct belay_handle self = handle_of(getpid()), proved = handle_of(child);
	int fd = dial(endpoint), other = dial(endpoint);

	assert_int_equal(belay_handoff_proved(fd, &proved), 0);
	assert_int_equal(kill(child, SIGKILL), 0);
	/* A zombie first, then nobody. */
	assert_int_equal(waitid(P_PID, (id_t)child, NULL, WEXITED | WNOWAIT), 0);
	assert_int_equal(belay_handoff_proved(fd, &proved), -ESTALE);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(belay_handoff_proved(fd, &proved), -ESTALE);
	assert_int_equal(belay_handoff_proved(other, &self), -ESTALE);
	old_kernel = true;
	assert_int_equal(belay_handoff_proved(fd, &proved), -ESTALE);
	assert_int_equal(belay_handoff_proved(other, &self), -ESTALE);
	old_kernel = false;
	(void)close(fd);
	(void)close(other);
	belay_handle_close(&proved);
	belay_handle_close(&self);
}

static void what_is_no_connection_proves_nothing(void **state)
{
	struct belay_handle self = handle_of(getpid());
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), ends[2];
	(void)state;

	assert_int_equal(pipe(ends), 0);
	assert_true(belay_handoff_proved(fd, &self) < 0);
	assert_int_equal(belay_handoff_proved(ends[0], &self), -ENOTSOCK);
	assert_int_equal(belay_handoff_proved(-1, &self), -EBADF);
	old_kernel = true;
	assert_true(belay_handoff_proved(fd, &self) < 0);
	old_kernel = false;
	(void)close(fd);
	(void)close(ends[0]);
	(void)close(ends[1]);
	belay_handle_close(&self);
}

#define PLACED(test)                                                                               \
	cmocka_unit_test_setup_teardown(test, test_endpoint_set_up, test_endpoint_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(the_process_that_listens_is_proved_and_so_is_its_descendant),
		PLACED(whoever_else_listens_is_not),
		PLACED(a_process_that_ended_is_proved_no_more),
		PLACED(what_is_no_connection_proves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
