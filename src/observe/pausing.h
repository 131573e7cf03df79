/* pausing.h - the gate's part in pauses (pauses.h): they are told when they begin and end, and the
 * parent keeps them for the gate that comes next */
#pragma once

#include <stdint.h>

#include "loop/loop.h"
#include "observe/pauses.h"
#include "observe/roles.h"
#include "observe/teller.h"

struct belay__pausing {
	struct belay_observer *observer; /* NULL: not begun */
	struct belay__teller *teller;
	struct belay__timer timer;
	uint32_t early; /* came before it began */
	struct belay__msg_pause pauses[BELAY__PAUSES_MAX];
};

/* A pause that an earlier gate was asked for: kept until it begins. 0, or -EPROTO: too many. */
int belay__pausing_goes_on(struct belay__pausing *pausing, const struct belay__msg_pause *pause);

/* Begins on OBSERVER, telling by TELLER (both borrowed). */
void belay__pausing_begin(struct belay__pausing *pausing, struct belay_observer *observer,
	struct belay__teller *teller);

/* UID had PATTERN paused until UNTIL_REALTIME_NS, or (0) resumed: tells it. */
void belay__pausing_asked(struct belay__pausing *pausing, const char *pattern,
	uint64_t until_realtime_ns, uint32_t uid);
