/* Accepting a beat: known processes in a few steps, new ones by finding out who they are. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hot.h"
#include "identity/aide.h"
#include "observe/core.h"
#include "observe/remote_process.h"

#define COMPLETE_EVERY_NS BELAY__NS_PER_S
#define AT_CONTACT        ((uint32_t)(BELAY__AIDE_PID_NS | BELAY__AIDE_EXE | BELAY__AIDE_ENV))

/* Without a pidfd (no descriptor left, no such system call) a process is still worth knowing. */
int belay__identify(uint32_t pid, struct belay__identity *ret_identity)
{
	int r = belay__identity_open((pid_t)pid, true, ret_identity);

	return r < 0 && r != -ESRCH ? belay__identity_open((pid_t)pid, false, ret_identity) : r;
}

/* A regular nonce that does not go up: a replay, a wrap, or another process under the same pid. */
static bool nonce_regressed(const struct belay__slot *slot, const struct belay_frame *frame)
{
	return frame->nonce != BELAY_NONCE_TERMINAL && (slot->flags & BELAY__SLOT_HAS_NONCE) &&
		frame->nonce <= slot->last_nonce;
}

/* The start time of whoever has PID now, when that is somebody else than SLOT's process; else 0. */
static uint64_t successor_start(const struct belay__slot *slot)
{
	struct belay__stat stat;

	if (slot->start_ticks == 0 || belay__read_stat((pid_t)slot->pid, &stat) < 0)
		return 0;
	return stat.start_ticks != slot->start_ticks ? stat.start_ticks : 0;
}

/* Another namespace is refused unless it was allowed; so is everybody's while our own is unknown
 * (fail closed). It is asked for again then: a reading that failed once must not shut everybody out
 * for good. */
static bool namespace_refused(struct belay_observer *observer, uint32_t pid, uint64_t pid_ns)
{
	struct belay_event *event;
	uint64_t own_pid_ns;

	if (observer->own_pid_ns == 0 && belay__read_pid_namespace(getpid(), &own_pid_ns) == 0)
		observer->own_pid_ns = (uint32_t)own_pid_ns;

	if (observer->options.allow_cross_namespace || pid_ns == 0 ||
		(uint32_t)pid_ns == observer->own_pid_ns)
		return false;
	observer->counts[BELAY__COUNT_NAMESPACE_MISMATCH]++;
	event = belay__event_start(observer, BELAY_EVENT_NAMESPACE_CONFLICT);
	event->pid = pid;
	event->pid_namespace = pid_ns;
	event->observer_pid_namespace = observer->own_pid_ns;
	return true;
}

/* Fills SENDER from IDENTITY; what /proc did not tell lowers the origin until a later beat brings
 * it. */
static void describe_sender(struct belay__sender *sender, const struct belay__identity *identity)
{
	sender->start_ticks = identity->start_ticks;
	sender->pid_ns = (uint32_t)identity->pid_ns;
	sender->origin = identity->start_ticks != 0 && identity->pid_ns != 0
		? BELAY__KERNEL_ATTESTED
		: BELAY__SOCKET_MODE_ONLY;
}

static void on_evict(void *data, uint32_t slot)
{
	struct belay_observer *observer = data;
	const struct belay__slot *victim = &observer->table.slots[slot];
	const struct belay__record *record = &observer->table.records[victim->record];

	observer->evicted_pending = true;
	observer->evicted.pid = victim->pid;
	observer->evicted.uid = record->uid;
	observer->evicted.start_ticks = victim->start_ticks;
	memcpy(observer->evicted.name, record->name, sizeof(record->name));
	/* Its record is about to be another's: what it counted is added when it is told. */
	belay__totals_hold(observer->totals);
	observer->evicted.counted = (struct belay__total){ .beats = record->beats,
		.stalls = record->stalls };
	belay__forget(observer, slot);
}

/* Makes the record of a new process: names, rule and with it the threshold, the pidfd. Takes
 * IDENTITY's pidfd over. */
static void make_record(struct belay_observer *observer, uint32_t at, uint32_t uid,
	struct belay__identity *identity)
{
	struct belay__slot *slot = &observer->table.slots[at];
	struct belay__record *record = &observer->table.records[slot->record];

	record->uid = uid;
	record->inner_pid = (uint32_t)identity->inner_pid;
	record->first_realtime_ns = belay__clock_ns(CLOCK_REALTIME);
	record->paid_ns = observer->arrived_after_ns;
	observer->watches[slot->record].recovered_ns = 0;
	belay__name_at_contact(observer, at);
	if (identity->pidfd >= 0)
		belay__watch_take(observer, slot->record, TAKE_FD(identity->pidfd));
	else
		observer->counts[BELAY__COUNT_PIDFDS_MISSING]++;
}

