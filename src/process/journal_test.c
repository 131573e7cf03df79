#include "process/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "identity/identity.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { STARTED_AT = 64, DONE_AT = 96 };

static int new_file(void)
{
	int fd = memfd_create("journal", MFD_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

/* The same file, opened once more. */
static int open_again(int fd)
{
	char path[64];
	int again;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_CLOEXEC);
	assert_true(again >= 0);
	return again;
}

static struct belay__journal *take(int fd)
{
	struct belay__journal *journal = NULL;

	assert_int_equal(belay__journal_new(fd, &journal, NULL), 0);
	return journal;
}

static uint64_t intend(struct belay__journal *journal, uint32_t step)
{
	const struct belay__intent intent = {
		.pid = 4711,
		.uid = 1000,
		.start_ticks = 123456,
		.rule = UINT64_C(0xFEDCBA9876543210),
		.step = step,
		.realtime_ns = UINT64_C(1700000000000000000),
	};
	uint64_t id = 0;

	assert_int_equal(belay__journal_intend(journal, &intent, &id), 0);
	assert_true(id > 0);
	return id;
}

/* What a child of action ID would write. */
static void write_started(const struct belay__journal *journal, uint64_t id)
{
	struct belay__started started = { .magic = BELAY__STARTED_MAGIC,
		.pid = 815,
		.id = id,
		.start_ticks = 99 };
	struct belay__spawn_record record;

	started.check = belay__fnv(&started, offsetof(struct belay__started, check));
	assert_int_equal(belay__journal_record(journal, id, &record), 0);
	assert_int_equal(pwrite(record.fd, &started, sizeof(started), record.offset),
		sizeof(started));
}

struct image {
	unsigned char bytes[BELAY__JOURNAL_BYTES];
};

static struct image before, after, torn;

static void save(int fd, struct image *image)
{
	assert_int_equal(pread(fd, image->bytes, sizeof(image->bytes), 0), sizeof(image->bytes));
}

static int file_of(const struct image *image)
{
	int fd = new_file();

	assert_int_equal(pwrite(fd, image->bytes, sizeof(image->bytes), 0), sizeof(image->bytes));
	return fd;
}

enum told { NOBODY, ONLY_INTENDED, STARTED_UNKNOWN, STARTED };

/* What the next runner is told of IMAGE, which has at most one unfinished action. */
static enum told told_by(const struct image *image)
{
	_cleanup_close_ int fd = file_of(image);
	struct belay__journal *journal = take(fd);
	struct belay__unfinished found, none;
	unsigned cursor = 0;
	enum told told = NOBODY;

	if (belay__journal_next(journal, &cursor, &found) == 1) {
		told = !found.started ? ONLY_INTENDED : found.pid == 0 ? STARTED_UNKNOWN : STARTED;
		assert_int_equal(belay__journal_next(journal, &cursor, &none), 0);
		assert_int_equal(found.intent.pid, 4711);
		if (told == STARTED) {
			assert_int_equal(found.pid, 815);
			assert_int_equal(found.start_ticks, 99);
		}
	}
	assert_int_equal(belay__journal_count(journal), told != NOBODY);
	(void)belay__journal_free(journal);
	return told;
}

static void a_new_file_becomes_an_empty_journal(void **state)
{
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	struct belay__unfinished none;
	unsigned cursor = 0;
	(void)state;

	assert_true(belay__journal_was_reset(journal));
	assert_int_equal(belay__journal_next(journal, &cursor, &none), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), BELAY__JOURNAL_BYTES);
	(void)belay__journal_free(journal);
	journal = take(fd);
	assert_false(belay__journal_was_reset(journal));
	assert_null(belay__journal_free(journal));
	assert_null(belay__journal_free(NULL));
}

