#include "broker/handoff_attempt.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "broker/handoff_send.h"
#include "ipc/socket_options.h"

/* A full backlog says nothing when it has room again. */
#define DIAL_PAUSE_MIN_NS (BELAY__NS_PER_MS)
#define DIAL_PAUSE_MAX_NS (32 * BELAY__NS_PER_MS)

static uint64_t now_ns(void)
{
	return belay__clock_ns(CLOCK_MONOTONIC);
}

int belay__handoff_attempt_start(struct belay__handoff_attempt *attempt,
	const struct belay_handoff_request *request, struct belay_error *reterr)
{
	unsigned timeout_ms = request->timeout_ms > 0 ? request->timeout_ms
						      : BELAY_HANDOFF_ACK_TIMEOUT_MS;
	ssize_t len;
	int r;

	/* The big buffers need no zeros. */
	attempt->fd = request->fd;
	attempt->channel = request->path == NULL ? request->channel : -EBADF;
	attempt->dialed = -EBADF;
	attempt->token = request->token;
	attempt->deadline_ns = now_ns() + timeout_ms * BELAY__NS_PER_MS;
	attempt->stage = request->path == NULL ? BELAY_HANDOFF_TRANSFER : BELAY_HANDOFF_DIAL;
	attempt->events = 0;
	attempt->wake_ns = 0;
	attempt->pause_ns = DIAL_PAUSE_MIN_NS;
	attempt->offer_sent = 0;
	attempt->result = (struct belay_handoff_result){
		.correlation_id = request->correlation_id,
	};
	belay__handoff_conclude(&attempt->result, BELAY_HANDOFF_DIAL, BELAY_HANDOFF_SEND_FAILED, 0);

	if (request->fd < 0 || (request->path == NULL && request->channel < 0))
		return belay__fail(reterr, -EBADF,
			"no hand-over without a client and a backend: give a descriptor and a path "
			"or a channel");
	if (request->path != NULL) {
		size_t path_len = strnlen(request->path, sizeof(attempt->path) - 1);

		memcpy(attempt->path, request->path, path_len);
		attempt->path[path_len] = '\0';
	}
	/* No receiver takes another name; better to know before anything is sent. */
	r = belay__handoff_service_check(request->service, reterr);
	if (r < 0)
		return r;
	len = belay__handoff_offer_frame(&request->token, request->service, request->correlation_id,
		attempt->offer);
	if (len < 0)
		return belay__fail(reterr, (int)len, "no offer of service %s can be made",
			request->service);
	attempt->offer_len = (size_t)len;
	return 0;
}

void belay__handoff_attempt_done(struct belay__handoff_attempt *attempt)
{
	attempt->dialed = belay__close(attempt->dialed);
	explicit_bzero(&attempt->token, sizeof(attempt->token));
	explicit_bzero(attempt->offer, sizeof(attempt->offer));
	explicit_bzero(attempt->ack, sizeof(attempt->ack));
}

/* Ends it at the stage where it is. CODE is what a system call said, or what stands for it. */
static int fail(struct belay__handoff_attempt *attempt, enum belay_handoff_error error, int code,
	size_t sent, const char *why, struct belay_error *reterr)
{
	struct belay_handoff_result *result = &attempt->result;

	belay__handoff_conclude(result, attempt->stage, error, sent);
	attempt->events = 0;
	/* -EAGAIN would mean that it is not over. */
	return belay__fail(reterr, code == -EAGAIN ? -EBUSY : code,
		"hand-over ended at %s, %s: %s%s%s; %s", belay_handoff_stage_name(attempt->stage),
		belay_handoff_error_name(error), why, result->detail[0] != '\0' ? ": " : "",
		result->detail,
		result->relinquish ? "the backend may have the client, close it"
				   : "the client is still yours, let it reconnect");
}

static int fail_errno(struct belay__handoff_attempt *attempt, enum belay_handoff_error error,
	int code, size_t sent, struct belay_error *reterr)
{
	attempt->result.os_error = -code;
	return fail(attempt, error, code, sent, strerror(-code), reterr);
}

static int wait_for(struct belay__handoff_attempt *attempt, short events, uint64_t wake_ns)
{
	attempt->events = events;
	attempt->wake_ns = wake_ns < attempt->deadline_ns ? wake_ns : attempt->deadline_ns;
	return -EAGAIN;
}

static int dial(struct belay__handoff_attempt *attempt, struct belay_error *reterr)
{
	int fd = belay__stream_connect(attempt->path, 0);
	uint64_t tried_ns;

	if (fd >= 0) {
		(void)belay__socket_refuse_rights(fd);
		attempt->channel = attempt->dialed = fd;
		attempt->stage = BELAY_HANDOFF_TRANSFER;
		return 0;
	}

	tried_ns = now_ns();
	if (fd != -EAGAIN || tried_ns >= attempt->deadline_ns)
		return fail_errno(attempt, belay__handoff_dial_error(fd), fd, 0, reterr);
	attempt->pause_ns *= 2;
	if (attempt->pause_ns > DIAL_PAUSE_MAX_NS)
		attempt->pause_ns = DIAL_PAUSE_MAX_NS;
	return wait_for(attempt, 0, tried_ns + attempt->pause_ns);
}