static struct belay_event *event_of_beat(struct belay_observer *observer,
	const struct belay_frame *frame, uint32_t slot)
{
	struct belay_event *event = belay__event_about(observer, BELAY_EVENT_BEAT, slot);

	event->status = (enum belay_status)frame->status;
	event->payload = frame->payload;
	event->nonce = frame->nonce;
	return event;
}

static bool first_beat(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t slot, uint32_t uid, struct belay__identity *identity, bool ended)
{
	struct belay_event *event;

	make_record(observer, slot, uid, identity);
	if (ended)
		belay__ended_push(observer, observer->table.slots[slot].record);
	event = event_of_beat(observer, frame, slot);
	event->first = true;
	event->threshold_ns = observer->table.deadlines.length_ns[observer->table.slots[slot].list];
	return true;
}

static bool conflict(struct belay_observer *observer, enum belay_event_kind kind, uint32_t slot,
	const struct belay__sender *sender)
{
	struct belay_event *event = belay__event_about(observer, kind, slot);

	event->slot_origin = (enum belay_origin)observer->table.slots[slot].origin;
	event->origin = (enum belay_origin)sender->origin;
	event->pid_namespace = sender->pid_ns;
	event->observer_pid_namespace = observer->table.slots[slot].pid_ns;
	return true;
}

/* Whether FRAME was sent by PID's last owner before the end of it was told. One that begins anew is
 * another's. */
static bool end_is_told(const struct belay_observer *observer, uint32_t pid,
	const struct belay_frame *frame)
{
	for (unsigned i = 0; i < BELAY__DEPARTED_MAX; i++)
		if (observer->departed[i].pid == pid &&
			frame->nonce > observer->departed[i].last_nonce)
			return true;
	return false;
}

static bool get_to_know(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t pid, uint32_t uid)
{
	struct belay__identity identity = { .pid = (pid_t)pid, .pidfd = -EBADF };
	struct belay__sender sender = { .pid = pid, .origin = BELAY__SOCKET_MODE_ONLY };
	bool have_room = belay__table_has_room(&observer->table) || observer->table.stalled > 0 ||
		observer->table.eviction == BELAY__EVICT_BALANCED;
	uint32_t slot = BELAY__NO_SLOT;
	int r = 0;

	/* When it will not be let in anyway, nobody needs to know who it is. */
	if (have_room) {
		r = belay__identify(pid, &identity);
		/* A beat that lay unread while nobody watched does not bring back whom nobody found
		 * any more. */
		if (r == -ESRCH && end_is_told(observer, pid, frame)) {
			observer->counts[BELAY__COUNT_OUT_OF_ORDER]++;
			return false;
		}
		if (r == 0)
			describe_sender(&sender, &identity);
		if (namespace_refused(observer, pid, identity.pid_ns)) {
			belay__identity_done(&identity);
			return true;
		}
	}
	switch (belay__track(&observer->table, &observer->tracked, frame, &sender,
		observer->default_list, observer->now_ns, on_evict, observer, &slot)) {
	case BELAY__TRACK_INSERTED:
		observer->counts[BELAY__COUNT_BEATS]++;
		return first_beat(observer, frame, slot, uid, &identity, r == -ESRCH);
	case BELAY__TRACK_REFRESHED:
	case BELAY__TRACK_RECOVERED:
	case BELAY__TRACK_OUT_OF_ORDER:
	case BELAY__TRACK_ORIGIN_CONFLICT:
	case BELAY__TRACK_NAMESPACE_CONFLICT:
	case BELAY__TRACK_CAPACITY_EXCEEDED:
		break;
	}
	belay__identity_done(&identity);
	return false;
}

/* A process seen for the first time, or again with an identity that was incomplete before. What has to be
 * asked for about it is asked for at once. */
static bool accept_unknown(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t pid, uint32_t uid)
{
	bool told;

	belay__aide_expect((pid_t)pid,
		observer->door_name == NULL ? AT_CONTACT : AT_CONTACT & ~(uint32_t)BELAY__AIDE_ENV);
	told = get_to_know(observer, frame, pid, uid);
	belay__aide_expect(0, 0);
	return told;
}

bool belay__may_complete(const struct belay_observer *observer, const struct belay__slot *slot)
{
	uint64_t tried_ns;

	/* Nearly always: the watch, another line in another page, stays untouched. */
	if ((slot->origin >= BELAY__KERNEL_ATTESTED && observer->unsettled == 0) ||
		belay__key_host(slot->pid) != 0)
		return false;
	if (slot->origin >= BELAY__KERNEL_ATTESTED && !observer->watches[slot->record].unsettled)
		return false;
	tried_ns = observer->watches[slot->record].tried_ns;
	return tried_ns == 0 || observer->now_ns - tried_ns >= COMPLETE_EVERY_NS;
}

