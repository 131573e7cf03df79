#include "observe/alerts.h"

#include <setjmp.h>
#include <stdarg.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "export/metrics_table.h"
#include "observe/acting.h"
#include "observe/alert_lines.h"
#include "observe/problems.h"

#define S         BELAY__NS_PER_S
#define HOUR      (3600 * S)
#define WITHIN_NS (30 * S)

/* --- time that passes when a test says so: the program is linked with --wrap --- */

static uint64_t passed_ns;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	static const uint64_t began_ns = 1000 * S;

	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, ret_now);
	*ret_now = belay__timespec(began_ns + passed_ns);
	return 0;
}

static uint64_t real_ns(void)
{
	struct timespec now;

	(void)__real_clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

/* --- a house: the alerts, and a script that they are handed to --- */

static struct {
	struct belay__loop *loop;
	struct belay__observe_options options;
	struct belay__alerts *alerts;
	char directory[32];
	int fds, answers;
	struct belay__msg_planned answer;
	char done[256]; /* "7 8 ": the alerts that nobody has to keep any more */
	uint64_t seq;   /* of the next alert; 0: they have none */
	char open[256]; /* "stall web 1000, " */
} house;

static const char *path_of(const char *name)
{
	static char paths[4][64];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", house.directory, name);
	return path;
}

static void write_file(const char *name, const char *text, mode_t mode)
{
	_cleanup_close_ int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, text, strlen(text)), 0);
}

static const char *file(const char *name)
{
	static char text[512 * 1024];
	ssize_t n = belay__read_file(AT_FDCWD, path_of(name), text, sizeof(text));

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void note_answer(void *data, const struct belay__msg_planned *planned)
{
	assert_ptr_equal(data, &house);
	house.answer = *planned;
	house.answers++;
}

static void note_done(void *data, uint64_t seq)
{
	size_t len = strlen(house.done);

	assert_ptr_equal(data, &house);
	(void)snprintf(house.done + len, sizeof(house.done) - len, "%llu ", (unsigned long long)seq);
}

static void assert_done(const char *expected)
{
	assert_string_equal(house.done, expected);
	house.done[0] = '\0';
}

static void note_open(void *data, const struct belay__msg_open *open)
{
	size_t len = strlen(house.open);

	assert_ptr_equal(data, &house);
	(void)snprintf(house.open + len, sizeof(house.open) - len, "%s %s %u, ",
		belay__alert_word(open->kind), open->name, open->uid);
}

static void assert_open(const char *expected)
{
	house.open[0] = '\0';
	belay__alerts_tell_open(house.alerts, note_open);
	assert_string_equal(house.open, expected);
}

/* What the alert command does besides writing its stdin to "told", a line "=N" behind each call. */
static void let_it(const char *script)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
		"#!/bin/sh\ncd %s\ncat >>told\necho \"=$BELAY_ALERTS\" >>told\n%s\n",
		house.directory, script);
	write_file("new", text, 0755);
	assert_int_equal(rename(path_of("new"), path_of("alert")), 0);
}

static void set_alert(void)
{
	(void)snprintf(house.options.alert, sizeof(house.options.alert), "/bin/sh %s/alert",
		house.directory);
}

static int open_house(void **state)
{
	(void)state;
	passed_ns = 0;
	house.fds = belay__fd_count();
	(void)strcpy(house.directory, "/tmp/belay-alerts-XXXXXX");
	if (mkdtemp(house.directory) == NULL || belay__loop_new(&house.loop) < 0)
		return -1;
	belay__observe_defaults(&house.options);
	house.answers = 0;
	set_alert();
	let_it("");
	house.seq = 0;
	house.done[0] = '\0';
	return belay__alerts_new(house.loop, &house.options,
		&(struct belay__alerts_ears){ note_answer, note_done, &house }, &house.alerts);
}

static int close_house(void **state)
{
	static const char *const names[] = { "told", "alert", "beats", "environment", "deadman" };
	(void)state;

	house.alerts = belay__alerts_free(house.alerts);
	house.loop = belay__loop_free(house.loop);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path_of(names[i]));
	if (rmdir(house.directory) < 0)
		return -1;
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		return -1;
	return belay__fd_count() == house.fds ? 0 : -1;
}

/* All that is due now is done. */
static void turn(void)
{
	while (belay__loop_turn(house.loop, 0) > 0)
		;
}

static void pass(uint64_t ns)
{
	turn();
	passed_ns += ns;
	turn();
}

