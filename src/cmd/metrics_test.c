/* metrics_test.c - `belay metrics` asks servers of all kinds, among them the exporter's own door */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "cmd/cmd.h"
#include "cmd/scrape.h"
#include "cmd/testing.h"
#include "export/http_door.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

#define OK   "HTTP/1.1 200 OK\r\n"
#define BODY "# HELP belay_up Is it?\nbelay_up{name=\"a\\\"\\\\\\nb\"} 1\n"
#define LEN  "Content-Length: 51\r\n"
#define BIG  ((size_t)8 << 20)

static struct test_door door;
static struct test_run run;

/* A server in a process of its own. */
static struct {
	char path[80];
	pid_t pid; /* 0: none */
	int heard; /* what was asked of it */
} server = { .heard = -EBADF };

static int listen_metrics(void)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(server.path, sizeof(server.path), "%.63s%s", door.socket,
		BELAY__METRICS_SUFFIX);
	(void)unlink(server.path);
	memcpy(address.sun_path, server.path, strlen(server.path) + 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	return TAKE_FD(fd);
}

/* Starts a process that serves with SERVE(fd, DATA) until it is stopped. */
static void start(void (*serve)(int fd, const void *data), const void *data)
{
	_cleanup_close_ int fd = listen_metrics();

	server.heard = memfd_create("heard", MFD_CLOEXEC);
	assert_true(server.heard >= 0);
	server.pid = fork();
	assert_true(server.pid >= 0);
	if (server.pid == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		serve(fd, data);
		_exit(0);
	}
}

static int stop(void **state)
{
	int status;
	(void)state;

	if (server.pid > 0) {
		(void)kill(server.pid, SIGKILL);
		(void)waitpid(server.pid, &status, 0);
	}
	server.pid = 0;
	server.heard = belay__close(server.heard);
	(void)unlink(server.path);
	return 0;
}

/* Takes a connection and hears its request out. */
static int take(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	char request[1024] = "";
	size_t len = 0;

	while (strstr(request, "\r\n\r\n") == NULL) {
		ssize_t n = recv(fd, request + len, sizeof(request) - 1 - len, 0);

		if (n <= 0)
			break;
		len += (size_t)n;
	}
	(void)belay__write_all(server.heard, request, len);
	return fd;
}

/* Says the string DATA to everyone who asks. */
static void say(int listener, const void *data)
{
	const char *answer = data;

	for (;;) {
		int fd = take(listener);

		(void)belay__write_all(fd, answer, strlen(answer));
		(void)belay__close(fd);
	}
}

/* The same, but byte by byte. */
static void say_in_pieces(int listener, const void *data)
{
	int fd = take(listener);

	for (const char *at = data; *at != '\0'; at++) {
		(void)belay__write_all(fd, at, 1);
		(void)poll(NULL, 0, 1);
	}
}

/* Says a byte every now and then, and never all. */
static void drip(int listener, const void *data)
{
	int fd = take(listener);
	(void)data;

	(void)belay__write_all(fd, OK, sizeof(OK) - 1);
	while (belay__write_all(fd, "X", 1) == 0)
		(void)poll(NULL, 0, 5);
}

static void be_silent(int listener, const void *data)
{
	(void)listener;
	(void)data;
	(void)pause();
}

static void flood(int listener, const void *data)
{
	static char bytes[1 << 16];
	int fd = take(listener);
	(void)data;

	(void)belay__write_all(fd, OK "\r\n", sizeof(OK "\r\n") - 1);
	while (belay__write_all(fd, bytes, sizeof(bytes)) == 0)
		;
}

/* One body of BIG bytes, and its length. */
static void say_much(int listener, const void *data)
{
	static char bytes[BIG];
	char head[64];
	int fd = take(listener);
	(void)data;

	memset(bytes, 'b', sizeof(bytes));
	(void)snprintf(head, sizeof(head), OK "Content-Length: %zu\r\n\r\n", BIG);
	(void)belay__write_all(fd, head, strlen(head));
	(void)belay__write_all(fd, bytes, sizeof(bytes));
}

