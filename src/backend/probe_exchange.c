#include "backend/probe_exchange.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "backend/probe_frame.h"
#include "backend/probe_steps.h"
#include "backend/probe_words.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "identity/daemon_verify.h"
#include "ipc/frame_stream.h"

/* A full backlog is tried again after 1, 2, 4, ... ms. */
#define RETRY_MS_MAX 32

void belay__exchange_end(struct belay__exchange *exchange, enum belay_probe_error error, int code,
	const char *text, const char *detail)
{
	struct belay_probe_report *report = &exchange->report;

	assert(code != -EAGAIN);

	exchange->state = BELAY__EXCHANGE_OVER;
	exchange->code = code;
	report->error = error;
	report->text = text;
	report->took_us = (belay__clock_ns(CLOCK_MONOTONIC) - exchange->started_ns) /
		BELAY__NS_PER_US;
	exchange->fd = belay__close(exchange->fd);
	if (code < 0 && error != BELAY_PROBE_VERIFY_PID)
		(void)belay__probe_sentence(report, exchange->endpoint->path, code,
			detail != NULL ? detail : text, &exchange->error);
	if (code < 0)
		belay_handle_close(&exchange->handle);
}

void belay__exchange_end_system(struct belay__exchange *exchange, enum belay_probe_error error,
	int code)
{
	const char *what = strerror(-code);

	belay__exchange_end(exchange, error, code == -EAGAIN ? -EIO : code, NULL, what);
}

static void end_elsewhere(struct belay__exchange *exchange)
{
	const struct belay_endpoint *recorded = &exchange->expected->endpoint;
	char detail[sizeof(recorded->namespace_id) + sizeof(recorded->path) + 16];

	(void)snprintf(detail, sizeof(detail), "%s in namespace %s", recorded->path,
		recorded->namespace_id);
	belay__exchange_end(exchange, BELAY_PROBE_ENDPOINT_MISMATCH, -ESTALE, NULL, detail);
}

static bool verify(struct belay__exchange *exchange, const struct belay_probe_options *options)
{
	const struct belay__verify_how how = {
		.hashes = options->hashes,
		.claimed = options->claimed,
		.deadline_ns = options->claimed ? exchange->deadline_ns : UINT64_MAX,
	};
	struct belay_probe_report *report = &exchange->report;
	int r = belay__daemon_verify(exchange->expected, &how, &exchange->handle, &exchange->exe,
		&report->verify, &exchange->error);

	if (r == 0) {
		report->proved |= BELAY_PROOF_PROCESS;
		return true;
	}
	exchange->handle = (struct belay_handle){ .pidfd = -EBADF };
	(void)belay__wrap(&exchange->error, r, "probe of %s", exchange->endpoint->path);
	belay__exchange_end(exchange, BELAY_PROBE_VERIFY_PID, r,
		belay_verify_error_name(report->verify), NULL);
	return false;
}

static bool make_nonce(struct belay__exchange *exchange)
{
	ssize_t n;

	do
		n = getrandom(exchange->nonce, sizeof(exchange->nonce), GRND_NONBLOCK);
	while (n < 0 && errno == EINTR);
	if (n == (ssize_t)sizeof(exchange->nonce))
		return true;
	if (n < 0 && errno == EAGAIN)
		belay__exchange_end(exchange, BELAY_PROBE_RANDOM, -ENODATA, NULL, NULL);
	else
		belay__exchange_end_system(exchange, BELAY_PROBE_RANDOM, n < 0 ? -errno : -EIO);
	return false;
}

static bool write_request(struct belay__exchange *exchange,
	const struct belay_probe_options *options)
{
	struct belay_envelope envelope = {
		.version = 1,
		.kind = BELAY_ENVELOPE_REQUEST,
		.payload_protocol = BELAY_PROTOCOL_PROBE,
		.payload = { exchange->nonce, BELAY_PROBE_NONCE_LEN },
		.request_id = belay__probe_request_id(exchange->nonce),
		.traceparent = options->traceparent,
		.tracestate = options->tracestate,
	};
	ssize_t n = -EMSGSIZE;

	if (options->traceparent.len <= BELAY__PROBE_TRACE_MAX &&
		options->tracestate.len <= BELAY__PROBE_TRACE_MAX - options->traceparent.len)
		n = belay_envelope_encode(&envelope, exchange->request, sizeof(exchange->request));
	if (n < 0) {
		belay__exchange_end(exchange, BELAY_PROBE_ENCODE_FRAME, -EINVAL, NULL, NULL);
		return false;
	}
	exchange->request_len = (size_t)n;
	return true;
}

