/* scrape.h - asking the exporter of an observer for its metrics, over its Unix socket
 *
 * The exporter is found by the observer's socket: the one given, or the first default path beside
 * which somebody serves metrics.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <belay/error.h>

#include "cmd/http_reply.h"
#include "ipc/socket_path.h"

#define BELAY__METRICS_SUFFIX ".metrics"

struct belay__scrape {
	char path[BELAY__SOCKET_PATH_SIZE]; /* of the socket that answered */
	char *bytes;                        /* owned: all that was received */
	size_t len, size;
	struct belay__http_reply reply; /* of status 200, inside of BYTES */
};

/* Asks the exporter beside SOCKET, or, when that is "", beside the first default path, for /metrics
 * until DEADLINE_NS (CLOCK_MONOTONIC). 0; or a negative errno with a sentence: -ENOENT,
 * -ECONNREFUSED, -ECONNRESET, -ETIMEDOUT (nobody there, or not in time), -EACCES (not for us),
 * -EAGAIN (nothing to show yet), -EPROTO (what answers is no exporter). SCRAPE starts zeroed and
 * ends with _free() in any case. */
int belay__scrape_ask(struct belay__scrape *scrape, const char *socket, bool openmetrics,
	uint64_t deadline_ns, struct belay_error *reterr);
void belay__scrape_free(struct belay__scrape *scrape);