static uint64_t count_of(enum belay__metric metric)
{
	static struct belay__msg_runner_counts counts;

	counts.count = 0;
	belay__alerts_count(house.alerts, &counts);
	for (uint32_t i = 0; i < counts.count; i++)
		if (counts.counts[i].metric == metric)
			return counts.counts[i].value;
	fail();
	return 0;
}

/* Whether a child of ours has ended and waits for the loop, or was reaped by it. */
static bool is_quiet(void)
{
	siginfo_t info = { 0 };

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
}

/* The command that runs has ended, and its end was told. */
static void finish(void)
{
	uint64_t until_ns = real_ns() + WITHIN_NS;

	while (!is_quiet()) {
		assert_true(real_ns() < until_ns);
		assert_true(belay__loop_turn(house.loop, 20 * BELAY__NS_PER_MS) >= 0);
	}
}

static void add_line(enum belay__alert_kind kind, const char *name, const char *line,
	uint64_t request)
{
	static struct belay__msg_alert alert;

	alert = (struct belay__msg_alert){ .kind = (uint8_t)kind,
		.uid = 1000,
		.request = request,
		.seq = house.seq != 0 ? house.seq++ : 0,
		.len = (uint32_t)strlen(line) };
	(void)snprintf(alert.name, sizeof(alert.name), "%s", name);
	memcpy(alert.line, line, alert.len);
	belay__alerts_add(house.alerts, &alert);
	memset(&alert, 0xFF, sizeof(alert)); /* a copy was taken */
}

/* {"n":"NAME"} */
static void add(enum belay__alert_kind kind, const char *name)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "{\"n\":\"%s\"}", name);
	add_line(kind, name, line, 0);
}

#define TOLD(name, rest) "{\"n\":\"" name "\",\"uid\":1000,\"alert\":" rest "}\n"

static void assert_told(const char *expected)
{
	assert_string_equal(file("told"), expected);
	(void)unlink(path_of("told"));
}

/* The window is over, and what it held was taken. */
static void hand_over(void)
{
	pass(5 * S);
	finish();
}

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

/* --- problems --- */

static void a_problem_that_goes_on_is_told_again_after_four_hours(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	assert_told(TOLD("a", "\"stall\"") "=1\n");
	add(BELAY__ALERT_STALL, "a");
	pass(HOUR);
	add_line(BELAY__ALERT_STALL, "a", "{\"n\":\"newest\"}", 0);
	hand_over();
	assert_told("");
	pass(3 * HOUR);
	hand_over();
	assert_told("{\"n\":\"newest\",\"uid\":1000,\"alert\":\"stall\",\"repeats\":2,\"reminder\":"
		    "1}\n=1\n");
	pass(4 * HOUR);
	hand_over();
	assert_told("{\"n\":\"newest\",\"uid\":1000,\"alert\":\"stall\",\"reminder\":2}\n=1\n");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_STALL), 3);
}

static void problems_differ_by_kind_uid_and_name(void **state)
{
	struct belay__msg_alert other = { .kind = BELAY__ALERT_STALL,
		.uid = 1001,
		.name = "a",
		.len = 7,
		.line = "{\"u\":1}" };
	(void)state;

	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_STALL, "b");
	belay__alerts_add(house.alerts, &other);
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	assert_told(TOLD("a", "\"stall\"") TOLD("a", "\"crash\"")
			TOLD("b", "\"stall\"") "{\"u\":1,\"uid\":1001,\"alert\":\"stall\"}\n=4\n");
}

static void a_recovery_is_always_told_and_closes_its_problems(void **state)
{
	(void)state;
	add(BELAY__ALERT_RECOVERED, "unknown");
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_RECOVERED, "a");
	add(BELAY__ALERT_STALL, "a");
	hand_over();
	assert_told(TOLD("unknown", "\"recovered\",\"recovers\":[]") TOLD("a", "\"stall\"")
			TOLD("a", "\"crash\"") TOLD("a",
				"\"recovered\",\"repeats\":1,\"recovers\":[\"stall\","
				"\"crash\"]") TOLD("a", "\"stall\"") "=5\n");
	add(BELAY__ALERT_RECOVERED, "a");
	hand_over();
	assert_told(TOLD("a", "\"recovered\",\"recovers\":[\"stall\"]") "=1\n");
	/* Nothing is left to remind of. */
	pass(5 * HOUR);
	hand_over();
	assert_told("");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_RECOVERED), 3);
}

