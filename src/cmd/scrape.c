#include "cmd/scrape.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/text.h"
#include "ipc/frame_stream.h"

#define FIRST_SIZE ((size_t)64 << 10)
/* A body in tiny chunks is refused for what it costs, not only for what it says. */
#define BYTES_MAX (BELAY__HTTP_REPLY_BODY_MAX + ((size_t)1 << 20))

#define REQUEST(accept_)                                                                           \
	"GET /metrics HTTP/1.1\r\nHost: localhost\r\nUser-Agent: belay/" BELAY_VERSION             \
	"\r\nAccept: " accept_ "\r\nConnection: close\r\n\r\n"

static int connect_exporter(const char *socket_path, uint64_t deadline_ns)
{
	char path[BELAY__SOCKET_PATH_SIZE];
	int r = belay__socket_sibling(socket_path, BELAY__METRICS_SUFFIX, path);

	return r < 0 ? r : belay__stream_connect(path, deadline_ns);
}

static bool is_forbidden(int code)
{
	return code == -EACCES || code == -EPERM;
}

static const char *reason(int code)
{
	switch (code) {
	case -ENOENT:
		return "no such file";
	case -ECONNREFUSED:
		return "nobody listens";
	case -EPROTOTYPE:
		return "another kind of socket";
	default:
		return strerror(-code);
	}
}

static int complain_of_nobody(int code, const char *tried, struct belay_error *reterr)
{
	if (is_forbidden(code))
		return belay__fail(reterr, code,
			"metrics at %s are not for this user; ask as the observer's user", tried);
	return belay__fail(reterr, code,
		"nobody serves metrics at %s; is an observer there: belay status; does it serve "
		"them: belay config show",
		tried);
}

/* Which failure counts when several paths were tried: a prohibition, then the first that says more
 * than that there is no file. */
static bool says_more(int code, int before)
{
	if (before == 0 || is_forbidden(before))
		return before == 0;
	return is_forbidden(code) || (before == -ENOENT && code != -ENOENT);
}

/* Connects to the first path that lets us. The fd or a negative errno with a sentence. */
static int open_first(struct belay__scrape *scrape,
	const struct belay__socket_candidates *candidates, uint64_t deadline_ns,
	struct belay_error *reterr)
{
	char buffer[320];
	struct belay__text tried;
	int code = 0;

	belay__text_init(&tried, buffer, sizeof(buffer));
	for (size_t i = 0; i < candidates->count; i++) {
		const char *path = candidates->path[i];
		int fd = connect_exporter(path, deadline_ns);

		if (fd >= 0) {
			(void)belay__socket_sibling(path, BELAY__METRICS_SUFFIX, scrape->path);
			return fd;
		}
		if (says_more(fd, code))
			code = fd;
		belay__text_addf(&tried, "%s%s" BELAY__METRICS_SUFFIX " (%s)", i > 0 ? ", " : "",
			path, reason(fd));
	}
	return complain_of_nobody(code, buffer, reterr);
}

static int open_exporter(struct belay__scrape *scrape, const char *socket, uint64_t deadline_ns,
	struct belay_error *reterr)
{
	struct belay__socket_candidates candidates = { .count = 1 };
	size_t len = strlen(socket);

	if (len == 0) {
		belay__socket_candidates(&candidates);
	} else if (len < sizeof(candidates.path[0])) {
		memcpy(candidates.path[0], socket, len + 1);
	} else {
		candidates.count = 0;
	}
	if (candidates.count == 0)
		return belay__fail(reterr, -EINVAL,
			"%s is relative or too long; give an absolute path of at most %d bytes",
			len == 0 ? "BELAY_SOCKET" : "the socket's path", BELAY__SOCKET_PATH_MAX);
	return open_first(scrape, &candidates, deadline_ns, reterr);
}

