#include "ipc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "ipc/testing.h"

enum { PLAIN = 7, CARRYING = 8, EMPTY = 9, LARGE = 10, FAILING = 11 };

struct fixture {
	int fds_before;
	int ends[2];
	unsigned handled;
	uint32_t last;
	int got_fd;
};

static int handle_plain(void *data, const void *record, int fd_consume)
{
	struct fixture *f = data;

	assert_int_equal(fd_consume, -EBADF);
	f->handled++;
	memcpy(&f->last, record, sizeof(f->last));
	return 0;
}

static int handle_carrying(void *data, const void *record, int fd_consume)
{
	struct fixture *f = data;

	(void)record;
	f->handled++;
	f->got_fd = fd_consume;
	return 0;
}

static int handle_empty(void *data, const void *record, int fd_consume)
{
	struct fixture *f = data;

	(void)record;
	assert_int_equal(fd_consume, -EBADF);
	f->handled++;
	return 0;
}

static int handle_large(void *data, const void *record, int fd_consume)
{
	struct fixture *f = data;
	const uint8_t *bytes = record;

	assert_int_equal(fd_consume, -EBADF);
	assert_int_equal(bytes[BELAY__MESSAGE_MAX - 1], 0xa5);
	f->handled++;
	return 0;
}

static int handle_failing(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)record;
	(void)fd_consume;
	return -EDOM;
}

static const struct belay__message_rule rules[] = {
	{ .type = PLAIN, .size = 4, .fd = BELAY__WITHOUT_FD, .handle = handle_plain },
	{ .type = CARRYING, .size = 4, .fd = BELAY__WITH_FD, .handle = handle_carrying },
	{ .type = EMPTY, .size = 0, .fd = BELAY__WITHOUT_FD, .handle = handle_empty },
	{ .type = LARGE, .size = BELAY__MESSAGE_MAX, .fd = BELAY__WITHOUT_FD, .handle = handle_large },
	{ .type = FAILING, .size = 4, .fd = BELAY__WITHOUT_FD, .handle = handle_failing },
};

static int receive(struct fixture *f, unsigned max)
{
	return belay__channel_receive(f->ends[1], rules, sizeof(rules) / sizeof(rules[0]), f, max);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->fds_before = test_fd_count();
	f->got_fd = -EBADF;
	assert_int_equal(belay__channel_pair(f->ends), 0);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->got_fd = belay__close(f->got_fd);
	f->ends[0] = belay__close(f->ends[0]);
	f->ends[1] = belay__close(f->ends[1]);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

static void send_plain(const struct fixture *f, uint32_t value)
{
	assert_int_equal(belay__channel_send(f->ends[0], PLAIN, &value, sizeof(value), -EBADF), 0);
}

static void both_ends_are_close_on_exec_and_do_not_block(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 2; i++) {
		assert_true((fcntl(f->ends[i], F_GETFD) & FD_CLOEXEC) != 0);
		assert_true((fcntl(f->ends[i], F_GETFL) & O_NONBLOCK) != 0);
	}
	assert_int_equal(receive(f, 10), 0);
}

static void messages_arrive_in_order_and_at_most_max(void **state)
{
	struct fixture *f = *state;

	for (uint32_t i = 1; i <= 5; i++)
		send_plain(f, i);
	assert_int_equal(receive(f, 3), 3);
	assert_int_equal(f->last, 3);
	assert_int_equal(receive(f, 3), 2);
	assert_int_equal(f->last, 5);
	assert_int_equal(receive(f, 3), 0);
	assert_int_equal(receive(f, 0), 0);
}

static void a_descriptor_goes_over_to_the_handler(void **state)
{
	struct fixture *f = *state;
	uint32_t value = 1;
	int ends[2];
	char byte = 0;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(belay__channel_send(f->ends[0], CARRYING, &value, sizeof(value), ends[1]),
		0);
	assert_int_equal(write(ends[1], "x", 1), 1); /* borrowed only */
	(void)close(ends[1]);
	assert_int_equal(receive(f, 1), 1);
	assert_true((fcntl(f->got_fd, F_GETFD) & FD_CLOEXEC) != 0);
	assert_int_equal(write(f->got_fd, "y", 1), 1);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(byte, 'x');
	(void)close(ends[0]);
}

static void the_smallest_and_the_largest_record_pass(void **state)
{
	struct fixture *f = *state;
	static uint8_t record[BELAY__MESSAGE_MAX + 1];

	record[BELAY__MESSAGE_MAX - 1] = 0xa5;
	assert_int_equal(belay__channel_send(f->ends[0], EMPTY, NULL, 0, -EBADF), 0);
	assert_int_equal(belay__channel_send(f->ends[0], LARGE, record, BELAY__MESSAGE_MAX, -EBADF),
		0);
	assert_int_equal(
		belay__channel_send(f->ends[0], LARGE, record, BELAY__MESSAGE_MAX + 1, -EBADF),
		-EMSGSIZE);
	assert_int_equal(receive(f, 10), 2);
	assert_int_equal(f->handled, 2);
}

