/* A missed deadline: gather evidence, judge, tell. Once per silence. */

#include <errno.h>
#include <poll.h>

#include "base/clock.h"
#include "observe/core.h"

/* However many fall silent at once, beats are read in between. A question to the prober counts one,
 * a look of our own, which is a dozen system calls, a quarter of a turn. */
#define ASKED_PER_TURN  64
#define OWN_LOOK_WEIGHT 16
/* A prober with its hands full is left alone for so long. */
#define BUSY_NS (5 * BELAY__NS_PER_MS)

static bool is_remote(const struct belay__slot *slot)
{
	return belay__key_host(slot->pid) != 0;
}

/* Whether the process in SLOT is gone: its silence is no stall then. */
static bool has_ended(struct belay_observer *observer, const struct belay__slot *slot)
{
	const struct belay__watch *watch = &observer->watches[slot->record];
	struct pollfd exit = { .events = POLLIN };
	struct belay__stat stat;
	int r;

	if (watch->ended)
		return true;
	if (watch->pidfd >= 0) {
		exit.fd = watch->pidfd;
		return poll(&exit, 1, 0) > 0;
	}
	if (slot->start_ticks == 0)
		return false;
	r = belay__read_stat((pid_t)slot->pid, &stat);
	return r == -ESRCH ||
		(r == 0 && (stat.start_ticks != slot->start_ticks || stat.state == 'Z'));
}

static struct belay__second_look *look_at(struct belay_observer *observer, uint32_t i)
{
	return &observer->second_looks[(observer->looks_head + i) % BELAY__SECOND_LOOKS_MAX];
}

static void on_second_look(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay_observer *observer = timer->data;

	while (observer->looks_count > 0) {
		struct belay__second_look *look = look_at(observer, 0);
		int r;

		if (look->due_ns > now_ns) {
			belay__timer_set(observer->loop, timer, look->due_ns, on_second_look,
				observer);
			return;
		}
		r = belay__evidence_look_again((pid_t)look->pid, look->start_ticks, now_ns,
			&look->evidence);
		belay__observer_answer(observer, look->pid, look->start_ticks, r,
			r == 0 ? &look->evidence : NULL);
		observer->looks_head = (observer->looks_head + 1) % BELAY__SECOND_LOOKS_MAX;
		observer->looks_count--;
	}
}

/* Without a prober the observer looks by itself; all looks are equally far apart, so the ring is in
 * order of time. */
static void look_by_ourselves(struct belay_observer *observer, uint32_t pid, uint64_t start_ticks)
{
	struct belay__second_look *look = look_at(observer, observer->looks_count);
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	struct belay__evidence evidence;
	int r = belay__evidence_look((pid_t)pid, start_ticks, now_ns, &evidence);

	if (r <= 0 || observer->looks_count == BELAY__SECOND_LOOKS_MAX ||
		observer->options.clock != NULL) {
		belay__observer_answer(observer, pid, start_ticks, r > 0 ? 0 : r,
			r >= 0 ? &evidence : NULL);
		return;
	}
	*look = (struct belay__second_look){ .pid = pid,
		.start_ticks = start_ticks,
		.due_ns = now_ns + BELAY__LOOK_APART_NS,
		.evidence = evidence };
	if (observer->looks_count++ == 0)
		belay__timer_set(observer->loop, &observer->look_timer, look->due_ns,
			on_second_look, observer);
}

/* How much of the silence since SINCE_NS the host spent suspended. */
static uint64_t suspended_since(const struct belay_observer *observer, uint64_t since_ns)
{
	return observer->suspended_for_ns > 0 && observer->suspended_since_ns >= since_ns
		? observer->suspended_for_ns
		: 0;
}

static uint64_t threshold_of(const struct belay_observer *observer, const struct belay__slot *slot)
{
	uint64_t missed_ns = observer->watches[slot->record].missed_ns;

	if (slot->flags & BELAY__SLOT_WITHIN)
		return missed_ns > slot->last_ns ? missed_ns - slot->last_ns : 0;
	return observer->table.deadlines.length_ns[slot->list];
}

/* Whether a pause excuses the silence of the process in slot AT: like one that was announced. */
static bool put_off(struct belay_observer *observer, uint32_t at)
{
	struct belay__slot *slot = &observer->table.slots[at];
	uint64_t until_ns = observer->pauses.count > 0 ? belay__excused_until(observer, at) : 0;

	if (until_ns == 0)
		return false;
	slot->flags = (uint8_t)((slot->flags & ~BELAY__SLOT_QUESTIONED) | BELAY__SLOT_WITHIN);
	belay__deadlines_set(&observer->table.deadlines, at, until_ns);
	observer->watches[slot->record].put_off_ns = until_ns;
	observer->table.records[slot->record].marks |= BELAY__MARK_PUT_OFF;
	return true;
}

