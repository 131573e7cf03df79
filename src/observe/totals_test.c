#include "observe/totals.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

static int fd, fds_before;
static struct belay__totals *totals;
static const struct belay__totals *view;

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	fd = belay__totals_create();
	return fd < 0 || belay__totals_open(fd, &totals) < 0 || belay__totals_view(fd, &view) < 0;
}

static int end(void **state)
{
	(void)state;
	belay__totals_close(totals);
	belay__totals_close(view);
	fd = belay__close(fd);
	return belay__fd_count() == fds_before ? 0 : -1;
}

static void add(const char *name, uint32_t uid, uint64_t beats, uint64_t stalls, uint64_t crashes)
{
	belay__totals_add(totals, name, uid,
		&(struct belay__total){ .beats = beats, .stalls = stalls, .crashes = crashes });
}

/* What a reader finds for NAME of UID; all zero: nothing. */
static struct belay__total find(const char *name, uint32_t uid)
{
	struct belay__total found = { .beats = 0 }, total;

	for (uint32_t at = 0; at < BELAY__TOTALS_MAX; at++)
		if (belay__totals_read(view, at, &total) && total.uid == uid &&
			strcmp(total.name, name) == 0) {
			assert_string_equal(found.name, "");
			found = total;
		}
	return found;
}

static struct belay__total others(void)
{
	struct belay__total total;

	assert_true(belay__totals_read(view, BELAY__TOTALS_MAX, &total));
	assert_string_equal(total.name, "");
	return total;
}

static void what_is_added_is_read_by_name_and_user(void **state)
{
	struct belay__total found;
	(void)state;

	add("web", 33, 100, 2, 1);
	add("web", 34, 5, 0, 0);
	add("web", 33, 11, 1, 0);
	add("api", 33, 7, 0, 3);
	found = find("web", 33);
	assert_int_equal(found.beats, 111);
	assert_int_equal(found.stalls, 3);
	assert_int_equal(found.crashes, 1);
	assert_int_equal(find("web", 34).beats, 5);
	assert_int_equal(find("api", 33).crashes, 3);
	assert_int_equal(others().beats, 0);
}

static void nothing_is_there_before_something_was_added(void **state)
{
	struct belay__total total = { .beats = 77 };
	(void)state;

	for (uint32_t at = 0; at < BELAY__TOTALS_MAX; at++)
		assert_false(belay__totals_read(view, at, &total));
	assert_false(belay__totals_read(view, BELAY__TOTALS_MAX + 1, &total));
	assert_false(belay__totals_read(NULL, 0, &total));
	assert_int_equal(total.beats, 77);
}

static void the_longest_name_keeps_its_last_character(void **state)
{
	char name[BELAY__NAME_SIZE];
	(void)state;

	memset(name, 'n', BELAY__NAME_MAX);
	name[BELAY__NAME_MAX] = '\0';
	add(name, 1, 1, 0, 0);
	name[BELAY__NAME_MAX - 1] = 'm';
	add(name, 1, 2, 0, 0);
	assert_int_equal(find(name, 1).beats, 2);
}

static void names_beyond_the_room_count_together(void **state)
{
	uint64_t sum = 0;
	char name[32];
	(void)state;

	for (unsigned i = 0; i < 2 * BELAY__TOTALS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "name%u", i);
		add(name, i % 3, 2, 1, 0);
	}
	for (uint32_t at = 0; at < BELAY__TOTALS_MAX; at++) {
		struct belay__total total;

		if (belay__totals_read(view, at, &total))
			sum += total.beats;
	}
	/* Nearly all of the room is found. */
	assert_in_range(sum, 2 * (BELAY__TOTALS_MAX - BELAY__TOTALS_MAX / 20),
		2 * BELAY__TOTALS_MAX);
	assert_int_equal(sum + others().beats, 4 * BELAY__TOTALS_MAX);
	assert_int_equal(others().stalls * 2, others().beats);
	/* Those who are there go on counting by themselves. */
	add("name0", 0, 100, 0, 0);
	assert_int_equal(find("name0", 0).beats, 102);
	add("", 0, 1000, 0, 0);
	assert_int_equal(sum + others().beats, 4 * BELAY__TOTALS_MAX + 1000);
}

