#include "backend/probe_testing.h"

#include <sys/wait.h>

/* Whoever answers: a child, so that the asker may wait. BYTES NULL: the right answer. */
static pid_t answerer(const struct place *place, const void *bytes, size_t len)
{
	pid_t pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0) {
		int connection = accept4(place->listener, NULL, NULL, SOCK_CLOEXEC);
		uint8_t request[512];
		ssize_t n;

		if (bytes == NULL)
			_exit(belay_probe_serve(connection, &place->self, 1, TEST_PLENTY_MS,
				      NULL) == 1
					? 0
					: 1);
		n = recv(connection, request, sizeof(request), 0);
		_exit(n > 0 && send(connection, bytes, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : 1);
	}
	return pid;
}

static void reap(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void a_daemon_says_who_it_is(void **state)
{
	struct place *place = *state;
	static struct belay_daemon claimed;
	struct belay_probe_report report;
	/* The namespace is what the daemon says that it is. */
	struct belay_endpoint endpoint = place->endpoint;
	pid_t pid = answerer(place, NULL, 0);

	endpoint.namespace_id[0] = '\0';
	assert_int_equal(belay_probe_claim(&endpoint, &place->options, &claimed, &report, NULL), 0);
	reap(pid);
	assert_int_equal(report.error, BELAY_PROBED);
	assert_int_equal(report.proved, BELAY_PROOF_NONCE);
	assert_int_equal(report.answered_by, pid);
	assert_int_equal(report.answered_uid, getuid());
	assert_int_equal(report.listener, getpid());
	assert_int_equal(claimed.pid, getpid());
	assert_string_equal(claimed.exe_path, place->self.exe_path);
	assert_true(belay_endpoint_equal(&claimed.endpoint, &place->endpoint));
	assert_true(claimed.has_blake3 && claimed.has_sha256);
	assert_memory_equal(claimed.sha256, place->self.sha256, sizeof(claimed.sha256));
}

static void what_it_claims_can_be_proved(void **state)
{
	struct place *place = *state;
	static struct belay_daemon claimed;
	struct belay_probe_report report;
	pid_t pid = answerer(place, NULL, 0);

	assert_int_equal(belay_probe_claim(&place->endpoint, &place->options, &claimed, NULL, NULL),
		0);
	reap(pid);
	pid = answerer(place, NULL, 0);
	assert_int_equal(
		belay_probe(&claimed.endpoint, &claimed, &place->options, NULL, &report, NULL), 0);
	reap(pid);
	assert_int_equal(report.proved, TEST_ALL_PROOFS);
}

static void answers_that_claim_nothing_are_told_apart(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		enum belay_probe_error error;
		int code;
	} rows[] = {
		{ "", 0, BELAY_PROBE_IO, -ECONNRESET },
		{ "\x01\x05\0", 3, BELAY_PROBE_IO, -ECONNRESET },
		{ "\x02", 1, BELAY_PROBE_UNSUPPORTED_FRAMING_VERSION, -EPROTO },
		{ "\x01\x01\0\x01\0", 5, BELAY_PROBE_FRAME_TOO_LARGE, -EPROTO }, /* 64 KiB and 1 */
		{ "\x01\x01\0\0\0\xff", 6, BELAY_PROBE_DECODE_FRAME, -EPROTO },
		{ "\x01\0\0\0\0", 5, BELAY_PROBE_UNEXPECTED_FRAME, -EPROTO },
		{ "\x01\x08\0\0\0\x08\x01\x10\x01\x18\xb2\xe4\x02", 13,
			BELAY_PROBE_UNEXPECTED_FRAME, -EPROTO }, /* of another request */
	};
	struct place *place = *state;
	struct belay_probe_report report;
	struct belay_error error;
	static struct belay_daemon claimed, before;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pid_t pid = answerer(place, rows[i].bytes, rows[i].len);

		memset(&claimed, 0x5a, sizeof(claimed));
		before = claimed;
		assert_int_equal(belay_probe_claim(&place->endpoint, &place->options, &claimed,
					 &report, &error),
			rows[i].code);
		reap(pid);
		assert_int_equal(report.error, rows[i].error);
		assert_int_equal(report.proved, 0);
		assert_int_equal(error.code, rows[i].code);
		assert_non_null(strstr(error.text, place->endpoint.path));
		assert_memory_equal(&claimed, &before, sizeof(claimed));
	}
}

static void whoever_says_nothing_is_not_waited_for_longer(void **state)
{
	struct place *place = *state;
	static struct belay_daemon claimed;
	struct belay_probe_report report;

	place->options.timeout_ms = 20;
	assert_int_equal(
		belay_probe_claim(&place->endpoint, &place->options, &claimed, &report, NULL),
		-ETIMEDOUT);
	assert_int_equal(report.error, BELAY_PROBE_TIMEOUT);
	assert_true(report.took_us >= 20000);
}

static void nobody_claims_nothing(void **state)
{
	struct place *place = *state;
	static struct belay_daemon claimed;
	struct belay_endpoint endpoint = { .namespace_id = "" };
	struct belay_probe_report report;

	place->listener = belay__close(place->listener);
	assert_int_equal(belay_probe_claim(&place->endpoint, NULL, &claimed, &report, NULL),
		-ECONNREFUSED);
	assert_int_equal(report.error, BELAY_PROBE_CONNECT);
	assert_int_equal(belay_probe_claim(&endpoint, NULL, &claimed, &report, NULL), -EINVAL);
	assert_int_equal(report.error, BELAY_PROBE_CONNECT);
	memset(endpoint.path, 'x', sizeof(endpoint.path) - 1);
	assert_int_equal(belay_probe_claim(&endpoint, NULL, &claimed, &report, NULL), -ENAMETOOLONG);
	assert_int_equal(report.error, BELAY_PROBE_LOCAL_SOCKET_NAME);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(a_daemon_says_who_it_is),
		PLACE_TEST(what_it_claims_can_be_proved),
		PLACE_TEST(answers_that_claim_nothing_are_told_apart),
		PLACE_TEST(whoever_says_nothing_is_not_waited_for_longer),
		PLACE_TEST(nobody_claims_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
