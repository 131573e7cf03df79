#include "observe/replay.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/clock.h"
#include "base/hot.h"

#define SWEEP_EVERY_NS BELAY__NS_PER_S

enum {
	CACHE_LINE = 64,
	HUGE_PAGE = 2 << 20,
	SWEEP_STEP = 512, /* slots that a frame looks at that needs room */
};

/* A slot: a cache line for each frame, and one for each new prefix. */
struct sender {
	uint32_t key; /* what ids[] calls it; 0: the slot is empty */
	uint32_t pid;
	uint64_t prefix, previous_prefix;
	uint32_t counter, previous_counter; /* the highest accepted of each */
	uint64_t nonce;                     /* the highest accepted of regular frames */
	uint64_t terminal_ns;               /* the highest accepted timestamp of terminal ones */
	uint64_t heard_ns;                  /* when something was accepted */
	uint8_t has_previous, has_terminal;
	uint8_t older_next;
	_Alignas(CACHE_LINE) uint32_t
		older[BELAY__REPLAY_OLDER]; /* marks of prefixes before the previous one, a ring; 0: none */
};
static_assert(sizeof(struct sender) == (size_t)2 * CACHE_LINE, "two cache lines a slot");
static_assert(offsetof(struct sender, older) == CACHE_LINE, "of which a frame touches the first");

struct belay__replay {
	struct sender *slots;
	uint32_t mask; /* slots - 1 */
	uint32_t capacity, used;
	uint64_t seed, restart_gap_ns;
	uint64_t sweep_due_ns;         /* when the next sweep may begin */
	uint32_t sweep_at, sweep_left; /* the one under way: where, and how many slots more */
	/* Slots bear not a key's number but what it is called here, 1 to BELAY__KEYS_MAX, as long as
	 * it is in use: so a new number moves no slot. */
	uint32_t ids[BELAY__KEYS_MAX];
	uint32_t senders_of[BELAY__KEYS_MAX + 1]; /* by what the key is called */
	uint32_t keys, own; /* how many there are, and how many places each has of its own */
	uint32_t kept_free; /* of those, the ones that nobody has taken yet */
};

static uint32_t slots_for(uint32_t senders)
{
	uint32_t count = 2;

	/* At most half full, so that ways are short. */
	while (count < 2 * senders)
		count *= 2;
	return count;
}

/* COUNT empty slots, or NULL. Touched now, so that first beats pay no page faults. */
static struct sender *lay_out(uint32_t count)
{
	size_t size = count * sizeof(struct sender);
	struct sender *slots = aligned_alloc(size < HUGE_PAGE ? CACHE_LINE : HUGE_PAGE, size);

	if (slots == NULL)
		return NULL;
	/* Senders of a large table lie all over it: with small pages each costs a walk through the
	 * page tables, too. */
	if (size >= HUGE_PAGE)
		(void)madvise(slots, size, MADV_HUGEPAGE);
	memset(slots, 0, size);
	return slots;
}

int belay__replay_new(uint32_t senders, uint64_t restart_gap_ns, uint32_t hash_seed,
	struct belay__replay **ret_replay)
{
	struct belay__replay *replay = calloc(1, sizeof(*replay));

	assert(senders > 0 && senders <= BELAY__SENDERS_MAX);
	if (replay == NULL)
		return -ENOMEM;

	replay->slots = lay_out(slots_for(senders));
	if (replay->slots == NULL) {
		free(replay);
		return -ENOMEM;
	}
	replay->mask = slots_for(senders) - 1;
	replay->capacity = senders;
	replay->restart_gap_ns = restart_gap_ns;
	replay->seed = hash_seed * UINT64_C(0x9e3779b97f4a7c15);
	for (uint32_t i = 0; i < BELAY__KEYS_MAX; i++)
		replay->ids[i] = i + 1;
	*ret_replay = replay;
	return 0;
}

struct belay__replay *belay__replay_free(struct belay__replay *replay)
{
	if (replay == NULL)
		return NULL;

	free(replay->slots);
	free(replay);
	return NULL;
}

static uint32_t home_of(const struct belay__replay *replay, uint32_t id, uint32_t pid)
{
	uint64_t hash = ((uint64_t)id << 32 | pid) ^ replay->seed;

	hash ^= hash >> 30;
	hash *= UINT64_C(0xbf58476d1ce4e5b9);
	hash ^= hash >> 27;
	hash *= UINT64_C(0x94d049bb133111eb);
	hash ^= hash >> 31;
	return (uint32_t)hash & replay->mask;
}

/* Where the sender is, or the empty slot where its way ends. */
static struct sender *find(const struct belay__replay *replay, uint32_t id, uint32_t pid)
{
	uint32_t at = home_of(replay, id, pid);

	while (replay->slots[at].key != 0 &&
		(replay->slots[at].key != id || replay->slots[at].pid != pid))
		at = (at + 1) & replay->mask;
	return &replay->slots[at];
}

static uint64_t silent_ns(const struct sender *sender, uint64_t now_ns)
{
	return now_ns > sender->heard_ns ? now_ns - sender->heard_ns : 0;
}

