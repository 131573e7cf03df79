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

static void other_verdict(struct belay__msg_act *act)
{
	act->verdict = BELAY__VERDICT_STOPPED;
}

static void no_verdict_there_is(struct belay__msg_act *act)
{
	act->verdict = 200;
}

static void by_socket_mode(struct belay__msg_act *act)
{
	act->origin = BELAY__SOCKET_MODE_ONLY;
}

static void by_nobody(struct belay__msg_act *act)
{
	act->origin = BELAY__NETWORK_UNVERIFIED;
}

static void by_no_known_origin(struct belay__msg_act *act)
{
	act->origin = 77;
}

static void other_namespace(struct belay__msg_act *act)
{
	act->pid_ns++;
}

static void other_start(struct belay__msg_act *act)
{
	act->start_ticks++;
}

static void unknown_start(struct belay__msg_act *act)
{
	act->start_ticks = 0;
}

static void more_beats(struct belay__msg_act *act)
{
	act->beats--;
}

static void other_uid(struct belay__msg_act *act)
{
	act->uid++;
	act->rule = 0;
	act->rule_name[0] = '\0';
}

static void another_rules_uid(struct belay__msg_act *act)
{
	act->uid++;
}

static void other_rule(struct belay__msg_act *act)
{
	act->rule = 2;
	(void)strcpy(act->rule_name, "theirs");
	act->uid = TEST_OTHER_UID;
}

static void no_rule(struct belay__msg_act *act)
{
	act->rule_name[0] = '\0';
}

static void no_such_rule(struct belay__msg_act *act)
{
	(void)strcpy(act->rule_name, "nobodys");
}

static void first_pid(struct belay__msg_act *act)
{
	act->pid = 1;
}

static void pid_of_the_runner(struct belay__msg_act *act)
{
	act->pid = (uint32_t)bench.runner;
}

static void pid_of_its_parent(struct belay__msg_act *act)
{
	act->pid = (uint32_t)bench.parent;
}

static void pid_of_another_role(struct belay__msg_act *act)
{
	act->pid = (uint32_t)bench.sibling;
}

static void no_pid(struct belay__msg_act *act)
{
	act->pid = 4000000;
}

static void impossible_pid(struct belay__msg_act *act)
{
	act->pid = UINT32_MAX;
}

static const struct refusal {
	const char *what;
	void (*change)(struct belay__msg_act *act);
	enum belay__acted outcome;
} refusals[] = {
	{ "verdict", other_verdict, BELAY__ACTED_VERDICT },
	{ "no verdict", no_verdict_there_is, BELAY__ACTED_VERDICT },
	{ "socket mode only", by_socket_mode, BELAY__ACTED_SOCKET_MODE_ONLY },
	{ "unauthenticated", by_nobody, BELAY__ACTED_UNAUTHENTICATED },
	{ "unknown origin", by_no_known_origin, BELAY__ACTED_UNAUTHENTICATED },
	{ "namespace", other_namespace, BELAY__ACTED_CROSS_NAMESPACE },
	{ "start", other_start, BELAY__ACTED_RECYCLED },
	{ "no start", unknown_start, BELAY__ACTED_UNVERIFIABLE },
	{ "beats", more_beats, BELAY__ACTED_RESUMED },
	{ "uid", other_uid, BELAY__ACTED_WRONG_UID },
	{ "rule's uid", another_rules_uid, BELAY__ACTED_WRONG_UID },
	{ "rule", other_rule, BELAY__ACTED_WRONG_UID },
	{ "no rule", no_rule, BELAY__ACTED_WRONG_RULE },
	{ "no such rule", no_such_rule, BELAY__ACTED_WRONG_RULE },
	{ "pid 1", first_pid, BELAY__ACTED_WRONG_RULE },
	{ "the runner", pid_of_the_runner, BELAY__ACTED_WRONG_RULE },
	{ "its parent", pid_of_its_parent, BELAY__ACTED_WRONG_RULE },
	{ "another role", pid_of_another_role, BELAY__ACTED_WRONG_RULE },
	{ "nobody", no_pid, BELAY__ACTED_RECYCLED },
	{ "beyond pids", impossible_pid, BELAY__ACTED_WRONG_RULE },
};

static void what_is_not_so_is_refused(void **state)
{
	struct worker worker;
	(void)state;

	bench_on_stall("kill");
	(void)strcpy(bench.config.options.on_stall, "kill");
	worker = worker_start(WORKER_PLAIN);
	bench_start();
	for (unsigned i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		struct belay__msg_act act = act_on(&worker);
		struct belay__msg_acted acted;

		refusals[i].change(&act);
		send_act(&act);
		print_message("%s\n", refusals[i].what);
		acted = expect(refusals[i].outcome);
		assert_true(acted.text[0] != '\0');
		assert_int_equal(acted.pid, act.pid);
	}
	expect_nothing();
	/* It lives: none of them was begun. */
	worker_end(&worker);
}

static void one_that_has_ended_is_not_acted_on(void **state)
{
	struct worker worker;
	struct belay__msg_act act;
	(void)state;

	bench_on_stall("kill");
	worker = worker_start(WORKER_PLAIN);
	bench_start();
	act = act_on(&worker);
	worker_end(&worker);
	send_act(&act);
	(void)expect(BELAY__ACTED_RECYCLED);
}

