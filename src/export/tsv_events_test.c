#include "export/tsv_events.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "export/records_testing.h"

#define PATH belay__test_path

static struct belay__tsv_events events;
static struct belay_error error;

static const struct belay__tsv_event beat = {
	.observer_ns = 123,
	.kind = BELAY__TSV_BEAT,
	.pid = 42,
	.nonce = 7,
	.status = BELAY_OK,
	.payload = 99,
};
static const char beat_line[] = "123\tbeat\t42\t7\tok\t99\n";

#define BEAT_LEN (sizeof(beat_line) - 1)

static void open_events(uint64_t bytes_max, uint32_t sync_every)
{
	const struct belay__tsv_options options = { bytes_max, sync_every };

	if (belay__tsv_events_open(&events, PATH, &options, &error) < 0)
		fail_msg("%s", error.text);
}

static void add(unsigned count)
{
	while (count-- > 0)
		belay__tsv_events_add(&events, &beat);
}

static void every_kind_has_its_six_columns(void **state)
{
	static const struct {
		struct belay__tsv_event event;
		const char *line;
	} cases[] = {
		{ { .observer_ns = UINT64_MAX,
			  .kind = BELAY__TSV_BEAT,
			  .pid = UINT32_MAX,
			  .nonce = UINT64_MAX,
			  .status = BELAY_CRITICAL,
			  .payload = UINT32_MAX },
			"18446744073709551615\tbeat\t4294967295\t18446744073709551615\tcritical\t"
			"4294967295\n" },
		{ { .kind = BELAY__TSV_BEAT, .pid = 2, .status = BELAY_DEGRADED },
			"0\tbeat\t2\t0\tdegraded\t0\n" },
		{ { .observer_ns = 1, .kind = BELAY__TSV_STALL, .pid = 2, .nonce = 3, .payload = 9 },
			"1\tstall\t2\t3\tstall\t-\n" },
		{ { .observer_ns = 1, .kind = BELAY__TSV_DECODE, .pid = 2, .text = "BadMagic" },
			"1\tdecode\t-\t-\t-\tBadMagic\n" },
		{ { .observer_ns = 1, .kind = BELAY__TSV_IO, .text = "a\tb\nc\rd" },
			"1\tio\t-\t-\t-\ta b c d\n" },
		{ { .observer_ns = 1, .kind = BELAY__TSV_CTRUNC, .text = "cut" },
			"1\tctrunc\t-\t-\t-\tcut\n" },
		{ { .observer_ns = 1, .kind = BELAY__TSV_MISMATCH, .pid = 5, .text = "auth_failure" },
			"1\tmismatch\t5\t-\t-\tauth_failure\n" },
		{ { .observer_ns = 1, .kind = BELAY__TSV_EVICTION, .pid = 5 },
			"1\teviction\t5\t-\t-\t-\n" },
	};
	char line[BELAY__TSV_LINE_SIZE], text[2000];
	struct belay__tsv_event event = { .kind = BELAY__TSV_IO, .text = text };
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(belay__tsv_line(&cases[i].event, line), strlen(cases[i].line));
		assert_string_equal(line, cases[i].line);
	}
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(belay__tsv_line(&event, line), strlen("0\tio\t-\t-\t-\t") + 511 + 1);
	assert_non_null(strstr(line, "xxx...\n"));
	text[BELAY__TSV_TEXT_MAX] = '\0';
	assert_int_equal(belay__tsv_line(&event, line), strlen("0\tio\t-\t-\t-\t") + 511 + 1);
	assert_null(strstr(line, "..."));
}

static void decode_errors_are_named_as_the_original_does(void **state)
{
	static const struct {
		struct belay_decode_error error;
		const char *text;
	} cases[] = {
		{ { .class_ = BELAY_BAD_MAGIC }, "BadMagic" },
		{ { .class_ = BELAY_BAD_VERSION }, "BadVersion" },
		{ { .class_ = BELAY_BAD_CRC, .crc_expected = 1, .crc_actual = 4294967295 },
			"BadCrc { expected: 1, actual: 4294967295 }" },
		{ { .class_ = BELAY_BAD_STATUS, .status = 255 }, "BadStatus(255)" },
		{ { .class_ = BELAY_STALL_ON_WIRE }, "StallOnWire" },
		{ { .class_ = BELAY_BAD_PID, .pid = 1 }, "BadPid(1)" },
		{ { .class_ = BELAY_BAD_TIMESTAMP, .timestamp_ns = UINT64_MAX },
			"BadTimestamp(18446744073709551615)" },
		{ { .class_ = BELAY_BAD_NONCE, .nonce = 5, .status = BELAY_DEGRADED },
			"BadNonce { nonce: 5, status: Degraded }" },
	};
	char text[96];
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		belay__tsv_decode_text(&cases[i].error, text, sizeof(text));
		assert_string_equal(text, cases[i].text);
	}
}

