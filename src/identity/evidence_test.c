#include "identity/evidence.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/stat.h>

#include "base/file.h"
#include "identity/proc_text.h"
#include "identity/test_child.h"
#include "identity/verdict.h"

static const struct belay__silence silence = { .silent_ns = 100, .threshold_ns = 100 };

static uint64_t now_ns(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC);
}

/* First look, wait, second look; the verdict. */
static enum belay__verdict look_twice(const struct child *child, struct belay__evidence *evidence)
{
	int r = belay__evidence_look(child->pid, child->start_ticks, now_ns(), evidence);

	assert_true(r == 0 || r == 1);
	if (r == 1) {
		uint64_t due_ns = now_ns() + BELAY__LOOK_APART_NS;

		while (now_ns() < due_ns)
			turn();
		assert_int_equal(belay__evidence_look_again(child->pid, child->start_ticks,
					 now_ns(), evidence),
			0);
		assert_true(evidence->apart_ns >= BELAY__LOOK_APART_NS);
	}
	return belay__judge(evidence, &silence);
}

static void who_sleeps_is_blocked_with_its_system_call(void **state)
{
	struct child child = child_start(body_sleeps, NULL);
	struct belay__evidence evidence;
	const uint32_t expected = BELAY__SEEN_STATE | BELAY__SEEN_TRACER | BELAY__SEEN_FREEZER;
	(void)state;

	child_wait_state(&child, 'S');
	assert_int_equal(belay__evidence_look(child.pid, child.start_ticks, now_ns(), &evidence), 0);
	assert_int_equal(evidence.seen & expected, expected);
	assert_int_equal(evidence.state, 'S');
	assert_int_equal(evidence.threads, 1);
	assert_int_equal(evidence.runnable, 0);
	assert_int_equal(evidence.uninterruptible, 0);
	assert_int_equal(evidence.tracer_pid, 0);
	assert_int_equal(evidence.frozen, 0);
	assert_int_equal(evidence.apart_ns, 0);
	if ((evidence.seen & BELAY__SEEN_SYSCALL) != 0)
		assert_non_null(belay__syscall_name(evidence.syscall_nr));
	assert_int_equal(belay__judge(&evidence, &silence), BELAY__VERDICT_BLOCKED);
	child_end(&child);
}

static int body_reads(void *argument)
{
	char byte;

	return (int)read(*(const int *)argument, &byte, 1);
}

static void the_descriptor_that_is_waited_on_is_told(void **state)
{
	int ends[2];
	struct child child;
	struct belay__evidence evidence;
	(void)state;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = child_start(body_reads, &ends[0]);
	child_wait_state(&child, 'S');
	assert_int_equal(belay__evidence_look(child.pid, child.start_ticks, now_ns(), &evidence), 0);
	child_end(&child);
	(void)belay__close(ends[0]);
	(void)belay__close(ends[1]);
	if ((evidence.seen & BELAY__SEEN_SYSCALL) == 0)
		skip();
	assert_string_equal(belay__syscall_name(evidence.syscall_nr), "read");
	assert_int_equal(evidence.syscall_arg, ends[0]);
}

static void who_spins_is_silent(void **state)
{
	struct child child = child_start(body_spins, NULL);
	uint64_t until_ns = now_ns() + TEST_WITHIN_NS;
	struct belay__evidence evidence;
	enum belay__verdict verdict;
	(void)state;

	/* On a busy host it may be starved for a while; it is never anything else. */
	do {
		child_wait_state(&child, 'R');
		verdict = look_twice(&child, &evidence);
		assert_true(verdict == BELAY__VERDICT_SILENT || verdict == BELAY__VERDICT_STARVED);
	} while (verdict != BELAY__VERDICT_SILENT && now_ns() < until_ns);
	assert_int_equal(verdict, BELAY__VERDICT_SILENT);
	assert_int_equal(evidence.runnable, 1);
	if ((evidence.seen & BELAY__SEEN_CPU_TIME) != 0)
		assert_true(evidence.cpu_ns > 0);
	child_end(&child);
}

