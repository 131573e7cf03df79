#include "backend/probe_daemons_testing.h"

#include <linux/sched.h>

/* --- who is proved --- */

static void a_process_proves_itself(void **state)
{
	struct place *place = *state;
	struct belay_prober *prober = ask(place);
	int connection = accept_at(place->listener);
	struct belay_handle handle = { .pidfd = -EBADF };
	struct belay_probe_report report;

	assert_int_equal(belay_probe_serve(connection, &place->self, 1, TEST_PLENTY_MS, NULL), 1);
	assert_int_equal(conclude(prober, &handle, &report, NULL), 0);
	assert_int_equal(report.error, BELAY_PROBED);
	assert_int_equal(report.verify, BELAY_VERIFIED);
	assert_int_equal(report.proved, TEST_ALL_PROOFS);
	assert_int_equal(report.answered_by, getpid());
	assert_int_equal(report.answered_uid, getuid());
	assert_int_equal(report.listener, getpid());
	assert_false(report.by_descendant);
	assert_null(report.text);
	assert_int_equal(belay_handle_alive(&handle), 1);
	belay_handle_close(&handle);
	(void)close(connection);
}

static void another_process_is_proved_and_can_be_ended(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF, .listens = true };
	struct child child = child_start(body_serves, &daemon);
	struct belay_probe_report report;
	static struct belay_daemon record;
	struct belay_handle handle;

	assert_return_code(belay_daemon_capture(child.pid, &place->endpoint, NULL, &record, NULL),
		0);
	assert_int_equal(
		belay_probe(&place->endpoint, &record, &place->options, &handle, &report, NULL), 0);
	assert_int_equal(report.proved, TEST_ALL_PROOFS);
	assert_int_equal(report.answered_by, child.pid);
	assert_int_equal(handle.pid, child.pid);
	assert_true(handle.start_ticks == child.start_ticks);
	child_wait_end(&child);
	assert_int_equal(belay_handle_alive(&handle), 0);
	belay_handle_close(&handle);
	reap_well(&child);
}

static void a_record_from_its_sidecar_is_proved(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_serves, &daemon);
	const struct belay_daemon *record = record_of(place, &child);
	static struct belay_daemon read_back;
	struct belay_probe_report report;
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/daemon.json", place->dir);
	assert_return_code(belay_sidecar_write(path, record, NULL), 0);
	assert_return_code(belay_sidecar_read(path, &read_back, NULL), 0);
	assert_int_equal(probe(place, &read_back, &report, NULL), 0);
	assert_int_equal(report.proved, TEST_ALL_PROOFS);
	assert_return_code(unlink(path), errno);
	reap_well(&child);
}

static void who_listens_is_told_and_not_required(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_serves, &daemon);
	const struct belay_daemon *record = record_of(place, &child);
	struct belay_probe_report report;

	assert_int_equal(probe(place, record, &report, NULL), 0);
	assert_int_equal(report.listener, getpid());
	assert_int_equal(report.answered_by, child.pid);
	reap_well(&child);
}

static void check_descendant(struct place *place, int (*body)(void *))
{
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body, &daemon);
	const struct belay_daemon *record = record_of(place, &child);
	struct belay_probe_report report;

	assert_int_equal(probe(place, record, &report, NULL), 0);
	assert_int_equal(report.proved, TEST_ALL_PROOFS);
	assert_true(report.by_descendant);
	assert_int_not_equal(report.answered_by, child.pid);
	assert_int_not_equal(report.answered_by, 0);
	reap_well(&child);
}

static void a_descendant_may_answer(void **state)
{
	check_descendant(*state, body_has_a_child);
	check_descendant(*state, body_has_a_grandchild);
}

/* --- who is not --- */

/* Answers, and becomes another program: number, start time and pidfd stay as they were. */
static int body_answers_and_executes(void *argument)
{
	const struct daemon *daemon = argument;
	struct belay_daemon self = daemon->place->self;
	int connection = accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC);

	self.pid = (uint32_t)getpid();
	if (belay_probe_serve(connection, &self, 1, TEST_PLENTY_MS, NULL) != 1)
		return 1;
	(void)execl("/bin/sleep", "sleep", "1000", (char *)NULL);
	(void)!write(daemon->go, "!", 1);
	return 2;
}

