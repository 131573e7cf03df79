/* The door's clients: who is connected, what they say, how answers flow back. */

#include "observe/door_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/hot.h"

/* How many packets are handled in a turn: clients must not hold up beats. */
#define PACKETS_PER_TURN 64
#define LET_IN_AT_ONCE   (BELAY__DOOR_CLIENTS_MAX / 2)
#define PAUSE_NS         (100 * BELAY__NS_PER_MS)

int belay__door_new(struct belay_observer *observer, struct belay__door **ret_door)
{
	struct belay__door *door = calloc(1, sizeof(*door));

	if (door == NULL)
		return -ENOMEM;
	door->observer = observer;
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++)
		door->clients[i] = (struct belay__client){ .fd = -EBADF,
			.io.fd = -EBADF,
			.door = door };
	*ret_door = door;
	return 0;
}

void belay__door_hang_up(struct belay__client *client)
{
	belay__io_remove(&client->io);
	client->door->connected -= client->fd >= 0;
	client->fd = belay__close(client->fd);
	client->task = BELAY__CLIENT_IDLE;
	client->ready = false;
}

struct belay__door *belay__door_free(struct belay__door *door)
{
	if (door == NULL)
		return NULL;
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++)
		belay__door_hang_up(&door->clients[i]);
	belay__timer_clear(&door->resume);
	belay__timer_clear(&door->waits);
	for (unsigned i = 0; i < door->listen_count; i++) {
		belay__io_remove(&door->listen_io[i]);
		belay__close(door->listen_fds[i]);
	}
	free(door);
	return NULL;
}

void belay__door_set_host(struct belay__door *door, const struct belay__door_host *host)
{
	door->host = *host;
}

static void on_client(struct belay__io *io, uint32_t events)
{
	struct belay__client *client = io->data;

	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		client->ready = true;
	if (events & EPOLLOUT)
		client->may_write = true;
}

/* Whether A's place is rather given up than B's: who has something to say keeps his longer. */
static bool rather(const struct belay__client *a, const struct belay__client *b)
{
	return a->ready != b->ready ? !a->ready : a->active_ns < b->active_ns;
}

/* A free place, or that of the client that has been idle longest; followers are idle, too. */
static struct belay__client *place(struct belay__door *door)
{
	struct belay__client *oldest = &door->clients[0];

	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++) {
		if (door->clients[i].fd < 0)
			return &door->clients[i];
		if (rather(&door->clients[i], oldest))
			oldest = &door->clients[i];
	}
	belay__door_hang_up(oldest);
	return oldest;
}

static void resume_listening(struct belay__timer *timer, uint64_t now_ns)
{
	struct belay__door *door = timer->data;

	(void)now_ns;
	for (unsigned i = 0; i < door->listen_count; i++)
		(void)belay__io_change(&door->listen_io[i], EPOLLIN);
	door->knocked = true; /* maybe, while nobody listened */
}

/* Without a descriptor to spare nobody can come in: asking again and again would only burn the
 * CPU. */
static void pause_listening(struct belay__door *door)
{
	for (unsigned i = 0; i < door->listen_count; i++)
		(void)belay__io_change(&door->listen_io[i], 0);
	belay__timer_set(door->observer->loop, &door->resume,
		belay__loop_now_ns(door->observer->loop) + PAUSE_NS, resume_listening, door);
}

/* Whether somebody came in. What they have to say is mostly there already. */
static bool let_in(struct belay__door *door, int listen_fd)
{
	_cleanup_close_ int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct belay__client *client;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
			pause_listening(door);
		return false;
	}
	client = place(door);
	if (belay__io_add(door->observer->loop, &client->io, fd, EPOLLIN, on_client, client) < 0)
		return false;
	client->fd = TAKE_FD(fd);
	door->connected++;
	client->active_ns = belay__loop_now_ns(door->observer->loop);
	client->ready = true;
	client->may_write = true;
	return true;
}

static void on_connect(struct belay__io *io, uint32_t events)
{
	struct belay__door *door = io->data;

	(void)events;
	door->knocked = true;
	(void)let_in(door, io->fd);
}

bool belay__door_let_in(struct belay__door *door, bool all_knocked)
{
	bool listening = door->resume.next == NULL, all_in = true;

	if (all_knocked && listening && !door->knocked)
		return true;
	for (unsigned i = 0; i < door->listen_count; i++) {
		unsigned n = 0;

		while (n < LET_IN_AT_ONCE && let_in(door, door->listen_fds[i]))
			n++;
		all_in = all_in && n < LET_IN_AT_ONCE;
	}
	door->knocked = !all_in;
	return all_in;
}

int belay__door_listen_take(struct belay__door *door, int fd)
{
	int r;

	if (door->listen_count == BELAY__LISTENERS_MAX)
		return -ENOSPC;
	r = belay__io_add(door->observer->loop, &door->listen_io[door->listen_count], fd, EPOLLIN,
		on_connect, door);
	if (r < 0)
		return r;
	door->listen_fds[door->listen_count++] = fd;
	return 0;
}

