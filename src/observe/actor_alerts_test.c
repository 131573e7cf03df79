/* Alerts: what people are told of, and that it is over; over restarts, too. */

#include "observe/actor_testing.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/alerting.h"

static void say_open(enum belay__alert_kind kind, const char *name)
{
	struct belay__msg_open open = { .kind = (uint8_t)kind, .uid = geteuid() };

	(void)snprintf(open.name, sizeof(open.name), "%s", name);
	say_as_runner(BELAY__MSG_OPEN, &open, sizeof(open));
	go_on();
}

static void recovered_is_told_of_what_was_told(void **state)
{
	struct puppet puppets[2];
	(void)state;

	set("", "", "tell");
	puppets[0] = beating();
	puppets[1] = beating();
	puppet_signal(&puppets[1], SIGSTOP);
	puppet_wait_state(&puppets[1], 'T');
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 2);
	/* Stopped by a signal is not acted on, and nobody is told. */
	assert_string_equal(runner.kinds, "s");
	assert_int_equal(runner.acts, 0);
	assert_int_equal(runner.alert.len, strlen(runner.alert.line));
	assert_non_null(strstr(runner.alert.line, "\"event\":\"stall\""));
	puppet_signal(&puppets[1], SIGCONT);
	puppet_beat(&puppets[1], BELAY_OK);
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "sr");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"recovered\""));
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

/* All processes here are of one rule, and share its name. */
static void share_a_name(uint64_t expect)
{
	rules[0] = (struct belay__rule){ .name = "pair",
		.uid = (int64_t)geteuid(),
		.expect = expect,
		.first_beat_ns = TEST_S };
	rule_count = 1;
	belay__observer_set_rules(observer, rules, 1);
}

static void a_shared_name_is_well_when_all_of_its_processes_are(void **state)
{
	struct puppet puppets[3];
	(void)state;

	share_a_name(0);
	set("", "", "tell");
	for (unsigned i = 0; i < 3; i++)
		puppets[i] = beating();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 3);
	assert_string_equal(runner.kinds, "sss");
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	/* One goes on purpose, the last one is killed and comes back. */
	puppet_exit(&puppets[1], 0);
	go_on();
	puppet_signal(&puppets[2], SIGKILL);
	puppet_wait_ended(&puppets[2]);
	go_on();
	assert_string_equal(runner.kinds, "sss");
	puppet_reap(&puppets[1]);
	puppet_reap(&puppets[2]);
	puppets[1] = beating();
	assert_string_equal(runner.kinds, "sssr");
	assert_string_equal(runner.alert.name, "pair");
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void each_crash_needs_another_process(void **state)
{
	struct puppet puppets[2];
	(void)state;

	share_a_name(0);
	set("", "", "tell");
	for (unsigned i = 0; i < 2; i++)
		puppets[i] = beating();
	for (unsigned i = 0; i < 2; i++) {
		puppet_exit(&puppets[i], 1);
		go_on();
		puppet_reap(&puppets[i]);
	}
	assert_string_equal(runner.kinds, "cc");
	puppets[0] = beating();
	assert_string_equal(runner.kinds, "cc");
	puppets[1] = beating();
	assert_string_equal(runner.kinds, "ccr");
	puppet_done(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void what_was_alerted_of_before_a_restart_recovers_after_it(void **state)
{
	struct puppet puppet;
	(void)state;

	set("", "", "tell");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	assert_string_equal(runner.kinds, "s");
	hand_over(runner.alert.seq);
	go_on();
	replace_gate();
	puppet_beat(&puppet, BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "r");
	puppet_done(&puppet);
}

static void a_crash_told_before_a_restart_is_over_when_another_of_its_name_beats(void **state)
{
	struct puppet puppet;
	(void)state;

	share_a_name(0);
	set("", "", "tell");
	say_open(BELAY__ALERT_CRASH, "pair");
	say_open(BELAY__ALERT_CRASH, "pair");
	say_open(BELAY__ALERT_CRASH, "other");
	puppet = beating();
	assert_string_equal(runner.kinds, "r");
	assert_string_equal(runner.alert.name, "pair");
	puppet_done(&puppet);
}

static void somebody_missing_before_a_restart_is_told_to_be_there(void **state)
{
	struct puppet puppet;
	(void)state;

	share_a_name(1);
	set("", "", "tell");
	go_on();
	say_open(BELAY__ALERT_MISSING, "pair");
	test_now_ns += 5 * TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MISSING), 0);
	puppet = beating();
	go_on();
	assert_string_equal(runner.kinds, "r");
	puppet_exit(&puppet, 0);
	go_on();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MISSING), 1);
	assert_string_equal(runner.kinds, "rm");
	puppet_reap(&puppet);
}