static int first_cpu(void)
{
	cpu_set_t cpus;

	assert_return_code(sched_getaffinity(0, sizeof(cpus), &cpus), errno);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET((size_t)cpu, &cpus))
			return cpu;
	}
	return -1;
}

struct crowd {
	int cpu;
	bool victim;
};

static int body_crowds(void *argument)
{
	const struct crowd *crowd = argument;
	const struct sched_param parameters = { 0 };
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)crowd->cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0 ||
		(crowd->victim && sched_setscheduler(0, SCHED_IDLE, &parameters) < 0))
		return 98;
	return body_spins(NULL);
}

static bool schedule_is_known(pid_t pid)
{
	char path[64], bytes[64];
	struct belay__schedstat schedstat;
	ssize_t n;

	(void)snprintf(path, sizeof(path), "/proc/%d/schedstat", (int)pid);
	n = belay__read_file(AT_FDCWD, path, bytes, sizeof(bytes));
	return n > 0 && belay__parse_schedstat(bytes, (size_t)n, &schedstat) == 0 &&
		schedstat.slices > 0;
}

/* Whether the process sits on the CPU and under the policy that it asked for: it spins then, and
 * asks for no more. */
static void wait_until_it_spins(const struct child *child, int policy)
{
	uint64_t until_ns = now_ns() + TEST_WITHIN_NS;
	cpu_set_t cpus;

	do {
		assert_true(now_ns() < until_ns);
		turn();
		assert_return_code(sched_getaffinity(child->pid, sizeof(cpus), &cpus), errno);
	} while (CPU_COUNT(&cpus) != 1 || sched_getscheduler(child->pid) != policy);
	child_wait_state(child, 'R');
}

static void who_gets_no_cpu_is_starved(void **state)
{
	enum { CROWD = 4 };
	struct crowd crowd = { .cpu = first_cpu() };
	struct crowd victim = { .cpu = crowd.cpu, .victim = true };
	struct child crowding[CROWD], starving;
	struct belay__evidence evidence;
	enum belay__verdict verdict = BELAY__VERDICT_NONE;
	bool known;
	(void)state;

	for (int i = 0; i < CROWD; i++) {
		crowding[i] = child_start(body_crowds, &crowd);
		wait_until_it_spins(&crowding[i], SCHED_OTHER);
	}
	starving = child_start(body_crowds, &victim);
	wait_until_it_spins(&starving, SCHED_IDLE);
	known = schedule_is_known(starving.pid);

	/* Its share is under 0.1 %, but it may come in one piece. */
	for (int i = 0; i < 10 && known && verdict != BELAY__VERDICT_STARVED; i++)
		verdict = look_twice(&starving, &evidence);

	child_end(&starving);
	for (int i = 0; i < CROWD; i++)
		child_end(&crowding[i]);
	if (!known)
		skip();
	assert_int_equal(verdict, BELAY__VERDICT_STARVED);
	assert_true(evidence.run_delay_ns > evidence.cpu_ns);
}

static void who_is_stopped_is_stopped_until_it_continues(void **state)
{
	struct child child = child_start(body_spins, NULL);
	struct belay__evidence evidence;
	(void)state;

	child_signal(&child, SIGSTOP);
	child_wait_state(&child, 'T');
	assert_int_equal(belay__evidence_look(child.pid, child.start_ticks, now_ns(), &evidence), 0);
	assert_int_equal(belay__judge(&evidence, &silence), BELAY__VERDICT_STOPPED);
	child_signal(&child, SIGCONT);
	child_wait_state(&child, 'R');
	assert_int_equal(belay__evidence_look(child.pid, child.start_ticks, now_ns(), &evidence), 1);
	child_end(&child);
}

