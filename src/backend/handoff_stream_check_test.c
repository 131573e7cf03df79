#include "backend/handoff_stream_check.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/handoff_testing.h"
#include "base/missing.h"
#include "ipc/testing.h"

struct fixture {
	int fds_before;
	int connection, sender; /* over which descriptors come */
	struct belay__handoff_self self;
	int spare[2];
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ends[2];

	assert_non_null(f);
	f->fds_before = test_fd_count();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	f->connection = ends[0];
	f->sender = ends[1];
	assert_int_equal(belay__handoff_self_read(f->connection, &f->self), 0);
	f->spare[0] = f->spare[1] = -EBADF;
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	(void)close(f->connection);
	(void)close(f->sender);
	for (int i = 0; i < 2; i++)
		if (f->spare[i] >= 0)
			(void)close(f->spare[i]);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

static void expect_refused(const struct fixture *f, int fd, bool allow_inet, const char *text)
{
	struct belay__handoff_client client = { .owner = { .pid = -7 } };
	int flags = fcntl(fd, F_GETFL);
	const char *got = "";

	assert_int_equal(belay__handoff_stream_check(fd, allow_inet, &f->self, &client, &got),
		-EACCES);
	assert_string_equal(got, text);
	assert_int_equal(client.owner.pid, -7);
	assert_int_equal(fcntl(fd, F_GETFL), flags);
}

static int option(int fd, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &len) < 0 ? -errno : value;
}

static int pair(struct fixture *f, int type)
{
	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, f->spare), 0);
	return f->spare[0];
}

static int pipe_end(struct fixture *f)
{
	assert_int_equal(pipe2(f->spare, O_CLOEXEC), 0);
	return f->spare[1];
}

static int opened(struct fixture *f, const char *path, int flags)
{
	f->spare[0] = open(path, flags | O_CLOEXEC);
	assert_true(f->spare[0] >= 0);
	return f->spare[0];
}

static int null_device(struct fixture *f)
{
	return opened(f, "/dev/null", O_RDWR);
}

static int file(struct fixture *f)
{
	return opened(f, "/proc/self/status", O_RDONLY);
}

static int directory(struct fixture *f)
{
	return opened(f, "/", O_RDONLY | O_DIRECTORY);
}

static int path_only(struct fixture *f)
{
	return opened(f, "/", O_PATH);
}

static int event(struct fixture *f)
{
	return f->spare[0] = eventfd(0, EFD_CLOEXEC);
}

static int datagram(struct fixture *f)
{
	return pair(f, SOCK_DGRAM);
}

static int packets(struct fixture *f)
{
	return pair(f, SOCK_SEQPACKET);
}

static int unconnected(struct fixture *f)
{
	return f->spare[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int listening(struct fixture *f)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	f->spare[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* With no path given, the kernel finds an abstract name. */
	assert_int_equal(bind(f->spare[0], (struct sockaddr *)&address, sizeof(sa_family_t)), 0);
	assert_int_equal(listen(f->spare[0], 1), 0);
	return f->spare[0];
}

static int tcp_unconnected(struct fixture *f)
{
	return f->spare[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int tcp_listening(struct fixture *f)
{
	assert_int_equal(listen(tcp_unconnected(f), 1), 0);
	return f->spare[0];
}

static int udp_connected(struct fixture *f)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(9) };

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	f->spare[0] = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(f->spare[0], (struct sockaddr *)&address, sizeof(address)), 0);
	return f->spare[0];
}

static int tcp(struct fixture *f)
{
	f->spare[0] = test_tcp(&f->spare[1], 0);
	return f->spare[0];
}

static int own_end(struct fixture *f)
{
	return f->spare[0] = fcntl(f->connection, F_DUPFD_CLOEXEC, 3);
}

static void what_is_no_connected_stream_is_refused(void **state)
{
	static const struct {
		int (*make)(struct fixture *f);
		bool allow_inet;
		const char *text;
	} cases[] = {
		{ null_device, true, "handoff descriptor is no socket" },
		{ file, true, "handoff descriptor is no socket" },
		{ directory, true, "handoff descriptor is no socket" },
		{ path_only, true, "handoff descriptor is no socket" },
		{ event, true, "handoff descriptor is no socket" },
		{ pipe_end, true, "handoff descriptor is no socket" },
		{ datagram, true, "handoff descriptor is no stream socket" },
		{ packets, true, "handoff descriptor is no stream socket" },
		{ udp_connected, true, "handoff descriptor is no stream socket" },
		{ listening, true, "handoff descriptor is a listening socket" },
		{ tcp_listening, true, "handoff descriptor is a listening socket" },
		{ unconnected, true, "handoff descriptor is not connected" },
		{ tcp_unconnected, true, "handoff descriptor is not connected" },
		{ tcp, false, "handoff descriptor is of a family that is not taken" },
		{ own_end, true, "handoff descriptor is a connection to the handoff endpoint" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = *state;

		expect_refused(f, cases[i].make(f), cases[i].allow_inet, cases[i].text);
		for (int end = 0; end < 2; end++) {
			if (f->spare[end] >= 0)
				(void)close(f->spare[end]);
			f->spare[end] = -EBADF;
		}
	}
}

static void no_descriptor_at_all_is_refused(void **state)
{
	const struct fixture *f = *state;

	expect_refused(f, -EBADF, true, "handoff descriptor is no socket");
}

static void a_connected_unix_stream_is_taken_with_its_client_and_unchanged_until_claimed(
	void **state)
{
	struct fixture *f = *state;
	struct belay__handoff_client client = { 0 };
	const char *text = NULL;
	int fd = pair(f, SOCK_STREAM), flags;

	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_APPEND), 0);
	flags = fcntl(fd, F_GETFL);
	assert_int_equal(flags & O_NONBLOCK, 0);
	assert_int_equal(belay__handoff_stream_check(fd, false, &f->self, &client, &text), 0);
	assert_null(text);
	assert_int_equal(client.owner.pid, getpid());
	assert_int_equal(client.owner.uid, geteuid());
	assert_int_equal(client.owner.gid, getegid());
	assert_int_equal(fcntl(fd, F_GETFL), flags);
	assert_true(client.is_unix);
	assert_int_equal(option(fd, SO_OOBINLINE), 0);
	assert_true(option(fd, SO_PASSRIGHTS) != 0);
	assert_int_equal(belay__handoff_stream_claim(fd, &client, false, &text), 0);
	assert_null(text);
	assert_int_equal(fcntl(fd, F_GETFL), flags | O_NONBLOCK);
}

