/* Senders that do it wrong, on purpose or not: what handoff_peer.c does then. */
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

/* --- refusals that end the connection --- */

static void expect_refused_and_over(struct test_handoff *f, int r, const char *text)
{
	test_handoff_expect(f, r, NULL);
	if (text != NULL)
		test_handoff_answer(f, 1, text);
	else
		test_handoff_silence(f);
	test_handoff_pass(f, 99, f->clients[0]);
	test_handoff_expect(f, -ENOTCONN, NULL);
	f->peer = belay_handoff_peer_free(f->peer);
	test_handoff_orphaned(f);
}

static void any_other_number_of_descriptors_is_refused(void **state)
{
	static const struct {
		unsigned count, strays;
		const char *text;
	} cases[] = {
		{ 0, 0, "handoff token has no descriptor attached" },
		{ 2, 1, "handoff token has more than one descriptor attached" },
		{ 253, 252, "handoff token has more than one descriptor attached" },
	};
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, len, f->clients[0], cases[i].count);
		expect_refused_and_over(f, -EPROTO, cases[i].text);
		test_handoff_counts(f, 0, 1, cases[i].strays, 0);
	}
}

static void a_descriptor_in_the_middle_is_a_stray_wherever_it_comes(void **state)
{
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (size_t cut = 1; cut < len; cut++) {
		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, cut, f->clients[0], 1);
		test_handoff_send(f, bytes + cut, len - cut, f->clients[0], 2);
		expect_refused_and_over(f, -EPROTO, "handoff offer has a descriptor attached");
		test_handoff_counts(f, 0, 1, 2, 0);
	}
}

static void a_descriptor_behind_the_first_byte_is_too_late(void **state)
{
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (size_t cut = 1; cut < len; cut++) {
		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, cut, -1, 0);
		test_handoff_expect(f, 0, NULL);
		test_handoff_send(f, bytes + cut, len - cut, f->clients[0], 1);
		expect_refused_and_over(f, -EPROTO, "handoff token has no descriptor attached");
		test_handoff_counts(f, 0, 1, 1, 0);
	}
}

/* It comes in one piece with what it was put in front of, and with the descriptor. */
static void garbage_in_front_of_a_token_is_refused(void **state)
{
	static const uint8_t garbage[64] = { 1, 2, 3 };
	struct test_handoff *f = *state;

	for (int eager = 0; eager < 2; eager++) {
		for (size_t len = 1; len <= sizeof(garbage); len++) {
			struct belay_handoff_counts counts;
			struct belay_error error;
			struct belay_adoption adoption;
			int r;

			test_handoff_start(f,
				&(struct belay_handoff_receiver_options){ .timeout_ms = 1 });
			test_handoff_send(f, garbage, len, -1, 0);
			if (eager &&
				belay_handoff_peer_next(f->peer, &adoption, &error) == -ETIMEDOUT)
				continue;
			test_handoff_pass(f, 1, f->clients[0]);
			while ((r = belay_handoff_peer_next(f->peer, &adoption, &error)) == 0)
				(void)belay__wait_until(belay_handoff_peer_fd(f->peer), POLLIN,
					belay_handoff_peer_deadline_ms(f->peer) * BELAY__NS_PER_MS);
			assert_true(r < 0);
			test_handoff_silence(f);
			belay_handoff_receiver_counts(f->receiver, &counts);
			assert_int_equal(counts.adopted, 0);
			f->peer = belay_handoff_peer_free(f->peer);
			test_handoff_orphaned(f);
		}
	}
}

