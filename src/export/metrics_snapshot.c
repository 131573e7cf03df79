/* What a snapshot tells and in which order: filling it, folding names, sorting. */

#include "export/metrics.h"

#include <assert.h>
#include <errno.h>

#include "base/clock.h"

void belay__metrics_init(struct belay__metrics_snapshot *snapshot)
{
	*snapshot = (struct belay__metrics_snapshot){ .values[BELAY__METRIC_SIGNAL_HANDLER] = 1 };
}

int belay__metrics_count(struct belay__metrics_snapshot *snapshot, const char *name,
	const char *label, uint64_t value)
{
	int at = belay__metric_find(name, label);

	if (at < 0)
		return at;
	if (belay__metric_rows[at].source == BELAY__FROM_MILLIS)
		value *= BELAY__NS_PER_S;
	snapshot->values[at] = value;
	return 0;
}

void belay__histogram_observe(struct belay__histogram *histogram, uint64_t ns)
{
	static const uint64_t bounds_ms[BELAY__HISTOGRAM_BUCKETS - 1] = { 1, 5, 10, 50, 100, 250,
		500, 1000 };
	size_t i = 0;

	while (i < BELAY__HISTOGRAM_BUCKETS - 1 && ns > bounds_ms[i] * BELAY__NS_PER_MS)
		i++;
	histogram->counts[i]++;
	histogram->sum_ns += ns;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

void belay__metrics_fold(struct belay__metrics_group *into, const struct belay__metrics_group *group)
{
	into->expected += group->expected;
	into->processes += group->processes;
	into->beats_total += group->beats_total;
	into->stalls_total += group->stalls_total;
	into->crashes_total += group->crashes_total;
	into->last_beat_realtime_ns = greater(into->last_beat_realtime_ns,
		group->last_beat_realtime_ns);
	into->threshold_ns = greater(into->threshold_ns, group->threshold_ns);
	for (size_t i = 0; i < BELAY__METRICS_STATE_COUNT; i++)
		into->states[i] += group->states[i];
}

/* Sorting is compiled once for each kind of array, with its size and its comparison within. */
#define ALWAYS_INLINE inline __attribute__((always_inline))

typedef int compare_fn(const void *a, const void *b);

static int compare_groups(const void *a, const void *b)
{
	const struct belay__metrics_group *left = a, *right = b;
	int order = strcmp(left->name, right->name);

	return order != 0 ? order : (left->uid > right->uid) - (left->uid < right->uid);
}

static int compare_processes(const void *a, const void *b)
{
	const struct belay__metrics_process *left = a, *right = b;

	return (left->pid > right->pid) - (left->pid < right->pid);
}

_Static_assert(sizeof(struct belay__metrics_group) % sizeof(uint64_t) == 0, "exchanged by words");
_Static_assert(sizeof(struct belay__metrics_process) % sizeof(uint64_t) == 0, "exchanged by words");

static inline void exchange(char *a, char *b, size_t size)
{
	for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
		uint64_t left, right;

		memcpy(&left, a + i, sizeof(left));
		memcpy(&right, b + i, sizeof(right));
		memcpy(a + i, &right, sizeof(right));
		memcpy(b + i, &left, sizeof(left));
	}
}

/* Lets the element at ROOT sink below greater ones among the first COUNT. */
static ALWAYS_INLINE void sink(char *elements, size_t root, size_t count, size_t size,
	compare_fn *compare)
{
	for (size_t child = 2 * root + 1; child < count; root = child, child = 2 * root + 1) {
		if (child + 1 < count &&
			compare(elements + child * size, elements + (child + 1) * size) < 0)
			child++;
		if (compare(elements + root * size, elements + child * size) >= 0)
			return;
		exchange(elements + root * size, elements + child * size, size);
	}
}

/* A heap sort: qsort(3) may allocate. What is in order already costs one look. */
static ALWAYS_INLINE void sort(void *array, size_t count, size_t size, compare_fn *compare)
{
	char *elements = array;
	size_t ordered = 1;

	while (ordered < count &&
		compare(elements + (ordered - 1) * size, elements + ordered * size) <= 0)
		ordered++;
	if (ordered >= count)
		return;

	for (size_t root = count / 2; root > 0; root--)
		sink(elements, root - 1, count, size, compare);
	for (size_t left = count - 1; left > 0; left--) {
		exchange(elements, elements + left * size, size);
		sink(elements, 0, left, size, compare);
	}
}

/* Keeps, in their order, as many groups as may be told, expected ones first; folds the rest, and
 * whoever took the name that the rest is told under. */
static void keep_first(struct belay__metrics_snapshot *snapshot)
{
	struct belay__metrics_group *groups = snapshot->groups;
	size_t expected = 0, room_expected, room_others, kept = 0;

	for (size_t i = 0; i < snapshot->group_count; i++)
		expected += groups[i].expected > 0;
	room_expected = expected < BELAY__METRICS_NAMES_MAX ? expected : BELAY__METRICS_NAMES_MAX;
	room_others = BELAY__METRICS_NAMES_MAX - room_expected;

	for (size_t i = 0; i < snapshot->group_count; i++) {
		size_t *room = groups[i].expected > 0 ? &room_expected : &room_others;

		if (*room == 0 || strcmp(groups[i].name, BELAY__METRICS_OTHER) == 0) {
			belay__metrics_fold(&snapshot->other, &groups[i]);
			snapshot->other_names++;
			continue;
		}
		(*room)--;
		if (kept != i)
			groups[kept] = groups[i];
		kept++;
	}
	snapshot->group_count = kept;
}

/* Joins neighbours that are the same name of the same uid: a series that is there twice makes
 * the whole body worthless. */
static void join_twins(struct belay__metrics_snapshot *snapshot)
{
	struct belay__metrics_group *groups = snapshot->groups;
	size_t kept = 0;

	for (size_t i = 0; i < snapshot->group_count; i++) {
		if (kept > 0 && compare_groups(&groups[kept - 1], &groups[i]) == 0)
			belay__metrics_fold(&groups[kept - 1], &groups[i]);
		else if (kept++ != i)
			groups[kept - 1] = groups[i];
	}
	snapshot->group_count = kept;
}

static void note_names(struct belay__metrics_group *groups, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		groups[i].name_len = (uint8_t)strlen(groups[i].name);
		groups[i].name_plain = belay__full_name_valid(groups[i].name, groups[i].name_len);
		groups[i].name_shared = false;
		if (i > 0 && strcmp(groups[i - 1].name, groups[i].name) == 0)
			groups[i - 1].name_shared = groups[i].name_shared = true;
	}
}

void belay__metrics_prepare(struct belay__metrics_snapshot *snapshot)
{
	assert(!snapshot->prepared);

	for (size_t i = 0; i < snapshot->group_count; i++)
		snapshot->groups[i].name[BELAY__NAME_MAX] = '\0';
	keep_first(snapshot);
	sort(snapshot->groups, snapshot->group_count, sizeof(*snapshot->groups), compare_groups);
	join_twins(snapshot);
	note_names(snapshot->groups, snapshot->group_count);
	(void)belay__put(snapshot->other.name, BELAY__METRICS_OTHER, sizeof(BELAY__METRICS_OTHER));
	note_names(&snapshot->other, 1);
	sort(snapshot->processes, snapshot->process_count, sizeof(*snapshot->processes),
		compare_processes);
	snapshot->values[BELAY__METRIC_NAMES_FOLDED] = snapshot->other_names;
	snapshot->prepared = true;
}
