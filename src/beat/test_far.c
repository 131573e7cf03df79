#include "beat/test_far.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/fd.h"

union any_address {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

static bool listen_at(struct test_far *far, uint16_t port)
{
	union any_address address = { .any.sa_family = (sa_family_t)far->family };
	socklen_t len = sizeof(address.in6);

	if (far->family == AF_INET) {
		len = sizeof(address.in);
		address.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address.in.sin_port = htons(port);
	} else {
		address.in6.sin6_addr = in6addr_loopback;
		address.in6.sin6_port = htons(port);
	}
	far->fd = socket(far->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (far->fd < 0 || bind(far->fd, &address.any, len) < 0)
		return false;
	assert_int_equal(getsockname(far->fd, &address.any, &len), 0);
	far->port = ntohs(far->family == AF_INET ? address.in.sin_port : address.in6.sin6_port);
	return true;
}

bool test_far_init(struct test_far *far, int family)
{
	*far = (struct test_far){ .fd = -EBADF, .family = family };
	if (!listen_at(far, 0)) {
		test_far_leave(far);
		return false;
	}
	(void)snprintf(far->address, sizeof(far->address), "%s:%u",
		family == AF_INET ? "127.0.0.1" : "[::1]", (unsigned)far->port);
	return true;
}

void test_far_leave(struct test_far *far)
{
	far->fd = belay__close(far->fd);
}

void test_far_return(struct test_far *far)
{
	assert_true(listen_at(far, far->port));
}

void test_far_done(struct test_far *far)
{
	test_far_leave(far);
}

ssize_t test_far_take(const struct test_far *far, uint8_t *bytes, size_t size)
{
	ssize_t n = recv(far->fd, bytes, size, MSG_DONTWAIT);

	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	return n;
}

unsigned test_far_drain(const struct test_far *far)
{
	uint8_t bytes[128];
	unsigned count = 0;

	while (test_far_take(far, bytes, sizeof(bytes)) >= 0)
		count++;
	return count;
}
