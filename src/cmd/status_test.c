#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

#define HEALTHY(name_, pid_)                                                                       \
	"{\"name\":\"" name_ "\",\"uid\":0,\"pid\":" pid_                                          \
	",\"state\":\"healthy\",\"status\":\"ok\",\"verdict\":null,\"evidence\":null,"             \
	"\"silent_s\":0.400000000,\"threshold_s\":5.000000000,\"beats\":118,\"payload\":7,"        \
	"\"watched_s\":12.0}\n"
#define STALLED                                                                                    \
	"{\"name\":\"lock\",\"pid\":50,\"state\":\"stalled\",\"verdict\":\"blocked\",\"silent_"    \
	"s\":65,"                                                                                  \
	"\"threshold_s\":5,\"beats\":3,\"payload\":0}\n"
#define STALLED_WITH_EVIDENCE                                                                      \
	"{\"name\":\"lock\",\"pid\":50,\"state\":\"stalled\",\"verdict\":\"blocked\","             \
	"\"evidence\":\"waits in futex\",\"silent_s\":65,\"threshold_s\":5}\n"
#define DEGRADED "{\"name\":\"slow\",\"pid\":51,\"state\":\"degraded\"}\n"
#define EXITED                                                                                     \
	"{\"name\":\"job\",\"pid\":52,\"state\":\"ended\",\"end\":\"exited\",\"code\":3,\"ended_"  \
	"s\":12.3}\n"
#define KILLED                                                                                     \
	"{\"name\":\"job\",\"pid\":53,\"state\":\"ended\",\"end\":\"killed\",\"code\":11,\"ended_" \
	"s\":1}\n"
#define MISSING "{\"name\":\"web\",\"state\":\"missing\",\"expected\":3,\"beating\":1}\n"
#define PAUSED                                                                                     \
	"{\"name\":\"db\",\"pid\":55,\"state\":\"healthy\",\"verdict\":null,\"silent_s\":3,"       \
	"\"threshold_s\":5,\"paused_until\":\"2026-01-02T03:04:05.678Z\"}\n"
#define STALLED_AND_PAUSED                                                                         \
	"{\"name\":\"lock\",\"pid\":50,\"state\":\"stalled\",\"verdict\":\"blocked\","             \
	"\"threshold_s\":5,\"paused_until\":\"2026-01-02T03:04:05.678Z\"}\n"
#define MISSING_AND_PAUSED                                                                         \
	"{\"name\":\"web\",\"state\":\"missing\",\"expected\":3,\"beating\":0,"                    \
	"\"paused_until\":\"2026-01-02T03:04:05.678Z\"}\n"
#define LATER "{\"name\":\"new\",\"pid\":54,\"state\":\"hibernating\"}\n"

static struct test_door door;
static struct test_run run;

/* The test's answer: packets of lines, one string each, then DONE. */
struct script {
	const char *const *lines;
	int code;
	const char *sentence;
};

static void answer(int fd, const struct belay__hello *hello, void *data)
{
	const struct script *script = data;

	(void)hello;
	for (size_t i = 0; script->lines != NULL && script->lines[i] != NULL; i++)
		test_send(fd, BELAY__HELLO_LINES, 0, script->lines[i]);
	test_send(fd, BELAY__HELLO_DONE, script->code,
		script->sentence == NULL ? "" : script->sentence);
}

static void ask(const char *const *lines, int code, const char *const *words)
{
	struct script script = { .lines = lines, .code = code };
	struct test_answer how = { .answer = answer, .data = &script };

	test_run(&run, &door, &how, words);
}

