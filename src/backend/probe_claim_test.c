#include "backend/probe_testing.h"

#include "identity/test_daemon.h"

/* Whoever answers: a child, so that the asker may wait. BYTES NULL: the right answer. */
static pid_t answerer(const struct place *place, const void *bytes, size_t len)
{
	pid_t parent = getpid(), pid = fork();

	assert_return_code(pid, errno);
	if (pid == 0) {
		die_with(parent);

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

/* Both ask alike, so they fail alike. */
static void check_alike(const struct place *place, enum belay_probe_error error, int code)
{
	static struct belay_daemon claimed;
	struct belay_probe_report report;
	struct belay_error sentence = { 0 };

	assert_int_equal(
		belay_probe_claim(&place->endpoint, &place->options, &claimed, &report, &sentence),
		code);
	assert_string_equal(belay_probe_error_name(report.error), belay_probe_error_name(error));
	assert_int_equal(sentence.code, code);
	assert_int_equal(
		belay_probe(&place->endpoint, &place->self, &place->options, NULL, &report, NULL),
		code);
	assert_string_equal(belay_probe_error_name(report.error), belay_probe_error_name(error));
}

static void a_claim_fails_as_a_probe_does(void **state)
{
	static uint8_t trace[3000];
	struct place *place = *state;
	int waiting;

	memset(trace, 't', sizeof(trace));
	place->options.timeout_ms = 20;
	place->options.traceparent = (struct belay_bytes){ trace, 1025 };
	check_alike(place, BELAY_PROBE_ENCODE_FRAME, -EINVAL);
	place->options.traceparent.len = sizeof(trace);
	check_alike(place, BELAY_PROBE_ENCODE_FRAME, -EINVAL);
	place->options.traceparent.len = 0;

	(void)close(place->listener);
	place->listener = listen_at(&place->endpoint, 0);
	waiting = connect_to(&place->endpoint);
	check_alike(place, BELAY_PROBE_CONNECT, -ETIMEDOUT);
	(void)close(waiting);
}

/* A claim is proved against CHILD, which runs PATH. */
static void check_claim(const struct place *place, const struct child *child, const char *path,
	enum belay_verify_error verify, int code)
{
	struct belay_probe_options options = { .timeout_ms = 50, .claimed = true };
	static struct belay_daemon record;
	struct belay_probe_report report;

	record = place->self;
	record.pid = (uint32_t)child->pid;
	record.start_ticks = 0;
	(void)snprintf(record.exe_path, sizeof(record.exe_path), "%s", path);
	assert_int_equal(belay_probe(&place->endpoint, &record, &options, NULL, &report, NULL),
		code);
	assert_int_equal(report.error, BELAY_PROBE_VERIFY_PID);
	assert_string_equal(belay_verify_error_name(report.verify), belay_verify_error_name(verify));
	assert_true(report.took_us < TEST_PLENTY_MS / 2 * UINT64_C(1000));
}

static void a_claim_is_looked_at_within_its_timeout(void **state)
{
	const struct place *place = *state;
	const char *path = in_dir("daemon"), *way = in_dir("way");
	struct child child;

	copy_self(path, 0);
	assert_return_code(truncate(path, BELAY_EXE_MAX), errno);
	child = child_execute(path);
	check_claim(place, &child, path, BELAY_VERIFY_EXE_HASH, -ETIMEDOUT);
	child_end(&child);

	assert_return_code(truncate(path, BELAY_EXE_MAX + 1), errno);
	child = child_execute(path);
	check_claim(place, &child, path, BELAY_VERIFY_EXE_HASH, -EFBIG);
	/* Where a stranger's path leads to is not asked. */
	assert_return_code(symlink(path, way), errno);
	check_claim(place, &child, way, BELAY_VERIFY_EXE_PATH_MISMATCH, -ESTALE);
	child_end(&child);
	assert_int_equal(unlink(path) | unlink(way), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(a_daemon_says_who_it_is),
		PLACE_TEST(what_it_claims_can_be_proved),
		PLACE_TEST(answers_that_claim_nothing_are_told_apart),
		PLACE_TEST(whoever_says_nothing_is_not_waited_for_longer),
		PLACE_TEST(nobody_claims_nothing),
		PLACE_TEST(a_claim_fails_as_a_probe_does),
		PLACE_TEST(a_claim_is_looked_at_within_its_timeout),
	};

	sleep_if_told(argc, argv);
	return cmocka_run_group_tests(tests, test_make_dir, test_remove_dir);
}
