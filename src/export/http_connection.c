#include "export/http_connection.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

static struct belay__http_answer refuse(struct belay__http_door *door,
	enum belay__http_refusal refusal)
{
	if (refusal == BELAY__HTTP_UNAUTHORIZED)
		door->counters.auth_failures++;
	else if (refusal != BELAY__HTTP_TOO_MANY)
		door->counters.refused++;
	return belay__http_answer_refusal(&door->answers, refusal);
}

static const char *header_of(struct MHD_Connection *request, const char *name)
{
	return MHD_lookup_connection_value(request, MHD_HEADER_KIND, name);
}

static bool has_body(struct MHD_Connection *request)
{
	const char *len = header_of(request, "Content-Length");

	return header_of(request, "Transfer-Encoding") != NULL ||
		(len != NULL && strcmp(len, "0") != 0);
}

bool belay__http_connection_pays(struct belay__http_door *door, struct belay__http_address address)
{
	uint64_t *dropped = door->counters.dropped;
	bool paid = belay__http_rate_take(&door->rate, address, belay__loop_now_ns(door->loop));

	dropped[BELAY__HTTP_DROP_RATE_LIMIT] += !paid;
	dropped[BELAY__HTTP_DROP_IP_TABLE_FULL] = door->rate.evicted;
	return paid;
}

/* The first request of a connection was paid for when it was accepted. */
static bool is_too_many(struct belay__http_door *door,
	const struct belay__http_connection *connection)
{
	return connection->requests > 0 && connection->listener->is_tcp &&
		!belay__http_connection_pays(door, connection->address);
}

static struct belay__http_answer show(struct belay__http_door *door, struct MHD_Connection *request,
	const struct belay__http_connection *connection, const struct belay__http_page *page)
{
	enum belay__http_format format = belay__http_accept(header_of(request, "Accept"));
	bool last = connection->requests + 1 >= BELAY__HTTP_REQUESTS;
	struct belay__http_answer answer = belay__http_answer_page(&door->answers, page, format,
		belay__loop_now_ns(door->loop), last);

	if (!answer.shown) {
		door->counters.refused++;
		return answer;
	}
	door->counters.served++;
	door->counters.cached += answer.cached;
	return answer;
}

/* Who has no token learns nothing, not even what exists. */
static struct belay__http_answer decide(struct belay__http_door *door,
	struct MHD_Connection *request, const struct belay__http_connection *connection,
	const char *method, const char *path)
{
	const struct belay__http_page *page = belay__http_page_at(&door->answers, path);

	if (is_too_many(door, connection))
		return refuse(door, BELAY__HTTP_TOO_MANY);
	if (connection->listener->is_tcp && door->has_token &&
		!belay__http_token_matches(door->token, header_of(request, "Authorization")))
		return refuse(door, BELAY__HTTP_UNAUTHORIZED);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return refuse(door, BELAY__HTTP_BAD_METHOD);
	if (page == NULL)
		return refuse(door, BELAY__HTTP_NOT_FOUND);
	if (has_body(request))
		return refuse(door, BELAY__HTTP_HAS_BODY);
	return show(door, request, connection, page);
}

struct belay__http_connection *belay__http_connection_find(struct belay__http_door *door, int fd)
{
	for (unsigned i = 0; i < BELAY__HTTP_CONNECTIONS; i++)
		if (door->connections[i].fd == fd)
			return &door->connections[i];
	return NULL;
}

struct belay__http_connection *belay__http_connection_free_place(struct belay__http_door *door)
{
	for (unsigned i = 0; i < BELAY__HTTP_CONNECTIONS; i++)
		if (door->connections[i].fd < 0)
			return &door->connections[i];
	return NULL;
}

enum MHD_Result belay__http_connection_asked(void *data, struct MHD_Connection *request,
	const char *path, const char *method, const char *version, const char *upload,
	size_t *upload_len, void **context)
{
	struct belay__http_door *door = data;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(request,
		MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct belay__http_connection *connection = info == NULL ? NULL : info->socket_context;
	struct belay__http_answer answer;
	(void)version;
	(void)upload;

	if (connection == NULL)
		return MHD_NO;
	/* The first call brings the header. A request with a body is refused right then, one without
	 * is answered at the second call, after which the connection can be kept. */
	if (*context == NULL && !has_body(request)) {
		*context = connection;
		return MHD_YES;
	}
	*context = connection;
	*upload_len = 0;
	answer = decide(door, request, connection, method, path);
	return MHD_queue_response(request, answer.status, answer.response);
}

void belay__http_connection_answered(void *data, struct MHD_Connection *request, void **context,
	enum MHD_RequestTerminationCode why)
{
	struct belay__http_door *door = data;
	struct belay__http_connection *connection = *context;
	(void)request;

	if (connection == NULL)
		return;
	*context = NULL;
	connection->requests++;
	connection->began_ns = belay__loop_now_ns(door->loop);
	if (why == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED)
		door->counters.dropped[BELAY__HTTP_DROP_TIMEOUT]++;
	if (connection->end_ns != UINT64_MAX)
		connection->end_ns = connection->began_ns + BELAY__HTTP_REQUEST_NS;
}

/* Reads what nobody will answer: closing a TCP socket with unread bytes resets it, and the answer
 * could be lost with it. */
static void discard_input(int fd)
{
	char bytes[4096];

	(void)recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
}

static bool peer_left(int fd)
{
	struct pollfd state = { .fd = fd, .events = POLLRDHUP };

	return poll(&state, 1, 0) > 0;
}

/* Whether CONNECTION, about to be closed, is closed because its first request did not come in
 * time; libmicrohttpd tells so only after a whole header. */
static bool was_silent(const struct belay__http_door *door,
	const struct belay__http_connection *connection)
{
	uint64_t age_ns = belay__loop_now_ns(door->loop) - connection->began_ns;

	return connection->requests == 0 && connection->end_ns != UINT64_MAX &&
		age_ns >= BELAY__HTTP_SILENCE_S * BELAY__NS_PER_S && !peer_left(connection->fd);
}

void belay__http_connection_forget(struct belay__http_connection *connection)
{
	connection->listener->open--;
	connection->fd = -EBADF;
}

void belay__http_connection_noticed(void *data, struct MHD_Connection *request, void **context,
	enum MHD_ConnectionNotificationCode what)
{
	struct belay__http_door *door = data;
	struct belay__http_connection *connection = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(request,
			MHD_CONNECTION_INFO_CONNECTION_FD);

		connection = info == NULL ? NULL
					  : belay__http_connection_find(door, info->connect_fd);
		if (connection != NULL)
			connection->known = true;
		*context = connection;
		return;
	}
	if (connection == NULL)
		return;
	*context = NULL;
	if (was_silent(door, connection))
		door->counters.dropped[BELAY__HTTP_DROP_TIMEOUT]++;
	discard_input(connection->fd);
	belay__http_connection_forget(connection);
}
