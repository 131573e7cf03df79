#include "process/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/missing.h"
#include "identity/identity.h"
#include "identity/process_info.h"
#include "process/capture.h"
#include "process/journal.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WITHIN_NS    (30 * BELAY__NS_PER_S)

enum { NOBODY = 65534, TIMEOUT_MS = 30000, PATH_SIZE = 64 };

/* One directory with a file that commands write to, and two named pipes. */
static struct {
	struct belay__loop *loop;
	char directory[32], out[PATH_SIZE], gate[PATH_SIZE], voice[PATH_SIZE];
	int fds;
} house;

static struct belay__environment environment;

struct run {
	struct belay__command *command;
	struct belay__command_result result;
	int calls;
};

static int open_house(void **state)
{
	(void)state;
	(void)strcpy(house.directory, "/tmp/belay-command-XXXXXX");
	house.fds = belay__fd_count();
	if (mkdtemp(house.directory) == NULL || chmod(house.directory, 0777) < 0)
		return -1;
	(void)snprintf(house.out, PATH_SIZE, "%s/out", house.directory);
	(void)snprintf(house.gate, PATH_SIZE, "%s/gate", house.directory);
	(void)snprintf(house.voice, PATH_SIZE, "%s/voice", house.directory);
	if (mkfifo(house.gate, 0666) < 0 || chmod(house.gate, 0666) < 0 ||
		mkfifo(house.voice, 0666) < 0 || chmod(house.voice, 0666) < 0)
		return -1;
	belay__environment_init(&environment);
	(void)belay__environment_set_value(&environment, "OUT", house.out, strlen(house.out));
	(void)belay__environment_set_value(&environment, "GATE", house.gate, strlen(house.gate));
	(void)belay__environment_set_value(&environment, "VOICE", house.voice, strlen(house.voice));
	return belay__loop_new(&house.loop);
}

/* Each test gives back the descriptors it took and leaves no child. */
static int close_house(void **state)
{
	(void)state;
	house.loop = belay__loop_free(house.loop);
	(void)unlink(house.out);
	(void)unlink(house.gate);
	(void)unlink(house.voice);
	(void)rmdir(house.directory);
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		return -1;
	return belay__fd_count() == house.fds ? 0 : -1;
}

static void note_end(struct belay__command *command, const struct belay__command_result *result,
	void *data)
{
	struct run *run = data;

	assert_ptr_equal(command, run->command);
	run->result = *result;
	run->calls++;
}

static int start(struct run *run, const char *const *argv, struct belay__command_options options,
	struct belay_error *reterr)
{
	*run = (struct run){ 0 };
	options.argv = argv;
	options.environment = &environment;
	if (options.credentials == NULL)
		options.run_as_root |= geteuid() == 0;
	return belay__command_start(house.loop, &options, note_end, run, &run->command, reterr);
}

static void start_shell(struct run *run, const char *script, struct belay__command_options options)
{
	const char *const argv[] = { "sh", "-c", script, NULL };

	assert_int_equal(start(run, argv, options, NULL), 0);
}

static void wait_for_end(struct run *run)
{
	uint64_t until_ns = belay__clock_ns(CLOCK_MONOTONIC) + WITHIN_NS;

	while (run->calls == 0) {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < until_ns);
		assert_true(belay__loop_turn(house.loop, BELAY__NS_PER_S) >= 0);
	}
	assert_int_equal(run->calls, 1);
}

static struct belay__command_result run_shell(const char *script,
	struct belay__command_options options)
{
	struct run run;

	start_shell(&run, script, options);
	wait_for_end(&run);
	return run.result;
}

static void assert_exited(const struct belay__command_result *result, int code)
{
	assert_int_equal(result->end, BELAY__COMMAND_EXITED);
	assert_int_equal(result->exit_code, code);
	assert_int_equal(result->signal, 0);
	assert_int_equal(result->kill_error, 0);
}

