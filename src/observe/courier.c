#include "observe/courier.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"

#define RECEIVED_PER_TURN 64

void belay__courier_init(struct belay__courier *courier, struct belay__loop *loop,
	const struct belay__message_rule *rules, size_t rule_count, void *data)
{
	courier->loop = loop;
	courier->rules = rules;
	courier->rule_count = rule_count;
	courier->data = data;
	courier->fd = -EBADF;
	courier->io = (struct belay__io){ .fd = -EBADF };
	courier->head = courier->count = 0;
}

/* The parent sends the next runner's channel; what waits is for that one. */
static void hang_up(struct belay__courier *courier)
{
	belay__io_remove(&courier->io);
	courier->fd = belay__close(courier->fd);
}

void belay__courier_done(struct belay__courier *courier)
{
	hang_up(courier);
}

static int send_parcel(struct belay__courier *courier, uint32_t type, const void *record,
	uint32_t size)
{
	int r;

	if (courier->fd < 0)
		return -ENOTCONN;
	r = belay__channel_send(courier->fd, type, record, size, -EBADF);
	if (r == 0 || r == -EAGAIN)
		return r;
	hang_up(courier);
	return -ENOTCONN;
}

static void flush(struct belay__courier *courier)
{
	while (courier->count > 0) {
		const struct belay__parcel *parcel = &courier->parcels[courier->head];

		if (send_parcel(courier, parcel->type, &parcel->record, parcel->size) < 0)
			break;
		courier->head = (courier->head + 1) % BELAY__COURIER_MAX;
		courier->count--;
	}
	if (courier->fd >= 0)
		(void)belay__io_change(&courier->io,
			courier->count > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void on_runner(struct belay__io *io, uint32_t events)
{
	struct belay__courier *courier = io->data;

	if ((events & ~(uint32_t)EPOLLOUT) != 0 &&
		belay__channel_receive(courier->fd, courier->rules, courier->rule_count,
			courier->data, RECEIVED_PER_TURN) < 0)
		hang_up(courier);
	if (courier->fd >= 0 && (events & EPOLLOUT) != 0)
		flush(courier);
}

void belay__courier_take(struct belay__courier *courier, int fd)
{
	hang_up(courier);
	courier->fd = fd;
	if (belay__io_add(courier->loop, &courier->io, fd, EPOLLIN, on_runner, courier) < 0)
		hang_up(courier);
	flush(courier);
}

int belay__courier_send(struct belay__courier *courier, uint32_t type, const void *record,
	uint32_t size)
{
	struct belay__parcel *parcel;

	assert(size <= sizeof(parcel->record));

	if (courier->count == 0 && send_parcel(courier, type, record, size) == 0)
		return 0;
	if (courier->count == BELAY__COURIER_MAX)
		return -ENOBUFS;
	parcel = &courier->parcels[(courier->head + courier->count++) % BELAY__COURIER_MAX];
	parcel->type = type;
	parcel->size = size;
	memcpy(&parcel->record, record, size);
	if (courier->fd >= 0)
		(void)belay__io_change(&courier->io, EPOLLIN | EPOLLOUT);
	return 0;
}

int belay__courier_send_now(struct belay__courier *courier, uint32_t type, const void *record,
	uint32_t size)
{
	return send_parcel(courier, type, record, size);
}