static void rows_become_a_table_sorted_by_name(void **state)
{
	(void)state;

	ask(WORDS(HEALTHY("worker#10", "1") HEALTHY("worker#2", "20"), HEALTHY("worker#2", "3")), 0,
		WORDS("status"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.type, BELAY__HELLO_STATUS);
	assert_string_equal(run.hello.name, "");
	assert_string_equal(run.out,
		"NAME       STATE    PID  WATCHED  BEATS  PROGRESS  LAST BEAT  THRESHOLD  WHY\n"
		"worker#2   healthy  3    12s      118    7         0.4s ago   5.0s\n"
		"worker#2   healthy  20   12s      118    7         0.4s ago   5.0s\n"
		"worker#10  healthy  1    12s      118    7         0.4s ago   5.0s\n");
}

static void states_are_explained(void **state)
{
	static const struct {
		const char *line, *wanted;
	} rows[] = {
		{ STALLED, "lock  stalled  50   -        3      0         1m05s ago  5.0s       blocked\n" },
		{ STALLED_WITH_EVIDENCE, "blocked\n      why: waits in futex\n" },
		{ EXITED, "exited 3, 12s ago\n" },
		{ KILLED, "killed by SIGSEGV (11), 1.0s ago\n" },
		{ MISSING, "1 of 3 beat\n" },
		{ PAUSED, "5.0s       paused until 2026-01-02T03:04:05.678Z\n" },
		{ STALLED_AND_PAUSED,
			"5.0s       blocked, paused until 2026-01-02T03:04:05.678Z\n" },
		{ MISSING_AND_PAUSED, "0 of 3 beat, paused until 2026-01-02T03:04:05.678Z\n" },
		{ LATER, "new   hibernating  54 " },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		ask(WORDS(rows[i].line), 0, WORDS("status"));
		assert_non_null(strstr(run.out, rows[i].wanted));
	}
}

static void json_rows_pass_through_as_they_came(void **state)
{
	(void)state;

	ask(WORDS(MISSING HEALTHY("b", "2"), HEALTHY("a", "1")), 0, WORDS("status", "--json"));
	assert_string_equal(run.out, HEALTHY("a", "1") HEALTHY("b", "2") MISSING);
	assert_int_equal(run.exit, 1);
}

static void the_exit_code_tells_how_they_are(void **state)
{
	static const struct {
		const char *line;
		int code, all, named;
	} rows[] = {
		{ HEALTHY("a", "1"), 0, 0, 0 },
		{ HEALTHY("a", "1") HEALTHY("b", "2"), 0, 0, 0 },
		{ HEALTHY("a", "1") DEGRADED, 0, 1, 1 },
		{ HEALTHY("a", "1") STALLED, 0, 1, 1 },
		{ HEALTHY("a", "1") LATER, 0, 1, 1 },
		{ HEALTHY("a", "1") MISSING, 0, 1, 1 },
		{ HEALTHY("a", "1") EXITED, 0, 0, 0 },
		{ EXITED, 0, 0, 3 },
		{ MISSING, 0, 1, 3 },
		{ EXITED MISSING, 0, 1, 3 },
		{ NULL, -ENOENT, 0, 4 },
		{ NULL, -EPERM, 77, 77 },
		{ NULL, -EPROTONOSUPPORT, 76, 76 },
		{ NULL, -EOPNOTSUPP, 76, 76 },
		{ NULL, -EIO, 1, 1 },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		ask(rows[i].line == NULL ? NULL : WORDS(rows[i].line), rows[i].code,
			WORDS("status"));
		assert_int_equal(run.exit, rows[i].all);
		ask(rows[i].line == NULL ? NULL : WORDS(rows[i].line), rows[i].code,
			WORDS("status", "a*"));
		assert_int_equal(run.exit, rows[i].named);
		assert_string_equal(run.hello.name, "a*");
	}
}

static void nobody_at_all_is_no_failure_but_worth_a_word(void **state)
{
	(void)state;

	ask(NULL, -ENOENT, WORDS("status"));
	assert_string_equal(run.out, "");
	assert_string_equal(run.err, "belay: nobody beats yet; try: belay beat demo --of $$\n");
	ask(NULL, -ENOENT, WORDS("status", "ghost"));
	assert_non_null(strstr(run.err, "knows nobody called ghost"));
}

static void the_observers_sentence_is_passed_on_without_its_control_characters(void **state)
{
	struct script script = { .code = -EPERM, .sentence = "not \033[2Jyou" };
	struct test_answer how = { .answer = answer, .data = &script };
	(void)state;

	test_run(&run, &door, &how, WORDS("status"));
	assert_non_null(strstr(run.err, "says: not ?[2Jyou\n"));
}

static void names_cannot_steer_the_terminal(void **state)
{
	(void)state;

	ask(WORDS("{\"name\":\"a\\u001b[2J\\u009b\",\"state\":\"stalled\",\"verdict\":\"\\u0007\"}"
		  "\n"),
		0, WORDS("status"));
	assert_null(strchr(run.out, '\033'));
	assert_null(strchr(run.out, '\a'));
	assert_null(strstr(run.out, "\xc2\x9b"));
	assert_non_null(strstr(run.out, "a?[2J?"));
}

static void counters_are_printed_as_they_are_sent(void **state)
{
	static const char line[] = "{\"beats_total\":12,\"decode_errors_total\":{\"kind=\\\"bad_"
				   "magic\\\"\":0,\"kind=\\\"bad_crc\\\"\":3},\"uptime\":7}\n";
	(void)state;

	ask(WORDS(line), 0, WORDS("status", "--counters"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.type, BELAY__HELLO_COUNTERS);
	assert_string_equal(run.out,
		"beats_total 12\ndecode_errors_total{kind=\"bad_magic\"} 0\n"
		"decode_errors_total{kind=\"bad_crc\"} 3\nuptime 7\n");
	ask(WORDS(line), 0, WORDS("status", "--counters", "--json"));
	assert_string_equal(run.out, line);
	ask(WORDS("{\"a\":\"b\"}\n"), 0, WORDS("status", "--counters"));
	assert_int_equal(run.exit, 76);
	ask(WORDS("[1]\n"), 0, WORDS("status", "--counters"));
	assert_int_equal(run.exit, 76);
}

static void a_wrong_line_of_words_is_told(void **state)
{
	static const char *const lines[][4] = {
		{ "status", "--jason" },
		{ "status", "a", "b" },
		{ "status", "--counters", "a" },
		{ "status", "--counters", "--live" },
		{ "status", "--socket" },
		{ "status", "12345678901234567890123456789012345678901234567890123456789012345678901234567890" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(lines); i++) {
		ask(NULL, 0, lines[i]);
		assert_int_equal(run.exit, 2);
		assert_int_equal(run.requests, 0);
		assert_non_null(strstr(run.err, "--help"));
	}
	ask(NULL, 0, lines[0]);
	assert_non_null(strstr(run.err, "did you mean --json?"));
	ask(NULL, 0, WORDS("status", "--quux"));
	assert_string_equal(run.err, "belay: unknown option --quux; see: belay status --help\n");
}

static void an_absent_observer_is_named_with_the_next_command(void **state)
{
	char wanted[256];
	(void)state;

	test_door_shut(&door);
	ask(NULL, 0, WORDS("status"));
	(void)snprintf(wanted, sizeof(wanted),
		"belay: no observer answers at %s (no such file); start one: belay observe\n",
		door.socket);
	assert_int_equal(run.exit, 69);
	assert_string_equal(run.err, wanted);

	test_door_file(&door, "beat.sock.hello", "");
	ask(NULL, 0, WORDS("status"));
	assert_int_equal(run.exit, 69);
	assert_non_null(strstr(run.err, "(nobody listens)"));
	test_door_shut(&door);
	test_door_reopen(&door);
}

static void a_door_that_is_locked_is_a_matter_of_permission(void **state)
{
	(void)state;

	if (geteuid() == 0)
		skip();
	assert_int_equal(chmod(door.door, 0), 0);
	ask(NULL, 0, WORDS("status"));
	assert_int_equal(chmod(door.door, 0600), 0);
	assert_int_equal(run.exit, 77);
}

/* --- what a lying observer may send --- */

static void send_bytes(int fd, const void *bytes, size_t len)
{
	(void)send(fd, bytes, len, MSG_NOSIGNAL);
}

static void send_garbage(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	send_bytes(fd, "garbage that is longer than a header", 36);
}

static void send_short(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	send_bytes(fd, "x", 1);
}

static void send_head(int fd, struct belay__hello_answer head, size_t text_len)
{
	static char packet[65536];

	memset(packet, 'x', sizeof(packet));
	memcpy(packet, &head, sizeof(head));
	send_bytes(fd, packet, sizeof(head) + text_len);
}

#define HEAD .magic = BELAY__HELLO_MAGIC, .version = BELAY__HELLO_VERSION

static void send_huge_len(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	send_head(fd,
		(struct belay__hello_answer){ HEAD, .part = BELAY__HELLO_LINES,
			.text_len = UINT32_MAX },
		8);
}

static void send_huge_packet(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	send_head(fd,
		(struct belay__hello_answer){ HEAD, .part = BELAY__HELLO_LINES, .text_len = 60000 },
		60000);
}

static void send_no_newline(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	test_send(fd, BELAY__HELLO_LINES, 0, "{\"name\":\"a\",\"state\":\"healthy\"}");
}

static void send_other_part(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	send_head(fd, (struct belay__hello_answer){ HEAD, .part = 3 }, 0);
}

static void send_positive_code(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	send_head(fd, (struct belay__hello_answer){ HEAD, .part = BELAY__HELLO_DONE, .code = 1 }, 0);
}

static void send_no_json(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	test_send(fd, BELAY__HELLO_LINES, 0, "{\"name\":\"a\",\"state\":\"healthy\"}\nhello\n");
}

static void send_no_row(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	test_send(fd, BELAY__HELLO_LINES, 0, "{\"name\":5}\n");
}

static void send_newer_version(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	send_head(fd,
		(struct belay__hello_answer){ .magic = BELAY__HELLO_MAGIC, .version = 9, .part = 1 },
		0);
}

static void hang_up(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	test_send(fd, BELAY__HELLO_LINES, 0, HEALTHY("a", "1"));
	(void)shutdown(fd, SHUT_RDWR);
}

static void say_nothing(int fd, const struct belay__hello *hello, void *data)
{
	(void)fd;
	(void)hello;
	(void)data;
}

static void send_without_end(int fd, const struct belay__hello *hello, void *data)
{
	struct belay__hello_answer head = { HEAD, .part = BELAY__HELLO_LINES };
	static char packet[BELAY__HELLO_PACKET_MAX];
	static const char line[] = "{\"name\":\"a\",\"state\":\"healthy\",\"padding\":\"";
	size_t len = sizeof(packet) - sizeof(head);

	(void)hello;
	(void)data;
	head.text_len = (uint32_t)len;
	memset(packet, 'x', sizeof(packet));
	memcpy(packet, &head, sizeof(head));
	memcpy(packet + sizeof(head), line, sizeof(line) - 1);
	memcpy(packet + sizeof(packet) - 3, "\"}\n", 3);
	while (send(fd, packet, sizeof(packet), MSG_NOSIGNAL) > 0)
		;
}

static void lies_are_refused_in_time(void **state)
{
	static const struct {
		void (*answer)(int fd, const struct belay__hello *hello, void *data);
		int exit;
		const char *wanted;
	} rows[] = {
		{ send_garbage, 76, "is no observer" },
		{ send_short, 76, "is no observer" },
		{ send_huge_len, 76, "is no observer" },
		{ send_huge_packet, 76, "is no observer" },
		{ send_no_newline, 76, "is no observer" },
		{ send_other_part, 76, "is no observer" },
		{ send_positive_code, 76, "is no observer" },
		{ send_no_json, 76, "no row of a status" },
		{ send_no_row, 76, "no row of a status" },
		{ send_newer_version, 76, "speaks version 9" },
		{ send_without_end, 76, "has no end" },
		{ hang_up, 69, "hung up" },
		{ say_nothing, 69, "does not answer" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		struct test_answer how = { .answer = rows[i].answer };
		uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC);

		test_run(&run, &door, &how, WORDS("status"));
		assert_int_equal(run.exit, rows[i].exit);
		assert_non_null(strstr(run.err, rows[i].wanted));
		assert_string_equal(run.out, "");
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) - start_ns < 20 * BELAY__NS_PER_S);
	}
}

/* --- standard output --- */

static void a_full_disk_and_a_closed_pipe_are_told(void **state)
{
	struct script script = { .lines = WORDS(HEALTHY("a", "1")) };
	struct test_answer how = { .answer = answer, .data = &script };
	int ends[2];
	(void)state;

	how.out_fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
	test_run(&run, &door, &how, WORDS("status"));
	(void)belay__close(how.out_fd);
	assert_int_equal(run.exit, 1);
	assert_string_equal(run.err,
		"belay: cannot write to standard output: No space left on device\n");

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	(void)belay__close(ends[0]);
	how.out_fd = ends[1];
	test_run(&run, &door, &how, WORDS("status", "--json"));
	assert_int_equal(run.exit, 1);
	assert_string_equal(run.err, "belay: cannot write to standard output: Broken pipe\n");
	test_run(&run, &door, &how, WORDS("version"));
	assert_int_equal(run.exit, 1);
	(void)belay__close(ends[1]);
}

/* --- live --- */

struct life {
	unsigned asked, until;
};

static void answer_until(int fd, const struct belay__hello *hello, void *data)
{
	struct life *life = data;

	(void)hello;
	test_send(fd, BELAY__HELLO_LINES, 0, HEALTHY("a", "1"));
	test_send(fd, BELAY__HELLO_DONE, 0, "");
	if (++life->asked == life->until)
		(void)kill(test_child(), SIGINT);
}

static void live_asks_again_until_interrupted(void **state)
{
	struct life life = { .until = 2 };
	struct test_answer how = { .answer = answer_until, .data = &life };
	const char *first;
	(void)state;

	test_run(&run, &door, &how, WORDS("status", "--live"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(life.asked, 2);
	first = strstr(run.out, "NAME");
	assert_non_null(first);
	assert_non_null(strstr(first + 1, "NAME"));
	assert_null(strchr(run.out, '\033'));
}

static void live_draws_in_place_on_a_terminal(void **state)
{
	struct life life = { .until = 2 };
	struct test_answer how = { .answer = answer_until, .data = &life };
	_cleanup_close_ int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave = -EBADF;
	char drawn[4096];
	ssize_t n, len = 0;
	(void)state;

	assert_true(terminal >= 0 && grantpt(terminal) == 0 && unlockpt(terminal) == 0);
	slave = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(slave >= 0);
	how.out_fd = slave;
	test_run(&run, &door, &how, WORDS("status", "--live"));
	assert_int_equal(run.exit, 0);
	/* The kernel hands over what was drawn piece by piece; with nobody left to draw, reading ends with an error. */
	slave = belay__close(slave);
	while ((n = read(terminal, drawn + len, sizeof(drawn) - 1 - (size_t)len)) > 0)
		len += n;
	drawn[len] = '\0';
	assert_non_null(strstr(drawn, "\033[2A\r\033[J"));
	assert_true(len > 5 && memcmp(drawn + len - 5, "\033[?7h", 5) == 0);
}

static void live_needs_an_observer_to_begin_with(void **state)
{
	(void)state;

	test_door_shut(&door);
	ask(NULL, 0, WORDS("status", "--live"));
	assert_int_equal(run.exit, 69);
	test_door_reopen(&door);
}

static int set_up(void **state)
{
	(void)state;
	test_door_open(&door);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_door_done(&door);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_become_a_table_sorted_by_name),
		cmocka_unit_test(states_are_explained),
		cmocka_unit_test(json_rows_pass_through_as_they_came),
		cmocka_unit_test(the_exit_code_tells_how_they_are),
		cmocka_unit_test(nobody_at_all_is_no_failure_but_worth_a_word),
		cmocka_unit_test(the_observers_sentence_is_passed_on_without_its_control_characters),
		cmocka_unit_test(names_cannot_steer_the_terminal),
		cmocka_unit_test(counters_are_printed_as_they_are_sent),
		cmocka_unit_test(a_wrong_line_of_words_is_told),
		cmocka_unit_test(an_absent_observer_is_named_with_the_next_command),
		cmocka_unit_test(a_door_that_is_locked_is_a_matter_of_permission),
		cmocka_unit_test(lies_are_refused_in_time),
		cmocka_unit_test(a_full_disk_and_a_closed_pipe_are_told),
		cmocka_unit_test(live_asks_again_until_interrupted),
		cmocka_unit_test(live_draws_in_place_on_a_terminal),
		cmocka_unit_test(live_needs_an_observer_to_begin_with),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
