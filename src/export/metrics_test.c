#include "export/metrics.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"

/* Counts what is asked of the allocator, and lets it fail. */
static unsigned allocations;
static bool out_of_memory;

void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);

void *__wrap_malloc(size_t size)
{
	allocations++;
	return __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	allocations++;
	return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	allocations++;
	return out_of_memory ? NULL : __real_realloc(memory, size);
}

static const struct belay__metrics_style by_name = { .set = BELAY__METRICS_BELAY };
static const struct belay__metrics_style by_name_and_pid = { .set = BELAY__METRICS_BELAY,
	.pids = true };
static const struct belay__metrics_style by_name_open = { .set = BELAY__METRICS_BELAY,
	.format = BELAY__METRICS_OPENMETRICS,
	.pids = true };
static const struct belay__metrics_style by_pid = { .set = BELAY__METRICS_VARTA };
static const struct belay__metrics_style by_pid_open = { .set = BELAY__METRICS_VARTA,
	.format = BELAY__METRICS_OPENMETRICS };
static const struct belay__metrics_style *const styles[] = { &by_name, &by_name_and_pid,
	&by_name_open, &by_pid, &by_pid_open };

enum { STYLES = sizeof(styles) / sizeof(styles[0]) };

struct scene {
	struct belay__metrics_group groups[3];
	struct belay__metrics_process processes[3];
	struct belay__metrics_snapshot snapshot;
	struct belay__metrics_text text;
};

/* Two names, one of them hostile and never heard, and three processes in no order. */
static void set_scene(struct scene *scene)
{
	*scene = (struct scene){
		.groups = {
			{ .name = "web", .uid = 33, .expected = 3, .processes = 2, .beats_total = 120,
				.stalls_total = 1, .crashes_total = 4,
				.last_beat_realtime_ns = UINT64_C(1700000000123999999),
				.threshold_ns = 250 * BELAY__NS_PER_MS,
				.states = { [BELAY__METRICS_STATE_HEALTHY] = 1,
					[BELAY__METRICS_STATE_BLOCKED] = 1,
					[BELAY__METRICS_STATE_TRACKED] = 9 } },
			{ .name = "a\"\\\n\xff", .uid = 33 },
		},
		.processes = {
			{ .name = "web", .pid = 300, .uid = 33, .beats = 20, .status = 3 },
			{ .name = "a\"b", .pid = 7, .uid = 33, .beats = UINT64_MAX, .stalls = 2,
				.status = BELAY__METRICS_NO_STATUS },
			{ .name = "web", .pid = 42, .uid = 33, .beats = 100, .stalls = 1 },
		},
		.text = { .max = BELAY__METRICS_TEXT_MAX },
	};
	belay__metrics_init(&scene->snapshot);
	scene->snapshot.groups = scene->groups;
	scene->snapshot.group_count = 2;
	scene->snapshot.processes = scene->processes;
	scene->snapshot.process_count = 3;
	scene->snapshot.values[BELAY__METRIC_BAD_CRC] = 5;
	scene->snapshot.values[BELAY__METRIC_UPTIME] = UINT64_C(61234567890);
	scene->snapshot.values[BELAY__METRIC_RECOVERY_NS] = 1500000000;
	for (uint64_t ms = 1; ms <= 2000; ms *= 2)
		belay__histogram_observe(&scene->snapshot.histograms[BELAY__HISTOGRAM_STAGE_POLL],
			ms * BELAY__NS_PER_MS);
	belay__metrics_prepare(&scene->snapshot);
}

static void assert_tells(const struct scene *scene, const char *lines)
{
	if (strstr(scene->text.bytes, lines) == NULL) {
		print_error("these lines are missing:\n%s", lines);
		fail();
	}
}

static void render(struct scene *scene, const struct belay__metrics_style *style)
{
	assert_int_equal(belay__metrics_render(&scene->snapshot, style, &scene->text), 0);
	assert_int_equal(strlen(scene->text.bytes), scene->text.len);
}

