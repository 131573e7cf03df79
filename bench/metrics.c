/* metrics.c - what it costs to write /metrics, against snprintf writing the same bytes
 *
 * 1,000 names with Belay's prefix, and 4,096 pids with the original's. The floor walks the same
 * table and formats each line with one snprintf of a constant format; that it gives the same bytes
 * is checked first. Rounds of both are interleaved and counted in CPU time of this thread; what is
 * printed are medians, one JSON object a line, and beside them what it costs to sort the snapshot
 * when its arrays come in no order at all.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "common.h"
#include "export/metrics.h"

enum { NAMES = BELAY__METRICS_NAMES_MAX, PIDS = 4096, ROUNDS = 101, BODY_SIZE = 4 << 20 };

static struct belay__metrics_group groups[NAMES];
static struct belay__metrics_process processes[PIDS];
static struct belay__metrics_snapshot snapshot;
static struct belay__metrics_text text = { .max = BELAY__METRICS_TEXT_MAX };
static char body[BODY_SIZE];
static size_t body_len;
static uint64_t random_state = UINT64_C(88172645463325252);

static uint64_t draw(uint64_t below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state % below;
}

static uint64_t cpu_ns(void)
{
	return belay__clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* Workers as they are: about a day of beats, nearly all well. */
static void fill(void)
{
	belay__metrics_init(&snapshot);
	for (size_t i = 0; i < BELAY__METRIC_COUNT; i++)
		if (i != BELAY__METRIC_NAMES_FOLDED)
			snapshot.values[i] = draw(100000);
	for (unsigned i = 0; i < NAMES; i++) {
		groups[i] = (struct belay__metrics_group){
			.expected = 1,
			.processes = 1,
			.beats_total = draw(1000000),
			.stalls_total = draw(3),
			.last_beat_realtime_ns = UINT64_C(1700000000000000000) + draw(1000000000),
			.threshold_ns = 5 * BELAY__NS_PER_S,
		};
		(void)snprintf(groups[i].name, sizeof(groups[i].name), "worker-pool#%u", i);
		groups[i].states[draw(BELAY__METRICS_STATE_TRACKED)] = 1;
	}
	for (uint32_t i = 0; i < PIDS; i++)
		processes[i] = (struct belay__metrics_process){
			.name = "worker",
			.pid = 1000 + i * 7,
			.beats = draw(1000000),
			.stalls = draw(3),
			.status = (uint8_t)draw(4),
		};
	for (size_t i = NAMES - 1; i > 0; i--) {
		size_t other = draw(i + 1);
		struct belay__metrics_group kept = groups[i];

		groups[i] = groups[other];
		groups[other] = kept;
	}
	for (size_t i = PIDS - 1; i > 0; i--) {
		size_t other = draw(i + 1);
		struct belay__metrics_process kept = processes[i];

		processes[i] = processes[other];
		processes[other] = kept;
	}
	snapshot.groups = groups;
	snapshot.group_count = NAMES;
	snapshot.processes = processes;
	snapshot.process_count = PIDS;
}

#define ADD(...)                                                                                   \
	(body_len += (size_t)snprintf(body + body_len, sizeof(body) - body_len, __VA_ARGS__))

static uint64_t member(const void *record, size_t offset)
{
	uint64_t value;

	memcpy(&value, (const char *)record + offset, sizeof(value));
	return value;
}

static void print_histogram(const char *prefix, const struct belay__metric_row *row)
{
	static const char *const bounds[] = { "0.001", "0.005", "0.01", "0.05", "0.1", "0.25",
		"0.5", "1", "+Inf" };
	const char *comma = row->label[0] == '\0' ? "" : ",";
	uint64_t count = 0;

	for (size_t i = 0; i < BELAY__HISTOGRAM_BUCKETS; i++) {
		count += snapshot.histograms[row->at].counts[i];
		ADD("%s_%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", prefix, row->name, row->label,
			comma, bounds[i], count);
	}
	for (int i = 0; i < 2; i++) {
		ADD(comma[0] == '\0' ? "%s_%s_%s%s " : "%s_%s_%s{%s} ", prefix, row->name,
			i == 0 ? "sum" : "count", row->label);
		if (i == 0)
			ADD("%.9f\n", (double)snapshot.histograms[row->at].sum_ns / 1e9);
		else
			ADD("%" PRIu64 "\n", count);
	}
}

static void print_value(const char *prefix, const struct belay__metric_row *row)
{
	size_t at = row->source == BELAY__FROM_NANOS ? row->at : (size_t)(row - belay__metric_rows);
	uint64_t value = snapshot.values[at];

	if (row->label[0] == '\0')
		ADD("%s_%s ", prefix, row->name);
	else
		ADD("%s_%s{%s} ", prefix, row->name, row->label);
	if (row->source == BELAY__FROM_VALUE)
		ADD("%" PRIu64 "\n", value);
	else
		ADD("%" PRIu64 ".%0*" PRIu64 "\n", value / BELAY__NS_PER_S,
			row->source == BELAY__FROM_MILLIS ? 3 : 9,
			value % BELAY__NS_PER_S /
				(row->source == BELAY__FROM_MILLIS ? BELAY__NS_PER_MS : 1));
}

