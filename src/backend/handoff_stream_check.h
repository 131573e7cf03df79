/* handoff_stream_check.h - whether a descriptor that came is what may be handed over
 *
 * That is one connected stream socket, Unix or, where allowed, TCP, and no connection to the hand-over
 * endpoint itself: who adopted that would wait for a sender that it keeps alive.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* The hand-over connection that it came over. */
struct belay__handoff_self {
	uint64_t cookie;
	struct sockaddr_un name; /* of the endpoint */
	socklen_t name_len;
};

/* 0, or a negative errno: CONNECTION is no connected Unix stream (-EPROTOTYPE, -ENOTSOCK ...). */
int belay__handoff_self_read(int connection, struct belay__handoff_self *ret_self);

/* Checks FD and makes it non-blocking, in at most seven system calls. 0 and *ret_client, who
 * SO_PEERCRED names (all 0 for TCP); or -EACCES and *ret_text, a static string for the sender. */
int belay__handoff_stream_check(int fd, bool allow_inet, const struct belay__handoff_self *self,
	struct ucred *ret_client, const char **ret_text);