static void names_are_told_with_their_states(void **state)
{
	struct scene scene;
	(void)state;

	set_scene(&scene);
	render(&scene, &by_name);
	assert_memory_equal(scene.text.bytes, "# HELP belay_beats_total Beats accepted, by name.\n",
		50);
	assert_tells(&scene,
		"\n# TYPE belay_beats_total counter\n"
		"belay_beats_total{name=\"a\\\"\\\\\\n?\"} 0\n"
		"belay_beats_total{name=\"web\"} 120\n# HELP");
	assert_tells(&scene, "belay_crashes_total{name=\"web\"} 4\n");
	assert_tells(&scene, "belay_expected_processes{name=\"web\"} 3\n");
	assert_tells(&scene,
		"\n# TYPE belay_process_state gauge\n"
		"belay_process_state{name=\"a\\\"\\\\\\n?\",state=\"healthy\"} 0\n");
	assert_tells(&scene,
		"belay_process_state{name=\"web\",state=\"healthy\"} 1\n"
		"belay_process_state{name=\"web\",state=\"degraded\"} 0\n"
		"belay_process_state{name=\"web\",state=\"critical\"} 0\n"
		"belay_process_state{name=\"web\",state=\"stopped\"} 0\n"
		"belay_process_state{name=\"web\",state=\"traced\"} 0\n"
		"belay_process_state{name=\"web\",state=\"frozen\"} 0\n"
		"belay_process_state{name=\"web\",state=\"starved\"} 0\n"
		"belay_process_state{name=\"web\",state=\"suspended\"} 0\n"
		"belay_process_state{name=\"web\",state=\"observer-late\"} 0\n"
		"belay_process_state{name=\"web\",state=\"blocked\"} 1\n"
		"belay_process_state{name=\"web\",state=\"silent\"} 0\n# HELP");
	assert_tells(&scene,
		"\n# TYPE belay_last_beat_timestamp_seconds gauge\n"
		"belay_last_beat_timestamp_seconds{name=\"web\"} 1700000000.123\n# HELP");
	assert_tells(&scene, "belay_silence_threshold_seconds{name=\"web\"} 0.250\n");
	assert_tells(&scene, "\nbelay_recovery_duration_seconds_total 1.500000000\n");
	assert_tells(&scene, "\n# TYPE belay_build_info gauge\nbelay_build_info{version=\"");
	assert_null(strstr(scene.text.bytes, "pid="));
	assert_null(strstr(scene.text.bytes, "name=\"_other\""));
	assert_null(strstr(scene.text.bytes, "# EOF"));
	belay__metrics_text_done(&scene.text);
}

static void pids_are_told_only_when_asked_for(void **state)
{
	struct scene scene;
	(void)state;

	set_scene(&scene);
	render(&scene, &by_name_and_pid);
	assert_tells(&scene,
		"\n# TYPE belay_process_info gauge\n"
		"belay_process_info{name=\"a\\\"b\",pid=\"7\",uid=\"33\"} 1\n"
		"belay_process_info{name=\"web\",pid=\"42\",uid=\"33\"} 1\n"
		"belay_process_info{name=\"web\",pid=\"300\",uid=\"33\"} 1\n# HELP");
	belay__metrics_text_done(&scene.text);
}

static void the_originals_table_goes_by_pid(void **state)
{
	struct scene scene;
	(void)state;

	set_scene(&scene);
	render(&scene, &by_pid);
	assert_tells(&scene,
		"\n# TYPE varta_beats_total counter\n"
		"varta_beats_total{pid=\"7\"} 18446744073709551615\n"
		"varta_beats_total{pid=\"42\"} 100\n"
		"varta_beats_total{pid=\"300\"} 20\n# HELP");
	assert_tells(&scene,
		"\n# TYPE varta_status gauge\n"
		"varta_status{pid=\"42\"} 0\nvarta_status{pid=\"300\"} 3\n# HELP");
	assert_tells(&scene,
		"varta_decode_errors_total{kind=\"stall_on_wire\"} 0\n"
		"varta_decode_errors_total{kind=\"bad_crc\"} 5\n# HELP");
	assert_tells(&scene, "\nvarta_watch_uptime_seconds 61.234\n");
	assert_tells(&scene,
		"\n# TYPE varta_recovery_duration_ns_sum counter\n"
		"varta_recovery_duration_ns_sum 1500000000\n");
	assert_tells(&scene, "\nvarta_signal_handler_install_total{mode=\"libc\"} 1\n");
	assert_null(strstr(scene.text.bytes, "belay_"));
	assert_null(strstr(scene.text.bytes, "name="));
	belay__metrics_text_done(&scene.text);
}