/* What the command wrote to $OUT. */
static const char *output(void)
{
	static char text[8192];
	ssize_t n = belay__read_file(AT_FDCWD, house.out, text, sizeof(text));

	assert_true(n >= 0);
	for (ssize_t i = 0; i < n; i++)
		if (text[i] == '\0')
			text[i] = '|';
	return text;
}

static int open_pipe(const char *path, int flags)
{
	int fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* Waits for the next byte at VOICE, or for its end: 0. */
static char hear(int voice)
{
	struct pollfd ready = { .fd = voice, .events = POLLIN };
	char byte = 0;

	assert_int_equal(poll(&ready, 1, TIMEOUT_MS), 1);
	assert_true(read(voice, &byte, 1) >= 0);
	return byte;
}

static void values_arrive_as_they_are(void **state)
{
	static struct belay__arguments arguments;
	const struct belay__value values[] = {
		{ "name", "a b;$(id)`id`\"'\\*&|>x\n", 22 },
		{ "pid", "4711", 4 },
	};
	const char *argv[16] = { "sh", "-c", "printf '%s|' \"$@\" >\"$OUT\"" };
	struct run run;
	(void)state;

	assert_int_equal(belay__template_expand("sh {name} --pid={pid} $HOME * 'x", values,
				 COUNT(values), &arguments),
		0);
	memcpy(&argv[3], arguments.words, (arguments.count + 1) * sizeof(argv[0]));
	assert_int_equal(start(&run, argv, (struct belay__command_options){ 0 }, NULL), 0);
	wait_for_end(&run);
	assert_exited(&run.result, 0);
	assert_string_equal(output(), "a b;$(id)`id`\"'\\*&|>x\n|--pid=4711|$HOME|*|'x|");
}

static void the_environment_is_what_was_given_and_nothing_else(void **state)
{
	const char *const argv[] = { "cp", "/proc/self/environ", house.out, NULL };
	char expected[512];
	struct run run;
	(void)state;

	assert_int_equal(setenv("SECRET", "of ours", 1), 0);
	assert_int_equal(belay__environment_set(&environment, "BELAY_NAME=a b"), 0);
	assert_int_equal(start(&run, argv, (struct belay__command_options){ 0 }, NULL), 0);
	wait_for_end(&run);
	assert_exited(&run.result, 0);
	(void)snprintf(expected, sizeof(expected),
		"PATH=/usr/bin:/bin|OUT=%s|GATE=%s|VOICE=%s|BELAY_NAME=a b|", house.out, house.gate,
		house.voice);
	assert_string_equal(output(), expected);
	assert_int_equal(unsetenv("SECRET"), 0);
}

static void it_runs_in_a_place_of_its_own(void **state)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	struct belay__command_result result;
	struct sigaction before;
	char expected[256];
	struct run run;
	(void)state;

	assert_int_equal(sigaction(SIGPIPE, &ignore, &before), 0);
	start_shell(&run,
		"{ pwd; umask; readlink /proc/self/fd/0; echo $$; cut -d' ' -f5 /proc/$$/stat;"
		" grep -E '^(NoNewPrivs|SigIgn|SigBlk)' /proc/self/status; } >\"$OUT\"",
		(struct belay__command_options){ 0 });
	(void)snprintf(expected, sizeof(expected),
		"/\n0022\n/dev/null\n%d\n%d\nSigBlk:\t0000000000000000\n"
		"SigIgn:\t0000000000000000\nNoNewPrivs:\t%d\n",
		(int)belay__command_pid(run.command), (int)belay__command_pid(run.command),
		geteuid() != 0);
	wait_for_end(&run);
	result = run.result;
	assert_int_equal(sigaction(SIGPIPE, &before, NULL), 0);
	assert_exited(&result, 0);
	assert_string_equal(output(), expected);
}

