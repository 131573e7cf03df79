#include "process/command.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "identity/identity.h"
#include "identity/process_info.h"
#include "process/capture.h"

enum { KILLED_WITHIN_MS = 1000 };

struct belay__command {
	struct belay__loop *loop;
	struct belay__child child;
	bool adopted;
	uint64_t start_ticks, start_ns; /* of clock_of() */
	struct belay__io ending;
	struct belay__timer deadline;
	struct belay__capture capture;
	struct belay__command_result result; /* .end is 0 until it is killed or has ended */
	belay__command_done *done;
	void *data;
};

static struct belay__command *new_command(struct belay__loop *loop, belay__command_done *done,
	void *data)
{
	struct belay__command *command = calloc(1, sizeof(*command));

	if (command == NULL)
		return NULL;
	command->loop = loop;
	command->child.pidfd = -EBADF;
	command->ending.fd = -EBADF;
	command->capture = BELAY__CAPTURE_NONE;
	command->done = done;
	command->data = data;
	return command;
}

struct belay__command *belay__command_free(struct belay__command *command)
{
	if (command == NULL)
		return NULL;
	belay__io_remove(&command->ending);
	belay__timer_clear(&command->deadline);
	belay__capture_finish(&command->capture);
	(void)belay__close(command->child.pidfd);
	free(command);
	return NULL;
}

/* Ticks since the boot count while the host sleeps; the time that a command gets does not. */
static clockid_t clock_of(const struct belay__command *command)
{
	return command->adopted ? CLOCK_BOOTTIME : CLOCK_MONOTONIC;
}

/* An adopted leader is reaped by somebody else at any time: its group has no number that we could
 * trust. */
static int signal_all(const struct belay__command *command, int signal)
{
	int group = command->adopted ? belay__signal_group_by_pidfd(command->child.pidfd, signal)
				     : belay__signal_group(&command->child, signal);
	/* It may have changed its group since. */
	int leader = belay__signal(command->child.pidfd, signal);

	return group == 0 || leader == 0 || leader == -ESRCH ? 0 : leader;
}

static int kill_it(struct belay__command *command, enum belay__command_end why)
{
	int r;

	belay__timer_clear(&command->deadline);
	if (command->result.end == 0)
		command->result.end = why;
	r = signal_all(command, SIGKILL);
	command->result.kill_error = r;
	return r;
}

int belay__command_cancel(struct belay__command *command)
{
	return kill_it(command, BELAY__COMMAND_CANCELLED);
}

static void out_of_time(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	(void)kill_it(timer->data, BELAY__COMMAND_TIMED_OUT);
}

/* 1 and its wait status, 0 when it ended in a way nobody tells. */
static int take_status(struct belay__command *command, int *ret_status)
{
	if (!command->adopted)
		return belay__reap(command->child.pidfd, ret_status) == 1;
	if (belay__read_exit_status(command->child.pid, command->start_ticks, ret_status) == 0)
		return 1;
	return belay__pidfd_exit_status(command->child.pidfd, ret_status) == 0;
}

static void judge_end(struct belay__command *command)
{
	struct belay__command_result *result = &command->result;
	bool killed = result->end != 0;
	int status = 0;

	if (take_status(command, &status) == 0) {
		if (!killed)
			result->end = BELAY__COMMAND_UNKNOWN;
		return;
	}
	if (WIFSIGNALED(status))
		result->signal = WTERMSIG(status);
	if (killed)
		return;
	result->end = WIFSIGNALED(status) ? BELAY__COMMAND_SIGNALLED : BELAY__COMMAND_EXITED;
	if (WIFEXITED(status))
		result->exit_code = WEXITSTATUS(status);
}

