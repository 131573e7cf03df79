#include "cmd/status_counters.h"

#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/json.h"
#include "export/visible.h"

#define KEY_SIZE 128

struct showing {
	bool json;
	struct belay__output *output;
};

static int refuse(struct belay_error *reterr)
{
	return belay__fail(reterr, -EPROTO,
		"the observer's counters cannot be understood; see: belay doctor");
}

/* Adds "KEY{LABEL} value"; LABEL is NULL when there is none. Numbers are shown as they came. */
static void add_counter(struct belay__output *output, const char *key, const char *label,
	const struct belay__json *value)
{
	char line[2 * KEY_SIZE + 8];
	struct belay__text text;

	belay__text_init(&text, line, sizeof(line));
	belay__text_add(&text, key);
	if (label != NULL)
		belay__text_addf(&text, "{%s}", label);
	belay__output_add(output, line);
	belay__output_add(output, " ");
	belay__output_add_bytes(output, value->start, value->len);
	belay__output_add(output, "\n");
}

/* Walks the next member of OBJECT, its key made visible. */
static int next_member(const struct belay__json *object, size_t *cursor, char key[KEY_SIZE],
	struct belay__json *ret_value)
{
	char raw[KEY_SIZE];
	struct belay__text text;
	int r = belay__json_next_member(object, cursor, raw, sizeof(raw), ret_value);

	if (r <= 0)
		return r;
	belay__text_init(&text, key, KEY_SIZE);
	belay__text_add_visible(&text, raw, strlen(raw));
	return 1;
}

static int add_labelled(struct belay__output *output, const char *key,
	const struct belay__json *labels)
{
	struct belay__json value;
	char label[KEY_SIZE];
	size_t cursor = 0;
	int r;

	while ((r = next_member(labels, &cursor, label, &value)) > 0) {
		if (value.kind != BELAY__JSON_NUMBER)
			return -EPROTO;
		add_counter(output, key, label, &value);
	}
	return r;
}

static int show_line(void *data, const char *line, size_t len, struct belay_error *reterr)
{
	const struct showing *showing = data;
	struct belay__json object, value;
	char key[KEY_SIZE];
	size_t cursor = 0;
	int r;

	if (belay__json_parse(line, len, &object, NULL) < 0 || object.kind != BELAY__JSON_OBJECT)
		return refuse(reterr);
	if (showing->json) {
		belay__output_add_bytes(showing->output, line, len);
		belay__output_add(showing->output, "\n");
		return 0;
	}
	while ((r = next_member(&object, &cursor, key, &value)) > 0) {
		if (value.kind == BELAY__JSON_NUMBER)
			add_counter(showing->output, key, NULL, &value);
		else if (value.kind != BELAY__JSON_OBJECT ||
			add_labelled(showing->output, key, &value) < 0)
			return refuse(reterr);
	}
	return r < 0 ? refuse(reterr) : 0;
}

int belay__status_counters(struct belay__ask *ask, bool json, struct belay__output *output,
	struct belay_error *reterr)
{
	struct showing showing = { json, output };

	return belay__ask_lines(ask, BELAY__HELLO_COUNTERS, "", show_line, &showing, reterr);
}
