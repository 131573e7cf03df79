#include "export/audit_log.h"

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
#include "export/audit_golden.inc"
#include "export/audit_verify.h"
#include "export/generations.h"
#include "export/records_testing.h"

#define PATH       belay__test_path
#define FOR_LONG   UINT64_MAX
#define FIRST_TIME ((struct belay__audit_time){ 1700000000123, 5000000000 })
#define LATER      ((struct belay__audit_time){ 1700000007000, 100 })

static struct belay_error error;

static struct belay__audit_log *open_with(const struct belay__audit_options *options)
{
	struct belay__audit_log *log = NULL;
	int r = belay__audit_log_open(PATH, options, &log, &error);

	if (r < 0)
		fail_msg("%s", error.text);
	return log;
}

static struct belay__audit_log *open_log(void)
{
	return open_with(&(struct belay__audit_options){ .daemon_pid = 4242 });
}

static void drain(struct belay__audit_log *log)
{
	assert_int_equal(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG), 0);
}

static void add_refused(struct belay__audit_log *log, unsigned count)
{
	while (count-- > 0)
		(void)belay__audit_log_add(log, &golden_records[5]);
}

static struct belay__audit_verdict verify(void)
{
	struct belay__audit_verdict verdict;

	if (belay__audit_verify(PATH, &verdict, &error) < 0)
		fail_msg("%s", error.text);
	return verdict;
}

/* All is well from record 1 to COUNT. */
static void assert_whole(uint64_t count)
{
	struct belay__audit_verdict verdict = verify();

	if (verdict.broken)
		fail_msg("generation %u, line %u: %s", verdict.bad_generation,
			(unsigned)verdict.bad_line, verdict.why);
	assert_false(verdict.torn);
	assert_int_equal(verdict.missing, 0);
	assert_int_equal(verdict.last_seq, count);
}

static void write_golden(size_t count, size_t bytes)
{
	char file[4096] = GOLDEN_HEADER;

	for (size_t i = 0; i < count; i++)
		strcat(file, golden[i]);
	belay__test_write_file(PATH, file, bytes < strlen(file) ? bytes : strlen(file));
}

static size_t golden_size(size_t count)
{
	size_t size = strlen(GOLDEN_HEADER);

	for (size_t i = 0; i < count; i++)
		size += strlen(golden[i]);
	return size;
}

static const char *last_line(const char *name)
{
	size_t len;
	char *file = (char *)(uintptr_t)belay__test_read_file(name, &len);

	assert_true(len > 0 && file[len - 1] == '\n');
	file[len - 1] = '\0';
	return strrchr(file, '\n') == NULL ? file : strrchr(file, '\n') + 1;
}

