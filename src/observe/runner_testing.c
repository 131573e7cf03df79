#include "observe/runner_testing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <belay/vlp.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "identity/process_info.h"
#include "identity/verdict.h"
#include "ipc/channel.h"
#include "observe/brakes.h"
#include "observe/remote.h"
#include "observe/state_file.h"
#include "observe/table.h"

enum { CAPACITY = 64, WITHIN_MS = 30000, TOLD_MAX = 256 };

struct bench bench;

static struct belay__state_file file;
static struct belay__table table;
static struct belay__msg_acted told[TOLD_MAX];
static unsigned told_head, told_count;
static struct belay__msg_planned planned;
static struct belay__msg_alerted alerted;
static struct belay__msg_open open_problem;
static bool has_planned, has_alerted, has_open;
static int fds_before;

static void path_of(const char *name, char *path, size_t size)
{
	(void)snprintf(path, size, "%s/%s", bench.dir, name);
}

static void open_table(uint32_t capacity)
{
	struct belay_error error = { .text = "" };
	char path[128];
	int fd;

	path_of("state", path, sizeof(path));
	fd = belay__state_open(path, &error);
	if (fd < 0)
		fail_msg("%s", error.text);
	assert_int_equal(belay__state_map_take(fd, capacity, &file, &error), 0);
	belay__table_init(&table, capacity, belay__state_slots(&file), belay__state_records(&file),
		1);
	belay__state_commit(&file);
	bench.config.options.capacity = capacity;
}

void bench_capacity(uint32_t capacity)
{
	belay__state_done(&file);
	open_table(capacity);
}

int bench_open(void **state)
{
	struct belay__rule *rule;
	ssize_t n;

	(void)state;
	fds_before = belay__fd_count();
	bench = (struct bench){ .channel = -EBADF, .gate = -EBADF };
	bench.brakes = belay__brakes_create();
	if (bench.brakes < 0)
		return -1;
	(void)snprintf(bench.dir, sizeof(bench.dir), "/dev/shm/belay-runner-XXXXXX");
	if (mkdtemp(bench.dir) == NULL || chmod(bench.dir, 0777) < 0)
		return -1;
	n = readlink("/proc/self/exe", bench.exe, sizeof(bench.exe) - 1);
	if (n < 0)
		return -1;
	bench.exe[n] = '\0';
	belay__observe_defaults(&bench.config.options);
	bench.config.options.recovery_debounce_ns = 0;
	bench.config.rule_count = 2;
	rule = &bench.config.rules[0];
	belay__rule_defaults(rule);
	(void)snprintf(rule->name, sizeof(rule->name), "ours");
	(void)snprintf(rule->exe, sizeof(rule->exe), "%s", bench.exe);
	rule->uid = geteuid();
	rule->run_as = geteuid() == 0 ? BELAY__RUN_AS_ROOT : BELAY__RUN_AS_PROCESS;
	belay__rule_defaults(&bench.config.rules[1]);
	bench.config.rules[1].uid = TEST_OTHER_UID;
	(void)snprintf(bench.config.rules[1].name, sizeof(rule->name), "theirs");
	told_head = told_count = 0;
	open_table(CAPACITY);
	return 0;
}

static void remove_dir(void)
{
	static const char *const names[] = { "state", "journal", "out", "out.new", "runs", "go",
		"note", "hold", "fail", "stubborn", "who", "audit", "quick", "alert", "told" };
	char path[128];

	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		path_of(names[i], path, sizeof(path));
		(void)unlink(path);
	}
	if (rmdir(bench.dir) < 0)
		print_error("%s is not empty\n", bench.dir);
}

int bench_close(void **state)
{
	(void)state;
	if (bench.runner > 0)
		bench_stop();
	belay__state_done(&file);
	belay__close(bench.brakes);
	remove_dir();
	return belay__fd_count() == fds_before ? 0 : -1;
}

