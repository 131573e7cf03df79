/* One turn of an observer: drain the beats, then door, ends, deadlines; one event at a time comes
 * out.
 *
 * Beats come first because everything else depends on them: a deadline may only be judged, and an
 * end only told, when what the process sent before has been read. A drain goes on until a socket is
 * dry or as much was read as its queue holds: then everything that was queued when it began has
 * been seen, however fast others keep sending.
 */

#include <errno.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/hot.h"
#include "observe/core.h"
#include "observe/restore.h"

#define COLLECT_ABOVE_PER_S 100
#define COLLECT_WINDOW_NS   (BELAY__NS_PER_S / 2)
#define TICK_MIN_NS         (1 * BELAY__NS_PER_MS)
#define TICK_MAX_NS         (50 * BELAY__NS_PER_MS)
#define TICKS_PER_THRESHOLD 20
/* A queue with less room than this is not left alone for a tick. */
#define COLLECT_QUEUE_MIN 64
/* Smaller tables stay in the cache by themselves. */
#define PREFETCH_ABOVE 1024
/* Being late by less is normal on a busy host and no reason to credit anybody. */
#define LATE_MIN_NS (20 * BELAY__NS_PER_MS)
/* For so many turns ends wait for goodbyes. */
#define POSTPONED_TURNS_MAX 64

struct belay_event *belay__event_start(struct belay_observer *observer, enum belay_event_kind kind)
{
	observer->event = (struct belay_event){
		.kind = kind,
		.observer_ns = observer->clock.now_ns - observer->clock.start_ns,
		.name = observer->event_name,
		.evidence = observer->event_evidence,
		.crash = "",
		.verdict = "",
	};
	observer->event_name[0] = '\0';
	observer->event_evidence[0] = '\0';
	return &observer->event;
}

struct belay_event *belay__event_about(struct belay_observer *observer, enum belay_event_kind kind,
	uint32_t at)
{
	struct belay_event *event = belay__event_start(observer, kind);
	const struct belay__slot *slot = &observer->table.slots[at];
	const struct belay__record *record = &observer->table.records[slot->record];

	event->pid = slot->pid;
	event->uid = record->uid;
	event->start_ticks = slot->start_ticks;
	event->name = record->name;
	event->status = (enum belay_status)slot->status;
	event->origin = (enum belay_origin)slot->origin;
	event->payload = record->payload;
	event->nonce = slot->flags & BELAY__SLOT_TERMINAL ? BELAY_NONCE_TERMINAL : slot->last_nonce;
	if (kind == BELAY_EVENT_STALL || kind == BELAY_EVENT_END)
		event->last_ns = slot->last_ns > observer->clock.start_ns
			? slot->last_ns - observer->clock.start_ns
			: 0;
	if (kind == BELAY_EVENT_END) {
		/* Its record is about to go. */
		__builtin_memcpy(observer->event_name, record->name, sizeof(observer->event_name));
		event->name = observer->event_name;
	}
	return event;
}

static void read_clock(struct belay_observer *observer)
{
	observer->now_ns = belay__watch_clock_now(&observer->clock);
}

uint64_t belay__timer_due_ns(const struct belay_observer *observer, uint64_t due_ns)
{
	uint64_t in_ns = due_ns > observer->now_ns ? due_ns - observer->now_ns : 0;
	uint64_t due;

	if (observer->clock.source == CLOCK_MONOTONIC)
		return due_ns;

	if (due_ns == UINT64_MAX ||
		__builtin_add_overflow(belay__clock_ns(CLOCK_MONOTONIC), in_ns, &due))
		return UINT64_MAX;
	return due;
}

static void on_deadline(struct belay__timer *timer, uint64_t now_ns)
{
	/* The turn looks at every list; the timer only wakes it. */
	(void)timer;
	(void)now_ns;
}

/* The timer is left alone when it would wake us early enough: a beat moves deadlines, it does not
 * set timers. */
