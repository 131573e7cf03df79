#include <belay/probe.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "backend/probe_exchange.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"

struct belay_prober {
	struct belay__exchange exchange;
	struct belay_endpoint endpoint;
	struct belay_daemon expected;
	int epoll,
		timer; /* owned; the timer and, once it is connected, the socket are in the epoll */
	int watched;   /* the socket in it, owned by the exchange; -EBADF: none */
	short watched_for;
};

int belay_probe(const struct belay_endpoint *endpoint, const struct belay_daemon *expected,
	const struct belay_probe_options *options, struct belay_handle *ret_handle,
	struct belay_probe_report *ret_report, struct belay_error *reterr)
{
	struct belay__exchange exchange;
	int r;

	belay__exchange_start(&exchange, endpoint, expected, options);
	belay__exchange_run(&exchange);
	r = belay__exchange_result(&exchange, ret_handle, ret_report, reterr);
	belay__exchange_done(&exchange);
	return r;
}

static void set_timer(struct belay_prober *prober, uint64_t at_ns)
{
	struct itimerspec when = { .it_value = belay__timespec(at_ns) };

	/* Cannot fail: the time is valid, and the descriptor a timer. */
	(void)timerfd_settime(prober->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Makes the epoll report what the exchange wants. 0 or a negative errno. */
static int watch(struct belay_prober *prober)
{
	struct belay__exchange *exchange = &prober->exchange;
	struct epoll_event event = { 0 };
	int change = prober->watched >= 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (exchange->fd < 0 || exchange->wants == 0)
		return 0;
	if (prober->watched == exchange->fd && prober->watched_for == exchange->wants)
		return 0;
	event.events = (uint32_t)exchange->wants; /* the bits of poll(2) are those of epoll(7) */
	if (epoll_ctl(prober->epoll, change, exchange->fd, &event) < 0)
		return -errno;
	prober->watched = exchange->fd;
	prober->watched_for = exchange->wants;
	return 0;
}

/* Goes on, and sees to it that the epoll fd is readable when there is more to do. 0: over; -EAGAIN. */
static int advance(struct belay_prober *prober)
{
	struct belay__exchange *exchange = &prober->exchange;
	uint64_t due_ns;
	int r = belay__exchange_step(exchange);

	if (r == -EAGAIN && belay__clock_ns(CLOCK_MONOTONIC) >= exchange->deadline_ns)
		belay__exchange_expire(exchange);
	if (exchange->state != BELAY__EXCHANGE_OVER) {
		r = watch(prober);
		if (r < 0)
			belay__exchange_break(exchange, r);
	}
	if (exchange->state == BELAY__EXCHANGE_OVER) {
		prober->watched = -EBADF; /* its end has taken it out of the epoll */
		set_timer(prober, 1);     /* long ago: readable from now on */
		return 0;
	}
	due_ns = exchange->deadline_ns;
	if (exchange->wants == 0 && exchange->retry_ns < due_ns)
		due_ns = exchange->retry_ns;
	set_timer(prober, due_ns);
	return -EAGAIN;
}

static int open_descriptors(struct belay_prober *prober)
{
	struct epoll_event event = { .events = EPOLLIN };

	prober->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (prober->epoll < 0)
		return -errno;
	prober->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (prober->timer < 0)
		return -errno;
	if (epoll_ctl(prober->epoll, EPOLL_CTL_ADD, prober->timer, &event) < 0)
		return -errno;
	return 0;
}

int belay_probe_async(const struct belay_endpoint *endpoint, const struct belay_daemon *expected,
	const struct belay_probe_options *options, struct belay_prober **ret_prober,
	struct belay_error *reterr)
{
	struct belay_prober *prober = malloc(sizeof(*prober));
	int r;

	if (prober == NULL)
		return belay__fail(reterr, -ENOMEM, "probe of %s: no memory; try again later",
			endpoint->path);
	prober->endpoint = *endpoint;
	prober->expected = *expected;
	prober->epoll = prober->timer = prober->watched = -EBADF;
	prober->watched_for = 0;
	belay__exchange_start(&prober->exchange, &prober->endpoint, &prober->expected, options);

	r = open_descriptors(prober);
	if (r < 0) {
		(void)belay_probe_free(prober);
		return belay__fail(reterr, r,
			"probe of %s: no descriptors to wait with (error %d); "
			"raise RLIMIT_NOFILE",
			endpoint->path, -r);
	}
	(void)advance(prober);
	*ret_prober = prober;
	return 0;
}

int belay_probe_fd(const struct belay_prober *prober)
{
	return prober->epoll;
}

int belay_probe_next(struct belay_prober *prober, struct belay_handle *ret_handle,
	struct belay_probe_report *ret_report, struct belay_error *reterr)
{
	int r = advance(prober);

	if (r < 0)
		return r;
	return belay__exchange_result(&prober->exchange, ret_handle, ret_report, reterr);
}

struct belay_prober *belay_probe_free(struct belay_prober *prober)
{
	if (prober == NULL)
		return NULL;
	belay__exchange_done(&prober->exchange);
	(void)belay__close(prober->timer);
	(void)belay__close(prober->epoll);
	free(prober);
	return NULL;
}
