#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "cmd/cmd.h"
#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static struct test_door door;
static struct test_run run;

#define ROLES "\"roles\":[{\"name\":\"gate\",\"pid\":1,\"restarts\":0}]"

/* Members of a SELF object; %s stands for the directory. */
static void answer(int fd, const struct belay__hello *hello, void *data)
{
	char line[2048], members[1024];

	assert_int_equal(hello->type, BELAY__HELLO_SELF);
	/* The formats are those of this file. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	(void)snprintf(members, sizeof(members), data, door.directory);
#pragma GCC diagnostic pop
	(void)snprintf(line, sizeof(line),
		"{\"version\":\"" BELAY_VERSION "\",\"uid\":%u,\"pid\":5,\"capacity\":16,%s}\n",
		(unsigned)geteuid(), members);
	test_send(fd, BELAY__HELLO_LINES, 0, line);
	test_send(fd, BELAY__HELLO_DONE, 0, "");
}

static void examine(const char *members, const char *const *words)
{
	struct test_answer how = { .answer = answer, .data = (void *)(uintptr_t)members };

	test_run(&run, &door, &how, words);
}

static void each_flaw_is_told_with_what_to_do(void **state)
{
	static const struct {
		const char *members, *wanted;
		int exit;
	} rows[] = {
		{ ROLES ",\"events_file\":\"%s/events\"", "ok    roles: all 1 run", 0 },
		{ ROLES ",\"events_file\":\"%s/events\"", "ok    events: kept in ", 0 },
		{ ROLES ",\"events_file\":\"%s/absent\"", "FAIL  events: ", 1 },
		{ ROLES ",\"events_file\":null", "WARN  events: events are not kept", 0 },
		{ ROLES ",\"events_file\":\"%s/events\",\"events_lost\":4",
			"WARN  events: 4 events could not be written", 0 },
		{ ROLES ",\"state_file\":null", "WARN  state: there is no state file", 0 },
		{ ROLES ",\"state_file\":\"%s/gone\"", "WARN  state: ", 0 },
		{ ROLES ",\"queue_frames\":11,\"tracked\":12",
			"WARN  queue: the socket holds 11 beats, but 12 processes", 0 },
		{ ROLES ",\"queue_frames\":11,\"tracked\":11",
			"ok    queue: the socket holds 11 beats, 11 processes", 0 },
		{ ROLES ",\"log_dropped\":2", "WARN  roles: 2 lines of its log", 0 },
		{ ROLES ",\"udp\":null", "ok    network: no beats of other hosts", 0 },
		{ ROLES, "ok    network: no beats of other hosts", 0 },
		{ ROLES ",\"udp\":{\"address\":\"[::]:7\",\"keys\":1,\"vouched\":true}",
			"ok    network: sealed beats at [::]:7, 1 key\n", 0 },
		{ ROLES ",\"udp\":{\"address\":\"127.0.0.1:7\",\"keys\":0,\"vouched\":false}",
			"WARN  network: every user of this host can forge beats at 127.0.0.1:7", 0 },
		{ ROLES ",\"udp\":{\"address\":\"10.0.0.1:7\",\"keys\":0,\"vouched\":false}",
			"WARN  network: anybody who reaches 10.0.0.1:7", 0 },
		{ ROLES ",\"udp\":{\"address\":\"127.0.0.1:7\",\"keys\":0,\"vouched\":true}",
			"WARN  network: forged beats at 127.0.0.1:7 can lead to commands", 0 },
		{ ROLES ",\"sandbox\":{\"system_calls\":88,\"landlock_abi\":7}",
			"ok    sandbox: the gate has 88 system calls, and of files only /proc", 0 },
		{ ROLES ",\"sandbox\":{\"system_calls\":88,\"landlock_abi\":0}",
			"WARN  sandbox: the gate has 88 system calls, and files are open to it", 0 },
		{ ROLES, "ok    sandbox: none is told", 0 },
		{ ROLES ",\"warnings\":[\"it \\u001b rains\"]",
			"WARN  observer: it warns: it ? rains", 0 },
		{ "\"roles\":[{\"name\":\"prober\",\"pid\":7,\"restarts\":3}]",
			"WARN  roles: the prober (pid 7) was restarted 3 times", 0 },
		{ "\"roles\":[{\"name\":\"prober\",\"pid\":0,\"restarts\":3}]",
			"FAIL  roles: the prober does not run", 1 },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		examine(rows[i].members, WORDS("doctor"));
		assert_int_equal(run.exit, rows[i].exit);
		assert_non_null(strstr(run.out, rows[i].wanted));
		if (strncmp(rows[i].wanted, "ok", 2) != 0 &&
			strstr(rows[i].wanted, "it warns") == NULL)
			assert_non_null(strstr(strstr(run.out, rows[i].wanted), "\n      -> "));
		assert_null(strchr(run.out, '\033'));
	}
}

static void a_directory_that_others_can_write_is_a_failure(void **state)
{
	(void)state;

	assert_int_equal(chmod(door.directory, 0777), 0);
	examine(ROLES, WORDS("doctor"));
	assert_int_equal(chmod(door.directory, 0700), 0);
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.out, "FAIL  directory: "));
	assert_non_null(strstr(run.out, "-> chmod 0700 "));
}

static void an_absent_observer_is_a_failure_and_all_else_is_still_examined(void **state)
{
	(void)state;

	test_door_shut(&door);
	examine(ROLES, WORDS("doctor"));
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.out, "FAIL  observer: no observer answers at "));
	assert_non_null(strstr(run.out, "kernel: pidfd_open: "));
	test_door_reopen(&door);
}

static void the_findings_are_one_json_object(void **state)
{
	struct belay__json object, findings, finding, value;
	size_t cursor = 0, count = 0;
	(void)state;

	examine(ROLES, WORDS("doctor", "--json"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(belay__json_parse(run.out, run.out_len, &object, NULL), 0);
	assert_int_equal(belay__json_member(&object, "schema", &value), 0);
	assert_int_equal(belay__json_member(&object, "findings", &findings), 0);
	for (; belay__json_next(&findings, &cursor, &finding) > 0; count++) {
		assert_int_equal(belay__json_member(&finding, "check", &value), 0);
		assert_int_equal(belay__json_member(&finding, "level", &value), 0);
		assert_int_equal(belay__json_member(&finding, "advice", &value), 0);
	}
	assert_true(count > 9);
}

static void answer_garbage(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	test_send(fd, BELAY__HELLO_LINES, 0, data);
	test_send(fd, BELAY__HELLO_DONE, 0, "");
}

static void what_makes_no_sense_is_a_failure(void **state)
{
	static const char *const lines[] = { "nonsense\n", "[]\n", "{}\n{}\n" };
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(lines); i++) {
		struct test_answer how = { .answer = answer_garbage,
			.data = (void *)(uintptr_t)lines[i] };

		test_run(&run, &door, &how, WORDS("doctor"));
		assert_int_equal(run.exit, 1);
		assert_non_null(strstr(run.out, "FAIL  observer: "));
	}
}

static int set_up(void **state)
{
	(void)state;
	test_door_open(&door);
	test_door_file(&door, "events", "");
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
		cmocka_unit_test(each_flaw_is_told_with_what_to_do),
		cmocka_unit_test(a_directory_that_others_can_write_is_a_failure),
		cmocka_unit_test(an_absent_observer_is_a_failure_and_all_else_is_still_examined),
		cmocka_unit_test(the_findings_are_one_json_object),
		cmocka_unit_test(what_makes_no_sense_is_a_failure),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