static void print_groups(const struct belay__metric_row *row)
{
	static const char *const states[] = {
#define X(id, name) name,
		BELAY__METRICS_STATES(X)
#undef X
	};

	for (size_t i = 0; i < NAMES; i++) {
		const char *name = groups[i].name;
		uint64_t value = member(&groups[i], row->at);

		if (row->source == BELAY__FROM_GROUP)
			ADD("belay_%s{name=\"%s\"} %" PRIu64 "\n", row->name, name, value);
		else if (row->source == BELAY__FROM_GROUP_SECONDS)
			ADD("belay_%s{name=\"%s\"} %" PRIu64 ".%03" PRIu64 "\n", row->name, name,
				value / BELAY__NS_PER_S, value % BELAY__NS_PER_S / BELAY__NS_PER_MS);
		else
			for (size_t k = 0; k < sizeof(states) / sizeof(states[0]); k++)
				ADD("belay_%s{name=\"%s\",state=\"%s\"} %" PRIu32 "\n", row->name,
					name, states[k], groups[i].states[k]);
	}
}

static void print_row(const char *prefix, const struct belay__metric_row *row)
{
	if (row->source <= BELAY__FROM_NANOS)
		print_value(prefix, row);
	else if (row->source == BELAY__FROM_HISTOGRAM)
		print_histogram(prefix, row);
	else if (row->source <= BELAY__FROM_STATES)
		print_groups(row);
	else if (row->source == BELAY__FROM_BUILD)
		ADD("belay_build_info{version=\"" BELAY_VERSION "\"} 1\n");
	else
		for (size_t i = 0; i < PIDS; i++)
			ADD("varta_%s{pid=\"%" PRIu32 "\"} %" PRIu64 "\n", row->name,
				processes[i].pid,
				row->source == BELAY__FROM_PROCESS ? member(&processes[i], row->at)
								   : processes[i].status);
}

static void print_all(enum belay__metrics_set set)
{
	const char *family = "", *prefix = belay__metrics_prefix(set);

	body_len = 0;
	for (size_t i = 0; i < BELAY__METRIC_COUNT; i++) {
		const struct belay__metric_row *row = &belay__metric_rows[i];

		if ((row->sets & set) == 0 || row->source == BELAY__FROM_PROCESS_INFO)
			continue;
		if (strcmp(family, row->name) != 0)
			ADD("# HELP %s_%s %s\n# TYPE %s_%s %s\n", prefix, row->name, row->help,
				prefix, row->name,
				row->type == BELAY__METRIC_INFO
					? "gauge"
					: belay__metric_type_name(row->type));
		family = row->name;
		print_row(prefix, row);
	}
}

static void measure(const char *name, enum belay__metrics_set set, uint64_t sort_ns)
{
	struct belay__metrics_style style = { .set = set, .format = BELAY__METRICS_TEXT };
	uint64_t ours[ROUNDS], floor[ROUNDS], ours_ns, floor_ns;

	print_all(set);
	if (belay__metrics_render(&snapshot, &style, &text) < 0 || text.bytes == NULL ||
		text.len != body_len || memcmp(text.bytes, body, body_len) != 0) {
		(void)fprintf(stderr, "%s: snprintf writes other bytes\n", name);
		exit(1);
	}
	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start_ns = cpu_ns();

		(void)belay__metrics_render(&snapshot, &style, &text);
		ours[i] = cpu_ns() - start_ns;
		start_ns = cpu_ns();
		print_all(set);
		floor[i] = cpu_ns() - start_ns;
	}
	ours_ns = percentile_of(ours, ROUNDS, 50);
	floor_ns = percentile_of(floor, ROUNDS, 50);
	printf("{\"name\":\"%s\",\"ours_ns\":%" PRIu64 ",\"floor_ns\":%" PRIu64
	       ",\"ratio\":%.3f,\"bytes\":%zu,\"sort_ns\":%" PRIu64 "}\n",
		name, ours_ns, floor_ns, (double)ours_ns / (double)floor_ns, text.len, sort_ns);
}

/* What it takes to prepare the snapshot with one of its arrays only. */
static uint64_t sort_ns_of(size_t group_count, size_t process_count)
{
	uint64_t start_ns = cpu_ns();

	snapshot.prepared = false;
	snapshot.group_count = group_count;
	snapshot.process_count = process_count;
	belay__metrics_prepare(&snapshot);
	return cpu_ns() - start_ns;
}

int main(void)
{
	uint64_t names_ns, pids_ns;

	fill();
	names_ns = sort_ns_of(NAMES, 0);
	pids_ns = sort_ns_of(NAMES, PIDS);
	measure("metrics-1000-names", BELAY__METRICS_BELAY, names_ns);
	measure("metrics-4096-pids", BELAY__METRICS_VARTA, pids_ns);
	belay__metrics_text_done(&text);
	return 0;
}
