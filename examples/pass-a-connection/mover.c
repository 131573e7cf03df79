#include "mover.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <belay/endpoint.h>
#include <belay/identity.h>
#include <belay/probe.h>

#include "complain.h"

#define SENDERS_MAX 32

/* Until a backend that was not there is looked for again: soon, then twice as long each time. */
#define RETRY_MS     50
#define RETRY_MAX_MS 500

enum {
	PROBER = SENDERS_MAX,
	CHANNEL,
	BACKEND
}; /* what epoll tells besides the number of a sender */

struct mover {
	int epoll_fd;
	bool fresh, proved;
	const char *service;
	struct belay_endpoint_paths paths;
	char handoff[BELAY_ENDPOINT_PATH_SIZE];
	uint64_t retry_ms, retry_after_ms;
	struct complaint complaint;
	struct belay_hashes *hashes; /* NULL: an executable is read again each time */
	struct belay_prober *prober;
	struct belay_handle backend; /* the process that was proved */
	struct belay_handoff_channel *channel;
	struct {
		struct belay_handoff_sender *sender; /* NULL: free */
		int fd;                              /* the connection that it goes over */
	} fresh_ones[SENDERS_MAX];
};

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int watch(const struct mover *mover, int fd, uint32_t what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u32 = what };

	return epoll_ctl(mover->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void unwatch(const struct mover *mover, int fd)
{
	(void)epoll_ctl(mover->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void drop_prober(struct mover *mover)
{
	if (mover->prober != NULL)
		unwatch(mover, belay_probe_fd(mover->prober));
	mover->prober = belay_probe_free(mover->prober);
}

static void give_up(struct mover *mover, const char *why)
{
	complain(&mover->complaint, "no backend: %s", why);
	drop_prober(mover);
	if (mover->channel != NULL)
		unwatch(mover, belay_handoff_channel_fd(mover->channel));
	mover->channel = belay_handoff_channel_free(mover->channel);
	if (mover->proved) {
		unwatch(mover, mover->backend.pidfd);
		belay_handle_close(&mover->backend);
	}
	mover->proved = false;
	mover->retry_ms = now_ms() + mover->retry_after_ms;
	mover->retry_after_ms *= 2;
	if (mover->retry_after_ms > RETRY_MAX_MS)
		mover->retry_after_ms = RETRY_MAX_MS;
}

/* Begins to prove the backend, unless that is being done, or it was not there a moment ago. */
static void look(struct mover *mover)
{
	const struct belay_probe_options options = { .hashes = mover->hashes };
	struct belay_daemon expected;
	struct belay_error error = { 0 };
	int r;

	if (mover->proved || mover->prober != NULL || now_ms() < mover->retry_ms)
		return;
	r = belay_sidecar_read(mover->paths.sidecar, &expected, &error);
	if (r >= 0)
		r = belay_endpoint_handoff_path(expected.endpoint.path, mover->handoff, &error);
	if (r >= 0)
		r = belay_probe_async(&expected.endpoint, &expected, &options, &mover->prober,
			&error);
	if (r >= 0)
		r = watch(mover, belay_probe_fd(mover->prober), PROBER);
	if (r < 0)
		give_up(mover, error.text);
}

int mover_new(const char *service, bool fresh, struct mover **ret_mover, struct belay_error *error)
{
	struct mover *mover = calloc(1, sizeof(*mover));
	int r;

	if (mover == NULL)
		return -ENOMEM;
	mover->service = service;
	mover->fresh = fresh;
	mover->retry_after_ms = RETRY_MS;
	(void)belay_hashes_new(&mover->hashes);
	r = belay_endpoint_paths_for(service, &mover->paths, error);
	if (r >= 0) {
		mover->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		r = mover->epoll_fd < 0 ? -errno : 0;
	}
	if (r < 0) {
		(void)belay_hashes_free(mover->hashes);
		free(mover);
		return r;
	}
	look(mover);
	*ret_mover = mover;
	return 0;
}

int mover_fd(const struct mover *mover)
{
	return mover->epoll_fd;
}

bool mover_ready(const struct mover *mover)
{
	return mover->proved;
}

int mover_wait_ms(const struct mover *mover)
{
	uint64_t now = now_ms(), due;

	if (!mover->proved && mover->prober == NULL)
		due = mover->retry_ms;
	else if (mover->channel != NULL)
		due = belay_handoff_channel_deadline_ms(mover->channel);
	else
		return -1;
	if (due <= now)
		return 0;
	return due - now > 60000 ? 60000 : (int)(due - now) + 1;
}

/* A connection to the hand-over endpoint: of the process that was proved, and of no other that listens there
 * by now. Each connection is looked at anew; the probe went over another one. */
static int dial(const struct mover *mover)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int r;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, mover->handoff, sizeof(mover->handoff));
	r = connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
	if (r >= 0)
		r = belay_handoff_proved(fd, &mover->backend);
	if (r >= 0)
		return fd;
	(void)close(fd);
	return r;
}

static int open_channel(struct mover *mover)
{
	int fd = dial(mover);
	int r;

	if (fd < 0)
		return fd;
	r = belay_handoff_channel_new(fd, &mover->channel);
	if (r < 0) {
		(void)close(fd);
		return r;
	}
	return watch(mover, fd, CHANNEL);
}

static void hear_prober(struct mover *mover)
{
	struct belay_error error = { 0 };
	int r = belay_probe_next(mover->prober, &mover->backend, NULL, &error);

	if (r == -EAGAIN)
		return;
	drop_prober(mover);
	mover->proved = r >= 0;
	/* Should that fail, the next dial tells. */
	if (r >= 0)
		(void)watch(mover, mover->backend.pidfd, BACKEND);
	if (r >= 0 && !mover->fresh) {
		r = open_channel(mover);
		(void)snprintf(error.text, sizeof(error.text), "%s: %s", mover->handoff,
			strerror(-r));
	}
	if (r < 0)
		give_up(mover, error.text);
	else
		mover->retry_after_ms = RETRY_MS;
}

static int pass_fresh(struct mover *mover, struct belay_handoff_request *request)
{
	uint32_t i = 0;
	int r;

	while (i < SENDERS_MAX && mover->fresh_ones[i].sender != NULL)
		i++;
	if (i == SENDERS_MAX)
		return -EBUSY;
	request->channel = dial(mover);
	/* A full backlog is no reason to look for another one. */
	if (request->channel < 0 && request->channel != -EAGAIN)
		give_up(mover, strerror(-request->channel));
	if (request->channel < 0)
		return request->channel;
	r = belay_handoff_async(request, &mover->fresh_ones[i].sender, NULL);
	if (r < 0) {
		(void)close(request->channel);
		return r;
	}
	mover->fresh_ones[i].fd = request->channel;
	/* What cannot be watched now is looked at as often as anything happens. */
	(void)watch(mover, belay_handoff_fd(mover->fresh_ones[i].sender), i);
	return 0;
}

static int pass_kept(struct mover *mover, const struct belay_handoff_request *request)
{
	int r = belay_handoff_channel_pass(mover->channel, request, now_ms());

	/* It answers none of those that it has: none is left for mover_next() to tell of. */
	if (r == -ETIMEDOUT)
		give_up(mover, strerror(-r));
	return r;
}

int mover_pass(struct mover *mover, int fd, uint64_t id)
{
	struct belay_handoff_request request = { .fd = fd,
		.channel = -1,
		.service = mover->service,
		.correlation_id = id };

	look(mover);
	if (!mover->proved)
		return -ENOTCONN;
	if (getrandom(&request.token, sizeof(request.token), 0) != sizeof(request.token))
		return -EAGAIN;
	return mover->fresh ? pass_fresh(mover, &request) : pass_kept(mover, &request);
}

/* The first of the fresh ones that is over. */
static int next_fresh(struct mover *mover, struct belay_handoff_result *ret_result)
{
	for (int i = 0; i < SENDERS_MAX; i++) {
		struct belay_handoff_sender *sender = mover->fresh_ones[i].sender;

		if (sender == NULL || belay_handoff_next(sender, ret_result, NULL) == -EAGAIN)
			continue;
		unwatch(mover, belay_handoff_fd(sender));
		mover->fresh_ones[i].sender = belay_handoff_free(sender);
		(void)close(mover->fresh_ones[i].fd);
		/* Whoever listens there next has to be proved first. */
		if (ret_result->error != BELAY_HANDED_OVER && !ret_result->rejected)
			give_up(mover, belay_handoff_error_name(ret_result->error));
		return 1;
	}
	return 0;
}

/* What was proved is over. Those that are on their way have their results first. */
static void backend_ended(struct mover *mover)
{
	if (mover->channel != NULL)
		belay_handoff_channel_close(mover->channel);
	else
		give_up(mover, "it ended");
}

int mover_next(struct mover *mover, struct belay_handoff_result *ret_result)
{
	int r;

	if (mover->proved && belay_handle_alive(&mover->backend) == 0)
		backend_ended(mover);
	if (mover->prober != NULL)
		hear_prober(mover);
	look(mover);
	if (mover->fresh)
		return next_fresh(mover, ret_result);
	if (mover->channel == NULL)
		return 0;
	r = belay_handoff_channel_next(mover->channel, now_ms(), ret_result);
	if (r >= 0)
		return r;
	give_up(mover, strerror(-r));
	return 0;
}