static void actions_are_told_with_the_problem_that_led_to_them(void **state)
{
	(void)state;
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_ACTION, "a");
	add(BELAY__ALERT_ACTION, "a");
	add(BELAY__ALERT_ACTION, "nobody");
	hand_over();
	assert_told(TOLD("a", "\"crash\"") TOLD("a", "\"action\"") TOLD("a", "\"action\"")
			TOLD("nobody", "\"action\"") "=4\n");
	/* A crash that was only counted, and so are its actions. */
	add(BELAY__ALERT_CRASH, "a");
	add(BELAY__ALERT_ACTION, "a");
	hand_over();
	assert_told("");
	pass(4 * HOUR);
	add(BELAY__ALERT_ACTION, "a");
	hand_over();
	assert_told(
		TOLD("a", "\"crash\",\"repeats\":1,\"reminder\":1") TOLD("a", "\"action\"") "=2\n");
	assert_int_equal(count_of(BELAY__METRIC_ALERT_ACTION), 4);
}

static void of_processes_that_share_a_name_the_first_action_is_told(void **state)
{
	(void)state;
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_STALL, "a");
	add(BELAY__ALERT_ACTION, "a");
	add(BELAY__ALERT_ACTION, "a");
	hand_over();
	assert_told(TOLD("a", "\"stall\"") TOLD("a", "\"action\"") "=2\n");
}

static void nobody_is_reminded_for_more_than_a_week(void **state)
{
	struct belay__telling telling;
	struct belay__problems *problems;
	const struct belay__msg_alert alert = { .kind = BELAY__ALERT_CRASH, .len = 2, .line = "{}" };
	uint64_t now_ns = S;
	size_t len;
	(void)state;

	assert_int_equal(belay__problems_new(&problems), 0);
	assert_true(belay__problems_due_ns(problems) == UINT64_MAX);
	assert_true(belay__problems_note(problems, &alert, now_ns, &telling));
	for (uint32_t i = 1; i <= BELAY__PROBLEM_REMINDERS_MAX; i++) {
		now_ns += 4 * HOUR;
		assert_true(belay__problems_due_ns(problems) == now_ns);
		assert_null(belay__problems_remind(problems, now_ns - 1, &telling, &len));
		assert_non_null(belay__problems_remind(problems, now_ns, &telling, &len));
		assert_int_equal(telling.reminders, i);
		assert_null(belay__problems_remind(problems, now_ns, &telling, &len));
	}
	assert_null(belay__problems_remind(problems, now_ns + 4 * HOUR, &telling, &len));
	assert_int_equal(belay__problems_count(problems), 0);
	assert_true(belay__problems_note(problems, &alert, now_ns, &telling));
	assert_null(belay__problems_free(problems));
	assert_null(belay__problems_free(NULL));
}

