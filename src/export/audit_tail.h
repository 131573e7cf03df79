/* audit_tail.h - what an audit log that is opened again ends with */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "export/audit_line.h"

struct belay__audit_tail {
	uint64_t bytes;     /* to go on behind: the end of the last whole line */
	bool torn;          /* bytes follow it that no newline ends */
	bool ours;          /* empty, or one of its lines is the header of schema v2 */
	bool legacy;        /* it begins with the header of schema v1 */
	bool has_record;    /* somewhere is a line of schema v2; the last one: */
	bool record_is_end; /* is the last whole line */
	bool has_chain;
	uint64_t seq;
	uint8_t chain[BELAY__AUDIT_CHAIN_SIZE]; /* zeros without one */
};

/* Reads the end of FD, a regular file of any content; all of it only when no record is near its
 * end. Where a record is found `ours` may be false for a header somewhere in the middle. 0, -EINVAL for another kind of file, -ENOMEM, or another negative errno. */
int belay__audit_tail_read(int fd, struct belay__audit_tail *ret_tail);