/* Judges the silence of the process in SLOT and makes the event. False: it was paused meanwhile. */
static bool tell(struct belay_observer *observer, uint32_t at,
	const struct belay__evidence *evidence)
{
	struct belay__slot *slot = &observer->table.slots[at];
	struct belay__watch *watch = &observer->watches[slot->record];
	struct belay__silence silence = {
		.silent_ns = observer->now_ns - slot->last_ns,
		.threshold_ns = threshold_of(observer, slot),
		.observer_late_ns = belay__watch_clock_late_since(&observer->clock, slot->last_ns),
		.suspended_ns = suspended_since(observer, slot->last_ns),
	};
	enum belay__verdict verdict = belay__judge(evidence, &silence);
	struct belay__text text, kept;
	struct belay_event *event;

	if (put_off(observer, at))
		return false;
	event = belay__event_about(observer, BELAY_EVENT_STALL, at);
	belay__text_init(&text, observer->event_evidence, sizeof(observer->event_evidence));
	if (evidence != NULL)
		belay__evidence_explain(verdict, evidence, &text);
	else
		belay__text_add(&text,
			is_remote(slot) ? "it runs on another host, where nothing can be looked up"
					: "no evidence could be gathered");
	belay__text_init(&kept, watch->evidence, sizeof(watch->evidence));
	belay__text_add(&kept, observer->event_evidence);
	event->verdict = belay__verdict_name(verdict);
	event->silent_ns = silence.silent_ns;
	event->threshold_ns = silence.threshold_ns;
	event->late_ns = watch->noticed_ns - watch->missed_ns;
	observer->table.records[slot->record].stalls++;
	observer->table.records[slot->record].verdict = (uint8_t)verdict;
	slot->flags = (uint8_t)(slot->flags & ~(BELAY__SLOT_QUESTIONED | BELAY__SLOT_WITHIN));
	belay__deadlines_remove(&observer->table.deadlines, at);
	if (belay__is_blamed(observer, observer->table.records[slot->record].rule, (uint8_t)verdict))
		belay__crowd_silent(observer, slot->record, slot->list,
			observer->table.deadlines.length_ns[slot->list]);
	observer->told_slot = at;
	observer->told_end = false;
	observer->counts[BELAY__COUNT_STALLS]++;
	observer->counts[BELAY__COUNT_VERDICTS_MISSING] += evidence == NULL && !is_remote(slot);
	return true;
}

/* Asks the prober about the process in SLOT, or else looks: what we may see ourselves is better than
 * nothing. False: the prober is busy, and there is time to ask it later. */
static bool ask(struct belay_observer *observer, const struct belay__slot *slot)
{
	uint64_t patience_ns = observer->table.deadlines.length_ns[BELAY__LIST_QUESTION];
	bool urgent = observer->now_ns - slot->due_ns >= patience_ns;
	int r = -ENOSYS;

	if (belay__loop_now_ns(observer->loop) < observer->prober_busy_until_ns)
		r = -EAGAIN;
	else if (observer->prober.ask != NULL)
		r = observer->prober.ask(observer->prober.data, slot->pid, slot->start_ticks);
	if (r == -EAGAIN && belay__loop_now_ns(observer->loop) >= observer->prober_busy_until_ns)
		observer->prober_busy_until_ns = belay__loop_now_ns(observer->loop) + BUSY_NS;
	if (r == -EAGAIN && !urgent)
		return false;
	if (r < 0) {
		observer->asked_in_turn += OWN_LOOK_WEIGHT;
		look_by_ourselves(observer, slot->pid, slot->start_ticks);
	}
	return true;
}

/* SLOT's deadline has passed: asks why. Leaves it where it is when that has to wait. Returns whether
 * there is an event already. */
static bool question(struct belay_observer *observer, uint32_t at)
{
	struct belay__slot *slot = &observer->table.slots[at];
	struct belay__watch *watch = &observer->watches[slot->record];

	observer->asked_in_turn++;
	if (has_ended(observer, slot)) {
		belay__deadlines_remove(&observer->table.deadlines, at);
		if (watch->pidfd >= 0)
			return false; /* its pidfd tells in this turn or the next */
		return belay__end(observer, at, /* left= */ false);
	}
	if (put_off(observer, at))
		return false;
	if (is_remote(slot)) {
		watch->missed_ns = slot->due_ns;
		watch->noticed_ns = observer->now_ns;
		return tell(observer, at, /* evidence= */ NULL);
	}
	if (!ask(observer, slot)) {
		observer->resume_ns = observer->prober_busy_until_ns;
		return false;
	}
	watch->missed_ns = slot->due_ns;
	watch->noticed_ns = observer->now_ns;
	slot->flags |= BELAY__SLOT_QUESTIONED;
	belay__deadlines_heard(&observer->table.deadlines, at, BELAY__LIST_QUESTION,
		observer->now_ns);
	return false;
}