static void ended(struct belay__io *io, uint32_t events)
{
	struct belay__command *command = io->data;
	struct belay__command_result *result = &command->result;

	(void)events;
	if (!command->adopted && belay__ended(command->child.pidfd) == 0)
		return;

	/* What was born while the group was being killed. Its number is still the leader's. */
	if (result->end != 0)
		(void)signal_all(command, SIGKILL);
	judge_end(command);
	result->duration_ns = belay__clock_ns(clock_of(command)) - command->start_ns;
	belay__capture_finish(&command->capture);
	result->stdout_len = command->capture.lens[0];
	result->stderr_len = command->capture.lens[1];
	result->truncated = command->capture.truncated;
	belay__io_remove(&command->ending);
	belay__timer_clear(&command->deadline);
	command->done(command, result, command->data);
	(void)belay__command_free(command);
}

static int watch(struct belay__command *command, uint64_t timeout_ns)
{
	uint64_t elapsed_ns = belay__clock_ns(clock_of(command)) - command->start_ns;
	int r = belay__io_add(command->loop, &command->ending, command->child.pidfd, EPOLLIN, ended,
		command);

	if (r < 0 || timeout_ns == 0)
		return r;
	timeout_ns = timeout_ns > elapsed_ns ? timeout_ns - elapsed_ns : 0;
	if (timeout_ns < UINT64_MAX / 2)
		belay__timer_set(command->loop, &command->deadline,
			belay__clock_ns(CLOCK_MONOTONIC) + timeout_ns, out_of_time, command);
	return 0;
}

/* For one that runs, but that the loop cannot watch. */
static void kill_unwatched(struct belay__command *command)
{
	struct pollfd wait = { .fd = command->child.pidfd, .events = POLLIN };
	int status;

	(void)signal_all(command, SIGKILL);
	(void)poll(&wait, 1, KILLED_WITHIN_MS);
	(void)belay__reap(command->child.pidfd, &status);
}

static bool becomes_root(const struct belay__command_options *options)
{
	if (options->credentials != NULL)
		return options->credentials->uid == 0;
	return geteuid() == 0 || getuid() == 0;
}

/* NULL when nothing is to be changed: without privileges one stays as one is. */
static const struct belay__credentials *new_credentials(const struct belay__command_options *options)
{
	const struct belay__credentials *wanted = options->credentials;

	if (wanted != NULL && wanted->uid != 0 && wanted->uid == geteuid() &&
		wanted->uid == getuid())
		return NULL;
	return wanted;
}

static int find_program(const struct belay__command_options *options, char *path, size_t size,
	struct belay_error *reterr)
{
	const char *search = belay__environment_get(options->environment, "PATH");
	int r = belay__find_program(options->argv[0], search != NULL ? search : "", path, size);

	if (r == 0)
		return 0;
	return belay__fail(reterr, r, "cannot run '%.64s': not found as a program in PATH=%.96s: %s",
		options->argv[0], search != NULL ? search : "", strerror(-r));
}

/* Starts the program at PATH with STDIO; what is below 0 there is inherited. */
static int spawn(struct belay__command *command, const struct belay__command_options *options,
	const char *path, const int stdio[3], struct belay_error *reterr)
{
	static const mode_t mask = 022;
	struct belay__spawn_fd fds[4];
	struct belay__spawn start = {
		.path = path,
		.argv = options->argv,
		.envp = options->environment->entries,
		.fds = fds,
		.new_group = true,
		.no_new_privileges = !becomes_root(options),
		.directory = "/",
		.umask = &mask,
		.credentials = new_credentials(options),
		.limits = options->limits,
		.limit_count = options->limit_count,
		.record = options->record,
	};

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (stdio[fd] >= 0)
			fds[start.fd_count++] = (struct belay__spawn_fd){ stdio[fd], fd };
	if (options->target_pidfd > 0)
		fds[start.fd_count++] = (struct belay__spawn_fd){ options->target_pidfd,
			BELAY__COMMAND_PIDFD };
	return belay__spawn(&start, &command->child, reterr);
}

static int start_captured(struct belay__command *command,
	const struct belay__command_options *options, const char *path, struct belay_error *reterr)
{
	_cleanup_close_ int null = -EBADF, out = -EBADF, err = -EBADF;
	int in = options->stdin_fd, r = 0;

	if (in <= 0) {
		in = null = open("/dev/null", O_RDONLY | O_NOCTTY | O_CLOEXEC);
		r = null < 0 ? -errno : 0;
	}
	if (r == 0 && options->capture)
		r = belay__capture_start(&command->capture, command->loop,
			options->capture_max != 0 ? options->capture_max : BELAY__CAPTURE_MAX, &out,
			&err);
	if (r < 0)
		return belay__fail(reterr, r, "cannot run %.64s: no descriptors for it: %s", path,
			strerror(-r));
	return spawn(command, options, path, (const int[]){ in, out, err }, reterr);
}