static void prepare(struct belay__exchange *exchange, const struct belay_endpoint *endpoint)
{
	/* Not its two big arrays: a warm probe is short enough for that to be seen. */
	memset(exchange, 0, offsetof(struct belay__exchange, request));
	exchange->have = 0;
	exchange->long_body = NULL;
	exchange->endpoint = endpoint;
	exchange->fd = exchange->sender_pidfd = exchange->handle.pidfd = -EBADF;
	exchange->started_ns = belay__clock_ns(CLOCK_MONOTONIC);
}

static const struct belay_probe_options *or_defaults(const struct belay_probe_options *options)
{
	static const struct belay_probe_options defaults;

	return options != NULL ? options : &defaults;
}

/* From now on it depends on the peer. */
static void set_deadline(struct belay__exchange *exchange, const struct belay_probe_options *options)
{
	unsigned timeout_ms = options->timeout_ms > 0 ? options->timeout_ms : BELAY_PROBE_TIMEOUT_MS;

	exchange->deadline_ns = belay__clock_ns(CLOCK_MONOTONIC) + timeout_ms * BELAY__NS_PER_MS;
}

void belay__exchange_start(struct belay__exchange *exchange, const struct belay_endpoint *endpoint,
	const struct belay_daemon *expected, const struct belay_probe_options *options)
{
	options = or_defaults(options);
	prepare(exchange, endpoint);
	exchange->expected = expected;
	if (!belay_endpoint_equal(endpoint, &expected->endpoint)) {
		end_elsewhere(exchange);
		return;
	}
	exchange->report.proved = BELAY_PROOF_ENDPOINT;
	/* Which process and executable a claim names, and how large that is, was the peer's choice. */
	if (options->claimed)
		set_deadline(exchange, options);
	if (!verify(exchange, options) || !make_nonce(exchange) || !write_request(exchange, options))
		return;
	if (!options->claimed)
		set_deadline(exchange, options);
}

void belay__exchange_start_claim(struct belay__exchange *exchange,
	const struct belay_endpoint *endpoint, const struct belay_probe_options *options,
	struct belay_daemon *ret_claimed)
{
	options = or_defaults(options);
	prepare(exchange, endpoint);
	exchange->claimed = ret_claimed;
	set_deadline(exchange, options);
	if (make_nonce(exchange))
		(void)write_request(exchange, options);
}

static void later(struct belay__exchange *exchange)
{
	uint64_t ms = UINT64_C(1) << exchange->retries;

	if (ms < RETRY_MS_MAX)
		exchange->retries++;
	exchange->wants = 0;
	exchange->retry_ns = belay__clock_ns(CLOCK_MONOTONIC) + ms * BELAY__NS_PER_MS;
}

static void backlog_stayed_full(struct belay__exchange *exchange)
{
	belay__exchange_end(exchange, BELAY_PROBE_CONNECT, -ETIMEDOUT, "the backlog stayed full",
		"its backlog stayed full: it is busy, not gone");
}

static int dial(struct belay__exchange *exchange)
{
	const char *path = exchange->endpoint->path;
	int fd = belay__stream_connect(path, 0);

	if (fd == -EAGAIN && exchange->may_wait)
		fd = belay__stream_connect(path, exchange->deadline_ns);
	return fd;
}

/* The kernel is to name the sender of every byte. Only now: before connect(2), SO_PASSCRED would have it
 * make up an address for this socket. What the peer may have sent in between carries no credentials and
 * is refused. */
