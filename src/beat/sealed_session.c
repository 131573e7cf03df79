#include "beat/sealed_session.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <belay/beat.h>

#include "beat/beat_internal.h"
#include "beat/fork_epoch.h"
#include "wire/bytes.h"

#define TIMESTAMP_AT 8          /* in a frame */
#define COUNTER_END  UINT32_MAX /* is never sent */

/* Where locking is refused (RLIMIT_MEMLOCK) a key can reach swap; that is no reason to have no
 * beats. A forked child does not inherit the lock. */
static void guard(struct belay__sealed *sealed)
{
	(void)mlock(sealed, sizeof(*sealed));
	(void)madvise(sealed, sizeof(*sealed), MADV_DONTDUMP);
}

/* Makes `next`, but for its connection, a session that nobody else has. */
static int prepare(struct belay__sealed *sealed)
{
	struct belay__session *next = &sealed->next;
	int r;

	next->epoch = belay__fork_epoch();
	next->pid = (uint32_t)getpid();
	r = belay__seal_salt(next->salt);
	if (r < 0)
		return r;

	next->position = (struct belay__position){ 0 };
	belay__derive_prefix(next->salt, 0, next->position.prefix);
	if (sealed->master)
		belay__derive_agent_key(sealed->own_key, next->pid, next->key);
	else
		memcpy(next->key, sealed->own_key, sizeof(next->key));
	return 0;
}

/* Puts `next`, over CONNECTION, in the place of the session there was. */
static void commit(struct belay__sealed *sealed, const struct belay__connection *connection)
{
	belay__connection_close(&sealed->now.connection);
	sealed->now = sealed->next;
	sealed->now.connection = *connection;
	sealed->not_before_ns = 0;
	explicit_bzero(&sealed->next, sizeof(sealed->next));
}

int belay__sealed_reconnect(void *data)
{
	struct belay__sealed *sealed = data;
	struct belay__connection connection = BELAY__NO_CONNECTION;
	int r = belay__connection_open_to(&sealed->address.any, sealed->address_len, &connection);

	/* Before there is a new key in it. */
	if (r == 0 && !belay__fork_epoch_is(sealed->now.epoch))
		guard(sealed);
	if (r == 0)
		r = prepare(sealed);
	if (r < 0) {
		belay__connection_close(&connection);
		explicit_bzero(&sealed->next, sizeof(sealed->next));
		return r;
	}
	commit(sealed, &connection);
	return 0;
}

/* The first session; the network may come later. */
static int begin(struct belay__sealed *sealed)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	int r;

	sealed->now.connection = connection;
	sealed->absent_error = belay__connection_open_to(&sealed->address.any, sealed->address_len,
		&connection);
	if (!belay__connection_may_come(sealed->absent_error))
		return sealed->absent_error;

	r = prepare(sealed);
	if (r < 0)
		belay__connection_close(&connection);
	else
		commit(sealed, &connection);
	return r;
}

int belay__sealed_new(const char *address, const uint8_t key[static BELAY__KEY_LEN], bool master,
	struct belay__sealed **ret_sealed)
{
	union belay__address parsed;
	struct belay__sealed *sealed;
	int r = belay__address_parse_peer(address, &parsed);

	if (r == 0)
		r = belay__fork_epoch_init();
	/* A child that took itself for its parent would use its nonces. */
	if (r == 0 && !belay__fork_epoch_is_sure())
		r = -ENOTSUP;
	if (r == 0)
		r = belay__seal_init();
	if (r < 0)
		return r;

	sealed = mmap(NULL, sizeof(*sealed), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
		-1, 0);
	if (sealed == MAP_FAILED)
		return -ENOMEM;
	guard(sealed);
	sealed->address = parsed;
	sealed->address_len = belay__address_len(&parsed);
	sealed->master = master;
	memcpy(sealed->own_key, key, sizeof(sealed->own_key));

	r = begin(sealed);
	if (r < 0) {
		belay__sealed_close(sealed);
		return r;
	}
	*ret_sealed = sealed;
	return 0;
}

void belay__sealed_close(void *data)
{
	struct belay__sealed *sealed = data;

	belay__connection_close(&sealed->now.connection);
	explicit_bzero(sealed, sizeof(*sealed));
	(void)munmap(sealed, sizeof(*sealed));
}