static void histograms_cumulate(void **state)
{
	struct scene scene;
	(void)state;

	set_scene(&scene);
	render(&scene, &by_pid);
	assert_tells(&scene,
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"0.001\"} 1\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"0.005\"} 3\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"0.01\"} 4\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"0.05\"} 6\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"0.1\"} 7\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"0.25\"} 8\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"0.5\"} 9\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"1\"} 10\n"
		"varta_observer_stage_seconds_bucket{stage=\"poll\",le=\"+Inf\"} 11\n"
		"varta_observer_stage_seconds_sum{stage=\"poll\"} 2.047000000\n"
		"varta_observer_stage_seconds_count{stage=\"poll\"} 11\n");
	assert_tells(&scene,
		"varta_observer_iteration_seconds_bucket{le=\"+Inf\"} 0\n"
		"varta_observer_iteration_seconds_sum 0.000000000\n"
		"varta_observer_iteration_seconds_count 0\n");
	belay__metrics_text_done(&scene.text);
}

static void openmetrics_has_its_own_rules(void **state)
{
	struct scene scene;
	(void)state;

	set_scene(&scene);
	render(&scene, &by_name_open);
	assert_tells(&scene,
		"# HELP belay_beats Beats accepted, by name.\n"
		"# TYPE belay_beats counter\n"
		"belay_beats_total{name=\"a\\\"\\\\\\n?\"} 0\n");
	assert_tells(&scene, "# TYPE belay_process info\nbelay_process_info{");
	assert_tells(&scene, "# TYPE belay_build info\nbelay_build_info{");
	assert_tells(&scene,
		"# TYPE belay_recovery_duration_seconds counter\n"
		"# UNIT belay_recovery_duration_seconds seconds\n"
		"belay_recovery_duration_seconds_total 1.500000000\n");
	assert_tells(&scene, "# UNIT belay_observer_uds_rcvbuf_bytes bytes\n");
	assert_tells(&scene, "stage=\"poll\",le=\"1.0\"} 10\n");
	assert_tells(&scene, "stage=\"poll\",le=\"+Inf\"} 11\n");
	assert_string_equal(scene.text.bytes + scene.text.len - 6, "# EOF\n");

	render(&scene, &by_pid_open);
	assert_tells(&scene,
		"# TYPE varta_recovery_duration_ns_sum unknown\n"
		"varta_recovery_duration_ns_sum 1500000000\n");
	belay__metrics_text_done(&scene.text);
}

static void content_types_name_the_format(void **state)
{
	(void)state;

	assert_string_equal(belay__metrics_content_type(BELAY__METRICS_TEXT),
		"text/plain; version=0.0.4");
	assert_string_equal(belay__metrics_content_type(BELAY__METRICS_OPENMETRICS),
		"application/openmetrics-text; version=1.0.0; charset=utf-8");
}

static unsigned occurrences(const char *text, const char *what)
{
	unsigned count = 0;

	for (const char *at = strstr(text, what); at != NULL; at = strstr(at + 1, what))
		count++;
	return count;
}

/* Each family has its HELP and TYPE once, and each series that belongs to no process a sample. */
static void check_row(const struct scene *scene, const struct belay__metrics_style *style,
	const struct belay__metric_row *row)
{
	const char *prefix = belay__metrics_prefix(style->set);
	char line[256], name[128];

	(void)snprintf(name, sizeof(name), "%s_%s", prefix, row->name);
	(void)snprintf(line, sizeof(line), "# HELP %s ", name);
	assert_int_equal(occurrences(scene->text.bytes, line), 1);
	(void)snprintf(line, sizeof(line), "# TYPE %s ", name);
	assert_int_equal(occurrences(scene->text.bytes, line), 1);
	if (row->source > BELAY__FROM_HISTOGRAM)
		return;
	if (row->source == BELAY__FROM_HISTOGRAM)
		(void)snprintf(line, sizeof(line), "\n%s_bucket{%s%sle=\"0.001\"} 0\n", name,
			row->label, row->label[0] == '\0' ? "" : ",");
	else
		(void)snprintf(line, sizeof(line), row->label[0] == '\0' ? "\n%s%s " : "\n%s{%s} ",
			name, row->label);
	assert_int_equal(occurrences(scene->text.bytes, line), 1);
}

static void every_series_is_there_from_the_first_scrape(void **state)
{
	struct scene scene = { .text = { .max = BELAY__METRICS_TEXT_MAX } };
	(void)state;

	belay__metrics_init(&scene.snapshot);
	belay__metrics_prepare(&scene.snapshot);
	for (size_t i = 0; i < STYLES; i++) {
		if (styles[i]->format != BELAY__METRICS_TEXT)
			continue;
		render(&scene, styles[i]);
		for (int row = 0; row < BELAY__METRIC_COUNT; row++)
			if ((belay__metric_rows[row].sets & styles[i]->set) != 0 &&
				(styles[i]->pids || row != BELAY__METRIC_PROCESS_INFO))
				check_row(&scene, styles[i], &belay__metric_rows[row]);
	}
	belay__metrics_text_done(&scene.text);
}

