#include <belay/beat.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "beat/beat_internal.h"
#include "beat/door.h"
#include "beat/fork_epoch.h"
#include "beat/transport.h"

static void count_u32(uint32_t *counter)
{
	if (*counter < UINT32_MAX)
		++*counter;
}

static void count_u64(uint64_t *counter)
{
	if (*counter < UINT64_MAX)
		++*counter;
}

/* A child's own first try does not wait for what its parent tried. */
static int connect_child(struct belay *belay, uint64_t now_ns)
{
	if (belay->child_error == 0 || now_ns >= belay->reconnect_not_before_ns) {
		belay->reconnect_not_before_ns = now_ns + BELAY__RECONNECT_EVERY_NS;
		belay->child_error = belay__connect_anew(belay, now_ns);
	}
	return belay->child_error;
}

/* The handle came here with the memory of a parent. The copied descriptor is closed; the parent
 * keeps its own. Whoever has paths looks for an observer with its first beat; elsewhere nothing is
 * sent before there is a connection of its own. */
static belay__cold int start_anew_in_child(struct belay *belay, uint64_t now_ns)
{
	int r = 0;

	belay->drops = 0;
	if (belay->way == BELAY__WAY_UNIX) {
		belay__connection_close(&belay->connection);
		belay->absent_error = -ENOTCONN;
		belay->must_connect = true;
	} else {
		r = connect_child(belay, now_ns);
	}
	if (r < 0)
		return r;

	belay->reconnect_not_before_ns = 0;
	belay->epoch = belay__fork_epoch();
	belay->pid = (uint32_t)getpid();
	belay->nonce = belay->timestamp_ns = 0;
	belay->start_ns = now_ns;
	count_u64(&belay->fork_recoveries);
	return 0;
}

/* Whose number it is now is not known, so it is forgotten and not closed. */
static belay__cold void forget_connection(struct belay *belay)
{
	belay->connection = BELAY__NO_CONNECTION;
	belay->absent_error = -ENOTCONN;
	belay->must_connect = true;
}

/* Makes sure, before anything is sent, whose process and whose descriptor this is. */
static inline int settle(struct belay *belay, uint64_t now_ns)
{
	if (belay__unlikely(!belay__fork_epoch_is(belay->epoch))) {
		int r = start_anew_in_child(belay, now_ns);

		if (r < 0)
			return r;
	}
	if (belay__unlikely(now_ns - belay->checked_ns >= BELAY__CHECK_EVERY_NS) &&
		belay->connection.fd >= 0) {
		if (!belay__connection_is_ours(&belay->connection))
			forget_connection(belay);
		belay->checked_ns = now_ns;
	}
	return 0;
}

/* There is no descriptor: it goes another way, or nowhere. */
static __attribute__((noinline)) struct belay_outcome transmit_elsewhere(const struct belay *belay,
	const uint8_t bytes[static BELAY_FRAME_LEN])
{
	int r = belay->absent_error;

	if (belay->way == BELAY__WAY_CUSTOM)
		r = belay->transport.send(belay->transport.data, bytes);
	return r < 0 ? belay_classify_send_error(-r) : (struct belay_outcome){ .sent = BELAY_SENT };
}

