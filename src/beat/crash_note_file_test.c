#include <belay/crash.h>

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "beat/crash_internal.h"
#include "beat/crash_testing.h"

static struct test_observer observer;
static char note_path[96];

struct sample {
	siginfo_t info;
	const char *expected;
};

static siginfo_t at_address(int number, int code, uintptr_t address)
{
	siginfo_t info = { .si_signo = number, .si_code = code };

	info.si_addr = (void *)address;
	return info;
}

static siginfo_t sent_by(int number, int code, pid_t pid, uid_t uid)
{
	siginfo_t info = { .si_signo = number, .si_code = code };

	info.si_pid = pid;
	info.si_uid = uid;
	return info;
}

static siginfo_t forbidden(int call)
{
	siginfo_t info = { .si_signo = SIGSYS, .si_code = 1 };

	info.si_syscall = call;
	return info;
}

static void the_note_says_what_is_known(void **state)
{
	const struct sample samples[] = {
		{ at_address(SIGSEGV, SEGV_MAPERR, 0), "signal 11 SIGSEGV\ncode 1\naddress 0x0\n" },
		{ at_address(SIGBUS, BUS_ADRERR, UINTPTR_MAX),
			"signal 7 SIGBUS\ncode 2\naddress 0xffffffffffffffff\n" },
		{ at_address(SIGSEGV, SI_KERNEL, 0), "signal 11 SIGSEGV\ncode 128\n" },
		{ sent_by(SIGABRT, SI_TKILL, 17, 1000),
			"signal 6 SIGABRT\ncode -6\nsender 17 1000\n" },
		{ sent_by(SIGFPE, SI_USER, INT32_MAX, UINT32_MAX),
			"signal 8 SIGFPE\ncode 0\nsender 2147483647 4294967295\n" },
		{ sent_by(SIGILL, SI_QUEUE, 0, 0), "signal 4 SIGILL\ncode -1\nsender 0 0\n" },
		{ sent_by(SIGILL, INT32_MIN, 0, 0), "signal 4 SIGILL\ncode -2147483648\n" },
		{ forbidden(110), "signal 31 SIGSYS\ncode 1\nsyscall 110\n" },
		{ forbidden(-1), "signal 31 SIGSYS\ncode 1\nsyscall -1\n" },
	};
	(void)state;

	for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
		char text[BELAY__CRASH_NOTE_MAX + 1], expected[512];
		unsigned len = belay__crash_note_text(text, samples[i].info.si_signo,
			&samples[i].info, 0x55aa, 4711, UINT64_C(1700000000000000042));

		text[len] = '\0';
		(void)snprintf(expected, sizeof(expected),
			"belay-crash 1\n%spc 0x55aa\nthread 4711\ntime 1700000000.000000042\n",
			samples[i].expected);
		assert_string_equal(text, expected);
	}
}

static void the_longest_note_fits(void **state)
{
	siginfo_t info = sent_by(SIGSEGV, SI_TKILL, -1, UINT32_MAX);
	char text[BELAY__CRASH_NOTE_MAX];
	(void)state;

	assert_in_range(
		belay__crash_note_text(text, SIGSEGV, &info, UINT64_MAX, UINT32_MAX, UINT64_MAX),
		100, BELAY__CRASH_NOTE_MAX - 1);
}

static void crash(void *note)
{
	const struct belay_crash_options options = { .note = note };
	volatile char *volatile nowhere = NULL;

	(void)crash_install(&options);
	(void)nowhere[8];
}

static void read_note(const char *path, char text[512])
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, 511);

	assert_true(n >= 0);
	text[n] = '\0';
}

static void a_crash_leaves_its_note(void **state)
{
	static const char beginning[] =
		"belay-crash 1\nsignal 11 SIGSEGV\ncode 1\naddress 0x8\npc 0x";
	const struct crash_child child = { .run = crash, .argument = note_path };
	struct death death;
	struct stat status;
	char text[512], thread[32];
	(void)state;

	death = crash_watch(&observer, &child);
	assert_last_word(&death);
	read_note(note_path, text);
	(void)snprintf(thread, sizeof(thread), "\nthread %d\ntime ", (int)death.pid);
	assert_int_equal(strncmp(text, beginning, sizeof(beginning) - 1), 0);
	assert_null(strstr(text, "pc 0x0\n"));
	assert_non_null(strstr(text, thread));
	assert_int_equal(stat(note_path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0600);
	assert_int_equal(unlink(note_path), 0);
}

static void crash_in_child(void *note)
{
	const struct belay_crash_options options = { .note = note };
	volatile char *volatile nowhere = NULL;
	int status;
	pid_t pid;

	(void)crash_install(&options);
	pid = fork();
	if (pid == 0)
		(void)nowhere[8];
	_exit(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) ? 10 : 1);
}

static void a_forked_child_leaves_its_parents_note_alone(void **state)
{
	const struct crash_child child = { .run = crash_in_child,
		.argument = note_path,
		.untraced = true };
	struct death death;
	char text[512];
	(void)state;

	death = crash_watch(&observer, &child);
	assert_int_equal(WEXITSTATUS(death.status), 10);
	assert_int_equal(death.heard, 1);
	assert_int_not_equal(death.frame.pid, death.pid);
	read_note(note_path, text);
	assert_string_equal(text, "");
	assert_int_equal(unlink(note_path), 0);
}

