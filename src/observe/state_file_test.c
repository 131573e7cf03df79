#include "observe/state_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <belay/vlp.h>

#include "base/fd.h"
#include "base/file.h"
#include "identity/verdict.h"
#include "observe/names.h"
#include "observe/table.h"
#include "observe/testing.h"

enum { CAPACITY = 8, PAGE = 4096 };

/* Where the header says which of the two tables is in use. */
enum {
	AT_VERSION = 8,
	AT_SLOT_SIZE = 12,
	AT_RECORD_SIZE = 16,
	AT_CAPACITY = 20,
	AT_BOOT_ID = 24,
	AT_IN_USE = 40
};

static struct house house;
static int fds_before;
static char path[128];
static struct belay__table table;

static int begin(void **state)
{
	int fd;
	(void)state;

	fds_before = belay__fd_count();
	house_open(&house);
	(void)snprintf(path, sizeof(path), "%s/state", house.dir);
	fd = open(house.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = belay__on_tmpfs(fd) ? &house : NULL;
	belay__close(fd);
	return 0;
}

static int end(void **state)
{
	(void)state;
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

static void need_memory_file_system(void **state)
{
	if (*state == NULL)
		skip();
}

static int open_state(void)
{
	struct belay_error error = { .text = "" };
	int fd = belay__state_open(path, &error);

	if (fd < 0)
		fail_msg("%s", error.text);
	return fd;
}

/* A process in the table under construction. */
static void add(uint32_t pid, const char *name)
{
	uint32_t at = belay__table_insert(&table, pid);
	struct belay__record *record;

	assert_int_not_equal(at, BELAY__NO_SLOT);
	record = &table.records[table.slots[at].record];
	table.slots[at].status = BELAY_DEGRADED;
	table.slots[at].origin = BELAY__KERNEL_ATTESTED;
	table.slots[at].flags = BELAY__SLOT_HAS_NONCE;
	table.slots[at].last_nonce = pid * 10;
	table.slots[at].start_ticks = pid * 1000;
	table.slots[at].pid_ns = 4026531836;
	record->uid = 5;
	record->beats = pid * 7;
	record->stalls = 2;
	record->name_source = BELAY__NAME_OWN;
	record->verdict = BELAY__VERDICT_BLOCKED;
	(void)snprintf(record->name, sizeof(record->name), "%s", name);
}

/* Maps the file and begins a new table in it. */
static void start_table(struct belay__state_file *ret_file, uint32_t capacity)
{
	struct belay_error error = { .text = "" };

	if (belay__state_map_take(open_state(), capacity, ret_file, &error) < 0)
		fail_msg("%s", error.text);
	belay__table_init(&table, capacity, belay__state_slots(ret_file),
		belay__state_records(ret_file), 1);
}

/* Keeps COUNT processes, numbered from FIRST. */
static void keep(uint32_t first, uint32_t count)
{
	struct belay__state_file file;

	start_table(&file, CAPACITY);
	for (uint32_t i = 0; i < count; i++)
		add(first + i, "kept");
	belay__state_commit(&file);
	belay__state_done(&file);
}

static struct belay__kept *kept;
static uint32_t kept_count;
static const char *reason;

static void read_back(void)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_return_code(fd, errno);
	free(kept);
	kept_count = 77;
	assert_int_equal(belay__state_read(fd, &kept, &kept_count, &reason), 0);
	assert_non_null(reason);
	if (kept == NULL)
		assert_int_equal(kept_count, 0);
}

static int forget(void **state)
{
	free(kept);
	kept = NULL;
	return end(state);
}

static bool is_kept(uint32_t pid)
{
	for (uint32_t i = 0; i < kept_count; i++)
		if (kept[i].slot.pid == pid)
			return true;
	return false;
}

/* A name, or nothing, which a death between two writes leaves. */
static void assert_name(const char name[BELAY__NAME_SIZE])
{
	size_t len = strnlen(name, BELAY__NAME_SIZE);

	assert_in_range(len, 0, BELAY__NAME_MAX);
	assert_true(len == 0 || belay__name_valid(name, len));
}

/* Only what an observer can have written. */
static void assert_believable(void)
{
	for (uint32_t i = 0; i < kept_count; i++) {
		const struct belay__slot *slot = &kept[i].slot;
		const struct belay__record *record = &kept[i].record;

		assert_in_range(slot->pid, 2, INT32_MAX);
		assert_int_equal(record->pid, slot->pid);
		assert_in_range(slot->status, BELAY_OK, BELAY_CRITICAL);
		assert_in_range(slot->origin, BELAY__NETWORK_UNVERIFIED, BELAY__KERNEL_ATTESTED);
		assert_name(record->name);
		assert_name(record->own);
		assert_in_range(record->name_source, BELAY__NAME_NONE, BELAY__NAME_COMM);
		assert_in_range(record->verdict, BELAY__VERDICT_NONE, BELAY__VERDICT_COUNT - 1);
		for (uint32_t other = 0; other < i; other++)
			assert_int_not_equal(kept[other].slot.pid, slot->pid);
	}
}

/* --- round trip --- */

static void what_was_kept_is_read_back_whole(void **state)
{
	struct belay__state_file file;

	need_memory_file_system(state);
	start_table(&file, CAPACITY);
	add(20, "worker#1");
	add(21, "web");
	belay__state_commit(&file);
	belay__state_done(&file);
	assert_int_equal(file.fd, -EBADF);

	read_back();
	assert_string_equal(reason, "");
	assert_int_equal(kept_count, 2);
	assert_believable();
	for (uint32_t i = 0; i < 2; i++) {
		uint32_t pid = kept[i].slot.pid;

		assert_true(pid == 20 || pid == 21);
		assert_int_equal(kept[i].slot.last_nonce, pid * 10);
		assert_int_equal(kept[i].slot.start_ticks, pid * 1000);
		assert_int_equal(kept[i].slot.pid_ns, 4026531836);
		assert_int_equal(kept[i].record.uid, 5);
		assert_int_equal(kept[i].record.beats, pid * 7);
		assert_string_equal(kept[i].record.name, pid == 20 ? "worker#1" : "web");
	}
}

static void an_empty_or_fresh_file_holds_nobody_and_is_nobodys_fault(void **state)
{
	struct belay__state_file file;
	struct stat st;

	need_memory_file_system(state);
	belay__close(open_state());
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	read_back();
	assert_string_equal(reason, "");
	assert_null(kept);
	/* Mapped, but no table was finished. */
	start_table(&file, CAPACITY);
	add(20, "lost");
	belay__state_done(&file);
	read_back();
	assert_string_equal(reason, "");
	assert_int_equal(kept_count, 0);
}

static void a_file_that_cannot_be_read_holds_nobody(void **state)
{
	_cleanup_close_ int fd = -EBADF;

	need_memory_file_system(state);
	keep(20, 2);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	kept_count = 77;
	assert_int_equal(belay__state_read(fd, &kept, &kept_count, &reason), 0);
	assert_null(kept);
	assert_int_equal(kept_count, 0);
	assert_int_equal(belay__state_read(-EBADF, &kept, &kept_count, &reason), 0);
	assert_null(kept);
}

static void tables_take_turns_and_the_last_finished_one_counts(void **state)
{
	need_memory_file_system(state);
	for (uint32_t i = 1; i <= 6; i++) {
		keep(100 * i, i);
		read_back();
		assert_int_equal(kept_count, i);
		assert_true(is_kept(100 * i));
		assert_believable();
	}
}

static void killed_before_the_new_table_is_whole_the_old_one_counts(void **state)
{
	need_memory_file_system(state);
	keep(100, 3);
	for (uint32_t done = 0; done <= 4; done++) {
		struct belay__state_file file;

		start_table(&file, CAPACITY);
		for (uint32_t i = 0; i < done; i++)
			add(200 + i, "new");
		belay__state_done(&file); /* as the kernel does for the killed */
		read_back();
		assert_int_equal(kept_count, 3);
		assert_true(is_kept(100) && is_kept(101) && is_kept(102));
	}
}

/* What a process calls itself cannot make it one of another host. */
static void only_the_observer_puts_a_host_before_a_name(void **state)
{
	struct belay__state_file file;
	struct belay__record *record;

	need_memory_file_system(state);
	start_table(&file, CAPACITY);
	belay__state_commit(&file);
	add(300, "web1/300");
	read_back();
	assert_true(is_kept(300));
	record = &table.records[table.slots[belay__table_find(&table, 300)].record];
	(void)snprintf(record->own, sizeof(record->own), "web1/worker");
	read_back();
	assert_false(is_kept(300));
	belay__state_done(&file);
}

static void a_table_in_use_is_kept_as_it_changes(void **state)
{
	struct belay__state_file file;

	need_memory_file_system(state);
	start_table(&file, CAPACITY);
	belay__state_commit(&file);
	for (uint32_t i = 0; i < CAPACITY; i++) {
		add(300 + i, "grown");
		read_back();
		assert_int_equal(kept_count, i + 1);
		assert_believable();
	}
	belay__table_remove(&table, belay__table_find(&table, 303));
	read_back();
	assert_int_equal(kept_count, CAPACITY - 1);
	assert_false(is_kept(303));
	belay__state_done(&file);
}

static void another_capacity_can_follow(void **state)
{
	struct belay__state_file file;

	need_memory_file_system(state);
	keep(100, 8);
	start_table(&file, 2 * CAPACITY);
	for (uint32_t i = 0; i < 16; i++)
		add(200 + i, "more");
	belay__state_commit(&file);
	belay__state_done(&file);
	read_back();
	assert_int_equal(kept_count, 16);
	keep(100, 3);
	read_back();
	assert_int_equal(kept_count, 3);
	assert_true(is_kept(102));
}

/* --- what cannot be believed --- */

static void write_at(off_t at, const void *bytes, size_t len)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);

	assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
}