static inline struct belay_outcome transmit(const struct belay *belay,
	const uint8_t bytes[static BELAY_FRAME_LEN])
{
	ssize_t n;

	if (belay__unlikely(belay->connection.fd < 0))
		return transmit_elsewhere(belay, bytes);
	do
		n = send(belay->connection.fd, bytes, BELAY_FRAME_LEN, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (belay__unlikely(n < 0 && errno == EINTR));
	return n < 0 ? belay_classify_send_error(errno)
		     : (struct belay_outcome){ .sent = BELAY_SENT };
}

/* Whether there is nothing that could send. */
static bool is_absent(const struct belay *belay)
{
	return belay->connection.fd < 0 && belay->way != BELAY__WAY_CUSTOM;
}

static bool wants_to_reconnect(const struct belay *belay, struct belay_outcome outcome)
{
	if (belay->must_connect)
		return true;
	if (belay->reconnect_after == 0 || belay->drops < belay->reconnect_after)
		return false;
	return belay->on_any_drop || is_absent(belay) || outcome.reason == BELAY_DROP_NO_OBSERVER ||
		outcome.reason == BELAY_DROP_PEER_GONE;
}

/* A beat failed with ERROR: whether that can be because the connection is no longer what it was.
 * Then there has to be another one. */
static bool is_lost(struct belay *belay, int error)
{
	if (belay->connection.fd < 0)
		return is_absent(belay);
	if (!belay__connection_is_ours(&belay->connection)) {
		forget_connection(belay);
		return true;
	}
	/* A UDP socket keeps the address of its own end, which this host may have lost. */
	if (belay->way == BELAY__WAY_UDP && (error == EINVAL || error == EADDRNOTAVAIL)) {
		belay->must_connect = true;
		return true;
	}
	return false;
}

/* BYTES were not sent, with OUTCOME. Reconnects when it is time for that and sends them once
 * more. */
static belay__cold struct belay_outcome try_again(struct belay *belay, uint64_t now_ns,
	const uint8_t bytes[static BELAY_FRAME_LEN], struct belay_outcome outcome)
{
	if (outcome.sent == BELAY_FAILED && !is_lost(belay, outcome.error)) {
		belay->drops = 0;
		return outcome;
	}

	count_u32(&belay->drops);
	if (wants_to_reconnect(belay, outcome) && now_ns >= belay->reconnect_not_before_ns) {
		belay->reconnect_not_before_ns = now_ns + BELAY__RECONNECT_EVERY_NS;
		if (belay__connect_anew(belay, now_ns) == 0) {
			belay->drops = 0;
			return transmit(belay, bytes);
		}
	}
	return is_absent(belay) ? transmit(belay, bytes) : outcome;
}

/* The next beat. Its nonce and timestamp are used up only when it was sent. */
static inline struct belay_frame compose(struct belay *belay, uint64_t now_ns, unsigned status,
	uint32_t payload)
{
	uint64_t elapsed_ns = now_ns > belay->start_ns ? now_ns - belay->start_ns : 0;

	if (belay__unlikely(elapsed_ns < belay->timestamp_ns)) {
		count_u64(&belay->clock_regressions);
		elapsed_ns = belay->timestamp_ns;
	}
	return (struct belay_frame){
		.status = (uint8_t)status,
		.pid = belay->pid,
		.timestamp_ns = elapsed_ns,
		/* The terminal nonce belongs to last words: after the one before it comes 0. */
		.nonce = belay->nonce < BELAY_NONCE_TERMINAL - 1 ? belay->nonce + 1 : 0,
		.payload = payload,
	};
}

struct belay_outcome belay_beat(struct belay *belay, enum belay_status status, uint32_t payload)
{
	int saved = errno;
	struct belay_outcome outcome;
	uint8_t bytes[BELAY_FRAME_LEN];

	if (belay__unlikely(belay == NULL))
		return (struct belay_outcome){ .sent = BELAY_FAILED, .error = EBADF };
	if (belay__unlikely((unsigned)status > BELAY_CRITICAL)) {
		belay->drops = 0;
		return (struct belay_outcome){ .sent = BELAY_FAILED, .error = EINVAL };
	}

	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	int r = settle(belay, now_ns);
	if (belay__unlikely(r < 0)) {
		errno = saved;
		return (struct belay_outcome){ .sent = BELAY_FAILED, .error = -r };
	}
	const struct belay_frame frame = compose(belay, now_ns, status, payload);
	belay_frame_encode(&frame, bytes);

	outcome = transmit(belay, bytes);
	if (belay__unlikely(outcome.sent != BELAY_SENT)) {
		outcome = try_again(belay, now_ns, bytes, outcome);
		errno = saved;
		if (outcome.sent != BELAY_SENT)
			return outcome;
	}

	belay->nonce = frame.nonce;
	belay->timestamp_ns = frame.timestamp_ns;
	belay->drops = 0;
	return outcome;
}

int belay_beat_within(struct belay *belay, uint64_t within_ms)
{
	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);

	int r;

	if (belay == NULL)
		return -EBADF;
	if (belay->way != BELAY__WAY_UNIX)
		return -ENOTSUP;

	r = settle(belay, now_ns);
	if (r >= 0 && belay->connection.fd < 0)
		r = belay__connect_anew(belay, now_ns);
	if (r < 0)
		return r;
	return belay__door_within(belay->paths.path[belay->in_use], belay->nonce, within_ms);
}

void belay_close(struct belay *belay)
{
	int saved = errno;

	if (belay == NULL)
		return;
	/* Whoever never beat is not known to the observer, and a child must not speak for its
	 * parent. */
	if (belay->way == BELAY__WAY_UNIX && belay->nonce != 0 && belay->connection.fd >= 0 &&
		belay__fork_epoch_is(belay->epoch))
		(void)belay__door_goodbye(belay->paths.path[belay->in_use], belay->nonce);

	if (belay->way == BELAY__WAY_CUSTOM)
		belay->transport.close(belay->transport.data);
	belay__connection_close(&belay->connection);
	free(belay);
	errno = saved;
}

int belay_reconnect(struct belay *belay)
{
	int r;

	if (belay == NULL)
		return -EBADF;

	r = belay__connect_anew(belay, belay__clock_ns(CLOCK_MONOTONIC));
	if (r < 0)
		return r;

	/* Asked for by name in a forked child, it goes on counting where the parent was, as VLP's
	 * client does. */
	belay->epoch = belay__fork_epoch();
	belay->pid = (uint32_t)getpid();
	belay->drops = 0;
	belay->child_error = 0;
	return 0;
}

void belay_set_reconnect_after(struct belay *belay, uint32_t drops)
{
	if (belay == NULL)
		return;
	belay->reconnect_after = drops;
	belay->on_any_drop = true;
	belay->drops = 0;
}

uint64_t belay_clock_regressions(const struct belay *belay)
{
	return belay == NULL ? 0 : belay->clock_regressions;
}

uint64_t belay_fork_recoveries(const struct belay *belay)
{
	return belay == NULL ? 0 : belay->fork_recoveries;
}
