/* How one connection to the hand-over endpoint goes.
 *
 *	nothing --token's first byte, descriptor--> begun --whole offer--> judged, answered --> nothing
 *
 * While nothing is begun, as much is read as there is room for: the kernel ends a read behind the
 * bytes that carry a descriptor, so that token and offer in one message take one system call. From
 * then on exactly what is missing is read, so that nothing of the next hand-over, and no descriptor
 * of it, is taken for this one's. What a sender puts in front of a token without a descriptor can
 * still come in one piece with it; then what lies where the offer must be is none.
 */
#include <belay/handoff.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "backend/handoff_judge.h"
#include "backend/handoff_receiver.h"
#include "backend/handoff_stream_check.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "ipc/frame_stream.h"
#include "wire/bytes.h"
#include "wire/handoff_frame.h"

#define HEADED (BELAY_HANDOFF_TOKEN_LEN + BELAY_FRAME_HEADER)

struct belay_handoff_peer {
	struct belay_handoff_receiver *receiver; /* borrowed */
	int fd; /* borrowed by belay_handoff_receive(), else owned */
	bool over;
	bool idles; /* nothing has begun, and nothing has to: the deadline is the idle limit's */
	struct belay__handoff_self self;
	uint64_t deadline_ms;
	/* The hand-over that has begun: */
	int client;       /* what came with its first byte; owned; -EBADF: nothing usable */
	int flaw;         /* negative errno: it can only be refused; 0 */
	const char *text; /* of the flaw */
	size_t len;
	uint8_t bytes[HEADED + BELAY__HANDOFF_BODY_MAX];
};

static uint64_t now_ms(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC) / BELAY__NS_PER_MS;
}

/* --- a connection --- */

static int check_sender(const struct belay_handoff_receiver *receiver, int fd,
	struct belay_error *reterr)
{
	struct ucred sender = { 0 };
	socklen_t len = sizeof(sender);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &sender, &len) < 0)
		return belay__fail(reterr, -errno,
			"cannot tell who is at the other end of a hand-over connection: %s",
			strerror(errno));
	if (sender.uid != receiver->uid)
		return belay__fail(reterr, -EPERM,
			"uid %u (process %d) wants to hand a client over where only uid %u may",
			sender.uid, (int)sender.pid, receiver->uid);
	return 0;
}

static int check_connection(const struct belay_handoff_receiver *receiver, int fd,
	struct belay__handoff_self *ret_self, struct belay_error *reterr)
{
	int on = 1;
	int r = belay__handoff_self_read(fd, ret_self);

	if (r < 0)
		return belay__fail(reterr, r,
			"descriptor %d is no connection to a hand-over endpoint: %s", fd,
			strerror(-r));
	r = check_sender(receiver, fd, reterr);
	if (r < 0)
		return r;
	/* An urgent byte would be dropped within recvmsg(2), with what is attached to it, and that
	 * can take as long as its sender likes. Kernels before 5.15 have none here. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	return 0;
}

/* FD stays the caller's. */
static int open_peer(struct belay_handoff_receiver *receiver, int fd, uint64_t deadline_ms,
	struct belay_handoff_peer **ret_peer, struct belay_error *reterr)
{
	struct belay__handoff_self self = { 0 };
	struct belay_handoff_peer *peer;
	int r = check_connection(receiver, fd, &self, reterr);

	if (r < 0)
		return r;
	peer = malloc(sizeof(*peer));
	if (peer == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory for a hand-over connection");

	peer->receiver = receiver;
	peer->fd = fd;
	peer->over = false;
	peer->idles = false;
	peer->self = self;
	peer->deadline_ms = deadline_ms;
	peer->client = -EBADF;
	peer->flaw = 0;
	peer->text = NULL;
	peer->len = 0;
	*ret_peer = peer;
	return 0;
}

static uint64_t deadline_from_now(const struct belay_handoff_receiver *receiver)
{
	return now_ms() + receiver->timeout_ms;
}

/* Nothing has begun on PEER, which is kept. */
static void rest(struct belay_handoff_peer *peer)
{
	unsigned idle_ms = peer->receiver->idle_ms;

	peer->idles = true;
	peer->deadline_ms = idle_ms != 0 ? now_ms() + idle_ms : UINT64_MAX;
}

int belay_handoff_peer_new(struct belay_handoff_receiver *receiver, int fd_consume,
	struct belay_handoff_peer **ret_peer, struct belay_error *reterr)
{
	int r = open_peer(receiver, fd_consume, deadline_from_now(receiver), ret_peer, reterr);