static void a_mass_stall_told_before_a_restart_is_over_when_there_is_none(void **state)
{
	(void)state;
	set("", "", "tell");
	say_open(BELAY__ALERT_MASS_STALL, "pair");
	go_on();
	assert_string_equal(runner.kinds, "r");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"mass-stall-over\""));
}

static void a_runner_that_knows_of_kinds_that_there_are_not_is_let_go_of(void **state)
{
	const struct belay__msg_open open = { .kind = BELAY__ALERT_KIND_COUNT };
	(void)state;

	say_as_runner(BELAY__MSG_OPEN, &open, sizeof(open));
	while (belay_observer_next(observer) != NULL)
		;
	assert_int_equal(listen_to_gate(), -EPIPE);
}

static void people_are_told_of_what_is_not_acted_on(void **state)
{
	struct puppet puppet;
	(void)state;

	set("report", "", "tell");
	(void)snprintf(options.act_on, sizeof(options.act_on), "none");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	assert_string_equal(runner.kinds, "s");
	replace_runner();
	assert_int_equal(runner.acts, 0);
	puppet_done(&puppet);
}

static void a_crash_is_over_when_another_of_its_name_beats(void **state)
{
	struct puppet puppet, other;
	(void)state;

	set("", "", "tell");
	puppet = beating();
	puppet_exit(&puppet, 0);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	puppet_reap(&puppet);
	assert_string_equal(runner.kinds, "");
	puppet = beating();
	puppet_signal(&puppet, SIGKILL);
	puppet_wait_ended(&puppet);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_string_equal(runner.kinds, "c");
	puppet_reap(&puppet);
	other = beating();
	assert_string_equal(runner.kinds, "cr");
	puppet_done(&other);
}

static void the_end_of_a_stalled_one_is_no_further_alert(void **state)
{
	struct puppet puppet;
	(void)state;

	set("", "", "tell");
	puppet = beating();
	test_now_ns += TEST_S;
	go_on();
	puppet_signal(&puppet, SIGKILL);
	puppet_wait_ended(&puppet);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_string_equal(runner.kinds, "s");
	puppet_reap(&puppet);
	puppet = beating();
	assert_string_equal(runner.kinds, "sr");
	puppet_done(&puppet);
}

static void missing_and_complete_belong_together(void **state)
{
	struct puppet puppet;
	(void)state;

	share_a_name(1);
	set("", "", "tell");
	go_on();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MISSING), 1);
	assert_string_equal(runner.kinds, "m");
	assert_string_equal(runner.alert.name, "pair");
	puppet = puppet_start(&house);
	puppet_beat(&puppet, BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_COMPLETE), 1);
	assert_string_equal(runner.kinds, "mr");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"complete\""));
	puppet_done(&puppet);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, actor_open, actor_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(recovered_is_told_of_what_was_told),
		TEST(a_shared_name_is_well_when_all_of_its_processes_are),
		TEST(each_crash_needs_another_process),
		TEST(what_was_alerted_of_before_a_restart_recovers_after_it),
		TEST(a_crash_told_before_a_restart_is_over_when_another_of_its_name_beats),
		TEST(somebody_missing_before_a_restart_is_told_to_be_there),
		TEST(a_mass_stall_told_before_a_restart_is_over_when_there_is_none),
		TEST(a_runner_that_knows_of_kinds_that_there_are_not_is_let_go_of),
		TEST(people_are_told_of_what_is_not_acted_on),
		TEST(a_crash_is_over_when_another_of_its_name_beats),
		TEST(the_end_of_a_stalled_one_is_no_further_alert),
		TEST(missing_and_complete_belong_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