static void a_log_is_written_as_computed_independently(void **state)
{
	struct belay__audit_log *log = open_log();
	char wanted[4096] = GOLDEN_HEADER;
	struct stat status;
	(void)state;

	for (size_t i = 1; i < GOLDEN_COUNT - 1; i++)
		assert_true(belay__audit_log_add(log, &golden_records[i]));
	assert_int_equal(belay__audit_log_queued(log), 7);
	assert_int_equal(belay__test_file_size(PATH), 0);
	drain(log);
	assert_int_equal(belay__audit_log_queued(log), 0);
	assert_null(belay__audit_log_free(log));
	assert_int_equal(stat(PATH, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);

	log = open_with(&(struct belay__audit_options){ .daemon_pid = 4243 });
	assert_int_equal(belay__audit_log_drain(log, LATER, FOR_LONG), 0);
	assert_int_equal(belay__audit_log_counters(log)->written, 1);
	(void)belay__audit_log_free(log);
	for (size_t i = 0; i < GOLDEN_COUNT; i++)
		strcat(wanted, golden[i]);
	assert_string_equal(belay__test_read_file(PATH, NULL), wanted);
	assert_whole(GOLDEN_COUNT);
}

static void a_file_torn_at_any_byte_is_gone_on_with(void **state)
{
	(void)state;

	for (size_t bytes = 0; bytes <= golden_size(GOLDEN_COUNT); bytes++) {
		struct belay__audit_log *log;
		size_t whole = 0;
		bool torn;

		while (whole < GOLDEN_COUNT && golden_size(whole + 1) <= bytes)
			whole++;
		torn = bytes != golden_size(whole) && bytes != 0;
		write_golden(GOLDEN_COUNT, bytes);
		log = open_log();
		assert_int_equal(belay__test_file_size(PATH),
			bytes < golden_size(0) ? 0 : golden_size(whole));
		add_refused(log, 1);
		drain(log);
		(void)belay__audit_log_free(log);
		assert_whole(whole + 2);
		(void)last_line(PATH); /* cuts off the newline; what is left is searched */
		assert_int_equal(
			strstr(belay__test_read_file(PATH, NULL), "\tcorrupt_tail\t") != NULL, torn);
		if (!torn)
			assert_non_null(strstr(belay__test_read_file(PATH, NULL),
				whole > 0 ? "\tresume\t" : "\tfresh\t"));
	}
}

static void zeros_that_a_power_failure_left_are_a_torn_line(void **state)
{
	char file[6000] = { 0 };
	(void)state;

	memcpy(file, GOLDEN_HEADER, strlen(GOLDEN_HEADER));
	strcat(file, golden[0]);
	belay__test_write_file(PATH, file, sizeof(file));
	(void)belay__audit_log_free(open_log());
	assert_whole(2);
}

static void lines_of_other_schemas_are_kept_and_gone_on_behind(void **state)
{
	static char long_line[70000];
	static const struct {
		const char *file;
		bool golden; /* the first golden line is there as well, in front */
		const char *kept, *reason;
		uint64_t seq;
	} cases[] = {
		{ "# varta-watch recovery audit v1\nold\n", false,
			"# varta-watch recovery audit v1\nold\n", "legacy_v1", 1 },
		{ "# varta-watch recovery audit v1\ntorn", false,
			"# varta-watch recovery audit v1\ntorn\n", "legacy_v1", 1 },
		{ "# varta-watch recovery audit v1\nold\n" GOLDEN_HEADER "1\t17", false,
			"# varta-watch recovery audit v1\nold\n", "legacy_v1", 1 },
		{ "notes of mine\n", false, "notes of mine\n", "schema_drift", 1 },
		{ "no newline at all", false, "no newline at all\n", "schema_drift", 1 },
		{ "what is this\n", true, "what is this\n", "schema_drift", 2 },
		{ "what is this\ntorn", true, "what is this\n", "schema_drift", 2 },
		{ long_line, true, long_line, "schema_drift", 2 },
	};
	(void)state;

	memset(long_line, 'x', sizeof(long_line) - 2);
	long_line[sizeof(long_line) - 2] = '\n';
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		static char file[80000], wanted[80000];
		char boot[64];

		(void)snprintf(file, sizeof(file), "%s%s%s", cases[i].golden ? GOLDEN_HEADER : "",
			cases[i].golden ? golden[0] : "", cases[i].file);
		(void)snprintf(wanted, sizeof(wanted), "%s%s%s",
			cases[i].golden ? GOLDEN_HEADER : "", cases[i].golden ? golden[0] : "",
			cases[i].kept);
		belay__test_write_file(PATH, file, strlen(file));
		(void)belay__audit_log_free(open_log());
		if (!cases[i].golden)
			strcat(wanted, GOLDEN_HEADER "1\t");
		assert_memory_equal(belay__test_read_file(PATH, NULL), wanted, strlen(wanted));
		(void)snprintf(boot, sizeof(boot), "\t%s\t", cases[i].reason);
		assert_non_null(strstr(last_line(PATH), boot));
		assert_int_equal(strtoull(last_line(PATH), NULL, 10), cases[i].seq);

		/* The start after that goes on behind the record of this one. */
		(void)belay__audit_log_free(open_log());
		assert_non_null(strstr(last_line(PATH), "\tresume\t"));
		assert_int_equal(strtoull(last_line(PATH), NULL, 10), cases[i].seq + 1);
		assert_int_equal(verify().broken, cases[i].golden);
	}
}

