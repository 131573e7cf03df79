#include <belay/beat.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "beat/beat_internal.h"
#include "beat/test_observer.h"

static struct test_observer observer;
static struct belay *belay;

static int nobody(void **state)
{
	(void)state;
	test_observer_init(&observer);
	belay = belay_open(observer.path);
	assert_non_null(belay);
	return 0;
}

static int somebody(void **state)
{
	(void)state;
	test_observer_init(&observer);
	test_observer_listen(&observer);
	belay = belay_open(observer.path);
	assert_non_null(belay);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	belay_close(belay);
	test_observer_done(&observer);
	return 0;
}

static struct belay_outcome beat(void)
{
	return belay_beat(belay, BELAY_OK, 0);
}

/* As if the last reconnect had been tried long ago. */
static void let_the_reconnect_pause_pass(void)
{
	belay->reconnect_not_before_ns = 0;
}

static void a_beat_is_one_frame_with_what_was_given(void **state)
{
	(void)state;

	assert_sent(belay_beat(belay, BELAY_DEGRADED, 4711));

	struct belay_frame frame = test_observer_take_only(&observer);
	assert_int_equal(frame.status, BELAY_DEGRADED);
	assert_int_equal(frame.pid, getpid());
	assert_int_equal(frame.nonce, 1);
	assert_int_equal(frame.payload, 4711);
	assert_true(frame.timestamp_ns < 10 * BELAY__NS_PER_S);
}

static void nonces_count_up_and_timestamps_never_fall(void **state)
{
	uint64_t timestamp_ns = 0;
	(void)state;

	for (uint64_t nonce = 1; nonce <= 100; nonce++) {
		assert_sent(beat());

		struct belay_frame frame = test_observer_take_only(&observer);
		assert_int_equal(frame.nonce, nonce);
		assert_true(frame.timestamp_ns >= timestamp_ns);
		timestamp_ns = frame.timestamp_ns;
	}
	assert_int_equal(belay_clock_regressions(belay), 0);
}

static void what_observers_alone_may_say_is_refused(void **state)
{
	(void)state;
	belay->drops = 3;

	assert_failed(belay_beat(belay, BELAY_STALL, 1), EINVAL);
	assert_failed(belay_beat(belay, (enum belay_status)4, 1), EINVAL);
	assert_failed(belay_beat(belay, (enum belay_status) - 1, 1), EINVAL);

	assert_int_equal(test_observer_drain(&observer), 0);
	assert_int_equal(belay->drops, 0);
	assert_sent(belay_beat(belay, BELAY_CRITICAL, 1));
	assert_int_equal(test_observer_take_only(&observer).nonce, 1);
}

static void without_a_handle_everything_says_so_and_nothing_crashes(void **state)
{
	(void)state;

	assert_failed(belay_beat(NULL, BELAY_OK, 0), EBADF);
	assert_int_equal(belay_beat_within(NULL, 1), -EBADF);
	assert_int_equal(belay_reconnect(NULL), -EBADF);
	belay_set_reconnect_after(NULL, 1);
	assert_int_equal(belay_clock_regressions(NULL), 0);
	assert_int_equal(belay_fork_recoveries(NULL), 0);
	belay_close(NULL);
}

static void a_full_queue_drops_and_uses_up_no_nonce(void **state)
{
	struct belay_outcome outcome;
	uint64_t sent = 0;
	int fd = belay->connection.fd;
	(void)state;

	while ((outcome = beat()).sent == BELAY_SENT)
		sent++;
	assert_dropped(outcome, BELAY_DROP_QUEUE_FULL);
	assert_dropped(beat(), BELAY_DROP_QUEUE_FULL);
	assert_int_equal(belay->nonce, sent);
	assert_int_equal(belay->connection.fd, fd); /* a slow observer is not a lost one */
	assert_int_equal(belay->reconnect_not_before_ns, 0);

	assert_int_equal(test_observer_drain(&observer), sent);
	assert_sent(beat());
	assert_int_equal(test_observer_take_only(&observer).nonce, sent + 1);
}

