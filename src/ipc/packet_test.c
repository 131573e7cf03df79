#include "ipc/packet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/missing.h"
#include "ipc/testing.h"

struct fixture {
	int fds_before;
	int ends[2];
	char dir[TEST_PATH_SIZE];
	char path[108];
	struct belay__closer *closer;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds_before = test_fd_count();
	test_make_dir(f->dir);
	test_path(f->dir, "hello", f->path);
	test_pair(SOCK_SEQPACKET, f->ends);
	assert_int_equal(belay__closer_new(&f->closer), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->ends[0] = belay__close(f->ends[0]);
	f->ends[1] = belay__close(f->ends[1]);
	f->closer = belay__closer_free(f->closer);
	test_remove_dir(f->dir);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

/* Receives with room for 8 bytes; whatever is not a success leaves the sender untouched. */
static ssize_t receive(const struct fixture *f, struct belay__packet_from *ret_from)
{
	struct belay__packet_from untouched;
	char buffer[8];
	ssize_t len;

	memset(ret_from, 0x5a, sizeof(*ret_from));
	untouched = *ret_from;
	len = belay__packet_receive(f->ends[1], buffer, sizeof(buffer), f->closer, ret_from);
	if (len <= 0)
		assert_memory_equal(ret_from, &untouched, sizeof(untouched));
	return len;
}

static void a_packet_comes_with_its_sender(void **state)
{
	const struct fixture *f = *state;
	struct belay__packet_from from;

	assert_int_equal(receive(f, &from), -EAGAIN);
	assert_int_equal(test_send(f->ends[0], "12345678", 8, -1, 0), 0);
	assert_int_equal(receive(f, &from), 8);
	assert_int_equal(from.pid, getpid());
	assert_int_equal(from.uid, geteuid());
	assert_int_equal(from.gid, getegid());
	assert_int_equal(from.pidfd, -EBADF);
}

static void the_kernel_passes_a_pidfd_where_it_can(void **state)
{
	const struct fixture *f = *state;
	struct belay__packet_from from;
	struct pollfd end;
	int on = 1;
	pid_t child;

	if (setsockopt(f->ends[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0)
		skip();
	child = fork();
	assert_true(child >= 0);
	if (child == 0)
		_exit(test_send(f->ends[0], "x", 1, f->ends[0], 2) < 0);
	end = (struct pollfd){ .fd = f->ends[1], .events = POLLIN };
	assert_int_equal(poll(&end, 1, 10000), 1);
	assert_int_equal(receive(f, &from), 1);
	assert_int_equal(from.pid, child);
	assert_true(from.pidfd >= 0);
	assert_true((fcntl(from.pidfd, F_GETFD) & FD_CLOEXEC) != 0);
	end.fd = from.pidfd;
	assert_int_equal(poll(&end, 1, 10000), 1);
	(void)close(from.pidfd);
	assert_int_equal(test_wait_child(child), 0);
	test_wait_closed(f->closer, 2);
}

static void a_packet_that_is_too_long_is_refused(void **state)
{
	const struct fixture *f = *state;
	struct belay__packet_from from;

	assert_int_equal(test_send(f->ends[0], "123456789", 9, f->ends[0], 1), 0);
	assert_int_equal(receive(f, &from), -EMSGSIZE);
	test_wait_closed(f->closer, 1);
}

static void strays_are_closed_and_the_packet_counts(void **state)
{
	static const unsigned counts[] = { 1, 10, 250 };
	const struct fixture *f = *state;
	uint64_t closed = 0;

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		struct belay__packet_from from;

		assert_int_equal(test_send(f->ends[0], "x", 1, f->ends[0], counts[i]), 0);
		assert_int_equal(receive(f, &from), 1);
		closed += counts[i];
		test_wait_closed(f->closer, closed);
	}
}

static void without_credentials_nothing_is_believed(void **state)
{
	const struct fixture *f = *state;
	struct belay__packet_from from;
	int off = 0;

	assert_int_equal(setsockopt(f->ends[1], SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
	assert_int_equal(test_send(f->ends[0], "x", 1, -1, 0), 0);
	assert_int_equal(receive(f, &from), -EBADMSG);
}

static void a_full_descriptor_table_refuses_the_packet(void **state)
{
	const struct fixture *f = *state;
	struct belay__packet_from from;
	struct rlimit before, now;
	ssize_t len;
	int free_fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	(void)close(free_fd);
	assert_int_equal(test_send(f->ends[0], "x", 1, f->ends[0], 2), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = (rlim_t)free_fd + 1;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	len = receive(f, &from);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(len, -EBADMSG);
	test_wait_closed(f->closer, 1);
}

static void without_room_for_a_pidfd_the_packet_still_counts(void **state)
{
	const struct fixture *f = *state;
	struct belay__packet_from from;
	struct rlimit before, now;
	ssize_t len;
	int on = 1, free_fd = fcntl(0, F_DUPFD_CLOEXEC, 0);

	(void)close(free_fd);
	if (setsockopt(f->ends[1], SOL_SOCKET, SO_PASSPIDFD, &on, sizeof(on)) < 0)
		skip();
	assert_int_equal(test_send(f->ends[0], "x", 1, -1, 0), 0);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	now = before;
	now.rlim_cur = (rlim_t)free_fd;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	len = receive(f, &from);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(len, 1);
	assert_int_equal(from.pid, getpid());
	assert_int_equal(from.pidfd, -EBADF);
}

static void the_end_is_heard_after_the_last_words(void **state)
{
	struct fixture *f = *state;
	struct belay__packet_from from;

	assert_int_equal(test_send(f->ends[1], "unread", 6, -1, 0), 0);
	assert_int_equal(test_send(f->ends[0], "last", 4, -1, 0), 0);
	f->ends[0] = belay__close(f->ends[0]);
	assert_int_equal(receive(f, &from), 4);
	assert_int_equal(receive(f, &from), 0);
}

static int listen_at(const char *path, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static unsigned long in_ms(unsigned ms)
{
	return (unsigned long)(belay__clock_ns(CLOCK_MONOTONIC) + ms * BELAY__NS_PER_MS);
}

static void a_listener_is_connected_to(void **state)
{
	const struct fixture *f = *state;
	int listener = listen_at(f->path, 8);

	for (int waiting = 0; waiting < 2; waiting++) {
		int fd = belay__packet_connect(f->path, waiting == 0 ? 0 : in_ms(10000));

		assert_true(fd >= 0);
		assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
		assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
		(void)close(fd);
	}
	(void)close(listener);
	assert_int_equal(belay__packet_connect(f->path, 0), -ECONNREFUSED);
	assert_int_equal(belay__packet_connect(f->path, in_ms(10000)), -ECONNREFUSED);
}

static void a_listener_that_does_not_accept_is_given_up(void **state)
{
	const struct fixture *f = *state;
	int listener = listen_at(f->path, 0);
	int first = belay__packet_connect(f->path, 0);
	unsigned long deadline_ns;

	assert_true(first >= 0);
	assert_int_equal(belay__packet_connect(f->path, 0), -EAGAIN);
	deadline_ns = in_ms(30);
	assert_int_equal(belay__packet_connect(f->path, deadline_ns), -ETIMEDOUT);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) >= deadline_ns - 10 * BELAY__NS_PER_MS);
	assert_int_equal(belay__packet_connect(f->path, 1), -ETIMEDOUT); /* long past */
	(void)close(first);
	(void)close(listener);
}

static void a_path_that_leads_nowhere_is_an_error(void **state)
{
	const struct fixture *f = *state;
	char path[120];

	assert_int_equal(belay__packet_connect(f->path, 0), -ENOENT);
	memset(path, '/', sizeof(path));
	path[108] = '\0';
	assert_int_equal(belay__packet_connect(path, 0), -ENAMETOOLONG);
	path[107] = '\0';
	assert_int_not_equal(belay__packet_connect(path, 0), -ENAMETOOLONG); /* the root */
	assert_int_equal(belay__packet_connect(f->dir, 0), -ECONNREFUSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_packet_comes_with_its_sender),
		TEST(the_kernel_passes_a_pidfd_where_it_can),
		TEST(a_packet_that_is_too_long_is_refused),
		TEST(strays_are_closed_and_the_packet_counts),
		TEST(without_credentials_nothing_is_believed),
		TEST(a_full_descriptor_table_refuses_the_packet),
		TEST(without_room_for_a_pidfd_the_packet_still_counts),
		TEST(the_end_is_heard_after_the_last_words),
		TEST(a_listener_is_connected_to),
		TEST(a_listener_that_does_not_accept_is_given_up),
		TEST(a_path_that_leads_nowhere_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
