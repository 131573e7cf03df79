#include "ipc/frame_stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/missing.h"
#include "ipc/testing.h"

#define CAP BELAY_HELLO_MAX

struct fixture {
	int fds_before;
	int peer, ours; /* connected; credentials come with what arrives at `ours` */
	struct belay__closer *closer;
	struct belay__frame_stream stream;
	uint8_t buffer[BELAY_FRAME_HEADER + CAP];
	uint8_t bytes[4 * (BELAY_FRAME_HEADER + CAP)]; /* to send */
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	int ends[2];

	assert_non_null(f);
	f->fds_before = test_fd_count();
	test_pair(SOCK_STREAM, ends);
	f->peer = ends[0];
	f->ours = ends[1];
	assert_int_equal(belay__closer_new(&f->closer), 0);
	belay__frame_stream_start(&f->stream, f->ours, f->buffer, sizeof(f->buffer), CAP);
	f->stream.closer = f->closer;
	f->stream.want_sender = true;
	for (size_t i = 0; i < sizeof(f->bytes); i++)
		f->bytes[i] = (uint8_t)(i * 7);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	f->peer = belay__close(f->peer);
	f->ours = belay__close(f->ours);
	f->closer = belay__closer_free(f->closer);
	assert_int_equal(test_fd_count(), f->fds_before);
	free(f);
	return 0;
}

static uint64_t now_ns(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC);
}

/* A deadline that is never reached unless something hangs. */
static uint64_t in_time(void)
{
	return now_ns() + 20 * BELAY__NS_PER_S;
}

/* Puts a frame of LEN bytes, all of them FILL, at TO. Returns its size. */
static size_t put_frame(uint8_t *to, uint32_t len, uint8_t fill)
{
	belay_frame_header(len, to);
	memset(to + BELAY_FRAME_HEADER, fill, len);
	return BELAY_FRAME_HEADER + (size_t)len;
}

static void send_bytes(const struct fixture *f, const void *bytes, size_t len)
{
	assert_int_equal(send(f->peer, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* The next frame is there, and as put_frame() made it. */
static void assert_frame(struct fixture *f, size_t len, uint8_t fill)
{
	struct belay_frame_found found = { 0 };

	assert_int_equal(belay__frame_read(&f->stream, &found), 1);
	assert_int_equal(found.body_len, len);
	assert_int_equal(found.consumed, len + BELAY_FRAME_HEADER);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(found.body[i], fill);
}

static void assert_reads(struct fixture *f, int wanted)
{
	struct belay_frame_found found = { .body_len = 4711 };

	assert_int_equal(belay__frame_read(&f->stream, &found), wanted);
	assert_int_equal(found.body_len, 4711);
}

/* Starts a process that does RUN(socket) and ends when its end of the pair is of no use any more. */
static pid_t start_peer(struct fixture *f, void (*run)(int))
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		(void)close(f->ours);
		(void)fcntl(f->peer, F_SETFL, 0);
		run(f->peer);
		_exit(0);
	}
	f->peer = belay__close(f->peer);
	return child;
}

static void end_peer(struct fixture *f, pid_t child)
{
	f->ours = belay__close(f->ours);
	assert_int_equal(test_wait_child(child), 0);
}

static void what_is_written_is_read(void **state)
{
	static const size_t lens[] = { 0, 1, 4, 5, 127, 4096, CAP - 1, CAP };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		struct belay_frame_found found = { 0 };

		assert_int_equal(belay__frame_write(f->peer, f->bytes, lens[i], 0), 0);
		assert_int_equal(belay__frame_read(&f->stream, &found), 1);
		assert_int_equal(found.body_len, lens[i]);
		assert_memory_equal(found.body, f->bytes, lens[i]);
		assert_reads(f, 0);
	}
}

static void an_empty_body_is_a_frame(void **state)
{
	static const uint8_t empty[] = { 1, 0, 0, 0, 0 };
	struct fixture *f = *state;

	send_bytes(f, empty, sizeof(empty));
	assert_frame(f, 0, 0);
	assert_reads(f, 0);
}

