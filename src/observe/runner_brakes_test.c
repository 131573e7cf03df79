#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "export/metrics_table.h"
#include "identity/verdict.h"
#include "observe/runner_testing.h"
#include "observe/slot.h"

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_open, bench_close)

static void the_same_process_is_not_acted_on_again_too_soon(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_acted acted;
	(void)state;

	bench_on_stall("report");
	bench.config.options.recovery_debounce_ns = 3600 * BELAY__NS_PER_S;
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_REPORTED);
	beat_once(&worker, &act);
	send_act(&act);
	acted = expect(BELAY__ACTED_DEBOUNCED);
	assert_in_range(acted.wait_ns, 3000 * BELAY__NS_PER_S, 3600 * BELAY__NS_PER_S);
	worker_end(&worker);
}

static void while_its_command_runs_another_is_not_started(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_fifo("go");
	bench_script("hold", SCRIPT_HOLD);
	bench_command("hold", "");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	/* It is asked for again, and then about another silence. */
	send_act(&act);
	beat_once(&worker, &act);
	send_act(&act);
	(void)expect(BELAY__ACTED_IN_FLIGHT);
	bench_let_go("go");
	(void)expect(BELAY__ACTED_SUCCEEDED);
	assert_string_equal(contents("runs"), "run\n");
	worker_end(&worker);
}

static struct belay__msg_act end_of(const struct worker *worker)
{
	struct belay__msg_act end = act_on(worker);

	end.on = BELAY__ACT_ON_END;
	end.end = 3; /* BELAY_END_KILLED */
	end.code = SIGKILL;
	return end;
}

static void there_are_only_so_many_at_a_time(void **state)
{
	struct belay__msg_act act, second;
	struct worker one, other;
	(void)state;

	bench_fifo("go");
	bench_script("hold", SCRIPT_HOLD);
	bench_command("hold", "");
	bench_capacity(1);
	other = worker_start(WORKER_PLAIN);
	second = end_of(&other);
	bench_start();
	send_act(&second);
	(void)expect(BELAY__ACTED_RESUMED); /* it was seen */
	worker_end(&other);
	one = worker_start(WORKER_PLAIN);
	act = act_on(&one);
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	send_act(&second);
	(void)expect(BELAY__ACTED_OUTSTANDING_FULL);
	bench_let_go("go");
	(void)expect(BELAY__ACTED_SUCCEEDED);
	worker_end(&one);
}

static void who_is_still_silent_after_its_back_off_gets_its_action(void **state)
{
	struct worker one = worker_start(WORKER_PLAIN), other = worker_start(WORKER_PLAIN),
		      third = worker_start(WORKER_PLAIN);
	struct belay__msg_act first = act_on(&one), second = act_on(&other), last = act_on(&third);
	struct belay__msg_acted acted;
	(void)state;

	bench_on_stall("report");
	bench_start();
	send_act(&first);
	(void)expect(BELAY__ACTED_REPORTED);
	send_act(&second);
	acted = expect(BELAY__ACTED_BACK_OFF);
	assert_in_range(acted.wait_ns, 1, BELAY__NS_PER_S);
	send_act(&last);
	(void)expect(BELAY__ACTED_BACK_OFF);
	/* Asked for once more it is still held back, and nothing is said about it. */
	send_act(&second);
	third.record->beats++;
	/* One was heard again, which is another reason than the one that was told. */
	for (unsigned i = 0; i < 2; i++) {
		acted = expect_one_of(BELAY__ACTED_REPORTED, BELAY__ACTED_RESUMED);
		assert_int_equal(acted.pid,
			acted.outcome == BELAY__ACTED_REPORTED ? other.pid : third.pid);
	}
	expect_nothing();
	worker_end(&one);
	worker_end(&other);
	worker_end(&third);
}

static void a_rule_has_its_limit(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_acted acted;
	(void)state;

	bench_on_stall("report");
	(void)strcpy(bench.config.options.action_limit, "2/1h");
	bench_start();
	for (unsigned i = 0; i < 2; i++) {
		/* Each by a name of its own: no back-off. */
		(void)snprintf(act.name, sizeof(act.name), "w%u", i);
		beat_once(&worker, &act);
		send_act(&act);
		(void)expect(BELAY__ACTED_REPORTED);
	}
	(void)strcpy(act.name, "last");
	beat_once(&worker, &act);
	send_act(&act);
	acted = expect(BELAY__ACTED_LIMIT);
	assert_in_range(acted.wait_ns, 3500 * BELAY__NS_PER_S, 3600 * BELAY__NS_PER_S);
	/* The next runner knows of it. */
	bench_kill();
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_LIMIT);
	worker_end(&worker);
}

static void a_pids_next_process_is_acted_on_while_the_last_ones_command_runs(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN), next;
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_acted acted;
	(void)state;

	bench_fifo("go");
	bench_script("hold", SCRIPT_HOLD);
	bench_command("hold", "");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	/* Start times are told in ticks of 10 ms: another process, another tick. */
	(void)poll(NULL, 0, 20);
	worker_end(&worker);
	if (!worker_start_as((pid_t)act.pid, &next)) {
		bench_let_go("go");
		(void)expect(BELAY__ACTED_SUCCEEDED);
		skip();
	}
	act = act_on(&next);
	(void)strcpy(act.name, "next"); /* no back-off */
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	acted = expect(BELAY__ACTED_KILLED);
	assert_int_not_equal(acted.start_ticks, next.start_ticks);
	bench_let_go("go");
	(void)expect(BELAY__ACTED_SUCCEEDED);
	worker_end(&next);
}

