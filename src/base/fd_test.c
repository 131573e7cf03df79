#include "base/fd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void closing_keeps_errno_and_forgets_the_number(void **state)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	(void)state;

	assert_true(fd >= 0);
	errno = EXDEV;
	assert_int_equal(belay__close(fd), -EBADF);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	errno = EXDEV;
	assert_int_equal(belay__close(-EBADF), -EBADF);
	assert_int_equal(errno, EXDEV);
}

static int open_and_give(void)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return TAKE_FD(fd);
}

static void open_and_keep(int *ret_number)
{
	_cleanup_close_ int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	*ret_number = fd;
}

static void a_scope_closes_what_was_not_taken(void **state)
{
	int kept, given, before = belay__fd_count();
	(void)state;

	open_and_keep(&kept);
	assert_true(kept >= 0);
	assert_int_equal(belay__fd_count(), before);

	given = open_and_give();
	assert_true(fcntl(given, F_GETFD) >= 0);
	assert_int_equal(belay__fd_count(), before + 1);
	(void)belay__close(given);
	assert_int_equal(belay__fd_count(), before);
}

static void nonblock_keeps_the_other_flags(void **state)
{
	_cleanup_close_ int fd = open("/dev/null", O_WRONLY | O_APPEND | O_CLOEXEC);
	(void)state;

	for (int twice = 0; twice < 2; twice++) {
		assert_int_equal(belay__fd_nonblock(fd), 0);
		assert_int_equal(fcntl(fd, F_GETFL) & (O_NONBLOCK | O_APPEND),
			O_NONBLOCK | O_APPEND);
	}
	assert_int_equal(belay__fd_nonblock(-1), -EBADF);
}

/* Runs in a child, whose standard descriptors CLOSED (bit 0: stdin ...) are closed at first. */
static int fill(unsigned closed)
{
	int own = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 10), next;

	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if ((closed >> fd & 1) != 0)
			(void)close(fd);
	if (belay__fd_fill_stdio() != 0)
		return 1;
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) != 0)
			return 2;
	next = fcntl(own, F_DUPFD_CLOEXEC, 0);
	return next > STDERR_FILENO ? 0 : 3;
}

static void closed_standard_descriptors_are_filled(void **state)
{
	(void)state;

	for (unsigned closed = 0; closed < 8; closed++) {
		pid_t child = fork();
		int status;

		assert_true(child >= 0);
		if (child == 0)
			_exit(fill(closed));
		assert_int_equal(waitpid(child, &status, 0), child);
		assert_int_equal(status, 0);
	}
}

static void the_limit_rises_to_the_hard_one(void **state)
{
	struct rlimit limit;
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_true(limit.rlim_max > 64);
	limit.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(belay__fd_raise_limit(), limit.rlim_max);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(limit.rlim_cur, limit.rlim_max);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closing_keeps_errno_and_forgets_the_number),
		cmocka_unit_test(a_scope_closes_what_was_not_taken),
		cmocka_unit_test(nonblock_keeps_the_other_flags),
		cmocka_unit_test(closed_standard_descriptors_are_filled),
		cmocka_unit_test(the_limit_rises_to_the_hard_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
