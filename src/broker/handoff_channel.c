#include <belay/handoff.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "broker/handoff_send.h"
#include "ipc/frame_stream.h"
#include "ipc/socket_options.h"
#include "wire/handoff_frame.h"
#include "wire/service_name.h"

/* How long until a message that the kernel took a part of is tried again. */
#define RETRY_MS 10

/* One that went out and has had no ack. An overdue one keeps its place: its descriptor may still be in the
 * queue, and its ack may still come. */
struct unacked {
	struct belay_handoff_token token;
	uint64_t correlation_id, deadline_ms;
	bool overdue;
};

struct belay_handoff_channel {
	int fd;
	int broken; /* 0, or the negative errno of how */
	bool deaf;  /* nothing more is read: it hung up, or what came made no sense */
	unsigned count;
	/* In the order in which they went out. */
	struct unacked unacked[BELAY_HANDOFF_UNACKED_MAX];
	/* What the kernel did not take of the last message, of which SENT bytes had gone. Descriptor and
	 * token went with its beginning. */
	uint8_t message[BELAY_HANDOFF_TOKEN_LEN + BELAY__HANDOFF_OFFER_SIZE];
	size_t sent, len;
	uint64_t retry_ms;
	struct belay__frame_stream acks;
	uint8_t buffer[BELAY_FRAME_HEADER + BELAY__HANDOFF_BODY_MAX];
};

/* Whether FD is a connected Unix stream: nothing else carries descriptors in the order of its bytes. */
static int check_stream(int fd)
{
	struct sockaddr_un peer = { 0 };
	socklen_t len = sizeof(peer), type_len = sizeof(int);
	int type;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) < 0 ||
		getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return -errno;
	return type == SOCK_STREAM && peer.sun_family == AF_UNIX ? 0 : -EPROTOTYPE;
}

int belay_handoff_channel_new(int fd_take, struct belay_handoff_channel **ret_channel)
{
	struct belay_handoff_channel *channel;
	int r = check_stream(fd_take);

	if (r < 0)
		return r;
	r = belay__fd_nonblock(fd_take);
	if (r < 0)
		return r;
	channel = calloc(1, sizeof(*channel));
	if (channel == NULL)
		return -ENOMEM;

	(void)belay__socket_refuse_rights(fd_take);
	channel->fd = fd_take;
	belay__frame_stream_start(&channel->acks, fd_take, channel->buffer, sizeof(channel->buffer),
		BELAY__HANDOFF_BODY_MAX);
	*ret_channel = channel;
	return 0;
}

int belay_handoff_channel_fd(const struct belay_handoff_channel *channel)
{
	return channel->fd;
}

struct belay_handoff_channel *belay_handoff_channel_free(struct belay_handoff_channel *channel)
{
	if (channel == NULL)
		return NULL;

	(void)belay__close(channel->fd);
	explicit_bzero(channel, sizeof(*channel));
	free(channel);
	return NULL;
}

/* Finishes the last message, before which nothing else may go out. 0: it is; -EAGAIN: not yet; else
 * broken. */
static int flush(struct belay_handoff_channel *channel, uint64_t now_ms)
{
	size_t sent = 0;
	int r;

	if (channel->sent == channel->len)
		return 0;

	r = belay__stream_write(channel->fd, channel->message + channel->sent,
		channel->len - channel->sent, 0, &sent);
	channel->sent += sent;
	if (r == -EMSGSIZE)
		r = -EAGAIN;
	if (r == -EAGAIN)
		channel->retry_ms = now_ms < UINT64_MAX - RETRY_MS ? now_ms + RETRY_MS : now_ms;
	else if (r < 0)
		channel->broken = r;
	return r;
}

static int compose(struct belay_handoff_channel *channel,
	const struct belay_handoff_request *request)
{
	uint8_t *offer = channel->message + BELAY_HANDOFF_TOKEN_LEN;
	ssize_t len;

	channel->sent = channel->len = 0;
	if (request->service == NULL ||
		!belay__service_name_valid(request->service, strlen(request->service)))
		return -EINVAL;
	len = belay__handoff_offer_frame(&request->token, request->service, request->correlation_id,
		offer);
	if (len < 0)
		return (int)len;

	memcpy(channel->message, request->token.secret, BELAY_HANDOFF_TOKEN_LEN);
	return BELAY_HANDOFF_TOKEN_LEN + (int)len;
}

/* What did not go out: only a connection that is gone breaks the channel, not a descriptor that cannot be
 * passed. */