static void beats_are_dropped_until_somebody_listens(void **state)
{
	(void)state;

	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	test_observer_listen(&observer);

	/* Not yet: the last try was less than 100 ms ago. */
	belay->reconnect_not_before_ns = UINT64_MAX;
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(test_observer_drain(&observer), 0);

	let_the_reconnect_pause_pass();
	assert_sent(beat());
	assert_int_equal(test_observer_take_only(&observer).nonce, 1);
}

static void an_observer_that_restarts_loses_no_beat(void **state)
{
	(void)state;

	assert_sent(beat());
	test_observer_listen(&observer);
	assert_sent(beat());

	assert_int_equal(test_observer_take_only(&observer).nonce, 2);
}

static void a_reconnect_is_tried_at_most_every_100_ms(void **state)
{
	(void)state;
	test_observer_leave(&observer);

	uint64_t before_ns = belay__clock_ns(CLOCK_MONOTONIC);
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	uint64_t after_ns = belay__clock_ns(CLOCK_MONOTONIC);

	uint64_t not_before_ns = belay->reconnect_not_before_ns;
	assert_in_range(not_before_ns, before_ns + BELAY__RECONNECT_EVERY_NS,
		after_ns + BELAY__RECONNECT_EVERY_NS);

	/* Within the pause no try moves it. */
	belay->reconnect_not_before_ns = not_before_ns + 60 * BELAY__NS_PER_S;
	(void)beat();
	assert_int_equal(belay->reconnect_not_before_ns, not_before_ns + 60 * BELAY__NS_PER_S);
}

static void a_peer_that_hung_up_is_gone_and_then_found_again(void **state)
{
	(void)state;
	belay_set_reconnect_after(belay, 0);

	/* The first send notices (ECONNREFUSED) and the kernel forgets the peer (ENOTCONN). */
	test_observer_leave(&observer);
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_dropped(beat(), BELAY_DROP_PEER_GONE);

	test_observer_listen(&observer);
	assert_dropped(beat(), BELAY_DROP_PEER_GONE); /* 0: never by itself */
	belay_set_reconnect_after(belay, 1);
	assert_sent(beat());
}

static void a_reading_side_that_was_shut_is_a_peer_gone(void **state)
{
	(void)state;
	belay->reconnect_not_before_ns = UINT64_MAX;

	assert_int_equal(shutdown(observer.fd, SHUT_RD), 0);
	assert_dropped(beat(), BELAY_DROP_PEER_GONE);
	assert_int_equal(belay->nonce, 0);
}

static void a_set_number_of_drops_of_any_kind_reconnects(void **state)
{
	(void)state;
	belay_set_reconnect_after(belay, 3);

	while (beat().sent == BELAY_SENT)
		;
	assert_int_equal(belay->drops, 1);
	test_observer_listen(
		&observer); /* the old queue is gone; the connection does not know yet */
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(test_observer_drain(&observer), 0);

	assert_sent(beat());
	assert_int_equal(belay->drops, 0);
	assert_int_equal(test_observer_drain(&observer), 1);
}

static void setting_the_number_forgets_the_drops_so_far(void **state)
{
	(void)state;
	belay_set_reconnect_after(belay, 9);

	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(belay->drops, 2);
	belay_set_reconnect_after(belay, 9);
	assert_int_equal(belay->drops, 0);
}

static void a_failed_reconnect_leaves_the_next_drop_to_try(void **state)
{
	(void)state;

	belay->drops = UINT32_MAX;
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(belay->drops, UINT32_MAX);

	test_observer_listen(&observer);
	let_the_reconnect_pause_pass();
	assert_sent(beat());
}

static void an_explicit_reconnect_keeps_nonce_and_start(void **state)
{
	uint64_t start_ns = belay->start_ns;
	(void)state;

	assert_sent(beat());
	test_observer_listen(&observer);
	assert_int_equal(belay_reconnect(belay), 0);
	assert_sent(beat());

	assert_int_equal(test_observer_take_only(&observer).nonce, 2);
	assert_int_equal(belay->start_ns, start_ns);
}

