#include <belay/handoff.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/handoff_replays.h"
#include "backend/handoff_testing.h"
#include "base/clock.h"
#include "ipc/testing.h"

#define SERVICE "build-cache"

static void options_out_of_bounds_are_refused_with_a_sentence(void **state)
{
	static const char long_name[] =
		"0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnop";
	static const struct {
		struct belay_handoff_receiver_options options;
		bool taken;
	} cases[] = {
		{ { 0 }, true },
		{ { .service = "" }, false },
		{ { .service = "a" }, true },
		{ { .service = long_name }, false },
		{ { .service = long_name + 1 }, true },
		{ { .service = "a b" }, false },
		{ { .service = "A" }, false },
		{ { .uid = (uid_t)-1 }, false },
		{ { .uid = (uid_t)-2 }, true },
		{ { .timeout_ms = INT_MAX }, true },
		{ { .timeout_ms = (unsigned)INT_MAX + 1 }, false },
		{ { .idle_ms = INT_MAX }, true },
		{ { .idle_ms = (unsigned)INT_MAX + 1 }, false },
		{ { .replay_count = 1 }, true },
		{ { .replay_count = BELAY__REPLAYS_MAX + 1 }, false },
		{ { .reserved = { 0, 0, 0, 1 } }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay_handoff_receiver *receiver = NULL;
		struct belay_error error = { .text = "none" };
		int r = belay_handoff_receiver_new(&cases[i].options, &receiver, &error);

		assert_int_equal(r, cases[i].taken ? 0 : -EINVAL);
		assert_int_equal(receiver != NULL, cases[i].taken);
		assert_int_equal(strcmp(error.text, "none") == 0, cases[i].taken);
		assert_int_equal(error.code, r);
		assert_null(belay_handoff_receiver_free(receiver));
	}
	assert_null(belay_handoff_receiver_free(NULL));
}

static void the_name_of_the_service_is_copied(void **state)
{
	struct test_handoff *f = *state;
	char name[] = SERVICE;
	struct belay_handoff_receiver_options options = { .service = name };
	struct belay_adoption adoption;

	test_handoff_start(f, &options);
	memset(name, 'x', sizeof(name));
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	test_handoff_talk(f, adoption.fd);
}

static void only_so_many_tokens_are_remembered(void **state)
{
	static const struct belay_handoff_receiver_options two = { .keep = true, .replay_count = 2 };
	static const struct {
		uint8_t n;
		bool adopted;
	} steps[] = { { 1, true }, { 2, true }, { 1, false }, { 3, true }, { 2, false },
		{ 1, true } };
	struct test_handoff *f = *state;

	test_handoff_start(f, &two);
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct belay_adoption adoption;

		test_handoff_pass(f, steps[i].n, f->clients[0]);
		test_handoff_expect(f, steps[i].adopted ? 1 : -EACCES, &adoption);
		if (steps[i].adopted)
			(void)close(adoption.fd);
	}
}

