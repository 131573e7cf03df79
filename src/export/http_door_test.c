/* What each request gets at the HTTP door. */

#include "export/http_door_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"

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

static void the_reasons_have_names(void **state)
{
	(void)state;

	for (unsigned i = 0; i < BELAY__HTTP_DROP_COUNT; i++)
		assert_non_null(belay__http_drop_name((enum belay__http_drop)i));
	assert_string_equal(belay__http_drop_name(BELAY__HTTP_DROP_IP_TABLE_FULL), "ip_table_full");
	assert_null(belay__http_door_free(NULL));
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
		WITH_STAND(the_reasons_have_names),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
