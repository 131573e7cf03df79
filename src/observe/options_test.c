#include "observe/options.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/log.h"
#include "observe/config.h"
#include "observe/table.h"

static const struct belay__option *row(const char *name)
{
	const struct belay__option *found = belay__option_find(belay__observe_table,
		belay__observe_table_count, name, strlen(name));

	assert_non_null(found);
	return found;
}

static void both_tables_keep_the_promises_of_tables(void **state)
{
	struct belay_error error = { 0 };
	(void)state;

	if (belay__options_check(belay__observe_table, belay__observe_table_count, &error) != 0)
		fail_msg("%s", error.text);
	if (belay__options_check(belay__process_table, belay__process_table_count, &error) != 0)
		fail_msg("%s", error.text);
	assert_true(belay__observe_table_count <= BELAY__OPTIONS_MAX);
}

static void defaults_are_those_of_the_rows(void **state)
{
	static struct belay__observe_options options;
	static struct belay__rule rule;
	(void)state;

	memset(&options, 0xff, sizeof(options));
	belay__observe_defaults(&options);
	assert_int_equal(options.threshold_ns, 5 * BELAY__NS_PER_S);
	assert_int_equal(options.within_max_ns, 3600 * BELAY__NS_PER_S);
	assert_int_equal(options.capacity, 4096);
	assert_int_equal(options.eviction_window, 256);
	assert_int_equal(options.eviction_policy, BELAY__EVICT_STRICT);
	assert_int_equal(options.max_beat_rate, 100);
	assert_int_equal(options.global_beat_rate, 5000);
	assert_int_equal(options.global_beat_burst, 10000);
	assert_int_equal(options.socket_mode, 0600);
	assert_int_equal(options.rcvbuf_bytes, 1048576);
	assert_int_equal(options.clock_source, BELAY__CLOCK_MONOTONIC);
	assert_int_equal(options.log_format, BELAY__LOG_TEXT);
	assert_int_equal(options.dgram_qlen + options.shutdown_after_s, 0);
	assert_string_equal(options.socket, "");
	assert_int_equal(options.sealed_senders, 1024);
	assert_int_equal(options.udp_port, 0);
	assert_false(options.accept_plaintext_udp || options.accept_secure_non_loopback ||
		options.secure_recovery || options.plaintext_recovery || options.no_sandbox);
	assert_false(options.allow_cross_namespace || options.strict_namespace);
	assert_int_equal(belay__observe_options_check(&options, NULL), 0);

	memset(&rule, 0xff, sizeof(rule));
	belay__rule_defaults(&rule);
	assert_int_equal(rule.uid, -1);
	assert_int_equal(rule.first_beat_ns, 30 * BELAY__NS_PER_S);
	assert_int_equal(rule.threshold_ns + rule.expect, 0);
	assert_string_equal(rule.exe, "");
}

static void each_limit_admits_its_edge_and_refuses_what_lies_beyond(void **state)
{
	static const struct {
		const char *name, *value;
		bool good;
	} cases[] = {
		{ "capacity", "1", true },
		{ "capacity", "0", false },
		{ "capacity", "65536", true },
		{ "tracker-capacity", "65537", false },
		{ "eviction-scan-window", "1", true },
		{ "eviction-scan-window", "0", false },
		{ "eviction-scan-window", "4096", true },
		{ "eviction-scan-window", "4097", false },
		{ "threshold", "10ms", true },
		{ "threshold", "9999us", false },
		{ "threshold", "36500d", true },
		{ "threshold", "36501d", false },
		{ "threshold", "5", false },
		{ "threshold-ms", "10", true },
		{ "threshold-ms", "9", false },
		{ "threshold-ms", "5s", false },
		{ "uds-rcvbuf-bytes", "0", true },
		{ "uds-rcvbuf-bytes", "2147483647", true },
		{ "uds-rcvbuf-bytes", "2147483648", false },
		{ "max-beat-rate", "0", true },
		{ "max-beat-rate", "4294967295", true },
		{ "max-beat-rate", "4294967296", false },
		{ "max-beat-rate", "-1", false },
		{ "socket-mode", "0o660", true },
		{ "socket-mode", "689", false },
		{ "clock-source", "boottime", true },
		{ "clock-source", "monotonic-raw", false },
		{ "eviction", "balanced", true },
		{ "tracker-eviction-policy", "lenient", false },
		{ "log_format", "json", true },
		{ "udp-port", "0", true },
		{ "udp-port", "65535", true },
		{ "udp-port", "65536", false },
		{ "udp-port", "", false },
		{ "sealed-senders", "1", true },
		{ "sealed-senders", "0", false },
		{ "sealed-senders", "65536", true },
		{ "sealed-senders", "65537", false },
		{ "no-sandbox", "yes", true },
		{ "no-sandbox", "perhaps", false },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static struct belay__observe_options options, untouched;
		struct belay_error error = { 0 };
		int r;

		belay__observe_defaults(&options);
		untouched = options;
		r = belay__option_set(row(cases[i].name), &options, cases[i].value, &error);
		if ((r == 0) != cases[i].good)
			fail_msg("%s = %s: %d %s", cases[i].name, cases[i].value, r, error.text);
		if (r < 0) {
			assert_memory_equal(&options, &untouched, sizeof(options));
			assert_true(error.text[0] != '\0');
		}
	}
}