static void bytes_behind_an_offer_that_no_sender_writes_are_refused(void **state)
{
	struct test_handoff *f = *state;
	uint8_t bytes[2 * TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	len += test_handoff_bytes(2, SERVICE, 2, bytes + len);
	test_handoff_start(f, &kept);
	test_handoff_send(f, bytes, len, f->clients[0], 1);
	expect_refused_and_over(f, -EPROTO, "handoff offer has bytes behind it");
}

static void what_is_no_offer_gets_no_answer(void **state)
{
	static const struct belay_envelope right = { .version = 1,
		.payload_protocol = BELAY_PROTOCOL_HANDOFF,
		.request_id = 1 };
	struct belay_handoff_token token = test_token(1);
	struct belay__handoff_offer offer = { .token = { token.secret, 16 },
		.service_name = { (const uint8_t *)SERVICE, strlen(SERVICE) },
		.correlation_id = 1 };
	struct belay_envelope wrong[5] = { right, right, right, right, right };
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];

	wrong[0].version = 2;
	wrong[1].kind = BELAY_ENVELOPE_RESPONSE;
	wrong[2].payload_protocol = BELAY_PROTOCOL_PROBE;
	wrong[3].payload_encoding = 1;
	wrong[4].request_id = 2;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, test_handoff_frame(1, &wrong[i], &offer, bytes),
			f->clients[0], 1);
		expect_refused_and_over(f, -EPROTO, NULL);
		test_handoff_counts(f, 0, 1, 0, 0);
	}
	/* Not even a message. */
	wrong[0] = right;
	wrong[0].payload = (struct belay_bytes){ (const uint8_t *)"\x07", 1 };
	test_handoff_start(f, &kept);
	test_handoff_send(f, bytes, test_handoff_frame(1, &wrong[0], NULL, bytes), f->clients[0], 1);
	expect_refused_and_over(f, -EBADMSG, NULL);
}

static void frames_that_claim_too_much_are_refused_before_they_come(void **state)
{
	static const struct {
		uint8_t header[BELAY_FRAME_HEADER];
		size_t len;
		int r;
	} cases[] = {
		{ { 1, 0x01, 0x10, 0, 0 }, 5, -EMSGSIZE },       /* 4097 */
		{ { 1, 0, 0, 0, 1 }, 5, -EMSGSIZE },             /* 16 MiB */
		{ { 1, 0xff, 0xff, 0xff, 0xff }, 5, -EMSGSIZE }, /* 4 GiB - 1 */
		{ { 2 }, 1, -EPROTONOSUPPORT },                  /* another framing */
		{ { 1, 0, 0, 0, 0 }, 5, -EPROTO },               /* empty: no REQUEST of ours */
		{ { 1, 0x00, 0x10, 0, 0 }, 5, 0 },               /* 4096 are awaited */
	};
	struct test_handoff *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay_handoff_token token = test_token(1);

		test_handoff_start(f, &kept);
		test_handoff_send(f, token.secret, sizeof(token.secret), f->clients[0], 1);
		test_handoff_send(f, cases[i].header, cases[i].len, -1, 0);
		if (cases[i].r == 0)
			test_handoff_expect(f, 0, NULL);
		else
			expect_refused_and_over(f, cases[i].r, NULL);
	}
}

static void a_flood_of_any_length_is_over_after_one_frame(void **state)
{
	static const uint8_t header[] = { 1, 0x00, 0x10, 0, 0 };
	static uint8_t flood[65536];
	struct test_handoff *f = *state;
	struct belay_handoff_token token = test_token(1);

	test_handoff_start(f, &kept);
	test_handoff_send(f, token.secret, sizeof(token.secret), f->clients[0], 1);
	test_handoff_send(f, header, sizeof(header), -1, 0);
	test_handoff_send(f, flood, sizeof(flood), -1, 0);
	expect_refused_and_over(f, -EBADMSG, NULL);
}

static void a_sender_that_hangs_up_gives_nothing_away(void **state)
{
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (int keep = 0; keep < 2; keep++) {
		for (size_t cut = 0; cut < len; cut++) {
			test_handoff_start(f, keep ? &kept : NULL);
			if (cut > 0)
				test_handoff_send(f, bytes, cut, f->clients[0], 1);
			(void)close(f->sender);
			f->sender = -EBADF;
			test_handoff_expect(f, cut == 0 ? -ENOTCONN : -ECONNRESET, NULL);
			test_handoff_expect(f, -ENOTCONN, NULL);
			test_handoff_counts(f, 0, cut > 0, 0, 0);
			test_handoff_orphaned(f);
		}
	}
}

