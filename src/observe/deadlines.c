#include "observe/deadlines.h"

#include <assert.h>
#include <stddef.h>

#include "base/hot.h"

void belay__deadlines_init(struct belay__deadlines *deadlines, struct belay__slot *slots)
{
	*deadlines = (struct belay__deadlines){ .slots = slots };
	for (size_t list = 0; list < BELAY__LISTS; list++)
		deadlines->head[list] = deadlines->tail[list] = BELAY__NO_SLOT;
}

uint8_t belay__deadlines_list(struct belay__deadlines *deadlines, uint64_t length_ns)
{
	for (uint32_t list = 0; list < deadlines->lists; list++)
		if (deadlines->length_ns[list] == length_ns)
			return (uint8_t)list;
	if (deadlines->lists == BELAY__LIST_WITHIN)
		return BELAY__LIST_WITHIN;
	deadlines->length_ns[deadlines->lists] = length_ns;
	return (uint8_t)deadlines->lists++;
}

void belay__deadlines_set(struct belay__deadlines *deadlines, uint32_t slot, uint64_t due_ns)
{
	belay__deadlines_remove(deadlines, slot);
	deadlines->slots[slot].due_ns = due_ns;
	belay__deadlines_insert(deadlines, slot, BELAY__LIST_WITHIN);
}

/* When the first of LIST is due. UINT64_MAX: nobody, ever. */
static uint64_t first_due_ns(const struct belay__deadlines *deadlines, uint32_t list)
{
	uint32_t first = deadlines->head[list];

	return first == BELAY__NO_SLOT ? UINT64_MAX : deadlines->slots[first].due_ns;
}

uint32_t belay__deadlines_first_due(const struct belay__deadlines *deadlines, uint8_t list,
	uint64_t now_ns)
{
	uint64_t due_ns = first_due_ns(deadlines, list);

	/* "Never" does not come at the end of time either. */
	return due_ns > now_ns || due_ns == UINT64_MAX ? BELAY__NO_SLOT : deadlines->head[list];
}

uint32_t belay__deadlines_take_due(struct belay__deadlines *deadlines, uint8_t list, uint64_t now_ns)
{
	uint32_t first = belay__deadlines_first_due(deadlines, list, now_ns);

	if (first != BELAY__NO_SLOT)
		belay__deadlines_remove(deadlines, first);
	return first;
}

BELAY__HOT uint64_t belay__deadlines_next_ns(const struct belay__deadlines *deadlines)
{
	uint64_t next_ns = first_due_ns(deadlines, BELAY__LIST_WITHIN);
	uint64_t due_ns = first_due_ns(deadlines, BELAY__LIST_QUESTION);

	if (due_ns < next_ns)
		next_ns = due_ns;
	for (uint32_t list = 0; list < deadlines->lists; list++) {
		due_ns = first_due_ns(deadlines, list);
		if (due_ns < next_ns)
			next_ns = due_ns;
	}
	return next_ns;
}

void belay__deadlines_moved(struct belay__deadlines *deadlines, uint32_t from, uint32_t to)
{
	const struct belay__slot *member = &deadlines->slots[to];

	assert(from != to);

	if (!(member->flags & BELAY__SLOT_LINKED))
		return;
	belay__deadlines_join(deadlines, member->prev, to);
	belay__deadlines_join(deadlines, to, member->next);
}
