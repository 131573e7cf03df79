/* secret.h - secrets of 64 hexadecimal digits in private files
 *
 * A file is opened once, without following a symbolic link, and what was opened is examined: a regular
 * file, of this process's user or root's, closed to group and others. Nothing that was read ever
 * appears in an error. Who holds a secret wipes it with explicit_bzero().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#define BELAY__SECRET_LEN 32
/* Bytes of a host's name: letters, digits, '.', '_', '-', and none of those marks first. */
#define BELAY__HOST_MAX  31
#define BELAY__HOST_SIZE (BELAY__HOST_MAX + 1)

/* A line of a file of keys: 64 digits, and the name of the host that has it ("": none). */
struct belay__secret_line {
	uint8_t secret[BELAY__SECRET_LEN];
	char host[BELAY__HOST_SIZE];
};

/* Reads the one secret in PATH (a newline may follow it). 0, or a negative errno with a sentence that
 * names the path and what to run: -ELOOP a symbolic link, -EPERM not private or another's, -EINVAL
 * not a regular file or not 64 digits. WHAT is what it is called in the sentence ("key", "token"). */
int belay__secret_read(const char *path, const char *what,
	uint8_t ret_secret[static BELAY__SECRET_LEN], struct belay_error *reterr);

/* The most bytes that a file of keys has. */
#define BELAY__SECRET_FILE_MAX 262144

/* Reads at most MAX lines "64 digits [HOST]" from PATH; empty lines and those that begin with '#'
 * count for nothing, blanks around a line neither. Returns how many (0 is an error: -EINVAL), or a
 * negative errno with a sentence that names path and line; -E2BIG: more than MAX; -EFBIG: the file is
 * too large. On failure nothing readable is left in LINES. */
int belay__secret_read_lines(const char *path, struct belay__secret_line *lines, size_t max,
	struct belay_error *reterr);
/* The same, with *RET_SINGLE whether the file holds one secret and nothing else, so that
 * belay__secret_read() takes it, too. The file is read once. */
int belay__secret_read_either(const char *path, struct belay__secret_line *lines, size_t max,
	bool *ret_single, struct belay_error *reterr);
/* What belay__secret_read_lines() does, of the LEN bytes at TEXT; NAME is what they are called in a sentence. */
int belay__secret_parse_lines(const char *text, size_t len, const char *name,
	struct belay__secret_line *lines, size_t max, struct belay_error *reterr);

/* 64 digits at DIGITS into RET_SECRET, in a time that tells nothing about them. 0 or -EINVAL. */
int belay__secret_parse(const char digits[static 64], uint8_t ret_secret[static BELAY__SECRET_LEN]);

/* Whether NAME can be a host's: of the letters that it can be made of, and none that the observer gives
 * itself ("udp", "master", "key0" ...). */
bool belay__host_valid(const char *name);