static int not_sent(struct belay_handoff_channel *channel, int code)
{
	enum belay_handoff_error error = belay__handoff_send_error(code);

	if (error == BELAY_HANDOFF_BACKEND_SOCKET_UNAVAILABLE)
		channel->broken = code;
	return error == BELAY_HANDOFF_WOULD_BLOCK ? -EAGAIN : code;
}

/* All that there is room for were reported as overdue: this backend answers no more. One that is slow keeps
 * the places of those that it owes, as long as one is left that works. */
static bool give_up_dead(struct belay_handoff_channel *channel)
{
	if (channel->count < BELAY_HANDOFF_UNACKED_MAX)
		return false;
	for (unsigned i = 0; i < channel->count; i++) {
		if (!channel->unacked[i].overdue)
			return false;
	}
	channel->broken = -ETIMEDOUT;
	channel->deaf = true;
	return true;
}

int belay_handoff_channel_pass(struct belay_handoff_channel *channel,
	const struct belay_handoff_request *request, uint64_t now_ms)
{
	unsigned timeout_ms = request->timeout_ms > 0 ? request->timeout_ms
						      : BELAY_HANDOFF_ACK_TIMEOUT_MS;
	struct unacked *last = &channel->unacked[channel->count];
	ssize_t sent;
	int r = channel->broken != 0 ? channel->broken : flush(channel, now_ms);

	if (r < 0)
		return r;
	if (channel->count == BELAY_HANDOFF_UNACKED_MAX)
		return give_up_dead(channel) ? channel->broken : -EBUSY;
	r = compose(channel, request);
	if (r < 0)
		return r;

	sent = belay__handoff_sendmsg(channel->fd, request->fd, channel->message, (size_t)r);
	if (sent < 0)
		return not_sent(channel, (int)sent);
	channel->sent = (size_t)sent;
	channel->len = (size_t)r;
	channel->retry_ms = now_ms;

	*last = (struct unacked){ .token = request->token,
		.correlation_id = request->correlation_id };
	if (__builtin_add_overflow(now_ms, timeout_ms, &last->deadline_ms))
		last->deadline_ms = UINT64_MAX;
	channel->count++;
	return 0;
}

/* --- what comes back --- */

static void forget(struct belay_handoff_channel *channel, unsigned i)
{
	channel->count--;
	memmove(&channel->unacked[i], &channel->unacked[i + 1],
		(channel->count - i) * sizeof(channel->unacked[0]));
	explicit_bzero(&channel->unacked[channel->count], sizeof(channel->unacked[0]));
}

/* Of the last one a part may be here still: then its offer was never delivered, or not even its token. */
static enum belay_handoff_stage stage_of(const struct belay_handoff_channel *channel, unsigned i)
{
	if (i + 1 < channel->count || channel->sent == channel->len)
		return BELAY_HANDOFF_AWAIT_ACK;
	return channel->sent < BELAY_HANDOFF_TOKEN_LEN ? BELAY_HANDOFF_TRANSFER
						       : BELAY_HANDOFF_DELIVER;
}

/* Fills the result of one that had no valid ack. */
static void fail(const struct belay_handoff_channel *channel, unsigned i,
	enum belay_handoff_error error, struct belay_handoff_result *ret_result)
{
	enum belay_handoff_stage stage = stage_of(channel, i);

	*ret_result = (struct belay_handoff_result){
		.correlation_id = channel->unacked[i].correlation_id,
	};
	if (stage == BELAY_HANDOFF_TRANSFER)
		error = BELAY_HANDOFF_PARTIAL_SEND;
	else if (stage == BELAY_HANDOFF_DELIVER)
		error = BELAY_HANDOFF_DELIVERY_FAILED;
	belay__handoff_conclude(ret_result, stage, error, channel->sent);
}

/* Whether the ack in ENVELOPE answers number I: 0 and 1 (said no): it does, and *ret_result; else
 * negative. */
static int answers(const struct belay_handoff_channel *channel, unsigned i,
	const struct belay_envelope *envelope, uint64_t now_ms,
	struct belay_handoff_result *ret_result)
{
	const struct unacked *unacked = &channel->unacked[i];
	struct belay_handoff_result result = { .correlation_id = unacked->correlation_id };
	enum belay_handoff_stage stage = BELAY_HANDOFF_DONE;
	struct belay__handoff_ack ack;
	enum belay_handoff_error error;
	const char *text;
	int r = belay__handoff_ack_read(envelope, &unacked->token, unacked->correlation_id, &ack,
		&error, &text);

	if (r < 0 && r != -ECONNREFUSED)
		return r;

