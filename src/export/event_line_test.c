#include "export/event_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void line_of(const char *json, char *buffer, size_t size)
{
	struct belay__json event;
	struct belay__text text;

	assert_int_equal(belay__json_parse(json, strlen(json), &event, NULL), 0);
	belay__text_init(&text, buffer, size);
	belay__event_line(&event, &text);
}

#define WHO "\"name\":\"worker#3\",\"uid\":1000,\"pid\":123,\"start_ticks\":9"

struct row {
	const char *json, *wanted;
};

static void assert_lines(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char line[512];

		line_of(rows[i].json, line, sizeof(line));
		assert_string_equal(line, rows[i].wanted);
	}
}

static const struct row sentences[] = {
	{ "{\"event\":\"first-beat\"," WHO ",\"threshold_s\":5.000000000}",
		"worker#3 (pid 123) beats for the first time; may be silent for 5.0s" },
	{ "{\"event\":\"status\"," WHO ",\"from\":\"ok\",\"to\":\"degraded\"}",
		"worker#3 (pid 123) is degraded, was ok" },
	{ "{\"event\":\"stall\"," WHO ",\"verdict\":\"blocked\",\"evidence\":\"waits in "
	  "futex\",\"silent_s\":5.001,\"late_s\":0.001}",
		"worker#3 (pid 123) stalled: blocked, waits in futex; silent 5.0s, noticed "
		"1ms late" },
	{ "{\"event\":\"stall\"," WHO ",\"verdict\":\"silent\",\"evidence\":null,\"silent_s\":65}",
		"worker#3 (pid 123) stalled: silent; silent 1m05s" },
	{ "{\"event\":\"recovered\"," WHO ",\"silent_s\":7.2}",
		"worker#3 (pid 123) beats again after 7.2s of silence" },
	{ "{\"event\":\"end\"," WHO
	  ",\"end\":\"exited\",\"code\":3,\"core\":false,\"silent_s\":0.4}",
		"worker#3 (pid 123) exited 3; 0.4s after its last beat" },
	{ "{\"event\":\"end\"," WHO ",\"end\":\"killed\",\"code\":11,\"core\":true}",
		"worker#3 (pid 123) killed by SIGSEGV (11), core dumped" },
	{ "{\"event\":\"end\"," WHO ",\"end\":\"killed\",\"code\":11,\"crash\":\"SIGSEGV at 0x0\"}",
		"worker#3 (pid 123) killed by SIGSEGV (11): SIGSEGV at 0x0" },
	{ "{\"event\":\"end\"," WHO ",\"end\":\"unknown\",\"code\":0,\"while_down\":true}",
		"worker#3 (pid 123) ended, how is unknown while the observer was down" },
	{ "{\"event\":\"end\"," WHO ",\"end\":\"left\"}", "worker#3 (pid 123) left" },
	{ "{\"event\":\"end-status\"," WHO ",\"end\":\"exited\",\"code\":0}",
		"worker#3 (pid 123) exited 0" },
	{ "{\"event\":\"missing\",\"name\":\"web\",\"expected\":3,\"beating\":1}",
		"web is missing: 1 of 3 expected processes beat" },
	{ "{\"event\":\"complete\",\"name\":\"web\",\"expected\":3,\"beating\":3}",
		"web is complete: 3 of 3 expected processes beat" },
	{ "{\"event\":\"mass-stall\",\"name\":\"web\",\"uid\":7,\"expected\":300,"
	  "\"beating\":299}",
		"web stalled as a whole: 299 of 300 processes of uid 7 are silent; none of "
		"them is acted on" },
	{ "{\"event\":\"mass-stall-over\",\"name\":\"web\",\"uid\":7,\"expected\":14,"
	  "\"beating\":4}",
		"web is no longer stalled as a whole: 4 of 14 processes of uid 7 are "
		"silent" },
	{ "{\"event\":\"action\"," WHO
	  ",\"outcome\":\"failed\",\"step\":1,\"exit_code\":3,\"duration_s\":0.5,"
	  "\"as_root\":true,\"text\":\"restart db\"}",
		"worker#3 (pid 123) action failed: restart db, exit status 3, took 0.5s, "
		"as root" },
	{ "{\"event\":\"action\"," WHO ",\"outcome\":\"timed-out\",\"signal\":9}",
		"worker#3 (pid 123) action timed-out, signal 9" },
	{ "{\"event\":\"withheld\"," WHO
	  ",\"reason\":\"back-off\",\"wait_s\":4,\"text\":\"too soon\"}",
		"worker#3 (pid 123) action withheld: back-off, too soon; for 4.0s" },
	{ "{\"event\":\"evicted\"," WHO "}",
		"worker#3 (pid 123) is no longer tracked: the table was full and it had "
		"been silent long" },
	{ "{\"event\":\"refused\",\"reason\":\"bad_magic\",\"count\":12}",
		"12 frames refused: bad_magic" },
	{ "{\"event\":\"refused\",\"reason\":\"io\",\"error\":\"Bad address\"}",
		"1 frame refused: io (Bad address)" },
	{ "{\"event\":\"late\",\"late_s\":0.25}",
		"the observer was 0.2s late; every process is given that time" },
	{ "{\"event\":\"observer\",\"what\":\"started\",\"text\":\"version 0.1.0\"}",
		"observer started: version 0.1.0" },
};

