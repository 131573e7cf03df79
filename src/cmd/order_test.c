/* The commands that give orders: pause, resume, act, alert. */

#include "cmd/order.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cmd/cmd.h"
#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

#define RUNS                                                                                       \
	"{\"name\":\"a\",\"pid\":7,\"would\":\"run\",\"reason\":null,\"ladder\":\"term 10s, "      \
	"kill\",\"run_as\":\"uid 5\",\"wait_s\":0.0,\"why\":\"nothing holds it back\"}\n"
#define WITHHELD                                                                                   \
	"{\"name\":\"b\",\"pid\":8,\"would\":\"withhold\",\"reason\":\"back-off\","                \
	"\"ladder\":\"kill\",\"run_as\":\"root\",\"wait_s\":4.0,\"why\":\"too soon\"}\n"
#define UNANSWERED "{\"code\":-7,\"text\":\"the answer is too long\"}\n"

static struct test_door door;
static struct test_run run;

struct script {
	const char *lines;
	int code;
	const char *sentence;
	const char *rows;
};

static const char *rows_of_status;

static void answer(int fd, const struct belay__hello *hello, void *data)
{
	const struct script *script = data;

	/* Whoever pauses asks first who beats. */
	if (hello->type == BELAY__HELLO_STATUS) {
		if (script->rows != NULL)
			test_send(fd, BELAY__HELLO_LINES, 0, script->rows);
		test_send(fd, BELAY__HELLO_DONE, 0, "");
		return;
	}
	if (script->lines != NULL)
		test_send(fd, BELAY__HELLO_LINES, 0, script->lines);
	test_send(fd, BELAY__HELLO_DONE, script->code, script->sentence);
}

static void order(const char *lines, int code, const char *sentence, const char *const *words)
{
	struct script script = { .lines = lines,
		.code = code,
		.sentence = sentence,
		.rows = rows_of_status };
	struct test_answer how = { .answer = answer, .data = &script };

	test_run(&run, &door, &how, words);
}

static void a_pause_carries_whom_and_how_long(void **state)
{
	static const struct {
		const char *words[5];
		uint64_t ms;
		const char *out;
	} rows[] = { { { "pause", "work*" }, 600000,
			     "work* is paused for 10m00s; sooner: belay resume 'work*'\n" },
		{ { "pause", "work*", "--for", "90s" }, 90000,
			"work* is paused for 1m30s; sooner: belay resume 'work*'\n" },
		{ { "pause", "--for=1.5s", "work*" }, 1500,
			"work* is paused for 1.5s; sooner: belay resume 'work*'\n" },
		{ { "pause", "work*", "--for", "31d" }, UINT64_C(2678400000),
			"work* is paused for 31d00h; sooner: belay resume 'work*'\n" } };
	(void)state;

	rows_of_status = "{\"name\":\"work#1\",\"pid\":7,\"state\":\"healthy\"}\n";
	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		order(NULL, 0, "", rows[i].words);
		assert_int_equal(run.exit, 0);
		assert_int_equal(run.requests, 2);
		assert_int_equal(run.hello.type, BELAY__HELLO_PAUSE);
		assert_int_equal(run.hello.value, rows[i].ms);
		assert_string_equal(run.hello.name, "work*");
		assert_string_equal(run.out, rows[i].out);
		assert_string_equal(run.err, "");
	}
	order(NULL, 0, "", WORDS("pause", "work*", "--json"));
	assert_string_equal(run.out,
		"{\"pattern\":\"work*\",\"for_s\":600.000000000,\"beating\":1}\n");
	rows_of_status = NULL;
}

static void a_pause_of_nobody_says_so(void **state)
{
	(void)state;

	rows_of_status = "{\"name\":\"web\",\"state\":\"missing\",\"expected\":1,\"beating\":0}\n"
			 "{\"name\":\"web\",\"pid\":7,\"state\":\"ended\"}\n";
	for (unsigned i = 0; i < 2; i++) {
		order(NULL, 0, "", WORDS("pause", "web"));
		assert_int_equal(run.exit, 0);
		assert_int_equal(run.hello.type, BELAY__HELLO_PAUSE);
		assert_string_equal(run.out, "web is paused for 10m00s; sooner: belay resume web\n");
		assert_non_null(strstr(run.err, "nobody of that name beats now"));
		rows_of_status = NULL;
	}
	order(NULL, 0, "", WORDS("pause", "web", "--json"));
	assert_string_equal(run.out,
		"{\"pattern\":\"web\",\"for_s\":600.000000000,\"beating\":0}\n");
}

static void a_resume_carries_whom(void **state)
{
	(void)state;

	order(NULL, 0, "", WORDS("resume", "work*"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.type, BELAY__HELLO_RESUME);
	assert_string_equal(run.hello.name, "work*");
	assert_string_equal(run.out, "work* is watched again\n");
	order(NULL, 0, "", WORDS("resume", "work*", "--json"));
	assert_string_equal(run.out, "{\"pattern\":\"work*\",\"for_s\":null}\n");
}

static void what_would_be_done_is_said_with_its_reason(void **state)
{
	(void)state;

	order(RUNS, 0, "", WORDS("act", "*", "--dry-run"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.type, BELAY__HELLO_ACT);
	assert_int_equal(run.hello.flags, 0);
	assert_string_equal(run.hello.name, "*");
	assert_string_equal(run.out,
		"a (pid 7) would run: term 10s, kill, as uid 5\n"
		"      why: nothing holds it back\n");

	order(RUNS WITHHELD, 0, "", WORDS("act", "*", "--dry-run"));
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.out,
		"b (pid 8) would be withheld: back-off, for 4.0s\n      why: too soon\n"));

	order(UNANSWERED, 0, "", WORDS("act", "*", "--dry-run"));
	assert_int_equal(run.exit, 1);
	assert_non_null(strstr(run.out, "why: the answer is too long\n"));

	order(RUNS WITHHELD, 0, "", WORDS("act", "*", "--dry-run", "--json"));
	assert_string_equal(run.out, RUNS WITHHELD);
	assert_int_equal(run.exit, 1);
}

