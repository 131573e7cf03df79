/* Alerts as they are handed to a command: windows, failures, tests of it, and who keeps them until
 * then. */

#include "observe/alerts_testing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/alert_lines.h"

/* --- windows --- */

static void alerts_of_five_seconds_are_one_call(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	pass(3 * S);
	add(BELAY__ALERT_CRASH, "b");
	/* The window does not move. */
	pass(2 * S - 500 * BELAY__NS_PER_MS);
	assert_true(is_quiet());
	add(BELAY__ALERT_MISSING, "c");
	pass(500 * BELAY__NS_PER_MS);
	finish();
	assert_told(TOLD("a", "\"stall\"") TOLD("b", "\"crash\"") TOLD("c", "\"missing\"") "=3\n");
	pass(HOUR);
	assert_told("");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_STALL), 1);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_CRASH), 1);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_MISSING), 1);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_RECOVERED), 0);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_FAILURES), 0);
}

static void what_comes_during_a_call_waits_for_the_next_one(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	pass(5 * S);
	assert_false(is_quiet());
	add(BELAY__ALERT_STALL, "b");
	pass(S);
	finish();
	assert_told(TOLD("a", "\"stall\"") "=1\n");
	pass(4 * S);
	finish();
	assert_told(TOLD("b", "\"stall\"") "=1\n");
}

static void the_command_finds_a_clean_place(void **state)
{
	(void)state;
	assert_int_equal(setenv("HOME", "/nowhere", 1), 0);
	let_it("tr '\\0' '\\n' </proc/$$/environ | sort >environment;"
	       " cut -d' ' -f5 /proc/$$/stat >>environment; echo $$ >>environment;"
	       " (echo x >&0) 2>/dev/null && echo written >>environment;"
	       " (: </proc/self/fd/3) 2>/dev/null && echo inherited >>environment; exit 0");
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	{
		char expected[128];
		const char *is = file("environment");
		int group = 0, pid = 0;

		assert_int_equal(
			sscanf(is, "BELAY_ALERTS=1\nPATH=/usr/bin:/bin\n%d\n%d\n", &group, &pid), 2);
		(void)snprintf(expected, sizeof(expected),
			"BELAY_ALERTS=1\nPATH=/usr/bin:/bin\n%d\n%d\n", pid, pid);
		assert_string_equal(is, expected);
	}
}

static void without_a_command_nothing_is_kept(void **state)
{
	(void)state;
	house.options.alert[0] = '\0';
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	set_alert();
	belay__alerts_configured(house.alerts);
	add(BELAY__ALERT_STALL, "b");
	hand_over();
	assert_told(TOLD("b", "\"stall\"") "=1\n");

	/* What waits is forgotten with the command that it waited for. */
	add(BELAY__ALERT_STALL, "c");
	house.options.alert[0] = '\0';
	belay__alerts_configured(house.alerts);
	set_alert();
	belay__alerts_configured(house.alerts);
	hand_over();
	assert_told("");
	add(BELAY__ALERT_STALL, "b");
	hand_over();
	assert_told(TOLD("b", "\"stall\"") "=1\n");
}

/* --- failures --- */

static void a_call_that_failed_is_made_again_with_all_that_came(void **state)
{
	static const unsigned waits_s[] = { 5, 10, 20, 40, 80, 160, 300, 300 };
	(void)state;

	let_it("exit 3");
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	for (size_t i = 0; i < sizeof(waits_s) / sizeof(waits_s[0]); i++) {
		assert_told(TOLD("a", "\"stall\"") "=1\n");
		pass((waits_s[i] - 1) * S);
		assert_true(is_quiet());
		pass(S);
		finish();
	}
	assert_told(TOLD("a", "\"stall\"") "=1\n");
	add(BELAY__ALERT_CRASH, "b");
	let_it("");
	pass(300 * S);
	finish();
	assert_told(TOLD("a", "\"stall\"") TOLD("b", "\"crash\"") "=2\n");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_FAILURES), 9);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_STALL), 1);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_CRASH), 1);

	/* And it counts from five seconds again. */
	let_it("exit 1");
	add(BELAY__ALERT_CRASH, "c");
	hand_over();
	let_it("");
	pass(5 * S);
	finish();
	assert_told(TOLD("c", "\"crash\"") "=1\n" TOLD("c", "\"crash\"") "=1\n");
}

