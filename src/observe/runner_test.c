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

static void a_silent_process_gets_its_command(void **state)
{
	struct belay__msg_acted acted;
	struct belay__msg_act act;
	struct worker worker;
	(void)state;

	bench_script("note", SCRIPT_NOTE);
	bench_command("note", "{pid} {name} --why={verdict} {silent_ms} {rule} {nothing");
	(void)strcpy(bench.config.options.recovery_env, "EXTRA=a b");
	bench.config.options.recovery_env_len = sizeof("EXTRA=a b");
	worker = worker_start(WORKER_PLAIN);
	bench_start();
	act = act_on(&worker);
	send_act(&act);
	acted = expect(BELAY__ACTED_STARTED);
	assert_int_equal(acted.pid, worker.pid);
	assert_int_equal(acted.seq, 42);
	assert_int_equal(acted.step, 1);
	assert_int_equal(acted.as_root, geteuid() == 0);
	assert_string_equal(acted.name, TEST_NAME);
	assert_string_equal(acted.verdict, "silent");
	assert_true(acted.child_pid > 0);
	acted = expect(BELAY__ACTED_SUCCEEDED);
	assert_int_equal(acted.exit_code, 0);
	assert_int_equal(acted.signal, -1);
	assert_true(acted.duration_ns > 0);

	assert_says(contents("out"),
		"<" TEST_NAME ">\n<--why=silent>\n<5250>\n<ours>\n<{nothing>\n");
	assert_says(contents("out"), "\nBELAY_NAME=" TEST_NAME "\n");
	assert_says(contents("out"), "\nBELAY_VERDICT=silent\n");
	assert_says(contents("out"), "\nBELAY_STATUS=degraded\n");
	assert_says(contents("out"), "\nBELAY_EVIDENCE=waits in futex\n");
	assert_says(contents("out"), "\nBELAY_RULE=ours\n");
	assert_says(contents("out"), "\nBELAY_PIDFD=3\n");
	assert_says(contents("out"), "\nPATH=/usr/bin:/bin\n");
	assert_says(contents("out"), "\nEXTRA=a b\n");
	assert_says(contents("out"), "pidfd");
	assert_null(strstr(contents("out"), "HOME="));
	expect_nothing();
	worker_end(&worker);
}

/* --- how commands end --- */

static void a_command_that_fails_is_told(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_acted acted;
	(void)state;

	bench_script("fail", "echo one; echo to >&2; exit 3\n");
	bench_command("fail", "");
	bench.config.options.recovery_capture_stdio = true;
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	acted = expect(BELAY__ACTED_FAILED);
	assert_int_equal(acted.exit_code, 3);
	assert_int_equal(acted.stdout_len, 4);
	assert_int_equal(acted.stderr_len, 3);
	worker_end(&worker);
}

static void a_command_without_end_is_killed(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_acted acted;
	(void)state;

	bench_fifo("go");
	bench_script("stubborn", "trap '' TERM HUP INT; read line < ${0%/*}/go\n");
	bench_command("stubborn", "");
	bench.config.options.recovery_timeout_ns = 100 * BELAY__NS_PER_MS;
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	acted = expect(BELAY__ACTED_KILLED);
	assert_int_equal(acted.signal, SIGKILL);
	worker_end(&worker);
}

static void one_that_cannot_be_started_debounces_nothing(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("command /nowhere/at-all, kill");
	bench.config.options.recovery_debounce_ns = 3600 * BELAY__NS_PER_S;
	bench_start();
	for (unsigned i = 0; i < 2; i++) {
		send_act(&act);
		assert_says(expect(BELAY__ACTED_SPAWN_FAILED).text, "/nowhere/at-all");
	}
	worker_end(&worker);
}

/* --- ladders --- */

static void a_ladder_is_climbed_to_its_end(void **state)
{
	struct worker worker = worker_start(WORKER_IGNORES_TERM);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_acted acted;
	(void)state;

	bench_on_stall("report, term 50ms, kill");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_REPORTED);
	acted = expect(BELAY__ACTED_SIGNALLED);
	assert_int_equal(acted.step, 2);
	assert_string_equal(acted.text, "term 50ms");
	acted = expect(BELAY__ACTED_SIGNALLED);
	assert_int_equal(acted.step, 3);
	assert_string_equal(acted.text, "kill");
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

