#include <belay/handoff.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "broker/handoff_testing.h"

#define PATIENCE_MS 5000

/* A client whose connection ends here: [0] is ours, [1] the client's. */
static void make_client(int ret_client[2])
{
	test_stream_pair(ret_client);
}

static void assert_talk(int left, int right)
{
	uint8_t byte = 0;

	test_write(left, "?", 1);
	test_read(right, &byte, 1);
	assert_int_equal(byte, '?');
	test_write(right, "!", 1);
	test_read(left, &byte, 1);
	assert_int_equal(byte, '!');
}

static void wait_readable(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN };

	assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
}

/* When we hang up nobody else has the client any more, not even the thread that closes what was refused: it
 * sees the end. */
static void assert_orphaned(int client[2])
{
	uint8_t byte;

	(void)close(client[0]);
	wait_readable(client[1]);
	assert_int_equal(read(client[1], &byte, 1), 0);
	(void)close(client[1]);
}

/* --- over a fresh dial, both sides waiting --- */

struct backend {
	const struct test_endpoint *endpoint;
	struct belay_handoff_receiver *receiver;
	struct belay_adoption adoption;
	int code;
};

static void *take_one(void *data)
{
	struct backend *backend = data;
	int connection = accept4(backend->endpoint->listener, NULL, NULL, SOCK_CLOEXEC);

	backend->code = connection < 0
		? -errno
		: belay_handoff_receive(backend->receiver, connection, &backend->adoption, NULL);
	(void)belay__close(connection);
	return NULL;
}

/* Upstream's handoff_unix_e2e_orchestrate and handoff_serve_e2e. */
static int hand_over(struct backend *backend, int fd, const char *service,
	struct belay_handoff_result *ret_result, struct belay_error *reterr)
{
	const struct belay_handoff_request request = {
		.fd = fd,
		.path = backend->endpoint->path,
		.token = test_token,
		.service = service,
		.correlation_id = 7,
		.timeout_ms = PATIENCE_MS,
	};
	pthread_t thread;
	int r;

	assert_int_equal(pthread_create(&thread, NULL, take_one, backend), 0);
	r = belay_handoff(&request, ret_result, reterr);
	assert_int_equal(pthread_join(thread, NULL), 0);
	return r;
}

static void start_backend(struct backend *backend, const struct test_endpoint *endpoint)
{
	const struct belay_handoff_receiver_options options = { .service = "build-cache" };

	*backend = (struct backend){ .endpoint = endpoint };
	assert_int_equal(belay_handoff_receiver_new(&options, &backend->receiver, NULL), 0);
}

static void a_client_moves_and_goes_on_talking(void **state)
{
	struct backend backend;
	struct belay_handoff_result result;
	int client[2];

	start_backend(&backend, *state);
	make_client(client);
	assert_int_equal(hand_over(&backend, client[0], "build-cache", &result, NULL), 0);
	assert_int_equal(backend.code, 0);
	assert_int_equal(result.stage, BELAY_HANDOFF_DONE);
	assert_true(result.relinquish);
	assert_int_equal(backend.adoption.correlation_id, 7);
	assert_true(belay_handoff_token_equal(&backend.adoption.token, &test_token));
	assert_string_equal(backend.adoption.service, "build-cache");
	assert_int_equal(backend.adoption.client_pid, getpid());

	assert_int_equal(belay_handoff_ready_send(client[0], &test_token, 7, true), 0);
	assert_int_equal(close(client[0]), 0);
	test_write(backend.adoption.fd, "+", 1);
	assert_int_equal(belay_handoff_ready_wait(client[1], &test_token, PATIENCE_MS), 0);
	test_read(client[1], (uint8_t[1]){ 0 }, 1);
	assert_talk(client[1], backend.adoption.fd);

	(void)close(client[1]);
	(void)close(backend.adoption.fd);
	(void)belay_handoff_receiver_free(backend.receiver);
}

static void a_refused_client_is_still_ours(void **state)
{
	struct backend backend;
	struct belay_handoff_result result;
	struct belay_error error = { 0 };
	int client[2];

	start_backend(&backend, *state);
	make_client(client);
	assert_int_equal(hand_over(&backend, client[0], "other", &result, &error), -ECONNREFUSED);
	assert_int_equal(backend.code, -EACCES);
	assert_int_equal(result.error, BELAY_HANDOFF_REJECTED);
	assert_true(result.rejected);
	assert_false(result.relinquish);
	assert_true(result.detail[0] != '\0');
	assert_non_null(strstr(error.text, result.detail));
	assert_talk(client[0], client[1]);
	assert_orphaned(client);
	(void)belay_handoff_receiver_free(backend.receiver);
}

static void a_token_that_was_used_is_refused(void **state)
{
	struct backend backend;
	struct belay_handoff_result result;
	int first[2], second[2];

	start_backend(&backend, *state);
	make_client(first);
	make_client(second);
	assert_int_equal(hand_over(&backend, first[0], "build-cache", &result, NULL), 0);
	(void)close(backend.adoption.fd);
	assert_int_equal(hand_over(&backend, second[0], "build-cache", &result, NULL),
		-ECONNREFUSED);
	assert_false(result.relinquish);
	assert_talk(second[0], second[1]);
	assert_orphaned(first);
	assert_orphaned(second);
	(void)belay_handoff_receiver_free(backend.receiver);
}