static void its_stdin_is_what_was_given(void **state)
{
	static const char text[] = "two\nlines\n";
	int fd = memfd_create("stdin", MFD_CLOEXEC);
	struct belay__command_result result;
	(void)state;

	assert_true(fd > 0);
	assert_int_equal(belay__write_all(fd, text, strlen(text)), 0);
	for (int turn = 0; turn < 2; turn++) {
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		result = run_shell("cat >\"$OUT\"",
			(struct belay__command_options){ .stdin_fd = fd, .capture = turn == 1 });
		assert_exited(&result, 0);
		assert_string_equal(output(), text);
	}
	/* It was borrowed. */
	assert_int_equal(close(fd), 0);
	result = run_shell("readlink /proc/self/fd/0 >\"$OUT\"",
		(struct belay__command_options){ .stdin_fd = -EBADF });
	assert_exited(&result, 0);
	assert_string_equal(output(), "/dev/null\n");
}

static void how_it_ended_is_told(void **state)
{
	static const struct {
		const char *script;
		enum belay__command_end end;
		int exit_code, signal;
	} cases[] = {
		{ "exit 0", BELAY__COMMAND_EXITED, 0, 0 },
		{ "exit 7", BELAY__COMMAND_EXITED, 7, 0 },
		{ "exit 255", BELAY__COMMAND_EXITED, 255, 0 },
		{ "kill -TERM $$", BELAY__COMMAND_SIGNALLED, 0, SIGTERM },
		{ "kill -KILL $$", BELAY__COMMAND_SIGNALLED, 0, SIGKILL },
		{ "exec 0<&- 1>&- 2>&-; exit 3", BELAY__COMMAND_EXITED, 3, 0 },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++)
		for (int capture = 0; capture < 2; capture++) {
			struct belay__command_result result = run_shell(cases[i].script,
				(struct belay__command_options){ .capture = capture != 0,
					.timeout_ns = WITHIN_NS });

			assert_int_equal(result.end, cases[i].end);
			assert_int_equal(result.exit_code, cases[i].exit_code);
			assert_int_equal(result.signal, cases[i].signal);
			assert_int_equal(result.stdout_len + result.stderr_len, 0);
			assert_false(result.truncated);
			assert_true(result.duration_ns > 0 && result.duration_ns < WITHIN_NS);
		}
}

/* Says "x" at VOICE, whose end then is the end of everyone it started. */
#define SAY_IT_RUNS "exec 9>\"$VOICE\"; printf x >&9; "

static void the_whole_group_is_killed_in_the_end(void **state)
{
	static const char *const scripts[] = {
		SAY_IT_RUNS "while :; do sleep 1000; done",
		"trap '' TERM INT HUP QUIT; " SAY_IT_RUNS "while :; do sleep 1000; done",
		"(trap '' TERM; sleep 1000 & sleep 1000) & sleep 1000 & " SAY_IT_RUNS "wait",
		/* The double fork: the grandchild is init's by then. */
		"exec 9>\"$VOICE\"; (sleep 1000 & ) ; printf x >&9; sleep 1000",
		SAY_IT_RUNS "kill -STOP $$",
	};
	(void)state;

	for (size_t i = 0; i < 2 * COUNT(scripts); i++) {
		_cleanup_close_ int voice = open_pipe(house.voice, O_RDONLY);
		bool cancelled = i % 2 == 0;
		struct run run;

		start_shell(&run, scripts[i / 2],
			(struct belay__command_options){ .capture = true,
				.timeout_ns = cancelled ? 0 : 300 * BELAY__NS_PER_MS });
		/* No time passes for it before the loop turns. */
		assert_int_equal(hear(voice), 'x');
		if (cancelled)
			assert_int_equal(belay__command_cancel(run.command), 0);
		wait_for_end(&run);
		assert_int_equal(run.result.end,
			cancelled ? BELAY__COMMAND_CANCELLED : BELAY__COMMAND_TIMED_OUT);
		assert_int_equal(run.result.signal, SIGKILL);
		assert_int_equal(run.result.kill_error, 0);
		if (!cancelled)
			assert_true(run.result.duration_ns >= 300 * BELAY__NS_PER_MS);
		assert_int_equal(hear(voice), 0);
	}
}