static int configure(struct belay__exchange *exchange)
{
	const int on = 1;
	struct ucred listener;
	socklen_t len = sizeof(listener);

	if (setsockopt(exchange->fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return -errno;
	if (getsockopt(exchange->fd, SOL_SOCKET, SO_PEERCRED, &listener, &len) == 0)
		exchange->report.listener = listener.pid;
	return 0;
}

/* True: it went on to another state. */
static bool step_connecting(struct belay__exchange *exchange)
{
	const char *path = exchange->endpoint->path;
	int r;

	if (path[0] == '\0') {
		belay__exchange_end(exchange, BELAY_PROBE_CONNECT, -EINVAL,
			"backend endpoint path is empty", NULL);
		return true;
	}
	if (strlen(path) >= sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
		belay__exchange_end(exchange, BELAY_PROBE_LOCAL_SOCKET_NAME, -ENAMETOOLONG, NULL,
			NULL);
		return true;
	}
	r = dial(exchange);
	if (r == -EAGAIN) {
		later(exchange);
		return false;
	}
	if (r == -ETIMEDOUT) {
		backlog_stayed_full(exchange);
		return true;
	}
	if (r < 0) {
		belay__exchange_end_system(exchange, BELAY_PROBE_CONNECT, r);
		return true;
	}
	exchange->fd = r;
	r = configure(exchange);
	if (r < 0)
		belay__exchange_end_system(exchange, BELAY_PROBE_CONFIGURE_NONBLOCKING, r);
	else
		exchange->state = BELAY__EXCHANGE_SENDING;
	return true;
}

static bool step_sending(struct belay__exchange *exchange)
{
	size_t sent;
	int r = belay__stream_write(exchange->fd, exchange->request + exchange->sent,
		exchange->request_len - exchange->sent, 0, &sent);

	exchange->sent += sent;
	if (r == -EAGAIN || r == -EMSGSIZE) {
		exchange->wants = POLLOUT;
		return false;
	}
	if (r < 0) {
		belay__exchange_end_system(exchange, BELAY_PROBE_IO, r);
		return true;
	}
	/* The answer takes its time: looking for it at once would be a call in vain. */
	exchange->state = BELAY__EXCHANGE_RECEIVING;
	exchange->wants = POLLIN;
	return false;
}

int belay__exchange_step(struct belay__exchange *exchange)
{
	bool (*const steps[])(struct belay__exchange *) = {
		[BELAY__EXCHANGE_CONNECTING] = step_connecting,
		[BELAY__EXCHANGE_SENDING] = step_sending,
		[BELAY__EXCHANGE_RECEIVING] = belay__exchange_receive,
	};

	while (exchange->state != BELAY__EXCHANGE_OVER)
		if (!steps[exchange->state](exchange))
			return -EAGAIN;
	return 0;
}

void belay__exchange_run(struct belay__exchange *exchange)
{
	exchange->may_wait = true;
	while (belay__exchange_step(exchange) == -EAGAIN)
		/* Somebody who trickles bytes is always ready, so the clock is asked as well. */
		if (belay__clock_ns(CLOCK_MONOTONIC) >= exchange->deadline_ns ||
			belay__wait_until(exchange->fd, exchange->wants, exchange->deadline_ns) < 0)
			belay__exchange_expire(exchange);
}

void belay__exchange_expire(struct belay__exchange *exchange)
{
	static const char *const places[] = {
		[BELAY__EXCHANGE_SENDING] = "the request could not be sent",
		[BELAY__EXCHANGE_RECEIVING] = "connected, but no answer came",
	};
	const char *place;

	if (exchange->state == BELAY__EXCHANGE_OVER)
		return;
	if (exchange->state == BELAY__EXCHANGE_CONNECTING) {
		backlog_stayed_full(exchange);
		return;
	}
	place = exchange->have > 0 ? "only a part of the answer came" : places[exchange->state];
	belay__exchange_end(exchange, BELAY_PROBE_TIMEOUT, -ETIMEDOUT, place, NULL);
}

void belay__exchange_break(struct belay__exchange *exchange, int code)
{
	belay__exchange_end_system(exchange, BELAY_PROBE_IO, code);
}

int belay__exchange_result(struct belay__exchange *exchange, struct belay_handle *ret_handle,
	struct belay_probe_report *ret_report, struct belay_error *reterr)
{
	assert(exchange->state == BELAY__EXCHANGE_OVER);

	if (ret_report != NULL)
		*ret_report = exchange->report;
	if (exchange->code < 0) {
		if (reterr != NULL)
			*reterr = exchange->error;
		return exchange->code;
	}
	if (ret_handle != NULL) {
		*ret_handle = exchange->handle;
		exchange->handle.pidfd = -EBADF;
	}
	return 0;
}

void belay__exchange_done(struct belay__exchange *exchange)
{
	exchange->fd = belay__close(exchange->fd);
	exchange->sender_pidfd = belay__close(exchange->sender_pidfd);
	belay_handle_close(&exchange->handle);
	exchange->closer = belay__closer_free(exchange->closer);
	free(exchange->long_body);
	exchange->long_body = NULL;
}