/* Completes the identity of a known process that had not shown all of it. */
static void complete_identity(struct belay_observer *observer, uint32_t record,
	struct belay__sender *sender)
{
	struct belay__identity identity;

	if (belay__identify(sender->pid, &identity) < 0)
		return;
	describe_sender(sender, &identity);
	if (observer->watches[record].pidfd < 0)
		belay__watch_take(observer, record, TAKE_FD(identity.pidfd));
	belay__identity_done(&identity);
}

/* The same, and its name's. */
static void complete_sender(struct belay_observer *observer, uint32_t slot,
	struct belay__sender *sender)
{
	const struct belay__slot *known = &observer->table.slots[slot];

	observer->watches[known->record].tried_ns = observer->now_ns;
	belay__aide_expect((pid_t)known->pid, AT_CONTACT);
	if (known->origin < BELAY__KERNEL_ATTESTED)
		complete_identity(observer, known->record, sender);
	/* Another one's name is not this one's. */
	if (observer->watches[known->record].unsettled &&
		sender->start_ticks == known->start_ticks && successor_start(known) == 0)
		belay__name_settle(observer, slot);
	belay__aide_expect(0, 0);
}

static bool report_beat(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t slot, uint8_t old_status, uint64_t old_ns, bool recovered)
{
	bool status_changed = old_status != frame->status;
	struct belay_event *event;

	observer->counts[BELAY__COUNT_BEATS]++;
	observer->counts[BELAY__COUNT_RECOVERIES] += recovered;
	if (observer->options.quiet_beats && !recovered && !status_changed)
		return false;
	event = event_of_beat(observer, frame, slot);
	event->recovered = recovered;
	event->status_changed = status_changed;
	event->silent_ns = recovered ? observer->now_ns - old_ns : 0;
	return true;
}

/* Its pidfd has said so, but the end was not told yet: the beat is another's, or its last. */
static bool has_ended(const struct belay_observer *observer, const struct belay__slot *slot)
{
	return observer->ended_head != observer->ended_tail &&
		observer->watches[slot->record].ended && successor_start(slot) != 0;
}

/* Another process has the pid of the one in slot AT: that one's end first, then the beat again. */
static bool succeed(struct belay_observer *observer, uint32_t at)
{
	observer->tracked.pid_recycles++;
	observer->again = true;
	return belay__end(observer, at, /* left= */ false);
}

static bool accept_known(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t slot)
{
	struct belay__slot *known = &observer->table.slots[slot];
	struct belay__sender sender = {
		.pid = known->pid,
		.origin = known->origin,
		.pid_ns = known->pid_ns,
		.start_ticks = known->start_ticks,
	};
	uint8_t old_status = known->status;
	bool questioned = known->flags & BELAY__SLOT_QUESTIONED;
	uint64_t old_ns = known->last_ns;

	if (has_ended(observer, known) ||
		(nonce_regressed(known, frame) && successor_start(known) != 0))
		return succeed(observer, slot);
	if (belay__may_complete(observer, known))
		complete_sender(observer, slot, &sender);
	if (known->start_ticks != 0 && sender.start_ticks != 0 &&
		sender.start_ticks != known->start_ticks)
		return succeed(observer, slot);
	switch (belay__track(&observer->table, &observer->tracked, frame, &sender, known->list,
		observer->now_ns, on_evict, observer, &slot)) {
	case BELAY__TRACK_INSERTED:
		belay__crowd_heard(observer, known->record);
		__attribute__((fallthrough));
	case BELAY__TRACK_REFRESHED:
		observer->counts[BELAY__COUNT_STALLS_ANSWERED] += questioned;
		return report_beat(observer, frame, slot, old_status, old_ns, false);
	case BELAY__TRACK_RECOVERED:
		observer->watches[known->record].recovered_ns = observer->now_ns;
		belay__crowd_heard(observer, known->record);
		return report_beat(observer, frame, slot, old_status, old_ns, true);
	case BELAY__TRACK_ORIGIN_CONFLICT:
		return conflict(observer, BELAY_EVENT_ORIGIN_CONFLICT, slot, &sender);
	case BELAY__TRACK_NAMESPACE_CONFLICT:
		return conflict(observer, BELAY_EVENT_NAMESPACE_CONFLICT, slot, &sender);
	case BELAY__TRACK_OUT_OF_ORDER:
	case BELAY__TRACK_CAPACITY_EXCEEDED:
		break;
	}
	return false;
}