static void arm_deadline(struct belay_observer *observer)
{
	uint64_t due_ns = belay__deadlines_next_ns(&observer->table.deadlines);
	struct belay__timer *timer = &observer->deadline_timer;
	uint64_t wake_ns;

	if (observer->resume_ns != 0) {
		/* Not before now: what this turn took is work, not lateness. */
		wake_ns = belay__clock_ns(CLOCK_MONOTONIC);
		if (wake_ns < observer->resume_ns)
			wake_ns = observer->resume_ns;
		belay__timer_set(observer->loop, timer, wake_ns, on_deadline, observer);
		observer->resume_ns = 0;
		return;
	}
	if (observer->options.clock != NULL)
		return;
	if (due_ns == UINT64_MAX) {
		belay__timer_clear(timer);
		return;
	}
	wake_ns = belay__timer_due_ns(observer, due_ns);
	if (timer->next == NULL || timer->due_ns > wake_ns)
		belay__timer_set(observer->loop, timer, wake_ns, on_deadline, observer);
}

static void mark_all_ready(struct belay_observer *observer)
{
	for (unsigned i = 0; i < observer->listener_count; i++) {
		observer->listeners[i].ready = true;
		observer->listeners[i].drained_frames = 0;
	}
}

/* The observer did not run for LATE_NS: nobody who was not heard since is blamed for that time. */
static bool credit(struct belay_observer *observer, uint64_t late_ns)
{
	belay__credit(observer, observer->turn_start_ns, late_ns);
	observer->arrived_after_ns = observer->now_ns - late_ns;
	belay__event_start(observer, BELAY_EVENT_LATE)->late_ns = late_ns;
	return true;
}

/* A timer went off long after it was due, or somebody stopped us: what held us up held the beats
 * up, too. */
static bool notice_lateness(struct belay_observer *observer)
{
	uint64_t now_ns = belay__loop_now_ns(observer->loop);
	uint64_t late_ns = observer->stopped_ns;

	observer->stopped_ns = 0;
	if (observer->options.clock != NULL || observer->turn_end_ns == 0)
		return false;
	if (now_ns > observer->turn_deadline_ns && now_ns - observer->turn_deadline_ns > late_ns)
		late_ns = now_ns - observer->turn_deadline_ns;
	return late_ns >= LATE_MIN_NS && credit(observer, late_ns);
}

void belay__observer_was_stopped(struct belay_observer *observer)
{
	if (observer->turn_end_ns != 0)
		observer->stopped_ns = belay__clock_ns(CLOCK_MONOTONIC) - observer->turn_end_ns;
}

/* What BOOTTIME is ahead of MONOTONIC by grows while the host is suspended. */
static void notice_suspension(struct belay_observer *observer)
{
	uint64_t suspended_ns;

	if (!observer->options.boottime)
		return;
	suspended_ns = belay__clock_ns(CLOCK_BOOTTIME) - belay__clock_ns(CLOCK_MONOTONIC);
	if (suspended_ns > observer->suspended_ns + BELAY__NS_PER_S / 10) {
		observer->suspended_for_ns = suspended_ns - observer->suspended_ns;
		observer->suspended_since_ns = observer->now_ns;
	}
	observer->suspended_ns = suspended_ns;
}

/* Since when the beats may have come that are about to be read: since the sockets were last read,
 * but when a beat wakes us it has not waited longer than a busy host makes us wait. */
static uint64_t arrived_after(const struct belay_observer *observer)
{
	uint64_t busy_ns = observer->now_ns > LATE_MIN_NS ? observer->now_ns - LATE_MIN_NS : 0;

	if (observer->options.clock != NULL)
		return observer->now_ns;
	return observer->collecting || observer->read_ns > busy_ns ? observer->read_ns : busy_ns;
}

