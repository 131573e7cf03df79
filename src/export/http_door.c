#include "export/http_door.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "export/http_connection.h"

#define PAUSE_NS (100 * BELAY__NS_PER_MS) /* of accepting, when descriptors have run out */

/* Ends a connection that belongs to libmicrohttpd, which has no call for it: the socket's end
 * makes it close its side. What was not sent is not kept for a peer that does not read. */
static void cut_off(struct belay__http_door *door, struct belay__http_connection *connection)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	connection->end_ns = UINT64_MAX;
	if (!connection->known) {
		belay__http_connection_forget(connection);
		return;
	}
	door->counters.dropped[BELAY__HTTP_DROP_TIMEOUT]++;
	if (connection->listener->is_tcp)
		(void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	(void)shutdown(connection->fd, SHUT_RDWR);
}

/* Cuts off whoever took too long; returns when the next one will have. */
static uint64_t cut_off_late(struct belay__http_door *door, uint64_t now_ns)
{
	uint64_t next_ns = UINT64_MAX;

	for (unsigned i = 0; i < BELAY__HTTP_CONNECTIONS; i++) {
		struct belay__http_connection *connection = &door->connections[i];

		if (connection->fd < 0)
			continue;
		if (connection->end_ns <= now_ns)
			cut_off(door, connection);
		else if (connection->end_ns < next_ns)
			next_ns = connection->end_ns;
	}
	return next_ns;
}

static void pause_accepting(struct belay__http_door *door, bool pause)
{
	for (unsigned i = 0; i < 2; i++)
		if (door->listeners[i].io.loop != NULL)
			(void)belay__io_change(&door->listeners[i].io, pause ? 0 : EPOLLIN);
	door->paused_ns = pause ? belay__loop_now_ns(door->loop) + PAUSE_NS : UINT64_MAX;
}

static void due(struct belay__timer *timer, uint64_t now_ns);

/* Lets libmicrohttpd do what it can do now, and sets the time of the next call. */
static void run(struct belay__http_door *door)
{
	uint64_t now_ns = belay__loop_now_ns(door->loop);
	uint64_t next_ns = cut_off_late(door, now_ns);
	MHD_UNSIGNED_LONG_LONG wait_ms;

	if (door->paused_ns <= now_ns)
		pause_accepting(door, false);
	(void)MHD_run(door->daemon);
	if (MHD_get_timeout(door->daemon, &wait_ms) == MHD_YES) {
		uint64_t wait_ns = wait_ms * BELAY__NS_PER_MS;

		if (now_ns + wait_ns < next_ns)
			next_ns = now_ns + wait_ns;
	}
	if (door->paused_ns < next_ns)
		next_ns = door->paused_ns;
	belay__timer_set(door->loop, &door->timer, next_ns, due, door);
}

static void due(struct belay__timer *timer, uint64_t now_ns)
{
	(void)now_ns;
	/* libmicrohttpd ends in one call what was silent for too long and forgets it in the next. */
	run(timer->data);
	run(timer->data);
}

static void daemon_ready(struct belay__io *io, uint32_t events)
{
	(void)events;
	run(io->data);
}

static bool is_full(const struct belay__http_listener *listener)
{
	const struct belay__http_listener *both = listener->door->listeners;

	return listener->open >= listener->share ||
		both[0].open + both[1].open >= BELAY__HTTP_CONNECTIONS;
}

/* Hands FD over to libmicrohttpd, which closes it in any case. */
static void take(struct belay__http_listener *listener, int fd_consume,
	const struct sockaddr_storage *peer, socklen_t peer_len)
{
	struct belay__http_door *door = listener->door;
	struct belay__http_connection *connection = belay__http_connection_free_place(door);
	uint64_t now_ns = belay__loop_now_ns(door->loop);

	assert(connection != NULL);

	*connection = (struct belay__http_connection){
		.fd = fd_consume,
		.listener = listener,
		.address = belay__http_address_of(peer),
		.began_ns = now_ns,
		.end_ns = now_ns + BELAY__HTTP_REQUEST_NS,
	};
	listener->open++;
	if (MHD_add_connection(door->daemon, fd_consume, (const struct sockaddr *)peer, peer_len) ==
		MHD_YES)
		return;
	door->counters.accept_failures++;
	if (connection->fd == fd_consume)
		belay__http_connection_forget(connection);
}

/* Whether a connection that was just accepted may stay; counts why not. */
static bool admit(struct belay__http_listener *listener, const struct sockaddr_storage *peer)
{
	struct belay__http_door *door = listener->door;

	if (listener->is_tcp && !belay__http_connection_pays(door, belay__http_address_of(peer)))
		return false;
	if (is_full(listener)) {
		door->counters.dropped[BELAY__HTTP_DROP_CAPACITY]++;
		return false;
	}
	return true;
}