static void lines_are_buffered_until_they_are_flushed(void **state)
{
	(void)state;

	open_events(0, 0);
	add(2);
	assert_int_equal(belay__test_file_size(PATH), 0);
	assert_int_equal(belay__tsv_events_flush(&events), 0);
	assert_int_equal(belay__test_file_size(PATH), 2 * BEAT_LEN);
	add(1);
	belay__tsv_events_done(&events);
	assert_int_equal(events.fd, -EBADF);
	assert_int_equal(belay__test_file_size(PATH), 3 * BEAT_LEN);
	assert_int_equal(events.written, 3);

	open_events(0, 0);
	add(100000); /* more than fits into the buffer */
	assert_true(belay__test_file_size(PATH) > 100000);
	belay__tsv_events_done(&events);
	assert_int_equal(belay__test_file_size(PATH), 100003 * BEAT_LEN);
	assert_int_equal(events.lost, 0);
}

static void records_are_synced_every_so_many(void **state)
{
	(void)state;

	open_events(0, 3);
	add(2);
	assert_int_equal(belay__test_file_size(PATH), 0);
	add(1);
	assert_int_equal(belay__test_file_size(PATH), 3 * BEAT_LEN);
	assert_int_equal(events.unsynced, 0);
	add(1);
	belay__tsv_events_done(&events);
	assert_int_equal(belay__test_file_size(PATH), 4 * BEAT_LEN);
	assert_int_equal(events.sync_failed, 0);
}

static void the_write_that_reaches_the_maximum_rotates(void **state)
{
	const unsigned per_file = (4096 + BEAT_LEN - 1) / BEAT_LEN;
	(void)state;

	open_events(4096, 0);
	add(per_file - 1);
	assert_false(belay__test_exists(belay__test_generation(1)));
	add(1);
	assert_int_equal(belay__test_file_size(belay__test_generation(1)), per_file * BEAT_LEN);
	assert_int_equal(belay__test_file_size(PATH), 0);
	add(6 * per_file);
	for (unsigned i = 1; i <= 5; i++)
		assert_int_equal(belay__test_file_size(belay__test_generation(i)),
			per_file * BEAT_LEN);
	assert_false(belay__test_exists(belay__test_generation(6)));
	belay__tsv_events_done(&events);
	assert_int_equal(events.rotation_failed, 0);

	/* A file that is full when it is opened is rotated by its first event. */
	assert_int_equal(truncate(PATH, 0), 0);
	open_events(4096, 0);
	add(per_file - 1);
	belay__tsv_events_done(&events);
	open_events(4096, 0);
	add(1);
	assert_int_equal(belay__test_file_size(PATH), 0);
	belay__tsv_events_done(&events);
}

static void a_file_that_cannot_be_made_anew_is_written_on_to(void **state)
{
	const unsigned per_file = (4096 + BEAT_LEN - 1) / BEAT_LEN;
	uint64_t size;
	(void)state;

	open_events(4096, 0);
	for (unsigned i = 1; i < 5; i++)
		belay__test_write_file(belay__test_generation(i), "", 0);
	assert_int_equal(mkdir(belay__test_generation(5), 0700), 0);
	add(per_file);
	assert_int_equal(events.rotation_failed, 1);
	add(1);
	assert_int_equal(events.rotation_failed, 1); /* not at every event */
	add(per_file);
	assert_int_equal(events.rotation_failed, 2);
	assert_int_equal(rmdir(belay__test_generation(5)), 0);
	size = belay__test_file_size(PATH) + events.len;
	add(per_file);
	assert_in_range(belay__test_file_size(belay__test_generation(1)), size,
		size + per_file * BEAT_LEN);
	belay__tsv_events_done(&events);
	assert_int_equal(events.lost, 0);
}

static void a_torn_line_is_cut_off_and_never_gone_on_with(void **state)
{
	char wanted[64];
	(void)state;

	for (size_t cut = 0; cut <= BEAT_LEN; cut++) {
		char file[64];

		(void)snprintf(file, sizeof(file), "%s%s", beat_line, beat_line);
		belay__test_write_file(PATH, file, BEAT_LEN + cut);
		open_events(0, 0);
		add(1);
		belay__tsv_events_done(&events);
		(void)snprintf(wanted, sizeof(wanted), "%s%s%s", beat_line,
			cut == BEAT_LEN ? beat_line : "", beat_line);
		assert_string_equal(belay__test_read_file(PATH, NULL), wanted);
	}
}

