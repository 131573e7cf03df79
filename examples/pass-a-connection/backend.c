/* backend.c - proves who it is, takes connections over, and answers lines on them
 *
 *	backend SERVICE
 *
 * One thread, one epoll. At its endpoint probes are answered, and whoever sends lines is served, too; at
 * its hand-over endpoint come clients of somebody else's.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <belay/endpoint.h>
#include <belay/handoff.h>
#include <belay/identity.h>
#include <belay/mux.h>

#include "complain.h"
#include "lines.h"

#define PEERS_MAX 32
#define DOOR_MS   100 /* how long it stays shut when nobody knows why nobody can come in */

enum kind {
	ENDPOINT,         /* its listener */
	HANDOFF_ENDPOINT, /* the other one */
	CALLER,           /* at the endpoint; who it is, its first bytes tell */
	CLIENT,           /* sends lines */
	PEER,             /* hands connections over */
};

/* Whatever epoll watches. */
struct watched {
	enum kind kind;
	int fd;
	struct watched *next, *prev; /* of all */
	struct belay_handoff_peer *peer;
	uint64_t heard_ms; /* when the peer came, or handed something over */
	struct lines lines;
};

struct backend {
	int epoll_fd;
	struct watched *all;
	struct belay_daemon self;
	struct belay_listener *endpoint, *handoff_endpoint;
	struct belay_handoff_receiver *receiver;
	struct watched *handoff_door;     /* its listener, as watched */
	bool door_shut;                   /* there is no place or descriptor for one more peer */
	uint64_t door_due_ms;             /* when that is looked at again, at the latest */
	struct watched *peers[PEERS_MAX]; /* those that have deadlines */
	uint8_t reply[BELAY_PROBE_ANSWER_MAX];
	struct complaint complaint;
	unsigned long adopted, served;
};

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* NULL: no memory, or epoll has no room; FD is still the caller's. */
static struct watched *watch(struct backend *backend, enum kind kind, int fd)
{
	struct watched *watched = calloc(1, sizeof(*watched));
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = watched };

	if (watched == NULL)
		return NULL;
	watched->kind = kind;
	watched->fd = fd;
	if (epoll_ctl(backend->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(watched);
		return NULL;
	}
	watched->next = backend->all;
	if (watched->next != NULL)
		watched->next->prev = watched;
	backend->all = watched;
	return watched;
}

/* Watches for EVENTS from now on; 0: not at all. */
static void watch_for(const struct backend *backend, struct watched *watched, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watched };

	(void)epoll_ctl(backend->epoll_fd, EPOLL_CTL_MOD, watched->fd, &event);
}

static void open_door(struct backend *backend)
{
	if (!backend->door_shut)
		return;
	watch_for(backend, backend->handoff_door, EPOLLIN);
	backend->door_shut = false;
}

/* Leaves epoll first: while somebody else has a copy of the connection, closing ours would not end the
 * watching, and its events would go on with a pointer to nothing. */
static void let_go(struct backend *backend, struct watched *watched)
{
	(void)epoll_ctl(backend->epoll_fd, EPOLL_CTL_DEL, watched->fd, NULL);
	open_door(backend);
	if (watched->kind == PEER) {
		for (int i = 0; i < PEERS_MAX; i++) {
			if (backend->peers[i] == watched)
				backend->peers[i] = NULL;
		}
		(void)belay_handoff_peer_free(watched->peer);
	} else if (watched->kind == CALLER || watched->kind == CLIENT) {
		/* Not close(2): what they passed and nobody read would be closed with it, in their time. */
		belay_endpoint_hang_up(watched->fd);
	}
	if (watched->prev == NULL)
		backend->all = watched->next;
	else
		watched->prev->next = watched->next;
	if (watched->next != NULL)
		watched->next->prev = watched->prev;
	free(watched);
}

static void serve_lines(struct backend *backend, struct watched *client)
{
	int r = 1;

	/* Some, then the others have their turn; what was read already, all: epoll will not tell of it. */
	for (int i = 0; r > 0 && (i < 64 || client->lines.in_len > 0); i++) {
		r = lines_next(&client->lines, client->fd, "backend");
		backend->served += r > 0;
	}
	if (r < 0)
		let_go(backend, client);
	else
		watch_for(backend, client, lines_pending(&client->lines) ? EPOLLOUT : EPOLLIN);
}

/* Answers the probes among the bytes that CALLER has sent. False: it is to be hung up on. */
static bool answer_probes(struct backend *backend, struct watched *caller)
{
	const struct belay_mux mux = { .self = &backend->self, .cap = sizeof(caller->lines.in) };
	uint8_t *bytes = (uint8_t *)caller->lines.in;
	struct belay_mux_result result;

	while (caller->lines.in_len > 0) {
		if (belay_mux_look(&mux, bytes, caller->lines.in_len, backend->reply,
			    sizeof(backend->reply), &result, NULL) < 0)
			return false;
		if (result.outcome == BELAY_MUX_LEGACY)
			caller->kind = CLIENT;
		if (result.outcome != BELAY_MUX_ANSWERED)
			break;
		if (send(caller->fd, backend->reply, result.reply_len,
			    MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)result.reply_len)
			return false;
		caller->lines.in_len -= result.consumed;
		memmove(bytes, bytes + result.consumed, caller->lines.in_len);
	}
	return caller->lines.in_len < sizeof(caller->lines.in);
}

