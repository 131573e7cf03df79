#include "observe/event_json.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

static char line[BELAY__EVENT_LINE_MAX];
static struct belay__json object;
static uint64_t before_ns; /* CLOCK_MONOTONIC, before it was written */

/* Writes EVENT, which must be one line of valid JSON, into `line` and `object`. */
static void write_event(const struct belay_event *event, uint64_t count)
{
	struct belay__text text;

	belay__text_init(&text, line, sizeof(line));
	before_ns = belay__clock_ns(CLOCK_MONOTONIC);
	belay__event_write(event, 17, UINT64_C(1767323045678000000), count, &text);
	assert_false(text.overflowed);
	assert_int_equal(line[text.len - 1], '\n');
	assert_ptr_equal(strchr(line, '\n'), line + text.len - 1);
	assert_int_equal(belay__json_parse(line, text.len - 1, &object, NULL), 0);
	assert_int_equal(object.kind, BELAY__JSON_OBJECT);
}

static void assert_text(const char *key, const char *expected)
{
	struct belay__json value;
	char text[1024];

	if (belay__json_member(&object, key, &value) < 0)
		fail_msg("no %s in %s", key, line);
	assert_int_equal(belay__json_get_string(&value, text, sizeof(text)), 0);
	assert_string_equal(text, expected);
}

static void assert_number(const char *key, uint64_t expected)
{
	struct belay__json value;
	uint64_t number;

	if (belay__json_member(&object, key, &value) < 0)
		fail_msg("no %s in %s", key, line);
	assert_int_equal(belay__json_get_u64(&value, &number), 0);
	if (number != expected)
		fail_msg("%s is not %llu in %s", key, (unsigned long long)expected, line);
}

static void assert_seconds(const char *key, double expected)
{
	struct belay__json value;
	double number;

	if (belay__json_member(&object, key, &value) < 0)
		fail_msg("no %s in %s", key, line);
	assert_int_equal(belay__json_get_double(&value, &number), 0);
	assert_true(number > expected - 1e-6 && number < expected + 1e-6);
}

static void assert_flag(const char *key, bool expected)
{
	struct belay__json value;
	bool flag;

	if (belay__json_member(&object, key, &value) < 0)
		fail_msg("no %s in %s", key, line);
	assert_int_equal(belay__json_get_bool(&value, &flag), 0);
	assert_int_equal(flag, expected);
}

static void assert_absent(const char *key)
{
	struct belay__json value;

	assert_int_equal(belay__json_member(&object, key, &value), -ENOENT);
}

/* Lines carry the host's monotonic time, which all its observers share. */
static void assert_now(const char *key)
{
	struct belay__json value;
	uint64_t number;

	assert_int_equal(belay__json_member(&object, key, &value), 0);
	assert_int_equal(belay__json_get_u64(&value, &number), 0);
	assert_in_range(number, before_ns, belay__clock_ns(CLOCK_MONOTONIC));
}

static struct belay_event event_of(enum belay_event_kind kind)
{
	return (struct belay_event){ .kind = kind,
		.observer_ns = 123,
		.pid = 4711,
		.uid = 1000,
		.start_ticks = 99,
		.name = "worker#3",
		.origin = BELAY_KERNEL_ATTESTED,
		.verdict = "",
		.evidence = "" };
}

static void assert_head(const char *word)
{
	assert_number("seq", 17);
	assert_text("time", "2026-01-02T03:04:05.678Z");
	assert_now("mono_ns");
	assert_text("event", word);
	assert_text("name", "worker#3");
	assert_number("pid", 4711);
	assert_number("uid", 1000);
	assert_number("start_ticks", 99);
}

static void beats_have_a_line_only_when_they_change_something(void **state)
{
	struct belay_event event = event_of(BELAY_EVENT_BEAT);
	(void)state;

	assert_null(belay__event_word(&event));
	event.status = BELAY_DEGRADED;
	event.payload = 5;
	event.status_changed = true;
	write_event(&event, 1);
	assert_head("status");
	assert_text("status", "degraded");
	assert_number("payload", 5);
	assert_absent("silent_s");
	event.recovered = true;
	event.silent_ns = 1500000000;
	write_event(&event, 1);
	assert_head("recovered");
	assert_seconds("silent_s", 1.5);
	event.first = true;
	event.recovered = false;
	write_event(&event, 1);
	assert_head("first-beat");
	assert_text("origin", "kernel-attested");
}

