/* What nobody can do to the HTTP door: hold it up, fill it, slow it down. */

#include "export/http_door_testing.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/fd.h"

static void who_is_done_speaking_still_hears(void **state)
{
	char answer[2048];
	(void)state;

	open_door(0);
	for (unsigned tcp = 0; tcp < 2; tcp++) {
		_cleanup_close_ int fd = tcp ? connect_tcp() : connect_unix();
		int error;

		say(fd, GET("/metrics", BEARER), sizeof(GET("/metrics", BEARER)) - 1);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		(void)hear(fd, answer, sizeof(answer), NULL, &error);
		assert_int_equal(error, 0);
		assert_int_equal(status_of(answer), 200);
	}
	assert_int_equal(belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_TIMEOUT],
		0);
}

static void who_leaves_in_the_middle_costs_nothing(void **state)
{
	static const char *const parts[] = { "", "G", "GET /metrics HTTP/1.1\r\nHo",
		GET("/metrics", "") };
	(void)state;

	open_door(0);
	for (size_t i = 0; i < 4 * sizeof(parts) / sizeof(parts[0]); i++) {
		const char *part = parts[i / 4];
		int fd = i % 2 == 0 ? connect_unix() : connect_tcp();

		say(fd, part, strlen(part));
		if (i % 4 >= 2)
			turn(-EBADF, 1000);
		(void)belay__close(fd);
	}
	while (belay__http_door_connections(stand.door) > 0 || belay__loop_turn(stand.loop, 0) > 0)
		turn(-EBADF, 10);
	assert_int_equal(belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_TIMEOUT],
		0);
}

/* When FD was closed by the door, in nanoseconds from now; BYTE is said every 100 ms unless it is
 * 0. */
static uint64_t time_to_the_end(int fd, char byte)
{
	const uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	uint64_t said_ns = began_ns, now_ns = began_ns;
	char answer[1024];

	for (;;) {
		ssize_t n = recv(fd, answer, sizeof(answer), 0);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return now_ns - began_ns;
		turn(fd, 20);
		now_ns = belay__clock_ns(CLOCK_MONOTONIC);
		assert_true(now_ns - began_ns < PATIENCE_NS);
		if (byte != 0 && now_ns - said_ns > 100 * BELAY__NS_PER_MS) {
			(void)send(fd, &byte, 1, MSG_NOSIGNAL);
			said_ns = now_ns;
		}
	}
}

static void who_says_nothing_is_cut_off_after_a_second(void **state)
{
	static const char *const parts[] = { "", "GET /metr", "GET /metrics HTTP/1.1\r\nX: y" };
	(void)state;

	open_door(0);
	for (size_t i = 0; i < 3; i++) {
		_cleanup_close_ int fd = i % 2 == 0 ? connect_unix() : connect_tcp();
		uint64_t took_ns;

		say(fd, parts[i], strlen(parts[i]));
		stand.turns = 0;
		took_ns = time_to_the_end(fd, 0);
		assert_in_range(took_ns / BELAY__NS_PER_MS, 950, 4500);
		/* It was waited for, not watched. */
		assert_in_range(stand.turns, 0, 400);
		assert_int_equal(
			belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_TIMEOUT],
			i + 1);
	}
}

static void who_speaks_slowly_is_cut_off_after_five_seconds(void **state)
{
	_cleanup_close_ int fd = -EBADF, other = -EBADF;
	uint64_t took_ns;
	(void)state;

	open_door(0);
	fd = connect_unix();
	other = connect_tcp();
	say(fd, "GET /metrics HTTP/1.1\r\nX: ", 26);
	say(other, "GET /metrics HTTP/1.1\r\nX: ", 26);
	took_ns = time_to_the_end(fd, 'y');
	assert_in_range(took_ns / BELAY__NS_PER_MS, 4900, 9000);
	while (belay__http_door_connections(stand.door) > 0)
		turn(-EBADF, 1000);
	assert_int_equal(belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_TIMEOUT],
		2);
}

static void who_does_not_read_the_answer_is_cut_off(void **state)
{
	int fds[4];
	(void)state;

	stand.big.big = malloc(BIG);
	assert_non_null(stand.big.big);
	memset(stand.big.big, 'b', BIG);
	open_door(0);
	for (unsigned i = 0; i < 4; i++) {
		fds[i] = i % 2 == 0 ? connect_unix() : connect_tcp();
		say(fds[i], GET("/big", BEARER), sizeof(GET("/big", BEARER)) - 1);
	}
	while (belay__http_door_counters(stand.door)->served < 4)
		turn(-EBADF, 1000);
	stand.turns = 0;
	while (belay__http_door_connections(stand.door) > 0)
		turn(-EBADF, 1000);
	assert_in_range(stand.turns, 1, 100);
	assert_int_equal(belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_TIMEOUT],
		4);
	for (unsigned i = 0; i < 4; i++)
		(void)belay__close(fds[i]);
}