static void each_event_has_its_sentence(void **state)
{
	(void)state;

	assert_lines(sentences, sizeof(sentences) / sizeof(sentences[0]));
}

static void strange_events_still_make_a_harmless_line(void **state)
{
	static const struct row rows[] = {
		{ "{}", "a process event without a kind" },
		{ "[1,2]", "a process event without a kind" },
		{ "{\"event\":7}", "a process event without a kind" },
		{ "{\"event\":\"solar-flare\"," WHO "}", "worker#3 (pid 123) event solar-flare" },
		{ "{\"event\":\"mass-stall\"," WHO "}",
			"worker#3 (pid 123) stalled as a whole; none of them is acted on" },
		{ "{\"event\":\"stall\"}", "a process stalled" },
		{ "{\"event\":\"stall\",\"pid\":9}", "pid 9 stalled" },
		{ "{\"event\":\"stall\",\"name\":\"a\\u001b[2J\\n\\u009b\"}", "a?[2J?? stalled" },
		{ "{\"event\":\"end\",\"name\":\"a\",\"end\":\"killed\",\"code\":\"x\"}",
			"a killed" },
		{ "{\"event\":\"recovered\",\"name\":\"a\",\"silent_s\":-1}",
			"a beats again after 0ms of silence" },
		{ "{\"event\":\"missing\",\"name\":\"a\",\"beating\":1}",
			"a is missing: 1 of those expected beat" },
	};
	(void)state;

	assert_lines(rows, sizeof(rows) / sizeof(rows[0]));
}

static void a_line_never_leaves_its_buffer(void **state)
{
	char line[16];
	(void)state;

	line_of("{\"event\":\"stall\"," WHO ",\"verdict\":\"blocked\",\"evidence\":\"waits\"}",
		line, sizeof(line));
	assert_string_equal(line, "worker#3 (pid 1");
}

static void members_are_read_only_when_they_are_what_they_should_be(void **state)
{
	static const char json[] = "{\"s\":\"going\",\"n\":1.5,\"huge\":1e300}";
	struct belay__json object;
	char string[3] = "x";
	uint64_t ns = 7;
	(void)state;

	assert_int_equal(belay__json_parse(json, sizeof(json) - 1, &object, NULL), 0);
	assert_false(belay__json_member_ns(&object, "s", &ns));
	assert_false(belay__json_member_ns(&object, "absent", &ns));
	assert_int_equal(ns, 7);
	assert_true(belay__json_member_ns(&object, "n", &ns));
	assert_int_equal(ns, 1500000000);
	assert_true(belay__json_member_ns(&object, "huge", &ns));
	assert_int_equal(ns, UINT64_C(1000000000) * 1000000000);

	assert_false(belay__json_member_text(&object, "n", string, sizeof(string)));
	assert_string_equal(string, "x");
	assert_true(belay__json_member_text(&object, "s", string, sizeof(string)));
	assert_string_equal(string, "go");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_event_has_its_sentence),
		cmocka_unit_test(strange_events_still_make_a_harmless_line),
		cmocka_unit_test(a_line_never_leaves_its_buffer),
		cmocka_unit_test(members_are_read_only_when_they_are_what_they_should_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