static void strangers_outlive_a_killed_group(void **state)
{
	_cleanup_close_ int gate = open_pipe(house.gate, O_RDWR);
	struct run killed, stranger;
	(void)state;

	start_shell(&stranger, "read line <\"$GATE\"; exit 5", (struct belay__command_options){ 0 });
	start_shell(&killed, "sleep 1000", (struct belay__command_options){ 0 });
	assert_int_equal(belay__command_cancel(killed.command), 0);
	wait_for_end(&killed);
	assert_int_equal(stranger.calls, 0);
	assert_int_equal(write(gate, "go\n", 3), 3);
	wait_for_end(&stranger);
	assert_exited(&stranger.result, 5);
}

/* Restarting a daemon is what commands are for. */
static void what_runs_in_the_background_outlives_a_command_in_time(void **state)
{
	_cleanup_close_ int gate = open_pipe(house.gate, O_RDWR);
	_cleanup_close_ int voice = open_pipe(house.voice, O_RDONLY);
	struct belay__command_result result;
	(void)state;

	result = run_shell("exec 9>\"$VOICE\"; (read line <\"$GATE\"; printf y >&9) & printf x >&9",
		(struct belay__command_options){ .capture = true, .timeout_ns = WITHIN_NS });
	assert_exited(&result, 0);
	assert_int_equal(hear(voice), 'x');
	assert_int_equal(write(gate, "go\n", 3), 3);
	assert_int_equal(hear(voice), 'y');
	assert_int_equal(hear(voice), 0);
}

static void whoever_holds_the_pipes_cannot_keep_a_command_from_ending(void **state)
{
	_cleanup_close_ int gate = open_pipe(house.gate, O_RDWR);
	_cleanup_close_ int voice = open_pipe(house.voice, O_RDONLY);
	struct belay__command_result result;
	(void)state;

	/* Out of the session, with stdout and stderr. */
	result = run_shell("exec 9>\"$VOICE\"; echo 12345; echo 123 >&2;"
			   " setsid sh -c 'read line <\"$GATE\"' & exit 4",
		(struct belay__command_options){ .capture = true });
	assert_exited(&result, 4);
	assert_int_equal(result.stdout_len, 6);
	assert_int_equal(result.stderr_len, 4);
	assert_false(result.truncated);
	assert_int_equal(write(gate, "go\n", 3), 3);
	assert_int_equal(hear(voice), 0);
}

/* One that writes for ever while nobody waits for it. */
static void a_survivor_that_writes_for_ever_is_no_reason_to_read_for_ever(void **state)
{
	_cleanup_close_ int voice = open_pipe(house.voice, O_RDONLY);
	struct belay__command_result result;
	(void)state;

	result = run_shell("exec 9>\"$VOICE\"; setsid yes & exit 0",
		(struct belay__command_options){ .capture = true });
	assert_exited(&result, 0);
	/* It ends at the closed pipe. */
	assert_int_equal(hear(voice), 0);
}

static void output_is_counted_up_to_its_bound(void **state)
{
	static const struct {
		const char *script;
		uint64_t max, out, err;
		bool truncated;
	} cases[] = {
		{ "printf 12345; printf 123 >&2", 8, 5, 3, false },
		{ "printf 12345", 5, 5, 0, false },
		{ "printf 12345", 4, 4, 0, true },
		{ "printf 12345 >&2", 1, 0, 1, true },
		{ "head -c 67108864 /dev/zero", 0, BELAY__CAPTURE_MAX, 0, true },
		{ "head -c 67108864 /dev/zero", 67108864, 67108864, 0, false },
		{ "head -c 67108864 /dev/zero >&2", 67108863, 0, 67108863, true },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct belay__command_result result = run_shell(cases[i].script,
			(struct belay__command_options){ .capture = true,
				.capture_max = cases[i].max,
				.timeout_ns = WITHIN_NS });

		assert_exited(&result, 0);
		assert_true(result.stdout_len == cases[i].out);
		assert_true(result.stderr_len == cases[i].err);
		assert_int_equal(result.truncated, cases[i].truncated);
	}
}

