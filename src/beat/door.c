#include "beat/door.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "ipc/socket_path.h"
#include "wire/hello.h"

static int connect_to_door(int fd, const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	/* An observer whose path leaves no room for the door's name has none. */
	if (belay__socket_sibling(socket_path, BELAY__HELLO_SUFFIX, address.sun_path) < 0)
		return -ENOTSUP;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	switch (errno) {
	case ENOENT:
	case ECONNREFUSED:
	case EPROTOTYPE:
		return -ENOTSUP;
	default:
		return -errno;
	}
}

/* The packet stays with the observer when the socket is closed; the kernel vouches for its
 * sender. */
static int say(const char *socket_path, const struct belay__hello *hello)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int r;

	if (fd < 0)
		return -errno;
	r = connect_to_door(fd, socket_path);
	if (r < 0)
		return r;
	return send(fd, hello, sizeof(*hello), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}

int belay__door_within(const char *socket_path, uint64_t nonce, uint64_t within_ms)
{
	const struct belay__hello hello = {
		.magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_WITHIN,
		.nonce = nonce,
		.value = within_ms,
	};

	return say(socket_path, &hello);
}

int belay__door_goodbye(const char *socket_path, uint64_t nonce)
{
	const struct belay__hello hello = {
		.magic = BELAY__HELLO_MAGIC,
		.version = BELAY__HELLO_VERSION,
		.type = BELAY__HELLO_GOODBYE,
		.nonce = nonce,
	};

	return say(socket_path, &hello);
}