static void a_reconnect_that_fails_keeps_the_connection(void **state)
{
	int fd = belay->connection.fd;
	(void)state;

	assert_int_equal(unlink(observer.path), 0);
	assert_int_equal(belay_reconnect(belay), -ENOENT);

	assert_int_equal(belay->connection.fd, fd);
	assert_sent(beat());
}

static void the_last_nonce_before_the_terminal_one_wraps_to_zero(void **state)
{
	(void)state;
	belay->nonce = BELAY_NONCE_TERMINAL - 2;

	assert_sent(beat());
	assert_int_equal(test_observer_take_only(&observer).nonce, BELAY_NONCE_TERMINAL - 1);
	assert_sent(beat());
	assert_int_equal(test_observer_take_only(&observer).nonce, 0);
	assert_sent(beat());
	assert_int_equal(test_observer_take_only(&observer).nonce, 1);
}

static void a_clock_that_ran_backwards_is_held_and_counted(void **state)
{
	const uint64_t ahead_ns = 3600 * BELAY__NS_PER_S;
	(void)state;
	belay->timestamp_ns = ahead_ns;

	assert_sent(beat());
	assert_int_equal(test_observer_take_only(&observer).timestamp_ns, ahead_ns);
	assert_int_equal(belay_clock_regressions(belay), 1);

	belay->clock_regressions = UINT64_MAX;
	assert_sent(beat());
	assert_true(belay_clock_regressions(belay) == UINT64_MAX);
}

static void a_clock_before_the_start_counts_from_zero(void **state)
{
	(void)state;
	belay->start_ns = UINT64_MAX;

	assert_sent(beat());
	assert_int_equal(test_observer_take_only(&observer).timestamp_ns, 0);
}

static void a_beat_that_was_dropped_uses_up_no_timestamp(void **state)
{
	(void)state;

	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(belay->timestamp_ns, 0);
	assert_int_equal(belay->nonce, 0);
}

static void errno_is_left_alone(void **state)
{
	(void)state;

	errno = ERANGE;
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(errno, ERANGE);
	test_observer_listen(&observer);
	let_the_reconnect_pause_pass();
	errno = ERANGE;
	assert_sent(beat());
	assert_int_equal(errno, ERANGE);
}

/* Root may connect to anything, so root is somebody else here. */
static bool is_refused(void *argument)
{
	const uid_t nobody_uid = 65534;
	struct belay_outcome first, second;
	(void)argument;

	if (geteuid() == 0 && setresuid(nobody_uid, nobody_uid, nobody_uid) < 0)
		return false;
	first = beat(); /* tries to connect; the second is within the pause and remembers */
	second = beat();
	return first.sent == BELAY_FAILED && first.error == EACCES && second.sent == BELAY_FAILED &&
		second.error == EACCES;
}

static void an_observer_that_refuses_is_told_from_none(void **state)
{
	(void)state;
	test_observer_listen(&observer);

	assert_int_equal(chmod(observer.path, 0), 0);
	assert_in_child(is_refused, NULL);
	assert_int_equal(chmod(observer.path, 0600), 0);
	let_the_reconnect_pause_pass();
	assert_sent(beat());
}

static void a_path_that_is_another_kind_of_socket_fails(void **state)
{
	struct belay *other;
	(void)state;

	test_observer_open_door(&observer);
	other = belay_open(observer.door_path);
	assert_non_null(other);
	assert_failed(belay_beat(other, BELAY_OK, 0), EPROTOTYPE);
	belay_close(other);
}

static void the_default_is_what_the_environment_names(void **state)
{
	struct belay *other;
	(void)state;

	assert_int_equal(setenv("BELAY_SOCKET", observer.path, 1), 0);
	other = belay_open(NULL);
	assert_int_equal(unsetenv("BELAY_SOCKET"), 0);

	assert_non_null(other);
	assert_sent(belay_beat(other, BELAY_OK, 7));
	assert_int_equal(test_observer_take_only(&observer).payload, 7);
	belay_close(other);
}