static void what_cannot_be_run_is_an_error_and_no_end(void **state)
{
	char file[PATH_SIZE];
	const struct {
		const char *program;
		int error;
	} cases[] = {
		{ "/does/not/exist", -ENOENT },
		{ "belay-no-such-program", -ENOENT },
		{ "/etc", -EACCES },
		{ "/etc/passwd/below", -ENOTDIR },
		{ "bin/true", -EINVAL },
		{ file, -EACCES },
	};
	int before = belay__fd_count();
	(void)state;

	(void)snprintf(file, sizeof(file), "%s/out", house.directory);
	(void)belay__close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	for (size_t i = 0; i < COUNT(cases); i++) {
		const char *const argv[] = { cases[i].program, NULL };
		struct belay_error error = { 0 };
		struct run run;

		assert_int_equal(start(&run, argv,
					 (struct belay__command_options){ .capture = true }, &error),
			cases[i].error);
		assert_int_equal(error.code, cases[i].error);
		assert_non_null(strstr(error.text, cases[i].program));
		assert_null(run.command);
		assert_int_equal(belay__fd_count(), before);
	}
}

static void descriptor_three_is_the_process_it_is_about(void **state)
{
	const char *const argv[] = { "cp", "/proc/self/fdinfo/3", house.out, NULL };
	_cleanup_close_ int pidfd = -EBADF;
	char expected[64];
	struct run target, run;
	(void)state;

	start_shell(&target, "sleep 1000", (struct belay__command_options){ 0 });
	pidfd = (int)syscall(SYS_pidfd_open, belay__command_pid(target.command), 0U);
	assert_true(pidfd >= 0);
	assert_int_equal(
		start(&run, argv, (struct belay__command_options){ .target_pidfd = pidfd }, NULL),
		0);
	wait_for_end(&run);
	assert_exited(&run.result, 0);
	(void)snprintf(expected, sizeof(expected), "\nPid:\t%d\n",
		(int)belay__command_pid(target.command));
	assert_non_null(strstr(output(), expected));
	assert_string_equal(belay__environment_get(&environment, "BELAY_PIDFD"), "3");
	assert_int_equal(belay__command_cancel(target.command), 0);
	wait_for_end(&target);
}

static void no_other_descriptor_is_passed(void **state)
{
	/* Born without close-on-exec, as a careless library of the host might. */
	int careless = fcntl(STDERR_FILENO, F_DUPFD, 3), far = fcntl(STDERR_FILENO, F_DUPFD, 200);
	const char *const argv[] = { "ls", "/proc/self/fd", NULL };
	_cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0U);
	struct run run;
	(void)state;

	/* "0\n1\n2\n3\n", and the directory itself. */
	assert_int_equal(
		start(&run, argv,
			(struct belay__command_options){ .target_pidfd = pidfd, .capture = true },
			NULL),
		0);
	wait_for_end(&run);
	assert_exited(&run.result, 0);
	assert_int_equal(run.result.stdout_len, 10);
	assert_int_equal(
		start(&run, argv, (struct belay__command_options){ .capture = true }, NULL), 0);
	wait_for_end(&run);
	assert_int_equal(run.result.stdout_len, 8);
	(void)belay__close(careless);
	(void)belay__close(far);
}

static void limits_are_its_own(void **state)
{
	const struct belay__limit limits[] = {
		{ RLIMIT_NOFILE, { 17, 18 } },
		{ RLIMIT_CORE, { 0, 0 } },
	};
	const struct belay__limit wrong[] = { { 4711, { 1, 1 } } };
	const char *const argv[] = { "true", NULL };
	struct belay__command_result result;
	struct belay_error error;
	struct run run;
	(void)state;

	result = run_shell("{ ulimit -n; ulimit -Hn; ulimit -c; } >\"$OUT\"",
		(struct belay__command_options){ .limits = limits, .limit_count = COUNT(limits) });
	assert_exited(&result, 0);
	assert_string_equal(output(), "17\n18\n0\n");
	assert_int_equal(start(&run, argv,
				 (struct belay__command_options){ .limits = wrong,
					 .limit_count = COUNT(wrong) },
				 &error),
		-EINVAL);
	assert_non_null(strstr(error.text, "cannot set its limits"));
}