static void a_tail_without_chain_begins_a_new_one(void **state)
{
	static const char file[] = GOLDEN_HEADER "41\t2\t3\trefused\t4\tdebounced\t-\n";
	(void)state;

	belay__test_write_file(PATH, file, sizeof(file) - 1);
	(void)belay__audit_log_free(open_log());
	assert_int_equal(strtoull(last_line(PATH), NULL, 10), 42);
	assert_non_null(strstr(last_line(PATH), "\tboot\t4242\t-\tresume\t"));
	assert_string_equal(verify().why, "it carries no chain");
}

static void a_rotated_log_is_one_chain(void **state)
{
	const struct belay__audit_options options = { .bytes_max = 4096, .sync_every = 100 };
	struct belay__audit_log *log = open_with(&options);
	struct belay__audit_verdict verdict;
	(void)state;

	for (unsigned i = 0; i < 100; i++) {
		add_refused(log, 5);
		drain(log);
		if (i % 10 == 0) {
			(void)belay__audit_log_free(log);
			log = open_with(&options);
		}
		verdict = verify();
		assert_false(verdict.broken || verdict.torn);
		assert_int_equal(verdict.missing, 0);
	}
	drain(log);
	assert_int_equal(belay__audit_log_counters(log)->rotation_failed, 0);
	assert_int_equal(verdict.files, 6);
	assert_true(verdict.first_seq > 1);
	assert_int_equal(verdict.records, verdict.last_seq - verdict.first_seq + 1);
	for (unsigned i = 1; i <= 5; i++) {
		/* The write that reaches the maximum is the last one. */
		assert_in_range(belay__test_file_size(belay__test_generation(i)), 4096, 4096 + 256);
		assert_non_null(strstr(belay__test_read_file(belay__test_generation(i), NULL),
			"\trotation\t"));
	}
	assert_false(belay__test_exists(belay__test_generation(6)));
	(void)belay__audit_log_free(log);
}

/* What the disk holds after so many steps of a rotation is what a kill there leaves. */
static void a_kill_between_any_two_steps_of_a_rotation_loses_nothing(void **state)
{
	const struct belay__audit_options options = { .bytes_max = 4096 };
	(void)state;

	for (unsigned steps = 0; steps <= 8; steps++) {
		struct belay__audit_log *log;
		struct belay__rotation rotation = { 0 };
		struct belay__audit_verdict before, after;

		(void)belay__test_remove_directory(NULL);
		assert_int_equal(belay__test_make_directory(NULL), 0);
		log = open_with(&options);
		for (unsigned i = 0; i < 250; i++) {
			add_refused(log, 1);
			drain(log);
		}
		(void)belay__audit_log_free(log);
		before = verify();
		assert_int_equal(before.files, 6);

		for (unsigned i = 0; i < steps; i++) {
			int fd = belay__generations_rotate(PATH, &rotation, 0, NULL);

			assert_true(fd >= 0 || fd == -EAGAIN);
			(void)belay__close(fd);
			if (fd >= 0)
				break;
		}
		log = open_with(&options);
		drain(log);
		after = verify();
		assert_false(after.broken || after.torn);
		assert_int_equal(after.last_seq, before.last_seq + 1);
		assert_non_null(strstr(last_line(PATH), steps >= 6 ? "\trotation\t" : "\tresume\t"));
		/* Only the oldest may have gone. */
		assert_in_range(after.files, 5, 6);
		for (unsigned i = 0; i < 60; i++) {
			add_refused(log, 1);
			drain(log);
		}
		(void)belay__audit_log_free(log);
		after = verify();
		assert_false(after.broken || after.torn);
		assert_int_equal(after.files, 6);
		assert_true(after.last_seq >= before.last_seq + 61);
	}
}

