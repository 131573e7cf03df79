/* The dead man's switch: a command that is run as long as all is well. */

#include "observe/alerts_testing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <stdio.h>
#include <sys/wait.h>

#include <cmocka.h>

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

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_house, close_house)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(beats_are_made_while_the_gate_is_well),
		TEST(a_beat_is_not_made_for_a_time_in_which_we_were_late),
		TEST(one_beat_runs_at_a_time_and_not_for_ever),
		TEST(a_beat_that_fails_is_counted_and_the_next_is_made_in_time),
		TEST(what_runs_is_let_go_of_in_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
