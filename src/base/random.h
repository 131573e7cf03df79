/* random.h - bytes that nobody can guess */
#pragma once

#include <stddef.h>

/* Fills LEN BYTES from getrandom(2), which waits until the system has any at all: once, early at boot. 0 or
 * a negative errno; then BYTES may be half filled. */
int belay__random(void *bytes, size_t len);