static void an_offer_that_does_not_come_in_time_costs_the_client_nothing_but_time(void **state)
{
	static const struct belay_handoff_receiver_options hasty = { .keep = true, .timeout_ms = 1 };
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];
	size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);

	for (size_t cut = 1; cut < len; cut += 7) {
		test_handoff_start(f, &hasty);
		test_handoff_send(f, bytes, cut, f->clients[0], 1);
		/* Unless the time is up already. */
		if (belay_handoff_peer_next(f->peer, NULL, NULL) == 0) {
			assert_int_equal(
				belay__wait_until(belay_handoff_peer_fd(f->peer), POLLIN,
					belay_handoff_peer_deadline_ms(f->peer) * BELAY__NS_PER_MS),
				-ETIMEDOUT);
			/* Now it comes, too late. */
			test_handoff_send(f, bytes + cut, len - cut, -1, 0);
			expect_refused_and_over(f, -ETIMEDOUT, NULL);
		}
		test_handoff_counts(f, 0, 1, 0, 0);
	}
}

static void an_accepted_connection_that_says_nothing_ends(void **state)
{
	struct test_handoff *f = *state;

	test_handoff_start(f, &(struct belay_handoff_receiver_options){ .timeout_ms = 1 });
	assert_int_equal(belay__wait_until(belay_handoff_peer_fd(f->peer), POLLIN,
				 belay_handoff_peer_deadline_ms(f->peer) * BELAY__NS_PER_MS),
		-ETIMEDOUT);
	expect_refused_and_over(f, -ETIMEDOUT, NULL);
	test_handoff_counts(f, 0, 0, 0, 0);
}

static void without_room_for_the_descriptor_the_sender_hears_so(void **state)
{
	struct test_handoff *f = *state;

	for (int in_two = 0; in_two < 2; in_two++) {
		uint8_t bytes[TEST_HANDOFF_SIZE];
		size_t len = test_handoff_bytes(1, SERVICE, 1, bytes);
		size_t cut = in_two ? 16 : len;
		struct rlimit before, limit;
		int lowest;

		test_handoff_start(f, &kept);
		test_handoff_send(f, bytes, cut, f->clients[0], 1);
		lowest = dup(f->sender);
		(void)close(lowest);
		assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
		limit = before;
		limit.rlim_cur = (rlim_t)lowest;
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
		if (in_two) {
			test_handoff_expect(f, 0, NULL);
			test_handoff_send(f, bytes + cut, len - cut, -1, 0);
		}
		test_handoff_expect(f, -EMFILE, NULL);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
		test_handoff_answer(f, 1, "handoff descriptor was lost: backend has no room for it");
		/* The next one may find room. */
		test_handoff_expect(f, 0, NULL);
		test_handoff_counts(f, 0, 1, 0, 1);
		test_handoff_orphaned(f);
	}
}

static void without_an_ack_there_is_no_adoption(void **state)
{
	static const char full[4096];
	struct test_handoff *f = *state;

	test_handoff_start(f, &kept);
	test_handoff_pass(f, 1, f->clients[0]);
	assert_int_equal(shutdown(f->sender, SHUT_RD), 0);
	test_handoff_expect(f, -EPIPE, NULL);
	test_handoff_expect(f, -ENOTCONN, NULL);
	test_handoff_counts(f, 0, 1, 0, 0);
	test_handoff_orphaned(f);

	/* The sender reads no acks. */
	test_handoff_start(f, &kept);
	while (send(belay_handoff_peer_fd(f->peer), full, sizeof(full), MSG_DONTWAIT) > 0)
		;
	while (send(belay_handoff_peer_fd(f->peer), full, 1, MSG_DONTWAIT) > 0)
		;
	assert_int_equal(errno, EAGAIN);
	test_handoff_pass(f, 1, f->clients[0]);
	test_handoff_expect(f, -ENOBUFS, NULL);
	test_handoff_expect(f, -ENOTCONN, NULL);
	test_handoff_counts(f, 0, 1, 0, 0);
	test_handoff_orphaned(f);
}

/* --- what takes its time --- */

static void expect_quick(uint64_t start_ns)
{
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 500 * BELAY__NS_PER_MS);
}