static void who_executes_another_program_meanwhile_is_not_there_any_more(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place };
	struct belay_handle handle = { .pid = -7 };
	struct belay_probe_report report;
	struct belay_prober *prober;
	struct child child;
	int ends[2];
	char byte;

	assert_return_code(pipe2(ends, O_CLOEXEC), errno);
	daemon.go = ends[1];
	child = child_start(body_answers_and_executes, &daemon);
	place->self = *record_of(place, &child);
	prober = ask(place);
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 0); /* closed by the execution */
	(void)close(ends[0]);
	assert_int_equal(conclude(prober, &handle, &report, NULL), -ESRCH);
	assert_int_equal(report.error, BELAY_PROBE_ENDED);
	assert_int_equal(report.proved, TEST_ALL_PROOFS & ~(unsigned)BELAY_PROOF_STILL);
	assert_int_equal(handle.pid, -7);
	child_end(&child);
}

static void a_copied_record_proves_nothing(void **state)
{
	struct place *place = *state;
	struct child victim = child_start(body_sleeps, NULL);
	struct daemon daemon = { .place = place, .go = -EBADF, .pid = victim.pid };
	struct child squatter = child_start(body_serves, &daemon);
	const struct belay_daemon *record = record_of(place, &victim);
	struct belay_handle handle = { .pid = -7 };
	struct belay_probe_report report;
	struct belay_error error;

	assert_int_equal(
		belay_probe(&place->endpoint, record, &place->options, &handle, &report, &error),
		-ESTALE);
	assert_int_equal(report.error, BELAY_PROBE_ANOTHER_ANSWERED);
	assert_int_equal(report.answered_by, squatter.pid);
	assert_int_equal(report.proved,
		TEST_ALL_PROOFS &
			~((unsigned)BELAY_PROOF_CREDENTIALS | (unsigned)BELAY_PROOF_STILL));
	assert_int_equal(handle.pid, -7);
	assert_non_null(strstr(error.text, "not the expected process"));
	reap_well(&squatter);
	child_end(&victim);
}

static void an_ancestor_is_no_descendant(void **state)
{
	struct place *place = *state;
	struct child child = child_start(body_sleeps, NULL);
	struct belay_probe_report report;
	struct belay_prober *prober;
	int connection;

	place->self = *record_of(place, &child);
	prober = ask(place);
	connection = accept_at(place->listener);
	assert_int_equal(belay_probe_serve(connection, &place->self, 1, TEST_PLENTY_MS, NULL), 1);
	assert_int_equal(conclude(prober, NULL, &report, NULL), -ESTALE);
	assert_int_equal(report.error, BELAY_PROBE_ANOTHER_ANSWERED);
	assert_int_equal(report.answered_by, getpid());
	assert_false(report.by_descendant);
	(void)close(connection);
	child_end(&child);
}

/* The rest of an answer, for a child to send. */
struct rest {
	int connection;
	const uint8_t *bytes;
	size_t len;
};

static int body_sends(void *argument)
{
	const struct rest *rest = argument;

	return send(rest->connection, rest->bytes, rest->len, MSG_NOSIGNAL) == (ssize_t)rest->len
		? 0
		: 1;
}

static void every_part_of_an_answer_must_be_of_one_process(void **state)
{
	static uint8_t answer[BELAY_PROBE_ANSWER_MAX];
	struct place *place = *state;
	struct belay_prober *prober = ask(place);
	int connection = accept_at(place->listener);
	struct belay_probe_request request;
	struct belay_probe_report report;
	struct rest rest = { .connection = connection };
	struct child child;
	ssize_t len;

	read_request(connection, &request);
	len = belay_probe_answer(&request, &place->self, answer, sizeof(answer));
	assert_true(len > 64);
	send_all(connection, answer, 64);
	rest.bytes = answer + 64;
	rest.len = (size_t)len - 64;
	child = child_start(body_sends, &rest);
	reap_well(&child);
	assert_int_equal(conclude(prober, NULL, &report, NULL), -ESTALE);
	assert_int_equal(report.error, BELAY_PROBE_ANOTHER_ANSWERED);
	assert_int_equal(report.answered_by, getpid());
	(void)close(connection);
}

static void a_descendant_that_is_gone_proves_nothing(void **state)
{
	static uint8_t answer[BELAY_PROBE_ANSWER_MAX];
	struct place *place = *state;
	struct belay_prober *prober = ask(place);
	int connection = accept_at(place->listener);
	struct belay_probe_request request;
	struct belay_probe_report report;
	struct rest rest = { .connection = connection, .bytes = answer };
	struct child child;

	read_request(connection, &request);
	rest.len = (size_t)belay_probe_answer(&request, &place->self, answer, sizeof(answer));
	child = child_start(body_sends, &rest);
	reap_well(&child);
	assert_int_equal(conclude(prober, NULL, &report, NULL), -ESTALE);
	assert_int_equal(report.error, BELAY_PROBE_ANOTHER_ANSWERED);
	assert_int_equal(report.answered_by, child.pid);
	(void)close(connection);
}

