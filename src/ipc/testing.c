#include "ipc/testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ftw.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/control.h"

void test_make_dir(char ret_path[TEST_PATH_SIZE])
{
	const char *base = getenv("TMPDIR");

	if (base == NULL || strlen(base) > TEST_PATH_SIZE / 2)
		base = "/tmp";
	(void)snprintf(ret_path, TEST_PATH_SIZE, "%s/belay-test-XXXXXX", base);
	assert_non_null(mkdtemp(ret_path));
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

void test_remove_dir(const char *path)
{
	assert_int_equal(nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void test_path(const char *dir, const char *name, char ret_path[108])
{
	int len = snprintf(ret_path, 108, "%s/%s", dir, name);

	assert_in_range(len, 2, 107);
}

int test_place_set_up(void **state)
{
	struct test_place *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds_before = test_fd_count();
	test_make_dir(f->dir);
	test_path(f->dir, "beat.sock", f->path);
	f->bind = (struct belay__bind){ .path = f->path,
		.type = SOCK_DGRAM,
		.mode = 0600,
		.lock = true };
	*state = f;
	return 0;
}

int test_place_tear_down(void **state)
{
	struct test_place *f = *state;

	belay__ipc_without_passrights = false;
	test_remove_dir(f->dir);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

void test_bind(const struct belay__bind *bind, struct belay__bound *ret_bound)
{
	struct belay_error error = { 0 };
	int r = belay__bind_guarded(bind, ret_bound, &error);

	if (r < 0)
		fail_msg("%s", error.text);
	assert_int_equal(r, 0);
}

void test_pair(int type, int ret_ends[2])
{
	int on = 1;

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ret_ends), 0);
	assert_int_equal(setsockopt(ret_ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
}

int test_send(int fd, const void *bytes, size_t len, int attached, unsigned count)
{
	union belay__control_buffer control = { .bytes = { 0 } };
	struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (count > 0) {
		struct cmsghdr *header;

		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		header = CMSG_FIRSTHDR(&message);
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		for (unsigned i = 0; i < count; i++)
			memcpy(CMSG_DATA(header) + i * sizeof(int), &attached, sizeof(int));
	}
	return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int test_lingering_socket(int *ret_peer)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	const struct linger linger = { .l_onoff = 1, .l_linger = 5 };
	socklen_t len = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	static char bytes[65536];

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(listener >= 0 && fd >= 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	*ret_peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*ret_peer >= 0);
	(void)close(listener);
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
	return fd;
}

void test_wait_closed(const struct belay__closer *closer, uint64_t count)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + 10 * BELAY__NS_PER_S;
	uint64_t taken, closed, leaked;

	for (;;) {
		belay__closer_counts(closer, &taken, &closed, &leaked);
		if (closed >= count)
			break;
		if (belay__clock_ns(CLOCK_MONOTONIC) > give_up_ns)
			fail_msg("only %u of %u descriptors were closed", (unsigned)closed,
				(unsigned)count);
		(void)sched_yield();
	}
	assert_int_equal(closed, count);
}

int test_fd_count(void)
{
	int count = belay__fd_count();

	assert_true(count >= 0);
	return count;
}

int test_wait_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		assert_int_equal(errno, EINTR);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
