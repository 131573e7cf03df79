#include <belay/handoff.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "backend/handoff_testing.h"
#include "base/clock.h"
#include "ipc/frame_stream.h"
#include "ipc/testing.h"

#define SERVICE "build-cache"

static const struct belay_handoff_receiver_options kept = { .service = SERVICE, .keep = true };

static uint64_t now_ms(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC) / BELAY__NS_PER_MS;
}

static void assert_adopted(const struct test_handoff *f, uint8_t n,
	const struct belay_adoption *adoption)
{
	struct belay_handoff_token token = test_token(n);

	assert_memory_equal(adoption->token.secret, token.secret, sizeof(token.secret));
	assert_int_equal(adoption->correlation_id, n);
	assert_string_equal(adoption->service, SERVICE);
	assert_int_equal(adoption->client_pid, getpid());
	assert_int_equal(adoption->client_uid, geteuid());
	assert_int_equal(adoption->client_gid, getegid());
	assert_int_equal(fcntl(adoption->fd, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(adoption->fd, F_GETFL) & O_NONBLOCK) != 0);
	test_handoff_answer(f, n, NULL);
	test_handoff_talk(f, adoption->fd);
}

/* --- what is right --- */

static void token_and_offer_in_one_message_are_adopted_at_once(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;

	test_handoff_start(f, &kept);
	test_handoff_expect(f, 0, NULL);
	assert_true(belay_handoff_peer_deadline_ms(f->peer) == UINT64_MAX);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 1, &adoption);
	assert_true(belay_handoff_peer_deadline_ms(f->peer) == UINT64_MAX);
	test_handoff_expect(f, 0, NULL);
	test_handoff_counts(f, 1, 0, 0, 0);
}

static void the_idle_limit_of_a_kept_connection_begins_anew_with_each_hand_over(void **state)
{
	struct belay_handoff_receiver_options options = kept;
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	uint64_t deadline_ms;

	options.idle_ms = 3600000;
	options.timeout_ms = 7200000;
	test_handoff_start(f, &options);
	deadline_ms = belay_handoff_peer_deadline_ms(f->peer);
	assert_in_range(deadline_ms, now_ms() + 3590000, now_ms() + 3600000);
	/* What has begun has the time that it always has. */
	test_handoff_send(f, "x", 1, f->clients[0], 1);
	test_handoff_expect(f, 0, NULL);
	assert_in_range(belay_handoff_peer_deadline_ms(f->peer), now_ms() + 7190000,
		now_ms() + 7200000);

	test_handoff_connect(f);
	deadline_ms = belay_handoff_peer_deadline_ms(f->peer);
	while (now_ms() + 3600000 == deadline_ms)
		;
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 1, &adoption);
	assert_true(belay_handoff_peer_deadline_ms(f->peer) > deadline_ms);
	test_handoff_counts(f, 1, 1, 0, 0);
}

static void an_idle_connection_is_given_up_but_not_who_came_before(void **state)
{
	struct belay_handoff_receiver_options options = kept;
	struct test_handoff *f = *state;
	struct belay_adoption adoption;

	options.idle_ms = 1;
	for (uint8_t came = 0; came < 2; came++) {
		uint64_t deadline_ms;

		test_handoff_start(f, &options);
		deadline_ms = belay_handoff_peer_deadline_ms(f->peer);
		if (came)
			test_handoff_pass(f, 1, f->clients[0]);
		while (now_ms() < deadline_ms)
			;
		if (came) {
			test_handoff_expect(f, 1, &adoption);
			assert_adopted(f, 1, &adoption);
			deadline_ms = belay_handoff_peer_deadline_ms(f->peer);
			while (now_ms() < deadline_ms)
				;
		}
		test_handoff_expect(f, -ETIMEDOUT, NULL);
		test_handoff_expect(f, -ENOTCONN, NULL);
		/* Whoever comes now still has his client. */
		assert_int_equal(test_send(f->sender, "x", 1, f->clients[0], 1), -EPIPE);
		test_handoff_counts(f, came, 0, 0, 0);
	}
}

