#include "backend/handoff_stream_check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/missing.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static int get(int fd, int option, void *ret_value, socklen_t size)
{
	socklen_t len = size;

	if (getsockopt(fd, SOL_SOCKET, option, ret_value, &len) < 0)
		return -errno;
	return len == size ? 0 : -EPROTOTYPE;
}

static int get_int(int fd, int option)
{
	int value = 0;
	int r = get(fd, option, &value, sizeof(value));

	return r < 0 ? r : value;
}

int belay__handoff_self_read(int connection, struct belay__handoff_self *ret_self)
{
	struct belay__handoff_self self = { .name_len = sizeof(self.name) };
	int domain = get_int(connection, SO_DOMAIN), type = get_int(connection, SO_TYPE);
	int r;

	if (domain < 0)
		return domain;
	if (domain != AF_UNIX || type != SOCK_STREAM || get_int(connection, SO_ACCEPTCONN) != 0)
		return -EPROTOTYPE;
	r = get(connection, SO_COOKIE, &self.cookie, sizeof(self.cookie));
	if (r < 0)
		return r;
	if (getsockname(connection, (struct sockaddr *)&self.name, &self.name_len) < 0)
		return -errno;
	*ret_self = self;
	return 0;
}

static int refuse(const char *text, const char **ret_text)
{
	*ret_text = text;
	return -EACCES;
}

/* Whether ADDRESS is the endpoint's. A pair of sockets has no names. */
static bool leads_to_endpoint(const struct sockaddr_storage *address, socklen_t len,
	const struct belay__handoff_self *self)
{
	return len > offsetof(struct sockaddr_un, sun_path) && len == self->name_len &&
		memcmp(address, &self->name, len) == 0;
}

static bool is_taken(int family, bool allow_inet)
{
	return family == AF_UNIX || (allow_inet && (family == AF_INET || family == AF_INET6));
}

/* Why FD has no peer. */
static const char *why_unconnected(int fd, bool allow_inet)
{
	int domain = get_int(fd, SO_DOMAIN);

	if (domain < 0)
		return "handoff descriptor is no socket";
	if (!is_taken(domain, allow_inet))
		return "handoff descriptor is of a family that is not taken";
	if (get_int(fd, SO_TYPE) != SOCK_STREAM)
		return "handoff descriptor is no stream socket";
	if (get_int(fd, SO_ACCEPTCONN) != 0)
		return "handoff descriptor is a listening socket";
	return "handoff descriptor is not connected";
}

static int check_place(int fd, bool allow_inet, const struct belay__handoff_self *self,
	int *ret_family, const char **ret_text)
{
	static const char text[] = "handoff descriptor is a connection to the handoff endpoint";
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);
	uint64_t cookie = 0;

	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return refuse(why_unconnected(fd, allow_inet), ret_text);
	if (!is_taken(peer.ss_family, allow_inet))
		return refuse("handoff descriptor is of a family that is not taken", ret_text);
	if (get_int(fd, SO_TYPE) != SOCK_STREAM)
		return refuse("handoff descriptor is no stream socket", ret_text);
	if (leads_to_endpoint(&peer, len, self))
		return refuse(text, ret_text);
	/* Of a pair, which has no names, only the end that lies here is known again. The other
	 * one does no more than keep the connection open, which its owner can do anyway. */
	if (get(fd, SO_COOKIE, &cookie, sizeof(cookie)) < 0 || cookie == self->cookie)
		return refuse(text, ret_text);
	*ret_family = peer.ss_family;
	return 0;
}

static int read_client(int fd, int family, struct belay__handoff_client *ret_client,
	const char **ret_text)
{
	/* Who is at the other end of TCP, no kernel knows; 0 would be root. */
	struct belay__handoff_client client = { .is_unix = family == AF_UNIX,
		.owner = { .pid = 0, .uid = (uid_t)-1, .gid = (gid_t)-1 } };

	if (client.is_unix) {
		if (get(fd, SO_PEERCRED, &client.owner, sizeof(client.owner)) < 0)
			return refuse("handoff descriptor does not tell whose it is", ret_text);
	} else {
		int protocol = get_int(fd, SO_PROTOCOL);

		if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)
			return refuse("handoff descriptor is no TCP socket", ret_text);
	}
	*ret_client = client;
	return 0;
}

/* The seven of a Unix stream:
 *	1 getpeername()		a socket, of a family that is taken, connected, and not to the endpoint
 *	2 SO_TYPE		a stream; no listener, which would have no peer
 *	3 SO_COOKIE		not the very connection that it came over
 *	4 SO_PEERCRED		whose it is (TCP: SO_PROTOCOL instead)
 *	5 FIONBIO		and the rest in belay__handoff_stream_claim()
 *	6 SO_OOBINLINE		(Unix only)
 *	7 SO_PASSRIGHTS		(Unix only)
 */
int belay__handoff_stream_check(int fd, bool allow_inet, const struct belay__handoff_self *self,
	struct belay__handoff_client *ret_client, const char **ret_text)
{
	int family = AF_UNSPEC;
	int r = check_place(fd, allow_inet, self, &family, ret_text);

	return r < 0 ? r : read_client(fd, family, ret_client, ret_text);
}

int belay__handoff_stream_claim(int fd, const struct belay__handoff_client *client, bool passes_fds,
	const char **ret_text)
{
	int on = 1, off = 0;

	/* O_NONBLOCK alone, whatever other flags there are: they are shared with the sender's copy,
	 * and with the client's program if it dup()ed. */
	if (ioctl(fd, FIONBIO, &on) < 0)
		return refuse("handoff descriptor cannot be made non-blocking", ret_text);
	if (!client->is_unix)
		return 0;
	/* An urgent byte would be dropped within recvmsg(2), with what is attached to it. Kernels
	 * before 5.15 have none here, and those before 6.16 cannot keep descriptors out. */
	(void)setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	if (!passes_fds)
		(void)setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off));
	return 0;
}