static int render(void *data, enum belay__http_format format, unsigned buffer,
	struct belay__http_content *ret_content)
{
	static const char text[] = BODY, open[] = BODY "# EOF\n";
	(void)data;
	(void)buffer;

	ret_content->bytes = format == BELAY__HTTP_TEXT ? text : open;
	ret_content->len = strlen(ret_content->bytes);
	return 0;
}

static void be_the_door(int listener, const void *data)
{
	const struct belay__http_page page = { .path = "/metrics",
		.negotiated = true,
		.render = render };
	const struct belay__http_options options = { .unix_fd = listener,
		.tcp_fd = -EBADF,
		.pages = &page,
		.page_count = 1 };
	struct belay__http_door *http;
	struct belay__loop *loop;
	(void)data;

	if (belay__loop_new(&loop) < 0 || belay__http_door_new(loop, &options, &http, NULL) < 0)
		_exit(1);
	while (belay__loop_turn(loop, UINT64_MAX) >= 0)
		;
}

static void assert_heard(const char *wanted)
{
	char request[1024];
	ssize_t len = pread(server.heard, request, sizeof(request) - 1, 0);

	assert_true(len > 0);
	request[len] = '\0';
	if (strstr(request, wanted) == NULL)
		fail_msg("the request is: %s", request);
}

static void the_body_is_printed_as_it_is(void **state)
{
	(void)state;

	start(say, OK LEN "\r\n" BODY);
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_OK);
	assert_string_equal(run.out, BODY);
	assert_string_equal(run.err, "");
	assert_int_equal(run.requests, 0);
	assert_heard("GET /metrics HTTP/1.1\r\n");
	assert_heard("\r\nHost: localhost\r\n");
	assert_heard("\r\nConnection: close\r\n");
	assert_heard("\r\nAccept: text/plain;version=0.0.4\r\n");
}

static void openmetrics_is_asked_for(void **state)
{
	(void)state;

	start(say, OK LEN "\r\n" BODY);
	test_run(&run, &door, NULL, WORDS("metrics", "--openmetrics", "--socket", door.socket));
	assert_int_equal(run.exit, BELAY__EXIT_OK);
	assert_string_equal(run.out, BODY);
	assert_heard("\r\nAccept: application/openmetrics-text;version=1.0.0\r\n");
}

static void chunks_are_put_together_however_they_arrive(void **state)
{
	(void)state;

	start(say_in_pieces,
		OK "Transfer-Encoding: chunked\r\n\r\n2\r\n# \r\n09\r\nHELP a "
		   "b\n\r\n0\r\nX: y\r\n\r\n");
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_OK);
	assert_string_equal(run.out, "# HELP a b\n");
}

static void the_exporters_own_door_is_understood(void **state)
{
	(void)state;

	start(be_the_door, NULL);
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_OK);
	assert_string_equal(run.out, BODY);
	test_run(&run, &door, NULL, WORDS("metrics", "--openmetrics"));
	assert_int_equal(run.exit, BELAY__EXIT_OK);
	assert_string_equal(run.out, BODY "# EOF\n");
}