static void a_refused_client_that_lingers_holds_nobody_up(void **state)
{
	struct test_handoff *f = *state;
	int peer, stray = test_tcp(&peer, true);
	uint64_t start_ns;

	test_handoff_start(f, &kept);
	test_handoff_pass(f, 1, stray);
	(void)close(stray);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	test_handoff_expect(f, -EACCES, NULL);
	expect_quick(start_ns);
	test_handoff_settle(f);
	(void)close(peer);
}

/* Sends an urgent byte with ATTACHED. False: this kernel has none (before 5.15). */
static bool send_urgently(const struct test_handoff *f, int attached)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .bytes = { 0 } };
	struct iovec part = { .iov_base = (char[]){ '!' }, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control) };
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &attached, sizeof(attached));
	return sendmsg(f->sender, &message, MSG_OOB | MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

static void one_that_nobody_read_does_not_hold_up_the_end(void **state)
{
	struct test_handoff *f = *state;

	for (int urgent = 0; urgent < 2; urgent++) {
		int peer, stray = test_tcp(&peer, true);
		uint64_t start_ns;

		test_handoff_start(f, &kept);
		if (urgent)
			(void)send_urgently(f, stray);
		else
			test_handoff_pass(f, 1, stray);
		(void)close(stray);
		start_ns = belay__clock_ns(CLOCK_MONOTONIC);
		f->peer = belay_handoff_peer_free(f->peer);
		expect_quick(start_ns);
		(void)close(peer); /* else the closer waits as long as it was told to */
		test_handoff_settle(f);
	}
}

static void an_urgent_byte_with_one_attached_holds_nobody_up(void **state)
{
	struct test_handoff *f = *state;
	int peer, stray = test_tcp(&peer, true);
	struct belay_adoption adoption;
	struct belay_error error;
	uint64_t start_ns;
	bool sent;
	int r;

	test_handoff_start(f, &kept);
	sent = send_urgently(f, stray);
	(void)close(stray);
	test_handoff_pass(f, 1, f->clients[0]);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	r = belay_handoff_peer_next(f->peer, &adoption, &error);
	expect_quick(start_ns);
	(void)close(peer);
	if (!sent) {
		assert_int_equal(r, 1);
		(void)close(adoption.fd);
		skip();
	}
	assert_int_equal(r, -EPROTONOSUPPORT);
	test_handoff_counts(f, 0, 1, 1, 0);
}

static void a_peer_that_is_freed_in_the_middle_leaves_nothing(void **state)
{
	struct test_handoff *f = *state;
	uint8_t bytes[TEST_HANDOFF_SIZE];

	(void)test_handoff_bytes(1, SERVICE, 1, bytes);
	test_handoff_start(f, &kept);
	test_handoff_send(f, bytes, 20, f->clients[0], 1);
	test_handoff_expect(f, 0, NULL);
	f->peer = belay_handoff_peer_free(f->peer);
	test_handoff_counts(f, 0, 1, 0, 0);
	test_handoff_orphaned(f);
	assert_null(belay_handoff_peer_free(NULL));
}

#define TEST(name)                                                                                 \
	cmocka_unit_test_setup_teardown(name, test_handoff_set_up, test_handoff_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_other_number_of_descriptors_is_refused),
		TEST(a_descriptor_in_the_middle_is_a_stray_wherever_it_comes),
		TEST(a_descriptor_behind_the_first_byte_is_too_late),
		TEST(garbage_in_front_of_a_token_is_refused),
		TEST(bytes_behind_an_offer_that_no_sender_writes_are_refused),
		TEST(what_is_no_offer_gets_no_answer),
		TEST(frames_that_claim_too_much_are_refused_before_they_come),
		TEST(a_flood_of_any_length_is_over_after_one_frame),
		TEST(a_sender_that_hangs_up_gives_nothing_away),
		TEST(an_offer_that_does_not_come_in_time_costs_the_client_nothing_but_time),
		TEST(an_accepted_connection_that_says_nothing_ends),
		TEST(without_room_for_the_descriptor_the_sender_hears_so),
		TEST(without_an_ack_there_is_no_adoption),
		TEST(a_refused_client_that_lingers_holds_nobody_up),
		TEST(one_that_nobody_read_does_not_hold_up_the_end),
		TEST(an_urgent_byte_with_one_attached_holds_nobody_up),
		TEST(a_peer_that_is_freed_in_the_middle_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
