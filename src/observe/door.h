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
/* Whether anybody follows events. */
bool belay__door_followed(const struct belay__door *door);