static void who_is_traced_is_traced_held_or_not(void **state)
{
	(void)state;

	for (int hold = 0; hold <= 1; hold++) {
		struct child child = child_start(body_sleeps, NULL);
		struct belay__evidence evidence;
		bool attached;

		child_wait_state(&child, 'S');
		attached = (hold ? ptrace(PTRACE_ATTACH, child.pid, NULL, NULL)
				 : ptrace(PTRACE_SEIZE, child.pid, NULL, NULL)) == 0;
		if (attached && hold)
			child_wait_state(&child, 't');
		assert_int_equal(
			belay__evidence_look(child.pid, child.start_ticks, now_ns(), &evidence), 0);
		child_end(&child);
		if (!attached)
			skip();
		assert_int_equal(evidence.tracer_pid, getpid());
		assert_int_equal(evidence.state, hold ? 't' : 'S');
		assert_int_equal(belay__judge(&evidence, &silence), BELAY__VERDICT_TRACED);
	}
}

/* A parent that waits as after vfork(2) is uninterruptible. */
static int body_waits_for_a_vforked_child(void *argument)
{
	pid_t parent = getpid();

	if (syscall(SYS_clone, CLONE_VFORK | SIGCHLD, NULL, NULL, NULL, NULL) == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(99);
		_exit(body_sleeps(argument));
	}
	return 0;
}

static void who_is_uninterruptible_is_blocked(void **state)
{
	struct child child = child_start(body_waits_for_a_vforked_child, NULL);
	struct belay__evidence evidence;
	(void)state;

	child_wait_state(&child, 'D');
	assert_int_equal(belay__evidence_look(child.pid, child.start_ticks, now_ns(), &evidence), 0);
	assert_int_equal(evidence.state, 'D');
	assert_int_equal(evidence.uninterruptible, 1);
	assert_int_equal(belay__judge(&evidence, &silence), BELAY__VERDICT_BLOCKED);
	child_end(&child);
}

static bool put(const char *folder, const char *file, const char *value)
{
	char path[256];
	int fd;
	bool done;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	done = fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
	(void)belay__close(fd);
	return done;
}

/* Freezes CHILD in a new cgroup below ROOT. False when this host does not let us. */
static bool freeze(const struct child *child, const char *root, const char *file, const char *word,
	char *cgroup, size_t size)
{
	char number[16];

	(void)snprintf(number, sizeof(number), "%d", (int)child->pid);
	(void)snprintf(cgroup, size, "%s/belay-test-%d", root, (int)getpid());
	if (mkdir(cgroup, 0755) < 0)
		return false;
	if (put(cgroup, "cgroup.procs", number) && put(cgroup, file, word))
		return true;
	(void)rmdir(cgroup);
	return false;
}

static const struct {
	const char *root, *file, *freeze, *thaw;
	int version;
} freezers[] = {
	{ "/sys/fs/cgroup/freezer", "freezer.state", "FROZEN", "THAWED", 1 },
	{ "/sys/fs/cgroup/unified", "cgroup.freeze", "1", "0", 2 },
	{ "/sys/fs/cgroup", "cgroup.freeze", "1", "0", 2 },
};

static int wait_until_frozen(const struct child *child, struct belay__evidence *evidence)
{
	uint64_t until_ns = now_ns() + TEST_WITHIN_NS;
	int r;

	do {
		turn();
		r = belay__evidence_look(child->pid, child->start_ticks, now_ns(), evidence);
	} while (r >= 0 && evidence->frozen == 0 && now_ns() < until_ns);
	return r;
}

static void who_is_frozen_is_frozen_by_either_version(void **state)
{
	int tried = 0;
	(void)state;

	for (size_t i = 0; i < sizeof(freezers) / sizeof(freezers[0]); i++) {
		struct child child = child_start(body_spins, NULL);
		struct belay__evidence evidence = { 0 };
		char cgroup[128];
		bool frozen = freeze(&child, freezers[i].root, freezers[i].file, freezers[i].freeze,
			cgroup, sizeof(cgroup));
		int r = frozen ? wait_until_frozen(&child, &evidence) : 0;

		/* Whatever was found: a frozen process of version 1 cannot even be killed. */
		if (frozen)
			assert_true(put(cgroup, freezers[i].file, freezers[i].thaw));
		child_end(&child);
		if (!frozen)
			continue;
		assert_int_equal(rmdir(cgroup), 0);
		tried++;
		assert_int_equal(r, 0);
		assert_int_equal(evidence.frozen, freezers[i].version);
		assert_int_equal(belay__judge(&evidence, &silence), BELAY__VERDICT_FROZEN);
	}
	if (tried == 0)
		skip();
}