static void an_intent_is_told_until_it_is_finished(void **state)
{
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	uint64_t first = intend(journal, 3), second = intend(journal, 4);
	struct belay__unfinished found;
	unsigned cursor = 0;
	(void)state;

	assert_true(second > first);
	assert_int_equal(belay__journal_finish(journal, first, 1, -7), 0);
	assert_int_equal(belay__journal_finish(journal, first, 1, -7), -ENOENT);
	assert_int_equal(belay__journal_finish(journal, 0, 1, 0), -ENOENT);
	(void)belay__journal_free(journal);

	journal = take(fd);
	assert_int_equal(belay__journal_count(journal), 1);
	assert_int_equal(belay__journal_next(journal, &cursor, &found), 1);
	assert_true(found.intent.id == second);
	assert_int_equal(found.intent.pid, 4711);
	assert_int_equal(found.intent.uid, 1000);
	assert_int_equal(found.intent.start_ticks, 123456);
	assert_true(found.intent.rule == UINT64_C(0xFEDCBA9876543210));
	assert_int_equal(found.intent.step, 4);
	assert_true(found.intent.realtime_ns == UINT64_C(1700000000000000000));
	assert_false(found.started);
	assert_int_equal(belay__journal_next(journal, &cursor, &found), 0);
	assert_int_equal(belay__journal_finish(journal, second, 0, 0), 0);
	assert_true(intend(journal, 0) > second);
	(void)belay__journal_free(journal);
}

/* Slot 1 is used again: all slots were, and the one after the last comes next. */
static void an_intent_torn_at_any_length_was_never_there(void **state)
{
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	unsigned char *slot = torn.bytes + BELAY__JOURNAL_SLOT;
	(void)state;

	for (unsigned i = 0; i < BELAY__JOURNAL_MAX; i++) {
		uint64_t id = intend(journal, i);

		write_started(journal, id);
		assert_int_equal(belay__journal_finish(journal, id, 1, 0), 0);
	}
	save(fd, &before);
	(void)intend(journal, 5);
	save(fd, &after);
	(void)belay__journal_free(journal);
	assert_int_equal(told_by(&before), NOBODY);

	for (size_t wiped = 0; wiped <= BELAY__JOURNAL_SLOT; wiped++) {
		torn = before;
		memset(slot, 0, wiped);
		assert_int_equal(told_by(&torn), NOBODY);
	}
	for (size_t written = 0; written <= STARTED_AT; written++) {
		memcpy(slot, after.bytes + BELAY__JOURNAL_SLOT, written);
		assert_int_equal(told_by(&torn), written < STARTED_AT ? NOBODY : ONLY_INTENDED);
	}
	assert_memory_equal(torn.bytes, after.bytes, sizeof(torn.bytes));
}

static void a_start_torn_at_any_length_is_never_taken_for_none(void **state)
{
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	uint64_t id = intend(journal, 1);
	(void)state;

	save(fd, &torn);
	write_started(journal, id);
	save(fd, &after);
	(void)belay__journal_free(journal);
	for (size_t n = 0; n <= 32; n++) {
		size_t at = BELAY__JOURNAL_SLOT + STARTED_AT;

		memcpy(torn.bytes + at, after.bytes + at, n);
		assert_int_equal(told_by(&torn),
			n == 0           ? ONLY_INTENDED
				: n < 32 ? STARTED_UNKNOWN
					 : STARTED);
	}
}

static void an_end_torn_at_any_length_leaves_the_action_unfinished(void **state)
{
	(void)state;

	for (int was_started = 0; was_started < 2; was_started++) {
		_cleanup_close_ int fd = new_file();
		struct belay__journal *journal = take(fd);
		uint64_t id = intend(journal, 1);

		if (was_started)
			write_started(journal, id);
		save(fd, &torn);
		assert_int_equal(belay__journal_finish(journal, id, 2, 9), 0);
		save(fd, &after);
		(void)belay__journal_free(journal);
		for (size_t n = 0; n <= 32; n++) {
			size_t at = BELAY__JOURNAL_SLOT + DONE_AT;
			enum told expected = was_started ? STARTED
				: n == 0                 ? ONLY_INTENDED
							 : STARTED_UNKNOWN;

			memcpy(torn.bytes + at, after.bytes + at, n);
			assert_int_equal(told_by(&torn), n == 32 ? NOBODY : expected);
		}
	}
}

static void no_damage_makes_a_started_action_run_again(void **state)
{
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	(void)state;

	write_started(journal, intend(journal, 1));
	save(fd, &before);
	(void)belay__journal_free(journal);
	assert_int_equal(told_by(&before), STARTED);
	for (size_t at = 0; at < BELAY__JOURNAL_SLOT; at++)
		for (int bit = 0; bit < 8; bit++) {
			torn = before;
			torn.bytes[BELAY__JOURNAL_SLOT + at] ^= (unsigned char)(1 << bit);
			assert_int_not_equal(told_by(&torn), ONLY_INTENDED);
		}
}