static void put_u32(off_t at, uint32_t value)
{
	write_at(at, &value, sizeof(value));
}

static void a_header_that_is_not_ours_is_refused_with_its_reason(void **state)
{
	static const struct {
		off_t at;
		uint32_t value;
	} rows[] = {
		{ 0, 0 },
		{ 4, 0x4c425458 },
		{ AT_VERSION, 0 },
		{ AT_VERSION, UINT32_MAX },
		{ AT_SLOT_SIZE, 63 },
		{ AT_RECORD_SIZE, 0 },
		{ AT_CAPACITY, 0 },
		{ AT_CAPACITY, 65537 },
		{ AT_CAPACITY, UINT32_MAX },
		{ AT_CAPACITY, 4096 },
		{ AT_BOOT_ID, 0x12345678 },
		{ AT_BOOT_ID + 12, 0x12345678 },
	};

	need_memory_file_system(state);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		keep(100, 3);
		put_u32(rows[i].at, rows[i].value);
		read_back();
		assert_null(kept);
		assert_true(reason[0] != '\0');
		assert_int_equal(unlink(path), 0);
	}
	keep(100, 3);
	put_u32(AT_BOOT_ID, 1);
	read_back();
	assert_non_null(strstr(reason, "boot"));
	/* The next table is built on a mended header. */
	keep(100, 2);
	read_back();
	assert_int_equal(kept_count, 2);
}