static void what_breaks_the_rules_ends_the_channel(void **state)
{
	const struct {
		uint32_t type, size_said, size_sent;
		unsigned fds;
	} cases[] = {
		{ 0, 4, 4, 0 },        /* unknown type */
		{ PLAIN, 8, 8, 0 },    /* another size */
		{ PLAIN, 4, 8, 0 },    /* says less than it sends */
		{ PLAIN, 4, 3, 0 },    /* says more */
		{ PLAIN, 4, 4, 1 },    /* a stray */
		{ PLAIN, 4, 4, 250 },  /* many */
		{ CARRYING, 4, 4, 0 }, /* its descriptor is missing */
		{ CARRYING, 4, 4, 2 }, /* one too many */
		{ EMPTY, 0, 1, 0 },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t packet[4] = { cases[i].type, cases[i].size_said };
		int fds = test_fd_count();

		assert_int_equal(test_send(f->ends[0], packet, 8 + cases[i].size_sent, f->ends[0],
					 cases[i].fds),
			0);
		assert_int_equal(receive(f, 10), -EPROTO);
		assert_int_equal(f->handled, 0);
		assert_int_equal(test_fd_count(), fds);
	}
}

static void what_is_shorter_than_a_header_ends_the_channel(void **state)
{
	struct fixture *f = *state;
	static uint8_t packet[BELAY__MESSAGE_MAX + 9];

	assert_int_equal(test_send(f->ends[0], packet, 7, f->ends[0], 1), 0);
	assert_int_equal(receive(f, 10), -EPROTO);
	assert_int_equal(test_send(f->ends[0], packet, sizeof(packet), f->ends[0], 1), 0);
	assert_int_equal(receive(f, 10), -EPROTO);
}

static void an_empty_packet_is_no_hang_up_and_its_descriptor_is_closed(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(test_send(f->ends[0], "", 0, f->ends[0], 1), 0);
	assert_int_equal(receive(f, 10), -EPROTO);
	send_plain(f, 1);
	assert_int_equal(test_send(f->ends[0], "", 0, -1, 0), 0);
	assert_int_equal(receive(f, 10), -EPROTO);
	assert_int_equal(f->handled, 1);
	assert_int_equal(test_send(f->ends[0], "", 0, f->ends[0], 1), 0);
	f->ends[0] = belay__close(f->ends[0]);
	assert_int_equal(receive(f, 10), -EPIPE);
}

static void messages_before_a_broken_one_are_handled(void **state)
{
	struct fixture *f = *state;

	send_plain(f, 3);
	assert_int_equal(test_send(f->ends[0], "x", 1, -1, 0), 0);
	assert_int_equal(receive(f, 10), -EPROTO);
	assert_int_equal(f->handled, 1);
}

static void a_failing_handler_ends_the_channel(void **state)
{
	struct fixture *f = *state;
	uint32_t value = 0;

	assert_int_equal(belay__channel_send(f->ends[0], FAILING, &value, sizeof(value), -EBADF), 0);
	send_plain(f, 1);
	assert_int_equal(receive(f, 10), -EDOM);
	assert_int_equal(f->handled, 0);
}

static void a_peer_that_is_gone_is_seen_by_both_sides(void **state)
{
	struct fixture *f = *state;
	uint32_t value = 0;

	send_plain(f, 1);
	f->ends[0] = belay__close(f->ends[0]);
	assert_int_equal(receive(f, 10), 1);
	assert_int_equal(receive(f, 10), -EPIPE);
	assert_int_equal(belay__channel_send(f->ends[1], PLAIN, &value, sizeof(value), -EBADF),
		-EPIPE);
}

static void last_words_are_heard_though_ours_were_not_read(void **state)
{
	struct fixture *f = *state;
	uint32_t value = 0;

	assert_int_equal(belay__channel_send(f->ends[1], PLAIN, &value, sizeof(value), -EBADF), 0);
	send_plain(f, 42);
	f->ends[0] = belay__close(f->ends[0]);
	assert_int_equal(receive(f, 10), 1);
	assert_int_equal(f->last, 42);
	assert_int_equal(receive(f, 10), -EPIPE);
}

static void a_peer_that_does_not_read_is_not_waited_for(void **state)
{
	struct fixture *f = *state;
	uint32_t value = 0;
	int r, sent = 0;

	while ((r = belay__channel_send(f->ends[0], PLAIN, &value, sizeof(value), -EBADF)) == 0)
		sent++;
	assert_int_equal(r, -EAGAIN);
	assert_true(sent > 0);
	assert_int_equal(receive(f, (unsigned)sent + 1), sent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(both_ends_are_close_on_exec_and_do_not_block),
		TEST(messages_arrive_in_order_and_at_most_max),
		TEST(a_descriptor_goes_over_to_the_handler),
		TEST(the_smallest_and_the_largest_record_pass),
		TEST(what_breaks_the_rules_ends_the_channel),
		TEST(what_is_shorter_than_a_header_ends_the_channel),
		TEST(an_empty_packet_is_no_hang_up_and_its_descriptor_is_closed),
		TEST(messages_before_a_broken_one_are_handled),
		TEST(a_failing_handler_ends_the_channel),
		TEST(a_peer_that_is_gone_is_seen_by_both_sides),
		TEST(last_words_are_heard_though_ours_were_not_read),
		TEST(a_peer_that_does_not_read_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