static void a_command_that_cannot_be_run_is_a_failure(void **state)
{
	(void)state;
	(void)strcpy(house.options.alert, "/does/not/exist");
	add(BELAY__ALERT_STALL, "a");
	pass(5 * S);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_FAILURES), 1);
	pass(5 * S);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_FAILURES), 2);
	set_alert();
	/* A new command need not wait for the old one's next try. */
	belay__alerts_configured(house.alerts);
	hand_over();
	assert_told(TOLD("a", "\"stall\"") "=1\n");
}

static void a_command_that_hangs_is_killed_after_thirty_seconds(void **state)
{
	(void)state;
	let_it("trap '' TERM; sleep 1000 & sleep 1000");
	add(BELAY__ALERT_STALL, "a");
	pass(5 * S);
	pass(29 * S);
	assert_int_equal(count_of(BELAY__METRIC_ALERT_FAILURES), 0);
	pass(2 * S);
	finish();
	assert_int_equal(count_of(BELAY__METRIC_ALERT_FAILURES), 1);
	let_it("");
	(void)unlink(path_of("told"));
	pass(5 * S);
	finish();
	assert_told(TOLD("a", "\"stall\"") "=1\n");
}

static void nobody_is_reminded_while_calls_fail(void **state)
{
	(void)state;
	let_it("exit 1");
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	for (int i = 0; i < 50; i++) {
		pass(300 * S);
		finish();
	}
	(void)unlink(path_of("told"));
	let_it("");
	pass(300 * S);
	finish();
	assert_told(TOLD("a", "\"stall\"") "=1\n");
	/* Four hours are over. */
	hand_over();
	assert_told(TOLD("a", "\"stall\",\"reminder\":1") "=1\n");
}

static void what_does_not_fit_is_counted_and_said(void **state)
{
	static char line[1000];
	const char *told;
	unsigned lines = 0, dropped = 0, said = 0;
	(void)state;

	(void)snprintf(line, sizeof(line), "{\"n\":\"%0900d\"}", 1);
	for (int i = 0; i < 400; i++)
		add_line(BELAY__ALERT_RECOVERED, "a", line, 0);
	hand_over();
	told = file("told");
	for (const char *at = told; *at != '\0'; at++)
		lines += *at == '\n';
	told = strstr(told, "{\"event\":");
	assert_non_null(told);
	assert_int_equal(
		sscanf(told,
			"{\"event\":\"alerts-dropped\",\"alert\":\"dropped\",\"count\":%u}\n=%u\n",
			&dropped, &said),
		2);
	/* The line about them, and the script's own. */
	assert_int_equal(lines - 2 + dropped, 400);
	assert_int_equal(said, lines - 1);
	assert_true(dropped > 100 && dropped < 200);
	(void)unlink(path_of("told"));

	add(BELAY__ALERT_STALL, "b");
	hand_over();
	assert_told(TOLD("b", "\"stall\"") "=1\n");
}

static void what_is_not_one_line_of_json_is_not_handed_over(void **state)
{
	static const char *const lines[] = { "", "x", "[]", "\"a\"", "{\"a\":1", "{\"a\":1}{}",
		"{\"a\":\n1}", "{\"a\":1}\n", "{\"a\":1}\r" };
	struct belay__msg_alert alert = { .kind = BELAY__ALERT_KIND_COUNT, .len = 2, .line = "{}" };
	(void)state;

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		add_line(BELAY__ALERT_RECOVERED, "a", lines[i], 0);
	belay__alerts_add(house.alerts, &alert);
	alert.kind = BELAY__ALERT_RECOVERED;
	alert.len = sizeof(alert.line) + 1;
	belay__alerts_add(house.alerts, &alert);
	alert.len = 2;
	memset(alert.name, 'a', sizeof(alert.name));
	belay__alerts_add(house.alerts, &alert);
	hand_over();
	assert_told("{\"event\":\"alerts-dropped\",\"alert\":\"dropped\",\"count\":12}\n=1\n");
	add_line(BELAY__ALERT_RECOVERED, "a", "{ }", 0);
	add_line(BELAY__ALERT_RECOVERED, "a", "{\"a\":{}, \"uid\":5 } \t", 0);
	hand_over();
	assert_told("{\"uid\":1000,\"alert\":\"recovered\",\"recovers\":[]}\n"
		    "{\"a\":{}, \"uid\":5,\"alert\":\"recovered\",\"recovers\":[]}\n=2\n");
}

