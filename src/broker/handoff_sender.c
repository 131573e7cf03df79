#include <belay/handoff.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "broker/handoff_attempt.h"
#include "ipc/frame_stream.h"

/* --- waiting --- */

int belay_handoff(const struct belay_handoff_request *request,
	struct belay_handoff_result *ret_result, struct belay_error *reterr)
{
	struct belay__handoff_attempt attempt;
	int r = belay__handoff_attempt_start(&attempt, request, reterr);

	if (r == 0)
		r = belay__handoff_step(&attempt, reterr);
	while (r == -EAGAIN) {
		/* What the wait says does not matter: the next step sees for itself. */
		(void)belay__wait_until(attempt.events != 0 ? attempt.channel : -1, attempt.events,
			attempt.wake_ns);
		r = belay__handoff_step(&attempt, reterr);
	}

	*ret_result = attempt.result;
	belay__handoff_attempt_done(&attempt);
	return r;
}

/* --- without waiting --- */

struct belay_handoff_sender {
	int epoll_fd, timer_fd;
	bool watching; /* `channel` is in the epoll */
	bool over;
	int code; /* how */
	struct belay_error error;
	struct belay__handoff_attempt attempt;
};

/* Makes the epoll ready when the attempt can go on. */
static int arm(struct belay_handoff_sender *sender)
{
	const struct belay__handoff_attempt *attempt = &sender->attempt;
	/* Zero would disarm it. */
	const struct itimerspec when = {
		.it_value = belay__timespec(attempt->wake_ns > 0 ? attempt->wake_ns : 1),
	};
	struct epoll_event event = { .events = (uint32_t)(uint16_t)attempt->events };

	if (timerfd_settime(sender->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) < 0)
		return -errno;
	if (attempt->events == 0)
		return 0;
	if (epoll_ctl(sender->epoll_fd, sender->watching ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
		    attempt->channel, &event) < 0)
		return -errno;
	sender->watching = true;
	return 0;
}

/* What cannot be watched is asked again at once: that costs time, but loses nothing. */
static void arm_or_hurry(struct belay_handoff_sender *sender)
{
	if (arm(sender) == 0)
		return;

	sender->attempt.events = 0;
	sender->attempt.wake_ns = 0;
	(void)arm(sender);
}

static int open_fds(struct belay_handoff_sender *sender)
{
	struct epoll_event event = { .events = EPOLLIN };

	sender->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	sender->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (sender->timer_fd < 0 || sender->epoll_fd < 0)
		return -errno;
	if (epoll_ctl(sender->epoll_fd, EPOLL_CTL_ADD, sender->timer_fd, &event) < 0)
		return -errno;
	/* The first step is due at once. */
	return arm(sender);
}

int belay_handoff_async(const struct belay_handoff_request *request,
	struct belay_handoff_sender **ret_sender, struct belay_error *reterr)
{
	struct belay_handoff_sender *sender = calloc(1, sizeof(*sender));
	int r;

	if (sender == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory for a hand-over");

	sender->epoll_fd = sender->timer_fd = -EBADF;
	r = belay__handoff_attempt_start(&sender->attempt, request, reterr);
	if (r == 0) {
		r = open_fds(sender);
		if (r < 0)
			(void)belay__fail(reterr, r, "cannot watch a hand-over: %s", strerror(-r));
	}
	if (r < 0) {
		(void)belay_handoff_free(sender);
		return r;
	}
	*ret_sender = sender;
	return 0;
}

int belay_handoff_fd(const struct belay_handoff_sender *sender)
{
	return sender->epoll_fd;
}

/* Over: the caller's channel is watched no more, and the fd stays readable. */
static void finish(struct belay_handoff_sender *sender, int code)
{
	if (sender->watching)
		(void)epoll_ctl(sender->epoll_fd, EPOLL_CTL_DEL, sender->attempt.channel, NULL);
	sender->watching = false;
	sender->attempt.wake_ns = 0;
	sender->attempt.events = 0;
	(void)arm(sender);
	sender->over = true;
	sender->code = code;
}

int belay_handoff_next(struct belay_handoff_sender *sender, struct belay_handoff_result *ret_result,
	struct belay_error *reterr)
{
	if (!sender->over) {
		int r = belay__handoff_step(&sender->attempt, &sender->error);

		if (r == -EAGAIN) {
			arm_or_hurry(sender);
			return r;
		}
		finish(sender, r);
	}

	*ret_result = sender->attempt.result;
	if (sender->code < 0 && reterr != NULL)
		*reterr = sender->error;
	return sender->code;
}

int belay_handoff_cancel(struct belay_handoff_sender *sender,
	struct belay_handoff_result *ret_result, struct belay_error *reterr)
{
	if (!sender->over)
		finish(sender, belay__handoff_cancel(&sender->attempt, &sender->error));
	return belay_handoff_next(sender, ret_result, reterr);
}

struct belay_handoff_sender *belay_handoff_free(struct belay_handoff_sender *sender)
{
	if (sender == NULL)
		return NULL;

	/* The epoll first: nothing is closed while it is watched. */
	(void)belay__close(sender->epoll_fd);
	(void)belay__close(sender->timer_fd);
	belay__handoff_attempt_done(&sender->attempt);
	free(sender);
	return NULL;
}
