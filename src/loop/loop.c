#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hot.h"
#include "base/missing.h"

struct belay__loop {
	int epoll_fd;
	int timer_fd; /* makes epoll_fd readable when the first timer is due */
	uint64_t now_ns;
	uint64_t armed_ns;          /* what timer_fd is set to; UINT64_MAX: nothing */
	struct belay__timer timers; /* ring: timers.next is due first */
	struct belay__deferred *deferred, **deferred_end;
	struct epoll_event ready[BELAY__LOOP_BATCH]; /* from ready_at on not served yet */
	int ready_at, ready_count;
	bool saw_all, in_turn, timer_fired, no_pwait2;
};

static void ring_init(struct belay__timer *ring)
{
	ring->next = ring->prev = ring;
}

static void unlink_timer(struct belay__timer *timer)
{
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->next = timer->prev = NULL;
}

static void link_before(struct belay__timer *place, struct belay__timer *timer)
{
	timer->next = place;
	timer->prev = place->prev;
	place->prev->next = timer;
	place->prev = timer;
}

int belay__loop_new(struct belay__loop **ret_loop)
{
	struct belay__loop *loop = calloc(1, sizeof(*loop));
	struct epoll_event event = { .events = EPOLLIN };
	int r;

	if (loop == NULL)
		return -ENOMEM;

	ring_init(&loop->timers);
	loop->timers.due_ns = 0;
	loop->deferred_end = &loop->deferred;
	loop->armed_ns = UINT64_MAX;
	loop->now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	loop->timer_fd = -EBADF;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd >= 0)
		loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	/* The event of the timer carries no pointer, which tells it from those of an IO. */
	if (loop->epoll_fd < 0 || loop->timer_fd < 0 ||
		epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->timer_fd, &event) < 0) {
		r = -errno;
		(void)belay__loop_free(loop);
		return r;
	}
	*ret_loop = loop;
	return 0;
}

struct belay__loop *belay__loop_free(struct belay__loop *loop)
{
	if (loop == NULL)
		return NULL;

	assert(!loop->in_turn);
	while (loop->timers.next != &loop->timers)
		unlink_timer(loop->timers.next);
	(void)belay__close(loop->timer_fd);
	(void)belay__close(loop->epoll_fd);
	free(loop);
	return NULL;
}

int belay__loop_fd(const struct belay__loop *loop)
{
	return loop->epoll_fd;
}

BELAY__HOT uint64_t belay__loop_now_ns(const struct belay__loop *loop)
{
	return loop->now_ns;
}

BELAY__HOT bool belay__loop_saw_all(const struct belay__loop *loop)
{
	return loop->saw_all;
}

int belay__io_add(struct belay__loop *loop, struct belay__io *io, int fd, uint32_t events,
	void (*ready)(struct belay__io *io, uint32_t events), void *data)
{
	struct epoll_event event = { .events = events, .data.ptr = io };

	assert(io->loop == NULL);

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return -errno;
	*io = (struct belay__io){ .fd = fd,
		.events = events,
		.ready = ready,
		.data = data,
		.loop = loop };
	return 0;
}

int belay__io_change(struct belay__io *io, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = io };

	assert(io->loop != NULL);

	if (events == io->events)
		return 0;
	if (epoll_ctl(io->loop->epoll_fd, EPOLL_CTL_MOD, io->fd, &event) < 0)
		return -errno;
	io->events = events;
	return 0;
}

void belay__io_remove(struct belay__io *io)
{
	struct belay__loop *loop = io->loop;

	if (loop == NULL)
		return;

	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	/* Its memory may go away before this turn comes to an event that is already here. */
	for (int i = loop->ready_at; i < loop->ready_count; i++)
		if (loop->ready[i].data.ptr == io)
			loop->ready[i].data.ptr = NULL;
	io->fd = -EBADF;
	io->loop = NULL;
}

/* Sets the timer descriptor for the next due time, but only when it would fire too late: one that
 * was set too early wakes the loop once for nothing, which is cheaper than a system call each time
 * a deadline moves on. */
BELAY__HOT static void arm(struct belay__loop *loop)
{
	struct itimerspec setting = { 0 };
	uint64_t wanted_ns = UINT64_MAX;

	if (loop->deferred != NULL)
		wanted_ns = 1;
	else if (loop->timers.next != &loop->timers)
		wanted_ns = loop->timers.next->due_ns;
	if (!loop->timer_fired && wanted_ns >= loop->armed_ns)
		return;

	/* Zero would disarm it. Setting it also takes back that it is readable, so it is never
	 * read. */
	if (wanted_ns != UINT64_MAX)
		setting.it_value = belay__timespec(wanted_ns == 0 ? 1 : wanted_ns);
	(void)timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &setting, NULL);
	loop->armed_ns = wanted_ns;
	loop->timer_fired = false;
}

/* In a turn arming waits for its end, where it is done once for all changes. */
static void arm_outside_turn(struct belay__loop *loop)
{
	if (!loop->in_turn)
		arm(loop);
}

void belay__timer_set(struct belay__loop *loop, struct belay__timer *timer, uint64_t due_ns,
	void (*due)(struct belay__timer *timer, uint64_t now_ns), void *data)
{
	struct belay__timer *place = &loop->timers;

	belay__timer_clear(timer);
	timer->due_ns = due_ns;
	timer->due = due;
	timer->data = data;
	timer->loop = loop;
	if (due_ns == UINT64_MAX)
		return;

	while (place->prev != &loop->timers && place->prev->due_ns > due_ns)
		place = place->prev;
	link_before(place, timer);
	arm_outside_turn(loop);
}