static bool begin_turn(struct belay_observer *observer)
{
	for (unsigned i = 0; i < observer->listener_count; i++)
		observer->listeners[i].drained_frames = 0;
	(void)belay__loop_turn(observer->loop, observer->wait ? UINT64_MAX : 0);
	/* An end that is met later in the turn is told in the next: until then the loop hears what
	 * came before it. */
	observer->ended_due = observer->ended_tail;
	observer->all_in = true;
	observer->wait = false;
	observer->asked_in_turn = 0;
	read_clock(observer);
	observer->turn_start_ns = observer->now_ns;
	observer->arrived_after_ns = arrived_after(observer);
	notice_suspension(observer);
	observer->phase = BELAY__PHASE_BEATS;
	return notice_lateness(observer);
}

/* --- beats --- */

/* In a large table, or after the sleep of a tick, each beat misses the cache in several places: the
 * misses of a batch are made to overlap. */
static void prefetch_batch(const struct belay_observer *observer)
{
	if (observer->table.used < PREFETCH_ABOVE && !observer->collecting)
		return;
	for (int i = 0; i < observer->batch_count; i++)
		belay__table_prefetch(&observer->table, (uint32_t)observer->batch[i].pid);
	for (int i = 0; i < observer->batch_count; i++)
		belay__table_prefetch_links(&observer->table, (uint32_t)observer->batch[i].pid);
}

/* Of processes that beat alike, the one silent longest is the next to be heard, and it goes behind
 * the one heard last: both are fetched while the kernel hands the beat over. Always inlined, for the
 * same reason as belay__table_prefetch(). */
__attribute__((always_inline)) static inline void prefetch_likely(
	const struct belay_observer *observer)
{
	const struct belay__deadlines *deadlines = &observer->table.deadlines;
	uint32_t head = deadlines->head[observer->default_list];
	uint32_t tail = deadlines->tail[observer->default_list];

	if (head == BELAY__NO_SLOT)
		return;
	__builtin_prefetch(&deadlines->slots[head], 1);
	__builtin_prefetch(&deadlines->slots[tail], 1);
}

/* Reads a batch of LISTENER's; *RET_DRY: there was no more. What comes from other hosts counts as a
 * whole batch however little of it is believed: a flood must come to an end. */
static inline int read_batch(struct belay_observer *observer, struct belay__listener *listener,
	bool *ret_dry)
{
	int count;

	if (__builtin_expect(listener->far.receive != NULL, 0)) {
		*ret_dry = true;
		listener->drained_frames += BELAY__BATCH;
		return listener->far.receive(listener->far.data, listener->beats.fd,
			&observer->batch, ret_dry);
	}
	count = belay__receive(listener->receiver, listener->beats.fd, &observer->batch);
	listener->drained_frames += count > 0 ? (unsigned)count : 0;
	*ret_dry = count < BELAY__BATCH;
	return count;
}

/* Reads the next batch of the listener at hand, or of the next one that is ready. False: all are
 * drained. */
static bool refill(struct belay_observer *observer)
{
	const unsigned first = observer->next_listener, all = observer->listener_count;

	for (unsigned tried = 0; tried < all; tried++) {
		struct belay__listener *listener = &observer->listeners[(first + tried) % all];
		bool dry;
		int count;

		if (!listener->ready)
			continue;
		prefetch_likely(observer);
		count = read_batch(observer, listener, &dry);
		observer->read_in_turn = true;
		observer->batch_at = 0;
		observer->batch_count = count > 0 ? count : 0;
		if (dry || listener->drained_frames >= listener->queue_frames) {
			listener->ready = false;
			observer->next_listener = (first + tried + 1) % all;
		}
		if (count < 0) {
			observer->counts[BELAY__COUNT_IO_ERRORS]++;
			observer->receive_error = count;
			return true;
		}
		if (count > 0) {
			read_clock(observer);
			observer->window_frames += listener->far.receive == NULL ? (unsigned)count
										 : 0;
			prefetch_batch(observer);
			return true;
		}
		if (!dry)
			return true;
	}
	return false;
}

