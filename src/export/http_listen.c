#include "export/http_listen.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/error.h"
#include "base/fd.h"

#define BACKLOG 128

static int open_socket(const union belay__address *address)
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
	if (bind(fd, &address->any, belay__address_len(address)) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return TAKE_FD(fd);
}

static int write_bound(int fd, char *ret_bound)
{
	union belay__address address;
	socklen_t size = sizeof(address);

	memset(&address, 0, sizeof(address));
	if (getsockname(fd, &address.any, &size) < 0)
		return -errno;
	belay__address_text(&address, ret_bound);
	return 0;
}

int belay__http_listen(const char *address, bool has_token,
	char ret_bound[static BELAY__HTTP_BOUND_SIZE], struct belay_error *reterr)
{
	_cleanup_close_ int fd = -EBADF;
	union belay__address parsed;
	int r;

	if (belay__address_parse(address, &parsed) < 0)
		return belay__fail(reterr, -EINVAL,
			"\"%s\" is no address for metrics; write 127.0.0.1:PORT or [::1]:PORT",
			address);
	if (!has_token && !belay__address_is_loopback(&parsed))
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
