#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "export/http_listen.h"
#include "ipc/channel.h"
#include "observe/counters.h"
#include "observe/roles.h"
#include "observe/state_file.h"
#include "observe/table.h"
#include "observe/testing.h"
#include "observe/totals.h"

#define CAPACITY   64
#define PATIENCE_S 10
#define NOTHING    sizeof(struct belay__msg_nothing)

/* An exporter of its own process, with this one as its parent and its gate. */
static struct {
	struct house house;
	pid_t pid;
	int parent, gate, unix_fd;
	struct belay__observe_options options;
	struct belay__state_file state;
	struct belay__table table;
	struct belay__totals *totals;
	struct belay__msg_counts counts;
	unsigned asked;
	bool silent; /* the gate does not answer */
	char body[1 << 20];
} stand;

/* --- the exporter's surroundings --- */

static void send_it(uint32_t type, const void *record, size_t size, int fd)
{
	assert_int_equal(belay__channel_send(stand.parent, type, record, (uint32_t)size, fd), 0);
}

static void send_fd(uint32_t type, int fd)
{
	send_it(type, &(struct belay__msg_nothing){ 0 }, NOTHING, fd);
}

static void join_gate(void)
{
	int ends[2];

	belay__close(stand.gate);
	assert_int_equal(belay__channel_pair(ends), 0);
	stand.gate = ends[0];
	send_fd(BELAY__MSG_GATE, ends[1]);
	belay__close(ends[1]);
}

static void make_table(void)
{
	int fd = memfd_create("state", MFD_CLOEXEC), totals_fd = belay__totals_create();

	assert_int_equal(belay__state_map_take(fd, CAPACITY, &stand.state, NULL), 0);
	assert_int_equal(belay__totals_open(totals_fd, &stand.totals), 0);
	belay__table_init(&stand.table, CAPACITY, belay__state_slots(&stand.state),
		belay__state_records(&stand.state), 1);
	send_fd(BELAY__MSG_STATE, fd);
	send_fd(BELAY__MSG_TOTALS, totals_fd);
	belay__close(totals_fd);
}

/* The gate has made its table. */
static void commit(void)
{
	belay__state_commit(&stand.state);
	belay__totals_release(stand.totals);
}

static void enter(uint32_t pid, const char *name, uint32_t uid, uint64_t beats)
{
	uint32_t at = belay__table_insert(&stand.table, pid);
	struct belay__record *record;

	assert_int_not_equal(at, BELAY__NO_SLOT);
	record = &stand.table.records[stand.table.slots[at].record];
	record->uid = uid;
	record->beats = beats;
	(void)snprintf(record->name, sizeof(record->name), "%s", name);
}

static struct sockaddr_un address_of_door(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/metrics", stand.house.dir);
	return address;
}

