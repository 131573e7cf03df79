#include "cmd/http_reply.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK      "HTTP/1.1 200 OK\r\n"
#define CHUNKED OK "Transfer-Encoding: chunked\r\n\r\n"

/* Reads LEN bytes of TEXT from memory that ends where they end. */
static int read_copy(const char *text, size_t len, struct belay__http_reply *ret_reply,
	char **ret_bytes)
{
	char *bytes = malloc(len + (len == 0));

	assert_non_null(bytes);
	memcpy(bytes, text, len);
	*ret_bytes = bytes;
	return belay__http_reply_read(bytes, len, ret_reply);
}

static const struct {
	const char *text;
	unsigned status;
	const char *body;
} whole[] = {
	{ OK "Content-Length: 3\r\n\r\nabc", 200, "abc" },
	{ OK "content-length:3 \t\r\nDate: today\r\n\r\nabc", 200, "abc" },
	{ OK "Content-Length: 0\r\n\r\n", 200, "" },
	{ "HTTP/1.0 404\r\nContent-Length: 2\r\n\r\n\r\n", 404, "\r\n" },
	{ CHUNKED "0\r\n\r\n", 200, "" },
	{ CHUNKED "3\r\nabc\r\n0\r\n\r\n", 200, "abc" },
	{ CHUNKED "1\r\na\r\n0002;why=not\r\nbc\r\n000\r\n\r\n", 200, "abc" },
	{ CHUNKED "A\r\n0123456789\r\nb \r\n0123456789a\r\n0\r\nTrailer: yes\r\n\r\n", 200,
		"01234567890123456789a" },
	{ OK "TRANSFER-ENCODING: Chunked\r\nX:\r\n\r\n2\r\n\r\n\r\n0\r\n\r\n", 200, "\r\n" },
};

static void a_body_comes_with_a_length_or_in_chunks(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
		struct belay__http_reply reply = { 0 };
		char *bytes;

		assert_int_equal(read_copy(whole[i].text, strlen(whole[i].text), &reply, &bytes), 0);
		assert_int_equal(reply.status, whole[i].status);
		assert_int_equal(reply.body_len, strlen(whole[i].body));
		assert_memory_equal(reply.body, whole[i].body, reply.body_len);
		free(bytes);
	}
}

static void what_is_cut_off_anywhere_is_too_short(void **state)
{
	(void)state;

	for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		for (size_t len = 0; len < strlen(whole[i].text); len++) {
			struct belay__http_reply reply = { .status = 7 };
			char *bytes;

			assert_int_equal(read_copy(whole[i].text, len, &reply, &bytes), -ENODATA);
			assert_int_equal(reply.status, 7);
			free(bytes);
		}
}