void belay__timer_clear(struct belay__timer *timer)
{
	if (timer->next != NULL)
		unlink_timer(timer);
}

void belay__defer(struct belay__loop *loop, struct belay__deferred *deferred,
	void (*run)(struct belay__deferred *deferred), void *data)
{
	deferred->run = run;
	deferred->data = data;
	if (deferred->queued)
		return;

	deferred->queued = true;
	deferred->next = NULL;
	*loop->deferred_end = deferred;
	loop->deferred_end = &deferred->next;
	arm_outside_turn(loop);
}

int belay__signals_add(struct belay__loop *loop, struct belay__io *io, const int *signals,
	void (*ready)(struct belay__io *io, uint32_t events), void *data)
{
	_cleanup_close_ int fd = -EBADF;
	sigset_t set, before;
	int r;

	(void)sigemptyset(&set);
	for (; *signals != 0; signals++)
		if (sigaddset(&set, *signals) < 0)
			return -errno;

	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	r = -pthread_sigmask(SIG_BLOCK, &set, &before);
	if (r < 0)
		return r;
	r = belay__io_add(loop, io, fd, EPOLLIN, ready, data);
	if (r < 0) {
		(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
		return r;
	}
	return TAKE_FD(fd);
}

/* epoll_wait() knows milliseconds only: rounded up, for a turn that ends early would be made again
 * and again. */
static int wait_ms(struct belay__loop *loop, uint64_t wait_ns)
{
	uint64_t ms = wait_ns / BELAY__NS_PER_MS + (wait_ns % BELAY__NS_PER_MS != 0);
	int timeout = wait_ns == UINT64_MAX ? -1 : ms > INT_MAX ? INT_MAX : (int)ms;

	return epoll_wait(loop->epoll_fd, loop->ready, BELAY__LOOP_BATCH, timeout);
}

static int wait_for_ready(struct belay__loop *loop, uint64_t wait_ns)
{
	/* The kernel takes 64 bits each, whatever the C library's timespec has. */
	const int64_t timeout[2] = {
		(int64_t)(wait_ns / BELAY__NS_PER_S),
		(int64_t)(wait_ns % BELAY__NS_PER_S),
	};
	long n;

	if (wait_ns == 0 || wait_ns == UINT64_MAX || loop->no_pwait2)
		return wait_ms(loop, wait_ns);

	n = syscall(SYS_epoll_pwait2, loop->epoll_fd, loop->ready, BELAY__LOOP_BATCH, timeout, NULL,
		(size_t)0);
	if (n < 0 && (errno == ENOSYS || errno == EPERM)) {
		loop->no_pwait2 = true;
		return wait_ms(loop, wait_ns);
	}
	return (int)n;
}

/* Timers that are due now leave the ring first: what their callbacks set for the past waits for the
 * next turn. */
static int run_timers(struct belay__loop *loop)
{
	struct belay__timer due;
	int count = 0;

	ring_init(&due);
	while (loop->timers.next != &loop->timers && loop->timers.next->due_ns <= loop->now_ns) {
		struct belay__timer *first = loop->timers.next;

		unlink_timer(first);
		link_before(&due, first);
	}
	while (due.next != &due) {
		struct belay__timer *timer = due.next;

		unlink_timer(timer);
		timer->due(timer, loop->now_ns);
		count++;
	}
	return count;
}

static int run_ready(struct belay__loop *loop)
{
	int count = 0;

	while (loop->ready_at < loop->ready_count) {
		const struct epoll_event *event = &loop->ready[loop->ready_at++];
		struct belay__io *io = event->data.ptr;
		uint32_t events;

		if (io == NULL)
			continue;
		/* An earlier callback of this turn may have lost interest. */
		events = event->events & (io->events | EPOLLERR | EPOLLHUP);
		if (events == 0)
			continue;
		io->ready(io, events);
		count++;
	}
	loop->ready_at = loop->ready_count = 0;
	return count;
}

/* What deferred work defers runs in the next turn, so that a turn ends. */
static int run_deferred(struct belay__loop *loop)
{
	struct belay__deferred *queue = loop->deferred;
	int count = 0;

	loop->deferred = NULL;
	loop->deferred_end = &loop->deferred;
	while (queue != NULL) {
		struct belay__deferred *deferred = queue;

		queue = deferred->next;
		deferred->next = NULL;
		deferred->queued = false;
		deferred->run(deferred);
		count++;
	}
	return count;
}

static void note_timer(struct belay__loop *loop)
{
	for (int i = 0; i < loop->ready_count; i++)
		if (loop->ready[i].data.ptr == NULL)
			loop->timer_fired = true;
}

BELAY__HOT int belay__loop_turn(struct belay__loop *loop, uint64_t wait_ns)
{
	int n, count;

	assert(!loop->in_turn);

	loop->saw_all = false;
	n = wait_for_ready(loop, loop->deferred == NULL ? wait_ns : 0);
	/* Maybe we were stopped until now: the turn goes on with what is there and what time it is. */
	if (n < 0 && errno == EINTR)
		n = wait_ms(loop, 0);
	if (n < 0)
		return -errno;

	loop->in_turn = true;
	loop->ready_at = 0;
	loop->ready_count = n;
	loop->saw_all = n < BELAY__LOOP_BATCH;
	loop->now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	note_timer(loop);
	count = run_timers(loop);
	count += run_ready(loop);
	count += run_deferred(loop);
	loop->in_turn = false;
	arm(loop);
	return count;
}
