#include "observe/original.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "export/records_testing.h"

#define PATH      belay__test_path
#define BYTES_MAX 4096

static struct belay__original original;
static struct belay__loop *loop;
static struct belay__rotation rotation;

static const struct belay_event beat = {
	.kind = BELAY_EVENT_BEAT,
	.observer_ns = 123,
	.pid = 42,
	.nonce = 7,
	.status = BELAY_OK,
	.payload = 99,
};

#define BEAT_LEN (sizeof("123\tbeat\t42\t7\tok\t99\n") - 1)
#define PER_FILE ((BYTES_MAX + BEAT_LEN - 1) / BEAT_LEN)

static int open_original(void)
{
	const struct belay__tsv_options options = { .bytes_max = BYTES_MAX };

	original = (struct belay__original){ .open = false };
	rotation = (struct belay__rotation){ .moving = false };
	if (belay__loop_new(&loop) < 0)
		return -1;
	return belay__original_init_take(&original, loop, belay__generations_open(PATH, NULL),
		&options, NULL);
}

static void close_original(void)
{
	belay__original_done(&original);
	loop = belay__loop_free(loop);
}

static void tell(size_t count)
{
	while (count-- > 0)
		belay__original_tell(&original, &beat);
}

/* What the parent does. */
static int rotate(void)
{
	return belay__generations_rotate(PATH, &rotation, UINT64_MAX, NULL);
}

/* Turns until FILE is SIZE bytes long, for a few seconds at most. */
static bool turn_until(const char *file, uint64_t size)
{
	uint64_t end_ns = belay__clock_ns(CLOCK_MONOTONIC) + 5 * BELAY__NS_PER_S;

	while (belay__test_file_size(file) != size && belay__clock_ns(CLOCK_MONOTONIC) < end_ns)
		if (belay__loop_turn(loop, 100) < 0)
			return false;
	return belay__test_file_size(file) == size;
}

static void what_is_buffered_is_written_within_a_second(void **state)
{
	(void)state;

	assert_int_equal(open_original(), 0);
	tell(3);
	assert_int_equal(belay__test_file_size(PATH), 0);
	assert_true(turn_until(PATH, 3 * BEAT_LEN));
	close_original();
}

static void a_full_file_asks_once(void **state)
{
	(void)state;

	assert_int_equal(open_original(), 0);
	tell(PER_FILE - 1);
	assert_false(belay__original_wants_rotation(&original));
	tell(1);
	assert_true(belay__original_wants_rotation(&original));
	tell(PER_FILE);
	assert_false(belay__original_wants_rotation(&original));
	belay__original_switch_take(&original, rotate());
	assert_false(belay__original_wants_rotation(&original));
	tell(PER_FILE);
	assert_true(belay__original_wants_rotation(&original));
	close_original();
	assert_int_equal(belay__test_file_size(belay__test_generation(1)), 2 * PER_FILE * BEAT_LEN);
}

static void a_rotation_that_failed_is_asked_for_again(void **state)
{
	(void)state;

	assert_int_equal(open_original(), 0);
	assert_int_equal(original.rotation_again_ns, 60 * BELAY__NS_PER_S);
	original.rotation_again_ns = 1;
	tell(PER_FILE);
	for (unsigned i = 0; i < 3; i++)
		assert_true(belay__original_wants_rotation(&original));
	/* A message without a file changes nothing. */
	belay__original_switch_take(&original, -EBADF);
	assert_true(belay__original_wants_rotation(&original));
	belay__original_switch_take(&original, rotate());
	assert_false(belay__original_wants_rotation(&original));
	close_original();
}

static int switch_on_a_full_disk(void)
{
	int ballast = -EBADF, fd;

	if (open_original() < 0)
		return 1;
	original.rotation_again_ns = 1;
	belay__test_write_file(belay__test_generation(1), "older", 5);
	tell(PER_FILE);
	if (!belay__original_wants_rotation(&original))
		return 2;
	fd = rotate();
	if (fd < 0 || belay__test_fill_disk(&ballast) < 0)
		return 3;
	tell(3 * PER_FILE);
	belay__original_switch_take(&original, fd);
	if (belay__original_wants_rotation(&original))
		return 4;
	tell(3 * PER_FILE);
	if (belay__original_wants_rotation(&original))
		return 5;
	/* Nobody has anything to tell any more; the disk has room again. */
	if (ftruncate(ballast, 0) < 0 || unlink(belay__test_generation(2)) < 0 ||
		!turn_until(belay__test_generation(1), 7 * PER_FILE * BEAT_LEN))
		return 6;
	if (belay__original_wants_rotation(&original))
		return 7;
	tell(1);
	close_original();
	return belay__test_file_size(PATH) == BEAT_LEN ? 0 : 8;
}

static void a_full_disk_costs_no_generation(void **state)
{
	(void)state;

	if (!belay__test_on_small_disk(switch_on_a_full_disk))
		skip();
}

#define CASE(name_)                                                                                \
	cmocka_unit_test_setup_teardown(name_, belay__test_make_directory,                         \
		belay__test_remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_buffered_is_written_within_a_second),
		CASE(a_full_file_asks_once),
		CASE(a_rotation_that_failed_is_asked_for_again),
		CASE(a_full_disk_costs_no_generation),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
