/* The door of an embedded observer, through its socket: who is refused, how many come, and how slowly they read. */

#include "observe/door.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fd.h"
#include "base/json.h"
#include "observe/core.h"
#include "observe/door_testing.h"

static struct house house;
static int fds_before;

static int begin(void **state)
{
	(void)state;
	fds_before = belay__fd_count();
	house_open(&house);
	return 0;
}

static int end(void **state)
{
	(void)state;
	house_close(&house);
	return belay__fd_count() == fds_before ? 0 : -1;
}

static struct puppet beating(struct belay_observer *observer)
{
	struct puppet puppet = puppet_start(&house);

	puppet_beat(&puppet, BELAY_OK);
	assert_true(event_take(observer, BELAY_EVENT_BEAT)->first);
	event_none(observer);
	return puppet;
}

/* --- refusals --- */

static void requests_that_are_none_are_refused_and_hung_up_on(void **state)
{
	struct {
		size_t len;
		struct belay__hello hello;
		int code;
		bool answered;
	} rows[] = {
		{ 1, request(BELAY__HELLO_PING), -EBADMSG, true },
		{ 4, request(BELAY__HELLO_PING), -EBADMSG, true },
		{ sizeof(struct belay__hello) - 1, request(BELAY__HELLO_PING), -EBADMSG, true },
		{ sizeof(struct belay__hello), request(BELAY__HELLO_PING), -EBADMSG, true },
		{ sizeof(struct belay__hello), request(BELAY__HELLO_STATUS), -EBADMSG, true },
		{ sizeof(struct belay__hello), request(BELAY__HELLO_PING), -EPROTONOSUPPORT, true },
		{ 60, request(BELAY__HELLO_PING), -EPROTONOSUPPORT, true },
		{ sizeof(struct belay__hello) + 1, request(BELAY__HELLO_PING), 0, false },
		{ 20000, request(BELAY__HELLO_PING), 0, false },
	};
	struct belay_observer *observer = observer_start(&house, NULL);
	static uint8_t bytes[20000];
	(void)state;

	rows[3].hello.magic ^= 1;
	memset(rows[4].hello.name, 'x', sizeof(rows[4].hello.name)); /* without an end */
	rows[5].hello.version = BELAY__HELLO_VERSION + 1;
	rows[6].hello.version = 0;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int fd = connect_door(&house);

		memcpy(bytes, &rows[i].hello, sizeof(rows[i].hello));
		assert_int_equal(send(fd, bytes, rows[i].len, MSG_NOSIGNAL), (ssize_t)rows[i].len);
		if (rows[i].answered)
			hear_done(observer, fd, rows[i].code);
		assert_false(hear(observer, fd));
		assert_int_equal(counter_of(observer, "door_refused_total", ""), i + 1);
		belay__close(fd);
	}
	event_none(observer);
	belay_observer_free(observer);
}

static void an_unknown_request_is_refused_and_the_next_one_served(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	int fd = connect_door(&house);
	(void)state;

	say(fd, (enum belay__hello_type)0, "");
	hear_done(observer, fd, -EOPNOTSUPP);
	say(fd, (enum belay__hello_type)255, "");
	hear_done(observer, fd, -EOPNOTSUPP);
	assert_int_equal(counter_of(observer, "door_refused_total", ""), 2);
	say(fd, BELAY__HELLO_PING, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	hear_done(observer, fd, 0);
	belay__close(fd);
	belay_observer_free(observer);
}

static void another_user_is_not_served(void **state)
{
	struct belay_observer *observer;
	struct puppet stranger, own;
	struct belay__hello hello = request(BELAY__HELLO_STATUS);
	(void)state;

	if (geteuid() != 0)
		skip();
	assert_int_equal(chmod(house.dir, 0711), 0);
	observer = observer_start(&house,
		&(struct belay_observer_options){ .socket_mode = 0666, .clock = test_clock });
	own = beating(observer);
	assert_true(puppet_start_with(&house, 0, TEST_NOBODY, 0, &stranger));
	assert_int_equal(puppet_say(&stranger, &hello), 0);
	event_none(observer);
	assert_int_equal(puppet_hear(&stranger), -EPERM);
	assert_int_equal(puppet_hear(&stranger), -EPIPE);
	assert_int_equal(counter_of(observer, "door_refused_total", ""), 1);
	puppet_done(&stranger);
	puppet_done(&own);
	belay_observer_free(observer);
}

/* --- many clients, slow clients --- */

static void ping(struct belay_observer *observer, int fd)
{
	say(fd, BELAY__HELLO_PING, "");
	assert_int_equal(hear_lines(observer, fd), 1);
	hear_done(observer, fd, 0);
}

static void for_the_65th_client_the_one_idle_longest_goes(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	int fds[BELAY__DOOR_CLIENTS_MAX + 1];
	(void)state;

	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++) {
		fds[i] = connect_door(&house);
		ping(observer, fds[i]);
	}
	/* All but the sixth speak again. */
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++)
		if (i != 5)
			ping(observer, fds[i]);
	fds[BELAY__DOOR_CLIENTS_MAX] = connect_door(&house);
	ping(observer, fds[BELAY__DOOR_CLIENTS_MAX]);
	assert_false(hear(observer, fds[5]));
	for (unsigned i = 0; i <= BELAY__DOOR_CLIENTS_MAX; i++) {
		if (i != 5)
			ping(observer, fds[i]);
		belay__close(fds[i]);
	}
	event_none(observer);
	belay_observer_free(observer);
}