/* The shortest threshold in use. */
static uint64_t shortest_threshold(const struct belay_observer *observer)
{
	uint64_t shortest_ns = UINT64_MAX;

	for (uint32_t i = 0; i < observer->table.deadlines.lists; i++)
		if (observer->table.deadlines.length_ns[i] < shortest_ns)
			shortest_ns = observer->table.deadlines.length_ns[i];
	return shortest_ns;
}

/* Whether a queue held all it can; counts anew from here. */
static bool found_full(struct belay_observer *observer)
{
	bool full = false;

	for (unsigned i = 0; i < observer->listener_count; i++) {
		struct belay__listener *listener = &observer->listeners[i];

		/* Who floods us from afar excuses nobody. */
		full = full ||
			(listener->far.receive == NULL &&
				listener->drained_frames >= listener->queue_frames);
		listener->drained_frames = 0;
	}
	return full;
}

/* A queue found full after a long sleep looks as if we had been frozen: beats were lost, and nobody
 * is blamed for it. Not twice in ten thresholds, or processes that beat in bursts would excuse a
 * silent one for ever. */
static bool notice_overflow(struct belay_observer *observer)
{
	uint64_t asleep_ns = belay__loop_now_ns(observer->loop) - observer->turn_end_ns;
	uint64_t threshold_ns = shortest_threshold(observer);

	if (!found_full(observer) || observer->options.clock != NULL || observer->turn_end_ns == 0 ||
		asleep_ns < LATE_MIN_NS || asleep_ns < threshold_ns / 2)
		return false;
	if (observer->clock.late_ns > 0 &&
		observer->now_ns - observer->clock.late_at_ns < 10 * threshold_ns)
		return false;
	return credit(observer, asleep_ns);
}

static bool report_receive_error(struct belay_observer *observer)
{
	int code = observer->receive_error;

	if (code == 0)
		return false;
	observer->receive_error = 0;
	belay__event_start(observer, BELAY_EVENT_IO)->code = code;
	return true;
}

static bool report_evicted(struct belay_observer *observer)
{
	struct belay_event *event;

	if (!observer->evicted_pending)
		return false;
	observer->evicted_pending = false;
	belay__totals_add(observer->totals, observer->evicted.name, observer->evicted.uid,
		&observer->evicted.counted);
	belay__totals_release(observer->totals);
	observer->counts[BELAY__COUNT_EVICTED]++;
	event = belay__event_start(observer, BELAY_EVENT_EVICTED);
	event->pid = observer->evicted.pid;
	event->uid = observer->evicted.uid;
	event->start_ticks = observer->evicted.start_ticks;
	event->name = observer->evicted.name;
	return true;
}

static bool beats_next(struct belay_observer *observer)
{
	for (;;) {
		while (observer->batch_at < observer->batch_count) {
			bool told = belay__admit(observer, &observer->batch[observer->batch_at++]);

			if (observer->again) {
				observer->again = false;
				observer->batch_at--;
			}
			if (told)
				return true;
		}
		if (!refill(observer))
			break;
		if (report_receive_error(observer))
			return true;
	}
	return notice_overflow(observer);
}

/* Before ends, door and deadlines are looked at, the beats that came before them are. True: there
 * are some to read first. */
static bool beats_come_first(struct belay_observer *observer)
{
	if (observer->drained_all)
		return false;
	observer->drained_all = true;
	mark_all_ready(observer);
	observer->phase = BELAY__PHASE_BEATS;
	return true;
}

/* --- collecting --- */

static void on_tick(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay_observer *observer = timer->data;

	mark_all_ready(observer);
	belay__timer_set(observer->loop, timer, now_ns + observer->tick_ns, on_tick, observer);
}

/* A tick is never a large part of a deadline. */
static uint64_t tick_length(const struct belay_observer *observer)
{
	uint64_t tick_ns = shortest_threshold(observer) / TICKS_PER_THRESHOLD;

	return tick_ns < TICK_MIN_NS ? TICK_MIN_NS : tick_ns > TICK_MAX_NS ? TICK_MAX_NS : tick_ns;
}