	/* Closing it closes what was passed over it, too. A number that means nothing may mean
	 * something by the time that it is closed. */
	if (r == -EPERM)
		belay__closer_hang_up(receiver->closer, fd_consume);
	else if (r < 0 && r != -EBADF)
		belay__closer_take(receiver->closer, fd_consume);
	else if (r == 0 && receiver->keep)
		rest(*ret_peer);
	return r;
}

int belay_handoff_peer_fd(const struct belay_handoff_peer *peer)
{
	return peer->fd;
}

uint64_t belay_handoff_peer_deadline_ms(const struct belay_handoff_peer *peer)
{
	return peer->deadline_ms;
}

static void drop_client(struct belay_handoff_peer *peer)
{
	if (peer->client >= 0)
		belay__closer_take_stream(peer->receiver->closer, peer->client);
	peer->client = -EBADF;
}

/* What has begun is over, one way or the other. */
static void forget(struct belay_handoff_peer *peer)
{
	drop_client(peer);
	explicit_bzero(peer->bytes, peer->len);
	peer->len = 0;
	peer->flaw = 0;
	rest(peer);
}

/* Gives up what has begun, if anything. */
static void abandon(struct belay_handoff_peer *peer)
{
	if (peer->len > 0)
		peer->receiver->counts.refused++;
	forget(peer);
	peer->over = true;
}

struct belay_handoff_peer *belay_handoff_peer_free(struct belay_handoff_peer *peer)
{
	if (peer == NULL)
		return NULL;

