/* door_internal.h - what the files of the door share: door.c keeps clients, door_requests.c acts
 * on what beats say, door_orders.c on what people want, door_answers.c tells */
#pragma once

#include "ipc/packet.h"
#include "observe/core.h"
#include "wire/hello.h"

enum belay__client_task {
	BELAY__CLIENT_IDLE,
	BELAY__CLIENT_STATUS,  /* rows are being sent; `cursor` is the next */
	BELAY__CLIENT_FOLLOWS, /* gets every event */
	BELAY__CLIENT_WAITS,   /* for answers to requests of `first_request` and those behind it */
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
	uint64_t first_request, wait_until_ns; /* WAITS; CLOCK_MONOTONIC */
	uint32_t requests, answered;
	bool tests;        /* WAITS: its one request is a test of alerts */
	uint32_t left_out; /* WAITS: of whom nobody was asked ... */
	int left_code;     /* ... and why: a negative errno */
	uint32_t uid;      /* who asks, for names */
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
	struct belay__timer waits;  /* the first client that waits has waited long enough */
	uint64_t last_request;
	struct belay__client clients[BELAY__DOOR_CLIENTS_MAX];
	unsigned connected; /* clients with an fd */
	unsigned next_client;
	char packet[BELAY__HELLO_PACKET_MAX];   /* a text, as it is written */
	char outgoing[BELAY__HELLO_PACKET_MAX]; /* the same behind its head, as it is sent */
};

/* Sends a packet of TEXT. 0, -EAGAIN (try again when the client reads), or a negative errno: it is
 * gone. */
int belay__door_send(struct belay__client *client, enum belay__hello_part part, int code,
	const char *text, size_t len);

/* The last packet of an answer: CODE and a sentence. */
void belay__door_done(struct belay__client *client, int code, const char *sentence);
void belay__door_hang_up(struct belay__client *client);

/* door_orders.c: acts on PAUSE, RESUME, ACT and ALERT_TEST, and answers. */
void belay__door_order(struct belay__client *client, const struct belay__hello *hello, uint32_t uid);

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