static void a_full_file_keeps_lines_and_goes_on_where_it_was(void **state)
{
	size_t len;
	const char *file;
	(void)state;

	open_events(0, 1);
	add(1);
	for (size_t more = 0; more < 3 * BEAT_LEN; more += 5) {
		belay__test_limit_file_size(BEAT_LEN + more);
		add(1);
	}
	assert_true(events.write_failed > 0);
	assert_true(events.len > 0);
	add(10000); /* far more than the buffer holds */
	assert_true(events.lost > 0);
	belay__test_limit_file_size(UINT64_MAX);
	add(1);
	belay__tsv_events_done(&events);
	assert_int_equal(events.written + events.lost, 10000 + 2 + (3 * BEAT_LEN + 4) / 5);

	file = belay__test_read_file(PATH, &len);
	assert_int_equal(len, events.written * BEAT_LEN);
	for (size_t i = 0; i < len; i += BEAT_LEN)
		assert_memory_equal(file + i, beat_line, BEAT_LEN);
}

static void what_was_never_written_is_counted_as_lost(void **state)
{
	(void)state;

	open_events(0, 0);
	add(3);
	belay__test_limit_file_size(BEAT_LEN + 4);
	belay__tsv_events_done(&events);
	belay__test_limit_file_size(UINT64_MAX);
	assert_int_equal(events.lost, 2);
	open_events(0, 0);
	belay__tsv_events_done(&events);
	assert_string_equal(belay__test_read_file(PATH, NULL), beat_line);
}

static int write_to_a_full_disk(void)
{
	const struct belay__tsv_options options = { 4096, 1 };
	uint64_t size = 0;
	int ballast = -EBADF;

	if (belay__tsv_events_open(&events, PATH, &options, NULL) < 0)
		return 1;
	add(1);
	if (belay__test_fill_disk(&ballast) < 0)
		return 2;
	add(500);
	if (events.write_failed == 0 || events.len == 0)
		return 3;
	if (ftruncate(ballast, 0) < 0)
		return 4;
	add(1);
	belay__tsv_events_done(&events);
	if (events.lost != 0 || events.written != 502)
		return 5;
	for (unsigned i = 0; i <= 5; i++)
		if (belay__test_exists(belay__test_generation(i)))
			size += belay__test_file_size(belay__test_generation(i));
	return size == 502 * BEAT_LEN ? 0 : 6;
}

static void a_full_disk_loses_nothing_that_the_buffer_holds(void **state)
{
	(void)state;

	if (!belay__test_on_small_disk(write_to_a_full_disk))
		skip();
}

static void on_descriptors_somebody_else_moves_the_files(void **state)
{
	const struct belay__tsv_options options = { .bytes_max = 4096 };
	struct belay__rotation rotation = { 0 };
	int fd;
	(void)state;

	assert_int_equal(belay__tsv_events_init_take(&events, belay__generations_open(PATH, NULL),
				 &options, &error),
		0);
	add(150);
	assert_false(events.wants_rotation);
	add(100);
	assert_true(events.wants_rotation);
	fd = belay__generations_rotate(PATH, &rotation, UINT64_MAX, NULL);
	assert_true(fd >= 0);
	add(10);
	assert_int_equal(belay__tsv_events_switch_consume(&events, fd), 0);
	assert_false(events.wants_rotation);
	assert_int_equal(belay__test_file_size(belay__test_generation(1)), 260 * BEAT_LEN);
	add(5);
	belay__tsv_events_done(&events);
	assert_int_equal(belay__test_file_size(PATH), 5 * BEAT_LEN);
}