static void a_client_that_goes_leaves_its_place(void **state)
{
	struct belay_observer *observer = observer_start(&house, NULL);
	int stays = connect_door(&house);
	(void)state;

	ping(observer, stays);
	for (unsigned i = 0; i < 3 * BELAY__DOOR_CLIENTS_MAX; i++) {
		int fd = connect_door(&house);

		ping(observer, fd);
		belay__close(fd);
		event_none(observer);
	}
	ping(observer, stays);
	belay__close(stays);
	belay_observer_free(observer);
}

/* Puts COUNT processes into the table as if they had beaten. */
static void fill_table(struct belay_observer *observer, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = belay__table_insert(&observer->table, 100000 + i);
		struct belay__record *record;

		assert_int_not_equal(at, BELAY__NO_SLOT);
		record = &observer->table.records[observer->table.slots[at].record];
		(void)snprintf(record->name, sizeof(record->name), "process-%u", i);
		record->uid = geteuid();
		observer->table.slots[at].last_ns = observer->now_ns;
	}
}

/* Lets the observer work until nothing more is to be done; it must come to rest. */
static void settle(struct belay_observer *observer)
{
	for (unsigned turns = 0; observer_readable(observer, 0); turns++) {
		assert_null(belay_observer_next(observer));
		assert_in_range(turns, 0, 1000);
	}
}

/* Asks for everything and reads nothing until the observer has come to rest; then all of it must come. */
static void read_slowly(struct belay_observer *observer, uint32_t count)
{
	static uint8_t seen[4096];
	int fd = connect_door(&house);
	uint32_t rows = 0;

	memset(seen, 0, sizeof(seen));
	say(fd, BELAY__HELLO_STATUS, "");
	say(fd, BELAY__HELLO_PING, "");
	settle(observer);
	for (;;) {
		unsigned lines = hear_lines(observer, fd);

		if (lines == 0)
			break;
		for (const char *at = door_packet.text;
			(at = strstr(at, "\"name\":\"process-")) != NULL; at++) {
			uint64_t number = strtoul(at + strlen("\"name\":\"process-"), NULL, 10);

			assert_in_range(number, 0, count - 1);
			assert_int_equal(seen[number]++, 0);
		}
		rows += lines;
	}
	assert_int_equal(door_packet.head.code, 0);
	assert_int_equal(rows, count);
	assert_int_equal(hear_lines(observer, fd), 1); /* the ping's */
	hear_done(observer, fd, 0);
	belay__close(fd);
	settle(observer);
}

static void a_slow_reader_gets_every_row_and_keeps_nobody_busy(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 3600000, .clock = test_clock });
	(void)state;

	fill_table(observer, 4096);
	read_slowly(observer, 4096);
	belay_observer_free(observer);
}

static void an_answer_that_just_fills_the_line_is_whole_too(void **state)
{
	(void)state;
	for (uint32_t count = 100; count < 900; count += 20) {
		struct belay_observer *observer = observer_start(&house,
			&(struct belay_observer_options){ .threshold_ms = 3600000,
				.clock = test_clock });

		fill_table(observer, count);
		read_slowly(observer, count);
		belay_observer_free(observer);
	}
}

static void a_slow_reader_that_goes_away_is_forgotten(void **state)
{
	struct belay_observer *observer = observer_start(&house,
		&(struct belay_observer_options){ .threshold_ms = 3600000, .clock = test_clock });
	int fd = connect_door(&house), other = connect_door(&house);
	(void)state;

	fill_table(observer, 4096);
	say(fd, BELAY__HELLO_STATUS, "");
	settle(observer);
	ping(observer, other); /* others are served meanwhile */
	belay__close(fd);
	settle(observer);
	ping(observer, other);
	belay__close(other);
	belay_observer_free(observer);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests_that_are_none_are_refused_and_hung_up_on),
		TEST(an_unknown_request_is_refused_and_the_next_one_served),
		TEST(another_user_is_not_served),
		TEST(for_the_65th_client_the_one_idle_longest_goes),
		TEST(a_client_that_goes_leaves_its_place),
		TEST(a_slow_reader_gets_every_row_and_keeps_nobody_busy),
		TEST(an_answer_that_just_fills_the_line_is_whole_too),
		TEST(a_slow_reader_that_goes_away_is_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
