#include "cmd/status_rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "cmd/cmd.h"
#include "export/event_line.h"

static const char *const state_words[] = {
	[BELAY__STATE_HEALTHY] = "healthy",
	[BELAY__STATE_DEGRADED] = "degraded",
	[BELAY__STATE_CRITICAL] = "critical",
	[BELAY__STATE_STALLED] = "stalled",
	[BELAY__STATE_ENDED] = "ended",
	[BELAY__STATE_MISSING] = "missing",
};

/* Makes room for one more row and LEN more bytes. */
static int grow(struct belay__status *status, size_t len)
{
	if (status->size - status->len < len) {
		size_t size = (status->len + len) * 2;
		char *bytes = realloc(status->bytes, size);

		if (bytes == NULL)
			return -ENOMEM;
		status->bytes = bytes;
		status->size = size;
	}
	if (status->count == status->room) {
		size_t room = status->room * 2 + 16;
		struct belay__status_row *rows = realloc(status->rows, room * sizeof(*rows));

		if (rows == NULL)
			return -ENOMEM;
		status->rows = rows;
		status->room = room;
	}
	return 0;
}

static uint64_t number(const struct belay__json *object, const char *key)
{
	struct belay__json value;
	uint64_t read;

	if (belay__json_member(object, key, &value) < 0 || belay__json_get_u64(&value, &read) < 0)
		return BELAY__NOT_TOLD;
	return read;
}

static uint64_t seconds(const struct belay__json *object, const char *key)
{
	uint64_t ns;

	return belay__json_member_ns(object, key, &ns) ? ns : BELAY__NOT_TOLD;
}

static enum belay__state state_of(const char *word)
{
	for (size_t i = 0; i < BELAY__COUNT_OF(state_words); i++)
		if (strcmp(state_words[i], word) == 0)
			return (enum belay__state)i;
	return BELAY__STATE_OTHER;
}

/* What stands behind the row for people, from what the state brings with it. */
static void explain(const struct belay__json *object, struct belay__status_row *row)
{
	uint64_t beating, expected, ago_ns;
	struct belay__text text;
	char word[40];

	belay__text_init(&text, row->why, sizeof(row->why));
	if (row->state == BELAY__STATE_ENDED) {
		belay__event_add_end(object, &text);
		if (belay__json_member_ns(object, "ended_s", &ago_ns)) {
			belay__text_add(&text, ", ");
			belay__text_add_age(&text, ago_ns);
			belay__text_add(&text, " ago");
		}
	} else if (row->state == BELAY__STATE_MISSING) {
		beating = number(object, "beating");
		expected = number(object, "expected");
		if (beating != BELAY__NOT_TOLD && expected != BELAY__NOT_TOLD)
			belay__text_addf(&text, "%llu of %llu beat", (unsigned long long)beating,
				(unsigned long long)expected);
	} else if (belay__json_member_text(object, "verdict", word, sizeof(word))) {
		belay__text_add(&text, word);
	}
	if (belay__json_member_text(object, "paused_until", word, sizeof(word)))
		belay__text_addf(&text, "%spaused until %s", text.len > 0 ? ", " : "", word);
}

/* Reads LINE into *ret_row. False when it is no row. */
static bool read_row(const char *line, size_t len, struct belay__status_row *ret_row)
{
	struct belay__status_row row = { 0 };
	struct belay__json object;

	if (belay__json_parse(line, len, &object, NULL) < 0 ||
		!belay__json_member_text(&object, "name", row.name, sizeof(row.name)) ||
		!belay__json_member_text(&object, "state", row.state_word, sizeof(row.state_word)))
		return false;
	row.state = state_of(row.state_word);
	row.pid = number(&object, "pid");
	row.beats = number(&object, "beats");
	row.progress = number(&object, "payload");
	row.watched_ns = seconds(&object, "watched_s");
	if (row.watched_ns == BELAY__NOT_TOLD)
		row.watched_ns = seconds(&object, "up_s");
	row.silent_ns = seconds(&object, "silent_s");
	row.threshold_ns = seconds(&object, "threshold_s");
	explain(&object, &row);
	(void)belay__json_member_text(&object, "evidence", row.evidence, sizeof(row.evidence));
	*ret_row = row;
	return true;
}

static int take_row(void *data, const char *line, size_t len, struct belay_error *reterr)
{
	struct belay__status *status = data;
	struct belay__status_row *row;
	int r = grow(status, len);

	if (r < 0)
		return belay__fail(reterr, r, "no memory for the answer");
	row = &status->rows[status->count];
	if (!read_row(line, len, row))
		return belay__fail(reterr, -EPROTO,
			"the observer sent a line that is no row of a status; see: belay doctor");
	row->line = status->len;
	row->line_len = len;
	memcpy(status->bytes + status->len, line, len);
	status->len += len;
	status->count++;
	return 0;
}

/* worker#2 stands before worker#10. */
static int compare(const void *a, const void *b)
{
	const struct belay__status_row *left = a, *right = b;
	int order = strverscmp(left->name, right->name);

	if (order != 0)
		return order;
	return (left->pid > right->pid) - (left->pid < right->pid);
}

int belay__status_ask(struct belay__status *status, struct belay__ask *ask, const char *selection,
	struct belay_error *reterr)
{
	struct belay_error error;
	int r;

	status->len = 0;
	status->count = 0;
	r = belay__ask_lines(ask, BELAY__HELLO_STATUS, selection, take_row, status, &error);
	if (r == -ENOENT)
		r = 0;
	if (r < 0)
		return belay__fail(reterr, r, "%s", error.text);
	if (status->count > 0)
		qsort(status->rows, status->count, sizeof(*status->rows), compare);
	return 0;
}

void belay__status_free(struct belay__status *status)
{
	free(status->bytes);
	free(status->rows);
	*status = (struct belay__status){ 0 };
}

size_t belay__status_beating(const struct belay__status *status)
{
	size_t beating = 0;

	for (size_t i = 0; i < status->count; i++)
		beating += status->rows[i].state != BELAY__STATE_ENDED &&
			status->rows[i].state != BELAY__STATE_MISSING;
	return beating;
}

int belay__status_exit(const struct belay__status *status, bool named)
{
	size_t unwell = 0;

	for (size_t i = 0; i < status->count; i++)
		unwell += status->rows[i].state != BELAY__STATE_HEALTHY &&
			status->rows[i].state != BELAY__STATE_ENDED;
	if (named && status->count == 0)
		return BELAY__EXIT_UNKNOWN;
	if (named && belay__status_beating(status) == 0)
		return BELAY__EXIT_NOT_RUNNING;
	return unwell > 0 ? BELAY__EXIT_FAILED : BELAY__EXIT_OK;
}
