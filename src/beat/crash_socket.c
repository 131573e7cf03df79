#include "beat/crash_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/address.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/hot.h"
#include "beat/connection.h"
#include "beat/socket_paths.h"

/* The highest number in the table of descriptors that every process begins with; a longer table makes
 * the kernel look up what is in it more slowly. */
#define HIGH 63

struct way {
	struct belay__connection connection;
	uint64_t cookie; /* the kernel's number for the socket; 0: it gives none */
	bool by_path;
	struct sockaddr_un path;
};

/* Handler: whether the descriptor is still the socket that was made. Closed by a program that did not
 * know it, its number may have become a connection to somebody else. Of what tells one socket from
 * another its cookie is asked for most quickly; where a filter or the kernel refuses that, fstat(2)
 * tells. */
static BELAY__HOT bool is_ours(const struct way *way)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	if (way->cookie != 0 &&
		getsockopt(way->connection.fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) == 0)
		return cookie == way->cookie;
	return belay__connection_is_ours(&way->connection);
}

/* Handler: whether what failed with ERROR is worth a second try. Over UDP a refusal is that of a frame
 * before, perhaps of another process that has this socket too, told now instead of sending. At a path
 * another observer may be by now. */
static bool may_try_again(const struct way *way, int error)
{
	if (!way->by_path)
		return error == ECONNREFUSED;
	return (error == ECONNREFUSED || error == ENOTCONN || error == EPIPE) &&
		connect(way->connection.fd, (const struct sockaddr *)&way->path,
			sizeof(way->path)) == 0;
}

static BELAY__HOT bool send_once(const struct way *way, const uint8_t frame[BELAY_FRAME_LEN])
{
	return send(way->connection.fd, frame, BELAY_FRAME_LEN, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

static BELAY__HOT void send_frame(void *data, const uint8_t frame[BELAY_FRAME_LEN], uint32_t pid,
	uint64_t timestamp_ns)
{
	const struct way *way = data;
	(void)pid;
	(void)timestamp_ns;

	if (is_ours(way) && !send_once(way, frame) && may_try_again(way, errno))
		(void)send_once(way, frame);
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

static void close_way(void *data)
{
	struct way *way = data;

	belay__connection_close(&way->connection);
	free(way);
}

static void remember_cookie(struct way *way)
{
	socklen_t len = sizeof(way->cookie);

	if (getsockopt(way->connection.fd, SOL_SOCKET, SO_COOKIE, &way->cookie, &len) < 0)
		way->cookie = 0;
}

static void remember_path(struct way *way, const char *socket)
{
	way->by_path = true;
	way->path.sun_family = AF_UNIX;
	(void)stpcpy(way->path.sun_path, socket);
}

/* CONNECTION is this function's from now on. SOCKET is its path; NULL: it has none. */
static int install_over(struct belay__connection *connection, const char *socket,
	const struct belay_crash_options *options, struct belay_crash_report *ret_report,
	struct belay_error *reterr)
{
	struct belay_crash_transport transport = { .send = send_frame, .close = close_way };
	struct way *way = calloc(1, sizeof(*way));
	int saved = errno, r;

	if (way == NULL) {
		belay__connection_close(connection);
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_SOCKET, -ENOMEM,
			"no memory");
	}
	lift(connection);
	way->connection = *connection;
	remember_cookie(way);
	if (socket != NULL)
		remember_path(way, socket);
	/* Bound now and not by the handler; there is no such descriptor. */
	(void)send(-EBADF, NULL, 0, MSG_NOSIGNAL | MSG_DONTWAIT);
	errno = saved;

	transport.data = way;
	r = belay__crash_install(&transport, socket, options, ret_report, reterr);
	if (r < 0)
		close_way(way);
	return r;
}

/* Connects to the first path that accepts it. Of several failures the first is told, or one that says
 * more than that nobody is there. */
static int connect_first(const struct belay__socket_candidates *paths, size_t *ret_which,
	struct belay__connection *ret_connection)
{
	int told = -ENOENT;

	for (size_t i = 0; i < paths->count; i++) {
		int r = belay__connection_open(paths->path[i], ret_connection);

		if (r == 0) {
			*ret_which = i;
			return 0;
		}
		if (i == 0 || (belay__nobody_listens(told) && !belay__nobody_listens(r))) {
			told = r;
			*ret_which = i;
		}
	}
	return told;
}

/* What to say of R, at the path that it is about, if any. */
static void describe(char *what, size_t size, int r, const char *asked_for, const char *path)
{
	if (path != NULL)
		(void)snprintf(what, size,
			belay__nobody_listens(r) ? "no observer listens at %s (belay observe)"
						 : "%s",
			path);
	else if (asked_for == NULL)
		(void)snprintf(what, size,
			"$BELAY_SOCKET must be an absolute path of at most %d "
			"bytes",
			BELAY__SOCKET_PATH_SIZE - 1);
	else
		(void)snprintf(what, size, "the path of the socket must have 1 to %d bytes",
			BELAY__SOCKET_PATH_SIZE - 1);
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
	r = belay__socket_paths_set(&paths, path);
	if (r == 0)
		r = connect_first(&paths, &which, &connection);
	if (r == 0)
		return install_over(&connection, paths.path[which], options, ret_report, reterr);

	describe(what, sizeof(what), r, path, paths.count > 0 ? paths.path[which] : NULL);
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
	r = address == NULL ? -EINVAL : belay__address_parse_peer(address, &parsed);
	if (r == 0)
		r = belay__connection_open_to(&parsed.any, belay__address_len(&parsed), &connection);
	if (r < 0)
		return belay__crash_failed(ret_report, reterr, BELAY_CRASH_SOCKET, r,
			address == NULL ? "no address" : address);
	return install_over(&connection, NULL, options, ret_report, reterr);
}
