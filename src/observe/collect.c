#include "observe/collect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <belay/vlp.h>

#include "base/clock.h"
#include "identity/verdict.h"
#include "observe/remote.h"
#include "observe/table.h"

/* What is expected is told in any case; names that nobody has any more leave room to live ones. */
#define NAMES_MAX    BELAY__METRICS_NAMES_MAX
#define NAMES_EXPECT (NAMES_MAX + BELAY__RULES_MAX)
#define NAMES_GONE   (NAMES_MAX - NAMES_MAX / 10)
#define INDEX_SIZE   4096
#define ATTEMPTS_MAX 3
#define STEP_NS      (50 * BELAY__NS_PER_MS) /* the clocks' distance: less is no change */
#define STATUS_STALL 3
#define NO_NAME      UINT16_MAX

_Static_assert(INDEX_SIZE >= 2 * NAMES_EXPECT, "at most half of the places are taken");

static const uint8_t state_of_verdict[BELAY__VERDICT_COUNT] = {
	[BELAY__VERDICT_NONE] = BELAY__METRICS_STATE_SILENT,
#define X(id, name, meaning) [BELAY__VERDICT_##id] = BELAY__METRICS_STATE_##id,
	BELAY__VERDICTS(X)
#undef X
};

/* What was told of a name. */
struct told {
	uint64_t beats, stalls, crashes, last_ns;
	uint64_t heard; /* beats as they were seen, whatever was told */
};

struct known {
	struct belay__metrics_group now;
	struct told told;
	uint64_t hash;
	bool ruled;   /* processes of the rule of this name were seen under this uid */
	bool counted; /* in the totals */
};

struct expectation {
	char name[BELAY__NAME_SIZE];
	int64_t uid; /* -1: any */
	uint64_t threshold_ns, count;
};

struct belay__collector {
	uint32_t capacity, own_uid;
	uint64_t seed; /* of hashes: names are chosen by those who beat */
	struct expectation rules[BELAY__RULES_MAX];
	uint32_t rule_count;
	uint64_t default_threshold_ns;
	uint64_t ahead_ns; /* of the realtime clock before the observer's, modulo 2^64; 0: not known */

	struct known known[NAMES_EXPECT]; /* in the order in which they were seen first */
	uint32_t known_count;
	uint16_t index[INDEX_SIZE]; /* by hash: their places */

	/* Those beyond the limit: together, and a set of their hashes. */
	struct belay__metrics_group other;
	struct told other_told;
	uint64_t other_names;
	uint32_t gone_limit; /* names that nobody has any more stay while there are no more in all */
	uint64_t *folded;
	uint32_t folded_mask;

	/* Records that were met in this walk have its number: one whose slot moves is met twice. */
	uint32_t *met;
	uint32_t walk;
	struct belay__metrics_process *processes;
	char (*names)[BELAY__NAME_SIZE]; /* of those processes */
	size_t process_count;

	struct belay__total gone[BELAY__TOTALS_MAX + 1];
	uint32_t gone_count;
	struct belay__metrics_group groups[NAMES_EXPECT];
	struct belay__metrics_snapshot snapshot;
};

int belay__collector_new(uint32_t capacity, struct belay__collector **ret_collector)
{
	struct belay__collector *collector = calloc(1, sizeof(*collector));
	size_t folded = 1;

	if (collector == NULL)
		return -ENOMEM;
	while (folded < 2 * ((size_t)capacity + BELAY__TOTALS_MAX))
		folded *= 2;
	(void)!getrandom(&collector->seed, sizeof(collector->seed), GRND_NONBLOCK);
	collector->capacity = capacity;
	collector->folded_mask = (uint32_t)folded - 1;
	collector->folded = calloc(folded, sizeof(*collector->folded));
	collector->met = calloc(capacity, sizeof(*collector->met));
	collector->processes = calloc(capacity, sizeof(*collector->processes));
	collector->names = calloc(capacity, sizeof(*collector->names));
	memset(collector->index, 0xff, sizeof(collector->index));
	if (collector->folded == NULL || collector->met == NULL || collector->processes == NULL ||
		collector->names == NULL) {
		belay__collector_free(collector);
		return -ENOMEM;
	}
	*ret_collector = collector;
	return 0;
}

