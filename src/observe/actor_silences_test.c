/* Silences and ends, one or many at once: what the runner is asked for. */

#include "observe/actor_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/door_testing.h"

#define CROWD 6

/* --- stalls and ends --- */

static void a_stall_is_asked_for_with_who_it_is_and_how_it_is(void **state)
{
	struct puppet puppet;
	(void)state;

	set("report", "", "");
	puppet = beating();
	puppet_beat(&puppet, BELAY_DEGRADED);
	(void)turn(BELAY_EVENT_BEAT);
	puppet_wait_state(&puppet, 'S');
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.alerts, 0);
	assert_int_equal(runner.act.on, BELAY__ACT_ON_STALL);
	assert_int_equal(runner.act.verdict, BELAY__VERDICT_BLOCKED);
	assert_int_equal(runner.act.pid, puppet.pid);
	assert_int_equal(runner.act.uid, geteuid());
	assert_int_not_equal(runner.act.start_ticks, 0);
	assert_int_not_equal(runner.act.pid_ns, 0);
	assert_int_equal(runner.act.origin, BELAY__KERNEL_ATTESTED);
	assert_int_equal(runner.act.status, BELAY_DEGRADED);
	assert_int_equal(runner.act.name_source, BELAY__NAME_COMM);
	assert_int_equal(runner.act.beats, 2);
	assert_int_equal(runner.act.silent_ns, TEST_S);
	assert_int_equal(runner.act.threshold_ns, TEST_S);
	assert_int_equal(runner.act.seq, belay__teller_last_seq(&teller));
	assert_true(runner.act.name[0] != '\0' && runner.act.evidence[0] != '\0');
	assert_string_equal(runner.act.rule_name, "");
	/* Once: it is as silent as it was. */
	test_now_ns += 10 * TEST_S;
	go_on();
	assert_int_equal(runner.acts, 1);
	/* After it was well for three seconds it had been well for so long. */
	for (unsigned i = 0; i < 4; i++) {
		puppet_beat(&puppet, BELAY_OK);
		go_on();
		test_now_ns += TEST_S - 1;
	}
	test_now_ns++;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts, 2);
	assert_int_equal(runner.act.healthy_ns, 3 * (TEST_S - 1));
	puppet_done(&puppet);
}

static void what_nobody_wants_is_not_asked_for(void **state)
{
	struct puppet puppet;
	(void)state;

	set("", "", "");
	puppet = beating();
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	puppet_exit(&puppet, 1);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts + runner.alerts, 0);
	puppet_reap(&puppet);
}

static void an_end_is_asked_for_unless_it_left(void **state)
{
	struct belay__hello goodbye = request(BELAY__HELLO_GOODBYE);
	struct puppet puppets[2];
	(void)state;

	set("report", "restart {name}", "");
	puppets[0] = beating();
	puppets[1] = beating();
	goodbye.nonce = puppets[1].nonce;
	assert_int_equal(puppet_say(&puppets[1], &goodbye), 0);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts, 0);
	puppet_exit(&puppets[0], 3);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.act.on, BELAY__ACT_ON_END);
	assert_int_equal(runner.act.end, BELAY_END_EXITED);
	assert_int_equal(runner.act.code, 3);
	assert_int_equal(runner.act.pid, puppets[0].pid);
	puppet_reap(&puppets[0]);
	puppet_done(&puppets[1]);
}

static void what_is_paused_is_withheld_and_said_to_be(void **state)
{
	struct puppet puppet;
	(void)state;

	set("report", "restart", "tell");
	puppet = beating();
	assert_int_equal(belay__pause(observer, "*", 1000 * TEST_S, 990 * TEST_S), 0);
	test_now_ns += 5 * TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), 0);
	puppet_exit(&puppet, 3);
	assert_int_equal(turn(BELAY_EVENT_END), 1);
	assert_int_equal(runner.acts, 0);
	assert_string_equal(runner.kinds, "");
	assert_told("event", "withheld");
	assert_told("reason", "paused");
	assert_told("verdict", "exited");
	assert_int_equal(belay__actor_outcomes(actor)[BELAY__ACTED_PAUSED], 1);
	puppet_reap(&puppet);
}

/* --- many at once --- */

static void gather(struct puppet *puppets)
{
	for (unsigned i = 0; i < CROWD; i++)
		puppets[i] = beating();
}

static void disperse(struct puppet *puppets)
{
	for (unsigned i = 0; i < CROWD; i++)
		puppet_done(&puppets[i]);
}

static void a_mass_stall_is_one_alert_and_no_action(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), CROWD);
	assert_int_equal(runner.acts, 0);
	assert_string_equal(runner.kinds, "M");
	assert_string_equal(runner.alert.name, "(no rule)");
	assert_int_equal(belay__actor_outcomes(actor)[BELAY__ACTED_MASS_STALL], CROWD);
	/* Those who recover were not alerted of; that it is over is. */
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "M");
	puppet_beat(&puppets[1], BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL_OVER), 1);
	assert_string_equal(runner.kinds, "Mr");
	disperse(puppets);
}