static int listen_at_door(void)
{
	const struct sockaddr_un address = address_of_door();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void start(void)
{
	int ends[2];

	assert_int_equal(belay__channel_pair(ends), 0);
	stand.pid = fork();
	assert_return_code(stand.pid, errno);
	if (stand.pid == 0) {
		if (dup2(ends[1], BELAY__ROLE_CHANNEL) < 0)
			_exit(99);
		for (int fd = BELAY__ROLE_CHANNEL + 1; fd < 64; fd++)
			(void)close(fd);
		_exit(belay__exporter_main());
	}
	stand.parent = ends[0];
	belay__close(ends[1]);
}

static int begin(void **state)
{
	(void)state;

	memset(&stand, 0, sizeof(stand));
	stand.gate = -EBADF;
	house_open(&stand.house);
	belay__observe_defaults(&stand.options);
	stand.options.capacity = CAPACITY;
	stand.counts.count = BELAY__COUNTER_COUNT;
	start();
	stand.unix_fd = listen_at_door();
	return 0;
}

/* An exporter ends with its parent. */
static int end(void **state)
{
	int status = -1;
	(void)state;

	stand.parent = belay__close(stand.parent);
	if (stand.pid > 0)
		(void)waitpid(stand.pid, &status, 0);
	stand.gate = belay__close(stand.gate);
	stand.unix_fd = belay__close(stand.unix_fd);
	if (stand.state.mapping != NULL)
		belay__state_done(&stand.state);
	belay__totals_close(stand.totals);
	house_close(&stand.house);
	return status;
}

/* Sends all that is left, and the word to go. */
static void go(const struct belay__rule *rules, uint32_t rule_count)
{
	struct belay__msg_go message = { .first_seq = 1 };

	send_it(BELAY__MSG_OPTIONS, &stand.options, sizeof(stand.options), -EBADF);
	send_it(BELAY__MSG_FORGET_RULES, &(struct belay__msg_nothing){ 0 }, NOTHING, -EBADF);
	for (uint32_t i = 0; i < rule_count; i++)
		send_it(BELAY__MSG_RULE, &rules[i], sizeof(rules[i]), -EBADF);
	send_it(BELAY__MSG_GO, &message, sizeof(message), -EBADF);
}

static int on_count(void *data, const void *record, int fd_consume)
{
	(void)data;
	(void)record;
	(void)fd_consume;
	stand.asked++;
	stand.counts.realtime_ns = belay__clock_ns(CLOCK_REALTIME);
	stand.counts.observer_ns = belay__clock_ns(CLOCK_MONOTONIC);
	if (!stand.silent)
		(void)belay__channel_send(stand.gate, BELAY__MSG_COUNTS, &stand.counts,
			sizeof(stand.counts), -EBADF);
	return 0;
}

/* Plays the gate for what it is asked within TIMEOUT_MS. */
static void answer_gate(int timeout_ms)
{
	static const struct belay__message_rule rules[] = {
		{ BELAY__MSG_COUNT, NOTHING, BELAY__WITHOUT_FD, on_count },
	};
	struct pollfd asked = { .fd = stand.gate, .events = POLLIN };

	if (poll(&asked, 1, timeout_ms) > 0 &&
		belay__channel_receive(stand.gate, rules, 1, NULL, 16) < 0)
		stand.gate = belay__close(stand.gate);
}

/* Plays the gate until FD has something to read, or hung up. */
static void serve_until_readable(int fd)
{
	struct pollfd ready[2] = { { .fd = fd, .events = POLLIN }, { .events = POLLIN } };

	do {
		ready[1].fd = stand.gate;
		assert_true(poll(ready, 2, PATIENCE_S * 1000) > 0);
		if (ready[1].revents != 0)
			answer_gate(0);
	} while (ready[0].revents == 0);
}

/* Asks for PATH with HEADERS at the connected socket FD (consumed). Returns the status; the whole
 * answer is in stand.body. */
static int ask_at(int fd_consume, const char *path, const char *headers)
{
	_cleanup_close_ int fd = fd_consume;
	char request[512];
	size_t len = 0;
	int status = 0;

	(void)snprintf(request, sizeof(request),
		"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", path, headers);
	assert_int_equal(belay__write_all(fd, request, strlen(request)), 0);
	for (;;) {
		ssize_t got;

		serve_until_readable(fd);
		got = read(fd, stand.body + len, sizeof(stand.body) - 1 - len);
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	stand.body[len] = '\0';
	if (strncmp(stand.body, "HTTP/1.1 ", 9) == 0)
		status = (int)strtol(stand.body + 9, NULL, 10);
	return status;
}

static int ask_with(const char *path, const char *headers)
{
	const struct sockaddr_un address = address_of_door();
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	return ask_at(fd, path, headers);
}

static int ask(const char *path)
{
	return ask_with(path, "");
}

static void assert_tells(const char *text)
{
	if (strstr(stand.body, text) == NULL) {
		print_error("this is missing:\n%s\nfrom this:\n%s\n", text, stand.body);
		fail();
	}
}

/* What is shown is kept for a second: asks for PATH again until STATUS is the answer. */
static void wait_for(const char *path, int status)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + PATIENCE_S * BELAY__NS_PER_S;

	while (ask(path) != status) {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < give_up_ns);
		(void)poll(NULL, 0, 50);
	}
}