static void a_header_that_is_not_ours_empties_the_file(void **state)
{
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	(void)state;

	(void)intend(journal, 1);
	save(fd, &before);
	(void)belay__journal_free(journal);
	for (size_t at = 0; at < BELAY__JOURNAL_SLOT; at += 5) {
		_cleanup_close_ int damaged = -EBADF;

		torn = before;
		torn.bytes[at] ^= 1;
		damaged = file_of(&torn);
		journal = take(damaged);
		assert_true(belay__journal_was_reset(journal));
		assert_int_equal(belay__journal_count(journal), 0);
		(void)belay__journal_free(journal);
	}
}

static void a_journal_of_another_boot_is_emptied(void **state)
{
	_cleanup_close_ int fd = new_file(), other = -EBADF;
	struct belay__journal *journal = take(fd);
	uint64_t check;
	(void)state;

	(void)intend(journal, 1);
	save(fd, &before);
	(void)belay__journal_free(journal);
	before.bytes[8] ^= 0xFF;
	check = belay__fnv(before.bytes, BELAY__JOURNAL_SLOT - sizeof(check));
	memcpy(before.bytes + BELAY__JOURNAL_SLOT - sizeof(check), &check, sizeof(check));
	other = file_of(&before);
	journal = take(other);
	assert_true(belay__journal_was_reset(journal));
	assert_int_equal(belay__journal_count(journal), 0);
	(void)belay__journal_free(journal);
}

static void noise_is_no_journal_and_no_action(void **state)
{
	_cleanup_close_ int fd = -EBADF;
	struct belay__journal *journal = take(fd = new_file());
	(void)state;

	save(fd, &before);
	(void)belay__journal_free(journal);
	srandom(1);
	for (size_t at = BELAY__JOURNAL_SLOT; at < sizeof(before.bytes); at++)
		before.bytes[at] = (unsigned char)random();
	assert_int_equal(told_by(&before), NOBODY);
	fd = belay__close(fd);
	fd = file_of(&before);
	journal = take(fd);
	assert_int_equal(belay__journal_torn(journal), BELAY__JOURNAL_MAX);
	(void)belay__journal_free(journal);
}

static void a_full_journal_refuses_and_loses_nothing(void **state)
{
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	const struct belay__intent intent = { .pid = 1 };
	uint64_t ids[BELAY__JOURNAL_MAX], untouched = 4711;
	struct belay__unfinished found;
	unsigned cursor = 0;
	(void)state;

	for (unsigned i = 0; i < BELAY__JOURNAL_MAX; i++)
		ids[i] = intend(journal, i);
	assert_int_equal(belay__journal_intend(journal, &intent, &untouched), -ENOSPC);
	assert_int_equal(untouched, 4711);
	assert_int_equal(belay__journal_finish(journal, ids[100], 1, 0), 0);
	/* Round and round in the one free slot. */
	for (int i = 0; i < 1000; i++) {
		ids[100] = intend(journal, 100);
		assert_int_equal(belay__journal_finish(journal, ids[100], 1, 0), 0);
	}
	ids[100] = intend(journal, 100);
	(void)belay__journal_free(journal);

	journal = take(fd);
	for (unsigned i = 0; i < BELAY__JOURNAL_MAX; i++) {
		assert_int_equal(belay__journal_next(journal, &cursor, &found), 1);
		assert_true(found.intent.id == ids[i]);
		assert_int_equal(found.intent.step, i);
	}
	assert_int_equal(belay__journal_next(journal, &cursor, &found), 0);
	(void)belay__journal_free(journal);
}