/* Reads a few bytes every now and then: never silent, never done. */
static void who_reads_too_slowly_is_cut_off_and_its_bytes_stay_until_then(void **state)
{
	_cleanup_close_ int slow = -EBADF;
	uint64_t began_ns;
	char answer[2048];
	(void)state;

	stand.big.big = malloc(BIG);
	assert_non_null(stand.big.big);
	memset(stand.big.big, 'b', BIG);
	open_door(0);
	slow = connect_unix();
	say(slow, GET("/big", ""), sizeof(GET("/big", "")) - 1);
	began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	while (belay__http_door_counters(stand.door)->served < 1 ||
		belay__http_door_connections(stand.door) > 0) {
		static char some[32 << 10];

		turn(-EBADF, 50);
		(void)recv(slow, some, sizeof(some), 0);
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) - began_ns < PATIENCE_NS);
		/* HEAD asks for the page again and again; only the free buffer is written to. */
		if (stand.big.renders < 2 &&
			belay__clock_ns(CLOCK_MONOTONIC) - began_ns > BELAY__HTTP_FRESH_NS)
			ask(false, "HEAD /big HTTP/1.0\r\n\r\n", answer, sizeof(answer));
		if (belay__clock_ns(CLOCK_MONOTONIC) - began_ns > 3 * BELAY__HTTP_FRESH_NS &&
			belay__clock_ns(CLOCK_MONOTONIC) - began_ns < 4 * BELAY__HTTP_FRESH_NS)
			ask(false, "HEAD /big HTTP/1.0\r\n\r\n", answer, sizeof(answer));
	}
	assert_in_range((belay__clock_ns(CLOCK_MONOTONIC) - began_ns) / BELAY__NS_PER_MS, 4900,
		9000);
	/* The first buffer was held all the time. */
	assert_int_equal(stand.big.buffers[0] + stand.big.buffers[1], 2);
	assert_int_equal(belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_TIMEOUT],
		1);
	ask(false, "HEAD /big HTTP/1.0\r\n\r\n", answer, sizeof(answer));
	assert_int_equal(stand.big.renders, 3);
}

/* Of many that connect at once, to sockets that share the door, some stay and the others are closed
 * at once; each that stays is served. */
static void beyond_its_places_the_door_closes_at_once(void **state)
{
	const struct belay__http_counters *counters;
	int fds[200];
	unsigned answered = 0, closed = 0;
	int before;
	(void)state;

	open_door(0);
	before = belay__fd_count();
	counters = belay__http_door_counters(stand.door);
	for (unsigned i = 0; i < 200; i++)
		fds[i] = i < 100 ? connect_unix() : connect_tcp();
	while (belay__http_door_connections(stand.door) +
			counters->dropped[BELAY__HTTP_DROP_CAPACITY] <
		200)
		turn(-EBADF, 1000);
	assert_int_equal(belay__http_door_connections(stand.door), BELAY__HTTP_CONNECTIONS);
	/* Each connection has one descriptor at each side; the closed ones have only ours. */
	assert_int_equal(belay__fd_count() - before, 200 + BELAY__HTTP_CONNECTIONS);

	for (unsigned i = 0; i < 200; i++)
		(void)send(fds[i], GET("/metrics", CLOSE BEARER),
			sizeof(GET("/metrics", CLOSE BEARER)) - 1, MSG_NOSIGNAL);
	for (unsigned i = 0; i < 200; i++) {
		char answer[2048];
		int error;

		(void)hear(fds[i], answer, sizeof(answer), NULL, &error);
		if (status_of(answer) == 200)
			answered++;
		else
			closed++;
		(void)belay__close(fds[i]);
	}
	assert_int_equal(answered, BELAY__HTTP_CONNECTIONS);
	assert_int_equal(closed, 200 - BELAY__HTTP_CONNECTIONS);
	assert_int_equal(counters->served, BELAY__HTTP_CONNECTIONS);
}

static void one_socket_leaves_places_for_the_other(void **state)
{
	int fds[70];
	char answer[2048];
	(void)state;

	open_door(0);
	for (unsigned i = 0; i < 70; i++)
		fds[i] = connect_tcp();
	while (belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_CAPACITY] <
		70 - BELAY__HTTP_SHARE)
		turn(-EBADF, 1000);
	assert_int_equal(belay__http_door_connections(stand.door), BELAY__HTTP_SHARE);
	ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
	assert_int_equal(status_of(answer), 200);
	for (unsigned i = 0; i < 70; i++)
		(void)belay__close(fds[i]);
}