static void *thread_sleeps(void *argument)
{
	(void)body_sleeps(argument);
	return NULL;
}

enum { MANY_THREADS = 80 };

/* Tells by a byte that all its threads are there. */
static int body_has_many_threads(void *argument)
{
	pthread_attr_t attributes;
	pthread_t thread;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, 65536);
	for (int i = 1; i < MANY_THREADS; i++) {
		if (pthread_create(&thread, &attributes, thread_sleeps, NULL) != 0)
			return 98;
	}
	if (write(*(const int *)argument, "!", 1) != 1)
		return 97;
	return body_spins(NULL);
}

static void many_threads_are_counted_and_some_looked_at(void **state)
{
	int ends[2];
	char byte;
	struct child child;
	struct belay__evidence evidence;
	(void)state;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	child = child_start(body_has_many_threads, &ends[1]);
	(void)belay__close(ends[1]);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	(void)belay__close(ends[0]);
	child_wait_state(&child, 'R');
	assert_int_equal(belay__evidence_look(child.pid, child.start_ticks, now_ns(), &evidence), 1);
	assert_int_equal(evidence.threads, MANY_THREADS);
	assert_true(evidence.runnable >= 1 && evidence.runnable <= 64);
	child_end(&child);
}

static void who_ended_is_not_looked_at(void **state)
{
	int code = 3;
	struct child child = child_start(body_ends, &code);
	struct belay__evidence evidence = { .threads = 5 };
	(void)state;

	child_wait_end(&child);
	for (int reaped = 0; reaped <= 1; reaped++) {
		assert_int_equal(belay__evidence_look(child.pid, child.start_ticks, 1, &evidence),
			-ESRCH);
		assert_int_equal(
			belay__evidence_look_again(child.pid, child.start_ticks, 1, &evidence),
			-ESRCH);
		if (reaped == 0)
			(void)child_reap(&child);
	}
	assert_int_equal(belay__evidence_look(getpid(), UINT64_MAX, 1, &evidence), -ESRCH);
	assert_int_equal(evidence.threads, 5);
}

/* Exit code 0: what may not be read is not seen, and the rest is. */
static int body_looks_as_nobody(void *argument)
{
	const struct child *child = argument;
	const uint32_t hidden = BELAY__SEEN_SYSCALL | BELAY__SEEN_WCHAN;
	struct belay__evidence evidence;

	if (setresgid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0 ||
		setresuid(TEST_NOBODY, TEST_NOBODY, TEST_NOBODY) < 0)
		return 98;
	if (belay__evidence_look(child->pid, child->start_ticks, now_ns(), &evidence) != 0)
		return 1;
	if ((evidence.seen & BELAY__SEEN_STATE) == 0 || evidence.state != 'S')
		return 2;
	if ((evidence.seen & hidden) != 0)
		return 3;
	return belay__judge(&evidence, &silence) == BELAY__VERDICT_BLOCKED ? 0 : 4;
}

static void a_foreign_process_shows_less_and_nothing_is_guessed(void **state)
{
	struct child child, looker;
	int status;
	(void)state;

	if (geteuid() != 0)
		skip();
	child = child_start(body_sleeps, NULL);
	child_wait_state(&child, 'S');
	looker = child_start(body_looks_as_nobody, &child);
	status = child_reap(&looker);
	child_end(&child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_sleeps_is_blocked_with_its_system_call),
		TEST(the_descriptor_that_is_waited_on_is_told),
		TEST(who_spins_is_silent),
		TEST(who_gets_no_cpu_is_starved),
		TEST(who_is_stopped_is_stopped_until_it_continues),
		TEST(who_is_traced_is_traced_held_or_not),
		TEST(who_is_uninterruptible_is_blocked),
		TEST(who_is_frozen_is_frozen_by_either_version),
		TEST(many_threads_are_counted_and_some_looked_at),
		TEST(who_ended_is_not_looked_at),
		TEST(a_foreign_process_shows_less_and_nothing_is_guessed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