void bench_script(const char *name, const char *text)
{
	char path[128];
	int fd;

	path_of(name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	assert_return_code(fd, errno);
	assert_int_equal(belay__write_all(fd, text, strlen(text)), 0);
	belay__close(fd);
}

void bench_on_stall(const char *ladder)
{
	for (unsigned i = 0; i < bench.config.rule_count; i++)
		(void)snprintf(bench.config.rules[i].on_stall,
			sizeof(bench.config.rules[i].on_stall), "%s", ladder);
}

void bench_command(const char *script, const char *arguments)
{
	char ladder[BELAY__ACTION_SIZE];

	(void)snprintf(ladder, sizeof(ladder), "command sh %s/%s %s", bench.dir, script, arguments);
	bench_on_stall(ladder);
	for (unsigned i = 0; i < bench.config.rule_count; i++)
		(void)snprintf(bench.config.rules[i].on_exit, sizeof(bench.config.rules[i].on_exit),
			"%s", ladder + strlen("command "));
}

/* --- the runner --- */

static void tell_runner(uint32_t type, const void *record, uint32_t size, int fd)
{
	assert_int_equal(belay__channel_send(bench.channel, type, record, size, fd), 0);
}

static void give(uint32_t type, int fd)
{
	struct belay__msg_nothing nothing = { 0 };

	tell_runner(type, &nothing, sizeof(nothing), fd);
}

void bench_new_gate(void)
{
	int ends[2];

	assert_int_equal(belay__channel_pair(ends), 0);
	give(BELAY__MSG_GATE, ends[1]);
	belay__close(ends[1]);
	belay__close(bench.gate);
	bench.gate = ends[0];
}

static void give_rules(void)
{
	tell_runner(BELAY__MSG_OPTIONS, &bench.config.options, sizeof(bench.config.options), -EBADF);
	give(BELAY__MSG_FORGET_RULES, -EBADF);
	for (unsigned i = 0; i < bench.config.rule_count; i++)
		tell_runner(BELAY__MSG_RULE, &bench.config.rules[i], sizeof(bench.config.rules[i]),
			-EBADF);
}

static void configure(void)
{
	struct belay__msg_go go = { .reload = 0 };
	char path[128];

	give_rules();
	if (!bench.without_state)
		give(BELAY__MSG_STATE, file.fd);
	if (!bench.without_journal) {
		int fd;

		path_of("journal", path, sizeof(path));
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		assert_return_code(fd, errno);
		give(BELAY__MSG_JOURNAL, fd);
		belay__close(fd);
	}
	give(BELAY__MSG_BRAKES, bench.brakes);
	if (bench.pause != NULL)
		bench_pause(bench.pause, 3600 * BELAY__NS_PER_S);
	tell_runner(BELAY__MSG_GO, &go, sizeof(go), -EBADF);
	bench_new_gate();
}

void bench_pause(const char *pattern, uint64_t for_ns)
{
	struct belay__msg_pause pause = {
		.until_realtime_ns = for_ns != 0 ? belay__clock_ns(CLOCK_REALTIME) + for_ns : 0
	};

	(void)snprintf(pause.pattern, sizeof(pause.pattern), "%s", pattern);
	tell_runner(BELAY__MSG_PAUSE, &pause, sizeof(pause), -EBADF);
}

/* Who has lost PARENT before it asked for the signal would stay for ever, and hold what the test
 * writes to. */
static void die_with(pid_t parent)
{
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(97);
}

static void be_runner(pid_t parent, int channel)
{
	die_with(parent);
	if (dup2(channel, BELAY__ROLE_CHANNEL) < 0 ||
		syscall(SYS_close_range, BELAY__ROLE_CHANNEL + 1, ~0U, 0) < 0)
		_exit(99);
	_exit(belay__runner_main());
}

static void be_sibling(pid_t parent)
{
	die_with(parent);
	(void)syscall(SYS_close_range, 3U, ~0U, 0);
	for (;;)
		(void)pause();
}

/* Starts the runner and another role, says who they are, and ends as the runner did. */
static void be_parent(pid_t test, int channel, int said)
{
	pid_t children[2], self = getpid();
	int status;

	die_with(test);
	children[0] = fork();
	if (children[0] == 0)
		be_runner(self, channel);
	children[1] = fork();
	if (children[1] == 0)
		be_sibling(self);
	(void)belay__write_all(said, children, sizeof(children));
	/* The runner's channel ends with its other end. */
	(void)syscall(SYS_close_range, 3U, ~0U, 0);
	if (waitpid(children[0], &status, 0) != children[0])
		_exit(98);
	_exit(WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status));
}