/* The same until TEXT is in the answer. */
static void wait_for_text(const char *path, const char *text)
{
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + PATIENCE_S * BELAY__NS_PER_S;

	while (ask(path) != 200 || strstr(stand.body, text) == NULL) {
		if (belay__clock_ns(CLOCK_MONOTONIC) > give_up_ns)
			assert_tells(text);
		(void)poll(NULL, 0, 50);
	}
}

static void open_for_business(const struct belay__rule *rules, uint32_t rule_count)
{
	make_table();
	send_fd(BELAY__MSG_METRICS_UNIX, stand.unix_fd);
	join_gate();
	go(rules, rule_count);
}

/* --- tests --- */

static void a_scrape_tells_table_totals_and_what_the_gate_counts(void **state)
{
	const struct belay__rule rules[] = {
		{ .name = "never", .uid = 33, .expect = 2 },
	};
	(void)state;

	open_for_business(rules, 1);
	enter(100, "web", 33, 10);
	enter(101, "web", 33, 20);
	commit();
	belay__totals_add(stand.totals, "web", 33,
		&(struct belay__total){ .beats = 5, .crashes = 1 });
	stand.counts.counters[BELAY__COUNT_BAD_CRC] = 7;
	stand.counts.events_written = 11;
	assert_int_equal(ask("/metrics"), 200);
	assert_tells("\r\nContent-Type: text/plain; version=0.0.4");
	assert_tells("\nbelay_beats_total{name=\"web\"} 35\n");
	assert_tells("\nbelay_crashes_total{name=\"web\"} 1\n");
	assert_tells("\nbelay_processes{name=\"web\"} 2\n");
	assert_tells("\nbelay_expected_processes{name=\"never\"} 2\n");
	assert_tells("\nbelay_processes{name=\"never\"} 0\n");
	assert_tells("\nbelay_decode_errors_total{kind=\"bad_crc\"} 7\n");
	assert_tells("\nbelay_events_written_total 11\n");
	assert_null(strstr(stand.body, "pid="));
	assert_null(strstr(stand.body, "_timestamp_seconds 0.000\n"));
	assert_int_equal(stand.asked, 1);
	/* The body of this second is shown again, and nobody is asked for it. */
	assert_int_equal(ask("/metrics"), 200);
	assert_int_equal(stand.asked, 1);
	assert_int_equal(
		ask_with("/metrics", "Accept: application/openmetrics-text;version=1.0.0\r\n"), 200);
	assert_tells("\r\nContent-Type: application/openmetrics-text; version=1.0.0");
	assert_tells("\n# EOF\n");
	assert_int_equal(ask("/"), 404);
}

static void the_originals_prefix_tells_pids(void **state)
{
	(void)state;

	stand.options.metric_prefix = BELAY__PREFIX_VARTA;
	open_for_business(NULL, 0);
	enter(100, "web", 33, 10);
	commit();
	assert_int_equal(ask("/metrics"), 200);
	assert_tells("\nvarta_beats_total{pid=\"100\"} 10\n");
	assert_null(strstr(stand.body, "belay_"));
}

static void pids_of_names_are_told_when_asked_for_and_no_longer_after_a_reload(void **state)
{
	(void)state;

	stand.options.metric_pids = true;
	open_for_business(NULL, 0);
	enter(100, "web", 33, 10);
	commit();
	assert_int_equal(ask("/metrics"), 200);
	assert_tells("\nbelay_process_info{name=\"web\",pid=\"100\",uid=\"33\"} 1\n");
	stand.options.metric_prefix = BELAY__PREFIX_VARTA;
	go(NULL, 0);
	wait_for_text("/metrics", "\nvarta_beats_total{pid=\"100\"} 10\n");
}

static void it_lives_as_long_as_the_gate_answers(void **state)
{
	(void)state;

	open_for_business(NULL, 0);
	commit();
	assert_int_equal(ask("/livez"), 200);
	assert_tells("\r\n\r\nalive\n");
	stand.silent = true;
	wait_for("/livez", 503);
	assert_tells("\r\n\r\nthe gate has not answered for ");
	stand.silent = false;
	wait_for("/livez", 200);
}