static int transfer(struct belay__handoff_attempt *attempt, struct belay_error *reterr)
{
	enum belay_handoff_error error;
	size_t sent;
	int r = belay_handoff_send(attempt->channel, attempt->fd, &attempt->token, &sent, &error);

	if (r == 0) {
		attempt->stage = BELAY_HANDOFF_DELIVER;
		return 0;
	}
	if (error == BELAY_HANDOFF_PARTIAL_SEND)
		return fail(attempt, error, r, sent, "a part of the token went out", reterr);
	return fail_errno(attempt, error, r, sent, reterr);
}

static int deliver(struct belay__handoff_attempt *attempt, struct belay_error *reterr)
{
	size_t sent;
	int r = belay__stream_write(attempt->channel, attempt->offer + attempt->offer_sent,
		attempt->offer_len - attempt->offer_sent, 0, &sent);

	attempt->offer_sent += sent;
	if (r == 0) {
		belay__frame_stream_start(&attempt->acks, attempt->channel, attempt->ack,
			sizeof(attempt->ack), BELAY__HANDOFF_BODY_MAX);
		attempt->stage = BELAY_HANDOFF_AWAIT_ACK;
		/* It cannot be there yet. */
		return wait_for(attempt, POLLIN, UINT64_MAX);
	}

	if (r != -EAGAIN && r != -EMSGSIZE)
		return fail_errno(attempt, BELAY_HANDOFF_DELIVERY_FAILED, r, 0, reterr);
	if (now_ns() >= attempt->deadline_ns)
		return fail_errno(attempt, BELAY_HANDOFF_DELIVERY_FAILED, -ETIMEDOUT, 0, reterr);
	return wait_for(attempt, POLLOUT, UINT64_MAX);
}

/* A whole frame came in time: whether it is the ack. */
static int take_ack(struct belay__handoff_attempt *attempt, const struct belay_frame_found *found,
	struct belay_error *reterr)
{
	struct belay_handoff_result *result = &attempt->result;
	struct belay_envelope envelope;
	struct belay__handoff_ack ack;
	enum belay_handoff_error error;
	const char *text;
	int r;

	if (belay_envelope_decode(found->body, found->body_len, &envelope) < 0)
		return fail(attempt, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, -EBADMSG, 0,
			"what came is no frame", reterr);
	r = belay__handoff_ack_read(&envelope, &attempt->token, result->correlation_id, &ack,
		&error, &text);
	if (r == 0 || r == -ECONNREFUSED)
		belay__handoff_printable(ack.error_detail.at, ack.error_detail.len, result->detail,
			sizeof(result->detail));
	if (r < 0)
		return fail(attempt, error, r, 0, text, reterr);

	attempt->events = 0;
	belay__handoff_conclude(result, BELAY_HANDOFF_DONE, BELAY_HANDED_OVER, 0);
	return 0;
}

static int await_ack(struct belay__handoff_attempt *attempt, struct belay_error *reterr)
{
	struct belay_frame_found found;
	int r = belay__frame_read(&attempt->acks, &found);
	bool late = now_ns() >= attempt->deadline_ns;

	/* An ack that came too late is none: whoever kept the books has given the client up. */
	if (r >= 0 && late)
		return fail(attempt, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, -ETIMEDOUT, 0,
			"no ack in time", reterr);
	if (r == 0)
		return wait_for(attempt, POLLIN, UINT64_MAX);
	if (r == 1)
		return take_ack(attempt, &found, reterr);

	if (r == -ENOTCONN || r == -ECONNRESET)
		return fail(attempt, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, -ECONNRESET, 0,
			"the backend hung up without an ack", reterr);
	return fail(attempt, BELAY_HANDOFF_BACKEND_ACK_TIMEOUT, r, 0, belay_framing_error_text(r),
		reterr);
}

int belay__handoff_cancel(struct belay__handoff_attempt *attempt, struct belay_error *reterr)
{
	enum belay_handoff_error error = BELAY_HANDOFF_SEND_FAILED;

	if (attempt->stage == BELAY_HANDOFF_AWAIT_ACK) {
		int r = await_ack(attempt, reterr);

		if (r != -EAGAIN)
			return r;
		error = BELAY_HANDOFF_BACKEND_ACK_TIMEOUT;
	} else if (attempt->stage == BELAY_HANDOFF_DELIVER) {
		error = BELAY_HANDOFF_DELIVERY_FAILED;
	}
	return fail_errno(attempt, error, -ECANCELED, 0, reterr);
}

int belay__handoff_step(struct belay__handoff_attempt *attempt, struct belay_error *reterr)
{
	int r = 0;

	if (attempt->stage == BELAY_HANDOFF_DIAL)
		r = dial(attempt, reterr);
	if (r == 0 && attempt->stage == BELAY_HANDOFF_TRANSFER)
		r = transfer(attempt, reterr);
	if (r == 0 && attempt->stage == BELAY_HANDOFF_DELIVER)
		return deliver(attempt, reterr);
	if (r == 0 && attempt->stage == BELAY_HANDOFF_AWAIT_ACK)
		return await_ack(attempt, reterr);
	return r;
}
