/* tsv_events.h - the original's event file: one line of six columns an event
 *
 * `observer_ns kind pid nonce status payload`, separated by tabs, "-" where a kind has nothing to
 * say, no header. Lines are buffered, and written when the buffer is full, at a rotation, at the
 * end, and, where every so many records are to be synced, for that. What a full disk refuses stays
 * in the buffer; events that find the buffer full are lost and counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>
#include <belay/vlp.h>

#include "export/generations.h"

#define BELAY__TSV_BYTES_MAX_MIN 4096
/* Longer texts are cut and end in "...". */
#define BELAY__TSV_TEXT_MAX  511
#define BELAY__TSV_LINE_SIZE (BELAY__TSV_TEXT_MAX + 128)

enum belay__tsv_kind {
	BELAY__TSV_BEAT,     /* pid, nonce, status, payload */
	BELAY__TSV_STALL,    /* pid, nonce: the last one observed */
	BELAY__TSV_DECODE,   /* text: belay__tsv_decode_text() */
	BELAY__TSV_IO,       /* text: of the error */
	BELAY__TSV_CTRUNC,   /* text: of the error */
	BELAY__TSV_MISMATCH, /* pid; text: auth_failure, origin_conflict or namespace_conflict */
	BELAY__TSV_EVICTION, /* pid */
};

struct belay__tsv_event {
	uint64_t observer_ns;
	uint64_t nonce;
	enum belay__tsv_kind kind;
	uint32_t pid, payload;
	enum belay_status status;
	const char *text; /* borrowed; tabs and line ends in it become spaces */
};

/* Writes EVENT as a line with its newline and a NUL; returns its length. */
size_t belay__tsv_line(const struct belay__tsv_event *event, char chars[BELAY__TSV_LINE_SIZE]);

/* Names ERROR as the original's debug output does: "BadMagic", "BadCrc { expected: 1, actual:
 * 2 }". */
void belay__tsv_decode_text(const struct belay_decode_error *error, char *chars, size_t size);

struct belay__tsv_options {
	uint64_t bytes_max;  /* rotated by the write that reaches it; 0: never */
	uint32_t sync_every; /* records for each fdatasync(); 0: none */
};

/* Plain memory, too large for a stack. */
struct belay__tsv_events {
	int fd;      /* owned */
	int next_fd; /* owned: gone on in as soon as the old file took its rest; -EBADF: none */
	struct belay__tsv_options options;
	uint64_t bytes;     /* in the file and in the buffer */
	uint64_t rotate_at; /* not before there are so many */
	uint64_t written, lost;
	uint64_t write_failed, sync_failed, rotation_failed;
	uint32_t unsynced; /* records */
	bool wants_rotation;
	struct belay__rotation rotation;
	char path[BELAY__GENERATION_PATH_SIZE]; /* empty: on descriptors */
	size_t len;
	char buffer[65536];
};

/* Opens PATH (belay__generations_open()); moves its generations itself. A torn line at its end is
 * cut off. 0 or a negative errno with a sentence. */
int belay__tsv_events_open(struct belay__tsv_events *events, const char *path,
	const struct belay__tsv_options *options, struct belay_error *reterr);

/* The same on FD, which belay__generations_open() made, and whose files somebody else moves. */
int belay__tsv_events_init_take(struct belay__tsv_events *events, int fd,
	const struct belay__tsv_options *options, struct belay_error *reterr);

/* Writes what is buffered and closes the file. */
void belay__tsv_events_done(struct belay__tsv_events *events);

/* Buffers EVENT. Failures are counted and tried again. */
void belay__tsv_events_add(struct belay__tsv_events *events, const struct belay__tsv_event *event);

/* Writes what is buffered. 0, or a negative errno: what could not be written stays. */
int belay__tsv_events_flush(struct belay__tsv_events *events);

/* On descriptors, once `wants_rotation` is set: goes on in FD, owned from now on in any case. 0; or a
 * negative errno when the old file does not take the rest of the buffer yet: FD is kept in hand, no
 * other is wanted, and the next flush that succeeds goes on in it. */
int belay__tsv_events_switch_consume(struct belay__tsv_events *events, int fd);
