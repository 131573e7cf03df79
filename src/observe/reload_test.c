#include "observe/reload.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/testing.h"

static struct house house;
static int fds_before;
static struct belay_observer *observer;
static struct belay__observe_options options;

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	house_open(&house);
	observer = observer_start(&house, NULL);
	belay__observe_defaults(&options);
	options.threshold_ns = TEST_S;
	return 0;
}

static int end(void **state)
{
	(void)state;
	observer = belay_observer_free(observer);
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

static struct puppet beating(void)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	return puppet;
}

static struct belay__rule rule_of(const char *name, const char *exe, uint64_t threshold_ns)
{
	struct belay__rule rule = { .uid = -1, .threshold_ns = threshold_ns };

	(void)snprintf(rule.name, sizeof(rule.name), "%s", name);
	(void)snprintf(rule.exe, sizeof(rule.exe), "%s", exe);
	return rule;
}

static void everyone_has_the_new_threshold_from_now_on(void **state)
{
	struct puppet puppet = beating();
	(void)state;

	test_now_ns += TEST_S - 1;
	event_none(observer);
	options.threshold_ns = 2 * TEST_S;
	belay__reload(observer, &options, NULL, 0);
	test_now_ns += 2 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->threshold_ns, 2 * TEST_S);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	options.threshold_ns = TEST_S / 2;
	belay__reload(observer, &options, NULL, 0);
	test_now_ns += TEST_S / 2;
	(void)event_take(observer, BELAY_EVENT_STALL);
	puppet_done(&puppet);
}

static void a_rule_that_comes_and_goes_names_and_unnames_them(void **state)
{
	struct belay__rule rule = rule_of("ruled", "*", 5 * TEST_S);
	struct puppet puppet = puppet_start(&house);
	const struct belay_event *event;
	char name[80];
	(void)state;

	puppet_beat(&puppet, BELAY_OK);
	(void)snprintf(name, sizeof(name), "%s", event_take(observer, BELAY_EVENT_BEAT)->name);
	event_none(observer);
	belay__reload(observer, &options, &rule, 1);
	test_now_ns += 5 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_string_equal(event->name, "ruled");
	assert_int_equal(event->threshold_ns, 5 * TEST_S);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	belay__reload(observer, &options, NULL, 0);
	test_now_ns += TEST_S;
	event = event_take(observer, BELAY_EVENT_STALL);
	assert_string_equal(event->name, name);
	assert_int_equal(event->threshold_ns, TEST_S);
	puppet_done(&puppet);
}

static void names_that_no_rule_gives_stay(void **state)
{
	struct belay__rule rule = rule_of("other", "/no/such/program", 0);
	struct puppet puppet = puppet_start(&house);
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_BEAT,
		.name = "given-at-the-door" };
	(void)state;

	assert_int_equal(puppet_say(&puppet, &hello), 0);
	assert_string_equal(event_take(observer, BELAY_EVENT_BEAT)->name, "given-at-the-door");
	event_none(observer);
	belay__reload(observer, &options, &rule, 1);
	belay__reload(observer, &options, NULL, 0);
	test_now_ns += TEST_S;
	assert_string_equal(event_take(observer, BELAY_EVENT_STALL)->name, "given-at-the-door");
	puppet_done(&puppet);
}

static void a_stall_stays_told_and_an_announced_silence_stays_announced(void **state)
{
	struct puppet stalled = beating(), waiting;
	struct belay__hello hello = { .magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_WITHIN,
		.nonce = 1,
		.value = 10000 };
	(void)state;

	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	event_none(observer);
	waiting = beating();
	assert_int_equal(puppet_say(&waiting, &hello), 0);
	event_none(observer);
	belay__reload(observer, &options, NULL, 0);
	belay__table_check(&observer->table);
	test_now_ns += 10 * TEST_S - 1;
	event_none(observer);
	test_now_ns += 1;
	assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->pid, waiting.pid);
	event_none(observer);
	puppet_beat(&stalled, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->recovered);
	puppet_done(&stalled);
	puppet_done(&waiting);
}

static void new_rates_and_ceilings_are_in_force(void **state)
{
	struct puppet puppet = beating();
	(void)state;

	options.max_beat_rate = 1;
	options.threshold_ns = 10 * TEST_S;
	belay__reload(observer, &options, NULL, 0);
	test_now_ns += TEST_S / 2;
	puppet_beat(&puppet, BELAY_OK);
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"per_pid\""), 1);
	options.max_beat_rate = 0;
	options.global_beat_rate = options.global_beat_burst = 1;
	belay__reload(observer, &options, NULL, 0);
	puppet_beat(&puppet, BELAY_OK);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	event_none(observer);
	assert_int_equal(counter_of(observer, "rate_limited_total", "reason=\"global\""), 1);
	puppet_done(&puppet);
}

