#include <belay/beat.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "beat/beat_internal.h"
#include "beat/door.h"
#include "beat/fork_epoch.h"
#include "wire/crc32c.h"

#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define cold                __attribute__((cold, noinline))

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

static bool nobody_listens(int error)
{
	return error == ENOENT || error == ECONNREFUSED;
}

/* Replaces the connection by one to the first path that accepts it; on failure the old one stays.
 * Of several reasons the one is kept that says more than that nobody is there. */
static int connect_anew(struct belay *belay, uint64_t now_ns)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	int error = ENOENT;

	for (size_t i = 0; i < belay->paths.count; i++) {
		int r = belay__connection_open(belay->paths.path[i], &connection);

		if (r == 0) {
			belay__connection_close(&belay->connection);
			belay->connection = connection;
			belay->in_use = i;
			belay->checked_ns = now_ns;
			belay->must_connect = false;
			return 0;
		}
		if (i == 0 || nobody_listens(error))
			error = -r;
	}
	if (belay->connection.fd < 0)
		belay->absent_error = error;
	return -error;
}

static int set_paths(struct belay__socket_candidates *paths, const char *socket)
{
	if (socket == NULL) {
		belay__socket_candidates(paths);
		/* Only $BELAY_SOCKET can rule all of them out. */
		return paths->count > 0 ? 0 : -EINVAL;
	}
	if (socket[0] == '\0')
		return -EINVAL;
	if (strlen(socket) >= BELAY__SOCKET_PATH_SIZE)
		return -ENAMETOOLONG;

	paths->count = 1;
	(void)stpcpy(paths->path[0], socket);
	return 0;
}

static int set_up(struct belay *belay, const char *socket)
{
	int r;

	belay->connection = BELAY__NO_CONNECTION;
	belay->reconnect_after = 1;
	r = set_paths(&belay->paths, socket);
	if (r == 0)
		r = belay__fork_epoch_init();
	if (r < 0)
		return r;

	/* The CPU is asked here what it can do, not by the first beat. */
	(void)belay__crc32c_has_hardware();
	belay->epoch = belay__fork_epoch();
	belay->pid = (uint32_t)getpid();
	belay->start_ns = belay__clock_ns(CLOCK_MONOTONIC);
	r = connect_anew(belay, belay->start_ns);
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM ? r : 0;
}

struct belay *belay_open(const char *socket)
{
	struct belay *belay = calloc(1, sizeof(*belay));
	int r;

	if (belay == NULL)
		return NULL;
	r = set_up(belay, socket);
	if (r < 0) {
		free(belay);
		errno = -r;
		return NULL;
	}
	return belay;
}

/* The handle came here with the memory of a parent. The copied descriptor is closed; the parent
 * keeps its own. */
static cold void start_anew_in_child(struct belay *belay, uint64_t now_ns)
{
	belay__connection_close(&belay->connection);
	belay->absent_error = ENOTCONN;
	belay->must_connect = true;
	belay->reconnect_not_before_ns = 0;
	belay->drops = 0;

	belay->epoch = belay__fork_epoch();
	belay->pid = (uint32_t)getpid();
	belay->nonce = belay->timestamp_ns = 0;
	belay->start_ns = now_ns;
	count_u64(&belay->fork_recoveries);
}

/* Whose number it is now is not known, so it is forgotten and not closed. */
static cold void forget_connection(struct belay *belay)
{
	belay->connection = BELAY__NO_CONNECTION;
	belay->absent_error = ENOTCONN;
	belay->must_connect = true;
}

/* Makes sure, before anything is sent, whose process and whose descriptor this is. */
static inline void settle(struct belay *belay, uint64_t now_ns)
{
	if (unlikely(!belay__fork_epoch_is(belay->epoch)))
		start_anew_in_child(belay, now_ns);
	if (unlikely(now_ns - belay->checked_ns >= BELAY__CHECK_EVERY_NS) &&
		belay->connection.fd >= 0) {
		if (!belay__connection_is_ours(&belay->connection))
			forget_connection(belay);
		belay->checked_ns = now_ns;
	}
}

