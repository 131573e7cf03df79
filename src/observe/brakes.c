#include "observe/brakes.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"
#include "observe/acting.h"

/* Entries of the ledger older than so many debounce times are no loss. */
#define PRUNED_AFTER 10
#define VERSION      1

static const char magic[8] = { 'B', 'E', 'L', 'A', 'Y', 'B', 'R', 'K' };

struct fired {
	uint32_t pid; /* 0: empty */
	uint32_t on;  /* enum belay__act_on */
	uint64_t start_ticks, beats, at_ns;
};

/* A name and its user, as a hash of both: two that share one brake each other. */
struct pace {
	uint64_t key; /* 0: empty */
	uint64_t at_ns, interval_ns;
};

/* A rule and a user, likewise. */
struct past {
	uint64_t key;
	uint64_t at_ns;
};

/* As it lies in memory that outlives us. */
struct memory {
	char magic[8];
	uint32_t version, size;
	uint32_t history_next, history_count;
	uint64_t reserved;
	struct fired ledger[BELAY__BRAKES_LEDGER];
	struct pace paces[BELAY__BRAKES_NAMES];
	struct past history[BELAY__BRAKES_HISTORY]; /* a ring */
};
static_assert(offsetof(struct memory, ledger) == 32, "no hidden padding");
static_assert(sizeof(struct fired) == 32 && sizeof(struct pace) == 24 && sizeof(struct past) == 16,
	"no hidden padding");

struct belay__brakes {
	struct memory *memory; /* mapped */
	struct belay__brakes_counters counters;
};

static_assert(BELAY__ACTED_REPORTED == 0, "0 says that nothing is against it");

/* --- the memory --- */

static void write_header(struct memory *memory)
{
	memcpy(memory->magic, magic, sizeof(magic));
	memory->version = VERSION;
	memory->size = sizeof(*memory);
}