static void the_problem_told_longest_ago_makes_room(void **state)
{
	struct belay__msg_alert alert = { .kind = BELAY__ALERT_STALL, .len = 2, .line = "{}" };
	struct belay__telling telling;
	struct belay__problems *problems;
	(void)state;

	assert_int_equal(belay__problems_new(&problems), 0);
	for (uint32_t i = 0; i <= BELAY__PROBLEMS_MAX; i++) {
		assert_int_equal(belay__problems_forgotten(problems), 0);
		alert.uid = i;
		assert_true(belay__problems_note(problems, &alert, i, &telling));
	}
	assert_int_equal(belay__problems_count(problems), BELAY__PROBLEMS_MAX);
	assert_int_equal(belay__problems_forgotten(problems), 1);
	alert.uid = 1;
	assert_false(belay__problems_note(problems, &alert, 1, &telling));
	alert.uid = 0;
	assert_true(belay__problems_note(problems, &alert, 1, &telling));
	assert_null(belay__problems_free(problems));
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

/* --- the dead man's switch --- */

static void beat_every(uint64_t every_ns, const char *script)
{
	char text[256];

	(void)snprintf(text, sizeof(text), "cd %s; echo beat >>beats; %s\n", house.directory,
		script);
	write_file("deadman", text, 0644);
	(void)snprintf(house.options.deadman, sizeof(house.options.deadman), "/bin/sh %s/deadman",
		house.directory);
	house.options.deadman_every_ns = every_ns;
	belay__alerts_configured(house.alerts);
}

/* SECONDS of a gate that says every second that it is well. */
static void live(unsigned seconds)
{
	while (seconds-- > 0) {
		belay__alerts_gate_is_well(house.alerts);
		pass(S);
		finish();
	}
}

static void assert_beats(uint64_t beats, uint64_t skipped, uint64_t failures)
{
	struct belay__deadman_counts counts = belay__alerts_deadman_counts(house.alerts);

	assert_int_equal(counts.beats, beats);
	assert_int_equal(counts.skipped, skipped);
	assert_int_equal(counts.failures, failures);
}

static void beats_are_made_while_the_gate_is_well(void **state)
{
	(void)state;
	beat_every(60 * S, "");
	pass(120 * S);
	finish();
	assert_beats(0, 0, 0);
	live(59);
	assert_beats(1, 0, 0);
	live(1);
	assert_beats(2, 0, 0);
	/* Three seconds are allowed. */
	live(57);
	belay__alerts_gate_is_well(house.alerts);
	pass(2 * S + S / 2);
	assert_true(is_quiet());
	pass(S / 2);
	finish();
	assert_beats(3, 0, 0);
	/* More are not. */
	live(56);
	pass(S - 1);
	belay__alerts_gate_is_well(house.alerts);
	pass(3 * S + 1);
	finish();
	assert_beats(3, 1, 0);
	live(60);
	assert_beats(4, 1, 0);
	assert_string_equal(file("beats"), "beat\nbeat\nbeat\nbeat\n");
}

static void a_beat_is_not_made_for_a_time_in_which_we_were_late(void **state)
{
	(void)state;
	beat_every(10 * S, "");
	live(1);
	assert_beats(1, 0, 0);
	/* Somebody stopped us: the gate goes on, its messages are read behind the timers. */
	passed_ns += 35 * S;
	belay__alerts_gate_is_well(house.alerts);
	turn();
	finish();
	/* 10 and 20 were missed, 30 is too late; 40 is in time again. */
	assert_beats(1, 3, 0);
	live(5);
	assert_beats(2, 3, 0);
}

static void one_beat_runs_at_a_time_and_not_for_ever(void **state)
{
	(void)state;
	beat_every(60 * S, "sleep 1000");
	belay__alerts_gate_is_well(house.alerts);
	pass(0);
	pass(29 * S);
	assert_beats(0, 0, 0);
	pass(2 * S);
	finish();
	assert_beats(0, 0, 1);
	/* The time of one that comes every two seconds is over when the next is due. */
	beat_every(2 * S, "sleep 1000");
	belay__alerts_gate_is_well(house.alerts);
	pass(0);
	pass(2 * S + S / 2);
	finish();
	assert_true(belay__alerts_deadman_counts(house.alerts).failures == 2);
	assert_true(belay__alerts_deadman_counts(house.alerts).skipped >= 1);
	house.options.deadman[0] = '\0';
	belay__alerts_configured(house.alerts);
	live(10);
	assert_int_equal(belay__alerts_deadman_counts(house.alerts).beats, 0);
}

static void a_beat_that_fails_is_counted_and_the_next_is_made_in_time(void **state)
{
	(void)state;
	beat_every(10 * S, "exit 1");
	live(11);
	assert_beats(0, 0, 2);
	write_file("deadman", "exit 0\n", 0644);
	live(10);
	assert_beats(1, 0, 2);
}

static void what_runs_is_let_go_of_in_the_end(void **state)
{
	(void)state;
	let_it("");
	beat_every(10 * S, "");
	belay__alerts_gate_is_well(house.alerts);
	add(BELAY__ALERT_STALL, "a");
	pass(5 * S);
	house.alerts = belay__alerts_free(house.alerts);
	assert_null(belay__alerts_free(NULL));
	while (waitpid(-1, NULL, 0) > 0)
		;
	assert_told(TOLD("a", "\"stall\"") "=1\n");
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
		TEST(a_problem_that_goes_on_is_told_again_after_four_hours),
		TEST(problems_differ_by_kind_uid_and_name),
		TEST(a_recovery_is_always_told_and_closes_its_problems),
		TEST(actions_are_told_with_the_problem_that_led_to_them),
		TEST(of_processes_that_share_a_name_the_first_action_is_told),
		TEST(nobody_is_reminded_for_more_than_a_week),
		TEST(the_problem_told_longest_ago_makes_room),
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
		TEST(beats_are_made_while_the_gate_is_well),
		TEST(a_beat_is_not_made_for_a_time_in_which_we_were_late),
		TEST(one_beat_runs_at_a_time_and_not_for_ever),
		TEST(a_beat_that_fails_is_counted_and_the_next_is_made_in_time),
		TEST(what_runs_is_let_go_of_in_the_end),
		TEST(an_alert_is_kept_until_the_command_has_taken_it),
		TEST(an_alert_that_is_not_told_is_not_kept),
		TEST(a_new_gate_is_told_what_is_open),
		TEST(what_waits_is_handed_over_in_the_end),
		TEST(what_a_call_was_given_is_not_handed_over_again_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