static void a_rotation_over_its_budget_goes_on_in_the_next_drain(void **state)
{
	struct belay__audit_log *log = open_with(
		&(struct belay__audit_options){ .bytes_max = 4096, .rotation_budget_ns = 1 });
	uint64_t records = 1;
	(void)state;

	for (unsigned i = 0; i < 400; i++, records++) {
		struct belay__audit_verdict verdict;

		add_refused(log, 1);
		drain(log);
		verdict = verify();
		assert_false(verdict.broken || verdict.torn);
		assert_true(verdict.last_seq > records);
	}
	assert_true(belay__audit_log_counters(log)->rotation_budget_exceeded > 20);
	assert_int_equal(verify().files, 6);
	(void)belay__audit_log_free(log);
}

static void a_rotation_half_done_is_pending_until_it_is_done(void **state)
{
	struct belay__audit_log *log = open_with(
		&(struct belay__audit_options){ .bytes_max = 4096, .rotation_budget_ns = 1 });
	unsigned drains;
	(void)state;

	for (unsigned i = 1; i <= 5; i++)
		belay__test_write_file(belay__test_generation(i), "older", 5);
	drain(log);
	assert_false(belay__audit_log_pending(log));
	add_refused(log, 50);
	assert_false(belay__audit_log_pending(log)); /* they are queued */
	for (drains = 0; drains == 0 || belay__audit_log_pending(log); drains++) {
		drain(log);
		if (belay__audit_log_pending(log))
			assert_int_equal(belay__audit_log_queued(log), 0);
		assert_true(drains < 20);
	}
	assert_true(drains > 5);
	/* The record of the rotation is queued, and nothing else is left to do. */
	drain(log);
	assert_int_equal(belay__audit_log_queued(log), 0);
	assert_false(belay__audit_log_pending(log));
	assert_non_null(strstr(last_line(PATH), "\trotation\t"));
	(void)belay__audit_log_free(log);
}

static void what_cannot_be_moved_is_written_on_to(void **state)
{
	struct belay__audit_log *log = open_with(
		&(struct belay__audit_options){ .bytes_max = 4096 });
	(void)state;

	for (unsigned i = 1; i < 5; i++)
		belay__test_write_file(belay__test_generation(i), "", 0);
	assert_int_equal(mkdir(belay__test_generation(5), 0700), 0);
	add_refused(log, 50);
	assert_true(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG) < 0);
	assert_int_equal(belay__audit_log_queued(log), 0);
	assert_true(belay__audit_log_pending(log));
	assert_int_equal(belay__audit_log_counters(log)->rotation_failed, 1);
	assert_int_equal(belay__audit_log_counters(log)->write_failed, 0);
	assert_true(belay__test_file_size(PATH) > 5000);

	assert_int_equal(rmdir(belay__test_generation(5)), 0);
	drain(log);
	assert_non_null(strstr(last_line(PATH), "\trotation\t"));
	(void)belay__audit_log_free(log);
	assert_whole(52);
}

static void a_full_ring_drops_and_says_so_in_the_file(void **state)
{
	struct belay__audit_log *log = open_log();
	const struct belay__audit_counters *counters = belay__audit_log_counters(log);
	struct belay__audit_verdict verdict;
	(void)state;

	drain(log);
	add_refused(log, 191);
	assert_int_equal(counters->watermark_warn, 0);
	add_refused(log, 1);
	assert_int_equal(counters->watermark_warn, 1);
	add_refused(log, 51);
	assert_int_equal(counters->watermark_critical, 0);
	add_refused(log, 1);
	assert_int_equal(counters->watermark_critical, 1);
	add_refused(log, 12);
	assert_int_equal(counters->dropped, 0);
	assert_int_equal(belay__audit_log_queued(log), BELAY__AUDIT_RING);
	assert_false(belay__audit_log_add(log, &golden_records[5]));
	assert_false(belay__audit_log_add(log, &golden_records[5]));
	assert_int_equal(counters->dropped, 2);

	drain(log);
	add_refused(log, 200);
	assert_int_equal(counters->watermark_warn, 2);
	assert_int_equal(counters->watermark_critical, 1);
	drain(log);
	(void)belay__audit_log_free(log);
	verdict = verify();
	assert_false(verdict.broken);
	assert_int_equal(verdict.records, 1 + 256 + 200);
	assert_int_equal(verdict.missing, 2);
}

