#include "observe/crash_note.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"

#define FAULT                                                                                      \
	"belay-crash 1\nsignal 11 SIGSEGV\ncode 1\naddress 0x0\npc 0x55aa\nthread 123\ntime "      \
	"1700000000.000000042\n"

struct sample {
	const char *note, *sentence;
};

#define NOTE(middle) "belay-crash 1\nsignal " middle "pc 0x1f\nthread 5\ntime 0.000000000\n"

static const struct sample samples[] = {
	{ FAULT, "SIGSEGV (address not mapped) at 0x0, pc 0x55aa, thread 123" },
	{ NOTE("11 SIGSEGV\ncode 128\n"), "SIGSEGV (raised by the kernel), pc 0x1f, thread 5" },
	{ NOTE("7 SIGBUS\ncode 2\naddress 0xffffffffffffffff\n"),
		"SIGBUS (no memory behind the address) at 0xffffffffffffffff, pc 0x1f, thread 5" },
	{ NOTE("8 SIGFPE\ncode 1\naddress 0x1f\n"),
		"SIGFPE (integer division by zero) at 0x1f, pc 0x1f, thread 5" },
	{ NOTE("4 SIGILL\ncode 99\naddress 0x1f\n"), "SIGILL (code 99) at 0x1f, pc 0x1f, thread 5" },
	{ NOTE("6 SIGABRT\ncode -6\nsender 17 1000\n"),
		"SIGABRT (raised by the process itself), pc 0x1f, thread 5" },
	{ NOTE("6 SIGABRT\ncode 0\nsender 18 4294967295\n"),
		"SIGABRT (sent by process 18 of uid 4294967295), pc 0x1f, thread 5" },
	{ NOTE("31 SIGSYS\ncode 1\nsyscall 110\n"),
		"SIGSYS (system call 110 refused by a filter), pc 0x1f, thread 5" },
	{ NOTE("31 SIGSYS\ncode -2147483648\n"), "SIGSYS (code -2147483648), pc 0x1f, thread 5" },
	{ "belay-crash 1\nsignal 11 SIGSEGV\ncode 1\npc 0x0\nthread 4294967295\ntime "
	  "18446744071.999999999\n",
		"SIGSEGV (address not mapped), thread 4294967295" },
};

