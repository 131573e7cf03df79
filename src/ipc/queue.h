/* queue.h - how many datagrams the kernel lets a Unix socket hold, raised while a socket is made
 *
 * net.unix.max_dgram_qlen is copied into a socket at its creation and never looked at again.
 */
#pragma once

#include <stdbool.h>

struct belay__queue_limit {
	bool raised;
	bool refused;    /* more was wanted and is not permitted */
	char before[16]; /* what belay__queue_limit_restore() writes back */
};

/* Raises the limit of this network namespace to LENGTH, if it is lower. LENGTH 0 leaves it
 * alone. */
void belay__queue_limit_raise(unsigned length, struct belay__queue_limit *ret_limit);

void belay__queue_limit_restore(const struct belay__queue_limit *limit);