static void a_drain_ends_at_its_deadline(void **state)
{
	struct belay__audit_log *log = open_log();
	(void)state;

	add_refused(log, 3);
	for (size_t left = 4; left > 0; left--) {
		assert_int_equal(belay__audit_log_queued(log), left);
		assert_int_equal(belay__audit_log_drain(log, FIRST_TIME, 0), 0);
	}
	assert_int_equal(belay__audit_log_queued(log), 0);
	assert_int_equal(belay__audit_log_counters(log)->flush_budget_exceeded, 3);
	(void)belay__audit_log_free(log);
}

static void records_are_synced_every_so_many(void **state)
{
	struct belay__audit_log *log = open_with(
		&(struct belay__audit_options){ .sync_every = 4, .fsync_budget_ns = UINT64_MAX });
	const struct belay__audit_counters *counters = belay__audit_log_counters(log);
	uint64_t sum = 0;
	(void)state;

	drain(log); /* a start is synced for itself */
	assert_int_equal(counters->fsync_count, 1);
	add_refused(log, 3);
	drain(log);
	assert_int_equal(counters->fsync_count, 1);
	add_refused(log, 6);
	drain(log);
	assert_int_equal(counters->fsync_count, 3);
	assert_int_equal(belay__audit_log_sync(log), 0);
	assert_int_equal(counters->fsync_count, 4);
	assert_int_equal(belay__audit_log_sync(log), 0);
	assert_int_equal(counters->fsync_count, 4);
	for (size_t i = 0; i < BELAY__AUDIT_FSYNC_BUCKETS; i++)
		sum += counters->fsync_bucket[i];
	assert_int_equal(sum, 4);
	assert_true(counters->fsync_sum_ns > 0);
	assert_int_equal(counters->fsync_budget_exceeded, 0);
	(void)belay__audit_log_free(log);
}

static void a_slow_sync_defers_the_later_ones(void **state)
{
	struct belay__audit_log *log = open_with(
		&(struct belay__audit_options){ .fsync_budget_ns = 1 });
	const struct belay__audit_counters *counters = belay__audit_log_counters(log);
	(void)state;

	add_refused(log, 9);
	drain(log);
	assert_int_equal(counters->fsync_count, 1);
	assert_int_equal(counters->fsync_budget_exceeded, 1);
	assert_int_equal(belay__audit_log_queued(log), 0);
	assert_true(belay__audit_log_pending(log));
	drain(log); /* nothing is queued, but what was written waits for its sync */
	assert_int_equal(counters->fsync_count, 2);
	assert_false(belay__audit_log_pending(log));
	drain(log);
	assert_int_equal(counters->fsync_count, 2);
	(void)belay__audit_log_free(log);
}

static void records_are_synced_after_an_interval(void **state)
{
	struct belay__audit_log *log = open_with(
		&(struct belay__audit_options){ .sync_every = 1000, .sync_interval_ns = 1 });
	(void)state;

	drain(log);
	add_refused(log, 1);
	drain(log);
	drain(log);
	assert_int_equal(belay__audit_log_counters(log)->fsync_count, 2);
	(void)belay__audit_log_free(log);
}