static void a_sender_of_another_uid_is_not_even_read(void **state)
{
	struct test_handoff *f = *state;
	struct belay_handoff_receiver_options options = { .uid = geteuid() + 1 };
	struct belay_handoff_peer *peer = NULL;
	struct belay_adoption adoption;
	struct belay_error error;
	char bytes[TEST_HANDOFF_SIZE];
	int ends[2];

	assert_int_equal(belay_handoff_receiver_new(&options, &f->receiver, &error), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	f->sender = ends[0];
	test_handoff_pass(f, 1, f->clients[0]);
	assert_int_equal(belay_handoff_receive(f->receiver, ends[1], &adoption, &error), -EPERM);
	/* All of it is still there. */
	assert_true(recv(ends[1], bytes, sizeof(bytes), MSG_DONTWAIT | MSG_PEEK) >
		BELAY_HANDOFF_TOKEN_LEN);
	assert_int_equal(belay_handoff_peer_new(f->receiver, ends[1], &peer, &error), -EPERM);
	assert_int_equal(error.code, -EPERM);
	assert_null(peer);
	/* Nothing is said, only hung up, and what came is closed. */
	assert_true(recv(f->sender, bytes, sizeof(bytes), 0) <= 0);
	test_handoff_orphaned(f);
}

static void a_refused_sender_holds_nobody_up(void **state)
{
	struct test_handoff *f = *state;
	struct belay_handoff_receiver_options options = { .uid = geteuid() + 1 };
	struct belay_handoff_peer *peer = NULL;
	struct belay_error error;
	int ends[2], tcp_peer, stray = test_tcp(&tcp_peer, true);
	uint64_t start_ns;

	assert_int_equal(belay_handoff_receiver_new(&options, &f->receiver, &error), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	f->sender = ends[0];
	test_handoff_pass(f, 1, stray);
	(void)close(stray);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	assert_int_equal(belay_handoff_peer_new(f->receiver, ends[1], &peer, &error), -EPERM);
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 500 * BELAY__NS_PER_MS);
	(void)close(tcp_peer);
}

static void root_is_nobody_special(void **state)
{
	struct test_handoff *f = *state;
	struct belay_handoff_peer *peer = NULL;
	struct belay_error error;
	int ends[2];
	pid_t child;

	if (geteuid() != 0)
		skip();
	/* The ends belong to root; the receiver belongs to somebody else. */
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	f->sender = ends[0];
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct belay_handoff_receiver *receiver;

		if (setresuid(65534, 65534, 65534) < 0 ||
			belay_handoff_receiver_new(NULL, &receiver, &error) < 0)
			_exit(2);
		_exit(belay_handoff_peer_new(receiver, ends[1], &peer, &error) != -EPERM);
	}
	assert_int_equal(test_wait_child(child), 0);
	(void)close(ends[1]);
}

static void what_is_no_connection_is_closed_too(void **state)
{
	struct test_handoff *f = *state;
	struct belay_handoff_peer *peer = NULL;
	struct belay_error error;
	int ends[2];

	test_handoff_start(f, NULL);
	assert_int_equal(belay_handoff_peer_new(f->receiver, -EBADF, &peer, &error), -EBADF);
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
	assert_int_equal(belay_handoff_peer_new(f->receiver, ends[0], &peer, &error), -EPROTOTYPE);
	assert_null(peer);
	test_handoff_settle(f);
	assert_int_equal(fcntl(ends[0], F_GETFD), -1);
	(void)close(ends[1]);
}

/* The thread that closed what the parent refused is not there. */
static void a_forked_child_hangs_up_on_whom_it_refuses(void **state)
{
	static const struct belay_handoff_receiver_options others = { .service = "other",
		.keep = true };
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	pid_t child;
	char byte;

	test_handoff_start(f, &others);
	for (uint8_t n = 0; n < 2; n++) {
		test_handoff_pass(f, n, f->clients[0]);
		if (n == 0) {
			test_handoff_expect(f, -EACCES, NULL);
			test_handoff_orphaned(f);
			test_handoff_settle(f);
		}
	}
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)alarm(20);
		(void)close(f->clients[0]);
		if (belay_handoff_peer_next(f->peer, &adoption, NULL) != -EACCES)
			_exit(1);
		test_handoff_settle(f);
		(void)belay_handoff_peer_free(f->peer);
		(void)belay_handoff_receiver_free(f->receiver);
		_exit(recv(f->clients[1], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN ? 0 : 2);
	}
	assert_int_equal(test_wait_child(child), 0);
	/* Only the parent's own one is left. */
	test_handoff_orphaned(f);
}

/* --- the call that waits --- */

/* The two ends of a connection that was never made non-blocking. */
static int connect_blocking(struct test_handoff *f)
{
	int ends[2];

	(void)close(f->sender);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	f->sender = ends[0];
	return ends[1];
}