static void expectations_begin_anew_and_count_who_is_there(void **state)
{
	struct belay__rule rule = rule_of("ruled", "*", 100 * TEST_S);
	struct puppet puppet = beating();
	const struct belay_event *event;
	(void)state;

	rule.expect = 1;
	rule.first_beat_ns = TEST_S;
	belay__reload(observer, &options, &rule, 1);
	event_none(observer);
	test_now_ns += 2 * TEST_S;
	event_none(observer);
	rule.expect = 2;
	belay__reload(observer, &options, &rule, 1);
	event_none(observer);
	test_now_ns += TEST_S;
	event = event_take(observer, BELAY_EVENT_MISSING);
	assert_int_equal(event->beating, 1);
	event_none(observer);
	puppet_done(&puppet);
}

static void what_is_missing_stays_told_by_its_rules_name(void **state)
{
	struct belay__rule pair[2] = { rule_of("other", "/no/such/program", 0),
		rule_of("ruled", "*", 100 * TEST_S) };
	struct puppet puppet;
	(void)state;

	pair[1].expect = 1;
	pair[1].first_beat_ns = TEST_S;
	belay__reload(observer, &options, &pair[1], 1);
	event_none(observer);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_MISSING);
	belay__reload(observer, &options, pair, 2);
	event_none(observer);
	test_now_ns += 2 * TEST_S;
	event_none(observer);
	puppet = puppet_start(&house);
	puppet_beat(&puppet, BELAY_OK);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	(void)event_take(observer, BELAY_EVENT_COMPLETE);
	puppet_exit(&puppet, 0);
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	test_now_ns += TEST_S;
	(void)event_take(observer, BELAY_EVENT_MISSING);
	puppet_reap(&puppet);
}

static void silences_count_that_the_new_rules_act_on(void **state)
{
	struct belay__rule rule = rule_of("ruled", "*", 0);
	(void)state;

	(void)snprintf(rule.act_on, sizeof(rule.act_on), "stopped");
	assert_false(belay__is_blamed(observer, 1, BELAY__VERDICT_STOPPED));
	belay__reload(observer, &options, &rule, 1);
	assert_true(belay__is_blamed(observer, 1, BELAY__VERDICT_STOPPED));
	assert_true(belay__is_blamed(observer, 1, BELAY__VERDICT_SILENT));
	assert_false(belay__is_blamed(observer, 0, BELAY__VERDICT_STOPPED));
	assert_false(belay__is_blamed(observer, 1, BELAY__VERDICT_TRACED));
}

/* Only so many thresholds fit at a time; those of long ago must not use them up. */
static void it_can_be_reloaded_with_other_thresholds_for_ever(void **state)
{
	static struct belay__rule many[BELAY__RULES_MAX];
	struct puppet puppet = beating();
	(void)state;

	for (uint64_t round = 0; round < 50; round++) {
		for (unsigned i = 0; i < BELAY__RULES_MAX; i++)
			many[i] = rule_of("r", i == BELAY__RULES_MAX - 1 ? "*" : "/no/such/program",
				TEST_S + (round * BELAY__RULES_MAX + i + 1) * TEST_MS);
		belay__reload(observer, &options, many, BELAY__RULES_MAX);
		belay__table_check(&observer->table);
		test_now_ns += TEST_S + (round + 1) * BELAY__RULES_MAX * TEST_MS;
		assert_int_equal(event_take(observer, BELAY_EVENT_STALL)->threshold_ns,
			TEST_S + (round + 1) * BELAY__RULES_MAX * TEST_MS);
		puppet_beat(&puppet, BELAY_OK);
		(void)event_take(observer, BELAY_EVENT_BEAT);
		event_none(observer);
	}
	puppet_done(&puppet);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(everyone_has_the_new_threshold_from_now_on),
		TEST(a_rule_that_comes_and_goes_names_and_unnames_them),
		TEST(names_that_no_rule_gives_stay),
		TEST(a_stall_stays_told_and_an_announced_silence_stays_announced),
		TEST(new_rates_and_ceilings_are_in_force),
		TEST(expectations_begin_anew_and_count_who_is_there),
		TEST(what_is_missing_stays_told_by_its_rules_name),
		TEST(silences_count_that_the_new_rules_act_on),
		TEST(it_can_be_reloaded_with_other_thresholds_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
