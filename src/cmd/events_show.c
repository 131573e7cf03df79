#include "cmd/events_show.h"

#include <string.h>

#include "base/json.h"
#include "export/event_file.h"
#include "export/event_line.h"

struct stamp {
	uint64_t seq;
	char time[32];
};

static bool read_event(const char *line, size_t len, struct belay__json *ret_event,
	struct stamp *ret_stamp)
{
	struct belay__json value;

	ret_stamp->seq = 0;
	ret_stamp->time[0] = '\0';
	if (belay__json_parse(line, len, ret_event, NULL) < 0 ||
		ret_event->kind != BELAY__JSON_OBJECT ||
		belay__json_member(ret_event, "event", &value) < 0)
		return false;
	if (belay__json_member(ret_event, "seq", &value) == 0)
		(void)belay__json_get_u64(&value, &ret_stamp->seq);
	(void)belay__json_member_text(ret_event, "time", ret_stamp->time, sizeof(ret_stamp->time));
	return true;
}

/* An observer that lost its count begins again, but later: only what is old by both was shown. */
static bool is_fresh(const struct belay__events *events, const struct stamp *stamp)
{
	return !events->any || stamp->seq > events->seq || strcmp(stamp->time, events->time) > 0;
}

static void show_line(struct belay__output *output, const struct belay__json *event,
	const struct stamp *stamp)
{
	char buffer[1024];
	struct belay__text text;

	belay__text_init(&text, buffer, sizeof(buffer));
	belay__text_add(&text, stamp->time);
	belay__text_add(&text, stamp->time[0] == '\0' ? "" : "  ");
	belay__event_line(event, &text);
	belay__output_add_bytes(output, text.chars, text.len);
	belay__output_add(output, "\n");
}

bool belay__events_show(struct belay__events *events, const char *line, size_t len)
{
	struct belay__json event;
	struct stamp stamp;

	if (!read_event(line, len, &event, &stamp))
		return false;
	if (events->fresh_only && !is_fresh(events, &stamp))
		return false;
	events->any = true;
	events->seq = stamp.seq;
	memcpy(events->time, stamp.time, sizeof(events->time));
	if (events->quiet)
		return false;
	if (events->json) {
		belay__output_add_bytes(events->output, line, len);
		belay__output_add(events->output, "\n");
	} else {
		show_line(events->output, &event, &stamp);
	}
	return true;
}

bool belay__events_gap(const struct belay__events *events, const char *line, size_t len)
{
	struct belay__json event;
	struct stamp stamp;

	return events->any && read_event(line, len, &event, &stamp) && stamp.seq > events->seq + 1;
}

static void show_kept(void *data, const char *line, size_t len)
{
	(void)belay__events_show(data, line, len);
}

int64_t belay__events_tail(struct belay__events *events, uint64_t count)
{
	return belay__event_file_tail(events->path, count, show_kept, events);
}