/* The first beat of a process of another host, or of another process under its pid there. */
static bool first_from_afar(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t at)
{
	struct belay_event *event = event_of_beat(observer, frame, at);

	observer->counts[BELAY__COUNT_BEATS]++;
	event->first = true;
	event->threshold_ns = observer->table.deadlines.length_ns[observer->table.slots[at].list];
	return true;
}

/* Makes sure that HOST may have one more process in the table; its own that was silent for long makes
 * room for it. */
static bool make_share(struct belay_observer *observer, uint32_t host)
{
	uint32_t victim;

	if (belay__remote_has_share(observer, host))
		return true;
	victim = belay__table_victim(&observer->table, host, observer->now_ns);
	if (victim == BELAY__NO_SLOT)
		return false;
	on_evict(observer, victim);
	belay__table_remove(&observer->table, victim);
	observer->tracked.evictions++;
	return true;
}

/* The process in slot AT, or a new one (BELAY__NO_SLOT). */
static bool accept_from_afar(struct belay_observer *observer, const struct belay_frame *frame,
	const struct belay__sender *sender, uint32_t at)
{
	const bool is_known = at != BELAY__NO_SLOT;
	const struct belay__slot before = is_known ? observer->table.slots[at]
						   : (struct belay__slot){ 0 };
	enum belay__track_result result = belay__track(&observer->table, &observer->tracked, frame,
		sender, is_known ? before.list : observer->default_list, observer->now_ns, on_evict,
		observer, &at);

	observer->counts[BELAY__COUNT_STALLS_ANSWERED] += is_known &&
		(before.flags & BELAY__SLOT_QUESTIONED) &&
		(result == BELAY__TRACK_INSERTED || result == BELAY__TRACK_REFRESHED);
	if (is_known && (result == BELAY__TRACK_INSERTED || result == BELAY__TRACK_RECOVERED))
		belay__crowd_heard(observer, before.record);
	switch (result) {
	case BELAY__TRACK_INSERTED:
		if (!is_known)
			belay__remote_begin(observer, at);
		return first_from_afar(observer, frame, at);
	case BELAY__TRACK_RECOVERED:
		observer->watches[before.record].recovered_ns = observer->now_ns;
		return report_beat(observer, frame, at, before.status, before.last_ns, true);
	case BELAY__TRACK_REFRESHED:
		return report_beat(observer, frame, at, before.status, before.last_ns, false);
	case BELAY__TRACK_ORIGIN_CONFLICT:
		return conflict(observer, BELAY_EVENT_ORIGIN_CONFLICT, at, sender);
	case BELAY__TRACK_NAMESPACE_CONFLICT:
	case BELAY__TRACK_OUT_OF_ORDER:
	case BELAY__TRACK_CAPACITY_EXCEEDED:
		break;
	}
	return false;
}

bool belay__accept_remote(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t key, uint8_t origin)
{
	const struct belay__sender sender = { .pid = key, .origin = origin };
	uint32_t at = belay__table_find(&observer->table, key);

	if (at == BELAY__NO_SLOT && !make_share(observer, belay__key_host(key))) {
		observer->tracked.capacity_exceeded++;
		return false;
	}
	return accept_from_afar(observer, frame, &sender, at);
}

BELAY__HOT bool belay__accept(struct belay_observer *observer, const struct belay_frame *frame,
	uint32_t pid, uint32_t uid)
{
	uint32_t slot = belay__table_find(&observer->table, pid);

	return slot != BELAY__NO_SLOT ? accept_known(observer, frame, slot)
				      : accept_unknown(observer, frame, pid, uid);
}

void belay__forget(struct belay_observer *observer, uint32_t slot)
{
	uint32_t number = observer->table.slots[slot].record;
	struct belay__record *record;

	if (number == BELAY__NO_RECORD)
		return;
	record = &observer->table.records[number];
	belay__remote_count(observer, record->pid, false);
	belay__unwatch(observer, number);
	belay__name_let_go(observer, record);
}

void belay__remove(struct belay_observer *observer, uint32_t slot)
{
	uint32_t number = observer->table.slots[slot].record;
	struct belay__total gone = { .name = "" };

	if (number != BELAY__NO_RECORD && observer->totals != NULL) {
		const struct belay__record *record = &observer->table.records[number];

		gone.beats = record->beats;
		gone.stalls = record->stalls;
		gone.uid = record->uid;
		memcpy(gone.name, record->name, sizeof(gone.name));
	}
	/* First from here, then to there: a reader may miss it for a moment, but never sees it
	 * twice. */
	belay__totals_hold(observer->totals);
	belay__forget(observer, slot);
	belay__table_remove(&observer->table, slot);
	if (number != BELAY__NO_RECORD)
		belay__totals_add(observer->totals, gone.name, gone.uid, &gone);
	belay__totals_release(observer->totals);
}
