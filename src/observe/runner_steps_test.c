#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/text.h"
#include "identity/verdict.h"
#include "observe/runner_testing.h"

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_open, bench_close)

static void send_signal(const struct worker *worker, int signal)
{
	assert_return_code(syscall(SYS_pidfd_send_signal, worker->pidfd, signal, NULL, 0), errno);
}

static void seize(const struct worker *worker)
{
	assert_return_code(ptrace(PTRACE_SEIZE, worker->pid, NULL, NULL), errno);
}

static void let_loose(const struct worker *worker)
{
	int status;

	assert_return_code(ptrace(PTRACE_INTERRUPT, worker->pid, NULL, NULL), errno);
	assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
	assert_return_code(ptrace(PTRACE_DETACH, worker->pid, NULL, NULL), errno);
}

static void stop(const struct worker *worker)
{
	int status;

	send_signal(worker, SIGSTOP);
	assert_int_equal(waitpid(worker->pid, &status, WUNTRACED), worker->pid);
}

/* --- what comes between two steps --- */

/* A worker that has had its SIGTERM and is to be killed soon. */
static struct worker half_done(const char *ladder)
{
	struct worker worker = worker_start(WORKER_IGNORES_TERM);
	struct belay__msg_act act = act_on(&worker);

	bench_on_stall(ladder);
	bench_start();
	send_act(&act);
	assert_int_equal(expect(BELAY__ACTED_SIGNALLED).step, 1);
	return worker;
}

static void one_that_was_stopped_meanwhile_is_not_killed(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	(void)state;

	stop(&worker);
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "stopped");
	worker_end(&worker);
}

static void one_that_is_debugged_by_now_is_not_killed(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	(void)state;

	seize(&worker);
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "debugger");
	let_loose(&worker);
	worker_end(&worker);
}

static void who_may_be_acted_on_when_stopped_is_killed(void **state)
{
	struct worker worker;
	(void)state;

	(void)strcpy(bench.config.rules[0].act_on, "silent,stopped");
	worker = half_done("term 300ms, kill");
	stop(&worker);
	(void)expect(BELAY__ACTED_SIGNALLED);
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

static void pause_meanwhile(const char *format, bool by_pid)
{
	struct worker worker = half_done("term 300ms, kill");
	char pattern[BELAY__NAME_SIZE];
	struct belay__text text;

	belay__text_init(&text, pattern, sizeof(pattern));
	belay__text_add_u64(&text, by_pid ? (uint64_t)worker.pid : worker.record->uid);
	belay__text_add(&text, format);
	bench_pause(format[0] == 'w' ? format : pattern, 3600 * BELAY__NS_PER_S);
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "paused");
	worker_end(&worker);
}

static void one_that_was_paused_by_name_is_not_killed(void **state)
{
	(void)state;
	pause_meanwhile("w?touch*", false);
}

static void one_that_was_paused_by_user_and_name_is_not_killed(void **state)
{
	(void)state;
	pause_meanwhile("/w*", false);
}

static void one_that_was_paused_by_pid_is_not_killed(void **state)
{
	(void)state;
	pause_meanwhile("", true);
}

static void the_next_runner_knows_of_a_pause(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	(void)state;

	bench_kill();
	bench.pause = "w*";
	bench_start();
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "paused");
	worker_end(&worker);
}

static void a_pause_of_others_or_one_that_is_over_changes_nothing(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	(void)state;

	bench_pause("other", 3600 * BELAY__NS_PER_S);
	bench_pause("*", 3600 * BELAY__NS_PER_S);
	bench_pause("*", 0);
	bench_pause("w*", 1);
	(void)expect(BELAY__ACTED_SIGNALLED);
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

static void rules_that_change_places_change_nothing(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	struct belay__rule rule = bench.config.rules[0];
	(void)state;

	bench.config.rules[0] = bench.config.rules[1];
	bench.config.rules[1] = rule;
	(void)strcpy(bench.config.rules[0].on_stall, "report");
	bench_reload();
	assert_int_equal(expect(BELAY__ACTED_SIGNALLED).rule, 2);
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

static void without_its_rule_nobody_is_killed(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	(void)state;

	(void)strcpy(bench.config.options.on_stall, "term 300ms, kill");
	(void)strcpy(bench.config.rules[0].name, "another");
	bench_reload();
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "no rule ours");
	worker_end(&worker);
}

static void who_runs_another_program_by_now_is_not_killed(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	(void)state;

	/* For the rule it is the same whether the process changed or what it asks for. */
	(void)strcpy(bench.config.rules[0].exe, "/usr/bin/other");
	bench_reload();
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "not to rule ours");
	worker_end(&worker);
}

