/* deadlines.h - who is overdue, in constant time
 *
 * One list per threshold. All members of a list may stay silent equally long, so the order of their
 * last beats is the order of their deadlines: a beat moves its slot to the tail, and whoever is
 * overdue stands at the head. Two lists are special: BELAY__LIST_QUESTION, whose members wait for
 * evidence, and BELAY__LIST_WITHIN, whose members announced how long their next silence may last;
 * that one alone is kept sorted by insertion from the tail.
 *
 * Members are slots and are linked by number, because slots live in a file; a slot that moves is
 * re-linked by belay__deadlines_moved(). Nothing here allocates, fails, or reads a clock.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "observe/slot.h"

#define BELAY__LISTS                                                                               \
	72 /* 70 thresholds at the most (one default, 64 rules, spare), and the two special ones */
#define BELAY__LIST_WITHIN   70
#define BELAY__LIST_QUESTION 71

/* In place of a neighbour, the first member's prev and the last one's next name their list: this
 * number plus the list's. So a member leaves whatever list it is on, even when its threshold was
 * changed meanwhile. */
#define BELAY__LIST_END UINT32_C(0xffffff00)

struct belay__deadlines {
	struct belay__slot *slots;                       /* borrowed: the table's */
	uint32_t head[BELAY__LISTS], tail[BELAY__LISTS]; /* BELAY__NO_SLOT: empty */
	uint64_t length_ns[BELAY__LISTS]; /* how long a member may stay silent; the special lists' too, but for WITHIN */
	uint32_t lists; /* thresholds in use */
};

/* Makes all lists empty over SLOTS. */
void belay__deadlines_init(struct belay__deadlines *deadlines, struct belay__slot *slots);

/* The list whose members may stay silent for LENGTH_NS: an existing one or a new one.
 * BELAY__LIST_WITHIN when there are already 70 lengths (callers then set each deadline by
 * itself). */
uint8_t belay__deadlines_list(struct belay__deadlines *deadlines, uint64_t length_ns);

/* What every beat passes through is inlined. */

static inline bool belay__is_list_end(uint32_t link)
{
	return link >= BELAY__LIST_END;
}

/* Makes NEXT follow PREV, on LIST when either is an end: a slot's number, or an end's. */
static inline void belay__deadlines_join(struct belay__deadlines *deadlines, uint32_t prev,
	uint32_t next)
{
	if (!belay__is_list_end(prev))
		deadlines->slots[prev].next = next;
	else
		deadlines->head[prev - BELAY__LIST_END] = belay__is_list_end(next) ? BELAY__NO_SLOT
										   : next;
	if (!belay__is_list_end(next))
		deadlines->slots[next].prev = prev;
	else
		deadlines->tail[next - BELAY__LIST_END] = belay__is_list_end(prev) ? BELAY__NO_SLOT
										   : prev;
}

/* Puts SLOT on LIST, behind all that are due no later. As long as time runs forwards, a threshold's
 * list is left at its tail: only announced silences are ever sorted. */
static inline void belay__deadlines_insert(struct belay__deadlines *deadlines, uint32_t slot,
	uint8_t list)
{
	struct belay__slot *member = &deadlines->slots[slot];
	uint32_t next = BELAY__LIST_END + list;
	uint32_t prev = deadlines->tail[list] == BELAY__NO_SLOT ? next : deadlines->tail[list];

	while (!belay__is_list_end(prev) && deadlines->slots[prev].due_ns > member->due_ns) {
		next = prev;
		prev = deadlines->slots[prev].prev;
	}
	belay__deadlines_join(deadlines, prev, slot);
	belay__deadlines_join(deadlines, slot, next);
	member->prev = prev;
	member->next = next;
	member->flags |= BELAY__SLOT_LINKED;
}

/* Takes SLOT off its list; does nothing when it is on none. */
static inline void belay__deadlines_remove(struct belay__deadlines *deadlines, uint32_t slot)
{
	struct belay__slot *member = &deadlines->slots[slot];

	if (!(member->flags & BELAY__SLOT_LINKED))
		return;

	belay__deadlines_join(deadlines, member->prev, member->next);
	member->prev = member->next = BELAY__NO_SLOT;
	member->flags = (uint8_t)(member->flags & ~BELAY__SLOT_LINKED);
}

/* SLOT was heard at NOW_NS: puts it at the tail of LIST, due length_ns later (never when that
 * overflows), taking it off the list it is on. LIST is not BELAY__LIST_WITHIN; a threshold's is
 * remembered in the slot's `list`. NOW_NS never runs backwards between calls on one list: it still
 * sorts when it does, but in linear time. */
static inline void belay__deadlines_heard(struct belay__deadlines *deadlines, uint32_t slot,
	uint8_t list, uint64_t now_ns)
{
	struct belay__slot *member = &deadlines->slots[slot];

	assert(list < BELAY__LISTS && list != BELAY__LIST_WITHIN);

	belay__deadlines_remove(deadlines, slot);
	if (__builtin_add_overflow(now_ns, deadlines->length_ns[list], &member->due_ns))
		member->due_ns = UINT64_MAX;
	if (list < BELAY__LIST_WITHIN)
		member->list = list;
	belay__deadlines_insert(deadlines, slot, list);
}

/* SLOT is due at DUE_NS exactly: puts it on BELAY__LIST_WITHIN, in order. */
void belay__deadlines_set(struct belay__deadlines *deadlines, uint32_t slot, uint64_t due_ns);

/* The slot of LIST that has been due longest at NOW_NS, or BELAY__NO_SLOT; it stays where it is. */
uint32_t belay__deadlines_first_due(const struct belay__deadlines *deadlines, uint8_t list,
	uint64_t now_ns);

/* The same, and takes it off. */
uint32_t belay__deadlines_take_due(struct belay__deadlines *deadlines, uint8_t list,
	uint64_t now_ns);

/* When the next member of any list is due, or UINT64_MAX. Looks at heads only. */
uint64_t belay__deadlines_next_ns(const struct belay__deadlines *deadlines);

/* The slot that was at FROM now lies at TO (same contents): mends its neighbours and ends. */
void belay__deadlines_moved(struct belay__deadlines *deadlines, uint32_t from, uint32_t to);
