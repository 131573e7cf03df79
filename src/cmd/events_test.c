#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/cmd.h"
#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

#define EVENT(seq_)                                                                                \
	"{\"seq\":" seq_ ",\"time\":\"2026-01-02T03:04:" seq_                                      \
	".000Z\",\"event\":\"first-beat\",\"name\":\"a\",\"pid\":7}\n"
#define LINE(seq_) "2026-01-02T03:04:" seq_ ".000Z  a (pid 7) beats for the first time\n"

static struct test_door door;
static struct test_run run;

/* What the observer does, one step a subscription. */
struct play {
	const char *told[3]; /* to the nth who follows */
	const char *kept[3]; /* written to the file before that, unseen by who follows */
	unsigned follows, last;
	bool keeps_none;
	int code;
};

static void say_self(int fd, const struct play *play)
{
	char line[256];

	if (play->keeps_none)
		(void)snprintf(line, sizeof(line), "{\"version\":\"x\",\"events_file\":null}\n");
	else
		(void)snprintf(line, sizeof(line),
			"{\"version\":\"x\",\"events_file\":\"%s/events\"}\n", door.directory);
	test_send(fd, BELAY__HELLO_LINES, 0, line);
	test_send(fd, BELAY__HELLO_DONE, 0, "");
}

static void answer(int fd, const struct belay__hello *hello, void *data)
{
	struct play *play = data;

	if (hello->type == BELAY__HELLO_SELF) {
		say_self(fd, play);
		return;
	}
	assert_int_equal(hello->type, BELAY__HELLO_EVENTS);
	if (play->code < 0) {
		test_send(fd, BELAY__HELLO_DONE, play->code, "no");
		return;
	}
	if (play->kept[play->follows] != NULL)
		test_door_file(&door, "events", play->kept[play->follows]);
	if (play->told[play->follows] != NULL)
		test_send(fd, BELAY__HELLO_LINES, 0, play->told[play->follows]);
	if (++play->follows < play->last)
		(void)shutdown(fd, SHUT_RDWR);
	else if (play->told[play->follows - 1] == NULL)
		(void)kill(test_child(), SIGINT);
}

static void follow(struct play *play, const char *const *words)
{
	struct test_answer how = { .answer = answer, .data = play };

	test_run(&run, &door, &how, words);
}

static void clear(void)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/events", door.directory);
	(void)unlink(path);
}

static void the_last_events_are_told_in_words(void **state)
{
	struct play play = { 0 };
	(void)state;

	clear();
	test_door_file(&door, "events", EVENT("11") EVENT("12") "torn{\n" EVENT("13"));
	follow(&play, WORDS("events"));
	assert_int_equal(run.exit, 0);
	assert_string_equal(run.out, LINE("11") LINE("12") LINE("13"));
	follow(&play, WORDS("events", "-n", "2"));
	assert_string_equal(run.out, LINE("12") LINE("13"));
	follow(&play, WORDS("events", "-n2", "--json"));
	assert_string_equal(run.out, EVENT("12") EVENT("13"));
	follow(&play, WORDS("events", "-n", "0"));
	assert_string_equal(run.out, "");
}

static void the_past_needs_no_observer(void **state)
{
	char path[128];
	(void)state;

	clear();
	test_door_shut(&door);
	test_door_file(&door, "beat.sock.events.jsonl", EVENT("21"));
	follow(NULL, WORDS("events"));
	assert_int_equal(run.exit, 0);
	assert_string_equal(run.out, LINE("21"));

	/* To follow, one is needed, but the past is told first. */
	follow(NULL, WORDS("events", "-f"));
	assert_int_equal(run.exit, 69);
	assert_string_equal(run.out, LINE("21"));

	(void)snprintf(path, sizeof(path), "%s/beat.sock.events.jsonl", door.directory);
	(void)unlink(path);
	follow(NULL, WORDS("events"));
	assert_int_equal(run.exit, 69);
	test_door_reopen(&door);
}

static void an_observer_without_events_is_no_failure(void **state)
{
	struct play play = { .keeps_none = true };
	(void)state;

	follow(&play, WORDS("events"));
	assert_int_equal(run.exit, 0);
	assert_non_null(strstr(run.err, "keeps no event file"));

	clear();
	play.keeps_none = false;
	follow(&play, WORDS("events"));
	assert_int_equal(run.exit, 0);
	assert_string_equal(run.out, "");
}

/* One observer ends, the next follows; between them something happened; the last ends the test by a signal. */
static void following_survives_the_observer_and_shows_each_event_once(void **state)
{
	struct play play = {
		.kept = { NULL, EVENT("33") EVENT("34"), EVENT("36") },
		.told = { EVENT("31") EVENT("32"), EVENT("34") EVENT("35"), NULL },
		.last = 3,
	};
	(void)state;

	clear();
	test_door_file(&door, "events", EVENT("31"));
	follow(&play, WORDS("events", "-f"));
	assert_int_equal(run.exit, 128 + SIGINT);
	assert_int_equal(play.follows, 3);
	/* 36 may or may not have been read when the signal came. */
	run.out[strlen(LINE("31")) * 5] = '\0';
	assert_string_equal(run.out, LINE("31") LINE("32") LINE("33") LINE("34") LINE("35"));
	assert_non_null(strstr(run.err, "waiting for the next"));
}

static void a_follower_that_is_refused_says_so(void **state)
{
	struct play play = { .code = -ENOTSUP };
	(void)state;

	clear();
	follow(&play, WORDS("events", "-f"));
	assert_int_equal(run.exit, 76);
	assert_non_null(strstr(run.err, "says: no\n"));
	play.code = -EPERM;
	follow(&play, WORDS("events", "-f"));
	assert_int_equal(run.exit, 77);
}

static void answer_garbage(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	(void)send(fd, "0123456789abcdef0123", 20, MSG_NOSIGNAL);
}

static void garbage_is_a_matter_of_protocol(void **state)
{
	struct test_answer how = { .answer = answer_garbage };
	(void)state;

	test_run(&run, &door, &how, WORDS("events"));
	assert_int_equal(run.exit, 76);
	test_run(&run, &door, &how, WORDS("events", "--events", "/nowhere/at/all", "-f"));
	assert_int_equal(run.exit, 76);
}

static void wrong_words_are_a_matter_of_usage(void **state)
{
	(void)state;

	follow(NULL, WORDS("events", "-n", "many"));
	assert_int_equal(run.exit, 2);
	follow(NULL, WORDS("events", "name"));
	assert_int_equal(run.exit, 2);
}

static int set_up(void **state)
{
	(void)state;
	test_door_open(&door);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	test_door_done(&door);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_last_events_are_told_in_words),
		cmocka_unit_test(the_past_needs_no_observer),
		cmocka_unit_test(an_observer_without_events_is_no_failure),
		cmocka_unit_test(following_survives_the_observer_and_shows_each_event_once),
		cmocka_unit_test(a_follower_that_is_refused_says_so),
		cmocka_unit_test(garbage_is_a_matter_of_protocol),
		cmocka_unit_test(wrong_words_are_a_matter_of_usage),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