void bench_start(void)
{
	pid_t children[2], self = getpid();
	int ends[2], said[2];

	assert_int_equal(belay__channel_pair(ends), 0);
	assert_return_code(pipe2(said, O_CLOEXEC), errno);
	bench.parent = fork();
	assert_return_code(bench.parent, errno);
	if (bench.parent == 0)
		be_parent(self, ends[1], said[1]);
	bench.channel = ends[0];
	belay__close(ends[1]);
	belay__close(said[1]);
	assert_int_equal(read(said[0], children, sizeof(children)), sizeof(children));
	belay__close(said[0]);
	bench.runner = children[0];
	bench.sibling = children[1];
	configure();
}

void bench_reload(void)
{
	struct belay__msg_go go = { .reload = 1 };

	give_rules();
	tell_runner(BELAY__MSG_GO, &go, sizeof(go), -EBADF);
	/* It listens to another gate after all that was said before. */
	bench_new_gate();
}

static void runner_ended(bool killed)
{
	int status;

	assert_int_equal(waitpid(bench.parent, &status, 0), bench.parent);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), killed ? 100 + SIGKILL : 0);
	bench.runner = 0;
	bench.channel = belay__close(bench.channel);
	bench.gate = belay__close(bench.gate);
}

void bench_stop(void)
{
	bench.channel = belay__close(bench.channel);
	runner_ended(/* killed= */ false);
}

void bench_kill(void)
{
	(void)kill(bench.runner, SIGKILL);
	runner_ended(/* killed= */ true);
}

/* --- workers --- */

static void worker_main(enum worker_kind kind, int ready)
{
	/* As after an exec: the runner's channel ends with its other ends. */
	if (dup2(ready, 3) < 0 || syscall(SYS_close_range, 4U, ~0U, 0) < 0)
		_exit(98);
	if (kind == WORKER_IGNORES_TERM)
		(void)signal(SIGTERM, SIG_IGN);
	if (kind == WORKER_IS_ANOTHERS && (setgid(TEST_OTHER_UID) < 0 || setuid(TEST_OTHER_UID) < 0))
		_exit(99);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)belay__write_all(3, "r", 1);
	belay__close(3);
	for (;;)
		(void)pause();
}

static void enter(struct worker *worker, uint32_t uid)
{
	struct belay__slot *slot;

	worker->slot = belay__table_insert(&table, (uint32_t)worker->pid);
	assert_int_not_equal(worker->slot, BELAY__NO_SLOT);
	slot = &table.slots[worker->slot];
	slot->start_ticks = worker->start_ticks;
	slot->origin = BELAY__KERNEL_ATTESTED;
	worker->record = &table.records[slot->record];
	worker->record->uid = uid;
	worker->record->beats = 7;
	worker->record->rule = uid == TEST_OTHER_UID ? 2 : 1;
	(void)snprintf(worker->record->name, sizeof(worker->record->name), "%s", TEST_NAME);
}

struct worker worker_afar(uint32_t key, const char *name, uint8_t origin, uint16_t rule)
{
	struct worker worker = { .pid = (pid_t)key, .pidfd = -EBADF };

	enter(&worker, BELAY__NO_UID);
	table.slots[worker.slot].origin = origin;
	worker.record->rule = rule;
	(void)snprintf(worker.record->name, sizeof(worker.record->name), "%s", name);
	return worker;
}

