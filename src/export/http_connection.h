/* http_connection.h - a connection at the HTTP door, and how its requests are answered
 *
 * Shared by http_door.c, which accepts connections and ends them, and http_connection.c, which is
 * told by libmicrohttpd what happens on them.
 */
#pragma once

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "export/http_answer.h"
#include "export/http_door.h"
#include "loop/loop.h"

struct belay__http_listener {
	struct belay__http_door *door;
	struct belay__io io;
	unsigned open; /* connections that came in here */
	unsigned share;
	bool is_tcp;
};

struct belay__http_connection {
	int fd; /* libmicrohttpd's; -EBADF: free place */
	struct belay__http_listener *listener;
	struct belay__http_address address;
	uint64_t began_ns, end_ns; /* of what is asked now; end_ns UINT64_MAX: already cut off */
	unsigned requests;         /* that were answered */
	bool known;                /* libmicrohttpd told that it has it */
};

struct belay__http_door {
	struct belay__loop *loop;
	struct MHD_Daemon *daemon;
	struct belay__io io;
	struct belay__timer timer;
	struct belay__http_listener listeners[2];
	uint64_t paused_ns; /* accepting goes on then; UINT64_MAX: it is not paused */
	bool has_token;
	uint8_t token[BELAY__HTTP_TOKEN_LEN];
	struct belay__http_counters counters;
	struct belay__http_connection connections[BELAY__HTTP_CONNECTIONS];
	struct belay__http_answers answers;
	struct belay__http_rate rate;
};

/* The place of the connection with FD (>= 0), or NULL. */
struct belay__http_connection *belay__http_connection_find(struct belay__http_door *door, int fd);
/* A free place, or NULL. */
struct belay__http_connection *belay__http_connection_free_place(struct belay__http_door *door);

/* Makes CONNECTION's place a free one. */
void belay__http_connection_forget(struct belay__http_connection *connection);

/* Takes a token of ADDRESS; false, and counted, when there is none. */
bool belay__http_connection_pays(struct belay__http_door *door, struct belay__http_address address);

/* libmicrohttpd's callbacks; DATA is the door: a request came, its answer has ended (or never will),
 * a connection begins or is about to be closed. */
enum MHD_Result belay__http_connection_asked(void *data, struct MHD_Connection *request,
	const char *path, const char *method, const char *version, const char *upload,
	size_t *upload_len, void **context);
void belay__http_connection_answered(void *data, struct MHD_Connection *request, void **context,
	enum MHD_RequestTerminationCode why);
void belay__http_connection_noticed(void *data, struct MHD_Connection *request, void **context,
	enum MHD_ConnectionNotificationCode what);