static void now_is_another_flag(void **state)
{
	(void)state;

	order(RUNS, 0, "", WORDS("act", "7", "--now"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.flags, BELAY__HELLO_DO);
	assert_non_null(strstr(run.out, "a (pid 7) runs: term 10s, kill, as uid 5\n"));
}

static void a_test_of_alerts_says_how_it_went(void **state)
{
	(void)state;

	order(NULL, 0, "", WORDS("alert", "test"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.type, BELAY__HELLO_ALERT_TEST);
	assert_string_equal(run.out, "the alert command took the test and succeeded\n");
	order(NULL, 0, "", WORDS("alert", "test", "--json"));
	assert_string_equal(run.out, "{\"works\":true,\"text\":\"\"}\n");

	order(NULL, -EIO, "it exited 3", WORDS("alert", "test"));
	assert_int_equal(run.exit, 1);
	assert_string_equal(run.out, "");
	assert_non_null(strstr(run.err, "says: it exited 3\n"));
	order(NULL, -ENOENT, "no alert command is configured", WORDS("alert", "test", "--json"));
	assert_int_equal(run.exit, 1);
	assert_int_equal(strncmp(run.out, "{\"works\":false,\"text\":\"", 23), 0);
}

static void what_the_observer_refuses_has_its_code_and_sentence(void **state)
{
	static const struct {
		const char *words[4];
		int code, exit;
	} rows[] = {
		{ { "pause", "a" }, -ENOSPC, 1 },
		{ { "pause", "a" }, -EINVAL, 1 },
		{ { "pause", "a" }, -EPERM, 77 },
		{ { "pause", "a" }, -EOPNOTSUPP, 76 },
		{ { "resume", "a" }, -ENOENT, 4 },
		{ { "act", "a", "--now" }, -ENOENT, 4 },
		{ { "act", "a", "--dry-run" }, -EAGAIN, 1 },
		{ { "act", "a", "--dry-run" }, -ETIMEDOUT, 1 },
		{ { "alert", "test" }, -EPERM, 77 },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		order(NULL, rows[i].code, "not so", rows[i].words);
		if (run.exit != rows[i].exit)
			fail_msg("row %zu: exit %d, %s", i, run.exit, run.err);
		assert_string_equal(run.out, "");
		assert_non_null(strstr(run.err, "says: not so\n"));
	}
}

static void lines_where_there_are_none_are_a_matter_of_protocol(void **state)
{
	(void)state;

	order("{}\n", 0, "", WORDS("pause", "a"));
	assert_int_equal(run.exit, 76);
	order("nonsense\n", 0, "", WORDS("act", "a", "--now"));
	assert_int_equal(run.exit, 76);
}

static void nobody_there_is_absent(void **state)
{
	(void)state;

	test_door_shut(&door);
	order(NULL, 0, "", WORDS("pause", "a"));
	assert_int_equal(run.exit, 69);
	order(NULL, 0, "", WORDS("alert", "test"));
	assert_int_equal(run.exit, 69);
	test_door_reopen(&door);
}

static void what_cannot_be_ordered_is_a_matter_of_usage(void **state)
{
	static const struct {
		const char *words[6], *says;
	} rows[] = {
		{ { "pause" }, "whom?" },
		{ { "resume" }, "whom?" },
		{ { "pause", "" }, "belay pause --help" },
		{ { "resume", "" }, "belay resume --help" },
		{ { "act", "", "--now" }, "belay act --help" },
		{ { "pause", "we b" }, "no name can match 'we b'" },
		{ { "pause", "we[b" }, "belay pause --help" },
		{ { "pause", "x/web" }, "no name can match" },
		{ { "pause", "a", "b" }, "belay pause --help" },
		{ { "pause", "a", "--for", "0" }, "--for" },
		{ { "pause", "a", "--for", "32d" }, "--for" },
		{ { "pause", "a", "--for", "10" }, "--for" },
		{ { "resume", "a", "--for", "10m" }, "--for" },
		{ { "resume", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
			"is no name" },
		{ { "act", "a" }, "--dry-run says what would be done and why, --now does it" },
		{ { "act", "a", "--dry-run", "--now" }, "one of two" },
		{ { "act", "--now" }, "on whom?" },
		{ { "alert" }, "belay alert test" },
		{ { "alert", "all" }, "belay alert test" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		order(NULL, 0, "", rows[i].words);
		if (run.exit != 2 || strstr(run.err, rows[i].says) == NULL)
			fail_msg("row %zu: exit %d, %s", i, run.exit, run.err);
		assert_int_equal(run.requests, 0);
	}
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
		cmocka_unit_test(a_pause_carries_whom_and_how_long),
		cmocka_unit_test(a_pause_of_nobody_says_so),
		cmocka_unit_test(a_resume_carries_whom),
		cmocka_unit_test(what_would_be_done_is_said_with_its_reason),
		cmocka_unit_test(now_is_another_flag),
		cmocka_unit_test(a_test_of_alerts_says_how_it_went),
		cmocka_unit_test(what_the_observer_refuses_has_its_code_and_sentence),
		cmocka_unit_test(lines_where_there_are_none_are_a_matter_of_protocol),
		cmocka_unit_test(nobody_there_is_absent),
		cmocka_unit_test(what_cannot_be_ordered_is_a_matter_of_usage),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
