#include "export/http_answer.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <string.h>

#define PLAIN "text/plain; charset=utf-8"

static const struct {
	unsigned status;
	const char *text;
	const char *header, *value; /* NULL: none of its own */
} refusals[BELAY__HTTP_REFUSAL_COUNT] = {
	[BELAY__HTTP_UNAUTHORIZED] = { 401, "a token is needed\n", "WWW-Authenticate",
		"Bearer realm=\"belay\"" },
	[BELAY__HTTP_NOT_FOUND] = { 404, "there is nothing here; try /metrics\n", NULL, NULL },
	[BELAY__HTTP_BAD_METHOD] = { 405, "GET and HEAD only\n", "Allow", "GET, HEAD" },
	[BELAY__HTTP_HAS_BODY] = { 413, "a request has no body here\n", NULL, NULL },
	[BELAY__HTTP_TOO_MANY] = { 429, "too many requests\n", "Retry-After", "1" },
	[BELAY__HTTP_UNAVAILABLE] = { 503, "nothing to show yet\n", "Retry-After", "1" },
};

static struct MHD_Response *destroy(struct MHD_Response *response)
{
	if (response != NULL)
		MHD_destroy_response(response);
	return NULL;
}

/* Adds a header to RESPONSE, or gives it up. */
static struct MHD_Response *with_header(struct MHD_Response *response, const char *name,
	const char *value)
{
	if (response == NULL || MHD_add_response_header(response, name, value) == MHD_YES)
		return response;
	return destroy(response);
}

/* libmicrohttpd takes a buffer that it may not write to without const. */
static void *without_const(const char *bytes)
{
	return (void *)(uintptr_t)bytes;
}

static struct MHD_Response *new_refusal(enum belay__http_refusal refusal)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(refusals[refusal].text), without_const(refusals[refusal].text),
		MHD_RESPMEM_PERSISTENT);

	response = with_header(response, "Content-Type", PLAIN);
	response = with_header(response, "Connection", "close");
	if (refusals[refusal].header != NULL)
		response = with_header(response, refusals[refusal].header, refusals[refusal].value);
	return response;
}

int belay__http_answers_init(struct belay__http_answers *answers,
	const struct belay__http_page *pages, size_t page_count)
{
	assert(page_count <= BELAY__HTTP_PAGES);

	memset(answers, 0, sizeof(*answers));
	answers->pages = pages;
	answers->page_count = page_count;
	for (unsigned i = 0; i < BELAY__HTTP_REFUSAL_COUNT; i++) {
		answers->refusals[i] = new_refusal((enum belay__http_refusal)i);
		if (answers->refusals[i] == NULL) {
			belay__http_answers_done(answers);
			return -ENOMEM;
		}
	}
	return 0;
}

static void drop(struct belay__http_body *body)
{
	body->stay = destroy(body->stay);
	body->leave = destroy(body->leave);
}

void belay__http_answers_done(struct belay__http_answers *answers)
{
	for (size_t i = 0; i < answers->page_count; i++)
		for (unsigned format = 0; format < BELAY__HTTP_FORMAT_COUNT; format++)
			for (unsigned buffer = 0; buffer < 2; buffer++)
				drop(&answers->kept[i][format].bodies[buffer]);
	for (unsigned i = 0; i < BELAY__HTTP_REFUSAL_COUNT; i++)
		answers->refusals[i] = destroy(answers->refusals[i]);
}

const struct belay__http_page *belay__http_page_at(const struct belay__http_answers *answers,
	const char *path)
{
	for (size_t i = 0; i < answers->page_count; i++)
		if (strcmp(answers->pages[i].path, path) == 0)
			return &answers->pages[i];
	return NULL;
}

static void returned(void *data)
{
	struct belay__http_body *body = data;

	assert(body->borrowed > 0);
	body->borrowed--;
}

static struct MHD_Response *lend(struct belay__http_body *body,
	const struct belay__http_content *content)
{
	struct MHD_Response *response = MHD_create_response_from_buffer_with_free_callback_cls(
		content->len, without_const(content->bytes), returned, body);

	if (response == NULL)
		return NULL;
	body->borrowed++;
	return with_header(response, "Content-Type", content->type == NULL ? PLAIN : content->type);
}

/* Asks the owner for the page and wraps what it gives. 0 or a negative errno. */
static int fill(struct belay__http_body *body, const struct belay__http_page *page,
	enum belay__http_format format, unsigned buffer)
{
	struct belay__http_content content = { 0 };
	int r = page->render(page->data, format, buffer, &content);

	if (r < 0)
		return r;
	body->status = content.status == 0 ? 200 : content.status;
	body->stay = lend(body, &content);
	body->leave = with_header(lend(body, &content), "Connection", "close");
	if (body->stay != NULL && body->leave != NULL)
		return 0;
	drop(body);
	return -ENOMEM;
}

static int render(struct belay__http_kept *kept, const struct belay__http_page *page,
	enum belay__http_format format, uint64_t now_ns)
{
	unsigned next = !kept->current;
	int r;

	r = fill(&kept->bodies[next], page, format, next);
	/* What is old by now is not shown again, even when there is nothing newer. */
	drop(&kept->bodies[kept->current]);
	kept->current = next;
	kept->rendered_ns = r < 0 ? 0 : now_ns;
	return r;
}

struct belay__http_answer belay__http_answer_page(struct belay__http_answers *answers,
	const struct belay__http_page *page, enum belay__http_format format, uint64_t now_ns,
	bool last)
{
	enum belay__http_format used = page->negotiated ? format : BELAY__HTTP_TEXT;
	struct belay__http_kept *kept = &answers->kept[page - answers->pages][used];
	const struct belay__http_body *body;
	bool cached = kept->rendered_ns != 0 && now_ns - kept->rendered_ns < BELAY__HTTP_FRESH_NS;

	/* Somebody still reads the buffer that the next body would be written to. */
	if (kept->bodies[!kept->current].borrowed > 0)
		cached = true;
	if (!cached && render(kept, page, used, now_ns) < 0)
		return belay__http_answer_refusal(answers, BELAY__HTTP_UNAVAILABLE);

	body = &kept->bodies[kept->current];
	if (body->stay == NULL)
		return belay__http_answer_refusal(answers, BELAY__HTTP_UNAVAILABLE);
	return (struct belay__http_answer){
		.response = last ? body->leave : body->stay,
		.status = body->status,
		.shown = true,
		.cached = cached,
	};
}

struct belay__http_answer belay__http_answer_refusal(const struct belay__http_answers *answers,
	enum belay__http_refusal refusal)
{
	return (struct belay__http_answer){
		.response = answers->refusals[refusal],
		.status = refusals[refusal].status,
	};
}
