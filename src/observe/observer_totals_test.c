/* What processes that are gone had counted stays, under the name they had. */

#include <belay/observer.h>

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "observe/core.h"
#include "observe/restore.h"
#include "observe/testing.h"

static struct house house;
static int fds_before;
static struct belay__totals *totals;

static int begin(void **state)
{
	int fd;
	(void)state;

	fds_before = belay__fd_count();
	house_open(&house);
	fd = belay__totals_create();
	if (fd < 0 || belay__totals_open(fd, &totals) < 0)
		return -1;
	belay__totals_release(totals);
	belay__close(fd);
	return 0;
}

/* Nothing is held when all is told. */
static int end(void **state)
{
	uint64_t generation;
	bool held = !belay__totals_begin(totals, &generation);
	(void)state;

	belay__totals_close(totals);
	totals = NULL;
	house_close(&house);
	return belay__fd_count() == fds_before && !held ? 0 : -1;
}

static struct belay_observer *watch(const struct belay_observer_options *options)
{
	struct belay_observer *observer = observer_start(&house, options);

	observer->totals = totals;
	return observer;
}

static struct belay__total find(const char *name)
{
	struct belay__total total;

	for (uint32_t at = 0; at < BELAY__TOTALS_MAX; at++)
		if (belay__totals_read(totals, at, &total) && strcmp(total.name, name) == 0) {
			assert_int_equal(total.uid, geteuid());
			return total;
		}
	return (struct belay__total){ .beats = 0 };
}

/* A puppet whose BEATS beats were taken; its name, to be copied, in RET_NAME. */
static struct puppet beating(struct belay_observer *observer, unsigned beats,
	char ret_name[static BELAY__NAME_SIZE])
{
	struct puppet puppet = puppet_start(&house);

	for (unsigned i = 0; i < beats; i++) {
		const struct belay_event *event;

		puppet_beat(&puppet, i % 2 == 0 ? BELAY_OK : BELAY_DEGRADED);
		event = event_take(observer, BELAY_EVENT_BEAT);
		(void)snprintf(ret_name, BELAY__NAME_SIZE, "%s", event->name);
	}
	event_none(observer);
	return puppet;
}

static void an_end_adds_what_was_counted_and_whether_it_was_a_crash(void **state)
{
	static const struct {
		int code, signal;
		uint64_t crashes;
	} rows[] = { { 0, 0, 0 }, { 3, 0, 1 }, { 0, SIGKILL, 1 } };
	struct belay_observer *observer = watch(NULL);
	uint64_t beats = 0, crashes = 0;
	(void)state;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char name[BELAY__NAME_SIZE];
		struct puppet puppet = beating(observer, 3, name);
		struct belay__total total;

		if (rows[i].signal != 0)
			puppet_signal(&puppet, rows[i].signal);
		else
			puppet_exit(&puppet, rows[i].code);
		puppet_wait_ended(&puppet);
		(void)event_take(observer, BELAY_EVENT_END);
		event_none(observer);
		beats += 3;
		crashes += rows[i].crashes;
		total = find(name);
		assert_int_equal(total.beats, beats);
		assert_int_equal(total.crashes, crashes);
		puppet_reap(&puppet);
	}
	belay_observer_free(observer);
}

static void who_is_evicted_leaves_what_it_counted(void **state)
{
	const struct belay_observer_options options = {
		.threshold_ms = 1000,
		.capacity = 1,
		.eviction_policy = BELAY_EVICT_STRICT,
		.clock = test_clock,
	};
	struct belay_observer *observer = watch(&options);
	char first[BELAY__NAME_SIZE], second[BELAY__NAME_SIZE];
	struct puppet silent = beating(observer, 2, first), other;
	struct belay__total total;
	(void)state;

	test_now_ns += 5 * TEST_S;
	(void)event_take(observer, BELAY_EVENT_STALL);
	event_none(observer);
	test_now_ns += 6 * TEST_S;
	other = puppet_start(&house);
	puppet_beat(&other, BELAY_OK);
	(void)snprintf(second, sizeof(second), "%s", event_take(observer, BELAY_EVENT_BEAT)->name);
	(void)event_take(observer, BELAY_EVENT_EVICTED);
	event_none(observer);
	total = find(first);
	assert_int_equal(total.beats, 2);
	assert_int_equal(total.stalls, 1);
	assert_int_equal(total.crashes, 0);
	puppet_done(&silent);
	puppet_done(&other);
	belay_observer_free(observer);
}

static void a_new_name_begins_where_the_old_one_ended(void **state)
{
	struct belay_observer *observer = watch(NULL);
	char name[BELAY__NAME_SIZE];
	struct puppet puppet = beating(observer, 4, name);
	uint32_t at = belay__table_find(&observer->table, (uint32_t)puppet.pid);
	(void)state;

	belay__rename(observer, at, "renamed");
	assert_int_equal(find(name).beats, 4);
	assert_int_equal((int64_t)find("renamed").beats, -4);
	belay__rename(observer, at, "renamed");
	assert_int_equal(find(name).beats, 4);
	puppet_beat(&puppet, BELAY_CRITICAL);
	(void)event_take(observer, BELAY_EVENT_BEAT);
	puppet_exit(&puppet, 0);
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	assert_int_equal(find("renamed").beats, 1);
	puppet_reap(&puppet);
	belay_observer_free(observer);
}

static void who_vanished_while_nobody_watched_is_added_by_the_next_one(void **state)
{
	struct belay_observer *observer = watch(NULL);
	char name[BELAY__NAME_SIZE];
	struct puppet puppet = beating(observer, 3, name);
	const struct belay__slot *slot =
		&observer->table.slots[belay__table_find(&observer->table, (uint32_t)puppet.pid)];
	const struct belay__kept kept = { .slot = *slot,
		.record = observer->table.records[slot->record] };
	(void)state;

	belay_observer_free(observer);
	puppet_done(&puppet);
	observer = watch(NULL);
	assert_int_equal(belay__restore(observer, &kept, 1), 0);
	assert_int_equal(find(name).beats, 0);
	(void)event_take(observer, BELAY_EVENT_END);
	event_none(observer);
	assert_int_equal(find(name).beats, 3);
	assert_int_equal(find(name).crashes, 0);
	belay_observer_free(observer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(an_end_adds_what_was_counted_and_whether_it_was_a_crash),
		TEST(who_is_evicted_leaves_what_it_counted),
		TEST(a_new_name_begins_where_the_old_one_ended),
		TEST(who_vanished_while_nobody_watched_is_added_by_the_next_one),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