static void root_is_refused_unless_it_is_asked_for(void **state)
{
	static const char *const argv[] = { "true", NULL };
	const struct belay__credentials root = { .uid = 0, .gid = 0 };
	const struct belay__command_options as_root = { .argv = argv,
		.environment = &environment,
		.credentials = &root };
	const struct belay__command_options as_we_are = { .argv = argv,
		.environment = &environment };
	struct belay_error error;
	struct run run = { 0 };
	(void)state;

	assert_int_equal(
		belay__command_start(house.loop, &as_root, note_end, &run, &run.command, &error),
		-EPERM);
	assert_string_equal(error.text, "refused to run 'true' as root: that needs run-as=root");
	if (geteuid() != 0)
		return;
	assert_int_equal(
		belay__command_start(house.loop, &as_we_are, note_end, &run, &run.command, &error),
		-EPERM);
	assert_null(run.command);
}

static void root_becomes_the_user_it_runs_for(void **state)
{
	static const gid_t groups[] = { 1234, 5678 };
	const struct belay__credentials nobody = { .uid = NOBODY,
		.gid = NOBODY,
		.groups = groups,
		.group_count = COUNT(groups) },
					bare = { .uid = NOBODY, .gid = NOBODY };
	static const char script[] = "grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)|NoNewPrivs)'"
				     " /proc/self/status >\"$OUT\"";
	struct belay__command_result result;
	(void)state;

	if (geteuid() != 0)
		skip();
	result = run_shell(script, (struct belay__command_options){ .credentials = &nobody });
	assert_exited(&result, 0);
	assert_string_equal(output(),
		"Uid:\t65534\t65534\t65534\t65534\nGid:\t65534\t65534\t65534\t65534\n"
		"Groups:\t1234 5678 \nCapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n"
		"CapEff:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n");
	assert_int_equal(unlink(house.out), 0);
	result = run_shell(script, (struct belay__command_options){ .credentials = &bare });
	assert_exited(&result, 0);
	assert_non_null(strstr(output(), "\nGroups:\t \n"));
}

static void a_user_cannot_become_another(void **state)
{
	const struct belay__credentials other = { .uid = 1, .gid = 1 }, own = { .uid = getuid() };
	const char *const argv[] = { "true", NULL };
	struct belay_error error;
	struct run run;
	(void)state;

	if (geteuid() == 0)
		skip();
	assert_int_equal(
		start(&run, argv, (struct belay__command_options){ .credentials = &other }, &error),
		-EPERM);
	assert_non_null(strstr(error.text, "cannot become its user"));
	assert_int_equal(
		start(&run, argv, (struct belay__command_options){ .credentials = &own }, &error),
		0);
	wait_for_end(&run);
	assert_exited(&run.result, 0);
}

static void its_start_is_in_the_journal_before_it_runs(void **state)
{
	_cleanup_close_ int file = memfd_create("journal", MFD_CLOEXEC);
	const struct belay__intent intent = { .pid = 1 };
	struct belay__unfinished found;
	struct belay__spawn_record record;
	struct belay__journal *journal;
	unsigned cursor = 0;
	struct run run;
	uint64_t id;
	(void)state;

	assert_int_equal(belay__journal_new(file, &journal, NULL), 0);
	assert_int_equal(belay__journal_intend(journal, &intent, &id), 0);
	assert_int_equal(belay__journal_record(journal, id, &record), 0);
	start_shell(&run, "sleep 1000", (struct belay__command_options){ .record = &record });
	assert_int_equal(belay__journal_next(journal, &cursor, &found), 1);
	assert_true(found.started);
	assert_int_equal(found.pid, belay__command_pid(run.command));
	assert_true(found.start_ticks > 0);
	assert_true(found.start_ticks == belay__command_start_ticks(run.command));
	assert_int_equal(belay__command_cancel(run.command), 0);
	wait_for_end(&run);
	assert_int_equal(belay__journal_finish(journal, id, run.result.end, 0), 0);
	(void)belay__journal_free(journal);
}