static bool is_forgotten(const struct sender *sender, uint64_t now_ns)
{
	return silent_ns(sender, now_ns) >= BELAY__REPLAY_TTL_NS;
}

/* ID has one more. */
static void count_in(struct belay__replay *replay, uint32_t id)
{
	replay->used++;
	if (replay->senders_of[id]++ < replay->own)
		replay->kept_free--;
}

static void count_out(struct belay__replay *replay, uint32_t id)
{
	replay->used--;
	if (--replay->senders_of[id] < replay->own)
		replay->kept_free++;
}

/* Empties slot GAP and moves others into it, and into the gaps they leave, until nobody's way from
 * home is broken. */
static void remove_at(struct belay__replay *replay, uint32_t gap)
{
	struct sender *slots = replay->slots;

	count_out(replay, slots[gap].key);
	for (uint32_t at = (gap + 1) & replay->mask; slots[at].key != 0;
		at = (at + 1) & replay->mask) {
		uint32_t home = home_of(replay, slots[at].key, slots[at].pid);

		if (((at - home) & replay->mask) < ((at - gap) & replay->mask))
			continue;
		slots[gap] = slots[at];
		gap = at;
	}
	memset(&slots[gap], 0, sizeof(slots[gap]));
}

static void sweep(struct belay__replay *replay, uint64_t now_ns, unsigned steps)
{
	for (; replay->sweep_left > 0 && steps > 0; steps--) {
		const struct sender *sender = &replay->slots[replay->sweep_at];

		/* Another may have moved to its slot: that is looked at again. */
		if (sender->key != 0 && is_forgotten(sender, now_ns)) {
			remove_at(replay, replay->sweep_at);
			continue;
		}
		replay->sweep_at = (replay->sweep_at + 1) & replay->mask;
		replay->sweep_left--;
	}
}

/* Whether the key called ID may have one more: in a place of its own, or in one that is nobody's. */
static bool has_room(const struct belay__replay *replay, uint32_t id)
{
	if (replay->senders_of[id] < replay->own)
		return replay->used < replay->capacity;
	return replay->used + replay->kept_free < replay->capacity;
}

/* The same, after looking for those long silent if there was none. */
static bool make_room(struct belay__replay *replay, uint32_t id, uint64_t now_ns)
{
	if (has_room(replay, id))
		return true;
	if (replay->sweep_left == 0 && now_ns >= replay->sweep_due_ns) {
		replay->sweep_due_ns = now_ns + SWEEP_EVERY_NS;
		replay->sweep_left = replay->mask + 1;
	}
	sweep(replay, now_ns, SWEEP_STEP);
	return has_room(replay, id);
}

static bool is_terminal(const struct belay_frame *frame)
{
	return frame->nonce == BELAY_NONCE_TERMINAL;
}

static void raise_marks(struct sender *sender, const struct belay_frame *frame, uint64_t now_ns)
{
	sender->heard_ns = now_ns;
	if (is_terminal(frame)) {
		if (!sender->has_terminal || frame->timestamp_ns > sender->terminal_ns)
			sender->terminal_ns = frame->timestamp_ns;
		sender->has_terminal = true;
	} else if (frame->nonce > sender->nonce) {
		sender->nonce = frame->nonce;
	}
}

/* What is remembered of PREFIX for long. A prefix that nobody saw has the mark of one that was seen once
 * in 2^28 sessions: its sender begins another then. */
static uint32_t mark_of(const struct belay__replay *replay, uint64_t prefix)
{
	uint64_t hash = prefix ^ replay->seed;

	hash ^= hash >> 32;
	hash *= UINT64_C(0xd6e8feb86659fd93);
	hash ^= hash >> 32;
	return (uint32_t)hash != 0 ? (uint32_t)hash : 1;
}

static bool is_older(const struct belay__replay *replay, const struct sender *sender,
	uint64_t prefix)
{
	uint32_t mark = mark_of(replay, prefix);

	for (unsigned i = 0; i < BELAY__REPLAY_OLDER; i++)
		if (sender->older[i] == mark)
			return true;
	return false;
}

/* Makes PREFIX the current one, and the current one the previous. */
static void enter_prefix(const struct belay__replay *replay, struct sender *sender, uint64_t prefix,
	uint32_t counter)
{
	if (sender->has_previous) {
		sender->older[sender->older_next] = mark_of(replay, sender->previous_prefix);
		sender->older_next = (uint8_t)((sender->older_next + 1) % BELAY__REPLAY_OLDER);
	}
	sender->previous_prefix = sender->prefix;
	sender->previous_counter = sender->counter;
	sender->has_previous = true;
	sender->prefix = prefix;
	sender->counter = counter;
}

static bool brings_something_new(const struct sender *sender, const struct belay_frame *frame)
{
	if (is_terminal(frame))
		return !sender->has_terminal || frame->timestamp_ns > sender->terminal_ns;
	return frame->nonce > sender->nonce;
}

