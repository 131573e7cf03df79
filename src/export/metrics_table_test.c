#include "export/metrics_table.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

/* The original's series in their order, with types and labels. */
/* clang-format off */
static const struct {
	const char *name, *type, *labels;
} originals[] = {
	{ "beats_total", "counter", "pid" },
	{ "stalls_total", "counter", "pid" },
	{ "status", "gauge", "pid" },
	{ "tracker_evicted_total", "counter", "-" },
	{ "frame_auth_failures_total", "counter", "-" },
	{ "decode_errors_total", "counter", "kind: bad_magic bad_version bad_status bad_pid bad_timestamp bad_nonce stall_on_wire bad_crc" },
	{ "io_errors_total", "counter", "-" },
	{ "ctrl_truncated_total", "counter", "-" },
	{ "tracker_capacity_exceeded_total", "counter", "-" },
	{ "tracker_eviction_scan_truncated_total", "counter", "-" },
	{ "tracker_capacity", "gauge", "-" },
	{ "tracker_eviction_scan_window_max", "gauge", "-" },
	{ "recovery_outcomes_total", "counter", "outcome: spawned debounced reaped_zero reaped_nonzero killed spawn_failed refused_unauthenticated_transport refused_cross_namespace refused_debounce_capacity refused_outstanding_capacity refused_socket_mode_only skipped_agent_resumed skipped_pid_recycled skipped_stall_unverifiable" },
	{ "recovery_duration_ns_sum", "counter", "-" },
	{ "recovery_duration_count_total", "counter", "-" },
	{ "recovery_refused_total", "counter", "reason: unauthenticated_transport cross_namespace_agent debounce_capacity outstanding_capacity socket_mode_only" },
	{ "recovery_last_fired_evictions_total", "counter", "-" },
	{ "recovery_debounce_recycle_resets_total", "counter", "-" },
	{ "recovery_outstanding_recycle_resets_total", "counter", "-" },
	{ "recovery_spawn_budget_exceeded_total", "counter", "-" },
	{ "recovery_invariant_violations_total", "counter", "-" },
	{ "recovery_outstanding_probe_exhausted_total", "counter", "-" },
	{ "recovery_reap_truncated_total", "counter", "-" },
	{ "recovery_audit_dropped_total", "counter", "-" },
	{ "recovery_audit_flush_budget_exceeded_total", "counter", "-" },
	{ "audit_fsync_seconds", "histogram", "le" },
	{ "audit_fsync_budget_exceeded_total", "counter", "-" },
	{ "audit_rotation_budget_exceeded_total", "counter", "-" },
	{ "audit_ring_watermark_total", "counter", "level: warn critical" },
	{ "socket_bind_dir_fsync_failed_total", "counter", "-" },
	{ "log_suppressed_total", "counter", "kind: file_export_io audit_io prom_serve heartbeat_io audit_ring_warn audit_ring_critical" },
	{ "origin_conflict_total", "counter", "-" },
	{ "frame_namespace_mismatch_total", "counter", "-" },
	{ "frame_rejected_pid_above_max_total", "counter", "-" },
	{ "tracker_namespace_conflict_total", "counter", "-" },
	{ "tracker_pid_recycle_total", "counter", "-" },
	{ "tracker_invariant_violations_total", "counter", "-" },
	{ "tracker_removed_pid_drops_total", "counter", "-" },
	{ "tracker_pid_index_probe_exhausted_total", "counter", "-" },
	{ "pid_max_current", "gauge", "-" },
	{ "prom_ip_state_probe_exhausted_total", "counter", "-" },
	{ "prom_pid_row_refused_total", "counter", "-" },
	{ "prom_auth_failures_total", "counter", "-" },
	{ "prom_connections_dropped_total", "counter", "reason: drain rate_limit ip_table_full" },
	{ "frame_decrypt_failures_total", "counter", "-" },
	{ "secure_replay_refused_total", "counter", "-" },
	{ "sender_state_full_total", "counter", "-" },
	{ "secure_aead_attempts_total", "counter", "-" },
	{ "truncated_datagrams_total", "counter", "-" },
	{ "rate_limited_total", "counter", "reason: per_pid global" },
	{ "observer_uds_rcvbuf_bytes", "gauge", "-" },
	{ "observer_clock_regression_total", "counter", "-" },
	{ "observer_clock_jump_forward_total", "counter", "-" },
	{ "scrape_skipped_total", "counter", "-" },
	{ "scrape_budget_exhausted_total", "counter", "-" },
	{ "observer_iteration_seconds", "histogram", "le" },
	{ "observer_serve_pending_seconds", "histogram", "le" },
	{ "observer_stage_seconds", "histogram", "stage: drain_pending poll maintenance recovery_reap serve_pending housekeeping, le" },
	{ "observer_iteration_budget_exceeded_total", "counter", "-" },
	{ "observer_scrape_budget_exceeded_total", "counter", "-" },
	{ "nonce_wrap_total", "counter", "-" },
	{ "signal_handler_install_total", "counter", "mode: libc" },
	{ "watch_uptime_seconds", "gauge", "-" },
	{ "watch_last_poll_loop_timestamp_seconds", "gauge", "-" },
	{ "watch_pids_tracked", "gauge", "-" },
};
/* clang-format on */

