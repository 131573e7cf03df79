/* What a gate tells its exporter: asked, it answers at once, and what it counted outlives it. */

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "ipc/bind.h"
#include "ipc/channel.h"
#include "observe/cage.h"
#include "observe/counters.h"
#include "observe/roles.h"
#include "observe/state_file.h"
#include "observe/testing.h"
#include "observe/totals.h"

#define NOTHING sizeof(struct belay__msg_nothing)
#define WAIT_MS 10000

/* A gate of its own process, with this one as its parent and its exporter. */
static struct {
	struct house house;
	struct belay__bound beats;
	pid_t pid;
	int parent, exporter, state_fd, totals_fd;
	const struct belay__totals *totals;
	struct belay__msg_counts counts;
	bool ready, answered;
} stand;

static void send_it(uint32_t type, const void *record, size_t size, int fd)
{
	assert_int_equal(belay__channel_send(stand.parent, type, record, (uint32_t)size, fd), 0);
}

static void send_fd(uint32_t type, int fd)
{
	send_it(type, &(struct belay__msg_nothing){ 0 }, NOTHING, fd);
}

static int on_ready(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)record;
	(void)fd_consume;
	stand.ready = true;
	return 0;
}

static int on_counts(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)fd_consume;
	stand.counts = *(const struct belay__msg_counts *)record;
	stand.answered = true;
	return 0;
}

static const struct belay__message_rule rules[] = {
	{ BELAY__MSG_READY, sizeof(struct belay__msg_ready), BELAY__WITHOUT_FD, on_ready },
	{ BELAY__MSG_COUNTS, sizeof(struct belay__msg_counts), BELAY__WITHOUT_FD, on_counts },
};

static void wait_for(int channel, const bool *what)
{
	while (!*what) {
		struct pollfd readable = { .fd = channel, .events = POLLIN };

		assert_int_equal(poll(&readable, 1, WAIT_MS), 1);
		assert_true(belay__channel_receive(channel, rules, 2, NULL, 1) >= 0);
	}
}

static void ask(void)
{
	stand.answered = false;
	assert_int_equal(belay__channel_send(stand.exporter, BELAY__MSG_COUNT,
				 &(struct belay__msg_nothing){ 0 }, NOTHING, -EBADF),
		0);
	wait_for(stand.exporter, &stand.answered);
}

/* Asks until COUNTER is VALUE. */
static void ask_until(enum belay__counter counter, uint64_t value)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + WAIT_MS * BELAY__NS_PER_MS;

	for (ask(); stand.counts.counters[counter] != value; ask())
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < give_up_ns);
}

static void join_exporter(void)
{
	int ends[2];

	belay__close(stand.exporter);
	assert_int_equal(belay__channel_pair(ends), 0);
	stand.exporter = ends[0];
	send_fd(BELAY__MSG_EXPORTER, ends[1]);
	belay__close(ends[1]);
}

static void start(void)
{
	static struct belay__observe_options options; /* too large for the stack */
	struct belay__msg_beats beats = { .queue_frames = 8 };
	struct belay__msg_go message = { .first_seq = 1 };
	int ends[2];

	assert_int_equal(belay__channel_pair(ends), 0);
	stand.pid = fork();
	assert_return_code(stand.pid, errno);
	if (stand.pid == 0) {
		/* There is no prober to tell it how processes ended. */
		if (dup2(ends[1], BELAY__ROLE_CHANNEL) < 0 || belay__cage_obey("--no-sandbox") < 0)
			_exit(99);
		for (int fd = BELAY__ROLE_CHANNEL + 1; fd < 64; fd++)
			(void)close(fd);
		_exit(belay__gate_main());
	}
	stand.parent = ends[0];
	belay__close(ends[1]);
	belay__observe_defaults(&options);
	options.capacity = 64;
	options.max_beat_rate = 0;
	send_it(BELAY__MSG_BEATS, &beats, sizeof(beats), stand.beats.fd);
	send_fd(BELAY__MSG_STATE, stand.state_fd);
	send_fd(BELAY__MSG_TOTALS, stand.totals_fd);
	join_exporter();
	send_it(BELAY__MSG_OPTIONS, &options, sizeof(options), -EBADF);
	send_it(BELAY__MSG_GO, &message, sizeof(message), -EBADF);
	stand.ready = false;
	wait_for(stand.parent, &stand.ready);
}

static void kill_gate(void)
{
	int status;

	assert_int_equal(kill(stand.pid, SIGKILL), 0);
	assert_int_equal(waitpid(stand.pid, &status, 0), stand.pid);
	stand.parent = belay__close(stand.parent);
}