static void crash_with_another_file_in_its_place(void *note)
{
	const struct belay_crash_options options = { .note = note };
	volatile char *volatile nowhere = NULL;

	(void)crash_install(&options);
	(void)close_range(3, 62, 0);
	(void)open("mine", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	(void)nowhere[8];
}

static void a_file_that_took_the_notes_number_is_not_written_to(void **state)
{
	const struct crash_child child = {
		.run = crash_with_another_file_in_its_place,
		.argument = note_path,
		.untraced = true,
	};
	struct death death;
	char text[512], path[96];
	(void)state;

	death = crash_watch(&observer, &child);
	assert_last_word(&death);
	(void)snprintf(path, sizeof(path), "%s/mine", observer.directory);
	read_note(path, text);
	assert_string_equal(text, "");
	assert_int_equal(unlink(path), 0);
	assert_int_equal(unlink(note_path), 0);
}

static void by_default_it_lies_where_the_observer_looks(void **state)
{
	static char automatic[] = "auto";
	const struct crash_child child = { .run = crash, .argument = automatic };
	struct death death;
	char directory[96], path[128], text[512];
	(void)state;

	/* No observer made the directory: no note, and no error. */
	death = crash_watch(&observer, &child);
	assert_last_word(&death);

	(void)snprintf(directory, sizeof(directory), "%s.crash", observer.path);
	assert_int_equal(mkdir(directory, 0700), 0);
	death = crash_watch(&observer, &child);
	assert_last_word(&death);
	(void)snprintf(path, sizeof(path), "%s/%d", directory, (int)death.pid);
	read_note(path, text);
	assert_int_equal(strncmp(text, "belay-crash 1\n", 14), 0);
	assert_int_equal(unlink(path), 0);

	/* Something else has its name: no note, and no error. */
	(void)snprintf(path, sizeof(path), "%s/%d", directory, (int)getpid());
	for (unsigned i = 0; i < 3; i++) {
		struct belay__crash_note note = BELAY__CRASH_NO_NOTE;

		assert_int_equal(i == 0  ? symlink("nowhere", path)
				: i == 1 ? mkfifo(path, 0600)
					 : mkdir(path, 0700),
			0);
		assert_int_equal(belay__crash_note_open_auto(observer.path, &note), 0);
		assert_int_equal(note.fd, BELAY__CRASH_NO_NOTE.fd);
		assert_int_equal(i == 2 ? rmdir(path) : unlink(path), 0);
	}
	assert_int_equal(rmdir(directory), 0);
}

static void only_a_plain_file_of_our_own_becomes_a_note(void **state)
{
	struct belay__crash_note note = BELAY__CRASH_NO_NOTE;
	char other[96];
	(void)state;

	(void)snprintf(other, sizeof(other), "%s/other", observer.directory);
	assert_int_equal(mkdir(note_path, 0700), 0);
	assert_int_equal(belay__crash_note_open(note_path, &note), -EISDIR);
	assert_int_equal(rmdir(note_path), 0);

	assert_int_equal(symlink("other", note_path), 0);
	assert_int_equal(belay__crash_note_open(note_path, &note), -ELOOP);
	assert_int_equal(unlink(note_path), 0);

	assert_int_equal(mkfifo(note_path, 0600), 0);
	assert_int_equal(belay__crash_note_open(note_path, &note), -ENXIO);
	assert_int_equal(unlink(note_path), 0);

	_cleanup_close_ int fd = open(other, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(link(other, note_path), 0);
	assert_int_equal(belay__crash_note_open(note_path, &note), -EPERM);
	assert_int_equal(unlink(other), 0);
	assert_int_equal(note.fd, -EBADF);

	/* What was there before stays there, emptied. */
	assert_int_equal(write(fd, "old", 3), 3);
	assert_int_equal(belay__crash_note_open(note_path, &note), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 3);
	assert_int_equal(belay__crash_note_empty(&note), 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 0);
	belay__crash_note_close(&note, true);
	assert_int_equal(unlink(note_path), 0);
}

/* As on a file system that makes files somebody else's. */
static void a_file_that_is_refused_is_not_left_behind(void **state)
{
	struct belay__crash_note note = BELAY__CRASH_NO_NOTE;
	int r;
	(void)state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(observer.directory, 0777), 0);
	(void)setfsuid(65534);
	r = belay__crash_note_open(note_path, &note);
	(void)setfsuid(0);
	assert_int_equal(r, -EPERM);
	assert_int_equal(note.fd, -EBADF);
	assert_int_equal(access(note_path, F_OK), -1);
}

static int begin(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	(void)snprintf(note_path, sizeof(note_path), "%s/note", observer.directory);
	return 0;
}

static int end(void **state)
{
	(void)state;
	test_observer_done(&observer);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_note_says_what_is_known),
		cmocka_unit_test(the_longest_note_fits),
		cmocka_unit_test(a_crash_leaves_its_note),
		cmocka_unit_test(a_forked_child_leaves_its_parents_note_alone),
		cmocka_unit_test(a_file_that_took_the_notes_number_is_not_written_to),
		cmocka_unit_test(by_default_it_lies_where_the_observer_looks),
		cmocka_unit_test(only_a_plain_file_of_our_own_becomes_a_note),
		cmocka_unit_test(a_file_that_is_refused_is_not_left_behind),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