/* Nobody answered in time about the process in slot AT: one look of our own has to do. */
static bool tell_unanswered(struct belay_observer *observer, uint32_t at)
{
	const struct belay__slot *slot = &observer->table.slots[at];
	struct belay__evidence evidence;
	int r = belay__evidence_look((pid_t)slot->pid, slot->start_ticks,
		belay__clock_ns(CLOCK_MONOTONIC), &evidence);

	observer->asked_in_turn += OWN_LOOK_WEIGHT;
	if (r == -ESRCH && observer->watches[slot->record].pidfd < 0)
		return belay__end(observer, at, /* left= */ false);
	return r != -ESRCH && tell(observer, at, r >= 0 ? &evidence : NULL);
}

void belay__observer_answer(struct belay_observer *observer, uint32_t pid, uint64_t start_ticks,
	int code, const struct belay__evidence *evidence)
{
	struct belay__answer *answer;

	/* No room: the question runs out by itself and the stall is told without evidence. */
	if (observer->answers_count == BELAY__ANSWERS_MAX)
		return;
	answer = &observer->answers[(observer->answers_head + observer->answers_count++) %
		BELAY__ANSWERS_MAX];
	*answer = (struct belay__answer){ .pid = pid, .start_ticks = start_ticks, .code = code };
	if (code == 0 && evidence != NULL)
		answer->evidence = *evidence;
}

bool belay__answers_next(struct belay_observer *observer)
{
	while (observer->answers_count > 0) {
		const struct belay__answer *answer = &observer->answers[observer->answers_head];
		uint32_t at = belay__table_find(&observer->table, answer->pid);

		observer->answers_head = (observer->answers_head + 1) % BELAY__ANSWERS_MAX;
		observer->answers_count--;
		if (at == BELAY__NO_SLOT ||
			!(observer->table.slots[at].flags & BELAY__SLOT_QUESTIONED) ||
			observer->table.slots[at].start_ticks != answer->start_ticks)
			continue;
		if (answer->code == 0) {
			if (tell(observer, at, &answer->evidence))
				return true;
			continue;
		}
		if (has_ended(observer, &observer->table.slots[at])) {
			belay__deadlines_remove(&observer->table.deadlines, at);
			if (observer->watches[observer->table.slots[at].record].pidfd < 0)
				return belay__end(observer, at, /* left= */ false);
			continue;
		}
		if (tell(observer, at, /* evidence= */ NULL))
			return true;
	}
	return false;
}

/* Whose deadline passed first, of all thresholds and announced silences; or BELAY__NO_SLOT. */
static uint32_t first_due(const struct belay_observer *observer)
{
	const struct belay__deadlines *deadlines = &observer->table.deadlines;
	uint32_t first = belay__deadlines_first_due(deadlines, BELAY__LIST_WITHIN, observer->now_ns);

	for (uint32_t list = 0; list < deadlines->lists; list++) {
		uint32_t at = belay__deadlines_first_due(deadlines, (uint8_t)list, observer->now_ns);

		if (at != BELAY__NO_SLOT &&
			(first == BELAY__NO_SLOT ||
				deadlines->slots[at].due_ns < deadlines->slots[first].due_ns))
			first = at;
	}
	return first;
}

bool belay__stalls_next(struct belay_observer *observer)
{
	struct belay__deadlines *deadlines = &observer->table.deadlines;
	uint32_t at;

	/* Once somebody has to wait for the prober, all others have not waited as long. */
	while (observer->asked_in_turn < ASKED_PER_TURN && observer->resume_ns == 0 &&
		(at = first_due(observer)) != BELAY__NO_SLOT)
		if (question(observer, at))
			return true;
	while (observer->asked_in_turn < ASKED_PER_TURN) {
		at = belay__deadlines_take_due(deadlines, BELAY__LIST_QUESTION, observer->now_ns);
		if (at == BELAY__NO_SLOT)
			return false;
		if (tell_unanswered(observer, at))
			return true;
	}
	if (observer->resume_ns == 0 && belay__deadlines_next_ns(deadlines) <= observer->now_ns)
		observer->resume_ns = belay__loop_now_ns(observer->loop);
	return false;
}