static void without_an_answer_the_last_numbers_are_told_soon(void **state)
{
	char last_poll[64], *at;
	uint64_t began_ns;
	(void)state;

	open_for_business(NULL, 0);
	enter(100, "web", 33, 10);
	commit();
	stand.counts.counters[BELAY__COUNT_BEATS] = 10;
	assert_int_equal(ask("/metrics"), 200);
	at = strstr(stand.body, "\nbelay_watch_last_poll_loop_timestamp_seconds ");
	assert_non_null(at);
	(void)snprintf(last_poll, sizeof(last_poll), "%s", at);
	stand.silent = true;
	stand.table.records[stand.table.slots[belay__table_find(&stand.table, 100)].record].beats =
		12;
	began_ns = belay__clock_ns(CLOCK_MONOTONIC);
	wait_for_text("/metrics", "\nbelay_beats_total{name=\"web\"} 12\n");
	assert_true(belay__clock_ns(CLOCK_MONOTONIC) - began_ns < 3 * BELAY__NS_PER_S);
	assert_tells("\nbelay_observer_beats_total 10\n");
	at = strstr(stand.body, "\nbelay_watch_last_poll_loop_timestamp_seconds ");
	assert_non_null(at);
	assert_memory_equal(at, last_poll, sizeof(last_poll) - 1);
}

static void a_new_gate_is_asked_instead_and_sums_go_on(void **state)
{
	(void)state;

	open_for_business(NULL, 0);
	commit();
	stand.counts.counters[BELAY__COUNT_BEATS] = 10;
	assert_int_equal(ask("/metrics"), 200);
	stand.gate = belay__close(stand.gate);
	wait_for("/livez", 503);
	assert_tells("\r\n\r\nthe gate is being replaced\n");
	join_gate();
	stand.counts.counters[BELAY__COUNT_BEATS] = 3;
	wait_for_text("/metrics", "\nbelay_observer_beats_total 13\n");
	wait_for("/livez", 200);
}

static void it_is_ready_when_there_is_a_table_and_the_gate_answers(void **state)
{
	(void)state;

	open_for_business(NULL, 0);
	assert_int_equal(ask("/readyz"), 503);
	assert_tells("\r\n\r\nthe gate has no table yet\n");
	commit();
	wait_for("/readyz", 200);
	assert_tells("\r\n\r\nready\n");
	stand.silent = true;
	wait_for("/readyz", 503);
}

static void a_state_file_of_another_capacity_is_not_looked_at(void **state)
{
	(void)state;

	stand.options.capacity = CAPACITY + 1;
	open_for_business(NULL, 0);
	enter(100, "web", 33, 10);
	commit();
	assert_int_equal(ask("/metrics"), 200);
	assert_null(strstr(stand.body, "\"web\""));
	assert_int_equal(ask("/readyz"), 503);
}

static void without_state_and_totals_the_gates_numbers_are_told(void **state)
{
	(void)state;

	send_fd(BELAY__MSG_METRICS_UNIX, stand.unix_fd);
	go(NULL, 0);
	assert_int_equal(ask("/livez"), 503);
	join_gate();
	stand.counts.counters[BELAY__COUNT_BEATS] = 10;
	wait_for_text("/metrics", "\nbelay_observer_beats_total 10\n");
	wait_for("/readyz", 200);
}

static void over_tcp_a_token_is_needed(void **state)
{
	struct belay__msg_token token;
	char bound[BELAY__HTTP_BOUND_SIZE], bearer[128] = "Authorization: Bearer ";
	int tcp = belay__http_listen("127.0.0.1:0", true, bound, NULL);
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	(void)state;

	for (unsigned i = 0; i < sizeof(token.token); i++) {
		token.token[i] = (uint8_t)i;
		(void)snprintf(bearer + 22 + 2 * (size_t)i, 3, "%02x", i);
	}
	memcpy(bearer + 22 + 64, "\r\n", 3);
	assert_return_code(tcp, errno);
	assert_int_equal(getsockname(tcp, (struct sockaddr *)&address, &len), 0);
	make_table();
	commit();
	send_fd(BELAY__MSG_METRICS_TCP, tcp);
	send_it(BELAY__MSG_TOKEN, &token, sizeof(token), -EBADF);
	join_gate();
	go(NULL, 0);
	for (unsigned i = 0; i < 2; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		assert_int_equal(connect(fd, (const struct sockaddr *)&address, len), 0);
		assert_int_equal(ask_at(fd, "/metrics", i == 0 ? "" : bearer), i == 0 ? 401 : 200);
	}
	assert_tells("\nbelay_prom_auth_failures_total 1\n");
	belay__close(tcp);
}

