/* transport.h - handles, where they lead, and getting a new connection there */
#pragma once

#include <stdint.h>

#include "beat/beat_internal.h"

/* A new handle that SET_UP fills in for WHERE; or NULL with errno set to what SET_UP returned, a
 * negative errno. */
struct belay *belay__handle_new(int (*set_up)(struct belay *belay, const void *where),
	const void *where);

/* What every handle begins with, whichever way it leads. 0, -ENOMEM or -EAGAIN. */
int belay__handle_begin(struct belay *belay, enum belay__way way);

/* Replaces BELAY's connection by a new one (with paths: to the first that accepts it); on failure
 * the old one stays. 0 or a negative errno. */
int belay__connect_anew(struct belay *belay, uint64_t now_ns);
