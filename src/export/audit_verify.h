/* audit_verify.h - whether an audit log and its older generations are what was written
 *
 * The files are read as they are, from the oldest to the newest, in bounded memory: every line must
 * be well formed, sequence numbers must rise, and every chain must follow from its line and the one
 * before, over restarts and rotations. Where the oldest records have been rotated away the chain
 * begins with what the first record, one of a start or a rotation, names.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "export/audit_line.h"
#include "export/generations.h"

#define BELAY__AUDIT_FILES (BELAY__GENERATIONS + 1)

struct belay__audit_verdict {
	unsigned files;
	uint64_t records, first_seq, last_seq;
	uint64_t missing;       /* sequence numbers left out: records dropped by a full ring */
	uint64_t foreign_lines; /* of another schema, before the first record: not verified */
	uint8_t head[BELAY__AUDIT_CHAIN_SIZE]; /* chain of the last good record */
	bool torn;   /* all is well but the newest file ends inside a line, as after a crash */
	bool broken; /* at this line: */
	unsigned bad_generation; /* 0: PATH itself; of a torn line as well */
	uint64_t bad_line;       /* in that file, from 1 */
	char why[160];           /* a half sentence: "its chain is not that of ..." */
};

/* Verifies PATH with PATH.1 ... PATH.5. 0 with the verdict, or a negative errno with a sentence when
 * there is no file (-ENOENT) or one of them cannot be read. */
int belay__audit_verify(const char *path, struct belay__audit_verdict *ret_verdict,
	struct belay_error *reterr);

/* The same for COUNT open files, the newest first; generations[i] is the number of fds[i]. */
int belay__audit_verify_files(const int *fds, const unsigned *generations, unsigned count,
	struct belay__audit_verdict *ret_verdict);

/* `belay audit verify FILE [--json]`: argv[0] is not looked at, FILE and the option follow. Returns
 * the exit code: 0 whole, 1 not whole (one sentence on stderr), 2 usage, 66 no file that can be
 * read. */
int belay__audit_verify_main(int argc, char **argv);
