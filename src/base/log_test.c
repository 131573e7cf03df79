#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"

/* stderr while a test runs: the other end of a pipe or a socket. */
struct stderr_end {
	int fd, saved;
};

static struct stderr_end redirect(int reading, int writing)
{
	struct stderr_end end = { .fd = reading, .saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3) };

	assert_true(end.saved >= 0);
	assert_int_equal(dup2(writing, STDERR_FILENO), STDERR_FILENO);
	(void)belay__close(writing);
	return end;
}

static struct stderr_end redirect_to_pipe(void)
{
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	return redirect(ends[0], ends[1]);
}

static void restore(struct stderr_end end)
{
	assert_int_equal(dup2(end.saved, STDERR_FILENO), STDERR_FILENO);
	(void)belay__close(end.saved);
	(void)belay__close(end.fd);
}

static void read_line(struct stderr_end end, char *line, size_t size)
{
	ssize_t n = read(end.fd, line, size - 1);

	assert_true(n > 0);
	line[n] = '\0';
}

static void assert_matches(const char *line, const char *pattern)
{
	regex_t regex;
	int r;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	r = regexec(&regex, line, 0, NULL, 0);
	regfree(&regex);
	if (r != 0)
		print_error("%s does not match %s\n", line, pattern);
	assert_int_equal(r, 0);
}

static void text_lines_carry_utc_level_and_no_control_characters(void **state)
{
	struct stderr_end end = redirect_to_pipe();
	char line[512];
	(void)state;

	belay__log_init("belay-test", BELAY__LOG_TEXT);
	errno = EXDEV;
	belay__log(BELAY__LOG_INFO, "hello %d\nforged", 7);
	assert_int_equal(errno, EXDEV);
	read_line(end, line, sizeof(line));
	assert_matches(line, "^20[0-9-]{8}T[0-9:.]{12}Z belay-test: hello 7[?]forged\n$");
	belay__log(BELAY__LOG_ERROR, "bad");
	read_line(end, line, sizeof(line));
	assert_matches(line, "Z belay-test: error: bad\n$");
	belay__log_line(BELAY__LOG_NOTICE, "as text", "{}");
	read_line(end, line, sizeof(line));
	assert_matches(line, "Z belay-test: as text\n$");
	restore(end);
}

static void the_journal_gets_a_priority_and_no_time(void **state)
{
	struct stderr_end end = redirect_to_pipe();
	char stream[64], line[512];
	struct stat stat;
	(void)state;

	assert_int_equal(fstat(STDERR_FILENO, &stat), 0);
	(void)snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)stat.st_dev,
		(unsigned long long)stat.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
	belay__log_init("belay-test", BELAY__LOG_TEXT);
	belay__log(BELAY__LOG_WARNING, "careful");
	read_line(end, line, sizeof(line));
	assert_string_equal(line, "<4>careful\n");

	/* Inherited from a parent whose stderr it was. */
	assert_int_equal(setenv("JOURNAL_STREAM", "1:1", 1), 0);
	belay__log_init("belay-test", BELAY__LOG_TEXT);
	belay__log(BELAY__LOG_WARNING, "careful");
	read_line(end, line, sizeof(line));
	assert_matches(line, "Z belay-test: warning: careful\n$");
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
	restore(end);
}

static void json_lines_are_json(void **state)
{
	struct stderr_end end = redirect_to_pipe();
	char line[512], text[128];
	struct belay__json value, member;
	(void)state;

	belay__log_init("belay-test", BELAY__LOG_JSON);
	belay__log(BELAY__LOG_NOTICE, "say \"%s\"", "x\n");
	read_line(end, line, sizeof(line));
	assert_int_equal(belay__json_parse(line, strlen(line), &value, NULL), 0);
	assert_int_equal(belay__json_member(&value, "message", &member), 0);
	assert_int_equal(belay__json_get_string(&member, text, sizeof(text)), 0);
	assert_string_equal(text, "say \"x\n\"");
	assert_int_equal(belay__json_member(&value, "level", &member), 0);
	assert_int_equal(belay__json_get_string(&member, text, sizeof(text)), 0);
	assert_string_equal(text, "notice");
	assert_int_equal(belay__json_member(&value, "time", &member), 0);

	belay__log_line(BELAY__LOG_NOTICE, "as text", "{\"a\":1}");
	read_line(end, line, sizeof(line));
	assert_string_equal(line, "{\"a\":1}\n");
	restore(end);
}

