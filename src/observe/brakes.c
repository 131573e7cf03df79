#include "observe/brakes.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "observe/acting.h"

/* Entries of the ledger older than so many debounce times say nothing any more. */
#define PRUNED_AFTER 10

struct fired {
	uint32_t pid; /* 0: empty */
	uint64_t start_ticks, at_ns;
};

/* A name and its user, as a hash of both: two that share one brake each other. */
struct pace {
	uint64_t key; /* 0: empty */
	uint64_t at_ns, interval_ns;
};

struct past {
	uint32_t uid;
	uint16_t rule;
	uint64_t at_ns;
};

struct belay__brakes {
	struct fired ledger[BELAY__BRAKES_LEDGER];
	struct pace paces[BELAY__BRAKES_NAMES];
	struct past history[BELAY__BRAKES_HISTORY]; /* a ring */
	uint32_t history_next, history_count;
	struct belay__brakes_counters counters;
};

static_assert(BELAY__ACTED_REPORTED == 0, "0 says that nothing is against it");

int belay__brakes_new(struct belay__brakes **ret_brakes)
{
	struct belay__brakes *brakes = calloc(1, sizeof(*brakes));

	if (brakes == NULL)
		return -ENOMEM;
	*ret_brakes = brakes;
	return 0;
}

struct belay__brakes *belay__brakes_free(struct belay__brakes *brakes)
{
	free(brakes);
	return NULL;
}

const struct belay__brakes_counters *belay__brakes_counters(const struct belay__brakes *brakes)
{
	return &brakes->counters;
}

/* A clock that ran backwards makes everything fresh: nothing gets away by it. */
static uint64_t age(uint64_t now_ns, uint64_t at_ns)
{
	return now_ns > at_ns ? now_ns - at_ns : 0;
}

/* --- debounce --- */

/* What of the ledger says nothing any more. */
static bool is_pruned(const struct fired *fired, uint64_t now_ns, uint64_t debounce_ns)
{
	return age(now_ns, fired->at_ns) / PRUNED_AFTER > debounce_ns;
}

static struct fired *find_fired(struct belay__brakes *brakes, uint32_t pid)
{
	for (unsigned i = 0; i < BELAY__BRAKES_LEDGER; i++)
		if (brakes->ledger[i].pid == pid)
			return &brakes->ledger[i];
	return NULL;
}

/* An unknown start time on either side is nobody else's. */
static bool same_lineage(uint64_t one, uint64_t other)
{
	return one == 0 || other == 0 || one == other;
}

int belay__brakes_debounce(struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns)
{
	struct fired *fired = find_fired(brakes, wanted->pid);

	if (fired == NULL)
		return 0;
	if (is_pruned(fired, now_ns, wanted->debounce_ns)) {
		fired->pid = 0;
		return 0;
	}
	if (!same_lineage(fired->start_ticks, wanted->start_ticks)) {
		fired->pid = 0;
		brakes->counters.recycle_resets++;
		return 0;
	}
	if (age(now_ns, fired->at_ns) >= wanted->debounce_ns)
		return 0;
	*ret_wait_ns = wanted->debounce_ns - age(now_ns, fired->at_ns);
	return BELAY__ACTED_DEBOUNCED;
}

/* Where WANTED would be noted: its own entry, a free or pruned one, else the oldest that may go.
 * NULL: none. */
static struct fired *place_for(struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns)
{
	struct fired *oldest = NULL, *empty = NULL;

	for (unsigned i = 0; i < BELAY__BRAKES_LEDGER; i++) {
		struct fired *fired = &brakes->ledger[i];

		if (fired->pid == wanted->pid)
			return fired;
		if (fired->pid != 0 && is_pruned(fired, now_ns, wanted->debounce_ns))
			fired->pid = 0;
		if (fired->pid == 0)
			empty = fired;
		else if (oldest == NULL || fired->at_ns < oldest->at_ns)
			oldest = fired;
	}
	if (empty != NULL)
		return empty;
	assert(oldest != NULL);
	return age(now_ns, oldest->at_ns) > 0 && age(now_ns, oldest->at_ns) >= wanted->debounce_ns
		? oldest
		: NULL;
}

/* --- back-off --- */