static void another_framing_byte_is_refused_as_soon_as_it_is_there(void **state)
{
	static const uint8_t others[] = { 0, 2, 'G', 0x80, 0xff };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(others); i++) {
		belay__frame_stream_start(&f->stream, f->ours, f->buffer, sizeof(f->buffer), CAP);
		send_bytes(f, &others[i], 1);
		assert_reads(f, -EPROTONOSUPPORT);
		assert_reads(f, -EPROTONOSUPPORT);
	}
}

static void a_claim_beyond_the_cap_is_refused_by_the_header_alone(void **state)
{
	static const uint32_t claims[] = { CAP + 1, BELAY_FRAME_MAX, BELAY_FRAME_MAX + 1,
		UINT32_MAX };
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(claims) / sizeof(claims[0]); i++) {
		uint8_t header[BELAY_FRAME_HEADER];

		belay__frame_stream_start(&f->stream, f->ours, f->buffer, sizeof(f->buffer), CAP);
		belay_frame_header(claims[i], header);
		send_bytes(f, header, sizeof(header) - 1);
		assert_reads(f, 0);
		send_bytes(f, header + sizeof(header) - 1, 1);
		assert_reads(f, -EMSGSIZE);
	}
}

static void the_cap_itself_is_allowed(void **state)
{
	struct fixture *f = *state;

	belay__frame_stream_start(&f->stream, f->ours, f->buffer, BELAY_FRAME_HEADER + 100, 100);
	send_bytes(f, f->bytes, put_frame(f->bytes, 100, 3));
	assert_frame(f, 100, 3);
	send_bytes(f, f->bytes, put_frame(f->bytes, 101, 3));
	assert_reads(f, -EMSGSIZE);
}

static void an_end_is_told_by_where_it_comes(void **state)
{
	static const struct {
		size_t sent;
		int result;
		const char *place;
	} cases[] = {
		{ 0, -ENOTCONN, "framing byte" },
		{ 1, -ECONNRESET, "body length header" },
		{ 4, -ECONNRESET, "body length header" },
		{ 5, -ECONNRESET, "frame body" },
		{ 14, -ECONNRESET, "frame body" },
		{ 15, -ENOTCONN, "framing byte" },
	};
	uint8_t frame[15];

	(void)state;
	(void)put_frame(frame, 10, 9);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct fixture *f;
		void *inner = NULL;

		assert_int_equal(set_up(&inner), 0);
		f = inner;
		send_bytes(f, frame, cases[i].sent);
		f->peer = belay__close(f->peer);
		if (cases[i].sent == sizeof(frame))
			assert_frame(f, 10, 9);
		assert_reads(f, cases[i].result);
		assert_string_equal(belay__frame_stream_place(&f->stream), cases[i].place);
		assert_reads(f, cases[i].result);
		assert_int_equal(tear_down(&inner), 0);
	}
}

static void a_hang_up_that_leaves_our_bytes_unread_is_an_end_like_others(void **state)
{
	struct fixture *f = *state;
	struct belay_frame_found found;

	assert_int_equal(belay__frame_write(f->ours, f->bytes, 10, 0), 0);
	f->peer = belay__close(f->peer);
	assert_int_equal(belay__frame_read_until(&f->stream, in_time(), &found), -ENOTCONN);
}

static void frames_back_to_back_come_one_by_one(void **state)
{
	struct fixture *f = *state;
	size_t len = 0;

	for (uint8_t i = 0; i < 100; i++)
		len += put_frame(f->bytes + len, i, i);
	len += put_frame(f->bytes + len, CAP, 100);
	send_bytes(f, f->bytes, len);
	for (uint8_t i = 0; i < 100; i++)
		assert_frame(f, i, i);
	assert_frame(f, CAP, 100);
	assert_reads(f, 0);
}