static void the_originals_series_are_all_there_and_no_others(void **state)
{
	struct belay__metrics_text text = { .max = 1 << 20 };
	const char *line;
	(void)state;

	assert_int_equal(belay__metrics_write_table(BELAY__METRICS_VARTA, &text), 0);
	line = text.bytes;
	for (size_t i = 0; i < sizeof(originals) / sizeof(originals[0]); i++) {
		char wanted[512];
		int len = snprintf(wanted, sizeof(wanted), "varta_%s\t%s\t%s\t", originals[i].name,
			originals[i].type, originals[i].labels);

		if (strncmp(line, wanted, (size_t)len) != 0)
			fail_msg("instead of %s there is %.60s", wanted, line);
		line = strchr(line, '\n') + 1;
	}
	assert_ptr_equal(line, text.bytes + text.len);
	belay__metrics_text_done(&text);
}

static bool tells(const struct belay__metrics_text *text, const char *name)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "belay_%s\t", name);
	return strstr(text->bytes, line) != NULL;
}

static void what_the_original_tells_belay_tells_too(void **state)
{
	struct belay__metrics_text text = { .max = 1 << 20 };
	(void)state;

	assert_int_equal(belay__metrics_write_table(BELAY__METRICS_BELAY, &text), 0);
	for (size_t i = 0; i < sizeof(originals) / sizeof(originals[0]); i++) {
		const char *name = originals[i].name;

		/* Codes for states, and a unit that Prometheus does not want. */
		if (strcmp(name, "status") == 0)
			assert_true(tells(&text, "process_state"));
		else if (strcmp(name, "recovery_duration_ns_sum") == 0)
			assert_true(tells(&text, "recovery_duration_seconds_total"));
		else
			assert_true(tells(&text, name));
	}
	belay__metrics_text_done(&text);
}

static bool is_name(const char *name)
{
	for (const char *c = name; *c != '\0'; c++)
		if (!islower((unsigned char)*c) && *c != '_')
			return false;
	return name[0] != '\0' && name[0] != '_';
}

/* Rows of one family lie together in each set, and only the first of them has a help. */
static void check_families(enum belay__metrics_set set)
{
	const struct belay__metric_row *before = NULL;

	for (int i = 0; i < BELAY__METRIC_COUNT; i++) {
		const struct belay__metric_row *row = &belay__metric_rows[i];
		bool more = before != NULL && strcmp(before->name, row->name) == 0;

		if ((row->sets & set) == 0)
			continue;
		assert_int_equal(row->help[0] == '\0', more);
		if (more) {
			assert_int_equal(row->type, before->type);
			assert_int_equal(row->source, before->source);
			assert_string_not_equal(row->label, before->label);
		} else {
			for (int k = 0; k < i; k++)
				assert_true((belay__metric_rows[k].sets & set) == 0 ||
					strcmp(belay__metric_rows[k].name, row->name) != 0);
		}
		before = row;
	}
}

static void families_are_whole_and_have_one_help(void **state)
{
	(void)state;

	check_families(BELAY__METRICS_BELAY);
	check_families(BELAY__METRICS_VARTA);
}

static void every_row_is_well_formed(void **state)
{
	(void)state;

	for (int i = 0; i < BELAY__METRIC_COUNT; i++) {
		const struct belay__metric_row *row = &belay__metric_rows[i];

		assert_true(is_name(row->name));
		/* So that no help needs escapes in either format. */
		assert_null(strpbrk(row->help, "\\\"\n\t"));
		assert_true(row->help[0] == '\0' || row->help[strlen(row->help) - 1] == '.');
		assert_in_range(row->sets, BELAY__METRICS_BELAY, BELAY__METRICS_BOTH);
		assert_in_range(strlen(row->name) + strlen(row->label), 1, 100);
		assert_in_range(strlen(row->help), 0, 200);
		if (row->label[0] != '\0') {
			const char *equals = strchr(row->label, '=');

			assert_non_null(equals);
			assert_int_equal(equals[1], '"');
			assert_ptr_equal(strchr(equals + 2, '"'),
				row->label + strlen(row->label) - 1);
		}
	}
}

static void counters_of_the_observer_find_their_rows(void **state)
{
	static const struct {
		const char *name, *label;
		int wanted;
	} rows[] = {
		{ "beats_total", "", BELAY__METRIC_BEATS },
		{ "stalls_total", "", BELAY__METRIC_STALLS },
		{ "decode_errors_total", "kind=\"bad_crc\"", BELAY__METRIC_BAD_CRC },
		{ "watch_uptime_seconds", "", BELAY__METRIC_UPTIME },
		{ "decode_errors_total", "", -ENOENT },
		{ "observer_beats_total", "", -ENOENT },
		{ "process_state", "", -ENOENT },
		{ "recovery_duration_seconds_total", "", -ENOENT },
		{ "", "", -ENOENT },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(belay__metric_find(rows[i].name, rows[i].label), rows[i].wanted);
}

static void a_table_that_does_not_fit_is_refused(void **state)
{
	struct belay__metrics_text text = { .max = 4096 };
	(void)state;

	assert_int_equal(belay__metrics_write_table(BELAY__METRICS_BELAY, &text), -EMSGSIZE);
	belay__metrics_text_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_originals_series_are_all_there_and_no_others),
		cmocka_unit_test(what_the_original_tells_belay_tells_too),
		cmocka_unit_test(families_are_whole_and_have_one_help),
		cmocka_unit_test(every_row_is_well_formed),
		cmocka_unit_test(counters_of_the_observer_find_their_rows),
		cmocka_unit_test(a_table_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