struct belay__collector *belay__collector_free(struct belay__collector *collector)
{
	if (collector == NULL)
		return NULL;
	free(collector->folded);
	free(collector->met);
	free(collector->processes);
	free(collector->names);
	free(collector);
	return NULL;
}

void belay__collector_expect(struct belay__collector *collector, const struct belay__rule *rules,
	uint32_t rule_count, uint32_t own_uid)
{
	collector->own_uid = own_uid;
	collector->rule_count = rule_count < BELAY__RULES_MAX ? rule_count : BELAY__RULES_MAX;
	for (uint32_t i = 0; i < collector->rule_count; i++) {
		struct expectation *rule = &collector->rules[i];

		memcpy(rule->name, rules[i].name, sizeof(rule->name));
		rule->name[BELAY__NAME_MAX] = '\0';
		rule->uid = rules[i].uid;
		rule->threshold_ns = rules[i].threshold_ns;
		/* Of another host's processes each host has a name of its own: none is the rule's. */
		rule->count = rules[i].host[0] == '\0' ? rules[i].expect : 0;
	}
}

/* --- names --- */

static uint64_t hash_of(const struct belay__collector *collector, const char *name, uint32_t uid)
{
	uint64_t hash = collector->seed ^ (UINT64_C(0x9e3779b97f4a7c15) * (uid + UINT64_C(1)));

	for (; *name != '\0'; name++) {
		hash = (hash ^ (uint8_t)*name) * UINT64_C(0xff51afd7ed558ccd);
		hash ^= hash >> 32;
	}
	return hash | 1; /* 0 means empty */
}

/* The place in the index of NAME and UID, or the empty one where they belong. */
static uint32_t place_of(const struct belay__collector *collector, const char *name, uint32_t uid,
	uint64_t hash)
{
	uint32_t at = (uint32_t)(hash >> 8) % INDEX_SIZE;

	for (; collector->index[at] != NO_NAME; at = (at + 1) % INDEX_SIZE) {
		const struct known *known = &collector->known[collector->index[at]];

		if (known->hash == hash && known->now.uid == uid &&
			strcmp(known->now.name, name) == 0)
			break;
	}
	return at;
}

/* NAME of UID, added to the known ones when these are fewer than LIMIT; NULL: there is no room. */
static struct known *know(struct belay__collector *collector, const char *name, uint32_t uid,
	uint32_t limit)
{
	uint64_t hash = hash_of(collector, name, uid);
	uint32_t at = place_of(collector, name, uid, hash);
	struct known *known;

	if (collector->index[at] != NO_NAME)
		return &collector->known[collector->index[at]];
	if (collector->known_count >= limit)
		return NULL;
	collector->index[at] = (uint16_t)collector->known_count;
	known = &collector->known[collector->known_count++];
	*known = (struct known){ .hash = hash, .now = { .uid = uid } };
	memcpy(known->now.name, name, strlen(name));
	return known;
}

/* Where NAME of UID, which is not known, counts: all others. */
static struct belay__metrics_group *fold(struct belay__collector *collector, const char *name,
	uint32_t uid)
{
	uint64_t hash = hash_of(collector, name, uid);
	uint32_t at = (uint32_t)(hash >> 8) & collector->folded_mask;

	while (collector->folded[at] != 0 && collector->folded[at] != hash)
		at = (at + 1) & collector->folded_mask;
	if (collector->folded[at] == 0 && collector->other_names < collector->folded_mask / 2) {
		collector->folded[at] = hash;
		collector->other_names++;
	}
	return &collector->other;
}

/* --- one look --- */

static void begin_look(struct belay__collector *collector)
{
	for (uint32_t i = 0; i < collector->known_count; i++) {
		struct known *known = &collector->known[i];
		struct belay__metrics_group empty = { .uid = known->now.uid };

		memcpy(empty.name, known->now.name, sizeof(empty.name));
		known->now = empty;
		known->counted = false;
	}
	if (collector->other_names > 0)
		memset(collector->folded, 0,
			((size_t)collector->folded_mask + 1) * sizeof(*collector->folded));
	collector->other = (struct belay__metrics_group){ .uid = 0 };
	collector->other_names = 0;
	collector->process_count = 0;
	collector->walk++;
}

