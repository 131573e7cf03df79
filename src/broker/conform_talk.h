/* conform_talk.h - what rules say to a backend and hear from it */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include <belay/envelope.h>
#include <belay/handoff.h>
#include <belay/probe.h>

#include "broker/conform.h"
#include "ipc/frame_stream.h"
#include "wire/broker.h"

#define BELAY__CONFORM_PATIENCE_MS 5000 /* the default */
#define BELAY__CONFORM_QUIET_MS    300  /* how long what must not come is waited for, at least */
#define BELAY__CONFORM_REPLY_MAX   16384

/* A connection to the backend. */
struct belay__conform_line {
	int fd; /* owned; -EBADF: none */
	struct belay__frame_stream stream;
	uint8_t *buffer; /* owned */
};

/* A probe as it goes out: right in all things until a rule spoils one. */
struct belay__conform_question {
	uint8_t framing;
	struct belay_envelope envelope;
	uint8_t nonce[64];
	const uint8_t *more; /* bytes behind the frame's own fields */
	size_t more_len;
};
#define BELAY__CONFORM_QUESTION_MAX 512

/* A frame that came back; valid until the next one. */
struct belay__conform_reply {
	struct belay_envelope envelope;
	bool has_sender;
	struct ucred sender;
};

/* Verdicts that explain themselves. */
__attribute__((format(printf, 2, 3))) enum belay__conform_verdict belay__conform_fail(
	struct belay__conform *conform, const char *format, ...);
__attribute__((format(printf, 2, 3))) enum belay__conform_verdict belay__conform_skip(
	struct belay__conform *conform, const char *format, ...);
__attribute__((format(printf, 2, 3))) enum belay__conform_verdict belay__conform_pass(
	struct belay__conform *conform, const char *format, ...);

/* When something that begins now has to be over; CLOCK_MONOTONIC. */
uint64_t belay__conform_deadline_ns(const struct belay__conform *conform);
/* When what has not come yet will not come any more: a tenth of the patience from now, 300 ms at least. */
uint64_t belay__conform_quiet_ns(const struct belay__conform *conform);

/* Connects to PATH. 0, or a negative errno that conform->why explains. LINE begins as { .fd = -EBADF }. */
int belay__conform_dial(struct belay__conform *conform, const char *path,
	struct belay__conform_line *line);
/* The same over a connection that is there: FD is the line's on success. */
int belay__conform_use(struct belay__conform *conform, struct belay__conform_line *line,
	int fd_take);
void belay__conform_hang_up(struct belay__conform_line *line);
#define _cleanup_line_ __attribute__((cleanup(belay__conform_hang_up)))

/* A right probe with a nonce of its own. */
void belay__conform_question_make(struct belay__conform_question *question);
/* Its bytes; how many. */
size_t belay__conform_question_write(const struct belay__conform_question *question,
	uint8_t out[static BELAY__CONFORM_QUESTION_MAX]);

/* Sends bytes, as much as the peer takes. 0 or a negative errno, explained. */
int belay__conform_say(struct belay__conform *conform, struct belay__conform_line *line,
	const uint8_t *bytes, size_t len);
/* Waits until DEADLINE_NS for a frame that is a Frame, whatever stands in it. 0 or a negative errno,
 * explained. */
int belay__conform_hear(struct belay__conform *conform, struct belay__conform_line *line,
	uint64_t deadline_ns, struct belay__conform_reply *ret_reply);
/* Both, for one question on LINE. */
int belay__conform_ask(struct belay__conform *conform, struct belay__conform_line *line,
	const struct belay__conform_question *question, struct belay__conform_reply *ret_reply);

/* What came within DEADLINE_NS where no answer may come. */
enum belay__conform_sound {
	BELAY__CONFORM_SILENCE,
	BELAY__CONFORM_HUNG_UP,
	BELAY__CONFORM_NOISE, /* something that is no frame of broker v1: its own protocol */
	BELAY__CONFORM_FRAME,
};
enum belay__conform_sound belay__conform_listen(struct belay__conform_line *line,
	uint64_t deadline_ns, struct belay__conform_reply *ret_reply);

/* PASS if a new connection's probe is answered; else FAIL, and why says that AFTERWARDS it was not. */
enum belay__conform_verdict belay__conform_alive(struct belay__conform *conform);
/* Asks QUESTION over a connection of its own, which has WHAT wrong with it: PASS if nothing comes, or a frame
 * of another protocol (a refusal), within the time that a right one takes and a while; and if the backend
 * survives it. Whose first byte is no frame's may be answered in another protocol. */
enum belay__conform_verdict belay__conform_in_vain(struct belay__conform *conform,
	const struct belay__conform_question *question, const char *what);