static void hear_caller(struct backend *backend, struct watched *caller)
{
	struct lines *lines = &caller->lines;
	ssize_t n = belay_endpoint_receive(caller->fd, lines->in + lines->in_len,
		sizeof(lines->in) - lines->in_len);

	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		let_go(backend, caller);
		return;
	}
	lines->in_len += (size_t)n;
	if (!answer_probes(backend, caller))
		let_go(backend, caller);
	else if (caller->kind == CLIENT)
		serve_lines(backend, caller);
}

static void adopt(struct backend *backend, const struct belay_adoption *adoption)
{
	struct watched *client = watch(backend, CLIENT, adoption->fd);

	if (client == NULL) {
		belay_endpoint_hang_up(adoption->fd);
		return;
	}
	backend->adopted++;
	/* What it sent before and meanwhile is in the socket. */
	serve_lines(backend, client);
}

static void hear_peer(struct backend *backend, struct watched *peer)
{
	struct belay_adoption adoption;
	struct belay_error error;
	int r;

	do {
		r = belay_handoff_peer_next(peer->peer, &adoption, &error);
		if (r == 1)
			adopt(backend, &adoption);
		else if (r < 0 && r != -ENOTCONN)
			complain(&backend->complaint, "backend: %s", error.text);
		if (r != 0)
			peer->heard_ms = now_ms();
	} while (r == 1 || r == -EACCES || r == -EMFILE);
	if (r < 0)
		let_go(backend, peer);
}

static void accept_callers(struct backend *backend)
{
	int fd;

	while ((fd = belay_endpoint_accept(backend->endpoint, NULL)) >= 0) {
		if (watch(backend, CALLER, fd) == NULL)
			belay_endpoint_hang_up(fd);
	}
}

static int accept_peer(struct backend *backend, int i)
{
	struct belay_handoff_peer *peer;
	int fd = belay_endpoint_accept(backend->handoff_endpoint, NULL);

	if (fd < 0)
		return fd;
	/* On failure it is gone. */
	if (belay_handoff_peer_new(backend->receiver, fd, &peer, NULL) < 0)
		return 0;
	backend->peers[i] = watch(backend, PEER, fd);
	if (backend->peers[i] == NULL) {
		(void)belay_handoff_peer_free(peer);
		return 0;
	}
	backend->peers[i]->peer = peer;
	backend->peers[i]->heard_ms = now_ms();
	return 0;
}

static bool has_place(const struct backend *backend)
{
	int i = 0;

	while (i < PEERS_MAX && backend->peers[i] != NULL)
		i++;
	return i < PEERS_MAX;
}

static bool somebody_knocks(const struct backend *backend)
{
	struct pollfd door = { .fd = backend->handoff_door->fd, .events = POLLIN };

	return poll(&door, 1, 0) == 1;
}

/* Hangs up on the peer that has handed nothing over for longest, in the middle of nothing: who has no client of
 * his on the way loses nothing, and comes again when he has one. False: all are in the middle of something,
 * which is over in time. */
static bool make_place(struct backend *backend)
{
	int idlest = -1;

	for (int i = 0; i < PEERS_MAX; i++) {
		const struct watched *peer = backend->peers[i];

		if (peer != NULL && belay_handoff_peer_deadline_ms(peer->peer) == UINT64_MAX &&
			(idlest < 0 || peer->heard_ms < backend->peers[idlest]->heard_ms))
			idlest = i;
	}
	if (idlest < 0)
		return false;
	/* From now on he can send nothing, and knows it; what he sent just before is taken still. */
	(void)shutdown(backend->peers[idlest]->fd, SHUT_RD);
	hear_peer(backend, backend->peers[idlest]);
	if (backend->peers[idlest] != NULL)
		let_go(backend, backend->peers[idlest]);
	return true;
}

/* Those for whom there is no place wait at the door: hung up on, they could not know whether their clients
 * were taken. But each of them waits with a client whom nobody serves meanwhile, so that whoever does nothing
 * makes room. */
static void accept_peers(struct backend *backend)
{
	int r = 0;

	for (int i = 0; r == 0 && i < PEERS_MAX; i++) {
		if (backend->peers[i] == NULL)
			r = accept_peer(backend, i);
	}
	if (r == -EAGAIN)
		return;
	/* Who knocks still is told of again. */
	if (r == 0 && (has_place(backend) || !somebody_knocks(backend) || make_place(backend)))
		return;
	/* Whoever goes makes room; but there may be nobody to go, and the reason elsewhere. */
	watch_for(backend, backend->handoff_door, 0);
	backend->door_shut = true;
	backend->door_due_ms = now_ms() + DOOR_MS;
}

