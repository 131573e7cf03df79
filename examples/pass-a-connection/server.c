/* server.c - serves clients, and moves them into a backend while they talk
 *
 *	server [--dial] [--after N] SOCKET SERVICE
 *
 * A client that said "move", or N lines (1; 0: only when it asks), is handed over: over a connection that is
 * kept, or with --dial over a fresh one each, as broker v1 does. The backend is found by its record and
 * proved by a probe. Whatever goes wrong, the client is served: here, unless the backend may have it. Who
 * could not go, because there was no backend or no room, goes when there is, also if he says nothing.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <belay/endpoint.h>
#include <belay/handoff.h>

#include "complain.h"
#include "lines.h"
#include "mover.h"

#define CLIENTS_MAX 1024
#define AGAIN_MS    100 /* until those who found no room are tried again, if nothing happens before */

/* What epoll tells besides a client's id. */
enum { LISTENER, MOVER };

struct client {
	uint64_t id; /* of this client and no other ever, modulo CLIENTS_MAX its place; 0: free */
	int fd;
	unsigned answered;
	bool due;        /* to be moved */
	bool on_the_way; /* nobody here touches it */
	struct lines lines;
};

struct server {
	int epoll_fd;
	unsigned after;
	struct belay_listener *listener;
	struct mover *mover;
	uint64_t last_id;
	bool some_wait; /* who are due, and could not go */
	struct complaint complaint;
	struct client clients[CLIENTS_MAX];
	unsigned long served, moved, kept;
};

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

