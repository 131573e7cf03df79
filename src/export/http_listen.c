#include "export/http_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"

#define BACKLOG 128

union address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static socklen_t size_of(const union address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->in) : sizeof(address->in6);
}

/* Reads HOST, an IP address without brackets. */
static bool parse_host(const char *host, bool in_brackets, uint16_t port, union address *ret_address)
{
	union address address;

	memset(&address, 0, sizeof(address));
	if (in_brackets) {
		address.in6.sin6_family = AF_INET6;
		address.in6.sin6_port = htons(port);
		if (inet_pton(AF_INET6, host, &address.in6.sin6_addr) != 1)
			return false;
	} else {
		address.in.sin_family = AF_INET;
		address.in.sin_port = htons(port);
		if (inet_pton(AF_INET, host, &address.in.sin_addr) != 1)
			return false;
	}
	*ret_address = address;
	return true;
}

static bool parse(const char *text, union address *ret_address)
{
	const char *colon = strrchr(text, ':');
	bool in_brackets = text[0] == '[';
	char host[INET6_ADDRSTRLEN + 2];
	size_t len = colon == NULL ? 0 : (size_t)(colon - text);
	uint64_t port;

	if (len == 0 || len >= sizeof(host) || belay__parse_u64(colon + 1, 0, 65535, &port) < 0)
		return false;
	if (in_brackets && (len < 2 || text[len - 1] != ']'))
		return false;

	if (in_brackets)
		len -= 2;
	memcpy(host, text + in_brackets, len);
	host[len] = '\0';
	return parse_host(host, in_brackets, (uint16_t)port, ret_address);
}

static bool is_loopback(const union address *address)
{
	const struct in6_addr *ip = &address->in6.sin6_addr;

	if (address->any.sa_family == AF_INET)
		return ntohl(address->in.sin_addr.s_addr) >> 24 == 127;
	if (IN6_IS_ADDR_V4MAPPED(ip))
		return ip->s6_addr[12] == 127;
	return IN6_IS_ADDR_LOOPBACK(ip);
}

static int open_socket(const union address *address)
{
	_cleanup_close_ int fd = socket(address->any.sa_family,
		SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
	const int on = 1, off = 0;

	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	/* Whatever net.ipv6.bindv6only says, an address means the same on every host. */
	if (address->any.sa_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return -errno;
	if (bind(fd, &address->any, size_of(address)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int write_bound(int fd, char *ret_bound)
{
	union address address;
	socklen_t size = sizeof(address);
	char host[INET6_ADDRSTRLEN];

	memset(&address, 0, sizeof(address));
	if (getsockname(fd, &address.any, &size) < 0)
		return -errno;
	if (address.any.sa_family == AF_INET) {
		if (inet_ntop(AF_INET, &address.in.sin_addr, host, sizeof(host)) == NULL)
			return -errno;
		(void)snprintf(ret_bound, BELAY__HTTP_BOUND_SIZE, "%s:%u", host,
			(unsigned)ntohs(address.in.sin_port));
		return 0;
	}
	if (inet_ntop(AF_INET6, &address.in6.sin6_addr, host, sizeof(host)) == NULL)
		return -errno;
	(void)snprintf(ret_bound, BELAY__HTTP_BOUND_SIZE, "[%s]:%u", host,
		(unsigned)ntohs(address.in6.sin6_port));
	return 0;
}

int belay__http_listen(const char *address, bool has_token,
	char ret_bound[static BELAY__HTTP_BOUND_SIZE], struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	union address parsed;
	int r;

	if (!parse(address, &parsed))
		return belay__fail(reterr, -EINVAL,
			"\"%s\" is no address for metrics; write 127.0.0.1:PORT or [::1]:PORT",
			address);
	if (!has_token && !is_loopback(&parsed))
		return belay__fail(reterr, -EPERM,
			"metrics at %s would be open to everybody; give a token file, or "
			"listen at 127.0.0.1",
			address);

	fd = open_socket(&parsed);
	if (fd < 0)
		return belay__fail(reterr, fd, "cannot listen at %s for metrics: %s", address,
			strerror(-fd));
	r = write_bound(fd, ret_bound);
	if (r < 0)
		return belay__fail(reterr, r, "cannot read the address of the metrics: %s",
			strerror(-r));
	return TAKE_FD(fd);
}