static void who_is_silent_still_after_a_mass_stall_is_acted_on_one_threshold_later(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), CROWD);
	puppet_beat(&puppets[0], BELAY_OK);
	puppet_beat(&puppets[1], BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL_OVER), 1);
	go_on();
	test_now_ns += TEST_S - 1;
	puppet_beat(&puppets[0], BELAY_OK);
	puppet_beat(&puppets[1], BELAY_OK);
	/* This one is only slower than the others. */
	puppet_beat(&puppets[2], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 0);
	test_now_ns++;
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, CROWD - 3);
	assert_string_equal(runner.kinds, "Mrsss");
	assert_non_null(strstr(runner.alert.line, "\"event\":\"stall\""));
	assert_non_null(strstr(runner.alert.line, "\"verdict\":\"blocked\""));
	assert_int_not_equal(runner.act.seq, 0);
	assert_int_equal(runner.alert.seq, runner.act.seq);
	/* Once. */
	test_now_ns += 5 * TEST_S;
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, CROWD - 3);
	disperse(puppets);
}

static void who_is_left_by_one_mass_stall_belongs_to_the_next(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_STALL), CROWD);
	puppet_beat(&puppets[0], BELAY_OK);
	puppet_beat(&puppets[1], BELAY_OK);
	puppet_beat(&puppets[2], BELAY_OK);
	puppet_beat(&puppets[3], BELAY_OK);
	puppet_beat(&puppets[4], BELAY_OK);
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL_OVER), 1);
	go_on();
	for (unsigned i = 0; i < 5; i++)
		puppet_wait_state(&puppets[i], 'S');
	test_now_ns += TEST_S;
	assert_int_equal(turn(BELAY_EVENT_MASS_STALL), 1);
	test_now_ns += 5 * TEST_S;
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 0);
	assert_string_equal(runner.kinds, "MrM");
	disperse(puppets);
}

static void a_stall_that_may_be_one_of_many_waits_until_it_is_not(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	/* All but the first are heard, but not for more than half of the threshold. */
	test_now_ns += TEST_S / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S * 3 / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts + runner.alerts, 0);
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts + runner.alerts, 0);
	/* Two of them beat: five cannot be silent any more. */
	for (unsigned i = 1; i < 3; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.act.pid, puppets[0].pid);
	assert_string_equal(runner.kinds, "s");
	disperse(puppets);
}

static void what_recovers_while_it_waits_is_let_be(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S * 3 / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts + runner.alerts, 0);
	assert_told("reason", "resumed");
	disperse(puppets);
}

static void one_that_was_held_when_the_gate_died_is_held_by_the_next(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "tell");
	gather(puppets);
	test_now_ns += TEST_S / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S * 3 / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	replace_gate();
	assert_int_equal(runner.acts + runner.alerts, 0);
	for (unsigned i = 1; i < 3; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	belay__actor_review(actor);
	assert_int_equal(listen_to_gate(), 0);
	assert_int_equal(runner.acts, 1);
	assert_int_equal(runner.act.pid, puppets[0].pid);
	assert_int_equal(runner.act.beats, 1);
	assert_string_equal(runner.kinds, "s");
	puppet_beat(&puppets[0], BELAY_OK);
	go_on();
	assert_string_equal(runner.kinds, "sr");
	disperse(puppets);
}

static void one_stall_among_well_ones_does_not_wait(void **state)
{
	struct puppet puppets[CROWD];
	(void)state;

	set("report", "", "");
	gather(puppets);
	test_now_ns += TEST_S * 3 / 4;
	for (unsigned i = 1; i < CROWD; i++)
		puppet_beat(&puppets[i], BELAY_OK);
	go_on();
	test_now_ns += TEST_S / 4;
	assert_int_equal(turn(BELAY_EVENT_STALL), 1);
	assert_int_equal(runner.acts, 1);
	disperse(puppets);
}

#define TEST(name_) cmocka_unit_test_setup_teardown(name_, actor_open, actor_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_stall_is_asked_for_with_who_it_is_and_how_it_is),
		TEST(what_nobody_wants_is_not_asked_for),
		TEST(an_end_is_asked_for_unless_it_left),
		TEST(what_is_paused_is_withheld_and_said_to_be),
		TEST(a_mass_stall_is_one_alert_and_no_action),
		TEST(who_is_silent_still_after_a_mass_stall_is_acted_on_one_threshold_later),
		TEST(who_is_left_by_one_mass_stall_belongs_to_the_next),
		TEST(a_stall_that_may_be_one_of_many_waits_until_it_is_not),
		TEST(what_recovers_while_it_waits_is_let_be),
		TEST(one_that_was_held_when_the_gate_died_is_held_by_the_next),
		TEST(one_stall_among_well_ones_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