static void other_answers_are_told_and_nothing_is_printed(void **state)
{
	static const struct {
		const char *answer;
		int exit;
		const char *wanted; /* on stderr */
	} rows[] = {
		{ "HTTP/1.1 503 Service Unavailable\r\n" LEN "\r\n" BODY, BELAY__EXIT_FAILED,
			"nothing to show yet" },
		{ "HTTP/1.1 429 Too Many\r\n" LEN "\r\n" BODY, BELAY__EXIT_FAILED,
			"ask again in a second" },
		{ "HTTP/1.1 401 Who?\r\n" LEN "\r\n" BODY, BELAY__EXIT_PERMISSION,
			"does not allow it" },
		{ "HTTP/1.1 403 No\r\n" LEN "\r\n" BODY, BELAY__EXIT_PERMISSION,
			"does not allow it" },
		{ "HTTP/1.1 404 Where?\r\n" LEN "\r\n" BODY, BELAY__EXIT_PROTOCOL, "says 404" },
		{ "HTTP/1.1 301 There\r\n" LEN "\r\n" BODY, BELAY__EXIT_PROTOCOL, "says 301" },
		{ "SSH-2.0-OpenSSH_9.2\r\n", BELAY__EXIT_PROTOCOL, "is no exporter" },
		{ OK "\r\n" BODY, BELAY__EXIT_PROTOCOL, "cannot be understood" },
		{ OK LEN "\r\n" BODY "more", BELAY__EXIT_PROTOCOL, "cannot be understood" },
		{ OK "Content-Length: 99999999999\r\n\r\n" BODY, BELAY__EXIT_PROTOCOL,
			"cannot be understood" },
		{ OK "Content-Length: 67108864\r\n\r\n" BODY, BELAY__EXIT_ABSENT, "hung up" },
		{ OK LEN "\r\n# HELP", BELAY__EXIT_ABSENT, "hung up" },
		{ OK "Transfer-Encoding: chunked\r\n\r\n2\r\n# \r\n", BELAY__EXIT_ABSENT,
			"hung up" },
		{ "", BELAY__EXIT_ABSENT, "hung up" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		start(say, rows[i].answer);
		test_run(&run, &door, NULL, WORDS("metrics"));
		if (run.exit != rows[i].exit || strstr(run.err, rows[i].wanted) == NULL)
			fail_msg("row %zu: %d, %s", i, run.exit, run.err);
		assert_non_null(strstr(run.err, server.path));
		assert_int_equal(run.out_len, 0);
		(void)stop(NULL);
	}
}

static void without_a_server_it_says_where_and_what_to_do(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	(void)state;

	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_ABSENT);
	assert_non_null(strstr(run.err, "beat.sock.metrics (no such file)"));
	assert_non_null(strstr(run.err, "belay status"));
	assert_int_equal(run.out_len, 0);

	fd = listen_metrics();
	fd = belay__close(fd);
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_ABSENT);
	assert_non_null(strstr(run.err, "beat.sock.metrics (nobody listens)"));
}

static void another_kind_of_socket_is_no_exporter(void **state)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	(void)state;

	memcpy(address.sun_path, server.path, strlen(server.path) + 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 4), 0);
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_PROTOCOL);
	assert_non_null(strstr(run.err, "another kind of socket"));
}

static void a_socket_for_others_is_not_for_us(void **state)
{
	(void)state;

	if (geteuid() == 0)
		skip();
	start(say, OK LEN "\r\n" BODY);
	assert_int_equal(chmod(server.path, 0), 0);
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_PERMISSION);
	assert_non_null(strstr(run.err, "not for this user"));
}

static void the_command_line_is_checked(void **state)
{
	char path[BELAY__SOCKET_PATH_SIZE + 8] = "/";
	(void)state;

	test_run(&run, &door, NULL, WORDS("metrics", "now"));
	assert_int_equal(run.exit, BELAY__EXIT_USAGE);
	memset(path + 1, 'x', sizeof(path) - 2);
	test_run(&run, &door, NULL, WORDS("metrics", "--socket", path));
	assert_int_equal(run.exit, BELAY__EXIT_USAGE);
}

static void output_that_cannot_be_written_is_a_failure(void **state)
{
	struct test_answer how = { .out_fd = open("/dev/full", O_WRONLY | O_CLOEXEC) };
	(void)state;

	assert_true(how.out_fd > 0);
	start(say, OK LEN "\r\n" BODY);
	test_run(&run, &door, &how, WORDS("metrics"));
	(void)belay__close(how.out_fd);
	assert_int_equal(run.exit, BELAY__EXIT_FAILED);
	assert_non_null(strstr(run.err, "cannot write"));
}

