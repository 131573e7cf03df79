/* http_accept.h - which of two text forms of the metrics a client prefers */
#pragma once

enum belay__http_format {
	BELAY__HTTP_TEXT,        /* Prometheus text 0.0.4 */
	BELAY__HTTP_OPENMETRICS, /* OpenMetrics 1.0.0 */
	BELAY__HTTP_FORMAT_COUNT,
};

#define BELAY__HTTP_TYPE_TEXT        "text/plain; version=0.0.4; charset=utf-8"
#define BELAY__HTTP_TYPE_OPENMETRICS "application/openmetrics-text; version=1.0.0; charset=utf-8"

/* Reads ACCEPT, the value of an Accept header (NULL: there was none). OpenMetrics is chosen only
 * when it is named itself, in version 1.0.0 or without one, and not liked less than text; whatever
 * else is asked for gets text, for a body in the wrong form says more than none. Never fails. */
enum belay__http_format belay__http_accept(const char *accept);
