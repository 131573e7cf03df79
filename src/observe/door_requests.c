/* What is done for those who speak at the door: announced silences, goodbyes, beats for a
 * parent. */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "observe/door_internal.h"

bool belay__door_within(struct belay__door *door, const struct belay__hello *hello,
	const struct belay__packet_from *from)
{
	struct belay_observer *observer = door->observer;
	uint64_t max_ms = observer->options.within_max_ms;
	uint64_t ms = hello->value < max_ms ? hello->value : max_ms;
	uint32_t at = belay__table_find(&observer->table, (uint32_t)from->pid);
	struct belay__slot *slot;
	uint64_t due_ns;

	if (at == BELAY__NO_SLOT)
		return false;
	slot = &observer->table.slots[at];
	/* Spoken before a beat that is here already: that silence is over. A beat that was lost on
	 * its way changes nothing. */
	if (slot->last_nonce > hello->nonce ||
		(slot->flags & (BELAY__SLOT_STALLED | BELAY__SLOT_QUESTIONED)))
		return false;
	due_ns = observer->now_ns + ms * BELAY__NS_PER_MS;
	slot->flags |= BELAY__SLOT_WITHIN;
	observer->table.records[slot->record].marks &= (uint8_t)~BELAY__MARK_PUT_OFF;
	belay__deadlines_set(&observer->table.deadlines, at, due_ns);
	observer->counts[BELAY__COUNT_WITHINS]++;
	return false;
}

bool belay__door_goodbye(struct belay__door *door, const struct belay__hello *hello,
	const struct belay__packet_from *from)
{
	const struct belay__table *table = &door->observer->table;
	uint32_t at = belay__table_find(&door->observer->table, (uint32_t)from->pid);

	/* Beats that came after the one it was said after are another handle's of the same process:
	 * it goes on beating. */
	if (at == BELAY__NO_SLOT || table->slots[at].last_nonce > hello->nonce)
		return false;
	return belay__end(door->observer, at, /* left= */ true);
}

static bool still_alive(int pidfd)
{
	struct pollfd exit = { .fd = pidfd, .events = POLLIN };

	return pidfd < 0 || poll(&exit, 1, 0) == 0;
}

static int refuse(int code, const char *sentence, const char **ret_sentence)
{
	*ret_sentence = sentence;
	return code;
}

/* Why /proc told nothing about a process. */
static int refuse_unseen(int code, const char **ret_sentence)
{
	if (code == -ESRCH)
		return refuse(code, "the sender or its ancestor ended before it could be looked at",
			ret_sentence);
	if (code == -EMFILE || code == -ENFILE)
		return refuse(-EBUSY,
			"the observer has no descriptor left to look at the sender with",
			ret_sentence);
	return refuse(-EACCES, "the observer may not look at the sender", ret_sentence);
}

/* The process that the beat is for: the sender's parent, or an ancestor of the same user. Negative
 * errno with a sentence. */
static int find_subject(const struct belay__hello *hello, const struct belay__packet_from *from,
	const char **ret_sentence)
{
	struct belay__stat stat;
	pid_t subject = (pid_t)hello->of;
	uid_t uid;
	int r;

	r = from->pid <= 0 ? -ESRCH : belay__read_stat(from->pid, &stat);
	if (r < 0 || !still_alive(from->pidfd))
		return refuse_unseen(r < 0 ? r : -ESRCH, ret_sentence);
	if (subject == 0)
		subject = stat.ppid;
	if (subject <= 1)
		return refuse(-EPERM,
			hello->of != 0 ? "a beat cannot be given for that pid"
				       : "the sender has no parent of its own to beat for; name "
					 "one with --of PID",
			ret_sentence);
	r = subject == stat.ppid ? 1 : belay__is_ancestor(from->pid, subject);
	if (r < 0)
		return refuse_unseen(r, ret_sentence);
	if (r == 0)
		return refuse(-EPERM, "a beat can be given for an ancestor only", ret_sentence);
	r = belay__read_uid(subject, &uid);
	if (r < 0 || !still_alive(from->pidfd))
		return refuse_unseen(r < 0 ? r : -ESRCH, ret_sentence);
	if (uid != from->uid)
		return refuse(-EPERM, "a beat can be given for processes of the same user only",
			ret_sentence);
	return subject;
}

/* The nonce that follows the last one; it wraps before it would be a last word. A process that also
 * beats by itself keeps its own count. */
static uint64_t next_nonce(const struct belay__slot *slot)
{
	bool counts = slot != NULL && (slot->flags & BELAY__SLOT_HAS_NONCE);

	return counts && slot->last_nonce < BELAY_NONCE_TERMINAL - 1 ? slot->last_nonce + 1 : 1;
}

/* A beat at the door is no beat of the process's own: it may begin to count at 1 after it, or go on
 * where it was. */
static void keep_count(struct belay__slot *slot, bool counted, uint64_t own_nonce)
{
	slot->last_nonce = own_nonce;
	if (!counted)
		slot->flags = (uint8_t)(slot->flags & ~BELAY__SLOT_HAS_NONCE);
}

bool belay__door_beat(struct belay__door *door, const struct belay__hello *hello,
	const struct belay__packet_from *from, int *ret_code, const char **ret_sentence)
{
	struct belay_observer *observer = door->observer;
	int subject = find_subject(hello, from, ret_sentence);
	bool named = hello->name[0] != '\0', told;
	struct belay__slot *slot;
	struct belay_frame frame;
	uint64_t own_nonce;
	bool counted;
	uint32_t at;

	*ret_code = subject < 0 ? subject : 0;
	if (subject < 0)
		return false;
	if ((named && !belay__name_valid(hello->name, strlen(hello->name))) ||
		hello->status > BELAY_CRITICAL) {
		*ret_code = -EINVAL;
		*ret_sentence = "that is no valid name or status";
		return false;
	}
	if (!belay__bucket_take(&observer->bucket, observer->now_ns)) {
		observer->counts[BELAY__COUNT_RATE_LIMITED_GLOBAL]++;
		*ret_code = -EBUSY;
		*ret_sentence = "too many beats at once";
		return false;
	}
	at = belay__table_find(&observer->table, (uint32_t)subject);
	slot = at != BELAY__NO_SLOT ? &observer->table.slots[at] : NULL;
	own_nonce = slot != NULL ? slot->last_nonce : 0;
	counted = slot != NULL && (slot->flags & BELAY__SLOT_HAS_NONCE);
	frame = (struct belay_frame){ .status = hello->status,
		.pid = (uint32_t)subject,
		.payload = hello->progress,
		.nonce = next_nonce(slot) };
	observer->door_name = named ? hello->name : NULL;
	told = belay__accept(observer, &frame, (uint32_t)subject, from->uid);
	observer->door_name = NULL;
	observer->again = false;
	observer->counts[BELAY__COUNT_DOOR_BEATS]++;
	if (observer->told_slot != BELAY__NO_SLOT) {
		*ret_code = -EBUSY;
		*ret_sentence = "the process that had this number has just ended; try again";
		return told;
	}
	at = belay__table_find(&observer->table, (uint32_t)subject);
	if (at == BELAY__NO_SLOT) {
		*ret_code = -ENOSPC;
		*ret_sentence = "the observer has no room for another process";
		return told;
	}
	keep_count(&observer->table.slots[at], counted, own_nonce);
	if (named)
		belay__rename(observer, at, hello->name);
	return told;
}
