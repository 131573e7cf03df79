/* totals.h - what processes that are gone had counted, by name and user
 *
 * What a process counts lies in its record and goes with it; sums by name must not. They are added
 * up here, in memory that the parent holds, so that they outlive a gate. The gate alone writes; the
 * exporter reads at any moment. Its size is fixed: names beyond BELAY__TOTALS_MAX are added to one
 * entry for all others. Nothing here allocates but the opening.
 *
 * A process moves from the table (state_file.h) to here while others look on. The gate holds the
 * totals meanwhile; who reads both sees by the generation whether that happened, and looks again. It
 * takes the totals first: what leaves the table in between is then missed, not counted twice.
 *
 * All but belay__totals_create() and the opening take NULL for "there are none".
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"

#define BELAY__TOTALS_MAX 2048

struct belay__totals;

/* One entry as it was read. Renaming a process takes what it had counted from its new name, so a
 * number may be below zero (in two's complement) until the process's own are added. */
struct belay__total {
	char name[BELAY__NAME_SIZE]; /* "": of all names that found no room */
	uint32_t uid;
	uint64_t beats, stalls, crashes;
};

/* Makes empty totals, which are held until a gate releases them. Returns their fd or a negative
 * errno. */
int belay__totals_create(void);

/* Maps FD (borrowed, may be closed afterwards) for the gate, and holds the totals: what an earlier
 * gate did halfway is not read before belay__totals_release(). 0, -EPROTO (these are no totals), or
 * another negative errno. */
int belay__totals_open(int fd, struct belay__totals **ret_totals);
/* The same for reading. */
int belay__totals_view(int fd, const struct belay__totals **ret_totals);
void belay__totals_close(const struct belay__totals *totals);

/* --- the gate --- */

/* What is done between the two belongs together. Calls nest. */
void belay__totals_hold(struct belay__totals *totals);
void belay__totals_release(struct belay__totals *totals);

/* Adds to the entry of NAME and UID. */
void belay__totals_add(struct belay__totals *totals, const char *name, uint32_t uid,
	const struct belay__total *counted);
/* A process of UID that has counted so much as OLD is called FRESH from now on, and keeps counting
 * from there. */
void belay__totals_move(struct belay__totals *totals, uint32_t uid, const char *old,
	const char *fresh, const struct belay__total *counted);

/* --- readers --- */

/* Waits a moment for the gate to let go. False: it holds the totals for longer (it is being
 * replaced). */
bool belay__totals_begin(const struct belay__totals *totals, uint64_t *ret_generation);
/* Whether nothing was added since the matching begin. */
bool belay__totals_unchanged(const struct belay__totals *totals, uint64_t generation);
/* Entry number AT, up to and including BELAY__TOTALS_MAX, that of all others. False: it is empty. */
bool belay__totals_read(const struct belay__totals *totals, uint32_t at,
	struct belay__total *ret_total);