static void the_first_path_that_accepts_is_taken(void **state)
{
	struct belay__socket_candidates *paths = &belay->paths;
	(void)state;

	(void)strcpy(paths->path[1], observer.path);
	(void)strcpy(paths->path[0], "/nonexistent/belay/beat.sock");
	paths->count = 2;
	assert_int_equal(belay_reconnect(belay), 0);
	assert_sent(beat());
	assert_int_equal(belay->in_use, 1);
	assert_int_equal(test_observer_take_only(&observer).nonce, 1);
}

static void a_path_that_cannot_be_is_refused_at_once(void **state)
{
	char path[BELAY__SOCKET_PATH_SIZE + 1];
	struct belay *other;
	(void)state;

	memset(path, 'x', sizeof(path));
	path[BELAY__SOCKET_PATH_SIZE] = '\0';
	errno = 0;
	assert_null(belay_open(path));
	assert_int_equal(errno, ENAMETOOLONG);

	path[BELAY__SOCKET_PATH_SIZE - 1] = '\0';
	other = belay_open(path);
	assert_non_null(other);
	belay_close(other);

	assert_null(belay_open(""));
	assert_int_equal(errno, EINVAL);
}

static void without_descriptors_nothing_is_opened(void **state)
{
	struct rlimit limit, none;
	int error;
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	errno = 0;
	struct belay *other = belay_open(observer.path);
	error = errno;
	assert_int_equal(belay_reconnect(belay), -EMFILE);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

	assert_null(other);
	assert_int_equal(error, EMFILE);
	assert_sent(beat());
}

static void a_handle_without_a_connection_says_what_stops_it(void **state)
{
	struct rlimit limit, none;
	struct belay_outcome outcome;
	(void)state;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = limit;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	outcome = beat();
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);

	assert_failed(outcome, EMFILE);
}

int main(void)
{
#define WITH(setup, test) cmocka_unit_test_setup_teardown(test, setup, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(somebody, a_beat_is_one_frame_with_what_was_given),
		WITH(somebody, nonces_count_up_and_timestamps_never_fall),
		WITH(somebody, what_observers_alone_may_say_is_refused),
		WITH(nobody, without_a_handle_everything_says_so_and_nothing_crashes),
		WITH(somebody, a_full_queue_drops_and_uses_up_no_nonce),
		WITH(nobody, beats_are_dropped_until_somebody_listens),
		WITH(somebody, an_observer_that_restarts_loses_no_beat),
		WITH(somebody, a_reconnect_is_tried_at_most_every_100_ms),
		WITH(somebody, a_peer_that_hung_up_is_gone_and_then_found_again),
		WITH(somebody, a_reading_side_that_was_shut_is_a_peer_gone),
		WITH(somebody, a_set_number_of_drops_of_any_kind_reconnects),
		WITH(nobody, setting_the_number_forgets_the_drops_so_far),
		WITH(nobody, a_failed_reconnect_leaves_the_next_drop_to_try),
		WITH(somebody, an_explicit_reconnect_keeps_nonce_and_start),
		WITH(somebody, a_reconnect_that_fails_keeps_the_connection),
		WITH(somebody, the_last_nonce_before_the_terminal_one_wraps_to_zero),
		WITH(somebody, a_clock_that_ran_backwards_is_held_and_counted),
		WITH(somebody, a_clock_before_the_start_counts_from_zero),
		WITH(nobody, a_beat_that_was_dropped_uses_up_no_timestamp),
		WITH(nobody, errno_is_left_alone),
		WITH(nobody, an_observer_that_refuses_is_told_from_none),
		WITH(nobody, a_path_that_is_another_kind_of_socket_fails),
		WITH(somebody, the_default_is_what_the_environment_names),
		WITH(somebody, the_first_path_that_accepts_is_taken),
		WITH(nobody, a_path_that_cannot_be_is_refused_at_once),
		WITH(somebody, without_descriptors_nothing_is_opened),
		WITH(nobody, a_handle_without_a_connection_says_what_stops_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