/* Takes the client out of F, so that there can be another one. */
static void set_aside(struct test_handoff *f, int ret_client[2])
{
	memcpy(ret_client, f->clients, sizeof(f->clients));
	f->clients[0] = f->clients[1] = -EBADF;
	test_handoff_client(f);
}

/* Puts it back in place of the other one. */
static void bring_back(struct test_handoff *f, const int client[2])
{
	(void)close(f->clients[0]);
	(void)close(f->clients[1]);
	memcpy(f->clients, client, sizeof(f->clients));
}

static void three_in_a_row_on_a_kept_connection_are_told_apart(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	int clients[3][2];

	test_handoff_start(f, &kept);
	for (uint8_t n = 0; n < 3; n++) {
		test_handoff_pass(f, n, f->clients[0]);
		set_aside(f, clients[n]);
	}
	for (uint8_t n = 0; n < 3; n++) {
		bring_back(f, clients[n]);
		test_handoff_expect(f, 1, &adoption);
		assert_adopted(f, n, &adoption);
	}
	test_handoff_expect(f, 0, NULL);
	test_handoff_counts(f, 3, 0, 0, 0);
}

static void one_sender_of_broker_v1_writes_twice_and_is_done(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (int eager = 0; eager < 2; eager++) {
		test_handoff_start(f, NULL);
		assert_true(belay_handoff_peer_deadline_ms(f->peer) <=
			now_ms() + BELAY_HANDOFF_ACK_TIMEOUT_MS);
		test_handoff_send(f, bytes, 16, f->clients[0], 1);
		if (eager)
			test_handoff_expect(f, 0, NULL);
		test_handoff_send(f, bytes + 16, len - 16, -1, 0);
		test_handoff_expect(f, 1, &adoption);
		assert_adopted(f, 1, &adoption);
		test_handoff_expect(f, -ENOTCONN, NULL);
		test_handoff_expect(f, -ENOTCONN, NULL);
		test_handoff_counts(f, 1, 0, 0, 0);
		test_handoff_client(f);
	}
}

/* The newest of broker v1 write field 1 although it is 0; and its frames may carry a trace. */
static void an_offer_as_others_write_it_is_taken(void **state)
{
	static const uint8_t offer[] = { 0x01, 0x2d, 0x00, 0x00, 0x00, 0x08, 0x01, 0x18, 0xff, 0xa1,
		0x03, 0x22, 0x23, 0x08, 0x00, 0x12, 0x10, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06,
		0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x1a, 0x0b, 0x62, 0x75, 0x69,
		0x6c, 0x64, 0x2d, 0x63, 0x61, 0x63, 0x68, 0x65, 0x20, 0x07, 0x28, 0x07 };
	struct test_handoff *f = *state;
	struct belay_adoption adoption;

	test_handoff_start(f, NULL);
	test_handoff_send(f, offer + 17, 16, f->clients[0], 1);
	test_handoff_send(f, offer, sizeof(offer), -1, 0);
	test_handoff_expect(f, 1, &adoption);
	assert_int_equal(adoption.correlation_id, 7);
	assert_string_equal(adoption.service, SERVICE);
	test_handoff_talk(f, adoption.fd);
}

static void it_may_come_in_any_two_pieces(void **state)
{
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (int eager = 0; eager < 2; eager++) {
		for (size_t cut = 1; cut < len; cut++) {
			struct belay_adoption adoption;

			test_handoff_start(f, &kept);
			test_handoff_send(f, bytes, cut, f->clients[0], 1);
			if (eager)
				test_handoff_expect(f, 0, NULL);
			test_handoff_send(f, bytes + cut, len - cut, -1, 0);
			test_handoff_expect(f, 1, &adoption);
			assert_adopted(f, 1, &adoption);
			test_handoff_counts(f, 1, 0, 0, 0);
		}
	}
}