/* Copies the slot AT of SLOTS and its record. False: it is empty, or in the middle of a change. */
static bool copy(const struct belay__collector *collector, const struct belay__slot *slots,
	const struct belay__record *records, uint32_t at, struct belay__slot *ret_slot,
	struct belay__record *ret_record)
{
	size_t len;

	if (__atomic_load_n(&slots[at].pid, __ATOMIC_RELAXED) == 0)
		return false;
	*ret_slot = slots[at];
	/* From here on the copies are used, whatever becomes of what they were made from. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (ret_slot->pid == 0 || ret_slot->record >= collector->capacity)
		return false;
	*ret_record = records[ret_slot->record];
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	len = strnlen(ret_record->name, sizeof(ret_record->name));
	return ret_record->pid == ret_slot->pid && belay__full_name_valid(ret_record->name, len);
}

static uint8_t state_of(const struct belay__slot *slot, const struct belay__record *record)
{
	if (slot->flags & BELAY__SLOT_STALLED)
		return record->verdict < BELAY__VERDICT_COUNT ? state_of_verdict[record->verdict]
							      : BELAY__METRICS_STATE_SILENT;
	return slot->status == BELAY_OK          ? BELAY__METRICS_STATE_HEALTHY
		: slot->status == BELAY_DEGRADED ? BELAY__METRICS_STATE_DEGRADED
						 : BELAY__METRICS_STATE_CRITICAL;
}

static uint64_t later(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static void count_process(struct belay__collector *collector, const struct belay__slot *slot,
	const struct belay__record *record)
{
	const struct expectation *rule = record->rule > 0 && record->rule <= collector->rule_count
		? &collector->rules[record->rule - 1]
		: NULL;
	bool ruled = rule != NULL && strcmp(rule->name, record->name) == 0;
	struct known *known = know(collector, record->name, record->uid,
		ruled && rule->count > 0 ? NAMES_EXPECT : NAMES_MAX);
	struct belay__metrics_group *group = known != NULL
		? &known->now
		: fold(collector, record->name, record->uid);
	uint64_t threshold_ns = ruled && rule->threshold_ns != 0 ? rule->threshold_ns
								 : collector->default_threshold_ns;

	if (known != NULL && ruled)
		known->ruled = true;
	group->processes++;
	group->beats_total += record->beats;
	group->stalls_total += record->stalls;
	group->states[state_of(slot, record)]++;
	group->threshold_ns = later(group->threshold_ns, threshold_ns);
	if (collector->ahead_ns != 0)
		group->last_beat_realtime_ns = later(group->last_beat_realtime_ns,
			slot->last_ns + collector->ahead_ns);
}

/* How long the host and the slash in front of NAME are; 0: it is this host's. */
static uint8_t host_len(const struct belay__slot *slot, const char *name)
{
	const char *slash = belay__key_host(slot->pid) != 0 ? strchr(name, '/') : NULL;

	return slash != NULL ? (uint8_t)(slash + 1 - name) : 0;
}

static void list_process(struct belay__collector *collector, const struct belay__slot *slot,
	const struct belay__record *record)
{
	struct belay__metrics_process *process = &collector->processes[collector->process_count];
	char *name = collector->names[collector->process_count];
	bool stalled = slot->flags & BELAY__SLOT_STALLED;

	collector->process_count++;
	memcpy(name, record->name, BELAY__NAME_SIZE);
	*process = (struct belay__metrics_process){
		.name = name,
		.pid = belay__key_pid(slot->pid),
		.host_len = host_len(slot, name),
		.uid = record->uid,
		.beats = record->beats,
		.stalls = record->stalls,
		.status = stalled                        ? STATUS_STALL
			: slot->status <= BELAY_CRITICAL ? slot->status
							 : BELAY__METRICS_NO_STATUS,
	};
}

static void walk_table(struct belay__collector *collector, const struct belay__state_view *view,
	bool with_processes)
{
	const struct belay__record *records;
	const struct belay__slot *slots;
	struct belay__record record;
	struct belay__slot slot;

	if (view->mapping == NULL || view->capacity > collector->capacity ||
		!belay__state_view_tables(view, &slots, &records))
		return;
	for (uint32_t at = 0; at < belay__table_slot_count(view->capacity); at++) {
		if (!copy(collector, slots, records, at, &slot, &record) ||
			slot.record >= view->capacity ||
			collector->met[slot.record] == collector->walk)
			continue;
		collector->met[slot.record] = collector->walk;
		count_process(collector, &slot, &record);
		if (with_processes)
			list_process(collector, &slot, &record);
	}
}

static void read_totals(struct belay__collector *collector, const struct belay__totals *totals)
{
	collector->gone_count = 0;
	for (uint32_t at = 0; at <= BELAY__TOTALS_MAX; at++)
		collector->gone_count += belay__totals_read(totals, at,
			&collector->gone[collector->gone_count]);
}

/* Those who live have taken their places before; for those who found none the dead leave more. */
static void add_totals(struct belay__collector *collector)
{
	collector->gone_limit = collector->other_names < NAMES_GONE
		? NAMES_GONE - (uint32_t)collector->other_names
		: 0;
	for (uint32_t i = 0; i < collector->gone_count; i++) {
		const struct belay__total *gone = &collector->gone[i];
		bool named = belay__full_name_valid(gone->name, strlen(gone->name));
		struct known *known = named
			? know(collector, gone->name, gone->uid, collector->gone_limit)
			: NULL;
		struct belay__metrics_group *group = known != NULL ? &known->now
			: named ? fold(collector, gone->name, gone->uid)
				: &collector->other;

		if (known != NULL)
			known->counted = true;
		group->beats_total += gone->beats;
		group->stalls_total += gone->stalls;
		group->crashes_total += gone->crashes;
	}
}

/* Looks until table and totals stood still meanwhile, a few times at the most. While the gate is
 * being replaced all stays as it was. */
static void look(struct belay__collector *collector, const struct belay__collector_sources *sources,
	bool with_processes)
{
	uint64_t generation;

	for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
		if (!belay__totals_begin(sources->totals, &generation))
			return;
		begin_look(collector);
		read_totals(collector, sources->totals);
		walk_table(collector, sources->view, with_processes);
		add_totals(collector);
		if (belay__totals_unchanged(sources->totals, generation))
			return;
	}
}