int belay__door_send(struct belay__client *client, enum belay__hello_part part, int code,
	const char *text, size_t len)
{
	struct belay__hello_answer answer = {
		.magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.part = (uint8_t)part,
		.code = code,
		.text_len = (uint32_t)len,
	};
	char *outgoing = client->door->outgoing;

	if (len > sizeof(client->door->outgoing) - sizeof(answer))
		return -EMSGSIZE;
	/* In one piece: who is in a cage may not use sendmsg(). */
	memcpy(outgoing, &answer, sizeof(answer));
	memcpy(outgoing + sizeof(answer), text, len);
	if (send(client->fd, outgoing, sizeof(answer) + len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

void belay__door_done(struct belay__client *client, int code, const char *sentence)
{
	if (belay__door_send(client, BELAY__HELLO_DONE, code, sentence, strlen(sentence)) < 0)
		belay__door_hang_up(client);
}

static void answer_once(struct belay__client *client,
	void (*write)(struct belay__door *, struct belay__text *))
{
	struct belay__door *door = client->door;
	struct belay__text text;
	int r;

	belay__text_init(&text, door->packet,
		sizeof(door->packet) - sizeof(struct belay__hello_answer));
	write(door, &text);
	r = belay__door_send(client, BELAY__HELLO_LINES, 0, text.chars, text.len);
	if (r < 0)
		belay__door_hang_up(client);
	else
		belay__door_done(client, 0, "");
}

static void answer_ping(struct belay__door *door, struct belay__text *text)
{
	(void)door;
	belay__text_add(text, "{}\n");
}

/* Goes on when the client has read. Until then what else it says is left where it is, and does not
 * wake us. */
static void wait_for_reader(struct belay__client *client)
{
	client->may_write = false;
	(void)belay__io_change(&client->io, EPOLLOUT);
}

static int finish_status(struct belay__client *client)
{
	const char *sentence = client->rows > 0 ? "" : "nothing of that name is known";
	int r = belay__door_send(client, BELAY__HELLO_DONE, client->rows > 0 ? 0 : -ENOENT,
		sentence, strlen(sentence));

	if (r < 0)
		return r;
	client->task = BELAY__CLIENT_IDLE;
	(void)belay__io_change(&client->io, EPOLLIN);
	return 0;
}

/* Sends as much of a status answer as the client takes. */
static void continue_status(struct belay__client *client)
{
	struct belay__door *door = client->door;
	struct belay__text text;
	uint32_t cursor = client->cursor, rows = client->rows;
	bool more;
	int r = 0;

	belay__text_init(&text, door->packet,
		sizeof(door->packet) - sizeof(struct belay__hello_answer));
	more = belay__door_status(client, &text);
	if (text.len > 0)
		r = belay__door_send(client, BELAY__HELLO_LINES, 0, text.chars, text.len);
	if (r == -EAGAIN) {
		client->cursor = cursor;
		client->rows = rows;
	} else if (r == 0 && !more) {
		r = finish_status(client);
	}
	if (r == -EAGAIN)
		wait_for_reader(client);
	else if (r < 0)
		belay__door_hang_up(client);
}

static void start_status(struct belay__client *client, const struct belay__hello *hello,
	uint32_t uid)
{
	client->task = BELAY__CLIENT_STATUS;
	client->cursor = 0;
	client->rows = 0;
	client->uid = uid;
	client->may_write = true;
	memcpy(client->selection, hello->name, sizeof(client->selection));
	client->selection[sizeof(client->selection) - 1] = '\0';
}

static void start_following(struct belay__client *client)
{
	if (!client->door->host.publishes)
		belay__door_done(client, -ENOTSUP, "this observer does not publish its events");
	else
		client->task = BELAY__CLIENT_FOLLOWS;
}

static bool beat(struct belay__client *client, const struct belay__hello *hello,
	const struct belay__packet_from *from)
{
	const char *sentence = "";
	int code = 0;
	bool told = belay__door_beat(client->door, hello, from, &code, &sentence);

	belay__door_done(client, code, sentence);
	return told;
}

/* The one table of what may be asked. Anything else is refused. */
static bool dispatch(struct belay__client *client, const struct belay__hello *hello,
	const struct belay__packet_from *from)
{
	struct belay__door *door = client->door;

	/* Who asks again waits no longer for what it asked before. */
	if (client->task == BELAY__CLIENT_WAITS)
		client->task = BELAY__CLIENT_IDLE;
	switch ((enum belay__hello_type)hello->type) {
	case BELAY__HELLO_WITHIN:
		return belay__door_within(door, hello, from);
	case BELAY__HELLO_GOODBYE:
		return belay__door_goodbye(door, hello, from);
	case BELAY__HELLO_BEAT:
		return beat(client, hello, from);
	case BELAY__HELLO_PING:
		answer_once(client, answer_ping);
		return false;
	case BELAY__HELLO_STATUS:
		start_status(client, hello, from->uid);
		return false;
	case BELAY__HELLO_COUNTERS:
		answer_once(client, belay__door_counters);
		return false;
	case BELAY__HELLO_EVENTS:
		start_following(client);
		return false;
	case BELAY__HELLO_SELF:
		answer_once(client, belay__door_self);
		return false;
	case BELAY__HELLO_PAUSE:
	case BELAY__HELLO_RESUME:
	case BELAY__HELLO_ACT:
	case BELAY__HELLO_ALERT_TEST:
		belay__door_order(client, hello, from->uid);
		return false;
	}
	door->observer->counts[BELAY__COUNT_DOOR_REFUSED]++;
	belay__door_done(client, -EOPNOTSUPP, "this observer does not know that request");
	return false;
}

/* Root may look and give orders; what a process says of itself is said by its own user. */
static bool may_ask(const struct belay_observer *observer, const struct belay__hello *hello,
	const struct belay__packet_from *from)
{
	return from->uid == observer->own_uid ||
		(from->uid == 0 && hello->type >= BELAY__HELLO_PING);
}

/* Whether a packet of LEN bytes is a request that we understand from somebody who may ask; if not,
 * says why. */
static bool acceptable(struct belay__client *client, const struct belay__hello *hello, ssize_t len,
	const struct belay__packet_from *from)
{
	struct belay_observer *observer = client->door->observer;

	if (len == (ssize_t)sizeof(*hello) && hello->magic == BELAY__HELLO_MAGIC &&
		hello->version == BELAY__HELLO_VERSION &&
		(hello->flags & ~(hello->type == BELAY__HELLO_ACT ? BELAY__HELLO_DO : 0)) == 0 &&
		hello->reserved == 0 && hello->name[sizeof(hello->name) - 1] == '\0' &&
		may_ask(observer, hello, from))
		return true;
	observer->counts[BELAY__COUNT_DOOR_REFUSED]++;
	if (len >= 4 && hello->magic == BELAY__HELLO_MAGIC && hello->version != BELAY__HELLO_VERSION)
		belay__door_done(client, -EPROTONOSUPPORT,
			"this observer speaks another version of the door's protocol");
	else if (from->uid != observer->own_uid)
		belay__door_done(client, -EPERM, "this observer belongs to another user");
	else
		belay__door_done(client, -EBADMSG, "that is no request");
	belay__door_hang_up(client);
	return false;
}

static bool read_one(struct belay__client *client)
{
	struct belay_observer *observer = client->door->observer;
	struct belay__packet_from from;
	struct belay__hello hello;
	ssize_t len;
	bool told = false;

	memset(&hello, 0, sizeof(hello));
	len = belay__packet_receive(client->fd, &hello, sizeof(hello), observer->closer, &from);
	if (len == -EAGAIN) {
		client->ready = false;
		return false;
	}
	if (len <= 0) {
		observer->counts[BELAY__COUNT_DOOR_REFUSED] += len < 0;
		belay__door_hang_up(client);
		return false;
	}
	client->active_ns = belay__loop_now_ns(observer->loop);
	if (acceptable(client, &hello, len, &from))
		told = dispatch(client, &hello, &from);
	belay__close(from.pidfd);
	return told;
}

BELAY__HOT bool belay__door_empty(const struct belay__door *door)
{
	return door->connected == 0;
}

bool belay__door_ready(const struct belay__door *door)
{
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX && door->connected > 0; i++)
		if (door->clients[i].ready)
			return true;
	return false;
}

bool belay__door_next(struct belay__door *door)
{
	if (belay__door_empty(door))
		return false;
	for (unsigned packets = 0; packets < PACKETS_PER_TURN; packets++) {
		bool found = false;

		for (unsigned tried = 0; tried < BELAY__DOOR_CLIENTS_MAX && !found; tried++) {
			struct belay__client *client =
				&door->clients[(door->next_client + tried) % BELAY__DOOR_CLIENTS_MAX];

			if (client->fd < 0 || !client->ready || client->task == BELAY__CLIENT_STATUS)
				continue;
			found = true;
			door->next_client = (unsigned)(client - door->clients + 1) %
				BELAY__DOOR_CLIENTS_MAX;
			if (read_one(client))
				return true;
		}
		if (!found)
			break;
	}
	/* One slice for each answer under way; what is left goes on in the next turn. */
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++) {
		struct belay__client *client = &door->clients[i];

		if (client->fd >= 0 && client->task == BELAY__CLIENT_STATUS && client->may_write)
			continue_status(client);
		if (client->fd >= 0 && client->task == BELAY__CLIENT_STATUS && client->may_write)
			(void)belay__io_change(&client->io, EPOLLOUT);
	}
	return false;
}

void belay__door_publish(struct belay__door *door, const char *line, size_t len)
{
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++) {
		struct belay__client *client = &door->clients[i];

		if (client->fd >= 0 && client->task == BELAY__CLIENT_FOLLOWS &&
			belay__door_send(client, BELAY__HELLO_LINES, 0, line, len) < 0)
			belay__door_hang_up(client);
	}
}

bool belay__door_followed(const struct belay__door *door)
{
	for (unsigned i = 0; i < BELAY__DOOR_CLIENTS_MAX; i++)
		if (door->clients[i].fd >= 0 && door->clients[i].task == BELAY__CLIENT_FOLLOWS)
			return true;
	return false;
}