int belay__brakes_create(void)
{
	_cleanup_close_ int fd = memfd_create("belay-brakes", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	static struct memory empty;
	int r;

	if (fd < 0)
		return -errno;
	write_header(&empty);
	/* Written out it has all its room: no runner dies for lack of memory later. */
	r = belay__write_all(fd, &empty, sizeof(empty));
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int map(int fd, struct memory **ret_memory)
{
	bool own = fd < 0;
	struct memory *memory;
	struct stat st;

	if (!own && fstat(fd, &st) < 0)
		return -errno;
	/* Sealed at this size, it cannot shrink under us. */
	if (!own &&
		(st.st_size != (off_t)sizeof(*memory) ||
			(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK) == 0))
		return -EPROTO;
	memory = mmap(NULL, sizeof(*memory), PROT_READ | PROT_WRITE,
		own ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, own ? -1 : fd, 0);
	if (memory == MAP_FAILED)
		return -errno;
	if (own)
		write_header(memory);
	if (memcmp(memory->magic, magic, sizeof(magic)) != 0 || memory->version != VERSION ||
		memory->size != sizeof(*memory)) {
		(void)munmap(memory, sizeof(*memory));
		return -EPROTO;
	}
	*ret_memory = memory;
	return 0;
}

static void clamp(uint64_t *value, uint64_t most)
{
	if (*value > most)
		*value = most;
}

/* Whoever wrote it may have died halfway, or before that have gone out of its mind: nothing in
 * it may lead us astray or hold anything back for ever. */
static void mend(struct memory *memory, uint64_t now_ns)
{
	for (unsigned i = 0; i < BELAY__BRAKES_LEDGER; i++)
		clamp(&memory->ledger[i].at_ns, now_ns);
	for (unsigned i = 0; i < BELAY__BRAKES_NAMES; i++) {
		clamp(&memory->paces[i].at_ns, now_ns);
		clamp(&memory->paces[i].interval_ns, BELAY__BACK_OFF_MOST_NS);
	}
	for (unsigned i = 0; i < BELAY__BRAKES_HISTORY; i++)
		clamp(&memory->history[i].at_ns, now_ns);
	memory->history_next %= BELAY__BRAKES_HISTORY;
	if (memory->history_count > BELAY__BRAKES_HISTORY)
		memory->history_count = BELAY__BRAKES_HISTORY;
}

int belay__brakes_new(int fd, uint64_t now_ns, struct belay__brakes **ret_brakes)
{
	struct belay__brakes *brakes = calloc(1, sizeof(*brakes));
	int r;

	if (brakes == NULL)
		return -ENOMEM;
	r = map(fd, &brakes->memory);
	if (r < 0) {
		free(brakes);
		return r;
	}
	assert(brakes->memory != NULL);
	mend(brakes->memory, now_ns);
	*ret_brakes = brakes;
	return 0;
}

struct belay__brakes *belay__brakes_free(struct belay__brakes *brakes)
{
	if (brakes != NULL)
		(void)munmap(brakes->memory, sizeof(*brakes->memory));
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

static const struct fired *find_fired(const struct belay__brakes *brakes, uint32_t pid)
{
	for (unsigned i = 0; i < BELAY__BRAKES_LEDGER; i++)
		if (brakes->memory->ledger[i].pid == pid)
			return &brakes->memory->ledger[i];
	return NULL;
}

bool belay__brakes_done(const struct belay__brakes *brakes, const struct belay__braking *wanted)
{
	const struct fired *fired = find_fired(brakes, wanted->pid);

	return fired != NULL && fired->start_ticks == wanted->start_ticks &&
		fired->beats == wanted->beats && fired->on == wanted->on;
}

/* An unknown start time on either side is nobody else's. */
static bool same_lineage(uint64_t one, uint64_t other)
{
	return one == 0 || other == 0 || one == other;
}

int belay__brakes_debounce(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns)
{
	const struct fired *fired = find_fired(brakes, wanted->pid);

	if (fired == NULL || !same_lineage(fired->start_ticks, wanted->start_ticks) ||
		age(now_ns, fired->at_ns) >= wanted->debounce_ns)
		return 0;
	*ret_wait_ns = wanted->debounce_ns - age(now_ns, fired->at_ns);
	return BELAY__ACTED_DEBOUNCED;
}

/* Where WANTED would be noted: its pid's own entry, a free one, else the oldest when it may go.
 * NULL: none. */
static const struct fired *place_for(const struct belay__brakes *brakes,
	const struct belay__braking *wanted, uint64_t now_ns)
{
	const struct fired *oldest = NULL, *empty = NULL;

	for (unsigned i = 0; i < BELAY__BRAKES_LEDGER; i++) {
		const struct fired *fired = &brakes->memory->ledger[i];

		if (fired->pid == wanted->pid)
			return fired;
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
static const struct pace *pace_of(const struct belay__brakes *brakes, uint64_t key, uint64_t now_ns)
{
	const struct pace *place = NULL;

	for (unsigned i = 0; i < BELAY__BRAKES_NAMES; i++) {
		const struct pace *pace = &brakes->memory->paces[i];

		if (pace->key == key)
			return pace;
		if (pace->key != 0 && age(now_ns, pace->at_ns) < pace->interval_ns)
			continue;
		if (place == NULL || pace->at_ns < place->at_ns)
			place = pace;
	}
	return place;
}

/* Whether the name of WANTED was well for long enough since it was acted on at AT_NS. Others that
 * share it may have been well all the time, so that alone says nothing. */
static bool was_well(const struct belay__braking *wanted, uint64_t now_ns, uint64_t at_ns)
{
	uint64_t threshold_ns = wanted->threshold_ns;

	return threshold_ns > 0 &&
		wanted->healthy_ns / BELAY__BACK_OFF_THRESHOLDS >= threshold_ns &&
		age(now_ns, at_ns) / BELAY__BACK_OFF_THRESHOLDS >= threshold_ns;
}

int belay__brakes_room(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns)
{
	return place_for(brakes, wanted, now_ns) != NULL &&
			pace_of(brakes, key_of(wanted->uid, wanted->name), now_ns) != NULL
		? 0
		: BELAY__ACTED_DEBOUNCE_FULL;
}

int belay__brakes_back_off(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns)
{
	uint64_t key = key_of(wanted->uid, wanted->name);
	const struct pace *pace = pace_of(brakes, key, now_ns);

	if (pace == NULL || pace->key != key || was_well(wanted, now_ns, pace->at_ns) ||
		age(now_ns, pace->at_ns) >= pace->interval_ns)
		return 0;
	*ret_wait_ns = pace->interval_ns - age(now_ns, pace->at_ns);
	return BELAY__ACTED_BACK_OFF;
}

/* --- limit --- */

int belay__brakes_limit(const struct belay__brakes *brakes, const struct belay__braking *wanted,
	uint64_t now_ns, uint64_t *ret_wait_ns)
{
	const struct memory *memory = brakes->memory;
	uint32_t limit = wanted->limit_count < BELAY__BRAKES_HISTORY ? wanted->limit_count
								     : BELAY__BRAKES_HISTORY;
	uint64_t key = key_of(wanted->uid, wanted->rule);
	uint32_t found = 0;

	if (limit == 0)
		return 0;
	for (uint32_t i = 1; i <= memory->history_count; i++) {
		const struct past *past =
			&memory->history[(memory->history_next + BELAY__BRAKES_HISTORY - i) %
				BELAY__BRAKES_HISTORY];
		uint64_t since_ns = age(now_ns, past->at_ns);

		if (since_ns >= wanted->limit_window_ns)
			break;
		if (past->key != key || ++found < limit)
			continue;
		*ret_wait_ns = wanted->limit_window_ns - since_ns;
		return BELAY__ACTED_LIMIT;
	}
	return 0;
}

/* --- what is done --- */

static void note_fired(struct belay__brakes *brakes, const struct belay__braking *done,
	uint64_t now_ns)
{
	struct fired *fired = (struct fired *)(uintptr_t)place_for(brakes, done, now_ns);

	if (fired == NULL)
		return;
	if (fired->pid == done->pid)
		brakes->counters.recycle_resets += !same_lineage(fired->start_ticks,
			done->start_ticks);
	else if (fired->pid != 0)
		brakes->counters.evictions += age(now_ns, fired->at_ns) / PRUNED_AFTER <=
			done->debounce_ns;
	*fired = (struct fired){ .pid = done->pid,
		.on = done->on,
		.start_ticks = done->start_ticks,
		.beats = done->beats,
		.at_ns = now_ns };
}

static void note_pace(struct belay__brakes *brakes, const struct belay__braking *done,
	uint64_t now_ns)
{
	uint64_t key = key_of(done->uid, done->name), interval_ns = BELAY__BACK_OFF_FIRST_NS;
	struct pace *pace = (struct pace *)(uintptr_t)pace_of(brakes, key, now_ns);

	if (pace == NULL)
		return;
	if (pace->key == key && pace->interval_ns > 0 && !was_well(done, now_ns, pace->at_ns))
		interval_ns = pace->interval_ns < BELAY__BACK_OFF_MOST_NS / 2
			? 2 * pace->interval_ns
			: BELAY__BACK_OFF_MOST_NS;
	*pace = (struct pace){ .key = key, .at_ns = now_ns, .interval_ns = interval_ns };
}

void belay__brakes_acted(struct belay__brakes *brakes, const struct belay__braking *done,
	uint64_t now_ns)
{
	struct memory *memory = brakes->memory;

	note_fired(brakes, done, now_ns);
	note_pace(brakes, done, now_ns);
	memory->history[memory->history_next] = (struct past){ .key = key_of(done->uid, done->rule),
		.at_ns = now_ns };
	memory->history_next = (memory->history_next + 1) % BELAY__BRAKES_HISTORY;
	if (memory->history_count < BELAY__BRAKES_HISTORY)
		memory->history_count++;
}