/* --- over a kept channel, nobody waiting --- */

struct kept {
	struct belay_handoff_receiver *receiver;
	struct belay_handoff_peer *peer;
	struct belay_handoff_channel *channel;
};

static void start_kept(struct kept *kept, struct belay_handoff_tokens *tokens)
{
	const struct belay_handoff_receiver_options options = { .service = "build-cache",
		.keep = true,
		.tokens = tokens };
	int ends[2];

	test_stream_pair(ends);
	assert_int_equal(belay_handoff_receiver_new(&options, &kept->receiver, NULL), 0);
	assert_int_equal(belay_handoff_peer_new(kept->receiver, ends[1], &kept->peer, NULL), 0);
	assert_int_equal(belay_handoff_channel_new(ends[0], &kept->channel), 0);
}

static void stop_kept(struct kept *kept)
{
	(void)belay_handoff_channel_free(kept->channel);
	(void)belay_handoff_peer_free(kept->peer);
	(void)belay_handoff_receiver_free(kept->receiver);
}

static void pass(struct kept *kept, int fd, const struct belay_handoff_token *token, uint64_t id)
{
	const struct belay_handoff_request request = { .fd = fd,
		.token = *token,
		.service = "build-cache",
		.correlation_id = id };

	assert_int_equal(belay_handoff_channel_pass(kept->channel, &request, test_now_ms()), 0);
}

static void many_clients_move_over_one_channel(void **state)
{
	enum { ROUNDS = 3, CLIENTS = BELAY_HANDOFF_UNACKED_MAX };
	struct belay_handoff_counts counts;
	struct kept kept;
	(void)state;

	start_kept(&kept, NULL);
	for (unsigned round = 0; round < ROUNDS; round++) {
		int clients[CLIENTS][2];

		for (unsigned i = 0; i < CLIENTS; i++) {
			const struct belay_handoff_token token = test_token_of(round * CLIENTS + i);

			make_client(clients[i]);
			pass(&kept, clients[i][0], &token, i);
		}
		for (unsigned i = 0; i < CLIENTS; i++) {
			struct belay_handoff_result result;
			struct belay_adoption adoption;

			wait_readable(belay_handoff_peer_fd(kept.peer));
			assert_int_equal(belay_handoff_peer_next(kept.peer, &adoption, NULL), 1);
			assert_int_equal(adoption.correlation_id, i);
			wait_readable(belay_handoff_channel_fd(kept.channel));
			assert_int_equal(
				belay_handoff_channel_next(kept.channel, test_now_ms(), &result), 1);
			assert_int_equal(result.correlation_id, i);
			assert_int_equal(result.error, BELAY_HANDED_OVER);
			(void)close(clients[i][0]);
			assert_talk(clients[i][1], adoption.fd);
			(void)close(clients[i][1]);
			(void)close(adoption.fd);
		}
	}
	belay_handoff_receiver_counts(kept.receiver, &counts);
	assert_int_equal(counts.adopted, ROUNDS * CLIENTS);
	assert_int_equal(counts.refused, 0);
	stop_kept(&kept);
}

/* Upstream's handoff_backend_lib: tokens that the backend was told to expect. */
static void only_tokens_that_are_expected_are_taken_each_once(void **state)
{
	struct belay_handoff_tokens *tokens;
	struct belay_handoff_result result;
	struct belay_adoption adoption;
	struct belay_handoff_token expected, unexpected = test_token_of(1);
	struct kept kept;
	int client[2];
	(void)state;

	make_client(client);
	assert_int_equal(belay_handoff_tokens_new(8, 30000, &tokens), 0);
	assert_int_equal(belay_handoff_tokens_issue(tokens, test_now_ms(), &expected), 0);
	start_kept(&kept, tokens);

	pass(&kept, client[0], &unexpected, 1);
	assert_int_equal(belay_handoff_peer_next(kept.peer, &adoption, NULL), -EACCES);
	assert_int_equal(belay_handoff_channel_next(kept.channel, test_now_ms(), &result), 1);
	assert_true(result.rejected);
	assert_false(result.relinquish);

	pass(&kept, client[0], &expected, 2);
	assert_int_equal(belay_handoff_peer_next(kept.peer, &adoption, NULL), 1);
	assert_int_equal(belay_handoff_channel_next(kept.channel, test_now_ms(), &result), 1);
	assert_int_equal(result.error, BELAY_HANDED_OVER);
	(void)close(adoption.fd);

	pass(&kept, client[0], &expected, 3);
	assert_int_equal(belay_handoff_peer_next(kept.peer, &adoption, NULL), -EACCES);
	assert_int_equal(belay_handoff_channel_next(kept.channel, test_now_ms(), &result), 1);
	assert_true(result.rejected);

	assert_orphaned(client);
	stop_kept(&kept);
	(void)belay_handoff_tokens_free(tokens);
}

#define PLACED(test)                                                                               \
	cmocka_unit_test_setup_teardown(test, test_endpoint_set_up, test_endpoint_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACED(a_client_moves_and_goes_on_talking),
		PLACED(a_refused_client_is_still_ours),
		PLACED(a_token_that_was_used_is_refused),
		PLACED(many_clients_move_over_one_channel),
		PLACED(only_tokens_that_are_expected_are_taken_each_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
