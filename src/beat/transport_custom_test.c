#include <belay/beat.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "beat/beat_internal.h"
#include "beat/test_observer.h"

/* A transport that does what it is told and tells what it was asked. */
struct scripted {
	int send_results[4]; /* of the sends to come, in turn; then 0 */
	int reconnect_result;
	unsigned sends, reconnects, closes;
	unsigned sends_before_reconnect;
	uint8_t frames[8][BELAY_FRAME_LEN];
};

static struct scripted script;
static struct belay *belay;

static int scripted_send(void *data, const uint8_t frame[BELAY_FRAME_LEN])
{
	struct scripted *self = data;
	int r = self->sends < 4 ? self->send_results[self->sends] : 0;

	memcpy(self->frames[self->sends++ % 8], frame, BELAY_FRAME_LEN);
	return r;
}

static int scripted_reconnect(void *data)
{
	struct scripted *self = data;

	if (self->reconnects++ == 0)
		self->sends_before_reconnect = self->sends;
	return self->reconnect_result;
}

static void scripted_close(void *data)
{
	struct scripted *self = data;

	self->closes++;
}

static const struct belay_transport transport = {
	.data = &script,
	.send = scripted_send,
	.reconnect = scripted_reconnect,
	.close = scripted_close,
};

static int set_up(void **state)
{
	(void)state;
	script = (struct scripted){ 0 };
	belay = belay_open_with(&transport);
	assert_non_null(belay);
	return 0;
}

static int clean_up(void **state)
{
	(void)state;
	belay_close(belay);
	assert_int_equal(script.closes, 1);
	return 0;
}

static struct belay_outcome beat(void)
{
	return belay_beat(belay, BELAY_OK, 0);
}

static struct belay_frame frame_sent(unsigned which)
{
	struct belay_frame frame = { 0 };

	assert_true(belay_frame_decode(script.frames[which], &frame, NULL));
	return frame;
}

static void a_beat_is_given_to_the_transport_as_a_frame(void **state)
{
	(void)state;

	assert_sent(belay_beat(belay, BELAY_CRITICAL, 7));
	assert_int_equal(script.sends, 1);
	assert_int_equal(frame_sent(0).status, BELAY_CRITICAL);
	assert_int_equal(frame_sent(0).payload, 7);
	assert_int_equal(frame_sent(0).nonce, 1);
	assert_int_equal(frame_sent(0).pid, getpid());
	assert_int_equal(script.reconnects, 0);
	assert_int_equal(belay_beat_within(belay, 1), -ENOTSUP);
}

static void a_transport_without_a_member_is_refused(void **state)
{
	struct belay_transport lacking[] = { transport, transport, transport };
	(void)state;

	lacking[0].send = NULL;
	lacking[1].reconnect = NULL;
	lacking[2].close = NULL;
	for (size_t i = 0; i < 3; i++) {
		errno = 0;
		assert_null(belay_open_with(&lacking[i]));
		assert_int_equal(errno, EINVAL);
	}
	assert_null(belay_open_with(NULL));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(script.closes, 0); /* its data is still the caller's */
}

static void what_send_returns_decides_the_outcome(void **state)
{
	static const struct {
		int error;
		enum belay_drop_reason reason;
	} rows[] = { { EAGAIN, BELAY_DROP_QUEUE_FULL }, { ENOBUFS, BELAY_DROP_QUEUE_FULL },
		{ ENOSPC, BELAY_DROP_STORAGE_FULL }, { EIO, BELAY_DROP_NONE } };
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		script = (struct scripted){ .send_results = { -rows[i].error } };
		errno = ERANGE;
		if (rows[i].reason != BELAY_DROP_NONE)
			assert_dropped(beat(), rows[i].reason);
		else
			assert_failed(beat(), rows[i].error);
		assert_int_equal(errno, ERANGE);
		assert_int_equal(script.sends, 1);
		assert_int_equal(script.reconnects, 0);
		assert_int_equal(belay->nonce, 0);
	}
	assert_int_equal(belay->drops, 0); /* a failure ends the row of drops */
}

