/* door.h - `<socket>.hello`: announcements, beats for others, and questions (wire/hello.h)
 *
 * Each packet is attributed by the credentials that the kernel attached to it. Clients are bounded
 * (BELAY__DOOR_CLIENTS_MAX; the one idle longest is hung up on when another comes), answers are
 * written in slices as the client reads them, and a client that does not read costs its own
 * connection only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"

#define BELAY__DOOR_CLIENTS_MAX 64

struct belay_observer;
struct belay__door;

/* What the program around the observer adds. All may be NULL. */
struct belay__door_host {
	void *data;
	/* Adds members to the SELF object. */
	void (*self)(void *data, struct belay__json_writer *json);
	/* Whether somebody publishes events (belay__door_publish). */
	bool publishes;
	/* The user UID had the processes that PATTERN selects paused until UNTIL_REALTIME_NS, or (0)
	 * not any longer. */
	void (*paused)(void *data, const char *pattern, uint64_t until_realtime_ns, uint32_t uid);
	/* Asks what would be done about the process in slot AT (REALLY: has it done), or for a test of
	 * the alert command. 0: the answer comes by belay__door_planned(); -ENOTCONN: nobody is there
	 * to ask just now; -ENOENT: there is nothing to test; or another negative errno. */
	int (*plan)(void *data, uint32_t at, bool really, uint64_t request);
	int (*test_alert)(void *data, uint64_t request);
};

/* A door of OBSERVER (borrowed, outlives it) without a socket. All its memory is allocated here. 0
 * or -ENOMEM. */
int belay__door_new(struct belay_observer *observer, struct belay__door **ret_door);
struct belay__door *belay__door_free(struct belay__door *door);

/* Serves the listening SOCK_SEQPACKET socket FD (owned by the door on success). 0 or a negative
 * errno. */
int belay__door_listen_take(struct belay__door *door, int fd);
void belay__door_set_host(struct belay__door *door, const struct belay__door_host *host);

/* Lets in who waits at the door now, so that what they have said already is heard in this turn.
 * ALL_KNOCKED: the loop saw everybody who came, so that nobody waits unless somebody knocked. False:
 * there may be more, for whom there is room when these were heard. */
bool belay__door_let_in(struct belay__door *door, bool all_knocked);
/* Whether nobody is there at all. */
bool belay__door_empty(const struct belay__door *door);
/* Whether a client has something to say that has not been handled. */
bool belay__door_ready(const struct belay__door *door);
/* Handles what clients say until something becomes an event of the observer (true) or nothing is
 * left for this turn. */
bool belay__door_next(struct belay__door *door);

/* Sends LINE (with its newline) to all who follow events; one that does not keep up is hung up
 * on. */
void belay__door_publish(struct belay__door *door, const char *line, size_t len);
/* The answer to REQUEST: CODE and LEN bytes of text, a JSON object without a newline, or a sentence
 * when CODE is negative or an alert was tested. Whoever waits no longer is not missed. */
void belay__door_planned(struct belay__door *door, uint64_t request, int code, const char *text,
	size_t len);

/* Whether anybody follows events. */
bool belay__door_followed(const struct belay__door *door);