static bool is_out_of_means(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void caller_waits(struct belay__io *io, uint32_t events)
{
	struct belay__http_listener *listener = io->data;
	unsigned taken = 0, rejected = 0;
	(void)events;

	while (taken < BELAY__HTTP_ACCEPTS && rejected < BELAY__HTTP_REJECTS) {
		struct sockaddr_storage peer = { 0 };
		socklen_t peer_len = sizeof(peer);
		int fd = accept4(io->fd, (struct sockaddr *)&peer, &peer_len,
			SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			/* Accepting fails as well for a caller who is gone again; another may
			 * wait. EAGAIN: nobody does. */
			if (is_out_of_means(errno)) {
				listener->door->counters.accept_failures++;
				pause_accepting(listener->door, true);
			}
			break;
		}
		if (admit(listener, &peer)) {
			take(listener, fd, &peer, peer_len);
			taken++;
		} else {
			(void)belay__close(fd);
			rejected++;
		}
	}
	run(listener->door);
}

static int start_daemon(struct belay__http_door *door)
{
	const struct MHD_OptionItem items[] = {
		{ MHD_OPTION_CONNECTION_LIMIT, BELAY__HTTP_CONNECTIONS, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, BELAY__HTTP_MEMORY_BYTES, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, BELAY__HTTP_SILENCE_S, NULL },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)belay__http_connection_answered, door },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)belay__http_connection_noticed, door },
		{ MHD_OPTION_END, 0, NULL },
	};
	const union MHD_DaemonInfo *info;

	errno = 0;
	door->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL,
		belay__http_connection_asked, door, MHD_OPTION_ARRAY, items, MHD_OPTION_END);
	if (door->daemon == NULL)
		return errno == 0 ? -ENOMEM : -errno;
	info = MHD_get_daemon_info(door->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (info == NULL)
		return -ENOTSUP;
	return belay__io_add(door->loop, &door->io, info->epoll_fd, EPOLLIN, daemon_ready, door);
}

static int add_listener(struct belay__http_door *door, unsigned place, int fd, bool alone)
{
	struct belay__http_listener *listener = &door->listeners[place];
	int r;

	if (fd < 0)
		return 0;
	*listener = (struct belay__http_listener){
		.door = door,
		.share = alone ? BELAY__HTTP_CONNECTIONS : BELAY__HTTP_SHARE,
		.is_tcp = place == 1,
	};
	r = belay__fd_nonblock(fd);
	if (r < 0)
		return r;
	return belay__io_add(door->loop, &listener->io, fd, EPOLLIN, caller_waits, listener);
}

static int open_door(struct belay__http_door *door, const struct belay__http_options *options)
{
	bool alone = options->unix_fd < 0 || options->tcp_fd < 0;
	int r = belay__http_answers_init(&door->answers, options->pages, options->page_count);

	if (r >= 0)
		r = start_daemon(door);
	if (r >= 0)
		r = add_listener(door, 0, options->unix_fd, alone);
	if (r >= 0)
		r = add_listener(door, 1, options->tcp_fd, alone);
	return r;
}

int belay__http_door_new(struct belay__loop *loop, const struct belay__http_options *options,
	struct belay__http_door **ret_door, struct belay_error *reterr)
{
	struct belay__http_door *door = calloc(1, sizeof(*door));
	int r;

	if (door == NULL)
		return belay__fail(reterr, -ENOMEM, "no memory for the door of the metrics");
	door->loop = loop;
	door->paused_ns = UINT64_MAX;
	for (unsigned i = 0; i < BELAY__HTTP_CONNECTIONS; i++)
		door->connections[i].fd = -EBADF;
	belay__http_rate_init(&door->rate, options->rate_per_s, options->rate_burst);
	if (options->token != NULL) {
		door->has_token = true;
		memcpy(door->token, options->token, sizeof(door->token));
	}

	r = open_door(door, options);
	if (r < 0) {
		(void)belay__http_door_free(door);
		return belay__fail(reterr, r, "cannot open the door of the metrics: %s",
			strerror(-r));
	}
	*ret_door = door;
	return 0;
}

struct belay__http_door *belay__http_door_free(struct belay__http_door *door)
{
	if (door == NULL)
		return NULL;

	belay__timer_clear(&door->timer);
	belay__io_remove(&door->io);
	belay__io_remove(&door->listeners[0].io);
	belay__io_remove(&door->listeners[1].io);
	/* Nobody's fault from now on: those who are in the middle are not late. */
	for (unsigned i = 0; i < BELAY__HTTP_CONNECTIONS; i++)
		door->connections[i].end_ns = UINT64_MAX;
	if (door->daemon != NULL)
		MHD_stop_daemon(door->daemon);
	belay__http_answers_done(&door->answers);
	explicit_bzero(door->token, sizeof(door->token));
	free(door);
	return NULL;
}

const struct belay__http_counters *belay__http_door_counters(const struct belay__http_door *door)
{
	return &door->counters;
}

unsigned belay__http_door_connections(const struct belay__http_door *door)
{
	return door->listeners[0].open + door->listeners[1].open;
}

const char *belay__http_drop_name(enum belay__http_drop reason)
{
	static const char *const names[BELAY__HTTP_DROP_COUNT] = {
		[BELAY__HTTP_DROP_RATE_LIMIT] = "rate_limit",
		[BELAY__HTTP_DROP_CAPACITY] = "capacity",
		[BELAY__HTTP_DROP_TIMEOUT] = "timeout",
		[BELAY__HTTP_DROP_IP_TABLE_FULL] = "ip_table_full",
	};

	return names[reason];
}