/* --- what is expected --- */

static struct known *expected_by(struct belay__collector *collector, const struct expectation *rule)
{
	if (rule->uid >= 0)
		return know(collector, rule->name, (uint32_t)rule->uid, NAMES_EXPECT);
	for (uint32_t i = 0; i < collector->known_count; i++)
		if (collector->known[i].ruled &&
			strcmp(collector->known[i].now.name, rule->name) == 0)
			return &collector->known[i];
	return know(collector, rule->name, collector->own_uid, NAMES_EXPECT);
}

static void add_expectations(struct belay__collector *collector)
{
	for (uint32_t i = 0; i < collector->known_count; i++)
		collector->known[i].now.expected = 0;
	for (uint32_t i = 0; i < collector->rule_count; i++) {
		const struct expectation *rule = &collector->rules[i];
		struct known *known;

		if (rule->count == 0 || rule->name[0] == '\0')
			continue;
		known = expected_by(collector, rule);
		if (known == NULL)
			continue;
		known->now.expected += rule->count;
		if (known->now.threshold_ns == 0)
			known->now.threshold_ns = rule->threshold_ns != 0
				? rule->threshold_ns
				: collector->default_threshold_ns;
	}
}

/* --- what is told --- */

/* The greater of what was told and what is true now, which may lack something for a moment. */
static uint64_t forwards(uint64_t *told, uint64_t now)
{
	if ((int64_t)now > 0 && now > *told)
		*told = now;
	return *told;
}