static inline struct belay_outcome transmit(const struct belay *belay,
	const uint8_t bytes[static BELAY_FRAME_LEN])
{
	ssize_t n;

	if (belay->connection.fd < 0)
		return belay_classify_send_error(belay->absent_error);
	do
		n = send(belay->connection.fd, bytes, BELAY_FRAME_LEN, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (unlikely(n < 0 && errno == EINTR));
	return n < 0 ? belay_classify_send_error(errno)
		     : (struct belay_outcome){ .sent = BELAY_SENT };
}

static bool wants_to_reconnect(const struct belay *belay, struct belay_outcome outcome)
{
	if (belay->must_connect)
		return true;
	if (belay->reconnect_after == 0 || belay->drops < belay->reconnect_after)
		return false;
	return belay->on_any_drop || belay->connection.fd < 0 ||
		outcome.reason == BELAY_DROP_NO_OBSERVER || outcome.reason == BELAY_DROP_PEER_GONE;
}

/* BYTES were not sent, with OUTCOME. Reconnects when it is time for that and sends them once
 * more. */
static cold struct belay_outcome try_again(struct belay *belay, uint64_t now_ns,
	const uint8_t bytes[static BELAY_FRAME_LEN], struct belay_outcome outcome)
{
	if (outcome.sent == BELAY_FAILED && belay->connection.fd >= 0) {
		if (belay__connection_is_ours(&belay->connection)) {
			belay->drops = 0;
			return outcome;
		}
		forget_connection(belay);
	}

	count_u32(&belay->drops);
	if (wants_to_reconnect(belay, outcome) && now_ns >= belay->reconnect_not_before_ns) {
		belay->reconnect_not_before_ns = now_ns + BELAY__RECONNECT_EVERY_NS;
		if (connect_anew(belay, now_ns) == 0) {
			belay->drops = 0;
			return transmit(belay, bytes);
		}
	}
	return belay->connection.fd < 0 ? transmit(belay, bytes) : outcome;
}

/* The next beat. Its nonce and timestamp are used up only when it was sent. */
static inline struct belay_frame compose(struct belay *belay, uint64_t now_ns, unsigned status,
	uint32_t payload)
{
	uint64_t elapsed_ns = now_ns > belay->start_ns ? now_ns - belay->start_ns : 0;

	if (unlikely(elapsed_ns < belay->timestamp_ns)) {
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

	if (unlikely(belay == NULL))
		return (struct belay_outcome){ .sent = BELAY_FAILED, .error = EBADF };
	if (unlikely((unsigned)status > BELAY_CRITICAL)) {
		belay->drops = 0;
		return (struct belay_outcome){ .sent = BELAY_FAILED, .error = EINVAL };
	}

	uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
	settle(belay, now_ns);
	const struct belay_frame frame = compose(belay, now_ns, status, payload);
	belay_frame_encode(&frame, bytes);

	outcome = transmit(belay, bytes);
	if (unlikely(outcome.sent != BELAY_SENT)) {
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

	if (belay == NULL)
		return -EBADF;

	settle(belay, now_ns);
	if (belay->connection.fd < 0) {
		int r = connect_anew(belay, now_ns);

		if (r < 0)
			return r;
	}
	return belay__door_within(belay->paths.path[belay->in_use], belay->nonce, within_ms);
}

void belay_close(struct belay *belay)
{
	int saved = errno;

	if (belay == NULL)
		return;
	/* Whoever never beat is not known to the observer, and a child must not speak for its
	 * parent. */
	if (belay->nonce != 0 && belay->connection.fd >= 0 && belay__fork_epoch_is(belay->epoch))
		(void)belay__door_goodbye(belay->paths.path[belay->in_use], belay->nonce);

	belay__connection_close(&belay->connection);
	free(belay);
	errno = saved;
}

int belay_reconnect(struct belay *belay)
{
	int r;

	if (belay == NULL)
		return -EBADF;

	r = connect_anew(belay, belay__clock_ns(CLOCK_MONOTONIC));
	if (r < 0)
		return r;

	/* Asked for by name in a forked child, it goes on counting where the parent was, as VLP's
	 * client does. */
	belay->epoch = belay__fork_epoch();
	belay->pid = (uint32_t)getpid();
	belay->drops = 0;
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
