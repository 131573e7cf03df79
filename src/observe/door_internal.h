/* door_internal.h - what the files of the door share: door.c keeps clients, door_requests.c acts,
 * door_answers.c tells */
#pragma once

#include "ipc/packet.h"
#include "observe/core.h"
#include "wire/hello.h"

enum belay__client_task {
	BELAY__CLIENT_IDLE,
	BELAY__CLIENT_STATUS,  /* rows are being sent; `cursor` is the next */
	BELAY__CLIENT_FOLLOWS, /* gets every event */
};

struct belay__client {
	struct belay__io io;
	int fd; /* -EBADF: free */
	struct belay__door *door;
	uint8_t task;    /* enum belay__client_task */
	bool ready;      /* has said something */
	bool may_write;  /* has room for more of an answer */
	uint32_t cursor; /* STATUS: records, then departed ones, then rules */
	uint32_t rows;   /* STATUS: given so far */
	uint64_t active_ns;
	uint32_t uid; /* who asks, for names */
	char selection[BELAY__HELLO_NAME_SIZE];
};

struct belay__door {
	struct belay_observer *observer;
	struct belay__door_host host;
	struct belay__io listen_io[BELAY__LISTENERS_MAX];
	int listen_fds[BELAY__LISTENERS_MAX];
	unsigned listen_count;
	bool knocked;               /* since belay__door_let_in() */
	struct belay__timer resume; /* listening, after descriptors ran out */
	struct belay__client clients[BELAY__DOOR_CLIENTS_MAX];
	unsigned connected; /* clients with an fd */
	unsigned next_client;
	char packet[BELAY__HELLO_PACKET_MAX];
};

/* Sends a packet of TEXT. 0, -EAGAIN (try again when the client reads), or a negative errno: it is
 * gone. */
int belay__door_send(struct belay__client *client, enum belay__hello_part part, int code,
	const char *text, size_t len);

/* Acts on WITHIN, GOODBYE, BEAT. Returns whether the observer has an event for it; *ret_code is the
 * answer of a BEAT. */
bool belay__door_within(struct belay__door *door, const struct belay__hello *hello,
	const struct belay__packet_from *from);
bool belay__door_goodbye(struct belay__door *door, const struct belay__hello *hello,
	const struct belay__packet_from *from);
bool belay__door_beat(struct belay__door *door, const struct belay__hello *hello,
	const struct belay__packet_from *from, int *ret_code, const char **ret_sentence);

/* Writes the next part of an answer to TEXT; returns whether there is more. */
bool belay__door_status(struct belay__client *client, struct belay__text *text);
void belay__door_counters(struct belay__door *door, struct belay__text *text);
void belay__door_self(struct belay__door *door, struct belay__text *text);