static void receiving_waits_for_what_trickles_in(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	struct belay_error error;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);
	int connection;
	pid_t child;

	test_handoff_start(f, NULL);
	connection = connect_blocking(f);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		for (size_t i = 0; i < len; i++)
			if (test_send(f->sender, bytes + i, 1, f->clients[0], i == 0) < 0)
				_exit(1);
		_exit(0);
	}
	assert_int_equal(belay_handoff_receive(f->receiver, connection, &adoption, &error), 0);
	assert_int_equal(test_wait_child(child), 0);
	test_handoff_answer(f, 1, NULL);
	test_handoff_talk(f, adoption.fd);
	/* The connection is the caller's. */
	assert_int_equal(fcntl(connection, F_GETFL) & O_NONBLOCK, 0);
	(void)close(connection);
}

static void receiving_takes_one_after_the_other_from_a_connection(void **state)
{
	struct test_handoff *f = *state;
	int connection;

	test_handoff_start(f, NULL);
	connection = connect_blocking(f);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_pass(f, 2, f->clients[0]);
	for (uint8_t n = 1; n <= 2; n++) {
		struct belay_adoption adoption;
		struct belay_error error;

		assert_int_equal(belay_handoff_receive(f->receiver, connection, &adoption, &error),
			0);
		assert_int_equal(adoption.correlation_id, n);
		test_handoff_answer(f, n, NULL);
		test_handoff_talk(f, adoption.fd);
	}
	(void)close(connection);
}

static void receiving_says_why_not(void **state)
{
	static const struct belay_handoff_receiver_options hasty = { .timeout_ms = 20,
		.keep = true };
	struct test_handoff *f = *state;
	struct belay_adoption adoption = { .fd = -7 };
	struct belay_error error;
	int connection, null = open("/dev/null", O_RDWR | O_CLOEXEC);

	test_handoff_start(f, &hasty);
	connection = connect_blocking(f);
	assert_int_equal(belay_handoff_receive(f->receiver, connection, &adoption, &error),
		-ETIMEDOUT);
	assert_int_equal(error.code, -ETIMEDOUT);

	test_handoff_pass(f, 1, null);
	(void)close(null);
	assert_int_equal(belay_handoff_receive(f->receiver, connection, &adoption, &error), -EACCES);
	assert_string_equal(error.text, "a client was refused: handoff descriptor is no socket");
	test_handoff_answer(f, 1, "handoff descriptor is no socket");

	(void)close(f->sender);
	f->sender = -EBADF;
	assert_int_equal(belay_handoff_receive(f->receiver, connection, &adoption, &error),
		-ENOTCONN);
	assert_int_equal(error.code, -ENOTCONN);
	assert_int_equal(adoption.fd, -7);
	(void)close(connection);
}

static void a_timed_out_offer_closes_the_client(void **state)
{
	static const struct belay_handoff_receiver_options hasty = { .timeout_ms = 20 };
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	struct belay_error error;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	int connection;

	(void)test_handoff_bytes(1, SERVICE, 1, bytes);
	test_handoff_start(f, &hasty);
	connection = connect_blocking(f);
	test_handoff_send(f, bytes, 16, f->clients[0], 1);
	test_handoff_send(f, bytes + 16, 20, -1, 0);
	assert_int_equal(belay_handoff_receive(f->receiver, connection, &adoption, &error),
		-ETIMEDOUT);
	test_handoff_orphaned(f);
	test_handoff_silence(f);
	test_handoff_counts(f, 0, 1, 0, 0);
	(void)close(connection);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, test_handoff_set_up, test_handoff_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(options_out_of_bounds_are_refused_with_a_sentence),
		TEST(the_name_of_the_service_is_copied),
		TEST(only_so_many_tokens_are_remembered),
		TEST(a_sender_of_another_uid_is_not_even_read),
		TEST(a_refused_sender_holds_nobody_up),
		TEST(root_is_nobody_special),
		TEST(what_is_no_connection_is_closed_too),
		TEST(a_forked_child_hangs_up_on_whom_it_refuses),
		TEST(receiving_waits_for_what_trickles_in),
		TEST(receiving_takes_one_after_the_other_from_a_connection),
		TEST(receiving_says_why_not),
		TEST(a_timed_out_offer_closes_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