static void a_socket_path_leaves_room_for_its_siblings(void **state)
{
	static struct belay__observe_options options = { 0 };
	char path[128];
	(void)state;

	memset(path, 'x', sizeof(path));
	path[99] = '\0';
	assert_int_equal(belay__option_set(row("socket"), &options, path, NULL), 0);
	path[99] = 'x';
	path[100] = '\0';
	assert_int_equal(belay__option_set(row("socket"), &options, path, NULL), -EINVAL);
}

static void other_names_set_the_same_member(void **state)
{
	static struct belay__observe_options options = { 0 };
	(void)state;

	assert_int_equal(belay__option_set(row("tracker-capacity"), &options, "7", NULL), 0);
	assert_int_equal(options.capacity, 7);
	assert_int_equal(belay__option_set(row("threshold-ms"), &options, "250", NULL), 0);
	assert_int_equal(options.threshold_ns, 250 * BELAY__NS_PER_MS);
	assert_int_equal(belay__option_set(row("eviction"), &options, "balanced", NULL), 0);
	assert_int_equal(options.eviction_policy, BELAY__EVICT_BALANCED);
}

static void an_unknown_option_is_an_error_with_the_nearest_name(void **state)
{
	static const struct {
		const char *word, *says;
	} cases[] = {
		{ "--treshold=5s", "--threshold?" },
		{ "--capicity=5", "--capacity?" },
		{ "--recovery-cmd=x", "unknown option --recovery-cmd" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char word[64], program[] = "belay";
		char *argv[] = { program, word, NULL };
		static struct belay__observe_options options;
		struct belay_error error = { 0 };

		memcpy(word, cases[i].word, strlen(cases[i].word) + 1);
		belay__observe_defaults(&options);
		assert_int_equal(belay__options_parse(belay__observe_table,
					 belay__observe_table_count, &options, 2, argv, NULL,
					 &error),
			-EINVAL);
		if (strstr(error.text, cases[i].says) == NULL)
			fail_msg("%s: %s", cases[i].word, error.text);
	}
}

/* The check names the first fault in the reference's order, whatever else is wrong. */
static void faults_are_told_in_order(void **state)
{
	static const char *const order[] = { "--threshold", "--eviction-scan-window", "--capacity",
		"--clock-source", "--uds-rcvbuf-bytes", "--within-max", "--socket-mode" };
	static struct belay__observe_options good,
		bad = { .threshold_ns = 1,
			.sealed_senders = 1,
			.clock_source = 2,
			.rcvbuf_bytes = UINT64_C(1) << 31,
			.socket_mode = 01777,
			.capacity = 65537,
			.eviction_window = 4097 };
	(void)state;

	belay__observe_defaults(&good);
	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		struct belay_error error = { 0 };

		assert_int_equal(belay__observe_options_check(&bad, &error), -EINVAL);
		if (strncmp(error.text, order[i], strlen(order[i])) != 0)
			fail_msg("%s was to be named: %s", order[i], error.text);
		/* Mended, the next one shows. */
		switch (i) {
		case 0:
			bad.threshold_ns = 10 * BELAY__NS_PER_MS;
			break;
		case 1:
			bad.eviction_window = 4096;
			break;
		case 2:
			bad.capacity = 65536;
			break;
		case 3:
			bad.clock_source = BELAY__CLOCK_BOOTTIME;
			break;
		case 4:
			bad.rcvbuf_bytes = INT32_MAX;
			break;
		case 5:
			bad.within_max_ns = 10 * BELAY__NS_PER_MS;
			break;
		default:
			bad.socket_mode = 0777;
			break;
		}
	}
	assert_int_equal(belay__observe_options_check(&bad, NULL), 0);
}

