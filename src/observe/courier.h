/* courier.h - the gate's way to the runner: a channel that may be gone or full for a while
 *
 * What must arrive and nobody else keeps waits in a ring of BELAY__COURIER_MAX messages, in order,
 * until the channel takes it; what is only good now, or is kept by who sends it, is sent now or not
 * at all. A runner that died has said its last words before: they are read before its channel is
 * closed, and it is never closed while something is read from it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ipc/channel.h"
#include "loop/loop.h"
#include "observe/roles.h"

#define BELAY__COURIER_MAX 512

struct belay__courier {
	struct belay__loop *loop;
	const struct belay__message_rule *rules; /* of what comes back */
	size_t rule_count;
	void *data;                   /* their handlers' */
	void (*has_room)(void *data); /* NULL: nobody waits for it */
	int fd;                       /* -EBADF: there is no runner just now */
	bool unwritable;              /* nobody reads there any more */
	bool calls;                   /* has_room, when there is */
	struct belay__io io;
	uint32_t head, count;
	struct belay__msg_act parcels[BELAY__COURIER_MAX];
};

/* RULES are borrowed and called with DATA, as is HAS_ROOM (NULL allowed). */
void belay__courier_init(struct belay__courier *courier, struct belay__loop *loop,
	const struct belay__message_rule *rules, size_t rule_count, void (*has_room)(void *data),
	void *data);
void belay__courier_done(struct belay__courier *courier);

/* Goes on with the channel FD (owned from now on), after the last one was read to its end. */
void belay__courier_take(struct belay__courier *courier, int fd);

/* Sends ACT, now or as soon as it is taken. 0, or -ENOBUFS: too much waits already. */
int belay__courier_send(struct belay__courier *courier, const struct belay__msg_act *act);
/* Sends RECORD now. 0, -ENOTCONN (there is no runner), or -EAGAIN (it does not read). */
int belay__courier_send_now(struct belay__courier *courier, uint32_t type, const void *record,
	uint32_t size);
/* Has HAS_ROOM called, once, when the channel takes something again. */
void belay__courier_call(struct belay__courier *courier);
