/* metrics_print.c - prints the table of series, or a body with an example of each
 *
 *	metrics-print table belay|varta         lines of metrics_table.h's five columns
 *	metrics-print text belay|varta          a body, for promtool(1)
 *	metrics-print openmetrics belay|varta   the same in OpenMetrics
 *
 * tools/check-metrics runs it; documentation can.
 */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "export/metrics.h"

static struct belay__metrics_group groups[] = {
	{ .name = "web",
		.uid = 33,
		.expected = 2,
		.processes = 2,
		.beats_total = 1200,
		.last_beat_realtime_ns = UINT64_C(1700000000123000000),
		.threshold_ns = 5 * BELAY__NS_PER_S,
		.states = { [BELAY__METRICS_STATE_HEALTHY] = 1, [BELAY__METRICS_STATE_BLOCKED] = 1 } },
	{ .name = "with \"quotes\", a \\ and\na second line", .uid = 33, .processes = 1 },
	{ .name = "worker#1", .uid = 1000, .processes = 1 },
	{ .name = "worker#1", .uid = 1001, .processes = 1 },
};
static struct belay__metrics_process processes[] = {
	{ .name = "web", .pid = 101, .uid = 33, .beats = 700 },
	{ .name = "web", .pid = 100, .uid = 33, .beats = 500, .stalls = 1, .status = 3 },
	{ .name = "worker#1", .pid = 102, .uid = 1000, .status = BELAY__METRICS_NO_STATUS },
};

static void fill(struct belay__metrics_snapshot *snapshot)
{
	belay__metrics_init(snapshot);
	for (size_t i = 0; i < BELAY__METRIC_COUNT; i++)
		snapshot->values[i] += i;
	for (size_t i = 0; i < BELAY__HISTOGRAM_COUNT; i++)
		belay__histogram_observe(&snapshot->histograms[i], i * i * BELAY__NS_PER_MS);
	snapshot->groups = groups;
	snapshot->group_count = sizeof(groups) / sizeof(groups[0]);
	snapshot->other_names = 3;
	snapshot->other.processes = 3;
	snapshot->processes = processes;
	snapshot->process_count = sizeof(processes) / sizeof(processes[0]);
	belay__metrics_prepare(snapshot);
}

int main(int argc, char *argv[])
{
	struct belay__metrics_text text = { .max = BELAY__METRICS_TEXT_MAX };
	struct belay__metrics_style style = { .set = BELAY__METRICS_BELAY, .pids = true };
	static struct belay__metrics_snapshot snapshot;
	int r;

	if (argc != 3) {
		(void)fputs("usage: metrics-print table|text|openmetrics belay|varta\n", stderr);
		return 64;
	}
	if (strcmp(argv[2], "varta") == 0)
		style.set = BELAY__METRICS_VARTA;
	if (strcmp(argv[1], "openmetrics") == 0)
		style.format = BELAY__METRICS_OPENMETRICS;
	fill(&snapshot);
	r = strcmp(argv[1], "table") == 0 ? belay__metrics_write_table(style.set, &text)
					  : belay__metrics_render(&snapshot, &style, &text);
	if (r < 0 || fwrite(text.bytes, 1, text.len, stdout) != text.len || fflush(stdout) != 0)
		return 1;
	belay__metrics_text_done(&text);
	return 0;
}