static void byte_by_byte_the_deadline_stands_and_it_is_adopted(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);
	uint64_t deadline_ms = 0;

	test_handoff_start(f, &kept);
	for (size_t i = 0; i < len; i++) {
		test_handoff_send(f, bytes + i, 1, f->clients[0], i == 0);
		if (i + 1 == len)
			break;
		test_handoff_expect(f, 0, NULL);
		if (i == 0)
			deadline_ms = belay_handoff_peer_deadline_ms(f->peer);
		assert_true(belay_handoff_peer_deadline_ms(f->peer) == deadline_ms);
	}
	assert_true(deadline_ms <= now_ms() + BELAY_HANDOFF_ACK_TIMEOUT_MS);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 1, &adoption);
}

/* Plain bytes are glued to those behind them that carry a descriptor. */
static void the_rest_of_one_offer_does_not_take_the_next_ones_client(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (size_t cut = 1; cut < len; cut++) {
		int first[2], second[2];

		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, cut, f->clients[0], 1);
		test_handoff_expect(f, 0, NULL);
		set_aside(f, first);
		test_handoff_send(f, bytes + cut, len - cut, -1, 0);
		test_handoff_pass(f, 2, f->clients[0]);
		set_aside(f, second);

		bring_back(f, first);
		test_handoff_expect(f, 1, &adoption);
		assert_adopted(f, 1, &adoption);
		bring_back(f, second);
		test_handoff_expect(f, 1, &adoption);
		assert_adopted(f, 2, &adoption);
		test_handoff_client(f);
		test_handoff_counts(f, 2, 0, 0, 0);
	}
}

static void credentials_on_the_connection_do_not_matter(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	int on = 1;

	test_handoff_start(f, &kept);
	assert_int_equal(setsockopt(belay_handoff_peer_fd(f->peer), SOL_SOCKET, SO_PASSCRED, &on,
				 sizeof(on)),
		0);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 1, &adoption);
}

/* --- refusals after which a kept connection goes on --- */

static void expect_refused_and_go_on(struct test_handoff *f, uint8_t n, const char *text)
{
	struct belay_adoption adoption;

	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, n, text);
	test_handoff_pass(f, 99, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 99, &adoption);
	test_handoff_counts(f, 1, 1, 0, 0);
}

static void a_token_that_came_before_is_refused_on_any_connection(void **state)
{
	struct test_handoff *f = *state;
	struct belay_adoption adoption;

	test_handoff_start(f, &kept);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 1, &adoption);
	for (int fresh = 0; fresh < 2; fresh++) {
		if (fresh)
			test_handoff_connect(f);
		test_handoff_pass(f, 1, f->clients[0]);
		test_handoff_expect(f, -EACCES, NULL);
		test_handoff_answer(f, 1, "handoff token replayed");
	}
	test_handoff_orphaned(f);
	test_handoff_counts(f, 1, 2, 0, 0);
}

static void an_offer_with_another_token_is_refused(void **state)
{
	static const struct {
		size_t len;
		const char *text;
	} cases[] = {
		{ 0, "handoff token is missing" },
		{ 15, "handoff token must be 16 bytes" },
		{ 16, "handoff token mismatch" },
		{ 17, "handoff token must be 16 bytes" },
	};
	static const uint8_t token[17] = { 1 };
	struct test_handoff *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay_envelope envelope = { .version = 1,
			.payload_protocol = BELAY_PROTOCOL_HANDOFF,
			.request_id = 1 };
		struct belay__handoff_offer offer = { .token = { token, cases[i].len },
			.service_name = { (const uint8_t *)SERVICE, strlen(SERVICE) },
			.correlation_id = 1 };
		uint8_t bytes[TEST_HANDOFF_SIZE];

		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, test_handoff_frame(1, &envelope, &offer, bytes),
			f->clients[0], 1);
		expect_refused_and_go_on(f, 1, cases[i].text);
	}
}

