#include "ipc/udp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/hot.h"
#include "ipc/socket_options.h"

struct belay__udp_receiver {
	unsigned used; /* headers that the last call wrote to, and the next must reset */
	struct mmsghdr headers[BELAY__UDP_BATCH];
	struct iovec parts[BELAY__UDP_BATCH];
	struct belay__udp_datagram datagrams[BELAY__UDP_BATCH];
};

static const char *advice_for(int code)
{
	switch (code) {
	case -EADDRINUSE:
		return "another program has that port; stop it or choose another port";
	case -EADDRNOTAVAIL:
		return "no interface here has that address; choose one that `ip address` lists";
	case -EACCES:
		return "ports below 1024 are for privileged programs; choose another port";
	case -EAFNOSUPPORT:
		return "this kernel does not have that kind of address; choose the other kind";
	default:
		return "choose another address";
	}
}

static int fail_at(const union belay__address *address, int code, struct belay_error *reterr)
{
	char text[BELAY__ADDRESS_SIZE];

	belay__address_text(address, text);
	return belay__fail(reterr, code, "cannot receive UDP at %s: %s: %s", text, strerror(-code),
		advice_for(code));
}

static int bind_to(int fd, const union belay__address *address)
{
	const int off = 0;

	if (address->any.sa_family == AF_INET6 &&
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
		return -errno;
	return bind(fd, &address->any, belay__address_len(address)) < 0 ? -errno : 0;
}

int belay__udp_bind(const union belay__address *address, uint32_t rcvbuf_bytes,
	union belay__address *ret_bound, struct belay_error *reterr)
{
	const int type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	_cleanup_close_ int fd = socket(address->any.sa_family, type, 0);
	union belay__address bound;
	socklen_t len = sizeof(bound);
	int r;

	if (fd < 0)
		return fail_at(address, -errno, reterr);
	(void)belay__socket_set_rcvbuf(fd, rcvbuf_bytes);
	r = bind_to(fd, address);
	if (r < 0)
		return fail_at(address, r, reterr);

	memset(&bound, 0, sizeof(bound));
	if (getsockname(fd, &bound.any, &len) < 0)
		return fail_at(address, -errno, reterr);
	*ret_bound = bound;
	return TAKE_FD(fd);
}

int belay__udp_receiver_new(struct belay__udp_receiver **ret_receiver)
{
	struct belay__udp_receiver *receiver = calloc(1, sizeof(*receiver));

	if (receiver == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < BELAY__UDP_BATCH; i++) {
		receiver->parts[i].iov_base = receiver->datagrams[i].bytes;
		receiver->parts[i].iov_len = sizeof(receiver->datagrams[i].bytes);
		receiver->headers[i].msg_hdr = (struct msghdr){
			.msg_name = &receiver->datagrams[i].from,
			.msg_iov = &receiver->parts[i],
			.msg_iovlen = 1,
		};
	}
	receiver->used = BELAY__UDP_BATCH;
	*ret_receiver = receiver;
	return 0;
}

struct belay__udp_receiver *belay__udp_receiver_free(struct belay__udp_receiver *receiver)
{
	free(receiver);
	return NULL;
}

BELAY__HOT int belay__udp_receive(struct belay__udp_receiver *receiver, int fd, unsigned max,
	const struct belay__udp_datagram **ret_datagrams)
{
	int count;

	assert(max > 0 && max <= BELAY__UDP_BATCH);
	for (unsigned i = 0; i < receiver->used; i++)
		receiver->headers[i].msg_hdr.msg_namelen = sizeof(union belay__address);

	do
		count = recvmmsg(fd, receiver->headers, max, MSG_DONTWAIT, NULL);
	while (count < 0 && (errno == EINTR || errno == ECONNREFUSED));
	receiver->used = count < 0 ? 0 : (unsigned)count;
	if (count < 0)
		return errno == EAGAIN ? 0 : -errno;

	for (int i = 0; i < count; i++)
		receiver->datagrams[i].len = receiver->headers[i].msg_len;
	*ret_datagrams = receiver->datagrams;
	return count;
}