static void descriptors_pass_to_a_claimed_client_only_where_they_may(void **state)
{
	struct fixture *f = *state;
	const struct belay__handoff_client client = { .is_unix = true };
	const char *text = NULL;
	int fd = pair(f, SOCK_STREAM), before = option(fd, SO_PASSRIGHTS);

	assert_int_equal(belay__handoff_stream_claim(fd, &client, true, &text), 0);
	assert_int_equal(option(fd, SO_PASSRIGHTS), before);
	assert_int_equal(option(fd, SO_OOBINLINE), 1);
	assert_int_equal(belay__handoff_stream_claim(fd, &client, false, &text), 0);
	if (before != -ENOPROTOOPT)
		assert_int_equal(option(fd, SO_PASSRIGHTS), 0);
	assert_null(text);
}

static void a_client_that_hung_up_is_still_a_client(void **state)
{
	struct fixture *f = *state;
	struct belay__handoff_client client = { 0 };
	const char *text = NULL;
	int fd = pair(f, SOCK_STREAM);

	(void)close(f->spare[1]);
	f->spare[1] = -EBADF;
	assert_int_equal(belay__handoff_stream_check(fd, false, &f->self, &client, &text), 0);
	assert_int_equal(client.owner.pid, getpid());
}

static void tcp_is_taken_where_it_is_allowed_and_has_no_credentials(void **state)
{
	struct fixture *f = *state;
	struct belay__handoff_client client = { .is_unix = true, .owner = { .pid = 7 } };
	const char *text = NULL;
	int fd = tcp(f);

	assert_int_equal(belay__handoff_stream_check(fd, true, &f->self, &client, &text), 0);
	assert_false(client.is_unix);
	/* Not root's. */
	assert_int_equal(client.owner.pid, 0);
	assert_true(client.owner.uid == (uid_t)-1);
	assert_true(client.owner.gid == (gid_t)-1);
	assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
	assert_int_equal(belay__handoff_stream_claim(fd, &client, false, &text), 0);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	assert_int_equal(option(fd, SO_OOBINLINE), 0);
}

/* Makes NAME in DIR listen, and a connection to it: *ret_sender is the dialling end. The accepted
 * one. */
static int dial(const char *dir, const char *name, int *ret_sender)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;

	test_path(dir, name, address.sun_path);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	*ret_sender = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*ret_sender, (struct sockaddr *)&address, sizeof(address)), 0);
	accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(accepted >= 0);
	(void)close(listener);
	return accepted;
}

static void neither_end_of_a_connection_to_the_endpoint_is_a_client(void **state)
{
	static const char text[] = "handoff descriptor is a connection to the handoff endpoint";
	struct fixture *f = *state;
	char dir[TEST_PATH_SIZE];
	struct belay__handoff_client client;
	const char *got = NULL;
	int sender, connection;

	test_make_dir(dir);
	connection = dial(dir, "handoff.sock", &sender);
	assert_int_equal(belay__handoff_self_read(connection, &f->self), 0);
	expect_refused(f, sender, false, text);
	expect_refused(f, connection, false, text);
	/* A server's end of a connection to another endpoint is one. */
	f->spare[0] = dial(dir, "other.sock", &f->spare[1]);
	assert_int_equal(belay__handoff_stream_check(f->spare[0], false, &f->self, &client, &got),
		0);
	(void)close(sender);
	(void)close(connection);
	test_remove_dir(dir);
}

static void only_a_connected_unix_stream_is_a_hand_over_connection(void **state)
{
	static const struct {
		int (*make)(struct fixture *f);
		int r;
	} cases[] = {
		{ null_device, -ENOTSOCK },
		{ datagram, -EPROTOTYPE },
		{ packets, -EPROTOTYPE },
		{ listening, -EPROTOTYPE },
		{ tcp, -EPROTOTYPE },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f = *state;
		struct belay__handoff_self self = { .cookie = 7 };

		assert_int_equal(belay__handoff_self_read(cases[i].make(f), &self), cases[i].r);
		assert_int_equal(self.cookie, 7);
		for (int end = 0; end < 2; end++) {
			if (f->spare[end] >= 0)
				(void)close(f->spare[end]);
			f->spare[end] = -EBADF;
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_no_connected_stream_is_refused),
		TEST(no_descriptor_at_all_is_refused),
		TEST(a_connected_unix_stream_is_taken_with_its_client_and_unchanged_until_claimed),
		TEST(descriptors_pass_to_a_claimed_client_only_where_they_may),
		TEST(a_client_that_hung_up_is_still_a_client),
		TEST(tcp_is_taken_where_it_is_allowed_and_has_no_credentials),
		TEST(neither_end_of_a_connection_to_the_endpoint_is_a_client),
		TEST(only_a_connected_unix_stream_is_a_hand_over_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
