/* The prober as the gate and the parent have it: a process with its channels. */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "identity/process_info.h"
#include "ipc/channel.h"
#include "observe/roles.h"

#define NOBODY      65534
#define ASKS        200
#define PATIENCE_MS 10000
#define WANTED      (BELAY__AIDE_PID_NS | BELAY__AIDE_EXE | BELAY__AIDE_ENV)

static pid_t prober;
static int parent_fd, gate_fd;
static unsigned answers, facts_after; /* how many answers came before the facts */
static struct belay__msg_answer answer;
static struct belay__msg_facts facts;

static int start(void **state)
{
	struct belay__msg_nothing nothing = { 0 };
	int to_parent[2], to_gate[2];

	(void)state;
	if (belay__channel_pair(to_parent) < 0 || belay__channel_pair(to_gate) < 0)
		return -1;
	prober = fork();
	if (prober == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (dup2(to_parent[1], BELAY__ROLE_CHANNEL) < 0)
			_exit(1);
		/* Who has this end open would not see the other one's end. */
		if (to_parent[0] != BELAY__ROLE_CHANNEL)
			(void)close(to_parent[0]);
		_exit(belay__prober_main());
	}
	parent_fd = to_parent[0];
	gate_fd = to_gate[0];
	answers = 0;
	facts_after = 0;
	facts.number = 0;
	if (belay__channel_send(parent_fd, BELAY__MSG_PROBER, &nothing, sizeof(nothing),
		    to_gate[1]) < 0)
		return -1;
	(void)close(to_parent[1]);
	(void)close(to_gate[1]);
	return 0;
}

static int stop(void **state)
{
	int status;

	(void)state;
	(void)close(gate_fd);
	(void)close(parent_fd);
	/* Nothing else ends it than that its parent is gone. */
	return waitpid(prober, &status, 0) == prober && status == 0 ? 0 : -1;
}

static int on_answer(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	answer = *(const struct belay__msg_answer *)record;
	answers++;
	return 0;
}

static int on_facts(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	facts = *(const struct belay__msg_facts *)record;
	facts_after = answers;
	return 0;
}

static void hear_one(void)
{
	static const struct belay__message_rule rules[] = {
		{ BELAY__MSG_ANSWER, sizeof(answer), BELAY__WITHOUT_FD, on_answer },
		{ BELAY__MSG_FACTS, sizeof(facts), BELAY__WITHOUT_FD, on_facts },
	};
	struct pollfd channel = { .fd = gate_fd, .events = POLLIN };

	assert_int_equal(poll(&channel, 1, PATIENCE_MS), 1);
	assert_int_equal(belay__channel_receive(gate_fd, rules, 2, NULL, 1), 1);
}

static void ask_who(uint64_t number, pid_t pid)
{
	const struct belay__msg_who who = { .number = number, .pid = (uint32_t)pid, .want = WANTED };

	assert_int_equal(belay__channel_send(gate_fd, BELAY__MSG_WHO, &who, sizeof(who), -EBADF), 0);
}

static void ask_why(pid_t pid, uint64_t start_ticks)
{
	const struct belay__msg_ask ask = { .pid = (uint32_t)pid, .start_ticks = start_ticks };

	assert_int_equal(belay__channel_send(gate_fd, BELAY__MSG_ASK, &ask, sizeof(ask), -EBADF), 0);
}

/* A process of UID that waits to be killed. */
static pid_t bystander(uid_t uid)
{
	int ends[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (setresuid(uid, uid, uid) < 0 || write(ends[1], "x", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	(void)close(ends[0]);
	return child;
}

static uint64_t start_of(pid_t pid)
{
	struct belay__stat stat;

	assert_int_equal(belay__read_stat(pid, &stat), 0);
	return stat.start_ticks;
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void it_tells_of_processes_of_its_own_user(void **state)
{
	pid_t child = bystander(geteuid());

	(void)state;
	ask_who(7, child);
	hear_one();
	assert_int_equal(facts.number, 7);
	assert_int_equal(facts.facts.known & WANTED, WANTED);
	ask_why(child, start_of(child));
	hear_one();
	assert_int_equal(answer.pid, child);
	assert_int_equal(answer.code, 0);
	end(child);
}

static void it_tells_nothing_of_processes_of_other_users(void **state)
{
	pid_t child;

	(void)state;
	if (geteuid() != 0)
		skip();
	child = bystander(NOBODY);
	ask_who(7, child);
	hear_one();
	assert_int_equal(facts.number, 7);
	assert_int_equal(facts.facts.known, 0);
	assert_int_equal(facts.facts.pid_ns, 0);
	ask_why(child, start_of(child));
	hear_one();
	assert_int_equal(answer.code, -EACCES);
	end(child);
}

static void who_waits_for_an_answer_goes_before_who_does_not(void **state)
{
	(void)state;
	/* All of it lies in the channel before any of it is read. */
	ask_who(1, getpid());
	hear_one();
	assert_int_equal(kill(prober, SIGSTOP), 0);
	assert_int_equal(waitpid(prober, NULL, WUNTRACED), prober);
	for (unsigned i = 0; i < ASKS; i++)
		ask_why(getpid(), 1); /* another one: answered without a second look */
	ask_who(2, getpid());
	assert_int_equal(kill(prober, SIGCONT), 0);
	while (answers < ASKS || facts.number != 2)
		hear_one();
	assert_in_range(facts_after, 0, ASKS / 4);
}

static void what_asks_for_nothing_is_answered(void **state)
{
	const struct belay__msg_who who = { .number = 9 };

	(void)state;
	assert_int_equal(belay__channel_send(gate_fd, BELAY__MSG_WHO, &who, sizeof(who), -EBADF), 0);
	hear_one();
	assert_int_equal(facts.number, 9);
	assert_int_equal(facts.facts.known, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_tells_of_processes_of_its_own_user),
		TEST(it_tells_nothing_of_processes_of_other_users),
		TEST(who_waits_for_an_answer_goes_before_who_does_not),
		TEST(what_asks_for_nothing_is_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