static void the_rest_is_told_as_other_and_a_shared_name_with_its_uid(void **state)
{
	struct scene scene;
	(void)state;

	set_scene(&scene);
	scene.snapshot.prepared = false;
	scene.groups[2] = (struct belay__metrics_group){ .name = "web",
		.uid = 1000,
		.beats_total = 6 };
	scene.snapshot.group_count = 3;
	scene.snapshot.other_names = 12;
	scene.snapshot.other.beats_total = 77;
	belay__metrics_prepare(&scene.snapshot);
	render(&scene, &by_name);
	assert_tells(&scene,
		"belay_beats_total{name=\"web\",uid=\"33\"} 120\n"
		"belay_beats_total{name=\"web\",uid=\"1000\"} 6\n"
		"belay_beats_total{name=\"_other\"} 77\n# HELP");
	assert_tells(&scene,
		"belay_process_state{name=\"web\",uid=\"1000\",state=\"silent\"} 0\n"
		"belay_process_state{name=\"_other\",state=\"healthy\"} 0\n");
	assert_tells(&scene, "\nbelay_other_names 12\n");
	belay__metrics_text_done(&scene.text);
}

static void a_body_that_does_not_fit_is_refused_whole(void **state)
{
	struct scene scene;
	size_t fits;
	(void)state;

	set_scene(&scene);
	for (size_t i = 0; i < STYLES; i++) {
		belay__metrics_text_done(&scene.text);
		scene.text.max = BELAY__METRICS_TEXT_MAX;
		render(&scene, styles[i]);
		fits = scene.text.len;
		belay__metrics_text_done(&scene.text);
		for (scene.text.max = 0; scene.text.max < fits; scene.text.max += 997) {
			assert_int_equal(
				belay__metrics_render(&scene.snapshot, styles[i], &scene.text),
				-EMSGSIZE);
			assert_int_equal(scene.text.len, 0);
			assert_true(scene.text.size <= scene.text.max);
		}
		scene.text.max = fits + 8192;
		render(&scene, styles[i]);
		assert_int_equal(scene.text.len, fits);
		assert_true(scene.text.size <= scene.text.max);
	}
	belay__metrics_text_done(&scene.text);
}

static void without_memory_nothing_is_told_and_the_next_time_all(void **state)
{
	struct scene scene;
	(void)state;

	set_scene(&scene);
	out_of_memory = true;
	assert_int_equal(belay__metrics_render(&scene.snapshot, &by_name, &scene.text), -ENOMEM);
	out_of_memory = false;
	assert_int_equal(scene.text.len, 0);
	render(&scene, &by_name);
	belay__metrics_text_done(&scene.text);
}

static void the_same_snapshot_gives_the_same_bytes_without_an_allocation(void **state)
{
	struct scene scene, turned;
	char *first;
	(void)state;

	set_scene(&scene);
	render(&scene, &by_name_and_pid);
	first = strdup(scene.text.bytes);
	assert_non_null(first);
	set_scene(&turned);
	allocations = 0;
	turned.snapshot.prepared = false;
	for (size_t i = 0; i < 2; i++) {
		struct belay__metrics_group kept = turned.groups[0];

		turned.groups[0] = turned.groups[1];
		turned.groups[1] = kept;
	}
	belay__metrics_prepare(&turned.snapshot);
	turned.text = scene.text;
	assert_int_equal(belay__metrics_render(&turned.snapshot, &by_name_and_pid, &turned.text), 0);
	assert_int_equal(allocations, 0);
	assert_string_equal(turned.text.bytes, first);
	free(first);
	belay__metrics_text_done(&turned.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_told_with_their_states),
		cmocka_unit_test(pids_are_told_only_when_asked_for),
		cmocka_unit_test(the_originals_table_goes_by_pid),
		cmocka_unit_test(histograms_cumulate),
		cmocka_unit_test(openmetrics_has_its_own_rules),
		cmocka_unit_test(content_types_name_the_format),
		cmocka_unit_test(every_series_is_there_from_the_first_scrape),
		cmocka_unit_test(the_rest_is_told_as_other_and_a_shared_name_with_its_uid),
		cmocka_unit_test(a_body_that_does_not_fit_is_refused_whole),
		cmocka_unit_test(without_memory_nothing_is_told_and_the_next_time_all),
		cmocka_unit_test(the_same_snapshot_gives_the_same_bytes_without_an_allocation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