static void over_tcp_an_address_asks_only_so_often(void **state)
{
	const struct belay__http_counters *counters;
	char answer[4096];
	int error;
	(void)state;

	open_door(3);
	counters = belay__http_door_counters(stand.door);
	{
		_cleanup_close_ int fd = connect_tcp();

		/* One connection, four requests: the rate is of requests. */
		for (unsigned i = 0; i < 4; i++)
			say(fd, GET("/metrics", BEARER), sizeof(GET("/metrics", BEARER)) - 1);
		(void)hear(fd, answer, sizeof(answer), NULL, &error);
		assert_int_equal(count(answer, "HTTP/1.1 200 OK"), 3);
		assert_int_equal(count(answer, "HTTP/1.1 429 "), 1);
	}
	assert_int_equal(counters->dropped[BELAY__HTTP_DROP_RATE_LIMIT], 1);
	{
		_cleanup_close_ int fd = connect_tcp();

		(void)hear(fd, answer, sizeof(answer), NULL, &error);
		assert_string_equal(answer, "");
	}
	assert_int_equal(counters->dropped[BELAY__HTTP_DROP_RATE_LIMIT], 2);
	/* Files have modes: who may open the Unix socket asks as often as it likes. */
	for (unsigned i = 0; i < 10; i++) {
		ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
		assert_int_equal(status_of(answer), 200);
	}
	assert_int_equal(counters->dropped[BELAY__HTTP_DROP_RATE_LIMIT], 2);
}

static void without_descriptors_the_door_waits_instead_of_spinning(void **state)
{
	const struct belay__http_counters *counters;
	struct rlimit before, none;
	_cleanup_close_ int fd = -EBADF;
	char answer[2048];
	int error;
	(void)state;

	open_door(0);
	counters = belay__http_door_counters(stand.door);
	fd = connect_unix();
	say(fd, GET("/metrics", CLOSE), sizeof(GET("/metrics", CLOSE)) - 1);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	while (counters->accept_failures < 3)
		turn(-EBADF, 1000);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_in_range(stand.turns, 3, 20);
	(void)hear(fd, answer, sizeof(answer), NULL, &error);
	assert_int_equal(status_of(answer), 200);
}

static void a_door_is_closed_in_the_middle_of_everything(void **state)
{
	int fds[6];
	(void)state;

	stand.big.big = malloc(BIG);
	assert_non_null(stand.big.big);
	memset(stand.big.big, 'b', BIG);
	open_door(0);
	for (unsigned i = 0; i < 6; i++) {
		const char *request = i < 2 ? GET("/big", BEARER) : i < 4 ? "GET /" : "";

		fds[i] = i % 2 == 0 ? connect_unix() : connect_tcp();
		say(fds[i], request, strlen(request));
	}
	while (belay__http_door_counters(stand.door)->served < 2 ||
		belay__http_door_connections(stand.door) < 6)
		turn(-EBADF, 1000);
	stand.door = belay__http_door_free(stand.door);
	for (unsigned i = 0; i < 6; i++)
		(void)belay__close(fds[i]);
}

/* Sixty readers of four megabytes each, all ready at once. */
static void a_turn_is_short_whatever_is_asked(void **state)
{
	static char some[1 << 20];
	int fds[48];
	unsigned open = 48;
	(void)state;

	stand.big.big = malloc(BIG);
	assert_non_null(stand.big.big);
	memset(stand.big.big, 'b', BIG);
	open_door(0);
	for (unsigned i = 0; i < 48; i++) {
		fds[i] = connect_unix();
		say(fds[i], GET("/big", CLOSE), sizeof(GET("/big", CLOSE)) - 1);
	}
	while (open > 0) {
		turn(-EBADF, 0);
		for (unsigned i = 0; i < 48; i++) {
			ssize_t n = fds[i] < 0 ? -1 : recv(fds[i], some, sizeof(some), 0);

			if (n != 0)
				continue;
			fds[i] = belay__close(fds[i]);
			open--;
		}
	}
	print_message("longest turn %.2f ms\n", (double)stand.longest_turn_ns / 1e6);
	assert_true(stand.longest_turn_ns < BELAY__NS_PER_S);
	assert_int_equal(stand.big.renders, 1);
}

#define WITH_STAND(test) cmocka_unit_test_setup_teardown(test, open_stand, close_stand)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STAND(who_is_done_speaking_still_hears),
		WITH_STAND(who_leaves_in_the_middle_costs_nothing),
		WITH_STAND(who_says_nothing_is_cut_off_after_a_second),
		WITH_STAND(who_speaks_slowly_is_cut_off_after_five_seconds),
		WITH_STAND(who_does_not_read_the_answer_is_cut_off),
		WITH_STAND(who_reads_too_slowly_is_cut_off_and_its_bytes_stay_until_then),
		WITH_STAND(beyond_its_places_the_door_closes_at_once),
		WITH_STAND(one_socket_leaves_places_for_the_other),
		WITH_STAND(over_tcp_an_address_asks_only_so_often),
		WITH_STAND(without_descriptors_the_door_waits_instead_of_spinning),
		WITH_STAND(a_door_is_closed_in_the_middle_of_everything),
		WITH_STAND(a_turn_is_short_whatever_is_asked),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
