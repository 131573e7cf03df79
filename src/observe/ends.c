/* The end of a process: told at once by its pidfd, with how it ended as soon as the kernel
 * tells. */

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "observe/core.h"

#define RESERVED_FDS 128

static void on_pidfd(struct belay__io *io, uint32_t events)
{
	struct belay_observer *observer = io->data;
	struct belay__watch *watch = (struct belay__watch *)(void *)io;

	(void)events;
	belay__ended_push(observer, (uint32_t)(watch - observer->watches));
}

/* Descriptors beyond these are for the door, for files and for looking at processes. */
static bool within_budget(int pidfd)
{
	struct rlimit limit;
	rlim_t reserve;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return true;
	reserve = limit.rlim_cur / 4 < RESERVED_FDS ? limit.rlim_cur / 4 : RESERVED_FDS;
	return (rlim_t)pidfd < limit.rlim_cur - reserve;
}

void belay__watch_take(struct belay_observer *observer, uint32_t record, int pidfd)
{
	struct belay__watch *watch = &observer->watches[record];

	_Static_assert(offsetof(struct belay__watch, io) == 0,
		"on_pidfd() finds the watch by its io");
	watch->pidfd = pidfd;
	watch->ended = false;
	if (!within_budget(pidfd) ||
		belay__io_add(observer->loop, &watch->io, pidfd, EPOLLIN | EPOLLONESHOT, on_pidfd,
			observer) < 0) {
		watch->pidfd = belay__close(pidfd);
		observer->counts[BELAY__COUNT_PIDFDS_MISSING]++;
	}
}

void belay__unwatch(struct belay_observer *observer, uint32_t record)
{
	struct belay__watch *watch = &observer->watches[record];

	belay__io_remove(&watch->io);
	watch->pidfd = belay__close(watch->pidfd);
	watch->ended = false;
}

void belay__ended_push(struct belay_observer *observer, uint32_t record)
{
	uint32_t next = (observer->ended_tail + 1) % (observer->table.capacity + 1);

	if (observer->watches[record].ended || next == observer->ended_head)
		return;
	observer->watches[record].ended = true;
	observer->ended[observer->ended_tail] = record;
	observer->ended_tail = next;
}

static void tell_status(struct belay_observer *observer, struct belay_event *event, int wait_status)
{
	if (WIFEXITED(wait_status)) {
		event->end = BELAY_END_EXITED;
		event->code = WEXITSTATUS(wait_status);
	} else {
		event->end = BELAY_END_KILLED;
		event->code = WTERMSIG(wait_status);
		event->core_dumped = WCOREDUMP(wait_status);
	}
	observer->counts[event->end == BELAY_END_EXITED ? BELAY__COUNT_ENDS_EXITED
							: BELAY__COUNT_ENDS_KILLED]++;
	if (event->end == BELAY_END_KILLED || event->code != 0)
		belay__totals_add(observer->totals, observer->event_name, event->uid,
			&(struct belay__total){ .crashes = 1 });
}

static void on_pending(struct belay__io *io, uint32_t events)
{
	struct belay__pending_end *pending = io->data;

	(void)events;
	belay__io_remove(io);
	pending->told = true;
	pending->observer->pending_told++;
}

/* Takes over WATCH's pidfd of a process that nobody has reaped yet, until the kernel can say how it
 * ended (6.15). False, and the pidfd stays the watch's: nobody will ever tell. */
static bool wait_for_status(struct belay_observer *observer, const struct belay_event *event,
	struct belay__watch *watch)
{
	struct belay__pending_end *pending = NULL;

	for (unsigned i = 0; i < BELAY__PENDING_ENDS_MAX && pending == NULL; i++)
		if (observer->pending_ends[i].pidfd < 0)
			pending = &observer->pending_ends[i];
	if (pending == NULL)
		return false;
	pending->observer = observer;
	pending->told = false;
	pending->pid = event->pid;
	pending->uid = event->uid;
	pending->start_ticks = event->start_ticks;
	memcpy(pending->name, observer->event_name, sizeof(pending->name));
	belay__io_remove(&watch->io);
	if (belay__io_add(observer->loop, &pending->io, watch->pidfd, EPOLLHUP, on_pending,
		    pending) < 0)
		return false;
	pending->pidfd = TAKE_FD(watch->pidfd);
	return true;
}

/* How the process behind PIDFD ended: 0, -EAGAIN (the kernel will tell later), or another negative
 * errno (never). While nobody has reaped it, its stat says so; afterwards its pidfd does. */
static int find_status(const struct belay__slot *slot, int pidfd, int *ret_status)
{
	if (pidfd < 0)
		return -ENODATA;
	if (belay__read_exit_status((pid_t)slot->pid, slot->start_ticks, ret_status) == 0)
		return 0;
	return belay__pidfd_exit_status(pidfd, ret_status);
}

