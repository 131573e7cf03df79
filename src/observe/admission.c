/* Deciding about one datagram: the cheapest check first, each refusal a counter (heartbeat-system,
 * section 4). */

#include <errno.h>
#include <signal.h>

#include "base/clock.h"
#include "base/hot.h"
#include "observe/core.h"

#define PID_MAX_REFRESH_NS (60 * BELAY__NS_PER_S)

/* The counters of the eight classes, in the order of enum belay_decode_class. */
static const enum belay__counter decode_counter[BELAY_DECODE_CLASSES] = {
	[BELAY_BAD_MAGIC] = BELAY__COUNT_BAD_MAGIC,
	[BELAY_BAD_VERSION] = BELAY__COUNT_BAD_VERSION,
	[BELAY_BAD_CRC] = BELAY__COUNT_BAD_CRC,
	[BELAY_BAD_STATUS] = BELAY__COUNT_BAD_STATUS,
	[BELAY_STALL_ON_WIRE] = BELAY__COUNT_STALL_ON_WIRE,
	[BELAY_BAD_PID] = BELAY__COUNT_BAD_PID,
	[BELAY_BAD_TIMESTAMP] = BELAY__COUNT_BAD_TIMESTAMP,
	[BELAY_BAD_NONCE] = BELAY__COUNT_BAD_NONCE,
};

/* What was refused pays for the work it made, too: a flood of garbage cannot cost more than a flood
 * of beats. */
static void pay(struct belay_observer *observer, const struct belay__datagram *datagram)
{
	/* What another host sealed and is no frame can be sent again by anybody: its host does not pay for
	 * it. */
	if (datagram->arrival != BELAY__ARRIVED_REMOTE)
		(void)belay__bucket_take(&observer->bucket, observer->now_ns);
}

static struct belay_event *refuse(struct belay_observer *observer,
	const struct belay__datagram *datagram, enum belay_event_kind kind,
	enum belay__counter counter)
{
	observer->counts[counter]++;
	pay(observer, datagram);
	return belay__event_start(observer, kind);
}

/* Datagrams that are no frames of anybody: wrong length, cut, unattributed, foreign. */
static bool refuse_datagram(struct belay_observer *observer, const struct belay__datagram *datagram)
{
	switch ((enum belay__arrival)datagram->arrival) {
	case BELAY__ARRIVED_SHORT:
		observer->counts[BELAY__COUNT_TRUNCATED]++;
		pay(observer, datagram);
		return false;
	case BELAY__ARRIVED_CUT:
		refuse(observer, datagram, BELAY_EVENT_CTRL_TRUNCATED, BELAY__COUNT_CTRL_TRUNCATED)
			->code = -EBADMSG;
		return true;
	case BELAY__ARRIVED_NOBODY:
		refuse(observer, datagram, BELAY_EVENT_IO, BELAY__COUNT_IO_ERRORS)->code = -ENODATA;
		return true;
	case BELAY__ARRIVED:
	case BELAY__ARRIVED_REMOTE:
		break;
	}
	return false;
}

static bool refuse_foreign(struct belay_observer *observer, const struct belay__datagram *datagram)
{
	struct belay_event *event = refuse(observer, datagram, BELAY_EVENT_IO,
		BELAY__COUNT_FOREIGN_UID);

	event->code = -EPERM;
	event->pid = (uint32_t)datagram->pid;
	event->uid = datagram->uid;
	return true;
}

static bool refuse_decode(struct belay_observer *observer, const struct belay__datagram *datagram,
	const struct belay_decode_error *error)
{
	struct belay_event *event = refuse(observer, datagram, BELAY_EVENT_DECODE,
		decode_counter[error->class_]);

	event->decode = *error;
	event->pid = (uint32_t)datagram->pid;
	event->uid = datagram->uid;
	return true;
}

static bool refuse_claim(struct belay_observer *observer, const struct belay__datagram *datagram,
	const struct belay_frame *frame)
{
	enum belay__counter why = datagram->pid == 0 ? BELAY__COUNT_PID_UNATTESTED
						     : BELAY__COUNT_AUTH_FAILURES;
	struct belay_event *event = refuse(observer, datagram, BELAY_EVENT_AUTH_FAILURE, why);

	event->pid = frame->pid;
	event->uid = datagram->uid;
	event->code = datagram->pid == 0 ? -ESRCH : -EPERM;
	return true;
}

/* A process in a pid namespace below ours says the number that it sees itself under. */
static bool claim_is_inner(struct belay_observer *observer, uint32_t pid, uint32_t claimed)
{
	uint32_t slot;
	pid_t inner;

	if (!observer->options.allow_cross_namespace)
		return false;
	slot = belay__table_find(&observer->table, pid);
	if (slot != BELAY__NO_SLOT && observer->table.slots[slot].record != BELAY__NO_RECORD)
		return observer->table.records[observer->table.slots[slot].record].inner_pid ==
			claimed;
	return belay__read_inner_pid((pid_t)pid, &inner) == 0 && (uint32_t)inner == claimed;
}