static void one_that_the_table_does_not_know_is_not_acted_on(void **state)
{
	struct worker known, unknown;
	struct belay__msg_act act;
	(void)state;

	bench_on_stall("kill");
	known = worker_start(WORKER_PLAIN);
	unknown = worker_start(WORKER_PLAIN);
	act = act_on(&unknown);
	unknown.record->pid = 0;
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_RECYCLED);
	unknown.record->pid = act.pid;
	worker_end(&unknown);
	worker_end(&known);
}

static void without_a_table_nobody_is_acted_on(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench.without_state = true;
	bench_on_stall("kill");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_UNVERIFIABLE);
	worker_end(&worker);
}

static void without_a_journal_nobody_is_acted_on(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench.without_journal = true;
	bench_on_stall("kill");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_NO_JOURNAL);
	worker_end(&worker);
}

/* As root: a command gets root's powers only by a rule that names exe and uid. */
static void nobody_gets_root_by_accident(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_script("note", SCRIPT_NOTE);
	bench_command("note", "");
	bench.config.rules[0].run_as = BELAY__RUN_AS_PROCESS;
	bench_start();
	send_act(&act);
	if (geteuid() == 0)
		(void)expect(BELAY__ACTED_NO_ROOT);
	else
		(void)expect(BELAY__ACTED_STARTED), (void)expect(BELAY__ACTED_SUCCEEDED);
	worker_end(&worker);
}

static void a_command_runs_as_its_processs_user(void **state)
{
	struct belay__msg_act act;
	struct worker worker;
	(void)state;

	if (geteuid() != 0)
		skip();
	bench_script("who", "id -u > ${0%/*}/out; id -G >> ${0%/*}/out\n");
	bench_command("who", "");
	worker = worker_start(WORKER_IS_ANOTHERS);
	act = act_on(&worker);
	bench_start();
	send_act(&act);
	assert_int_equal(expect(BELAY__ACTED_STARTED).as_root, 0);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	assert_string_equal(contents("out"), "65533\n65533\n");
	worker_end(&worker);
}

/* Nobody has that user's name, so who was not seen has no groups. */
static void an_ends_command_has_the_groups_that_its_process_had(void **state)
{
	struct belay__msg_act seen, unseen;
	struct worker one, other;
	(void)state;

	if (geteuid() != 0)
		skip();
	bench_script("who", "id -u > ${0%/*}/out; id -G >> ${0%/*}/out\n");
	bench_command("who", "");
	one = worker_start(WORKER_IS_ANOTHERS);
	other = worker_start(WORKER_IS_ANOTHERS);
	seen = act_on(&one);
	unseen = act_on(&other);
	seen.on = unseen.on = BELAY__ACT_ON_END;
	worker_end(&other);
	bench_start();
	send_act(&seen);
	(void)expect(BELAY__ACTED_RESUMED);
	worker_end(&one);
	send_act(&unseen);
	(void)expect(BELAY__ACTED_UNVERIFIABLE);
	send_act(&seen);
	assert_int_equal(expect(BELAY__ACTED_STARTED).as_root, 0);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	assert_string_equal(contents("out"), "65533\n65533\n");
}

static void a_gate_that_breaks_the_rules_is_not_listened_to(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct pollfd wait;
	(void)state;

	bench_on_stall("report");
	bench_start();
	act.on = 9;
	send_act(&act);
	wait = (struct pollfd){ .fd = bench.gate, .events = 0 };
	assert_int_equal(poll(&wait, 1, 30000), 1);
	assert_true((wait.revents & POLLHUP) != 0);
	bench_new_gate();
	act.on = BELAY__ACT_ON_STALL;
	send_act(&act);
	(void)expect(BELAY__ACTED_REPORTED);
	worker_end(&worker);
}

static void a_rule_without_conditions_is_about_who_has_its_name(void **state)
{
	struct worker one = worker_start(WORKER_PLAIN), other = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&one);
	(void)state;

	bench.config.rules[0].exe[0] = '\0';
	bench.config.rules[0].uid = -1;
	bench_on_stall("kill");
	(void)snprintf(other.record->own, sizeof(other.record->own), "%s",
		bench.config.rules[0].name);
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_WRONG_RULE);
	act = act_on(&other);
	send_act(&act);
	(void)expect(BELAY__ACTED_SIGNALLED);
	assert_int_equal(worker_reap(&other), SIGKILL);
	worker_end(&one);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_so_is_refused),
		TEST(one_that_has_ended_is_not_acted_on),
		TEST(one_that_the_table_does_not_know_is_not_acted_on),
		TEST(without_a_table_nobody_is_acted_on),
		TEST(without_a_journal_nobody_is_acted_on),
		TEST(nobody_gets_root_by_accident),
		TEST(a_command_runs_as_its_processs_user),
		TEST(an_ends_command_has_the_groups_that_its_process_had),
		TEST(a_gate_that_breaks_the_rules_is_not_listened_to),
		TEST(a_rule_without_conditions_is_about_who_has_its_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
