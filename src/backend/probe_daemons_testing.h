/* probe_daemons_testing.h - children that stand for daemons, good ones and others
 *
 * What a child does is a body for child_start(), which is given a struct daemon.
 */
#pragma once

#include "backend/probe_testing.h"

#include "identity/test_child.h"

/* What a child that stands for a daemon is given. */
struct daemon {
	const struct place *place;
	pid_t pid;    /* whose record it shows; 0: its own */
	int go;       /* begins when this is readable; -EBADF: at once */
	bool listens; /* makes the listener its own first */
};

/* Valid until the next one is asked for. */
static inline const struct belay_daemon *record_of(const struct place *place,
	const struct child *child)
{
	static struct belay_daemon record;

	record = place->self;
	record.pid = (uint32_t)child->pid;
	record.start_ticks = child->start_ticks;
	return &record;
}

/* Answers one probe, and stays until the prober has hung up. */
static inline int body_serves(void *argument)
{
	const struct daemon *daemon = argument;
	struct belay_daemon self = daemon->place->self;
	struct pollfd go = { .fd = daemon->go, .events = POLLIN };
	int connection, served;

	if (daemon->go >= 0)
		(void)poll(&go, 1, TEST_PLENTY_MS);
	if (daemon->listens && listen(daemon->place->listener, 8) < 0)
		return 2;
	self.pid = (uint32_t)(daemon->pid > 0 ? daemon->pid : getpid());
	do {
		connection = accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC);
		served = belay_probe_serve(connection, &self, 1, TEST_PLENTY_MS, NULL);
	} while (served == 0);
	wait_hung_up(connection);
	return served == 1 ? 0 : 3;
}

/* A daemon that leaves answering to a descendant GENERATIONS further down. */
static inline int leave_it_to_a_child(struct daemon *daemon, int generations)
{
	int status = 0;
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		die_with(parent);
		_exit(generations > 1 ? leave_it_to_a_child(daemon, generations - 1)
				      : body_serves(daemon));
	}
	(void)waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 4;
}

static inline int body_has_a_child(void *argument)
{
	struct daemon *daemon = argument;

	daemon->pid = getpid();
	return leave_it_to_a_child(daemon, 1);
}

static inline int body_has_a_grandchild(void *argument)
{
	struct daemon *daemon = argument;

	daemon->pid = getpid();
	return leave_it_to_a_child(daemon, 2);
}

/* A daemon whose child answers whoever comes, until both are ended. */
static inline int body_has_a_child_that_serves_on(void *argument)
{
	struct daemon *daemon = argument;
	struct belay_daemon self = daemon->place->self;
	pid_t parent = getpid();

	self.pid = (uint32_t)parent;
	if (fork() == 0) {
		die_with(parent);
		for (;;) {
			int connection = accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC);

			(void)belay_probe_serve(connection, &self, 1, TEST_PLENTY_MS, NULL);
			(void)close(connection);
		}
	}
	return body_sleeps(NULL);
}

static inline int body_is_silent(void *argument)
{
	const struct daemon *daemon = argument;

	wait_hung_up(accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC));
	return 0;
}

static inline int body_hangs_up(void *argument)
{
	const struct daemon *daemon = argument;

	(void)close(accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC));
	(void)pause();
	return 0;
}

/* A byte of a frame that never ends, every few milliseconds, as long as somebody listens. */
static inline int body_trickles(void *argument)
{
	static const uint8_t bytes[] = { 1, 0, 4, 0, 0, 0 };
	const struct daemon *daemon = argument;
	int connection = accept4(daemon->place->listener, NULL, NULL, SOCK_CLOEXEC);
	struct pollfd end = { .fd = connection, .events = POLLRDHUP };

	for (size_t i = 0; poll(&end, 1, 2) == 0; i++)
		if (send(connection, bytes + (i < 5 ? i : 5), 1, MSG_NOSIGNAL) != 1)
			break;
	return 0;
}

static inline int probe(const struct place *place, const struct belay_daemon *expected,
	struct belay_probe_report *report, struct belay_error *error)
{
	return belay_probe(&place->endpoint, expected, &place->options, NULL, report, error);
}

static inline void reap_well(struct child *child)
{
	int status = child_reap(child);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}