static void a_batch_ends_in_a_sealed_file(void **state)
{
	static struct belay__alert_lines lines;
	const struct belay__telling telling = { .kind = BELAY__ALERT_STALL };
	struct belay__alert_batch batch;
	_cleanup_close_ int fd = -EBADF;
	char text[64];
	(void)state;

	assert_true(belay__alert_lines_add(&lines, &telling, "{}", 2));
	fd = belay__alert_lines_file(&lines, &batch);
	assert_true(fd >= 0);
	assert_true(write(fd, "x", 1) < 0 && errno == EPERM);
	assert_true(ftruncate(fd, 0) < 0 && errno == EPERM);
	assert_int_equal(read(fd, text, sizeof(text)), strlen("{\"uid\":0,\"alert\":\"stall\"}\n"));
	assert_true(belay__alert_lines_add(&lines, &telling, "{\"b\":1}", 7));
	belay__alert_lines_remove(&lines, &batch);
	assert_int_equal(lines.count, 1);
	assert_int_equal(lines.kinds[BELAY__ALERT_STALL], 1);
	assert_memory_equal(lines.bytes, "{\"b\":1,\"uid\":0,\"alert\":\"stall\"}\n", lines.len);
}

/* --- tests of the command --- */

static void try_it(uint64_t request)
{
	add_line(BELAY__ALERT_TEST, "", "{\"event\":\"test\"}", request);
}

static void assert_answer(uint64_t request, int code, const char *part)
{
	assert_int_equal(house.answers, 1);
	assert_int_equal(house.answer.request, request);
	assert_int_equal(house.answer.code, code);
	assert_int_equal(house.answer.len, strlen(house.answer.text));
	assert_non_null(strstr(house.answer.text, part));
	house.answers = 0;
}

static void a_test_runs_at_once_and_is_answered(void **state)
{
	(void)state;
	try_it(7);
	assert_int_equal(house.answers, 0);
	finish();
	assert_answer(7, 0, "");
	assert_told("{\"event\":\"test\",\"alert\":\"test\"}\n=1\n");

	let_it("exit 3");
	try_it(8);
	finish();
	assert_answer(8, -EIO, "alert command exited with 3");
	let_it("kill -9 $$");
	try_it(9);
	finish();
	assert_answer(9, -EIO, "alert command was ended by signal 9");
	let_it("sleep 1000");
	try_it(10);
	pass(31 * S);
	finish();
	assert_answer(10, -ETIMEDOUT, "alert command took longer than 30s");
	(void)strcpy(house.options.alert, "/does/not/exist");
	try_it(11);
	assert_answer(11, -ENOENT, "/does/not/exist");
	house.options.alert[0] = '\0';
	try_it(12);
	assert_answer(12, -ENOENT, "--alert");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_FAILURES), 4);
}

static void a_test_waits_for_a_call_that_runs_and_is_alone(void **state)
{
	(void)state;
	let_it("sleep 0.01");
	add(BELAY__ALERT_STALL, "a");
	pass(5 * S);
	try_it(1);
	try_it(2);
	assert_answer(2, -EBUSY, "another test");
	add(BELAY__ALERT_STALL, "b");
	finish();
	assert_answer(1, 0, "");
	assert_told(TOLD("a", "\"stall\"") "=1\n{\"event\":\"test\",\"alert\":\"test\"}\n=1\n");
	hand_over();
	assert_told(TOLD("b", "\"stall\"") "=1\n");
}

static void a_test_that_works_is_a_reason_to_try_again(void **state)
{
	(void)state;
	let_it("exit 1");
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	(void)unlink(path_of("told"));
	let_it("");
	try_it(1);
	finish();
	turn();
	finish();
	assert_answer(1, 0, "");
	assert_told("{\"event\":\"test\",\"alert\":\"test\"}\n=1\n" TOLD("a", "\"stall\"") "=1\n");
}

/* --- who keeps alerts until they are handed over --- */

