#include "identity/boot_id.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <belay/identity.h>
#include <cmocka.h>

#include "base/file.h"
#include "identity/test_child.h"

static ssize_t told;
static unsigned reads;

ssize_t __wrap_belay__read_file(int dirfd, const char *path, char *buffer, size_t size);

/* As many bytes as it is told: "i d" with space around them, or less, or an error. */
ssize_t __wrap_belay__read_file(int dirfd, const char *path, char *buffer, size_t size)
{
	(void)dirfd;
	assert_string_equal(path, "/proc/sys/kernel/random/boot_id");
	reads++;
	if (told < 0)
		return told;
	(void)snprintf(buffer, size, "i d \n\n");
	buffer[told] = '\0';
	return told;
}

/* It is read once in a program, so each answer needs a program of its own: 0 when all is right. */
static int body_asks(void *expected)
{
	const char *first = NULL, *second = NULL;

	if (belay__boot_id_text(&first) != 0 || belay__boot_id_text(&second) != 0)
		return 4;
	if (second != first || reads != 1)
		return 1;
	if (expected != NULL)
		return strcmp(first, expected) == 0 ? 0 : 2;
	return strncmp(first, "unknown-", 8) == 0 && strlen(first) > 20 ? 0 : 3;
}

static void what_the_kernel_says_is_trimmed_and_read_once(void **state)
{
	static const struct {
		ssize_t told;
		const char *text; /* NULL: one of its own */
	} cases[] = { { 6, "i d" }, { 3, "i d" }, { 1, "i" }, { 0, NULL }, { -ENOENT, NULL },
		{ -EACCES, NULL }, { -EPERM, NULL }, { -ENOTDIR, NULL } };
	(void)state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[8] = "";
		struct child child;

		told = cases[i].told;
		if (cases[i].text != NULL)
			(void)strcpy(text, cases[i].text);
		child = child_start(body_asks, cases[i].text != NULL ? text : NULL);
		child_wait_end(&child);
		assert_int_equal(child_reap(&child), 0);
	}
}

/* What was refused for want of something is asked for again, and stands for no boot meanwhile. */
static int body_asks_again(void *code)
{
	static struct belay_daemon record = { .pid = 1, .has_blake3 = true, .boot_id = "i d" };
	static struct belay_daemon captured;
	enum belay_verify_error class = BELAY_VERIFIED;
	const char *text = NULL;

	told = *(const int *)code;
	if (belay__boot_id_text(&text) != told || text != NULL)
		return 1;
	if (belay_daemon_verify(&record, NULL, NULL, &class, NULL) != told ||
		class != BELAY_VERIFY_HANDLE)
		return 2;
	if (belay_daemon_capture_self(NULL, &captured, NULL) != told || captured.pid != 0)
		return 3;
	told = 6;
	if (belay__boot_id_text(&text) != 0 || strcmp(text, "i d") != 0)
		return 4;
	if (belay_daemon_capture_self(NULL, &captured, NULL) != 0 ||
		strcmp(captured.boot_id, "i d") != 0)
		return 5;
	return reads == 4 ? 0 : 6;
}

static void a_lack_of_descriptors_says_nothing_of_the_boot(void **state)
{
	static int codes[] = { -EMFILE, -ENFILE, -ENOMEM, -EIO };
	(void)state;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		struct child child = child_start(body_asks_again, &codes[i]);

		child_wait_end(&child);
		assert_int_equal(child_reap(&child), 0);
	}
}

/* A record of a system that does not tell fits no other process of such a system. */
static void two_processes_that_cannot_know_do_not_agree(void **state)
{
	char text[2][64];
	(void)state;

	for (size_t i = 0; i < 2; i++) {
		int ends[2];
		pid_t pid;

		told = -ENOENT;
		assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
		pid = fork();
		assert_return_code(pid, errno);
		if (pid == 0) {
			const char *own;

			_exit(belay__boot_id_text(&own) == 0 && write(ends[1], own, 64) == 64 ? 0
											      : 1);
		}
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		assert_int_equal(read(ends[0], text[i], 64), 64);
		(void)close(ends[0]);
		(void)close(ends[1]);
	}
	assert_string_not_equal(text[0], text[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_the_kernel_says_is_trimmed_and_read_once),
		TEST(a_lack_of_descriptors_says_nothing_of_the_boot),
		TEST(two_processes_that_cannot_know_do_not_agree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
