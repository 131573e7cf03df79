#include "observe/alerts_testing.h"

#include <setjmp.h>
#include <stdarg.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/file.h"

#define WITHIN_NS (30 * S)

/* --- time --- */

uint64_t passed_ns;

int __real_clock_gettime(clockid_t clock, struct timespec *ret_now);
int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret_now)
{
	static const uint64_t began_ns = 1000 * S;

	if (clock != CLOCK_MONOTONIC)
		return __real_clock_gettime(clock, ret_now);
	*ret_now = belay__timespec(began_ns + passed_ns);
	return 0;
}

static uint64_t real_ns(void)
{
	struct timespec now;

	(void)__real_clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * S + (uint64_t)now.tv_nsec;
}

/* --- the house --- */

struct alerts_house house;

const char *path_of(const char *name)
{
	static char paths[4][64];
	static unsigned next;
	char *path = paths[next++ % 4];

	(void)snprintf(path, sizeof(paths[0]), "%s/%s", house.directory, name);
	return path;
}

void write_file(const char *name, const char *text, mode_t mode)
{
	_cleanup_close_ int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	assert_true(fd >= 0);
	assert_int_equal(belay__write_all(fd, text, strlen(text)), 0);
}

const char *file(const char *name)
{
	static char text[512 * 1024];
	ssize_t n = belay__read_file(AT_FDCWD, path_of(name), text, sizeof(text));

	text[n < 0 ? 0 : n] = '\0';
	return text;
}

static void note_answer(void *data, const struct belay__msg_planned *planned)
{
	assert_ptr_equal(data, &house);
	house.answer = *planned;
	house.answers++;
}

static void note_done(void *data, uint64_t seq)
{
	size_t len = strlen(house.done);

	assert_ptr_equal(data, &house);
	(void)snprintf(house.done + len, sizeof(house.done) - len, "%llu ", (unsigned long long)seq);
}

void assert_done(const char *expected)
{
	assert_string_equal(house.done, expected);
	house.done[0] = '\0';
}

static void note_open(void *data, const struct belay__msg_open *open)
{
	size_t len = strlen(house.open);

	assert_ptr_equal(data, &house);
	(void)snprintf(house.open + len, sizeof(house.open) - len, "%s %s %u, ",
		belay__alert_word(open->kind), open->name, open->uid);
}

void assert_open(const char *expected)
{
	house.open[0] = '\0';
	belay__alerts_tell_open(house.alerts, note_open);
	assert_string_equal(house.open, expected);
}

void let_it(const char *script)
{
	char text[512];

	(void)snprintf(text, sizeof(text),
		"#!/bin/sh\ncd %s\ncat >>told\necho \"=$BELAY_ALERTS\" >>told\n%s\n",
		house.directory, script);
	write_file("new", text, 0755);
	assert_int_equal(rename(path_of("new"), path_of("alert")), 0);
}

void set_alert(void)
{
	(void)snprintf(house.options.alert, sizeof(house.options.alert), "/bin/sh %s/alert",
		house.directory);
}

int open_house(void **state)
{
	(void)state;
	passed_ns = 0;
	house.fds = belay__fd_count();
	(void)strcpy(house.directory, "/tmp/belay-alerts-XXXXXX");
	if (mkdtemp(house.directory) == NULL || belay__loop_new(&house.loop) < 0)
		return -1;
	belay__observe_defaults(&house.options);
	house.answers = 0;
	set_alert();
	let_it("");
	house.seq = 0;
	house.done[0] = '\0';
	return belay__alerts_new(house.loop, &house.options,
		&(struct belay__alerts_ears){ note_answer, note_done, &house }, &house.alerts);
}

int close_house(void **state)
{
	static const char *const names[] = { "told", "alert", "beats", "environment", "deadman" };
	(void)state;

	house.alerts = belay__alerts_free(house.alerts);
	house.loop = belay__loop_free(house.loop);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		(void)unlink(path_of(names[i]));
	if (rmdir(house.directory) < 0)
		return -1;
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD)
		return -1;
	return belay__fd_count() == house.fds ? 0 : -1;
}

void turn(void)
{
	while (belay__loop_turn(house.loop, 0) > 0)
		;
}

void pass(uint64_t ns)
{
	turn();
	passed_ns += ns;
	turn();
}

uint64_t count_of(enum belay__metric metric)
{
	static struct belay__msg_runner_counts counts;

	counts.count = 0;
	belay__alerts_count(house.alerts, &counts);
	for (uint32_t i = 0; i < counts.count; i++)
		if (counts.counts[i].metric == metric)
			return counts.counts[i].value;
	fail();
	return 0;
}

bool is_quiet(void)
{
	siginfo_t info = { 0 };

	return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0;
}

void finish(void)
{
	uint64_t until_ns = real_ns() + WITHIN_NS;

	while (!is_quiet()) {
		assert_true(real_ns() < until_ns);
		assert_true(belay__loop_turn(house.loop, 20 * BELAY__NS_PER_MS) >= 0);
	}
}

void add_line(enum belay__alert_kind kind, const char *name, const char *line, uint64_t request)
{
	static struct belay__msg_alert alert;

	alert = (struct belay__msg_alert){ .kind = (uint8_t)kind,
		.uid = 1000,
		.request = request,
		.seq = house.seq != 0 ? house.seq++ : 0,
		.len = (uint32_t)strlen(line) };
	(void)snprintf(alert.name, sizeof(alert.name), "%s", name);
	memcpy(alert.line, line, alert.len);
	belay__alerts_add(house.alerts, &alert);
	memset(&alert, 0xFF, sizeof(alert)); /* a copy was taken */
}

void add(enum belay__alert_kind kind, const char *name)
{
	char line[128];

	(void)snprintf(line, sizeof(line), "{\"n\":\"%s\"}", name);
	add_line(kind, name, line, 0);
}

void assert_told(const char *expected)
{
	assert_string_equal(file("told"), expected);
	(void)unlink(path_of("told"));
}

void hand_over(void)
{
	pass(5 * S);
	finish();
}
