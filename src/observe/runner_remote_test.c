/* What the runner does about a process of another host: a command where the operator vouches for it,
 * and nothing that would mean somebody here. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/remote.h"
#include "observe/runner_testing.h"

#define TEST(function) cmocka_unit_test_setup_teardown(function, bench_open, bench_close)

/* Rule 1 becomes one about the host web1, with the note for a command. */
static void begin(const char *ladder)
{
	struct belay__rule *rule = &bench.config.rules[0];

	rule->exe[0] = '\0';
	rule->uid = -1;
	(void)strcpy(rule->host, "web[1-3]");
	bench_script("note", SCRIPT_NOTE);
	if (ladder == NULL)
		bench_command("note", "{pid} {host} {name} [{uid}]");
	else
		bench_on_stall(ladder);
}

static struct belay__msg_act about(const struct worker *worker)
{
	struct belay__msg_act act = act_on(worker);

	act.origin = BELAY__OPERATOR_ATTESTED;
	act.pid_ns = 0;
	(void)snprintf(act.name, sizeof(act.name), "%s", worker->record->name);
	return act;
}

static void its_command_gets_its_pid_there_and_its_host(void **state)
{
	struct worker worker = worker_afar(belay__process_key(2, 4251), "web2/ours",
		BELAY__OPERATOR_ATTESTED, 1);
	struct belay__msg_act act;
	(void)state;

	begin(NULL);
	bench_start();
	act = about(&worker);
	send_act(&act);
	(void)expect(BELAY__ACTED_STARTED);
	(void)expect(BELAY__ACTED_SUCCEEDED);
	assert_says(contents("out"), "<4251>\n<web2>\n<web2/ours>\n<[]>\n");
	assert_says(contents("out"), "\nBELAY_HOST=web2\n");
	assert_says(contents("out"), "\nBELAY_PID=4251\n");
	assert_null(strstr(contents("out"), "BELAY_PIDFD"));
	expect_nothing();
}

static void nobody_vouches_for_it_without_the_operators_word(void **state)
{
	struct worker worker = worker_afar(belay__process_key(2, 4251), "web2/ours",
		BELAY__NETWORK_UNVERIFIED, 1);
	struct belay__msg_act act;
	(void)state;

	begin(NULL);
	bench_start();
	act = about(&worker);
	act.origin = BELAY__NETWORK_UNVERIFIED;
	send_act(&act);
	(void)expect(BELAY__ACTED_UNAUTHENTICATED);
	expect_nothing();
}

static void no_signal_is_sent_to_whoever_has_its_pid_here(void **state)
{
	struct worker ours = worker_start(WORKER_PLAIN);
	struct worker worker = worker_afar(belay__process_key(2, (uint32_t)ours.pid), "web2/ours",
		BELAY__OPERATOR_ATTESTED, 1);
	struct belay__msg_act act;
	(void)state;

	begin("term 1s, kill");
	bench_start();
	act = about(&worker);
	send_act(&act);
	assert_says(expect(BELAY__ACTED_UNAUTHENTICATED).text, "another host");
	expect_nothing();
	assert_int_equal(waitpid(ours.pid, NULL, WNOHANG), 0);
	worker_end(&ours);
}

static void it_is_looked_at_again_like_any_other(void **state)
{
	struct worker worker = worker_afar(belay__process_key(2, 4251), "web2/ours",
		BELAY__OPERATOR_ATTESTED, 1);
	struct belay__msg_act act;
	(void)state;

	begin(NULL);
	bench_start();
	act = about(&worker);
	act.beats--;
	send_act(&act);
	(void)expect(BELAY__ACTED_RESUMED);
	act.beats++;
	act.pid = belay__process_key(3, 4251);
	send_act(&act);
	(void)expect(BELAY__ACTED_RECYCLED);
	expect_nothing();
}

static void a_rule_about_other_hosts_does_not_speak_for_it(void **state)
{
	struct worker worker = worker_afar(belay__process_key(9, 4251), "db/ours",
		BELAY__OPERATOR_ATTESTED, 1);
	struct belay__msg_act act;
	(void)state;

	begin(NULL);
	bench_start();
	act = about(&worker);
	send_act(&act);
	assert_says(expect(BELAY__ACTED_WRONG_RULE).text, "db");
	expect_nothing();
}

static void root_needs_its_rules_word_for_it(void **state)
{
	struct worker worker = worker_afar(belay__process_key(2, 4251), "web2/ours",
		BELAY__OPERATOR_ATTESTED, 1);
	struct belay__msg_act act;
	(void)state;

	if (geteuid() != 0)
		skip();
	begin(NULL);
	bench.config.rules[0].run_as = BELAY__RUN_AS_PROCESS;
	bench_start();
	act = about(&worker);
	send_act(&act);
	(void)expect(BELAY__ACTED_NO_ROOT);
	expect_nothing();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(its_command_gets_its_pid_there_and_its_host),
		TEST(nobody_vouches_for_it_without_the_operators_word),
		TEST(no_signal_is_sent_to_whoever_has_its_pid_here),
		TEST(it_is_looked_at_again_like_any_other),
		TEST(a_rule_about_other_hosts_does_not_speak_for_it),
		TEST(root_needs_its_rules_word_for_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
