#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "export/metrics_table.h"
#include "observe/runner.h"
#include "observe/runner_testing.h"

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_open, bench_close)
#define RUN            "echo run >> ${0%/*}/runs\n"

/* The journal as a runner left it that died when it had written INTENT. */
static uint64_t intended(const struct belay__msg_act *act, const char *ladder, size_t step)
{
	struct belay__intent intent = belay__runner_intent(act, step, false,
		(uint32_t)belay__fnv(ladder, strlen(ladder)));
	struct belay__journal *journal;
	char path[128];
	uint64_t id;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/journal", bench.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_return_code(fd, errno);
	assert_int_equal(belay__journal_new(fd, &journal, NULL), 0);
	intent.realtime_ns = belay__clock_ns(CLOCK_REALTIME);
	assert_int_equal(belay__journal_intend(journal, &intent, &id), 0);
	(void)belay__journal_free(journal);
	belay__close(fd);
	return id;
}

static void a_command_is_adopted_and_not_run_twice(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__msg_acted acted;
	uint32_t child;
	(void)state;

	bench_fifo("go");
	bench_script("hold", SCRIPT_HOLD);
	bench_command("hold", "");
	bench_start();
	send_act(&act);
	child = expect(BELAY__ACTED_STARTED).child_pid;
	bench_kill();
	bench_start();
	acted = expect(BELAY__ACTED_ADOPTED);
	assert_int_equal(acted.child_pid, child);
	assert_int_equal(acted.pid, worker.pid);
	assert_string_equal(acted.name, TEST_NAME);
	/* It is known to be under way. */
	send_act(&act);
	bench_let_go("go");
	/* How it ended is told since Linux 6.15. */
	if (expect_one_of(BELAY__ACTED_SUCCEEDED, BELAY__ACTED_UNKNOWN).outcome ==
		BELAY__ACTED_SUCCEEDED)
		print_message("the kernel told how it ended\n");
	assert_string_equal(contents("runs"), "run\n");
	expect_nothing();

	/* The third finds nothing to do. */
	bench_stop();
	bench_start();
	send_act(&act); /* it is done */
	beat_once(&worker, &act);
	(void)strcpy(act.name, "another"); /* no back-off */
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	bench_let_go("go");
	(void)expect(BELAY__ACTED_SUCCEEDED);
	worker_end(&worker);
}

static void a_command_outlives_the_end_of_its_runner(void **state)
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
	bench_stop();
	bench_start();
	(void)expect(BELAY__ACTED_ADOPTED);
	bench_let_go("go");
	(void)expect_one_of(BELAY__ACTED_SUCCEEDED, BELAY__ACTED_UNKNOWN);
	worker_end(&worker);
}

static void what_ended_meanwhile_is_unknown(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_fifo("go");
	bench_script("hold", "read line < ${0%/*}/go; echo run >> ${0%/*}/runs; kill -9 $$\n");
	bench_command("hold", "");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	bench_kill();
	bench_let_go("go");
	while (contents("runs")[0] == '\0')
		;
	bench_start();
	if (expect_one_of(BELAY__ACTED_UNKNOWN, BELAY__ACTED_ADOPTED).outcome ==
		BELAY__ACTED_ADOPTED)
		(void)expect_one_of(BELAY__ACTED_FAILED, BELAY__ACTED_UNKNOWN);
	assert_string_equal(contents("runs"), "run\n");
	/* A gate that has heard nothing of it asks again: it is not run twice. */
	send_act(&act);
	act.seq = 43;
	act.origin = BELAY__SOCKET_MODE_ONLY;
	beat_once(&worker, &act);
	send_act(&act);
	assert_int_equal(expect(BELAY__ACTED_SOCKET_MODE_ONLY).seq, 43);
	worker_end(&worker);
}

static void an_intent_alone_is_run(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_script("quick", RUN);
	bench_command("quick", "");
	(void)intended(&act, bench.config.rules[0].on_stall, 0);
	bench_start();
	assert_int_equal(expect(BELAY__ACTED_STARTED).pid, worker.pid);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	assert_string_equal(contents("runs"), "run\n");
	bench_stop();
	bench_start();
	beat_once(&worker, &act);
	act.origin = BELAY__SOCKET_MODE_ONLY;
	send_act(&act);
	(void)expect(BELAY__ACTED_SOCKET_MODE_ONLY);
	assert_string_equal(contents("runs"), "run\n");
	worker_end(&worker);
}