static void whoever_is_gone_is_connected_to_anew(void **state)
{
	static const int errors[] = { ENOENT, ECONNREFUSED, ECONNRESET, ENOTCONN, EPIPE };
	(void)state;

	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		script = (struct scripted){ .send_results = { -errors[i] } };
		belay->reconnect_not_before_ns = 0;
		assert_sent(beat());
		assert_int_equal(script.reconnects, 1);
		assert_int_equal(script.sends, 2);
		assert_memory_equal(script.frames[0], script.frames[1], BELAY_FRAME_LEN);
		assert_int_equal(belay->nonce, i + 1);
	}
	script = (struct scripted){ .send_results = { -EPIPE } };
	assert_dropped(beat(), BELAY_DROP_PEER_GONE); /* at most every 100 ms */
	assert_int_equal(script.reconnects, 0);
}

static void a_reconnect_that_fails_is_tried_again_by_the_next_drop(void **state)
{
	(void)state;

	script.send_results[0] = script.send_results[1] = script.send_results[2] = -ENOBUFS;
	script.reconnect_result = -ENETUNREACH;
	belay_set_reconnect_after(belay, 2);
	assert_dropped(beat(), BELAY_DROP_QUEUE_FULL);
	assert_int_equal(script.reconnects, 0);
	assert_dropped(beat(), BELAY_DROP_QUEUE_FULL);
	assert_int_equal(script.reconnects, 1);
	assert_int_equal(script.sends, 2);

	script.reconnect_result = 0;
	belay->reconnect_not_before_ns = 0;
	assert_sent(beat());
	assert_int_equal(script.reconnects, 2);
	assert_int_equal(belay->nonce, 1);
	assert_int_equal(belay->drops, 0);
}

static void zero_means_never_by_itself(void **state)
{
	(void)state;

	belay_set_reconnect_after(belay, 0);
	script.send_results[0] = script.send_results[1] = -ECONNREFUSED;
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_dropped(beat(), BELAY_DROP_NO_OBSERVER);
	assert_int_equal(script.reconnects, 0);
	assert_int_equal(belay_reconnect(belay), 0);
	assert_int_equal(script.reconnects, 1);
}

static bool first_beat_of_a_child(void *argument)
{
	struct belay_outcome outcome;
	(void)argument;

	script.sends = 0;
	script.reconnect_result = -ECONNREFUSED;
	outcome = beat();
	if (outcome.sent != BELAY_FAILED || outcome.error != ECONNREFUSED || script.sends != 0 ||
		belay_fork_recoveries(belay) != 0)
		return false;

	/* The parent's last try does not count, its own does. */
	script.reconnect_result = 0;
	outcome = beat();
	if (outcome.sent != BELAY_FAILED || outcome.error != ECONNREFUSED || script.sends != 0 ||
		script.reconnects != 1)
		return false;

	belay->reconnect_not_before_ns = 0;
	return beat().sent == BELAY_SENT && script.reconnects == 2 && script.sends == 1 &&
		script.sends_before_reconnect == 0 && frame_sent(0).nonce == 1 &&
		frame_sent(0).pid == (uint32_t)getpid() && belay_fork_recoveries(belay) == 1;
}

static void a_child_connects_before_its_first_frame_or_sends_none(void **state)
{
	(void)state;
	assert_sent(beat());
	assert_sent(beat());
	belay->timestamp_ns = UINT64_MAX / 2;
	belay->reconnect_not_before_ns = UINT64_MAX;
	assert_in_child(first_beat_of_a_child, NULL);
	assert_int_equal(script.reconnects, 0);
	assert_sent(beat());
	assert_int_equal(frame_sent(2).nonce, 3);
}

static bool reconnect_by_hand(void *argument)
{
	(void)argument;
	return belay_reconnect(belay) == 0 && beat().sent == BELAY_SENT && script.reconnects == 1 &&
		frame_sent(1).nonce == 2 && frame_sent(1).pid == (uint32_t)getpid() &&
		belay_fork_recoveries(belay) == 0;
}

static void a_child_that_reconnects_by_hand_goes_on_counting(void **state)
{
	(void)state;
	assert_sent(beat());
	assert_in_child(reconnect_by_hand, NULL);
}

int main(void)
{
#define WITH(test) cmocka_unit_test_setup_teardown(test, set_up, clean_up)
	const struct CMUnitTest tests[] = {
		WITH(a_beat_is_given_to_the_transport_as_a_frame),
		WITH(a_transport_without_a_member_is_refused),
		WITH(what_send_returns_decides_the_outcome),
		WITH(whoever_is_gone_is_connected_to_anew),
		WITH(a_reconnect_that_fails_is_tried_again_by_the_next_drop),
		WITH(zero_means_never_by_itself),
		WITH(a_child_connects_before_its_first_frame_or_sends_none),
		WITH(a_child_that_reconnects_by_hand_goes_on_counting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