static void another_ladder_is_not_climbed_in_the_middle(void **state)
{
	struct worker worker = half_done("term 300ms, kill");
	(void)state;

	bench_on_stall("report");
	bench_reload();
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "changed");
	worker_end(&worker);
}

static void a_table_that_is_missing_is_waited_for(void **state)
{
	struct worker worker = half_done("term 100ms, kill");
	(void)state;

	bench_table(false);
	(void)poll(NULL, 0, 300);
	bench_table(true);
	assert_int_equal(expect(BELAY__ACTED_SIGNALLED).step, 2);
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

/* Steps that follow at once are looked at as well. */
static void a_command_that_stops_it_keeps_it_from_being_killed(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	char ladder[BELAY__ACTION_SIZE];
	(void)state;

	/* A signal is sent before it has its effect. */
	bench_script("quick",
		"kill -STOP $1\nuntil grep -q '^State:.T' /proc/$1/status; do :; done\n");
	(void)snprintf(ladder, sizeof(ladder), "command sh %s/quick {pid}, kill", bench.dir);
	bench_on_stall(ladder);
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "stopped");
	worker_end(&worker);
}

/* --- what is held back, and asked for anew when its brake lets go --- */

static struct worker held_back(void)
{
	struct worker one = worker_start(WORKER_PLAIN), other = worker_start(WORKER_PLAIN);
	struct belay__msg_act first = act_on(&one), second = act_on(&other);

	bench_on_stall("report");
	bench_start();
	send_act(&first);
	(void)expect(BELAY__ACTED_REPORTED);
	send_act(&second);
	(void)expect(BELAY__ACTED_BACK_OFF);
	worker_end(&one);
	return other;
}

static void who_was_stopped_meanwhile_is_withheld(void **state)
{
	struct worker worker = held_back();
	(void)state;

	stop(&worker);
	assert_says(expect(BELAY__ACTED_VERDICT).text, "stopped");
	worker_end(&worker);
}

static void who_is_debugged_by_now_is_withheld(void **state)
{
	struct worker worker = held_back();
	(void)state;

	seize(&worker);
	assert_says(expect(BELAY__ACTED_VERDICT).text, "debugger");
	let_loose(&worker);
	worker_end(&worker);
}

static void who_was_paused_meanwhile_is_withheld(void **state)
{
	struct worker worker = held_back();
	(void)state;

	bench_pause("w*", 3600 * BELAY__NS_PER_S);
	(void)expect(BELAY__ACTED_PAUSED);
	worker_end(&worker);
}

static void whose_rule_is_gone_is_withheld(void **state)
{
	struct worker worker = held_back();
	(void)state;

	(void)strcpy(bench.config.rules[0].name, "another");
	bench_reload();
	(void)expect(BELAY__ACTED_WRONG_RULE);
	worker_end(&worker);
}

static void whose_rule_has_another_number_gets_its_action(void **state)
{
	struct worker worker = held_back();
	struct belay__rule rule = bench.config.rules[0];
	(void)state;

	bench.config.rules[0] = bench.config.rules[1];
	bench.config.rules[1] = rule;
	(void)strcpy(bench.config.rules[0].on_stall, "kill");
	bench_reload();
	assert_int_equal(expect(BELAY__ACTED_REPORTED).rule, 2);
	worker_end(&worker);
}