static void a_full_file_keeps_records_waiting_and_no_torn_line(void **state)
{
	struct belay__audit_log *log = open_log();
	const struct belay__audit_counters *counters = belay__audit_log_counters(log);
	uint64_t size;
	(void)state;

	drain(log);
	size = belay__test_file_size(PATH);
	for (uint64_t more = 0; more < strlen(golden[5]); more += 7) {
		uint64_t failed = counters->write_failed;

		add_refused(log, 1);
		belay__test_limit_file_size(size + more);
		assert_int_equal(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG), -EFBIG);
		assert_int_equal(counters->write_failed, failed + 1);
		assert_int_equal(belay__test_file_size(PATH), size);
	}
	assert_int_equal(belay__audit_log_queued(log), 17);
	belay__test_limit_file_size(UINT64_MAX);
	drain(log);
	assert_int_equal(belay__audit_log_queued(log), 0);
	assert_int_equal(counters->dropped, 0);
	(void)belay__audit_log_free(log);
	assert_whole(18);
}

#define CHECK(condition_)                                                                          \
	do {                                                                                       \
		if (!(condition_))                                                                 \
			return __LINE__ % 60 + 1;                                                  \
	} while (false)

static int write_to_a_full_disk(void)
{
	struct belay__audit_options options = { .bytes_max = 4096 };
	struct belay__audit_log *log = NULL;
	struct belay__audit_verdict verdict;
	int ballast = -EBADF;

	CHECK(belay__audit_log_open(PATH, &options, &log, NULL) == 0 && log != NULL);
	CHECK(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG) == 0);
	CHECK(belay__test_fill_disk(&ballast) == 0);
	/* The page that the file has fills up, a rotation succeeds, and its new file stays empty. */
	add_refused(log, 200);
	CHECK(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG) == -ENOSPC);
	CHECK(belay__audit_log_queued(log) > 100);
	CHECK(belay__audit_verify(PATH, &verdict, NULL) == 0 && !verdict.broken && !verdict.torn);
	CHECK(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG) == -ENOSPC);
	CHECK(ftruncate(ballast, 0) == 0);
	CHECK(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG) == 0);
	CHECK(belay__audit_log_queued(log) == 0);
	CHECK(belay__audit_log_counters(log)->dropped == 0);
	(void)belay__audit_log_free(log);
	CHECK(belay__audit_verify(PATH, &verdict, NULL) == 0 && !verdict.broken && !verdict.torn);
	CHECK(verdict.missing == 0 && verdict.last_seq > 200);

	/* A log that is begun on a full disk waits as well, its start included. */
	CHECK(belay__test_fill_disk(&ballast) == 0);
	log = NULL;
	options.bytes_max = 0;
	CHECK(belay__audit_log_open(PATH, &options, &log, NULL) == 0 && log != NULL);
	add_refused(log, 100);
	(void)belay__audit_log_drain(log, FIRST_TIME, FOR_LONG);
	CHECK(belay__audit_verify(PATH, &verdict, NULL) == 0 && !verdict.broken && !verdict.torn);
	CHECK(ftruncate(ballast, 0) == 0);
	CHECK(belay__audit_log_drain(log, FIRST_TIME, FOR_LONG) == 0);
	(void)belay__audit_log_free(log);
	CHECK(belay__audit_verify(PATH, &verdict, NULL) == 0 && !verdict.broken && !verdict.torn);
	return verdict.missing == 0 ? 0 : 100;
}

static void a_full_disk_loses_nothing_and_leaves_no_torn_line(void **state)
{
	(void)state;

	if (!belay__test_on_small_disk(write_to_a_full_disk))
		skip();
}