BELAY__HOT static void on_beats(struct belay__io *io, uint32_t events)
{
	struct belay__listener *listener = io->data;

	(void)events;
	listener->ready = true;
}

int belay__watch_beats(struct belay__listener *listener)
{
	return belay__io_add(listener->observer->loop, &listener->io, listener->beats.fd, EPOLLIN,
		on_beats, listener);
}

static void set_collecting(struct belay_observer *observer, bool collecting)
{
	observer->collecting = collecting;
	for (unsigned i = 0; i < observer->listener_count; i++) {
		struct belay__listener *listener = &observer->listeners[i];

		/* No sender on another host finds us waiting, or not. */
		if (listener->far.receive != NULL)
			continue;
		/* Taken off the loop altogether: a sender that finds no waiter pays a twentieth. */
		if (collecting)
			belay__io_remove(&listener->io);
		else if (belay__watch_beats(listener) < 0)
			observer->collecting =
				true; /* better late than deaf: tried again with the next window */
	}
	if (observer->collecting) {
		observer->tick_ns = tick_length(observer);
		belay__timer_set(observer->loop, &observer->tick_timer,
			belay__loop_now_ns(observer->loop) + observer->tick_ns, on_tick, observer);
	} else {
		belay__timer_clear(&observer->tick_timer);
	}
}

/* Many beats are collected on a tick, few wake us one by one; there is a gap between many and few.
 * A tick must not overfill the queue: twice what came in the last window has to fit. */
static void choose_mode(struct belay_observer *observer)
{
	uint64_t now_ns = belay__loop_now_ns(observer->loop);
	uint64_t elapsed_ns = now_ns - observer->window_start_ns;
	uint64_t per_s, per_tick;
	bool fits = true, many;

	if (elapsed_ns < COLLECT_WINDOW_NS || observer->options.clock != NULL)
		return;
	per_s = observer->window_frames * BELAY__NS_PER_S / elapsed_ns;
	per_tick = per_s * tick_length(observer) / BELAY__NS_PER_S;
	observer->window_start_ns = now_ns;
	observer->window_frames = 0;
	for (unsigned i = 0; i < observer->listener_count; i++)
		fits = fits &&
			(observer->listeners[i].far.receive != NULL ||
				(observer->listeners[i].queue_frames >= COLLECT_QUEUE_MIN &&
					observer->listeners[i].queue_frames >= 2 * per_tick));
	many = per_s >= (observer->collecting ? COLLECT_ABOVE_PER_S / 2 : COLLECT_ABOVE_PER_S);
	if ((many && fits) != observer->collecting)
		set_collecting(observer, many && fits);
}

static void finish_turn(struct belay_observer *observer)
{
	choose_mode(observer);
	if (observer->ended_head != observer->ended_tail)
		observer->resume_ns = belay__loop_now_ns(observer->loop);
	arm_deadline(observer);
	observer->turn_deadline_ns = observer->deadline_timer.next != NULL
		? observer->deadline_timer.due_ns
		: UINT64_MAX;
	observer->turn_end_ns = belay__loop_now_ns(observer->loop);
	observer->drained_all = false;
	if (observer->read_in_turn)
		observer->read_ns = observer->turn_start_ns;
	observer->read_in_turn = false;
	observer->phase = BELAY__PHASE_START;
}

/* Whether the loop, when it told of the ends of this turn, told of all that came in before them: it
 * hears of things in their order, unless there is more than it can tell at once; while beats are
 * collected their sockets are not on it. */
static bool ends_are_last(const struct belay_observer *observer)
{
	return !observer->collecting && belay__loop_saw_all(observer->loop);
}

static bool ends_are_due(const struct belay_observer *observer)
{
	return observer->ended_head != observer->ended_due;
}

/* Who says goodbye and exits at once has left: as long as somebody at the door has not been heard,
 * ends wait for him. But not for ever. */