void belay__remember_end(struct belay_observer *observer, const struct belay_event *event,
	uint64_t last_nonce)
{
	struct belay__departed *departed = &observer->departed[observer->departed_next];

	observer->departed_next = (observer->departed_next + 1) % BELAY__DEPARTED_MAX;
	*departed = (struct belay__departed){
		.pid = event->pid,
		.uid = event->uid,
		.start_ticks = event->start_ticks,
		.at_ns = observer->now_ns,
		.last_nonce = last_nonce,
		.end = (uint8_t)event->end,
		.code = event->code,
	};
	memcpy(departed->name, observer->event_name, sizeof(departed->name));
}

/* An end that was remembered as unknown has become known. */
static void complete(struct belay_observer *observer, const struct belay_event *event)
{
	for (unsigned i = 0; i < BELAY__DEPARTED_MAX; i++) {
		struct belay__departed *departed = &observer->departed[i];

		if (departed->pid == event->pid && departed->start_ticks == event->start_ticks) {
			departed->end = (uint8_t)event->end;
			departed->code = event->code;
		}
	}
}

void belay__add_crash_note(struct belay_observer *observer, struct belay_event *event,
	uint64_t since_ns)
{
	int signal_nr = event->end == BELAY_END_UNKNOWN ? 0
		: event->end == BELAY_END_KILLED        ? event->code
							: -1;

	if (observer->crashes_fd >= 0 && observer->read_crash != NULL &&
		observer->read_crash(observer->crashes_fd, event->pid, event->uid, since_ns,
			signal_nr, observer->event_evidence, sizeof(observer->event_evidence)) > 0)
		event->crash = observer->event_evidence;
}

bool belay__end(struct belay_observer *observer, uint32_t at, bool left)
{
	const struct belay__slot *slot = &observer->table.slots[at];
	struct belay__watch *watch = &observer->watches[slot->record];
	struct belay_event *event = belay__event_about(observer, BELAY_EVENT_END, at);
	int status, r;

	event->silent_ns = observer->now_ns - slot->last_ns;
	if (left) {
		event->end = BELAY_END_LEFT;
		observer->counts[BELAY__COUNT_ENDS_LEFT]++;
	} else {
		r = find_status(slot, watch->pidfd, &status);
		/* Each end is counted once: what may still become known, when it does. */
		if (r == 0)
			tell_status(observer, event, status);
		else if (r != -EAGAIN || !wait_for_status(observer, event, watch))
			observer->counts[BELAY__COUNT_ENDS_UNKNOWN]++;
	}
	belay__add_crash_note(observer, event,
		observer->table.records[slot->record].first_realtime_ns);
	belay__remember_end(observer, event, slot->last_nonce);
	/* Who left may live on, and must not be found by an observer that comes after us. */
	if (left) {
		belay__remove(observer, at);
	} else {
		observer->told_slot = at;
		observer->told_end = true;
	}
	return true;
}

/* What became known of an end that was told as unknown. */
static bool pending_next(struct belay_observer *observer)
{
	for (unsigned i = 0; i < BELAY__PENDING_ENDS_MAX && observer->pending_told > 0; i++) {
		struct belay__pending_end *pending = &observer->pending_ends[i];
		struct belay_event *event;
		int status, r;

		if (pending->pidfd < 0 || !pending->told)
			continue;
		observer->pending_told--;
		r = belay__pidfd_exit_status(pending->pidfd, &status);
		pending->pidfd = belay__close(pending->pidfd);
		if (r < 0) {
			observer->counts[BELAY__COUNT_ENDS_UNKNOWN]++;
			continue;
		}
		event = belay__event_start(observer, BELAY_EVENT_END_STATUS);
		event->pid = pending->pid;
		event->uid = pending->uid;
		event->start_ticks = pending->start_ticks;
		memcpy(observer->event_name, pending->name, sizeof(pending->name));
		tell_status(observer, event, status);
		complete(observer, event);
		return true;
	}
	return false;
}

bool belay__ends_next(struct belay_observer *observer)
{
	while (observer->ended_head != observer->ended_due) {
		uint32_t number = observer->ended[observer->ended_head];
		const struct belay__record *record = &observer->table.records[number];
		uint32_t slot;

		observer->ended_head = (observer->ended_head + 1) % (observer->table.capacity + 1);
		/* It may have been forgotten since: its watch says so. */
		if (!observer->watches[number].ended)
			continue;
		slot = belay__table_find(&observer->table, record->pid);
		if (slot != BELAY__NO_SLOT && observer->table.slots[slot].record == number)
			return belay__end(observer, slot, /* left= */ false);
	}
	return pending_next(observer);
}