/* kernel.pid_max may be raised while we run. */
static void refresh_pid_max(struct belay_observer *observer)
{
	int64_t pid_max;

	if (observer->now_ns - observer->pid_max_read_ns < PID_MAX_REFRESH_NS)
		return;
	observer->pid_max_read_ns = observer->now_ns;
	pid_max = belay__read_pid_max();
	if (pid_max > 0)
		observer->pid_max = (uint32_t)pid_max;
}

static bool is_last_word(const struct belay__slot *slot, const struct belay_frame *frame)
{
	return frame->nonce == BELAY_NONCE_TERMINAL && !(slot->flags & BELAY__SLOT_TERMINAL);
}

/* Charges the process's rate for a beat. Beats of one batch may have waited for a tick, so they are
 * charged as if they had come evenly since the sockets were read before. */
static bool pay_rate(const struct belay_observer *observer, struct belay__record *record)
{
	uint64_t from_ns = observer->arrived_after_ns > observer->interval_ns
		? observer->arrived_after_ns - observer->interval_ns
		: 0;
	uint64_t paid_ns = (record->paid_ns > from_ns ? record->paid_ns : from_ns) +
		observer->interval_ns;

	if (paid_ns > observer->now_ns)
		return false;
	record->paid_ns = paid_ns;
	return true;
}

/* The last word always passes, and so does, once a second, a beat that may complete the sender's
 * identity. */
static bool within_rate(struct belay_observer *observer, const struct belay__slot *slot,
	const struct belay_frame *frame)
{
	if (observer->interval_ns == 0 || pay_rate(observer, &observer->table.records[slot->record]))
		return true;
	return is_last_word(slot, frame) || belay__may_complete(observer, slot);
}

static bool admit_by_rates(struct belay_observer *observer, struct belay__bucket *bucket,
	uint32_t pid, const struct belay_frame *frame)
{
	uint32_t slot = belay__table_find(&observer->table, pid);
	bool last_word = false;

	if (slot != BELAY__NO_SLOT) {
		const struct belay__slot *known = &observer->table.slots[slot];

		if (!within_rate(observer, known, frame)) {
			observer->counts[BELAY__COUNT_RATE_LIMITED_PID]++;
			return false;
		}
		last_word = is_last_word(known, frame);
	}
	if (!last_word && !belay__bucket_take(bucket, observer->now_ns)) {
		observer->counts[BELAY__COUNT_RATE_LIMITED_GLOBAL]++;
		return false;
	}
	return true;
}

/* What came over a network: who sealed it vouches for the number of its host, the operator at most for
 * the rest. Its pid is one of another kernel, with a pid_max of its own. */
static bool admit_remote(struct belay_observer *observer, const struct belay__datagram *datagram)
{
	struct belay_frame frame;
	struct belay_decode_error error;
	uint32_t key;

	if (!belay_frame_decode(datagram->bytes, &frame, &error))
		return refuse_decode(observer, datagram, &error);
	if (frame.pid >= BELAY__PID_LIMIT) {
		observer->counts[BELAY__COUNT_PID_ABOVE_MAX]++;
		pay(observer, datagram);
		return false;
	}
	key = belay__process_key(datagram->host, frame.pid);
	return admit_by_rates(observer, &observer->far_buckets[datagram->host], key, &frame) &&
		belay__accept_remote(observer, &frame, key, datagram->origin);
}

BELAY__HOT bool belay__admit(struct belay_observer *observer, const struct belay__datagram *datagram)
{
	struct belay_frame frame;
	struct belay_decode_error error;

	observer->counts[BELAY__COUNT_STRAY_FDS] += datagram->strays;
	if (datagram->arrival != BELAY__ARRIVED)
		return datagram->arrival == BELAY__ARRIVED_REMOTE
			? admit_remote(observer, datagram)
			: refuse_datagram(observer, datagram);
	if (datagram->uid != observer->own_uid && datagram->pid != 0)
		return refuse_foreign(observer, datagram);
	if (!belay_frame_decode(datagram->bytes, &frame, &error))
		return refuse_decode(observer, datagram, &error);
	if (frame.pid > observer->pid_max || frame.pid >= BELAY__PID_LIMIT) {
		refresh_pid_max(observer);
		if (frame.pid > observer->pid_max || frame.pid >= BELAY__PID_LIMIT) {
			observer->counts[BELAY__COUNT_PID_ABOVE_MAX]++;
			pay(observer, datagram);
			return false;
		}
	}
	if (datagram->pid == 0 ||
		(frame.pid != (uint32_t)datagram->pid &&
			!claim_is_inner(observer, (uint32_t)datagram->pid, frame.pid)))
		return refuse_claim(observer, datagram, &frame);
	if (!admit_by_rates(observer, &observer->bucket, (uint32_t)datagram->pid, &frame))
		return false;
	return belay__accept(observer, &frame, (uint32_t)datagram->pid, datagram->uid);
}