	abandon(peer);
	if (peer->fd >= 0)
		belay__closer_hang_up(peer->receiver->closer, peer->fd);
	free(peer);
	return NULL;
}

/* --- reading --- */

/* The first flaw counts: it may be the cause of others. */
static void find_fault(struct belay_handoff_peer *peer, int flaw, const char *text)
{
	if (peer->flaw < 0)
		return;
	peer->flaw = flaw;
	peer->text = text;
	drop_client(peer);
}

/* Takes in what came beside the bytes. A hand-over that can only be refused is read to its end
 * nevertheless, so that its sender hears why. */
static void take_descriptors(struct belay_handoff_peer *peer,
	const struct belay__handoff_message *message)
{
	struct belay_handoff_receiver *receiver = peer->receiver;
	bool begins = peer->len == 0;
	unsigned wanted = begins ? 1 : 0;

	if (message->count > wanted)
		receiver->counts.strays += message->count - wanted;
	if (begins)
		peer->client = message->fd;
	else if (message->fd >= 0)
		belay__closer_take(receiver->closer, message->fd);

	if (message->truncated) {
		receiver->counts.truncated++;
		find_fault(peer, -EMFILE, "handoff descriptor was lost: backend has no room for it");
	} else if (!begins && message->count > 0) {
		find_fault(peer, -EPROTO, "handoff offer has a descriptor attached");
	} else if (begins && message->count == 0) {
		find_fault(peer, -EPROTO, "handoff token has no descriptor attached");
	} else if (message->count > 1) {
		find_fault(peer, -EPROTO, "handoff token has more than one descriptor attached");
	}
}

static size_t missing(const struct belay_handoff_peer *peer)
{
	if (peer->len == 0)
		return sizeof(peer->bytes);
	if (peer->len < HEADED)
		return HEADED - peer->len;
	/* The length, which was found to be in bounds, stands behind the framing byte. */
	return HEADED + belay__get_le32(peer->bytes + BELAY_HANDOFF_TOKEN_LEN + 1) - peer->len;
}

/* 1: bytes came; 0: there are none; -ENOTCONN: hung up between two hand-overs; another error. */
static int read_some(struct belay_handoff_peer *peer)
{
	struct belay_handoff_receiver *receiver = peer->receiver;
	struct belay__handoff_message message;
	bool begins = peer->len == 0;
	int r = belay__handoff_message_receive(peer->fd, peer->bytes + peer->len, missing(peer),
		&receiver->inbox, receiver->closer, &message);

	if (r == -EAGAIN)
		return 0;
	if (r == -ECONNRESET || (r == 0 && message.len == 0))
		return begins ? -ENOTCONN : -ECONNRESET;
	if (r < 0)
		return r;

	take_descriptors(peer, &message);
	peer->len += message.len;
	if (peer->idles)
		peer->deadline_ms = deadline_from_now(receiver);
	peer->idles = false;
	return 1;
}

/* 1: the offer is there; 0: more is needed; negative: it is none. */
static int find_offer(const struct belay_handoff_peer *peer, struct belay_frame_found *ret_offer)
{
	if (peer->len <= BELAY_HANDOFF_TOKEN_LEN)
		return 0;
	return belay_frame_scan(peer->bytes + BELAY_HANDOFF_TOKEN_LEN,
		peer->len - BELAY_HANDOFF_TOKEN_LEN, BELAY__HANDOFF_BODY_MAX, ret_offer);
}

/* --- answering --- */

/* Sends the ack, TEXT saying why not; NULL: accepted. It goes out whole and at once or it is an
 * error. */
static int answer(const struct belay_handoff_peer *peer, const struct belay__handoff_offer *offer,
	const char *text)
{
	const struct belay__handoff_ack ack = {
		.token = offer->token,
		.accepted = text == NULL,
		.error_detail = { (const uint8_t *)text, text == NULL ? 0 : strlen(text) },
		.correlation_id = offer->correlation_id,
	};
	uint8_t frame[BELAY__HANDOFF_ACK_SIZE];
	ssize_t len = belay__handoff_ack_frame(&ack, frame);
	ssize_t sent;

	if (len < 0)
		return (int)len;
	do
		sent = send(peer->fd, frame, (size_t)len, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? -ENOBUFS : -errno;
	return sent == len ? 0 : -ENOBUFS;
}

static int fail(struct belay_handoff_peer *peer, int code, const char *text,
	struct belay_error *reterr)
{
	abandon(peer);
	return belay__fail(reterr, code, "no client was handed over: %s", text);
}

static int refuse(struct belay_handoff_peer *peer, const struct belay__handoff_offer *offer,
	int code, const char *text, struct belay_error *reterr)
{
	/* After a descriptor that was lost for want of room the next one may find some: ending here
	 * would lose whoever is on the way already. */
	bool goes_on = answer(peer, offer, text) == 0 && (code == -EACCES || code == -EMFILE) &&
		peer->receiver->keep;

	abandon(peer);
	peer->over = !goes_on;
	return belay__fail(reterr, code, "a client was refused: %s", text);
}

static int conclude(struct belay_handoff_peer *peer, const struct belay_frame_found *found,
	struct belay_adoption *ret_adoption, struct belay_error *reterr)
{
	struct belay_adoption adoption = { .fd = -EBADF };
	struct belay_envelope envelope;
	struct belay__handoff_offer offer;
	const char *text = "malformed handoff frame";
	int r;

	if (belay_envelope_decode(found->body, found->body_len, &envelope) < 0)
		return fail(peer, -EBADMSG, text, reterr);
	r = belay__handoff_offer_read(&envelope, &offer, &text);
	if (r < 0)
		return fail(peer, r, text, reterr);
	if (peer->len > BELAY_HANDOFF_TOKEN_LEN + found->consumed)
		find_fault(peer, -EPROTO, "handoff offer has bytes behind it");
	if (peer->flaw < 0)
		return refuse(peer, &offer, peer->flaw, peer->text, reterr);
	memcpy(adoption.token.secret, peer->bytes, BELAY_HANDOFF_TOKEN_LEN);
	r = belay__handoff_judge(peer->receiver, &peer->self, peer->client, &offer, &adoption,
		&text);
	if (r < 0)
		return refuse(peer, &offer, r, text, reterr);

	/* Before the client is ours: whoever is told no, or nothing at all, lets it reconnect. */
	r = answer(peer, &offer, NULL);
	if (r < 0)
		return fail(peer, r, "the ack could not be sent", reterr);
	adoption.fd = TAKE_FD(peer->client);
	forget(peer);
	peer->over = !peer->receiver->keep;
	peer->receiver->counts.adopted++;
	*ret_adoption = adoption;
	return 1;
}

/* --- both --- */

static const char *why_unread(int code)
{
	if (code == -ECONNRESET)
		return "the sender hung up in the middle of it";
	return strerror(-code);
}

int belay_handoff_peer_next(struct belay_handoff_peer *peer, struct belay_adoption *ret_adoption,
	struct belay_error *reterr)
{
	/* Each round brings a byte at least, and all that it may bring is bounded. */
	while (!peer->over) {
		struct belay_frame_found offer;
		bool late = now_ms() >= peer->deadline_ms, idled;
		int r;

		if (late && !peer->idles)
			return fail(peer, -ETIMEDOUT, "the offer did not come in time", reterr);
		r = read_some(peer);
		idled = late && r == 0;
		if (idled) {
			/* From here on nobody can pass a client any more; who just did is heard. */
			(void)shutdown(peer->fd, SHUT_RD);
			r = read_some(peer);
		}
		if (r == 0)
			return 0;
		if (r == -ENOTCONN) {
			abandon(peer);
			if (idled)
				return fail(peer, -ETIMEDOUT, "the sender was idle for too long",
					reterr);
			break;
		}
		if (r < 0)
			return fail(peer, r, why_unread(r), reterr);
		r = find_offer(peer, &offer);
		if (r < 0)
			return fail(peer, r, belay_framing_error_text(r), reterr);
		if (r > 0)
			return conclude(peer, &offer, ret_adoption, reterr);
	}
	return -ENOTCONN;
}

static int wait_for_one(struct belay_handoff_peer *peer, struct belay_adoption *ret_adoption,
	struct belay_error *reterr)
{
	for (;;) {
		int r = belay_handoff_peer_next(peer, ret_adoption, reterr);

		if (r == -ENOTCONN)
			return belay__fail(reterr, r,
				"no client was handed over: the sender hung up");
		if (r != 0)
			return r < 0 ? r : 0;
		r = belay__wait_until(peer->fd, POLLIN, peer->deadline_ms * BELAY__NS_PER_MS);
		if (r < 0 && r != -ETIMEDOUT)
			return belay__fail(reterr, r,
				"cannot wait for a client to be handed over: %s", strerror(-r));
	}
}

int belay_handoff_receive(struct belay_handoff_receiver *receiver, int connection,
	struct belay_adoption *ret_adoption, struct belay_error *reterr)
{
	struct belay_handoff_peer *peer = NULL;
	int r = open_peer(receiver, connection, deadline_from_now(receiver), &peer, reterr);

	if (peer == NULL)
		return r;
	r = wait_for_one(peer, ret_adoption, reterr);
	peer->fd = -EBADF;
	(void)belay_handoff_peer_free(peer);
	return r;
}
