/* door.h - telling the observer what is not a beat, through `<socket>.hello`, without waiting for
 * anything */
#pragma once

#include <stdint.h>

/* The next silence after beat NONCE may last WITHIN_MS. 0, -ENOTSUP when the observer at
 * SOCKET_PATH has no door, or another negative errno (-EAGAIN: too many are waiting at it). */
int belay__door_within(const char *socket_path, uint64_t nonce, uint64_t within_ms);

/* This process stops beating on purpose; beat NONCE, which may arrive later than this, was its
 * last. Returns the same. */
int belay__door_goodbye(const char *socket_path, uint64_t nonce);