/* Random operations and restarts, against a plain list. */
static void it_tells_what_a_list_would(void **state)
{
	static uint64_t open_ids[BELAY__JOURNAL_MAX];
	_cleanup_close_ int fd = new_file();
	struct belay__journal *journal = take(fd);
	unsigned count = 0;
	uint64_t last = 0;
	(void)state;

	srandom(2);
	for (int i = 0; i < 20000; i++) {
		long what = random() % 100;

		if (what < 50 && count < BELAY__JOURNAL_MAX) {
			uint64_t id = intend(journal, 0);

			assert_true(id > last);
			last = id;
			open_ids[count++] = id;
			if (what < 25)
				write_started(journal, id);
		} else if (what < 99 && count > 0) {
			unsigned which = (unsigned)random() % count;

			assert_int_equal(belay__journal_finish(journal, open_ids[which], 1, 0), 0);
			open_ids[which] = open_ids[--count];
		} else {
			(void)belay__journal_free(journal);
			journal = take(fd);
			assert_false(belay__journal_was_reset(journal));
		}
		assert_int_equal(belay__journal_count(journal), count);
	}
	(void)belay__journal_free(journal);
}

static void descriptors_that_cannot_be_a_journal_are_refused(void **state)
{
	_cleanup_close_ int fd = new_file(), reading = -EBADF;
	struct belay__journal *journal = NULL;
	struct belay_error error;
	char path[64];
	int ends[2];
	(void)state;

	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	reading = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(belay__journal_new(reading, &journal, NULL), -EINVAL);
	assert_int_equal(fcntl(fd, F_SETFL, O_APPEND), 0);
	assert_int_equal(belay__journal_new(fd, &journal, NULL), -EINVAL);
	assert_int_equal(belay__journal_new(-EBADF, &journal, &error), -EBADF);
	assert_string_equal(error.text, "cannot take the journal: Bad file descriptor");
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	assert_int_equal(belay__journal_new(ends[0], &journal, NULL), -EINVAL);
	(void)belay__close(ends[0]);
	(void)belay__close(ends[1]);
	assert_null(journal);
}