static const char *const no_notes[] = {
	"\n",
	"belay-crash 2\n",
	"belay-crash 1\n",
	FAULT "\n",
	FAULT FAULT,
	NOTE("11 SIGBUS\ncode 1\n"),
	NOTE("15 SIGTERM\ncode 0\n"),
	NOTE("011 SIGSEGV\ncode 1\n"),
	NOTE("11 SIGSEGV\ncode +1\n"),
	NOTE("11 SIGSEGV\ncode -0\n"),
	NOTE("11 SIGSEGV\ncode 2147483648\n"),
	NOTE("11 SIGSEGV\ncode -2147483649\n"),
	NOTE("11 SIGSEGV\ncode \n"),
	NOTE("11 SIGSEGV\ncode 1 \n"),
	NOTE("11 SIGSEGV\ncode 1\naddress 0x10000000000000000\n"),
	NOTE("11 SIGSEGV\ncode 1\naddress 0xA\n"),
	NOTE("11 SIGSEGV\ncode 1\naddress 0x00\n"),
	NOTE("11 SIGSEGV\ncode 1\naddress 0x\n"),
	NOTE("11 SIGSEGV\ncode 1\naddress 0x1\naddress 0x1\n"),
	NOTE("11 SIGSEGV\ncode 1\nsender 1 2\nsyscall 3\n"),
	NOTE("11 SIGSEGV\ncode 0\nsender 1\n"),
	NOTE("11 SIGSEGV\ncode 0\nsender 4294967296 0\n"),
	"belay-crash 1\nsignal 11 SIGSEGV\ncode 1\npc 0x1\nthread 1\ntime 1.00000000\n",
	"belay-crash 1\nsignal 11 SIGSEGV\ncode 1\npc 0x1\nthread 1\ntime 1.0000000000\n",
	"belay-crash 1\nsignal 11 SIGSEGV\ncode 1\npc 0x1\nthread 1\ntime 18446744073.000000000\n",
	"belay-crash 1\nsignal 11 SIGSEGV\ncode 1\npc 0x1\nthread -1\ntime 1.000000000\n",
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int directory;
static char path[] = "/tmp/belay-test-XXXXXX";

static void a_note_becomes_a_sentence(void **state)
{
	(void)state;

	for (size_t i = 0; i < COUNT(samples); i++) {
		struct belay__crash_facts facts;
		char text[BELAY__CRASH_TEXT_SIZE];

		assert_int_equal(
			belay__crash_note_parse(samples[i].note, strlen(samples[i].note), &facts),
			0);
		assert_int_equal(belay__crash_describe(&facts, 17, text, sizeof(text)),
			strlen(samples[i].sentence));
		assert_string_equal(text, samples[i].sentence);
	}
}

static void every_fact_is_kept(void **state)
{
	struct belay__crash_facts facts;
	(void)state;

	assert_int_equal(belay__crash_note_parse(FAULT, strlen(FAULT), &facts), 0);
	assert_int_equal(facts.number, SIGSEGV);
	assert_int_equal(facts.code, SEGV_MAPERR);
	assert_int_equal(facts.cause, BELAY__CRASH_BY_ADDRESS);
	assert_int_equal(facts.address, 0);
	assert_int_equal(facts.program_counter, 0x55aa);
	assert_int_equal(facts.thread, 123);
	assert_true(facts.realtime_ns == UINT64_C(1700000000000000042));
}

static void anything_else_is_refused(void **state)
{
	struct belay__crash_facts facts = { .number = -1 };
	(void)state;

	for (size_t i = 0; i < COUNT(no_notes); i++)
		assert_int_equal(belay__crash_note_parse(no_notes[i], strlen(no_notes[i]), &facts),
			-EBADMSG);
	for (size_t len = 0; len < strlen(FAULT); len++)
		assert_int_equal(belay__crash_note_parse(FAULT, len, &facts), -EBADMSG);
	assert_int_equal(facts.number, -1);
}

static void put(const char *name, const char *bytes, size_t len)
{
	_cleanup_close_ int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
}

/* The file is gone, whatever came of it. */
static int read_17(char text[BELAY__CRASH_TEXT_SIZE])
{
	int r = belay__crash_note_read(directory, 17, geteuid(), 0, 0, text, BELAY__CRASH_TEXT_SIZE);

	assert_int_equal(faccessat(directory, "17", F_OK, AT_SYMLINK_NOFOLLOW), -1);
	assert_int_equal(errno, ENOENT);
	return r;
}

static void a_note_is_read_once(void **state)
{
	char text[BELAY__CRASH_TEXT_SIZE] = "untouched";
	(void)state;

	assert_int_equal(read_17(text), -ENOENT);
	assert_string_equal(text, "untouched");
	put("17", FAULT, strlen(FAULT));
	assert_int_equal(read_17(text), strlen(samples[0].sentence));
	assert_string_equal(text, samples[0].sentence);
	assert_int_equal(read_17(text), -ENOENT);
}

static void what_is_no_note_is_removed(void **state)
{
	char text[BELAY__CRASH_TEXT_SIZE] = "untouched", bytes[BELAY__CRASH_NOTE_MAX + 100];
	(void)state;

	put("17", "", 0);
	assert_int_equal(read_17(text), -ENOENT);
	memset(bytes, 'a', sizeof(bytes));
	for (size_t len = BELAY__CRASH_NOTE_MAX - 1; len <= sizeof(bytes); len += 50) {
		put("17", bytes, len);
		assert_int_equal(read_17(text), -EBADMSG);
	}
	assert_int_equal(symlinkat("18", directory, "17"), 0);
	assert_int_equal(read_17(text), -EBADMSG);
	assert_int_equal(mkfifoat(directory, "17", 0600), 0);
	assert_int_equal(read_17(text), -EBADMSG);
	put("18", FAULT, strlen(FAULT));
	assert_int_equal(linkat(directory, "18", directory, "17", 0), 0);
	assert_int_equal(read_17(text), -EBADMSG);
	assert_int_equal(unlinkat(directory, "18", 0), 0);
	assert_string_equal(text, "untouched");
}

static void a_note_of_another_user_is_none(void **state)
{
	char text[BELAY__CRASH_TEXT_SIZE] = "untouched";
	(void)state;

	put("17", FAULT, strlen(FAULT));
	assert_int_equal(
		belay__crash_note_read(directory, 17, geteuid() + 1, 0, 0, text, sizeof(text)),
		-EBADMSG);
	assert_string_equal(text, "untouched");
	assert_int_equal(read_17(text), -ENOENT);
}

static void a_note_of_who_had_the_pid_before_is_none(void **state)
{
	struct belay__crash_facts facts;
	char text[BELAY__CRASH_TEXT_SIZE] = "untouched";
	(void)state;

	assert_int_equal(belay__crash_note_parse(FAULT, strlen(FAULT), &facts), 0);
	put("17", FAULT, strlen(FAULT));
	assert_int_equal(belay__crash_note_read(directory, 17, geteuid(), facts.realtime_ns + 1, 0,
				 text, sizeof(text)),
		-ESTALE);
	assert_string_equal(text, "untouched");
	assert_int_equal(read_17(text), -ENOENT);
	put("17", FAULT, strlen(FAULT));
	assert_true(belay__crash_note_read(directory, 17, geteuid(), facts.realtime_ns, 11, text,
			    sizeof(text)) > 0);
}

static void a_note_of_another_end_is_none(void **state)
{
	char text[BELAY__CRASH_TEXT_SIZE] = "untouched";
	(void)state;

	for (int signal_nr = -1; signal_nr < 12; signal_nr++) {
		put("17", FAULT, strlen(FAULT));
		assert_int_equal(belay__crash_note_read(directory, 17, geteuid(), 0, signal_nr,
					 text, sizeof(text)) > 0,
			signal_nr == 0 || signal_nr == 11);
		assert_int_equal(read_17(text), -ENOENT);
	}
}

static int begin(void **state)
{
	(void)state;
	if (mkdtemp(path) == NULL)
		return -1;
	directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return directory < 0;
}

static int end(void **state)
{
	(void)state;
	directory = belay__close(directory);
	return rmdir(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_note_becomes_a_sentence),
		cmocka_unit_test(every_fact_is_kept),
		cmocka_unit_test(anything_else_is_refused),
		cmocka_unit_test(a_note_is_read_once),
		cmocka_unit_test(what_is_no_note_is_removed),
		cmocka_unit_test(a_note_of_another_user_is_none),
		cmocka_unit_test(a_note_of_who_had_the_pid_before_is_none),
		cmocka_unit_test(a_note_of_another_end_is_none),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