static void a_log_on_descriptors_asks_for_the_next_one(void **state)
{
	const struct belay__audit_options options = { .bytes_max = 4096 };
	struct belay__rotation rotation = { 0 };
	struct belay__audit_log *log = NULL;
	int fd;
	(void)state;

	assert_int_equal(belay__audit_log_open_take(belay__generations_open(PATH, NULL), -EBADF,
				 &options, &log, &error),
		0);
	add_refused(log, 10);
	drain(log);
	assert_false(belay__audit_log_wants_rotation(log));
	add_refused(log, 30);
	drain(log);
	assert_true(belay__audit_log_wants_rotation(log));

	fd = belay__generations_rotate(PATH, &rotation, FOR_LONG, NULL);
	assert_true(fd >= 0);
	/* What comes before the new descriptor does goes to the old file. */
	add_refused(log, 1);
	drain(log);
	assert_int_equal(belay__test_file_size(PATH), 0);
	assert_int_equal(belay__audit_log_switch_take(log, fd), 0);
	assert_false(belay__audit_log_wants_rotation(log));
	add_refused(log, 1);
	drain(log);
	assert_whole(1 + 41 + 1 + 1);
	assert_non_null(strstr(belay__test_read_file(PATH, NULL), "\trotation\t"));

	fd = belay__generations_open(PATH, NULL);
	assert_int_equal(belay__audit_log_switch_take(log, fd), -EEXIST);
	(void)belay__close(fd);
	(void)belay__audit_log_free(log);
	assert_whole(44);
}

static void a_new_file_goes_on_from_the_one_before(void **state)
{
	_cleanup_close_ int previous = -EBADF;
	struct belay__audit_log *log = open_log();
	(void)state;

	add_refused(log, 3);
	drain(log);
	(void)belay__audit_log_free(log);
	assert_int_equal(rename(PATH, belay__test_generation(1)), 0);

	previous = belay__generations_open_previous(PATH, NULL);
	assert_true(previous >= 0);
	assert_int_equal(belay__audit_log_open_take(belay__generations_open(PATH, NULL), previous,
				 &(struct belay__audit_options){ 0 }, &log, &error),
		0);
	drain(log);
	(void)belay__audit_log_free(log);
	assert_non_null(strstr(last_line(PATH), "\trotation\t"));
	assert_whole(5);
}

static void long_texts_are_cut_and_say_so(void **state)
{
	struct belay__audit_record record = golden_records[1];
	struct belay__audit_log *log = open_log();
	char text[2000];
	size_t len;
	(void)state;

	memset(text, 'p', sizeof(text));
	record.spawn.mode = record.spawn.program = record.spawn.source = (struct belay__audit_text){
		text, sizeof(text)
	};
	record.observer_ns = record.wall_ms = record.spawn.template_len = UINT64_MAX;
	record.spawn.agent_pid = record.spawn.child_pid = UINT32_MAX;
	assert_true(belay__audit_log_add(log, &record));
	memset(text, 'q', sizeof(text)); /* it was copied */
	drain(log);
	(void)belay__audit_log_free(log);
	assert_whole(2);
	len = strlen(last_line(PATH));
	assert_in_range(len, 1024, 1400);
	assert_non_null(strstr(last_line(PATH), "ppp...\tppp"));
}

static void files_that_cannot_be_trusted_are_refused(void **state)
{
	const struct belay__audit_options options = { 0 };
	struct belay__audit_log *log = NULL;
	char other[128];
	(void)state;

	(void)snprintf(other, sizeof(other), "%s/other", belay__test_directory);
	belay__test_write_file(other, "", 0);
	assert_int_equal(symlink(other, PATH), 0);
	assert_int_equal(belay__audit_log_open(PATH, &options, &log, &error), -ELOOP);
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(link(other, PATH), 0);
	assert_int_equal(belay__audit_log_open(PATH, &options, &log, &error), -EPERM);
	assert_non_null(strstr(error.text, "2 names"));
	assert_int_equal(unlink(other), 0);
	assert_int_equal(chmod(PATH, 0620), 0);
	assert_int_equal(belay__audit_log_open(PATH, &options, &log, &error), -EPERM);
	assert_non_null(strstr(error.text, "chmod go-w"));
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(mkfifo(PATH, 0600), 0);
	assert_true(belay__audit_log_open(PATH, &options, &log, &error) < 0);
	assert_int_equal(unlink(PATH), 0);
	assert_int_equal(mkdir(PATH, 0700), 0);
	assert_int_equal(belay__audit_log_open(PATH, &options, &log, &error), -EISDIR);
	assert_int_equal(rmdir(PATH), 0);
	assert_int_equal(belay__audit_log_open("/nowhere/at/all", &options, &log, &error), -ENOENT);
	assert_int_equal(belay__audit_log_open(PATH,
				 &(struct belay__audit_options){ .bytes_max = 4095 }, &log, &error),
		-EINVAL);
	assert_null(log);
	if (geteuid() != 0)
		return;
	belay__test_write_file(PATH, "", 0);
	assert_int_equal(chown(PATH, 12345, 12345), 0);
	assert_int_equal(belay__audit_log_open(PATH, &options, &log, &error), -EPERM);
	assert_non_null(strstr(error.text, "12345"));
}

