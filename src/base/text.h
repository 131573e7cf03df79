/* text.h - bounded text: building it, and reading numbers and durations from it */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A string that grows inside a buffer of the caller's and never past it. Always NUL-terminated.
 * What does not fit is dropped and `overflowed` stays set: callers check once, at the end. */
struct belay__text {
	char *chars;
	size_t size, len;
	bool overflowed;
};

/* Starts an empty text in BUFFER of SIZE bytes (at least 1). */
void belay__text_init(struct belay__text *text, char *buffer, size_t size);

void belay__text_add(struct belay__text *text, const char *string);
void belay__text_add_bytes(struct belay__text *text, const char *bytes, size_t len);
void belay__text_add_u64(struct belay__text *text, uint64_t value);
void belay__text_add_i64(struct belay__text *text, int64_t value);
__attribute__((format(printf, 2, 3))) void belay__text_addf(struct belay__text *text,
	const char *format, ...);

/* Adds NS for people: "0.4s", "12ms", "3m05s", "2h10m", "4d03h". */
void belay__text_add_age(struct belay__text *text, uint64_t ns);

/* Adds NS exactly, as belay__parse_duration() reads it, in the largest unit that needs no fraction:
 * "250ms", "5s", "0". */
void belay__text_add_duration(struct belay__text *text, uint64_t ns);

/* Adds REALTIME_NS (since the epoch) as RFC 3339 UTC with milliseconds:
 * "2026-01-02T03:04:05.678Z". */
void belay__text_add_time(struct belay__text *text, uint64_t realtime_ns);

/* Reads all of STRING as a decimal number within [MIN, MAX]. Returns 0, -EINVAL (not a number) or
 * -ERANGE. */
int belay__parse_u64(const char *string, uint64_t min, uint64_t max, uint64_t *ret_value);

/* Reads a duration with its unit: "250ms", "5s", "10m", "2h", "1d", also fractions ("1.5s"). A bare
 * number has no unit and is -EINVAL, except "0". Returns 0, -EINVAL or -ERANGE (does not fit). */
int belay__parse_duration(const char *string, uint64_t *ret_ns);

/* Reads an octal file mode: 600, 0600, 0o600 or 0O600, at most 07777. Returns 0, -EINVAL or
 * -ERANGE. */
int belay__parse_mode(const char *string, unsigned *ret_mode);

/* Reads true/false, yes/no, on/off, 1/0. Returns 0 or -EINVAL. */
int belay__parse_bool(const char *string, bool *ret_value);

/* The longest name of a process, without the final NUL. */
#define BELAY__NAME_MAX  64
#define BELAY__NAME_SIZE (BELAY__NAME_MAX + 1)

/* Whether the LEN bytes at NAME are a valid process name: [A-Za-z0-9_][A-Za-z0-9._@#-]{0,63}. */
bool belay__name_valid(const char *name, size_t len);
/* Whether they are a name as the observer gives it: a valid one, or, of another host's process, one
 * behind its host's and a slash; 64 bytes at most. */
bool belay__full_name_valid(const char *name, size_t len);

/* How many single-character edits lie between A and B, at most MAX + 1: for "unknown key; did you
 * mean ...?". */
unsigned belay__text_distance(const char *a, const char *b, unsigned max);