static void an_alert_is_kept_until_the_command_has_taken_it(void **state)
{
	(void)state;
	house.seq = 7;
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_CRASH, "b");
	assert_done("");
	let_it("exit 1");
	hand_over();
	assert_done("");
	let_it("");
	pass(5 * S);
	add(BELAY__ALERT_STALL, "c"); /* while it runs */
	finish();
	assert_done("7 8 ");
	hand_over();
	assert_done("9 ");
	/* A reminder is nobody's to keep. */
	pass(4 * HOUR);
	hand_over();
	assert_done("");
	(void)unlink(path_of("told"));
}

static void an_alert_that_is_not_told_is_not_kept(void **state)
{
	char line[1500];
	(void)state;

	house.seq = 7;
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_STALL,
		"a"); /* it is counted, and as long as that line waits it is kept, too */
	assert_done("");
	add_line(BELAY__ALERT_STALL, "b", "no object", 0);
	assert_done("9 ");
	(void)snprintf(line, sizeof(line), "{\"n\":\"%01400d\"}", 0);
	house.seq = 0;
	for (unsigned i = 0; i < BELAY__ALERT_BYTES_MAX / 1400; i++)
		add_line(BELAY__ALERT_RECOVERED, "c", line, 0);
	house.seq = 10;
	add_line(BELAY__ALERT_RECOVERED, "d", line, 0);
	assert_done("10 ");
	house.options.alert[0] = '\0';
	belay__alerts_configured(house.alerts);
	assert_done("7 8 ");
	add(BELAY__ALERT_STALL, "a");
	assert_done("11 ");
}

static void a_new_gate_is_told_what_is_open(void **state)
{
	(void)state;
	assert_open("");
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_ACTION, "a");
	add(BELAY__ALERT_MISSING, "b");
	assert_open("stall a 1000, missing b 1000, ");
	/* What nobody knows of is over all the same. */
	add(BELAY__ALERT_RECOVERED, "c");
	add(BELAY__ALERT_RECOVERED, "a");
	assert_open("missing b 1000, ");
	hand_over();
	assert_told(TOLD("a", "\"stall\"") TOLD("a", "\"action\"") TOLD("b", "\"missing\"")
			TOLD("c", "\"recovered\",\"recovers\":[]")
				TOLD("a", "\"recovered\",\"recovers\":[\"stall\"]") "=5\n");
}

static void what_waits_is_handed_over_in_the_end(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	belay__alerts_last_call(house.alerts);
	house.alerts = belay__alerts_free(house.alerts);
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_told(TOLD("a", "\"stall\"") "=1\n");
}

static void what_a_call_was_given_is_not_handed_over_again_in_the_end(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	pass(5 * S);
	add(BELAY__ALERT_STALL, "b");
	/* Both write to one file: one after the other. */
	while (strchr(file("told"), '=') == NULL)
		;
	belay__alerts_last_call(house.alerts);
	house.alerts = belay__alerts_free(house.alerts);
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_told(TOLD("a", "\"stall\"") "=1\n" TOLD("b", "\"stall\"") "=1\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_house, close_house)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(alerts_of_five_seconds_are_one_call),
		TEST(what_comes_during_a_call_waits_for_the_next_one),
		TEST(the_command_finds_a_clean_place),
		TEST(without_a_command_nothing_is_kept),
		TEST(a_call_that_failed_is_made_again_with_all_that_came),
		TEST(a_command_that_cannot_be_run_is_a_failure),
		TEST(a_command_that_hangs_is_killed_after_thirty_seconds),
		TEST(nobody_is_reminded_while_calls_fail),
		TEST(what_does_not_fit_is_counted_and_said),
		TEST(what_is_not_one_line_of_json_is_not_handed_over),
		TEST(a_batch_ends_in_a_sealed_file),
		TEST(a_test_runs_at_once_and_is_answered),
		TEST(a_test_waits_for_a_call_that_runs_and_is_alone),
		TEST(a_test_that_works_is_a_reason_to_try_again),
		TEST(an_alert_is_kept_until_the_command_has_taken_it),
		TEST(an_alert_that_is_not_told_is_not_kept),
		TEST(a_new_gate_is_told_what_is_open),
		TEST(what_waits_is_handed_over_in_the_end),
		TEST(what_a_call_was_given_is_not_handed_over_again_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