static void a_ladder_is_left_when_its_process_ends(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("term 1h, kill");
	(void)strcpy(bench.config.rules[0].act_on, "stopped");
	bench_start();
	/* One that is stopped hears of it, too. */
	act.verdict = BELAY__VERDICT_STOPPED;
	assert_return_code(syscall(SYS_pidfd_send_signal, worker.pidfd, SIGSTOP, NULL, 0), errno);
	send_act(&act);
	(void)expect(BELAY__ACTED_SIGNALLED);
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "ended");
	assert_int_equal(worker_reap(&worker), SIGTERM);
}

static void a_ladder_is_left_when_its_process_is_heard(void **state)
{
	struct worker worker = worker_start(WORKER_IGNORES_TERM);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("term 1s, kill");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_SIGNALLED);
	worker.record->beats++;
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "beaten");
	worker_end(&worker);
}

static void a_command_is_a_step(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	char ladder[BELAY__ACTION_SIZE];
	(void)state;

	bench_script("fail", "exit 1\n");
	(void)snprintf(ladder, sizeof(ladder), "command sh %s/fail, kill", bench.dir);
	bench_on_stall(ladder);
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	(void)expect(BELAY__ACTED_FAILED);
	assert_int_equal(expect(BELAY__ACTED_SIGNALLED).step, 2);
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

/* --- ends --- */

static struct belay__msg_act end_of(const struct belay__msg_act *act)
{
	struct belay__msg_act end = *act;

	end.on = BELAY__ACT_ON_END;
	end.end = 3; /* BELAY_END_KILLED */
	end.code = 9;
	return end;
}

static void an_end_has_its_command(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker), end = end_of(&act);
	struct belay__msg_acted acted;
	(void)state;

	bench_script("note", SCRIPT_NOTE);
	bench_command("note", "{verdict} {status}");
	bench_start();
	/* Who it is was seen before it ended. */
	send_act(&end);
	assert_says(expect(BELAY__ACTED_RESUMED).text, "not ended");
	worker_end(&worker);
	send_act(&end);
	acted = expect(BELAY__ACTED_STARTED);
	assert_int_equal(acted.on, BELAY__ACT_ON_END);
	assert_string_equal(acted.verdict, "killed");
	(void)expect(BELAY__ACTED_SUCCEEDED);
	assert_says(contents("out"), "<killed>\n<9>\n");
	assert_null(strstr(contents("out"), "BELAY_PIDFD"));
}

static void who_was_not_seen_alive_gets_no_root(void **state)
{
	struct belay__msg_act act, end;
	struct worker worker;
	(void)state;

	if (geteuid() != 0)
		skip();
	worker = worker_start(WORKER_PLAIN);
	act = act_on(&worker);
	end = end_of(&act);
	bench_script("note", SCRIPT_NOTE);
	bench_command("note", "");
	worker_end(&worker);
	bench_start();
	send_act(&end);
	(void)expect(BELAY__ACTED_NO_ROOT);
}

/* --- plans --- */

static struct belay__msg_planned plan(const struct belay__msg_act *act, bool really)
{
	struct belay__msg_plan message = { .request = 99, .really = really, .act = *act };
	struct belay__msg_planned planned;

	send_gate(BELAY__MSG_PLAN, &message, sizeof(message));
	planned = expect_planned();
	assert_int_equal(planned.request, 99);
	assert_int_equal(planned.code, 0);
	assert_int_equal(planned.len, strlen(planned.text));
	return planned;
}

static void assert_plan(const struct belay__msg_planned *planned, const char *key, const char *value)
{
	struct belay__json object, member;
	char text[512];

	assert_int_equal(belay__json_parse(planned->text, planned->len, &object, NULL), 0);
	assert_int_equal(belay__json_member(&object, key, &member), 0);
	assert_int_equal(belay__json_get_string(&member, text, sizeof(text)), 0);
	assert_string_equal(text, value);
}