static void a_table_that_does_not_exist_is_not_in_use(void **state)
{
	static const uint32_t values[] = { 2, 3, 255, UINT32_MAX };

	need_memory_file_system(state);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		keep(100, 3);
		put_u32(AT_IN_USE, values[i]);
		read_back();
		assert_int_equal(kept_count, 0);
		keep(100, 1);
		read_back();
		assert_int_equal(kept_count, 1);
	}
}

static void a_file_cut_anywhere_is_refused(void **state)
{
	struct stat st;

	need_memory_file_system(state);
	keep(100, 8);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size % PAGE, 0);
	for (off_t size = st.st_size - PAGE; size >= 0; size -= PAGE) {
		static const int edges[] = { PAGE - 1, 1, 0 };

		for (unsigned i = 0; i < 3; i++) {
			keep(100, 8);
			assert_int_equal(truncate(path, size + edges[i]), 0);
			read_back();
			assert_null(kept);
			assert_int_equal(reason[0] == '\0', size + edges[i] == 0);
		}
	}
	assert_int_equal(truncate(path, 63), 0);
	read_back();
	assert_null(kept);
	/* And it grows again for the next. */
	keep(100, 8);
	read_back();
	assert_int_equal(kept_count, 8);
}

static void a_file_that_is_longer_than_it_should_be_is_read(void **state)
{
	struct stat st;

	need_memory_file_system(state);
	keep(100, 8);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(truncate(path, st.st_size + 3 * PAGE + 17), 0);
	read_back();
	assert_int_equal(kept_count, 8);
	keep(200, 4);
	read_back();
	assert_int_equal(kept_count, 4);
}