static void an_offer_for_another_service_is_refused(void **state)
{
	static const char *const others[] = { "build-cach", "build-cache2", "other" };
	struct test_handoff *f = *state;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		uint8_t bytes[TEST_HANDOFF_SIZE];

		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, test_handoff_bytes(1, others[i], 1, bytes),
			f->clients[0], 1);
		expect_refused_and_go_on(f, 1, "handoff is for another service");
	}
}

static void where_any_service_is_taken_it_has_to_be_a_name(void **state)
{
	static const struct belay_handoff_receiver_options any = { .keep = true };
	static const struct {
		const char *name;
		size_t len;
		bool taken;
	} cases[] = {
		{ "", 0, true },
		{ "a", 1, true },
		{ "0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmno", 64, true },
		{ "0123456789-abcdefghijklmnopqrstuvwxyz-0123456789-abcdefghijklmnop", 65, false },
		{ "a\0b", 3, false },
		{ "../x", 4, false },
		{ "Upper", 5, false },
		{ "\xc3\xa4", 2, false },
	};
	struct test_handoff *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay_envelope envelope = { .version = 1,
			.payload_protocol = BELAY_PROTOCOL_HANDOFF,
			.request_id = 1 };
		struct belay_handoff_token token = test_token(1);
		struct belay__handoff_offer offer = { .token = { token.secret, 16 },
			.service_name = { (const uint8_t *)cases[i].name, cases[i].len },
			.correlation_id = 1 };
		struct belay_adoption adoption;
		uint8_t bytes[TEST_HANDOFF_SIZE];

		test_handoff_start(f, &any);
		test_handoff_send(f, bytes, test_handoff_frame(1, &envelope, &offer, bytes),
			f->clients[0], 1);
		if (!cases[i].taken) {
			expect_refused_and_go_on(f, 1, "handoff offer names no service");
			continue;
		}
		test_handoff_expect(f, 1, &adoption);
		assert_string_equal(adoption.service, cases[i].name);
		test_handoff_answer(f, 1, NULL);
		test_handoff_talk(f, adoption.fd);
	}
}

static void a_descriptor_of_the_wrong_kind_is_refused_and_the_token_is_still_good(void **state)
{
	static const char text[] = "handoff descriptor is no socket";
	struct test_handoff *f = *state;
	struct belay_adoption adoption;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	test_handoff_start(f, &kept);
	test_handoff_pass(f, 1, null);
	(void)close(null);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, text);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 1, &adoption);
	test_handoff_counts(f, 1, 1, 0, 0);
}

static void tcp_is_taken_only_where_it_is_allowed(void **state)
{
	struct test_handoff *f = *state;
	int peer, fd = test_tcp(&peer, false);

	for (int allowed = 0; allowed < 2; allowed++) {
		struct belay_handoff_receiver_options options = kept;
		struct belay_adoption adoption;

		options.allow_inet = allowed;
		test_handoff_start(f, &options);
		test_handoff_pass(f, 1, fd);
		if (!allowed) {
			expect_refused_and_go_on(f, 1,
				"handoff descriptor is of a family that is not taken");
			continue;
		}
		test_handoff_expect(f, 1, &adoption);
		test_handoff_answer(f, 1, NULL);
		assert_int_equal(adoption.client_pid, 0);
		assert_true(adoption.client_uid == (uid_t)-1);
		assert_true(adoption.client_gid == (gid_t)-1);
		(void)close(adoption.fd);
	}
	(void)close(peer);
	(void)close(fd);
}

static void the_connection_itself_is_no_client(void **state)
{
	struct test_handoff *f = *state;

	test_handoff_start(f, &kept);
	test_handoff_pass(f, 1, belay_handoff_peer_fd(f->peer));
	expect_refused_and_go_on(f, 1, "handoff descriptor is a connection to the handoff endpoint");
}