static void wait_for_goodbyes(struct belay_observer *observer)
{
	if ((observer->all_in && !belay__door_ready(observer->door)) ||
		observer->ends_postponed == POSTPONED_TURNS_MAX) {
		observer->ends_postponed = 0;
		return;
	}
	observer->ends_postponed++;
	observer->ended_due = observer->ended_head;
}

static bool something_depends_on_beats(const struct belay_observer *observer)
{
	if (ends_are_due(observer) && !ends_are_last(observer))
		return true;
	return belay__door_ready(observer->door) || observer->answers_count > 0 ||
		belay__deadlines_next_ns(&observer->table.deadlines) <= observer->now_ns;
}

/* Stays in the phase at hand while it has something to tell, else goes on to NEXT. */
static bool advance(struct belay_observer *observer, bool told, enum belay__phase next)
{
	if (!told)
		observer->phase = next;
	return told;
}

/* Whether the other phases would find nothing: mostly so, and then they are not even entered,
 * because each has its code in pages of its own. */
static bool only_beats(const struct belay_observer *observer)
{
	return observer->ended_head == observer->ended_tail && observer->pending_told == 0 &&
		observer->answers_count == 0 && observer->rule_count == 0 &&
		belay__door_empty(observer->door) &&
		belay__deadlines_next_ns(&observer->table.deadlines) > observer->now_ns;
}

static bool beats_phase(struct belay_observer *observer)
{
	if (beats_next(observer))
		return true;
	if (only_beats(observer)) {
		observer->phase = BELAY__PHASE_FINISH;
		return false;
	}
	if (ends_are_due(observer) && !observer->drained_all)
		observer->all_in = belay__door_let_in(observer->door,
			belay__loop_saw_all(observer->loop));
	if (!something_depends_on_beats(observer) || !beats_come_first(observer))
		observer->phase = BELAY__PHASE_DOOR;
	return false;
}

static bool door_phase(struct belay_observer *observer)
{
	if (belay__door_next(observer->door))
		return true;
	if (ends_are_due(observer))
		wait_for_goodbyes(observer);
	observer->phase = BELAY__PHASE_ENDS;
	return false;
}

/* One step of the turn. Returns whether it left an event. */
static bool step(struct belay_observer *observer)
{
	switch (observer->phase) {
	case BELAY__PHASE_START:
		return begin_turn(observer);
	case BELAY__PHASE_BEATS:
		return beats_phase(observer);
	case BELAY__PHASE_DOOR:
		return door_phase(observer);
	case BELAY__PHASE_ENDS:
		return advance(observer, belay__ends_next(observer), BELAY__PHASE_DUE);
	case BELAY__PHASE_DUE:
		return advance(observer, belay__stalls_next(observer), BELAY__PHASE_ANSWERS);
	case BELAY__PHASE_ANSWERS:
		return advance(observer, belay__answers_next(observer), BELAY__PHASE_EXPECTATIONS);
	case BELAY__PHASE_EXPECTATIONS:
		return advance(observer, belay__expectations_next(observer), BELAY__PHASE_FINISH);
	case BELAY__PHASE_FINISH:
		break;
	}
	return false;
}

/* Notes in the table what the event before this one told. Not earlier: an observer that is killed
 * while its event is being written tells it once more when it comes back, instead of never. */
static void settle(struct belay_observer *observer)
{
	uint32_t at = observer->told_slot;

	if (at == BELAY__NO_SLOT)
		return;
	observer->told_slot = BELAY__NO_SLOT;
	if (observer->told_end)
		belay__remove(observer, at);
	else
		belay__table_set_stalled(&observer->table, at, true);
}

BELAY__HOT const struct belay_event *belay_observer_next(struct belay_observer *observer)
{
	settle(observer);
	for (;;) {
		if (report_evicted(observer) ||
			(observer->crowd_news > 0 && belay__crowds_next(observer)) ||
			(observer->kept_at < observer->kept_count &&
				belay__vanished_next(observer)) ||
			step(observer))
			return &observer->event;
		if (observer->phase == BELAY__PHASE_FINISH) {
			finish_turn(observer);
			return NULL;
		}
	}
}