static void what_is_no_single_answer_is_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
#define BYTES(text) { text, sizeof(text) - 1 }
		BYTES("\r\n\r\n"),
		BYTES("200 OK\r\n\r\n"),
		BYTES("HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
		BYTES("HTTP/1.1  200 OK\r\nContent-Length: 0\r\n\r\n"),
		BYTES("HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"),
		BYTES("HTTP/1.1 2000\r\nContent-Length: 0\r\n\r\n"),
		BYTES("HTTP/1.1 -20 OK\r\nContent-Length: 0\r\n\r\n"),
		BYTES("HTTP/1.1 200\0OK\r\nContent-Length: 0\r\n\r\n"),
		BYTES("http/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		/* a head that is none */
		BYTES(OK "Content-Length 0\r\n\r\n"),
		BYTES(OK ": 0\r\nContent-Length: 0\r\n\r\n"),
		BYTES(OK "Content-Length : 0\r\n\r\n"),
		BYTES(OK "X: y\r\n z\r\nContent-Length: 0\r\n\r\n"),
		BYTES(OK "X: \0\r\nContent-Length: 0\r\n\r\n"),
		/* no length, or a wrong one */
		BYTES(OK "\r\n"),
		BYTES(OK "\r\nabc"),
		BYTES(OK "Content-Length:\r\n\r\n"),
		BYTES(OK "Content-Length: -1\r\n\r\n"),
		BYTES(OK "Content-Length: +1\r\n\r\na"),
		BYTES(OK "Content-Length: 0x1\r\n\r\na"),
		BYTES(OK "Content-Length: 1, 1\r\n\r\na"),
		BYTES(OK "Content-Length: 67108865\r\n\r\na"),
		BYTES(OK "Content-Length: 18446744073709551617\r\n\r\na"),
		BYTES(OK "Content-Length: 1\r\n\r\nab"),
		BYTES(OK "Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n"),
		BYTES(OK "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
		/* two opinions */
		BYTES(OK "Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
		BYTES(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		BYTES(OK "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
		BYTES(OK "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
			 "\r\n"),
		/* chunks that are none */
		BYTES(CHUNKED "\r\n\r\n"),
		BYTES(CHUNKED ";x\r\n\r\n"),
		BYTES(CHUNKED "g\r\n\r\n"),
		BYTES(CHUNKED "-1\r\na\r\n0\r\n\r\n"),
		BYTES(CHUNKED "0x1\r\na\r\n0\r\n\r\n"),
		BYTES(CHUNKED "1\r\nab\r\n0\r\n\r\n"),
		BYTES(CHUNKED "4000001\r\na\r\n0\r\n\r\n"),
		BYTES(CHUNKED "10000000000000001\r\na\r\n0\r\n\r\n"),
		BYTES(CHUNKED "0\r\n\r\na"),
#undef BYTES
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay__http_reply reply = { .status = 7 };
		char *bytes;
		int r = read_copy(rows[i].text, rows[i].len, &reply, &bytes);

		if (r != -EPROTO)
			fail_msg("row %zu: %d", i, r);
		assert_int_equal(reply.status, 7);
		free(bytes);
	}
}

/* A head of LEN bytes, all told. */
static int read_head_of(size_t len)
{
	static const char end[] = "\r\nContent-Length: 0\r\n\r\n";
	struct belay__http_reply reply;
	char *bytes = malloc(len);
	int r;

	assert_non_null(bytes);
	memset(bytes, 'x', len);
	memcpy(bytes, OK "X: ", sizeof(OK "X: ") - 1);
	memcpy(bytes + len - (sizeof(end) - 1), end, sizeof(end) - 1);
	r = belay__http_reply_read(bytes, len, &reply);
	free(bytes);
	return r;
}

static void a_head_has_an_end(void **state)
{
	static char endless[BELAY__HTTP_REPLY_HEAD_MAX + 2];
	struct belay__http_reply reply;
	(void)state;

	assert_int_equal(read_head_of(BELAY__HTTP_REPLY_HEAD_MAX), 0);
	assert_int_equal(read_head_of(BELAY__HTTP_REPLY_HEAD_MAX + 1), -EPROTO);
	memset(endless, 'x', sizeof(endless));
	assert_int_equal(belay__http_reply_read(endless, sizeof(endless), &reply), -EPROTO);
}

static void chunks_together_are_bounded_as_one_length_is(void **state)
{
	static const char head[] = CHUNKED, chunk[] = "4000000\r\n", more[] = "\r\n1\r\na\r\n",
			  last[] = "0\r\n\r\n";
	size_t size = BELAY__HTTP_REPLY_BODY_MAX + 256;
	struct belay__http_reply reply;
	char *bytes = malloc(size), *at = bytes;
	(void)state;

	assert_non_null(bytes);
	at = mempcpy(at, head, sizeof(head) - 1);
	at = mempcpy(at, chunk, sizeof(chunk) - 1);
	memset(at, 'b', BELAY__HTTP_REPLY_BODY_MAX);
	at += BELAY__HTTP_REPLY_BODY_MAX;
	at = mempcpy(at, more, sizeof(more) - 1);
	at = mempcpy(at, last, sizeof(last) - 1);
	assert_int_equal(belay__http_reply_read(bytes, (size_t)(at - bytes), &reply), -EPROTO);
	free(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_body_comes_with_a_length_or_in_chunks),
		cmocka_unit_test(what_is_cut_off_anywhere_is_too_short),
		cmocka_unit_test(what_is_no_single_answer_is_refused),
		cmocka_unit_test(a_head_has_an_end),
		cmocka_unit_test(chunks_together_are_bounded_as_one_length_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
