#include "backend/probe_daemons_testing.h"

static void check_in_vain(struct place *place, const struct belay_daemon *record,
	enum belay_probe_error expected)
{
	enum { TIMEOUT_MS = 60 };
	struct belay_probe_report report;
	struct belay_error error;
	uint64_t began_ns = belay__clock_ns(CLOCK_MONOTONIC), took_ns;

	place->options.timeout_ms = TIMEOUT_MS;
	assert_int_equal(probe(place, record, &report, &error), -ETIMEDOUT);
	took_ns = belay__clock_ns(CLOCK_MONOTONIC) - began_ns;
	assert_int_equal(report.error, expected);
	assert_int_equal(error.code, -ETIMEDOUT);
	/* Not before, and the rest is for a machine that has much to do. */
	assert_true(took_ns >= TIMEOUT_MS * BELAY__NS_PER_MS);
	assert_true(report.took_us >= UINT64_C(1000) * TIMEOUT_MS);
	assert_true(took_ns < TEST_PLENTY_MS / 4 * BELAY__NS_PER_MS);
}

static void a_silent_endpoint_times_out_and_not_before(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_is_silent, &daemon);
	const struct belay_daemon *record = record_of(place, &child);

	check_in_vain(place, record, BELAY_PROBE_TIMEOUT);
	reap_well(&child);
}

static void trickled_bytes_do_not_extend_the_deadline(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_trickles, &daemon);
	const struct belay_daemon *record = record_of(place, &child);

	check_in_vain(place, record, BELAY_PROBE_TIMEOUT);
	reap_well(&child);
}

static void who_hangs_up_is_not_waited_for(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_hangs_up, &daemon);
	const struct belay_daemon *record = record_of(place, &child);
	struct belay_probe_report report;

	assert_int_equal(probe(place, record, &report, NULL) < 0, 1);
	assert_int_equal(report.error, BELAY_PROBE_IO);
	assert_true(report.took_us < TEST_PLENTY_MS * 1000 / 4);
	child_end(&child);
}

static void who_is_killed_is_not_waited_for(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place, .go = -EBADF };
	struct child child = child_start(body_is_silent, &daemon);
	struct belay_probe_report report;
	struct belay_prober *prober;

	place->self = *record_of(place, &child);
	prober = ask(place);
	child_end(&child);
	/* The listener is ours, too: a connection that he did not accept must end as well. */
	place->listener = belay__close(place->listener);
	assert_int_equal(conclude(prober, NULL, &report, NULL) < 0, 1);
	assert_int_equal(report.error, BELAY_PROBE_IO);
}

static void a_prober_is_readable_when_its_time_is_up(void **state)
{
	struct place *place = *state;
	struct belay_probe_report report;
	struct belay_prober *prober;
	struct belay_error error;
	int connection;

	place->options.timeout_ms = 30;
	prober = ask(place);
	connection = accept_at(place->listener);
	assert_int_equal(belay_probe_next(prober, NULL, &report, &error), -EAGAIN);
	wait_readable(belay_probe_fd(prober));
	/* A byte more does not buy time. */
	send_all(connection, "\x01", 1);
	assert_int_equal(belay_probe_next(prober, NULL, &report, &error), -ETIMEDOUT);
	assert_int_equal(report.error, BELAY_PROBE_TIMEOUT);
	/* It says the same however often it is asked, and stays readable. */
	wait_readable(belay_probe_fd(prober));
	assert_int_equal(belay_probe_next(prober, NULL, NULL, NULL), -ETIMEDOUT);
	assert_null(belay_probe_free(prober));
	(void)close(connection);
}

/* Connects until no more is let in; the number of connections. */
static size_t fill_backlog(const struct place *place, int fds[16])
{
	size_t count = 0;

	while (count < 16) {
		fds[count] = connect_to(&place->endpoint);
		if (fds[count] < 0)
			break;
		count++;
	}
	assert_in_range(count, 1, 15);
	return count;
}

static void a_full_backlog_is_tried_again_until_the_deadline(void **state)
{
	struct place *place = *state;
	struct belay_probe_report report;
	int fds[16];
	size_t count;

	assert_return_code(listen(place->listener, 0), errno);
	count = fill_backlog(place, fds);
	check_in_vain(place, &place->self, BELAY_PROBE_CONNECT);
	assert_int_equal(conclude(ask(place), NULL, &report, NULL), -ETIMEDOUT);
	assert_int_equal(report.error, BELAY_PROBE_CONNECT);
	while (count > 0)
		(void)close(fds[--count]);
}

static void room_in_the_backlog_is_used(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place };
	struct belay_probe_report report = { .error = BELAY_PROBED };
	struct belay_prober *prober;
	struct child child;
	int fds[16], go[2];
	size_t count;

	assert_return_code(listen(place->listener, 0), errno);
	assert_return_code(pipe2(go, O_CLOEXEC), errno);
	daemon.go = go[0];
	child = child_start(body_serves, &daemon);
	count = fill_backlog(place, fds);
	place->self = *record_of(place, &child);
	prober = ask(place);
	wait_readable(belay_probe_fd(prober));
	assert_int_equal(belay_probe_next(prober, NULL, &report, NULL), -EAGAIN);
	assert_int_equal(report.error, BELAY_PROBED); /* untouched */
	while (count > 0)
		(void)close(fds[--count]);
	assert_int_equal(write(go[1], "g", 1), 1);
	assert_int_equal(conclude(prober, NULL, &report, NULL), 0);
	assert_int_equal(report.proved, TEST_ALL_PROOFS);
	(void)close(go[0]);
	(void)close(go[1]);
	reap_well(&child);
}

/* The same for who waits in connect(2). */
static int body_probes(void *argument)
{
	const struct daemon *daemon = argument;

	return -probe(daemon->place, &daemon->place->self, NULL, NULL);
}

static void room_in_the_backlog_wakes_who_waits(void **state)
{
	struct place *place = *state;
	struct daemon daemon = { .place = place };
	struct child child, prober;
	int fds[16], go[2];
	size_t count;

	assert_return_code(listen(place->listener, 0), errno);
	assert_return_code(pipe2(go, O_CLOEXEC), errno);
	daemon.go = go[0];
	child = child_start(body_serves, &daemon);
	place->self = *record_of(place, &child);
	count = fill_backlog(place, fds);
	/* It has copies of those who are in its way, but never uses them. */
	prober = child_start(body_probes, &daemon);
	child_wait_state(&prober, 'S');
	while (count > 0) {
		(void)shutdown(fds[--count], SHUT_RDWR);
		(void)close(fds[count]);
	}
	assert_int_equal(write(go[1], "g", 1), 1);
	reap_well(&prober);
	(void)close(go[0]);
	(void)close(go[1]);
	reap_well(&child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLACE_TEST(a_silent_endpoint_times_out_and_not_before),
		PLACE_TEST(trickled_bytes_do_not_extend_the_deadline),
		PLACE_TEST(who_hangs_up_is_not_waited_for),
		PLACE_TEST(who_is_killed_is_not_waited_for),
		PLACE_TEST(a_prober_is_readable_when_its_time_is_up),
		PLACE_TEST(a_full_backlog_is_tried_again_until_the_deadline),
		PLACE_TEST(room_in_the_backlog_is_used),
		PLACE_TEST(room_in_the_backlog_wakes_who_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