static void long_text_is_cut_and_long_json_is_dropped(void **state)
{
	struct stderr_end end = redirect_to_pipe();
	static char longest[8000], line[8000];
	uint64_t before = belay__log_dropped();
	(void)state;

	memset(longest, 'x', sizeof(longest) - 1);
	belay__log_init("belay-test", BELAY__LOG_TEXT);
	belay__log_line(BELAY__LOG_INFO, longest, "{}");
	read_line(end, line, sizeof(line));
	assert_int_equal(strlen(line), 4095);
	assert_int_equal(line[4094], '\n');
	assert_int_equal(belay__log_dropped(), before);

	belay__log_init("belay-test", BELAY__LOG_JSON);
	belay__log_line(BELAY__LOG_INFO, "", longest);
	assert_int_equal(belay__log_dropped(), before + 1);
	restore(end);
}

/* Logs until the other end is full, which must not block. */
static void fill(struct stderr_end end)
{
	uint64_t before = belay__log_dropped();
	static char line[65536];
	int written = 0;

	while (belay__log_dropped() == before) {
		belay__log(BELAY__LOG_INFO, "%0900d", 0);
		written++;
	}
	assert_true(written > 4);
	belay__log(BELAY__LOG_INFO, "%0900d", 0);
	assert_int_equal(belay__log_dropped(), before + 2);
	read_line(end, line, sizeof(line));
}

static void a_full_pipe_drops_lines_and_stays_blocking(void **state)
{
	struct stderr_end end = redirect_to_pipe();
	(void)state;

	belay__log_init("belay-test", BELAY__LOG_TEXT);
	fill(end);
	assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
	restore(end);
}

static void a_full_socket_drops_lines(void **state)
{
	struct stderr_end end;
	int ends[2];
	(void)state;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	end = redirect(ends[0], ends[1]);
	belay__log_init("belay-test", BELAY__LOG_TEXT);
	fill(end);
	restore(end);
}

static void a_reader_that_left_does_not_kill(void **state)
{
	uint64_t before = belay__log_dropped();
	struct stderr_end end;
	int ends[2];
	(void)state;

	(void)signal(SIGPIPE, SIG_DFL);
	end = redirect_to_pipe();
	end.fd = belay__close(end.fd);
	belay__log_init("belay-test", BELAY__LOG_TEXT);
	belay__log(BELAY__LOG_INFO, "nobody reads this");
	restore(end);

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	end = redirect(ends[0], ends[1]);
	end.fd = belay__close(end.fd);
	belay__log_init("belay-test", BELAY__LOG_TEXT);
	belay__log(BELAY__LOG_INFO, "nobody reads this");
	restore(end);
	assert_int_equal(belay__log_dropped(), before + 2);
}

static void a_terminal_gets_the_local_time(void **state)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct stderr_end end;
	char line[512];
	int other;
	(void)state;

	if (terminal < 0)
		skip();
	assert_int_equal(grantpt(terminal), 0);
	assert_int_equal(unlockpt(terminal), 0);
	other = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(other >= 0);
	end = redirect(terminal, other);
	belay__log_init("belay-test", BELAY__LOG_TEXT);
	belay__log(BELAY__LOG_INFO, "seen");
	read_line(end, line, sizeof(line));
	restore(end);
	assert_matches(line, "^[0-2][0-9]:[0-5][0-9]:[0-6][0-9] belay-test: seen");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_lines_carry_utc_level_and_no_control_characters),
		cmocka_unit_test(the_journal_gets_a_priority_and_no_time),
		cmocka_unit_test(json_lines_are_json),
		cmocka_unit_test(long_text_is_cut_and_long_json_is_dropped),
		cmocka_unit_test(a_full_pipe_drops_lines_and_stays_blocking),
		cmocka_unit_test(a_full_socket_drops_lines),
		cmocka_unit_test(a_reader_that_left_does_not_kill),
		cmocka_unit_test(a_terminal_gets_the_local_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