static void it_does_not_matter_how_bytes_are_cut(void **state)
{
	struct fixture *f = *state;
	size_t len = put_frame(f->bytes, 20, 1);

	len += put_frame(f->bytes + len, 0, 2);
	len += put_frame(f->bytes + len, 3, 3);
	for (size_t cut = 1; cut < len; cut++) {
		send_bytes(f, f->bytes, cut);
		if (cut < 25)
			assert_reads(f, 0);
		else
			assert_frame(f, 20, 1);
		if (cut >= 25 && cut < 30)
			assert_reads(f, 0);
		else if (cut >= 30)
			assert_frame(f, 0, 2);
		send_bytes(f, f->bytes + cut, len - cut);
		if (cut < 25)
			assert_frame(f, 20, 1);
		if (cut < 30)
			assert_frame(f, 0, 2);
		assert_frame(f, 3, 3);
		assert_reads(f, 0);
	}
}

static void exact_reading_leaves_what_follows_in_the_socket(void **state)
{
	struct fixture *f = *state;
	size_t len = put_frame(f->bytes, 30, 8);
	char rest[16] = { 0 };

	f->stream.exact = true;
	memcpy(f->bytes + len, "of the client", 13);
	send_bytes(f, f->bytes, 3);
	assert_reads(f, 0);
	send_bytes(f, f->bytes + 3, 10);
	assert_reads(f, 0);
	send_bytes(f, f->bytes + 13, len - 13 + 13);
	assert_frame(f, 30, 8);
	assert_int_equal(recv(f->ours, rest, sizeof(rest), MSG_DONTWAIT), 13);
	assert_string_equal(rest, "of the client");
}