static int body_answers_and_ends(void *argument)
{
	const struct daemon *daemon = argument;
	struct belay_daemon self = daemon->place->self;
	int connection = accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC);

	self.pid = (uint32_t)(daemon->pid > 0 ? daemon->pid : getpid());
	return belay_probe_serve(connection, &self, 1, TEST_PLENTY_MS, NULL) == 1 ? 0 : 1;
}

/* A daemon that has a child of a certain number, when it is told which. */
static int body_has_a_child_of_number(void *argument)
{
	const int *pipes = argument;
	struct clone_args how = { .exit_signal = SIGCHLD };
	pid_t number, parent = getpid();
	long pid;

	if (read(pipes[0], &number, sizeof(number)) != (ssize_t)sizeof(number))
		return 1;
	how.set_tid = (uint64_t)(uintptr_t)&number;
	how.set_tid_size = 1;
	pid = syscall(SYS_clone3, &how, sizeof(how));
	if (pid == 0) {
		die_with(parent);
		_exit(body_sleeps(NULL));
	}
	if (write(pipes[3], pid > 0 ? "y" : "n", 1) != 1)
		return 1;
	(void)pause();
	return 0;
}

static void a_number_that_a_descendant_has_only_now_proves_nothing(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child victim, squatter;
	struct belay_probe_report report;
	struct belay_prober *prober;
	int pipes[4], grandchild = -EBADF;
	char answer;

	assert_return_code(pipe2(pipes, O_CLOEXEC), errno);
	assert_return_code(pipe2(pipes + 2, O_CLOEXEC), errno);
	victim = child_start(body_has_a_child_of_number, pipes);
	place->self = *record_of(place, &victim);
	prober = ask(place);
	daemon.pid = victim.pid;
	squatter = child_start(body_answers_and_ends, &daemon);
	reap_well(&squatter);
	assert_int_equal(write(pipes[1], &squatter.pid, sizeof(squatter.pid)), sizeof(squatter.pid));
	assert_int_equal(read(pipes[2], &answer, 1), 1);
	/* Others than root may not choose numbers: then nobody has it. */
	if (answer == 'y')
		grandchild = (int)syscall(SYS_pidfd_open, squatter.pid, 0);
	else
		print_message("clone3() with set_tid is not permitted here\n");
	assert_int_equal(conclude(prober, NULL, &report, NULL), -ESTALE);
	assert_int_equal(report.error, BELAY_PROBE_ANOTHER_ANSWERED);
	assert_int_equal(report.answered_by, squatter.pid);
	child_end(&victim);
	/* It goes with its parent, however early that was: it would hold our output open for ever. */
	if (grandchild >= 0)
		wait_readable(grandchild);
	(void)belay__close(grandchild);
	for (size_t i = 0; i < sizeof(pipes) / sizeof(*pipes); i++)
		(void)close(pipes[i]);
}

static void who_ends_behind_its_answer_is_not_there_any_more(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_answers_and_ends, &daemon);
	struct belay_probe_report report;
	struct belay_prober *prober;

	place->self = *record_of(place, &child);
	prober = ask(place);
	/* The answer lies there, whole, while its sender ends. */
	child_wait_end(&child);
	assert_int_equal(conclude(prober, NULL, &report, NULL), -ESRCH);
	assert_int_equal(report.error, BELAY_PROBE_ENDED);
	assert_int_equal(report.proved, TEST_ALL_PROOFS & ~(unsigned)BELAY_PROOF_STILL);
	reap_well(&child);
}

/* --- before anything is sent --- */

static void check_verify(const struct place *place, const struct belay_daemon *expected, int code,
	const char *name)
{
	struct belay_probe_report report;
	struct belay_error error;

	assert_int_equal(probe(place, expected, &report, &error), code);
	assert_int_equal(report.error, BELAY_PROBE_VERIFY_PID);
	assert_string_equal(belay_verify_error_name(report.verify), name);
	assert_string_equal(report.text, name);
	assert_int_equal(report.proved, (unsigned)BELAY_PROOF_ENDPOINT);
	assert_int_equal(report.answered_by, 0);
	assert_non_null(strstr(error.text, place->endpoint.path));
}

static void a_dead_process_is_not_found(void **state)
{
	struct place *place = *state;
	int code = 0;
	struct child child = child_start(body_ends, &code);
	const struct belay_daemon *record = record_of(place, &child);

	reap_well(&child);
	check_verify(place, record, -ESRCH, "NotFound");
}