	belay__handoff_printable(ack.error_detail.at, ack.error_detail.len, result.detail,
		sizeof(result.detail));
	if (r < 0) {
		stage = BELAY_HANDOFF_AWAIT_ACK;
	} else if (now_ms >= unacked->deadline_ms) {
		stage = BELAY_HANDOFF_ACKNOWLEDGE;
		error = BELAY_HANDOFF_BACKEND_ACK_TIMEOUT;
	}
	belay__handoff_conclude(&result, stage, error, 0);
	*ret_result = result;
	return r < 0 ? 1 : 0;
}

/* A frame came. 1: one is over; 0: it was an ack that nobody waits for any more; negative: nonsense. */
static int take_ack(struct belay_handoff_channel *channel, const struct belay_frame_found *found,
	uint64_t now_ms, struct belay_handoff_result *ret_result)
{
	struct belay_envelope envelope;
	unsigned mistaken = channel->count;

	if (belay_envelope_decode(found->body, found->body_len, &envelope) < 0)
		return -EBADMSG;

	for (unsigned i = 0; i < channel->count; i++) {
		bool overdue = channel->unacked[i].overdue;
		struct belay_handoff_result result;

		if (channel->unacked[i].correlation_id != envelope.request_id)
			continue;
		if (answers(channel, i, &envelope, now_ms, &result) < 0) {
			mistaken = i;
			continue;
		}
		forget(channel, i);
		if (overdue)
			return 0;
		*ret_result = result;
		return 1;
	}

	/* It names one and is not its answer: that one is told so, and nothing more is believed. */
	channel->broken = -EPROTO;
	channel->deaf = true;
	if (mistaken == channel->count || channel->unacked[mistaken].overdue)
		return -EPROTO;
	fail(channel, mistaken, BELAY_HANDOFF_INTEGRITY_MISMATCH, ret_result);
	forget(channel, mistaken);
	return 1;
}

/* Reads what there is. 1 and *ret_result; 0: nothing more is there; else broken. */
static int read_acks(struct belay_handoff_channel *channel, uint64_t now_ms,
	struct belay_handoff_result *ret_result)
{
	struct belay_frame_found found;
	int r;

	do {
		r = belay__frame_read(&channel->acks, &found);
		if (r == 0)
			return 0;
		if (r > 0)
			r = take_ack(channel, &found, now_ms, ret_result);
	} while (r == 0);
	return r;
}

static int next_overdue(struct belay_handoff_channel *channel, uint64_t now_ms,
	struct belay_handoff_result *ret_result)
{
	for (unsigned i = 0; i < channel->count; i++) {
		struct unacked *unacked = &channel->unacked[i];

		if (unacked->overdue || now_ms < unacked->deadline_ms)
			continue;
		unacked->overdue = true;
		fail(channel, i, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, ret_result);
		return 1;
	}
	return 0;
}

/* The channel is broken: the next of those that were on their way. */
static int next_lost(struct belay_handoff_channel *channel, struct belay_handoff_result *ret_result)
{
	while (channel->count > 0) {
		bool told = channel->unacked[0].overdue;

		if (!told)
			fail(channel, 0, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, ret_result);
		forget(channel, 0);
		if (!told)
			return 1;
	}
	return channel->broken;
}

int belay_handoff_channel_next(struct belay_handoff_channel *channel, uint64_t now_ms,
	struct belay_handoff_result *ret_result)
{
	if (channel->broken == 0)
		(void)flush(channel, now_ms);
	/* Acks that had been sent before it broke are still there to be read. */
	if (!channel->deaf) {
		int r = read_acks(channel, now_ms, ret_result);

		if (r > 0)
			return r;
		if (r < 0) {
			channel->deaf = true;
			channel->broken = r == -ENOTCONN ? -ECONNRESET : r;
		}
	}
	if (channel->broken == 0 && next_overdue(channel, now_ms, ret_result) == 1)
		return 1;
	if (channel->broken != 0 || give_up_dead(channel))
		return next_lost(channel, ret_result);
	return 0;
}

void belay_handoff_channel_close(struct belay_handoff_channel *channel)
{
	if (channel->broken == 0)
		channel->broken = -ECANCELED;
}

uint64_t belay_handoff_channel_deadline_ms(const struct belay_handoff_channel *channel)
{
	uint64_t first_ms = UINT64_MAX;

	for (unsigned i = 0; i < channel->count; i++) {
		const struct unacked *unacked = &channel->unacked[i];

		if (unacked->overdue)
			continue;
		if (channel->broken != 0)
			return 0;
		if (unacked->deadline_ms < first_ms)
			first_ms = unacked->deadline_ms;
	}
	if (channel->broken == 0 && channel->sent < channel->len && channel->retry_ms < first_ms)
		first_ms = channel->retry_ms;
	return first_ms;
}