static int switch_on_a_full_disk(void)
{
	const struct belay__tsv_options options = { .bytes_max = 4096 };
	struct belay__rotation rotation = { 0 };
	int ballast = -EBADF, fd;

	if (belay__tsv_events_init_take(&events, belay__generations_open(PATH, NULL), &options,
		    NULL) < 0)
		return 1;
	add(250);
	if (!events.wants_rotation)
		return 2;
	/* As the one does who moves the files. */
	belay__test_write_file(belay__test_generation(1), "older", 5);
	fd = belay__generations_rotate(PATH, &rotation, UINT64_MAX, NULL);
	if (fd < 0 || belay__test_fill_disk(&ballast) < 0)
		return 3;
	add(1000);
	if (belay__tsv_events_switch_consume(&events, fd) != -ENOSPC || events.next_fd != fd)
		return 4;
	add(1000);
	if (events.wants_rotation || belay__tsv_events_flush(&events) != -ENOSPC ||
		events.wants_rotation)
		return 5;
	if (ftruncate(ballast, 0) < 0)
		return 6;
	if (belay__tsv_events_flush(&events) < 0 || events.next_fd >= 0 || events.fd != fd)
		return 7;
	if (belay__test_file_size(belay__test_generation(1)) != 2250 * BEAT_LEN ||
		belay__test_file_size(belay__test_generation(2)) != 5)
		return 8;
	add(1);
	if (events.wants_rotation)
		return 9;
	belay__tsv_events_done(&events);
	return belay__test_file_size(PATH) == BEAT_LEN && events.lost == 0 ? 0 : 10;
}

static void a_new_file_is_kept_in_hand_while_the_old_one_takes_nothing(void **state)
{
	(void)state;

	if (!belay__test_on_small_disk(switch_on_a_full_disk))
		skip();
}

static void of_two_new_files_the_later_is_gone_on_in(void **state)
{
	const struct belay__tsv_options options = { .bytes_max = 4096 };
	struct belay__rotation rotation = { 0 };
	int fd, later;
	(void)state;

	assert_int_equal(belay__tsv_events_init_take(&events, belay__generations_open(PATH, NULL),
				 &options, &error),
		0);
	add(250);
	fd = belay__generations_rotate(PATH, &rotation, UINT64_MAX, NULL);
	assert_int_equal(unlink(PATH), 0);
	later = belay__generations_open(PATH, NULL);
	add(1);
	belay__test_limit_file_size(250 * BEAT_LEN + 5);
	assert_int_equal(belay__tsv_events_switch_consume(&events, fd), -EFBIG);
	assert_int_equal(belay__tsv_events_switch_consume(&events, later), -EFBIG);
	assert_int_equal(events.next_fd, later);
	belay__test_limit_file_size(UINT64_MAX);
	belay__tsv_events_done(&events);
	assert_int_equal(events.next_fd, -EBADF);
	assert_int_equal(events.lost, 0);
	assert_int_equal(belay__test_file_size(belay__test_generation(1)), 251 * BEAT_LEN);
}

static void files_that_cannot_be_trusted_are_refused(void **state)
{
	const struct belay__tsv_options options = { 0 }, small = { .bytes_max = 4095 };
	char other[128];
	(void)state;

	(void)snprintf(other, sizeof(other), "%s/other", belay__test_directory);
	belay__test_write_file(other, "", 0);
	events.fd = 77;
	assert_int_equal(symlink(other, PATH), 0);
	assert_int_equal(belay__tsv_events_open(&events, PATH, &options, &error), -ELOOP);
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(link(other, PATH), 0);
	assert_int_equal(belay__tsv_events_open(&events, PATH, &options, &error), -EPERM);
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(mkfifo(PATH, 0600), 0);
	assert_true(belay__tsv_events_open(&events, PATH, &options, &error) < 0);
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(belay__tsv_events_open(&events, PATH, &small, &error), -EINVAL);
	assert_int_equal(belay__tsv_events_init_take(&events, STDIN_FILENO, &small, &error),
		-EINVAL);
	assert_int_equal(events.fd, 77);
}

#define CASE(name_)                                                                                \
	cmocka_unit_test_setup_teardown(name_, belay__test_make_directory,                         \
		belay__test_remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_kind_has_its_six_columns),
		CASE(decode_errors_are_named_as_the_original_does),
		CASE(lines_are_buffered_until_they_are_flushed),
		CASE(records_are_synced_every_so_many),
		CASE(the_write_that_reaches_the_maximum_rotates),
		CASE(a_file_that_cannot_be_made_anew_is_written_on_to),
		CASE(a_torn_line_is_cut_off_and_never_gone_on_with),
		CASE(a_full_file_keeps_lines_and_goes_on_where_it_was),
		CASE(what_was_never_written_is_counted_as_lost),
		CASE(a_full_disk_loses_nothing_that_the_buffer_holds),
		CASE(on_descriptors_somebody_else_moves_the_files),
		CASE(a_new_file_is_kept_in_hand_while_the_old_one_takes_nothing),
		CASE(of_two_new_files_the_later_is_gone_on_in),
		CASE(files_that_cannot_be_trusted_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