static void a_rule_names_its_user_by_number_or_name(void **state)
{
	static const struct {
		const char *value;
		int64_t uid; /* -1: refused */
	} cases[] = {
		{ "0", 0 },
		{ "root", 0 },
		{ "4294967294", 4294967294 },
		{ "4294967295", -1 }, /* means "nobody changes" to the kernel */
		{ "no-such-user-here", -1 },
		{ "", -1 },
	};
	const struct belay__option *uid = belay__option_find(belay__process_table,
		belay__process_table_count, "uid", 3);
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay_error error = { 0 };
		static struct belay__rule rule;
		int r;

		belay__rule_defaults(&rule);
		r = belay__option_set(uid, &rule, cases[i].value, &error);
		assert_int_equal(r < 0 ? -1 : rule.uid, cases[i].uid);
		if (r < 0) {
			assert_int_equal(rule.uid, -1);
			assert_non_null(strstr(error.text, "uid"));
		}
	}
}

static void events_are_kept_beside_a_named_socket_or_in_the_state_directory(void **state)
{
	char path[BELAY__PATH_SIZE] = "untouched";
	(void)state;

	assert_int_equal(belay__events_path("none", "/s", false, path, sizeof(path)), -ENOENT);
	assert_string_equal(path, "untouched");

	assert_int_equal(belay__events_path("/e", "/s", false, path, sizeof(path)), 0);
	assert_string_equal(path, "/e");
	assert_int_equal(belay__events_path("", "/s", false, path, sizeof(path)), 0);
	assert_string_equal(path, "/s.events.jsonl");

	assert_int_equal(belay__events_path("", "/s", false, path, 16), 0);
	assert_int_equal(belay__events_path("", "/s", false, path, 15), -ENAMETOOLONG);

	setenv("XDG_STATE_HOME", "/state", 1);
	setenv("HOME", "/home/me", 1);
	assert_int_equal(belay__events_path("", "/s", true, path, sizeof(path)), 0);
	assert_string_equal(path,
		geteuid() == 0 ? "/var/lib/belay/events.jsonl" : "/state/belay/events.jsonl");
	if (geteuid() == 0)
		return;

	setenv("XDG_STATE_HOME", "relative", 1);
	assert_int_equal(belay__events_path("", "/s", true, path, sizeof(path)), 0);
	assert_string_equal(path, "/home/me/.local/state/belay/events.jsonl");
	unsetenv("XDG_STATE_HOME");
	unsetenv("HOME");
	assert_int_equal(belay__events_path("", "/s", true, path, sizeof(path)), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_tables_keep_the_promises_of_tables),
		cmocka_unit_test(defaults_are_those_of_the_rows),
		cmocka_unit_test(each_limit_admits_its_edge_and_refuses_what_lies_beyond),
		cmocka_unit_test(a_socket_path_leaves_room_for_its_siblings),
		cmocka_unit_test(other_names_set_the_same_member),
		cmocka_unit_test(an_unknown_option_is_an_error_with_the_nearest_name),
		cmocka_unit_test(faults_are_told_in_order),
		cmocka_unit_test(a_rule_names_its_user_by_number_or_name),
		cmocka_unit_test(events_are_kept_beside_a_named_socket_or_in_the_state_directory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
