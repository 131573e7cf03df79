#include "ipc/bind.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc/receive.h"
#include "ipc/testing.h"

/* What a service manager would pass: blocking, inherited by exec, without credentials. */
static int managers_socket(const char *path, int type)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void an_adopted_socket_is_set_up_and_never_unlinked(void **state)
{
	const struct test_place *f = *state;
	int fd = managers_socket(f->path, SOCK_DGRAM), on = 0;
	socklen_t len = sizeof(on);
	struct belay__bound bound;
	struct stat status;

	assert_int_equal(belay__bind_adopt_consume(fd, SOCK_DGRAM, &bound, NULL), 0);
	assert_int_equal(bound.fd, fd);
	assert_int_equal(bound.lock_fd, -EBADF);
	assert_string_equal(bound.path, f->path);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, &len), 0);
	assert_int_equal(on, 1);
	belay__unbind(&bound);
	assert_int_equal(lstat(f->path, &status), 0);
}

static void what_was_sent_before_the_adoption_arrives_with_its_strays(void **state)
{
	const struct test_place *f = *state;
	int fd = managers_socket(f->path, SOCK_DGRAM);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	const struct belay__datagram *datagrams;
	struct belay__receiver *receiver;
	struct belay__closer *closer;
	struct belay__bound bound;

	/* A socket unit with PassCredentials=yes. */
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	memcpy(address.sun_path, f->path, strlen(f->path) + 1);
	assert_int_equal(connect(sender, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(test_send(sender, "beat", 4, sender, 3), 0);
	assert_int_equal(close(sender), 0);

	assert_int_equal(belay__bind_adopt_consume(fd, SOCK_DGRAM, &bound, NULL), 0);
	assert_int_equal(belay__closer_new(&closer), 0);
	assert_int_equal(belay__receiver_new(4, !bound.rights_refused, closer, &receiver), 0);
	assert_int_equal(belay__receive(receiver, bound.fd, &datagrams), 1);
	assert_int_equal(datagrams[0].arrival, BELAY__ARRIVED);
	assert_int_equal(datagrams[0].strays, 3);
	test_wait_closed(closer, 3);
	receiver = belay__receiver_free(receiver);
	closer = belay__closer_free(closer);
	belay__unbind(&bound);
}

static void a_listening_packet_socket_is_adopted(void **state)
{
	const struct test_place *f = *state;
	int fd = managers_socket(f->path, SOCK_SEQPACKET);
	struct belay__bound bound;

	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(belay__bind_adopt_consume(fd, SOCK_SEQPACKET, &bound, NULL), 0);
	belay__unbind(&bound);
}

static void refuse(int fd, int type, int code)
{
	struct belay__bound bound, untouched;
	struct belay_error error = { 0 };

	memset(&bound, 0x5a, sizeof(bound));
	untouched = bound;
	assert_int_equal(belay__bind_adopt_consume(fd, type, &bound, &error), code);
	assert_int_equal(error.code, code);
	assert_true(strlen(error.text) > 20);
	assert_memory_equal(&bound, &untouched, sizeof(bound));
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* consumed */
}

static void what_is_no_socket_of_ours_is_refused_and_closed(void **state)
{
	const struct test_place *f = *state;
	char path[108];

	test_path(f->dir, "deaf", path);
	refuse(open("/dev/null", O_RDONLY | O_CLOEXEC), SOCK_DGRAM, -ENOTSOCK);
	refuse(socket(AF_INET, SOCK_DGRAM, 0), SOCK_DGRAM, -EINVAL);
	refuse(managers_socket(f->path, SOCK_STREAM), SOCK_DGRAM, -EINVAL);
	refuse(managers_socket(path, SOCK_SEQPACKET), SOCK_SEQPACKET, -EINVAL);
}

static void a_socket_without_a_name_is_adopted(void **state)
{
	struct belay__bound bound;

	(void)state;
	assert_int_equal(
		belay__bind_adopt_consume(socket(AF_UNIX, SOCK_DGRAM, 0), SOCK_DGRAM, &bound, NULL),
		0);
	assert_string_equal(bound.path, "");
	belay__unbind(&bound);
}

static void descriptors_are_ours_only_with_our_pid(void **state)
{
	char own[16], next[16];
	const struct {
		const char *pid, *fds;
		int count;
	} cases[] = {
		{ own, "2", 2 },
		{ own, "0", 0 },
		{ own, "-1", 0 },
		{ own, "two", 0 },
		{ own, "1000000", 0 },
		{ own, NULL, 0 },
		{ next, "2", 0 },
		{ "", "2", 0 },
		{ NULL, "2", 0 },
		{ NULL, NULL, 0 },
	};

	(void)state;
	(void)snprintf(own, sizeof(own), "%d", (int)getpid());
	(void)snprintf(next, sizeof(next), "%d", (int)getpid() + 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (cases[i].pid != NULL)
			(void)setenv("LISTEN_PID", cases[i].pid, 1);
		if (cases[i].fds != NULL)
			(void)setenv("LISTEN_FDS", cases[i].fds, 1);
		(void)setenv("LISTEN_FDNAMES", "a:b", 1);
		assert_int_equal(belay__listen_fds(), cases[i].count);
		assert_null(getenv("LISTEN_PID"));
		assert_null(getenv("LISTEN_FDS"));
		assert_null(getenv("LISTEN_FDNAMES"));
	}
}

/* Runs in a child of its own, whose descriptors from 3 on are free to be rearranged. */
static int adopt_what_was_passed(void)
{
	struct belay__bound bound;
	char own[16];
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	if (fd < 0 || (fd != 3 && dup2(fd, 3) < 0))
		return 1;
	(void)fcntl(3, F_SETFD, 0);
	(void)snprintf(own, sizeof(own), "%d", (int)getpid());
	(void)setenv("LISTEN_PID", own, 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	if (belay__listen_fds() != 1 || (fcntl(3, F_GETFD) & FD_CLOEXEC) == 0)
		return 2;
	return belay__bind_adopt_consume(3, SOCK_DGRAM, &bound, NULL) == 0 && bound.fd == 3 ? 0 : 3;
}

static void a_passed_socket_is_number_three(void **state)
{
	pid_t child = fork();

	(void)state;
	assert_true(child >= 0);
	if (child == 0)
		_exit(adopt_what_was_passed());
	assert_int_equal(test_wait_child(child), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_place_set_up, test_place_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_adopted_socket_is_set_up_and_never_unlinked),
		TEST(what_was_sent_before_the_adoption_arrives_with_its_strays),
		TEST(a_listening_packet_socket_is_adopted),
		TEST(what_is_no_socket_of_ours_is_refused_and_closed),
		TEST(a_socket_without_a_name_is_adopted),
		TEST(descriptors_are_ours_only_with_our_pid),
		TEST(a_passed_socket_is_number_three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