struct orphan {
	pid_t pid;
	uint64_t start_ticks;
};

/* Starts SCRIPT from a process that is killed at once. */
static struct orphan start_orphan(const char *script)
{
	struct orphan orphan = { 0 };
	int ends[2], status;
	pid_t starter;

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	starter = fork();
	assert_true(starter >= 0);
	if (starter == 0) {
		const char *const argv[] = { "sh", "-c", script, NULL };
		struct run run;

		/* A loop of its own: the other's is shared across the fork. */
		if (belay__loop_new(&house.loop) < 0 ||
			start(&run, argv, (struct belay__command_options){ 0 }, NULL) < 0)
			_exit(1);
		orphan.pid = belay__command_pid(run.command);
		orphan.start_ticks = belay__command_start_ticks(run.command);
		if (write(ends[1], &orphan, sizeof(orphan)) != sizeof(orphan))
			_exit(2);
		(void)raise(SIGKILL);
	}
	assert_int_equal(waitpid(starter, &status, 0), starter);
	assert_int_equal(status, SIGKILL);
	assert_int_equal(read(ends[0], &orphan, sizeof(orphan)), sizeof(orphan));
	(void)belay__close(ends[0]);
	(void)belay__close(ends[1]);
	return orphan;
}

static int adopt(struct run *run, struct orphan orphan, uint64_t timeout_ns)
{
	*run = (struct run){ 0 };
	return belay__command_adopt(house.loop, orphan.pid, orphan.start_ticks, timeout_ns,
		note_end, run, &run->command);
}

static void an_orphan_is_adopted_until_it_ends(void **state)
{
	_cleanup_close_ int gate = open_pipe(house.gate, O_RDWR);
	_cleanup_close_ int voice = open_pipe(house.voice, O_RDONLY);
	struct orphan orphan = start_orphan(SAY_IT_RUNS "read line <\"$GATE\"; exit 6");
	struct run run;
	(void)state;

	assert_int_equal(adopt(&run, orphan, 0), 0);
	assert_int_equal(belay__command_pid(run.command), orphan.pid);
	assert_int_equal(hear(voice), 'x');
	assert_int_equal(write(gate, "go\n", 3), 3);
	wait_for_end(&run);
	if (run.result.end != BELAY__COMMAND_UNKNOWN)
		assert_exited(&run.result, 6);
	assert_int_equal(hear(voice), 0);
	assert_int_equal(adopt(&run, orphan, 0), -ESRCH);
}

static void an_adopted_command_has_the_rest_of_its_time(void **state)
{
	_cleanup_close_ int voice = open_pipe(house.voice, O_RDONLY);
	struct orphan orphan = start_orphan(
		SAY_IT_RUNS "trap '' TERM; sleep 1000 & exec sleep 1000");
	struct run run;
	(void)state;

	assert_int_equal(adopt(&run, orphan, 200 * BELAY__NS_PER_MS), 0);
	assert_int_equal(hear(voice), 'x');
	wait_for_end(&run);
	assert_int_equal(run.result.end, BELAY__COMMAND_TIMED_OUT);
	assert_true(run.result.duration_ns < WITHIN_NS);
	assert_int_equal(hear(voice), 0);
}

static void a_process_that_only_has_the_number_is_left_alone(void **state)
{
	struct run run, other;
	(void)state;

	start_shell(&run, "sleep 1000", (struct belay__command_options){ 0 });
	assert_int_equal(adopt(&other,
				 (struct orphan){ belay__command_pid(run.command),
					 belay__command_start_ticks(run.command) + 1 },
				 1),
		-ESRCH);
	assert_int_equal(adopt(&other, (struct orphan){ belay__command_pid(run.command), 0 }, 1),
		-ESRCH);
	assert_int_equal(adopt(&other, (struct orphan){ -1, 1 }, 1), -ESRCH);
	assert_int_equal(adopt(&other, (struct orphan){ 0, 1 }, 1), -ESRCH);
	assert_int_equal(belay__command_cancel(run.command), 0);
	wait_for_end(&run);
}

