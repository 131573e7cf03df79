/* ends.c - how long it takes from a kill until the end is written to the event file
 *
 * Processes are started and killed one by one: one that beats to the observer at SOCKET, whose
 * events go to EVENTS, and one that a bare harness watches (epoll_wait on its pidfd, then one write
 * to a file), in turns. This program sleeps meanwhile until inotify says that the file was written.
 * With `busy`, every CPU has something else to do.
 *
 * Usage: bench-ends SOCKET EVENTS BARE-FILE COUNT [busy]
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <belay/beat.h>

#include "common.h"

enum { PATIENCE_MS = 5000, REST_NS = 4000000, CPUS_MAX = 64, COUNT_MAX = 100000 };

struct bench {
	const char *socket, *events, *bare;
	int inotify_fd, harness_pipe;
};

static pid_t fork_child(void)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0)
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static pid_t start_burner(unsigned cpu)
{
	pid_t pid = fork_child();

	if (pid != 0)
		return pid;
	stay_on_cpu(cpu);
	for (volatile uint64_t n = 0;; n++)
		continue;
}

/* The floor: pids come in by PIPE_FD, each is watched; its start and its end are a write each. */
__attribute__((noreturn)) static void be_harness(int pipe_fd, const char *path)
{
	int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = pipe_fd };

	if (file < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pipe_fd, &event) < 0)
		die("harness");
	while (epoll_wait(epoll_fd, &event, 1, -1) == 1 || errno == EINTR) {
		pid_t pid;

		if (event.data.fd == pipe_fd) {
			if (read(pipe_fd, &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
				break;
			event.events = EPOLLIN;
			event.data.fd = (int)syscall(SYS_pidfd_open, pid, 0);
			if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, event.data.fd, &event) < 0)
				die("pidfd");
			(void)!write(file, "watched\n", 8);
		} else {
			(void)!write(file, "ended\n", 6);
			(void)close(event.data.fd);
		}
	}
	_exit(0);
}

/* Waits until the file with WATCH is written to; returns when that was known. */
static uint64_t wait_written(const struct bench *bench, int watch)
{
	struct pollfd readable = { .fd = bench->inotify_fd, .events = POLLIN };
	char buffer[4096] __attribute__((aligned(__alignof__(struct inotify_event))));

	for (;;) {
		if (poll(&readable, 1, PATIENCE_MS) <= 0) {
			(void)fprintf(stderr, "bench-ends: nothing was written in %d ms\n",
				PATIENCE_MS);
			exit(1);
		}
		uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
		ssize_t len = read(bench->inotify_fd, buffer, sizeof(buffer));

		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *event = (const void *)(buffer + at);

			if (event->wd == watch)
				return now_ns;
			at += (ssize_t)(sizeof(*event) + event->len);
		}
	}
}

/* From the kill of PID to the write; it is reaped. */
static uint64_t kill_ns(const struct bench *bench, pid_t pid, int watch)
{
	uint64_t start_ns, end_ns;

	sleep_ns(REST_NS);
	start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	(void)kill(pid, SIGKILL);
	end_ns = wait_written(bench, watch);
	(void)waitpid(pid, NULL, 0);
	return end_ns - start_ns;
}

static uint64_t observed_ns(const struct bench *bench, int watch)
{
	pid_t pid = fork_child();

	if (pid == 0) {
		struct belay *belay = belay_open(bench->socket);

		(void)belay_beat(belay, BELAY_OK, 0);
		(void)pause();
		_exit(0);
	}
	(void)wait_written(bench, watch);
	return kill_ns(bench, pid, watch);
}

static uint64_t bare_ns(const struct bench *bench, int watch)
{
	pid_t pid = fork_child();

	if (pid == 0) {
		(void)pause();
		_exit(0);
	}
	if (write(bench->harness_pipe, &pid, sizeof(pid)) < 0)
		die("pipe");
	(void)wait_written(bench, watch);
	return kill_ns(bench, pid, watch);
}

static void measure(const struct bench *bench, size_t count)
{
	uint64_t *ours = calloc(count, sizeof(*ours)), *bare = calloc(count, sizeof(*bare));
	int events_watch = inotify_add_watch(bench->inotify_fd, bench->events, IN_MODIFY);
	int bare_watch = inotify_add_watch(bench->inotify_fd, bench->bare, IN_MODIFY);

	if (ours == NULL || bare == NULL || events_watch < 0 || bare_watch < 0)
		die("start");
	for (size_t i = 0; i < count; i++) {
		ours[i] = observed_ns(bench, events_watch);
		bare[i] = bare_ns(bench, bare_watch);
	}
	printf("{\"ours_p50_us\":%.1f,\"ours_p99_us\":%.1f,\"floor_p50_us\":%.1f,"
	       "\"floor_p99_us\":%.1f,\"samples\":%zu}\n",
		(double)percentile_of(ours, count, 50) / 1e3,
		(double)percentile_of(ours, count, 99) / 1e3,
		(double)percentile_of(bare, count, 50) / 1e3,
		(double)percentile_of(bare, count, 99) / 1e3, count);
	free(ours);
	free(bare);
}

int main(int argc, char **argv)
{
	struct bench bench = { .inotify_fd = inotify_init1(IN_CLOEXEC) };
	size_t count = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
	long cpus = argc > 5 && strcmp(argv[5], "busy") == 0 ? sysconf(_SC_NPROCESSORS_ONLN) : 0;
	pid_t children[CPUS_MAX + 1];
	int pipe_fds[2], file, started = 0;

	if (count == 0 || count > COUNT_MAX) {
		(void)fprintf(stderr, "usage: bench-ends SOCKET EVENTS BARE-FILE COUNT [busy]\n");
		return 64;
	}
	bench.socket = argv[1];
	bench.events = argv[2];
	bench.bare = argv[3];
	file = open(bench.bare, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (file < 0 || pipe2(pipe_fds, O_CLOEXEC) < 0)
		die(bench.bare);
	(void)close(file);
	bench.harness_pipe = pipe_fds[1];
	for (unsigned cpu = 0; cpu < cpus && cpu < CPUS_MAX; cpu++)
		children[started++] = start_burner(cpu);
	children[started] = fork_child();
	if (children[started++] == 0)
		be_harness(pipe_fds[0], bench.bare);

	measure(&bench, count);
	for (int i = 0; i < started; i++) {
		(void)kill(children[i], SIGKILL);
		(void)waitpid(children[i], NULL, 0);
	}
	return 0;
}