/* A frame under a prefix that is neither the current nor the previous one. */
static bool accept_prefix(const struct belay__replay *replay, struct sender *sender,
	uint64_t prefix, uint32_t counter, const struct belay_frame *frame, uint64_t now_ns)
{
	uint64_t gap_ns = replay->restart_gap_ns < BELAY__REPLAY_TTL_NS ? replay->restart_gap_ns
									: BELAY__REPLAY_TTL_NS;

	if (is_older(replay, sender, prefix))
		return false;
	if (!brings_something_new(sender, frame)) {
		if (is_terminal(frame) || silent_ns(sender, now_ns) < gap_ns)
			return false;
		/* Its prefix stays as the previous one: whoever has the frames of the session that
		 * ended cannot tell them as news of the one that begins. */
		sender->nonce = 0;
		sender->terminal_ns = 0;
		sender->has_terminal = false;
	}
	enter_prefix(replay, sender, prefix, counter);
	return true;
}

static bool accept(const struct belay__replay *replay, struct sender *sender, uint64_t prefix,
	uint32_t counter, const struct belay_frame *frame, uint64_t now_ns)
{
	if (prefix == sender->prefix) {
		if (counter <= sender->counter)
			return false;
		sender->counter = counter;
		return true;
	}
	if (sender->has_previous && prefix == sender->previous_prefix) {
		if (counter <= sender->previous_counter)
			return false;
		sender->previous_counter = counter;
		return true;
	}
	return accept_prefix(replay, sender, prefix, counter, frame, now_ns);
}

BELAY__HOT enum belay__replay_result belay__replay_check(struct belay__replay *replay, uint32_t key,
	uint64_t prefix, uint32_t counter, const struct belay_frame *frame, uint64_t now_ns)
{
	struct sender *sender;
	uint32_t id;

	assert(key < BELAY__KEYS_MAX && (replay->keys == 0 || key < replay->keys));
	id = replay->ids[key];
	sender = find(replay, id, frame->pid);

	if (sender->key == 0) {
		if (!make_room(replay, id, now_ns))
			return BELAY__REPLAY_FULL;
		sender = find(replay, id, frame->pid); /* room was made by moving others */
		count_in(replay, id);
	} else {
		if (!accept(replay, sender, prefix, counter, frame, now_ns))
			return BELAY__REPLAY_REFUSED;
		raise_marks(sender, frame, now_ns);
		return BELAY__REPLAY_FRESH;
	}
	*sender = (struct sender){ .key = id,
		.pid = frame->pid,
		.prefix = prefix,
		.counter = counter };
	raise_marks(sender, frame, now_ns);
	return BELAY__REPLAY_FRESH;
}

void belay__replay_prefetch(const struct belay__replay *replay, uint32_t key, uint32_t pid)
{
	__builtin_prefetch(&replay->slots[home_of(replay, replay->ids[key], pid)], 1);
}

static void forget_keys(struct belay__replay *replay, const bool stays[BELAY__KEYS_MAX + 1])
{
	for (uint32_t at = 0; at <= replay->mask; at++)
		/* Another may move to this slot. */
		while (replay->slots[at].key != 0 && !stays[replay->slots[at].key])
			remove_at(replay, at);
}

/* Numbers without a key get the keys that nobody has any more. */
static void number_the_rest(uint32_t ids[BELAY__KEYS_MAX], const bool stays[BELAY__KEYS_MAX + 1])
{
	uint32_t next = 1;

	for (uint32_t i = 0; i < BELAY__KEYS_MAX; i++) {
		if (ids[i] != 0)
			continue;
		while (stays[next])
			next++;
		ids[i] = next++;
	}
}

/* Those that came while there were other keys may have taken what is another's now: that is free when
 * they are forgotten. */
static void reserve(struct belay__replay *replay, uint32_t keys)
{
	replay->keys = keys;
	replay->own = keys > 0 ? replay->capacity / 2 / keys : 0;
	replay->kept_free = 0;
	for (uint32_t i = 0; i < keys; i++) {
		uint32_t has = replay->senders_of[replay->ids[i]];

		replay->kept_free += has < replay->own ? replay->own - has : 0;
	}
}

void belay__replay_renumber(struct belay__replay *replay, const uint32_t *map, uint32_t count,
	uint32_t keys)
{
	uint32_t ids[BELAY__KEYS_MAX] = { 0 };
	bool stays[BELAY__KEYS_MAX + 1] = { false };

	assert(count <= BELAY__KEYS_MAX && keys <= BELAY__KEYS_MAX);
	for (uint32_t i = 0; i < count; i++) {
		if (map[i] == UINT32_MAX)
			continue;
		assert(map[i] < keys && ids[map[i]] == 0);
		ids[map[i]] = replay->ids[i];
		stays[replay->ids[i]] = true;
	}
	forget_keys(replay, stays);
	number_the_rest(ids, stays);
	memcpy(replay->ids, ids, sizeof(ids));
	reserve(replay, keys);
}

void belay__replay_set_restart_gap(struct belay__replay *replay, uint64_t restart_gap_ns)
{
	replay->restart_gap_ns = restart_gap_ns;
}

uint32_t belay__replay_senders(const struct belay__replay *replay)
{
	return replay->used;
}