static int watch(const struct server *server, int fd, uint64_t what, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = what };

	if (epoll_ctl(server->epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0)
		return 0;
	return epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static void unwatch(const struct server *server, int fd)
{
	(void)epoll_ctl(server->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* NULL: it is gone. */
static struct client *find(struct server *server, uint64_t id)
{
	struct client *client = &server->clients[id % CLIENTS_MAX];

	return client->id == id ? client : NULL;
}

static void forget(struct server *server, struct client *client)
{
	unwatch(server, client->fd);
	belay_endpoint_hang_up(client->fd);
	client->id = 0;
}

/* Closes what may be the backend's by now: that is not hung up on. */
static void part_with(struct server *server, struct client *client)
{
	unwatch(server, client->fd);
	(void)close(client->fd);
	client->id = 0;
}

/* Nothing of the client is here any more, or it is served on as if nothing had been. */
static void settle(struct server *server, const struct belay_handoff_result *result)
{
	struct client *client = find(server, result->correlation_id);

	if (client == NULL)
		return;
	client->on_the_way = false;
	if (result->error == BELAY_HANDED_OVER || result->relinquish) {
		server->moved++;
		part_with(server, client);
		return;
	}
	complain(&server->complaint, "server: a client stays: %s",
		belay_handoff_error_name(result->error));
	server->kept++;
	client->answered = 0;
	client->due = false;
	if (watch(server, client->fd, client->id, EPOLLIN) < 0)
		forget(server, client);
}

/* Between two lines: what the client has sent since is in its socket, and nowhere else. */
static void hand_over(struct server *server, struct client *client)
{
	/* It leaves epoll before it is passed: the backend's copy keeps the connection open, so closing
	 * ours would not do that, and this loop would wake for each byte that they exchange. */
	unwatch(server, client->fd);
	client->on_the_way = mover_pass(server->mover, client->fd, client->id) >= 0;
	if (!client->on_the_way)
		server->some_wait = true;
}

/* Those who are due and could not go when they last spoke: as many as there is room for. */
static void move_waiting(struct server *server)
{
	if (!server->some_wait || !mover_ready(server->mover))
		return;
	server->some_wait = false;
	for (int i = 0; i < CLIENTS_MAX && !server->some_wait; i++) {
		struct client *client = &server->clients[i];

		if (client->id == 0 || !client->due || client->on_the_way ||
			!lines_between(&client->lines))
			continue;
		hand_over(server, client);
		if (!client->on_the_way && watch(server, client->fd, client->id, EPOLLIN) < 0)
			forget(server, client);
	}
}

static void serve_client(struct server *server, struct client *client)
{
	int r = 1;

	for (int i = 0; i < 64 && r > 0 && !client->on_the_way; i++) {
		r = lines_next(&client->lines, client->fd, "server");
		if (r <= 0)
			break;
		server->served++;
		client->answered++;
		if ((server->after != 0 && client->answered >= server->after) ||
			lines_said(&client->lines, "move"))
			client->due = true;
		if (client->due)
			hand_over(server, client);
	}
	if (r < 0)
		forget(server, client);
	else if (!client->on_the_way && client->id != 0)
		(void)watch(server, client->fd, client->id,
			lines_pending(&client->lines) ? EPOLLOUT : EPOLLIN);
}

static void accept_clients(struct server *server)
{
	int fd;

	while ((fd = belay_endpoint_accept(server->listener, NULL)) >= 0) {
		struct client *client = server->clients;

		while (client < server->clients + CLIENTS_MAX && client->id != 0)
			client++;
		if (client == server->clients + CLIENTS_MAX) {
			belay_endpoint_hang_up(fd);
			continue;
		}
		server->last_id += CLIENTS_MAX;
		*client = (struct client){ .fd = fd,
			.id = server->last_id + (uint64_t)(client - server->clients) };
		if (watch(server, fd, client->id, EPOLLIN) < 0)
			forget(server, client);
	}
}

static void hear_mover(struct server *server)
{
	struct belay_handoff_result result;

	while (mover_next(server->mover, &result) > 0)
		settle(server, &result);
	move_waiting(server);
}

static int wait_ms(const struct server *server)
{
	int wait = mover_wait_ms(server->mover);

	if (server->some_wait && mover_ready(server->mover) && (wait < 0 || wait > AGAIN_MS))
		return AGAIN_MS;
	return wait;
}

static void handle(struct server *server, uint64_t what)
{
	struct client *client = find(server, what);

	if (what == LISTENER)
		accept_clients(server);
	else if (what == MOVER)
		hear_mover(server);
	else if (client != NULL)
		serve_client(server, client);
}

static bool read_options(struct server *server, bool *fresh, int argc, char **argv)
{
	static const struct option options[] = { { "dial", no_argument, NULL, 'd' },
		{ "after", required_argument, NULL, 'a' }, { NULL, 0, NULL, 0 } };
	int option;

	server->after = 1;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			*fresh = true;
		else if (option == 'a')
			server->after = (unsigned)strtoul(optarg, NULL, 10);
		else
			return false;
	}
	return argc - optind == 2;
}

static int start(struct server *server, const char *path, const char *service, bool fresh,
	struct belay_error *error)
{
	int r = belay_endpoint_listen(path, 0, &server->listener, error);

	if (r >= 0)
		r = mover_new(service, fresh, &server->mover, error);
	if (r < 0)
		return r;
	server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	r = watch(server, belay_endpoint_fd(server->listener), LISTENER, EPOLLIN);
	if (r >= 0)
		r = watch(server, mover_fd(server->mover), MOVER, EPOLLIN);
	if (r < 0) {
		(void)snprintf(error->text, sizeof(error->text), "epoll: %s", strerror(-r));
		return r;
	}
	(void)printf("ready at %s\n", path);
	return fflush(stdout) == 0 ? 0 : -errno;
}

int main(int argc, char **argv)
{
	static struct server server;
	struct sigaction action = { .sa_handler = stop };
	struct belay_error error = { 0 };
	sigset_t ending, none;
	bool fresh = false;

	if (!read_options(&server, &fresh, argc, argv)) {
		(void)fprintf(stderr, "usage: server [--dial] [--after N] SOCKET SERVICE\n");
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

	if (start(&server, argv[argc - 2], argv[argc - 1], fresh, &error) < 0) {
		(void)fprintf(stderr, "server: %s\n", error.text);
		(void)belay_endpoint_close(server.listener);
		return 1;
	}
	while (!stopping) {
		/* One at a time, so that none is for a client that is gone. */
		struct epoll_event event;
		int n = epoll_pwait(server.epoll_fd, &event, 1, wait_ms(&server), &none);

		if (n == 1)
			handle(&server, event.data.u64);
		else if (n == 0)
			hear_mover(&server);
	}
	(void)belay_endpoint_close(server.listener);
	(void)printf("answered %lu lines, moved %lu clients, kept %lu\n", server.served,
		server.moved, server.kept);
	return 0;
}
