/* Which files a role opens, makes and removes: Landlock. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "observe/cage_testing.h"

#define LANDLOCK_KNOWN 6

static int reads_another_file(void)
{
	return open("/etc/passwd", O_RDONLY | O_CLOEXEC);
}

static void no_file_is_read_but_those_of_proc(void **state)
{
	(void)state;
	if (!CAGED || landlock_abi() == 0)
		skip();
	assert_int_equal(caged(BELAY__CAGE_GATE, NULL, reads_another_file), EACCES);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, NULL, reads_another_file), EACCES);
	/* Who is in such a domain may not look at others, which is the prober's work. */
	assert_int_equal(caged(BELAY__CAGE_PROBER, NULL, reads_another_file), 0);
}

static void make_note(void)
{
	int fd = openat(directory_fd, "note", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	(void)close(fd);
}

static int reads_a_note(void)
{
	return openat(directory_fd, "note", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static int removes_another_file(void)
{
	return unlinkat(AT_FDCWD, outside, 0);
}

static void the_gate_reads_and_removes_notes_in_their_directory_only(void **state)
{
	const struct belay__cage_files files = { .removable_dirfd = directory_fd };

	(void)state;
	if (!CAGED)
		skip();
	make_note();
	assert_int_equal(caged(BELAY__CAGE_GATE, &files, reads_a_note), 0);
	assert_int_equal(caged(BELAY__CAGE_GATE, &files, removes_a_file), 0);
	assert_int_equal(faccessat(directory_fd, "note", F_OK, 0), -1);
	if (landlock_abi() > 0)
		assert_int_equal(caged(BELAY__CAGE_GATE, &files, removes_another_file), EACCES);
	assert_int_equal(caged(BELAY__CAGE_GATE, &files, makes_a_file), DIES);
}

static int replaces_its_file(void)
{
	char temporary[112];
	int fd;

	(void)snprintf(temporary, sizeof(temporary), "%s.tmp", inside);
	fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "x", 1) != 1 || fchmod(fd, 0644) < 0)
		return -1;
	return rename(temporary, inside);
}

static int makes_a_file_elsewhere(void)
{
	char path[112];

	(void)snprintf(path, sizeof(path), "%s.tmp", outside);
	return open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
}

static void the_exporter_replaces_its_text_file_and_no_other(void **state)
{
	const struct belay__cage_files files = { .textfile = inside, .removable_dirfd = -EBADF };

	(void)state;
	if (!CAGED)
		skip();
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, replaces_its_file), 0);
	if (landlock_abi() > 0)
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, makes_a_file_elsewhere),
			EACCES);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, NULL, replaces_its_file), DIES);
	assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, opens_for_writing), DIES);
	assert_int_equal(unlink(inside), 0);
}

static int reads_its_textfile_directory(void)
{
	return open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Each version's ruleset is one that the kernel takes, and forbids what it is there for. */
static void every_version_of_landlock_is_used_as_it_is(void **state)
{
	const struct belay__cage_files files = { .textfile = inside, .removable_dirfd = -EBADF };

	(void)state;
	if (!CAGED || landlock_abi() == 0)
		skip();
	for (int version = 1; version <= landlock_abi(); version++) {
		struct belay__cage_report report = { 0 };
		pid_t child;

		belay__cage_landlock_most = version;
		child = fork();
		if (child == 0)
			_exit(belay__cage(BELAY__CAGE_GATE, &files, &report, NULL) < 0
					? 99
					: report.landlock_abi);
		assert_int_equal(result_of(child),
			version < LANDLOCK_KNOWN ? version : LANDLOCK_KNOWN);
		assert_int_equal(caged(BELAY__CAGE_GATE, NULL, reads_another_file), EACCES);
		assert_int_equal(caged(BELAY__CAGE_GATE, NULL, reads_proc), 0);
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, reads_its_textfile_directory),
			EACCES);
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, replaces_its_file), 0);
		assert_int_equal(caged(BELAY__CAGE_EXPORTER, &files, makes_a_file_elsewhere),
			EACCES);
		assert_int_equal(unlink(inside), 0);
	}
	belay__cage_landlock_most = INT_MAX;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_file_is_read_but_those_of_proc),
		cmocka_unit_test(the_gate_reads_and_removes_notes_in_their_directory_only),
		cmocka_unit_test(the_exporter_replaces_its_text_file_and_no_other),
		cmocka_unit_test(every_version_of_landlock_is_used_as_it_is),
	};

	return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