/* A fresh connection has room for a request. Who has hung up already may have said why. */
static int send_request(int fd, bool openmetrics)
{
	static const char text[] = REQUEST("text/plain;version=0.0.4"),
			  open[] = REQUEST("application/openmetrics-text;version=1.0.0");
	const char *request = openmetrics ? open : text;
	size_t len = strlen(request);
	ssize_t n = send(fd, request, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return errno == EPIPE || errno == ECONNRESET ? 0 : -errno;
	return (size_t)n == len ? 0 : -EAGAIN;
}

static int wait_readable(int fd, uint64_t deadline_ns)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };

	for (;;) {
		uint64_t now_ns = belay__clock_ns(CLOCK_MONOTONIC);
		struct timespec left;
		int n;

		/* Also for a server that never stops talking. */
		if (now_ns >= deadline_ns)
			return -ETIMEDOUT;
		left = belay__timespec(deadline_ns - now_ns);
		n = ppoll(&readable, 1, &left, NULL);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
	}
}

/* Makes room for more bytes. 0, -ENOMEM, or -EPROTO when there are too many. */
static int grow(struct belay__scrape *scrape)
{
	size_t size = scrape->size == 0 ? FIRST_SIZE : 2 * scrape->size;
	char *bytes;

	if (scrape->len < scrape->size)
		return 0;
	if (scrape->size >= BYTES_MAX)
		return -EPROTO;
	size = size < BYTES_MAX ? size : BYTES_MAX;
	bytes = realloc(scrape->bytes, size);
	if (bytes == NULL)
		return -ENOMEM;
	scrape->bytes = bytes;
	scrape->size = size;
	return 0;
}

/* Receives all until the server hangs up. */
static int receive_all(struct belay__scrape *scrape, int fd, uint64_t deadline_ns)
{
	for (;;) {
		ssize_t n;
		int r = grow(scrape);

		if (r >= 0)
			r = wait_readable(fd, deadline_ns);
		if (r < 0)
			return r;
		n = recv(fd, scrape->bytes + scrape->len, scrape->size - scrape->len, MSG_DONTWAIT);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0 && errno != ECONNRESET)
			return -errno;
		if (n <= 0)
			return 0;
		scrape->len += (size_t)n;
	}
}

/* A sentence for what was received and is no page of metrics. */
static int refuse_answer(const struct belay__scrape *scrape, int code, struct belay_error *reterr)
{
	unsigned status = scrape->reply.status;

	if (scrape->len == 0 || code == -ENODATA)
		return belay__fail(reterr, -ECONNRESET,
			"the exporter at %s hung up before its answer was complete; ask again",
			scrape->path);
	if (code < 0)
		return belay__fail(reterr, -EPROTO,
			"what answers at %s is no exporter: its answer cannot be understood",
			scrape->path);
	if (status == 429 || status == 503)
		return belay__fail(reterr, -EAGAIN,
			"the exporter at %s has nothing to show yet; ask again in a second",
			scrape->path);
	if (status == 401 || status == 403)
		return belay__fail(reterr, -EACCES,
			"the exporter at %s does not allow it; ask as the observer's user",
			scrape->path);
	return belay__fail(reterr, -EPROTO,
		"what answers at %s is no exporter: it says %u to GET /metrics", scrape->path,
		status);
}

static int complain_of_receiving(const struct belay__scrape *scrape, int code,
	struct belay_error *reterr)
{
	if (code == -ETIMEDOUT)
		return belay__fail(reterr, code,
			"the exporter at %s does not answer in time; see: belay doctor",
			scrape->path);
	if (code == -EPROTO)
		return belay__fail(reterr, code, "the answer of the exporter at %s has no end",
			scrape->path);
	return belay__fail(reterr, code, "cannot ask the exporter at %s: %s", scrape->path,
		strerror(-code));
}

int belay__scrape_ask(struct belay__scrape *scrape, const char *socket, bool openmetrics,
	uint64_t deadline_ns, struct belay_error *reterr)
{
	_cleanup_close_ int fd = open_exporter(scrape, socket, deadline_ns, reterr);
	int r;

	if (fd < 0)
		return fd;
	r = send_request(fd, openmetrics);
	if (r >= 0)
		r = receive_all(scrape, fd, deadline_ns);
	if (r < 0)
		return complain_of_receiving(scrape, r, reterr);

	r = belay__http_reply_read(scrape->bytes, scrape->len, &scrape->reply);
	if (r < 0 || scrape->reply.status != 200)
		return refuse_answer(scrape, r, reterr);
	return 0;
}

void belay__scrape_free(struct belay__scrape *scrape)
{
	free(scrape->bytes);
	*scrape = (struct belay__scrape){ .bytes = NULL };
}