static bool start_worker(enum worker_kind kind, pid_t set_tid, struct worker *ret_worker)
{
	struct clone_args arguments = { .exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&set_tid,
		.set_tid_size = 1 };
	struct worker worker = { .pidfd = -EBADF };
	struct belay__stat stat;
	int ready[2];
	char byte;

	assert_return_code(pipe2(ready, O_CLOEXEC), errno);
	worker.pid = set_tid != 0 ? (pid_t)syscall(SYS_clone3, &arguments, sizeof(arguments))
				  : fork();
	if (worker.pid == 0)
		worker_main(kind, ready[1]);
	belay__close(ready[1]);
	if (worker.pid < 0) {
		belay__close(ready[0]);
		return false;
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	belay__close(ready[0]);
	worker.pidfd = (int)syscall(SYS_pidfd_open, worker.pid, 0);
	assert_return_code(worker.pidfd, errno);
	assert_int_equal(belay__read_stat(worker.pid, &stat), 0);
	worker.start_ticks = stat.start_ticks;
	enter(&worker, kind == WORKER_IS_ANOTHERS ? TEST_OTHER_UID : geteuid());
	*ret_worker = worker;
	return true;
}

struct worker worker_start(enum worker_kind kind)
{
	struct worker worker;

	assert_true(start_worker(kind, 0, &worker));
	return worker;
}

bool worker_start_as(pid_t set_tid, struct worker *ret_worker)
{
	return start_worker(WORKER_PLAIN, set_tid, ret_worker);
}

int worker_reap(struct worker *worker)
{
	int status;

	assert_int_equal(waitpid(worker->pid, &status, 0), worker->pid);
	worker->pidfd = belay__close(worker->pidfd);
	belay__table_remove(&table, belay__table_find(&table, (uint32_t)worker->pid));
	return status;
}

void worker_end(struct worker *worker)
{
	assert_return_code(syscall(SYS_pidfd_send_signal, worker->pidfd, SIGKILL, NULL, 0), errno);
	(void)worker_reap(worker);
}

/* --- the gate --- */

struct belay__msg_act act_on(const struct worker *worker)
{
	struct belay__msg_act act = {
		.on = BELAY__ACT_ON_STALL,
		.verdict = BELAY__VERDICT_SILENT,
		.origin = BELAY__KERNEL_ATTESTED,
		.status = BELAY_DEGRADED,
		.rule = worker->record->rule,
		.pid = (uint32_t)worker->pid,
		.uid = worker->record->uid,
		.start_ticks = worker->start_ticks,
		.beats = worker->record->beats,
		.seq = 42,
		.observer_ns = 1000000000,
		.silent_ns = 5250000000,
		.threshold_ns = 5000000000,
		.name = TEST_NAME,
		.evidence = "waits in futex",
	};
	uint64_t pid_ns;

	(void)snprintf(act.rule_name, sizeof(act.rule_name), "%s",
		bench.config.rules[act.rule - 1].name);

	if (belay__read_pid_namespace(getpid(), &pid_ns) == 0)
		act.pid_ns = pid_ns;
	return act;
}

void send_gate(uint32_t type, const void *record, uint32_t size)
{
	assert_int_equal(belay__channel_send(bench.gate, type, record, size, -EBADF), 0);
}

void send_act(const struct belay__msg_act *act)
{
	send_gate(BELAY__MSG_ACT, act, sizeof(*act));
}

void beat_once(struct worker *worker, struct belay__msg_act *act)
{
	act->beats = ++worker->record->beats;
}

void bench_table(bool there)
{
	/* Where the header says which of the two tables is in use. */
	static const off_t at_in_use = 40;
	const uint32_t in_use = there ? file.spare : 2;

	assert_int_equal(pwrite(file.fd, &in_use, sizeof(in_use), at_in_use), sizeof(in_use));
}

static int on_acted(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	assert_true(told_count < TOLD_MAX);
	told[(told_head + told_count++) % TOLD_MAX] = *(const struct belay__msg_acted *)record;
	return 0;
}

static int on_planned(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	planned = *(const struct belay__msg_planned *)record;
	has_planned = true;
	return 0;
}

static int on_counts(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	bench.counts = *(const struct belay__msg_runner_counts *)record;
	bench.counts_seen++;
	return 0;
}

static int on_alerted(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	alerted = *(const struct belay__msg_alerted *)record;
	has_alerted = true;
	return 0;
}

static int on_open(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	open_problem = *(const struct belay__msg_open *)record;
	has_open = true;
	return 0;
}

static const struct belay__message_rule gate_rules[] = {
	{ BELAY__MSG_ALERTED, sizeof(struct belay__msg_alerted), BELAY__WITHOUT_FD, on_alerted },
	{ BELAY__MSG_OPEN, sizeof(struct belay__msg_open), BELAY__WITHOUT_FD, on_open },
	{ BELAY__MSG_ACTED, sizeof(struct belay__msg_acted), BELAY__WITHOUT_FD, on_acted },
	{ BELAY__MSG_PLANNED, sizeof(struct belay__msg_planned), BELAY__WITHOUT_FD, on_planned },
	{ BELAY__MSG_RUNNER_COUNTS, sizeof(struct belay__msg_runner_counts), BELAY__WITHOUT_FD,
		on_counts },
};

static int listen_for(int wait_ms)
{
	struct pollfd wait = { .fd = bench.gate, .events = POLLIN };

	if (poll(&wait, 1, wait_ms) != 1)
		return -ETIMEDOUT;
	return belay__channel_receive(bench.gate, gate_rules,
		sizeof(gate_rules) / sizeof(gate_rules[0]), NULL, 1);
}

struct belay__msg_acted expect_one_of(enum belay__acted one, enum belay__acted other)
{
	struct belay__msg_acted acted;

	while (told_count == 0) {
		int r = listen_for(WITHIN_MS);

		if (r < 0)
			fail_msg("nothing was told where '%s' was expected: %s",
				belay__acted_word(one), strerror(-r));
	}
	acted = told[told_head];
	told_head = (told_head + 1) % TOLD_MAX;
	told_count--;
	if (acted.outcome != one && acted.outcome != other)
		fail_msg("'%s' (%s) was told where '%s' was expected",
			belay__acted_word((enum belay__acted)acted.outcome), acted.text,
			belay__acted_word(one));
	return acted;
}

struct belay__msg_acted expect(enum belay__acted outcome)
{
	return expect_one_of(outcome, outcome);
}

void assert_says(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("'%s' is not in:\n%s", part, text);
}

struct belay__msg_planned expect_planned(void)
{
	has_planned = false;
	while (!has_planned)
		assert_return_code(listen_for(WITHIN_MS), 0);
	return planned;
}

struct belay__msg_alerted expect_alerted(void)
{
	has_alerted = false;
	while (!has_alerted)
		assert_return_code(listen_for(WITHIN_MS), 0);
	return alerted;
}

struct belay__msg_open expect_open(void)
{
	has_open = false;
	while (!has_open)
		assert_return_code(listen_for(WITHIN_MS), 0);
	return open_problem;
}

void expect_nothing(void)
{
	if (told_count > 0)
		fail_msg("'%s' was told, too",
			belay__acted_word((enum belay__acted)told[told_head].outcome));
}

uint64_t next_count(uint32_t metric)
{
	unsigned seen = bench.counts_seen;

	while (bench.counts_seen == seen)
		assert_return_code(listen_for(WITHIN_MS), 0);
	for (uint32_t i = 0; i < bench.counts.count; i++)
		if (bench.counts.counts[i].metric == metric)
			return bench.counts.counts[i].value;
	return UINT64_MAX;
}

const char *contents(const char *name)
{
	static char text[8192];
	char path[128];

	path_of(name, path, sizeof(path));
	if (belay__read_file(AT_FDCWD, path, text, sizeof(text)) < 0)
		text[0] = '\0';
	return text;
}

void bench_fifo(const char *name)
{
	char path[128];

	path_of(name, path, sizeof(path));
	assert_return_code(mkfifo(path, 0666), errno);
	assert_return_code(chmod(path, 0666), errno);
}

void bench_let_go(const char *name)
{
	char path[128];
	int fd;

	path_of(name, path, sizeof(path));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	assert_return_code(fd, errno);
	assert_int_equal(belay__write_all(fd, "go\n", 3), 0);
	belay__close(fd);
}