/* The counter is at its end: the next prefix, or, after the last one, a new session. */
static belay__cold int turn_over(struct belay__sealed *sealed, struct belay__position *position)
{
	if (position->index == UINT32_MAX) {
		int r = belay__sealed_reconnect(sealed);

		if (r == 0)
			*position = sealed->now.position;
		return r;
	}
	position->index++;
	position->counter = 0;
	belay__derive_prefix(sealed->now.salt, position->index, position->prefix);
	return 0;
}

static inline int transmit(const struct belay__sealed *sealed, const uint8_t *bytes, size_t len)
{
	ssize_t n;

	if (belay__unlikely(sealed->now.connection.fd < 0))
		return sealed->absent_error;
	do
		n = send(sealed->now.connection.fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (belay__unlikely(n < 0 && errno == EINTR));
	return n < 0 ? -errno : 0;
}

/* Somebody may have closed the descriptor, and got its number for something else. */
static belay__cold void look_at_descriptor(struct belay__sealed *sealed)
{
	if (sealed->now.connection.fd < 0 || belay__connection_is_ours(&sealed->now.connection))
		return;
	sealed->now.connection = BELAY__NO_CONNECTION;
	sealed->absent_error = -ENOTCONN;
}

/* BYTES could not be sent, with ERROR, in the beat of AT_NS. Where the socket is to blame they are
 * sent through another one: the very same, so that no nonce sees two frames. */
static belay__cold int send_from_elsewhere(struct belay__sealed *sealed, uint64_t at_ns, int error,
	const uint8_t *bytes, size_t len)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	int r;

	if (belay_classify_send_error(-error).sent == BELAY_FAILED)
		look_at_descriptor(sealed);
	/* A UDP socket keeps the address of its own end, which this host may have lost. */
	if (sealed->now.connection.fd >= 0 && error != -EINVAL && error != -EADDRNOTAVAIL)
		return error;
	if (at_ns < sealed->not_before_ns)
		return sealed->now.connection.fd < 0 ? sealed->absent_error : error;

	sealed->not_before_ns = at_ns + BELAY__RECONNECT_EVERY_NS;
	r = belay__connection_open_to(&sealed->address.any, sealed->address_len, &connection);
	if (r < 0) {
		if (sealed->now.connection.fd < 0)
			sealed->absent_error = r;
		return r;
	}
	belay__connection_close(&sealed->now.connection);
	sealed->now.connection = connection;
	return transmit(sealed, bytes, len);
}

static inline size_t seal(const struct belay__sealed *sealed, const struct belay__position *position,
	const uint8_t frame[static BELAY_FRAME_LEN], uint8_t out[static BELAY__SEALED_MASTER_LEN])
{
	if (sealed->master) {
		belay__seal_for_pid(sealed->now.key, sealed->now.pid, position->prefix,
			position->counter, frame, out);
		return BELAY__SEALED_MASTER_LEN;
	}
	belay__seal(sealed->now.key, position->prefix, position->counter, frame, out);
	return BELAY__SEALED_LEN;
}

int belay__sealed_send(void *data, const uint8_t frame[BELAY_FRAME_LEN])
{
	struct belay__sealed *sealed = data;
	/* A beat brings the time along; the clock is not read again. */
	const uint64_t at_ns = belay__get_le64(frame + TIMESTAMP_AT);
	uint8_t bytes[BELAY__SEALED_MASTER_LEN];
	int r = 0;

	if (belay__unlikely(!belay__fork_epoch_is(sealed->now.epoch)))
		r = belay__sealed_reconnect(sealed);
	struct belay__position position = sealed->now.position;
	if (r == 0 && belay__unlikely(position.counter == COUNTER_END))
		r = turn_over(sealed, &position);
	if (belay__unlikely(r < 0))
		return r;
	if (belay__unlikely(at_ns - sealed->checked_ns >= BELAY__CHECK_EVERY_NS)) {
		look_at_descriptor(sealed);
		sealed->checked_ns = at_ns;
	}

	const size_t len = seal(sealed, &position, frame, bytes);
	r = transmit(sealed, bytes, len);
	if (belay__unlikely(r < 0))
		r = send_from_elsewhere(sealed, at_ns, r, bytes, len);
	if (r == 0) {
		position.counter++;
		sealed->now.position = position;
	}
	return r;
}
