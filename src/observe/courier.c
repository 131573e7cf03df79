#include "observe/courier.h"

#include <errno.h>
#include <sys/epoll.h>

#include "base/fd.h"

#define RECEIVED_PER_TURN 64
#define LAST_WORDS        512 /* a channel holds no more */

void belay__courier_init(struct belay__courier *courier, struct belay__loop *loop,
	const struct belay__message_rule *rules, size_t rule_count, void (*has_room)(void *data),
	void *data)
{
	courier->loop = loop;
	courier->rules = rules;
	courier->rule_count = rule_count;
	courier->data = data;
	courier->has_room = has_room;
	courier->fd = -EBADF;
	courier->io = (struct belay__io){ .fd = -EBADF };
	courier->head = courier->count = 0;
	courier->unwritable = courier->calls = false;
}

/* The parent sends the next runner's channel; what waits is for that one. */
static void hang_up(struct belay__courier *courier)
{
	belay__io_remove(&courier->io);
	courier->fd = belay__close(courier->fd);
	courier->unwritable = false;
}

void belay__courier_done(struct belay__courier *courier)
{
	hang_up(courier);
}

static void watch(struct belay__courier *courier)
{
	bool waits = (courier->count > 0 || courier->calls) && !courier->unwritable;

	if (courier->fd >= 0)
		(void)belay__io_change(&courier->io, waits ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

int belay__courier_send_now(struct belay__courier *courier, uint32_t type, const void *record,
	uint32_t size)
{
	int r;

	if (courier->fd < 0 || courier->unwritable)
		return -ENOTCONN;
	r = belay__channel_send(courier->fd, type, record, size, -EBADF);
	if (r == -ENOBUFS || r == -ENOMEM)
		r = -EAGAIN;
	if (r == 0 || r == -EAGAIN)
		return r;
	/* Its last words may lie in the channel, or just be read from it. */
	courier->unwritable = true;
	watch(courier);
	return -ENOTCONN;
}

static void flush(struct belay__courier *courier)
{
	while (courier->count > 0) {
		const struct belay__msg_act *act = &courier->parcels[courier->head];

		if (belay__courier_send_now(courier, BELAY__MSG_ACT, act, sizeof(*act)) < 0)
			break;
		courier->head = (courier->head + 1) % BELAY__COURIER_MAX;
		courier->count--;
	}
	if (courier->calls && courier->count == 0 && courier->fd >= 0 && !courier->unwritable) {
		courier->calls = false;
		courier->has_room(courier->data);
	}
	watch(courier);
}

/* How many messages there were, or a negative errno: it is hung up then. */
static int receive(struct belay__courier *courier)
{
	int r = belay__channel_receive(courier->fd, courier->rules, courier->rule_count,
		courier->data, RECEIVED_PER_TURN);

	if (r < 0 && r != -EAGAIN)
		hang_up(courier);
	return r;
}

static void on_runner(struct belay__io *io, uint32_t events)
{
	struct belay__courier *courier = io->data;

	if ((events & ~(uint32_t)EPOLLOUT) != 0)
		(void)receive(courier);
	if (courier->fd >= 0 && (events & EPOLLOUT) != 0)
		flush(courier);
}

void belay__courier_take(struct belay__courier *courier, int fd)
{
	for (unsigned i = 0; i < LAST_WORDS / RECEIVED_PER_TURN && courier->fd >= 0; i++)
		if (receive(courier) != RECEIVED_PER_TURN)
			break;
	hang_up(courier);
	courier->fd = fd;
	if (belay__io_add(courier->loop, &courier->io, fd, EPOLLIN, on_runner, courier) < 0)
		hang_up(courier);
	flush(courier);
}

int belay__courier_send(struct belay__courier *courier, const struct belay__msg_act *act)
{
	if (courier->count == 0 &&
		belay__courier_send_now(courier, BELAY__MSG_ACT, act, sizeof(*act)) == 0)
		return 0;
	if (courier->count == BELAY__COURIER_MAX)
		return -ENOBUFS;
	courier->parcels[(courier->head + courier->count++) % BELAY__COURIER_MAX] = *act;
	watch(courier);
	return 0;
}

void belay__courier_call(struct belay__courier *courier)
{
	courier->calls = courier->has_room != NULL;
	watch(courier);
}