static uint64_t key_of(uint32_t uid, const char *name)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ uid;

	for (; *name != '\0'; name++)
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0x100000001b3);
	hash ^= hash >> 32;
	return hash != 0 ? hash : 1;
}

/* The pace of KEY, else a free place for it: one never used, or of a name that is held back no
 * longer, the oldest first. NULL: all are in use. */
static struct pace *pace_of(struct belay__brakes *brakes, uint64_t key, uint64_t now_ns)
{
	struct pace *place = NULL;

	for (unsigned i = 0; i < BELAY__BRAKES_NAMES; i++) {
		struct pace *pace = &brakes->paces[i];

		if (pace->key == key)
			return pace;
		if (pace->key != 0 && age(now_ns, pace->at_ns) < pace->interval_ns)
			continue;
		if (place == NULL || pace->at_ns < place->at_ns)
			place = pace;
	}
	return place;
}

static bool was_well(const struct belay__braking *wanted)
{
	return wanted->threshold_ns > 0 &&
		wanted->healthy_ns / BELAY__BACK_OFF_THRESHOLDS >= wanted->threshold_ns;
}

int belay__brakes_room(struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns)
{
	return place_for(brakes, wanted, now_ns) != NULL &&
			pace_of(brakes, key_of(wanted->uid, wanted->name), now_ns) != NULL
		? 0
		: BELAY__ACTED_DEBOUNCE_FULL;
}

int belay__brakes_back_off(struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns)
{
	uint64_t key = key_of(wanted->uid, wanted->name);
	struct pace *pace = pace_of(brakes, key, now_ns);

	if (pace == NULL || pace->key != key)
		return 0;
	if (was_well(wanted)) {
		*pace = (struct pace){ .key = 0 };
		return 0;
	}
	if (age(now_ns, pace->at_ns) >= pace->interval_ns)
		return 0;
	*ret_wait_ns = pace->interval_ns - age(now_ns, pace->at_ns);
	return BELAY__ACTED_BACK_OFF;
}

/* --- limit --- */

int belay__brakes_limit(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns)
{
	uint32_t limit = wanted->limit_count < BELAY__BRAKES_HISTORY ? wanted->limit_count
								     : BELAY__BRAKES_HISTORY;
	uint32_t found = 0;

	if (limit == 0)
		return 0;
	for (uint32_t i = 1; i <= brakes->history_count; i++) {
		const struct past *past =
			&brakes->history[(brakes->history_next - i) % BELAY__BRAKES_HISTORY];
		uint64_t since_ns = age(now_ns, past->at_ns);

		if (since_ns >= wanted->limit_window_ns)
			break;
		if (past->rule != wanted->rule || past->uid != wanted->uid || ++found < limit)
			continue;
		*ret_wait_ns = wanted->limit_window_ns - since_ns;
		return BELAY__ACTED_LIMIT;
	}
	return 0;
}

void belay__brakes_acted(struct belay__brakes *brakes, const struct belay__braking *done,
	uint64_t now_ns)
{
	uint64_t key = key_of(done->uid, done->name);
	struct fired *fired = place_for(brakes, done, now_ns);
	struct pace *pace = pace_of(brakes, key, now_ns);

	if (fired != NULL) {
		if (fired->pid != 0 && fired->pid != done->pid)
			brakes->counters.evictions++;
		*fired = (struct fired){ .pid = done->pid,
			.start_ticks = done->start_ticks,
			.at_ns = now_ns };
	}
	if (pace != NULL) {
		uint64_t interval_ns = BELAY__BACK_OFF_FIRST_NS;

		if (pace->key == key && pace->interval_ns > 0)
			interval_ns = pace->interval_ns < BELAY__BACK_OFF_MOST_NS / 2
				? 2 * pace->interval_ns
				: BELAY__BACK_OFF_MOST_NS;
		*pace = (struct pace){ .key = key, .at_ns = now_ns, .interval_ns = interval_ns };
	}
	brakes->history[brakes->history_next % BELAY__BRAKES_HISTORY] =
		(struct past){ .uid = done->uid, .rule = done->rule, .at_ns = now_ns };
	brakes->history_next = (brakes->history_next + 1) % BELAY__BRAKES_HISTORY;
	if (brakes->history_count < BELAY__BRAKES_HISTORY)
		brakes->history_count++;
}
