/* sidecar.h - a daemon's record as JSON, without the file
 *
 * The members are those of broker v1, and start_ticks, which is Belay's own. What v1 wrote up to
 * 4.10.2 has exe_sha256 in the place of the first two hashes.
 */
#pragma once

#include <stddef.h>

#include <belay/error.h>
#include <belay/identity.h>

#include "base/text.h"

#define BELAY__SIDECAR_MAX ((size_t)64 * 1024)

/* Reads the LEN bytes. 0, or -EINVAL with a sentence that says what is wrong and where;
 * *ret_daemon is then left alone. */
int belay__sidecar_parse(const char *bytes, size_t len, struct belay_daemon *ret_daemon,
	struct belay_error *reterr);

/* Adds DAEMON to TEXT. 0; -EINVAL: it has no hash, or a text in it is no UTF-8, which JSON cannot
 * say. */
int belay__sidecar_print(const struct belay_daemon *daemon, struct belay__text *text,
	struct belay_error *reterr);