static void tell(struct told *told, struct belay__metrics_group *group)
{
	/* A gate that takes over counts silences from then on: nobody has beaten for that. */
	if (group->beats_total == told->heard && told->last_ns != 0)
		group->last_beat_realtime_ns = told->last_ns;
	told->heard = group->beats_total;
	group->beats_total = forwards(&told->beats, group->beats_total);
	group->stalls_total = forwards(&told->stalls, group->stalls_total);
	group->crashes_total = forwards(&told->crashes, group->crashes_total);
	group->last_beat_realtime_ns = forwards(&told->last_ns, group->last_beat_realtime_ns);
}

/* Sorted by pid as they are; one that came and went meanwhile may be there twice. */
static void drop_twins(struct belay__metrics_snapshot *snapshot)
{
	struct belay__metrics_process *processes = snapshot->processes;
	size_t kept = 0;

	for (size_t i = 0; i < snapshot->process_count; i++)
		if (kept == 0 || processes[kept - 1].pid != processes[i].pid)
			processes[kept++] = processes[i];
	snapshot->process_count = kept;
}

static void make_snapshot(struct belay__collector *collector)
{
	struct belay__metrics_snapshot *snapshot = &collector->snapshot;

	belay__metrics_init(snapshot);
	for (uint32_t i = 0; i < collector->known_count; i++) {
		collector->groups[i] = collector->known[i].now;
		tell(&collector->known[i].told, &collector->groups[i]);
	}
	snapshot->groups = collector->groups;
	snapshot->group_count = collector->known_count;
	snapshot->other = collector->other;
	snapshot->other_names = collector->other_names;
	snapshot->processes = collector->processes;
	snapshot->process_count = collector->process_count;
	belay__metrics_prepare(snapshot);
	tell(&collector->other_told, &snapshot->other);
	drop_twins(snapshot);
	collector->process_count = snapshot->process_count;
}

/* Names of the dead leave room to others: of COUNT names those seen last go first. */
static bool stays(const struct known *known, uint32_t count, uint32_t gone_limit)
{
	if (known->now.processes > 0 || known->now.expected > 0)
		return true;
	return known->counted && count <= gone_limit;
}

static void forget_names(struct belay__collector *collector)
{
	uint32_t count = collector->known_count, kept = 0;

	for (uint32_t i = collector->known_count; i-- > 0;) {
		struct known *known = &collector->known[i];

		if (stays(known, count, collector->gone_limit))
			continue;
		if (known->counted)
			belay__metrics_fold(fold(collector, known->now.name, known->now.uid),
				&known->now);
		known->hash = 0;
		count--;
	}
	if (count == collector->known_count)
		return;
	memset(collector->index, 0xff, sizeof(collector->index));
	for (uint32_t i = 0; i < collector->known_count; i++) {
		struct known *known = &collector->known[i];

		if (known->hash == 0)
			continue;
		if (kept != i)
			collector->known[kept] = *known;
		known = &collector->known[kept];
		collector->index[place_of(collector, known->now.name, known->now.uid, known->hash)] =
			(uint16_t)kept;
		kept++;
	}
	collector->known_count = kept;
}

/* The distance of two clocks that are read one after the other jumps about by some microseconds; a
 * time that was told stays as it is unless the clock was set. */
static void compare_clocks(struct belay__collector *collector,
	const struct belay__collector_sources *sources)
{
	uint64_t ahead_ns = sources->realtime_ns - sources->observer_ns;
	uint64_t change_ns = ahead_ns - collector->ahead_ns;

	if (sources->realtime_ns == 0 ||
		(collector->ahead_ns != 0 && change_ns + STEP_NS <= 2 * STEP_NS))
		return;
	for (uint32_t i = 0; i < collector->known_count; i++)
		if (collector->known[i].told.last_ns != 0)
			collector->known[i].told.last_ns += change_ns;
	if (collector->other_told.last_ns != 0)
		collector->other_told.last_ns += change_ns;
	collector->ahead_ns = ahead_ns;
}

struct belay__metrics_snapshot *belay__collect(struct belay__collector *collector,
	const struct belay__collector_sources *sources, bool with_processes)
{
	collector->default_threshold_ns = sources->default_threshold_ns;
	compare_clocks(collector, sources);
	look(collector, sources, with_processes);
	add_expectations(collector);
	forget_names(collector);
	make_snapshot(collector);
	return &collector->snapshot;
}
