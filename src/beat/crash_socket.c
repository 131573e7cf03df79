#include "beat/crash_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/address.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/hot.h"
#include "beat/connection.h"
#include "ipc/socket_path.h"

/* The highest number in the table of descriptors that every process begins with; a longer table makes
 * the kernel look up what is in it more slowly. */
#define HIGH 63

/* Nobody asks the kernel, in the handler, whether this descriptor is still the socket that was made;
 * it would cost as much as the rest of what is done there. */
static BELAY__HOT void send_frame(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	const struct belay__connection *connection = data;
	(void)pid;
	(void)timestamp_ns;

	(void)send(connection->fd, frame, BELAY_FRAME_LEN, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Gives the socket a high number where the limit allows it. The kernel gives the lowest that is free: so
 * when a program closes what it does not know (closefrom(3)), this number is not soon that of a file of
 * its own, which a frame must not end up in. */
static void lift(struct belay__connection *connection)
{
	const int higher = fcntl(connection->fd, F_DUPFD_CLOEXEC, HIGH);

	if (higher < 0)
		return;
	(void)belay__close(connection->fd);
	connection->fd = higher;
}

static void close_connection(void *data)
{
	struct belay__connection *connection = data;

	belay__connection_close(connection);
	free(connection);
}

/* CONNECTION is this function's from now on. SOCKET is its path; NULL: it has none. */
static int install_over(struct belay__connection *connection, const char *socket,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr)
{
	struct belay_crash_transport transport = { .send = send_frame, .close = close_connection };
	int saved = errno, r;

	lift(connection);
	transport.data = malloc(sizeof(*connection));
	if (transport.data == NULL) {
		belay__connection_close(connection);
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_SOCKET, -ENOMEM,
			"no memory");
	}
	memcpy(transport.data, connection, sizeof(*connection));
	/* Bound now and not by the handler; there is no such descriptor. */
	(void)send(-EBADF, NULL, 0, MSG_NOSIGNAL | MSG_DONTWAIT);
	errno = saved;

	r = belay__crash_install(&transport, socket, options, ret_report, reterr);
	if (r < 0)
		close_connection(transport.data);
	return r;
}

static bool nobody_listens(int r)
{
	return r == -ENOENT || r == -ECONNREFUSED;
}

/* Connects to the first path that accepts it. Of several failures the first is told, or one that says
 * more than that nobody is there. */
static int connect_first(const struct belay__socket_candidates *paths, size_t *ret_which,
	struct belay__connection *ret_connection)
{
	int told = -EINVAL; /* $BELAY_SOCKET rules all of them out */

	for (size_t i = 0; i < paths->count; i++) {
		int r = belay__connection_open(paths->path[i], ret_connection);

		if (r == 0) {
			*ret_which = i;
			return 0;
		}
		if (i == 0 || (nobody_listens(told) && !nobody_listens(r))) {
			told = r;
			*ret_which = i;
		}
	}
	return told;
}

static int set_paths(struct belay__socket_candidates *paths, const char *path)
{
	if (path == NULL) {
		belay__socket_candidates(paths);
		return 0;
	}
	if (path[0] == '\0')
		return -EINVAL;
	if (strlen(path) >= BELAY__SOCKET_PATH_SIZE)
		return -ENAMETOOLONG;
	paths->count = 1;
	(void)stpcpy(paths->path[0], path);
	return 0;
}

int belay_crash_install_uds(const char *path, const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	struct belay__socket_candidates paths = { 0 };
	char what[BELAY__SOCKET_PATH_SIZE + 64];
	size_t which = 0;
	int r;

	r = belay__crash_check_options(options, ret_report, reterr);
	if (r < 0)
		return r;
	r = set_paths(&paths, path);
	if (r == 0)
		r = connect_first(&paths, &which, &connection);
	if (r == 0)
		return install_over(&connection, paths.path[which], options, ret_report, reterr);

	(void)snprintf(what, sizeof(what),
		nobody_listens(r) ? "no observer listens at %s (belay observe)" : "%s",
		paths.count > 0 ? paths.path[which] : "the path of the socket");
	return belay__crash_failed(ret_report, reterr, BELAY_CRASH_SOCKET, r, what);
}

int belay_crash_install_udp(const char *address, const struct belay_crash_options *options,
	struct belay_crash_report *ret_report, struct belay_error *reterr)
{
	struct belay__connection connection = BELAY__NO_CONNECTION;
	union belay__address parsed;
	int r;

	r = belay__crash_check_options(options, ret_report, reterr);
	if (r < 0)
		return r;
	r = address == NULL ? -EINVAL : belay__address_parse(address, &parsed);
	if (r == 0)
		r = belay__connection_open_to(&parsed.any, belay__address_len(&parsed), &connection);
	if (r < 0)
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_SOCKET, r,
			address == NULL ? "no address" : address);
	return install_over(&connection, NULL, options, ret_report, reterr);
}