static void a_stall_says_why_how_long_and_how_late(void **state)
{
	struct belay_event event = event_of(BELAY_EVENT_STALL);
	(void)state;

	event.verdict = "blocked";
	event.evidence = "waits in futex";
	event.silent_ns = 5000000001;
	event.threshold_ns = 5000000000;
	event.late_ns = 1;
	event.nonce = UINT64_MAX;
	write_event(&event, 1);
	assert_head("stall");
	assert_text("verdict", "blocked");
	assert_text("evidence", "waits in futex");
	assert_seconds("silent_s", 5.000000001);
	assert_seconds("threshold_s", 5);
	assert_seconds("late_s", 0.000000001);
	assert_number("nonce", UINT64_MAX);
	assert_text("status", "ok");
}

static void an_end_says_how_as_far_as_it_is_known(void **state)
{
	static const struct {
		enum belay_end end;
		const char *word;
		bool has_code, has_core;
	} rows[] = {
		{ BELAY_END_UNKNOWN, "unknown", false, false },
		{ BELAY_END_LEFT, "left", false, false },
		{ BELAY_END_EXITED, "exited", true, false },
		{ BELAY_END_KILLED, "killed", true, true },
	};
	static const enum belay_event_kind kinds[] = { BELAY_EVENT_END, BELAY_EVENT_END_STATUS };
	(void)state;

	for (unsigned i = 0; i < 8; i++) {
		struct belay_event event = event_of(kinds[i / 4]);

		event.end = rows[i % 4].end;
		event.code = rows[i % 4].has_code ? 11 : 0;
		event.core_dumped = rows[i % 4].has_core;
		event.while_down = i == 0;
		write_event(&event, 1);
		assert_head(i < 4 ? "end" : "end-status");
		assert_text("end", rows[i % 4].word);
		assert_flag("while_down", i == 0);
		if (rows[i % 4].has_code)
			assert_number("code", 11);
		else
			assert_absent("code");
		if (rows[i % 4].has_core)
			assert_flag("core", true);
	}
}

static void what_is_missing_is_told_in_numbers(void **state)
{
	struct belay_event event = { .kind = BELAY_EVENT_MISSING,
		.name = "web",
		.verdict = "",
		.evidence = "",
		.beating = 1,
		.expected = 3 };
	(void)state;

	write_event(&event, 1);
	assert_text("event", "missing");
	assert_text("name", "web");
	assert_number("expected", 3);
	assert_number("beating", 1);
	assert_absent("pid");
}

static void an_eviction_and_a_pause_have_their_lines(void **state)
{
	struct belay_event event = event_of(BELAY_EVENT_EVICTED);
	(void)state;

	write_event(&event, 1);
	assert_head("evicted");
	event = (struct belay_event){ .kind = BELAY_EVENT_LATE,
		.name = "",
		.verdict = "",
		.evidence = "",
		.late_ns = 250000000 };
	write_event(&event, 1);
	assert_text("event", "late");
	assert_seconds("late_s", 0.25);
	assert_absent("name");
	assert_absent("pid");
}

