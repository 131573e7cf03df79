#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include <belay/vlp.h>

#include "base/clock.h"
#include "cmd/cmd.h"
#include "cmd/testing.h"

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static struct test_door door;
static struct test_run run;

struct verdict {
	int code;
	const char *sentence;
};

static void answer(int fd, const struct belay__hello *hello, void *data)
{
	const struct verdict *verdict = data;

	(void)hello;
	test_send(fd, BELAY__HELLO_DONE, verdict->code, verdict->sentence);
}

static void beat(int code, const char *sentence, const char *const *words)
{
	struct verdict verdict = { code, sentence };
	struct test_answer how = { .answer = answer, .data = &verdict };

	test_run(&run, &door, &how, words);
}

static void a_beat_carries_what_was_asked_for(void **state)
{
	(void)state;

	beat(0, "", WORDS("beat"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.type, BELAY__HELLO_BEAT);
	assert_int_equal(run.hello.status, 0);
	assert_int_equal(run.hello.of, 0);
	assert_int_equal(run.hello.progress, 0);
	assert_string_equal(run.hello.name, "");
	assert_string_equal(run.out, "");
	assert_string_equal(run.err, "");

	beat(0, "",
		WORDS("beat", "night#1", "--status", "critical", "--progress=4294967295", "--of",
			"4194304"));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.hello.status, 2);
	assert_int_equal(run.hello.of, 4194304);
	assert_int_equal(run.hello.progress, UINT32_MAX);
	assert_string_equal(run.hello.name, "night#1");
}

static void a_refused_beat_is_a_failure_with_the_observers_sentence(void **state)
{
	static const struct {
		int code, exit;
	} rows[] = { { -EPERM, 77 }, { -ESRCH, 1 }, { -EINVAL, 1 }, { -ENOENT, 1 }, { -ENOSPC, 1 },
		{ -EBUSY, 1 } };
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(rows); i++) {
		beat(rows[i].code, "not so", WORDS("beat", "demo"));
		assert_int_equal(run.exit, rows[i].exit);
		assert_non_null(strstr(run.err, "refuses the beat: not so\n"));
	}
}

static void nobody_there_fails_only_who_is_strict(void **state)
{
	(void)state;

	test_door_shut(&door);
	beat(0, "", WORDS("beat", "demo"));
	assert_int_equal(run.exit, 0);
	assert_non_null(strstr(run.err, "start one: belay observe\n"));
	assert_ptr_equal(strchr(run.err, '\n'), run.err + strlen(run.err) - 1);
	beat(0, "", WORDS("beat", "demo", "--strict"));
	assert_int_equal(run.exit, 69);
	test_door_reopen(&door);
}

static void silence_holds_a_script_up_no_longer_than_200_ms(void **state)
{
	uint64_t start_ns = belay__clock_ns(CLOCK_MONOTONIC), took_ns;
	(void)state;

	test_run(&run, &door, NULL, WORDS("beat", "demo"));
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - start_ns;
	assert_int_equal(run.requests, 1);
	assert_int_equal(run.exit, 0);
	assert_true(took_ns >= 200 * BELAY__NS_PER_MS && took_ns < BELAY__NS_PER_S);
	test_run(&run, &door, NULL, WORDS("beat", "demo", "--strict"));
	assert_int_equal(run.exit, 69);
}

static void what_cannot_be_beaten_is_a_matter_of_usage(void **state)
{
	static const char *const lines[][4] = {
		{ "beat", "-name" },
		{ "beat", "with space" },
		{ "beat", "a", "b" },
		{ "beat", "--status", "stall" },
		{ "beat", "--progress", "4294967296" },
		{ "beat", "--of", "1" },
		{ "beat", "--of", "4194305" },
		{ "beat", "--udp", "localhost:7000" },
		{ "beat", "--udp=" },
		{ "beat", "--udp=127.0.0.1:0" },
		{ "beat", "--udp=127.0.0.1:7000", "name" },
		{ "beat", "--udp=127.0.0.1:7000", "--socket=/s" },
		{ "beat", "12345678901234567890123456789012345678901234567890123456789012345" },
	};
	(void)state;

	for (size_t i = 0; i < BELAY__COUNT_OF(lines); i++) {
		beat(0, "", lines[i]);
		assert_int_equal(run.exit, 2);
		assert_int_equal(run.requests, 0);
		assert_true(run.err[0] != '\0');
	}
}

static void answer_lines(int fd, const struct belay__hello *hello, void *data)
{
	(void)hello;
	(void)data;
	test_send(fd, BELAY__HELLO_LINES, 0, "{}\n");
}

static void an_answer_of_another_kind_is_a_matter_of_protocol(void **state)
{
	struct test_answer how = { .answer = answer_lines };
	(void)state;

	test_run(&run, &door, &how, WORDS("beat", "demo"));
	assert_int_equal(run.exit, 76);
}

/* A socket at a free port of this host; its address as text. */
static int listen_udp(char *text, size_t size)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (const struct sockaddr *)&in, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	(void)snprintf(text, size, "127.0.0.1:%u", (unsigned)ntohs(in.sin_port));
	return fd;
}

static struct belay_frame take_frame(int fd)
{
	uint8_t bytes[BELAY_FRAME_LEN + 1];
	struct belay_frame frame = { 0 };

	assert_int_equal(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), BELAY_FRAME_LEN);
	assert_true(belay_frame_decode(bytes, &frame, NULL));
	return frame;
}

static void over_udp_a_beat_is_a_frame_whose_nonce_goes_up(void **state)
{
	char address[64];
	int fd = listen_udp(address, sizeof(address));
	struct belay_frame first, second;
	(void)state;

	beat(0, "", WORDS("beat", "--udp", address));
	assert_int_equal(run.exit, 0);
	assert_int_equal(run.requests, 0);
	assert_string_equal(run.err, "");
	first = take_frame(fd);
	assert_int_equal(first.pid, getpid());
	assert_int_equal(first.status, BELAY_OK);

	beat(0, "",
		WORDS("beat", "--udp", address, "--of", "4711", "--status", "degraded",
			"--progress", "7"));
	assert_int_equal(run.exit, 0);
	second = take_frame(fd);
	assert_int_equal(second.pid, 4711);
	assert_int_equal(second.status, BELAY_DEGRADED);
	assert_int_equal(second.payload, 7);
	assert_true(second.nonce > first.nonce);
	assert_true(second.timestamp_ns >= first.timestamp_ns);
	assert_int_equal(close(fd), 0);

	beat(0, "", WORDS("beat", "--udp", address));
	assert_int_equal(run.exit, 0);
	assert_non_null(strstr(run.err, "nobody listens at 127.0.0.1:"));
	beat(0, "", WORDS("beat", "--udp", address, "--strict"));
	assert_int_equal(run.exit, 69);
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
		cmocka_unit_test(a_beat_carries_what_was_asked_for),
		cmocka_unit_test(a_refused_beat_is_a_failure_with_the_observers_sentence),
		cmocka_unit_test(nobody_there_fails_only_who_is_strict),
		cmocka_unit_test(silence_holds_a_script_up_no_longer_than_200_ms),
		cmocka_unit_test(what_cannot_be_beaten_is_a_matter_of_usage),
		cmocka_unit_test(over_udp_a_beat_is_a_frame_whose_nonce_goes_up),
		cmocka_unit_test(an_answer_of_another_kind_is_a_matter_of_protocol),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
