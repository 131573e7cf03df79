#include "ipc/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "ipc/testing.h"

static void an_idle_queue_is_measured_and_left_empty(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;
	char text[32], byte;
	int limit, measured;

	assert_true(belay__read_file(AT_FDCWD, "/proc/sys/net/unix/max_dgram_qlen", text,
			    sizeof(text)) > 0);
	limit = (int)strtol(text, NULL, 10);
	test_bind(&f->bind, &bound);
	measured = belay__measure_queue(bound.fd);
	assert_int_equal(measured, limit + 1 > 16384 ? 16384 : limit + 1);
	assert_int_equal(recv(bound.fd, &byte, 1, 0), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(belay__measure_queue(bound.fd), measured);
	belay__unbind(&bound);
}

static void a_nameless_socket_is_measured_by_another(void **state)
{
	int ends[2];

	(void)state;
	test_pair(SOCK_DGRAM, ends);
	assert_true(belay__measure_queue(ends[1]) >= 1);
	(void)close(ends[0]);
	(void)close(ends[1]);
	assert_int_equal(belay__measure_queue(-EBADF), -EBADF);
}

/* Runs in a network namespace of its own, whose limit is 10 at first. Exits with the line that
 * failed. */
static void raise_and_measure(struct belay__bind *bind)
{
	struct belay__bound bound;
	char before[32], after[32];
	int measured;

	if (unshare(CLONE_NEWNET) < 0)
		_exit(77);
	if (belay__read_file(AT_FDCWD, "/proc/sys/net/unix/max_dgram_qlen", before,
		    sizeof(before)) <= 0)
		_exit(77);
	bind->dgram_qlen = 700; /* more than one sender can hold */
	if (belay__bind_guarded(bind, &bound, NULL) < 0)
		_exit(1);
	measured = belay__measure_queue(bound.fd);
	if (belay__read_file(AT_FDCWD, "/proc/sys/net/unix/max_dgram_qlen", after, sizeof(after)) <=
		0)
		_exit(2);
	if (strcmp(before, after) != 0)
		_exit(3);
	belay__unbind(&bound);
	if (bound.qlen_refused)
		_exit(77); /* a read-only /proc/sys */
	_exit(measured == 701 ? 0 : 4);
}

static void a_longer_queue_is_given_to_this_socket_only(void **state)
{
	struct test_place *f = *state;
	pid_t child;
	int status;

	if (geteuid() != 0)
		skip();
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		raise_and_measure(&f->bind);
	status = test_wait_child(child);
	if (status == 77)
		skip();
	assert_int_equal(status, 0);
}

static void a_refused_queue_length_is_only_a_warning(void **state)
{
	struct test_place *f = *state;
	struct belay__bound bound;

	if (geteuid() == 0)
		skip();
	f->bind.dgram_qlen = 1u << 20;
	test_bind(&f->bind, &bound);
	assert_true(bound.qlen_refused);
	belay__unbind(&bound);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_place_set_up, test_place_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_idle_queue_is_measured_and_left_empty),
		TEST(a_nameless_socket_is_measured_by_another),
		TEST(a_longer_queue_is_given_to_this_socket_only),
		TEST(a_refused_queue_length_is_only_a_warning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