static int begin(void **state)
{
	struct belay__bind bind = { .path = stand.house.path, .type = SOCK_DGRAM, .mode = 0600 };
	(void)state;

	memset(&stand, 0, sizeof(stand));
	stand.exporter = -EBADF;
	house_open(&stand.house);
	stand.state_fd = memfd_create("state", MFD_CLOEXEC);
	stand.totals_fd = belay__totals_create();
	if (belay__bind_guarded(&bind, &stand.beats, NULL) < 0 ||
		belay__totals_view(stand.totals_fd, &stand.totals) < 0)
		return -1;
	start();
	return 0;
}

static int end(void **state)
{
	(void)state;
	kill_gate();
	stand.exporter = belay__close(stand.exporter);
	belay__close(stand.state_fd);
	belay__close(stand.totals_fd);
	belay__totals_close(stand.totals);
	belay__unbind(&stand.beats);
	house_close(&stand.house);
	return 0;
}

static uint64_t beats_of(uint32_t pid, char ret_name[static BELAY__NAME_SIZE])
{
	struct belay__state_view view;
	struct belay__record record = { .beats = 0 };
	const struct belay__slot *slots;
	const struct belay__record *records;

	assert_int_equal(belay__state_view_open(stand.state_fd, &view), 0);
	assert_true(belay__state_view_tables(&view, &slots, &records));
	for (uint32_t i = 0; i < view.capacity; i++)
		if (records[i].pid == pid)
			record = records[i];
	(void)snprintf(ret_name, BELAY__NAME_SIZE, "%s", record.name);
	belay__state_view_done(&view);
	return record.beats;
}

static void asked_it_tells_what_it_counts(void **state)
{
	struct puppet puppet = puppet_start(&stand.house);
	uint64_t began_ns;
	(void)state;

	ask();
	assert_int_equal(stand.counts.count, BELAY__COUNTER_COUNT);
	assert_int_equal(stand.counts.counters[BELAY__COUNT_BEATS], 0);
	assert_int_equal(stand.counts.default_threshold_ns, 5 * BELAY__NS_PER_S);
	puppet_beat(&puppet, BELAY_OK);
	puppet_beat(&puppet, BELAY_OK);
	ask_until(BELAY__COUNT_BEATS, 2);
	assert_int_equal(stand.counts.counters[BELAY__COUNT_PIDS_TRACKED], 1);
	assert_int_equal(stand.counts.counters[BELAY__COUNT_CAPACITY], 64);
	began_ns = belay__clock_ns(CLOCK_REALTIME);
	ask();
	assert_true(stand.counts.realtime_ns >= began_ns);
	assert_true(stand.counts.realtime_ns <= belay__clock_ns(CLOCK_REALTIME));
	assert_true(stand.counts.observer_ns <= belay__clock_ns(CLOCK_MONOTONIC));
	/* Another exporter comes at any time. */
	join_exporter();
	ask();
	assert_int_equal(stand.counts.counters[BELAY__COUNT_BEATS], 2);
	puppet_done(&puppet);
}

static void what_was_counted_outlives_a_gate(void **state)
{
	struct puppet dead = puppet_start(&stand.house), vanished = puppet_start(&stand.house);
	char name[BELAY__NAME_SIZE];
	struct belay__total total;
	uint64_t generation, sum = 0, crashes = 0;
	(void)state;

	puppet_beat(&dead, BELAY_OK);
	puppet_beat(&vanished, BELAY_OK);
	puppet_beat(&vanished, BELAY_OK);
	ask_until(BELAY__COUNT_BEATS, 3);
	assert_int_equal(beats_of((uint32_t)vanished.pid, name), 2);
	assert_true(name[0] != '\0');
	puppet_exit(&dead, 5);
	ask_until(BELAY__COUNT_PIDS_TRACKED, 1);
	kill_gate();
	puppet_done(&vanished);
	start();
	ask();
	while (!belay__totals_begin(stand.totals, &generation))
		(void)poll(NULL, 0, 1);
	for (uint32_t at = 0; at < BELAY__TOTALS_MAX; at++)
		if (belay__totals_read(stand.totals, at, &total)) {
			sum += total.beats;
			crashes += total.crashes;
		}
	assert_int_equal(sum, 3);
	assert_int_equal(crashes, 1);
	assert_int_equal(stand.counts.counters[BELAY__COUNT_PIDS_TRACKED], 0);
	puppet_reap(&dead);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(asked_it_tells_what_it_counts),
		TEST(what_was_counted_outlives_a_gate),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