static void a_renamed_process_is_not_counted_twice(void **state)
{
	const struct belay__total counted = { .beats = 40, .stalls = 1 };
	(void)state;

	belay__totals_move(totals, 33, "worker#1", "web", &counted);
	assert_int_equal(find("worker#1", 33).beats, 40);
	assert_int_equal((int64_t)find("web", 33).beats, -40);
	/* It ends after two more beats. */
	add("web", 33, 42, 1, 0);
	assert_int_equal(find("web", 33).beats, 2);
	assert_int_equal(find("web", 33).stalls, 0);
}

static void a_reader_sees_that_something_was_changed(void **state)
{
	uint64_t generation = 0, again = 0;
	(void)state;

	/* Fresh ones are held: the gate that opened them has not told who vanished. */
	assert_false(belay__totals_begin(view, &generation));
	add("web", 33, 1, 0, 0);
	assert_false(belay__totals_begin(view, &generation));
	belay__totals_release(totals);
	assert_true(belay__totals_begin(view, &generation));
	assert_true(belay__totals_unchanged(view, generation));
	add("web", 33, 1, 0, 0);
	assert_false(belay__totals_unchanged(view, generation));
	assert_true(belay__totals_begin(view, &generation));
	belay__totals_hold(totals);
	assert_false(belay__totals_unchanged(view, generation));
	add("web", 33, 1, 0, 0);
	assert_false(belay__totals_begin(view, &again));
	belay__totals_release(totals);
	assert_true(belay__totals_begin(view, &again));
	assert_true(again > generation);
}

static void they_outlive_a_gate_that_died_halfway(void **state)
{
	struct belay__totals *second;
	uint64_t generation;
	(void)state;

	belay__totals_release(totals);
	add("web", 33, 7, 0, 0);
	belay__totals_hold(totals);
	belay__totals_hold(totals);
	assert_int_equal(belay__totals_open(fd, &second), 0);
	belay__totals_add(second, "web", 33, &(struct belay__total){ .beats = 1 });
	assert_false(belay__totals_begin(view, &generation));
	belay__totals_release(second);
	assert_true(belay__totals_begin(view, &generation));
	assert_int_equal(find("web", 33).beats, 8);
	belay__totals_close(second);
}

static void none_at_all_are_no_hindrance(void **state)
{
	uint64_t generation = 77;
	(void)state;

	belay__totals_add(NULL, "web", 33, &(struct belay__total){ .beats = 1 });
	belay__totals_move(NULL, 33, "a", "b", &(struct belay__total){ .beats = 1 });
	belay__totals_hold(NULL);
	belay__totals_release(NULL);
	belay__totals_close(NULL);
	assert_true(belay__totals_begin(NULL, &generation));
	assert_true(belay__totals_unchanged(NULL, generation));
}

static void what_are_no_totals_is_refused(void **state)
{
	_cleanup_close_ int other = memfd_create("other", MFD_CLOEXEC);
	const struct belay__totals *untouched = NULL;
	struct belay__totals *opened = NULL;
	off_t size = lseek(fd, 0, SEEK_END);
	(void)state;

	assert_int_equal(belay__totals_open(other, &opened), -EPROTO);
	assert_int_equal(ftruncate(other, size), 0);
	assert_int_equal(belay__totals_open(other, &opened), -EPROTO);
	assert_int_equal(belay__totals_view(other, &untouched), -EPROTO);
	assert_int_equal(belay__totals_view(-EBADF, &untouched), -EBADF);
	assert_null(opened);
	assert_null(untouched);
	/* Nobody takes away what is mapped. */
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(ftruncate(fd, 2 * size), -1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_is_added_is_read_by_name_and_user),
		TEST(nothing_is_there_before_something_was_added),
		TEST(the_longest_name_keeps_its_last_character),
		TEST(names_beyond_the_room_count_together),
		TEST(a_renamed_process_is_not_counted_twice),
		TEST(a_reader_sees_that_something_was_changed),
		TEST(they_outlive_a_gate_that_died_halfway),
		TEST(none_at_all_are_no_hindrance),
		TEST(what_are_no_totals_is_refused),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