/* Asks by itself, until 200 ms from now, and frees what it got. */
static int ask_shortly(size_t *ret_len, uint64_t *ret_took_ns)
{
	struct belay__scrape scrape = { .bytes = NULL };
	struct belay_error error;
	uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	int r = belay__scrape_ask(&scrape, door.socket, false, began_ns + 200 * BELAY__NS_PER_MS,
		&error);

	*ret_took_ns = belay__clock_ns(CLOCK_MONOTONIC) - began_ns;
	*ret_len = scrape.reply.body_len;
	belay__scrape_free(&scrape);
	assert_null(scrape.bytes);
	return r;
}

static void neither_silence_nor_drops_hold_the_deadline_up(void **state)
{
	uint64_t took_ns;
	size_t len;
	(void)state;

	start(be_silent, NULL);
	assert_int_equal(ask_shortly(&len, &took_ns), -ETIMEDOUT);
	assert_true(took_ns >= 200 * BELAY__NS_PER_MS);
	(void)stop(NULL);

	start(drip, NULL);
	assert_int_equal(ask_shortly(&len, &took_ns), -ETIMEDOUT);
	assert_true(took_ns >= 200 * BELAY__NS_PER_MS);
}

static void a_full_backlog_does_not_hold_the_deadline_up(void **state)
{
	_cleanup_close_ int listener = listen_metrics();
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fds[16];
	uint64_t took_ns;
	size_t len;
	(void)state;

	assert_true(listener >= 0);
	memcpy(address.sun_path, server.path, strlen(server.path) + 1);
	for (size_t i = 0; i < BELAY__COUNT_OF(fds); i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (const struct sockaddr *)&address, sizeof(address));
	}
	assert_int_equal(ask_shortly(&len, &took_ns), -ETIMEDOUT);
	assert_true(took_ns >= 190 * BELAY__NS_PER_MS);
	for (size_t i = 0; i < BELAY__COUNT_OF(fds); i++)
		(void)belay__close(fds[i]);
}

static void a_long_body_is_received_whole_and_an_endless_one_is_given_up(void **state)
{
	(void)state;

	start(say_much, NULL);
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_OK);
	assert_int_equal(run.out_len, sizeof(run.out) - 1);
	(void)stop(NULL);

	start(flood, NULL);
	test_run(&run, &door, NULL, WORDS("metrics"));
	assert_int_equal(run.exit, BELAY__EXIT_PROTOCOL);
	assert_non_null(strstr(run.err, "has no end"));
	assert_int_equal(run.out_len, 0);
}

static int open_door(void **state)
{
	(void)state;
	test_door_open(&door);
	(void)snprintf(server.path, sizeof(server.path), "%.63s%s", door.socket,
		BELAY__METRICS_SUFFIX);
	return 0;
}

static int close_door(void **state)
{
	(void)state;
	test_door_done(&door);
	return 0;
}

#define WITH_SERVER(test) cmocka_unit_test_teardown(test, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_SERVER(the_body_is_printed_as_it_is),
		WITH_SERVER(openmetrics_is_asked_for),
		WITH_SERVER(chunks_are_put_together_however_they_arrive),
		WITH_SERVER(the_exporters_own_door_is_understood),
		WITH_SERVER(other_answers_are_told_and_nothing_is_printed),
		WITH_SERVER(without_a_server_it_says_where_and_what_to_do),
		WITH_SERVER(another_kind_of_socket_is_no_exporter),
		WITH_SERVER(a_socket_for_others_is_not_for_us),
		WITH_SERVER(the_command_line_is_checked),
		WITH_SERVER(output_that_cannot_be_written_is_a_failure),
		WITH_SERVER(neither_silence_nor_drops_hold_the_deadline_up),
		WITH_SERVER(a_full_backlog_does_not_hold_the_deadline_up),
		WITH_SERVER(a_long_body_is_received_whole_and_an_endless_one_is_given_up),
	};

	return cmocka_run_group_tests(tests, open_door, close_door);
}