static void a_plan_says_what_would_be_done(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_planned planned;
	(void)state;

	bench_on_stall("term 10s, kill");
	bench_start();
	act.beats--; /* it is well: beats go on */
	act.verdict = BELAY__VERDICT_NONE;
	planned = plan(&act, /* really= */ false);
	assert_plan(&planned, "would", "run");
	assert_plan(&planned, "name", TEST_NAME);
	assert_plan(&planned, "ladder", "term 10s, kill");
	act.verdict = BELAY__VERDICT_TRACED;
	planned = plan(&act, /* really= */ false);
	assert_plan(&planned, "would", "withhold");
	assert_plan(&planned, "reason", "verdict");
	act.start_ticks++;
	planned = plan(&act, /* really= */ true);
	assert_plan(&planned, "reason", "recycled");
	(void)expect(BELAY__ACTED_RECYCLED);
	act.start_ticks--;
	planned = plan(&act, /* really= */ true);
	assert_plan(&planned, "would", "run");
	(void)expect(BELAY__ACTED_SIGNALLED);
	(void)expect(BELAY__ACTED_LEFT_OFF);
	assert_int_equal(worker_reap(&worker), SIGTERM);
}

static void where_nothing_is_configured_nothing_is_done(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_planned planned;
	(void)state;

	bench_start();
	send_act(&act);
	planned = plan(&act, /* really= */ false);
	assert_plan(&planned, "reason", "not-configured");
	expect_nothing();
	worker_end(&worker);
}

/* --- books --- */

static void what_was_done_is_counted_and_written_down(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	(void)snprintf(bench.config.options.audit_file, sizeof(bench.config.options.audit_file),
		"%s/audit", bench.dir);
	bench_script("note", SCRIPT_NOTE);
	bench_command("note", "");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	beat_once(&worker, &act);
	act.origin = BELAY__SOCKET_MODE_ONLY;
	send_act(&act);
	(void)expect(BELAY__ACTED_SOCKET_MODE_ONLY);
	while (next_count(BELAY__METRIC_ACTION_SOCKET_MODE_ONLY) != 1)
		;
	bench_stop();
	assert_says(contents("audit"), "\tspawn\t");
	assert_says(contents("audit"), "\tinline\t");
	assert_says(contents("audit"), "\treaped\t0\t-\t");
	assert_says(contents("audit"), "\tsocket_mode_only\t");
	worker_end(&worker);
}

static void the_next_gate_hears_what_the_last_one_did_not(void **state)
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
	bench_new_gate();
	bench_let_go("go");
	(void)expect(BELAY__ACTED_SUCCEEDED);
	worker_end(&worker);
}

static void new_rules_are_in_force_at_once(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("report");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_REPORTED);
	bench_on_stall("kill");
	(void)strcpy(bench.config.rules[0].act_on, "blocked");
	bench_reload();
	beat_once(&worker, &act);
	send_act(&act);
	(void)expect(BELAY__ACTED_VERDICT);
	bench.config.rules[0].act_on[0] = '\0';
	bench_reload();
	(void)strcpy(act.name, "another"); /* no back-off */
	send_act(&act);
	(void)expect(BELAY__ACTED_SIGNALLED);
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

static void what_a_busy_gate_does_not_take_it_gets_later(void **state)
{
	enum { MANY = 240 };
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("report");
	bench_start();
	act.verdict = BELAY__VERDICT_STOPPED;
	for (act.seq = 0; act.seq < MANY; act.seq++) {
		struct pollfd wait = { .fd = bench.gate, .events = POLLOUT };

		assert_int_equal(poll(&wait, 1, 30000), 1);
		send_act(&act);
	}
	for (uint64_t seq = 0; seq < MANY; seq++)
		assert_int_equal(expect(BELAY__ACTED_VERDICT).seq, seq);
	worker_end(&worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_silent_process_gets_its_command),
		TEST(a_command_that_fails_is_told),
		TEST(a_command_without_end_is_killed),
		TEST(one_that_cannot_be_started_debounces_nothing),
		TEST(a_ladder_is_climbed_to_its_end),
		TEST(a_ladder_is_left_when_its_process_ends),
		TEST(a_ladder_is_left_when_its_process_is_heard),
		TEST(a_command_is_a_step),
		TEST(an_end_has_its_command),
		TEST(who_was_not_seen_alive_gets_no_root),
		TEST(a_plan_says_what_would_be_done),
		TEST(where_nothing_is_configured_nothing_is_done),
		TEST(what_was_done_is_counted_and_written_down),
		TEST(the_next_gate_hears_what_the_last_one_did_not),
		TEST(new_rules_are_in_force_at_once),
		TEST(what_a_busy_gate_does_not_take_it_gets_later),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
