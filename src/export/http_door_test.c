#include "export/http_door.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "export/http_listen.h"

#define DIGITS             "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define BEARER             "Authorization: Bearer " DIGITS "\r\n"
#define CLOSE              "Connection: close\r\n"
#define GET(path, headers) "GET " path " HTTP/1.1\r\nHost: x\r\n" headers "\r\n"
#define PATIENCE_NS        (10 * BELAY__NS_PER_S)
#define BIG                (4 << 20)

/* A page that says what it was asked for and how often. */
struct shelf {
	unsigned renders;
	unsigned buffers[2]; /* how often each was written to */
	int error;
	unsigned status;
	char text[BELAY__HTTP_FORMAT_COUNT][2][64];
	char *big; /* instead of the text */
};

static char directory[] = "/tmp/belay-http-XXXXXX";

static struct {
	struct belay__loop *loop;
	struct belay__http_door *door;
	int unix_fd, tcp_fd;
	char path[64], bound[BELAY__HTTP_BOUND_SIZE];
	struct shelf metrics, ready, big;
	struct belay__http_page pages[3];
	uint64_t longest_turn_ns;
	unsigned turns;
	int fds;
} stand;

static int render(void *data, enum belay__http_format format, unsigned buffer,
	struct belay__http_content *ret_content)
{
	struct shelf *shelf = data;
	char *text = shelf->text[format][buffer];

	if (shelf->error < 0)
		return shelf->error;
	shelf->renders++;
	shelf->buffers[buffer]++;
	(void)snprintf(text, sizeof(shelf->text[0][0]), "page %s %u\n",
		format == BELAY__HTTP_TEXT ? "text" : "openmetrics", shelf->renders);
	*ret_content = (struct belay__http_content){
		.bytes = shelf->big == NULL ? text : shelf->big,
		.len = shelf->big == NULL ? strlen(text) : BIG,
		.type = format == BELAY__HTTP_TEXT ? BELAY__HTTP_TYPE_TEXT
						   : BELAY__HTTP_TYPE_OPENMETRICS,
		.status = shelf->status,
	};
	return 0;
}

static int listen_unix(const char *path)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 512), 0);
	return TAKE_FD(fd);
}

static int open_stand(void **state)
{
	static const char *const paths[3] = { "/metrics", "/readyz", "/big" };
	struct shelf *const shelves[3] = { &stand.metrics, &stand.ready, &stand.big };
	(void)state;

	memset(&stand, 0, sizeof(stand));
	stand.fds = belay__fd_count();
	(void)snprintf(stand.path, sizeof(stand.path), "%s/http", directory);
	for (unsigned i = 0; i < 3; i++)
		stand.pages[i] = (struct belay__http_page){
			.path = paths[i],
			.negotiated = i == 0,
			.render = render,
			.data = shelves[i],
		};
	stand.unix_fd = listen_unix(stand.path);
	stand.tcp_fd = belay__http_listen("127.0.0.1:0", true, stand.bound, NULL);
	return stand.tcp_fd < 0 || belay__loop_new(&stand.loop) < 0;
}

/* Opens the door: with a token and no limit of rate when BURST is 0. */
static void open_door(uint32_t burst)
{
	static const uint8_t token[BELAY__HTTP_TOKEN_LEN] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
		0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33,
		0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };
	const struct belay__http_options options = {
		.unix_fd = stand.unix_fd,
		.tcp_fd = stand.tcp_fd,
		.pages = stand.pages,
		.page_count = 3,
		.token = token,
		.rate_per_s = 1,
		.rate_burst = burst,
	};

	assert_int_equal(belay__http_door_new(stand.loop, &options, &stand.door, NULL), 0);
}

/* Every test ends with as many descriptors as it began with. */
static int close_stand(void **state)
{
	int left;
	(void)state;

	stand.door = belay__http_door_free(stand.door);
	stand.loop = belay__loop_free(stand.loop);
	stand.unix_fd = belay__close(stand.unix_fd);
	stand.tcp_fd = belay__close(stand.tcp_fd);
	free(stand.big.big);
	left = belay__fd_count() - stand.fds;
	return unlink(stand.path) < 0 || left != 0;
}

static int connect_unix(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", stand.path);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static int connect_tcp(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address;
	socklen_t size = sizeof(address);

	assert_int_equal(getsockname(stand.tcp_fd, (struct sockaddr *)&address, &size), 0);
	assert_int_equal(connect(fd, (const struct sockaddr *)&address, size), 0);
	assert_int_equal(belay__fd_nonblock(fd), 0);
	return TAKE_FD(fd);
}