static void an_end_that_was_held_back_has_its_command_later(void **state)
{
	struct worker one = worker_start(WORKER_PLAIN), other = worker_start(WORKER_PLAIN);
	struct belay__msg_act first = end_of(&one), second = end_of(&other);
	(void)state;

	bench_script("quick", "echo run >> ${0%/*}/runs\n");
	bench_command("quick", "");
	bench_start();
	/* Both have been seen by now. */
	send_act(&second);
	(void)expect(BELAY__ACTED_RESUMED);
	worker_end(&one);
	worker_end(&other);
	send_act(&first);
	(void)expect(BELAY__ACTED_STARTED);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	send_act(&second);
	(void)expect(BELAY__ACTED_BACK_OFF);
	assert_int_equal(expect(BELAY__ACTED_STARTED).pid, second.pid);
	(void)expect(BELAY__ACTED_SUCCEEDED);
}

static void an_end_that_was_held_back_is_dropped_when_another_begins(void **state)
{
	struct worker one = worker_start(WORKER_PLAIN), other = worker_start(WORKER_PLAIN), next;
	struct belay__msg_act first = end_of(&one), second = end_of(&other);
	struct belay__msg_acted acted;
	(void)state;

	bench_script("quick", "echo run >> ${0%/*}/runs\n");
	bench_command("quick", "");
	bench_start();
	send_act(&second);
	(void)expect(BELAY__ACTED_RESUMED);
	worker_end(&one);
	worker_end(&other);
	send_act(&first);
	(void)expect(BELAY__ACTED_STARTED);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	send_act(&second);
	(void)expect(BELAY__ACTED_BACK_OFF);
	/* Start times are told in ticks of 10 ms. */
	(void)poll(NULL, 0, 20);
	next = worker_start(WORKER_PLAIN);
	acted = expect(BELAY__ACTED_RESUMED);
	assert_int_equal(acted.pid, second.pid);
	assert_says(acted.text, "begun since");
	expect_nothing();
	worker_end(&next);
}

static void an_end_that_was_held_back_is_not_dropped_for_those_that_were_there(void **state)
{
	struct worker one = worker_start(WORKER_PLAIN), other = worker_start(WORKER_PLAIN),
		      third = worker_start(WORKER_PLAIN);
	struct belay__msg_act first = end_of(&one), second = end_of(&other);
	(void)state;

	bench_script("quick", "echo run >> ${0%/*}/runs\n");
	bench_command("quick", "");
	bench_start();
	send_act(&second);
	(void)expect(BELAY__ACTED_RESUMED);
	worker_end(&one);
	worker_end(&other);
	send_act(&first);
	(void)expect(BELAY__ACTED_STARTED);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	send_act(&second);
	(void)expect(BELAY__ACTED_BACK_OFF);
	/* Nor because there is no table to look at. */
	bench_table(false);
	assert_int_equal(expect(BELAY__ACTED_STARTED).pid, second.pid);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	bench_table(true);
	worker_end(&third);
}

/* Of a name that crashes over and over one that was well all the time ends no back-off. */
static void a_healthy_one_of_its_name_ends_no_back_off(void **state)
{
	struct worker one = worker_start(WORKER_PLAIN), other = worker_start(WORKER_PLAIN);
	struct belay__msg_act first = act_on(&one), second = act_on(&other);
	(void)state;

	bench_on_stall("report");
	bench_start();
	send_act(&first);
	(void)expect(BELAY__ACTED_REPORTED);
	second.healthy_ns = 3600 * BELAY__NS_PER_S;
	send_act(&second);
	(void)expect(BELAY__ACTED_BACK_OFF);
	worker_end(&one);
	worker_end(&other);
}

static void one_silence_is_acted_on_once_whoever_asks(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("report");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_REPORTED);
	/* By a new gate, and of a new runner. */
	bench_new_gate();
	send_act(&act);
	bench_kill();
	bench_start();
	send_act(&act);
	/* The next silence is another, and the name has its back-off. */
	beat_once(&worker, &act);
	send_act(&act);
	(void)expect(BELAY__ACTED_BACK_OFF);
	(void)expect(BELAY__ACTED_REPORTED);
	expect_nothing();
	worker_end(&worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_process_is_not_acted_on_again_too_soon),
		TEST(while_its_command_runs_another_is_not_started),
		TEST(there_are_only_so_many_at_a_time),
		TEST(who_is_still_silent_after_its_back_off_gets_its_action),
		TEST(a_rule_has_its_limit),
		TEST(a_pids_next_process_is_acted_on_while_the_last_ones_command_runs),
		TEST(an_end_that_was_held_back_has_its_command_later),
		TEST(an_end_that_was_held_back_is_dropped_when_another_begins),
		TEST(an_end_that_was_held_back_is_not_dropped_for_those_that_were_there),
		TEST(a_healthy_one_of_its_name_ends_no_back_off),
		TEST(one_silence_is_acted_on_once_whoever_asks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
