/* courier.h - the gate's way to the runner: a channel that may be gone or full for a while
 *
 * What must arrive waits in a ring of BELAY__COURIER_MAX messages, in order, until the channel takes
 * it; what is only good now is sent now or not at all.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "ipc/channel.h"
#include "loop/loop.h"
#include "observe/roles.h"

#define BELAY__COURIER_MAX 512

struct belay__parcel {
	uint32_t type, size;
	union {
		struct belay__msg_act act;
		struct belay__msg_alert alert;
	} record;
};

struct belay__courier {
	struct belay__loop *loop;
	const struct belay__message_rule *rules; /* of what comes back */
	size_t rule_count;
	void *data; /* their handlers' */
	int fd;     /* -EBADF: there is no runner just now */
	struct belay__io io;
	uint32_t head, count;
	struct belay__parcel parcels[BELAY__COURIER_MAX];
};

/* RULES are borrowed and called with DATA. */
void belay__courier_init(struct belay__courier *courier, struct belay__loop *loop,
	const struct belay__message_rule *rules, size_t rule_count, void *data);
void belay__courier_done(struct belay__courier *courier);

/* Goes on with the channel FD (owned from now on). */
void belay__courier_take(struct belay__courier *courier, int fd);

/* Sends RECORD (an act or an alert), now or as soon as it is taken. 0, or -ENOBUFS: too much waits
 * already. */
int belay__courier_send(struct belay__courier *courier, uint32_t type, const void *record,
	uint32_t size);
/* Sends RECORD now. 0, -ENOTCONN (there is no runner), or -EAGAIN (it does not read). */
int belay__courier_send_now(struct belay__courier *courier, uint32_t type, const void *record,
	uint32_t size);
