/* service_manager.h - what a service manager is told (sd_notify's protocol: one datagram to
 * $NOTIFY_SOCKET) */
#pragma once

#include <stdint.h>

struct belay__service_manager {
	int fd;               /* connected to $NOTIFY_SOCKET; -EBADF: nobody asked */
	uint64_t watchdog_ns; /* how often WATCHDOG=1 is expected; 0: not */
};

/* Reads NOTIFY_SOCKET (a path or @abstract), WATCHDOG_USEC and WATCHDOG_PID, and removes them from
 * the environment. Never fails: without a usable socket every call below does nothing. */
void belay__service_manager_init(struct belay__service_manager *manager);
void belay__service_manager_done(struct belay__service_manager *manager);

/* Sends STATE ("READY=1\nSTATUS=...") without blocking. 0, or a negative errno (nobody listens is
 * 0). */
int belay__service_manager_tell(const struct belay__service_manager *manager, const char *state);