static void the_text_file_is_written_at_once_and_again_when_the_gate_answers(void **state)
{
	char *path = stand.options.metrics_textfile;
	uint64_t give_up_ns = belay__clock_ns(CLOCK_MONOTONIC) + PATIENCE_S * BELAY__NS_PER_S;
	struct stat st;
	(void)state;

	(void)snprintf(path, sizeof(stand.options.metrics_textfile), "%s/belay.prom",
		stand.house.dir);
	make_table();
	commit();
	enter(100, "web", 33, 10);
	go(NULL, 0);
	while (stat(path, &st) < 0) {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < give_up_ns);
		(void)poll(NULL, 0, 20);
	}
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_true(belay__read_file(AT_FDCWD, path, stand.body, sizeof(stand.body)) > 0);
	assert_tells("\nbelay_beats_total{name=\"web\"} 10\n");
	stand.counts.counters[BELAY__COUNT_BEATS] = 10;
	join_gate();
	do {
		assert_true(belay__clock_ns(CLOCK_MONOTONIC) < give_up_ns);
		answer_gate(20);
		assert_true(belay__read_file(AT_FDCWD, path, stand.body, sizeof(stand.body)) > 0);
	} while (strstr(stand.body, "\nbelay_observer_beats_total 10\n") == NULL);
}

static void it_ends_when_the_parent_breaks_the_rules(void **state)
{
	int status;
	(void)state;

	send_it(BELAY__MSG_READY, &(struct belay__msg_ready){ 0 }, sizeof(struct belay__msg_ready),
		-EBADF);
	assert_int_equal(waitpid(stand.pid, &status, 0), stand.pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 71);
	/* Another one, to be ended as all are. */
	stand.parent = belay__close(stand.parent);
	start();
}

static void as_root_it_keeps_no_capability(void **state)
{
	char path[64], status[4096];
	(void)state;

	if (geteuid() != 0)
		skip();
	open_for_business(NULL, 0);
	commit();
	assert_int_equal(ask("/livez"), 200);
	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)stand.pid);
	assert_true(belay__read_file(AT_FDCWD, path, status, sizeof(status)) > 0);
	assert_non_null(strstr(status, "\nCapPrm:\t0000000000000000\n"));
	assert_non_null(strstr(status, "\nCapEff:\t0000000000000000\n"));
	assert_non_null(strstr(status, "\nCapBnd:\t0000000000000000\n"));
	assert_non_null(strstr(status, "\nNoNewPrivs:\t1\n"));
	assert_non_null(strstr(status, "Name:\tbelay-exporter\n"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_scrape_tells_table_totals_and_what_the_gate_counts),
		TEST(the_originals_prefix_tells_pids),
		TEST(pids_of_names_are_told_when_asked_for_and_no_longer_after_a_reload),
		TEST(it_lives_as_long_as_the_gate_answers),
		TEST(without_an_answer_the_last_numbers_are_told_soon),
		TEST(a_new_gate_is_asked_instead_and_sums_go_on),
		TEST(it_is_ready_when_there_is_a_table_and_the_gate_answers),
		TEST(a_state_file_of_another_capacity_is_not_looked_at),
		TEST(without_state_and_totals_the_gates_numbers_are_told),
		TEST(over_tcp_a_token_is_needed),
		TEST(the_text_file_is_written_at_once_and_again_when_the_gate_answers),
		TEST(it_ends_when_the_parent_breaks_the_rules),
		TEST(as_root_it_keeps_no_capability),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
