/* original.h - the original's event file (export/tsv_events.h), written by the gate
 *
 * The parent opens the file and moves its generations; the gate has the descriptor only, and asks for
 * the next one when the file is full. What is buffered is written once a second at the latest.
 */
#pragma once

#include <stdbool.h>

#include <belay/observer.h>

#include "export/tsv_events.h"
#include "loop/loop.h"

struct belay__original {
	bool open;
	uint64_t rotation_asked_ns; /* 0: not asked */
	uint64_t rotation_again_ns; /* a rotation that was asked for is asked for again after it */
	struct belay__loop *loop;
	struct belay__timer flush;
	struct belay__tsv_events file;
};

/* Writes into FD, owned from now on (-EBADF: no file is kept). 0, or a negative errno with a
 * sentence and nothing open. */
int belay__original_init_take(struct belay__original *original, struct belay__loop *loop, int fd,
	const struct belay__tsv_options *options, struct belay_error *reterr);
void belay__original_done(struct belay__original *original);

/* Notes EVENT, when the original has such events. */
void belay__original_tell(struct belay__original *original, const struct belay_event *event);
/* Whether the file is full, and nobody was asked for the next one in the last minute: whoever failed
 * to make it is asked again. */
bool belay__original_wants_rotation(struct belay__original *original);
/* Goes on in FD, owned from now on, as soon as the old file took what is buffered; until then no
 * other is wanted. */
void belay__original_switch_take(struct belay__original *original, int fd);