static void what_is_behind_the_table_is_cut_off_and_no_more(void **state)
{
	struct stat before, after;
	int fd;

	need_memory_file_system(state);
	keep(100, 8);
	fd = open(path, O_RDWR | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &before), 0);
	belay__state_trim(fd);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	assert_int_equal(ftruncate(fd, before.st_size + 3 * PAGE + 17), 0);
	belay__state_trim(fd);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size);
	read_back();
	assert_int_equal(kept_count, 8);
	/* What is no state file is left as it is. */
	assert_int_equal(pwrite(fd, "x", 1, 0), 1);
	assert_int_equal(ftruncate(fd, before.st_size + 17), 0);
	belay__state_trim(fd);
	assert_int_equal(fstat(fd, &after), 0);
	assert_int_equal(after.st_size, before.st_size + 17);
	(void)close(fd);
}

/* Every byte of header, slots and records, with a few values each; nothing crashes, and nothing unbelievable comes back. */
static void no_single_wrong_byte_makes_it_believe_nonsense(void **state)
{
	static const uint8_t values[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
	struct stat st;
	uint8_t *bytes;
	int fd;

	need_memory_file_system(state);
	keep(100, 8);
	assert_int_equal(stat(path, &st), 0);
	fd = open(path, O_RDWR | O_CLOEXEC);
	bytes = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_true(bytes != MAP_FAILED);
	for (off_t at = 0; at < st.st_size; at++) {
		uint8_t was = bytes[at];

		/* Most of the file is empty; there, every 13th byte will do. */
		if (at >= 64 && was == 0 && at % 13 != 0)
			continue;
		for (size_t i = 0; i < sizeof(values); i++) {
			bytes[at] = values[i];
			free(kept);
			assert_int_equal(belay__state_read(fd, &kept, &kept_count, &reason), 0);
			assert_in_range(kept_count, 0, CAPACITY);
			assert_believable();
		}
		bytes[at] = was;
	}
	assert_int_equal(munmap(bytes, (size_t)st.st_size), 0);
	belay__close(fd);
}

static void two_processes_with_one_pid_are_one(void **state)
{
	struct belay__state_file file;
	uint32_t at;

	need_memory_file_system(state);
	start_table(&file, CAPACITY);
	add(20, "first");
	add(21, "second");
	at = belay__table_find(&table, 21);
	table.slots[at].pid = 20;
	table.records[table.slots[at].record].pid = 20;
	belay__state_commit(&file);
	belay__state_done(&file);
	read_back();
	assert_int_equal(kept_count, 1);
	assert_int_equal(kept[0].slot.pid, 20);
}

static void a_process_that_was_being_moved_is_taken_once(void **state)
{
	struct belay__state_file file;
	uint32_t at, empty = 0;

	need_memory_file_system(state);
	start_table(&file, CAPACITY);
	add(20, "moved");
	at = belay__table_find(&table, 20);
	while (table.slots[empty].pid != 0)
		empty++;
	table.slots[empty] = table.slots[at];
	belay__state_commit(&file);
	belay__state_done(&file);
	read_back();
	assert_int_equal(kept_count, 1);
}

/* --- files of others --- */

static void assert_refused(int code)
{
	struct belay_error error = { .text = "" };

	assert_int_equal(belay__state_open(path, &error), code);
	assert_int_equal(error.code, code);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(belay__state_open(path, NULL), code);
}

static void make_file(mode_t mode)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	assert_return_code(fd, errno);
	assert_int_equal(fchmod(fd, mode), 0);
	belay__close(fd);
}