static void after_a_refusal_a_connection_for_one_is_over(void **state)
{
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];

	test_handoff_start(f, &(struct belay_handoff_receiver_options){ .service = SERVICE });
	test_handoff_send(f, bytes, test_handoff_bytes(1, "other", 1, bytes), f->clients[0], 1);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff is for another service");
	test_handoff_pass(f, 2, f->clients[0]);
	test_handoff_expect(f, -ENOTCONN, NULL);
	test_handoff_silence(f);
}

/* --- with a token store --- */

static void a_token_of_the_store_is_used_up_by_the_one_that_is_adopted(void **state)
{
	struct test_handoff *f = *state;
	struct belay_handoff_receiver_options options = kept;
	struct belay_handoff_token token = test_token(1);
	struct belay_adoption adoption;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len;

	assert_int_equal(belay_handoff_tokens_new(4, 60000, &options.tokens), 0);
	test_handoff_start(f, &options);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff token is not pending");
	assert_int_equal(belay_handoff_tokens_add(options.tokens, &token, now_ms()), 0);

	/* The offer's token is another one; the same, for another service: both leave it
	 * pending. */
	len = test_handoff_bytes(1, SERVICE, 1, bytes);
	bytes[3]++;
	test_handoff_send(f, bytes, len, f->clients[0], 1);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff token mismatch");
	test_handoff_send(f, bytes, test_handoff_bytes(1, "other", 1, bytes), f->clients[0], 1);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff is for another service");

	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, 1, &adoption);
	assert_adopted(f, 1, &adoption);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff token replayed");
	test_handoff_counts(f, 1, 4, 0, 0);

	/* What is refused as a replay takes nothing from the store. */
	assert_int_equal(belay_handoff_tokens_add(options.tokens, &token, now_ms()), 0);
	test_handoff_client(f);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff token replayed");
	assert_true(belay_handoff_tokens_revoke(options.tokens, &token));
	options.tokens = belay_handoff_tokens_free(options.tokens);
}

static void an_expired_token_is_refused_and_gone(void **state)
{
	struct test_handoff *f = *state;
	struct belay_handoff_receiver_options options = kept;
	struct belay_handoff_token token = test_token(1);

	assert_int_equal(belay_handoff_tokens_new(4, 1, &options.tokens), 0);
	/* Issued long ago. */
	assert_int_equal(belay_handoff_tokens_add(options.tokens, &token, now_ms() - 1), 0);
	test_handoff_start(f, &options);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff token expired");
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, -EACCES, NULL);
	test_handoff_answer(f, 1, "handoff token is not pending");
	options.tokens = belay_handoff_tokens_free(options.tokens);
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, test_handoff_set_up, test_handoff_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(token_and_offer_in_one_message_are_adopted_at_once),
		TEST(the_idle_limit_of_a_kept_connection_begins_anew_with_each_hand_over),
		TEST(an_idle_connection_is_given_up_but_not_who_came_before),
		TEST(three_in_a_row_on_a_kept_connection_are_told_apart),
		TEST(one_sender_of_broker_v1_writes_twice_and_is_done),
		TEST(an_offer_as_others_write_it_is_taken),
		TEST(it_may_come_in_any_two_pieces),
		TEST(byte_by_byte_the_deadline_stands_and_it_is_adopted),
		TEST(the_rest_of_one_offer_does_not_take_the_next_ones_client),
		TEST(credentials_on_the_connection_do_not_matter),
		TEST(a_token_that_came_before_is_refused_on_any_connection),
		TEST(an_offer_with_another_token_is_refused),
		TEST(an_offer_for_another_service_is_refused),
		TEST(where_any_service_is_taken_it_has_to_be_a_name),
		TEST(a_descriptor_of_the_wrong_kind_is_refused_and_the_token_is_still_good),
		TEST(tcp_is_taken_only_where_it_is_allowed),
		TEST(the_connection_itself_is_no_client),
		TEST(after_a_refusal_a_connection_for_one_is_over),
		TEST(a_token_of_the_store_is_used_up_by_the_one_that_is_adopted),
		TEST(an_expired_token_is_refused_and_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