static void an_intent_is_not_run_on_who_is_heard_again(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("kill");
	(void)intended(&act, "kill", 0);
	worker.record->beats++;
	bench_start();
	(void)expect(BELAY__ACTED_RESUMED);
	worker_end(&worker);
}

static void the_table_of_a_new_gate_is_waited_for(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("report");
	(void)intended(&act, "report", 0);
	bench_table(false);
	bench_start();
	/* It looked, for this is held by the same brake. */
	assert_int_equal(next_count(BELAY__METRIC_ACTION_SPAWNED), 0);
	bench_table(true);
	assert_int_equal(expect(BELAY__ACTED_REPORTED).pid, worker.pid);
	worker_end(&worker);
}

static void an_adopted_commands_next_step_waits_for_the_table(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	char ladder[BELAY__ACTION_SIZE];
	(void)state;

	bench_fifo("go");
	bench_script("hold", SCRIPT_HOLD);
	(void)snprintf(ladder, sizeof(ladder), "command sh %s/hold, kill", bench.dir);
	bench_on_stall(ladder);
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	bench_kill();
	bench_table(false);
	bench_start();
	(void)expect(BELAY__ACTED_ADOPTED);
	bench_let_go("go");
	(void)expect_one_of(BELAY__ACTED_SUCCEEDED, BELAY__ACTED_UNKNOWN);
	bench_table(true);
	assert_int_equal(expect(BELAY__ACTED_SIGNALLED).step, 2);
	assert_int_equal(worker_reap(&worker), SIGKILL);
}

static void an_intent_finds_its_rule_by_name(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	struct belay__rule rule;
	(void)state;

	bench_on_stall("report");
	(void)intended(&act, "report", 0);
	rule = bench.config.rules[0];
	bench.config.rules[0] = bench.config.rules[1];
	bench.config.rules[1] = rule;
	(void)strcpy(bench.config.rules[0].on_stall, "kill");
	bench_start();
	assert_int_equal(expect(BELAY__ACTED_REPORTED).rule, 2);
	worker_end(&worker);
}

static void an_intent_of_a_rule_that_is_gone_is_left(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("kill");
	(void)strcpy(bench.config.options.on_stall, "kill");
	(void)intended(&act, "kill", 0);
	(void)strcpy(bench.config.rules[0].name, "another");
	bench_start();
	(void)expect(BELAY__ACTED_WRONG_RULE);
	worker_end(&worker);
}

static void an_intent_of_another_ladder_is_left(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("term 1s, kill");
	(void)intended(&act, "kill", 0);
	bench_start();
	assert_says(expect(BELAY__ACTED_LEFT_OFF).text, "changed");
	worker_end(&worker);
}

static void a_ladder_is_climbed_further_by_the_next_runner(void **state)
{
	struct worker worker = worker_start(WORKER_IGNORES_TERM);
	struct belay__msg_act act = act_on(&worker);
	(void)state;

	bench_on_stall("term 300ms, kill");
	bench_start();
	send_act(&act);
	(void)expect(BELAY__ACTED_SIGNALLED);
	bench_kill();
	bench_start();
	/* Not from its beginning: nobody gets two SIGTERM. */
	assert_int_equal(expect(BELAY__ACTED_SIGNALLED).step, 2);
	assert_int_equal(worker_reap(&worker), SIGKILL);
	expect_nothing();
}

static void a_journal_that_is_still_held_is_waited_for(void **state)
{
	struct worker worker = worker_start(WORKER_PLAIN);
	struct belay__msg_act act = act_on(&worker);
	char path[128];
	int fd;
	(void)state;

	(void)snprintf(path, sizeof(path), "%s/journal", bench.dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_return_code(fd, errno);
	assert_return_code(flock(fd, LOCK_EX), errno);
	bench_on_stall("report");
	bench_start();
	send_act(&act);
	belay__close(fd);
	(void)expect(BELAY__ACTED_REPORTED);
	worker_end(&worker);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_command_is_adopted_and_not_run_twice),
		TEST(a_command_outlives_the_end_of_its_runner),
		TEST(what_ended_meanwhile_is_unknown),
		TEST(an_intent_alone_is_run),
		TEST(an_intent_is_not_run_on_who_is_heard_again),
		TEST(the_table_of_a_new_gate_is_waited_for),
		TEST(an_adopted_commands_next_step_waits_for_the_table),
		TEST(an_intent_finds_its_rule_by_name),
		TEST(an_intent_of_a_rule_that_is_gone_is_left),
		TEST(an_intent_of_another_ladder_is_left),
		TEST(a_ladder_is_climbed_further_by_the_next_runner),
		TEST(a_journal_that_is_still_held_is_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