static void only_a_private_regular_file_of_ours_with_one_name_is_taken(void **state)
{
	char other[140];

	need_memory_file_system(state);
	(void)snprintf(other, sizeof(other), "%s.other", path);

	make_file(0600);
	belay__close(open_state());
	assert_int_equal(link(path, other), 0);
	assert_refused(-EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink(other, path), 0);
	assert_refused(-ELOOP);
	assert_int_equal(unlink(path), 0);

	make_file(0640);
	assert_refused(-EPERM);
	assert_int_equal(unlink(path), 0);
	make_file(0602);
	assert_refused(-EPERM);
	assert_int_equal(unlink(path), 0);

	assert_int_equal(mkfifo(path, 0600), 0);
	assert_refused(-EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_refused(-EISDIR);
	assert_int_equal(rmdir(path), 0);

	if (geteuid() != 0)
		return;
	make_file(0600);
	assert_int_equal(chown(path, TEST_NOBODY, TEST_NOBODY), 0);
	assert_refused(-EPERM);
}

static void a_file_that_an_observer_keeps_is_not_given_to_another(void **state)
{
	int fd;

	need_memory_file_system(state);
	fd = open_state();
	assert_refused(-EBUSY);
	belay__close(fd);
	belay__close(open_state());
}

static void a_dangling_link_makes_no_file_where_it_points(void **state)
{
	char target[140];

	need_memory_file_system(state);
	(void)snprintf(target, sizeof(target), "%s.target", path);
	assert_int_equal(symlink(target, path), 0);
	assert_refused(-ELOOP);
	assert_int_equal(access(target, F_OK), -1);
}

static void a_directory_that_is_not_there_is_named(void **state)
{
	struct belay_error error = { .text = "" };
	char nowhere[140];
	(void)state;

	(void)snprintf(nowhere, sizeof(nowhere), "%s/no/state", house.dir);
	assert_int_equal(belay__state_open(nowhere, &error), -ENOENT);
	assert_non_null(strstr(error.text, nowhere));
}

static void elsewhere_than_in_memory_no_file_is_made(void **state)
{
	char directory[] = "/tmp/belay-test-XXXXXX", file[64];
	int fd, r;
	bool memory;
	(void)state;

	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	memory = belay__on_tmpfs(fd);
	belay__close(fd);
	(void)snprintf(file, sizeof(file), "%s/state", directory);
	r = memory ? -EXDEV : belay__state_open(file, NULL);
	assert_int_equal(r, -EXDEV);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(rmdir(directory), 0);
	if (memory)
		skip();
}

/* --- no room --- */

static int meets_a_full_file_system(void *argument)
{
	struct belay__state_file file = { .fd = 4711 };
	struct belay_error error = { .text = "" };
	int fd;
	(void)argument;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("none", house.dir, "tmpfs", 0, "size=64k,mode=0700") < 0)
		return 77;
	keep(100, 3); /* 8 processes need less than 64 KiB */
	fd = open_state();
	assert_int_equal(belay__state_map_take(fd, 4096, &file, &error), -ENOSPC);
	assert_int_equal(error.code, -ENOSPC);
	assert_true(error.text[0] != '\0');
	assert_int_equal(file.fd, 4711);
	assert_return_code(fcntl(fd, F_GETFD), errno); /* still ours */
	belay__close(fd);
	/* What was kept before is still there. */
	read_back();
	assert_int_equal(kept_count, 3);
	return 0;
}

static void a_full_file_system_is_told_at_once_and_costs_nothing(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	in_child(meets_a_full_file_system, NULL);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, forget)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_the_observer_puts_a_host_before_a_name),
		TEST(what_was_kept_is_read_back_whole),
		TEST(an_empty_or_fresh_file_holds_nobody_and_is_nobodys_fault),
		TEST(a_file_that_cannot_be_read_holds_nobody),
		TEST(tables_take_turns_and_the_last_finished_one_counts),
		TEST(killed_before_the_new_table_is_whole_the_old_one_counts),
		TEST(a_table_in_use_is_kept_as_it_changes),
		TEST(another_capacity_can_follow),
		TEST(a_header_that_is_not_ours_is_refused_with_its_reason),
		TEST(a_table_that_does_not_exist_is_not_in_use),
		TEST(a_file_cut_anywhere_is_refused),
		TEST(a_file_that_is_longer_than_it_should_be_is_read),
		TEST(what_is_behind_the_table_is_cut_off_and_no_more),
		TEST(no_single_wrong_byte_makes_it_believe_nonsense),
		TEST(two_processes_with_one_pid_are_one),
		TEST(a_process_that_was_being_moved_is_taken_once),
		TEST(only_a_private_regular_file_of_ours_with_one_name_is_taken),
		TEST(a_file_that_an_observer_keeps_is_not_given_to_another),
		TEST(a_dangling_link_makes_no_file_where_it_points),
		TEST(a_directory_that_is_not_there_is_named),
		TEST(elsewhere_than_in_memory_no_file_is_made),
		TEST(a_full_file_system_is_told_at_once_and_costs_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