static void nothing_waits_though_the_socket_would(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(fcntl(f->ours, F_SETFL, 0), 0);
	assert_reads(f, 0);
	send_bytes(f, f->bytes, put_frame(f->bytes, 2, 2));
	assert_frame(f, 2, 2);
	while (send(f->ours, f->bytes, sizeof(f->bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(belay__frame_write(f->ours, f->bytes, 1, 0), -EAGAIN);
}

static void a_silent_peer_is_waited_for_until_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct belay_frame_found found = { .body_len = 4711 };
	uint64_t deadline_ns = now_ns() + 30 * BELAY__NS_PER_MS;

	send_bytes(f, f->bytes, put_frame(f->bytes, 2, 2) - 1);
	assert_int_equal(belay__frame_read_until(&f->stream, deadline_ns, &found), -ETIMEDOUT);
	assert_true(now_ns() >= deadline_ns);
	assert_int_equal(found.body_len, 4711);
	assert_string_equal(belay__frame_stream_place(&f->stream), "frame body");

	/* What is there already is read however late it is. */
	send_bytes(f, f->bytes, 1);
	assert_int_equal(belay__frame_read_until(&f->stream, 0, &found), 1);
	assert_int_equal(belay__frame_read_until(&f->stream, 0, &found), -ETIMEDOUT);
}

/* The longest frame byte by byte: far more system calls than fit into the deadlines below. */
static void trickle(int fd)
{
	uint8_t header[BELAY_FRAME_HEADER];

	belay_frame_header(CAP, header);
	if (send(fd, header, sizeof(header), MSG_NOSIGNAL) < 0)
		return;
	for (uint32_t i = 0; i < CAP; i++) {
		if (send(fd, header, 1, MSG_NOSIGNAL) < 0)
			return;
	}
}

static void trickled_bytes_do_not_postpone_the_deadline(void **state)
{
	struct fixture *f = *state;
	struct belay_frame_found found;
	pid_t child = start_peer(f, trickle);
	uint64_t began_ns;

	/* Not before it has begun. */
	assert_int_equal(belay__wait_until(f->ours, POLLIN, in_time()), 0);
	began_ns = now_ns();
	assert_int_equal(
		belay__frame_read_until(&f->stream, began_ns + 3 * BELAY__NS_PER_MS, &found),
		-ETIMEDOUT);
	assert_string_equal(belay__frame_stream_place(&f->stream), "frame body");
	end_peer(f, child);
}

/* The sender of a long frame whose reader does nothing, or little. */
static void write_long_frame(struct fixture *f)
{
	uint64_t began_ns = now_ns();
	static uint8_t body[8 * 1024 * 1024];
	size_t sent = 0;

	assert_int_equal(belay__stream_write(f->ours, body, sizeof(body),
				 began_ns + 30 * BELAY__NS_PER_MS, &sent),
		-ETIMEDOUT);
	assert_true(now_ns() - began_ns >= 30 * BELAY__NS_PER_MS);
	assert_true(now_ns() - began_ns < 10 * BELAY__NS_PER_S);
	assert_in_range(sent, 1, sizeof(body) - 1);
}

static void a_peer_that_does_not_read_is_waited_for_until_the_deadline(void **state)
{
	write_long_frame(*state);
}

/* Reads byte by byte for ever. */
static void sip(int fd)
{
	uint8_t byte;

	while (recv(fd, &byte, 1, 0) == 1)
		;
}

static void a_peer_that_reads_byte_by_byte_does_not_postpone_it(void **state)
{
	struct fixture *f = *state;
	pid_t child = start_peer(f, sip);

	write_long_frame(f);
	end_peer(f, child);
}

/* Reads all; ends with an error unless it is the frame of 1 MiB. */
static void read_long_frame(int fd)
{
	static uint8_t buffer[BELAY_FRAME_HEADER + 1024 * 1024];
	struct belay__frame_stream stream;
	struct belay_frame_found found;

	belay__frame_stream_start(&stream, fd, buffer, sizeof(buffer), 1024 * 1024);
	if (belay__frame_read_until(&stream, in_time(), &found) != 1 ||
		found.body_len != 1024 * 1024)
		_exit(1);
	for (size_t i = 0; i < found.body_len; i++) {
		if (found.body[i] != (uint8_t)(i % 251))
			_exit(2);
	}
}

static void a_frame_that_the_kernel_takes_in_parts_arrives_whole(void **state)
{
	struct fixture *f = *state;
	static uint8_t body[1024 * 1024];
	int small = 4096;
	pid_t child;

	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = (uint8_t)(i % 251);
	assert_int_equal(setsockopt(f->ours, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	child = start_peer(f, read_long_frame);
	assert_int_equal(belay__frame_write(f->ours, body, sizeof(body), in_time()), 0);
	assert_int_equal(test_wait_child(child), 0);
}

static void without_waiting_all_goes_or_nothing_or_the_connection_is_of_no_use(void **state)
{
	struct fixture *f = *state;
	static uint8_t body[8 * 1024 * 1024];
	size_t sent = 4711;

	assert_int_equal(belay__frame_write(f->ours, body, 10, 0), 0);
	assert_int_equal(belay__frame_write(f->ours, body, sizeof(body), 0), -EMSGSIZE);
	while (send(f->ours, body, 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
	assert_int_equal(belay__frame_write(f->ours, body, 10, 0), -EAGAIN);
	assert_int_equal(belay__stream_write(f->ours, body, 10, 0, &sent), -EAGAIN);
	assert_int_equal(sent, 0);
	assert_int_equal(belay__stream_write(f->ours, body, 10, 1, &sent), -ETIMEDOUT);
	assert_int_equal(belay__stream_write(f->ours, body, 0, 0, NULL), 0);
}

static void what_cannot_be_written_says_so(void **state)
{
	struct fixture *f = *state;
	uint8_t byte = 0;

	/* Never looked at: the length is too much. */
	assert_int_equal(belay__frame_write(f->ours, &byte, BELAY_FRAME_MAX + 1, 0), -EFBIG);
	assert_int_equal(recv(f->peer, &byte, 1, MSG_DONTWAIT), -1);
	f->peer = belay__close(f->peer);
	assert_int_equal(belay__frame_write(f->ours, &byte, 1, in_time()), -EPIPE);
	assert_int_equal(belay__frame_write(-EBADF, &byte, 1, in_time()), -EBADF);
}

static volatile sig_atomic_t interruptions;

static void interrupted(int number)
{
	(void)number;
	interruptions++;
}

/* Every millisecond a signal interrupts what waits, until it is called with false. */
static void interrupt(bool on)
{
	struct sigaction action = { .sa_handler = on ? interrupted : SIG_DFL };
	struct itimerval timer = { 0 };

	if (on)
		timer.it_interval.tv_usec = timer.it_value.tv_usec = 1000;
	else
		assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	if (on)
		assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void signals_neither_end_nor_extend_a_wait(void **state)
{
	struct fixture *f = *state;
	struct belay_frame_found found;
	uint64_t deadline_ns;

	interruptions = 0;
	interrupt(true);
	deadline_ns = now_ns() + 50 * BELAY__NS_PER_MS;
	assert_int_equal(belay__frame_read_until(&f->stream, deadline_ns, &found), -ETIMEDOUT);
	assert_true(now_ns() >= deadline_ns);
	assert_true(interruptions > 0);
	write_long_frame(f);
	interrupt(false);
}

static void waiting_ends_with_what_is_waited_for(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(belay__wait_until(f->ours, POLLOUT, 0), 0);
	assert_int_equal(belay__wait_until(f->ours, POLLIN, 0), -ETIMEDOUT);
	assert_int_equal(belay__wait_until(1000000, POLLIN, in_time()), -EBADF);
	f->peer = belay__close(f->peer);
	assert_int_equal(belay__wait_until(f->ours, POLLIN, UINT64_MAX), 0);
}

static void wait_until_all_are_closed(int fds)
{
	uint64_t give_up_ns = in_time();

	while (test_fd_count() != fds) {
		assert_true(now_ns() < give_up_ns);
		(void)sched_yield();
	}
}

static void strays_are_counted_and_closed(void **state)
{
	static const unsigned counts[] = { 1, 2, 253 };
	struct fixture *f = *state;
	int fds = test_fd_count();

	for (size_t i = 0; i < 2 * sizeof(counts) / sizeof(counts[0]); i++) {
		unsigned count = counts[i / 2];

		/* With a closer and without. */
		belay__frame_stream_start(&f->stream, f->ours, f->buffer, sizeof(f->buffer), CAP);
		f->stream.closer = i % 2 == 0 ? f->closer : NULL;
		(void)put_frame(f->bytes, 6, 6);
		assert_int_equal(test_send(f->peer, f->bytes, 4, f->peer, count), 0);
		assert_int_equal(test_send(f->peer, f->bytes + 4, 7, f->peer, 1), 0);
		assert_frame(f, 6, 6);
		assert_int_equal(f->stream.strays, count + 1);
		wait_until_all_are_closed(fds);
	}
}

static void who_sends_strays_again_and_again_is_read_no_more(void **state)
{
	struct fixture *f = *state;
	int fds = test_fd_count();
	size_t len = put_frame(f->bytes, 1, 1);

	for (int i = 0; i < 100; i++)
		assert_int_equal(test_send(f->peer, f->bytes, len, f->peer, 1), 0);
	/* A closer of the caller's has its own limits. */
	for (int i = 0; i < 50; i++)
		assert_frame(f, 1, 1);
	f->stream.closer = NULL;
	for (int i = 0; i < BELAY__CLOSER_THREADS; i++)
		assert_frame(f, 1, 1);
	assert_reads(f, -EPROTO);
	assert_reads(f, -EPROTO);
	assert_int_equal(f->stream.strays, 50 + BELAY__CLOSER_THREADS);
	wait_until_all_are_closed(fds);
}

static void a_lingering_stray_does_not_hold_up_the_reader(void **state)
{
	struct fixture *f = *state;

	for (int own = 0; own < 2; own++) {
		int fds = test_fd_count();
		int other, stray = test_lingering_socket(&other);
		uint64_t began_ns, took_ns;

		f->stream.closer = own ? NULL : f->closer;
		assert_int_equal(test_send(f->peer, f->bytes, put_frame(f->bytes, 6, 6), stray, 1),
			0);
		(void)close(stray); /* the one in the message is the last */
		began_ns = now_ns();
		assert_frame(f, 6, 6);
		took_ns = now_ns() - began_ns;
		assert_true(took_ns <= 50 * BELAY__NS_PER_MS);
		wait_until_all_are_closed(fds + 1);
		assert_true(now_ns() - began_ns < 4 * BELAY__NS_PER_S);
		(void)close(other);
	}
}

/* The child writes LEN bytes of BYTES. Returns its pid. */
static pid_t send_as_another(const struct fixture *f, const uint8_t *bytes, size_t len)
{
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0)
		_exit(send(f->peer, bytes, len, MSG_NOSIGNAL) != (ssize_t)len);
	assert_int_equal(test_wait_child(child), 0);
	return child;
}

static void the_kernel_names_the_sender(void **state)
{
	struct fixture *f = *state;
	size_t len = put_frame(f->bytes, 10, 1);
	pid_t child;

	send_bytes(f, f->bytes, len);
	assert_frame(f, 10, 1);
	assert_true(f->stream.has_sender);
	assert_int_equal(f->stream.sender.pid, getpid());
	assert_int_equal(f->stream.sender.uid, geteuid());

	child = send_as_another(f, f->bytes, len);
	assert_frame(f, 10, 1);
	assert_true(f->stream.has_sender);
	assert_int_equal(f->stream.sender.pid, child);
}

static void a_frame_of_several_writers_is_nobodys(void **state)
{
	struct fixture *f = *state;
	size_t len = put_frame(f->bytes, 10, 1);

	for (size_t cut = 1; cut < len; cut++) {
		send_bytes(f, f->bytes, cut);
		(void)send_as_another(f, f->bytes + cut, len - cut);
		assert_frame(f, 10, 1);
		assert_false(f->stream.has_sender);
		/* The next one is somebody's again. */
		send_bytes(f, f->bytes, len);
		assert_frame(f, 10, 1);
		assert_true(f->stream.has_sender);
	}
}

static void nobody_is_named_where_nobody_asks(void **state)
{
	struct fixture *f = *state;
	int off = 0;

	f->stream.want_sender = false;
	send_bytes(f, f->bytes, put_frame(f->bytes, 1, 1));
	assert_frame(f, 1, 1);
	assert_false(f->stream.has_sender);
	f->stream.want_sender = true;
	assert_int_equal(setsockopt(f->ours, SOL_SOCKET, SO_PASSCRED, &off, sizeof(off)), 0);
	send_bytes(f, f->bytes, put_frame(f->bytes, 1, 1));
	assert_frame(f, 1, 1);
	assert_false(f->stream.has_sender);
}

/* A stream socket that listens at PATH. */
static int listen_at(const char *path, int backlog)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	memcpy(address.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (backlog >= 0)
		assert_int_equal(listen(fd, backlog), 0);
	return fd;
}

static void who_listens_is_connected_to(void **state)
{
	static const uint64_t in_seconds[] = { 0, 20 };
	char dir[TEST_PATH_SIZE], path[108];
	int listener, fd, rights = 1, inline_bytes = 0;
	socklen_t len = sizeof(rights);

	(void)state;
	test_make_dir(dir);
	test_path(dir, "s.sock", path);
	listener = listen_at(path, 4);
	for (size_t i = 0; i < 2; i++) {
		uint64_t deadline_ns = in_seconds[i] > 0 ? in_time() : 0;

		fd = belay__stream_connect(path, deadline_ns);
		assert_true(fd >= 0);
		assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
		assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
		/* Kernels before 6.16 do not know the option. */
		if (getsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &rights, &len) == 0)
			assert_int_equal(rights, 0);
		assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &inline_bytes, &len), 0);
		assert_int_equal(inline_bytes, 1);
		(void)close(fd);
	}
	(void)close(listener);
	assert_int_equal(belay__stream_connect(path, 0), -ECONNREFUSED);
	assert_int_equal(belay__stream_connect(path, in_time()), -ECONNREFUSED);
	test_remove_dir(dir);
	assert_int_equal(belay__stream_connect(path, 0), -ENOENT);
}

static void what_is_no_path_is_not_connected_to(void **state)
{
	char path[110] = { 0 };

	(void)state;
	assert_int_equal(belay__stream_connect("", 0), -EINVAL);
	memset(path, 'a', 107);
	assert_int_equal(belay__stream_connect(path, 0), -ENOENT);
	path[107] = 'a';
	assert_int_equal(belay__stream_connect(path, 0), -ENAMETOOLONG);
}

static void a_full_backlog_is_waited_for_until_the_deadline(void **state)
{
	char dir[TEST_PATH_SIZE], path[108];
	int listener, waiting;
	uint64_t deadline_ns;

	(void)state;
	test_make_dir(dir);
	test_path(dir, "s.sock", path);
	listener = listen_at(path, 0);
	waiting = belay__stream_connect(path, 0);
	assert_true(waiting >= 0);
	assert_int_equal(belay__stream_connect(path, 0), -EAGAIN);

	interrupt(true);
	deadline_ns = now_ns() + 30 * BELAY__NS_PER_MS;
	assert_int_equal(belay__stream_connect(path, deadline_ns), -ETIMEDOUT);
	assert_true(now_ns() >= deadline_ns);
	interrupt(false);
	assert_int_equal(belay__stream_connect(path, 1), -ETIMEDOUT);

	(void)close(waiting);
	(void)close(listener);
	test_remove_dir(dir);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_written_is_read),
		TEST(an_empty_body_is_a_frame),
		TEST(another_framing_byte_is_refused_as_soon_as_it_is_there),
		TEST(a_claim_beyond_the_cap_is_refused_by_the_header_alone),
		TEST(the_cap_itself_is_allowed),
		cmocka_unit_test(an_end_is_told_by_where_it_comes),
		TEST(a_hang_up_that_leaves_our_bytes_unread_is_an_end_like_others),
		TEST(frames_back_to_back_come_one_by_one),
		TEST(it_does_not_matter_how_bytes_are_cut),
		TEST(exact_reading_leaves_what_follows_in_the_socket),
		TEST(nothing_waits_though_the_socket_would),
		TEST(a_silent_peer_is_waited_for_until_the_deadline),
		TEST(trickled_bytes_do_not_postpone_the_deadline),
		TEST(a_peer_that_does_not_read_is_waited_for_until_the_deadline),
		TEST(a_peer_that_reads_byte_by_byte_does_not_postpone_it),
		TEST(a_frame_that_the_kernel_takes_in_parts_arrives_whole),
		TEST(without_waiting_all_goes_or_nothing_or_the_connection_is_of_no_use),
		TEST(what_cannot_be_written_says_so),
		TEST(signals_neither_end_nor_extend_a_wait),
		TEST(waiting_ends_with_what_is_waited_for),
		TEST(strays_are_counted_and_closed),
		TEST(who_sends_strays_again_and_again_is_read_no_more),
		TEST(a_lingering_stray_does_not_hold_up_the_reader),
		TEST(the_kernel_names_the_sender),
		TEST(a_frame_of_several_writers_is_nobodys),
		TEST(nobody_is_named_where_nobody_asks),
		TEST(who_listens_is_connected_to),
		TEST(what_is_no_path_is_not_connected_to),
		TEST(a_full_backlog_is_waited_for_until_the_deadline),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