static void a_limit_behind_a_back_off_is_told_as_well(void **state)
{
	struct worker worker;
	(void)state;

	(void)strcpy(bench.config.options.action_limit, "1/1h");
	worker = held_back();
	(void)expect(BELAY__ACTED_LIMIT);
	worker_end(&worker);
}

/* --- at its beginning --- */

static void an_action_waits_for_its_table(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("report");
	bench_table(false);
	bench_start();
	send_act(&act);
	(void)poll(NULL, 0, 250);
	bench_table(true);
	(void)expect(BELAY__ACTED_REPORTED);
	expect_nothing();
	worker_end(&worker);
}

static void a_table_of_another_size_is_not_looked_at(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("report");
	bench.config.options.capacity *= 2;
	bench_start();
	send_act(&act);
	assert_says(expect(BELAY__ACTED_UNVERIFIABLE).text, "table");
	worker_end(&worker);
}

/* --- alerts --- */

static void send_alert(enum belay__alert_kind kind, const char *name, uint64_t seq, bool again)
{
	struct belay__msg_alert alert = { .kind = (uint8_t)kind, .again = again, .seq = seq };

	(void)snprintf(alert.name, sizeof(alert.name), "%s", name);

	(void)strcpy(alert.line, "{\"event\":\"stall\"}");
	alert.len = (uint32_t)strlen(alert.line);
	send_gate(BELAY__MSG_ALERT, &alert, sizeof(alert));
}

static void a_gate_hears_of_its_alerts_and_a_new_one_of_what_is_open(void **state)
{
	struct belay__msg_open open;
	(void)state;

	bench_script("alert", "cat >> ${0%/*}/told\n");
	(void)snprintf(bench.config.options.alert, sizeof(bench.config.options.alert),
		"sh %s/alert", bench.dir);
	bench_start();
	send_alert(BELAY__ALERT_STALL, "web", 5, false);
	/* It has waited before, and the first one does not wait any longer, either. */
	send_alert(BELAY__ALERT_STALL, "api", 6, true);
	assert_int_equal(expect_alerted().seq, 5);
	assert_int_equal(expect_alerted().seq, 6);
	send_alert(BELAY__ALERT_CRASH, "web", 7, false);
	bench_new_gate();
	open = expect_open();
	assert_int_equal(open.kind, BELAY__ALERT_STALL);
	assert_string_equal(open.name, "web");
	/* It is handed over although the runner ends. */
	bench_stop();
	while (strstr(contents("told"), "\"alert\":\"crash\"") == NULL)
		(void)poll(NULL, 0, 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_was_stopped_meanwhile_is_not_killed),
		TEST(one_that_is_debugged_by_now_is_not_killed),
		TEST(who_may_be_acted_on_when_stopped_is_killed),
		TEST(one_that_was_paused_by_name_is_not_killed),
		TEST(one_that_was_paused_by_user_and_name_is_not_killed),
		TEST(one_that_was_paused_by_pid_is_not_killed),
		TEST(the_next_runner_knows_of_a_pause),
		TEST(a_pause_of_others_or_one_that_is_over_changes_nothing),
		TEST(rules_that_change_places_change_nothing),
		TEST(without_its_rule_nobody_is_killed),
		TEST(who_runs_another_program_by_now_is_not_killed),
		TEST(another_ladder_is_not_climbed_in_the_middle),
		TEST(a_table_that_is_missing_is_waited_for),
		TEST(a_command_that_stops_it_keeps_it_from_being_killed),
		TEST(who_was_stopped_meanwhile_is_withheld),
		TEST(who_is_debugged_by_now_is_withheld),
		TEST(who_was_paused_meanwhile_is_withheld),
		TEST(whose_rule_is_gone_is_withheld),
		TEST(whose_rule_has_another_number_gets_its_action),
		TEST(a_limit_behind_a_back_off_is_told_as_well),
		TEST(an_action_waits_for_its_table),
		TEST(a_table_of_another_size_is_not_looked_at),
		TEST(a_gate_hears_of_its_alerts_and_a_new_one_of_what_is_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
