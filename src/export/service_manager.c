#include "export/service_manager.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"

/* A socket connected to the one called NAME: a path, or '@' and a name without one. Negative errno
 * on failure. */
static int connect_to(const char *name)
{
	_cleanup_close_ int fd = -EBADF;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	if ((name[0] != '/' && name[0] != '@') || len < 2)
		return -EINVAL;
	/* A path ends with NUL; an abstract name is as long as it is said to be. */
	if (len + (name[0] == '/') > sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, name, len);
	if (name[0] == '@')
		address.sun_path[0] = '\0';
	else
		len++;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		return -errno;
	return TAKE_FD(fd);
}

/* How often the manager wants to hear of us, or 0 when it does not, or means another process. */
static uint64_t read_watchdog(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	uint64_t value;

	if (usec == NULL || belay__parse_u64(usec, 1, UINT64_MAX / BELAY__NS_PER_US, &value) < 0)
		return 0;
	if (pid != NULL) {
		uint64_t meant;

		if (belay__parse_u64(pid, 1, INT32_MAX, &meant) < 0 || meant != (uint64_t)getpid())
			return 0;
	}
	return value * BELAY__NS_PER_US;
}

void belay__service_manager_init(struct belay__service_manager *manager)
{
	const char *name = getenv("NOTIFY_SOCKET");

	*manager = (struct belay__service_manager){ .fd = -EBADF };
	if (name != NULL)
		manager->fd = connect_to(name);
	if (manager->fd >= 0)
		manager->watchdog_ns = read_watchdog();
	else
		manager->fd = -EBADF;

	/* What we start is not who was asked. */
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

void belay__service_manager_done(struct belay__service_manager *manager)
{
	manager->fd = belay__close(manager->fd);
	manager->watchdog_ns = 0;
}

int belay__service_manager_tell(const struct belay__service_manager *manager, const char *state)
{
	ssize_t n;

	if (manager->fd < 0)
		return 0;
	do
		n = send(manager->fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);

	if (n >= 0 || errno == ECONNREFUSED || errno == ECONNRESET || errno == ENOTCONN)
		return 0;
	return -errno;
}