static void a_recycled_pid_is_another_process(void **state)
{
	struct place *place = *state;
	struct belay_daemon record = place->self;

	record.start_ticks++;
	check_verify(place, &record, -ESTALE, "StartTimeMismatch");

	/* As a record of broker v1, which says no start time, tells it. */
	record.start_ticks = 0;
	record.blake3[0] ^= 1;
	record.sha256[0] ^= 1;
	check_verify(place, &record, -ESTALE, "ExecutableHashMismatch");
}

static void another_path_is_another_process_even_with_the_same_bytes(void **state)
{
	struct place *place = *state;
	struct belay_daemon record = place->self;

	(void)snprintf(record.exe_path, sizeof(record.exe_path), "/usr/bin/env");
	check_verify(place, &record, -ESTALE, "ExePathMismatch");
}

static void a_record_of_another_boot_is_of_nobody(void **state)
{
	struct place *place = *state;
	struct belay_daemon record = place->self;

	(void)snprintf(record.boot_id, sizeof(record.boot_id),
		"00000000-1111-2222-3333-444444444444");
	check_verify(place, &record, -ESTALE, "BootIdMismatch");
}

static void a_record_of_another_endpoint_is_refused_unseen(void **state)
{
	struct place *place = *state;
	struct pollfd visitor = { .fd = place->listener, .events = POLLIN };
	struct belay_daemon record = place->self;
	struct belay_probe_report report;
	struct belay_error error;

	record.pid = 0; /* verifying would say so */
	(void)snprintf(record.endpoint.namespace_id, sizeof(record.endpoint.namespace_id), "Shared");
	assert_int_equal(probe(place, &record, &report, &error), -ESTALE);
	assert_int_equal(report.error, BELAY_PROBE_ENDPOINT_MISMATCH);
	assert_non_null(strstr(error.text, "in namespace Shared"));
	assert_int_equal(report.proved, 0);
	assert_int_equal(poll(&visitor, 1, 0), 0);
}

static void check_endpoint(struct place *place, const char *path, enum belay_probe_error error,
	int code)
{
	struct belay_probe_report report;

	(void)snprintf(place->endpoint.path, sizeof(place->endpoint.path), "%s", path);
	place->self.endpoint = place->endpoint;
	assert_int_equal(probe(place, &place->self, &report, NULL), code);
	assert_int_equal(report.error, error);
	assert_int_equal(report.proved,
		(unsigned)BELAY_PROOF_ENDPOINT | (unsigned)BELAY_PROOF_PROCESS);
	assert_int_equal(conclude(ask(place), NULL, &report, NULL), code);
	assert_int_equal(report.error, error);
}

static void a_path_where_nobody_can_listen_says_so(void **state)
{
	struct place *place = *state;
	struct belay_endpoint endpoint = place->endpoint;
	char path[120];

	place->listener = belay__close(place->listener);
	check_endpoint(place, endpoint.path, BELAY_PROBE_CONNECT, -ECONNREFUSED);
	assert_return_code(unlink(endpoint.path), errno);
	check_endpoint(place, endpoint.path, BELAY_PROBE_CONNECT, -ENOENT);
	check_endpoint(place, "", BELAY_PROBE_CONNECT, -EINVAL);

	memset(path, 'x', sizeof(path));
	path[0] = '/';
	path[107] = '\0';
	check_endpoint(place, path, BELAY_PROBE_CONNECT, -ENOENT);
	path[107] = 'x';
	path[108] = '\0';
	check_endpoint(place, path, BELAY_PROBE_LOCAL_SOCKET_NAME, -ENAMETOOLONG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(a_process_proves_itself),
		PLACE_TEST(another_process_is_proved_and_can_be_ended),
		PLACE_TEST(a_record_from_its_sidecar_is_proved),
		PLACE_TEST(who_listens_is_told_and_not_required),
		PLACE_TEST(a_descendant_may_answer),
		PLACE_TEST(who_executes_another_program_meanwhile_is_not_there_any_more),
		PLACE_TEST(a_copied_record_proves_nothing),
		PLACE_TEST(an_ancestor_is_no_descendant),
		PLACE_TEST(every_part_of_an_answer_must_be_of_one_process),
		PLACE_TEST(a_descendant_that_is_gone_proves_nothing),
		PLACE_TEST(a_number_that_a_descendant_has_only_now_proves_nothing),
		PLACE_TEST(who_ends_behind_its_answer_is_not_there_any_more),
		PLACE_TEST(a_dead_process_is_not_found),
		PLACE_TEST(a_recycled_pid_is_another_process),
		PLACE_TEST(another_path_is_another_process_even_with_the_same_bytes),
		PLACE_TEST(a_record_of_another_boot_is_of_nobody),
		PLACE_TEST(a_record_of_another_endpoint_is_refused_unseen),
		PLACE_TEST(a_path_where_nobody_can_listen_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
