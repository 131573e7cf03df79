/* http_answer.h - what a request is answered with: pages, kept for a second, and refusals
 *
 * A page's body is rendered by its owner into one of two buffers and borrowed until every client
 * that gets it has it all. A body is asked for again only when it is a second old and the buffer of
 * the one before is free again; meanwhile the latest one is served.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "export/http_accept.h"

#define BELAY__HTTP_PAGES    8
#define BELAY__HTTP_FRESH_NS UINT64_C(1000000000)

struct MHD_Response;

struct belay__http_content {
	const char *bytes;
	size_t len;
	const char *type; /* of the bytes; NULL: plain text in UTF-8 */
	unsigned status;  /* 0: 200 */
};

struct belay__http_page {
	const char *path; /* "/metrics" */
	bool negotiated;  /* exists in both formats; otherwise FORMAT is always BELAY__HTTP_TEXT */
	/* Renders the page into the buffer number BUFFER (0 or 1) of this FORMAT, of which nobody
	 * reads any more, and tells where it lies. The bytes stay as they are until the same buffer
	 * is asked for again or the door is gone. 0, or a negative errno: the client is told 503. */
	int (*render)(void *data, enum belay__http_format format, unsigned buffer,
		struct belay__http_content *ret_content);
	void *data;
};

/* A body and who still reads it. Two responses of the same bytes: after one the client may go on
 * asking. */
struct belay__http_body {
	struct MHD_Response *stay, *leave;
	unsigned status;
	unsigned borrowed; /* responses that libmicrohttpd has not let go of */
};

struct belay__http_kept {
	struct belay__http_body bodies[2];
	unsigned current;
	uint64_t rendered_ns; /* 0: never, or not usable */
};

enum belay__http_refusal {
	BELAY__HTTP_UNAUTHORIZED,
	BELAY__HTTP_NOT_FOUND,
	BELAY__HTTP_BAD_METHOD,
	BELAY__HTTP_HAS_BODY,
	BELAY__HTTP_TOO_MANY,
	BELAY__HTTP_UNAVAILABLE,
	BELAY__HTTP_REFUSAL_COUNT,
};

struct belay__http_answers {
	const struct belay__http_page *pages;
	size_t page_count;
	struct belay__http_kept kept[BELAY__HTTP_PAGES][BELAY__HTTP_FORMAT_COUNT];
	struct MHD_Response *refusals[BELAY__HTTP_REFUSAL_COUNT];
};

struct belay__http_answer {
	struct MHD_Response *response; /* borrowed; NULL: no memory */
	unsigned status;
	bool shown;  /* a page, not a refusal */
	bool cached; /* rendered for an earlier request */
};

/* PAGES (at most BELAY__HTTP_PAGES) are borrowed until _done. 0 or -ENOMEM; then nothing is to be
 * freed. _done takes one that was never made, if it is zeroed. */
int belay__http_answers_init(struct belay__http_answers *answers,
	const struct belay__http_page *pages, size_t page_count);
void belay__http_answers_done(struct belay__http_answers *answers);

/* The page at PATH, or NULL. */
const struct belay__http_page *belay__http_page_at(const struct belay__http_answers *answers,
	const char *path);

/* PAGE as it is at NOW_NS, in FORMAT. LAST: the connection ends with this answer. */
struct belay__http_answer belay__http_answer_page(struct belay__http_answers *answers,
	const struct belay__http_page *page, enum belay__http_format format, uint64_t now_ns,
	bool last);

struct belay__http_answer belay__http_answer_refusal(const struct belay__http_answers *answers,
	enum belay__http_refusal refusal);
