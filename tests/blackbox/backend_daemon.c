/* backend_daemon.c - a backend over belay's own mux and receiver, for tests from outside
 *
 *	backend_daemon SOCKET HANDOFF SIDECAR
 *
 * Answers probes at SOCKET and on every connection that was handed over at HANDOFF; writes SIDECAR, then "ready" to
 * standard output. One thread, one poll(2), until it is killed.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <belay/endpoint.h>
#include <belay/handoff.h>
#include <belay/identity.h>
#include <belay/mux.h>

#include "base/clock.h"
#include "base/fd.h"

enum { PLACES = 64, BACKLOG = 64 };

struct place {
	int fd; /* -EBADF: nobody is here */
	struct belay_handoff_peer *peer;
	size_t len;
	uint8_t bytes[BELAY_FRAME_HEADER + BELAY_HELLO_MAX];
};

static struct place places[PLACES];
static struct belay_daemon self;
static struct belay_handoff_receiver *receiver;

_Noreturn static void die(const char *what)
{
	(void)fprintf(stderr, "backend_daemon: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || strlen(path) >= sizeof(address.sun_path))
		die(path);
	memcpy(address.sun_path, path, strlen(path));
	if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, BACKLOG) < 0)
		die(path);
	return fd;
}

static void leave(struct place *place)
{
	/* A peer's descriptor is the peer's. */
	if (place->peer != NULL)
		place->fd = -EBADF;
	place->peer = belay_handoff_peer_free(place->peer);
	belay_endpoint_hang_up(place->fd);
	place->fd = -EBADF;
	place->len = 0;
}

static struct place *free_place(void)
{
	for (size_t i = 0; i < PLACES; i++)
		if (places[i].fd < 0)
			return &places[i];
	return NULL;
}

static void take_client(int fd)
{
	struct place *place = free_place();

	if (place == NULL)
		(void)belay__close(fd);
	else
		place->fd = fd;
}

static void take_peer(int fd)
{
	struct place *place = free_place();

	if (place == NULL)
		(void)belay__close(fd);
	else if (belay_handoff_peer_new(receiver, fd, &place->peer, NULL) == 0)
		place->fd = belay_handoff_peer_fd(place->peer);
}

static void accept_all(int listener, void (*take)(int fd))
{
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0)
		take(fd);
}

static void serve_peer(struct place *place)
{
	struct belay_adoption adoption;
	int r;

	while ((r = belay_handoff_peer_next(place->peer, &adoption, NULL)) == 1)
		take_client(adoption.fd);
	if (r < 0)
		leave(place);
}

/* Answers what is whole; false: hang up. */
static bool answer(struct place *place)
{
	const struct belay_mux mux = { .self = &self };
	static uint8_t reply[BELAY_PROBE_ANSWER_MAX];
	struct belay_mux_result result;

	while (place->len > 0) {
		if (belay_mux_look(&mux, place->bytes, place->len, reply, sizeof(reply), &result,
			    NULL) < 0 ||
			result.outcome == BELAY_MUX_LEGACY)
			return false;
		if (result.outcome != BELAY_MUX_ANSWERED)
			return true;
		/* An answer that finds no room is of somebody who does not read. */
		if (send(place->fd, reply, result.reply_len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
			(ssize_t)result.reply_len)
			return false;
		place->len -= result.consumed;
		memmove(place->bytes, place->bytes + result.consumed, place->len);
	}
	return true;
}

static void serve_client(struct place *place)
{
	ssize_t len = belay_endpoint_receive(place->fd, place->bytes + place->len,
		sizeof(place->bytes) - place->len);

	if (len == -EAGAIN)
		return;
	if (len > 0)
		place->len += (size_t)len;
	if (len <= 0 || !answer(place))
		leave(place);
}

/* How long to wait at most: until the first hand-over is overdue. */
static int patience_ms(void)
{
	const uint64_t now_ms = belay__clock_ns(CLOCK_MONOTONIC) / BELAY__NS_PER_MS;
	uint64_t first_ms = UINT64_MAX;

	for (size_t i = 0; i < PLACES; i++) {
		uint64_t deadline_ms = UINT64_MAX;

		if (places[i].peer != NULL)
			deadline_ms = belay_handoff_peer_deadline_ms(places[i].peer);
		if (deadline_ms < first_ms)
			first_ms = deadline_ms;
	}
	if (first_ms == UINT64_MAX)
		return -1;
	return first_ms > now_ms ? (int)(first_ms - now_ms) : 0;
}

static void turn(const int listeners[2])
{
	struct pollfd polled[PLACES + 2];
	int patience = patience_ms();

	for (size_t i = 0; i < PLACES; i++)
		polled[i] = (struct pollfd){ .fd = places[i].fd, .events = POLLIN };
	for (size_t i = 0; i < 2; i++)
		polled[PLACES + i] = (struct pollfd){ .fd = listeners[i], .events = POLLIN };
	if (poll(polled, PLACES + 2, patience) < 0 && errno != EINTR)
		die("poll");
	for (size_t i = 0; i < PLACES; i++) {
		bool ready = polled[i].revents != 0 && polled[i].fd == places[i].fd;

		if (places[i].peer != NULL && (ready || patience == 0))
			serve_peer(&places[i]);
		else if (places[i].peer == NULL && ready)
			serve_client(&places[i]);
	}
	if (polled[PLACES].revents != 0)
		accept_all(listeners[0], take_client);
	if (polled[PLACES + 1].revents != 0)
		accept_all(listeners[1], take_peer);
}

int main(int argc, char **argv)
{
	const struct belay_handoff_receiver_options options = { 0 };
	struct belay_endpoint endpoint = { .namespace_id = "shared" };
	struct belay_error error = { .text = "" };
	int listeners[2];

	if (argc != 4 || strlen(argv[1]) >= sizeof(endpoint.path))
		return 2;
	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < PLACES; i++)
		places[i].fd = -EBADF;
	memcpy(endpoint.path, argv[1], strlen(argv[1]));
	listeners[0] = listen_at(argv[1]);
	listeners[1] = listen_at(argv[2]);
	if (belay_handoff_receiver_new(&options, &receiver, &error) < 0 ||
		belay_daemon_capture_self(&endpoint, &self, &error) < 0 ||
		belay_sidecar_write(argv[3], &self, &error) < 0) {
		(void)fprintf(stderr, "backend_daemon: %s\n", error.text);
		return 1;
	}
	(void)puts("ready");
	(void)fflush(stdout);
	for (;;)
		turn(listeners);
}
