/* handoff_stream_check.h - whether a descriptor that came is what may be handed over
 *
 * That is one connected stream socket, Unix or, where allowed, TCP, and no connection to the
 * hand-over endpoint itself: who adopted that would wait for a sender that it keeps alive.
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

/* What was passed over it. */
struct belay__handoff_client {
	bool is_unix;
	struct ucred owner; /* whom SO_PEERCRED names; pid 0, uid and gid -1 for TCP */
};

/* 0, or a negative errno: CONNECTION is no connected Unix stream (-EPROTOTYPE, -ENOTSOCK ...). */
int belay__handoff_self_read(int connection, struct belay__handoff_self *ret_self);

/* Checks FD and changes nothing about it: who is refused keeps his client as it is. Four system
 * calls if all is well. 0 and *ret_client; or -EACCES and *ret_text, a static string for the
 * sender. */
int belay__handoff_stream_check(int fd, bool allow_inet, const struct belay__handoff_self *self,
	struct belay__handoff_client *ret_client, const char **ret_text);

/* Makes FD, CLIENT's, which will be adopted, non-blocking, and such that nothing is lost in reading
 * it that could hold a reader up: urgent bytes stay where they are, and, unless it PASSES_FDS, no
 * more descriptors come where the kernel can refuse them. 0, or as above. */
int belay__handoff_stream_claim(int fd, const struct belay__handoff_client *client, bool passes_fds,
	const char **ret_text);
