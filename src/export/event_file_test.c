#include "export/event_file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"

static char directory[64], path[96];
static struct belay_error error;

static int remove_one(const char *name, const struct stat *stat, int kind, struct FTW *ftw)
{
	(void)stat;
	(void)kind;
	(void)ftw;
	return remove(name);
}

static int make_directory(void **state)
{
	(void)state;
	(void)snprintf(directory, sizeof(directory), "/tmp/belay-events-XXXXXX");
	if (mkdtemp(directory) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/events.jsonl", directory);
	memset(&error, 0, sizeof(error));
	return 0;
}

static int remove_directory(void **state)
{
	(void)state;
	return nftw(directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *generation(unsigned i)
{
	static char name[128];

	(void)snprintf(name, sizeof(name), "%s.%u", path, i);
	return name;
}

static void write_file(const char *name, const char *text)
{
	FILE *file = fopen(name, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

static void assert_file_holds(const char *name, const char *wanted)
{
	char text[4096];

	assert_true(belay__read_file(AT_FDCWD, name, text, sizeof(text)) >= 0);
	assert_string_equal(text, wanted);
}

static void open_file(struct belay__event_file *file)
{
	int fd = belay__event_file_open(path, &error);

	if (fd < 0)
		fail_msg("%s", error.text);
	belay__event_file_init_take(file, fd);
}

static int append(struct belay__event_file *file, const char *line)
{
	return belay__event_file_append(file, line, strlen(line));
}

/* Makes PATH one BYTES long, all holes. */
static void make_sparse(const char *name, uint64_t bytes)
{
	write_file(name, "");
	assert_int_equal(truncate(name, (off_t)bytes), 0);
}

/* What tail gave, line after line. */
static char given[4096];

static void note(void *data, const char *line, size_t len)
{
	size_t used = strlen(given);

	assert_ptr_equal(data, given);
	(void)snprintf(given + used, sizeof(given) - used, "%.*s|", (int)len, line);
}

static int64_t tail(uint64_t count)
{
	given[0] = '\0';
	return belay__event_file_tail(path, count, note, given);
}

static void events_are_appended_and_counted(void **state)
{
	struct belay__event_file file;
	struct stat stat_;
	(void)state;

	open_file(&file);
	assert_int_equal(append(&file, "{\"seq\":1}\n"), 0);
	assert_int_equal(append(&file, "{\"seq\":2}\n"), 0);
	assert_int_equal(file.written, 2);
	assert_int_equal(file.bytes, 20);
	belay__event_file_done(&file);
	assert_int_equal(file.fd, -EBADF);

	open_file(&file);
	assert_int_equal(file.bytes, 20);
	assert_int_equal(append(&file, "{\"seq\":3}\n"), 0);
	belay__event_file_done(&file);
	assert_file_holds(path, "{\"seq\":1}\n{\"seq\":2}\n{\"seq\":3}\n");
	assert_int_equal(stat(path, &stat_), 0);
	assert_int_equal(stat_.st_mode & 07777, 0600);
}

static void without_a_file_every_event_is_lost_and_counted(void **state)
{
	struct belay__event_file file;
	(void)state;

	belay__event_file_init_take(&file, -EBADF);
	assert_int_equal(append(&file, "{}\n"), 0);
	assert_int_equal(append(&file, "{}\n"), 0);
	assert_int_equal(file.lost, 2);
	assert_int_equal(file.written, 0);
	belay__event_file_done(&file);
}

static void a_missing_directory_is_made(void **state)
{
	char deep[160];
	int fd;
	(void)state;

	(void)snprintf(deep, sizeof(deep), "%s/a/b/events.jsonl", directory);
	fd = belay__event_file_open(deep, &error);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(access(deep, F_OK), 0);
}

static void a_file_is_full_at_its_limit_and_not_before(void **state)
{
	struct belay__event_file file;
	(void)state;

	make_sparse(path, BELAY__EVENT_FILE_BYTES - 8); /* opening it ends its torn line */
	open_file(&file);
	assert_false(file.torn);
	assert_int_equal(append(&file, "{  }\n"), 0); /* 5 bytes: 2 are left */
	assert_int_equal(append(&file, "\n"), 0);
	assert_int_equal(append(&file, "\n"), 1);
	assert_int_equal(append(&file, "\n"), 1); /* until it is rotated */
	belay__event_file_done(&file);
}

static void rotation_keeps_five_files(void **state)
{
	char text[32];
	(void)state;

	for (unsigned i = 1; i <= 7; i++) {
		struct belay__event_file file;

		open_file(&file);
		(void)snprintf(text, sizeof(text), "{\"seq\":%u}\n", i);
		assert_int_equal(append(&file, text), 0);
		belay__event_file_done(&file);

		belay__event_file_init_take(&file, belay__event_file_rotate(path, &error));
		assert_true(file.fd >= 0);
		assert_int_equal(file.bytes, 0);
		belay__event_file_done(&file);
	}
	assert_file_holds(path, "");
	assert_file_holds(generation(1), "{\"seq\":7}\n");
	assert_file_holds(generation(4), "{\"seq\":4}\n");
	assert_int_equal(access(generation(5), F_OK), -1);
	assert_int_equal(tail(100), 4);
	assert_string_equal(given, "{\"seq\":4}|{\"seq\":5}|{\"seq\":6}|{\"seq\":7}|");
}

static void a_rotation_that_cannot_move_keeps_the_file(void **state)
{
	(void)state;

	write_file(path, "{\"seq\":1}\n");
	write_file(generation(3), "{\"seq\":0}\n");
	assert_int_equal(mkdir(generation(4), 0700), 0);
	assert_int_equal(belay__event_file_rotate(path, &error), -EISDIR);
	assert_non_null(strstr(error.text, "events.jsonl.4"));
	assert_file_holds(generation(3), "{\"seq\":0}\n");
	assert_file_holds(path, "{\"seq\":1}\n");
}

static void links_and_foreign_files_are_refused(void **state)
{
	char target[160];
	(void)state;

	(void)snprintf(target, sizeof(target), "%s/target", directory);
	write_file(target, "precious\n");
	assert_int_equal(symlink(target, path), 0);
	assert_int_equal(belay__event_file_open(path, &error), -ELOOP);
	assert_non_null(strstr(error.text, path));
	assert_int_equal(tail(1), -ELOOP);

	/* A rotation moves the link away and goes on in a file of its own. */
	int fd = belay__event_file_rotate(path, &error);

	assert_true(fd >= 0);
	(void)close(fd);
	assert_file_holds(target, "precious\n");
	assert_int_equal(unlink(generation(1)), 0);
	assert_int_equal(unlink(path), 0);

	assert_int_equal(link(target, path), 0);
	assert_int_equal(belay__event_file_open(path, &error), -EPERM);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_true(belay__event_file_open(path, &error) < 0);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(belay__event_file_open(path, &error) < 0);
	assert_int_equal(tail(1), -EINVAL);
	assert_int_equal(unlink(path), 0);

	if (geteuid() != 0)
		return;
	write_file(path, "");
	assert_int_equal(chown(path, 65534, 65534), 0);
	assert_int_equal(belay__event_file_open(path, &error), -EPERM);
}

static void a_torn_line_is_ended_before_the_next(void **state)
{
	static const struct {
		const char *before, *after;
	} cases[] = {
		{ "{\"seq\":1}\n{\"se", "{\"seq\":1}\n{\"se\n{\"seq\":9}\n" },
		{ "{\"seq\":1}\n", "{\"seq\":1}\n{\"seq\":9}\n" },
		{ "", "{\"seq\":9}\n" },
		{ "{", "{\n{\"seq\":9}\n" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct belay__event_file file;

		write_file(path, cases[i].before);
		assert_int_equal(chmod(path, 0600), 0);
		open_file(&file);
		assert_int_equal(append(&file, "{\"seq\":9}\n"), 0);
		assert_int_equal(file.bytes, strlen(cases[i].after));
		belay__event_file_done(&file);
		assert_file_holds(path, cases[i].after);
		assert_int_equal(tail(1), 1);
		assert_string_equal(given, "{\"seq\":9}|");
	}
}

/* The kernel cuts the write at the limit, as it does at the end of a disk. */
static void a_full_disk_costs_only_the_events_that_did_not_fit(void **state)
{
	struct rlimit old, limit;
	struct belay__event_file file;
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	(void)signal(SIGXFSZ, SIG_IGN);
	open_file(&file);
	assert_int_equal(append(&file, "{\"seq\":1}\n"), 0);

	limit = old;
	limit.rlim_cur = 14;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(append(&file, "{\"seq\":2}\n"), 0); /* four bytes of it fit */
	assert_int_equal(append(&file, "{\"seq\":3}\n"), 0); /* none */
	limit.rlim_cur = 15;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	assert_int_equal(append(&file, "{\"seq\":4}\n"),
		0); /* the newline that ends the torn line */
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(append(&file, "{\"seq\":5}\n"), 0);

	assert_int_equal(file.written, 2);
	assert_int_equal(file.lost, 3);
	assert_int_equal(file.bytes, 25);
	belay__event_file_done(&file);
	assert_file_holds(path, "{\"seq\":1}\n{\"se\n{\"seq\":5}\n");
	assert_int_equal(tail(9), 2);
	assert_string_equal(given, "{\"seq\":1}|{\"seq\":5}|");

	belay__event_file_init_take(&file, open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC));
	assert_true(file.fd >= 0);
	assert_int_equal(append(&file, "{}\n"), 0);
	assert_int_equal(file.lost, 1);
	assert_false(file.torn);
	belay__event_file_done(&file);
}

/* Runs in a mount namespace of its own; 77 when this is not permitted, 0 when all went well. */
static int rotate_on_a_full_file_system(void)
{
	struct belay__event_file file;
	char ballast[4096] = { 0 };
	int fd, r;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		mount("tmpfs", directory, "tmpfs", 0, "size=64k,mode=700") < 0)
		return 77;
	belay__event_file_init_take(&file, belay__event_file_open(path, NULL));
	if (file.fd < 0 || append(&file, "{\"seq\":1}\n") != 0)
		return 1;

	(void)snprintf(ballast, sizeof(ballast), "%s/ballast", directory);
	fd = open(ballast, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	while ((r = belay__write_all(fd, ballast, sizeof(ballast))) == 0)
		;
	if (r != -ENOSPC)
		return 2;

	/* Into the page that the file has already, events still fit; into no new one. */
	belay__event_file_done(&file);
	belay__event_file_init_take(&file, belay__event_file_rotate(path, NULL));
	if (file.fd < 0)
		return 3;
	if (append(&file, "{\"seq\":2}\n") != 0 || file.lost != 1)
		return 4;
	if (ftruncate(fd, 0) < 0 || append(&file, "{\"seq\":3}\n") != 0 || file.written != 1)
		return 5;
	return tail(9) == 2 && strcmp(given, "{\"seq\":1}|{\"seq\":3}|") == 0 ? 0 : 6;
}

static void a_full_file_system_is_rotated_on_and_written_to_again_when_there_is_room(void **state)
{
	int status;
	pid_t child = fork();
	(void)state;

	assert_true(child >= 0);
	if (child == 0)
		_exit(rotate_on_a_full_file_system());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == 77)
		skip();
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void the_last_events_are_given_oldest_first_across_files(void **state)
{
	static const struct {
		uint64_t count;
		const char *given;
	} cases[] = {
		{ 0, "" },
		{ 1, "{\"seq\":5}|" },
		{ 2, "{\"seq\":4}|{\"seq\":5}|" },
		{ 3, "{\"seq\":3}|{\"seq\":4}|{\"seq\":5}|" },
		{ 5, "{\"seq\":1}|{\"seq\":2}|{\"seq\":3}|{\"seq\":4}|{\"seq\":5}|" },
		{ UINT64_MAX, "{\"seq\":1}|{\"seq\":2}|{\"seq\":3}|{\"seq\":4}|{\"seq\":5}|" },
	};
	(void)state;

	assert_int_equal(tail(1), -ENOENT);
	write_file(generation(3), "{\"seq\":1}\n{\"se\n\n[7]\n");
	write_file(generation(1), "{\"seq\":2}\n{\"seq\":3}\n");
	assert_int_equal(tail(1), 1); /* the newest may be missing: a rotation is under way */
	write_file(path, "\n{\"seq\":4}\n{\"seq\":5}{\n{\"seq\":5}\n{\"seq\":6}");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t n = tail(cases[i].count);

		assert_string_equal(given, cases[i].given);
		assert_true(n >= 0 && (uint64_t)n <= cases[i].count);
	}
}

static void lines_of_any_length_are_read_or_skipped_whole(void **state)
{
	/* Around the reader's own buffer, and holes that end nowhere. */
	static const size_t lengths[] = { 1000, 32766, 32767, 32768, 32769, 65536, 100000 };
	static char line[100016];
	(void)state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		memset(line, ' ', lengths[i]);
		line[0] = '{';
		(void)snprintf(line + lengths[i] - 1, 16, "}\n{\"seq\":2}\n");
		write_file(path, line);
		given[0] = '\0';
		/* A line and its newline fill the buffer just so at 32767. */
		assert_int_equal(belay__event_file_tail(path, 9, note, given),
			lengths[i] < 32768 ? 2 : 1);
	}

	make_sparse(generation(1), BELAY__EVENT_FILE_BYTES);
	write_file(path, "{\"seq\":2}\n");
	assert_int_equal(tail(9), 1);
}

#define CASE(name_) cmocka_unit_test_setup_teardown(name_, make_directory, remove_directory)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(events_are_appended_and_counted),
		CASE(without_a_file_every_event_is_lost_and_counted),
		CASE(a_missing_directory_is_made),
		CASE(a_file_is_full_at_its_limit_and_not_before),
		CASE(rotation_keeps_five_files),
		CASE(a_rotation_that_cannot_move_keeps_the_file),
		CASE(links_and_foreign_files_are_refused),
		CASE(a_torn_line_is_ended_before_the_next),
		CASE(a_full_disk_costs_only_the_events_that_did_not_fit),
		CASE(a_full_file_system_is_rotated_on_and_written_to_again_when_there_is_room),
		CASE(the_last_events_are_given_oldest_first_across_files),
		CASE(lines_of_any_length_are_read_or_skipped_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