static void each_refusal_has_its_reason(void **state)
{
	struct {
		enum belay_event_kind kind;
		int code;
		struct belay_decode_error decode;
		const char *reason;
	} rows[] = {
		{ BELAY_EVENT_AUTH_FAILURE, -EPERM, { 0 }, "pid_mismatch" },
		{ BELAY_EVENT_AUTH_FAILURE, -ESRCH, { 0 }, "pid_unattested" },
		{ BELAY_EVENT_ORIGIN_CONFLICT, 0, { 0 }, "origin_conflict" },
		{ BELAY_EVENT_NAMESPACE_CONFLICT, 0, { 0 }, "namespace_conflict" },
		{ BELAY_EVENT_CTRL_TRUNCATED, -EBADMSG, { 0 }, "ctrl_truncated" },
		{ BELAY_EVENT_IO, -EPERM, { 0 }, "foreign_uid" },
		{ BELAY_EVENT_IO, -EIO, { 0 }, "io" },
		{ BELAY_EVENT_IO, -100000, { 0 }, "io" },
		{ BELAY_EVENT_DECODE, 0, { .class_ = BELAY_BAD_MAGIC }, "bad_magic" },
		{ BELAY_EVENT_DECODE, 0, { .class_ = BELAY_BAD_VERSION }, "bad_version" },
		{ BELAY_EVENT_DECODE, 0, { .class_ = BELAY_BAD_CRC, .crc_actual = UINT32_MAX },
			"bad_crc" },
		{ BELAY_EVENT_DECODE, 0, { .class_ = BELAY_BAD_STATUS, .status = 255 },
			"bad_status" },
		{ BELAY_EVENT_DECODE, 0, { .class_ = BELAY_STALL_ON_WIRE }, "stall_on_wire" },
		{ BELAY_EVENT_DECODE, 0, { .class_ = BELAY_BAD_PID, .pid = 1 }, "bad_pid" },
		{ BELAY_EVENT_DECODE, 0,
			{ .class_ = BELAY_BAD_TIMESTAMP, .timestamp_ns = UINT64_MAX },
			"bad_timestamp" },
		{ BELAY_EVENT_DECODE, 0, { .class_ = BELAY_BAD_NONCE, .nonce = UINT64_MAX },
			"bad_nonce" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct belay_event event = event_of(rows[i].kind);

		event.name = "";
		event.code = rows[i].code;
		event.decode = rows[i].decode;
		assert_string_equal(belay__event_refusal(&event), rows[i].reason);
		write_event(&event, 12345);
		assert_text("event", "refused");
		assert_text("reason", rows[i].reason);
		assert_number("count", 12345);
	}
}

static void what_is_no_refusal_has_no_reason(void **state)
{
	static const enum belay_event_kind kinds[] = { BELAY_EVENT_BEAT, BELAY_EVENT_STALL,
		BELAY_EVENT_END, BELAY_EVENT_END_STATUS, BELAY_EVENT_MISSING, BELAY_EVENT_EVICTED,
		BELAY_EVENT_LATE };
	(void)state;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct belay_event event = event_of(kinds[i]);

		assert_null(belay__event_refusal(&event));
	}
}

/* The longest of everything, of bytes that are escaped at six for one. */
static void any_name_and_evidence_fit_a_line(void **state)
{
	static const unsigned char bytes[] = { 0x01, '"', '\\', 0x7f, 0xff, 0xc3, 'x' };
	char name[72], evidence[256];
	(void)state;

	for (size_t i = 0; i < sizeof(bytes); i++) {
		for (int kind = BELAY_EVENT_BEAT; kind <= BELAY_EVENT_LATE; kind++) {
			struct belay_event event = event_of((enum belay_event_kind)kind);

			memset(name, bytes[i], sizeof(name) - 1);
			name[sizeof(name) - 1] = '\0';
			memset(evidence, bytes[i], sizeof(evidence) - 1);
			evidence[sizeof(evidence) - 1] = '\0';
			event.name = name;
			event.verdict = "observer-late";
			event.evidence = evidence;
			event.first = true;
			event.pid = event.uid = event.payload = UINT32_MAX;
			event.observer_ns = event.nonce = event.start_ticks = UINT64_MAX;
			event.silent_ns = event.threshold_ns = event.late_ns = UINT64_MAX;
			event.decode = (struct belay_decode_error){ .class_ = BELAY_BAD_CRC,
				.crc_actual = UINT32_MAX };
			write_event(&event, UINT64_MAX);
		}
	}
}

static void notes_about_the_observer_are_lines_too(void **state)
{
	struct belay__text text;
	char note[256];
	(void)state;

	memset(note, 0x01, sizeof(note) - 1);
	note[sizeof(note) - 1] = '\0';
	belay__text_init(&text, line, sizeof(line));
	belay__event_write_note("role-ended", note, 17, UINT64_C(1767323045678000000), 123, &text);
	assert_false(text.overflowed);
	assert_int_equal(belay__json_parse(line, text.len - 1, &object, NULL), 0);
	assert_text("event", "observer");
	assert_text("what", "role-ended");
	assert_number("seq", 17);
	assert_number("mono_ns", 123);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(beats_have_a_line_only_when_they_change_something),
		cmocka_unit_test(a_stall_says_why_how_long_and_how_late),
		cmocka_unit_test(an_end_says_how_as_far_as_it_is_known),
		cmocka_unit_test(what_is_missing_is_told_in_numbers),
		cmocka_unit_test(an_eviction_and_a_pause_have_their_lines),
		cmocka_unit_test(each_refusal_has_its_reason),
		cmocka_unit_test(what_is_no_refusal_has_no_reason),
		cmocka_unit_test(any_name_and_evidence_fit_a_line),
		cmocka_unit_test(notes_about_the_observer_are_lines_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