static void handle(struct backend *backend, struct watched *watched)
{
	switch (watched->kind) {
	case ENDPOINT:
		accept_callers(backend);
		break;
	case HANDOFF_ENDPOINT:
		accept_peers(backend);
		break;
	case CALLER:
		hear_caller(backend, watched);
		break;
	case CLIENT:
		serve_lines(backend, watched);
		break;
	case PEER:
		hear_peer(backend, watched);
		break;
	}
}

/* Gives those their turn whose time is over, and returns how long until the next one's is. */
static int turn_peers(struct backend *backend)
{
	uint64_t now = now_ms(), wait = UINT64_MAX;

	if (backend->door_shut && now >= backend->door_due_ms)
		open_door(backend);
	if (backend->door_shut)
		wait = backend->door_due_ms - now;
	for (int i = 0; i < PEERS_MAX; i++) {
		uint64_t due;

		if (backend->peers[i] == NULL)
			continue;
		due = belay_handoff_peer_deadline_ms(backend->peers[i]->peer);
		if (due <= now)
			hear_peer(backend, backend->peers[i]);
		else if (due - now < wait)
			wait = due - now;
	}
	return wait > 60000 ? 60000 : (int)wait + 1;
}

static int watch_doors(struct backend *backend, struct belay_error *error)
{
	backend->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	backend->handoff_door = watch(backend, HANDOFF_ENDPOINT,
		belay_endpoint_fd(backend->handoff_endpoint));
	if (backend->handoff_door != NULL &&
		watch(backend, ENDPOINT, belay_endpoint_fd(backend->endpoint)) != NULL)
		return 0;
	(void)snprintf(error->text, sizeof(error->text), "epoll: %s", strerror(errno));
	return -errno;
}

static int start(struct backend *backend, const char *service, struct belay_error *error)
{
	const struct belay_handoff_receiver_options options = { .service = service, .keep = true };
	struct belay_endpoint_paths paths;
	int r = belay_endpoint_paths_for(service, &paths, error);

	if (r >= 0)
		r = belay_endpoint_listen(paths.endpoint.path, 0, &backend->endpoint, error);
	if (r >= 0)
		r = belay_endpoint_listen(paths.handoff, BELAY_ENDPOINT_TAKES_FDS,
			&backend->handoff_endpoint, error);
	if (r >= 0)
		r = belay_handoff_receiver_new(&options, &backend->receiver, error);
	if (r >= 0)
		r = belay_daemon_capture_self(&paths.endpoint, &backend->self, error);
	if (r >= 0)
		r = watch_doors(backend, error);
	/* Last: whoever finds the record finds everything else, too. */
	if (r >= 0)
		r = belay_sidecar_write(paths.sidecar, &backend->self, error);
	if (r < 0)
		return r;
	(void)printf("ready at %s\n", paths.endpoint.path);
	return fflush(stdout) == 0 ? 0 : -errno;
}

/* However far it had come. */
static void end(struct backend *backend)
{
	/* The newest first: the doors come last. */
	for (struct watched *next, *watched = backend->all; watched != NULL; watched = next) {
		next = watched->next;
		let_go(backend, watched);
	}
	(void)belay_endpoint_close(backend->endpoint);
	(void)belay_endpoint_close(backend->handoff_endpoint);
	(void)belay_handoff_receiver_free(backend->receiver);
	if (backend->epoll_fd >= 0)
		(void)close(backend->epoll_fd);
}

int main(int argc, char **argv)
{
	static struct backend backend = { .epoll_fd = -1 };
	struct sigaction action = { .sa_handler = stop };
	struct belay_error error = { 0 };
	sigset_t ending, none;

	if (argc != 2) {
		(void)fprintf(stderr, "usage: backend SERVICE\n");
		return 2;
	}
	/* The signals arrive in epoll_pwait() and nowhere else. */
	(void)sigemptyset(&none);
	(void)sigemptyset(&ending);
	(void)sigaddset(&ending, SIGTERM);
	(void)sigaddset(&ending, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &ending, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
	(void)sigaction(SIGINT, &action, NULL);
	/* Whoever reads what is said here may go; clients stay. */
	(void)signal(SIGPIPE, SIG_IGN);

	if (start(&backend, argv[1], &error) < 0) {
		(void)fprintf(stderr, "backend: %s\n", error.text);
		end(&backend);
		return 1;
	}
	while (!stopping) {
		/* One at a time, so that none is for what the one before it let go. */
		struct epoll_event event;

		if (epoll_pwait(backend.epoll_fd, &event, 1, turn_peers(&backend), &none) == 1)
			handle(&backend, event.data.ptr);
	}
	end(&backend);
	(void)printf("adopted %lu, answered %lu lines\n", backend.adopted, backend.served);
	return 0;
}