static void one_that_is_let_go_runs_on(void **state)
{
	_cleanup_close_ int gate = open_pipe(house.gate, O_RDWR);
	_cleanup_close_ int voice = open_pipe(house.voice, O_RDONLY);
	struct run run;
	pid_t pid;
	(void)state;

	start_shell(&run, SAY_IT_RUNS "read line <\"$GATE\"; printf y >&9",
		(struct belay__command_options){ .timeout_ns = WITHIN_NS });
	pid = belay__command_pid(run.command);
	assert_int_equal(hear(voice), 'x');
	assert_null(belay__command_free(run.command));
	assert_null(belay__command_free(NULL));
	assert_int_equal(write(gate, "go\n", 3), 3);
	assert_int_equal(hear(voice), 'y');
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(run.calls, 0);
}

/* The next one is started from where the end of the one before is told. */
struct chain {
	struct run run;
	int left;
};

static void start_next(struct belay__command *command, const struct belay__command_result *result,
	void *data)
{
	static const char *const argv[] = { "true", NULL };
	struct chain *chain = data;
	const struct belay__command_options options = { .argv = argv,
		.environment = &environment,
		.run_as_root = true,
		.capture = true };

	(void)command;
	assert_exited(result, 0);
	if (--chain->left == 0)
		chain->run.calls = 1;
	else
		assert_int_equal(belay__command_start(house.loop, &options, start_next, chain,
					 &chain->run.command, NULL),
			0);
}

static void many_run_after_each_other_and_at_once(void **state)
{
	const struct belay__command_result fine = { .end = BELAY__COMMAND_EXITED };
	struct chain chain = { .left = 31 };
	struct run runs[20];
	(void)state;

	start_next(NULL, &fine, &chain);
	for (size_t i = 0; i < COUNT(runs); i++)
		start_shell(&runs[i], "exit 9", (struct belay__command_options){ .capture = true });
	wait_for_end(&chain.run);
	for (size_t i = 0; i < COUNT(runs); i++) {
		wait_for_end(&runs[i]);
		assert_exited(&runs[i].result, 9);
	}
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_house, close_house)

/* As before Linux 6.9: no signal for a group through a pidfd. */
static int refuse_groups(void **state)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_send_signal, 0, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = COUNT(code), .filter = code };
	(void)state;

	(void)prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL);
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(values_arrive_as_they_are),
		TEST(the_environment_is_what_was_given_and_nothing_else),
		TEST(it_runs_in_a_place_of_its_own),
		TEST(its_stdin_is_what_was_given),
		TEST(how_it_ended_is_told),
		TEST(the_whole_group_is_killed_in_the_end),
		TEST(strangers_outlive_a_killed_group),
		TEST(what_runs_in_the_background_outlives_a_command_in_time),
		TEST(whoever_holds_the_pipes_cannot_keep_a_command_from_ending),
		TEST(a_survivor_that_writes_for_ever_is_no_reason_to_read_for_ever),
		TEST(output_is_counted_up_to_its_bound),
		TEST(what_cannot_be_run_is_an_error_and_no_end),
		TEST(descriptor_three_is_the_process_it_is_about),
		TEST(no_other_descriptor_is_passed),
		TEST(limits_are_its_own),
		TEST(root_is_refused_unless_it_is_asked_for),
		TEST(root_becomes_the_user_it_runs_for),
		TEST(a_user_cannot_become_another),
		TEST(its_start_is_in_the_journal_before_it_runs),
		TEST(an_orphan_is_adopted_until_it_ends),
		TEST(an_adopted_command_has_the_rest_of_its_time),
		TEST(a_process_that_only_has_the_number_is_left_alone),
		TEST(one_that_is_let_go_runs_on),
		TEST(many_run_after_each_other_and_at_once),
	};
	const struct CMUnitTest before_6_9[] = {
		TEST(the_whole_group_is_killed_in_the_end),
		TEST(strangers_outlive_a_killed_group),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	return failed + cmocka_run_group_tests(before_6_9, refuse_groups, NULL);
}
