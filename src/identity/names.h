/* names.h - finding names inside what the kernel tells: the pure half of belay__read_names() */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/text.h"

#define BELAY__ENVIRON_MAX ((size_t)128 * 1024)

/* Looks for BELAY_NAME in an environment that comes in pieces of any size. Set up by { 0 }. */
struct belay__environ_scan {
	enum {
		BELAY__ENVIRON_KEY,   /* so far, this entry could be ours */
		BELAY__ENVIRON_OTHER, /* it is not */
		BELAY__ENVIRON_VALUE, /* it is; its value comes */
		BELAY__ENVIRON_DONE,
	} state;
	size_t len; /* of the key or the value so far */
	bool too_long;
	char value[BELAY__NAME_MAX + 1];
};

/* Takes the next piece. 1 when the entry has come to its end: `value` is then the name, or "" when
 * it is not valid. As for getenv(3) the first entry counts. 0: not yet. */
int belay__environ_scan(struct belay__environ_scan *scan, const char *bytes, size_t len);

/* What a cgroup PATH calls those in it, into NAME: 1; 0 when it does not name them. The innermost
 * part of the path that is a container's id or a unit of its own counts; the units of login
 * sessions and service managers hold all kinds of things. */
int belay__name_of_cgroup(const char *path, size_t len, char name[static BELAY__NAME_MAX + 1]);

/* Writes the LEN bytes at STRING as a valid name: '_' in the place of what names may not have, cut
 * at SIZE - 1 bytes. "" only when LEN is 0. */
void belay__make_name(const char *string, size_t len, char *name, size_t size);