static void nothing_is_begun_anew_while_the_file_before_cannot_be_trusted(void **state)
{
	const struct belay__audit_options options = { 0 };
	struct belay__audit_log *log = NULL;
	(void)state;

	write_golden(1, SIZE_MAX);
	assert_int_equal(rename(PATH, belay__test_generation(1)), 0);
	assert_int_equal(chmod(belay__test_generation(1), 0666), 0);
	assert_int_equal(belay__audit_log_open(PATH, &options, &log, &error), -EPERM);
	write_golden(1, SIZE_MAX); /* with records of its own it needs no other */
	(void)belay__audit_log_free(open_log());
	assert_int_equal(strtoull(last_line(PATH), NULL, 10), 2);
}

static void the_head_is_what_was_written_last(void **state)
{
	uint8_t head[BELAY__AUDIT_CHAIN_SIZE];
	char hex[2 * BELAY__AUDIT_CHAIN_SIZE + 1];
	struct belay__audit_log *log = open_log();
	(void)state;

	assert_int_equal(belay__audit_log_head(log, head), 0);
	drain(log);
	assert_int_equal(belay__audit_log_head(log, head), 1);
	belay__audit_chain_text(head, hex);
	assert_memory_equal(golden[0] + strlen(golden[0]) - 65, hex, 64);
	(void)belay__audit_log_free(log);
	assert_null(belay__audit_log_free(NULL));
}

#define CASE(name_)                                                                                \
	cmocka_unit_test_setup_teardown(name_, belay__test_make_directory,                         \
		belay__test_remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_log_is_written_as_computed_independently),
		CASE(a_file_torn_at_any_byte_is_gone_on_with),
		CASE(zeros_that_a_power_failure_left_are_a_torn_line),
		CASE(lines_of_other_schemas_are_kept_and_gone_on_behind),
		CASE(a_tail_without_chain_begins_a_new_one),
		CASE(a_rotated_log_is_one_chain),
		CASE(a_kill_between_any_two_steps_of_a_rotation_loses_nothing),
		CASE(a_rotation_over_its_budget_goes_on_in_the_next_drain),
		CASE(a_rotation_half_done_is_pending_until_it_is_done),
		CASE(what_cannot_be_moved_is_written_on_to),
		CASE(a_full_ring_drops_and_says_so_in_the_file),
		CASE(a_drain_ends_at_its_deadline),
		CASE(records_are_synced_every_so_many),
		CASE(a_slow_sync_defers_the_later_ones),
		CASE(records_are_synced_after_an_interval),
		CASE(a_full_file_keeps_records_waiting_and_no_torn_line),
		CASE(a_full_disk_loses_nothing_and_leaves_no_torn_line),
		CASE(a_log_on_descriptors_asks_for_the_next_one),
		CASE(a_new_file_goes_on_from_the_one_before),
		CASE(long_texts_are_cut_and_say_so),
		CASE(files_that_cannot_be_trusted_are_refused),
		CASE(nothing_is_begun_anew_while_the_file_before_cannot_be_trusted),
		CASE(the_head_is_what_was_written_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