/* One turn of the loop, when it or FD (-EBADF: none) is ready, or WAIT_MS have passed. */
static void turn(int fd, int wait_ms)
{
	struct pollfd ready[2] = {
		{ .fd = belay__loop_fd(stand.loop), .events = POLLIN },
		{ .fd = fd, .events = POLLIN },
	};
	uint64_t began_ns, took_ns;

	(void)poll(ready, 2, wait_ms);
	began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	assert_true(belay__loop_turn(stand.loop, 0) >= 0);
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - began_ns;
	stand.turns++;
	if (took_ns > stand.longest_turn_ns)
		stand.longest_turn_ns = took_ns;
}

static void say(int fd, const char *text, size_t len)
{
	assert_int_equal(send(fd, text, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Reads into TEXT (of SIZE bytes, NUL-terminated) until the peer is done, or TEXT ends with END
 * (NULL: whatever). Returns the length; *ret_errno is 0 at a clean end. */
static size_t hear(int fd, char *text, size_t size, const char *end, int *ret_errno)
{
	const uint64_t late_ns = belay__clock_ns(CLOCK_MONOTONIC) + PATIENCE_NS;
	size_t len = 0;

	*ret_errno = 0;
	text[0] = '\0';
	while (end == NULL || len < strlen(end) || strcmp(text + len - strlen(end), end) != 0) {
		ssize_t n = recv(fd, text + len, size - 1 - len, 0);

		if (n == 0)
			break;
		if (n < 0 && errno != EAGAIN) {
			*ret_errno = errno;
			break;
		}
		if (n < 0) {
			assert_true(belay__clock_ns(CLOCK_MONOTONIC) < late_ns);
			turn(fd, 100);
			continue;
		}
		len += (size_t)n;
		text[len] = '\0';
	}
	return len;
}

/* Asks over a new connection and reads until its end. */
static void ask(bool tcp, const char *request, char *answer, size_t size)
{
	_cleanup_close_ int fd = tcp ? connect_tcp() : connect_unix();
	int error;

	say(fd, request, strlen(request));
	(void)hear(fd, answer, size, NULL, &error);
	assert_int_equal(error, 0);
}

static unsigned status_of(const char *answer)
{
	unsigned status = 0;

	/* NOLINTNEXTLINE(cert-err34-c): the format is ours */
	return sscanf(answer, "HTTP/1.%*1[01] %u ", &status) == 1 ? status : 0;
}

static unsigned count(const char *text, const char *word)
{
	unsigned found = 0;

	while ((text = strstr(text, word)) != NULL) {
		found++;
		text++;
	}
	return found;
}

static void each_request_gets_what_it_deserves(void **state)
{
	static const struct {
		bool tcp;
		const char *request;
		unsigned status;
		const char *wanted; /* in the answer */
	} cases[] = {
		{ false, GET("/metrics", CLOSE), 200, "\r\n\r\npage text " },
		{ false, GET("/metrics?all=1", CLOSE), 200, "\r\n\r\npage text " },
		{ false, GET("/metrics", CLOSE), 200,
			"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n" },
		{ false, GET("/metrics", CLOSE "Accept: application/openmetrics-text\r\n"), 200,
			"Content-Type: application/openmetrics-text; version=1.0.0; "
			"charset=utf-8\r\n" },
		{ false, GET("/metrics", CLOSE "Accept: application/openmetrics-text\r\n"), 200,
			"\r\n\r\npage openmetrics " },
		{ false, GET("/readyz", CLOSE "Accept: application/openmetrics-text\r\n"), 503,
			"\r\n\r\npage text " },
		{ false, "GET /metrics HTTP/1.0\r\n\r\n", 200, "\r\n\r\npage text " },
		{ false, GET("/", CLOSE), 404, "try /metrics\n" },
		{ false, GET("/metrics/", CLOSE), 404, "try /metrics\n" },
		{ false, GET("/Metrics", CLOSE), 404, "try /metrics\n" },
		{ false, GET("/metric", CLOSE), 404, "try /metrics\n" },
		{ false, GET("//metrics", CLOSE), 404, "try /metrics\n" },
		{ false, "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405,
			"Allow: GET, HEAD\r\n" },
		{ false, "OPTIONS /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405,
			"Allow: GET, HEAD\r\n" },
		{ false, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", 405,
			"Allow: GET, HEAD\r\n" },
		{ false, "PUT /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", 405,
			"Allow: GET, HEAD\r\n" },
		{ false, "get /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 405, "Allow: GET, HEAD\r\n" },
		{ false, GET("/metrics", "Content-Length: 1000000\r\n"), 413, "no body" },
		{ false, GET("/metrics", "Transfer-Encoding: chunked\r\n") "2\r\nab\r\n", 413,
			"no body" },
		{ true, GET("/metrics", CLOSE BEARER), 200, "\r\n\r\npage text " },
		{ true, GET("/metrics", CLOSE), 401,
			"WWW-Authenticate: Bearer realm=\"belay\"\r\n" },
		{ true, GET("/nothing", CLOSE), 401, "a token is needed" },
		{ true, GET("/nothing", CLOSE BEARER), 404, "try /metrics\n" },
		{ true, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", 401,
			"a token is needed" },
		{ true, GET("/metrics", CLOSE "Authorization: Bearer 0011\r\n"), 401, "token" },
		{ true, GET("/metrics", CLOSE "Authorization: Bearer 1" DIGITS "\r\n"), 401,
			"token" },
		{ true, GET("/metrics", CLOSE "Authorization: Basic " DIGITS "\r\n"), 401, "token" },
		{ true, GET("/metrics", CLOSE "Authorization:\r\n"), 401, "token" },
	};
	uint64_t failures = 0;
	(void)state;

	stand.ready.status = 503;
	open_door(0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char answer[2048];

		ask(cases[i].tcp, cases[i].request, answer, sizeof(answer));
		assert_int_equal(status_of(answer), cases[i].status);
		assert_non_null(strstr(answer, cases[i].wanted));
		assert_non_null(strstr(answer, "Content-Length: "));
		failures += cases[i].status == 401;
	}
	assert_int_equal(belay__http_door_counters(stand.door)->auth_failures, failures);
	assert_int_equal(belay__http_door_connections(stand.door), 0);
}

static void head_tells_the_length_and_no_more(void **state)
{
	char answer[2048];
	const char *end;
	(void)state;

	open_door(0);
	ask(false, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n" CLOSE "\r\n", answer, sizeof(answer));
	assert_int_equal(status_of(answer), 200);
	assert_non_null(strstr(answer, "Content-Length: 12\r\n"));
	end = strstr(answer, "\r\n\r\n");
	assert_non_null(end);
	assert_string_equal(end, "\r\n\r\n");
}

static void a_body_is_rendered_once_a_second_and_format(void **state)
{
	const struct belay__http_counters *counters;
	uint64_t began_ns, rendered_ns;
	char answer[2048];
	(void)state;

	open_door(0);
	counters = belay__http_door_counters(stand.door);
	began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
	rendered_ns = belay__clock_ns(CLOCK_MONOTONIC); /* at the latest */
	for (unsigned i = 1; i < 20; i++)
		ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
	ask(false, GET("/metrics", CLOSE "Accept: application/openmetrics-text\r\n"), answer,
		sizeof(answer));
	if (belay__clock_ns(CLOCK_MONOTONIC) - began_ns < BELAY__HTTP_FRESH_NS / 2) {
		assert_int_equal(stand.metrics.renders, 2);
		assert_int_equal(counters->cached, 19);
	}
	assert_int_equal(counters->served, 21);

	do
		ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
	while (belay__clock_ns(CLOCK_MONOTONIC) - rendered_ns < BELAY__HTTP_FRESH_NS);
	ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
	/* At most one a second of the one format, and one of the other. */
	assert_in_range(stand.metrics.renders, 3,
		3 + (belay__clock_ns(CLOCK_MONOTONIC) - began_ns) / BELAY__HTTP_FRESH_NS);
	assert_int_equal(counters->served - counters->cached, stand.metrics.renders);
}

static void a_page_that_cannot_be_rendered_is_unavailable(void **state)
{
	char answer[2048];
	(void)state;

	open_door(0);
	stand.metrics.error = -EAGAIN;
	ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
	assert_int_equal(status_of(answer), 503);
	assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
	assert_int_equal(belay__http_door_counters(stand.door)->refused, 1);
	stand.metrics.error = 0;
	ask(false, GET("/metrics", CLOSE), answer, sizeof(answer));
	assert_int_equal(status_of(answer), 200);
}

static void a_connection_can_be_kept_and_requests_can_queue_on_it(void **state)
{
	static const char three[] = GET("/metrics", "") GET("/metrics", "") GET("/readyz", CLOSE);
	_cleanup_close_ int fd = -EBADF;
	char answer[4096];
	int error;
	(void)state;

	open_door(0);
	fd = connect_unix();
	say(fd, GET("/metrics", ""), sizeof(GET("/metrics", "")) - 1);
	(void)hear(fd, answer, sizeof(answer), "page text 1\n", &error);
	assert_int_equal(belay__http_door_connections(stand.door), 1);
	say(fd, three, sizeof(three) - 1);
	(void)hear(fd, answer, sizeof(answer), NULL, &error);
	assert_int_equal(error, 0);
	assert_int_equal(count(answer, "HTTP/1.1 200 OK"), 3);
	assert_int_equal(count(answer, "page text"), 3);
	assert_int_equal(belay__http_door_counters(stand.door)->served, 4);
	assert_int_equal(belay__http_door_counters(stand.door)->dropped[BELAY__HTTP_DROP_TIMEOUT],
		0);
}

static void a_connection_ends_after_so_many_requests(void **state)
{
	static char answers[BELAY__HTTP_REQUESTS * 512];
	_cleanup_close_ int fd = -EBADF;
	int error;
	(void)state;

	open_door(0);
	fd = connect_unix();
	for (unsigned i = 0; i < BELAY__HTTP_REQUESTS; i++)
		say(fd, GET("/metrics", ""), sizeof(GET("/metrics", "")) - 1);
	(void)hear(fd, answers, sizeof(answers), NULL, &error);
	assert_int_equal(error, 0);
	assert_int_equal(count(answers, "HTTP/1.1 200 OK"), BELAY__HTTP_REQUESTS);
	assert_int_equal(count(answers, "Connection: close"), 1);
}

static void one_turn_answers_at_most_twice_on_a_connection(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	uint64_t before = 0;
	(void)state;

	open_door(0);
	fd = connect_unix();
	for (unsigned i = 0; i < 32; i++)
		say(fd, GET("/metrics", ""), sizeof(GET("/metrics", "")) - 1);
	while (before < 32) {
		uint64_t now;

		turn(-EBADF, 1000);
		now = belay__http_door_counters(stand.door)->served;
		/* Listener, timer and descriptor may each run the daemon in a turn. */
		assert_in_range(now - before, 0, 6);
		before = now;
	}
}

static void an_oversized_header_is_refused(void **state)
{
	static char request[64 << 10];
	const struct {
		const char *before;
		unsigned status;
	} cases[] = { { "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ", 431 }, { "GET /", 414 } };
	(void)state;

	open_door(0);
	for (size_t i = 0; i < 2; i++) {
		_cleanup_close_ int fd = connect_unix();
		char answer[2048];
		int error;

		memset(request, 'a', sizeof(request));
		memcpy(request, cases[i].before, strlen(cases[i].before));
		say(fd, request, 2 * BELAY__HTTP_MEMORY_BYTES);
		(void)hear(fd, answer, sizeof(answer), NULL, &error);
		/* What was never read makes the kernel say "reset" after the answer. */
		assert_true(error == 0 || error == ECONNRESET);
		assert_true(answer[0] == '\0' || status_of(answer) == cases[i].status);
	}
	assert_int_equal(stand.metrics.renders, 0);
}

static void garbage_gets_no_page(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
#define BYTES(text) { text, sizeof(text) - 1 }
		BYTES("\r\n\r\n\r\n\r\n"),
		BYTES("\0\0\0\0\0\0\0\0\r\n\r\n"),
		BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
		BYTES("GET\r\n\r\n"),
		BYTES("GET /metrics\r\n\r\n"),
		BYTES("GET /metrics HTTP/9.9\r\n\r\n"),
		BYTES("GET /metrics FTP/1.1\r\n\r\n"),
		BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
		BYTES("GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
		BYTES("GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n"),
		BYTES("GET /%00metrics HTTP/1.1\r\nHost: x\r\n\r\n"),
#undef BYTES
	};
	(void)state;

	open_door(0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_close_ int fd = connect_unix();
		char answer[4096];
		int error;

		say(fd, cases[i].bytes, cases[i].len);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		(void)hear(fd, answer, sizeof(answer), NULL, &error);
		assert_int_not_equal(status_of(answer), 200);
	}
	assert_int_equal(stand.metrics.renders, 0);
	assert_int_equal(belay__http_door_connections(stand.door), 0);
}

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

static void the_reasons_have_names(void **state)
{
	(void)state;

	for (unsigned i = 0; i < BELAY__HTTP_DROP_COUNT; i++)
		assert_non_null(belay__http_drop_name((enum belay__http_drop)i));
	assert_string_equal(belay__http_drop_name(BELAY__HTTP_DROP_IP_TABLE_FULL), "ip_table_full");
	assert_null(belay__http_door_free(NULL));
}

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) == NULL;
}

static int remove_directory(void **state)
{
	(void)state;
	return rmdir(directory);
}

#define WITH_STAND(test) cmocka_unit_test_setup_teardown(test, open_stand, close_stand)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STAND(each_request_gets_what_it_deserves),
		WITH_STAND(head_tells_the_length_and_no_more),
		WITH_STAND(a_body_is_rendered_once_a_second_and_format),
		WITH_STAND(a_page_that_cannot_be_rendered_is_unavailable),
		WITH_STAND(a_connection_can_be_kept_and_requests_can_queue_on_it),
		WITH_STAND(a_connection_ends_after_so_many_requests),
		WITH_STAND(one_turn_answers_at_most_twice_on_a_connection),
		WITH_STAND(an_oversized_header_is_refused),
		WITH_STAND(garbage_gets_no_page),
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
		WITH_STAND(the_reasons_have_names),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