static int prepare(const struct belay__command_options *options, char *path, size_t size,
	struct belay_error *reterr)
{
	if (becomes_root(options) && !options->run_as_root)
		return belay__fail(reterr, -EPERM,
			"refused to run '%.64s' as root: that needs run-as=root", options->argv[0]);
	if (options->target_pidfd > 0 &&
		belay__environment_set(options->environment, "BELAY_PIDFD=3") < 0)
		return belay__fail(reterr, -E2BIG, "cannot run '%.64s': too many variables for it",
			options->argv[0]);
	return find_program(options, path, size, reterr);
}

static int launch(struct belay__command *command, const struct belay__command_options *options,
	const char *path, struct belay_error *reterr)
{
	struct belay__stat stat;
	int r;

	command->start_ns = belay__clock_ns(clock_of(command));
	r = start_captured(command, options, path, reterr);
	if (r < 0)
		return r;
	/* It is unreaped, so it still has its number. */
	if (belay__read_stat(command->child.pid, &stat) == 0)
		command->start_ticks = stat.start_ticks;
	r = watch(command, options->timeout_ns);
	if (r < 0) {
		kill_unwatched(command);
		return belay__fail(reterr, r, "%.64s was started and killed: cannot watch it: %s",
			path, strerror(-r));
	}
	return 0;
}

int belay__command_start(struct belay__loop *loop, const struct belay__command_options *options,
	belay__command_done *done, void *data, struct belay__command **ret_command,
	struct belay_error *reterr)
{
	struct belay__command *command;
	char path[PATH_MAX];
	int r;

	assert(options->argv != NULL && options->argv[0] != NULL && options->environment != NULL);

	r = prepare(options, path, sizeof(path), reterr);
	if (r < 0)
		return r;
	command = new_command(loop, done, data);
	if (command == NULL)
		return belay__fail(reterr, -ENOMEM, "cannot run %.64s: no memory", path);
	r = launch(command, options, path, reterr);
	if (r < 0) {
		(void)belay__command_free(command);
		return r;
	}
	*ret_command = command;
	return 0;
}

/* When what began at START_TICKS began, never later than now. */
static uint64_t boot_ns_of(uint64_t start_ticks)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_BOOTTIME), start_ns;

	if (__builtin_mul_overflow(start_ticks, BELAY__NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK),
		    &start_ns) ||
		start_ns > now_ns)
		return now_ns;
	return start_ns;
}

int belay__command_adopt(struct belay__loop *loop, pid_t pid, uint64_t start_ticks,
	uint64_t timeout_ns, belay__command_done *done, void *data,
	struct belay__command **ret_command)
{
	struct belay__identity identity;
	struct belay__command *command;
	int r;

	if (start_ticks == 0)
		return -ESRCH;
	r = belay__identity_open(pid, true, &identity);
	if (r < 0)
		return r;
	command = identity.start_ticks == start_ticks ? new_command(loop, done, data) : NULL;
	if (command == NULL) {
		belay__identity_done(&identity);
		return identity.start_ticks == start_ticks ? -ENOMEM : -ESRCH;
	}
	command->adopted = true;
	command->child = (struct belay__child){ .pid = pid, .pidfd = identity.pidfd };
	command->start_ticks = start_ticks;
	command->start_ns = boot_ns_of(start_ticks);
	r = watch(command, timeout_ns);
	if (r < 0) {
		(void)belay__command_free(command);
		return r;
	}
	*ret_command = command;
	return 0;
}

pid_t belay__command_pid(const struct belay__command *command)
{
	return command->child.pid;
}

uint64_t belay__command_start_ticks(const struct belay__command *command)
{
	return command->start_ticks;
}