static void nobody_reads_it_while_a_child_may_still_say_that_it_started(void **state)
{
	_cleanup_close_ int mine = new_file(), next = open_again(mine);
	struct belay__journal *journal = take(mine), *other = NULL;
	struct belay_error error;
	int status, go[2];
	pid_t child;
	(void)state;

	assert_int_equal(belay__journal_new(next, &other, &error), -EBUSY);
	assert_int_equal(error.code, -EBUSY);

	/* A child between its birth and its exec, whose runner dies. */
	assert_int_equal(pipe2(go, O_CLOEXEC), 0);
	child = fork();
	if (child == 0) {
		char byte;

		(void)belay__close(go[1]);
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
	}
	assert_true(child > 0);
	(void)belay__journal_free(journal);
	mine = belay__close(mine);
	assert_int_equal(belay__journal_new(next, &other, NULL), -EBUSY);
	(void)belay__close(go[0]);
	(void)belay__close(go[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(belay__journal_new(next, &other, NULL), 0);
	(void)belay__journal_free(other);
}

/* A runner of its own that kills itself once it has come to STEP. */
enum crash { AFTER_INTENT, AFTER_START, AFTER_FAILED_START, AFTER_DONE };

static void run_until(enum crash step, int fd, int stdin_end)
{
	static const char *const argv[] = { "cat", NULL };
	const struct belay__spawn_fd fds[] = { { stdin_end, 0 } };
	struct belay__spawn_record record;
	struct belay__spawn spawn = {
		.path = step == AFTER_FAILED_START ? "/does/not/exist" : "/bin/cat",
		.argv = argv,
		.fds = fds,
		.fd_count = 1,
		.new_group = true,
		.record = &record,
	};
	struct belay__journal *journal;
	const struct belay__intent intent = { .pid = 4711 };
	struct belay__child child;
	uint64_t id;
	int r;

	if (belay__journal_new(fd, &journal, NULL) < 0 ||
		belay__journal_intend(journal, &intent, &id) < 0)
		_exit(1);
	if (step == AFTER_INTENT)
		(void)raise(SIGKILL);
	(void)belay__journal_record(journal, id, &record);
	r = belay__spawn(&spawn, &child, NULL);
	if ((r < 0) != (step == AFTER_FAILED_START))
		_exit(2);
	if (step != AFTER_DONE)
		(void)raise(SIGKILL);
	if (belay__journal_finish(journal, id, 1, 0) < 0)
		_exit(3);
	(void)raise(SIGKILL);
}

static void crash(enum crash step, int file, int stdin_end)
{
	pid_t runner = fork();
	int status;

	assert_true(runner >= 0);
	if (runner == 0) {
		run_until(step, open_again(file), stdin_end);
		_exit(4);
	}
	assert_int_equal(waitpid(runner, &status, 0), runner);
	assert_int_equal(status, SIGKILL);
}

static void after_a_crash_at_any_step_nothing_is_lost_and_nothing_can_run_twice(void **state)
{
	static const struct {
		enum crash step;
		bool told, started, alive;
	} cases[] = {
		{ AFTER_INTENT, true, false, false },
		{ AFTER_START, true, true, true },
		{ AFTER_FAILED_START, true, true, false },
		{ AFTER_DONE, false, false, false },
	};
	(void)state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		_cleanup_close_ int fd = new_file();
		struct belay__unfinished found = { 0 };
		struct belay__journal *journal;
		unsigned cursor = 0;
		int cat_stdin[2];

		assert_int_equal(pipe2(cat_stdin, O_CLOEXEC), 0);
		crash(cases[i].step, fd, cat_stdin[0]);
		journal = take(fd);
		assert_false(belay__journal_was_reset(journal));
		assert_int_equal(belay__journal_next(journal, &cursor, &found), cases[i].told);
		assert_int_equal(found.started, cases[i].started);
		if (cases[i].started) {
			struct belay__identity identity;
			int r = belay__identity_open(found.pid, true, &identity);

			assert_true(found.pid > 0 && found.start_ticks > 0);
			assert_int_equal(r, cases[i].alive ? 0 : -ESRCH);
			if (r == 0) {
				assert_true(identity.start_ticks == found.start_ticks);
				belay__identity_done(&identity);
			}
		}
		(void)belay__journal_free(journal);
		(void)belay__close(cat_stdin[0]);
		(void)belay__close(cat_stdin[1]);
	}
}

static void a_start_that_cannot_be_recorded_does_not_happen(void **state)
{
	static const char *const argv[] = { "sh", "-c", "echo x >&7", NULL };
	_cleanup_close_ int reading = -EBADF, writing = -EBADF, nothing = -EBADF;
	struct belay__spawn_record record = { .offset = 0, .id = 1 };
	struct belay__spawn_fd passed[1];
	struct belay__spawn spawn = {
		.path = "/bin/sh",
		.argv = argv,
		.fds = passed,
		.fd_count = 1,
		.record = &record,
	};
	struct belay__child child;
	struct belay_error error;
	int ends[2];
	char byte;
	(void)state;

	nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	reading = ends[0];
	writing = ends[1];
	passed[0] = (struct belay__spawn_fd){ writing, 7 };
	record.fd = nothing;
	assert_int_equal(belay__spawn(&spawn, &child, &error), -EBADF);
	assert_string_equal(error.text,
		"cannot run /bin/sh: cannot record its start: Bad file descriptor");
	writing = belay__close(writing);
	assert_int_equal(read(reading, &byte, 1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_file_becomes_an_empty_journal),
		cmocka_unit_test(an_intent_is_told_until_it_is_finished),
		cmocka_unit_test(an_intent_torn_at_any_length_was_never_there),
		cmocka_unit_test(a_start_torn_at_any_length_is_never_taken_for_none),
		cmocka_unit_test(an_end_torn_at_any_length_leaves_the_action_unfinished),
		cmocka_unit_test(no_damage_makes_a_started_action_run_again),
		cmocka_unit_test(a_header_that_is_not_ours_empties_the_file),
		cmocka_unit_test(a_journal_of_another_boot_is_emptied),
		cmocka_unit_test(noise_is_no_journal_and_no_action),
		cmocka_unit_test(a_full_journal_refuses_and_loses_nothing),
		cmocka_unit_test(it_tells_what_a_list_would),
		cmocka_unit_test(descriptors_that_cannot_be_a_journal_are_refused),
		cmocka_unit_test(nobody_reads_it_while_a_child_may_still_say_that_it_started),
		cmocka_unit_test(
			after_a_crash_at_any_step_nothing_is_lost_and_nothing_can_run_twice),
		cmocka_unit_test(a_start_that_cannot_be_recorded_does_not_happen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
